//! Rounds: runs are built into batches, on all cores at once.
//!
//! A round takes many lots of runs, and each core builds one after the other. Lots go into the log in
//! the order of their runs, and so do the times of their events, which are reserved before the threads
//! begin. A run that is longer than a lot is built over several rounds, and nothing goes in before its
//! end but itself.

use std::sync::{Mutex, PoisonError};

use ledger::Batch;
use ledger::payload::Sealer;
use lineage::Tracer;
use model::HybridTime;
use wire::import::Step;

use super::Prepared;
use super::build::{Builder, leaves_max, view_of, weight};
use crate::at_once::in_order;
use crate::view::ImportedRunView;
use crate::{Engine, EngineError};

/// What closes a lot. Small enough that cores which are done at the end of a round wait little for
/// the last one.
const LOT: Size = Size {
    decisions: 256,
    bytes: 1 << 20,
};

/// What a lot holds at most where it holds one run, and what it takes of a longer one in a round.
const LONG: Size = Size {
    decisions: 1_024,
    bytes: 4 << 20,
};

/// What closes a round: all its events may be in memory.
const ROUND: Size = Size {
    decisions: 8_192,
    bytes: 16 << 20,
};

/// Turns runs into batches of events, one after the other. A batch may end one run and begin the
/// next, so that many small runs cost no more syncs than one large one.
pub(super) struct Feed<'e, 'r> {
    engine: &'e Engine,
    todo: std::slice::Iter<'e, Prepared<'r>>,
    /// A run that the last round did not finish.
    long: Option<Lot<'e, 'r>>,
    /// What lots before were built with.
    tools: Mutex<Vec<Tools>>,
    pub(super) done: Vec<ImportedRunView>,
}

impl<'e, 'r> Feed<'e, 'r> {
    pub(super) fn new(engine: &'e Engine, prepared: &'e [Prepared<'r>]) -> Self {
        Self {
            engine,
            todo: prepared.iter(),
            long: None,
            tools: Mutex::default(),
            done: Vec::new(),
        }
    }

    /// Builds the next round and hands each batch over with how many steps were taken for it; tells
    /// whether there was anything to build.
    pub(super) fn round(
        &mut self,
        mut take: impl FnMut(Batch, u64) -> Result<(), EngineError>,
    ) -> Result<bool, EngineError> {
        let mut lots: Vec<Lot<'e, 'r>> = self.long.take().into_iter().collect();
        let mut size = Size::default();
        while size.within(&ROUND) && lots.last().is_none_or(|lot| lot.whole) {
            let Some((lot, holds)) = self.lot() else {
                break;
            };
            lots.push(lot);
            size.decisions += holds.decisions;
            size.bytes += holds.bytes;
        }
        if lots.is_empty() {
            return Ok(false);
        }
        for lot in &mut lots {
            lot.times.reserve(lot.leaves_max);
        }
        let (tools, long, done) = (&self.tools, &mut self.long, &mut self.done);
        let mut result = Ok(());
        let build = |mut lot: Lot<'e, 'r>| {
            let built = lot.build(tools);
            (lot, built)
        };
        in_order(lots, build, |(mut lot, built)| {
            // After a failure nothing that comes later goes in.
            if result.is_err() {
                return;
            }
            let taken = std::mem::take(&mut lot.taken);
            done.append(&mut lot.done);
            result = built.and_then(|()| take(std::mem::take(&mut lot.batch), taken));
            if lot.current.is_some() {
                lot.measure();
                *long = Some(lot);
            }
        });
        result.map(|()| true)
    }

    /// Takes the runs of the next lot, and says how much they are; none once there are no more.
    fn lot(&mut self) -> Option<(Lot<'e, 'r>, Size)> {
        let runs = self.todo.as_slice();
        let mut size = Size::default();
        let (mut leaves, mut count, mut whole) = (0, 0, true);
        for next in runs {
            let steps: &[Step<'_>] = match &next.key {
                Some(_) => &next.run.steps,
                None => &[],
            };
            let most = if count == 0 { LONG } else { LOT };
            match size.with(steps, &most) {
                Some(more) => size = more,
                None if count > 0 => break,
                None => {
                    (size, count, whole) = (LONG, 1, false);
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
        let lot = Lot {
            engine: self.engine,
            todo: runs[..count].iter(),
            current: None,
            whole,
            // What is not whole comes last in its round and needs nothing reserved.
            leaves_max: if whole { leaves } else { 0 },
            times: Times::of(self.engine),
            tools: None,
            batch: Batch::default(),
            taken: 0,
            done: Vec::new(),
        };
        Some((lot, size))
    }
}

/// What lots are built with, one after the other.
struct Tools {
    sealer: Sealer,
    /// For the next run; while one is built, a new one in its place, which holds nothing.
    tracer: Tracer,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            sealer: Sealer::default(),
            tracer: Tracer::new(lineage::Options::default()),
        }
    }
}

/// How much a lot holds, or a round.
#[derive(Clone, Copy, Default)]
struct Size {
    decisions: usize,
    bytes: usize,
}

impl Size {
    /// Adds steps; none if they are more than `most` then.
    fn with<'s, 'r: 's>(
        self,
        steps: impl IntoIterator<Item = &'s Step<'r>>,
        most: &Self,
    ) -> Option<Self> {
        let mut size = self;
        for step in steps {
            size.decisions += 1;
            size.bytes += weight(step);
            if !size.within(most) {
                return None;
            }
        }
        Some(size)
    }

    const fn within(&self, most: &Self) -> bool {
        self.decisions <= most.decisions && self.bytes <= most.bytes
    }
}

/// What one thread builds at a time.
struct Lot<'e, 'r> {
    engine: &'e Engine,
    todo: std::slice::Iter<'e, Prepared<'r>>,
    current: Option<Builder<'e, 'r>>,
    /// Whether all of it is built in one round.
    whole: bool,
    /// The most leaves that a whole one becomes.
    leaves_max: usize,
    times: Times<'e>,
    /// Kept from one round to the next where a run is not done.
    tools: Option<Tools>,
    batch: Batch,
    taken: u64,
    done: Vec<ImportedRunView>,
}

impl<'r> Lot<'_, 'r> {
    /// Finds out whether what is left of a long run is small enough for one round.
    fn measure(&mut self) {
        let left = self.current.iter().flat_map(Builder::left);
        self.whole = Size::default().with(left.clone(), &LONG).is_some();
        self.leaves_max = match self.whole {
            true => 1 + left.map(leaves_max).sum::<usize>(),
            false => 0,
        };
    }

    /// Builds what there is, or a part of a long run.
    fn build(&mut self, spare: &Mutex<Vec<Tools>>) -> Result<(), EngineError> {
        let spare = || spare.lock().unwrap_or_else(PoisonError::into_inner);
        let tools = self.tools.take().or_else(|| spare().pop());
        let mut tools = tools.unwrap_or_default();
        self.build_with(&mut tools)?;
        match self.current {
            Some(_) => self.tools = Some(tools),
            None => spare().push(tools),
        }
        Ok(())
    }

    fn build_with(&mut self, tools: &mut Tools) -> Result<(), EngineError> {
        let mut bytes = 0;
        while self.whole || self.batch.leaves.len() < LONG.decisions && bytes < LONG.bytes {
            let Some(builder) = &mut self.current else {
                let Some(next) = self.todo.next() else { break };
                self.begin(next, tools)?;
                continue;
            };
            let Some(step) = builder.next() else {
                let end = builder.end(self.times.next())?;
                self.batch.leaves.push(end);
                if let Some(builder) = self.current.take() {
                    let (view, tracer) = builder.done();
                    tools.tracer = tracer;
                    self.done.push(view);
                }
                continue;
            };
            let payload = builder.build(
                &mut tools.sealer,
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
    fn begin(&mut self, next: &'e Prepared<'r>, tools: &mut Tools) -> Result<(), EngineError> {
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
            std::mem::replace(&mut tools.tracer, empty),
            &mut tools.sealer,
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
