//! A2A: what passes, what is recorded, and where nothing goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway::{Endpoint, Timeouts};
use http::Method;
use tokio::sync::Notify;

use crate::support_mcp::{Piece, Reply, Seen, Stub, World, content, json, memory, stream, text};

const CARD: &str = "/.well-known/agent-card.json";
const SEND: &str = r#"{"jsonrpc":"2.0","id":"r","method":"message/send","params":{"message":{"kind":"message","messageId":"m","role":"user","parts":[{"kind":"text","text":"Cancel W4482139."}]}}}"#;

async fn before(endpoint: Endpoint) -> World {
    let a2a = BTreeMap::from([("bob".to_owned(), endpoint)]);
    World::start(BTreeMap::new(), a2a, Timeouts::default(), memory()).await
}

/// An agent that has a card and answers requests as told, and the gateway before it.
async fn agent(answer: impl Fn(&Seen) -> Reply + Clone + Send + Sync + 'static) -> (Stub, World) {
    let stub = Stub::start(move |seen| {
        if seen.method == Method::GET {
            let host = seen.header("host").unwrap();
            return card(&format!("http://{host}/rpc"));
        }
        answer(seen)
    })
    .await;
    let world = before(stub.endpoint("")).await;
    (stub, world)
}

fn card(url: &str) -> Reply {
    json(format!(
        r#"{{"name":"Bob","protocolVersion":"0.3.0","url":"{url}","preferredTransport":"JSONRPC","additionalInterfaces":[{{"url":"{url}","transport":"JSONRPC"}},{{"url":"http://127.0.0.1:9/grpc","transport":"GRPC"}}],"supportedInterfaces":[{{"url":"{url}","protocolBinding":"JSONRPC","protocolVersion":"1.0"}}],"signatures":[{{"protected":"p","signature":"s"}}]}}"#
    ))
    .with("etag", "\"1\"")
}

fn reply(result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"r","result":{result}}}"#)
}

fn task(state: &str) -> String {
    reply(&format!(
        r#"{{"kind":"task","id":"t-1","contextId":"c-1","status":{{"state":"{state}"}},"artifacts":[{{"artifactId":"a","parts":[{{"kind":"text","text":"Done: W4482139."}}]}}]}}"#
    ))
}

fn status(state: &str, last: bool) -> String {
    reply(&format!(
        r#"{{"kind":"status-update","taskId":"t-1","contextId":"c-1","status":{{"state":"{state}"}},"final":{last}}}"#
    ))
}

fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

async fn outcomes(world: &World) -> Vec<String> {
    let record = world.record().await;
    record.into_iter().map(|view| view.outcome).collect()
}

#[tokio::test]
async fn every_interface_of_a_card_is_here() {
    let (stub, world) = agent(|_| json("")).await;
    for (path, own) in [
        ("/a2a/bob", format!("http://{}/a2a/bob", world.address)),
        (
            "/agents/ada/a2a/bob",
            format!("http://{}/agents/ada/a2a/bob", world.address),
        ),
    ] {
        for name in [CARD, "/.well-known/agent.json"] {
            let answer = world.get(&format!("{path}{name}"), &[]).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("etag"), None);
            let card = answer.json();
            assert_eq!(card["url"], *own);
            assert_eq!(card["supportedInterfaces"][0]["url"], *own);
            assert_eq!(card["additionalInterfaces"].as_array().unwrap().len(), 1);
            assert!(!answer.body.contains(&stub.address.to_string()));
            assert!(!answer.body.contains("grpc") && !answer.body.contains("signatures"));
        }
    }
    assert!(world.record().await.is_empty());
}

#[tokio::test]
async fn the_card_for_those_who_may_see_more_points_here_too() {
    let (stub, world) = agent(|seen| {
        let host = seen.header("host").unwrap();
        let Piece::Text(card) = &card(&format!("http://{host}/rpc")).pieces[0] else {
            panic!()
        };
        json(reply(card))
    })
    .await;
    let body = r#"{"jsonrpc":"2.0","id":"r","method":"agent/getAuthenticatedExtendedCard"}"#;
    let answer = world.post("/a2a/bob", &[], body).await;
    let own = format!("http://{}/a2a/bob", world.address);
    assert_eq!(answer.json()["result"]["url"], *own);
    assert!(!answer.body.contains(&stub.address.to_string()));
}

#[tokio::test]
async fn c82_a_message_is_recorded_with_its_answer_and_passes_as_it_came() {
    let (stub, world) = agent(|_| json(task("completed"))).await;
    let headers = [("authorization", "Bearer t"), ("a2a-version", "0.3")];
    let answer = world.post("/agents/ada/a2a/bob", &headers, SEND).await;
    assert_eq!(answer.body, task("completed"));
    let seen = stub.seen().pop().unwrap();
    assert_eq!((&*seen.body, seen.uri.path()), (SEND, "/rpc"));
    assert_eq!(seen.header("authorization"), Some("Bearer t"));
    let [decision] = &world.record().await[..] else {
        panic!()
    };
    assert_eq!(
        answer.header("x-rescind-decision"),
        Some(&*decision.node.id)
    );
    assert_eq!(decision.node.kind, "message");
    assert_eq!(decision.node.agent, "ada");
    assert_eq!(decision.node.name.as_deref(), Some("bob"));
    assert_eq!(decision.outcome, "succeeded");
    assert!(content(decision, "asked").contains("Cancel W4482139."));
    assert!(content(decision, "result").contains("Done: W4482139."));
}

#[tokio::test]
async fn c82_terminal_states_of_the_other_agent_are_the_outcomes() {
    for (state, outcome) in [
        ("completed", "succeeded"),
        ("failed", "failed: error"),
        ("canceled", "cancelled"),
        ("rejected", "failed: denied"),
        ("TASK_STATE_COMPLETED", "succeeded"),
        ("input-required", "unknown"),
        ("working", "unknown"),
        ("unknown", "unknown"),
    ] {
        let (_stub, world) = agent(move |_| json(task(state))).await;
        world.post("/a2a/bob", &[], SEND).await;
        assert_eq!(outcomes(&world).await, [outcome], "{state}");
        let events = stream(vec![
            text(event(&task("working"))),
            text(event(&status(state, true))),
        ]);
        let (_stub, world) = agent(move |_| events.clone()).await;
        world.post("/a2a/bob", &[], SEND).await;
        assert_eq!(outcomes(&world).await, [outcome], "{state}");
    }
}

/// A task that found something, and then failed, told in the words of both versions: the piece with
/// what was found, the end, and the same as one task.
const FAILURES: [(&str, [&str; 4]); 2] = [
    (
        "0.3",
        [
            "message/stream",
            r#"{"kind":"artifact-update","taskId":"t-1","contextId":"c-1","artifact":{"artifactId":"a","parts":[{"kind":"text","text":"W1 was paid twice."}]}}"#,
            r#"{"kind":"status-update","taskId":"t-1","contextId":"c-1","status":{"state":"failed","message":{"kind":"message","messageId":"e","role":"agent","parts":[{"kind":"text","text":"The books do not answer."}]}},"final":true}"#,
            r#"{"kind":"task","id":"t-1","contextId":"c-1","status":{"state":"failed","message":{"kind":"message","messageId":"e","role":"agent","parts":[{"kind":"text","text":"The books do not answer."}]}},"artifacts":[{"artifactId":"a","parts":[{"kind":"text","text":"W1 was paid twice."}]}]}"#,
        ],
    ),
    (
        "1.0",
        [
            "SendStreamingMessage",
            r#"{"artifactUpdate":{"taskId":"t-1","contextId":"c-1","artifact":{"artifactId":"a","parts":[{"text":"W1 was paid twice."}]}}}"#,
            r#"{"statusUpdate":{"taskId":"t-1","contextId":"c-1","status":{"state":"TASK_STATE_FAILED","message":{"messageId":"e","role":"ROLE_AGENT","parts":[{"text":"The books do not answer."}]}}}}"#,
            r#"{"task":{"id":"t-1","contextId":"c-1","status":{"state":"TASK_STATE_FAILED","message":{"messageId":"e","role":"ROLE_AGENT","parts":[{"text":"The books do not answer."}]}},"artifacts":[{"artifactId":"a","parts":[{"text":"W1 was paid twice."}]}]}}"#,
        ],
    ),
];

#[tokio::test]
async fn c159_a_failure_reaches_the_caller_with_its_cause_and_what_was_found_is_kept() {
    for (version, [method, found, failed, whole]) in FAILURES {
        let working = match version {
            "0.3" => r#"{"kind":"task","id":"t-1","contextId":"c-1","status":{"state":"working"}}"#,
            _ => {
                r#"{"task":{"id":"t-1","contextId":"c-1","status":{"state":"TASK_STATE_WORKING"}}}"#
            }
        };
        let events: String = [working, found, failed]
            .iter()
            .map(|data| event(&reply(data)))
            .collect();
        let streamed = (stream(vec![text(&*events)]), method, events);
        let unary = match version {
            "0.3" => "message/send",
            _ => "SendMessage",
        };
        let at_once = (json(reply(whole)), unary, reply(whole));
        for (answers, method, body) in [streamed, at_once] {
            let (_stub, world) = agent(move |_| answers.clone()).await;
            let send = SEND.replace("message/send", method);
            let headers = [("a2a-version", version)];
            let answer = world.post("/a2a/bob", &headers, &send).await;
            assert_eq!(answer.body, body, "it passes as it came");
            let [decision] = &world.record().await[..] else {
                panic!()
            };
            assert_eq!(decision.outcome, "failed: error", "{version} {method}");
            let kept = content(decision, "result");
            for said in ["W1 was paid twice.", "The books do not answer."] {
                assert!(kept.contains(said), "{version} {method}: {kept}");
            }
        }
    }
}

#[tokio::test]
async fn c168_one_end_of_a_stream_is_passed_on_and_no_second() {
    let pieces = [
        task("working"),
        status("completed", true),
        status("completed", true),
        status("failed", true),
    ];
    let events = stream(pieces.iter().map(|data| text(event(data))).collect());
    let (_stub, world) = agent(move |_| events.clone()).await;
    let answer = world.post("/a2a/bob", &[], SEND).await;
    let expected = [event(&pieces[0]), event(&pieces[1])].concat();
    assert_eq!(answer.body, expected);
    assert_eq!(outcomes(&world).await, ["succeeded"]);
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_in_an_error() {
    for broken in [vec![], vec![text("data: {\"js"), Piece::Break]] {
        let mut pieces = vec![text(event(&task("working")))];
        pieces.extend(broken);
        let events = stream(pieces);
        let (_stub, world) = agent(move |_| events.clone()).await;
        let answer = world.post("/a2a/bob", &[], SEND).await;
        let last = answer.body.trim_end().rsplit("data: ").next().unwrap();
        let said: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(
            (&said["id"], &said["error"]["code"]),
            (&"r".into(), &(-32603).into())
        );
        assert_eq!(outcomes(&world).await, ["unknown"]);
    }
}

#[tokio::test]
async fn c166_a_task_that_goes_on_ends_when_it_is_asked_about() {
    let (_stub, world) = agent(|seen| {
        if seen.body.contains("tasks/get") {
            return json(task("failed"));
        }
        json(task("submitted"))
    })
    .await;
    world.post("/a2a/bob", &[], SEND).await;
    let get = r#"{"jsonrpc":"2.0","id":"r","method":"tasks/get","params":{"id":"t-1"}}"#;
    world.post("/a2a/bob", &[], get).await;
    assert_eq!(outcomes(&world).await, ["failed: error"]);
}

#[tokio::test]
async fn c166_c167_a_caller_that_goes_away_finds_the_end_when_it_comes_back() {
    let (here, on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (meet, going) = (Arc::clone(&here), Arc::clone(&on));
    let (_stub, world) = agent(move |seen| {
        if seen.body.contains("tasks/resubscribe") {
            return stream(vec![text(event(&status("completed", true)))]);
        }
        let meet = Piece::Meet(Arc::clone(&meet), Arc::clone(&going));
        stream(vec![text(event(&task("working"))), meet])
    })
    .await;
    let send = SEND.replace("message/send", "message/stream");
    let response = world.send(Method::POST, "/a2a/bob", &[], &send).await;
    let decision = response.headers()["x-rescind-decision"].clone();
    let mut body = response.into_body();
    crate::support_mcp::next(&mut body).await;
    here.notified().await;
    drop(body);
    // The gateway leaves the agent's stream when it notices; until then the task is nobody's.
    let again = r#"{"jsonrpc":"2.0","id":"r","method":"tasks/resubscribe","params":{"id":"t-1"}}"#;
    let engine = world.recorder.engine();
    let id = decision.to_str().unwrap().parse().unwrap();
    loop {
        let answer = world.post("/a2a/bob", &[], again).await;
        assert_eq!(answer.body, event(&status("completed", true)));
        if engine.decision(id).await.unwrap().outcome == "succeeded" {
            break;
        }
    }
}

#[tokio::test]
async fn a_conversation_is_one_run_and_says_what_it_goes_on_with() {
    let (_stub, world) = agent(|_| json(task("completed"))).await;
    let first = world.post("/a2a/bob", &[], SEND).await;
    let more = SEND.replace(
        "\"role\"",
        "\"contextId\":\"c-1\",\"referenceTaskIds\":[\"t-1\"],\"role\"",
    );
    let second = world.post("/a2a/bob", &[], &more).await;
    let run = first.header("x-rescind-run").unwrap();
    assert_eq!(second.header("x-rescind-run"), Some(run));
    let record = world.record().await;
    let mut causes = record[1].causes.iter();
    let told = causes.find(|cause| cause.evidence.contains("referenceTaskIds"));
    assert_eq!(told.unwrap().decision, record[0].node.id);
}

#[tokio::test]
async fn only_the_configured_address_is_ever_called() {
    let other = Stub::start(|_| json(task("completed"))).await;
    let elsewhere = format!("http://{}/rpc", other.address);
    let stub = Stub::start(move |_| card(&elsewhere)).await;
    let world = before(stub.endpoint("/bob")).await;
    let answer = world.post("/a2a/bob", &[], SEND).await;
    assert_eq!(answer.json()["error"]["data"]["code"], "card_elsewhere");
    assert!(other.seen().is_empty());
    assert_eq!(outcomes(&world).await, ["failed: unavailable"]);
    // A card without an interface that is carried is not passed on, and neither is a redirect.
    for reply in [
        json(r#"{"name":"Bob","url":"http://127.0.0.1:9/","preferredTransport":"GRPC"}"#),
        json("")
            .status(302)
            .with("location", "http://127.0.0.1:9/card.json"),
    ] {
        let stub = Stub::start(move |_| reply.clone()).await;
        let world = before(stub.endpoint("")).await;
        let answer = world.get(&format!("/a2a/bob{CARD}"), &[]).await;
        assert_eq!(answer.status, 502);
        assert!(!answer.body.contains("\"url\""), "{}", answer.body);
    }
}

#[tokio::test]
async fn an_agent_without_a_card_is_called_where_it_is_configured() {
    let stub = Stub::start(|seen| match seen.method {
        Method::GET => json("").status(404),
        _ => json(task("completed")),
    })
    .await;
    let world = before(stub.endpoint("/bob/rpc")).await;
    let push = r#"{"jsonrpc":"2.0","id":1,"method":"tasks/pushNotificationConfig/set","params":{"taskId":"t","pushNotificationConfig":{"url":"http://x/"}}}"#;
    world.post("/a2a/bob", &[], push).await;
    let seen = stub.seen().pop().unwrap();
    assert_eq!((&*seen.body, seen.uri.path()), (push, "/bob/rpc"));
    for body in [
        format!("[{SEND}]"),
        SEND.replace("\"id\"", "\"Id\""),
        "{".to_owned(),
    ] {
        assert_eq!(world.post("/a2a/bob", &[], &body).await.status, 400);
    }
    assert!(world.record().await.is_empty());
}
