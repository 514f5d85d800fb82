//! Erasure and retention: contents go, entries stay, and the log says what happened.

use ledger::KeyState;
use model::{Body, SubjectId};

use crate::view::EraseView;
use crate::{Engine, EngineError};

/// How many days contents are kept at the least where nothing else was decided: six months, as
/// Regulation (EU) 2024/1689 (AI Act), Articles 19 and 26, asks for logs of high-risk systems.
pub const RETENTION_DAYS_DEFAULT: u32 = 183;

/// The longest words of a person that are recorded, in bytes.
const WORDS_BYTES_MAX: usize = 1_024;

const MICROS_PER_DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// Who erases, and by what right.
#[derive(Clone, Copy, Debug)]
pub struct ErasePolicy<'a> {
    /// On what legal basis; recorded.
    pub basis: &'a str,
    /// Who decided it; recorded.
    pub by: &'a str,
    /// Whether the retention minimum is set aside. A legal hold never is.
    pub before_minimum: bool,
}

impl Engine {
    /// Destroys a subject's key, and so everything sealed under it.
    ///
    /// The erasure is recorded first. If the process dies in between, opening the store finishes
    /// it. Erasing twice is the same as once.
    ///
    /// # Errors
    /// [`EngineError::Retained`] under a legal hold or before the retention minimum;
    /// [`EngineError::NotFound`] if the subject never had a key.
    pub async fn erase(
        &self,
        subject: SubjectId,
        policy: ErasePolicy<'_>,
    ) -> Result<EraseView, EngineError> {
        check_words("basis", policy.basis)?;
        check_words("name of who decides", policy.by)?;
        let size = self.store.status().await?.durable;
        self.store.wait_indexed(size).await?;
        if let Some((index, events)) = self.erased_at(subject).await? {
            self.store.destroy_key(subject).await?;
            let subject = subject.to_string();
            return Ok(EraseView {
                subject,
                events,
                index,
                already: true,
            });
        }
        if self.store.key(subject).await? == KeyState::Absent {
            return Err(EngineError::NotFound {
                text: subject.to_string(),
            });
        }
        let about = self.store.events_about(subject).await?;
        self.check_hold(subject).await?;
        if !policy.before_minimum {
            self.check_minimum(subject, &about).await?;
        }
        let events = about.len() as u64;
        let body = Body::Erased {
            basis: policy.basis.to_owned(),
            by: policy.by.to_owned(),
            events,
            subject,
        };
        let index = self.append_one(&self.new_event(body, None)).await?;
        self.store.destroy_key(subject).await?;
        Ok(EraseView {
            subject: subject.to_string(),
            events,
            index,
            already: false,
        })
    }

    /// Sets how many days contents are kept at the least; returns the entry's place.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn set_retention(&self, days: u32, by: &str) -> Result<u64, EngineError> {
        check_words("name of who decides", by)?;
        let body = Body::Retention {
            by: by.to_owned(),
            days,
        };
        self.append_one(&self.new_event(body, None)).await
    }

    /// Places or ends a legal hold; returns the entry's place.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn set_hold(
        &self,
        subject: SubjectId,
        held: bool,
        by: &str,
    ) -> Result<u64, EngineError> {
        check_words("name of who decides", by)?;
        let body = Body::LegalHold {
            by: by.to_owned(),
            held,
            subject,
        };
        self.append_one(&self.new_event(body, None)).await
    }

    /// Whether the log says that a subject was erased.
    pub(crate) async fn is_erased(&self, subject: SubjectId) -> Result<bool, EngineError> {
        Ok(self.erased_at(subject).await?.is_some())
    }

    /// Where a subject's erasure is recorded, and how many events it concerned.
    async fn erased_at(&self, subject: SubjectId) -> Result<Option<(u64, u64)>, EngineError> {
        for index in self.store.events_named(&["erased"]).await? {
            if let Body::Erased {
                subject: whose,
                events,
                ..
            } = self.event(index).await?.body
                && whose == subject
            {
                return Ok(Some((index, events)));
            }
        }
        Ok(None)
    }

    async fn check_hold(&self, subject: SubjectId) -> Result<(), EngineError> {
        let mut holder = None;
        for index in self.store.events_named(&["legal-hold"]).await? {
            if let Body::LegalHold {
                by,
                held,
                subject: whose,
            } = self.event(index).await?.body
                && whose == subject
            {
                holder = held.then_some(by);
            }
        }
        match holder {
            None => Ok(()),
            Some(by) => Err(EngineError::Retained {
                subject: subject.to_string(),
                reason: format!("a legal hold by {by} is in force"),
            }),
        }
    }

    /// Counts from the newest content, as the last of it to become old enough.
    async fn check_minimum(&self, subject: SubjectId, about: &[u64]) -> Result<(), EngineError> {
        let mut days = RETENTION_DAYS_DEFAULT;
        if let Some(index) = self.store.events_named(&["retention"]).await?.last()
            && let Body::Retention { days: set, .. } = self.event(*index).await?.body
        {
            days = set;
        }
        let Some(newest) = about.last() else {
            return Ok(());
        };
        let recorded = self.event(*newest).await?.at.wall;
        let until = recorded.saturating_add(u64::from(days) * MICROS_PER_DAY);
        if self.clock.wall() >= until {
            return Ok(());
        }
        let until = crate::text::recorded(model::HybridTime {
            wall: until,
            tick: 0,
        });
        Err(EngineError::Retained {
            subject: subject.to_string(),
            reason: format!("contents are kept {days} days, here until {until}"),
        })
    }
}

/// Words that a person gives for the record stay short: they stand in a leaf for ever.
pub(crate) fn check_words(what: &'static str, words: &str) -> Result<(), EngineError> {
    let (len, max) = (words.len(), WORDS_BYTES_MAX);
    if len <= max {
        return Ok(());
    }
    Err(EngineError::TooLong {
        what,
        position: "the command line".to_owned(),
        len,
        max,
    })
}
