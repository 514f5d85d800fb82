//! Which run a history belongs to that says so nowhere.

use std::collections::BTreeMap;

use lineage::{History, Item, Options, Role, Seen, Tracer};
use model::{DecisionId, Kind, RunId};
use proptest::prelude::*;

const TEXTS: [(Role, &str); 6] = [
    (Role::System, "You are helpful."),
    (Role::User, "What is the weather?"),
    (Role::User, "Go on."),
    (Role::Assistant, "It rains."),
    (Role::Assistant, "It still rains."),
    (Role::Tool, "rain"),
];

fn item(at: usize) -> Item<'static> {
    let (role, text) = TEXTS[at];
    Item {
        role,
        text,
        asked: &[],
        call_id: None,
    }
}

/// Something that happens: to a run, with a history, and an answer or none yet.
#[derive(Clone, Debug)]
enum Step {
    Observe(u64, Vec<usize>, Option<usize>),
    Complete(usize, usize),
    Forget(u64),
}

fn history() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..TEXTS.len(), 0..5)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let answer = || prop::option::of(3..5_usize);
    let step = prop_oneof![
        4 => (0..4_u64, history(), answer()).prop_map(|(run, h, a)| Step::Observe(run, h, a)),
        2 => (0..8_usize, 3..5_usize).prop_map(|(open, a)| Step::Complete(open, a)),
        1 => (0..4_u64).prop_map(Step::Forget),
    ];
    prop::collection::vec(step, 0..30)
}

/// For each run, each beginning that it knows and the latest decision with it.
type Known = BTreeMap<u64, BTreeMap<Vec<usize>, u64>>;

fn enter(known: &mut Known, run: u64, history: &[usize], answer: Option<usize>, number: u64) {
    let beginnings = known.entry(run).or_default();
    beginnings.insert(history.to_vec(), number);
    if let Some(answer) = answer {
        beginnings.insert([history, &[answer]].concat(), number);
    }
}

/// The plain answer: every run is asked for its longest beginning.
fn plain(known: &Known, history: &[usize]) -> Option<(u64, u64)> {
    known
        .iter()
        .filter_map(|(run, beginnings)| {
            (1..=history.len())
                .rev()
                .find_map(|len| Some((len, *beginnings.get(&history[..len])?)))
                .map(|(len, number)| (len, number, *run))
        })
        .max()
        .map(|(_, number, run)| (run, number))
}

proptest! {
    #[test]
    fn a_history_is_found_as_if_every_run_were_asked(steps in steps(), asked in prop::collection::vec(history(), 8)) {
        let mut tracer = Tracer::new(Options::default());
        let mut known = Known::new();
        let mut open: Vec<(u64, u64, Vec<usize>)> = Vec::new();
        let id = |number| DecisionId::new(number, [0; 10]);
        let run_id = |run| RunId::new(run, [0; 10]);
        for (number, step) in (1..).zip(&steps) {
            match step {
                Step::Observe(run, history, answer) => {
                    let items: Vec<_> = history.iter().map(|at| item(*at)).collect();
                    let mut seen = Seen::new(id(number), run_id(*run), "a", Kind::Inference);
                    seen.history = History::Sent(&items);
                    seen.output = answer.map(|at| TEXTS[at].1);
                    let _ = tracer.observe(&seen);
                    enter(&mut known, *run, history, *answer, number);
                    if answer.is_none() {
                        open.push((*run, number, history.clone()));
                    }
                }
                Step::Complete(at, answer) if *at < open.len() => {
                    let (run, number, history) = open.remove(*at);
                    let mut seen = Seen::new(id(number), run_id(run), "a", Kind::Inference);
                    seen.output = Some(TEXTS[*answer].1);
                    let _ = tracer.complete(&seen);
                    enter(&mut known, run, &history, Some(*answer), number);
                }
                Step::Complete(..) => {}
                Step::Forget(run) => {
                    tracer.forget(run_id(*run));
                    open.retain(|(of, ..)| of != run);
                    known.remove(run);
                }
            }
            for history in &asked {
                let items: Vec<_> = history.iter().map(|at| item(*at)).collect();
                let found = tracer.continues(&items);
                let is = plain(&known, history).map(|(run, number)| (run_id(run), id(number)));
                prop_assert_eq!(found, is);
            }
        }
    }
}
