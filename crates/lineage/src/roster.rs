//! The decisions that the tracer still knows, by number.

use std::collections::VecDeque;

use model::{Cause, CauseKind, DecisionId, Evidence, Kind, RunId, Strength};

/// What is kept of a decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) decision: DecisionId,
    pub(crate) run: RunId,
    /// Hash of the agent's name.
    pub(crate) agent: u64,
    pub(crate) kind: Kind,
    /// Fingerprints of its output.
    pub(crate) prints: u32,
}

/// Decisions numbered in order; the oldest are forgotten first.
#[derive(Debug)]
pub(crate) struct Roster {
    first: u64,
    list: VecDeque<Known>,
    max: usize,
}

impl Roster {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            first: 0,
            list: VecDeque::new(),
            max: max.max(1),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.first = 0;
        self.list.clear();
    }

    pub(crate) fn push(&mut self, known: Known) -> u64 {
        if self.list.len() == self.max {
            self.list.pop_front();
            self.first += 1;
        }
        self.list.push_back(known);
        self.first + self.list.len() as u64 - 1
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Known> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.list.get(at)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Known> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.list.get_mut(at)
    }
}

/// The causes found for one decision so far: one of each kind per cause, the firmest.
#[derive(Debug)]
pub(crate) struct Found {
    me: u64,
    own: DecisionId,
    causes: Vec<Cause>,
    /// How many of them the source stated.
    stated: usize,
    max: usize,
}

impl Found {
    pub(crate) fn new(me: u64, own: DecisionId, explicit: &[Cause], max: usize) -> Self {
        let mut causes: Vec<Cause> = Vec::with_capacity(explicit.len() + 4);
        for cause in explicit {
            if cause.decision != own && !causes.contains(cause) {
                causes.push(cause.clone());
            }
        }
        Self {
            me,
            own,
            stated: causes.len(),
            causes,
            max,
        }
    }

    /// Adds a cause by its number, unless it is the decision itself, or forgotten.
    pub(crate) fn add(
        &mut self,
        roster: &Roster,
        number: u64,
        kind: CauseKind,
        strength: Strength,
        evidence: Evidence,
    ) {
        // A number not smaller is the decision itself, or the mark for standing text.
        if number >= self.me {
            return;
        }
        let Some(known) = roster.get(number) else {
            return;
        };
        if known.decision == self.own {
            return;
        }
        let same = self
            .causes
            .iter()
            .position(|c| c.decision == known.decision && c.kind == kind);
        let cause = Cause {
            decision: known.decision,
            evidence,
            kind,
            strength,
        };
        match same {
            Some(at) if at >= self.stated && strength > self.causes[at].strength => {
                self.causes[at] = cause;
            }
            Some(_) => {}
            None if self.causes.len() < self.stated + self.max => self.causes.push(cause),
            // Full: what is certain takes the place of the latest that is not.
            None if strength == Strength::Certain => {
                if let Some(weak) = self.causes[self.stated..]
                    .iter_mut()
                    .rfind(|c| c.strength == Strength::Possible)
                {
                    *weak = cause;
                }
            }
            None => {}
        }
    }

    /// Whether there is a cause of this kind already.
    pub(crate) fn has(&self, roster: &Roster, number: u64, kind: CauseKind) -> bool {
        roster.get(number).is_some_and(|known| {
            self.causes
                .iter()
                .any(|c| c.decision == known.decision && c.kind == kind)
        })
    }

    pub(crate) fn into_causes(self) -> Vec<Cause> {
        self.causes
    }
}
