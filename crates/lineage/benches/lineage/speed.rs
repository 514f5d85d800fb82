//! Speed: text traced per second, and the blast radius in a graph of a million.
//!
//! Ratios compare with a baseline in the same process: for tracing, a hash of every word of the
//! same texts; for the blast radius, the same two-ring closure over `HashMap` adjacency.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use lineage::{Graph, History, Item, Options, Role, Seen, Tracer};
use model::{Cause, CauseKind, DecisionId, Evidence, Kind, RunId, Strength};

use crate::data::{Message, Shown, conversations, show};

pub(crate) fn report(root: &Path) {
    println!("\nspeed");
    tracing(root);
    if std::env::args().any(|arg| arg == "tracing") {
        return;
    }
    resent();
    continued();
    blast();
}

/// The best of several rounds: noise only adds.
fn best(rounds: u32, mut work: impl FnMut()) -> Duration {
    (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .min()
        .unwrap()
}

fn size(message: &Message) -> usize {
    let calls = message.calls.iter();
    message.text.len() + calls.map(|call| call.arguments.len()).sum::<usize>()
}

fn tracing(root: &Path) {
    let runs: Vec<_> = conversations(root)
        .into_iter()
        .flat_map(|(_, r)| r)
        .collect();
    if runs.is_empty() {
        return;
    }
    let bytes: usize = runs.iter().flat_map(|r| &r.messages).map(size).sum();
    let shown = Shown {
        ids: true,
        names: true,
        arguments: true,
    };
    let mut decisions = 0;
    let mut edges = 0;
    let time = best(25, || {
        let mut tracer = Tracer::new(Options::default());
        (decisions, edges) = (0, 0);
        for (number, run) in runs.iter().enumerate() {
            for at in 0..run.messages.len() {
                decisions += 1;
                edges += show(
                    &mut tracer,
                    number,
                    &run.messages,
                    at,
                    shown,
                    &mut |_, _| {},
                )
                .len();
            }
            tracer.forget(RunId::new(number as u64, [0; 10]));
        }
    });
    let baseline = best(25, || {
        for message in runs.iter().flat_map(|r| &r.messages) {
            for word in message.text.split(|c: char| !c.is_ascii_alphanumeric()) {
                black_box(std::hash::BuildHasher::hash_one(
                    &rustc_hash::FxBuildHasher,
                    word.as_bytes(),
                ));
            }
        }
    });
    println!(
        "trace recorded runs: {:.0} MB/s ({} decisions, {} edges, {:.1} MB), {:.1} times the time \
         of hashing every word",
        bytes as f64 / 1e6 / time.as_secs_f64(),
        decisions,
        edges,
        bytes as f64 / 1e6,
        time.as_secs_f64() / baseline.as_secs_f64()
    );
}

/// A chat that resends 222 KB with every request.
fn resent() {
    let texts: Vec<String> = (0..222)
        .map(|n| {
            let mut text = String::new();
            while text.len() < 1_000 {
                text += &format!(
                    "line {} of message {n} tells of case C{n}x{} ",
                    text.len(),
                    n * 7919
                );
            }
            text
        })
        .collect();
    let items: Vec<Item<'_>> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| Item {
            role: if n % 2 == 0 {
                Role::User
            } else {
                Role::Assistant
            },
            text,
            asked: &[],
            call_id: None,
        })
        .collect();
    let mut tracer = Tracer::new(Options::default());
    let mut times = Vec::new();
    for n in (1..items.len()).step_by(2) {
        let run = RunId::new(1, [0; 10]);
        let mut seen = Seen::new(
            DecisionId::new(n as u64, [0; 10]),
            run,
            "a",
            Kind::Inference,
        );
        seen.history = History::Sent(&items[..n]);
        seen.output = Some(items[n].text);
        let start = Instant::now();
        black_box(tracer.observe(&seen));
        times.push(start.elapsed());
    }
    let last = times.iter().rev().take(20).min().unwrap();
    println!(
        "a request that resends 222 KB: {:.3} ms",
        last.as_secs_f64() * 1e3
    );
}

/// A request without ids: which of 10,000 live runs does its history continue? All begin with the
/// same system prompt; each has been asked ten times.
fn continued() {
    const RUNS: u64 = 10_000;
    let texts: Vec<String> = (0..200)
        .map(|n| format!("line of message {n} tells of case C{n} ").repeat(30))
        .collect();
    let role = |n: usize| match n {
        0 => Role::System,
        n if n % 2 == 1 => Role::User,
        _ => Role::Assistant,
    };
    let item = |n: usize| Item {
        role: role(n),
        text: &texts[n],
        asked: &[],
        call_id: None,
    };
    let mut tracer = Tracer::new(Options::default());
    for run in 0..RUNS {
        let own = format!("this is run {run}");
        let mut items: Vec<Item<'_>> = (0..22).map(item).collect();
        items[1].text = &own;
        for n in (2..22).step_by(2) {
            let id = DecisionId::new(run * 100 + n as u64, [0; 10]);
            let mut seen = Seen::new(id, RunId::new(run + 1, [0; 10]), "a", Kind::Inference);
            seen.history = History::Sent(&items[..n]);
            seen.output = Some(items[n].text);
            black_box(tracer.observe(&seen));
        }
    }
    let own = format!("this is run {}", RUNS / 2);
    let mut items: Vec<Item<'_>> = (0..200).map(item).collect();
    items[1].text = &own;
    let bytes: usize = items.iter().map(|item| item.text.len()).sum();
    assert!(tracer.continues(&items).is_some());
    let time = best(200, || {
        black_box(tracer.continues(black_box(&items)));
    });
    println!(
        "which run a history of 200 messages, {} KB, continues, {RUNS} runs live: {:.3} ms",
        bytes >> 10,
        time.as_secs_f64() * 1e3
    );
}

/// A million decisions in runs of a thousand: each depends on its predecessor, possibly on the
/// one before, and on one anywhere earlier in its run.
fn blast() {
    const NODES: u64 = 1_000_000;
    const RUN: u64 = 1_000;
    let mut state = 42_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let id = |n: u64| {
        let bytes = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes();
        DecisionId::new(
            n / 7,
            [
                bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], 0,
                0,
            ],
        )
    };
    let mut graph = Graph::with_capacity(1_000_000, 3_000_000);
    let mut plain: HashMap<DecisionId, Vec<(DecisionId, bool)>> = HashMap::new();
    let started = Instant::now();
    let mut edges = Vec::new();
    // Runs are interleaved, as they are in a live realm.
    for step in 0..RUN {
        for run in 0..NODES / RUN {
            let at = |step: u64| id(run * RUN + step);
            graph.insert(at(step)).unwrap();
            for (back, certain) in [
                (1, true),
                (2, false),
                (1 + random(step.max(1)), random(2) == 0),
            ] {
                if back <= step {
                    edges.push((at(step - back), at(step), certain));
                }
            }
        }
    }
    for &(from, to, certain) in &edges {
        let cause = Cause {
            decision: from,
            evidence: Evidence::Adjacent,
            kind: CauseKind::Context,
            strength: if certain {
                Strength::Certain
            } else {
                Strength::Possible
            },
        };
        graph.link(to, &cause).unwrap();
    }
    let built = started.elapsed();
    for &(from, to, certain) in &edges {
        plain.entry(from).or_default().push((to, certain));
    }
    let origins: Vec<DecisionId> = (0..200).map(|n| id(n * 5 * RUN)).collect();
    let mut touched = 0;
    let mut times: Vec<Duration> = origins
        .iter()
        .map(|origin| {
            let start = Instant::now();
            touched = black_box(graph.blast(*origin)).len();
            start.elapsed()
        })
        .collect();
    let mut naive: Vec<Duration> = origins
        .iter()
        .map(|origin| {
            let start = Instant::now();
            assert_eq!(black_box(naive_blast(&plain, *origin)), touched);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    naive.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "blast radius of {touched} in {NODES} decisions, {} edges: p50 {:.3} ms, max {:.3} ms, \
         {:.1} times as fast as over hash maps (p50 {:.3} ms); built in {:.2} s",
        graph.edges(),
        ms(times[100]),
        ms(times[199]),
        naive[100].as_secs_f64() / times[100].as_secs_f64(),
        ms(naive[100]),
        built.as_secs_f64()
    );
}

fn naive_blast(graph: &HashMap<DecisionId, Vec<(DecisionId, bool)>>, origin: DecisionId) -> usize {
    let ring = |sure: bool| {
        let mut met = HashSet::from([origin]);
        let mut queue = VecDeque::from([origin]);
        while let Some(node) = queue.pop_front() {
            for &(next, certain) in graph.get(&node).into_iter().flatten() {
                if (certain || !sure) && met.insert(next) {
                    queue.push_back(next);
                }
            }
        }
        met
    };
    let certain = ring(true);
    let possible = ring(false)
        .into_iter()
        .filter(|n| !certain.contains(n))
        .count();
    certain.len() - 1 + possible
}
