//! Keys for the runs to come, kept durably before a run needs one.
//!
//! Each run's contents are sealed with a key of their own, so that a run can be erased. Keeping a
//! key takes a sync, which no call should wait for; so some lie ready, and more of them where runs
//! begin fast, since those that are kept together share a sync.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ledger::{Entropy, SubjectKey};
use model::SubjectId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Engine, EngineError};

/// How many keys lie ready at first. What is not used when the process ends stays unused.
const READY_MIN: usize = 128;

/// How many keys lie ready at most: each time that half of them is used up, twice as many as before
/// are made ready.
const READY_MAX: usize = 512;

/// How many are drawn before others have their turn: to set one up takes some microseconds.
const AT_ONCE: usize = 16;

/// Keys that lie ready.
#[derive(Debug)]
pub(super) struct Subjects {
    shared: Arc<Shared>,
    /// For runs that begin while no new key can be kept.
    last_resort: (SubjectId, SubjectKey),
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
    ready: Mutex<VecDeque<(SubjectId, SubjectKey)>>,
    /// How many are to lie ready.
    wanted: AtomicUsize,
    taken: Notify,
}

impl Subjects {
    pub(super) async fn start(
        engine: &Engine,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, EngineError> {
        let shared = Arc::new(Shared {
            engine: engine.clone(),
            ready: Mutex::new(VecDeque::new()),
            wanted: AtomicUsize::new(READY_MIN),
            taken: Notify::new(),
        });
        let last_resort = make(engine).await?;
        let filling = Arc::clone(&shared);
        let stop = stop.clone();
        tasks.spawn(async move {
            loop {
                filling.fill().await;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = filling.taken.notified() => filling.want_more(),
                }
            }
        });
        Ok(Self {
            shared,
            last_resort,
        })
    }

    /// Takes a key for a new run. Without one that lies ready, one is made; where that fails, runs
    /// share one, because a run that can only be erased together with others is better than none.
    pub(super) async fn take(&self) -> (SubjectId, SubjectKey) {
        let ready = {
            let mut ready = self.shared.ready();
            let taken = ready.pop_front();
            if ready.len() < self.shared.wanted() / 2 {
                self.shared.taken.notify_one();
            }
            taken
        };
        match ready {
            Some(ready) => ready,
            None => make(&self.shared.engine)
                .await
                .unwrap_or_else(|_| self.last_resort.clone()),
        }
    }
}

impl Shared {
    fn ready(&self) -> std::sync::MutexGuard<'_, VecDeque<(SubjectId, SubjectKey)>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> usize {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Wants more keys to lie ready, if half of them are used up.
    fn want_more(&self) {
        let wanted = self.wanted();
        if self.ready().len() < wanted / 2 {
            self.wanted
                .store((2 * wanted).min(READY_MAX), Ordering::Relaxed);
        }
    }

    async fn fill(&self) {
        let wanted = self.wanted().saturating_sub(self.ready().len());
        let mut made = Vec::with_capacity(wanted);
        while made.len() < wanted {
            let more = (wanted - made.len()).min(AT_ONCE);
            made.extend((0..more).map(|_| draw(&self.engine)));
            tokio::task::yield_now().await;
        }
        // Together, so that they share the disk's syncs.
        if self.engine.store().keep_keys(made.clone()).await.is_ok() {
            self.ready().extend(made);
        }
    }
}

async fn make(engine: &Engine) -> Result<(SubjectId, SubjectKey), EngineError> {
    let (subject, key) = draw(engine);
    engine.store().keep_key(subject, key.clone()).await?;
    Ok((subject, key))
}

/// Draws a subject and its key, which nobody keeps yet.
fn draw(engine: &Engine) -> (SubjectId, SubjectKey) {
    let entropy: &dyn Entropy = &*engine.entropy;
    let at = engine.next_time();
    let subject = SubjectId::new(at.millis(), ledger::entropy::draw(entropy));
    (subject, SubjectKey::generate(entropy))
}
