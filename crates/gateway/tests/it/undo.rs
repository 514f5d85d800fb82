//! Images at call time, and rollbacks over the servers that agents use.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use engine::undo::plan::{
    Act, Affected, Fate, Fields, HttpCall, Incident, Plan, PutBack, RecordRef, Step, ToolCall,
};
use engine::undo::view::RollbackView;
use engine::undo::{Approve, CarryOptions, Catalogue, Cause, Hands, HandsError, Request};
use engine::{Engine, ManualClock, Page, SeededEntropy, live};
use gateway::McpServer;
use model::{DecisionId, Strength};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::held::{AT_ONCE, LONG, enforcing, left_alone_after_two, rule, waiting};
use super::support_mcp::{Piece, Reply, Seen, Stub, World, content, json as answer, stream, text};

const CATALOGUE: &str = r#"
[resources.order]
uri = "orders/{id}"
server = "desk"
read = { tool = "read", args = { id = "{id}" } }
restore = { tool = "restore", args = { id = "{id}", fields = "{fields}", version = "{version}" } }
record = "/body"
version = "/version"
absent = "no such order"

[tools.read]
server = "desk"
class = "read"
reads = [{ order = "{args.id}" }]

[tools.cancel]
server = "desk"
class = "reversible"
writes = [{ order = "{args.id}", sets = ["/status"] }]
volatile = ["/note"]

[tools.refund]
server = "desk"
class = "compensable"
key = "/idempotency_key"
"#;

/// Orders by id, with their versions, and what was carried out.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) orders: BTreeMap<String, (Value, u64)>,
    done: Vec<String>,
    keys: Vec<String>,
}

pub(crate) type Shared = Arc<Mutex<Orders>>;

fn server(orders: &Shared) -> impl Fn(&Seen) -> Reply + Clone + Send + Sync + 'static {
    let orders = Arc::clone(orders);
    move |seen| {
        let asked: Value = serde_json::from_str(&seen.body).unwrap_or_default();
        let result = match asked["method"].as_str().unwrap_or_default() {
            "initialize" => json!({ "protocolVersion": "2025-06-18", "capabilities": {} }),
            "tools/call" => {
                let params = &asked["params"];
                let tool = params["name"].as_str().unwrap();
                called(&mut orders.lock().unwrap(), tool, &params["arguments"])
            }
            _ => return answer("").status(202),
        };
        let reply = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }).to_string();
        // As streams come to clients, and whole.
        if seen.body.contains("restore") {
            return stream(vec![text(format!("data: {reply}\n\n"))]);
        }
        answer(reply).with("mcp-session-id", "s-1")
    }
}

fn called(orders: &mut Orders, tool: &str, args: &Value) -> Value {
    let id = args["id"].as_str().unwrap_or_default();
    let said = |text: String, failed: bool| json!({ "content": [{ "type": "text", "text": text }], "isError": failed });
    let Some((body, version)) = orders.orders.get_mut(id) else {
        return said("no such order".to_owned(), true);
    };
    match tool {
        "read" => {
            let record = json!({ "body": body, "version": version });
            return said(record.to_string(), false);
        }
        "cancel" => body["status"] = json!("cancelled"),
        "refund" => {
            let key = args["idempotency_key"].as_str().unwrap_or_default();
            orders.keys.push(key.to_owned());
        }
        "remark" => {}
        "restore" if args["version"] != json!(*version) => {
            return said("version conflict".to_owned(), true);
        }
        "restore" => {
            for (pointer, value) in args["fields"].as_object().unwrap() {
                body[&pointer[1..]] = value.clone();
            }
        }
        _ => return said("no such tool".to_owned(), true),
    }
    *version += 1;
    orders.done.push(format!("{tool} {id}"));
    said(json!({ "done": true }).to_string(), false)
}

pub(crate) async fn world() -> (World, Shared, Stub) {
    let orders = Shared::default();
    let open = json!({ "status": "open" });
    let order = ("W1".to_owned(), (open, 1));
    orders.lock().unwrap().orders.extend([order]);
    let stub = Stub::start(server(&orders)).await;
    let server = McpServer::Http(stub.endpoint("/mcp"));
    let world = World::with_catalogue(server, CATALOGUE, live::Options::default()).await;
    (world, orders, stub)
}

/// Puts a plan forward that somebody approves.
async fn approved(engine: &Engine, plan: &Plan) -> DecisionId {
    let proposed = engine.propose_rollback(plan).await.unwrap();
    let rollback: DecisionId = proposed.id.parse().unwrap();
    let approve = Approve {
        digest: proposed.digest.parse().unwrap(),
        by: "olga",
        waits: false,
    };
    engine.approve_rollback(rollback, approve).await.unwrap();
    rollback
}

/// Carries a plan out that somebody approves.
pub(crate) async fn carry(world: &World, plan: &Plan) -> RollbackView {
    let engine = world.recorder.engine();
    let rollback = approved(engine, plan).await;
    let (hands, options) = (world.gateway.hands(), CarryOptions::default());
    engine.carry_out(rollback, hands, &options).await.unwrap()
}

async fn call(world: &World, tool: &str, arguments: &Value) -> DecisionId {
    call_in(world, &[], tool, arguments).await
}

async fn call_in(
    world: &World,
    headers: &[(&str, &str)],
    tool: &str,
    arguments: &Value,
) -> DecisionId {
    let params = json!({ "name": tool, "arguments": arguments });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let path = "/agents/ada/mcp/desk";
    let answered = world.post(path, headers, &body.to_string()).await;
    assert_eq!(answered.status, 200, "{}", answered.body);
    answered
        .header("x-rescind-decision")
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn records_are_read_before_and_after_a_call_that_writes_them() {
    let (world, orders, _stub) = world().await;
    let id = call(&world, "cancel", &json!({ "id": "W1", "note": "too late" })).await;
    assert_eq!(orders.lock().unwrap().done, ["cancel W1"]);
    let record = world.record().await;
    assert_eq!(record.len(), 1, "images are no calls of their own");
    let cancelled = &record[0];
    assert_eq!(cancelled.node.id, id.to_string());
    let said = (cancelled.class.as_deref(), cancelled.class_by.as_deref());
    assert_eq!(said, (Some("reversible"), Some("catalogue")));
    assert_eq!(
        content(cancelled, "before"),
        r#"{"orders/W1":{"status":"open"}}"#
    );
    assert_eq!(
        content(cancelled, "after"),
        r#"{"orders/W1":{"status":"cancelled"}}"#
    );
    assert_eq!(cancelled.writes, ["orders/W1@2"]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_has_no_image_and_the_call_goes_on() {
    let (world, orders, _stub) = world().await;
    orders.lock().unwrap().orders.clear();
    call(&world, "cancel", &json!({ "id": "W2" })).await;
    let record = world.record().await;
    assert_eq!(content(&record[0], "before"), r#"{"orders/W2":null}"#);
    assert_eq!(record[0].node.status, "failed");
}

const TICKET: [(&str, &str); 1] = [("x-rescind-run", "ticket-7")];

/// The tools that were called, in order.
fn tools(stub: &Stub) -> Vec<String> {
    let name = |seen: &Seen| {
        let asked: Value = serde_json::from_str(&seen.body).unwrap_or_default();
        asked["params"]["name"].as_str().map(str::to_owned)
    };
    stub.seen().iter().filter_map(name).collect()
}

/// The same world, where a person is asked before an order is cancelled.
async fn gated(wait: Duration) -> (Arc<World>, Shared, Stub) {
    let orders = Shared::default();
    let open = json!({ "status": "open" });
    let order = ("W1".to_owned(), (open, 1));
    orders.lock().unwrap().orders.extend([order]);
    let stub = Stub::start(server(&orders)).await;
    let server = McpServer::Http(stub.endpoint("/mcp"));
    let world = World::with_catalogue(server, &gated_catalogue(), enforcing(wait)).await;
    (Arc::new(world), orders, stub)
}

fn gated_catalogue() -> String {
    CATALOGUE.replace(
        r#"class = "reversible""#,
        "class = \"unreviewed\"\nundo = { restore = true }",
    )
}

#[tokio::test]
async fn of_a_call_that_waited_the_rollback_restores_what_it_met_when_it_went_out() {
    for wait in [LONG, AT_ONCE] {
        let (world, orders, stub) = gated(wait).await;
        let caller = Arc::clone(&world);
        let asks = async move { call_in(&caller, &TICKET, "cancel", &json!({ "id": "W1" })).await };
        let mut asking = world.recorder.tasks().spawn(asks);
        if wait == AT_ONCE {
            // It was told to come again, which it does once it is approved.
            (&mut asking).await.unwrap();
        }
        let held = waiting(&world, 1).await.remove(0);
        assert_eq!(
            tools(&stub),
            [""; 0],
            "nothing is read for a call that waits"
        );
        let packed = (json!({ "status": "packed" }), 2);
        orders
            .lock()
            .unwrap()
            .orders
            .insert("W1".to_owned(), packed);
        rule(&world, &held, true).await.unwrap();
        let id = match wait {
            AT_ONCE => call_in(&world, &TICKET, "cancel", &json!({ "id": "W1" })).await,
            _ => asking.await.unwrap(),
        };
        assert_eq!(id.to_string(), held.decision);
        assert_eq!(tools(&stub), ["read", "cancel", "read"]);
        let engine = world.recorder.engine().clone();
        let catalogue = Catalogue::parse(&gated_catalogue()).unwrap();
        let request = Request {
            roots: vec![id],
            reason: "the wrong order".to_owned(),
            ..Request::default()
        };
        engine.caught_up(Duration::from_secs(5)).await;
        let hands = world.gateway.hands();
        let plan = engine
            .plan_rollback(&request, &catalogue, Some(&*hands))
            .await
            .unwrap();
        let view = carry(&world, &plan).await;
        assert_eq!(view.state.name(), "succeeded", "{view:?}");
        let packed = json!({ "status": "packed" });
        assert_eq!(orders.lock().unwrap().orders["W1"].0, packed, "{plan}");
        let record = world.record().await;
        let cancelled = record
            .iter()
            .find(|one| one.node.id == id.to_string())
            .unwrap();
        assert_eq!(
            content(cancelled, "before"),
            r#"{"orders/W1":{"status":"packed"}}"#
        );
    }
}

#[tokio::test]
async fn for_a_call_that_is_refused_nothing_is_read() {
    let (world, orders, stub) = gated(LONG).await;
    let caller = Arc::clone(&world);
    let asks = async move { call(&caller, "cancel", &json!({ "id": "W1" })).await };
    let asking = world.recorder.tasks().spawn(asks);
    let held = waiting(&world, 1).await.remove(0);
    rule(&world, &held, false).await.unwrap();
    asking.await.unwrap();
    assert_eq!(tools(&stub), [""; 0]);
    assert_eq!(orders.lock().unwrap().done, [""; 0]);
    let record = world.record().await;
    assert_eq!(record[0].node.status, "rejected");
    assert_eq!(
        record[0].writes,
        ["orders/W1"],
        "what it would have written is known"
    );
}

fn order() -> RecordRef {
    RecordRef {
        uri: "orders/W1".to_owned(),
        read: tool("read", json!({ "id": "W1" })),
        version: Some("/version".to_owned()),
        record: "/body".to_owned(),
        absent: Some("no such order".to_owned()),
    }
}

fn tool(tool: &str, arguments: Value) -> ToolCall {
    ToolCall {
        server: "desk".to_owned(),
        tool: tool.to_owned(),
        arguments,
    }
}

fn one(field: &str, value: &str) -> Fields {
    Fields::from([(field.to_owned(), Some(json!(value)))])
}

#[tokio::test]
async fn c46_a_rollback_goes_over_the_same_servers_and_its_calls_are_recorded() {
    let (world, orders, _stub) = world().await;
    let id = call(&world, "cancel", &json!({ "id": "W1" })).await;
    let put = Act::PutBack(PutBack {
        resource: order(),
        restore: tool(
            "restore",
            json!({ "id": "W1", "fields": "{fields}", "version": "{version}" }),
        ),
        fields: one("/status", "open"),
        expected: one("/status", "cancelled"),
    });
    let refund = Act::Inverse {
        call: tool("refund", json!({ "id": "W1" })),
        residue: None,
        check: None,
    };
    let step = |n: u32, act: Act| Step {
        n,
        after: (1..n).collect(),
        decisions: vec![id],
        act,
    };
    let plan = Plan {
        incident: Incident {
            roots: vec![id],
            reason: "the wrong order".to_owned(),
        },
        affected: vec![Affected {
            decision: id,
            ring: Strength::Certain,
            fate: Fate::Undone,
            steps: vec![1, 2],
        }],
        steps: vec![step(1, put), step(2, refund)],
        ..Plan::default()
    };
    let view = carry(&world, &plan).await;
    assert_eq!(view.state.name(), "succeeded", "{view:?}");
    {
        let orders = orders.lock().unwrap();
        assert_eq!(orders.orders["W1"].0, json!({ "status": "open" }));
        assert_eq!(orders.keys.len(), 1);
        assert_eq!(orders.keys[0].len(), 64, "the key of the step");
    }
    let record = world.record().await;
    let of_rollback = record.iter().filter(|d| d.node.run == view.run);
    let said: Vec<String> = of_rollback
        .map(|decision| {
            let name = decision.node.name.clone().unwrap_or_default();
            format!(
                "{} {} {name}: {}",
                decision.node.agent, decision.node.kind, decision.node.status
            )
        })
        .collect();
    let mut said = said;
    said.sort_unstable();
    assert_eq!(
        said,
        [
            "rescind incident rollback: succeeded",
            "rescind recovery-step inverse: succeeded",
            "rescind recovery-step put-back: succeeded",
            "rescind tool-call read: succeeded",
            "rescind tool-call refund: succeeded",
            "rescind tool-call restore: succeeded",
        ]
    );
}

/// A call that fails at first, by the tool's own word or because the connection breaks.
async fn failing_at_first(broken: bool) -> (World, Shared, Stub) {
    let orders = Shared::default();
    let order = ("W1".to_owned(), (json!({ "status": "open" }), 1));
    orders.lock().unwrap().orders.extend([order]);
    let (serving, tries) = (server(&orders), Arc::new(AtomicUsize::new(0)));
    let stub = Stub::start(move |seen| {
        let cancels = seen.body.contains(r#""name":"cancel""#);
        if !cancels || tries.fetch_add(1, Ordering::Relaxed) > 0 {
            return serving(seen);
        }
        if broken {
            return Reply {
                pieces: vec![Piece::Break],
                ..answer("")
            };
        }
        let said = json!({ "type": "text", "text": "the books are locked" });
        let result = json!({ "content": [said], "isError": true });
        answer(json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string())
    })
    .await;
    let server = McpServer::Http(stub.endpoint("/mcp"));
    let world = World::with_catalogue(server, CATALOGUE, left_alone_after_two()).await;
    (world, orders, stub)
}

#[tokio::test]
async fn c40_an_error_that_the_agent_overcomes_starts_nothing_and_counts_as_what_it_was() {
    for (broken, status, fate) in [
        (false, "failed", Fate::NothingToUndo),
        (true, "unknown", Fate::NothingToUndo),
    ] {
        let (world, orders, _stub) = failing_at_first(broken).await;
        let engine = world.recorder.engine();
        let id = json!({ "id": "W1" });
        let looked = call(&world, "read", &id).await;
        let because = looked.to_string();
        let because = [("x-rescind-cause", &*because)];
        let first = call_in(&world, &because, "cancel", &id).await;
        let second = call_in(&world, &because, "cancel", &id).await;
        assert_eq!(orders.lock().unwrap().done, ["cancel W1"]);

        engine.caught_up(Duration::from_secs(10)).await;
        let mut stands = Vec::new();
        for run in engine.runs(Page::first(9)).await.unwrap().runs.iter().rev() {
            let steps = engine.steps(run.id.parse().unwrap(), Page::first(9));
            let steps = steps.await.unwrap().steps.into_iter();
            stands.extend(steps.map(|step| (step.id, step.kind, step.status)));
        }
        let calls = [
            (looked, "succeeded"),
            (first, status),
            (second, "succeeded"),
        ];
        let calls =
            calls.map(|(id, status)| (id.to_string(), "tool-call".to_owned(), status.to_owned()));
        assert_eq!(stands, calls, "nothing is recorded but the calls");
        assert!(engine.rollbacks().await.unwrap().rollbacks.is_empty());
        assert!(engine.held().await.unwrap().is_empty());
        assert!(engine.approvals().await.unwrap().approvals.is_empty());
        let target = live::Target::tool("desk", "cancel");
        assert_eq!(world.recorder.rests(&target), None, "its breaker is closed");

        let request = Request {
            roots: vec![looked],
            reason: "it looked at the wrong order".to_owned(),
            ..Request::default()
        };
        let catalogue = world.recorder.catalogue().unwrap().clone();
        let hands = world.gateway.hands();
        let plan = engine.plan_rollback(&request, &catalogue, Some(&*hands));
        let plan = plan.await.unwrap();
        let fates = plan.affected.iter();
        let fates: Vec<(DecisionId, &Fate)> = fates.map(|one| (one.decision, &one.fate)).collect();
        let nothing = (looked, &Fate::NothingToUndo);
        assert_eq!(fates, [nothing, (first, &fate), (second, &Fate::Undone)]);
        let view = carry(&world, &plan).await;
        assert_eq!(view.state.name(), "succeeded", "{view:?}");
        let put_back = orders.lock().unwrap().orders["W1"].0.clone();
        assert_eq!(put_back, json!({ "status": "open" }));
    }
}

/// Hands of a process that ends at its one call of a tool.
#[derive(Debug)]
struct Dying {
    hands: Arc<dyn Hands>,
    /// Whether the call is made first.
    after: bool,
    dies: Arc<Notify>,
}

#[async_trait]
impl Hands for Dying {
    async fn call(&self, call: &ToolCall, cause: &Cause) -> Result<Value, HandsError> {
        if self.after {
            self.hands.call(call, cause).await?;
        }
        self.dies.notify_one();
        std::future::pending().await
    }

    async fn look(&self, call: &ToolCall) -> Result<Value, HandsError> {
        self.hands.look(call).await
    }

    async fn http(&self, call: &HttpCall, cause: &Cause) -> Result<Value, HandsError> {
        self.hands.http(call, cause).await
    }

    async fn tell(&self, who: &[String], _: &str, _: &Cause) -> Result<Vec<String>, HandsError> {
        Ok(who.to_vec())
    }
}

#[tokio::test]
async fn c44_where_neither_key_nor_probe_can_tell_the_record_of_the_call_does() {
    for after in [false, true] {
        let (world, orders, _stub) = world().await;
        let id = call(&world, "cancel", &json!({ "id": "W1" })).await;
        let remark = Act::Inverse {
            call: tool("remark", json!({ "id": "W1" })),
            residue: None,
            check: None,
        };
        let plan = Plan {
            incident: Incident {
                roots: vec![id],
                reason: "the wrong order".to_owned(),
            },
            affected: vec![Affected {
                decision: id,
                ring: Strength::Certain,
                fate: Fate::Undone,
                steps: vec![1],
            }],
            steps: vec![Step {
                n: 1,
                after: Vec::new(),
                decisions: vec![id],
                act: remark,
            }],
            ..Plan::default()
        };
        let engine = world.recorder.engine().clone();
        let rollback = approved(&engine, &plan).await;
        let (hands, options) = (world.gateway.hands(), CarryOptions::default());
        let dies = Arc::new(Notify::new());
        let dying = Arc::new(Dying {
            hands: Arc::clone(&hands),
            after,
            dies: Arc::clone(&dies),
        });
        tokio::select! {
            _ = engine.carry_out(rollback, dying, &options) => panic!("it ended"),
            () = dies.notified() => {}
        }
        engine.caught_up(Duration::from_secs(10)).await;
        let clock = Arc::new(ManualClock::at(1_790_000_001_000_000));
        let entropy = Arc::new(SeededEntropy::new(8));
        let next = Engine::start(Arc::clone(engine.store()), clock, entropy);
        let next = next.await.unwrap();
        let view = next.carry_out(rollback, hands, &options).await.unwrap();
        assert_eq!(view.state.name(), "succeeded", "{after}: {view:?}");
        let done = &orders.lock().unwrap().done;
        assert_eq!(done[..], ["cancel W1", "remark W1"], "{after}");
    }
}
