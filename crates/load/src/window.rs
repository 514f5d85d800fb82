//! One window of a measurement: so many calls, from so many connections, and how long each took.
//!
//! [`open_loop`] sends on a schedule, whatever became of the calls before: a server that stalls is
//! charged for every call that was due meanwhile. [`in_turn`] sends the next call when the one
//! before is answered.

use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::client::{Answer, Connection, request};
use crate::machine::now;
use crate::words::Words;

/// How long the last answers of a window are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where calls go.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server.
    pub address: SocketAddr,
    /// The path.
    pub path: &'static str,
}

/// A schedule.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Calls a second.
    pub rate: u32,
    /// For how long.
    pub lasts: Duration,
    /// Connections that are kept.
    pub connections: usize,
}

/// Connections that nobody uses, and what came back on the others.
#[derive(Default)]
struct Floor {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    free: Vec<usize>,
    /// Since when the call on a connection counts.
    since: Vec<Option<Instant>>,
    times: Vec<Duration>,
    failed: Option<String>,
}

impl Floor {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, why: String) {
        self.lock().failed.get_or_insert(why);
        self.changed.notify_all();
    }

    /// Waits for a free connection.
    fn take(&self) -> anyhow::Result<usize> {
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.lock(), PATIENCE, |state| {
                state.free.is_empty() && state.failed.is_none()
            })
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = &state.failed {
            bail!("a call failed, so the window is void: {why}");
        }
        state.free.pop().context("no connection came free in time")
    }

    fn landed(&self, place: usize) {
        let ended = now();
        let mut state = self.lock();
        if let Some(since) = state.since[place].take() {
            state.times.push(ended - since);
        }
        state.free.push(place);
        drop(state);
        self.changed.notify_all();
    }
}

/// Sends calls on a schedule and returns how long each took, counted from when it was due.
///
/// # Errors
/// A call failed: the window is void.
pub fn open_loop(
    target: &Target,
    schedule: Schedule,
    words: &Words,
    label: &str,
) -> anyhow::Result<Vec<Duration>> {
    let connections: Vec<Connection> = (0..schedule.connections)
        .map(|_| Connection::open(target.address))
        .collect::<Result<_, _>>()
        .context("could not connect")?;
    let senders: Vec<_> = connections
        .iter()
        .map(Connection::sender)
        .collect::<Result<_, _>>()?;
    let floor = Floor::default();
    {
        let mut state = floor.lock();
        state.free = (0..schedule.connections).collect();
        state.since = vec![None; schedule.connections];
    }
    std::thread::scope(|scope| {
        for (place, mut connection) in connections.into_iter().enumerate() {
            let floor = &floor;
            scope.spawn(move || {
                loop {
                    match connection.answer() {
                        Ok(Answer { status: 200, .. }) => floor.landed(place),
                        Ok(answer) => {
                            let said = String::from_utf8_lossy(&answer.body).into_owned();
                            return floor.fail(format!("{}: {said}", answer.status));
                        }
                        // Nothing is under way on it: the window has ended.
                        Err(_) if floor.lock().since[place].is_none() => return,
                        Err(error) => return floor.fail(error.to_string()),
                    }
                }
            });
        }
        let sent = send(target, schedule, words, label, &floor, &senders);
        let settled = sent.and_then(|()| settle(&floor, schedule.connections));
        for sender in &senders {
            let _ = sender.shutdown(std::net::Shutdown::Both);
        }
        settled
    })?;
    Ok(std::mem::take(&mut floor.lock().times))
}

fn send(
    target: &Target,
    schedule: Schedule,
    words: &Words,
    label: &str,
    floor: &Floor,
    mut senders: &[std::net::TcpStream],
) -> anyhow::Result<()> {
    use std::io::Write as _;
    let between = Duration::from_secs(1) / schedule.rate;
    let count = u32::try_from(schedule.lasts.as_millis())? * schedule.rate / 1_000;
    let begun = now();
    let all = std::mem::take(&mut senders);
    for number in 0..count {
        let body = words.body(label, usize::try_from(number)?);
        let bytes = request(target.path, &body);
        let due = begun + between * number;
        let early = due.saturating_duration_since(now());
        if !early.is_zero() {
            std::thread::sleep(early);
        }
        // Who had time to sleep wakes a little late, which is nobody's fault but the clock's; who
        // had not is behind because of the server.
        let since = if early.is_zero() { due } else { now() };
        let place = floor.take()?;
        floor.lock().since[place] = Some(since);
        (&all[place]).write_all(&bytes).context("could not send")?;
    }
    Ok(())
}

fn settle(floor: &Floor, connections: usize) -> anyhow::Result<()> {
    let (state, late) = floor
        .changed
        .wait_timeout_while(floor.lock(), PATIENCE, |state| {
            state.free.len() < connections && state.failed.is_none()
        })
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(why) = &state.failed {
        bail!("a call failed, so the window is void: {why}");
    }
    ensure!(!late.timed_out(), "calls were still under way at the end");
    Ok(())
}

/// Makes `count` calls one after the other and returns how long each took.
///
/// # Errors
/// A call failed: the window is void.
pub fn in_turn(
    target: &Target,
    count: usize,
    words: &Words,
    label: &str,
) -> anyhow::Result<Vec<Duration>> {
    let mut connection = Connection::open(target.address).context("could not connect")?;
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let body = words.body(label, number);
        let since = now();
        let answer = connection
            .call(target.path, &body)
            .context("a call failed, so the window is void")?;
        times.push(since.elapsed());
        ensure!(
            answer.status == 200,
            "a call failed, so the window is void: {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
    }
    Ok(times)
}
