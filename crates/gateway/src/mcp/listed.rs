//! What servers list of their tools, and whether the catalogue fits it.
//!
//! Lists pass through when agents ask for them, and are remembered. When one is whole, and the
//! catalogue speaks of its server, the two are held against each other. An agent may be shown less
//! than we may call, so that before anything is found wrong the server is asked over a session of
//! ours too. What does not fit is told: once in the log, with the tools, and as a number among the
//! metrics. Nothing is refused for it: a call that cannot be made says so when it is to be made.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use engine::undo::Listing;
use engine::undo::catalogue::{Listed, Problem};
use serde_json::{Value, json};
use tracing::warn;
use wire::jsonrpc::Json;
use wire::mcp::next_page;

use crate::Inner;

use super::ours::Failed;

/// Pages of one list that are asked for.
const PAGES_MAX: usize = 64;

/// What became of asking and holding against each other, by server.
#[derive(Debug, Default)]
pub(super) struct Checks(Mutex<HashMap<String, Check>>);

#[derive(Debug, Default)]
struct Check {
    /// Whether the server was asked by us.
    asked: bool,
    /// Whether a list of it was whole.
    whole: bool,
    problems: Vec<Problem>,
}

impl Checks {
    fn with<T>(&self, server: &str, act: impl FnOnce(&mut Check) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(all.entry(server.to_owned()).or_default())
    }
}

impl Inner {
    /// Remembers a list that passed through, and holds the catalogue against it once it is whole.
    pub(super) fn heard_list(self: &Arc<Self>, server: &str, result: Json<'_>) {
        self.mcp.learn(server, result);
        if next_page(result).is_some() {
            return;
        }
        self.mcp.checks.with(server, |check| check.whole = true);
        let problems = self.misfits(server);
        if problems.is_empty() || !self.first_time(server) {
            self.note(server, problems);
            return;
        }
        self.ask_and_check(server);
    }

    /// Asks a server that we call for its tools, the first time.
    pub(super) fn greeted(self: &Arc<Self>, server: &str) {
        if self.speaks_of(server) && self.first_time(server) {
            self.ask_and_check(server);
        }
    }

    fn ask_and_check(self: &Arc<Self>, server: &str) {
        let (inner, server) = (Arc::clone(self), server.to_owned());
        self.recorder.tasks().spawn(async move {
            // One that does not list for us is judged by what it lists for agents.
            if Box::pin(inner.list_tools(&server)).await.is_ok() || inner.was_whole(&server) {
                let problems = inner.misfits(&server);
                inner.note(&server, problems);
            }
        });
    }

    /// Asks a server for all of its tools, remembers them and returns each as it came.
    pub(crate) async fn list_tools(&self, server: &str) -> Result<Vec<Value>, Failed> {
        let mut tools = Vec::new();
        let mut params = json!({});
        for _ in 0..PAGES_MAX {
            let result = self.ask(server, "tools/list", &params).await?;
            let text = result.to_string();
            let page = Json::parse(&text);
            let page = page.map_err(|error| Failed::Unknown(error.to_string()))?;
            self.mcp.learn(server, page);
            if let Some(Value::Array(listed)) = result.get("tools") {
                tools.extend(listed.iter().cloned());
            }
            match next_page(page) {
                Some(cursor) => params = json!({ "cursor": cursor }),
                None => break,
            }
        }
        self.mcp.checks.with(server, |check| check.asked = true);
        Ok(tools)
    }

    /// Returns what servers list, as far as it is known, and what does not fit it.
    pub(crate) fn listings(&self) -> BTreeMap<String, Listing> {
        let servers = self.options.mcp.keys();
        let known = servers.filter_map(|server| {
            let tools = self.mcp.described(server);
            let problems = self.mcp.checks.with(server, |check| check.problems.clone());
            let said = !tools.is_empty() || !problems.is_empty();
            said.then(|| (server.clone(), Listing { tools, problems }))
        });
        known.collect()
    }

    /// Returns what in the catalogue does not fit what a server lists.
    pub(crate) fn misfits(&self, server: &str) -> Vec<Problem> {
        let Some(catalogue) = self.catalogue() else {
            return Vec::new();
        };
        if !self.speaks_of(server) {
            return Vec::new();
        }
        let described = self.mcp.described(server);
        let described = described
            .iter()
            .filter_map(|raw| serde_json::from_str(raw).ok());
        let listed: Vec<Listed> = described
            .filter_map(|tool: Value| Listed::read(&tool))
            .collect();
        catalogue.check(server, &listed)
    }

    fn speaks_of(&self, server: &str) -> bool {
        let catalogue = self.catalogue();
        catalogue.is_some_and(|catalogue| catalogue.servers().any(|known| known == server))
    }

    fn first_time(&self, server: &str) -> bool {
        self.mcp
            .checks
            .with(server, |check| !std::mem::replace(&mut check.asked, true))
    }

    fn was_whole(&self, server: &str) -> bool {
        self.mcp.checks.with(server, |check| check.whole)
    }

    /// Takes note of what does not fit, and tells what was not told before.
    fn note(&self, server: &str, problems: Vec<Problem>) {
        let count = u32::try_from(problems.len()).unwrap_or(u32::MAX);
        metrics::gauge!("rescind_catalogue_misfits", "server" => server.to_owned())
            .set(f64::from(count));
        let checks = &self.mcp.checks;
        let told = checks.with(server, |check| {
            std::mem::replace(&mut check.problems, problems.clone())
        });
        let told: HashSet<String> = told.iter().map(ToString::to_string).collect();
        for problem in problems {
            if !told.contains(&problem.to_string()) {
                let (at, what) = (&problem.at, &problem.what);
                warn!(server, %at, %what, "the catalogue does not fit what the server lists");
            }
        }
    }
}
