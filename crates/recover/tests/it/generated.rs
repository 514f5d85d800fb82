//! Rollbacks in generated systems come to what a replay without the bad decision gives.

use model::DecisionId;
use proptest::prelude::*;
use recover::catalogue::Footprint;
use recover::{Facts, dependants, plan};

use crate::systems::{Draw, System, judge, some_bad};
use crate::world::catalogue;

fn check(seed: u64, agents: usize, decisions: usize) {
    let system = System::run(seed, agents, decisions);
    let Some(bad) = some_bad(&system, seed) else {
        return;
    };
    let judged = judge(&system, bad, seed);
    let place = format!("seed {seed}, {agents} agents, {decisions} decisions");
    let story = system.story(&judged);
    assert_eq!(judged.refused, [""; 0], "{place}: {}{story}", judged.plan);
    assert!(judged.exact, "{place}: {}{story}", judged.plan);
    assert!(judged.announced, "{place}: {}{story}", judged.plan);
    assert!(judged.line, "{place}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn c34_c37_what_followed_is_taken_back_and_nothing_else(
        seed in any::<u64>(),
        agents in 2_usize..=12,
        decisions in 5_usize..=240,
    ) {
        check(seed, agents, decisions);
    }
}

#[test]
fn footprints_that_come_with_the_facts_change_no_plan() {
    let catalogue = catalogue();
    let mut compared = 0;
    for seed in 0..24 {
        let system = System::run(seed, 2 + seed as usize % 7, 160);
        let Some(bad) = some_bad(&system, seed) else {
            continue;
        };
        let facts = system.facts(bad);
        let of = |call| catalogue.footprint_of(call);
        let footprints: Vec<Footprint> = facts.calls.iter().map(of).collect();
        let members: Vec<DecisionId> = facts.members.iter().map(|m| m.decision).collect();
        let told = facts.calls.iter().zip(&footprints);
        assert_eq!(
            dependants(told, &members, &catalogue),
            dependants(&facts.calls, &members, &catalogue),
            "seed {seed}"
        );
        // Some of them, as all: what is missing is worked out.
        for known in [footprints.len(), footprints.len() / 2] {
            let told = Facts {
                footprints: footprints[..known].to_vec(),
                ..facts.clone()
            };
            assert_eq!(
                plan(&told, &catalogue),
                plan(&facts, &catalogue),
                "seed {seed}"
            );
        }
        compared += 1;
    }
    assert!(compared > 12, "{compared}");
}

/// Larger ones, where `RESCIND_SYSTEMS` says how many.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how much is tried is said by the environment"
)]
fn c34_c37_large_systems_too() {
    let Some(count) = std::env::var("RESCIND_SYSTEMS")
        .ok()
        .and_then(|c| c.parse().ok())
    else {
        println!("RESCIND_SYSTEMS says how many large systems to try: passing over");
        return;
    };
    for seed in 0..count {
        let mut draw = Draw::new(seed + 1);
        let agents = 2 + draw.below(49);
        println!("seed {seed}");
        check(seed, agents, [1_000, 10_000, 100_000][draw.below(3)]);
    }
}
