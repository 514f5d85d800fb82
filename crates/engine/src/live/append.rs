//! What goes into the log, in order, and what happens while the log takes nothing.
//!
//! Batches are handed to the store as they come, so that the store can make many durable with one
//! sync. After a failure that may pass they wait in line and are tried again; who waits for one of
//! them is told at once. When the store takes batches again, the first thing it gets is a gap that
//! counts what was refused meanwhile.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use ledger::{Batch, Journal, Leaf, Place, Remedy, StoreError};
use model::{Body, HybridTime};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::{Clock, Engine, EngineError};

/// How long the store is left alone between two tries.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Why something is not durable.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The store does not take records now.
    #[error("the record cannot be written: {reason}")]
    Outage {
        /// Why not.
        reason: String,
        /// Whether the record waits in the journal and goes in later.
        spooled: bool,
    },
    /// What should be recorded is not fit for it.
    #[error("the call cannot be recorded: {reason}")]
    Unfit {
        /// Why not.
        reason: String,
    },
}

/// A time in which the store takes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Since when.
    pub since: HybridTime,
    /// Why.
    pub reason: String,
    /// Calls that were refused because of it, so far.
    pub refused: u64,
    /// Records that were lost because the journal took nothing either, so far.
    pub lost: u64,
}

/// How recording is doing.
#[derive(Debug, Default)]
pub(crate) struct Health {
    down: AtomicBool,
    outage: Mutex<Option<Outage>>,
    waiting: AtomicU64,
    /// When something became durable last, or began to wait for it alone; wall clock, in µs.
    moved: AtomicU64,
    open: AtomicU64,
    idle: Notify,
}

impl Health {
    /// Returns the outage that lasts, if one does.
    pub(crate) fn outage(&self) -> Option<Outage> {
        if !self.down.load(Ordering::Acquire) {
            return None;
        }
        self.lock().clone()
    }

    /// Counts a call that was refused.
    pub(crate) fn refused(&self) {
        metrics::counter!("rescind_calls_refused_total").increment(1);
        if let Some(outage) = &mut *self.lock() {
            outage.refused += 1;
        }
    }

    /// Counts a record that was lost.
    pub(crate) fn lost(&self) {
        metrics::counter!("rescind_records_lost_total").increment(1);
        if let Some(outage) = &mut *self.lock() {
            outage.lost += 1;
        }
    }

    /// Returns how many batches are not durable yet.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Acquire)
    }

    /// Returns for how long nothing became durable although something waits.
    pub(crate) fn age(&self, wall: u64) -> Duration {
        match self.waiting() {
            0 => Duration::ZERO,
            _ => {
                let moved = self.moved.load(Ordering::Acquire);
                Duration::from_micros(wall.saturating_sub(moved))
            }
        }
    }

    fn begins_to_wait(&self, wall: u64) {
        if self.waiting.fetch_add(1, Ordering::AcqRel) == 0 {
            self.moved.store(wall, Ordering::Release);
        }
    }

    fn waits_no_more(&self, wall: u64) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        self.moved.store(wall, Ordering::Release);
    }

    /// Returns how many calls are under way.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Acquire)
    }

    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn ended(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_waiters();
        }
    }

    /// Waits until no call is under way.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Begins an outage, unless one lasts.
    pub(crate) fn fell(&self, since: HybridTime, reason: String) {
        let mut outage = self.lock();
        if outage.is_none() {
            *outage = Some(Outage {
                since,
                reason,
                refused: 0,
                lost: 0,
            });
            self.down.store(true, Ordering::Release);
            metrics::gauge!("rescind_store_down").set(1.0);
        }
    }

    fn recovered(&self) {
        *self.lock() = None;
        self.down.store(false, Ordering::Release);
        metrics::gauge!("rescind_store_down").set(0.0);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Outage>> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch on its way into the log.
struct Item {
    batch: Batch,
    place: Option<Place>,
    /// Told once: that it is durable, or that it has to wait.
    reply: Option<oneshot::Sender<Result<(), RecordError>>>,
}

/// Hands batches to the store.
#[derive(Debug)]
pub(super) struct Appender {
    inbox: Mutex<Option<mpsc::UnboundedSender<Item>>>,
    clock: Arc<dyn Clock>,
    health: Arc<Health>,
    ended: Arc<Notify>,
}

impl Appender {
    pub(super) fn start(
        engine: &Engine,
        journal: Option<Arc<dyn Journal>>,
        health: Arc<Health>,
        tasks: &TaskTracker,
    ) -> Self {
        let (inbox, items) = mpsc::unbounded_channel();
        let ended = Arc::new(Notify::new());
        let line = Line {
            engine: engine.clone(),
            journal,
            health: Arc::clone(&health),
            stuck: VecDeque::new(),
        };
        let told = Arc::clone(&ended);
        tasks.spawn(async move {
            line.run(items).await;
            told.notify_one();
        });
        Self {
            inbox: Mutex::new(Some(inbox)),
            clock: Arc::clone(&engine.clock),
            health,
            ended,
        }
    }

    /// Puts a batch in line. The order of calls is the order of the log, as far as streams need it.
    pub(super) fn put(
        &self,
        batch: Batch,
        place: Option<Place>,
    ) -> oneshot::Receiver<Result<(), RecordError>> {
        let (reply, answer) = oneshot::channel();
        self.health.begins_to_wait(self.clock.wall());
        let item = Item {
            batch,
            place,
            reply: Some(reply),
        };
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        // After the end the reply is dropped, and the caller hears that nobody took it.
        if let Some(inbox) = &*inbox {
            let _ = inbox.send(item);
        }
        answer
    }

    /// Lets nothing more in, and waits until everything in line is in the log or `patience` is
    /// over.
    pub(super) async fn settle(&self, patience: Duration) {
        self.inbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let _ = tokio::time::timeout(patience, self.ended.notified()).await;
    }
}

/// The one task that appends.
struct Line {
    engine: Engine,
    journal: Option<Arc<dyn Journal>>,
    health: Arc<Health>,
    /// What has to wait, oldest first. While there is any, everything waits behind it.
    stuck: VecDeque<Item>,
}

type Appending = BoxFuture<'static, (Item, Result<u64, StoreError>)>;

impl Line {
    async fn run(mut self, mut items: mpsc::UnboundedReceiver<Item>) {
        let mut under_way: FuturesUnordered<Appending> = FuturesUnordered::new();
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                item = items.recv(), if open => match item {
                    Some(item) if self.stuck.is_empty() => under_way.push(self.append(item)),
                    Some(mut item) => {
                        self.tell_stuck(&mut item);
                        self.stuck.push_back(item);
                    }
                    None => open = false,
                },
                Some((item, result)) = under_way.next(), if !under_way.is_empty() => {
                    self.settle(item, result);
                }
                () = tokio::time::sleep(AGAIN_AFTER), if under_way.is_empty() && !self.stuck.is_empty() => {
                    if open {
                        self.try_again().await;
                    } else {
                        // Nobody comes any more; the journal has what could not go in.
                        return;
                    }
                }
                else => return,
            }
        }
    }

    fn append(&self, item: Item) -> Appending {
        let store = Arc::clone(self.engine.store());
        // The item is needed again if the store does not take it now.
        let batch = item.batch.clone();
        Box::pin(async move {
            let result = store.append(batch).await;
            let size = result.map(|appended| appended.seqs.last().map_or(0, |last| last + 1));
            (item, size)
        })
    }

    fn settle(&mut self, mut item: Item, result: Result<u64, StoreError>) {
        match result {
            Ok(size) => {
                self.engine.announce(size);
                self.landed(item, Ok(()));
            }
            Err(error) if passes(&error) => {
                self.engine.refused(&error);
                self.health.fell(self.engine.next_time(), in_words(&error));
                self.tell_stuck(&mut item);
                // Those that were under way together come back in any order; their streams do
                // not: an outcome never overtakes its intent, because both carry their time.
                let at = time_of(&item);
                let after = self.stuck.partition_point(|other| time_of(other) <= at);
                self.stuck.insert(after, item);
            }
            Err(error) => {
                metrics::counter!("rescind_records_unfit_total").increment(1);
                let reason = in_words(&error);
                self.landed(item, Err(RecordError::Unfit { reason }));
            }
        }
    }

    fn landed(&self, item: Item, result: Result<(), RecordError>) {
        self.health.waits_no_more(self.engine.clock.wall());
        if let (Some(place), Some(journal)) = (item.place, &self.journal) {
            journal.done(place);
        }
        if let Some(reply) = item.reply {
            let _ = reply.send(result);
        }
    }

    fn tell_stuck(&self, item: &mut Item) {
        if let Some(reply) = item.reply.take() {
            let reason = self
                .health
                .outage()
                .map_or_else(String::new, |outage| outage.reason);
            let _ = reply.send(Err(RecordError::Outage {
                reason,
                spooled: item.place.is_some(),
            }));
        }
    }

    /// Tries the oldest that waits, and after it all others.
    async fn try_again(&mut self) {
        while let Some(item) = self.stuck.pop_front() {
            let (item, result) = self.append(item).await;
            match result {
                Err(error) if passes(&error) => {
                    self.stuck.push_front(item);
                    return;
                }
                result => self.settle(item, result),
            }
        }
        let Some(outage) = self.health.outage() else {
            return;
        };
        let body = Body::Gap {
            count: Some(outage.refused + outage.lost),
            reason: format!(
                "the record could not be written ({}): {} calls refused, {} records lost",
                outage.reason, outage.refused, outage.lost
            ),
            since: outage.since,
        };
        let event = self.engine.new_event(body, None);
        // Whatever falls now is a new outage, and this one's count must be in the record first.
        if self.engine.append_one(&event).await.is_ok() {
            self.health.recovered();
        }
    }
}

/// Whether the same append may go through later.
fn passes(error: &StoreError) -> bool {
    error.remedy() == Remedy::Retry
        || matches!(error, StoreError::Poisoned { .. } | StoreError::Closed)
}

fn in_words(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

fn time_of(item: &Item) -> HybridTime {
    item.batch
        .leaves
        .first()
        .map_or(HybridTime::default(), |leaf| leaf.keys().at)
}

/// Appends what an earlier process left in the journal, and says so in the record.
pub(super) async fn take_up(
    engine: &Engine,
    journal: Option<&dyn Journal>,
) -> Result<(), EngineError> {
    let Some(journal) = journal else {
        return Ok(());
    };
    let (mut left, mut recovered, mut unfit) = (0_u64, 0, 0);
    let mut last = HybridTime::default();
    while let Some((place, batch)) = journal.next_left()? {
        left += 1;
        if let Some(leaf) = batch.leaves.last() {
            last = last.max(leaf.keys().at);
        }
        match engine.store().append(batch).await {
            Ok(appended) => recovered += appended.new as u64,
            Err(error) if passes(&error) => return Err(error.into()),
            // A stream that moved on has the entry's successor: it was appended once already, or
            // somebody else took the step.
            Err(_) => unfit += 1,
        }
        journal.done(place);
    }
    // A process that ends well leaves nothing.
    if left == 0 {
        return Ok(());
    }
    engine.learn(last);
    let body = Body::Gap {
        count: (unfit > 0).then_some(unfit),
        reason: format!(
            "the process before ended without closing the record: {recovered} entries came from its \
             journal; calls without an outcome are unknown"
        ),
        since: last,
    };
    let event = engine.new_event(body, None);
    engine.append_one(&event).await?;
    Ok(())
}

/// Makes a batch of events, in order.
pub(super) fn batch(
    events: &[&model::Event],
    payloads: Vec<(model::Digest, Vec<u8>)>,
) -> Result<Batch, RecordError> {
    let leaves: Result<Vec<Leaf>, _> = events.iter().map(|event| Leaf::encode(event)).collect();
    Ok(Batch {
        leaves: leaves.map_err(|error| RecordError::Unfit {
            reason: error.to_string(),
        })?,
        payloads,
    })
}
