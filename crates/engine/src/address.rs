//! Addresses: how people name runs and decisions.

use std::collections::BTreeMap;

use ledger::{Found, Page};
use model::{DecisionId, RunId, SubjectId};

use crate::{Engine, EngineError};

/// The fewest characters of an id that are searched for.
const ID_PART_MIN: usize = 4;

/// How many things an unclear address may name before the list is cut.
const CANDIDATES_MAX: usize = 16;

/// Something in the record, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A run.
    Run(RunId),
    /// A decision.
    Decision(DecisionId),
    /// A subject of payloads.
    Subject(SubjectId),
}

impl Named {
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Run(_) => "a run",
            Self::Decision(_) => "a decision",
            Self::Subject(_) => "a subject",
        }
    }
}

impl Engine {
    /// Finds what an address names: an id, its beginning or its end; `latest`, the newest run; or
    /// `RUN:N`, the N-th decision of a run, counted from 1. An event's id names its decision.
    ///
    /// # Errors
    /// [`EngineError::BadId`], [`EngineError::NotFound`], [`EngineError::Ambiguous`].
    pub async fn resolve(&self, text: &str) -> Result<Named, EngineError> {
        match text.rsplit_once(':') {
            None => self.resolve_id(text).await,
            Some((of, number)) => {
                let run = match self.resolve_id(of).await? {
                    Named::Run(run) => run,
                    other => {
                        let is = other.what();
                        return Err(EngineError::WrongKind {
                            id: of.to_owned(),
                            is,
                            wanted: "a run",
                        });
                    }
                };
                let missing = || EngineError::NotFound {
                    text: text.to_owned(),
                };
                let number: u64 = number.parse().map_err(|_| missing())?;
                let skip = number.checked_sub(1).ok_or_else(missing)?;
                let rows = self
                    .store
                    .decisions(Some(run), Page { skip, limit: 1 })
                    .await?;
                rows.first()
                    .map(|row| Named::Decision(row.id))
                    .ok_or_else(missing)
            }
        }
    }

    async fn resolve_id(&self, text: &str) -> Result<Named, EngineError> {
        if text == "latest" {
            let runs = self.store.runs(Page::first(1)).await?;
            let run = runs.first().map(|row| Named::Run(row.keys.run));
            return run.ok_or_else(|| EngineError::NotFound {
                text: text.to_owned(),
            });
        }
        let wanted = text.trim().trim_start_matches('…').to_ascii_lowercase();
        let legal = |c: char| c.is_ascii_hexdigit() || c == '-';
        if wanted.len() < ID_PART_MIN || wanted.len() > 36 || !wanted.chars().all(legal) {
            return Err(EngineError::BadId {
                text: text.chars().take(80).collect(),
            });
        }
        let mut named = BTreeMap::new();
        let mut found = self.store.find(&wanted, CANDIDATES_MAX).await?;
        found.extend(self.store.find_end(&wanted, CANDIDATES_MAX).await?);
        for found in found {
            let (id, name) = match found {
                Found::Run(run) => (run.to_string(), Named::Run(run)),
                Found::Decision(decision) => (decision.to_string(), Named::Decision(decision)),
                Found::Subject(subject) => (subject.to_string(), Named::Subject(subject)),
                Found::Event(event, index) => match self.event(index).await?.body.decision() {
                    Some(decision) => (event.to_string(), Named::Decision(decision)),
                    None => continue,
                },
            };
            named.insert(id, name);
        }
        if let Some(exact) = named.get(&wanted) {
            return Ok(*exact);
        }
        let distinct: Vec<Named> = named.values().copied().fold(Vec::new(), |mut seen, name| {
            if !seen.contains(&name) {
                seen.push(name);
            }
            seen
        });
        match distinct[..] {
            [] => Err(EngineError::NotFound { text: wanted }),
            [one] => Ok(one),
            _ => Err(EngineError::Ambiguous {
                text: wanted,
                candidates: named.into_keys().collect(),
            }),
        }
    }

    /// Finds the decision that an id names.
    ///
    /// # Errors
    /// As [`resolve`](Engine::resolve), and [`EngineError::WrongKind`].
    pub async fn resolve_decision(&self, text: &str) -> Result<DecisionId, EngineError> {
        match self.resolve(text).await? {
            Named::Decision(decision) => Ok(decision),
            other => Err(EngineError::WrongKind {
                id: text.to_owned(),
                is: other.what(),
                wanted: "a decision",
            }),
        }
    }

    /// Finds the run that an id names.
    ///
    /// # Errors
    /// As [`resolve`](Engine::resolve), and [`EngineError::WrongKind`].
    pub async fn resolve_run(&self, text: &str) -> Result<RunId, EngineError> {
        match self.resolve(text).await? {
            Named::Run(run) => Ok(run),
            other => Err(EngineError::WrongKind {
                id: text.to_owned(),
                is: other.what(),
                wanted: "a run",
            }),
        }
    }
}
