//! Live recording: what agents do while we carry it, as intents and outcomes.
//!
//! ```text
//!            begin                               finish
//!   call ──► who, which run ──► intent ──┐       outcome ──┐
//!                                        ▼                 ▼
//!                              journal (one write)     journal
//!                                        │                 │
//!            goes on at once ◄───────────┤                 ├──► goes on at once
//!            an effect waits ◄── log (synced) ◄────────────┴──► what carries a tool call waits
//! ```
//!
//! [`Recorder::begin`] returns once the intent survives the end of this process; who is about to
//! change the world then waits for [`Open::durable`], who only asks a model does not. What the
//! call depends on is found while the other side works, and stands in the outcome. An [`Open`] that
//! is dropped leaves an intent without an outcome, which reads as *unknown*: nothing here ever
//! guesses how a call ended.
//!
//! When the store does not take what it is given, the recorder says so to whoever waits, keeps
//! what policy lets through in the journal, tries again, and puts a gap into the record that
//! counts what was refused. Nothing here knows a wire: the gateway says what a call is.

mod admit;
mod append;
mod aside;
mod bodies;
mod call;
mod flight;
mod held;
mod join;
pub(crate) mod kept;
mod loaded;
mod open;
mod pass;
mod place;
mod policy;
pub(crate) mod recall;
mod repair;
mod replay;
mod replays;
mod rescind;
mod rescinded;
mod runs;
mod subjects;
mod touch;
mod trace;
pub(crate) mod writes;
mod written;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use ledger::payload::Sealer;
use ledger::{Journal, Store, StoreError};
use lineage::Tracer;
use model::Timestamp;
use recover::Catalogue;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Engine, EngineError};

use self::append::{Appender, Health};
use self::bodies::Bodies;
use self::held::Book;
use self::join::Joins;
use self::policy::Policy;
use self::repair::Repairs;
use self::replays::Replays;
use self::rescinded::Index;
use self::runs::Runs;
pub(crate) use self::runs::from_record;
use self::subjects::Subjects;

pub(crate) use self::admit::arguments_text;
pub use self::admit::{Admitted, Refused};
pub use self::append::{Outage, RecordError};
pub use self::aside::aside;
pub use self::call::{Call, Caller, Ended, OwnedCall, OwnedItem, Touches, What};
pub use self::held::{Held, Through, Told};
pub use self::open::Open;
pub use self::pass::Pass;
pub use self::policy::{ApprovalOptions, GuardOptions};
pub use self::replay::Replayed;
pub use self::rescind::Rescission;
pub use self::written::Written;
pub use guard::{BreakerOptions, Heard, Mode, Rule, Target};
pub use lineage::Role;

/// How a text is freed of secrets before it is recorded, and how many there were.
pub type Redact =
    Arc<dyn for<'a> Fn(&'a str) -> (std::borrow::Cow<'a, str>, u32) + Send + Sync + 'static>;

/// Decisions that are traced to at most. What the tracer remembers of their contents is bounded too,
/// and of texts of a kilobyte goes long before, so to know more decisions only takes memory.
const DECISIONS_MAX: usize = 262_144;

/// Agents that went back whose calls are kept ready, unless something else is said.
const REPLAYS_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// What a person may tune.
#[derive(Clone)]
pub struct Options {
    /// When an answer that carries a tool call goes on. Default: when its outcome is durable.
    pub durability: Durability,
    /// What happens to calls that change the world, and to answers of models that ask for them,
    /// while the store is down. Default: refused.
    pub tools_in_outage: InOutage,
    /// What happens to calls of models while the store is down. Default: kept in the journal.
    pub models_in_outage: InOutage,
    /// Whether prompts, arguments and results are kept, or their lengths alone. Default: kept.
    pub bodies: bool,
    /// Frees texts of secrets. Default: leaves them as they are.
    pub redact: Option<Redact>,
    /// What is done about calls that a rule objects to. Default: they pass and are marked.
    pub mode: Mode,
    /// How long persons have to decide.
    pub approvals: ApprovalOptions,
    /// When loops and targets that fail are stopped.
    pub guard: GuardOptions,
    /// How often what is new is signed. Default: every two seconds.
    pub publish_every: Duration,
    /// What is known about tools; none where nobody wrote it down.
    pub catalogue: Option<Arc<Catalogue>>,
    /// How content is traced. Default: across runs, with a seed drawn at the start.
    pub lineage: lineage::Options,
    /// Agents that went back whose calls are kept ready to be found again; the others are looked up
    /// in the record when they call. Default: 4,096.
    pub replays_max: NonZeroUsize,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("durability", &self.durability)
            .field("tools_in_outage", &self.tools_in_outage)
            .field("models_in_outage", &self.models_in_outage)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Durable,
            tools_in_outage: InOutage::Block,
            models_in_outage: InOutage::Spool,
            bodies: true,
            redact: None,
            mode: Mode::Observe,
            approvals: ApprovalOptions::default(),
            guard: GuardOptions::default(),
            publish_every: Duration::from_secs(2),
            catalogue: None,
            lineage: lineage::Options {
                across_runs: true,
                decisions_max: DECISIONS_MAX,
                ..lineage::Options::default()
            },
            replays_max: REPLAYS_MAX,
        }
    }
}

/// When an answer that carries a tool call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When its outcome is durable.
    Durable,
    /// At once, as long as little enough waits to become durable.
    Lagged {
        /// Entries that may wait.
        entries_max: u64,
        /// How long the store may make nothing durable while something waits.
        age_max: Duration,
    },
}

/// What happens to a call while the store is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InOutage {
    /// It is refused, with a truthful error, and counted.
    Block,
    /// It goes on as long as the journal has room for its record.
    Spool,
}

/// Records calls while they happen. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    engine: Engine,
    options: Options,
    journal: Option<Arc<dyn Journal>>,
    appender: Appender,
    health: Arc<Health>,
    runs: Mutex<Runs>,
    joins: Mutex<Joins>,
    bodies: Mutex<Bodies>,
    tracer: Mutex<Tracer>,
    policy: Policy,
    /// What waits for persons, who repeats itself, and which targets rest.
    book: Mutex<Book>,
    subjects: Subjects,
    sealers: Mutex<Vec<Sealer>>,
    rescinded: Index,
    /// Who went back, and what they find again.
    replays: Replays,
    repairs: Mutex<Repairs>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Cancelled once the newest decisions were read again.
    recalled: CancellationToken,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

impl Recorder {
    /// Takes up recording: appends what an earlier process left in the journal, and starts the
    /// tasks that append and sign.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the store or the journal does not answer.
    pub async fn start(
        engine: Engine,
        journal: Option<Arc<dyn Journal>>,
        mut options: Options,
    ) -> Result<Self, EngineError> {
        append::take_up(&engine, journal.as_deref()).await?;
        options.lineage.seed = u64::from_be_bytes(ledger::entropy::draw(&*engine.entropy));
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let health = Arc::new(Health::default());
        let appender = Appender::start(&engine, journal.clone(), Arc::clone(&health), &tasks);
        let subjects = Subjects::start(&engine, &tasks, &stop).await?;
        let runs = Runs::load(&engine).await?;
        let book = Book::load(&engine, &options.guard).await?;
        engine.learn_holds().await?;
        let anything = !engine
            .store()
            .events_named(&["invalidated"])
            .await?
            .is_empty();
        let proposed = !engine.store().events_named(&["proposed"]).await?.is_empty();
        let inner = Arc::new(Inner {
            tracer: Mutex::new(Tracer::new(options.lineage)),
            policy: Policy::of(&options),
            book: Mutex::new(book),
            replays: Replays::new(proposed, options.replays_max),
            engine,
            options,
            journal,
            appender,
            health,
            runs: Mutex::new(runs),
            joins: Mutex::new(Joins::default()),
            bodies: Mutex::new(Bodies::default()),
            subjects,
            sealers: Mutex::new(Vec::new()),
            rescinded: Index::new(anything),
            repairs: Mutex::new(Repairs::default()),
            tasks,
            stop,
            recalled: CancellationToken::new(),
        });
        let recalling = Arc::clone(&inner);
        inner.tasks.spawn(async move {
            if anything {
                recalling.load_rescinded().await;
            }
            if proposed {
                recalling.load_replays().await;
            }
            recalling.recall().await;
            recalling.recalled.cancel();
        });
        let publishing = Arc::clone(&inner);
        inner.tasks.spawn(async move { publishing.publish().await });
        Ok(Self { inner })
    }

    /// Returns the engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// Returns what is known about tools.
    #[must_use]
    pub fn catalogue(&self) -> Option<&Arc<Catalogue>> {
        self.inner.options.catalogue.as_ref()
    }

    /// Does what must not stop half-way, such as when the connection that asked for it closes: what
    /// is in the record then would not be known to this process.
    async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, EngineError>> + Send + 'static,
    ) -> Result<T, EngineError> {
        match self.inner.tasks.spawn(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(StoreError::Closed.into()),
            },
        }
    }

    /// Returns the set of tasks that [`stop`](Self::stop) waits for: the one home of tasks that
    /// must outlive the connection that began them.
    #[must_use]
    pub fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    /// Waits until what the process before knew is known again. Calls need not wait: what comes
    /// earlier may begin a new run where it would have continued one.
    pub async fn recalled(&self) {
        self.inner.recalled.cancelled().await;
    }

    /// Returns what is cancelled when recording [stops](Self::stop): who carries calls then ends
    /// them, so that each has an end in the record.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.inner.stop
    }

    /// Returns the outage that lasts, if one does.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        self.inner.health.outage()
    }

    /// Stops: says so to who carries calls, waits until every open call has ended or `patience` is
    /// over, appends what is left, signs. Returns how many calls were still open; they read as
    /// unknown.
    ///
    /// # Errors
    /// [`EngineError::Store`] if what is left cannot be appended or signed; it stays in the
    /// journal.
    pub async fn stop(&self, patience: Duration) -> Result<u64, EngineError> {
        self.inner.stop.cancel();
        let _ = tokio::time::timeout(patience, self.inner.health.idle()).await;
        self.inner.appender.settle(patience).await;
        self.inner.tasks.close();
        let _ = tokio::time::timeout(patience, self.inner.tasks.wait()).await;
        if self.inner.health.outage().is_none() {
            self.inner.engine.store().publish().await?;
        }
        Ok(self.inner.health.open())
    }
}

impl Inner {
    /// Returns the wall time.
    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.engine.clock.wall()).unwrap_or(i64::MAX))
    }

    /// Signs what is new, again and again, and ends what waited too long.
    async fn publish(self: &Arc<Self>) {
        let store: &Arc<dyn Store> = self.engine.store();
        let mut every = tokio::time::interval(self.options.publish_every);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = every.tick() => {}
            }
            self.sweep();
            let behind = store
                .status()
                .await
                .is_ok_and(|status| status.published < status.durable);
            if behind && self.health.outage().is_none() {
                // A failure shows in the store's own status, which readiness reports.
                let _ = store.publish().await;
            }
        }
    }
}
