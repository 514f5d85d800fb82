//! Which texts are rescinded, kept so that every request can be held against them.
//!
//! A projection of the record: filled from it at the start, and whenever a decision is rescinded.
//! While nothing is rescinded it costs a look at one flag.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use context::{Audience, Marks, Trace};
use model::{Cause, DecisionId, RunId, Strength};

use super::loaded::Loaded;
use super::{Inner, Recorder};
use crate::rescinded::Rescinded;
use crate::{Class, EngineError};

/// Rescinded decisions that are looked for at most; the oldest are forgotten first, and counted.
const DECISIONS_MAX: usize = 4_096;

/// What they hold at most, in bytes.
const BYTES_MAX: usize = 32 << 20;

/// Runs whose marks lie ready.
const READY_MAX: usize = 1_024;

/// What is looked for in histories.
#[derive(Debug)]
pub(super) struct Index {
    loaded: Loaded,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// In the order in which they became known.
    entries: BTreeMap<u64, Entry>,
    numbers: HashMap<DecisionId, u64>,
    by_run: HashMap<RunId, BTreeSet<u64>>,
    /// Whole answers → who gave them.
    said: HashMap<String, u64>,
    ready: HashMap<RunId, Arc<Marks>>,
    anywhere: Option<Arc<Marks>>,
    bytes: usize,
    next: u64,
    /// Of these nothing is left to recognise them by.
    unrecognisable: HashSet<DecisionId>,
}

#[derive(Debug)]
struct Entry {
    rescinded: Rescinded,
    /// Whether it is looked for in all runs: nobody else is known to have said the same.
    anywhere: bool,
}

impl Index {
    /// An index that still has to be filled if anything was ever rescinded.
    pub(super) fn new(anything: bool) -> Self {
        Self {
            loaded: Loaded::new(anything),
            known: Mutex::default(),
        }
    }

    /// Whether anything is rescinded.
    pub(super) fn any(&self) -> bool {
        self.loaded.any()
    }

    /// Waits until it is known what is. Requests that go on unchecked are counted.
    pub(super) async fn loaded(&self) {
        if !self.loaded.wait().await {
            metrics::counter!("rescind_contexts_unchecked_total").increment(1);
        }
    }

    /// What is looked for in a run's histories: as its own, and as in all runs.
    pub(super) fn marks(&self, run: RunId) -> Vec<Arc<Marks>> {
        self.known().marks(run)
    }

    fn add(&self, rescinded: Rescinded, anywhere: bool) {
        self.known().add(rescinded, anywhere);
        self.loaded.set_any(true);
    }

    /// Takes note that a run has something of decisions, of which some may be rescinded.
    pub(super) fn reached(&self, decisions: impl IntoIterator<Item = DecisionId>, run: RunId) {
        if !self.any() {
            return;
        }
        let mut known = self.known();
        for decision in decisions {
            known.reached(decision, run);
        }
    }

    /// Makes edges to what is rescinded possible ones. Where it was taken out of what a model was
    /// sent, the answer has what reminds of it from elsewhere, or it does not: nobody knows.
    pub(super) fn doubt(&self, causes: &mut [Cause]) {
        let known = self.known();
        for cause in causes {
            if known.numbers.contains_key(&cause.decision) {
                cause.strength = Strength::Possible;
            }
        }
    }

    /// Takes note that somebody else said the same: found in another run, it may be theirs.
    pub(super) fn said(&self, text: &str, by: DecisionId) {
        if !self.any() {
            return;
        }
        let mut known = self.known();
        let Some(number) = known.said.get(text.trim()).copied() else {
            return;
        };
        if let Some(entry) = known.entries.get_mut(&number)
            && entry.rescinded.mark.decision != by
            && std::mem::take(&mut entry.anywhere)
        {
            known.anywhere = None;
        }
    }

    /// Whether a decision is rescinded, and can be recognised.
    pub(super) fn knows(&self, decision: DecisionId) -> bool {
        self.any() && self.known().numbers.contains_key(&decision)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Whole between any two calls.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, rescinded: Rescinded, anywhere: bool) {
        let decision = rescinded.mark.decision;
        if self.numbers.contains_key(&decision) {
            return;
        }
        let number = self.next;
        self.next += 1;
        self.numbers.insert(decision, number);
        for run in &rescinded.runs {
            self.by_run.entry(*run).or_default().insert(number);
            self.ready.remove(run);
        }
        if let Trace::Output { text, .. } = &rescinded.mark.trace
            && !text.trim().is_empty()
        {
            self.said.insert(text.trim().to_owned(), number);
        }
        self.anywhere = None;
        self.bytes += rescinded.mark.bytes();
        self.entries.insert(
            number,
            Entry {
                rescinded,
                anywhere,
            },
        );
        while self.entries.len() > DECISIONS_MAX || self.bytes > BYTES_MAX {
            self.forget_oldest();
        }
    }

    fn reached(&mut self, decision: DecisionId, run: RunId) {
        let Some(&number) = self.numbers.get(&decision) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        if entry.rescinded.runs.insert(run) {
            self.by_run.entry(run).or_default().insert(number);
            self.ready.remove(&run);
        }
    }

    fn forget_oldest(&mut self) {
        let Some((number, entry)) = self.entries.pop_first() else {
            return;
        };
        metrics::counter!("rescind_rescinded_forgotten_total").increment(1);
        self.bytes -= entry.rescinded.mark.bytes();
        self.numbers.remove(&entry.rescinded.mark.decision);
        self.said.retain(|_, known| *known != number);
        for run in &entry.rescinded.runs {
            self.ready.remove(run);
            if let Some(numbers) = self.by_run.get_mut(run) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.by_run.remove(run);
                }
            }
        }
        self.anywhere = None;
    }

    fn marks(&mut self, run: RunId) -> Vec<Arc<Marks>> {
        let mut sets = Vec::new();
        if let Some(numbers) = self.by_run.get(&run) {
            if self.ready.len() >= READY_MAX {
                self.ready.clear();
            }
            let entries = &self.entries;
            let ready = self.ready.entry(run).or_insert_with(|| {
                let newest = numbers.iter().rev();
                let marks = newest.filter_map(|number| Some(&entries.get(number)?.rescinded.mark));
                Arc::new(Marks::new(Audience::SameRun, marks))
            });
            sets.push(Arc::clone(ready));
        }
        let entries = &self.entries;
        let anywhere = self.anywhere.get_or_insert_with(|| {
            let newest = entries.values().rev().filter(|entry| entry.anywhere);
            let marks = newest.map(|entry| &entry.rescinded.mark);
            Arc::new(Marks::new(Audience::AnyRun, marks))
        });
        sets.push(Arc::clone(anywhere));
        sets.retain(|marks| !marks.is_empty());
        sets
    }
}

impl Recorder {
    /// Returns whether requests have to be held against what is rescinded.
    #[must_use]
    pub fn repairs(&self) -> bool {
        self.inner.rescinded.any()
    }
}

impl Inner {
    /// Learns what is rescinded from the record.
    pub(super) async fn load_rescinded(&self) {
        let read = || self.try_load();
        self.rescinded.loaded.learn(&self.stop, read).await;
    }

    async fn try_load(&self) -> Result<(), EngineError> {
        let mut ids = self.engine.rescinded_ids(DECISIONS_MAX).await?;
        // Oldest first: what is forgotten is the oldest.
        ids.reverse();
        for id in ids {
            match self.learn_rescinded(&[id]).await {
                // Damage to one hides none of the others.
                Err(error) if error.class().0 != Class::Unavailable => self.unrecognisable(id),
                learned => learned?,
            }
        }
        Ok(())
    }

    pub(super) async fn learn_rescinded(&self, ids: &[DecisionId]) -> Result<(), EngineError> {
        for &id in ids {
            let known = {
                let known = self.rescinded.known();
                known.numbers.contains_key(&id) || known.unrecognisable.contains(&id)
            };
            if known {
                continue;
            }
            match self.engine.rescinded(id).await? {
                Some(rescinded) => {
                    let anywhere = self.said_alone(&rescinded);
                    self.rescinded.add(rescinded, anywhere);
                }
                None => self.unrecognisable(id),
            }
        }
        Ok(())
    }

    /// Nothing is left by which a decision could be recognised.
    fn unrecognisable(&self, id: DecisionId) {
        metrics::counter!("rescind_rescinded_unrecognisable_total").increment(1);
        self.rescinded.known().unrecognisable.insert(id);
    }

    /// Whether nobody else is known to have said the same since.
    fn said_alone(&self, rescinded: &Rescinded) -> bool {
        let Trace::Output { text, .. } = &rescinded.mark.trace else {
            return true;
        };
        let last = self.tracer().said(text);
        last.is_none_or(|last| last == rescinded.mark.decision)
    }
}
