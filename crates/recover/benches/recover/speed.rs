//! (c) Speed: a plan for 1,000 affected effects in a record of a million decisions.

use std::time::{Duration, Instant};

use lineage::Graph;
use model::{Cause, CauseKind, DecisionId, Edge, Evidence, Strength};
use recover::plan::Incident;
use recover::{Call, Facts, Member, plan};
use serde_json::json;

use crate::world::{World, catalogue, id};

const RECORD: usize = 1_000_000;
const AFFECTED: usize = 1_000;
/// Every so many decisions one follows from the incident.
const STRIDE: usize = 100;

pub(crate) fn report() {
    println!("\n(c) a plan for {AFFECTED} effects in a record of {RECORD} decisions");
    let bad = RECORD / 2;
    let mut graph = Graph::with_capacity(RECORD, RECORD);
    let mut edges = Vec::new();
    let mut calls: Vec<Call> = Vec::new();
    let mut world = World::default();
    for number in 0..AFFECTED {
        let row = json!({"id": number.to_string(), "a": 1, "b": "", "learned": 0, "more": "x".repeat(600)});
        world.0.insert(format!("rows/{number}"), row);
    }
    let catalogue = catalogue();
    for number in 0..RECORD {
        let decision = id(number + 1);
        graph.insert(decision).unwrap();
        let nth = number.checked_sub(bad).filter(|since| since % STRIDE == 0);
        let nth = nth
            .map(|since| since / STRIDE)
            .filter(|nth| *nth < AFFECTED);
        let cause = match nth {
            // A tree: each has a few that follow from it.
            Some(0) => None,
            Some(nth) => Some(bad + (nth - 1) / 3 * STRIDE),
            None => number
                .checked_sub(1)
                .filter(|_| number % 10 != 0 && number % STRIDE > 1),
        };
        if let Some(cause) = cause {
            let decided = id(cause + 1);
            let made = Cause {
                decision: decided,
                evidence: Evidence::HistoryPrefix,
                kind: CauseKind::Context,
                strength: Strength::Certain,
            };
            graph.link(decision, &made).unwrap();
            if nth.is_some() {
                edges.push(Edge {
                    cause: decided,
                    effect: decision,
                    kind: CauseKind::Context,
                    strength: Strength::Certain,
                });
            }
        }
        if let Some(nth) = nth {
            let args = json!({"id": nth.to_string(), "b": number.to_string()});
            calls.push(world.perform(&catalogue, decision, "set_b", args));
        } else if number > bad && number % STRIDE == 50 && number < bad + AFFECTED * STRIDE {
            // Others went on with the same records: some beside it, some on top of it.
            let row = (number - bad) / STRIDE;
            let (tool, args) = match row % 4 {
                0 => (
                    "copy",
                    json!({"from": row.to_string(), "to": (row / 2).to_string()}),
                ),
                _ => ("add_a", json!({"id": row.to_string(), "n": 3})),
            };
            calls.push(world.perform(&catalogue, decision, tool, args));
        }
    }
    let current = world.now(&calls);
    let mut took = [Vec::new(), Vec::new(), Vec::new()];
    let mut steps = 0;
    for _ in 0..20 {
        let begun = Instant::now();
        let blast = graph.blast(id(bad + 1));
        took[0].push(begun.elapsed());
        let followed = blast.certain.iter().map(|touched| touched.decision);
        let mut members: Vec<DecisionId> = followed.chain([id(bad + 1)]).collect();
        members.sort_unstable();
        let member = |decision: DecisionId| Member {
            decision,
            agent: "agent".to_owned(),
            ring: Strength::Certain,
        };
        let facts = Facts {
            incident: Incident::default(),
            size: RECORD as u64,
            members: members.into_iter().map(member).collect(),
            edges: edges.clone(),
            calls: calls.clone(),
            current: current.clone(),
            ..Facts::default()
        };
        let (begun, busy) = (Instant::now(), processor());
        let plan = plan(&facts, &catalogue);
        took[1].push(begun.elapsed());
        took[2].push(processor().saturating_sub(busy));
        assert_eq!(plan.affected.len(), AFFECTED);
        steps = plan.steps.len();
    }
    let [blast, plan, busy] = took.map(|mut list| {
        list.sort_unstable();
        (list[list.len() / 2], list[list.len() - 1])
    });
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{:<48} median {:.2} ms, slowest {:.2} ms",
        "blast radius",
        ms(blast.0),
        ms(blast.1)
    );
    println!(
        "{:<48} median {:.2} ms, slowest {:.2} ms; processor time median {:.2} ms",
        "plan",
        ms(plan.0),
        ms(plan.1),
        ms(busy.0)
    );
    println!("{steps} steps, {} calls looked at", calls.len());
}

/// How long this thread had a processor: on a busy machine the clock says more about the others.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let busy = stat.split(' ').next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(busy.unwrap_or_default())
}
