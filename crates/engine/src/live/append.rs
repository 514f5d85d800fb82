//! What goes into the log, in order, and what happens while the log takes nothing.
//!
//! ```text
//!   put ──► gathered ──► one batch under way ──► durable: told, taken out of the journal
//!             │  goes when somebody waits for it, at the latest after some milliseconds
//! ```
//!
//! Batches are gathered while nobody waits for them, or while an append is under way, and go to
//! the store as one, so that many calls share one sync and an outcome never overtakes its intent.
//! After a failure that may pass they wait in line and are tried again; who waits for one of
//! them is told at once. When the store takes batches again, the first thing it gets is a gap that
//! counts what was refused meanwhile.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use ledger::{Appended, Batch, Journal, Leaf, Place, Remedy, StoreError};
use model::{Body, DecisionId, HybridTime, Timestamp};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use crate::{Engine, EngineError, chain};

/// How long the store is left alone between two tries.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// How long what nobody waits for is gathered, so that many calls share one sync. It survives the
/// end of the process meanwhile; a loss of power may cost so much of it. More than half of what the
/// thread that appends does is syncing, whatever was written, and calls wait for their turn behind it.
const GATHER: Duration = Duration::from_millis(25);

/// Batches that go into the log together at most.
const ITEMS_MAX: usize = 512;

/// Payloads that go into the log together, in bytes, as far as each batch is smaller.
const BYTES_MAX: usize = 2 << 20;

/// Tells when something is durable.
pub(super) type Durable = oneshot::Receiver<Result<(), RecordError>>;

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
    /// The agent is held, and gets no work until somebody releases it.
    #[error("agent `{agent}` is quarantined by {by}")]
    Held {
        /// The agent that calls, or is called.
        agent: String,
        /// The rollback that holds it, or who does.
        by: String,
    },
    /// What is called failed again and again, and is left alone.
    #[error("`{target}` is left alone for a while, because it failed again and again")]
    Resting {
        /// What is called.
        target: String,
        /// When to try again.
        retry_at: Timestamp,
    },
    /// The same call was made before its agent went back, and there is no answer to give again.
    #[error(
        "the same call was made before, as decision `{decision}`, and {why}: look what became of \
         it; with `x-rescind-fork: 1` it is made anew"
    )]
    Done {
        /// The call before.
        decision: DecisionId,
        /// Why there is no answer.
        why: &'static str,
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
            if let Some(Outage { reason, .. }) = &*outage {
                error!(%reason, "the record takes nothing");
            }
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
    engine: Engine,
    health: Arc<Health>,
    hurry: Arc<Notify>,
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
        let hurry = Arc::new(Notify::new());
        let line = Line {
            engine: engine.clone(),
            journal,
            health: Arc::clone(&health),
            stuck: VecDeque::new(),
        };
        let (told, hurried) = (Arc::clone(&ended), Arc::clone(&hurry));
        tasks.spawn(async move {
            line.run(items, &hurried).await;
            told.notify_one();
        });
        Self {
            inbox: Mutex::new(Some(inbox)),
            engine: engine.clone(),
            health,
            hurry,
            ended,
        }
    }

    /// Puts a batch in line. The order of calls is the order of the log.
    pub(super) fn put(
        &self,
        batch: Batch,
        place: Option<Place>,
    ) -> oneshot::Receiver<Result<(), RecordError>> {
        let (reply, answer) = oneshot::channel();
        self.health.begins_to_wait(self.engine.clock.wall());
        let item = Item {
            batch,
            place,
            reply: Some(reply),
        };
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        // After the end the reply is dropped, and the caller hears that nobody took it.
        if let Some(inbox) = &*inbox
            && inbox.send(item).is_ok()
        {
            self.engine.took();
        }
        answer
    }

    /// Says that somebody waits for what is in line, so that it goes into the log at once.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
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

/// What became of one round.
#[derive(Default)]
struct Round {
    /// What is in the log, or can never be; in the latter case why.
    landed: Vec<(Item, Result<(), RecordError>)>,
    /// The size of the log after it.
    size: u64,
    /// What has to wait, in order, and why.
    waits: Option<(Vec<Item>, StoreError)>,
}

impl Line {
    async fn run(mut self, mut items: mpsc::UnboundedReceiver<Item>, hurry: &Notify) {
        let mut under_way: Option<BoxFuture<'static, Round>> = None;
        let mut gathered = Gathered::default();
        let mut open = true;
        loop {
            if under_way.is_none() && self.stuck.is_empty() && gathered.hurried {
                open &= gathered.fill(&mut items);
            }
            if under_way.is_none() && !gathered.items.is_empty() && (gathered.hurried || !open) {
                // More than fits has waited as long as what goes now.
                let more = gathered.is_full();
                under_way = Some(append(self.engine.clone(), gathered.take()));
                gathered.hurried = more;
            }
            let due = gathered.due;
            // What comes while something is gathered or under way need not wake this task: it is
            // taken together, when the next round begins.
            let listens = gathered.items.is_empty() && under_way.is_none();
            tokio::select! {
                biased;
                item = items.recv(), if open && (listens || !self.stuck.is_empty()) => match item {
                    Some(item) if self.stuck.is_empty() => gathered.push(item),
                    Some(mut item) => {
                        self.tell_stuck(&mut item);
                        self.stuck.push_back(item);
                    }
                    None => open = false,
                },
                round = async { under_way.as_mut().expect("checked before").await },
                    if under_way.is_some() => {
                    under_way = None;
                    self.settle(round, &mut gathered);
                }
                () = hurry.notified(), if !gathered.hurried => gathered.hurried = true,
                () = until(due), if due.is_some() && !gathered.hurried => gathered.hurried = true,
                () = tokio::time::sleep(AGAIN_AFTER), if under_way.is_none() && !self.stuck.is_empty() => {
                    if open {
                        self.try_again().await;
                    } else {
                        // Nobody comes any more; the journal has what could not go in.
                        return;
                    }
                }
                else => return,
            }
            if !open && under_way.is_none() && gathered.items.is_empty() && self.stuck.is_empty() {
                return;
            }
        }
    }

    fn settle(&mut self, round: Round, gathered: &mut Gathered) {
        if !round.landed.is_empty() {
            self.engine.announce(round.size);
        }
        for (item, result) in round.landed {
            self.landed(item, result);
        }
        let Some((items, error)) = round.waits else {
            return;
        };
        self.engine.refused(&error);
        self.health.fell(self.engine.next_time(), chain(&error));
        // What was gathered meanwhile came after it, and stays behind it.
        for mut item in items.into_iter().chain(gathered.take()) {
            self.tell_stuck(&mut item);
            self.stuck.push_back(item);
        }
    }

    fn landed(&self, item: Item, result: Result<(), RecordError>) {
        self.health.waits_no_more(self.engine.clock.wall());
        self.engine.landed();
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

    /// Tries the oldest that wait, and after them all others.
    async fn try_again(&mut self) {
        while !self.stuck.is_empty() {
            let mut gathered = Gathered::default();
            while !gathered.is_full()
                && let Some(item) = self.stuck.pop_front()
            {
                gathered.push(item);
            }
            let round = append(self.engine.clone(), gathered.take()).await;
            if !round.landed.is_empty() {
                self.engine.announce(round.size);
            }
            for (item, result) in round.landed {
                self.landed(item, result);
            }
            if let Some((items, _)) = round.waits {
                for item in items.into_iter().rev() {
                    self.stuck.push_front(item);
                }
                return;
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
            let Outage { refused, lost, .. } = outage;
            info!(refused, lost, "the record takes what is recorded again");
        }
    }
}

/// What goes into the log together next.
#[derive(Default)]
struct Gathered {
    items: Vec<Item>,
    bytes: usize,
    /// When it goes at the latest.
    due: Option<Instant>,
    /// Whether it goes as soon as the round before has ended.
    hurried: bool,
}

impl Gathered {
    fn push(&mut self, item: Item) {
        self.bytes += item
            .batch
            .payloads
            .iter()
            .map(|(_, bytes)| bytes.len())
            .sum::<usize>();
        if self.items.is_empty() {
            self.due = Some(Instant::now() + GATHER);
        }
        self.items.push(item);
        self.hurried |= self.is_full();
    }

    /// Takes what came meanwhile, as far as there is room. Tells whether more can come.
    fn fill(&mut self, items: &mut mpsc::UnboundedReceiver<Item>) -> bool {
        while !self.is_full() {
            match items.try_recv() {
                Ok(item) => self.push(item),
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    fn is_full(&self) -> bool {
        self.items.len() >= ITEMS_MAX || self.bytes >= BYTES_MAX
    }

    fn take(&mut self) -> Vec<Item> {
        std::mem::take(self).items
    }
}

async fn until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}

/// Appends all items as one batch. Where the store finds one of them unfit, each goes by itself, so
/// that no other suffers for it.
fn append(engine: Engine, items: Vec<Item>) -> BoxFuture<'static, Round> {
    Box::pin(async move {
        let store = engine.store();
        let mut all = Batch::default();
        for item in &items {
            // The items are needed again if the store does not take them now.
            all.leaves.extend(item.batch.leaves.iter().cloned());
            all.payloads.extend(item.batch.payloads.iter().cloned());
        }
        let end = |appended: &Appended| appended.seqs.last().map_or(0, |last| last + 1);
        let mut round = Round::default();
        match store.append(all).await {
            Ok(appended) => {
                round.size = end(&appended);
                round.landed = items.into_iter().map(|item| (item, Ok(()))).collect();
                return round;
            }
            Err(error) if passes(&error) => {
                round.waits = Some((items, error));
                return round;
            }
            Err(_) => {}
        }
        let mut items = items.into_iter();
        while let Some(item) = items.next() {
            match store.append(item.batch.clone()).await {
                Ok(appended) => {
                    round.size = round.size.max(end(&appended));
                    round.landed.push((item, Ok(())));
                }
                Err(error) if passes(&error) => {
                    round.waits = Some(([item].into_iter().chain(items).collect(), error));
                    break;
                }
                Err(error) => {
                    metrics::counter!("rescind_records_unfit_total").increment(1);
                    let reason = chain(&error);
                    round
                        .landed
                        .push((item, Err(RecordError::Unfit { reason })));
                }
            }
        }
        round
    })
}

/// Whether the same append may go through later.
fn passes(error: &StoreError) -> bool {
    error.remedy() == Remedy::Retry
        || matches!(error, StoreError::Poisoned { .. } | StoreError::Closed)
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
        let keys = batch.leaves.iter().map(Leaf::keys);
        let begun: Vec<DecisionId> = keys
            .filter(|keys| keys.begins.is_some())
            .filter_map(|keys| keys.decision)
            .collect();
        let count = batch.leaves.len();
        match engine.store().append(batch).await {
            Ok(appended) => {
                recovered += appended.new as u64;
                if appended.new == count {
                    engine.late_into_the_log(begun);
                }
            }
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
