//! The state of the machine: without it a time says nothing.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

/// How many syncs one probe of the disk makes.
const SYNCS: u64 = 200;

/// How much each of them writes, in bytes: about the leaves of one call.
const SYNC_BYTES: usize = 4_096;

/// Returns the time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub fn now() -> Instant {
    Instant::now()
}

/// What the machine was doing while something was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// The model of the processor, as the system names it.
    pub processor: String,
    /// The load average of the last minute at the start.
    pub load_at_start: f64,
    /// The same at the end.
    pub load_at_end: f64,
    /// Plain writes with `fdatasync` on the disk of the record, in the same run.
    pub disk: Spread,
}

/// A distribution, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// Half of them are below.
    pub p50_us: f64,
    /// Nine in ten are below.
    pub p90_us: f64,
    /// All but one in a hundred are below.
    pub p99_us: f64,
    /// The largest.
    pub max_us: f64,
}

impl Spread {
    /// Returns the distribution of some times.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let place = (times.len().saturating_sub(1)) * percent / 100;
            times
                .get(place)
                .map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        Self {
            count: times.len(),
            p50_us: at(50),
            p90_us: at(90),
            p99_us: at(99),
            max_us: at(100),
        }
    }
}

/// Returns the load average of the last minute.
#[must_use]
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or(0.0)
}

/// Returns the model of the processor.
#[must_use]
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(String::new, |(_, model)| model.trim().to_owned())
}

/// Times writes with `fdatasync` into a file of its own in `dir`.
///
/// # Errors
/// What the disk says.
pub fn syncs(dir: &Path) -> std::io::Result<Vec<Duration>> {
    let path = dir.join("sync-probe");
    let file = File::create(&path)?;
    let buffer = vec![7u8; SYNC_BYTES];
    let mut times = Vec::new();
    for place in 0..SYNCS {
        let start = now();
        file.write_all_at(&buffer, place * SYNC_BYTES as u64)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    std::fs::remove_file(&path)?;
    Ok(times)
}
