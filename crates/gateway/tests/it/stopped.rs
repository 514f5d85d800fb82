//! Work in flight of agents that a rollback holds, where policy does not wait: what was handed to
//! another agent, or goes on as a task of a tool, is asked to stop, and its status says what came of
//! that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::live;
use gateway::{McpServer, Timeouts};
use http::Method;
use model::DecisionId;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::hold::{cancels, carried};
use crate::support_mcp::{
    Answer, Piece, Reply, Seen, Stub, World, content, json as answer, memory, next, stream, text,
};

fn asked(seen: &Seen) -> Value {
    serde_json::from_str(&seen.body).unwrap_or_default()
}

fn reply(to: &Value, result: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": to["id"], "result": result }).to_string()
}

fn task(state: &str) -> Value {
    json!({ "kind": "task", "id": "t-1", "contextId": "c-1", "status": { "state": state } })
}

fn refusal(to: &Value, code: i64) -> String {
    let error = json!({ "code": code, "message": "no" });
    json!({ "jsonrpc": "2.0", "id": to["id"], "error": error }).to_string()
}

/// An agent with a task that goes on; `cancel` and `get` are what it says when it is asked about it:
/// a state, or the code of an error.
#[derive(Clone, Copy)]
struct Bob {
    cancel: Result<&'static str, i64>,
    get: &'static str,
}

impl Bob {
    async fn start(self, here: &Arc<Notify>) -> Stub {
        let here = Arc::clone(here);
        Stub::start(move |seen| {
            if seen.method == Method::GET {
                return answer("").status(404);
            }
            let asked = asked(seen);
            let words = asked["params"]["message"]["parts"][0]["text"].as_str();
            match (asked["method"].as_str().unwrap(), words) {
                ("message/send" | "SendMessage", Some("short")) => {
                    answer(reply(&asked, &task("completed")))
                }
                ("message/send" | "SendMessage", _) => answer(reply(&asked, &task("working"))),
                ("message/stream", _) => {
                    let event = format!("data: {}\n\n", reply(&asked, &task("working")));
                    let never = Piece::Meet(Arc::clone(&here), Arc::default());
                    stream(vec![text(event), never])
                }
                ("tasks/cancel" | "CancelTask", _) => match self.cancel {
                    Ok(state) => answer(reply(&asked, &task(state))),
                    Err(code) => answer(refusal(&asked, code)),
                },
                ("tasks/get" | "GetTask", _) => answer(reply(&asked, &task(self.get))),
                (other, _) => panic!("{other}"),
            }
        })
        .await
    }
}

async fn before(stub: &Stub, cancelled: Duration) -> World {
    let a2a = BTreeMap::from([("bob".to_owned(), stub.endpoint("/rpc"))]);
    let timeouts = Timeouts {
        cancelled,
        ..Timeouts::default()
    };
    let recording = live::Options::default();
    World::recording(BTreeMap::new(), a2a, timeouts, memory(), recording).await
}

const LONG: Duration = Duration::from_secs(30);

fn send(method: &str, words: &str) -> String {
    let message = json!({
        "kind": "message", "messageId": "m", "role": "user",
        "parts": [{ "kind": "text", "text": words }],
    });
    json!({ "jsonrpc": "2.0", "id": "r", "method": method, "params": { "message": message } })
        .to_string()
}

const ADA: &str = "/agents/ada/a2a/bob";
const HEADERS: [(&str, &str); 1] = [("authorization", "Bearer ada")];

fn id_of(answer: &Answer) -> DecisionId {
    let id = answer.header("x-rescind-decision");
    id.unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
}

/// The requests that reached a server by this name.
fn named(stub: &Stub, method: &str) -> Vec<Seen> {
    let mut seen = stub.seen();
    seen.retain(|seen| asked(seen)["method"] == method);
    seen
}

async fn outcome(world: &World, id: DecisionId) -> String {
    let record = world.record().await;
    let found = record.iter().find(|d| d.node.id == id.to_string());
    found.unwrap().outcome.clone()
}

#[tokio::test]
async fn c29_a_task_of_another_agent_is_cancelled_with_the_credentials_of_who_asked() {
    let bob = Bob {
        cancel: Ok("canceled"),
        get: "working",
    };
    for (method, cancel) in [
        ("message/send", "tasks/cancel"),
        ("SendMessage", "CancelTask"),
    ] {
        let stub = bob.start(&Arc::default()).await;
        let world = before(&stub, LONG).await;
        let bad = id_of(&world.post(ADA, &HEADERS, &send(method, "short")).await);
        let working = id_of(&world.post(ADA, &HEADERS, &send(method, "long")).await);
        let rollback = carried(&world, bad, cancels()).await;
        assert_eq!(rollback.state.name(), "succeeded", "{rollback:?}");
        assert_eq!(outcome(&world, working).await, "cancelled");
        let [seen] = &named(&stub, cancel)[..] else {
            panic!("{method}")
        };
        assert_eq!(asked(seen)["params"], json!({ "id": "t-1" }));
        assert_eq!(seen.header("authorization"), Some("Bearer ada"));
    }
}

#[tokio::test]
async fn c29_a_stream_of_a_task_that_is_cancelled_ends_with_that() {
    let here = Arc::new(Notify::new());
    let bob = Bob {
        cancel: Ok("canceled"),
        get: "working",
    };
    let stub = bob.start(&here).await;
    let world = before(&stub, LONG).await;
    let bad = id_of(&world.post(ADA, &[], &send("message/send", "short")).await);
    let body = send("message/stream", "long");
    let response = world.send(Method::POST, ADA, &[], &body).await;
    let streamed = response.headers()["x-rescind-decision"].to_str().unwrap();
    let streamed = streamed.parse().unwrap();
    let mut body = response.into_body();
    assert!(next(&mut body).await.contains("working"));
    here.notified().await;
    let rollback = carried(&world, bad, cancels()).await;
    assert_eq!(rollback.state.name(), "succeeded", "{rollback:?}");
    let last = next(&mut body).await;
    assert!(
        last.contains("canceled") && last.contains(r#""id":"r""#),
        "{last}"
    );
    assert_eq!(outcome(&world, streamed).await, "cancelled");
}

#[tokio::test]
async fn an_agent_that_does_not_cancel_is_asked_how_its_task_ended() {
    for (cancel, get, expected) in [
        // It had ended already.
        (Err(-32002), "completed", "succeeded"),
        (Err(-32002), "failed", "failed: error"),
        // It says that it stops, and does.
        (Ok("working"), "canceled", "cancelled"),
        // It has another opinion.
        (Ok("completed"), "working", "succeeded"),
    ] {
        let stub = Bob { cancel, get }.start(&Arc::default()).await;
        let world = before(&stub, LONG).await;
        let bad = id_of(&world.post(ADA, &[], &send("message/send", "short")).await);
        let working = id_of(&world.post(ADA, &[], &send("message/send", "long")).await);
        let rollback = carried(&world, bad, cancels()).await;
        assert_eq!(rollback.state.name(), "succeeded", "{rollback:?}");
        assert_eq!(
            outcome(&world, working).await,
            expected,
            "{cancel:?}, {get}"
        );
    }
}

#[tokio::test]
async fn of_a_task_that_goes_on_all_the_same_it_is_not_known_how_it_ended() {
    let bob = Bob {
        cancel: Err(-32004),
        get: "working",
    };
    let stub = bob.start(&Arc::default()).await;
    let world = before(&stub, Duration::from_millis(50)).await;
    let bad = id_of(&world.post(ADA, &[], &send("message/send", "short")).await);
    let working = id_of(&world.post(ADA, &[], &send("message/send", "long")).await);
    let rollback = carried(&world, bad, cancels()).await;
    assert_eq!(rollback.state.name(), "succeeded", "{rollback:?}");
    let record = world.record().await;
    let working = record.iter().find(|d| d.node.id == working.to_string());
    let working = working.unwrap();
    assert_eq!(working.outcome, "unknown");
    assert!(content(working, "result").contains("quarantined"));
}

/// A server whose calls go on as tasks, but for those of the tool `look`.
fn slow(cancel: Result<&'static str, i64>, get: &'static str) -> impl Fn(&Seen) -> Reply + Clone {
    move |seen| {
        let asked = asked(seen);
        let stands = |status: &str| json!({ "taskId": "t-1", "status": status });
        let tool = asked["params"]["name"].as_str();
        let result = match (asked["method"].as_str().unwrap_or_default(), tool) {
            ("tools/call", Some("look")) => json!({ "content": [] }),
            ("tools/call", _) => json!({ "task": stands("working") }),
            ("tasks/cancel", _) => match cancel {
                Ok(status) => stands(status),
                Err(code) => return answer(refusal(&asked, code)),
            },
            ("tasks/get", _) => stands(get),
            ("tasks/result", _) => json!({ "content": [{ "type": "text", "text": "shipped" }] }),
            ("initialize", _) => json!({ "protocolVersion": "2025-11-25", "capabilities": {} }),
            _ => return answer("").status(202),
        };
        answer(reply(&asked, &result)).with("mcp-session-id", "s-1")
    }
}

const DESK: &str = "/agents/ada/mcp/desk";

fn call(tool: &str) -> String {
    let params = json!({ "name": tool, "arguments": {}, "task": {} });
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params }).to_string()
}

#[tokio::test]
async fn c29_a_call_that_goes_on_as_a_task_is_cancelled_and_its_status_is_what_the_server_says() {
    for (cancel, get, expected) in [
        (Ok("cancelled"), "working", "cancelled"),
        (Ok("working"), "cancelled", "cancelled"),
        // It had ended already.
        (Err(-32602), "completed", "succeeded"),
        (Err(-32602), "failed", "failed: error"),
    ] {
        let stub = Stub::start(slow(cancel, get)).await;
        let server = McpServer::Http(stub.endpoint("/mcp"));
        let world = World::with_mcp(server).await;
        let headers = [("mcp-session-id", "s-1"), HEADERS[0]];
        let bad = id_of(&world.post(DESK, &headers, &call("look")).await);
        let working = id_of(&world.post(DESK, &headers, &call("ship")).await);
        let rollback = carried(&world, bad, cancels()).await;
        assert_eq!(rollback.state.name(), "succeeded", "{rollback:?}");
        assert_eq!(
            outcome(&world, working).await,
            expected,
            "{cancel:?}, {get}"
        );
        let seen = &named(&stub, "tasks/cancel")[0];
        assert_eq!(asked(seen)["params"]["taskId"], "t-1");
        for (name, value) in headers {
            assert_eq!(seen.header(name), Some(value));
        }
    }
}

#[tokio::test]
async fn of_a_call_whose_task_goes_on_all_the_same_it_is_not_known_how_it_ended() {
    let stub = Stub::start(slow(Err(-32601), "working")).await;
    let server = McpServer::Http(stub.endpoint("/mcp"));
    let world = World::impatient(server, "").await;
    let bad = id_of(&world.post(DESK, &[], &call("look")).await);
    let working = id_of(&world.post(DESK, &[], &call("ship")).await);
    let rollback = carried(&world, bad, cancels()).await;
    assert_eq!(rollback.state.name(), "succeeded", "{rollback:?}");
    assert_eq!(outcome(&world, working).await, "unknown");
}
