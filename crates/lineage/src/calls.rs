//! Which inference asked for which tool call.
//!
//! By id where the wire has one; else by name and arguments; else, for a result that bears
//! neither, by what is still unanswered of the last inference that asked. Several calls that fit
//! equally are answered in the order in which they were asked.

use model::{Evidence, Kind, Strength};

use crate::arguments::Arguments;
use crate::run::{Pending, Run};
use crate::scan::{hash, hash_exact, scan};
use crate::seen::{History, Seen};
use crate::tracer::Options;

/// Finds what a tool call answers: its place among the pending ones, and how that is known.
pub(crate) fn matching(
    seen: &Seen<'_>,
    run: &Run,
    options: &Options,
) -> Option<(usize, Strength, Evidence)> {
    if seen.kind != Kind::ToolCall {
        return None;
    }
    if let Some(id) = seen.call_id {
        let id = id_hash(id, options);
        let place = run.pending.iter().rposition(|p| p.id == Some(id));
        if let Some(place) = place {
            return Some((place, Strength::Certain, Evidence::CallId));
        }
    }
    // A call whose asker named it by id answers to that id only, if the result bears one.
    let free = |p: &&Pending| seen.call_id.is_none() || p.id.is_none();
    let name = seen.name.map(|name| name_hash(name, options));
    if let (Some(name), Some(arguments)) = (name, seen.arguments) {
        let arguments = Arguments::parse(arguments).canonical_hash(options.seed);
        let place = run
            .pending
            .iter()
            .position(|p| free(&p) && p.name == name && p.arguments == arguments)?;
        return Some((place, Strength::Certain, Evidence::NameAndArguments));
    }
    if seen.arguments.is_some() {
        return None;
    }
    let fits = |p: &&Pending| free(p) && name.is_none_or(|name| p.name == name);
    let asker = run.pending.iter().rev().find(fits)?.asker;
    let open: Vec<usize> = (0..run.pending.len())
        .filter(|&i| run.pending[i].asker == asker && fits(&&run.pending[i]))
        .collect();
    let place = if open.len() > 1 {
        best_by_values(seen.output.unwrap_or_default(), &open, run, options)
    } else {
        open[0]
    };
    // In one recorded history a result follows the message that asked for it.
    let strength = match seen.history {
        History::Continues => Strength::Certain,
        History::Unknown | History::Sent(_) => Strength::Possible,
    };
    Some((place, strength, Evidence::Adjacent))
}

/// Among calls that fit, the first whose arguments reappear most fully in the result.
fn best_by_values(output: &str, open: &[usize], run: &Run, options: &Options) -> usize {
    let mut there = Vec::new();
    scan(output, options.seed, |_, cluster| {
        let segments = cluster.segments.iter();
        there.extend(segments.chain(cluster.words).map(|token| token.hash));
    });
    there.sort_unstable();
    let share = |place: usize| {
        let values = &run.pending[place].values;
        let met = values
            .iter()
            .filter(|value| there.binary_search(value).is_ok())
            .count();
        met * 1_000 / values.len().max(1)
    };
    let mut best = open[0];
    for &place in &open[1..] {
        if share(place) > share(best) {
            best = place;
        }
    }
    best
}

/// Hash of a call id, as it is written.
pub(crate) fn id_hash(id: &str, options: &Options) -> u64 {
    hash_exact(id.as_bytes(), options.seed ^ 0x1d)
}

/// Hash of a tool's name.
pub(crate) fn name_hash(name: &str, options: &Options) -> u64 {
    hash_exact(name.as_bytes(), options.seed ^ 0x7001)
}

/// Hash of an agent's name, without regard to case.
pub(crate) fn agent_hash(name: &str, options: &Options) -> u64 {
    hash(name.trim().as_bytes(), options.seed ^ 0xa6e7)
}
