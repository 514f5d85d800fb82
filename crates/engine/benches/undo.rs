//! How long a rollback of a thousand compensations takes, against calling the tool directly.
//!
//! ```sh
//! cargo bench -p rescind-engine --bench undo
//! ```
//!
//! A thousand calls stand in the embedded store (durable: acknowledged after `fdatasync`), all
//! following from one. Their plan calls an inverse with a key for each, 16 side by side; the tool
//! takes 0, 1 or 5 ms. The same calls made directly, as many side by side, are the baseline in the
//! same run. Intents, outcomes and what becomes of each decision are durable; the calls of the
//! gateway that would be recorded beside them are not part of it.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark measures and prints, and stops at the first surprise"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use engine::live::{Call, Caller, Ended, Options, Recorder, What};
use engine::undo::plan::{Act, Affected, Fate, HttpCall, Incident, Plan, Step, ToolCall};
use engine::undo::{Approve, CarryOptions, Cause, Hands, HandsError};
use engine::{Clock, Engine, SystemClock};
use futures_util::StreamExt as _;
use ledger::SystemEntropy;
use model::{ClassSource, DecisionId, EffectClass, Environment, Media, Outcome, RunId, Strength};
use serde_json::{Value, json};
use store::{EmbeddedStore, OpenOptions};

const CALLS: u32 = 1_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    println!("{CALLS} compensations, {} side by side", at_once());
    for millis in [0, 1, 5] {
        runtime.block_on(measure(Duration::from_millis(millis)));
    }
}

fn at_once() -> usize {
    CarryOptions::default().at_once
}

async fn measure(takes: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let seconds = Arc::new(|| SystemClock.wall() / 1_000_000);
    let options = OpenOptions::new(dir.path(), Arc::new(SystemEntropy::new()), seconds);
    let store = Arc::new(EmbeddedStore::open(options).unwrap());
    let entropy = Arc::new(SystemEntropy::new());
    let engine = Engine::start(store, Arc::new(SystemClock), entropy)
        .await
        .unwrap();
    let recorder = Recorder::start(engine.clone(), None, Options::default())
        .await
        .unwrap();
    let root = call(&recorder, &[]).await;
    let mut plan = Plan {
        incident: Incident {
            roots: vec![root],
            reason: "a benchmark".to_owned(),
        },
        ..Plan::default()
    };
    for n in 1..=CALLS {
        let decision = call(&recorder, &[root]).await;
        plan.affected.push(Affected {
            decision,
            ring: Strength::Certain,
            fate: Fate::Undone,
            steps: vec![n],
        });
        plan.steps.push(Step {
            n,
            after: Vec::new(),
            decisions: vec![decision],
            act: Act::Inverse {
                call: inverse(n),
                residue: None,
                check: None,
            },
        });
    }
    let tool = Arc::new(Tool {
        takes,
        calls: AtomicU64::new(0),
    });
    let direct = Instant::now();
    let cause = Cause {
        run: RunId::from_bytes(*root.as_bytes()),
        step: root,
        key: String::new(),
    };
    let calls = (1..=CALLS).map(|n| {
        let (tool, cause) = (Arc::clone(&tool), cause.clone());
        async move { tool.call(&inverse(n), &cause).await.unwrap() }
    });
    let answered = futures_util::stream::iter(calls).buffer_unordered(at_once());
    assert_eq!(answered.count().await, CALLS as usize);
    let direct = direct.elapsed();

    let proposed = engine.propose_rollback(&plan).await.unwrap();
    let id: DecisionId = proposed.id.parse().unwrap();
    let approve = Approve {
        digest: proposed.digest.parse().unwrap(),
        by: "bench",
        waits: false,
    };
    engine.approve_rollback(id, approve).await.unwrap();
    let started = Instant::now();
    let hands: Arc<dyn Hands> = tool.clone();
    let view = engine
        .carry_out(id, hands, &CarryOptions::default())
        .await
        .unwrap();
    let rollback = started.elapsed();
    assert_eq!(view.state.name(), "succeeded");
    assert_eq!(tool.calls.load(Ordering::Relaxed), u64::from(CALLS) * 2);
    println!(
        "tool takes {:>4.1} ms: directly {:>7.1} ms, rolled back in {:>7.1} ms, ratio {:.2}",
        takes.as_secs_f64() * 1e3,
        direct.as_secs_f64() * 1e3,
        rollback.as_secs_f64() * 1e3,
        rollback.as_secs_f64() / direct.as_secs_f64()
    );
    recorder.stop(Duration::from_secs(5)).await.unwrap();
}

fn inverse(n: u32) -> ToolCall {
    ToolCall {
        server: "desk".to_owned(),
        tool: "pay_back".to_owned(),
        arguments: json!({ "payment": n, "key": "{key}" }),
    }
}

async fn call(recorder: &Recorder, causes: &[DecisionId]) -> DecisionId {
    let open = recorder
        .begin(Call {
            caller: Caller {
                agent: Some("billing".to_owned()),
                run: Some("ticket-7".to_owned()),
                causes: causes.to_vec(),
                ..Caller::default()
            },
            what: What::ToolCall {
                server: "desk",
                tool: "pay",
                arguments: "{}",
                class: EffectClass::Compensable,
                by: ClassSource::Nobody,
                call_id: None,
            },
            asked: (Media::Json, "{}"),
            environment: Environment::default(),
            touches: None,
        })
        .await
        .unwrap();
    let id = open.decision();
    let ended = Ended::with(Outcome::Succeeded);
    open.finish(ended).await.unwrap();
    id
}

/// A tool that takes its time.
#[derive(Debug)]
struct Tool {
    takes: Duration,
    calls: AtomicU64,
}

#[async_trait]
impl Hands for Tool {
    async fn call(&self, _: &ToolCall, _: &Cause) -> Result<Value, HandsError> {
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Value::Null)
    }

    async fn look(&self, _: &ToolCall) -> Result<Value, HandsError> {
        Ok(Value::Null)
    }

    async fn http(&self, _: &HttpCall, _: &Cause) -> Result<Value, HandsError> {
        Ok(Value::Null)
    }

    async fn tell(&self, _: &[String], _: &str, _: &Cause) -> Result<Vec<String>, HandsError> {
        Ok(Vec::new())
    }
}
