//! What was written to records lately: who looks at one of these now depends on it.
//!
//! A call that ends is held against the writes that touched its records, as the catalogue and the
//! images tell; what they changed for it becomes edges in its outcome. A write counts from its
//! begin until it is put back. What looked while a write was under way, or being taken back, may
//! have met either state, so that the edge is possible and no more.
//!
//! Bounded: the oldest writes are forgotten first, and plans find again from the record what was
//! forgotten here. After a start the newest decisions are read again, as all live tables are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Cause, CauseKind, DecisionId, Effect, Evidence, Outcome, Strength};
use recover::{Call, Catalogue, Images};
use serde_json::Value;

use super::call::Ended;
use super::open::Open;

/// Writes that are remembered at most.
const WRITES_MAX: usize = 16_384;

/// What is remembered of them at most, in bytes.
const BYTES_MAX: usize = 64 << 20;

/// Earlier writes that one call is held against at most: the latest.
const LOOK_MAX: usize = 64;

/// What is reckoned for a write beside its contents, in bytes.
const WRITE_BYTES: usize = 256;

/// The writes.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Counts begins and ends.
    tick: u64,
    /// By their begin.
    entries: BTreeMap<u64, Entry>,
    of: HashMap<DecisionId, u64>,
    by_uri: HashMap<String, BTreeSet<u64>>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    decision: DecisionId,
    uris: Vec<String>,
    /// The call, once it has ended.
    call: Option<Arc<Call>>,
    /// When it ended.
    ended: u64,
    /// Whether somebody is taking it back.
    doubted: bool,
    /// When it was taken back.
    undone: Option<u64>,
    bytes: usize,
}

/// A call's view of the records it touches, from its begin to its end.
#[derive(Debug, Default)]
pub(super) struct View {
    began: u64,
    /// What came back, as a value, and the records just after it.
    told: Option<Box<(Value, Images)>>,
}

/// What a call is held against.
#[derive(Debug, Default)]
struct Met {
    /// Writes that have ended, in the order of their begins, and whether nothing but them can have
    /// been met.
    ended: Vec<(Arc<Call>, bool)>,
    /// Writes that have not, each with a record that the call looked at.
    open: Vec<(DecisionId, String)>,
}

impl Writes {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a call begins.
    pub(super) fn begin(&self, decision: DecisionId, effect: Option<&Effect>) -> View {
        let Some(effect) = effect else {
            // Of a model's call nobody will ask what it met.
            return View::default();
        };
        let mut table = self.lock();
        table.tick += 1;
        let began = table.tick;
        if !effect.writes.is_empty() {
            let written = effect.writes.iter();
            let uris = written.map(|written| written.uri.clone()).collect();
            table.put(began, Entry::new(decision, uris));
        }
        View { began, told: None }
    }

    /// Notes that a call ended, and returns what it is held against.
    fn end(&self, view: &View, call: &Arc<Call>, effect: &Effect) -> Met {
        let mut table = self.lock();
        table.tick += 1;
        let now = table.tick;
        let met = table.met(view.began, call.decision, effect);
        let may = !matches!(call.outcome, Outcome::Failed { .. });
        table.forget(view.began);
        if may && !effect.writes.is_empty() {
            let uris = effect.writes.iter().map(|written| written.uri.clone());
            let mut entry = Entry::new(call.decision, uris.collect());
            entry.bytes += weight(call);
            entry.call = Some(Arc::clone(call));
            entry.ended = now;
            table.put(view.began, entry);
        }
        met
    }

    /// Takes a write in that an earlier process saw; none of the call if it has no end.
    pub(super) fn recall(&self, decision: DecisionId, effect: &Effect, call: Option<Call>) {
        let View { began, .. } = self.begin(decision, Some(effect));
        if let Some(call) = call {
            let view = View { began, told: None };
            self.end(&view, &Arc::new(call), effect);
        }
    }

    /// Notes that somebody begins to take writes back.
    pub(crate) fn doubt(&self, decisions: &[DecisionId]) {
        let table = &mut *self.lock();
        for decision in decisions {
            let began = table.of.get(decision);
            if let Some(entry) = began.and_then(|began| table.entries.get_mut(began)) {
                entry.doubted = true;
            }
        }
    }

    /// Notes that a write was taken back: who begins to look now does not meet it.
    pub(crate) fn undone(&self, decision: DecisionId) {
        let table = &mut *self.lock();
        table.tick += 1;
        let began = table.of.get(&decision);
        if let Some(entry) = began.and_then(|began| table.entries.get_mut(began)) {
            entry.undone = Some(table.tick);
        }
    }
}

impl Table {
    /// The latest writes to what a call touched that it can have met.
    fn met(&self, began: u64, decision: DecisionId, effect: &Effect) -> Met {
        let uris = effect.reads.iter().chain(&effect.writes);
        let of_uri = |uri| self.by_uri.get(uri).into_iter().flatten();
        let numbers: BTreeSet<u64> = uris.flat_map(|named| of_uri(&named.uri)).copied().collect();
        let mut met = Met::default();
        let latest = numbers.into_iter().rev();
        let entries = latest.filter_map(|number| self.entries.get(&number));
        let there = |entry: &&Entry| {
            entry.decision != decision && entry.undone.is_none_or(|undone| undone > began)
        };
        for entry in entries.filter(there).take(LOOK_MAX) {
            match &entry.call {
                Some(call) => {
                    let sure = entry.ended < began && !entry.doubted;
                    met.ended.push((Arc::clone(call), sure));
                }
                None => {
                    let mut looked = effect.reads.iter().map(|read| &read.uri);
                    let uri = looked.find(|uri| entry.uris.contains(uri));
                    met.open
                        .extend(uri.map(|uri| (entry.decision, uri.clone())));
                }
            }
        }
        met.ended.reverse();
        met
    }

    fn put(&mut self, number: u64, entry: Entry) {
        self.bytes += entry.bytes;
        self.of.insert(entry.decision, number);
        for uri in &entry.uris {
            self.by_uri.entry(uri.clone()).or_default().insert(number);
        }
        self.entries.insert(number, entry);
        while self.entries.len() > WRITES_MAX || self.bytes > BYTES_MAX {
            let Some((&oldest, _)) = self.entries.first_key_value() else {
                return;
            };
            self.forget(oldest);
        }
    }

    fn forget(&mut self, number: u64) {
        let Some(entry) = self.entries.remove(&number) else {
            return;
        };
        self.bytes -= entry.bytes;
        self.of.remove(&entry.decision);
        for uri in &entry.uris {
            if let Some(numbers) = self.by_uri.get_mut(uri) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.by_uri.remove(uri);
                }
            }
        }
    }
}

impl Entry {
    fn new(decision: DecisionId, uris: Vec<String>) -> Self {
        let named: usize = uris.iter().map(String::len).sum();
        Self {
            decision,
            uris,
            call: None,
            ended: 0,
            doubted: false,
            undone: None,
            bytes: WRITE_BYTES + named,
        }
    }
}

impl View {
    pub(super) fn told(&mut self, result: Value, after: Images) {
        self.told = Some(Box::new((result, after)));
    }
}

impl Open {
    /// Returns the writes that changed something for the call, now that it has ended.
    pub(super) fn relied_on(&mut self, ended: &Ended) -> Vec<Cause> {
        let (Some(catalogue), Some(touches), Some(effect)) =
            (&self.inner.options.catalogue, &self.touches, &self.effect)
        else {
            return Vec::new();
        };
        let (result, after) = match self.view.told.take() {
            Some(told) => (Some(told.0), told.1),
            None => (None, Images::new()),
        };
        let call = Arc::new(Call {
            decision: self.traced.decision,
            server: touches.server.clone(),
            tool: touches.tool.clone(),
            arguments: touches.arguments.clone(),
            result,
            outcome: ended.outcome.clone(),
            class: effect.class,
            // What depends on what does not hang on how it is taken back.
            claim: None,
            before: touches.before.clone(),
            after,
            undone: false,
        });
        let met = self.inner.engine.writes.end(&self.view, &call, effect);
        met.causes(&call, catalogue)
    }
}

impl Met {
    fn causes(self, call: &Call, catalogue: &Catalogue) -> Vec<Cause> {
        let earlier = self.ended.iter().map(|(call, _)| &**call);
        let found = recover::relied_on(earlier.chain([call]), catalogue);
        let sure = |decision| {
            let of = |(call, _): &&(Arc<Call>, bool)| call.decision == decision;
            self.ended.iter().find(of).is_some_and(|(_, sure)| *sure)
        };
        let mut causes: Vec<Cause> = found
            .into_iter()
            .map(|found| {
                let strength = match sure(found.cause) {
                    true => found.strength,
                    false => Strength::Possible,
                };
                read(found.cause, found.uri, found.at, strength)
            })
            .collect();
        let open = self.open.into_iter();
        causes.extend(open.map(|(by, uri)| read(by, uri, String::new(), Strength::Possible)));
        causes
    }
}

/// The edge to a write from who looked at what it changed.
pub(crate) fn read(decision: DecisionId, uri: String, at: String, strength: Strength) -> Cause {
    let mut evidence = Evidence::Record { at, uri };
    crate::text::shorten_evidence(&mut evidence);
    Cause {
        decision,
        evidence,
        kind: CauseKind::Read,
        strength,
    }
}

/// About how many bytes a call takes.
fn weight(call: &Call) -> usize {
    let images = call.before.iter().chain(&call.after);
    let images = images.map(|(uri, image)| uri.len() + image.as_ref().map_or(0, weight_of));
    let result = call.result.as_ref().map_or(0, weight_of);
    images.sum::<usize>() + result + weight_of(&call.arguments)
}

fn weight_of(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight_of).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| name.len() + 32 + weight_of(value))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inside
}
