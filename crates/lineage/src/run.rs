//! What the tracer remembers of one run, and of all runs together.

use std::collections::VecDeque;

use crate::table::Table;

/// In place of an owner: text that stands in every prompt.
pub(crate) const STANDING: u64 = u64::MAX;

/// On an owner: its text came in from outside with what the owner was told. Whoever else has it may
/// have it from there; the same agent need not.
pub(crate) const HEARD: u64 = 1 << 47;

/// Where content was seen first. Keys are hashes of values, fingerprints and whole texts.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Value → the decision whose text held it first, or that [`HEARD`] it first.
    pub(crate) values: Table<u64>,
    /// Fingerprint → [`Print`].
    pub(crate) prints: Table<Print>,
    /// Whole text → the latest decision that produced exactly it.
    pub(crate) texts: Table<u64>,
}

/// A fingerprint's first owner, and in how many places it was met.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Print {
    /// Numbers stay far below 2⁴⁷, and [`HEARD`] is above them; the sixteen bits above that count.
    packed: u64,
}

impl Print {
    const OWNER: u64 = (1 << 48) - 1;

    pub(crate) const fn new(owner: u64) -> Self {
        Self {
            packed: owner & Self::OWNER,
        }
    }

    pub(crate) const fn owner(self) -> u64 {
        let owner = self.packed & Self::OWNER;
        if owner == Self::OWNER {
            STANDING
        } else {
            owner
        }
    }

    pub(crate) const fn count(self) -> u64 {
        self.packed >> 48
    }

    /// Counts one more place, and makes it the owner.
    pub(crate) const fn pass_to(&mut self, owner: u64) {
        self.meet();
        self.packed = self.packed & !Self::OWNER | owner & Self::OWNER;
    }

    pub(crate) const fn meet(&mut self) {
        if self.count() < 0xffff {
            self.packed += 1 << 48;
        }
    }
}

impl Memory {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            values: Table::new(max),
            prints: Table::new(max),
            texts: Table::new(max),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() + self.prints.len() + self.texts.len()
    }
}

/// A tool call that an inference asked for and that nobody has carried out yet.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) id: Option<u64>,
    pub(crate) name: u64,
    pub(crate) arguments: u64,
    pub(crate) asker: u64,
    /// Position among what the asker asked for.
    pub(crate) index: usize,
    /// The values in its arguments that were seen before, and where.
    pub(crate) carried: Vec<Carried>,
    /// Hashes of the values in its arguments, to recognise its result by.
    pub(crate) values: Vec<u64>,
}

/// A value that arguments carry from an earlier decision.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    pub(crate) owner: u64,
    pub(crate) strength: model::Strength,
    /// JSON Pointer into the arguments.
    pub(crate) at: String,
}

/// A message or inference in one shared history.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) number: u64,
    pub(crate) agent: u64,
    /// Hashes of its longer words, sorted, without repeats.
    pub(crate) words: Vec<u64>,
}

/// Something in the history since the last inference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recent {
    pub(crate) number: u64,
    pub(crate) kind: model::Kind,
}

/// A decision whose output is still to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    pub(crate) decision: model::DecisionId,
    pub(crate) number: u64,
    /// Hash chain over the prompt that was sent.
    pub(crate) chain: Option<u64>,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) memory: Memory,
    /// Hash chain over a resent history → the inference that it was sent for.
    pub(crate) prefixes: Table<Prefix>,
    /// Items of resent histories that were met before.
    pub(crate) items: Table<()>,
    /// Call id → the decision that carried the call out.
    pub(crate) calls: Table<u64>,
    /// Call id → the inference that asked.
    pub(crate) askers: Table<u64>,
    pub(crate) pending: VecDeque<Pending>,
    pub(crate) turns: VecDeque<Turn>,
    pub(crate) recent: VecDeque<Recent>,
    /// Agent → its last inference; the latest agent last.
    pub(crate) inferences: Vec<(u64, u64)>,
    /// The last decision of the shared history.
    pub(crate) last: Option<u64>,
    /// Addressed agent → who addressed it.
    pub(crate) addressed: VecDeque<(u64, u64)>,
    pub(crate) open: VecDeque<Open>,
    /// When it was last observed, counted in observations.
    pub(crate) used: u64,
    /// Entries at the last count.
    pub(crate) counted: usize,
}

/// What a prefix of a resent history is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefix {
    pub(crate) number: u64,
    /// Whether the prefix ends with the inference's own output.
    pub(crate) answered: bool,
}

impl Run {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            memory: Memory::new(max),
            prefixes: Table::new(max),
            items: Table::new(max),
            calls: Table::new(max),
            askers: Table::new(max),
            pending: VecDeque::new(),
            turns: VecDeque::new(),
            recent: VecDeque::new(),
            inferences: Vec::new(),
            last: None,
            addressed: VecDeque::new(),
            open: VecDeque::new(),
            used: 0,
            counted: 0,
        }
    }

    /// Forgets everything, and keeps the room that it took.
    pub(crate) fn clear(&mut self) {
        let Self {
            memory,
            prefixes,
            items,
            calls,
            askers,
            pending,
            turns,
            recent,
            inferences,
            last,
            addressed,
            open,
            used,
            counted,
        } = self;
        memory.values.clear();
        memory.prints.clear();
        memory.texts.clear();
        prefixes.clear();
        items.clear();
        calls.clear();
        askers.clear();
        pending.clear();
        turns.clear();
        recent.clear();
        inferences.clear();
        *last = None;
        addressed.clear();
        open.clear();
        (*used, *counted) = (0, 0);
    }

    /// Entries that it holds, as memory is counted.
    pub(crate) fn len(&self) -> usize {
        self.memory.len()
            // Each is in the table over all runs too.
            + 2 * self.prefixes.len()
            + self.items.len()
            + self.calls.len()
            + self.askers.len()
    }
}

/// Appends to a list that forgets its oldest beyond `max`.
pub(crate) fn remember<T>(list: &mut VecDeque<T>, max: usize, item: T) {
    if list.len() >= max {
        list.pop_front();
    }
    list.push_back(item);
}
