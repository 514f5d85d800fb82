//! Asks the tracer what a call depends on, at its begin and at its end.

use std::sync::PoisonError;

use lineage::{Asked, History, Item, Seen};
use model::{Cause, DecisionId, Kind, RunId};

use super::Inner;
use super::call::{OwnedCall, OwnedItem};

/// What the tracer needs to know of a call, kept until its end.
#[derive(Debug)]
pub(super) struct Traced {
    pub(super) decision: DecisionId,
    pub(super) run: RunId,
    pub(super) agent: String,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) to: Option<String>,
}

impl Traced {
    fn seen(&self) -> Seen<'_> {
        Seen {
            name: Some(&self.name),
            to: self.to.as_deref(),
            ..Seen::new(self.decision, self.run, &self.agent, self.kind)
        }
    }
}

impl Inner {
    /// Tells which run a resent history continues.
    pub(super) fn continued(&self, items: &[OwnedItem]) -> Option<(RunId, DecisionId)> {
        with_items(items, |items| self.tracer().continues(items))
    }

    /// Returns what an inference depends on by what it was sent.
    pub(super) fn trace_prompt(&self, traced: &Traced, items: &[OwnedItem]) -> Vec<Cause> {
        with_items(items, |items| {
            let seen = Seen {
                history: History::Sent(items),
                ..traced.seen()
            };
            self.observe(&seen)
        })
    }

    /// Returns what a tool call or message depends on by what it carries.
    pub(super) fn trace_call(
        &self,
        traced: &Traced,
        arguments: Option<&str>,
        output: Option<&str>,
        call_id: Option<&str>,
    ) -> Vec<Cause> {
        let seen = Seen {
            arguments,
            output,
            call_id,
            ..traced.seen()
        };
        self.observe(&seen)
    }

    /// Returns what the end of a call adds.
    pub(super) fn trace_end(
        &self,
        traced: &Traced,
        output: &str,
        asked: &[OwnedCall],
    ) -> Vec<Cause> {
        let asked: Vec<Asked<'_>> = asked.iter().map(borrowed).collect();
        let seen = Seen {
            output: Some(output),
            asked: &asked,
            ..traced.seen()
        };
        let mut causes = self.tracer().complete(&seen);
        shorten(&mut causes);
        causes
    }

    fn observe(&self, seen: &Seen<'_>) -> Vec<Cause> {
        let mut causes = self.tracer().observe(seen);
        shorten(&mut causes);
        causes
    }

    pub(super) fn tracer(&self) -> std::sync::MutexGuard<'_, lineage::Tracer> {
        // A tracer that panicked has forgotten something at worst: what it says is still evidence.
        self.tracer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn borrowed(call: &OwnedCall) -> Asked<'_> {
    Asked {
        id: call.id.as_deref(),
        name: &call.name,
        arguments: &call.arguments,
    }
}

fn with_items<T>(items: &[OwnedItem], then: impl FnOnce(&[Item<'_>]) -> T) -> T {
    let asked: Vec<Vec<Asked<'_>>> = items
        .iter()
        .map(|item| item.asked.iter().map(borrowed).collect())
        .collect();
    let items: Vec<Item<'_>> = items
        .iter()
        .zip(&asked)
        .map(|(item, asked)| Item {
            role: item.role,
            text: &item.text,
            asked,
            call_id: item.call_id.as_deref(),
        })
        .collect();
    then(&items)
}

/// Adds causes that are not there yet; of two that differ in evidence alone the first stays.
pub(super) fn merge(causes: &mut Vec<Cause>, more: Vec<Cause>) {
    for cause in more {
        let there = causes.iter().any(|known| {
            known.decision == cause.decision
                && known.kind == cause.kind
                && known.strength >= cause.strength
        });
        if !there {
            causes.push(cause);
        }
    }
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.strength));
}

/// Keys of arguments can be of any length, and a leaf cannot.
fn shorten(causes: &mut [Cause]) {
    for cause in causes {
        crate::text::shorten_evidence(&mut cause.evidence);
    }
}
