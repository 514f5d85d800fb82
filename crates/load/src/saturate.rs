//! How many calls a second go through before they take too long: windows on a schedule, each with
//! more calls than the one before, through the gateway and through a bare relay.
//!
//! The clients and the upstream share the machine with who is measured, so the figures are not what
//! either can do alone; their ratio says how much room recording takes.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::machine::{self, Spread};
use crate::process::{DIRECT, Home, Process, THROUGH};
use crate::upstream::WORDS;
use crate::window::{Schedule, Target, open_loop};
use crate::words::Words;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The first window.
    pub first: Schedule,
    /// How much more calls each window has than the one before, in percent.
    pub step_percent: u32,
    /// What nine hundred and ninety of a thousand calls may take.
    pub p99_max: Duration,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Saturated {
    /// The load average of the last minute at the start.
    pub load_at_start: f64,
    /// Windows through the gateway, in order; all but the last stayed below.
    pub gateway: Vec<Step>,
    /// The same through the relay.
    pub relay: Vec<Step>,
}

/// One window.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Calls a second.
    pub rate: u32,
    /// How long they took.
    pub times: Spread,
    /// Processor time of the process for one call, in microseconds.
    pub cpu_us: f64,
}

/// Returns the most calls a second that stayed below; none if the first window did not.
#[must_use]
pub fn most(steps: &[Step]) -> Option<u32> {
    Some(steps.iter().rev().nth(1)?.rate)
}

/// Measures `binary`, with everything that is written in `dir`, and a relay to the same upstream.
///
/// # Errors
/// A process does not start, or a call fails.
pub fn run(
    binary: &Path,
    upstream: &Process,
    relay: &Process,
    dir: &Path,
    plan: Plan,
    mut tell: impl FnMut(&str, &Step),
) -> anyhow::Result<Saturated> {
    let load_at_start = machine::load();
    let relayed = climb(relay, DIRECT, plan, |step| tell("relay", step))?;
    let gateway = Home::make(binary, dir, upstream.address(), "durable")?.up()?;
    let through = climb(&gateway, THROUGH, plan, |step| tell("gateway", step))?;
    let ended = gateway.stop()?;
    anyhow::ensure!(
        ended.success(),
        "the gateway ended with {ended}, so the run is void"
    );
    Ok(Saturated {
        load_at_start,
        gateway: through,
        relay: relayed,
    })
}

fn climb(
    process: &Process,
    path: &'static str,
    plan: Plan,
    mut tell: impl FnMut(&Step),
) -> anyhow::Result<Vec<Step>> {
    let target = Target {
        address: process.address(),
        path,
    };
    let words = Words::new(WORDS, false, 1_024);
    let mut schedule = plan.first;
    let mut steps = Vec::new();
    // Warms up, and is not counted.
    open_loop(&target, schedule, &words, "saturate-warm")?;
    loop {
        let before = process.cpu()?;
        let label = format!("saturate-{}", schedule.rate);
        let times = Spread::of(open_loop(&target, schedule, &words, &label)?);
        let cpu = process.cpu()?.saturating_sub(before);
        let step = Step {
            rate: schedule.rate,
            cpu_us: cpu.as_secs_f64() * 1e6 / times.count.max(1) as f64,
            times,
        };
        tell(&step);
        let late = step.times.p99_us > plan.p99_max.as_secs_f64() * 1e6;
        steps.push(step);
        if late {
            return Ok(steps);
        }
        schedule.rate += (schedule.rate * plan.step_percent / 100).max(1);
    }
}
