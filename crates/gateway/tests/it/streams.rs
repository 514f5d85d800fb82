//! Streams: what is held, what goes out, and how they end.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::Notify;

use crate::support::{
    Act, CHAT_STREAM, Desk, Stub, chunk, end, kept, options, piece, stream, streamed, words,
};

const MESSAGES: &str =
    r#"{"model":"m-1","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
const RESPONSES: &str = r#"{"model":"m-1","stream":true,"input":"Hi"}"#;

fn call(index: usize, id: &str, arguments: &str) -> String {
    piece(
        &format!(
            r#"{{"tool_calls":[{{"index":{index},"id":"{id}","type":"function","function":{{"name":"cancel_order","arguments":"{arguments}"}}}}]}}"#
        ),
        "null",
    )
}

/// A stream that asks for two calls at once.
fn calls() -> Vec<String> {
    vec![
        piece(r#"{"role":"assistant","content":null}"#, "null"),
        call(0, "call_1", "{}"),
        call(1, "call_2", "{}"),
        piece("{}", "\"tool_calls\""),
        "data: [DONE]\n\n".to_owned(),
    ]
}

fn event(kind: &str, rest: &str) -> String {
    format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{rest}}}\n\n")
}

/// The beginning of a message.
fn message() -> Vec<String> {
    vec![
        event(
            "message_start",
            r#","message":{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[],"stop_reason":null,"usage":{"input_tokens":9,"output_tokens":1}}"#,
        ),
        event(
            "content_block_start",
            r#","index":0,"content_block":{"type":"text","text":""}"#,
        ),
        event(
            "content_block_delta",
            r#","index":0,"delta":{"type":"text_delta","text":"On "}"#,
        ),
    ]
}

/// The beginning of a response.
fn response() -> Vec<String> {
    vec![
        event(
            "response.created",
            r#","response":{"id":"resp_1","object":"response","status":"in_progress","model":"m-1","output":[]}"#,
        ),
        event(
            "response.output_item.added",
            r#","output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","content":[]}"#,
        ),
        event(
            "response.output_text.delta",
            r#","item_id":"msg_1","output_index":0,"content_index":0,"delta":"On "#,
        )
        .replace("On }", "On \"}"),
    ]
}

async fn next(body: &mut Incoming) -> String {
    let frame = body.frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn no_fault_of_a_stream_passes_for_its_end_on_any_wire() {
    let chat: Vec<String> = words(&["On "])[..2].to_vec();
    let wires = [
        ("/openai/v1/chat/completions", CHAT_STREAM, chat),
        ("/anthropic/v1/messages", MESSAGES, message()),
        ("/openai/v1/responses", RESPONSES, response()),
    ];
    for (path, request, begins) in wires {
        let done = if path.contains("messages") {
            event("message_stop", "")
        } else {
            "data: [DONE]\n\n".to_owned()
        };
        for (name, last, outcome) in [
            ("ends", vec![end()], "failed: unavailable"),
            ("is cut", vec![Act::Close], "failed: unavailable"),
            (
                "is cut in a block",
                vec![chunk("data: {\"a\""), Act::Close],
                "failed: unavailable",
            ),
            (
                "ends in a block",
                vec![chunk("data: {\"a\""), end()],
                "failed: unavailable",
            ),
            (
                "says it is done",
                vec![chunk(&done), end()],
                "failed: unavailable",
            ),
            ("falls silent", vec![Act::Stall], "failed: timeout"),
            (
                "fails",
                vec![
                    chunk(
                        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
                    ),
                    end(),
                ],
                "failed: overload",
            ),
            (
                "is no JSON",
                vec![chunk("event: x\ndata: {\"a\":\n\n"), end()],
                "failed: ",
            ),
        ] {
            let mut script = vec![stream()];
            script.extend(begins.iter().map(chunk));
            script.extend(last);
            let (desk, stub) = Desk::open(vec![script]).await;
            let got = desk.send(path, request, &[]).await;
            let name = format!("{path} {name}");
            assert_eq!((got.status.as_u16(), stub.count()), (200, 1), "{name}");
            let text = got.text();
            // Comments and pings may stand between.
            assert!(text.starts_with(&begins.concat()), "{name}: {text}");
            let error = text.rsplit_once("event: error\ndata: ").expect(&name).1;
            let error: serde_json::Value = serde_json::from_str(error.trim()).expect(&name);
            assert_eq!(error["type"], "error", "{name}");
            assert!(error["error"]["message"].is_string(), "{name}");
            assert!(
                !text.contains("[DONE]") && !text.contains("message_stop"),
                "{name}"
            );
            let decision = desk.decision().await;
            assert!(
                decision.outcome.starts_with(outcome),
                "{name}: {}",
                decision.outcome
            );
            assert_eq!(kept(&decision, "chosen"), "On ", "{name}");
            assert!(
                kept(&decision, "result").contains("\"stopped\":\""),
                "{name}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_is_left_to_retry_says_so_with_a_status() {
    let role = chunk(&words(&[])[0]);
    for (script, status, code) in [
        (
            vec![stream(), role.clone(), end()],
            502,
            "upstream_unreachable",
        ),
        (
            vec![stream(), role.clone(), Act::Stall],
            504,
            "upstream_timeout",
        ),
        (
            vec![
                stream(),
                role,
                chunk(
                    "data: {\"error\":{\"message\":\"Overloaded\",\"type\":\"overloaded_error\"}}\n\n",
                ),
                end(),
            ],
            503,
            "overloaded_error",
        ),
    ] {
        let (desk, _stub) = Desk::open(vec![script]).await;
        let got = desk.chat_stream().await;
        assert_eq!(
            (got.status.as_u16(), &got.json()["error"]["code"]),
            (status, &code.into())
        );
        assert_eq!(got.header("content-type"), Some("application/json"));
        assert_eq!(got.header("x-should-retry"), Some("false"));
        assert!(desk.outcome().await.starts_with("failed: "));
    }
}

#[tokio::test]
async fn calls_are_held_until_the_answer_is_recorded() {
    let go = Arc::new(Notify::new());
    let blocks = calls();
    let mut script = vec![stream()];
    script.extend(blocks[..3].iter().map(chunk));
    script.push(Act::Wait(go.clone()));
    script.extend(blocks[3..].iter().map(chunk));
    script.push(end());
    let (desk, _stub) = Desk::open(vec![script]).await;
    let answer = desk
        .begin("/openai/v1/chat/completions", CHAT_STREAM, &[])
        .await;
    let decision = answer.headers()["x-rescind-decision"]
        .to_str()
        .unwrap()
        .to_owned();
    let mut body = answer.into_body();
    let mut came = String::new();
    // A piece of the first call is out: no client acts on it before the next one's turn.
    while came != blocks[..2].concat() {
        came.push_str(&next(&mut body).await);
        assert!(!came.contains("call_2"), "{came}");
    }
    go.notify_one();
    came.push_str(&next(&mut body).await);
    // Now that the rest is here, the outcome is in the record.
    let view = desk
        .recorder
        .engine()
        .decision(decision.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(view.outcome, "succeeded");
    assert!(kept(&view, "result").contains("call_2"));
    came.push_str(&String::from_utf8_lossy(
        &body.collect().await.unwrap().to_bytes(),
    ));
    assert_eq!(came, blocks.concat());
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_stream_that_fails_afterwards_never_go_out() {
    for last in [end(), Act::Close, Act::Stall] {
        let mut script = vec![stream()];
        script.extend(calls()[..3].iter().map(chunk));
        script.push(last);
        let (desk, _stub) = Desk::open(vec![script]).await;
        let got = desk.chat_stream().await;
        assert!(!got.text().contains("call_2"), "{}", got.text());
        assert!(got.text().contains("event: error"), "{}", got.text());
        assert!(desk.outcome().await.starts_with("failed: "));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_held_calls_gets_a_sign_of_life() {
    let mut script = vec![stream()];
    let blocks = calls();
    script.extend(blocks[..3].iter().map(chunk));
    // The upstream says much, all of which is held.
    for index in 2..8 {
        script.push(Act::Pause(Duration::from_secs(10)));
        script.push(chunk(call(index, "call_n", "{}")));
    }
    script.extend(blocks[3..].iter().map(chunk));
    script.push(end());
    let (desk, _stub) = Desk::open(vec![script]).await;
    let got = desk.chat_stream().await;
    assert_eq!(got.text().matches(": keep-alive\n\n").count(), 4);
    assert!(got.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_are_those_that_the_clients_of_a_wire_pass_over() {
    let pause = || Act::Pause(Duration::from_secs(40));
    let said = words(&["On ", "its way."]);
    let slow = |numbered: &str| {
        let mut script = vec![
            stream(),
            chunk(said[..2].concat().replacen("data:", numbered, 1)),
        ];
        script.push(pause());
        script.extend(said[2..].iter().map(chunk));
        script.push(end());
        script
    };
    let (desk, _stub) = Desk::open(vec![slow("data:")]).await;
    let text = desk.chat_stream().await.text().to_owned();
    assert_eq!(text.matches(": keep-alive\n\n").count(), 2);
    assert_eq!(text.replace(": keep-alive\n\n", ""), said.concat());
    // After an id, OpenAI's client takes every blank line for an event.
    let (desk, _stub) = Desk::open(vec![slow("id: 1\ndata:")]).await;
    assert!(!desk.chat_stream().await.text().contains("keep-alive"));
    let mut script = vec![stream()];
    script.extend(message().iter().map(chunk));
    script.extend([pause(), end()]);
    let (desk, _stub) = Desk::open(vec![script]).await;
    let got = desk.send("/anthropic/v1/messages", MESSAGES, &[]).await;
    assert_eq!(got.text().matches("event: ping\n").count(), 2);
}

#[tokio::test]
async fn c161_c167_a_client_that_goes_away_leaves_what_came_so_far_and_ends_the_call_upstream() {
    let mut script = vec![stream()];
    script.extend(message().iter().map(chunk));
    script.push(Act::Stall);
    let (desk, stub) = Desk::open(vec![script]).await;
    let answer = desk.begin("/anthropic/v1/messages", MESSAGES, &[]).await;
    let mut body = answer.into_body();
    let mut came = String::new();
    while !came.contains("On ") {
        came.push_str(&next(&mut body).await);
    }
    drop(body);
    stub.left.notified().await;
    let decision = desk.decision().await;
    assert_eq!(decision.outcome, "cancelled");
    assert_eq!(kept(&decision, "chosen"), "On ");
    assert!(kept(&decision, "result").contains(r#""input_tokens":9"#));
}

#[tokio::test]
async fn c161_a_client_that_goes_away_before_the_answer_cancels_the_call() {
    for head in [Vec::new(), vec![stream()]] {
        let mut script = head;
        script.push(Act::Stall);
        let (desk, stub) = Desk::open(vec![script]).await;
        let asking = desk.begin("/openai/v1/chat/completions", CHAT_STREAM, &[]);
        let leaving = async {
            while stub.count() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = asking => panic!("nothing was answered"),
            () = leaving => {}
        }
        stub.left.notified().await;
        assert_eq!(desk.outcome().await, "cancelled");
    }
}

#[tokio::test(start_paused = true)]
async fn c169_a_client_that_does_not_read_holds_up_neither_memory_nor_the_end() {
    let piece = chunk(piece(
        &format!(r#"{{"content":"{}"}}"#, "x".repeat(64 << 10)),
        "null",
    ));
    let mut script = vec![stream()];
    script.extend(std::iter::repeat_n(piece, 400));
    script.push(end());
    let (desk, _stub) = Desk::open(vec![script]).await;
    let answer = desk
        .begin("/openai/v1/chat/completions", CHAT_STREAM, &[])
        .await;
    // It takes the head and then nothing, until the time for the call is over, which is virtual.
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    let decision = desk.decision().await;
    assert_eq!(decision.outcome, "failed: timeout");
    let kept = kept(&decision, "chosen").len();
    assert!(
        kept < 400 * (64 << 10),
        "what was not taken was not read either: {kept}"
    );
    drop(answer);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_stays_after_the_end_does_not_hold_up_the_end() {
    let go = Arc::new(Notify::new());
    let mut script = vec![stream()];
    script.extend(words(&["Here."]).iter().map(chunk));
    script.extend([Act::Wait(go), end()]);
    let (desk, _stub) = Desk::open(vec![script]).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(desk.chat_stream().await.text(), words(&["Here."]).concat());
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(desk.outcome().await, "succeeded");
}

#[tokio::test]
async fn lines_of_eight_megabytes_go_through_and_longer_ones_than_allowed_are_an_error() {
    let long = "x".repeat(8 << 20);
    let said = words(&[&long]);
    let (desk, _stub) = Desk::open(vec![streamed(&said)]).await;
    assert!(desk.chat_stream().await.text() == said.concat());
    assert_eq!(desk.outcome().await, "succeeded");
    let stub = Stub::start(vec![streamed(&words(&["On ", &long]))]).await;
    let mut options = options(&[&stub]);
    options.limits.sse_line_bytes_max = 1 << 20;
    let desk = Desk::with(options).await;
    let got = desk.chat_stream().await;
    assert!(got.text().starts_with(&words(&["On "])[..2].concat()));
    assert!(
        got.text().contains("limits.sse_line_bytes_max"),
        "{}",
        got.text()
    );
    assert_eq!(desk.outcome().await, "failed: too-large");
}

#[tokio::test]
async fn a_stream_without_its_end_mark_is_whole_where_the_wire_says_so() {
    let mut said = words(&["Here."]);
    said.pop();
    let (desk, _stub) = Desk::open(vec![streamed(&said)]).await;
    assert_eq!(desk.chat_stream().await.text(), said.concat());
    assert_eq!(desk.outcome().await, "succeeded");
}

#[tokio::test(start_paused = true)]
async fn calls_that_a_stop_cuts_short_end_truthfully_for_record_and_caller() {
    let role = chunk(&words(&[])[0]);
    let said: Vec<Act> = words(&["On "])[..2].iter().map(chunk).collect();
    let begun = [vec![stream()], said].concat();
    for (script, streams, out) in [
        (begun, true, true),
        (vec![stream(), role], true, false),
        (Vec::new(), false, false),
    ] {
        let script = [script, vec![Act::Stall]].concat();
        let (desk, stub) = Desk::open(vec![script]).await;
        let asking = async {
            if streams {
                desk.chat_stream().await
            } else {
                desk.chat().await
            }
        };
        let stopping = async {
            while stub.count() == 0 {
                tokio::task::yield_now().await;
            }
            // Virtual time: all that is said is out by then.
            tokio::time::sleep(Duration::from_secs(1)).await;
            desk.recorder.stop(Duration::from_secs(1)).await.unwrap()
        };
        let (got, open) = tokio::join!(asking, stopping);
        assert_eq!(open, 0, "every call has an end");
        if out {
            assert!(got.text().contains("event: error"), "{}", got.text());
            assert!(got.text().contains("gateway_stopping"));
        } else {
            assert_eq!(got.status, 503);
            assert_eq!(got.json()["error"]["code"], "gateway_stopping");
        }
        assert_eq!(desk.outcome().await, "cancelled");
    }
}
