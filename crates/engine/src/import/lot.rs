//! Rounds: runs are built into batches, on all cores at once.
//!
//! A round takes as many lots of runs as there are cores and builds each on a thread of its own.
//! Lots go into the log in the order of their runs, and so do the times of their events, which are
//! reserved before the threads begin. A run that is longer than a lot is built over several rounds,
//! and nothing goes in before its end but itself.

use ledger::Batch;
use ledger::payload::Sealer;
use lineage::Tracer;
use model::HybridTime;
use wire::import::Step;

use super::Prepared;
use super::build::{Builder, leaves_max, view_of, weight};
use crate::at_once::{at_once, cores};
use crate::view::ImportedRunView;
use crate::{Engine, EngineError};

/// How many decisions make a lot. Large enough that a disk's sync costs little for each, small
/// enough that building the next round overlaps with writing this one.
const LOT_DECISIONS: usize = 1_024;

/// How many bytes of content close a lot early.
const LOT_BYTES: usize = 4 << 20;

/// The most lots of a round: each holds its events in memory.
const LOTS_MAX: usize = 4;

/// Turns runs into batches of events, one after the other. A batch may end one run and begin the
/// next, so that many small runs cost no more syncs than one large one.
pub(super) struct Feed<'e, 'r> {
    engine: &'e Engine,
    todo: std::slice::Iter<'e, Prepared<'r>>,
    /// A run that the last round did not finish.
    long: Option<Lot<'e, 'r>>,
    /// What threads of earlier rounds built with.
    tools: Vec<(Sealer, Tracer)>,
    lots: usize,
    pub(super) done: Vec<ImportedRunView>,
}

impl<'e, 'r> Feed<'e, 'r> {
    pub(super) fn new(engine: &'e Engine, prepared: &'e [Prepared<'r>]) -> Self {
        Self {
            engine,
            todo: prepared.iter(),
            long: None,
            tools: Vec::new(),
            lots: cores().min(LOTS_MAX),
            done: Vec::new(),
        }
    }

    /// Builds the next batch, and counts the steps that were taken for it; none once all are.
    pub(super) fn batch(&mut self) -> Result<Option<(Batch, u64)>, EngineError> {
        let mut lots: Vec<Lot<'e, 'r>> = self.long.take().into_iter().collect();
        while lots.len() < self.lots && lots.last().is_none_or(|lot| lot.whole) {
            let Some(lot) = self.lot() else { break };
            lots.push(lot);
        }
        if lots.is_empty() {
            return Ok(None);
        }
        for lot in &mut lots {
            lot.times.reserve(lot.leaves_max);
        }
        let built = at_once(&mut lots, Lot::build);
        let mut batch = Batch::default();
        let mut taken = 0;
        for (mut lot, built) in lots.into_iter().zip(built) {
            built?;
            append(&mut batch.leaves, &mut lot.batch.leaves);
            append(&mut batch.payloads, &mut lot.batch.payloads);
            taken += std::mem::take(&mut lot.taken);
            self.done.append(&mut lot.done);
            if lot.current.is_some() {
                lot.measure();
                self.long = Some(lot);
            } else {
                self.tools.push((lot.sealer, lot.tracer));
            }
        }
        Ok(Some((batch, taken)))
    }

    /// Takes the runs of the next lot; none once there are no more.
    fn lot(&mut self) -> Option<Lot<'e, 'r>> {
        let runs = self.todo.as_slice();
        let mut size = Size::default();
        let (mut leaves, mut count, mut whole) = (0, 0, true);
        for next in runs {
            let steps: &[Step<'_>] = match &next.key {
                Some(_) => &next.run.steps,
                None => &[],
            };
            match size.with(steps) {
                Some(more) => size = more,
                None if count > 0 => break,
                None => {
                    (count, whole) = (1, false);
                    break;
                }
            }
            count += 1;
            leaves += 2 + steps.iter().map(leaves_max).sum::<usize>();
        }
        self.todo = runs[count..].iter();
        if count == 0 {
            return None;
        }
        let (sealer, tracer) = self.tools.pop().unwrap_or_else(|| {
            let options = lineage::Options::default();
            (Sealer::default(), Tracer::new(options))
        });
        Some(Lot {
            engine: self.engine,
            todo: runs[..count].iter(),
            current: None,
            whole,
            // What is not whole comes last in its round and needs nothing reserved.
            leaves_max: if whole { leaves } else { 0 },
            times: Times::of(self.engine),
            sealer,
            tracer,
            batch: Batch::default(),
            taken: 0,
            done: Vec::new(),
        })
    }
}

/// How much a lot holds.
#[derive(Clone, Copy, Default)]
struct Size {
    decisions: usize,
    bytes: usize,
}

impl Size {
    /// Adds steps; none if they are too much for a lot.
    fn with<'s, 'r: 's>(self, steps: impl IntoIterator<Item = &'s Step<'r>>) -> Option<Self> {
        let mut size = self;
        for step in steps {
            size.decisions += 1;
            size.bytes += weight(step);
            if size.decisions > LOT_DECISIONS || size.bytes > LOT_BYTES {
                return None;
            }
        }
        Some(size)
    }
}

/// What one thread builds in one round.
struct Lot<'e, 'r> {
    engine: &'e Engine,
    todo: std::slice::Iter<'e, Prepared<'r>>,
    current: Option<Builder<'e, 'r>>,
    /// Whether all of it is built in one round.
    whole: bool,
    /// The most leaves that a whole one becomes.
    leaves_max: usize,
    times: Times<'e>,
    sealer: Sealer,
    /// For the next run; while one is built, a new one in its place, which holds nothing.
    tracer: Tracer,
    batch: Batch,
    taken: u64,
    done: Vec<ImportedRunView>,
}

impl<'r> Lot<'_, 'r> {
    /// Finds out whether what is left of a long run is small enough for one round.
    fn measure(&mut self) {
        let left = self.current.iter().flat_map(Builder::left);
        self.whole = Size::default().with(left.clone()).is_some();
        self.leaves_max = match self.whole {
            true => 1 + left.map(leaves_max).sum::<usize>(),
            false => 0,
        };
    }

    /// Builds what there is, or a part of a long run.
    fn build(&mut self) -> Result<(), EngineError> {
        let mut bytes = 0;
        while self.whole || self.batch.leaves.len() < LOT_DECISIONS && bytes < LOT_BYTES {
            let Some(builder) = &mut self.current else {
                let Some(next) = self.todo.next() else { break };
                self.begin(next)?;
                continue;
            };
            let Some(step) = builder.next() else {
                let end = builder.end(self.times.next())?;
                self.batch.leaves.push(end);
                if let Some(builder) = self.current.take() {
                    let (view, tracer) = builder.done();
                    self.tracer = tracer;
                    self.done.push(view);
                }
                continue;
            };
            let payload = builder.build(
                &mut self.sealer,
                step,
                &mut self.times,
                &mut self.batch.leaves,
            )?;
            self.taken += 1;
            if let Some(payload) = payload {
                bytes += payload.1.len();
                self.batch.payloads.push(payload);
            }
        }
        Ok(())
    }
}

impl<'e, 'r> Lot<'e, 'r> {
    /// Begins a run; one that is in the record already is passed over, and its steps counted.
    fn begin(&mut self, next: &'e Prepared<'r>) -> Result<(), EngineError> {
        let Some(key) = &next.key else {
            let view = view_of(next);
            self.taken += view.decisions;
            self.done.push(view);
            return Ok(());
        };
        let empty = Tracer::new(lineage::Options::default());
        let (builder, payload) = Builder::begin(
            self.engine,
            next,
            key,
            std::mem::replace(&mut self.tracer, empty),
            &mut self.sealer,
            &mut self.batch.leaves,
        )?;
        self.batch.payloads.extend(payload);
        self.current = Some(builder);
        Ok(())
    }
}

/// Times of events that are built at once with others: reserved in order, so that the order of
/// times is the order of the log.
pub(super) struct Times<'e> {
    engine: &'e Engine,
    reserved: std::vec::IntoIter<HybridTime>,
}

impl<'e> Times<'e> {
    fn of(engine: &'e Engine) -> Self {
        Self {
            engine,
            reserved: Vec::new().into_iter(),
        }
    }

    fn reserve(&mut self, count: usize) {
        self.reserved = self.engine.next_times(count).into_iter();
    }

    /// The next one; a fresh one where none is reserved, as for a run that comes last in its round.
    pub(super) fn next(&mut self) -> HybridTime {
        let reserved = self.reserved.next();
        reserved.unwrap_or_else(|| self.engine.next_time())
    }
}

/// Appends all of `more`, without a copy where there is nothing yet.
pub(super) fn append<T>(all: &mut Vec<T>, more: &mut Vec<T>) {
    if all.is_empty() {
        std::mem::swap(all, more);
    } else {
        all.append(more);
    }
}
