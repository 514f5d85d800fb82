//! Agents that go back to an earlier state, and messages to other agents that they send again.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{NewCheckpoint, Store, live};
use gateway::Timeouts;
use http::Method;
use model::RunId;
use serde_json::{Value, json};

use crate::support_mcp::{
    Answer, Reply, Seen, Stub, World, content, json as answer, memory, stream, text,
};

const ADA: &str = "/agents/ada/a2a/bob";
const TICKET: [(&str, &str); 1] = [("x-rescind-run", "ticket-7")];

/// Answers what its message says: with a message, a task, a question, a stream or a failure.
fn bob(seen: &Seen) -> Reply {
    if seen.method == Method::GET {
        return answer("").status(404);
    }
    let asked: Value = serde_json::from_str(&seen.body).unwrap();
    let words = asked["params"]["message"]["parts"][0]["text"]
        .as_str()
        .unwrap();
    let reply = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":"r","result":{result}}}"#);
    let task = |state: &str| {
        reply(&format!(
            r#"{{"kind":"task","id":"t-{words}","contextId":"c","status":{{"state":"{state}"}}, "n":12345678901234567890}}"#
        ))
    };
    match words.split(' ').next().unwrap() {
        "say" => answer(reply(&format!(
            r#"{{"kind":"message","messageId":"b","role":"agent","parts":[{{"kind":"text","text":"said {words}"}}]}}"#
        ))),
        "ask" => answer(task("input-required")),
        "fail" => answer(task("failed")),
        "work" => answer(task("working")),
        "stream" => {
            let artifact = reply(&format!(
                r#"{{"kind":"artifact-update","taskId":"t-{words}","artifact":{{"artifactId":"a","parts":[{{"kind":"text","text":"made"}}]}}}}"#
            ));
            let ends = reply(&format!(
                r#"{{"kind":"status-update","taskId":"t-{words}","status":{{"state":"completed"}},"final":true}}"#
            ));
            let pieces = [task("working"), artifact, ends];
            stream(
                pieces
                    .iter()
                    .map(|data| text(format!("data: {data}\n\n")))
                    .collect(),
            )
        }
        _ => answer(task("completed")),
    }
}

struct Desk {
    stub: Stub,
    world: World,
    store: Arc<dyn Store>,
}

impl Desk {
    async fn open() -> Self {
        Self::recording(live::Options::default()).await
    }

    async fn recording(options: live::Options) -> Self {
        let (stub, store) = (Stub::start(bob).await, memory());
        let world = over(&stub, Arc::clone(&store), options).await;
        Self { stub, world, store }
    }

    async fn restart(self) -> Self {
        self.world.record().await;
        let (stub, store) = (self.stub, self.store);
        let world = over(&stub, Arc::clone(&store), live::Options::default()).await;
        Self { stub, world, store }
    }

    async fn tell(&self, words: &str) -> Answer {
        self.tell_so("message/send", words, &TICKET).await
    }

    async fn tell_so(&self, method: &str, words: &str, headers: &[(&str, &str)]) -> Answer {
        // Each sending has an id of its own.
        let number = self.stub.seen().len();
        let message = json!({
            "kind": "message", "messageId": format!("m-{number}"), "role": "user",
            "parts": [{ "kind": "text", "text": words }],
        });
        let params = json!({ "message": message, "configuration": { "historyLength": number } });
        let body = json!({ "jsonrpc": "2.0", "id": "r", "method": method, "params": params });
        self.world.post(ADA, headers, &body.to_string()).await
    }

    /// What was said to the agent.
    fn said(&self) -> Vec<String> {
        let seen = self.stub.seen();
        let said = seen.iter().filter_map(|seen| {
            let asked: Value = serde_json::from_str(&seen.body).ok()?;
            let words = &asked["params"]["message"]["parts"][0]["text"];
            Some(words.as_str()?.to_owned())
        });
        said.collect()
    }

    /// Opens the run, and saves the state before everything else.
    async fn begun(&self) -> RunId {
        let opened = self.tell("open").await;
        let run = opened.header("x-rescind-run").unwrap().parse().unwrap();
        let new = NewCheckpoint {
            agent: "ada".to_owned(),
            state: json!({}),
            ..NewCheckpoint::default()
        };
        let engine = self.world.recorder.engine();
        engine.checkpoint(run, &new).await.unwrap();
        run
    }

    async fn goes_back(&self, run: RunId, forks: bool) -> Vec<String> {
        let restored = self.world.recorder.restore(run, "ada", forks).await;
        restored.unwrap().replays
    }
}

async fn over(stub: &Stub, store: Arc<dyn Store>, options: live::Options) -> World {
    let a2a = BTreeMap::from([("bob".to_owned(), stub.endpoint("/rpc"))]);
    World::recording(BTreeMap::new(), a2a, Timeouts::default(), store, options).await
}

fn of(answer: &Answer) -> Option<&str> {
    answer.header("x-rescind-replay-of")
}

fn id_of(answer: &Answer) -> String {
    let id = answer.header("x-rescind-decision");
    id.unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

fn refused(answer: &Answer) -> String {
    let error = &answer.json()["error"];
    assert_eq!(error["data"]["code"], "done_before", "{answer:?}");
    error["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_message_sent_again_gets_the_answer_that_it_got_and_does_not_go_out() {
    for words in ["say hello", "do W1", "ask W2"] {
        let desk = Desk::open().await;
        let run = desk.begun().await;
        let first = desk.tell(words).await;
        assert_eq!(desk.goes_back(run, false).await, [id_of(&first)], "{words}");
        let again = desk.tell(words).await;
        assert_eq!(again.body, first.body, "byte for byte");
        assert_eq!(of(&again), Some(&*id_of(&first)));
        assert_ne!(id_of(&again), id_of(&first));
        // It is found again once.
        assert_eq!(of(&desk.tell(words).await), None);
        assert_eq!(desk.said(), ["open", words, words]);
        let record = desk.world.record().await;
        let one = |id: &str| record.iter().find(|d| d.node.id == id).unwrap();
        let replayed = one(&id_of(&again));
        assert_eq!(replayed.node.status, "replayed");
        assert_eq!(
            content(replayed, "result"),
            content(one(&id_of(&first)), "result")
        );
    }
}

#[tokio::test]
async fn what_was_rescinded_is_told_again() {
    let desk = Desk::open().await;
    let run = desk.begun().await;
    let first = desk.tell("do W1").await;
    desk.goes_back(run, false).await;
    let ids = [id_of(&first).parse().unwrap()];
    let rescinded = desk.world.recorder.rescind(&ids, None, "misread").await;
    assert_eq!(rescinded.unwrap().rescinded, ids);
    assert_eq!(of(&desk.tell("do W1").await), None);
}

#[tokio::test]
async fn a_stream_is_answered_with_a_stream_and_with_one_answer_as_it_is_asked_for() {
    let desk = Desk::open().await;
    let run = desk.begun().await;
    let first = desk.tell_so("message/stream", "stream", &TICKET).await;
    assert_eq!(first.body.matches("data: ").count(), 3);
    desk.goes_back(run, false).await;
    let again = desk.tell_so("message/stream", "stream", &TICKET).await;
    assert_eq!(again.header("content-type"), Some("text/event-stream"));
    let data = again.body.strip_prefix("data: ").unwrap().trim_end();
    let event: Value = serde_json::from_str(data).unwrap();
    assert_eq!(event["id"], "r");
    assert_eq!(event["result"]["status"]["state"], "completed");
    // The state that it goes back to knows of neither.
    desk.goes_back(run, false).await;
    let whole = desk.tell("stream").await;
    assert_eq!(of(&whole), Some(&*id_of(&first)));
    assert_eq!(whole.json()["result"], event["result"]);
    let made = &event["result"]["artifacts"][0]["parts"][0]["text"];
    assert_eq!(made, "made");
    assert_eq!(desk.said(), ["open", "stream"]);
}

#[tokio::test]
async fn what_failed_is_sent_again_and_another_message_ends_what_the_agent_was_told() {
    let desk = Desk::open().await;
    let run = desk.begun().await;
    desk.tell("fail W1").await;
    desk.tell("do W1").await;
    desk.tell("do W2").await;
    desk.goes_back(run, false).await;
    assert_eq!(of(&desk.tell("fail W1").await), None);
    // What it answers now may hang on that.
    assert_eq!(of(&desk.tell("do W1").await), None);
    let desk = desk.restart().await;
    assert_eq!(of(&desk.tell("do W2").await), None);
}

#[tokio::test]
async fn messages_are_found_again_after_a_restart_and_made_anew_where_that_is_said() {
    let desk = Desk::open().await;
    let run = desk.begun().await;
    for words in ["do W1", "do W2", "do W3"] {
        desk.tell(words).await;
    }
    desk.goes_back(run, false).await;
    let desk = desk.restart().await;
    assert!(of(&desk.tell("do W2").await).is_some());
    let fork = [TICKET[0], ("x-rescind-fork", "1")];
    assert_eq!(
        of(&desk.tell_so("message/send", "do W1", &fork).await),
        None
    );
    assert!(of(&desk.tell("do W3").await).is_some());
    assert_eq!(desk.goes_back(run, true).await.len(), 4);
    assert_eq!(of(&desk.tell("do W3").await), None);
    let expected = ["open", "do W1", "do W2", "do W3", "do W1", "do W3"];
    assert_eq!(desk.said(), expected);
}

#[tokio::test]
async fn what_is_not_known_of_a_message_is_said_and_it_is_not_sent_twice() {
    let desk = Desk::open().await;
    let run = desk.begun().await;
    desk.tell("work W1").await;
    desk.goes_back(run, false).await;
    assert!(refused(&desk.tell("work W1").await).contains("still being carried out"));
    let desk = desk.restart().await;
    assert!(refused(&desk.tell("work W1").await).contains("is not known"));
    assert_eq!(desk.said(), ["open", "work W1"]);
}

#[tokio::test]
async fn of_messages_with_secrets_it_is_not_known_whether_they_are_the_same() {
    let redact: live::Redact = Arc::new(|text: &str| {
        let clean = text
            .replace("hunter1", "[redacted:p]")
            .replace("hunter2", "[redacted:p]");
        let found = u32::from(clean != text);
        (clean.into(), found)
    });
    let options = live::Options {
        redact: Some(redact),
        ..live::Options::default()
    };
    let desk = Desk::recording(options).await;
    let run = desk.begun().await;
    desk.tell("do hunter1").await;
    desk.goes_back(run, false).await;
    assert!(refused(&desk.tell("do hunter2").await).contains("secret"));
    assert_eq!(desk.said(), ["open", "do hunter1"]);
}

#[tokio::test]
async fn messages_that_are_not_kept_are_sent_again() {
    let options = live::Options {
        bodies: false,
        ..live::Options::default()
    };
    let desk = Desk::recording(options).await;
    let run = desk.begun().await;
    desk.tell("do W1").await;
    assert!(desk.goes_back(run, false).await.is_empty());
    assert_eq!(of(&desk.tell("do W1").await), None);
}
