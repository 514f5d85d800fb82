//! Reports for people.

use std::fmt::Write as _;

use crate::bench::{Added, Measured};
use crate::crash::Round;
use crate::growth::{Grown, Moment};
use crate::machine::Spread;
use crate::saturate::{self, Saturated, Step};

/// Returns a measurement as text.
#[must_use]
pub fn measured(measured: &Measured) -> String {
    let machine = &measured.machine;
    let mut text = format!(
        "machine: {} cores, {}, load {:.1} at the start and {:.1} at the end\n\
         disk: 4 KiB and fdatasync, {}\n\n",
        machine.cores,
        machine.processor,
        machine.load_at_start,
        machine.load_at_end,
        spread(&machine.disk)
    );
    for leg in &measured.legs {
        let _ = writeln!(text, "{}\n  direct   {}", leg.name, spread(&leg.direct));
        for through in &leg.through {
            let _ = writeln!(
                text,
                "  {:<8} {}\n           added {} (rounds: {} to {})\n           processor {:.0} µs a call{}",
                through.durability,
                spread(&through.times),
                added(&through.added),
                added(&through.added_least),
                added(&through.added_most),
                through.cpu_us,
                through.cpu_ratio.map_or_else(String::new, |ratio| {
                    format!(", {ratio:.1} times the relay's")
                })
            );
        }
    }
    let _ = writeln!(
        text,
        "\nmemory: {:.1} MiB after the first answer, {:.1} MiB after everything\n\
         start to first answer: {} with an empty record, {} with this one",
        mib(measured.memory_idle),
        mib(measured.memory_after),
        spread(&measured.start_empty),
        spread(&measured.start_full)
    );
    text
}

/// Returns what the gateway held after one window as a line.
#[must_use]
pub fn moment(moment: &Moment) -> String {
    format!(
        "{} calls: {:.1} MiB, processor {:.0} µs a call",
        moment.calls,
        mib(moment.memory),
        moment.cpu_us
    )
}

/// Returns how memory grew as text: over all, and over the second half, when what fills up to a
/// bound has filled up.
#[must_use]
pub fn grown(grown: &Grown) -> String {
    let memory = |place: usize| grown.moments.get(place).map_or(0, |moment| moment.memory);
    let last = grown.moments.len().saturating_sub(1);
    format!(
        "memory: {:.1} MiB at the start, {:.1} after half, {:.1} at the end (load {:.1} to {:.1})",
        mib(grown.memory_at_start),
        mib(memory(last / 2)),
        mib(memory(last)),
        grown.load_at_start,
        grown.load_at_end
    )
}

/// Returns one window of calls through `name` as a line.
#[must_use]
pub fn step(name: &str, step: &Step) -> String {
    format!(
        "{name}: {} calls/s: {}, processor {:.0} µs a call",
        step.rate,
        spread(&step.times),
        step.cpu_us
    )
}

/// Returns how many calls went through in time as text.
#[must_use]
pub fn saturated(saturated: &Saturated) -> String {
    let most = |steps: &[Step]| {
        saturate::most(steps).map_or("fewer than asked for".to_owned(), |rate| {
            format!("{rate} calls/s")
        })
    };
    format!(
        "in time: {} through the gateway, {} through the relay (load {:.1} at the start)",
        most(&saturated.gateway),
        most(&saturated.relay),
        saturated.load_at_start
    )
}

/// Returns one round of crashes as a line.
#[must_use]
pub fn round(number: u64, round: &Round) -> String {
    let mut text = format!(
        "round {number}: killed after {} calls; {} reached the upstream, {} were answered; \
         {} finished, {} unknown in the record",
        round.killed_after, round.reached, round.answered, round.finished, round.unknown
    );
    for wrong in &round.wrong {
        let _ = write!(text, "\n  wrong: {wrong}");
    }
    text
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn spread(spread: &Spread) -> String {
    format!(
        "p50 {:.3} p90 {:.3} p99 {:.3} max {:.1} ms ({})",
        spread.p50_us / 1e3,
        spread.p90_us / 1e3,
        spread.p99_us / 1e3,
        spread.max_us / 1e3,
        spread.count
    )
}

fn added(added: &Added) -> String {
    format!(
        "{:.3}/{:.3}/{:.3} ms",
        added.p50_us / 1e3,
        added.p90_us / 1e3,
        added.p99_us / 1e3
    )
}
