//! Several rollbacks that hold the same agent, and what ends the hold of each.

use engine::undo::CarryOptions;
use engine::undo::view::QuarantinedView;

use super::carry::{plan_of, scene, world};
use super::world::Fault;
use super::*;

/// Holds as text: who is held, and by whom.
pub(super) fn who(held: Vec<QuarantinedView>) -> Vec<String> {
    let held = held.into_iter();
    held.map(|held| format!("{} {}", held.agent, held.by))
        .collect()
}

/// Who is held, which the next process knows too.
async fn who_is_held(engine: &Engine) -> Vec<String> {
    let now = who(engine.held().await.unwrap());
    let next = engine_over(Arc::clone(engine.store())).await;
    let then = who(next.held().await.unwrap());
    assert_eq!(now, then, "in the next process");
    now
}

/// Nothing is tried twice.
fn once() -> CarryOptions {
    CarryOptions {
        tries: 1,
        ..options()
    }
}

#[tokio::test(start_paused = true)]
async fn c29_each_rollback_holds_by_itself() {
    let (scene, world) = (scene().await, world());
    let few = once();
    world.fail("restore", Fault::Refused);
    let first = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    let hands = Arc::new(world.clone());
    scene.engine.carry_out(first, hands, &few).await.unwrap();
    let both = [format!("billing {first}"), format!("orders {first}")];
    assert_eq!(who_is_held(&scene.engine).await, both);
    // Another incident of the same agent, taken back while the first one waits.
    let other = called(&scene.recorder, "stock", EffectClass::Compensable, &[]).await;
    let mut draft = Draft::of(other);
    let held = draft.step(&[], &[], hold(&["billing", "stock"]));
    let paid = draft.step(&[held], &[other], credit("accounts/1", -1, Tells::Key));
    draft.step(&[paid], &[], resume(&["billing", "stock"]));
    world.fail("credit", Fault::Refused);
    let second = approved(&scene.engine, &draft.plan).await;
    let hands = Arc::new(world.clone());
    scene.engine.carry_out(second, hands, &few).await.unwrap();
    let mut all = [
        format!("billing {first}"),
        format!("billing {second}"),
        format!("orders {first}"),
        format!("stock {second}"),
    ];
    all.sort_unstable();
    assert_eq!(who_is_held(&scene.engine).await, all);
    let retry = async |id| {
        let hands = Arc::new(world.clone());
        let retried = scene.engine.retry_rollback(id, "olga", hands, &few).await;
        assert_eq!(retried.unwrap().state, State::Succeeded);
    };
    retry(second).await;
    assert_eq!(who_is_held(&scene.engine).await, both);
    let refused = begin(&scene.recorder, "billing", EffectClass::Read, &[]).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains(&first.to_string()), "{refused}");
    retry(first).await;
    assert!(who_is_held(&scene.engine).await.is_empty());
    called(&scene.recorder, "billing", EffectClass::Read, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn c29_a_person_ends_the_holds_of_all_rollbacks_at_once() {
    let (scene, world) = (scene().await, world());
    let few = once();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let other = called(&scene.recorder, "shelf", EffectClass::Compensable, &[]).await;
        let mut draft = Draft::of(other);
        let held = draft.step(&[], &[], hold(&["stock"]));
        let paid = draft.step(&[held], &[other], credit("accounts/1", -1, Tells::Key));
        draft.step(&[paid], &[], resume(&["stock"]));
        world.fail("credit", Fault::Refused);
        let id = approved(&scene.engine, &draft.plan).await;
        let hands = Arc::new(world.clone());
        scene.engine.carry_out(id, hands, &few).await.unwrap();
        ids.push(format!("stock {id}"));
    }
    ids.sort_unstable();
    scene.engine.hold("stock", "carla").await.unwrap();
    let released = scene.engine.release("stock", "olga").await.unwrap();
    assert_eq!(who(released.ended), ["stock carla"]);
    assert_eq!(who(released.held), ids);
    assert_eq!(who_is_held(&scene.engine).await, ids);
    let released = scene.engine.release("stock", "olga").await.unwrap();
    assert_eq!(who(released.ended), ids);
    assert!(who_is_held(&scene.engine).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn c29_a_rollback_that_another_supersedes_holds_nobody() {
    for outdated in [true, false] {
        let (scene, world) = (scene().await, world());
        let few = once();
        // It holds one agent more than the plan that is made after it.
        let mut draft = Draft::of(scene.cancelled);
        draft.plan.affected[0].fate = Fate::Undone;
        let held = draft.step(&[], &[], hold(&["orders", "stock"]));
        let put = put_back("orders/1", "/status", json!("cancelled"), json!("open"));
        let put = draft.step(&[held], &[scene.cancelled], put);
        draft.step(&[put], &[], resume(&["orders", "stock"]));
        if !outdated {
            draft.fate(scene.refunded, Fate::NothingToUndo);
            world.fail("restore", Fault::Refused);
        }
        let first = approved(&scene.engine, &draft.plan).await;
        let hands = Arc::new(world.clone());
        let view = scene.engine.carry_out(first, hands, &few).await.unwrap();
        let state = if outdated {
            State::Outdated
        } else {
            State::Failed
        };
        assert_eq!(view.state, state);
        let both = [format!("orders {first}"), format!("stock {first}")];
        assert_eq!(who_is_held(&scene.engine).await, both);
        // One that takes back something else supersedes nothing.
        let other = called(&scene.recorder, "shelf", EffectClass::Read, &[]).await;
        let mut draft = Draft::of(other);
        let held = draft.step(&[], &[], hold(&["orders"]));
        draft.step(&[held], &[], resume(&["orders"]));
        let id = approved(&scene.engine, &draft.plan).await;
        let view = carried(&scene.engine, id, &world).await;
        assert_eq!(view.state, State::Succeeded);
        assert_eq!(who_is_held(&scene.engine).await, both);
        // One that takes back its root does, once it came to what its plan says.
        world.fail("restore", Fault::Refused);
        let id = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
        let hands = Arc::new(world.clone());
        let view = scene.engine.carry_out(id, hands, &few).await.unwrap();
        let (new, old) = (view.held, who_is_held(&scene.engine).await);
        assert_eq!(new, ["billing", "orders"]);
        assert!(old.contains(&both[1]), "{old:?}");
        let hands = Arc::new(world.clone());
        let view = scene.engine.retry_rollback(id, "olga", hands, &few).await;
        assert_eq!(view.unwrap().state, State::Succeeded);
        assert!(who_is_held(&scene.engine).await.is_empty());
    }
}
