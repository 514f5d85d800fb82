//! What holds whatever is shown to a tracer.

use std::collections::BTreeSet;

use lineage::{Asked, History, Item, Options, Role, Seen, Tracer};
use model::{Cause, CauseKind, DecisionId, Evidence, Kind, RunId, Strength};
use proptest::prelude::*;

/// Few words, so that everything repeats and resembles.
const WORDS: [&str; 12] = [
    "W6390527",
    "a@b.example",
    "/var/log/x17",
    "2024-05-20",
    "the",
    "roof",
    "leaks",
    "again",
    "\\u00e9\\",
    "{\"k\":[1,",
    "550e8400-e29b-41d4-a716-446655440000",
    "é–",
];

#[derive(Clone, Debug)]
struct Step {
    run: u64,
    agent: usize,
    kind: usize,
    text: String,
    arguments: String,
    call: usize,
    to: Option<usize>,
    history: usize,
    late: bool,
    explicit: Option<usize>,
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(0..WORDS.len(), 0..40).prop_map(|words| {
        words
            .iter()
            .map(|w| WORDS[*w])
            .collect::<Vec<_>>()
            .join(" ")
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let flags = (0..3usize, any::<bool>(), prop::option::of(0..40usize));
    let who = (1..4u64, 0..3usize, 0..4usize);
    let what = (text(), text(), 0..6usize, prop::option::of(0..3usize));
    let step = (who, what, flags).prop_map(|((run, agent, kind), what, flags)| Step {
        run,
        agent,
        kind,
        text: what.0,
        arguments: what.1,
        call: what.2,
        to: what.3,
        history: flags.0,
        late: flags.1,
        explicit: flags.2,
    });
    prop::collection::vec(step, 0..40)
}

fn id(n: usize) -> DecisionId {
    DecisionId::new(n as u64, [7; 10])
}

/// Shows everything and returns all causes, by effect, with what was observed so far.
fn show(tracer: &mut Tracer, steps: &[Step], mut each: impl FnMut(usize, &[Cause], &Tracer)) {
    const AGENTS: [&str; 3] = ["ann", "bob", "cid"];
    const KINDS: [Kind; 4] = [Kind::Inference, Kind::ToolCall, Kind::Message, Kind::Step];
    for (n, step) in steps.iter().enumerate() {
        let call = step.call.to_string();
        let arguments = format!("{{\"x\":{{\"y\":[\"{}\"]}}}}", step.arguments);
        let asked = [Asked {
            id: (step.call > 1).then_some(call.as_str()),
            name: "tool",
            arguments: &arguments,
        }];
        let earlier: Vec<Item<'_>> = steps[..n]
            .iter()
            .map(|s| Item {
                role: [Role::User, Role::Assistant, Role::Tool, Role::System][s.call % 4],
                text: &s.text,
                asked: &[],
                call_id: None,
            })
            .collect();
        let explicit: Vec<Cause> = step
            .explicit
            .map(|n| Cause {
                decision: id(n),
                evidence: Evidence::Explicit { by: "test".into() },
                kind: CauseKind::Parent,
                strength: Strength::Certain,
            })
            .into_iter()
            .collect();
        let run = RunId::new(step.run, [0; 10]);
        let mut seen = Seen::new(id(n), run, AGENTS[step.agent], KINDS[step.kind]);
        seen.history = [
            History::Unknown,
            History::Continues,
            History::Sent(&earlier),
        ][step.history];
        seen.to = step.to.map(|to| AGENTS[to]);
        seen.explicit = &explicit;
        seen.standing = step.call == 5;
        match seen.kind {
            Kind::ToolCall => {
                seen.name = Some("tool");
                seen.arguments = Some(&arguments);
                seen.call_id = asked[0].id;
            }
            Kind::Inference if !step.late => seen.asked = &asked,
            _ => {}
        }
        if !step.late {
            seen.output = Some(&step.text);
        }
        let mut causes = tracer.observe(&seen);
        if step.late {
            seen.output = Some(&step.text);
            causes.extend(tracer.complete(&seen));
        }
        each(n, &causes, tracer);
    }
}

fn options(across_runs: bool) -> Options {
    Options {
        across_runs,
        ..Options::default()
    }
}

proptest! {
    #[test]
    fn no_cause_is_the_decision_itself_or_later(steps in steps(), across in any::<bool>()) {
        show(&mut Tracer::new(options(across)), &steps, |n, causes, _| {
            for cause in causes {
                assert_ne!(cause.decision, id(n));
                if !matches!(cause.evidence, Evidence::Explicit { .. }) {
                    assert!((0..n).any(|earlier| id(earlier) == cause.decision));
                }
            }
        });
    }

    #[test]
    fn runs_that_are_kept_apart_share_no_edge(steps in steps()) {
        show(&mut Tracer::new(options(false)), &steps, |n, causes, _| {
            for cause in causes {
                if matches!(cause.evidence, Evidence::Explicit { .. }) {
                    continue;
                }
                let from = (0..n).find(|earlier| id(*earlier) == cause.decision);
                assert_eq!(steps[from.expect("observed before")].run, steps[n].run);
            }
        });
    }

    #[test]
    fn the_same_history_gives_the_same_edges(steps in steps(), across in any::<bool>()) {
        let play = || {
            let mut all = Vec::new();
            show(&mut Tracer::new(options(across)), &steps, |_, causes, _| {
                all.push(causes.to_vec());
            });
            all
        };
        prop_assert_eq!(play(), play());
    }

    #[test]
    fn memory_stays_within_its_bound(steps in steps(), entries_max in 20..200usize) {
        let tight = Options { entries_max, causes_max: 5, decisions_max: 7, ..options(true) };
        show(&mut Tracer::new(tight), &steps, |n, causes, tracer| {
            assert!(tracer.entries() <= entries_max, "{} entries", tracer.entries());
            let inferred = |c: &&Cause| !matches!(c.evidence, Evidence::Explicit { .. });
            // Twice five, where the output came later.
            assert!(causes.iter().filter(inferred).count() <= 10);
            for cause in causes.iter().filter(inferred) {
                assert!((n.saturating_sub(7)..n).any(|known| id(known) == cause.decision));
            }
        });
    }

    #[test]
    fn a_cause_of_one_kind_is_named_once(steps in steps()) {
        show(&mut Tracer::new(options(true)), &steps, |n, causes, _| {
            if !steps[n].late {
                let pairs: BTreeSet<_> = causes.iter().map(|c| (c.decision, c.kind)).collect();
                assert_eq!(pairs.len(), causes.len());
            }
        });
    }
}

#[test]
fn hostile_text_costs_no_more_than_its_length() {
    let mut tracer = Tracer::new(options(true));
    let run = RunId::new(1, [0; 10]);
    let deep = "[".repeat(200_000);
    let joined = "a-1/".repeat(500_000);
    let escapes = format!("{{{}", "\\u".repeat(300_000));
    for (n, text) in [deep, joined, escapes].iter().enumerate() {
        let asked = [Asked {
            id: None,
            name: "tool",
            arguments: text,
        }];
        let mut seen = Seen::new(id(n), run, "a", Kind::Inference);
        seen.output = Some(text);
        seen.asked = &asked;
        tracer.observe(&seen);
    }
    assert!(tracer.entries() < 100_000);
}

#[test]
fn of_many_runs_those_are_forgotten_that_were_observed_longest_ago() {
    let entries_max = 400;
    let mut tracer = Tracer::new(Options {
        entries_max,
        ..options(false)
    });
    let run = |n: usize| RunId::new(n as u64 + 1, [0; 10]);
    let says = |n: usize| format!("run number {n} is about the order O-{:04}", 1_000 + n);
    fn item(text: &str) -> Item<'_> {
        Item {
            role: Role::User,
            text,
            asked: &[],
            call_id: None,
        }
    }
    let ask = |tracer: &mut Tracer, step: usize, n: usize| {
        let text = says(n);
        let items = [item(&text)];
        let mut seen = Seen::new(id(step), run(n), "a", Kind::Inference);
        seen.history = History::Sent(&items);
        tracer.observe(&seen);
    };
    let known = |tracer: &Tracer, n: usize| {
        let text = says(n);
        let items = [item(&text)];
        tracer.continues(&items).is_some_and(|(of, _)| of == run(n))
    };
    // The first is observed again and again, the others once.
    for n in 1..1_000 {
        ask(&mut tracer, 2 * n, n);
        ask(&mut tracer, 2 * n + 1, 0);
        assert!(tracer.entries() <= entries_max);
    }
    let left: Vec<usize> = (0..1_000).filter(|n| known(&tracer, *n)).collect();
    assert!(left.len() > 4, "{left:?}");
    assert_eq!(left[0], 0);
    assert!(
        left[1..]
            .iter()
            .rev()
            .copied()
            .eq((0..left.len() - 1).map(|n| 999 - n)),
        "{left:?}"
    );
}
