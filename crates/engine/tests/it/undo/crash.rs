//! The process ends at every point of a rollback, and another goes on.
//!
//! A point is before or after any append and any call. After each the same end is reached: nothing
//! done twice, nothing lost, and nothing parked that a key or a probe can tell.

use store::MemoryStore;

use super::world::{Fuse, Mortal};
use super::*;

/// What came of all points of one kind of tool.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    points: usize,
    duplicated: usize,
    lost: usize,
    parked: usize,
}

const RIGHT: &str = r#"accounts/1 {"refs":{},"sum":0}
orders/1 {"status":"open"}
orders/2 {"note":"late","status":"open"}"#;

fn world() -> World {
    World::with(&[
        ("accounts/1", json!({ "sum": 30, "refs": {} })),
        ("orders/1", json!({ "status": "cancelled" })),
        ("orders/2", json!({ "status": "cancelled", "note": "late" })),
        ("refunds/1", json!({ "paid": false })),
    ])
}

/// Every kind of step in one plan: holding, an inverse, fields put back, a kept call again, a
/// removal, word to somebody, release.
fn plan_of(ids: &[DecisionId], tells: Tells) -> Plan {
    let [root, paid, first, second, made] = ids else {
        panic!("five decisions")
    };
    let mut draft = Draft::of(*root);
    for id in [paid, first, second] {
        draft.fate(*id, Fate::Undone);
    }
    draft.fate(*made, Fate::Stands(vec!["customer".to_owned()]));
    let held = draft.step(&[], &[], hold(&["orders", "billing"]));
    let inverse = draft.step(&[held], &[*paid], credit("accounts/1", -30, tells));
    let put = put_back("orders/1", "/status", json!("cancelled"), json!("open"));
    let put = draft.step(&[held], &[*first], put);
    let back = Act::PutBack(PutBack {
        resource: record("orders/2"),
        restore: call(
            "restore",
            json!({ "uri": "orders/2", "fields": "{fields}", "version": "{version}" }),
        ),
        fields: fields(&[("/status", json!("open")), ("/note", json!("none"))]),
        expected: fields(&[("/status", json!("cancelled")), ("/note", json!("late"))]),
    });
    let back = draft.step(&[held], &[*second], back);
    let again = Act::Again {
        call: call("note", json!({ "uri": "orders/2", "note": "late" })),
        before: vec![(
            record("orders/2"),
            fields(&[("/status", json!("open")), ("/note", json!("none"))]),
        )],
    };
    let again = draft.step(&[back], &[*second], again);
    let delete = Act::Delete {
        resource: record("refunds/1"),
        call: call(
            "delete",
            json!({ "uri": "refunds/1", "version": "{version}" }),
        ),
        expected: fields(&[("/paid", json!(false))]),
    };
    let delete = draft.step(&[held], &[*second], delete);
    let notify = Act::Notify {
        who: vec!["customer".to_owned()],
        what: "it stands".to_owned(),
    };
    let notify = draft.step(&[delete], &[*made], notify);
    draft.step(
        &[inverse, put, again, notify],
        &[],
        resume(&["orders", "billing"]),
    );
    draft.plan
}

async fn recorded(store: &Arc<dyn Store>, tells: Tells) -> DecisionId {
    let engine = engine_over(Arc::clone(store)).await;
    let recorder = recorder(&engine).await;
    let root = called(&recorder, "intake", EffectClass::Read, &[]).await;
    let mut ids = vec![root];
    for _ in 0..4 {
        let class = EffectClass::Compensable;
        ids.push(called(&recorder, "orders", class, &[root]).await);
    }
    recorder.stop(Duration::from_secs(1)).await.unwrap();
    approved(&engine, &plan_of(&ids, tells)).await
}

/// Runs until the fuse ends the process; returns whether it got to the end before that.
async fn run_until_blown(store: &Arc<dyn Store>, world: &World, fuse: &Arc<Fuse>) -> bool {
    let store = Arc::new(Mortal {
        store: Arc::clone(store),
        fuse: Arc::clone(fuse),
    });
    let engine = engine_over(store).await;
    let hands = Arc::new(world.through(fuse));
    let options = options();
    tokio::select! {
        biased;
        () = fuse.blown() => false,
        resumed = engine.resume_rollbacks(hands, &options) => {
            for rollback in resumed.unwrap() {
                rollback.unwrap();
            }
            true
        }
    }
}

async fn judge(store: &Arc<dyn Store>, world: &World, id: DecisionId, tally: &mut Tally) {
    let engine = engine_over(Arc::clone(store)).await;
    let view = engine.rollback(id).await.unwrap();
    assert!(is_ended(view.state), "it comes to an end: {}", told(&view));
    let mut done = world.done();
    done.sort_unstable();
    let parked = view
        .steps
        .iter()
        .filter(|step| serde_json::to_value(step.state).unwrap() == json!("parked"));
    let parked = parked.count();
    let all = done.len();
    done.dedup();
    tally.points += 1;
    tally.duplicated += all - done.len();
    tally.parked += parked;
    let whole = words(&world.state()).replace(r#"{"undo":true}"#, "{}") == RIGHT;
    if parked == 0 {
        tally.lost += usize::from(!whole);
        assert_eq!(view.state, State::Succeeded, "{}", told(&view));
        assert!(view.held.is_empty());
    } else {
        // It is said, and everything that does not wait for it is done.
        assert_eq!(view.state, State::Failed);
        let others = done.iter().filter(|done| !done.starts_with("credit"));
        tally.lost += usize::from(others.count() < 4);
    }
}

async fn every_point(tells: Tells) -> Tally {
    let mut tally = Tally::default();
    for point in 0.. {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let (id, world) = (recorded(&store, tells).await, world());
        let ended = run_until_blown(&store, &world, &Fuse::at(point)).await;
        if !ended {
            assert!(run_until_blown(&store, &world, &Fuse::none()).await);
        }
        judge(&store, &world, id, &mut tally).await;
        if ended {
            return tally;
        }
    }
    unreachable!()
}

#[tokio::test(start_paused = true)]
async fn c44_after_a_crash_at_any_point_the_same_end_is_reached() {
    for tells in [Tells::Key, Tells::Probe] {
        let tally = every_point(tells).await;
        assert!(tally.points > 40, "{tells:?}: {tally:?}");
        let Tally {
            duplicated,
            lost,
            parked,
            ..
        } = tally;
        assert_eq!((duplicated, lost, parked), (0, 0, 0), "{tells:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c44_what_nothing_can_tell_is_parked_and_never_done_twice() {
    let tally = every_point(Tells::Nothing).await;
    assert_eq!((tally.duplicated, tally.lost), (0, 0), "{tally:?}");
    // From the intent to the outcome of one step out of eight.
    assert!(
        tally.parked > 0 && tally.parked * 4 < tally.points,
        "{tally:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn c44_a_crash_while_going_on_after_a_crash_changes_nothing() {
    let mut tally = Tally::default();
    for first in (0..60).step_by(7) {
        for second in (0..60).step_by(5) {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
            let (id, world) = (recorded(&store, Tells::Probe).await, world());
            let mut ended = false;
            for fuse in [Fuse::at(first), Fuse::at(second), Fuse::none()] {
                ended = ended || run_until_blown(&store, &world, &fuse).await;
            }
            judge(&store, &world, id, &mut tally).await;
        }
    }
    let Tally {
        duplicated,
        lost,
        parked,
        ..
    } = tally;
    assert_eq!((duplicated, lost, parked), (0, 0, 0));
}
