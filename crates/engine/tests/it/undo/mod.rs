//! Carrying plans out: once, in order, through crashes.

mod across;
mod carry;
mod crash;
mod disk;
mod hold;
mod media;
mod recorded;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::live::{Call, Caller, Ended, Open, Options, RecordError, Recorder, What};
use engine::undo::view::{RollbackView, State};
use engine::undo::{Approve, CarryOptions, Hands};
use engine::{Engine, EngineError, ManualClock};
use ledger::{SeededEntropy, Store};
use model::{ClassSource, DecisionId, EffectClass, Environment, Field, Media, Outcome, Strength};
use recover::Plan;
use recover::plan::{Act, Affected, Check, Fate, Incident, PutBack, Step, Torn};
use serde_json::{Value, json};

use world::{World, call, fields, record};

const NOW: u64 = 1_790_000_000_000_000;

async fn engine_over(store: Arc<dyn Store>) -> Engine {
    // Each start draws other ids, as processes do.
    static STARTS: AtomicU64 = AtomicU64::new(1_000);
    let entropy = Arc::new(SeededEntropy::new(STARTS.fetch_add(1, Ordering::SeqCst)));
    Engine::start(store, Arc::new(ManualClock::at(NOW)), entropy)
        .await
        .unwrap()
}

async fn recorder(engine: &Engine) -> Recorder {
    let options = Options::default();
    Recorder::start(engine.clone(), None, options)
        .await
        .unwrap()
}

fn options() -> CarryOptions {
    CarryOptions::default()
}

async fn begin(
    recorder: &Recorder,
    agent: &str,
    class: EffectClass,
    causes: &[DecisionId],
) -> Result<Open, RecordError> {
    let mut open = recorder
        .begin(Call {
            caller: Caller {
                agent: Some(agent.to_owned()),
                causes: causes.to_vec(),
                ..Caller::default()
            },
            what: What::ToolCall {
                server: "desk",
                tool: "work",
                arguments: "{}",
                class,
                by: ClassSource::Nobody,
                call_id: None,
            },
            asked: (Media::Json, "{}"),
            environment: Environment::default(),
            touches: None,
        })
        .await?;
    open.durable().await?;
    Ok(open)
}

async fn end(open: Open) {
    let ended = Ended {
        kept: vec![(Field::Result, Media::Json, "{}".to_owned())],
        ..Ended::with(Outcome::Succeeded)
    };
    open.finish(ended).await.unwrap().durable().await.unwrap();
}

/// Records a call that depends on others.
async fn called(
    recorder: &Recorder,
    agent: &str,
    class: EffectClass,
    causes: &[DecisionId],
) -> DecisionId {
    let open = begin(recorder, agent, class, causes).await.unwrap();
    let id = open.decision();
    end(open).await;
    id
}

/// A plan, put together line by line.
#[derive(Default)]
struct Draft {
    plan: Plan,
}

impl Draft {
    fn of(root: DecisionId) -> Self {
        let mut draft = Self::default();
        draft.plan.incident = Incident {
            roots: vec![root],
            reason: "misread the policy".to_owned(),
        };
        draft.fate(root, Fate::NothingToUndo);
        draft
    }

    fn fate(&mut self, decision: DecisionId, fate: Fate) -> &mut Self {
        self.plan.affected.push(Affected {
            decision,
            ring: Strength::Certain,
            fate,
            steps: Vec::new(),
        });
        self
    }

    fn step(&mut self, after: &[u32], decisions: &[DecisionId], act: Act) -> u32 {
        let n = u32::try_from(self.plan.steps.len()).unwrap() + 1;
        for affected in &mut self.plan.affected {
            if decisions.contains(&affected.decision) {
                affected.steps.push(n);
            }
        }
        self.plan.steps.push(Step {
            n,
            after: after.to_vec(),
            decisions: decisions.to_vec(),
            act,
        });
        n
    }
}

fn hold(agents: &[&str]) -> Act {
    let agents = agents.iter().map(ToString::to_string).collect();
    Act::Hold { agents }
}

fn resume(agents: &[&str]) -> Act {
    let agents = agents.iter().map(ToString::to_string).collect();
    Act::Resume { agents }
}

fn put_back(uri: &str, name: &str, from: Value, to: Value) -> Act {
    Act::PutBack(PutBack {
        resource: record(uri),
        restore: call(
            "restore",
            json!({ "uri": uri, "fields": "{fields}", "version": "{version}" }),
        ),
        fields: fields(&[(name, to)]),
        expected: fields(&[(name, from)]),
    })
}

/// How a tool whose inverse adds money can tell that it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tells {
    Key,
    Probe,
    Nothing,
}

fn credit(uri: &str, amount: i64, tells: Tells) -> Act {
    let mut arguments = json!({ "uri": uri, "amount": amount });
    let mut check = None;
    match tells {
        Tells::Key => arguments["key"] = json!("{key}"),
        Tells::Probe => {
            arguments["ref"] = json!("undo");
            check = Some(Check {
                call: call("read", json!({ "uri": uri })),
                happened: "args.ref in result.refs".to_owned(),
                args: arguments.clone(),
                before: Value::Null,
            });
        }
        Tells::Nothing => {}
    }
    Act::Inverse {
        call: call("credit", arguments),
        residue: None,
        check,
    }
}

async fn approved(engine: &Engine, plan: &Plan) -> DecisionId {
    let proposed = engine.propose_rollback(plan).await.unwrap();
    let id = proposed.id.parse().unwrap();
    approve(engine, &proposed).await.unwrap();
    id
}

async fn approve(engine: &Engine, view: &RollbackView) -> Result<RollbackView, EngineError> {
    let approve = Approve {
        digest: view.digest.parse().unwrap(),
        by: "olga",
        waits: false,
    };
    let id = view.id.parse().unwrap();
    engine.approve_rollback(id, approve).await
}

async fn carried(engine: &Engine, id: DecisionId, world: &World) -> RollbackView {
    let hands = Arc::new(world.clone());
    engine.carry_out(id, hands, &options()).await.unwrap()
}

/// A rollback as text: its state, what each step and each decision came to.
fn told(view: &RollbackView) -> String {
    let mut lines = vec![view.state.name().to_owned()];
    for step in &view.steps {
        let state = serde_json::to_value(step.state).unwrap();
        let state = state.as_str().unwrap();
        lines.push(format!("{} {}: {state}", step.n, step.act));
    }
    for affected in &view.affected {
        lines.push(format!("{}: {}", affected.fate, affected.status));
    }
    lines.join("\n")
}

fn words(state: &BTreeMap<String, Value>) -> String {
    let lines: Vec<String> = state
        .iter()
        .map(|(uri, record)| format!("{uri} {record}"))
        .collect();
    lines.join("\n")
}

/// Lets everything that can run do so.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn is_ended(state: State) -> bool {
    matches!(state, State::Succeeded | State::Failed)
}
