//! Histories that a provider keeps: what is rescinded there reaches no model again either.

use std::sync::Arc;

use engine::live::{self, Call, Caller, Ended, What};
use model::{ClassSource, DecisionId, EffectClass, Environment, Field, Media, Outcome};
use serde_json::{Value, json};
use store::MemoryStore;

use crate::support::{Act, Desk, NOW, Stub, json as answer, kept, options};

const PATH: &str = "/openai/v1/responses";
const WRONG: &str = "The policy says that every order can be refunded twice, so I refund W7 twice.";
const HEADERS: [(&str, &str); 2] = [("x-rescind-agent", "ada"), ("x-rescind-run", "ticket-1")];

fn says(id: &str, text: &str) -> Vec<Act> {
    answers(
        id,
        json!([{ "type": "message", "id": format!("msg-{id}"), "role": "assistant",
        "content": [{ "type": "output_text", "text": text, "annotations": [] }] }]),
    )
}

fn answers(id: &str, output: Value) -> Vec<Act> {
    answer(
        &json!({ "id": id, "model": "m-1", "status": "completed", "output": output }).to_string(),
    )
}

fn asks(previous: Option<&str>, input: Value) -> String {
    json!({ "model": "m-1", "previous_response_id": previous, "input": input }).to_string()
}

/// A process over a record that another one may have kept.
async fn opened(store: &Arc<MemoryStore>, stub: &Stub) -> Desk {
    let (store, recording) = (Arc::clone(store), live::Options::default());
    Desk::over(store, None, recording, options(&[stub])).await
}

async fn send(desk: &Desk, body: String) -> String {
    let got = desk.send(PATH, body, &HEADERS).await;
    assert_eq!(got.status, 200, "{}", got.text());
    got.header("x-rescind-decision").unwrap().to_owned()
}

async fn rescind(desk: &Desk, decision: &str) {
    let id: DecisionId = decision.parse().unwrap();
    let reason = "the policy was misread";
    let told = desk.recorder.rescind(&[id], None, reason).await.unwrap();
    assert_eq!(told.rescinded, [id]);
}

fn sent(stub: &Stub) -> Value {
    serde_json::from_slice(&stub.seen().pop().unwrap().body).unwrap()
}

fn texts(body: &Value) -> Vec<String> {
    let text = |item: &Value| match &item["content"] {
        Value::String(text) => text.clone(),
        parts => parts[0]["text"].as_str().unwrap_or_default().to_owned(),
    };
    body["input"].as_array().unwrap().iter().map(text).collect()
}

#[tokio::test]
async fn c43_a_rescinded_answer_that_the_provider_keeps_is_continued_no_more() {
    let scripts = vec![
        says("r-1", "Hello, this is the desk."),
        says("r-2", WRONG),
        says("r-3", "W8 is on its way."),
        says("r-4", "You are welcome."),
    ];
    let (desk, stub) = Desk::open(scripts).await;
    send(&desk, asks(None, json!("Hello."))).await;
    let wrong = send(&desk, asks(Some("r-1"), json!("What about W7?"))).await;
    rescind(&desk, &wrong).await;
    let body = asks(
        Some("r-2"),
        json!([{ "role": "user", "content": "And W8?" }]),
    );
    send(&desk, body.clone()).await;
    let third = sent(&stub);
    assert_eq!(third["previous_response_id"], "r-1");
    assert_eq!(
        texts(&third),
        [
            "What about W7?",
            "[Rescinded: this message no longer holds. Reason: the policy was misread.]",
            "And W8?",
        ]
    );
    // The answer to that continues what holds, so it is continued as it is.
    let body = asks(Some("r-3"), json!("Thank you."));
    send(&desk, body.clone()).await;
    assert_eq!(stub.seen().pop().unwrap().body, body.as_bytes());

    let all = desk.decisions(5).await;
    let repair = all.iter().find(|view| view.node.kind == "context-repair");
    let told: Value = serde_json::from_str(kept(repair.unwrap(), "asked")).unwrap();
    assert_eq!(told["replaced"][0]["decision"], wrong);
    assert_eq!(
        told["before"]["bytes"],
        asks(
            Some("r-2"),
            json!([{ "role": "user", "content": "And W8?" }])
        )
        .len()
    );
    let engine = desk.recorder.engine();
    let blast = engine.blast(wrong.parse().unwrap(), 100).await.unwrap();
    assert!(blast.certain.is_empty(), "{:?}", blast.certain);

    // What the agent believes is all of it.
    let run = all[0].node.run.parse().unwrap();
    let mind = engine.context(run).await.unwrap().agents.remove(0);
    let believes: Vec<&str> = mind.items.iter().map(|item| &*item.believes).collect();
    assert_eq!(believes.len(), 8);
    assert_eq!(believes[3], WRONG);
    assert!(
        mind.items[3]
            .sent
            .as_ref()
            .unwrap()
            .starts_with("[Rescinded")
    );
}

#[tokio::test]
async fn c43_a_rescinded_answer_some_turns_back_is_taken_out_where_it_was_given() {
    let scripts = vec![
        says("r-1", "Hello, this is the desk."),
        says("r-2", WRONG),
        says("r-3", &format!("As I said: {WRONG}")),
        says("r-4", "W8 is on its way."),
    ];
    let (desk, stub) = Desk::open(scripts).await;
    send(&desk, asks(None, json!("Hello."))).await;
    let wrong = send(&desk, asks(Some("r-1"), json!("What about W7?"))).await;
    send(&desk, asks(Some("r-2"), json!("Are you sure?"))).await;
    desk.decisions(3).await;
    rescind(&desk, &wrong).await;
    send(&desk, asks(Some("r-3"), json!("And W8?"))).await;
    let body = sent(&stub);
    assert_eq!(body["previous_response_id"], "r-1");
    let texts = texts(&body);
    assert_eq!((texts.len(), &*texts[2]), (5, "Are you sure?"));
    assert!(texts[1].starts_with("[Rescinded: this message"));
    assert!(!body.to_string().contains(WRONG));
}

#[tokio::test]
async fn c43_calls_that_the_provider_keeps_stay_legal_pairs() {
    let call = json!({ "type": "function_call", "id": "fc-1", "call_id": "call_1",
        "name": "refund", "arguments": "{\"order\":\"W7\",\"times\":2}" });
    let scripts = vec![
        answers(
            "r-1",
            json!([{ "type": "reasoning", "id": "rs-1", "summary": [] }, call]),
        ),
        says("r-2", "W7 was refunded."),
    ];
    let (desk, stub) = Desk::open(scripts).await;
    let wrong = send(&desk, asks(None, json!("Refund W7."))).await;
    rescind(&desk, &wrong).await;
    let result = json!([{ "type": "function_call_output", "call_id": "call_1", "output": "done" }]);
    send(&desk, asks(Some("r-1"), result)).await;
    let second = sent(&stub);
    assert_eq!(second["previous_response_id"], Value::Null);
    let input = second["input"].as_array().unwrap();
    let kinds: Vec<&str> = input
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["message", "function_call", "function_call_output"]);
    assert_eq!(input[1]["call_id"], "call_1");
    assert_eq!(input[1]["arguments"], r#"{"rescinded":true}"#);
    assert!(
        input[2]["output"]
            .as_str()
            .unwrap()
            .starts_with("[Rescinded: the result")
    );
}

#[tokio::test]
async fn c43_where_nothing_can_be_taken_out_the_model_is_told_once() {
    let scripts = || {
        vec![
            says("r-1", WRONG),
            says("r-2", "I see."),
            says("r-3", "Well."),
        ]
    };
    for (previous, key) in [(true, "previous_response_id"), (false, "conversation")] {
        let (desk, stub) = Desk::open(scripts()).await;
        let id = |nth: usize| match previous {
            true => json!(format!("r-{nth}")),
            false => json!("conv-1"),
        };
        let first = match previous {
            // An item that only the provider can read.
            true => json!({ "model": "m-1", "input": [{ "type": "item_reference", "id": "x" }] }),
            false => json!({ "model": "m-1", key: id(0), "input": "What about W7?" }),
        };
        let wrong = send(&desk, first.to_string()).await;
        rescind(&desk, &wrong).await;
        let second = json!({ "model": "m-1", key: id(1), "input": "And W8?" });
        send(&desk, second.to_string()).await;
        let body = sent(&stub);
        assert_eq!(body[key], id(1));
        let texts = texts(&body);
        assert_eq!(
            texts,
            [
                "[Rescinded: an earlier answer of yours no longer holds: \"The policy says that every \
                 order …\". Reason: the policy was misread.]",
                "And W8?",
            ]
        );
        assert_eq!(body["input"][0]["role"], "developer");
        let third = json!({ "model": "m-1", key: id(2), "input": "Go on." }).to_string();
        send(&desk, third.clone()).await;
        assert_eq!(stub.seen().pop().unwrap().body, third.as_bytes());
        let all = desk.decisions(4).await;
        let repair = all.iter().find(|view| view.node.kind == "context-repair");
        let told: Value = serde_json::from_str(kept(repair.unwrap(), "asked")).unwrap();
        assert_eq!(told["replaced"][0]["what"], "kept");
    }
}

#[tokio::test]
async fn c43_what_a_provider_keeps_is_known_after_a_restart() {
    let store = Arc::new(MemoryStore::default());
    let stub = Stub::start(vec![
        says("r-1", "Hello, this is the desk."),
        says("r-2", WRONG),
        says("r-3", "W8 is on its way."),
        says("r-4", "You are welcome."),
    ])
    .await;
    let desk = opened(&store, &stub).await;
    send(&desk, asks(None, json!("Hello."))).await;
    let wrong = send(&desk, asks(Some("r-1"), json!("What about W7?"))).await;
    rescind(&desk, &wrong).await;
    desk.decisions(2).await;
    drop(desk);
    let desk = opened(&store, &stub).await;
    // Ids are drawn from the same seed again, so only another time makes them others.
    desk.clock.set(NOW + 1_000_000);
    send(&desk, asks(Some("r-2"), json!("And W8?"))).await;
    assert_eq!(sent(&stub)["previous_response_id"], "r-1");
    desk.decisions(4).await;
    drop(desk);
    let desk = opened(&store, &stub).await;
    let last = asks(Some("r-3"), json!("Thank you."));
    send(&desk, last.clone()).await;
    assert_eq!(stub.seen().pop().unwrap().body, last.as_bytes());
}

#[tokio::test]
async fn c43_what_went_with_something_else_is_not_taken_out_again_after_a_restart() {
    let store = Arc::new(MemoryStore::default());
    let arguments = "{\"order\":\"W7\",\"times\":2}";
    let call = json!({ "type": "function_call", "id": "fc-1", "call_id": "call_1",
        "name": "refund", "arguments": arguments });
    let stub = Stub::start(vec![
        answers("r-1", json!([call])),
        says("r-2", "That is arranged."),
        says("r-3", "W8 is on its way."),
        says("r-3", "W8 is on its way."),
        says("r-4", "You are welcome."),
    ])
    .await;
    let desk = opened(&store, &stub).await;
    let asked = send(&desk, asks(None, json!("Refund W7."))).await;
    let called = refund(&desk, arguments).await;
    let result = json!([{ "type": "function_call_output", "call_id": "call_1", "output": "W7 was refunded" }]);
    send(&desk, asks(Some("r-1"), result)).await;
    desk.decisions(3).await;
    // The result goes with the answer that asked for the call, under that one's name.
    rescind(&desk, &asked).await;
    rescind(&desk, &called).await;
    let third = asks(Some("r-2"), json!("And W8?"));
    send(&desk, third.clone()).await;
    let before = stub.seen().pop().unwrap().body;
    let all = desk.decisions(5).await;
    let repair = all.iter().find(|view| view.node.kind == "context-repair");
    let told: Value = serde_json::from_str(kept(repair.unwrap(), "asked")).unwrap();
    let replaced = told["replaced"].as_array().unwrap();
    assert!(replaced.iter().all(|cut| cut["decision"] == *asked));
    assert_eq!(told["hidden"], json!([called]));
    drop(desk);

    let desk = opened(&store, &stub).await;
    desk.clock.set(NOW + 1_000_000);
    desk.recorder.recalled().await;
    send(&desk, third).await;
    assert_eq!(stub.seen().pop().unwrap().body, before);
    let last = asks(Some("r-3"), json!("Thank you."));
    send(&desk, last.clone()).await;
    assert_eq!(stub.seen().pop().unwrap().body, last.as_bytes());
}

/// The tool call that the last answer asked for, carried out.
async fn refund(desk: &Desk, arguments: &str) -> String {
    let begun = desk.recorder.begin(Call {
        caller: Caller::default(),
        what: What::ToolCall {
            server: "desk",
            tool: "refund",
            arguments,
            class: EffectClass::Compensable,
            by: ClassSource::Catalogue,
            call_id: None,
        },
        asked: (Media::Json, arguments),
        environment: Environment::default(),
        touches: None,
    });
    let mut open = begun.await.unwrap();
    open.durable().await.unwrap();
    let decision = open.decision().to_string();
    let result = json!({ "content": [{ "type": "text", "text": "W7 was refunded" }] });
    let ended = Ended {
        output: "W7 was refunded".to_owned(),
        kept: vec![(Field::Result, Media::Json, result.to_string())],
        ..Ended::with(Outcome::Succeeded)
    };
    open.finish(ended).await.unwrap().durable().await.unwrap();
    decision
}
