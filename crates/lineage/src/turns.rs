//! Exposure inside one recorded history: who had what before him when he spoke.
//!
//! Everything said before could have mattered, so every such edge is only possible. To keep them
//! few, an inference is linked to its agent's previous inference, to the last one of anybody, and
//! to what came since: the rest follows through those.

use model::{CauseKind, Evidence, Kind, Strength};

use crate::roster::{Found, Roster};
use crate::run::{Recent, Run, Turn, remember};

/// Items since the last inference that are linked one by one.
const RECENT_MAX: usize = 256;
/// Turns among which the one that is answered is sought.
const TURNS_MAX: usize = 16;
/// Words that make a turn more than a routing note.
const SUBSTANCE: usize = 4;

/// Links a decision to what came before it in its run.
pub(crate) fn expose(
    kind: Kind,
    agent: u64,
    words: &[u64],
    run: &Run,
    found: &mut Found,
    roster: &Roster,
) {
    let mut link = |number: u64, kind: CauseKind| {
        let evidence = if run.last == Some(number) {
            Evidence::Adjacent
        } else {
            Evidence::HistoryPrefix
        };
        found.add(roster, number, kind, Strength::Possible, evidence);
    };
    let answered = answered(agent, words, run);
    match kind {
        Kind::Inference => {
            if let Some(number) = answered {
                link(number, CauseKind::Message);
            }
            let own = run.inferences.iter().find(|(other, _)| *other == agent);
            for (_, number) in own.into_iter().chain(run.inferences.last()) {
                if Some(*number) != answered {
                    link(*number, CauseKind::Context);
                }
            }
            for item in &run.recent {
                if Some(item.number) == answered {
                    continue;
                }
                match item.kind {
                    Kind::ToolCall => link(item.number, CauseKind::Result),
                    _ => link(item.number, CauseKind::Context),
                }
            }
        }
        _ => {
            let answered = answered.filter(|_| kind == Kind::Message);
            if let Some(number) = answered {
                link(number, CauseKind::Message);
            } else if let Some(number) = run.last {
                link(number, CauseKind::Context);
            }
        }
    }
}

/// Finds the turn that an agent answers: among the turns of whoever spoke last, the one whose
/// words the answer takes up most fully, and else the last that says something.
fn answered(agent: u64, words: &[u64], run: &Run) -> Option<u64> {
    let speaker = run.turns.back()?.agent;
    if speaker == agent {
        return None;
    }
    let block: Vec<&Turn> = run
        .turns
        .iter()
        .rev()
        .take_while(|turn| turn.agent == speaker)
        .collect();
    let share = |turn: &Turn| {
        let met = turn
            .words
            .iter()
            .filter(|word| words.binary_search(word).is_ok())
            .count();
        if turn.words.len() < SUBSTANCE {
            0
        } else {
            met * 1_000 / turn.words.len()
        }
    };
    let mut best = *block
        .iter()
        .find(|turn| turn.words.len() >= SUBSTANCE)
        .unwrap_or(block.first()?);
    for turn in block {
        if share(turn) > share(best) {
            best = turn;
        }
    }
    Some(best.number)
}

/// Enters a decision into its run's shared history.
///
/// Text that stands in every prompt is no turn: nobody answers it.
pub(crate) fn enter(
    number: u64,
    agent: u64,
    (kind, standing): (Kind, bool),
    words: Vec<u64>,
    run: &mut Run,
) {
    match kind {
        Kind::Inference => {
            run.inferences.retain(|(other, _)| *other != agent);
            run.inferences.push((agent, number));
            run.recent.clear();
        }
        _ => remember(&mut run.recent, RECENT_MAX, Recent { number, kind }),
    }
    if matches!(kind, Kind::Inference | Kind::Message) && !standing {
        let turn = Turn {
            number,
            agent,
            words,
        };
        remember(&mut run.turns, TURNS_MAX, turn);
    }
    run.last = Some(number);
}
