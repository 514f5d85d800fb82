//! A decision: the fold of its events.

use serde::Serialize;

use crate::{
    Account, Approval, Body, Cause, DecisionId, Effect, Event, EventId, HybridTime, IllegalStep,
    MissingField, Outcome, Proposal, Sealed, Status, Timestamp,
};

/// What is known of one decision, folded from its events in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The decision.
    pub id: DecisionId,
    /// What was proposed.
    pub proposal: Proposal,
    /// Where its last event left it on the lifecycle.
    pub position: Status,
    /// Where it stands as read: a start without an end is *unknown*.
    pub status: Status,
    /// How it ended; *unknown* until an event says.
    pub outcome: Outcome,
    /// Its causes, those learnt later included.
    pub causes: Vec<Cause>,
    /// What it did to the world: as finished, or else as started, or else as proposed.
    pub effects: Vec<Effect>,
    /// Who allowed or refused it, in order.
    pub approvals: Vec<Approval>,
    /// Its sealed payloads, in order.
    pub sealed: Vec<Sealed>,
    /// What an import could not learn.
    pub account: Option<Account>,
    /// Where in its source it lies, if it was imported.
    pub position_in_source: Option<String>,
    /// When the source says it ended.
    pub ended: Option<Timestamp>,
    /// Its events, in order.
    pub events: Vec<Mark>,
}

/// One event in the life of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// When the record learned it.
    pub at: HybridTime,
    /// The event.
    pub event: EventId,
    /// What it says, by name.
    pub what: &'static str,
}

/// Events that do not make a decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// The first event neither proposes nor reconstructs.
    #[error("decision `{decision}` begins with `{what}`, not with a proposal")]
    NoProposal {
        /// The decision.
        decision: DecisionId,
        /// Name of its first event.
        what: &'static str,
    },
    /// There are two proposals.
    #[error("decision `{decision}` is proposed twice, again by event `{event}`")]
    Twice {
        /// The decision.
        decision: DecisionId,
        /// The second proposal.
        event: EventId,
    },
    /// An event is about something else.
    #[error("event `{event}` is not about decision `{decision}`")]
    Stranger {
        /// The decision.
        decision: DecisionId,
        /// The event.
        event: EventId,
    },
    /// The lifecycle has no such arrow.
    #[error("event `{event}`")]
    Step {
        /// The event.
        event: EventId,
        /// What was tried.
        #[source]
        source: IllegalStep,
    },
    /// A mandatory field is missing.
    #[error("event `{event}`")]
    Missing {
        /// The event.
        event: EventId,
        /// The field.
        #[source]
        source: MissingField,
    },
}

impl Decision {
    /// Folds the events of one decision, in the order of the log; none gives none.
    ///
    /// To see a decision as the record knew it at some time, pass only the events up to then.
    ///
    /// # Errors
    /// [`FoldError`] names the event that does not fit.
    pub fn fold<'a>(
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Result<Option<Self>, FoldError> {
        Self::of(events.into_iter().cloned())
    }

    /// As [`fold`](Self::fold), for who has no other use for the events: nothing of them is copied.
    ///
    /// # Errors
    /// As [`fold`](Self::fold).
    pub fn of(events: impl IntoIterator<Item = Event>) -> Result<Option<Self>, FoldError> {
        let mut folded: Option<Self> = None;
        for event in events {
            match &mut folded {
                None => folded = Some(Self::begin(event)?),
                Some(decision) => decision.take(event)?,
            }
        }
        Ok(folded)
    }

    fn begin(event: Event) -> Result<Self, FoldError> {
        let mark = Mark::of(&event);
        let Some(id) = event.body.decision() else {
            // An event about no decision cannot begin one; its own id is the nearest name for it.
            let decision = DecisionId::from_bytes(*event.id.as_bytes());
            return Err(FoldError::NoProposal {
                decision,
                what: mark.what,
            });
        };
        let (mut account, mut position_in_source, mut ended) = (None, None, None);
        let (position, outcome, proposal) = match event.body {
            Body::Proposed { proposal, .. } => (Status::Proposed, Outcome::Unknown, proposal),
            Body::Begun { proposal, .. } => (Status::Started, Outcome::Unknown, proposal),
            Body::Judged { proposal, .. } => (Status::Succeeded, Outcome::Succeeded, proposal),
            Body::Reconstructed {
                account: said,
                ended: at,
                outcome,
                position,
                proposal,
                ..
            } => {
                (account, position_in_source, ended) = (Some(said), Some(position), at);
                (Status::from(&outcome), outcome, proposal)
            }
            _ => {
                return Err(FoldError::NoProposal {
                    decision: id,
                    what: mark.what,
                });
            }
        };
        proposal.check().map_err(|source| FoldError::Missing {
            event: event.id,
            source,
        })?;
        Ok(Self {
            id,
            position,
            status: position.as_read(),
            outcome,
            causes: proposal.causes.clone(),
            effects: proposal.effects.clone(),
            approvals: Vec::new(),
            sealed: proposal.sealed.iter().cloned().collect(),
            account,
            position_in_source,
            ended,
            events: vec![mark],
            proposal,
        })
    }

    /// Takes one more event into account.
    ///
    /// # Errors
    /// [`FoldError`] where the event does not fit; the decision is then unchanged.
    pub fn apply(&mut self, event: &Event) -> Result<(), FoldError> {
        self.take(event.clone())
    }

    fn take(&mut self, event: Event) -> Result<(), FoldError> {
        if event.body.decision() != Some(self.id) {
            return Err(FoldError::Stranger {
                decision: self.id,
                event: event.id,
            });
        }
        if event.body.proposal().is_some() {
            return Err(FoldError::Twice {
                decision: self.id,
                event: event.id,
            });
        }
        if let Some(step) = event.body.step() {
            self.position = self
                .position
                .after(step)
                .map_err(|source| FoldError::Step {
                    event: event.id,
                    source,
                })?;
            self.status = self.position.as_read();
        }
        self.events.push(Mark::of(&event));
        let (causes, effects, sealed) = match event.body {
            Body::Approved { approval, .. } | Body::Rejected { approval, .. } => {
                let sealed = approval.sealed.clone();
                self.approvals.push(approval);
                (Vec::new(), Vec::new(), sealed)
            }
            Body::Started {
                effects, sealed, ..
            } => (Vec::new(), effects, sealed),
            Body::Finished {
                causes,
                effects,
                outcome,
                sealed,
                ..
            } => {
                self.outcome = outcome;
                (causes, effects, sealed)
            }
            Body::Linked { causes, .. } => (causes, Vec::new(), None),
            _ => return Ok(()),
        };
        for cause in causes {
            if !self.causes.contains(&cause) {
                self.causes.push(cause);
            }
        }
        if !effects.is_empty() {
            self.effects = effects;
        }
        self.sealed.extend(sealed);
        Ok(())
    }
}

impl Mark {
    const fn of(event: &Event) -> Self {
        Self {
            at: event.at,
            event: event.id,
            what: event.body.name(),
        }
    }
}
