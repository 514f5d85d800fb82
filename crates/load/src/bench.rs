//! What the gateway adds: windows through it alternate with windows that go to the upstream
//! directly, and the difference of their percentiles is what is reported.
//!
//! Five processes: the upstream, a gateway that records durably, one that may lag, a relay that does
//! no more than what any recorder must, and a bare one. Who is not called costs nothing. A failed call
//! voids its window, and with it the run.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::client::Connection;
use crate::machine::{self, Machine, Spread};
use crate::process::{DIRECT, Home, Process, THROUGH};
use crate::upstream::{TOOLS, WORDS};
use crate::window::{Schedule, Target, in_turn, open_loop};
use crate::words::Words;

/// A history as agents resend it after some hours of work, in bytes.
const HISTORY: usize = 222_000;

/// Processor time of the relay from which on others are compared with it, in microseconds: ten
/// times what the system counts in.
const FLOOR_US_MIN: f64 = 1e5;

/// Starts that are timed.
const STARTS: usize = 5;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Windows of each kind.
    pub rounds: usize,
    /// How long a window of the open loop lasts.
    pub lasts: Duration,
    /// Calls a second in it.
    pub rate: u32,
    /// Connections in it.
    pub connections: usize,
    /// Calls in a window that sends one after the other.
    pub in_turn: usize,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The machine's state.
    pub machine: Machine,
    /// Each kind of call.
    pub legs: Vec<Leg>,
    /// Memory of the gateway after its first answer, in bytes.
    pub memory_idle: u64,
    /// The same after everything.
    pub memory_after: u64,
    /// From the start of the process to its first answer, with an empty record.
    pub start_empty: Spread,
    /// The same with the record that the run has left.
    pub start_full: Spread,
}

/// One kind of call.
#[derive(Clone, Debug, Serialize)]
pub struct Leg {
    /// What is called, and how.
    pub name: String,
    /// Straight to the upstream.
    pub direct: Spread,
    /// Through the gateway, by how it records, then through the relays, the bare one last.
    pub through: Vec<Through>,
}

/// One kind of call through a gateway, or through the relay.
#[derive(Clone, Debug, Serialize)]
pub struct Through {
    /// How the gateway records: `durable` or `lagged`; or `keeper` and `relay`, which do not.
    pub durability: String,
    /// How long calls took.
    pub times: Spread,
    /// What that is more than directly.
    pub added: Added,
    /// What it is more in each round: smallest and largest.
    pub added_least: Added,
    /// See [`added_least`](Self::added_least).
    pub added_most: Added,
    /// Processor time of its process for one call, in microseconds.
    pub cpu_us: f64,
    /// How many times that of the relay this is; none where the relay used less than can be told
    /// from hundredths of a second.
    pub cpu_ratio: Option<f64>,
}

/// A difference between two distributions, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Added {
    /// Of their medians.
    pub p50_us: f64,
    /// Of what nine in ten stay below.
    pub p90_us: f64,
    /// Of what all but one in a hundred stay below.
    pub p99_us: f64,
}

impl Added {
    fn between(direct: &Spread, through: &Spread) -> Self {
        Self {
            p50_us: through.p50_us - direct.p50_us,
            p90_us: through.p90_us - direct.p90_us,
            p99_us: through.p99_us - direct.p99_us,
        }
    }

    fn each(self, other: Self, choose: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            p50_us: choose(self.p50_us, other.p50_us),
            p90_us: choose(self.p90_us, other.p90_us),
            p99_us: choose(self.p99_us, other.p99_us),
        }
    }
}

/// The relays to the upstream.
#[derive(Debug)]
pub struct Relays {
    /// Nothing but a relay.
    pub bare: Process,
    /// One with a [keeper](crate::keeper).
    pub keeping: Process,
}

/// A kind of call, before it is measured.
struct Kind {
    name: &'static str,
    words: Words,
    open: bool,
}

/// A gateway under measurement, or the relay.
struct Side {
    durability: &'static str,
    gateway: Process,
    path: &'static str,
}

/// Measures `binary`, with everything that is written in `dir`, beside relays to the same upstream.
///
/// # Errors
/// A process does not start, or a window is void.
pub fn run(
    binary: &Path,
    upstream: &Process,
    relays: Relays,
    dir: &Path,
    plan: Plan,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<Measured> {
    let load_at_start = machine::load();
    let start_empty = starts(binary, upstream, dir)?;
    let home = |durability: &'static str| {
        Home::make(
            binary,
            &dir.join(durability),
            upstream.address(),
            durability,
        )
    };
    let durable = home("durable")?;
    let gateway = durable.up()?;
    first_answer(&gateway)?;
    let memory_idle = gateway.memory()?;
    let sides = [
        Side {
            durability: "durable",
            gateway,
            path: THROUGH,
        },
        Side {
            durability: "lagged",
            gateway: home("lagged")?.up()?,
            path: THROUGH,
        },
        Side {
            durability: "keeper",
            gateway: relays.keeping,
            path: DIRECT,
        },
        Side {
            durability: "relay",
            gateway: relays.bare,
            path: DIRECT,
        },
    ];
    let kinds = [
        Kind {
            name: "1 KB, answered with words",
            words: Words::new(WORDS, false, 1_024),
            open: true,
        },
        Kind {
            name: "1 KB, answered with a tool call",
            words: Words::new(TOOLS, false, 1_024),
            open: true,
        },
        Kind {
            name: "222 KB history",
            words: Words::new(WORDS, false, HISTORY),
            open: false,
        },
        Kind {
            name: "stream of 100 chunks",
            words: Words::new(WORDS, true, 1_024),
            open: false,
        },
    ];
    let mut disk = Vec::new();
    let mut legs = Vec::new();
    for (number, kind) in kinds.iter().enumerate() {
        tell(kind.name);
        legs.push(leg(number, kind, upstream, &sides, plan, || {
            disk.extend(machine::syncs(dir)?);
            Ok(())
        })?);
    }
    let memory_after = sides[0].gateway.memory()?;
    // What the relays keep is read by nobody, and they end with their handles.
    for side in sides.into_iter().filter(|side| side.path == THROUGH) {
        let ended = side.gateway.stop()?;
        anyhow::ensure!(
            ended.success(),
            "the gateway ended with {ended}, so the run is void"
        );
    }
    let mut full = Vec::new();
    for _ in 0..STARTS {
        full.push(start(&durable)?);
    }
    Ok(Measured {
        machine: Machine {
            cores: store::worker::cores(),
            processor: machine::processor(),
            load_at_start,
            load_at_end: machine::load(),
            disk: Spread::of(disk),
        },
        legs,
        memory_idle,
        memory_after,
        start_empty,
        start_full: Spread::of(full),
    })
}

fn starts(binary: &Path, upstream: &Process, dir: &Path) -> anyhow::Result<Spread> {
    let mut times = Vec::new();
    for number in 0..STARTS {
        let dir = dir.join(format!("start-{number}"));
        let home = Home::make(binary, &dir, upstream.address(), "durable")?;
        times.push(start(&home)?);
    }
    Ok(Spread::of(times))
}

/// Times one start, up to the first answer.
fn start(home: &Home) -> anyhow::Result<Duration> {
    let gateway = home.up()?;
    first_answer(&gateway)?;
    let time = gateway.started().elapsed();
    gateway.stop()?;
    Ok(time)
}

fn first_answer(gateway: &Process) -> anyhow::Result<()> {
    let words = Words::new(WORDS, false, 1_024);
    let answer = Connection::open(gateway.address())?.call(THROUGH, &words.body("first", 0))?;
    anyhow::ensure!(
        answer.status == 200,
        "the first call was answered with {}",
        answer.status
    );
    Ok(())
}

/// Windows of one kind, in turns.
fn leg(
    number: usize,
    kind: &Kind,
    upstream: &Process,
    sides: &[Side],
    plan: Plan,
    mut between: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Leg> {
    let window = |address, path, label: &str| {
        let target = Target { address, path };
        if kind.open {
            let schedule = Schedule {
                rate: plan.rate,
                lasts: plan.lasts,
                connections: plan.connections,
            };
            open_loop(&target, schedule, &kind.words, label)
        } else {
            in_turn(&target, plan.in_turn, &kind.words, label)
        }
    };
    let mut direct: Vec<Vec<Duration>> = Vec::new();
    let mut through: Vec<Vec<Vec<Duration>>> = vec![Vec::new(); sides.len()];
    let mut cpu = vec![Duration::ZERO; sides.len()];
    // The first round warms up and is not counted.
    for round in 0..=plan.rounds {
        let mut straight = || {
            let label = format!("{number}-{round}-direct");
            direct.push(window(upstream.address(), DIRECT, &label).context("directly")?);
            anyhow::Ok(())
        };
        // Who goes first changes with every round.
        if round % 2 == 0 {
            straight()?;
        }
        for (place, side) in sides.iter().enumerate() {
            let label = format!("{number}-{round}-{}", side.durability);
            let before = side.gateway.cpu()?;
            let times = window(side.gateway.address(), side.path, &label)
                .with_context(|| format!("on the way through ({})", side.durability))?;
            through[place].push(times);
            if round > 0 {
                cpu[place] += side.gateway.cpu()? - before;
            }
        }
        if round % 2 == 1 {
            straight()?;
        }
        between()?;
    }
    direct.remove(0);
    let pooled = Spread::of(direct.concat());
    let mut through: Vec<Through> = through
        .into_iter()
        .zip(sides)
        .zip(cpu)
        .map(|((mut times, side), cpu)| {
            times.remove(0);
            let spread = Spread::of(times.concat());
            let added: Vec<Added> = times
                .into_iter()
                .zip(&direct)
                .map(|(times, direct)| {
                    Added::between(&Spread::of(direct.clone()), &Spread::of(times))
                })
                .collect();
            let of = |choose: fn(f64, f64) -> f64| {
                let first = added.first().copied().unwrap_or_default();
                added
                    .iter()
                    .fold(first, |all, each| all.each(*each, choose))
            };
            Through {
                durability: side.durability.to_owned(),
                times: spread,
                added: Added::between(&pooled, &spread),
                added_least: of(f64::min),
                added_most: of(f64::max),
                cpu_us: cpu.as_secs_f64() * 1e6 / spread.count.max(1) as f64,
                cpu_ratio: None,
            }
        })
        .collect();
    let relay = through.last();
    let floor = relay.map_or(0.0, |relay| relay.cpu_us);
    if relay.is_some_and(|relay| relay.cpu_us * relay.times.count as f64 > FLOOR_US_MIN) {
        for through in &mut through {
            through.cpu_ratio = Some(through.cpu_us / floor);
        }
    }
    Ok(Leg {
        name: kind.name.to_owned(),
        direct: pooled,
        through,
    })
}
