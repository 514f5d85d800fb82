//! What was rescinded is taken out of the histories that agents send.

use std::sync::Arc;

use engine::live::{self, Call, Caller, Ended, What};
use engine::undo::{Approve, CarryOptions, Catalogue, Request};
use engine::view::DecisionView;
use model::{ClassSource, DecisionId, EffectClass, Environment, Field, Media, Outcome};
use serde_json::{Value, json};
use store::MemoryStore;

use crate::support::{Act, Desk, Stub, json as answer, kept, options};

const WRONG: &str = "The policy says that every order can be refunded twice, so I refund W7 \
                     twice, and I tell the desk in Oslo to do the same from now on.";

/// A wire: where it is, how its history is written and how its model answers.
struct Wire {
    path: &'static str,
    key: &'static str,
    answer: fn(&str) -> String,
}

const WIRES: [Wire; 3] = [
    Wire {
        path: "/openai/v1/chat/completions",
        key: "messages",
        answer: |text| {
            json!({ "id": "c-1", "model": "m-1", "choices": [{ "index": 0, "finish_reason": "stop",
                "message": { "role": "assistant", "content": text } }] })
            .to_string()
        },
    },
    Wire {
        path: "/openai/v1/responses",
        key: "input",
        answer: |text| {
            json!({ "id": "r-1", "model": "m-1", "status": "completed", "output": [
                { "type": "message", "role": "assistant",
                  "content": [{ "type": "output_text", "text": text, "annotations": [] }] }] })
            .to_string()
        },
    },
    Wire {
        path: "/anthropic/v1/messages",
        key: "messages",
        answer: |text| {
            json!({ "id": "m-1", "model": "m-1", "type": "message", "role": "assistant",
                "stop_reason": "end_turn", "content": [{ "type": "text", "text": text }] })
            .to_string()
        },
    },
];

impl Wire {
    fn body(&self, turns: &[(&str, &str)]) -> String {
        let items: Vec<Value> = turns
            .iter()
            .map(|(role, text)| json!({ "role": role, "content": text }))
            .collect();
        // Written as no serialiser does it, so that bytes that were written anew would show.
        let items = serde_json::to_string_pretty(&items).unwrap();
        format!("{{ \"model\" :\"m-1\",  \"{}\": {items} }}", self.key)
    }
}

fn header<'a>(agent: &'a str, run: &'a str) -> [(&'a str, &'a str); 2] {
    [("x-rescind-agent", agent), ("x-rescind-run", run)]
}

async fn rescind(desk: &Desk, decision: &str) {
    let id: DecisionId = decision.parse().unwrap();
    let reason = "the policy was misread";
    let told = desk.recorder.rescind(&[id], None, reason).await.unwrap();
    assert_eq!(told.rescinded, [id]);
}

fn seen(stub: &Stub) -> String {
    String::from_utf8(stub.seen().pop().unwrap().body).unwrap()
}

fn hash(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    model::Digest(digest.as_ref().try_into().unwrap()).to_string()
}

fn of_kind<'a>(all: &'a [DecisionView], kind: &str) -> Vec<&'a DecisionView> {
    all.iter().filter(|view| view.node.kind == kind).collect()
}

#[tokio::test]
async fn c43_a_rescinded_answer_is_sent_to_no_model_again_on_any_wire() {
    for wire in WIRES {
        let scripts = vec![
            answer(&(wire.answer)(WRONG)),
            answer(&(wire.answer)("Well.")),
        ];
        let (desk, stub) = Desk::open(scripts).await;
        let headers = header("ada", "ticket-1");
        let first = wire.body(&[("user", "What about W7?")]);
        let got = desk.send(wire.path, first.clone(), &headers).await;
        assert_eq!(
            seen(&stub),
            first,
            "a healthy history goes on byte for byte"
        );
        rescind(&desk, got.header("x-rescind-decision").unwrap()).await;

        let turns = [
            ("user", "What about W7?"),
            ("assistant", WRONG),
            ("user", "And W8?"),
        ];
        let second = wire.body(&turns);
        desk.send(wire.path, second.clone(), &headers).await;
        let sent = seen(&stub);
        let correction =
            "[Rescinded: this message no longer holds. Reason: the policy was misread.]";
        assert_eq!(sent, second.replace(WRONG, correction));
        let length = stub.seen().pop().unwrap();
        let length = length.header("content-length").unwrap().to_owned();
        assert_eq!(length, sent.len().to_string());

        // The history grew: its beginning is sent as it was, so that caches hold.
        let longer = [&turns[..], &[("assistant", "Well."), ("user", "Go on.")]].concat();
        desk.send(wire.path, wire.body(&longer), &headers).await;
        let again = seen(&stub);
        let common = sent.trim_end_matches(|c| "\n ]}".contains(c));
        assert!(again.starts_with(common), "{again}");

        // Four calls of models would be three and one repair, recorded once.
        let all = desk.decisions(4).await;
        let repairs = of_kind(&all, "context-repair");
        assert_eq!(repairs.len(), 1);
        let told: Value = serde_json::from_str(kept(repairs[0], "asked")).unwrap();
        assert_eq!(told["replaced"][0]["at"], format!("/{}/1", wire.key));
        assert_eq!(told["replaced"][0]["decision"], all[0].node.id);
        assert_eq!(told["before"]["sha256"], hash(&second));
        assert_eq!(told["after"]["sha256"], hash(&sent));
        let inferences = of_kind(&all, "inference");
        for (inference, body) in inferences[1..].iter().zip([&sent, &again]) {
            let sent: Value = serde_json::from_str(kept(inference, "sent")).unwrap();
            assert_eq!(sent["sha256"], hash(body));
            assert_eq!(sent["repair"], repairs[0].node.id);
            assert!(
                kept(inference, "asked").contains(WRONG),
                "asked is what the agent sent"
            );
            let causes = |id: &str| inference.causes.iter().filter(|c| c.decision == id).count();
            assert_eq!(causes(&repairs[0].node.id), 1);
            assert_eq!(
                causes(&all[0].node.id),
                0,
                "nothing of it was in the prompt"
            );
        }
        let engine = desk.recorder.engine();
        let id = all[0].node.id.parse().unwrap();
        let blast = engine.blast(id, 100).await.unwrap();
        assert!(blast.certain.is_empty(), "{:?}", blast.certain);
    }
}

#[tokio::test]
async fn c43_a_call_that_a_rescinded_answer_asked_for_keeps_its_result_and_says_nothing() {
    let arguments = r#"{"order":"W7","times":2}"#;
    let call = json!({ "id": "call_1", "type": "function",
        "function": { "name": "refund", "arguments": arguments } });
    let asks = json!({ "id": "c-1", "model": "m-1", "choices": [{ "index": 0,
        "finish_reason": "tool_calls",
        "message": { "role": "assistant", "content": null, "tool_calls": [call] } }] });
    let (desk, stub) = Desk::open(vec![
        answer(&asks.to_string()),
        answer(crate::support::ANSWER),
    ])
    .await;
    let headers = header("ada", "ticket-1");
    let path = "/openai/v1/chat/completions";
    let question = json!({ "role": "user", "content": "Refund W7." });
    let first = json!({ "model": "m-1", "messages": [question] });
    let got = desk.send(path, first.to_string(), &headers).await;
    rescind(&desk, got.header("x-rescind-decision").unwrap()).await;
    let second = json!({ "model": "m-1", "messages": [
        question,
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "call_1", "content": "W7 was refunded twice" },
    ]});
    desk.send(path, second.to_string(), &headers).await;
    let sent: Value = serde_json::from_str(&seen(&stub)).unwrap();
    let messages = sent["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[1]["tool_calls"][0]["id"], "call_1");
    assert_eq!(
        messages[1]["tool_calls"][0]["function"]["arguments"],
        r#"{"rescinded":true}"#
    );
    assert_eq!(messages[2]["tool_call_id"], "call_1");
    let said = messages[2]["content"].as_str().unwrap();
    assert!(
        said.starts_with("[Rescinded: the result of this call"),
        "{said}"
    );
}

#[tokio::test]
async fn c43_what_a_rescinded_tool_call_said_goes_and_what_was_asked_stays() {
    let call = json!({ "id": "call_1", "type": "function",
        "function": { "name": "desk__find", "arguments": "{\"order\":\"W7\"}" } });
    let asks = json!({ "id": "c-1", "model": "m-1", "choices": [{ "index": 0,
        "finish_reason": "tool_calls",
        "message": { "role": "assistant", "content": null, "tool_calls": [call] } }] });
    let (desk, stub) = Desk::open(vec![
        answer(&asks.to_string()),
        answer(crate::support::ANSWER),
    ])
    .await;
    let headers = header("ada", "ticket-1");
    let path = "/openai/v1/chat/completions";
    let question = json!({ "role": "user", "content": "Where is W7?" });
    desk.send(
        path,
        json!({ "messages": [question] }).to_string(),
        &headers,
    )
    .await;
    // The tool is called over MCP, which says nothing of ids.
    let mut open = desk
        .recorder
        .begin(Call {
            caller: Caller::default(),
            what: What::ToolCall {
                server: "desk",
                tool: "find",
                arguments: "{ \"order\": \"W7\" }",
                class: EffectClass::Read,
                by: ClassSource::Nobody,
                call_id: None,
            },
            asked: (Media::Json, "{ \"order\": \"W7\" }"),
            environment: Environment::default(),
            touches: None,
        })
        .await
        .unwrap();
    open.durable().await.unwrap();
    let found = open.decision();
    let result = json!({ "content": [{ "type": "text", "text": "W7 is in Bergen" }] }).to_string();
    let ended = Ended {
        output: "W7 is in Bergen".to_owned(),
        kept: vec![(Field::Result, Media::Json, result)],
        ..Ended::with(Outcome::Succeeded)
    };
    open.finish(ended).await.unwrap().durable().await.unwrap();
    rescind(&desk, &found.to_string()).await;
    let second = json!({ "messages": [
        question,
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "call_1", "content": "W7 is in Bergen" },
    ]})
    .to_string();
    desk.send(path, second.clone(), &headers).await;
    let by =
        "[Rescinded: the result of this call no longer holds. Reason: the policy was misread.]";
    assert_eq!(seen(&stub), second.replace("W7 is in Bergen", by));
}

#[tokio::test]
async fn what_was_taken_out_of_a_request_makes_no_certain_edges_for_what_comes_of_it() {
    let payment = "PAY-30552-XK91";
    let arguments = json!({ "payment": payment }).to_string();
    let call = json!({ "id": "call_2", "type": "function",
        "function": { "name": "refund", "arguments": arguments } });
    let asks = json!({ "id": "c-2", "model": "m-1", "choices": [{ "index": 0,
        "finish_reason": "tool_calls",
        "message": { "role": "assistant", "content": payment, "tool_calls": [call] } }] });
    let wire = &WIRES[0];
    let wrong = format!("The customer paid with {payment}.");
    let scripts = vec![answer(&(wire.answer)(&wrong)), answer(&asks.to_string())];
    let (desk, _stub) = Desk::open(scripts).await;
    let headers = header("ada", "ticket-1");
    let first = wire.body(&[("user", "How was it paid?")]);
    let got = desk.send(wire.path, first, &headers).await;
    let first = got.header("x-rescind-decision").unwrap().to_owned();
    rescind(&desk, &first).await;
    let turns = [
        ("user", "How was it paid?"),
        ("assistant", &wrong),
        ("user", "Then refund it."),
    ];
    desk.send(wire.path, wire.body(&turns), &headers).await;
    let begun = desk.recorder.begin(Call {
        caller: Caller::default(),
        what: What::ToolCall {
            server: "desk",
            tool: "refund",
            arguments: &arguments,
            class: EffectClass::Read,
            by: ClassSource::Catalogue,
            call_id: None,
        },
        asked: (Media::Json, &arguments),
        environment: Environment::default(),
        touches: None,
    });
    let open = begun.await.unwrap();
    let ended = Ended::with(Outcome::Succeeded);
    open.finish(ended).await.unwrap().durable().await.unwrap();
    // Where the model had it from, if not from there, nobody knows.
    let all = desk.decisions(4).await;
    let of = |kind: &str| {
        let view = all.iter().rev().find(|view| view.node.kind == kind);
        let causes = view.unwrap().causes.iter();
        let causes = causes.filter(|cause| cause.decision == first);
        causes
            .map(|c| format!("{} {}", c.strength, c.kind))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("inference"), ["possible value"]);
    assert_eq!(of("tool-call"), ["possible value"]);
}

#[tokio::test]
async fn c43_another_agent_that_was_told_is_told_no_more_and_strangers_are_left_alone() {
    let wire = &WIRES[0];
    let scripts = vec![
        answer(&(wire.answer)(WRONG)),
        answer(crate::support::ANSWER),
    ];
    let (desk, stub) = Desk::open(scripts).await;
    let first = wire.body(&[("user", "What about W7?")]);
    let got = desk
        .send(wire.path, first, &header("ada", "ticket-1"))
        .await;
    rescind(&desk, got.header("x-rescind-decision").unwrap()).await;
    // Bob works in another run and quotes her.
    let quote = json!(format!("Ada writes: \"{WRONG}\" Do it.")).to_string();
    let quoting = wire.body(&[("user", "x")]).replace("\"x\"", &quote);
    desk.send(wire.path, quoting.clone(), &header("bob", "ticket-2"))
        .await;
    let by =
        "[Rescinded: what stood here by `ada` no longer holds. Reason: the policy was misread.]";
    assert_eq!(seen(&stub), quoting.replace(WRONG, by));
    // Somebody who says the same of his own accord decided so himself.
    let own = wire.body(&[
        ("user", "What about W7?"),
        ("assistant", WRONG),
        ("user", "And?"),
    ]);
    desk.send(wire.path, own.clone(), &header("eve", "ticket-3"))
        .await;
    assert_eq!(seen(&stub), own);
}

#[tokio::test]
async fn c43_after_a_restart_it_is_taken_out_as_before() {
    let wire = &WIRES[0];
    let store = Arc::new(MemoryStore::default());
    let stub = Stub::start(vec![
        answer(&(wire.answer)(WRONG)),
        answer(crate::support::ANSWER),
    ])
    .await;
    let over = async || {
        Desk::over(
            store.clone(),
            None,
            live::Options::default(),
            options(&[&stub]),
        )
        .await
    };
    let headers = header("ada", "ticket-1");
    let turns = [
        ("user", "What about W7?"),
        ("assistant", WRONG),
        ("user", "And W8?"),
    ];
    let desk = over().await;
    let got = desk.send(wire.path, wire.body(&turns[..1]), &headers).await;
    rescind(&desk, got.header("x-rescind-decision").unwrap()).await;
    desk.send(wire.path, wire.body(&turns), &headers).await;
    let before = seen(&stub);
    assert!(!before.contains(WRONG));
    desk.decisions(3).await;
    drop(desk);
    let desk = over().await;
    desk.send(wire.path, wire.body(&turns), &headers).await;
    assert_eq!(seen(&stub), before);
}

#[tokio::test]
async fn c43_what_was_streamed_is_recognised_too() {
    let wire = &WIRES[0];
    let spoken = crate::support::words(&["I refund W7 ", "twice, as the ", "policy says I may."]);
    let scripts: Vec<Vec<Act>> = vec![
        crate::support::streamed(&spoken),
        answer(crate::support::ANSWER),
    ];
    let (desk, stub) = Desk::open(scripts).await;
    let headers = header("ada", "ticket-1");
    let got = desk
        .send(wire.path, crate::support::CHAT_STREAM, &headers)
        .await;
    rescind(&desk, got.header("x-rescind-decision").unwrap()).await;
    let said = "I refund W7 twice, as the policy says I may.";
    let turns = [
        ("user", "Where is it?"),
        ("assistant", said),
        ("user", "And W8?"),
    ];
    desk.send(wire.path, wire.body(&turns), &headers).await;
    assert!(!seen(&stub).contains("W7"), "{}", seen(&stub));
}

#[tokio::test]
async fn c43_what_an_agent_believes_is_shown_beside_what_its_model_is_sent() {
    for wire in WIRES {
        let scripts = vec![
            answer(&(wire.answer)(WRONG)),
            answer(&(wire.answer)("Well.")),
        ];
        let (desk, _) = Desk::open(scripts).await;
        let headers = header("ada", "ticket-1");
        let turns = [
            ("user", "What about W7?"),
            ("assistant", WRONG),
            ("user", "And W8?"),
        ];
        let got = desk.send(wire.path, wire.body(&turns[..1]), &headers).await;
        let wrong = got.header("x-rescind-decision").unwrap().to_owned();
        let run = got.header("x-rescind-run").unwrap().parse().unwrap();
        let engine = desk.recorder.engine();
        desk.decisions(1).await;
        rescind(&desk, &wrong).await;
        // It has not sent its answer back yet, and will.
        let view = engine.context(run).await.unwrap();
        let last = view.agents[0].items.last().unwrap();
        assert_eq!((&*last.at, &*last.believes), ("answer", WRONG));
        assert!(last.sent.as_ref().unwrap().starts_with("[Rescinded"));
        desk.send(wire.path, wire.body(&turns), &headers).await;
        desk.decisions(3).await;
        let view = engine.context(run).await.unwrap();
        let agent = &view.agents[0];
        assert_eq!((&*agent.agent, agent.repaired), ("ada", true));
        let shown: Vec<(&str, bool)> = agent
            .items
            .iter()
            .map(|item| (&*item.believes, item.sent.is_some()))
            .collect();
        let expected = [
            ("What about W7?", false),
            (WRONG, true),
            ("And W8?", false),
            ("Well.", false),
        ];
        assert_eq!(shown, expected);
        assert_eq!(agent.items[1].replaced[0].decision, wrong);
    }
}

#[tokio::test]
async fn c43_what_a_rollback_rescinds_is_sent_to_no_model_again() {
    let wire = &WIRES[0];
    let scripts = vec![
        answer(&(wire.answer)(WRONG)),
        answer(crate::support::ANSWER),
    ];
    let (desk, stub) = Desk::open(scripts).await;
    let headers = header("ada", "ticket-1");
    let turns = [
        ("user", "What about W7?"),
        ("assistant", WRONG),
        ("user", "And W8?"),
    ];
    let got = desk.send(wire.path, wire.body(&turns[..1]), &headers).await;
    desk.decisions(1).await;
    let engine = desk.recorder.engine();
    let request = Request {
        roots: vec![got.header("x-rescind-decision").unwrap().parse().unwrap()],
        reason: "the policy was misread".to_owned(),
        ..Request::default()
    };
    let catalogue = Catalogue::default();
    let plan = engine.plan_rollback(&request, &catalogue, None);
    let proposed = engine.propose_rollback(&plan.await.unwrap()).await.unwrap();
    let id: DecisionId = proposed.id.parse().unwrap();
    let approve = Approve {
        digest: proposed.digest.parse().unwrap(),
        by: "olga",
        waits: false,
    };
    engine.approve_rollback(id, approve).await.unwrap();
    let access = engine::access::Access::new(Vec::new());
    let gateway = gateway::Gateway::new(desk.recorder.clone(), access, options(&[&stub]));
    let hands = gateway.unwrap().hands();
    let done = engine.carry_out(id, hands, &CarryOptions::default()).await;
    assert_eq!(done.unwrap().state.name(), "succeeded");
    let second = wire.body(&turns);
    desk.send(wire.path, second.clone(), &headers).await;
    let by = "[Rescinded: this message no longer holds. Reason: the policy was misread.]";
    assert_eq!(seen(&stub), second.replace(WRONG, by));
}
