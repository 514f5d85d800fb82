//! Memory of the gateway at full load, over minutes.
//!
//! Calls go out on a schedule, one window after the other, and after each it is noted how much
//! memory the process holds and how much processor time a call took. Every call begins a run of its
//! own, which is the most that a call can leave behind. Nothing is asserted: what fills up to its
//! bound grows until it is full.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::machine;
use crate::process::{Home, Process, THROUGH};
use crate::upstream::WORDS;
use crate::window::{Schedule, Target, open_loop};
use crate::words::Words;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many windows.
    pub windows: u32,
    /// What goes out in each.
    pub schedule: Schedule,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Grown {
    /// The load average of the last minute at the start.
    pub load_at_start: f64,
    /// The same at the end.
    pub load_at_end: f64,
    /// Memory of the gateway before the first call, in bytes.
    pub memory_at_start: u64,
    /// After each window.
    pub moments: Vec<Moment>,
}

/// The gateway after one window.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Moment {
    /// Calls so far.
    pub calls: u64,
    /// Memory of its process, in bytes.
    pub memory: u64,
    /// Processor time of its process for one call of this window, in microseconds.
    pub cpu_us: f64,
}

/// Measures `binary`, with everything that is written in `dir`.
///
/// # Errors
/// A process does not start, or a call fails.
pub fn run(
    binary: &Path,
    upstream: &Process,
    dir: &Path,
    plan: Plan,
    mut tell: impl FnMut(&Moment),
) -> anyhow::Result<Grown> {
    let load_at_start = machine::load();
    let gateway = Home::make(binary, dir, upstream.address(), "durable")?.up()?;
    let memory_at_start = gateway.memory()?;
    let target = Target {
        address: gateway.address(),
        path: THROUGH,
    };
    let words = Words::new(WORDS, false, 1_024);
    let mut moments: Vec<Moment> = Vec::new();
    for number in 0..plan.windows {
        let before = gateway.cpu()?;
        let label = format!("growth-{number}");
        let times = open_loop(&target, plan.schedule, &words, &label)?;
        let cpu: Duration = gateway.cpu()?.saturating_sub(before);
        let count = times.len().max(1) as u64;
        let moment = Moment {
            calls: moments.last().map_or(0, |last| last.calls) + count,
            memory: gateway.memory()?,
            cpu_us: cpu.as_secs_f64() * 1e6 / count as f64,
        };
        tell(&moment);
        moments.push(moment);
    }
    let ended = gateway.stop()?;
    anyhow::ensure!(
        ended.success(),
        "the gateway ended with {ended}, so the run is void"
    );
    Ok(Grown {
        load_at_start,
        load_at_end: machine::load(),
        memory_at_start,
        moments,
    })
}
