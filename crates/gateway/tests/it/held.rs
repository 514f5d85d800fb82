//! Calls of tools that wait for a person, or that a rule refuses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::live::{self, ApprovalOptions, BreakerOptions, GuardOptions, Heard, Mode, Target};
use engine::view::HeldView;
use engine::{EngineError, Ruling};
use gateway::{McpServer, Timeouts};
use http::Method;

use crate::support_mcp::{
    Answer, Piece, Reply, Seen, Stub, World, content, json, memory, next, stream, text,
};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"refund","arguments":{"order":"W4482139"}}}"#;
const WITH_PROGRESS: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"refund","arguments":{"order":"W4482139"},"_meta":{"progressToken":"p-1"}}}"#;
const RESULT: &str =
    r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"Refunded."}]}}"#;
const ADA: [(&str, &str); 2] = [("x-rescind-agent", "ada"), ("x-rescind-run", "ticket-7")];

pub(crate) fn enforcing(wait: Duration) -> live::Options {
    live::Options {
        mode: Mode::Enforce,
        approvals: ApprovalOptions {
            wait,
            ..ApprovalOptions::default()
        },
        ..live::Options::default()
    }
}

/// Nobody waits: who is held is answered at once.
pub(crate) const AT_ONCE: Duration = Duration::ZERO;
/// Longer than any test takes.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

async fn desk(wait: Duration, reply: Reply) -> (Stub, Arc<World>) {
    guarded(enforcing(wait), move |_| reply.clone()).await
}

async fn guarded(
    recording: live::Options,
    answer: impl Fn(&Seen) -> Reply + Clone + Send + Sync + 'static,
) -> (Stub, Arc<World>) {
    let stub = Stub::start(answer).await;
    let server = McpServer::Http(stub.endpoint("/mcp"));
    (stub, Arc::new(World::guarding(server, recording).await))
}

/// The same, where it is known of what class a tool is.
async fn guarded_knowing(
    (tool, class): (&str, &str),
    recording: live::Options,
    answer: impl Fn(&Seen) -> Reply + Clone + Send + Sync + 'static,
) -> (Stub, World) {
    let stub = Stub::start(answer).await;
    let server = McpServer::Http(stub.endpoint("/mcp"));
    let catalogue = format!("[tools.{tool}]\nserver = \"desk\"\nclass = \"{class}\"\n");
    let world = World::with_catalogue(server, &catalogue, recording).await;
    (stub, world)
}

/// What waits, once so much does.
pub(crate) async fn waiting(world: &World, count: usize) -> Vec<HeldView> {
    loop {
        let engine = world.recorder.engine();
        engine.caught_up(Duration::from_secs(1)).await;
        let listed = engine.approvals().await.unwrap().approvals;
        if listed.len() == count {
            return listed;
        }
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn rule(world: &World, held: &HeldView, approve: bool) -> Result<(), EngineError> {
    let ruling = Ruling {
        approve,
        by: "grace".to_owned(),
        known: false,
        reason: (!approve).then(|| "twice the price".to_owned()),
        shown: held.call.parse().unwrap(),
    };
    let decision = held.decision.parse().unwrap();
    world.recorder.rule(decision, ruling).await.map(|_| ())
}

/// What a model reads in the result of a tool that failed.
fn told(answer: &Answer) -> String {
    let answer = answer.json();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Sends a call in the background.
fn calling(world: &Arc<World>, body: &'static str) -> tokio::task::JoinHandle<Answer> {
    let caller = Arc::clone(world);
    let calling = async move { caller.post("/mcp/desk", &ADA, body).await };
    world.recorder.tasks().spawn(calling)
}

#[tokio::test]
async fn c42_nothing_reaches_the_server_before_a_person_approves() {
    let (stub, world) = desk(LONG, json(RESULT)).await;
    let call = calling(&world, CALL);
    let held = waiting(&world, 1).await.remove(0);
    assert!(stub.seen().is_empty());
    assert_eq!(
        (&*held.agent, held.server.as_deref()),
        ("ada", Some("desk"))
    );
    assert_eq!(held.tool.as_deref(), Some("refund"));
    assert_eq!(held.arguments.as_deref(), Some(r#"{"order":"W4482139"}"#));
    assert_eq!(
        (&*held.rule, held.class.as_deref()),
        ("unreviewed", Some("unreviewed"))
    );
    rule(&world, &held, true).await.unwrap();
    let answer = call.await.unwrap();
    assert_eq!(answer.body, RESULT);
    assert_eq!(answer.header("x-rescind-decision"), Some(&*held.decision));
    let [seen] = &stub.seen()[..] else { panic!() };
    assert_eq!(seen.body, CALL, "it goes on as it came");
    let [decision] = &world.record().await[..] else {
        panic!()
    };
    let events: Vec<&str> = decision.events.iter().map(|mark| &*mark.what).collect();
    assert_eq!(
        events,
        ["proposed", "held", "approved", "started", "finished"]
    );
    assert_eq!(decision.outcome, "succeeded");
    assert!(content(decision, "result").contains("Refunded."));
}

#[tokio::test]
async fn c42_who_is_told_that_it_waits_calls_again_and_gets_through_once_approved() {
    let (stub, world) = desk(AT_ONCE, json(RESULT)).await;
    let answer = world.post("/mcp/desk", &ADA, CALL).await;
    let words = told(&answer);
    assert!(
        words.starts_with("Not done yet: this call waits"),
        "{words}"
    );
    let held = waiting(&world, 1).await.remove(0);
    let data = &answer.json()["result"]["_meta"]["dev.rescind/approval"];
    assert_eq!(data["decision"], *held.decision);
    assert_eq!(
        data["approve"],
        format!("rescind approve {}", held.decision)
    );
    assert_eq!(data["status"], "waiting");
    assert_eq!(answer.header("x-rescind-decision"), Some(&*held.decision));
    // Asking again makes no second wait.
    told(&world.post("/mcp/desk", &ADA, CALL).await);
    rule(&world, &held, true).await.unwrap();
    assert!(stub.seen().is_empty());
    assert_eq!(world.post("/mcp/desk", &ADA, CALL).await.body, RESULT);
    // Once: the next one waits for itself.
    told(&world.post("/mcp/desk", &ADA, CALL).await);
    assert_ne!(waiting(&world, 1).await[0].decision, held.decision);
    assert_eq!(stub.seen().len(), 1);
}

#[tokio::test]
async fn c42_arguments_that_were_changed_after_the_approval_wait_anew() {
    let (stub, world) = desk(AT_ONCE, json(RESULT)).await;
    world.post("/mcp/desk", &ADA, CALL).await;
    let held = waiting(&world, 1).await.remove(0);
    rule(&world, &held, true).await.unwrap();
    let other = CALL.replace("W4482139", "W4482130");
    told(&world.post("/mcp/desk", &ADA, &other).await);
    told(
        &world
            .post("/mcp/desk", &[("x-rescind-agent", "bob")], CALL)
            .await,
    );
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn a_refusal_reaches_the_model_with_its_reason() {
    let (stub, world) = desk(LONG, json(RESULT)).await;
    let call = calling(&world, CALL);
    let held = waiting(&world, 1).await.remove(0);
    rule(&world, &held, false).await.unwrap();
    let words = told(&call.await.unwrap());
    let expected = "Not done: grace refused this call: twice the price. Do not make it again.";
    assert_eq!(words, expected);
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn a_client_that_went_away_takes_its_call_along() {
    let (stub, world) = desk(LONG, json(RESULT)).await;
    let call = calling(&world, CALL);
    waiting(&world, 1).await;
    call.abort();
    waiting(&world, 0).await;
    let [decision] = &world.record().await[..] else {
        panic!()
    };
    assert_eq!(decision.outcome, "cancelled");
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn a_call_that_its_client_cancels_waits_no_longer() {
    let (_stub, world) = desk(LONG, json(RESULT)).await;
    let session = [("mcp-session-id", "s-1")];
    let caller = Arc::clone(&world);
    let call = async move { caller.post("/mcp/desk", &session, CALL).await };
    let call = world.recorder.tasks().spawn(call);
    waiting(&world, 1).await;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    world.post("/mcp/desk", &session, cancel).await;
    assert_eq!(told(&call.await.unwrap()), "Not done: it was cancelled.");
    waiting(&world, 0).await;
}

#[tokio::test]
async fn a_client_that_takes_streams_hears_that_its_call_waits() {
    for (reply, ends) in [
        (json(RESULT), true),
        (
            stream(vec![text(format!("event: message\ndata: {RESULT}\n\n"))]),
            true,
        ),
        (json("no such session").status(404), false),
    ] {
        let (stub, world) = desk(LONG, reply).await;
        let response = world
            .send(Method::POST, "/mcp/desk", &ADA, WITH_PROGRESS)
            .await;
        assert!(response.headers().contains_key("x-rescind-decision"));
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        let first = next(&mut body).await;
        let told = first.strip_prefix("event: message\ndata: ").unwrap();
        let told: serde_json::Value = serde_json::from_str(told.trim()).unwrap();
        assert_eq!(told["method"], "notifications/progress");
        assert_eq!(told["params"]["progressToken"], "p-1");
        let held = waiting(&world, 1).await.remove(0);
        let words = told["params"]["message"].as_str().unwrap();
        assert!(words.contains(&held.decision), "{words}");
        rule(&world, &held, true).await.unwrap();
        let rest = http_body_util::BodyExt::collect(body)
            .await
            .unwrap()
            .to_bytes();
        let rest = String::from_utf8(rest.to_vec()).unwrap();
        if ends {
            assert_eq!(rest, format!("event: message\ndata: {RESULT}\n\n"));
        } else {
            assert!(rest.contains("no such session"), "{rest}");
        }
        assert_eq!(stub.seen().len(), 1);
    }
}

#[tokio::test]
async fn who_stops_reading_while_its_call_waits_has_cancelled_it() {
    let (stub, world) = desk(LONG, json(RESULT)).await;
    let response = world
        .send(Method::POST, "/mcp/desk", &ADA, WITH_PROGRESS)
        .await;
    waiting(&world, 1).await;
    drop(response);
    waiting(&world, 0).await;
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn of_a_batch_everything_goes_on_or_nothing() {
    let (stub, world) = desk(AT_ONCE, json("[]")).await;
    let batch = format!(r#"[{CALL},{{"jsonrpc":"2.0","id":8,"method":"prompts/list"}}]"#);
    let answer = world.post("/mcp/desk", &ADA, &batch).await.json();
    assert_eq!(answer[0]["result"]["isError"], true);
    assert_eq!(answer[1]["error"]["data"]["code"], "not_sent");
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn what_waits_when_the_process_stops_is_told_so_and_waits_on() {
    let (_stub, world) = desk(LONG, json(RESULT)).await;
    let call = calling(&world, CALL);
    waiting(&world, 1).await;
    let [decision] = &world.record().await[..] else {
        panic!()
    };
    assert_eq!(decision.node.status, "held");
    assert!(told(&call.await.unwrap()).starts_with("Not done yet"));
}

#[tokio::test]
async fn c31_what_is_read_only_is_not_held_and_stopped_when_it_leads_nowhere() {
    let tools = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"refund","inputSchema":{},"annotations":{"readOnlyHint":true}}]}}"#;
    let (stub, world) = guarded(enforcing(AT_ONCE), move |seen| {
        json(if seen.body.contains("tools/list") {
            tools
        } else {
            RESULT
        })
    })
    .await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    world.post("/mcp/desk", &ADA, list).await;
    for _ in 0..5 {
        assert_eq!(world.post("/mcp/desk", &ADA, CALL).await.body, RESULT);
    }
    let answer = world.post("/mcp/desk", &ADA, CALL).await;
    assert!(told(&answer).contains("5 times in a row"));
    let data = &answer.json()["result"]["_meta"]["dev.rescind/refused"];
    assert_eq!(data["rule"], "loop");
    assert_eq!(stub.seen().len(), 1 + 5);
}

pub(crate) fn left_alone_after_two() -> live::Options {
    let two = BreakerOptions {
        failures_max: 2,
        ..BreakerOptions::default()
    };
    live::Options {
        mode: Mode::Enforce,
        guard: GuardOptions {
            tools: two,
            agents: two,
            ..GuardOptions::default()
        },
        ..live::Options::default()
    }
}

#[tokio::test]
async fn c22_a_tool_whose_server_is_down_is_left_alone() {
    let broken = Reply {
        pieces: vec![Piece::Break],
        ..json("")
    };
    for down in [json("down").status(503), json("").status(502), broken] {
        let (rules, known) = (left_alone_after_two(), ("refund", "read"));
        let (stub, world) = guarded_knowing(known, rules, move |_| down.clone()).await;
        for _ in 0..2 {
            world.post("/mcp/desk", &ADA, CALL).await;
        }
        let answer = world.post("/mcp/desk", &ADA, CALL).await;
        let words = told(&answer);
        assert!(words.contains("try again in 30 s"), "{words}");
        let data = &answer.json()["result"]["_meta"]["dev.rescind/refused"];
        assert_eq!(data["rule"], "breaker");
        assert!(data["retry_at"].is_string());
        assert_eq!(stub.seen().len(), 2);
    }
}

#[tokio::test]
async fn c26_a_tool_that_answers_with_its_own_error_is_not() {
    let failed = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[],"isError":true}}"#;
    let recording = live::Options {
        guard: GuardOptions {
            loop_calls_max: 0,
            ..left_alone_after_two().guard
        },
        ..left_alone_after_two()
    };
    let known = ("refund", "read");
    let (stub, world) = guarded_knowing(known, recording, move |_| json(failed)).await;
    for _ in 0..4 {
        assert_eq!(world.post("/mcp/desk", &ADA, CALL).await.body, failed);
    }
    assert_eq!(stub.seen().len(), 4);
}

#[tokio::test]
async fn c22_an_agent_that_is_down_gets_no_messages_for_a_while() {
    let stub = Stub::start(|seen| match seen.method {
        Method::GET => {
            let url = format!("http://{}/rpc", seen.header("host").unwrap());
            json(format!(
                r#"{{"name":"Bob","protocolVersion":"0.3.0","url":"{url}","preferredTransport":"JSONRPC"}}"#
            ))
        }
        _ => Reply {
            pieces: vec![Piece::Break],
            ..json("")
        },
    })
    .await;
    let a2a = BTreeMap::from([("bob".to_owned(), stub.endpoint(""))]);
    let (mcp, recording) = (BTreeMap::new(), left_alone_after_two());
    let world = World::recording(mcp, a2a, Timeouts::default(), memory(), recording).await;
    let send = r#"{"jsonrpc":"2.0","id":"r","method":"message/send","params":{"message":{"kind":"message","messageId":"m","role":"user","parts":[{"kind":"text","text":"Cancel."}]}}}"#;
    for _ in 0..2 {
        let answer = world.post("/a2a/bob", &[], send).await.json();
        assert_ne!(answer["error"]["data"]["code"], "agent_resting", "{answer}");
    }
    let answer = world.post("/a2a/bob", &[], send).await.json();
    assert_eq!(answer["error"]["data"]["code"], "agent_resting", "{answer}");
    let posts = stub.seen();
    let posts = posts.iter().filter(|seen| seen.method == Method::POST);
    assert_eq!(posts.count(), 2);
}

#[tokio::test]
async fn what_may_go_on_is_not_sent_with_what_may_not() {
    let known = ("get_order", "read");
    let (stub, world) = guarded_knowing(known, enforcing(AT_ONCE), |_| json("[]")).await;
    let look = CALL
        .replace("refund", "get_order")
        .replace("\"id\":7", "\"id\":8");
    let answer = world
        .post("/mcp/desk", &ADA, &format!("[{look},{CALL}]"))
        .await;
    assert_eq!(answer.json()[0]["error"]["data"]["code"], "not_sent");
    assert!(stub.seen().is_empty());
    let record = world.record().await;
    let outcomes: Vec<&str> = record.iter().map(|view| &*view.node.status).collect();
    assert_eq!(outcomes, ["cancelled", "held"]);
}

#[tokio::test]
async fn the_catalogue_is_asked_before_the_server() {
    let known = ("refund", "compensable");
    let (stub, world) = guarded_knowing(known, enforcing(AT_ONCE), |_| json(RESULT)).await;
    assert_eq!(world.post("/mcp/desk", &ADA, CALL).await.body, RESULT);
    // Of this one nobody has said what it does.
    let close = CALL.replace("refund", "close_account");
    world.post("/mcp/desk", &ADA, &close).await;
    waiting(&world, 1).await;
    assert_eq!(stub.seen().len(), 1);
}

#[tokio::test]
async fn c22_of_an_approved_call_whose_tool_rests_nothing_is_read() {
    const CATALOGUE: &str = r#"
[resources.order]
uri = "orders/{id}"
server = "desk"
read = { tool = "read", args = { id = "{id}" } }

[tools.read]
server = "desk"
class = "read"

[tools.refund]
server = "desk"
class = "irreversible"
writes = [{ order = "{args.order}", sets = ["/status"] }]
"#;
    let stub = Stub::start(|_: &Seen| json(RESULT)).await;
    let server = McpServer::Http(stub.endpoint("/mcp"));
    let world = World::with_catalogue(server, CATALOGUE, enforcing(LONG)).await;
    let world = Arc::new(world);
    let call = calling(&world, CALL);
    let held = waiting(&world, 1).await.remove(0);
    let target = Target::tool("desk", "refund");
    while let Ok(pass) = world.recorder.pass(&target, None) {
        pass.ended(Heard::Failed, None);
    }
    rule(&world, &held, true).await.unwrap();
    let answer = call.await.unwrap();
    assert!(answer.body.contains("tool:desk/refund"), "{}", answer.body);
    assert!(stub.seen().is_empty(), "{:?}", stub.seen());
}
