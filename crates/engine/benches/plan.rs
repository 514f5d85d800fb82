//! How long a plan takes, with the facts that it is made of, on a large record.
//!
//! ```sh
//! cargo bench -p rescind-engine --bench plan
//! ```
//!
//! A million decisions stand in the embedded store, four fifths of them tool calls on records of
//! their own, half before the incident and half after it. A call that was wrong was followed by 999
//! of other records, and each of the thousand by a call of somebody else who touched the same record.
//! Measured is everything between the question and the plan: who depends, which calls touched the
//! same records, opening these (contents and images), what the writes changed for others, the plan.
//! The records as they are now are not read: that is the tools' time. On a busy machine the
//! processor time says more than the clock. `PLAN_BENCH_DECISIONS` and `PLAN_BENCH_PLANS` change how
//! many there are; `PLAN_BENCH_DIR` keeps the record, so that it is made once.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark measures and prints, and stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::live::{Call, Caller, Ended, Options, Recorder, Touches, What};
use engine::undo::{Catalogue, Request, plan_of};
use engine::{Clock, Engine, SystemClock};
use ledger::conformance::sample::{Maker, batch};
use ledger::{Store, SystemEntropy};
use model::{
    Agent, Body, ClassSource, DecisionId, Digest, Effect, EffectClass, Environment, Field, Kind,
    Media, Outcome, Proposal, Provenance, Resource, RunId,
};
use serde_json::{Value, json};
use store::{EmbeddedStore, OpenOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOOLS: &str = r#"
server = "desk"

[resources.order]
uri = "orders/{id}"
read = { tool = "look", args = { id = "{id}" } }
restore = { tool = "restore", args = { id = "{id}", fields = "{fields}" } }

[tools.cancel]
class = "reversible"
reads = [{ order = "{args.id}", fields = ["/status"] }]
writes = [{ order = "{args.id}", sets = ["/status"] }]

[tools.note]
class = "reversible"
reads = [{ order = "{args.id}", fields = ["/id"] }]
writes = [{ order = "{args.id}", sets = ["/note"] }]
shows = []
"#;

/// Wrong calls, and calls of others on the same records.
const CALLS: usize = 1_000;
/// Decisions in one append.
const APPENDED: usize = 10_000;

fn told(name: &str, usual: usize) -> usize {
    let told = std::env::var(name).ok();
    told.map_or(usual, |text| text.parse().unwrap())
}

#[tokio::main]
async fn main() {
    let kept = std::env::var("PLAN_BENCH_DIR").ok().map(PathBuf::from);
    let dir = tempfile::tempdir().unwrap();
    let dir = kept.as_deref().unwrap_or(dir.path());
    let entropy = Arc::new(SystemEntropy::new());
    let seconds = Arc::new(|| SystemClock.wall() / 1_000_000);
    let options = OpenOptions::new(dir.join("record"), entropy.clone(), seconds);
    let store = Arc::new(EmbeddedStore::open(options).unwrap());
    let decisions = told("PLAN_BENCH_DECISIONS", 1_000_000);
    let plans = told("PLAN_BENCH_PLANS", 7);
    let catalogue = Arc::new(Catalogue::parse(TOOLS).unwrap());
    let said = dir.join("root");
    let root = match std::fs::read_to_string(&said) {
        Ok(root) => root.parse().unwrap(),
        Err(_) => {
            let root = record(&store, &catalogue, decisions).await;
            std::fs::write(said, root.to_string()).unwrap();
            root
        }
    };
    let engine = Engine::start(store, Arc::new(SystemClock), entropy)
        .await
        .unwrap();

    let request = Request {
        roots: vec![root],
        reason: "a benchmark".to_owned(),
        ..Request::default()
    };
    println!("{decisions} decisions, {CALLS} to take back, {CALLS} more on the same records");
    let (mut facts, mut whole) = (Vec::new(), Vec::new());
    let busy = processor();
    for _ in 0..plans {
        let started = Instant::now();
        let found = engine.facts(&request, &catalogue, None).await.unwrap();
        facts.push(started.elapsed());
        let plan = plan_of(&found, &catalogue);
        whole.push(started.elapsed());
        assert_eq!((plan.affected.len(), found.calls.len()), (CALLS, 2 * CALLS));
    }
    let busy = (processor() - busy) / u32::try_from(plans).unwrap();
    println!("facts {}", line(facts));
    println!(
        "facts and plan {}; processor time {:.1} ms",
        line(whole),
        busy.as_secs_f64() * 1e3
    );
}

/// Makes the record, and returns the wrong call.
async fn record(
    store: &Arc<EmbeddedStore>,
    catalogue: &Arc<Catalogue>,
    decisions: usize,
) -> DecisionId {
    let mut make = Maker::default();
    let run = make.run();
    fill(store, &mut make, run, decisions / 2).await;
    let entropy = Arc::new(SystemEntropy::new());
    let engine = Engine::start(store.clone(), Arc::new(SystemClock), entropy);
    let options = Options {
        catalogue: Some(Arc::clone(catalogue)),
        ..Options::default()
    };
    let recorder = Recorder::start(engine.await.unwrap(), None, options)
        .await
        .unwrap();
    let root = call(&recorder, catalogue, "cancel", 0, &[]).await;
    for number in 1..CALLS {
        call(&recorder, catalogue, "cancel", number, &[root]).await;
    }
    for number in 0..CALLS {
        call(&recorder, catalogue, "note", number, &[]).await;
    }
    recorder.stop(Duration::from_secs(5)).await.unwrap();
    fill(store, &mut make, run, decisions / 2).await;
    root
}

/// How long the threads of this process had a processor.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let ticks = rest.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // In hundredths of a second, whatever the machine.
    Duration::from_millis(ticks * 10)
}

fn line(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    format!(
        "median {:.1} ms, slowest {:.1} ms",
        millis(median),
        millis(most)
    )
}

/// Decisions that have nothing to do with the incident.
async fn fill(store: &EmbeddedStore, make: &mut Maker, run: RunId, decisions: usize) {
    let mut left = decisions;
    while left > 0 {
        let some = left.min(APPENDED);
        left -= some;
        let mut leaves = Vec::with_capacity(some * 2);
        for number in 0..some {
            let decision = make.decision();
            let thinks = number % 5 == 0;
            let effects = match thinks {
                true => Vec::new(),
                false => vec![written(left + number)],
            };
            let proposal = Proposal {
                agent: Agent {
                    name: "somebody".to_owned(),
                    version: None,
                },
                causes: Vec::new(),
                effects: effects.clone(),
                environment: None,
                kind: if thinks {
                    Kind::Inference
                } else {
                    Kind::ToolCall
                },
                known: Provenance::Observed,
                name: Some(if thinks { "model" } else { "cancel" }.to_owned()),
                policy: None,
                run,
                sealed: None,
                server: Some("desk".to_owned()),
                started: None,
            };
            leaves.push(make.leaf(Body::Begun { decision, proposal }));
            leaves.push(make.leaf(Body::Finished {
                causes: Vec::new(),
                decision,
                effects,
                outcome: Outcome::Succeeded,
                sealed: None,
            }));
        }
        let appended = store.append(batch(leaves)).await.unwrap();
        store
            .wait_indexed(appended.seqs[appended.seqs.len() - 1] + 1)
            .await
            .unwrap();
    }
}

fn written(parcel: usize) -> Effect {
    Effect {
        by: Some(ClassSource::Catalogue),
        class: EffectClass::Reversible,
        key: Digest([7; 32]),
        reads: Vec::new(),
        writes: vec![Resource {
            uri: format!("parcels/{parcel}"),
            version: None,
        }],
    }
}

/// A call as the gateway records it, with images of some two hundred bytes.
async fn call(
    recorder: &Recorder,
    catalogue: &Catalogue,
    tool: &'static str,
    number: usize,
    causes: &[DecisionId],
) -> DecisionId {
    let id = number.to_string();
    let args = json!({ "id": id });
    let uri = format!("orders/{id}");
    let (field, value) = match tool {
        "cancel" => ("status", "cancelled"),
        _ => ("note", "call back"),
    };
    let mut order = json!({
        "id": id, "status": "open", "note": "", "items": [{ "name": "lamp", "price": 49.5 }],
        "address": { "street": "4 Mill Lane", "city": "Albany", "zip": "12207" },
    });
    if tool == "note" {
        order["status"] = json!("cancelled");
    }
    let image = |order: &Value| BTreeMap::from([(uri.clone(), Some(order.clone()))]);
    let before = image(&order);
    let footprint = catalogue.footprint("desk", tool, &args, None, &before);
    let (reads, writes) = (footprint.reads(), footprint.writes());
    let text = args.to_string();
    let call = Call {
        caller: Caller {
            agent: Some(tool.to_owned()),
            run: Some(format!("ticket-{}", number / 10)),
            causes: causes.to_vec(),
            ..Caller::default()
        },
        what: What::ToolCall {
            server: "desk",
            tool,
            arguments: &text,
            class: EffectClass::Reversible,
            by: ClassSource::Catalogue,
            call_id: None,
        },
        asked: (Media::Json, &text),
        environment: Environment([("mcp.server".to_owned(), "desk".to_owned())].into()),
        touches: Some(Touches {
            server: "desk".to_owned(),
            tool: tool.to_owned(),
            identity: args.clone(),
            arguments: args.clone(),
            reads: reads.clone(),
            writes: writes.clone(),
            before,
        }),
    };
    let mut open = recorder.begin(call).await.unwrap();
    let decision = open.decision();
    order[field] = json!(value);
    let mut ended = Ended::with(Outcome::Succeeded);
    ended.kept = vec![(Field::Result, Media::Json, "{\"done\":true}".to_owned())];
    let result = json!({ "done": true });
    open.touched((reads, writes), result, image(&order), &mut ended);
    open.finish(ended).await.unwrap();
    decision
}
