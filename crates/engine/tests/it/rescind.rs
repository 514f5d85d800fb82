//! Revoking decisions.

use std::sync::Arc;

use engine::live::{Call, Caller, Ended, Open, Options, Recorder, What};
use engine::{Engine, ManualClock};
use ledger::SeededEntropy;
use model::{
    ClassSource, DecisionId, EffectClass, Environment, Field, Media, Outcome, Status, Step,
};
use store::MemoryStore;

use crate::support::{Desk, NOON, REFUND};

async fn recorder() -> Recorder {
    let engine = Engine::start(
        Arc::new(MemoryStore::default()),
        Arc::new(ManualClock::at(NOON)),
        Arc::new(SeededEntropy::new(11)),
    );
    let engine = engine.await.unwrap();
    let recorder = Recorder::start(engine, None, Options::default());
    recorder.await.unwrap()
}

async fn called(recorder: &Recorder, arguments: &str) -> Open {
    let call = Call {
        caller: Caller {
            run: Some("r".to_owned()),
            ..Caller::default()
        },
        what: What::ToolCall {
            server: "desk",
            tool: "cancel",
            arguments,
            class: EffectClass::Unreviewed,
            by: ClassSource::Nobody,
            call_id: None,
        },
        asked: (Media::Json, arguments),
        environment: Environment::default(),
        touches: None,
    };
    recorder.begin(call).await.unwrap()
}

fn ended() -> Ended {
    Ended {
        kept: vec![(Field::Result, Media::Text, "done".to_owned())],
        ..Ended::with(Outcome::Succeeded)
    }
}

async fn status(recorder: &Recorder, id: DecisionId) -> String {
    recorder.engine().decision(id).await.unwrap().node.status
}

#[tokio::test]
async fn c36_a_rescinded_decision_stays_and_is_marked_and_the_log_knows_since_when() {
    let recorder = recorder().await;
    let open = called(&recorder, "{\"order\":1}").await;
    let id = open.decision();
    // The outcome is written and not durable yet: rescinding waits for it.
    let _written = open.finish(ended()).await.unwrap();
    let told = recorder
        .rescind(&[id, id], None, "wrong order")
        .await
        .unwrap();
    assert_eq!(told.rescinded, [id]);
    assert!(told.already.is_empty() && told.refused.is_empty());
    let view = recorder.engine().decision(id).await.unwrap();
    assert_eq!(view.node.status, "invalidated");
    let what: Vec<&str> = view.events.iter().map(|mark| &*mark.what).collect();
    assert_eq!(what, ["begun", "finished", "invalidated"]);
    assert!(
        view.contents
            .iter()
            .any(|c| c.text.as_deref() == Some("done"))
    );
    let again = recorder.rescind(&[id], None, "again").await.unwrap();
    assert_eq!((again.rescinded.len(), again.already), (0, vec![id]));
    let events = recorder.engine().decision(id).await.unwrap().events;
    assert_eq!(events.len(), 3, "nothing was appended the second time");
}

#[tokio::test]
async fn only_what_has_ended_is_rescinded_and_the_rest_is_named() {
    let recorder = recorder().await;
    let first = called(&recorder, "{\"order\":1}").await;
    let second = called(&recorder, "{\"order\":2}").await;
    let (ended_id, open_id) = (first.decision(), second.decision());
    first
        .finish(ended())
        .await
        .unwrap()
        .durable()
        .await
        .unwrap();
    let told = recorder
        .rescind(&[open_id, ended_id], None, "x")
        .await
        .unwrap();
    assert_eq!(told.rescinded, [ended_id]);
    let (refused, illegal) = told.refused[0];
    assert_eq!((refused, illegal.from), (open_id, Status::Started));
    assert_eq!(illegal.step, Step::Invalidate);
    assert_eq!(status(&recorder, open_id).await, "unknown");
}

#[tokio::test]
async fn a_list_with_a_stranger_in_it_changes_nothing() {
    let recorder = recorder().await;
    let open = called(&recorder, "{}").await;
    let id = open.decision();
    open.finish(ended()).await.unwrap().durable().await.unwrap();
    let stranger = DecisionId::new(1, [9; 10]);
    let error = recorder.rescind(&[id, stranger], None, "x").await;
    assert_eq!(error.unwrap_err().class().1, "not-found");
    assert_eq!(status(&recorder, id).await, "succeeded");
    let long = "x".repeat(5_000);
    let error = recorder.rescind(&[id], None, &long).await;
    assert_eq!(error.unwrap_err().class().1, "bad-input");
}

#[tokio::test]
async fn imported_decisions_are_rescinded_like_those_that_were_carried() {
    let desk = Desk::open().await;
    let imported = desk.import(REFUND).await;
    let run = imported.runs[0].id.clone();
    let graph = desk.graph(&run).await;
    let recorder = Recorder::start(desk.engine.clone(), None, Options::default());
    let recorder = recorder.await.unwrap();
    let ids: Vec<DecisionId> = graph.nodes.iter().map(|n| n.id.parse().unwrap()).collect();
    let incident = ids[0];
    let told = recorder
        .rescind(&ids[2..], Some(incident), "refunded too much")
        .await;
    assert_eq!(told.unwrap().rescinded, ids[2..]);
}
