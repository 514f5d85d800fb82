//! One rollback after another: order, failure, conflict, overlap, quarantine.

use engine::undo::view::StepState;
use engine::undo::{CarryOptions, UndoError};
use engine::view::ReachedView;
use model::{Body, Status};
use recover::plan::{Conflict, RecordRef, ToolCall};
use store::MemoryStore;

use super::hold::who;
use super::world::Fault;
use super::*;

pub(super) struct Scene {
    pub(super) engine: Engine,
    pub(super) recorder: Recorder,
    pub(super) root: DecisionId,
    pub(super) cancelled: DecisionId,
    pub(super) refunded: DecisionId,
}

/// An agent misreads a policy; another cancels an order for it and a third pays it back.
pub(super) async fn scene() -> Scene {
    let engine = engine_over(Arc::new(MemoryStore::default())).await;
    let recorder = recorder(&engine).await;
    let root = called(&recorder, "intake", EffectClass::Read, &[]).await;
    let cancelled = called(&recorder, "orders", EffectClass::Reversible, &[root]).await;
    let refunded = called(&recorder, "billing", EffectClass::Compensable, &[cancelled]).await;
    Scene {
        engine,
        recorder,
        root,
        cancelled,
        refunded,
    }
}

pub(super) fn world() -> World {
    World::with(&[
        ("orders/1", json!({ "status": "cancelled" })),
        ("accounts/1", json!({ "sum": 30, "refs": {} })),
    ])
}

/// Takes the refund back, then the cancellation, while their agents are held.
pub(super) fn plan_of(scene: &Scene, tells: Tells) -> Plan {
    let mut draft = Draft::of(scene.root);
    draft.fate(scene.cancelled, Fate::Undone);
    draft.fate(scene.refunded, Fate::Residue("a second entry".to_owned()));
    let held = draft.step(&[], &[], hold(&["orders", "billing"]));
    let paid = draft.step(&[held], &[scene.refunded], credit("accounts/1", -30, tells));
    let put = put_back("orders/1", "/status", json!("cancelled"), json!("open"));
    let put = draft.step(&[paid], &[scene.cancelled], put);
    draft.step(&[put], &[], resume(&["orders", "billing"]));
    draft.plan
}

fn right() -> &'static str {
    r#"accounts/1 {"refs":{},"sum":0}
orders/1 {"status":"open"}"#
}

#[tokio::test(start_paused = true)]
async fn c37_effects_are_taken_back_in_reverse_order_each_with_one_state() {
    let (scene, world) = (scene().await, world());
    let id = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    let view = carried(&scene.engine, id, &world).await;
    insta::assert_snapshot!(told(&view), @r"
    succeeded
    1 hold: done
    2 inverse: done
    3 put-back: done
    4 resume: done
    nothing-to-undo: compensated
    undone: compensated
    residue: compensated
    ");
    assert_eq!(world.done(), ["credit accounts/1", "restore orders/1"]);
    assert_eq!(words(&world.state()), right());
}

#[tokio::test(start_paused = true)]
async fn c36_what_is_taken_back_stays_in_the_record_and_is_marked() {
    let (scene, world) = (scene().await, world());
    let before = scene.engine.decision(scene.refunded).await.unwrap();
    let id = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    carried(&scene.engine, id, &world).await;
    let after = scene.engine.decision(scene.refunded).await.unwrap();
    assert_eq!(before.node.status, "succeeded");
    assert_eq!(after.node.status, "compensated");
    let what: Vec<&str> = after.events.iter().map(|mark| &*mark.what).collect();
    assert_eq!(
        what,
        [
            "begun",
            "finished",
            "invalidated",
            "compensating",
            "compensated"
        ]
    );
    // As the record knew it before: the same events, fewer of them.
    assert_eq!(after.events[..2].len(), before.events.len());
}

#[tokio::test(start_paused = true)]
async fn c46_a_rollback_is_in_the_graph_and_the_chain_still_verifies() {
    let (scene, world) = (scene().await, world());
    let id = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    let view = carried(&scene.engine, id, &world).await;
    let decision = scene.engine.decision(id).await.unwrap();
    assert_eq!(decision.node.kind, "incident");
    assert_eq!(decision.approvals[0].shown, view.digest);
    assert_eq!(decision.causes[0].decision, scene.root.to_string());
    let step = view.steps[1].decision.as_ref().unwrap().parse().unwrap();
    let why = scene.engine.why(id, step).await.unwrap();
    assert!(why.depends, "a step follows from its rollback");
    let store = scene.engine.store();
    store.publish().await.unwrap();
    let report = store.reindex().await.unwrap();
    assert_eq!(report, store.status().await.unwrap().durable);
}

#[tokio::test(start_paused = true)]
async fn c46_what_followed_is_the_same_after_a_rollback_which_is_told_apart() {
    let (scene, world) = (scene().await, world());
    let rings = async || {
        let store = scene.engine.store();
        let size = store.status().await.unwrap().durable;
        store.wait_indexed(size).await.unwrap();
        scene.engine.blast(scene.root, 100).await.unwrap()
    };
    let ids = |ring: &[ReachedView]| -> Vec<String> {
        ring.iter().map(|reached| reached.node.id.clone()).collect()
    };
    let before = rings().await;
    let followed = [scene.cancelled, scene.refunded].map(|id| id.to_string());
    assert_eq!(ids(&before.certain), followed);
    assert!(before.recovery.is_empty() && before.rollbacks.is_empty());
    let id = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    carried(&scene.engine, id, &world).await;
    let after = rings().await;
    assert_eq!(ids(&after.certain), followed);
    assert!(after.possible.is_empty() && !after.cut);
    assert_eq!(after.agents, before.agents);
    assert_eq!(ids(&after.recovery)[0], id.to_string());
    let [rollback] = &after.rollbacks[..] else {
        panic!("{:?}", after.rollbacks)
    };
    assert_eq!(
        (&rollback.id, rollback.state),
        (&id.to_string(), State::Succeeded)
    );
    // A limit counts what followed, and what was done about it does not crowd it out.
    let two = scene.engine.blast(scene.root, 2).await.unwrap();
    assert_eq!(ids(&two.certain), followed);
}

#[tokio::test(start_paused = true)]
async fn c38_a_failed_step_is_told_keeps_its_place_and_can_be_retried() {
    let (scene, world) = (scene().await, world());
    world.fail("restore", Fault::Refused);
    let few = CarryOptions {
        tries: 1,
        ..options()
    };
    let id = approved(&scene.engine, &plan_of(&scene, Tells::Nothing)).await;
    let hands = Arc::new(world.clone());
    let view = scene.engine.carry_out(id, hands, &few).await.unwrap();
    insta::assert_snapshot!(told(&view), @r"
    failed
    1 hold: done
    2 inverse: done
    3 put-back: failed
    4 resume: pending
    nothing-to-undo: compensated
    undone: compensation-failed
    residue: compensated
    ");
    assert_eq!(
        view.steps[2].why.as_deref(),
        Some("the tool refused: not now")
    );
    assert_eq!(view.held, ["billing", "orders"], "they stay held");
    let again = scene
        .engine
        .carry_out(id, Arc::new(world.clone()), &few)
        .await;
    assert_eq!(
        again.unwrap_err().to_string(),
        format!("rollback `{id}` is failed: it cannot be carried out")
    );
    let hands = Arc::new(world.clone());
    let retried = scene.engine.retry_rollback(id, "olga", hands, &few).await;
    let retried = retried.unwrap();
    insta::assert_snapshot!(told(&retried), @r"
    succeeded
    1 hold: done
    2 inverse: done
    3 put-back: done
    4 resume: done
    nothing-to-undo: compensated
    undone: compensated
    residue: compensated
    ");
    assert_eq!(world.done(), ["credit accounts/1", "restore orders/1"]);
    assert!(retried.held.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again_within_limits() {
    let (scene, world) = (scene().await, world());
    for fault in [Fault::Down, Fault::LostBefore, Fault::LostAfter] {
        world.fail("restore", fault);
        world.fail("credit", fault);
    }
    let id = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    let view = carried(&scene.engine, id, &world).await;
    assert_eq!(view.state, State::Succeeded);
    assert_eq!(world.done(), ["credit accounts/1", "restore orders/1"]);
    assert_eq!(words(&world.state()), right());
}

#[tokio::test(start_paused = true)]
async fn c41_a_step_of_unknown_effect_is_reconciled_or_reported() {
    for (tells, lost, state, times) in [
        (Tells::Key, Fault::LostAfter, State::Succeeded, 1),
        (Tells::Key, Fault::LostBefore, State::Succeeded, 1),
        (Tells::Probe, Fault::LostAfter, State::Succeeded, 1),
        (Tells::Probe, Fault::LostBefore, State::Succeeded, 1),
        (Tells::Nothing, Fault::LostAfter, State::Failed, 1),
        (Tells::Nothing, Fault::LostBefore, State::Failed, 0),
    ] {
        let (scene, world) = (scene().await, world());
        world.fail("credit", lost);
        let id = approved(&scene.engine, &plan_of(&scene, tells)).await;
        let view = carried(&scene.engine, id, &world).await;
        assert_eq!(view.state, state, "{tells:?} {lost:?}");
        let done = world.done();
        let credits = done.iter().filter(|done| done.starts_with("credit"));
        assert_eq!(credits.count(), times, "{tells:?} {lost:?}");
        if tells == Tells::Nothing {
            assert_eq!(view.steps[1].state, StepState::Parked);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_parked_step_goes_on_once_a_person_says_what_happened() {
    for happened in [true, false] {
        let (scene, world) = (scene().await, world());
        let fault = if happened {
            Fault::LostAfter
        } else {
            Fault::LostBefore
        };
        world.fail("credit", fault);
        let id = approved(&scene.engine, &plan_of(&scene, Tells::Nothing)).await;
        let view = carried(&scene.engine, id, &world).await;
        assert_eq!(view.steps[1].state, StepState::Parked);
        // Trying again tells nothing new.
        let hands = Arc::new(world.clone());
        let retried = scene
            .engine
            .retry_rollback(id, "olga", hands, &options())
            .await;
        assert_eq!(retried.unwrap().steps[1].state, StepState::Parked);
        let options = CarryOptions {
            settled: BTreeMap::from([(2, happened)]),
            ..options()
        };
        let hands = Arc::new(world.clone());
        let retried = scene
            .engine
            .retry_rollback(id, "olga", hands, &options)
            .await;
        assert_eq!(retried.unwrap().state, State::Succeeded);
        assert!(words(&world.state()).contains(r#""sum":0"#));
        assert_eq!(world.done(), ["credit accounts/1", "restore orders/1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_wrote_since_is_not_overwritten() {
    let (scene, world) = (scene().await, world());
    let id = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    world.write("orders/1", "status", json!("shipped"));
    let view = carried(&scene.engine, id, &world).await;
    assert_eq!(view.state, State::Failed);
    assert_eq!(view.steps[2].state, StepState::Failed);
    assert_eq!(
        view.steps[2].why.as_deref(),
        Some("`orders/1` was changed since the plan was made: `/status`")
    );
    assert_eq!(world.state()["orders/1"], json!({ "status": "shipped" }));
    // Another field is nobody's business.
    let (scene, world) = (self::scene().await, self::world());
    let id = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    world.write("orders/1", "note", json!("call first"));
    let view = carried(&scene.engine, id, &world).await;
    assert_eq!(view.state, State::Succeeded);
    let order = json!({ "status": "open", "note": "call first" });
    assert_eq!(world.state()["orders/1"], order);
}

#[tokio::test(start_paused = true)]
async fn c39_what_is_undone_is_not_undone_again_by_another_rollback() {
    let (scene, world) = (scene().await, world());
    let plan = plan_of(&scene, Tells::Nothing);
    let id = approved(&scene.engine, &plan).await;
    carried(&scene.engine, id, &world).await;
    let done = world.done();
    // The same plan once more, and the first one once more.
    let second = approved(&scene.engine, &plan).await;
    let view = carried(&scene.engine, second, &world).await;
    assert_eq!(view.state, State::Succeeded);
    assert_eq!(view.steps[1].state, StepState::Skipped);
    assert_eq!(view.steps[2].state, StepState::Skipped);
    let hands = Arc::new(world.clone());
    let again = scene
        .engine
        .retry_rollback(id, "olga", hands, &options())
        .await;
    let state = again.unwrap_err();
    assert!(matches!(state, EngineError::Undo(UndoError::State { .. })));
    assert_eq!(world.done(), done);
    assert_eq!(words(&world.state()), right());
}

#[tokio::test(start_paused = true)]
async fn c45_of_two_rollbacks_that_overlap_the_second_is_refused() {
    let (scene, world) = (scene().await, world());
    let first = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    // Another decision, the same record.
    let other = called(&scene.recorder, "orders", EffectClass::Reversible, &[]).await;
    let mut draft = Draft::of(other);
    let put = put_back("orders/1", "/status", json!("open"), json!("draft"));
    draft.step(&[], &[other], put);
    let second = scene.engine.propose_rollback(&draft.plan).await.unwrap();
    let refused = approve(&scene.engine, &second).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("rollback `{first}` has not ended and concerns record `orders/1` too")
    );
    // Something else altogether may go on beside it.
    let third = called(&scene.recorder, "stock", EffectClass::Reversible, &[]).await;
    let third = scene.engine.propose_rollback(&Draft::of(third).plan).await;
    approve(&scene.engine, &third.unwrap()).await.unwrap();
    // Who waits is let in once the first has ended.
    let (engine, digest) = (scene.engine.clone(), second.digest.parse().unwrap());
    let id: DecisionId = second.id.parse().unwrap();
    let waiting = scene.recorder.tasks().spawn(async move {
        let (by, waits) = ("olga", true);
        let approve = Approve { digest, by, waits };
        engine.approve_rollback(id, approve).await
    });
    settle().await;
    assert!(!waiting.is_finished());
    carried(&scene.engine, first, &world).await;
    waiting.await.unwrap().unwrap();
    // Its record is expected as the first one leaves it.
    let view = carried(&scene.engine, id, &world).await;
    assert_eq!(view.steps[0].state, StepState::Done);
    assert_eq!(world.state()["orders/1"], json!({ "status": "draft" }));
}

#[tokio::test(start_paused = true)]
async fn c45_two_operators_at_once_carry_a_plan_out_once() {
    let (scene, world) = (scene().await, world());
    let plan = plan_of(&scene, Tells::Nothing);
    let (one, two) = (
        scene.engine.propose_rollback(&plan).await.unwrap(),
        scene.engine.propose_rollback(&plan).await.unwrap(),
    );
    let (first, second) = tokio::join!(approve(&scene.engine, &one), approve(&scene.engine, &two));
    assert!(first.is_ok() != second.is_ok(), "one of them is let in");
    let approved = if first.is_ok() { one } else { two };
    let id: DecisionId = approved.id.parse().unwrap();
    let mut world = world;
    world.slow = true;
    let options = options();
    let (first, second) = tokio::join!(
        scene
            .engine
            .carry_out(id, Arc::new(world.clone()), &options),
        scene
            .engine
            .carry_out(id, Arc::new(world.clone()), &options),
    );
    assert!(first.is_ok() != second.is_ok());
    assert_eq!(world.done(), ["credit accounts/1", "restore orders/1"]);
}

#[tokio::test(start_paused = true)]
async fn an_approval_is_of_one_plan_and_of_no_other() {
    let scene = scene().await;
    let mut view = scene
        .engine
        .propose_rollback(&plan_of(&scene, Tells::Key))
        .await
        .unwrap();
    let id: DecisionId = view.id.parse().unwrap();
    let hands = Arc::new(world());
    let early = scene.engine.carry_out(id, hands, &options()).await;
    assert!(early.unwrap_err().to_string().contains("is proposed"));
    view.digest = ledger::digest::sha256(b"another plan").to_string();
    let refused = approve(&scene.engine, &view).await.unwrap_err();
    assert!(matches!(
        refused,
        EngineError::Undo(UndoError::Digest { .. })
    ));
    // What is open is not approved either.
    let mut plan = plan_of(&scene, Tells::Key);
    plan.conflicts.push(Conflict {
        uri: "orders/1".to_owned(),
        fields: vec!["/status".to_owned()],
        by: None,
        settled: None,
    });
    let open = scene.engine.propose_rollback(&plan).await.unwrap();
    let refused = approve(&scene.engine, &open).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the plan leaves open what becomes of `orders/1`"
    );
}

#[tokio::test(start_paused = true)]
async fn c29_a_held_agent_gets_no_work_until_it_is_released() {
    let (scene, world) = (scene().await, world());
    world.fail("restore", Fault::Refused);
    let few = CarryOptions {
        tries: 1,
        ..options()
    };
    let id = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    let hands = Arc::new(world.clone());
    scene.engine.carry_out(id, hands, &few).await.unwrap();
    let refused = begin(&scene.recorder, "orders", EffectClass::Read, &[]).await;
    let refused = refused.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("agent `orders` is quarantined by {id}")
    );
    called(&scene.recorder, "stock", EffectClass::Read, &[]).await;
    // Also in the next process.
    let engine = engine_over(Arc::clone(scene.engine.store())).await;
    let recorder = recorder(&engine).await;
    let refused = begin(&recorder, "billing", EffectClass::Read, &[]).await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        format!("agent `billing` is quarantined by {id}")
    );
    engine.release("billing", "olga").await.unwrap();
    called(&recorder, "billing", EffectClass::Read, &[]).await;
    let held = engine.held().await.unwrap();
    assert_eq!(held.len(), 1);
    engine.hold("stock", "olga").await.unwrap();
    let refused = begin(&recorder, "stock", EffectClass::Read, &[]).await;
    assert!(refused.unwrap_err().to_string().contains("by olga"));
    let none = engine.release("nobody", "olga").await.unwrap_err();
    assert_eq!(none.to_string(), "agent `nobody` is not held");
}

#[tokio::test(start_paused = true)]
async fn c29_whom_a_person_holds_stays_held_when_a_rollback_ends() {
    let (scene, world) = (scene().await, world());
    scene.engine.hold("billing", "olga").await.unwrap();
    let id = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    world.fail("restore", Fault::Refused);
    let few = CarryOptions {
        tries: 1,
        ..options()
    };
    let hands = Arc::new(world.clone());
    scene.engine.carry_out(id, hands, &few).await.unwrap();
    // A person releases what persons hold, and only then what the rollback holds.
    scene.engine.hold("orders", "carla").await.unwrap();
    scene.engine.release("orders", "carla").await.unwrap();
    let all = [
        format!("billing {id}"),
        "billing olga".to_owned(),
        format!("orders {id}"),
    ];
    assert_eq!(who(scene.engine.held().await.unwrap()), all);
    let engine = engine_over(Arc::clone(scene.engine.store())).await;
    assert_eq!(
        who(engine.held().await.unwrap()),
        all,
        "in the next process"
    );

    let hands = Arc::new(world.clone());
    let view = scene.engine.retry_rollback(id, "olga", hands, &few).await;
    assert_eq!(view.unwrap().state, State::Succeeded);
    assert_eq!(who(scene.engine.held().await.unwrap()), ["billing olga"]);
    let refused = begin(&scene.recorder, "billing", EffectClass::Read, &[]).await;
    assert!(refused.unwrap_err().to_string().contains("by olga"));
    let engine = engine_over(Arc::clone(scene.engine.store())).await;
    assert_eq!(who(engine.held().await.unwrap()), ["billing olga"]);
    engine.release("billing", "olga").await.unwrap();
    assert!(engine.held().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn c29_calls_in_flight_end_before_anything_is_taken_back() {
    let (scene, world) = (scene().await, world());
    let id = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    let flying = begin(&scene.recorder, "orders", EffectClass::Read, &[])
        .await
        .unwrap();
    let engine = scene.engine.clone();
    let hands = Arc::new(world.clone());
    let carrying = scene
        .recorder
        .tasks()
        .spawn(async move { engine.carry_out(id, hands, &options()).await });
    settle().await;
    assert!(world.done().is_empty(), "it waits");
    end(flying).await;
    let view = carrying.await.unwrap().unwrap();
    assert_eq!(view.state, State::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn what_followed_from_a_torn_call_before_the_plan_stays_and_what_came_later_does_not() {
    for later in [false, true] {
        let (scene, world) = (scene().await, world());
        let class = EffectClass::Compensable;
        // It touched a record of the cancelled order, and depends on nothing that is taken back.
        let torn = called(&scene.recorder, "billing", class, &[]).await;
        let kept = called(&scene.recorder, "billing", class, &[torn]).await;
        scene.engine.caught_up(Duration::from_secs(1)).await;
        let mut plan = plan_of(&scene, Tells::Key);
        plan.size = scene.engine.store().status().await.unwrap().durable;
        plan.affected.push(Affected {
            decision: torn,
            ring: Strength::Certain,
            fate: Fate::NothingToUndo,
            steps: Vec::new(),
        });
        plan.torn.push(Torn {
            decision: torn,
            relies_on: scene.cancelled,
            why: "the order would not be there".to_owned(),
        });
        let id = approved(&scene.engine, &plan).await;
        if later {
            called(&scene.recorder, "billing", class, &[torn]).await;
        }
        let view = carried(&scene.engine, id, &world).await;
        match later {
            true => assert_eq!(view.state, State::Outdated),
            false => {
                assert_eq!(view.state, State::Succeeded, "{}", told(&view));
                let kept = scene.engine.decision(kept).await.unwrap();
                assert_eq!(kept.node.status, "succeeded");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_effect_makes_the_plan_outdated_and_nothing_is_undone() {
    let (scene, world) = (scene().await, world());
    let id = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    // It was in flight while the plan was made and approved.
    let late = called(
        &scene.recorder,
        "billing",
        EffectClass::Compensable,
        &[scene.cancelled],
    )
    .await;
    let view = carried(&scene.engine, id, &world).await;
    assert_eq!(view.state, State::Outdated);
    assert_eq!(view.late, [late.to_string()]);
    assert!(world.done().is_empty());
    assert_eq!(view.affected[1].status, "succeeded");
    assert_eq!(view.held, ["billing", "orders"], "they stay held meanwhile");
    // The new plan knows it.
    let mut plan = plan_of(&scene, Tells::Key);
    plan.affected.push(Affected {
        decision: late,
        ring: Strength::Certain,
        fate: Fate::Stands(vec!["customer".to_owned()]),
        steps: Vec::new(),
    });
    let id = approved(&scene.engine, &plan).await;
    let view = carried(&scene.engine, id, &world).await;
    assert_eq!(view.state, State::Succeeded);
    assert_eq!(view.affected[3].status, "stands");
    assert!(view.held.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_changed_nothing_and_came_late_is_invalidated_with_the_rest() {
    let (scene, world) = (scene().await, world());
    let id = approved(&scene.engine, &plan_of(&scene, Tells::Key)).await;
    let read = called(&scene.recorder, "orders", EffectClass::Read, &[scene.root]).await;
    let view = carried(&scene.engine, id, &world).await;
    assert_eq!(view.state, State::Succeeded);
    let read = scene.engine.decision(read).await.unwrap();
    assert_eq!(read.node.status, "compensated");
}

#[tokio::test(start_paused = true)]
async fn c42_what_cannot_be_undone_stands_and_says_who_was_told() {
    let (scene, world) = (scene().await, world());
    let mut draft = Draft::of(scene.root);
    draft.fate(scene.cancelled, Fate::NothingToUndo);
    draft.fate(scene.refunded, Fate::Stands(vec!["customer".to_owned()]));
    let notify = Act::Notify {
        who: vec!["customer".to_owned()],
        what: "the refund stands".to_owned(),
    };
    draft.step(&[], &[scene.refunded], notify);
    let id = approved(&scene.engine, &draft.plan).await;
    let view = carried(&scene.engine, id, &world).await;
    assert_eq!(view.state, State::Succeeded);
    assert_eq!(view.affected[2].status, "stands");
    assert_eq!(world.told(), ["customer"]);
    let events = scene
        .engine
        .store()
        .events_named(&["stands"])
        .await
        .unwrap();
    let leaf = scene.engine.store().read(events[0], 1).await.unwrap();
    let event = ledger::Leaf::decode(&leaf[0].1).unwrap();
    assert!(matches!(event.body, Body::Stands { told, .. } if told == ["customer"]));
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_is_unknown_is_probed_first_or_parked() {
    for happened in [true, false] {
        let scene = scene().await;
        let status = if happened { "cancelled" } else { "open" };
        let world = World::with(&[("orders/1", json!({ "status": status }))]);
        let mut draft = Draft::of(scene.root);
        draft.fate(scene.cancelled, Fate::Probed);
        draft.fate(scene.refunded, Fate::Parked);
        let probe = Act::Probe {
            call: call("read", json!({ "uri": "orders/1" })),
            happened: r#"result.status == "cancelled""#.to_owned(),
            args: Value::Null,
            before: Value::Null,
        };
        let probe = draft.step(&[], &[scene.cancelled], probe);
        let put = put_back("orders/1", "/status", json!("cancelled"), json!("open"));
        draft.step(&[probe], &[scene.cancelled], put);
        let id = approved(&scene.engine, &draft.plan).await;
        let view = carried(&scene.engine, id, &world).await;
        assert_eq!(view.state, State::Failed, "what is parked is not done");
        assert_eq!(view.affected[1].status, "compensated");
        assert_eq!(view.affected[2].status, "compensation-failed");
        let step = if happened {
            StepState::Done
        } else {
            StepState::Skipped
        };
        assert_eq!(view.steps[1].state, step);
        assert_eq!(world.done().len(), usize::from(happened));
        assert_eq!(world.state()["orders/1"], json!({ "status": "open" }));
    }
}

#[tokio::test(start_paused = true)]
async fn independent_steps_run_side_by_side_and_no_more_than_allowed() {
    let scene = scene().await;
    let mut records = Vec::new();
    let names: Vec<String> = (0..12).map(|n| format!("orders/{n}")).collect();
    for name in &names {
        records.push((name.as_str(), json!({ "status": "cancelled" })));
    }
    let mut world = World::with(&records);
    world.slow = true;
    let mut draft = Draft::of(scene.root);
    draft.fate(scene.cancelled, Fate::Undone);
    draft.fate(scene.refunded, Fate::NothingToUndo);
    for name in &names {
        let put = put_back(name, "/status", json!("cancelled"), json!("open"));
        draft.step(&[], &[scene.cancelled], put);
    }
    let id = approved(&scene.engine, &draft.plan).await;
    let options = CarryOptions {
        at_once: 5,
        ..options()
    };
    let hands = Arc::new(world.clone());
    let view = scene.engine.carry_out(id, hands, &options).await.unwrap();
    assert_eq!(view.state, State::Succeeded);
    assert_eq!(world.most(), 5);
    assert_eq!(world.done().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_kept_call_runs_again_on_what_it_would_have_found() {
    let scene = scene().await;
    let world = World::with(&[("orders/1", json!({ "status": "cancelled", "note": "late" }))]);
    let mut draft = Draft::of(scene.root);
    draft.fate(scene.cancelled, Fate::Undone);
    draft.fate(scene.refunded, Fate::NothingToUndo);
    let back = Act::PutBack(PutBack {
        resource: record("orders/1"),
        restore: call(
            "restore",
            json!({ "uri": "orders/1", "fields": "{fields}", "version": "{version}" }),
        ),
        fields: fields(&[("/status", json!("open")), ("/note", json!("none"))]),
        expected: fields(&[("/status", json!("cancelled")), ("/note", json!("late"))]),
    });
    let back = draft.step(&[], &[scene.cancelled], back);
    let again = Act::Again {
        call: call("note", json!({ "uri": "orders/1", "note": "late" })),
        before: vec![(
            record("orders/1"),
            fields(&[("/status", json!("open")), ("/note", json!("none"))]),
        )],
    };
    draft.step(&[back], &[scene.cancelled], again);
    let id = approved(&scene.engine, &draft.plan).await;
    world.fail("note", Fault::LostAfter);
    let view = carried(&scene.engine, id, &world).await;
    assert_eq!(view.state, State::Succeeded);
    assert_eq!(world.done(), ["restore orders/1", "note orders/1"]);
    let order = json!({ "status": "open", "note": "late" });
    assert_eq!(world.state()["orders/1"], order);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_carries_out_any_more_is_unknown_before_it_is_revoked() {
    let scene = scene().await;
    // Its process died: there is an intent and no outcome.
    drop(
        begin(
            &scene.recorder,
            "orders",
            EffectClass::Reversible,
            &[scene.root],
        )
        .await,
    );
    scene.recorder.stop(Duration::from_secs(1)).await.unwrap();
    let store = scene.engine.store();
    let rows = store
        .decisions(None, ledger::Page::first(10))
        .await
        .unwrap();
    let lost = rows
        .iter()
        .find(|row| row.status == Status::Started)
        .unwrap();
    let mut draft = Draft::of(scene.root);
    draft.fate(lost.id, Fate::Parked);
    draft.fate(scene.cancelled, Fate::NothingToUndo);
    draft.fate(scene.refunded, Fate::NothingToUndo);
    let id = approved(&scene.engine, &draft.plan).await;
    let view = carried(&scene.engine, id, &World::default()).await;
    assert_eq!(view.state, State::Failed);
    assert_eq!(view.affected[1].status, "compensation-failed");
}

#[tokio::test(start_paused = true)]
async fn a_removal_is_of_the_record_that_was_expected() {
    for changed in [false, true] {
        let scene = scene().await;
        let world = World::with(&[("refunds/1", json!({ "paid": false }))]);
        let mut draft = Draft::of(scene.root);
        draft.fate(scene.cancelled, Fate::NothingToUndo);
        draft.fate(scene.refunded, Fate::Undone);
        let resource: RecordRef = record("refunds/1");
        let remove: ToolCall = call(
            "delete",
            json!({ "uri": "refunds/1", "version": "{version}" }),
        );
        let delete = Act::Delete {
            resource,
            call: remove,
            expected: fields(&[("/paid", json!(false))]),
        };
        draft.step(&[], &[scene.refunded], delete);
        let id = approved(&scene.engine, &draft.plan).await;
        if changed {
            world.write("refunds/1", "paid", json!(true));
        }
        world.fail("delete", Fault::LostAfter);
        let view = carried(&scene.engine, id, &world).await;
        let (state, left) = if changed {
            (State::Failed, 1)
        } else {
            (State::Succeeded, 0)
        };
        assert_eq!(view.state, state);
        assert_eq!(world.state().len(), left);
    }
}
