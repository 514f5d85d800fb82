//! Rollbacks while agents keep working: what becomes of calls in flight, and of what comes late.

use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use engine::undo::view::RollbackView;
use engine::undo::{Approve, CarryOptions, Catalogue, InFlight, Request};
use engine::{EngineError, live};
use gateway::{Gateway, McpServer};
use model::DecisionId;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::support::{Act, Desk, chunk, options, stream, words};
use crate::support_mcp::{
    Answer, Piece, Reply, Seen, Stub, World, content, json as answer, memory,
};

const CATALOGUE: &str = r#"
[tools.look]
server = "desk"
class = "read"

[tools.ship]
server = "desk"
class = "compensable"
undo = { tool = "unship", args = { id = "{args.id}" } }
probe = { tool = "shipped", args = { id = "{args.id}" }, happened = "result.shipped" }

[tools.unship]
server = "desk"
class = "idempotent"

[tools.shipped]
server = "desk"
class = "read"
"#;

/// A server with one tool that answers when it is told to.
struct Slow {
    stub: Stub,
    /// Told when the slow call has begun.
    here: Arc<Notify>,
    /// Tells it to end.
    on: Arc<Notify>,
}

impl Slow {
    /// `yields`: whether it answers at once when it is told that nobody waits any more.
    async fn start(yields: bool) -> Self {
        let (here, on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (meets, goes) = (Arc::clone(&here), Arc::clone(&on));
        let answers = move |seen: &Seen| -> Reply {
            let asked: Value = serde_json::from_str(&seen.body).unwrap_or_default();
            let tool = asked["params"]["name"].as_str().unwrap_or_default();
            let result = match (asked["method"].as_str().unwrap_or_default(), tool) {
                ("initialize", _) => json!({ "protocolVersion": "2025-06-18", "capabilities": {} }),
                ("tools/call", "shipped") => {
                    json!({ "content": [], "structuredContent": { "shipped": true } })
                }
                ("tools/call", _) => json!({ "content": [{ "type": "text", "text": tool }] }),
                ("notifications/cancelled", _) if yields => {
                    goes.notify_one();
                    return answer("").status(202);
                }
                _ => return answer("").status(202),
            };
            let reply = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result });
            let mut reply = answer(reply.to_string()).with("mcp-session-id", "s-1");
            if asked["params"]["arguments"]["slow"] == true {
                let meet = Piece::Meet(Arc::clone(&meets), Arc::clone(&goes));
                reply.pieces.insert(0, meet);
            }
            reply
        };
        let stub = Stub::start(answers).await;
        Self { stub, here, on }
    }

    fn server(&self) -> McpServer {
        McpServer::Http(self.stub.endpoint("/mcp"))
    }

    fn calls(&self, of: &str) -> usize {
        let seen = self.stub.seen();
        let named = |seen: &&Seen| {
            let asked: Value = serde_json::from_str(&seen.body).unwrap_or_default();
            asked["params"]["name"] == of || asked["method"] == of
        };
        seen.iter().filter(named).count()
    }
}

async fn world(slow: &Slow) -> Arc<World> {
    let recording = live::Options::default();
    Arc::new(World::knowing(slow.server(), CATALOGUE, recording, memory()).await)
}

async fn call(world: &World, agent: &str, tool: &str, slow: bool) -> Answer {
    let params = json!({ "name": tool, "arguments": { "id": "W1", "slow": slow } });
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
    let path = format!("/agents/{agent}/mcp/desk");
    world.post(&path, &[], &body.to_string()).await
}

/// Calls the slow tool, and returns once the server is at work on it.
async fn calling(world: &Arc<World>, slow: &Slow, tool: &'static str) -> JoinHandle<Answer> {
    let caller = Arc::clone(world);
    let calling = async move { call(&caller, "ada", tool, true).await };
    let calling = world.recorder.tasks().spawn(calling);
    slow.here.notified().await;
    calling
}

fn id_of(answer: &Answer) -> DecisionId {
    answer
        .header("x-rescind-decision")
        .unwrap()
        .parse()
        .unwrap()
}

fn refused(answer: &Answer) -> String {
    let json = answer.json();
    json["error"]["data"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Plans the rollback of a decision and puts it forward.
async fn proposed(engine: &Engine, of: DecisionId) -> RollbackView {
    let catalogue = Catalogue::parse(CATALOGUE).unwrap();
    let request = Request {
        roots: vec![of],
        reason: "misread".to_owned(),
        ..Request::default()
    };
    engine.caught_up(Duration::from_secs(5)).await;
    let plan = engine
        .plan_rollback(&request, &catalogue, None)
        .await
        .unwrap();
    engine.propose_rollback(&plan).await.unwrap()
}

async fn approve(
    engine: &Engine,
    rollback: &RollbackView,
    by: &str,
) -> Result<RollbackView, EngineError> {
    let approve = Approve {
        digest: rollback.digest.parse().unwrap(),
        by,
        waits: false,
    };
    engine
        .approve_rollback(rollback.id.parse().unwrap(), approve)
        .await
}

pub(crate) async fn carried(world: &World, of: DecisionId, options: CarryOptions) -> RollbackView {
    let engine = world.recorder.engine();
    let rollback = proposed(engine, of).await;
    approve(engine, &rollback, "olga").await.unwrap();
    let (id, hands) = (rollback.id.parse().unwrap(), world.gateway.hands());
    engine.carry_out(id, hands, &options).await.unwrap()
}

/// Carries a rollback out in the background, and returns once the agent is held.
async fn carrying(world: &Arc<World>, of: DecisionId) -> JoinHandle<RollbackView> {
    let carrier = Arc::clone(world);
    let carrying = async move { carried(&carrier, of, CarryOptions::default()).await };
    let carrying = world.recorder.tasks().spawn(carrying);
    while world.recorder.engine().held().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    carrying
}

pub(crate) fn cancels() -> CarryOptions {
    CarryOptions {
        in_flight: InFlight::Cancel,
        ..CarryOptions::default()
    }
}

#[tokio::test]
async fn c29_calls_in_flight_end_first_while_others_keep_working() {
    let slow = Slow::start(false).await;
    let world = world(&slow).await;
    let bad = id_of(&call(&world, "ada", "look", false).await);
    let in_flight = calling(&world, &slow, "ship").await;
    let rollback = carrying(&world, bad).await;
    assert_eq!(
        refused(&call(&world, "ada", "look", false).await),
        "agent_held"
    );
    assert_eq!(
        call(&world, "bob", "look", false).await.json()["error"],
        Value::Null
    );
    assert!(!rollback.is_finished(), "it waits for what is in flight");
    slow.on.notify_one();
    assert_eq!(in_flight.await.unwrap().json()["error"], Value::Null);
    assert_eq!(rollback.await.unwrap().state.name(), "succeeded");
    assert_eq!(
        call(&world, "ada", "look", false).await.json()["error"],
        Value::Null
    );
    assert_eq!(slow.calls("notifications/cancelled"), 0);
}

#[tokio::test]
async fn c29_calls_in_flight_are_cancelled_where_that_is_the_policy() {
    let slow = Slow::start(false).await;
    let world = Arc::new(World::impatient(slow.server(), CATALOGUE).await);
    let bad = id_of(&call(&world, "ada", "look", false).await);
    let in_flight = calling(&world, &slow, "ship").await;
    let rollback = carried(&world, bad, cancels()).await;
    assert_eq!(rollback.state.name(), "succeeded");
    let told = in_flight.await.unwrap();
    assert_eq!(refused(&told), "agent_held");
    let seen = slow.stub.seen();
    let cancelled = seen
        .iter()
        .find(|seen| seen.body.contains("notifications/cancelled"));
    assert!(cancelled.unwrap().body.contains(r#""requestId":7"#));
    // Nobody knows whether it was shipped, so its rollback asks first.
    let shipped = id_of(&told);
    let rollback = carried(&world, shipped, CarryOptions::default()).await;
    assert_eq!(rollback.state.name(), "succeeded", "{rollback:?}");
    assert_eq!((slow.calls("shipped"), slow.calls("unship")), (1, 1));
    slow.on.notify_one();
    let record = world.record().await;
    let shipped = record
        .iter()
        .find(|d| d.node.id == shipped.to_string())
        .unwrap();
    assert_eq!(shipped.outcome, "unknown");
    assert_eq!(shipped.node.status, "compensated");
}

#[tokio::test]
async fn a_server_that_answers_a_cancelled_call_all_the_same_is_heard() {
    let slow = Slow::start(true).await;
    let world = world(&slow).await;
    let bad = id_of(&call(&world, "ada", "look", false).await);
    let in_flight = calling(&world, &slow, "ship").await;
    let rollback = carried(&world, bad, cancels()).await;
    assert_eq!(rollback.state.name(), "succeeded");
    let told = in_flight.await.unwrap();
    assert_eq!(told.json()["result"]["content"][0]["text"], "ship");
    let record = world.record().await;
    let shipped = record
        .iter()
        .find(|d| d.node.id == id_of(&told).to_string())
        .unwrap();
    assert_eq!(shipped.outcome, "succeeded");
    assert!(content(shipped, "result").contains("ship"));
}

#[tokio::test]
async fn c41_what_a_call_comes_to_after_its_rollback_gave_up_waiting_is_recorded_and_taken_back() {
    let slow = Slow::start(false).await;
    let world = world(&slow).await;
    let in_flight = calling(&world, &slow, "ship").await;
    let engine = world.recorder.engine();
    engine.caught_up(Duration::from_secs(5)).await;
    let shipping = engine.resolve_decision("latest:1").await.unwrap();
    let hurries = CarryOptions {
        drain_max: Duration::from_millis(20),
        ..CarryOptions::default()
    };
    let rollback = carried(&world, shipping, hurries).await;
    assert_eq!(
        rollback.state.name(),
        "failed",
        "it is still being carried out: {rollback:?}"
    );
    slow.on.notify_one();
    let told = in_flight.await.unwrap();
    assert_eq!(
        told.json()["result"]["content"][0]["text"],
        "ship",
        "the answer is nobody else's"
    );
    let (id, hands) = (rollback.id.parse().unwrap(), world.gateway.hands());
    let options = CarryOptions::default();
    let again = engine
        .retry_rollback(id, "olga", hands, &options)
        .await
        .unwrap();
    assert_eq!(again.state.name(), "succeeded", "{again:?}");
    assert_eq!(slow.calls("unship"), 1, "once in all");
    let record = world.record().await;
    let shipped = record
        .iter()
        .find(|d| d.node.id == shipping.to_string())
        .unwrap();
    assert_eq!(
        (&*shipped.outcome, &*shipped.node.status),
        ("succeeded", "compensated")
    );
}

#[tokio::test]
async fn c45_two_operators_at_once_reach_the_tools_once() {
    let slow = Slow::start(false).await;
    let world = world(&slow).await;
    let bad = id_of(&call(&world, "ada", "ship", false).await);
    let engine = world.recorder.engine();
    let (one, two) = (proposed(engine, bad).await, proposed(engine, bad).await);
    let (first, second) =
        tokio::join!(approve(engine, &one, "olga"), approve(engine, &two, "otto"),);
    let (won, lost) = match (first, second) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        other => panic!("{other:?}"),
    };
    assert_eq!(lost.class().1, "overlaps");
    let id = won.id.parse().unwrap();
    let carry = || {
        let (engine, hands) = (engine.clone(), world.gateway.hands());
        async move { engine.carry_out(id, hands, &CarryOptions::default()).await }
    };
    let (first, second) = tokio::join!(carry(), carry());
    assert_eq!(first.is_ok(), second.is_err(), "one of them carries it out");
    assert_eq!(slow.calls("unship"), 1);
}

#[tokio::test]
async fn a_model_that_is_asked_for_a_held_agent_is_heard_no_more_and_its_stream_says_so() {
    let spoken = words(&["I refund "]);
    let mut broken = vec![stream(), chunk(&spoken[0]), chunk(&spoken[1])];
    broken.push(Act::Stall);
    let (desk, stub) = Desk::open(vec![crate::support::json(crate::support::ANSWER), broken]).await;
    let headers = [("x-rescind-agent", "ada")];
    let path = "/openai/v1/chat/completions";
    let bad = desk.send(path, crate::support::CHAT, &headers).await;
    let bad = bad.header("x-rescind-decision").unwrap().parse().unwrap();
    let response = desk
        .begin(path, crate::support::CHAT_STREAM, &headers)
        .await;
    let id = response.headers()["x-rescind-decision"]
        .to_str()
        .unwrap()
        .to_owned();
    let engine = desk.recorder.engine();
    let rollback = proposed(engine, bad).await;
    approve(engine, &rollback, "olga").await.unwrap();
    let access = engine::access::Access::new(Vec::new());
    let gateway = Gateway::new(desk.recorder.clone(), access, options(&[&stub]));
    let hands = gateway.unwrap().hands();
    let carried = engine
        .carry_out(rollback.id.parse().unwrap(), hands, &cancels())
        .await;
    assert_eq!(carried.unwrap().state.name(), "succeeded");
    let answer = Answer::read(response).await;
    assert!(answer.body.contains("agent_held"), "{}", answer.body);
    assert!(
        !answer.body.contains("[DONE]"),
        "it does not end like a whole one"
    );
    stub.left.notified().await;
    engine.caught_up(Duration::from_secs(5)).await;
    let asked = engine.decision(id.parse().unwrap()).await.unwrap();
    assert_eq!(asked.outcome, "cancelled");
}
