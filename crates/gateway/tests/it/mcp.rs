//! MCP: what passes, what is recorded, and what is told when something breaks.

use std::sync::Arc;

use gateway::McpServer;
use http::Method;
use tokio::sync::Notify;

use crate::support_mcp::{
    Answer, Piece, Reply, Seen, Stub, World, content, json, next, stream, text,
};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"cancel_order","arguments":{"order":"W4482139"},"_meta":{"progressToken":1}}}"#;
const RESULT: &str =
    r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"Cancelled."}]}}"#;

/// A server that answers every request alike, and the gateway before it.
async fn answering(reply: Reply) -> (Stub, World) {
    serving(move |_| reply.clone()).await
}

async fn serving(answer: impl Fn(&Seen) -> Reply + Clone + Send + Sync + 'static) -> (Stub, World) {
    let stub = Stub::start(answer).await;
    let world = World::with_mcp(McpServer::Http(stub.endpoint("/mcp"))).await;
    (stub, world)
}

fn event(data: &str) -> String {
    format!("event: message\ndata: {data}\n\n")
}

fn asks(seen: &Seen, method: &str) -> bool {
    seen.body.contains(&format!("\"method\":\"{method}\""))
}

/// The outcomes of everything that is recorded.
async fn outcomes(world: &World) -> Vec<String> {
    let record = world.record().await;
    record.into_iter().map(|view| view.outcome).collect()
}

#[tokio::test]
async fn c82_a_call_of_a_tool_is_recorded_and_passes_as_it_came() {
    let (stub, world) = answering(json(RESULT).with("mcp-session-id", "s-1")).await;
    let headers = [
        ("x-rescind-agent", "ada"),
        ("authorization", "Bearer t"),
        ("mcp-protocol-version", "2025-06-18"),
    ];
    let answer = world.post("/mcp/desk?q=1", &headers, CALL).await;
    assert_eq!(answer.body, RESULT);
    assert_eq!(answer.header("mcp-session-id"), Some("s-1"));
    let [seen] = &stub.seen()[..] else { panic!() };
    assert_eq!(seen.body, CALL);
    assert_eq!(seen.uri.path_and_query().unwrap(), "/mcp?q=1");
    assert_eq!(seen.header("authorization"), Some("Bearer t"));
    assert_eq!(seen.header("mcp-protocol-version"), Some("2025-06-18"));
    assert_eq!(seen.header("x-rescind-agent"), None);
    let [decision] = &world.record().await[..] else {
        panic!()
    };
    assert_eq!(
        answer.header("x-rescind-decision"),
        Some(&*decision.node.id)
    );
    assert_eq!(answer.header("x-rescind-run"), Some(&*decision.node.run));
    assert_eq!(decision.node.kind, "tool-call");
    assert_eq!(decision.node.agent, "ada");
    assert_eq!(decision.node.name.as_deref(), Some("cancel_order"));
    assert_eq!(decision.outcome, "succeeded");
    assert_eq!(content(decision, "asked"), r#"{"order":"W4482139"}"#);
    assert!(content(decision, "result").contains("Cancelled."));
}

#[tokio::test]
async fn what_is_no_call_passes_without_a_record() {
    let (stub, world) = serving(|seen| match seen.method {
        Method::GET => stream(vec![text(event("{}"))]),
        Method::DELETE => json("").status(204),
        _ if asks(seen, "notifications/initialized") => json("").status(202),
        _ => json(r#"{"jsonrpc":"2.0","id":1,"result":{"prompts":[]}}"#),
    })
    .await;
    let session = [("mcp-session-id", "s-1"), ("last-event-id", "e-9")];
    for (method, body, status) in [
        (
            Method::POST,
            r#"{"jsonrpc":"2.0","id":1,"method":"prompts/list"}"#,
            200,
        ),
        (
            Method::POST,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            202,
        ),
        (
            Method::POST,
            r#"{"jsonrpc":"2.0","id":"s","result":{"model":"m"}}"#,
            200,
        ),
        (Method::GET, "", 200),
        (Method::DELETE, "", 204),
    ] {
        let answer = world.send(method.clone(), "/agents/ada/mcp/desk", &session, body);
        let answer = Answer::read(answer.await).await;
        assert_eq!(answer.status, status, "{method} {body}");
        let seen = stub.seen().pop().unwrap();
        assert_eq!((seen.method.clone(), &*seen.body), (method, body));
        assert_eq!(seen.header("mcp-session-id"), Some("s-1"));
        assert_eq!(seen.header("last-event-id"), Some("e-9"));
    }
    assert!(world.record().await.is_empty());
}

#[tokio::test]
async fn a_stream_passes_event_by_event_and_its_result_is_recorded() {
    let (here, on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    let sampling = r#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}}"#;
    let pieces = vec![
        text(": hello\n\n"),
        text(event(progress)),
        Piece::Meet(Arc::clone(&here), Arc::clone(&on)),
        text(event(sampling)),
        text(event(RESULT)),
    ];
    let (_stub, world) = answering(stream(pieces)).await;
    let response = world.send(Method::POST, "/mcp/desk", &[], CALL).await;
    assert!(response.headers().contains_key("x-rescind-decision"));
    let mut body = response.into_body();
    here.notified().await;
    let mut got = String::new();
    while !got.contains("progress\":1}") {
        got.push_str(&next(&mut body).await);
    }
    on.notify_one();
    let rest = http_body_util::BodyExt::collect(body).await.unwrap();
    got.push_str(std::str::from_utf8(&rest.to_bytes()).unwrap());
    let whole = [
        ": hello\n\n",
        &event(progress),
        &event(sampling),
        &event(RESULT),
    ]
    .concat();
    assert_eq!(got, whole);
    assert_eq!(outcomes(&world).await, ["succeeded"]);
}

#[tokio::test]
async fn each_end_of_a_call_is_recorded_as_what_it_is() {
    let result = |result: &str| json(format!(r#"{{"jsonrpc":"2.0","id":7,"result":{result}}}"#));
    let error = |error: &str| json(format!(r#"{{"jsonrpc":"2.0","id":7,"error":{error}}}"#));
    for (reply, outcome) in [
        (result(r#"{"content":[]}"#), "succeeded"),
        (result(r#"{"content":[],"isError":true}"#), "failed: error"),
        (
            error(r#"{"code":-32602,"message":"no such tool"}"#),
            "failed: invalid",
        ),
        (
            error(r#"{"code":-32603,"message":"oh"}"#).status(500),
            "failed: server",
        ),
        (
            result(r#"{"resultType":"input_required","inputRequests":{}}"#),
            "unknown",
        ),
        (json("no").status(401), "failed: authentication"),
        (json("busy").status(429), "failed: rate-limit"),
        (json("").status(502), "unknown"),
        (json("").status(202), "unknown"),
        (json("not JSON"), "unknown"),
    ] {
        let (_stub, world) = answering(reply.clone()).await;
        let answer = world.post("/mcp/desk", &[], CALL).await;
        assert_eq!(answer.status, reply.status);
        let Piece::Text(body) = &reply.pieces[0] else {
            panic!()
        };
        assert_eq!(&answer.body, body);
        assert_eq!(outcomes(&world).await, [outcome], "{body}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_the_call_unknown() {
    let started = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
    for reply in [
        stream(vec![text(event(started))]),
        stream(vec![
            text(event(started)),
            text("data: {\"jsonr"),
            Piece::Break,
        ]),
        stream(vec![Piece::Break]),
        json("").with("content-length", "400").status(200),
        Reply {
            pieces: vec![text("{\"jsonrpc\""), Piece::Break],
            ..json("")
        },
    ] {
        let (_stub, world) = answering(reply).await;
        let answer = world.post("/mcp/desk", &[], CALL).await;
        assert_eq!(answer.status, 200);
        let last = answer.body.trim_end().rsplit("data: ").next().unwrap();
        let said: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(said["id"], 7, "{}", answer.body);
        assert_eq!(said["error"]["code"], -32603);
        assert_eq!(outcomes(&world).await, ["unknown"]);
    }
}

#[tokio::test]
async fn a_stream_that_its_client_may_take_up_again_is_no_error() {
    let (_stub, world) = serving(|seen| {
        if seen.method == Method::GET {
            return stream(vec![text(format!("id: e-2\n{}", event(RESULT)))]);
        }
        stream(vec![text("id: e-1\ndata: \n\n"), text("retry: 500\n\n")])
    })
    .await;
    let session = [
        ("mcp-session-id", "s-1"),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let broken = world.post("/mcp/desk", &session, CALL).await;
    assert_eq!(broken.body, "id: e-1\ndata: \n\nretry: 500\n\n");
    let headers = [session[0], session[1], ("last-event-id", "e-1")];
    let taken_up = world.get("/mcp/desk", &headers).await;
    assert!(taken_up.body.contains("Cancelled."));
    assert_eq!(outcomes(&world).await, ["succeeded"]);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_an_error_of_each_call() {
    let nobody = {
        let stub = Stub::start(|_| json("")).await;
        stub.endpoint("/mcp")
    };
    let world = World::with_mcp(McpServer::Http(nobody)).await;
    let batch = format!("[{CALL},{}]", CALL.replace("\"id\":7", "\"id\":\"b\""));
    let answer = world.post("/mcp/desk", &[], &batch).await;
    let said = answer.json();
    assert_eq!((&said[0]["id"], &said[1]["id"]), (&7.into(), &"b".into()));
    for said in said.as_array().unwrap() {
        assert_eq!(said["error"]["data"]["code"], "upstream_unreachable");
    }
    assert_eq!(
        outcomes(&world).await,
        ["failed: unavailable", "failed: unavailable"]
    );
}

#[tokio::test]
async fn what_would_lead_past_the_record_is_refused() {
    let elsewhere = json("")
        .status(307)
        .with("location", "http://127.0.0.1:9/mcp/");
    let (stub, world) = answering(elsewhere).await;
    let answer = world.post("/mcp/desk", &[], CALL).await;
    assert_eq!(answer.json()["error"]["data"]["code"], "upstream_redirects");
    // A body that two readers may understand differently goes nowhere.
    let asked = stub.seen().len();
    for body in [
        CALL.replace("\"params\"", "\"Method\":\"ping\",\"params\""),
        CALL.replace("\"name\"", "\"name\":\"other\",\"name\""),
        CALL.replace("\"name\"", "\"title\""),
        "{\"jsonrpc\"".to_owned(),
    ] {
        let answer = world.post("/mcp/desk", &[], &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json()["error"]["code"].is_i64());
    }
    assert_eq!(stub.seen().len(), asked);
    for path in ["/mcp/other", "/mcp/desk/x", "/mcp/desk%2Fx", "/mcp"] {
        assert!(
            world.post(path, &[], CALL).await.status.is_client_error(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn c167_a_client_that_goes_away_cancels_only_where_the_revision_says_so() {
    for (revision, outcome) in [("2025-11-25", "succeeded"), ("2026-07-28", "unknown")] {
        let (here, on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let pieces = vec![
            text(": begun\n\n"),
            Piece::Meet(Arc::clone(&here), Arc::clone(&on)),
            text(event(RESULT)),
        ];
        let (_stub, world) = answering(stream(pieces)).await;
        let revision = [("mcp-protocol-version", revision)];
        let response = world.send(Method::POST, "/mcp/desk", &revision, CALL).await;
        here.notified().await;
        let decision = response.headers()["x-rescind-decision"].clone();
        drop(response);
        // Dropping one answer of several closes its connection; the gateway sees it and goes on,
        // or has left the call before the server does.
        if outcome == "succeeded" {
            on.notify_one();
            let decision = decision.to_str().unwrap().parse().unwrap();
            let engine = world.recorder.engine();
            while engine.decision(decision).await.unwrap().outcome != outcome {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(outcomes(&world).await, [outcome]);
    }
}

#[tokio::test]
async fn a_call_that_goes_on_as_a_task_ends_with_the_task() {
    let (_stub, world) = serving(|seen| {
        let body = if asks(seen, "tools/call") {
            r#"{"jsonrpc":"2.0","id":7,"result":{"task":{"taskId":"t-1","status":"working"}}}"#
        } else if asks(seen, "tasks/get") {
            r#"{"jsonrpc":"2.0","id":8,"result":{"taskId":"t-1","status":"completed"}}"#
        } else {
            r#"{"jsonrpc":"2.0","id":9,"result":{"content":[{"type":"text","text":"no"}],"isError":true}}"#
        };
        json(body)
    })
    .await;
    let call = CALL.replace("\"_meta\"", "\"task\":{},\"_meta\"");
    world.post("/mcp/desk", &[], &call).await;
    for (id, method) in [(8, "tasks/get"), (9, "tasks/result")] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"taskId":"t-1"}}}}"#
        );
        world.post("/mcp/desk", &[], &body).await;
    }
    assert_eq!(outcomes(&world).await, ["failed: error"]);
}

#[tokio::test]
async fn a_call_that_was_cancelled_is_cancelled_if_the_server_says_so() {
    let (here, on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (meet, going) = (Arc::clone(&here), Arc::clone(&on));
    let (_stub, world) = serving(move |seen| {
        if asks(seen, "notifications/cancelled") {
            return json("").status(202);
        }
        let error = r#"{"jsonrpc":"2.0","id":7,"error":{"code":0,"message":"Request cancelled"}}"#;
        stream(vec![
            Piece::Meet(Arc::clone(&meet), Arc::clone(&going)),
            text(event(error)),
        ])
    })
    .await;
    let session = [("mcp-session-id", "s-1")];
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    let called = world.post("/mcp/desk", &session, CALL);
    let cancelling = async {
        here.notified().await;
        world.post("/mcp/desk", &session, cancel).await;
        on.notify_one();
    };
    let (answer, ()) = tokio::join!(called, cancelling);
    assert!(answer.body.contains("Request cancelled"));
    assert_eq!(outcomes(&world).await, ["cancelled"]);
}

#[tokio::test]
async fn what_a_server_says_of_its_tools_is_kept_with_each_call() {
    let (_stub, world) = serving(|seen| {
        if asks(seen, "tools/list") {
            return json(
                r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"cancel_order","annotations":{"readOnlyHint":true}}]}}"#,
            );
        }
        json(RESULT)
    })
    .await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    world.post("/mcp/desk", &[], list).await;
    let trace = CALL.replace(
        "\"progressToken\":1",
        "\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"",
    );
    world.post("/mcp/desk", &[], &trace).await;
    let [decision] = &world.record().await[..] else {
        panic!()
    };
    let environment = content(decision, "environment");
    assert!(environment.contains("readOnlyHint"), "{environment}");
    let run = decision.node.run.parse().unwrap();
    let run = world.recorder.engine().run(run).await.unwrap();
    assert_eq!(
        run.external.as_deref(),
        Some("trace:0af7651916cd43dd8448eb211c80319c")
    );
}

#[tokio::test]
async fn nobody_signs_in_through_here_and_who_tries_is_told_what_to_do() {
    let (stub, world) = answering(json(RESULT)).await;
    for path in [
        "/.well-known/oauth-protected-resource/mcp/desk",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-authorization-server/mcp/desk",
        "/.well-known/openid-configuration",
        "/mcp/desk/.well-known/openid-configuration",
        "/agents/ada/mcp/desk/.well-known/oauth-authorization-server",
    ] {
        let got: Answer = world.get(path, &[]).await;
        assert_eq!(got.status, 404, "{path}");
        let error = &got.json()["error"];
        assert_eq!(error["code"], "sign_in_not_carried", "{path}");
        assert!(error["message"].as_str().unwrap().contains("rescind.toml"));
    }
    assert!(stub.seen().is_empty());
}
