//! What is remembered between requests.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::live::Open;
use lru::LruCache;
use model::{Cause, DecisionId, RunId};
use tokio::time::Instant;
use tokio_util::sync::DropGuard;
use wire::a2a::Rewritten;

use crate::parked::Parked;

/// Tasks, and conversations, that are remembered.
const NAMES_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// How long a card is believed.
const CARD_FRESH: Duration = Duration::from_secs(300);

/// An agent, and the name that it gave to something.
pub(super) type Named = (String, String);

/// What is remembered between requests, of all agents.
#[derive(Debug)]
pub(crate) struct Shared {
    cards: Mutex<HashMap<String, (Arc<Rewritten>, Instant)>>,
    tasks: Mutex<LruCache<Named, DecisionId>>,
    contexts: Mutex<LruCache<Named, RunId>>,
    /// Messages whose task goes on.
    pub(super) parked: Parked<Named, Waiting>,
}

/// A message whose task goes on.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) open: Open,
    /// The causes that its end will name.
    pub(super) causes: Vec<Cause>,
    /// Nobody watches over it any more once it is waited for no longer.
    pub(super) _watched: DropGuard,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            cards: Mutex::default(),
            tasks: Mutex::new(LruCache::new(NAMES_MAX)),
            contexts: Mutex::new(LruCache::new(NAMES_MAX)),
            parked: Parked::default(),
        }
    }
}

impl Shared {
    /// Returns an agent's card, if it is fresh.
    pub(super) fn card(&self, agent: &str) -> Option<Arc<Rewritten>> {
        let (card, until) = lock(&self.cards).get(agent).cloned()?;
        (until > Instant::now()).then_some(card)
    }

    pub(super) fn keep_card(&self, agent: &str, card: Rewritten) -> Arc<Rewritten> {
        let card = Arc::new(card);
        let kept = (Arc::clone(&card), Instant::now() + CARD_FRESH);
        lock(&self.cards).insert(agent.to_owned(), kept);
        card
    }

    pub(super) fn decision_of(&self, agent: &str, task: &str) -> Option<DecisionId> {
        lock(&self.tasks).get(&named(agent, task)).copied()
    }

    pub(super) fn run_of(&self, agent: &str, context: &str) -> Option<RunId> {
        lock(&self.contexts).get(&named(agent, context)).copied()
    }

    /// Remembers which message a task and a conversation belong to.
    pub(super) fn learn(
        &self,
        agent: &str,
        (task, context): (Option<&str>, Option<&str>),
        (decision, run): (DecisionId, RunId),
    ) {
        if let Some(task) = task {
            lock(&self.tasks).put(named(agent, task), decision);
        }
        if let Some(context) = context {
            lock(&self.contexts).put(named(agent, context), run);
        }
    }

    pub(crate) fn stop(&self) {
        self.parked.clear();
    }
}

fn named(agent: &str, name: &str) -> Named {
    (agent.to_owned(), name.to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
