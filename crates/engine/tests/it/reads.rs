//! Who reads what another wrote depends on it, over nothing but a record that both touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::live::{Call, Caller, Ended, Open, Options, Recorder, Touches, What};
use engine::undo::{Catalogue, Request};
use engine::{Engine, ManualClock};
use ledger::{SeededEntropy, Store};
use model::{ClassSource, DecisionId, Environment, Field, Media, Outcome};
use serde_json::{Value, json};
use store::MemoryStore;

use crate::support::NOON;

const TOOLS: &str = r#"
server = "desk"

[resources.order]
uri = "orders/{id}"
read = { tool = "look", args = { id = "{id}" } }
restore = { tool = "restore", args = { id = "{id}", fields = "{fields}" } }

[tools.look]
class = "read"
reads = [{ order = "{args.id}" }]

[tools.price]
class = "read"
reads = [{ order = "{args.id}", fields = ["/total"] }]

[tools.cancel]
class = "reversible"
reads = [{ order = "{args.id}", fields = ["/status"] }]
writes = [{ order = "{args.id}", sets = ["/status"] }]
"#;

/// A desk with orders in memory, as a gateway would record it.
struct Desk {
    recorder: Recorder,
    catalogue: Arc<Catalogue>,
    orders: BTreeMap<String, Value>,
}

/// A call under way, with what its end tells.
struct Flight {
    open: Open,
    tool: &'static str,
    args: Value,
    touches: Touches,
}

impl Desk {
    async fn over(store: &Arc<MemoryStore>, start: u64) -> Self {
        Self::knowing(store, start, true).await
    }

    /// Whether the recorder knows the catalogue, too.
    async fn knowing(store: &Arc<MemoryStore>, start: u64, knows: bool) -> Self {
        let store: Arc<dyn Store> = Arc::clone(store) as _;
        let entropy = Arc::new(SeededEntropy::new(start));
        let engine = Engine::start(store, Arc::new(ManualClock::at(NOON)), entropy);
        let catalogue = Arc::new(Catalogue::parse(TOOLS).unwrap());
        let options = Options {
            catalogue: knows.then(|| Arc::clone(&catalogue)),
            ..Options::default()
        };
        let recorder = Recorder::start(engine.await.unwrap(), None, options).await;
        let recorder = recorder.unwrap();
        recorder.recalled().await;
        let order = |id: &str| {
            (
                format!("orders/{id}"),
                json!({ "status": "open", "total": 9 }),
            )
        };
        Self {
            recorder,
            catalogue,
            orders: BTreeMap::from([order("W1"), order("W2")]),
        }
    }

    async fn begin(&self, agent: &str, tool: &'static str, id: &str) -> Flight {
        let args = json!({ "id": id });
        let mut reads = self.catalogue.images("desk", tool, &args);
        while let Some(record) = reads.ask() {
            let image = self.orders.get(&record.uri).cloned();
            reads.give(image);
        }
        let before = reads.finish();
        let footprint = self.catalogue.footprint("desk", tool, &args, None, &before);
        let touches = Touches {
            server: "desk".to_owned(),
            tool: tool.to_owned(),
            reads: footprint.reads(),
            writes: footprint.writes(),
            identity: args.clone(),
            arguments: args.clone(),
            before,
        };
        let text = args.to_string();
        let (class, _) = self.catalogue.class("desk", tool, None);
        let call = Call {
            caller: Caller {
                agent: Some(agent.to_owned()),
                run: Some(format!("run-of-{agent}")),
                ..Caller::default()
            },
            what: What::ToolCall {
                server: "desk",
                tool,
                arguments: &text,
                class,
                by: ClassSource::Nobody,
                call_id: None,
            },
            asked: (Media::Json, &text),
            environment: Environment([("mcp.server".to_owned(), "desk".to_owned())].into()),
            // Of a call in a run that was imported nobody says what it touches.
            touches: (agent != "imported").then(|| touches.clone()),
        };
        let open = self.recorder.begin(call).await.unwrap();
        Flight {
            open,
            tool,
            args,
            touches,
        }
    }

    async fn end(&mut self, mut flight: Flight) -> DecisionId {
        let uri = format!("orders/{}", flight.args["id"].as_str().unwrap());
        let order = self.orders.get_mut(&uri).unwrap();
        let mut after = BTreeMap::new();
        if flight.tool == "cancel" {
            order["status"] = json!("cancelled");
            after.insert(uri, Some(order.clone()));
        }
        let result = order.clone();
        let mut ended = Ended::with(Outcome::Succeeded);
        ended.kept = vec![(Field::Result, Media::Json, result.to_string())];
        let touched = (flight.touches.reads, flight.touches.writes);
        flight.open.touched(touched, result, after, &mut ended);
        let id = flight.open.decision();
        let written = flight.open.finish(ended).await.unwrap();
        written.durable().await.unwrap();
        id
    }

    async fn call(&mut self, agent: &str, tool: &'static str, id: &str) -> DecisionId {
        let flight = self.begin(agent, tool, id).await;
        self.end(flight).await
    }

    /// What a decision depends on through records: `strength: evidence`, and on which.
    async fn reads(&self, id: DecisionId) -> Vec<(DecisionId, String)> {
        let view = self.recorder.engine().decision(id).await.unwrap();
        let reads = view.causes.into_iter().filter(|cause| cause.kind == "read");
        let line = |cause: engine::view::CauseView| {
            let said = format!("{}: {}", cause.strength, cause.evidence);
            (cause.decision.parse().unwrap(), said)
        };
        reads.map(line).collect()
    }
}

fn certain(at: &str) -> String {
    format!("certain: looked at `{at}` of `orders/W1`, which was changed there")
}

const POSSIBLE: &str = "possible: looked at `orders/W1`, which was changed there";

#[tokio::test]
async fn c4_who_looks_at_what_another_changed_depends_on_it_and_nobody_else_does() {
    let store = Arc::new(MemoryStore::default());
    let mut desk = Desk::over(&store, 1).await;
    let before = desk.call("bob", "look", "W1").await;
    let wrong = desk.call("ada", "cancel", "W1").await;
    let looked = desk.call("bob", "look", "W1").await;
    let priced = desk.call("bob", "price", "W1").await;
    let other = desk.call("bob", "look", "W2").await;
    assert_eq!(desk.reads(looked).await, [(wrong, certain("/status"))]);
    for unconcerned in [before, wrong, priced, other] {
        assert_eq!(desk.reads(unconcerned).await, []);
    }
}

#[tokio::test]
async fn what_is_under_way_may_have_been_met_or_not() {
    let store = Arc::new(MemoryStore::default());
    let mut desk = Desk::over(&store, 1).await;
    let write = desk.begin("ada", "cancel", "W1").await;
    let wrong = write.open.decision();
    let meanwhile = desk.call("bob", "look", "W1").await;
    let across = desk.begin("bob", "look", "W1").await;
    desk.end(write).await;
    let across = desk.end(across).await;
    assert_eq!(desk.reads(meanwhile).await, [(wrong, POSSIBLE.to_owned())]);
    let met = certain("/status").replace("certain", "possible");
    assert_eq!(desk.reads(across).await, [(wrong, met)]);
}

#[tokio::test]
async fn after_a_restart_it_is_known_what_was_written() {
    let store = Arc::new(MemoryStore::default());
    let mut desk = Desk::over(&store, 1).await;
    let wrong = desk.call("ada", "cancel", "W1").await;
    let left = desk.begin("ada", "cancel", "W2").await;
    let unknown = left.open.decision();
    drop(left);
    desk.recorder
        .stop(std::time::Duration::from_secs(5))
        .await
        .unwrap();
    let orders = desk.orders;
    let mut desk = Desk::over(&store, 2).await;
    desk.orders = orders;
    let looked = desk.call("bob", "look", "W1").await;
    assert_eq!(desk.reads(looked).await, [(wrong, certain("/status"))]);
    // Whether that one was carried out nobody knows.
    let looked = desk.call("bob", "look", "W2").await;
    let met = POSSIBLE.replace("W1", "W2");
    assert_eq!(desk.reads(looked).await, [(unknown, met)]);
}

#[tokio::test]
async fn a_plan_finds_what_the_record_does_not_say_and_then_it_does() {
    let store = Arc::new(MemoryStore::default());
    let mut desk = Desk::knowing(&store, 1, false).await;
    let wrong = desk.call("ada", "cancel", "W1").await;
    let looked = desk.call("bob", "look", "W1").await;
    let imported = desk.call("imported", "look", "W1").await;
    let other = desk.call("bob", "price", "W1").await;
    let engine = desk.recorder.engine().clone();
    let request = Request {
        roots: vec![wrong],
        reason: "the wrong order".to_owned(),
        ..Request::default()
    };
    let plan = engine.plan_rollback(&request, &desk.catalogue, None).await;
    let plan = plan.unwrap();
    let affected: Vec<DecisionId> = plan.affected.iter().map(|a| a.decision).collect();
    assert_eq!(affected, [wrong, looked, imported]);
    assert_eq!(desk.reads(looked).await, [], "a plan writes nothing");

    engine.propose_rollback(&plan).await.unwrap();
    let size = engine.store().status().await.unwrap().durable;
    engine.store().wait_indexed(size).await.unwrap();
    for dependant in [looked, imported] {
        assert_eq!(desk.reads(dependant).await, [(wrong, certain("/status"))]);
    }
    assert_eq!(desk.reads(other).await, []);
    let blast = engine.blast(wrong, 10).await.unwrap();
    let calls = blast
        .certain
        .into_iter()
        .filter(|reached| reached.node.kind == "tool-call");
    let mut certain: Vec<String> = calls.map(|reached| reached.node.id).collect();
    certain.sort_unstable();
    assert_eq!(certain, [looked.to_string(), imported.to_string()]);
    let again = engine.plan_rollback(&request, &desk.catalogue, None).await;
    let again = again.unwrap();
    assert_eq!((again.affected.len(), again.linked.len()), (3, 0));
}
