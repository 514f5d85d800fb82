//! Breakers, as timelines and as properties.

use std::collections::HashMap;
use std::time::Duration;

use guard::{Admission, Breaker, BreakerOptions, Breakers, Heard, Phase, Target, Ticket};
use insta::assert_snapshot;
use model::{FailureClass, Outcome, Timestamp};
use proptest::prelude::*;

const OPTIONS: BreakerOptions = BreakerOptions {
    failures_max: 2,
    open_for: Duration::from_secs(10),
    open_for_max: Duration::from_secs(30),
    probes_max: 1,
    probe_for: Duration::from_secs(60),
};

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

/// Plays a timeline: each line is a second, a call's name and what it does: `call`, `works`,
/// `fails`, `is gone`. Shows what is refused and what changes.
fn play(options: &BreakerOptions, text: &str) -> String {
    let mut breaker = Breaker::default();
    let mut tickets: HashMap<String, Ticket> = HashMap::new();
    let mut shown = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let now = at(words.next().unwrap().parse().unwrap());
        let (name, does) = (words.next().unwrap(), words.next().unwrap());
        let change = if does == "call" {
            let (admission, change) = breaker.admit(options, now);
            match admission {
                Admission::Pass(ticket) => {
                    tickets.insert(name.to_owned(), ticket);
                }
                Admission::Refuse { retry_at } => {
                    let after = (retry_at.0 - now.0) / 1_000_000;
                    shown.push_str(&format!("{line}: refused, again in {after} s\n"));
                }
            }
            change
        } else {
            let heard = match does {
                "works" => Heard::Worked,
                "fails" => Heard::Failed,
                _ => Heard::Nothing,
            };
            let ticket = tickets.remove(name).unwrap();
            breaker.hear(options, ticket, heard, now)
        };
        if let Some(change) = change {
            let (from, to) = (change.from.name(), change.to.name());
            shown.push_str(&format!("{line}: {from} to {to}\n"));
        }
    }
    shown
}

#[test]
fn c22_failures_in_a_row_trip_and_the_next_call_is_refused_with_a_time() {
    assert_snapshot!(play(&OPTIONS, "
        1 a call
        1 a fails
        2 b call
        2 b works
        3 c call
        3 c fails
        4 d call
        4 d fails
        5 e call
        13 f call
    "), @r"
    4 d fails: closed to open
    5 e call: refused, again in 9 s
    13 f call: refused, again in 1 s
    ");
}

#[test]
fn c23_probes_decide_and_each_failure_makes_the_rest_longer() {
    assert_snapshot!(play(&OPTIONS, "
        1 a call
        1 b call
        1 a fails
        1 b fails
        11 c call
        11 d call
        12 c fails
        31 e call
        32 f call
        33 f works
        34 g call
        34 g works
    "), @r"
    1 b fails: closed to open
    11 c call: open to half-open
    11 d call: refused, again in 10 s
    12 c fails: half-open to open
    31 e call: refused, again in 1 s
    32 f call: open to half-open
    33 f works: half-open to closed
    ");
}

#[test]
fn c23_as_many_probes_as_are_allowed_go_at_once() {
    let three = BreakerOptions {
        probes_max: 3,
        ..OPTIONS
    };
    assert_snapshot!(play(&three, "
        1 a call
        1 b call
        1 a fails
        1 b fails
        11 c call
        11 d call
        11 e call
        11 f call
    "), @r"
    1 b fails: closed to open
    11 c call: open to half-open
    11 f call: refused, again in 10 s
    ");
}

#[test]
fn c24_a_probe_that_says_nothing_frees_its_place() {
    assert_snapshot!(play(&OPTIONS, "
        1 a call
        1 b call
        1 a fails
        1 b fails
        11 c call
        12 d call
        13 c is gone
        14 e call
        75 f call
        76 e fails
        76 f works
    "), @r"
    1 b fails: closed to open
    11 c call: open to half-open
    12 d call: refused, again in 10 s
    76 f works: half-open to closed
    ");
}

#[test]
fn c25_what_comes_late_decides_nothing() {
    assert_snapshot!(play(&OPTIONS, "
        1 late call
        1 later call
        1 a call
        1 b call
        2 a fails
        2 b fails
        3 late works
        12 c call
        12 later works
        13 d call
        14 c works
    "), @r"
    2 b fails: closed to open
    12 c call: open to half-open
    13 d call: refused, again in 10 s
    14 c works: half-open to closed
    ");
}

#[test]
fn c26_only_faults_of_the_infrastructure_count() {
    let counts =
        |class: &FailureClass| Heard::of(&Outcome::Failed { class: *class }) == Heard::Failed;
    let counted: Vec<&str> = FailureClass::ALL
        .iter()
        .filter(|class| counts(class))
        .map(|class| class.name())
        .collect();
    let faults = [
        "timeout",
        "unavailable",
        "overload",
        "server",
        "out-of-memory",
    ];
    assert_eq!(counted, faults);
}

#[test]
fn c32_a_breaker_is_taken_up_where_the_record_left_it() {
    let target = Target::tool("desk", "cancel_order");
    let mut breakers = Breakers::default();
    let mut told = |to, second| breakers.restore(&OPTIONS, target.clone(), to, at(second));
    told(Phase::Open, 10);
    told(Phase::HalfOpen, 20);
    told(Phase::Open, 21);
    let refuses = |breakers: &Breakers, second| breakers.refuses(&OPTIONS, &target, at(second));
    assert_eq!(
        refuses(&breakers, 30),
        Some(at(41)),
        "the second rest is longer"
    );
    assert_eq!(refuses(&breakers, 41), None);
    assert_eq!(breakers.open("tool"), 1);
    breakers.restore(&OPTIONS, target.clone(), Phase::HalfOpen, at(41));
    let (admission, change) = breakers.admit(&OPTIONS, &target, at(42));
    assert!(matches!(admission, Admission::Pass(_)), "its probe is gone");
    assert_eq!(change.unwrap().to, Phase::HalfOpen);
    breakers.restore(&OPTIONS, target.clone(), Phase::Closed, at(43));
    assert_eq!((refuses(&breakers, 43), breakers.open("tool")), (None, 0));
}

#[derive(Clone, Debug)]
enum Act {
    Call,
    End(usize, Heard),
    Wait(i64),
}

fn act() -> impl Strategy<Value = Act> {
    let heard = prop_oneof![
        1 => Just(Heard::Worked),
        3 => Just(Heard::Failed),
        1 => Just(Heard::Nothing)
    ];
    prop_oneof![
        3 => Just(Act::Call),
        3 => (0..8_usize, heard).prop_map(|(which, heard)| Act::End(which, heard)),
        1 => (0..40_i64).prop_map(Act::Wait),
    ]
}

proptest! {
    /// Whatever happened, and whoever never came back: waiting long enough gets a call out.
    #[test]
    fn c24_no_target_is_locked_out_for_ever(acts in prop::collection::vec(act(), 0..60)) {
        let (mut breaker, mut now) = (Breaker::default(), 0);
        let mut under_way = Vec::new();
        for act in acts {
            match act {
                Act::Call => {
                    if let (Admission::Pass(ticket), _) = breaker.admit(&OPTIONS, at(now)) {
                        under_way.push(ticket);
                    }
                }
                Act::End(which, heard) if !under_way.is_empty() => {
                    let ticket = under_way.swap_remove(which % under_way.len());
                    breaker.hear(&OPTIONS, ticket, heard, at(now));
                }
                Act::End(..) => {}
                Act::Wait(seconds) => now += seconds,
            }
        }
        let (admission, _) = breaker.admit(&OPTIONS, at(now + 60));
        prop_assert!(matches!(admission, Admission::Pass(_)));
    }

    /// Half-open lets through as many as are allowed, and only they decide.
    #[test]
    fn c23_c25_probes_alone_decide(
        acts in prop::collection::vec(act(), 0..80),
        probes_max in 1..4_u32,
    ) {
        let options = BreakerOptions { probes_max, ..OPTIONS };
        let (mut breaker, mut now) = (Breaker::default(), 0);
        let mut era = 0_u32;
        let mut under_way: Vec<(u32, Ticket)> = Vec::new();
        for act in acts {
            let before = breaker.phase();
            let change = match act {
                Act::Call => {
                    let (admission, change) = breaker.admit(&options, at(now));
                    era += u32::from(change.is_some());
                    if let Admission::Pass(ticket) = admission {
                        prop_assert!(breaker.phase() != Phase::Open);
                        under_way.push((era, ticket));
                    }
                    if breaker.phase() == Phase::HalfOpen && now < 60 {
                        let probes = under_way.iter().filter(|(of, _)| *of == era).count();
                        prop_assert!(probes <= probes_max as usize);
                    }
                    None
                }
                Act::End(which, heard) if !under_way.is_empty() => {
                    let (of, ticket) = under_way.swap_remove(which % under_way.len());
                    let change = breaker.hear(&options, ticket, heard, at(now));
                    if of != era {
                        prop_assert!(change.is_none(), "it came late");
                    }
                    change
                }
                Act::End(..) => None,
                Act::Wait(seconds) => {
                    now += seconds;
                    None
                }
            };
            if let Some(change) = change {
                era += 1;
                prop_assert_eq!(change.from, before);
                prop_assert_eq!(change.to, breaker.phase());
            }
        }
    }
}
