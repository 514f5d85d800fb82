//! What waits for a person, and their verdicts, as the record has them.
//!
//! Works on the record alone, so that it serves a process that looks as well as one that carries
//! calls; the latter tells the call that waits afterwards ([`rule`](crate::live::Recorder::rule)).

use std::collections::HashMap;
use std::time::Duration;

use ledger::Batch;
use ledger::payload::Sealer;
use ledger::{KeyState, Leaf};
use model::{
    Approval, Body, DecisionId, Digest, Environment, Event, EventId, Field, Media, Status,
    Timestamp,
};

use crate::look::fold;
use crate::record::{Envelope, Plain};
use crate::text::{cut, recorded, stamp};
use crate::view::{ApprovalsView, HeldView, RuledView};
use crate::{Engine, EngineError};

/// The longest name that stands in a leaf, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// The longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 4_096;

/// Calls that are listed at most.
const LISTED_MAX: usize = 4_096;

/// How long an approval given to files alone is good, where no server says otherwise.
pub const APPROVAL_EXPIRES_DEFAULT: Duration = Duration::from_secs(3_600);

/// The verdict of a person on a call that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Whether the call may begin.
    pub approve: bool,
    /// Who says so; stands in the record.
    pub by: String,
    /// Whether `by` is known for sure, because it names the token that came along. Who asked for a
    /// call cannot approve it under the same name.
    pub known: bool,
    /// Why; kept sealed.
    pub reason: Option<String>,
    /// Digest of the call that they saw.
    pub shown: Digest,
}

/// A verdict that is in the record.
#[derive(Clone, Debug)]
pub(crate) struct Ruled {
    pub(crate) event: EventId,
    /// Until when an approval is good; none of a rejection.
    pub(crate) until: Option<Timestamp>,
    pub(crate) view: RuledView,
}

/// What a leaf says of a comment, and the ciphertext that lies beside the log.
type SealedComment = (Option<model::Sealed>, Vec<(Digest, Vec<u8>)>);

/// What the record says of a decision that was held.
struct Waits {
    asker: Option<String>,
    call: Digest,
    rule: String,
    until: Timestamp,
    since: String,
    approved: Option<String>,
}

impl Engine {
    /// Returns the calls that wait for a person, and those that were approved and have not begun,
    /// oldest first.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn approvals(&self) -> Result<ApprovalsView, EngineError> {
        let now = self.clock.wall();
        let now = Timestamp(i64::try_from(now).unwrap_or(i64::MAX));
        let mut approvals = Vec::new();
        for id in self.waiting(LISTED_MAX).await? {
            let events = self.events_of(id).await?;
            if let Some(waits) = Waits::of(&events)
                && now < waits.until
            {
                approvals.push(self.held_view(id, &events, waits).await?);
            }
        }
        Ok(ApprovalsView { approvals })
    }

    /// Appends the verdict of a person. Of an approval `expire` says how long it is good.
    ///
    /// # Errors
    /// [`EngineError::NotHeld`] if the call does not wait; [`EngineError::Shown`] if it is not
    /// the one that they saw; [`EngineError::Overdue`]; [`EngineError::OwnCall`];
    /// [`EngineError::Store`].
    pub(crate) async fn rule(
        &self,
        id: DecisionId,
        ruling: Ruling,
        expire: Duration,
    ) -> Result<Ruled, EngineError> {
        self.caught_up(Duration::from_secs(2)).await;
        let events = self.events_of(id).await?;
        let decision = fold(id, events.iter().map(|(_, event)| event))?;
        let waits = Waits::of(&events).filter(|_| decision.position == Status::Held);
        let Some(waits) = waits else {
            return Err(EngineError::NotHeld {
                id: id.to_string(),
                status: decision.status.name(),
            });
        };
        let now = self.clock.wall();
        let now = Timestamp(i64::try_from(now).unwrap_or(i64::MAX));
        if waits.until <= now {
            return Err(EngineError::Overdue {
                id: id.to_string(),
                until: stamp(waits.until),
            });
        }
        if waits.call != ruling.shown {
            return Err(EngineError::Shown {
                id: id.to_string(),
                shown: ruling.shown.to_string(),
                waits: waits.call.to_string(),
            });
        }
        let agent = &decision.proposal.agent.name;
        let own = waits.asker.as_ref() == Some(&ruling.by) || *agent == ruling.by;
        if ruling.approve && ruling.known && own {
            return Err(EngineError::OwnCall { by: ruling.by });
        }
        let at = self.next_time();
        let event_id = self.event_id(at);
        let (sealed, payloads) = match &ruling.reason {
            None => (None, Vec::new()),
            Some(reason) => {
                let reason = cut(reason, REASON_BYTES_MAX);
                let envelope = self.envelope(decision.proposal.run).await?;
                self.seal_comment(envelope, event_id, &reason)?
            }
        };
        let until = ruling.approve.then(|| later(now, expire));
        let approval = Approval {
            by: cut(&ruling.by, NAME_BYTES_MAX),
            sealed,
            shown: ruling.shown,
            until,
        };
        let body = match ruling.approve {
            true => Body::Approved {
                approval,
                decision: id,
            },
            false => Body::Rejected {
                approval,
                decision: id,
            },
        };
        let event = Event {
            at,
            body,
            id: event_id,
            prev: events.last().map(|(_, event)| event.id),
            v: 1,
        };
        let leaf = Leaf::encode(&event).map_err(|source| EngineError::Unrecordable {
            position: event.body.name().to_owned(),
            source,
        })?;
        let leaves = vec![leaf];
        let appended = self.append_batch(Batch { leaves, payloads }).await?;
        let verdict = if ruling.approve {
            "approved"
        } else {
            "rejected"
        };
        metrics::counter!("rescind_approvals_total", "verdict" => verdict).increment(1);
        Ok(Ruled {
            event: event_id,
            until,
            view: RuledView {
                decision: id.to_string(),
                verdict: verdict.to_owned(),
                by: ruling.by,
                call: ruling.shown.to_string(),
                until: until.map(stamp),
                index: appended.seqs[0],
            },
        })
    }

    /// As a server does, on files that no server has open: the verdict is found when one starts.
    ///
    /// # Errors
    /// As [`rule`](crate::live::Recorder::rule).
    pub async fn rule_on_files(
        &self,
        id: DecisionId,
        ruling: Ruling,
    ) -> Result<RuledView, EngineError> {
        let ruled = self.rule(id, ruling, APPROVAL_EXPIRES_DEFAULT).await?;
        Ok(ruled.view)
    }

    /// Returns the newest decisions that the record has as held or approved, oldest first.
    pub(crate) async fn waiting(&self, most: usize) -> Result<Vec<DecisionId>, EngineError> {
        let held = self.store.events_named(&["held"]).await?;
        let mut ids = Vec::new();
        for index in &held[held.len().saturating_sub(most)..] {
            ids.extend(self.event(*index).await?.body.decision());
        }
        let rows = self.store.rows(&ids).await?;
        let standing: HashMap<DecisionId, Status> =
            rows.into_iter().map(|row| (row.id, row.status)).collect();
        ids.retain(|id| matches!(standing.get(id), Some(Status::Held | Status::Approved)));
        Ok(ids)
    }

    async fn held_view(
        &self,
        id: DecisionId,
        events: &[(u64, Event)],
        waits: Waits,
    ) -> Result<HeldView, EngineError> {
        let decision = fold(id, events.iter().map(|(_, event)| event))?;
        let (mut arguments, mut server) = (None, None);
        if let Some((_, first)) = events.first() {
            arguments = self.opened_field(first, Field::Asked).await?;
            let environment = self.opened_field(first, Field::Environment).await?;
            server = environment
                .and_then(|text| serde_json::from_str::<Environment>(&text).ok())
                .and_then(|environment| environment.0.get("mcp.server").cloned());
        }
        let proposal = &decision.proposal;
        Ok(HeldView {
            decision: id.to_string(),
            run: proposal.run.to_string(),
            agent: proposal.agent.name.clone(),
            server,
            tool: proposal.name.clone(),
            arguments,
            class: decision
                .effects
                .first()
                .map(|effect| effect.class.name().to_owned()),
            rule: waits.rule,
            status: decision.status.name().to_owned(),
            call: waits.call.to_string(),
            asker: waits.asker,
            since: waits.since,
            until: stamp(waits.until),
            approved_by: waits.approved,
        })
    }

    /// Whose key seals what is recorded of a run; none once that was erased.
    async fn envelope(&self, run: model::RunId) -> Result<Option<Envelope>, EngineError> {
        let Some(row) = self.store.run(run).await? else {
            return Ok(None);
        };
        let subject = row.keys.subject;
        Ok(match self.store.key(subject).await? {
            KeyState::Kept(key) => Some(Envelope { subject, key }),
            KeyState::Destroyed | KeyState::Absent => None,
        })
    }

    fn seal_comment(
        &self,
        envelope: Option<Envelope>,
        event: EventId,
        text: &str,
    ) -> Result<SealedComment, EngineError> {
        let Some(envelope) = envelope else {
            return Ok((None, Vec::new()));
        };
        let plain = [Plain {
            base: None,
            role: Field::Comment,
            media: Media::Text,
            text,
        }];
        let made = envelope.seal(&mut Sealer::default(), &*self.entropy, event, &plain);
        let made = made.map_err(|source| EngineError::Content {
            event: event.to_string(),
            source,
        })?;
        Ok(match made {
            Some((sealed, ciphertext)) => {
                let ct = sealed.ct;
                (Some(sealed), vec![(ct, ciphertext)])
            }
            None => (None, Vec::new()),
        })
    }
}

impl Waits {
    /// What the events of a decision say of its waiting; none if it never had to.
    fn of(events: &[(u64, Event)]) -> Option<Self> {
        let mut waits: Option<Self> = None;
        for (_, event) in events {
            match (&event.body, &mut waits) {
                (
                    Body::Held {
                        asker,
                        call: Some(call),
                        rule,
                        until: Some(until),
                        ..
                    },
                    _,
                ) => {
                    waits = Some(Self {
                        asker: asker.clone(),
                        call: *call,
                        rule: rule.clone(),
                        until: *until,
                        since: recorded(event.at),
                        approved: None,
                    });
                }
                (Body::Approved { approval, .. }, Some(waits)) => {
                    waits.until = approval.until.unwrap_or(waits.until);
                    waits.approved = Some(approval.by.clone());
                }
                _ => {}
            }
        }
        waits
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_add(micros))
}
