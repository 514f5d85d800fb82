//! Agents that went back, where the record cannot be read at once or not at all.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::NewCheckpoint;
use engine::live::{Admitted, Ended, Options, RecordError};
use model::{DecisionId, EffectClass, Field, Media, Outcome};
use serde_json::json;

use crate::judged::{Asked, Desk, REFUND, call_of};
use crate::undo::world::{Fuse, Mortal, Unread};

const CANCEL: Asked<'static> = Asked {
    tool: "cancel",
    class: EffectClass::Reversible,
    ..REFUND
};

/// A call that an agent made since the state that it went back to, and the desk as the next process
/// finds it, with a store that cannot be read.
async fn went_back(unread: Unread) -> (Desk, Arc<Mortal>, DecisionId) {
    let desk = Desk::with(Options::default()).await;
    let before = desk
        .opened(Asked {
            arguments: "{}",
            ..CANCEL
        })
        .await;
    let run = before.run();
    before
        .finish(done())
        .await
        .unwrap()
        .durable()
        .await
        .unwrap();
    let state = NewCheckpoint {
        agent: "ada".to_owned(),
        state: json!({}),
        ..NewCheckpoint::default()
    };
    desk.recorder
        .engine()
        .checkpoint(run, &state)
        .await
        .unwrap();
    let open = desk.opened(CANCEL).await;
    let first = open.decision();
    open.finish(done()).await.unwrap().durable().await.unwrap();
    desk.recorder.restore(run, "ada", false).await.unwrap();
    desk.recorder.stop(Duration::from_secs(10)).await.unwrap();
    let store = Arc::new(Mortal {
        store: desk.store,
        fuse: Arc::new(Fuse::default()),
        unread: Mutex::new(unread),
    });
    let desk = Desk::over(store.clone(), desk.clock, desk.options).await;
    (desk, store, first)
}

fn done() -> Ended {
    let result = json!({ "content": [{ "type": "text", "text": "Cancelled." }] }).to_string();
    Ended {
        kept: vec![(Field::Result, Media::Json, result)],
        ..Ended::with(Outcome::Succeeded)
    }
}

fn answered_of(admitted: &Admitted) -> Option<DecisionId> {
    match admitted {
        Admitted::Replayed(replayed) => Some(replayed.of()),
        _ => None,
    }
}

#[tokio::test]
async fn who_went_back_is_known_although_the_store_did_not_answer_at_the_start() {
    let busy = Unread {
        times: 2,
        damaged: false,
    };
    let (desk, _, first) = went_back(busy).await;
    assert_eq!(answered_of(&desk.ask(CANCEL).await), Some(first));
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_refused_and_not_done_twice() {
    let damaged = Unread {
        times: u32::MAX,
        damaged: true,
    };
    let (desk, store, first) = went_back(damaged).await;
    let refused = desk.recorder.admit(call_of(CANCEL)).await.unwrap_err();
    let RecordError::Outage { reason, .. } = refused else {
        panic!("{refused}");
    };
    assert!(reason.contains("damaged"), "{reason}");
    // Once it can be read, it is looked up.
    store.unread.lock().unwrap().times = 0;
    assert_eq!(answered_of(&desk.ask(CANCEL).await), Some(first));
}
