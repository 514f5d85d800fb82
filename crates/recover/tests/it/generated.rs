//! Rollbacks in generated systems come to what a replay without the bad decision gives.

use proptest::prelude::*;

use crate::systems::{Draw, System, judge, some_bad};

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
