//! The programs that run: one for each session, and some that stateless requests share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use wire::jsonrpc::Id;

use crate::Inner;
use crate::rpc::Refusal;

use super::child::{Child, Program};
use super::upkeep::{Backoff, crowded_out};

/// How long a session may be unused.
const IDLE: Duration = Duration::from_secs(1_800);

/// Sessions of one server at once; the least used ends for a new one.
const SESSIONS_MAX: usize = 64;

/// The programs that run, by server.
#[derive(Debug, Default)]
pub(super) struct Children {
    servers: Mutex<HashMap<String, Server>>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Server {
    sessions: Vec<Arc<Child>>,
    /// Of stateless requests.
    shared: Vec<Arc<Child>>,
    backoff: Backoff,
}

impl Children {
    /// Returns the program of a session.
    pub(super) fn find(
        &self,
        server: &str,
        program: &Program,
        session: &str,
    ) -> Option<Arc<Child>> {
        let mut servers = self.servers();
        let of = servers.get_mut(server)?;
        of.sweep(program.backoff_max);
        let found = of.sessions.iter().find(|child| child.session == session);
        found.cloned()
    }

    /// Returns a program for stateless requests with these ids, which are told apart by nothing
    /// else.
    pub(super) async fn shared(
        &self,
        inner: &Inner,
        server: &str,
        program: &Program,
        ids: &[Id<'_>],
        tokens: &[Id<'_>],
    ) -> Result<Arc<Child>, Refusal> {
        {
            let mut servers = self.servers();
            let of = servers.entry(server.to_owned()).or_default();
            of.sweep(program.backoff_max);
            let free = of.shared.iter().find(|child| !child.has(ids, tokens));
            if let Some(child) = free {
                return Ok(Arc::clone(child));
            }
        }
        let child = self.start(inner, server, program).await?;
        let mut servers = self.servers();
        let of = servers.entry(server.to_owned()).or_default();
        make_room(&mut of.shared);
        of.shared.push(Arc::clone(&child));
        Ok(child)
    }

    /// Starts the program of a new session.
    pub(super) async fn begin(
        &self,
        inner: &Inner,
        server: &str,
        program: &Program,
    ) -> Result<Arc<Child>, Refusal> {
        let child = self.start(inner, server, program).await?;
        let mut servers = self.servers();
        let of = servers.entry(server.to_owned()).or_default();
        make_room(&mut of.sessions);
        of.sessions.push(Arc::clone(&child));
        Ok(child)
    }

    async fn start(
        &self,
        inner: &Inner,
        server: &str,
        program: &Program,
    ) -> Result<Arc<Child>, Refusal> {
        let not_before = {
            let mut servers = self.servers();
            let of = servers.entry(server.to_owned()).or_default();
            of.sweep(program.backoff_max);
            of.backoff.not_before()
        };
        if let Some(not_before) = not_before {
            tokio::select! {
                () = sleep_until(not_before) => {}
                () = self.stop.cancelled() => {}
            }
        }
        if self.stop.is_cancelled() {
            return Err(Refusal::new("stopping", "the gateway is stopping"));
        }
        let mut random = [0; 16];
        inner.recorder.engine().entropy().fill(&mut random);
        let session: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let max = inner.options.limits.sse_line_bytes_max;
        let started = Child::start(session, server, program, max, IDLE, &inner.recorder);
        started.map_err(|error| {
            let name = program.command.first().map_or("", String::as_str);
            let mut servers = self.servers();
            let of = servers.entry(server.to_owned()).or_default();
            of.failed(false, program.backoff_max);
            let message = format!("could not start `{name}` of MCP server `{server}`: {error}");
            Refusal::new("program_start", message)
        })
    }

    /// Ends a session. Returns whether there was one.
    pub(super) fn end(&self, server: &str, session: &str) -> bool {
        let mut servers = self.servers();
        let Some(of) = servers.get_mut(server) else {
            return false;
        };
        let at = of
            .sessions
            .iter()
            .position(|child| child.session == session);
        let ended = at.map(|at| of.sessions.swap_remove(at));
        ended.inspect(|child| child.stop.cancel()).is_some()
    }

    /// Starts none any more, and lets those that run end once nobody waits for them.
    pub(super) fn stop(&self) {
        self.stop.cancel();
        for of in self.servers().values() {
            for child in of.sessions.iter().chain(&of.shared) {
                child.drain.cancel();
            }
        }
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<String, Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Forgets programs that ended.
    fn sweep(&mut self, backoff_max: Duration) {
        let mut ended = Vec::new();
        for children in [&mut self.sessions, &mut self.shared] {
            children.retain(|child| {
                let has = child.ended().is_some();
                if has {
                    ended.push(Arc::clone(child));
                }
                !has
            });
        }
        for child in ended {
            self.failed(child.has_answered(), backoff_max);
        }
    }

    /// A program ended, or did not start.
    fn failed(&mut self, had_answered: bool, backoff_max: Duration) {
        let now = Instant::now();
        self.backoff.failed(had_answered, backoff_max, now);
    }
}

/// Ends the least used of too many.
fn make_room(children: &mut Vec<Arc<Child>>) {
    let used: Vec<_> = children.iter().map(|child| child.used()).collect();
    if let Some(least) = crowded_out(&used, SESSIONS_MAX) {
        children.swap_remove(least).stop.cancel();
    }
}
