//! Kills the gateway in the middle of calls, and holds its record against what the upstream saw.
//!
//! A round starts the gateway, has many clients call at once, and kills it when the upstream has
//! seen as many calls as the round says. Started again and stopped properly, its record must hold
//! every call that reached the upstream exactly once, as finished or unknown; every call that was
//! answered must be finished; the log must verify, and the index must equal a rebuilt one. All
//! rounds use one record, so that what a round left is what the next begins with.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ledger::{Entropy as _, SeededEntropy};
use serde::Serialize;

use crate::client::Connection;
use crate::process::{Home, THROUGH};
use crate::record;
use crate::upstream::{Options, TOOLS, Upstream, WORDS};
use crate::words::{MARKER, Words};

/// How long the calls of a round may take to reach the upstream.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stack of a client, in bytes: there are many.
const STACK: usize = 256 << 10;

/// Statuses that a call may have when nothing runs any more.
const ENDED: &[&str] = &["succeeded", "failed", "cancelled", "replayed", "unknown"];

/// What is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often the gateway is killed.
    pub rounds: u64,
    /// Clients that call at once, each one call after the other.
    pub clients: usize,
    /// How long the upstream thinks.
    pub delay: Duration,
    /// Where the points of the kills are drawn from.
    pub seed: u64,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The seed that the points were drawn from.
    pub seed: u64,
    /// The rounds.
    pub rounds: Vec<Round>,
    /// Whether the record held in all of them.
    pub holds: bool,
}

/// One round.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Round {
    /// The gateway was killed when the upstream had seen so many calls.
    pub killed_after: usize,
    /// Calls that reached the upstream.
    pub reached: usize,
    /// Calls whose answer came whole.
    pub answered: usize,
    /// Calls in the record that are finished.
    pub finished: usize,
    /// Calls in the record that are unknown.
    pub unknown: usize,
    /// What is wrong, in words.
    pub wrong: Vec<String>,
}

/// Runs `binary` through a plan, in an empty directory.
///
/// # Errors
/// The gateway does not start, or its record cannot be read.
pub fn run(
    binary: &Path,
    dir: &Path,
    plan: Plan,
    mut tell: impl FnMut(u64, &Round),
) -> anyhow::Result<Found> {
    let upstream = Upstream::start(Options {
        delay: plan.delay,
        remembers: true,
        ..Options::default()
    })?;
    let home = Home::make(binary, dir, upstream.address(), "durable")?;
    let points = SeededEntropy::new(plan.seed);
    let mut rounds = Vec::new();
    for number in 0..plan.rounds {
        let round = round(&home, &upstream, plan, number, point(&points, plan, number))?;
        tell(number, &round);
        rounds.push(round);
    }
    Ok(Found {
        seed: plan.seed,
        holds: rounds.iter().all(|round| round.wrong.is_empty()),
        rounds,
    })
}

/// The first points are enumerated, each twice as far as the one before; after as many as reach
/// all clients they are drawn at random.
fn point(points: &SeededEntropy, plan: Plan, number: u64) -> usize {
    let enumerated = 1usize
        .checked_shl(u32::try_from(number / 2).unwrap_or(u32::MAX))
        .filter(|count| *count <= plan.clients && number.is_multiple_of(2));
    let mut random = [0; 8];
    points.fill(&mut random);
    let most = plan.clients * 3;
    let drawn = usize::try_from(u64::from_be_bytes(random) % most as u64).unwrap_or_default();
    enumerated.unwrap_or(drawn + 1)
}

fn round(
    home: &Home,
    upstream: &Upstream,
    plan: Plan,
    number: u64,
    killed_after: usize,
) -> anyhow::Result<Round> {
    let before = upstream.seen().count();
    let gateway = home.up()?;
    let address = gateway.address();
    let answered: Mutex<Vec<String>> = Mutex::default();
    let came = std::thread::scope(|scope| {
        let mut clients = Vec::new();
        for client in 0..plan.clients {
            let answered = &answered;
            let call = move || calls(address, number, client, answered);
            let thread = std::thread::Builder::new().stack_size(STACK);
            clients.push(thread.spawn_scoped(scope, call)?);
        }
        let came = upstream.seen().wait(before + killed_after, PATIENCE);
        gateway.kill()?;
        anyhow::Ok(came)
    })?;
    ensure!(
        came,
        "{killed_after} calls did not reach the upstream in time"
    );
    let mut round = Round {
        killed_after,
        ..Round::default()
    };
    let stopped = home.up()?.stop()?;
    if !stopped.success() {
        round.wrong.push(format!(
            "the gateway that was started again ended with {stopped}"
        ));
    }
    // Against the index as it is, and again after it was rebuilt.
    for arguments in [
        &["verify", "--full"] as &[_],
        &["reindex"],
        &["verify", "--full"],
    ] {
        if let Err(error) = home.run(arguments) {
            round.wrong.push(format!("{error:#}"));
        }
    }
    let answered = answered
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let reached = upstream.seen().markers().split_off(before);
    compare(&mut round, home, number, &reached, &answered)?;
    Ok(round)
}

/// Calls until a call fails: the gateway is gone then.
fn calls(address: SocketAddr, round: u64, client: usize, answered: &Mutex<Vec<String>>) {
    let Ok(mut connection) = Connection::open(address) else {
        return;
    };
    let words = [WORDS, TOOLS].map(|model| Words::new(model, false, 1_024));
    let streamed = Words::new(WORDS, true, 1_024);
    for number in 0.. {
        let label = format!("{round}-{client}");
        let marker = format!("{MARKER}{label}-{number}");
        let words = match number % 3 {
            0 => &words[0],
            1 => &words[1],
            _ => &streamed,
        };
        match connection.call(THROUGH, &words.body(&label, number)) {
            Ok(answer) if answer.status == 200 => {
                // A stream that broke says so in its own words.
                let whole = !answer.body.windows(12).any(|part| part == b"event: error");
                if whole {
                    answered
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(marker);
                }
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

fn compare(
    round: &mut Round,
    home: &Home,
    number: u64,
    reached: &[String],
    answered: &[String],
) -> anyhow::Result<()> {
    let recorded = record::calls(&home.data_dir()).context("could not read the record")?;
    let mine = format!("{MARKER}{number}-");
    let mut wrong = Vec::new();
    for (marker, statuses) in &recorded {
        if statuses.len() > 1 {
            wrong.push(format!(
                "{marker} is in the record {} times",
                statuses.len()
            ));
        }
        if let Some(odd) = statuses.iter().find(|s| !ENDED.contains(&s.as_str())) {
            wrong.push(format!("{marker} is {odd}"));
        }
        if marker.starts_with(&mine) {
            match statuses[0].as_str() {
                "unknown" => round.unknown += 1,
                _ => round.finished += 1,
            }
        }
    }
    for marker in reached {
        if !recorded.contains_key(marker) {
            wrong.push(format!("{marker} reached the upstream and is not recorded"));
        }
    }
    for marker in answered {
        let statuses = recorded.get(marker).map_or(&[] as &[_], Vec::as_slice);
        if statuses != ["succeeded"] {
            wrong.push(format!(
                "{marker} was answered and is recorded as {statuses:?}"
            ));
        }
    }
    round.reached = reached.len();
    round.answered = answered.len();
    round.wrong.append(&mut wrong);
    Ok(())
}
