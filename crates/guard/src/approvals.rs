//! Approvals: which calls wait for a person, and which approval is still good for one call.
//!
//! ```text
//!   held ──► approved ──► claimed ──► gone: its intent is in the record
//!    │ ▲         │  ▲         │
//!    │ └ a call waits        └──── released: the intent was never written down
//!    └─► gone: rejected, cancelled, void, or past its time
//! ```
//!
//! An approval is good for the exact call that was shown, by its digest, and for one such call:
//! it is claimed before the intent is written, and of two equal calls one gets it. What expires
//! or is void never comes back, because its entry is gone.

use std::collections::{BTreeSet, HashMap};

use model::{DecisionId, Digest, Timestamp};

/// Where a call that was held stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for a person.
    Held,
    /// A person approved it, and no call has claimed that.
    Approved,
    /// A call claimed the approval and is about to begin.
    Claimed,
}

/// One call that was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Digest of the exact call.
    pub call: Digest,
    /// Where it stands.
    pub standing: Standing,
    /// Until when: for the person to decide, then for a call to claim.
    pub until: Timestamp,
    /// Whether a call waits for the person now.
    pub waited: bool,
}

/// Who gets an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The call that waits, which has claimed it by that.
    Waiting,
    /// The next equal call.
    Kept,
}

/// There is nothing that waits for a person under this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no call waits for a decision there")]
pub struct NotWaiting;

/// What waits, and what was approved and not yet claimed.
#[derive(Debug, Default)]
pub struct Approvals {
    entries: HashMap<DecisionId, Entry>,
    /// The decisions of each call, oldest first.
    calls: HashMap<Digest, BTreeSet<DecisionId>>,
}

impl Approvals {
    /// Returns how many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the entry of a decision.
    #[must_use]
    pub fn get(&self, decision: DecisionId) -> Option<&Entry> {
        self.entries.get(&decision)
    }

    /// Takes in a call that is held, or one that the record has as held or approved.
    pub fn put(&mut self, decision: DecisionId, entry: Entry) {
        self.calls.entry(entry.call).or_default().insert(decision);
        self.entries.insert(decision, entry);
    }

    /// Claims an approval of this exact call, the oldest that is still good.
    pub fn claim(&mut self, call: Digest, now: Timestamp) -> Option<DecisionId> {
        let good = |entry: &Entry| entry.standing == Standing::Approved && now < entry.until;
        let decision = self.first(call, good)?;
        self.entries.get_mut(&decision)?.standing = Standing::Claimed;
        Some(decision)
    }

    /// Takes up the wait for a call like this one that is held and that nobody waits for.
    pub fn join(&mut self, call: Digest, now: Timestamp) -> Option<DecisionId> {
        let free =
            |entry: &Entry| entry.standing == Standing::Held && !entry.waited && now < entry.until;
        let decision = self.first(call, free)?;
        self.entries.get_mut(&decision)?.waited = true;
        Some(decision)
    }

    /// Notes that the call that waited does so no longer. What was given to it meanwhile is good
    /// for the next one.
    pub fn left(&mut self, decision: DecisionId) {
        if let Some(entry) = self.entries.get_mut(&decision) {
            entry.waited = false;
        }
    }

    /// Approves a call until `until`. Where a call waits, it has claimed the approval.
    ///
    /// # Errors
    /// [`NotWaiting`] unless it is held.
    pub fn approve(&mut self, decision: DecisionId, until: Timestamp) -> Result<Given, NotWaiting> {
        let entry = self.entries.get_mut(&decision).ok_or(NotWaiting)?;
        if entry.standing != Standing::Held {
            return Err(NotWaiting);
        }
        entry.until = until;
        if entry.waited {
            entry.standing = Standing::Claimed;
            entry.waited = false;
            Ok(Given::Waiting)
        } else {
            entry.standing = Standing::Approved;
            Ok(Given::Kept)
        }
    }

    /// Gives a claimed approval back, because the intent was never written down.
    pub fn release(&mut self, decision: DecisionId) {
        if let Some(entry) = self.entries.get_mut(&decision)
            && entry.standing == Standing::Claimed
        {
            entry.standing = Standing::Approved;
        }
    }

    /// Takes an entry out for good: its call has begun, or it was rejected, cancelled or is void.
    pub fn remove(&mut self, decision: DecisionId) -> Option<Entry> {
        let entry = self.entries.remove(&decision)?;
        if let Some(same) = self.calls.get_mut(&entry.call) {
            same.remove(&decision);
            if same.is_empty() {
                self.calls.remove(&entry.call);
            }
        }
        Some(entry)
    }

    /// Takes out everything whose time is over, except what a call has claimed.
    pub fn overdue(&mut self, now: Timestamp) -> Vec<(DecisionId, Entry)> {
        let over = |(_, entry): &(&DecisionId, &Entry)| {
            entry.standing != Standing::Claimed && entry.until <= now
        };
        let mut over: Vec<DecisionId> = self
            .entries
            .iter()
            .filter(over)
            .map(|(id, _)| *id)
            .collect();
        over.sort_unstable();
        over.into_iter()
            .filter_map(|id| Some((id, self.remove(id)?)))
            .collect()
    }

    fn first(&self, call: Digest, fits: impl Fn(&Entry) -> bool) -> Option<DecisionId> {
        let same = self.calls.get(&call)?;
        same.iter()
            .copied()
            .find(|id| self.entries.get(id).is_some_and(&fits))
    }
}
