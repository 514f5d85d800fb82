//! Reports for people.

use std::fmt::Write as _;

use crate::bench::{Added, Measured};
use crate::crash::Round;
use crate::machine::Spread;

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
                "  {:<8} {}\n           added {} (rounds: {} to {})\n           processor {:.0} µs a call",
                through.durability,
                spread(&through.times),
                added(&through.added),
                added(&through.added_least),
                added(&through.added_most),
                through.cpu_us
            );
        }
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
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
