//! What is remembered between requests.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use engine::claim_of;
use engine::undo::Claim;
use lru::LruCache;
use model::{ClassSource, EffectClass};
use tokio::sync::Notify;
use wire::jsonrpc::{Id, Json};
use wire::mcp::read_tools;

use crate::Inner;
use crate::parked::Parked;

use super::children::Children;
use super::listed::Checks;
use super::ours::Ours;
use super::tasks::Waiting;

/// Tools that are remembered of one server.
const TOOLS_MAX: usize = 4_096;

/// Cancellations that are remembered.
const CANCELLED_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// What will tell of the end of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// The answer to a request of a session, on another stream.
    Request {
        server: String,
        session: String,
        id: Id<'static>,
    },
    /// A task that the server made of it.
    Task { server: String, task: String },
}

/// What is remembered of a tool.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// How its effect can be taken back, as far as the server says, and by what it says so.
    pub(super) class: Option<(EffectClass, ClassSource)>,
    /// The tool that takes a call of it back, as the server says.
    pub(super) claim: Option<Claim>,
    /// Its description as it came.
    pub(super) raw: Arc<str>,
}

/// What is remembered between requests, of all servers.
#[derive(Debug)]
pub(crate) struct Shared {
    tools: Mutex<HashMap<String, HashMap<String, Known>>>,
    cancelled: Mutex<LruCache<Key, ()>>,
    cancels: Notify,
    pub(super) parked: Parked<Key, Waiting>,
    children: Children,
    pub(super) ours: Ours,
    pub(super) checks: Checks,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            tools: Mutex::default(),
            cancelled: Mutex::new(LruCache::new(CANCELLED_MAX)),
            cancels: Notify::new(),
            parked: Parked::default(),
            children: Children::default(),
            ours: Ours::default(),
            checks: Checks::default(),
        }
    }
}

impl Shared {
    /// Remembers the tools of a `tools/list`. A list has pages, so what it does not name stays.
    pub(super) fn learn(&self, server: &str, result: Json<'_>) {
        let mut all = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        let tools = all.entry(server.to_owned()).or_default();
        for tool in read_tools(result) {
            let known = Known {
                class: tool.said(),
                claim: tool.compensation.as_ref().map(claim_of),
                raw: tool.raw.text().into(),
            };
            if tools.len() < TOOLS_MAX || tools.contains_key(&*tool.name) {
                tools.insert(tool.name.into_owned(), known);
            }
        }
    }

    pub(super) fn tool(&self, server: &str, tool: &str) -> Option<Known> {
        let all = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(server)?.get(tool).cloned()
    }

    /// Returns every tool that is remembered of a server, as it describes it, by name.
    pub(super) fn described(&self, server: &str) -> Vec<String> {
        let all = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        let tools = all.get(server).into_iter().flatten();
        let mut tools: Vec<(&String, &Known)> = tools.collect();
        tools.sort_by_key(|(name, _)| *name);
        let raw = tools.into_iter().map(|(_, known)| known.raw.to_string());
        raw.collect()
    }

    /// Remembers that who asked no longer waits.
    pub(super) fn cancel(&self, key: Key) {
        self.cancelled().put(key, ());
        self.cancels.notify_waiters();
    }

    /// Returns whether who asked has said that it no longer waits.
    pub(super) fn is_cancelled(&self, key: &Key) -> bool {
        self.cancelled().contains(key)
    }

    /// Returns what is told of each cancellation.
    pub(super) const fn cancels(&self) -> &Notify {
        &self.cancels
    }

    /// Returns whether who asked had said that it no longer waits, and forgets it.
    pub(super) fn was_cancelled(&self, key: &Key) -> bool {
        self.cancelled().pop(key).is_some()
    }

    fn cancelled(&self) -> std::sync::MutexGuard<'_, LruCache<Key, ()>> {
        self.cancelled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the programs that run.
    pub(super) const fn children(&self) -> &Children {
        &self.children
    }

    /// Waits for nothing any more, and lets the programs end.
    pub(crate) fn stop(&self) {
        self.parked.clear();
        self.children.stop();
    }
}

impl Inner {
    /// How the effect of a tool can be taken back, and who said so: the catalogue's word goes
    /// before the server's.
    pub(crate) fn class(&self, server: &str, tool: &str) -> (EffectClass, ClassSource) {
        let said = self.mcp.tool(server, tool).and_then(|known| known.class);
        match self.catalogue() {
            Some(catalogue) => catalogue.class(server, tool, said),
            None => said.unwrap_or((EffectClass::Unreviewed, ClassSource::Nobody)),
        }
    }
}
