//! The oracle on recorded runs: plans for what agents really did, carried out on the desks that they
//! did it on, against the state that a replay of the right calls gives.
//!
//! The runs of `tau-effects` are played on our desk, with the images that a catalogue asks for read
//! before and after each call, as the gateway would. The planner sees names, arguments, results and
//! images. What the data says about the answers (targets, kept calls that fail, classes of inverses,
//! affected calls) is read by the judge alone.

mod carry;
mod play;
pub(crate) mod score;

use std::collections::BTreeSet;
use std::path::PathBuf;

use model::{DecisionId, Outcome, Strength};
use recover::catalogue::{Inverse, Made};
use recover::plan::Incident;
use recover::{Call, Facts, Member, plan};
use serde_json::Value;

use play::{Desks, Played, Run};
use score::{Share, Tally};

pub(crate) use play::halves;

/// What the judge found in one half of the runs.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// R1: all wrong writes rolled back.
    pub(crate) wrong: Share,
    /// R2: one write dropped, the rest kept.
    pub(crate) one: Share,
    /// R2: whether the kept calls that fail were announced, those and no others.
    pub(crate) announced: Share,
    /// R3: what the inverse would do.
    pub(crate) inverse: Share,
    /// B1: later calls that a write changed something for.
    pub(crate) blast: Vec<Tally>,
    /// R1 and R2 by other means: the state of a checkpoint before the first dropped write, and the
    /// API's own inverses in reverse order.
    pub(crate) checkpoint: [Share; 2],
    pub(crate) saga: [Share; 2],
    /// R3 by the most frequent answer of each tool is computed from these: tool and answer.
    pub(crate) answers: Vec<(String, String)>,
    /// B1 by other means: everything later; a touched record's key in the arguments.
    pub(crate) later: Vec<Tally>,
    pub(crate) keyed: Vec<Tally>,
    /// What went wrong, for whoever looks.
    pub(crate) misses: Vec<String>,
}

/// Judges one half.
pub(crate) fn judge(data: &std::path::Path, half: &std::path::Path) -> Report {
    let desks = Desks::filled(data);
    let mut report = Report::default();
    for (file, runs) in play::files(half) {
        for run in runs {
            let played = desks.play(&run);
            let name = format!("{file} {} {}", run.source, run.trial);
            report.rollbacks(&desks, &run, &played, &name);
            report.inverses(&run, &played, &name);
            report.radius(&run, &played, &name);
        }
    }
    report
}

fn id(number: usize) -> DecisionId {
    DecisionId::new(number as u64 + 1, [0; 10])
}

fn facts(played: &Played, drop: &[usize]) -> Facts {
    let member = |number: &usize| Member {
        decision: id(*number),
        agent: "agent".to_owned(),
        ring: Strength::Certain,
    };
    Facts {
        incident: Incident {
            roots: drop.iter().map(|number| id(*number)).collect(),
            reason: "the write was wrong".to_owned(),
        },
        size: played.calls.len() as u64,
        members: drop.iter().map(member).collect(),
        calls: played.calls.clone(),
        current: played.current.clone(),
        ..Facts::default()
    }
}

impl Report {
    fn rollbacks(&mut self, desks: &Desks, run: &Run, played: &Played, name: &str) {
        let cases = run.r1.iter().map(|case| (0, case));
        for (which, case) in cases.chain(run.r2.iter().map(|case| (1, case))) {
            let facts = facts(played, &case.drop);
            let plan = plan(&facts, &played.catalogue);
            let mut desk = desks.again(played, "planned");
            let refused = carry::carry_out(&mut desk, &plan);
            let exact = case
                .target
                .iter()
                .all(|t| desk.body(&t.table, &t.key) == t.value);
            let share = if which == 0 {
                &mut self.wrong
            } else {
                &mut self.one
            };
            share.count(exact && refused.is_empty());
            if !exact || !refused.is_empty() {
                self.misses
                    .push(format!("{name}: drop {:?}: {refused:?}\n{plan}", case.drop));
            }
            if which == 1 {
                let torn: BTreeSet<_> = plan.torn.iter().map(|torn| torn.decision).collect();
                let fail: BTreeSet<_> = case.kept_fails.iter().map(|n| id(*n)).collect();
                self.announced.count(torn == fail);
                if torn != fail {
                    let torn = &plan.torn;
                    let fails = &case.kept_fails;
                    self.misses
                        .push(format!("{name}: drop {:?}: {fails:?} {torn:?}", case.drop));
                }
            }
            let mut desk = desks.again(played, "checkpoint");
            carry::to_checkpoint(&mut desk, played, &case.drop);
            let exact = case
                .target
                .iter()
                .all(|t| desk.body(&t.table, &t.key) == t.value);
            self.checkpoint[which].count(exact);
            let mut desk = desks.again(played, "saga");
            carry::saga(&mut desk, played, &case.drop);
            let exact = case
                .target
                .iter()
                .all(|t| desk.body(&t.table, &t.key) == t.value);
            self.saga[which].count(exact);
        }
    }

    fn inverses(&mut self, run: &Run, played: &Played, name: &str) {
        for (recorded, call) in run.calls.iter().zip(&played.calls) {
            let Some(answer) = recorded.inverse.as_ref() else {
                continue;
            };
            let said = inverse(played, call);
            self.inverse.count(said == answer.cls);
            if said != answer.cls {
                let of = &recorded.name;
                self.misses.push(format!(
                    "{name}: the inverse of {of} is {}, not {said}",
                    answer.cls
                ));
            }
            self.answers
                .push((recorded.name.clone(), answer.cls.clone()));
        }
    }

    fn radius(&mut self, run: &Run, played: &Played, name: &str) {
        for case in &run.b1 {
            let truth: BTreeSet<_> = case.affected.iter().map(|n| id(*n)).collect();
            let of = [id(case.write)];
            let found = recover::dependants(&played.calls, &of, &played.catalogue).into_iter();
            let found = found.filter(|d| d.strength == Strength::Certain);
            let found: BTreeSet<_> = found.map(|d| d.decision).collect();
            if found != truth {
                let tools = |set: &BTreeSet<DecisionId>| {
                    let calls = played.calls.iter().filter(|c| set.contains(&c.decision));
                    calls.map(|c| c.tool.clone()).collect::<Vec<_>>()
                };
                let of = &run.calls[case.write].name;
                let (found, truth) = (tools(&found), tools(&truth));
                self.misses
                    .push(format!("{name}: {of} changed {truth:?}, not {found:?}"));
            }
            self.blast.push(Tally::of(&found, &truth));
            let after = case.write + 1..run.calls.len();
            let later: BTreeSet<_> = after.clone().map(id).collect();
            self.later.push(Tally::of(&later, &truth));
            let written = played.written(case.write);
            let mentions = |number: &usize| {
                let args = Value::from(run.calls[*number].args.clone()).to_string();
                written.iter().any(|key| args.contains(key.as_str()))
            };
            let keyed: BTreeSet<_> = after.filter(mentions).map(id).collect();
            self.keyed.push(Tally::of(&keyed, &truth));
        }
    }
}

/// What the catalogue says of the inverse of a call, in the words of the data.
fn inverse(played: &Played, call: &Call) -> &'static str {
    let catalogue = &played.catalogue;
    let (server, tool) = (call.server.as_str(), call.tool.as_str());
    let (args, result) = (&call.arguments, call.result.as_ref());
    let before = catalogue
        .footprint(server, tool, args, result, &call.before)
        .before;
    let made = Made {
        args,
        result,
        before: &before,
    };
    match catalogue.inverse(server, tool, &made) {
        Inverse::Exact(_) => "exact",
        Inverse::Residue(..) => "residue",
        Inverse::Refused(_) => "refused",
        Inverse::None | Inverse::Lacks(_) => "none",
    }
}

/// The folder of recorded runs, or none.
#[expect(
    clippy::disallowed_methods,
    reason = "tests find real data through the environment"
)]
pub(crate) fn data() -> Option<PathBuf> {
    let root = std::env::var_os("RESCIND_DATA").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    root.join("tau-effects").is_dir().then_some(root)
}

/// Whether a call of the desk was carried out.
fn outcome(answer: &Result<String, String>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Succeeded,
        Err(_) => Outcome::Failed {
            class: model::FailureClass::Error,
        },
    }
}
