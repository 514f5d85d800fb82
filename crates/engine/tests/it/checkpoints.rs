//! States that agents save and go back to.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::live::{Call, Caller, Ended, Options, OwnedItem, Recorder, What};
use engine::{Engine, ManualClock, NewCheckpoint};
use ledger::{SeededEntropy, Store};
use lineage::Role;
use model::{DecisionId, Environment, Field, Media, Outcome, RunId};
use serde_json::{Value, json};
use store::{EmbeddedStore, MemoryStore, OpenOptions};

use crate::support::NOON;

async fn over(store: Arc<dyn Store>, seed: u64) -> Recorder {
    let clock = Arc::new(ManualClock::at(NOON));
    let engine = Engine::start(store, clock, Arc::new(SeededEntropy::new(seed)));
    let recorder = Recorder::start(engine.await.unwrap(), None, Options::default());
    recorder.await.unwrap()
}

/// An agent is told something and answers; returns the decision and the run.
async fn ask(recorder: &Recorder, agent: &str, told: &str, said: &str) -> (DecisionId, RunId) {
    let call = Call {
        caller: Caller {
            agent: Some(agent.to_owned()),
            run: Some("ticket".to_owned()),
            ..Caller::default()
        },
        what: What::Inference {
            model: "m-1",
            items: vec![OwnedItem {
                role: Role::User,
                text: told.to_owned(),
                asked: Vec::new(),
                call_id: None,
            }],
            sent: None,
        },
        asked: (Media::Json, "{}"),
        environment: Environment::default(),
        touches: None,
    };
    let open = recorder.begin(call).await.unwrap();
    let place = (open.decision(), open.run());
    let ended = Ended {
        output: said.to_owned(),
        kept: vec![(Field::Chosen, Media::Text, said.to_owned())],
        ..Ended::with(Outcome::Succeeded)
    };
    open.finish(ended).await.unwrap();
    place
}

fn state(agent: &str, state: Value, keep: &[&str], branch: &str) -> NewCheckpoint {
    NewCheckpoint {
        agent: agent.to_owned(),
        state,
        keep: keep.iter().map(|pointer| (*pointer).to_owned()).collect(),
        external: BTreeMap::from([("branch".to_owned(), branch.to_owned())]),
        causes: Vec::new(),
    }
}

async fn rescind(recorder: &Recorder, id: DecisionId) {
    let told = recorder.rescind(&[id], None, "misread").await.unwrap();
    assert_eq!(told.rescinded, [id]);
}

#[tokio::test]
async fn c33_a_state_comes_back_with_its_policy_relations_and_references() {
    let recorder = over(Arc::new(MemoryStore::default()), 3).await;
    let engine = recorder.engine();
    let (good, run) = ask(&recorder, "ada", "Where is W7?", "In Bergen.").await;
    let first = state("ada", json!({ "orders": ["W7"] }), &[], "main");
    let first = engine.checkpoint(run, &first).await.unwrap();
    assert_eq!(first.causes, [good.to_string()]);
    assert_eq!(first.policy.as_deref(), Some("observe@1"));
    let (bad, _) = ask(&recorder, "ada", "Refund it?", "Yes, twice.").await;
    let second = state(
        "ada",
        json!({ "orders": ["W7"], "refunds": 2 }),
        &[],
        "twice",
    );
    let second = engine.checkpoint(run, &second).await.unwrap();
    assert_eq!(second.causes, [bad.to_string(), first.id.clone()]);

    let whole = engine.restore(run, "ada", false).await.unwrap();
    assert_eq!(whole.checkpoint.as_ref(), Some(&second.id));
    assert_eq!(whole.state["refunds"], 2);
    rescind(&recorder, bad).await;
    let back = engine.restore(run, "ada", false).await.unwrap();
    assert_eq!(back.checkpoint.as_ref(), Some(&first.id));
    assert_eq!(back.passed_over, [&*second.id]);
    assert_eq!(back.state, json!({ "orders": ["W7"] }));
    assert_eq!(back.external["branch"], "main");
    let list = engine.saved_in(run).await.unwrap().checkpoints;
    let lines: Vec<(&str, bool)> = list.iter().map(|c| (&*c.id, c.line)).collect();
    assert_eq!(lines, [(&*second.id, false), (&*first.id, true)]);
    // What is saved after it rests on the state that was given back.
    let third = engine
        .checkpoint(run, &state("ada", json!({ "orders": [] }), &[], "main"))
        .await
        .unwrap();
    assert_eq!(third.causes, [back.decision]);
    let again = engine.restore(run, "ada", false).await.unwrap();
    assert_eq!(again.checkpoint.as_ref(), Some(&third.id));
}

#[tokio::test]
async fn c33_who_was_told_what_was_rescinded_goes_back_too() {
    let recorder = over(Arc::new(MemoryStore::default()), 4).await;
    let engine = recorder.engine();
    let words = "The policy says that every order can be refunded twice, so I refund W7 twice, \
                 and the desk in Oslo should do the same from now on.";
    let (bad, run) = ask(&recorder, "ada", "Refund it?", words).await;
    let before = state("bob", json!({ "told": false }), &[], "main");
    let before = engine.checkpoint(run, &before).await.unwrap();
    ask(&recorder, "bob", words, "I do so.").await;
    let after = state("bob", json!({ "told": true }), &[], "main");
    engine.checkpoint(run, &after).await.unwrap();
    rescind(&recorder, bad).await;
    let back = engine.restore(run, "bob", false).await.unwrap();
    assert_eq!(back.checkpoint, Some(before.id));
    assert_eq!(back.state["told"], false);
}

#[tokio::test]
async fn c35_what_is_marked_keep_survives_a_restore() {
    let recorder = over(Arc::new(MemoryStore::default()), 5).await;
    let engine = recorder.engine();
    let (bad, run) = ask(&recorder, "ada", "Refund it?", "Yes, twice.").await;
    let learnt = json!({ "refunds": 2, "learnt": { "tone": "warm" } });
    let saved = state("ada", learnt, &["/learnt"], "twice");
    let saved = engine.checkpoint(run, &saved).await.unwrap();
    rescind(&recorder, bad).await;
    let back = engine.restore(run, "ada", false).await.unwrap();
    assert_eq!(back.checkpoint, None);
    assert_eq!(
        (back.newest, &*back.kept),
        (saved.id, &["/learnt".to_owned()][..])
    );
    assert_eq!(back.state, json!({ "learnt": { "tone": "warm" } }));
    assert!(back.external.is_empty());
}

#[tokio::test]
async fn c33_a_damaged_state_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let seconds = || Arc::new(|| NOON / 1_000_000);
    let options =
        |seed| OpenOptions::new(dir.path(), Arc::new(SeededEntropy::new(seed)), seconds());
    let store = Arc::new(EmbeddedStore::open(options(1)).unwrap());
    let recorder = over(store.clone(), 6).await;
    let (_, run) = ask(&recorder, "ada", "Where is W7?", "In Bergen.").await;
    let saved = state("ada", json!({ "secret": "x".repeat(3_000) }), &[], "main");
    recorder.engine().checkpoint(run, &saved).await.unwrap();
    assert!(recorder.engine().restore(run, "ada", false).await.is_ok());
    recorder
        .stop(std::time::Duration::from_secs(5))
        .await
        .unwrap();
    store.close().await.unwrap();
    // One byte in the middle of the longest payload.
    let mut largest = (0, std::path::PathBuf::new());
    let mut folders = vec![dir.path().join("payloads")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.metadata().unwrap() {
                meta if meta.is_dir() => folders.push(entry.path()),
                meta => largest = largest.max((meta.len(), entry.path())),
            }
        }
    }
    let mut bytes = std::fs::read(&largest.1).unwrap();
    let text = bytes.len();
    for byte in &mut bytes[text / 8..] {
        *byte ^= 1;
    }
    std::fs::write(&largest.1, bytes).unwrap();
    let store = Arc::new(EmbeddedStore::open(options(2)).unwrap());
    let recorder = over(store, 7).await;
    let error = recorder
        .engine()
        .restore(run, "ada", false)
        .await
        .unwrap_err();
    assert_eq!(error.class().1, "unrestorable", "{error}");
    let list = recorder.engine().saved_in(run).await.unwrap();
    assert_ne!(list.checkpoints[0].content, "kept");
}

#[tokio::test]
async fn what_is_no_state_is_refused_by_name() {
    let recorder = over(Arc::new(MemoryStore::default()), 8).await;
    let engine = recorder.engine();
    let (id, run) = ask(&recorder, "ada", "Where is W7?", "In Bergen.").await;
    let good = || state("ada", json!({}), &[], "main");
    let bad: [(NewCheckpoint, &str); 5] = [
        (
            NewCheckpoint {
                agent: " ".to_owned(),
                ..good()
            },
            "agent",
        ),
        (
            NewCheckpoint {
                state: json!([]),
                ..good()
            },
            "state",
        ),
        (
            NewCheckpoint {
                state: json!({ "x": "x".repeat(2 << 20) }),
                ..good()
            },
            "state",
        ),
        (
            NewCheckpoint {
                keep: vec!["learnt".to_owned()],
                ..good()
            },
            "keep",
        ),
        (
            NewCheckpoint {
                causes: vec![id; 300],
                ..good()
            },
            "causes",
        ),
    ];
    for (checkpoint, named) in bad {
        let error = engine.checkpoint(run, &checkpoint).await.unwrap_err();
        assert_eq!(error.class().1, "bad-checkpoint");
        assert!(error.to_string().contains(named), "{error}");
    }
    let stranger = NewCheckpoint {
        causes: vec![DecisionId::new(1, [9; 10])],
        ..good()
    };
    let error = engine.checkpoint(run, &stranger).await.unwrap_err();
    assert_eq!(error.class().1, "not-found");
    assert_eq!(
        engine
            .restore(run, "ada", false)
            .await
            .unwrap_err()
            .class()
            .1,
        "not-found"
    );
    assert_eq!(engine.saved(id).await.unwrap_err().class().1, "wrong-kind");
}
