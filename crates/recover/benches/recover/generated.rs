//! (b) Generated systems: what a rollback comes to, beside sagas and checkpoints.

use crate::oracle::score::Share;
use crate::systems::{Draw, System, judge, some_bad};

/// Decisions, and how many systems of that size.
const SIZES: [(usize, u64); 4] = [(100, 100), (1_000, 100), (10_000, 20), (100_000, 3)];

pub(crate) fn report() {
    println!("\n(b) generated systems of 2 to 50 agents, one bad decision in each");
    for (decisions, count) in SIZES {
        let mut shares = [Share::default(); 5];
        let (mut members, mut again, mut torn) = (0, 0, 0);
        for seed in 0..count {
            let agents = 2 + Draw::new(seed + 7).below(49);
            let system = System::run(seed, agents, decisions);
            let Some(bad) = some_bad(&system, seed) else {
                continue;
            };
            let judged = judge(&system, bad, seed);
            let exact = judged.exact && judged.refused.is_empty();
            let results = [
                exact,
                judged.announced,
                judged.line,
                judged.saga,
                judged.checkpoint,
            ];
            shares
                .iter_mut()
                .zip(results)
                .for_each(|(share, hit)| share.count(hit));
            if !exact {
                println!("seed {seed}, {agents} agents: {}", system.story(&judged));
            }
            members += judged.plan.affected.len();
            torn += judged.plan.torn.len();
            let runs_again =
                |step: &&recover::plan::Step| matches!(step.act, recover::plan::Act::Again { .. });
            again += judged.plan.steps.iter().filter(runs_again).count();
        }
        println!(
            "{decisions} decisions: {members} taken back, {again} kept calls run again, {torn} torn"
        );
        let names = [
            "the world is that of a replay without them",
            "kept calls that fail announced, no others",
            "the recovery line remembers nothing of it",
            "   each agent's effects undone in reverse order",
            "   the world before the bad decision",
        ];
        for (name, share) in names.into_iter().zip(shares) {
            println!("  {name:<48} {share}");
        }
    }
}
