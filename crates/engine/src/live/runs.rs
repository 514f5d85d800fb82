//! Which run a call belongs to.
//!
//! What the caller says comes first: a run by name, a trace, a context of A2A, an answer or a
//! conversation that it continues. Then what shows: the call that a model asked for, the history
//! that a request resends, the session. A call that none of these places begins a run.

use std::num::NonZeroUsize;
use std::sync::Arc;

use ledger::{KeyState, SubjectKey};
use lru::LruCache;
use model::{RunId, SubjectId};

use super::call::Caller;
use super::kept::{Answered, Held};
use crate::record::Envelope;
use crate::{Engine, EngineError};

/// Runs, and names of runs, that are remembered; the least used are forgotten first.
const RUNS_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// Answers that a later call may continue.
const ANSWERS_MAX: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// Conversations of providers that are remembered.
const CONVERSATIONS_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// How many runs are known by name after a start, the newest of those that have one.
const LOADED: u64 = 4_096;

/// A run that calls can be recorded in.
#[derive(Debug)]
pub(crate) struct LiveRun {
    pub(crate) id: RunId,
    pub(crate) subject: SubjectId,
    pub(crate) key: SubjectKey,
}

impl LiveRun {
    /// What contents of the run are sealed with.
    pub(crate) fn envelope(&self) -> Envelope {
        Envelope {
            subject: self.subject,
            key: self.key.clone(),
        }
    }
}

/// The runs that are known.
#[derive(Debug)]
pub(super) struct Runs {
    by_id: LruCache<RunId, Arc<LiveRun>>,
    /// What callers call them → their ids.
    by_name: LruCache<String, RunId>,
    /// Id of an answer → where it was given.
    answers: LruCache<String, Answered>,
    /// Name of a provider's conversation → what it holds.
    conversations: LruCache<String, Held>,
}

/// What names a run, strongest first, and is recorded as the run's external name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// As the record keeps it.
    pub(super) fn external(&self) -> &str {
        &self.0
    }
}

/// Returns the names by which a caller's run may be known, strongest first.
pub(super) fn names(caller: &Caller) -> Vec<Name> {
    let mut names = Vec::new();
    if let Some(run) = &caller.run {
        names.push(Name(run.clone()));
    }
    if let Some(trace) = caller.trace {
        let hex: String = trace.iter().map(|byte| format!("{byte:02x}")).collect();
        names.push(Name(format!("trace:{hex}")));
    }
    if let Some(context) = &caller.context {
        names.push(Name(format!("context:{context}")));
    }
    if let Some(conversation) = &caller.conversation {
        names.push(Name(format!("conversation:{conversation}")));
    }
    names
}

/// Returns the name that a session gives a run.
pub(super) fn session_name(caller: &Caller) -> Option<Name> {
    caller
        .session
        .as_ref()
        .map(|session| Name(format!("session:{session}")))
}

impl Runs {
    /// Learns the names of the newest runs from the record.
    pub(super) async fn load(engine: &Engine) -> Result<Self, EngineError> {
        let mut runs = Self {
            by_id: LruCache::new(RUNS_MAX),
            by_name: LruCache::new(RUNS_MAX),
            answers: LruCache::new(ANSWERS_MAX),
            conversations: LruCache::new(CONVERSATIONS_MAX),
        };
        let durable = engine.store().status().await?.durable;
        engine.store().wait_indexed(durable).await?;
        let mut named = engine.store().named_runs(LOADED).await?;
        // The newest of a name wins.
        named.reverse();
        for (name, run) in named {
            runs.by_name.put(name, run);
        }
        Ok(runs)
    }

    pub(super) fn named(&mut self, name: &Name) -> Option<RunId> {
        self.by_name.get(&name.0).copied()
    }

    pub(super) fn known(&mut self, run: RunId) -> Option<Arc<LiveRun>> {
        self.by_id.get(&run).cloned()
    }

    pub(super) fn remember(&mut self, run: &Arc<LiveRun>, name: Option<&Name>) {
        self.by_id.put(run.id, Arc::clone(run));
        if let Some(name) = name {
            self.by_name.put(name.0.clone(), run.id);
        }
    }

    /// Remembers an answer by the provider's id, and what it added to its conversation.
    pub(super) fn answered(
        &mut self,
        id: Option<String>,
        conversation: Option<String>,
        answer: Answered,
    ) {
        if let Some(name) = conversation {
            self.conversations
                .get_or_insert_mut(name, Held::default)
                .add(&answer.held);
        }
        if let Some(id) = id {
            self.answers.put(id, answer);
        }
    }

    pub(super) fn answer(&mut self, id: &str) -> Option<&Answered> {
        self.answers.get(id)
    }

    pub(super) fn conversation(&mut self, name: &str) -> Option<&Held> {
        self.conversations.get(name)
    }
}

/// Finds a run that the record has and this process has not met.
pub(crate) async fn from_record(
    engine: &Engine,
    run: RunId,
) -> Result<Option<LiveRun>, EngineError> {
    let Some(row) = engine.store().run(run).await? else {
        return Ok(None);
    };
    let subject = row.keys.subject;
    Ok(match engine.store().key(subject).await? {
        KeyState::Kept(key) => Some(LiveRun {
            id: run,
            subject,
            key,
        }),
        // An erased run takes nothing more: what follows begins another.
        KeyState::Destroyed | KeyState::Absent => None,
    })
}
