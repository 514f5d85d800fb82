//! Calls that are held before they begin, and what becomes of their approvals.

use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::live::{
    Admitted, Call, Caller, Heard, Options, RecordError, Target, Told, Touches, What,
};
use engine::{EngineError, Ruling};
use ledger::Batch;
use model::{ClassSource, DecisionId, EffectClass, Environment, Media, Outcome, Resource};

use crate::judged::{Asked, Desk, LOOK, ORDER, REFUND, call_of, end, names};

fn refund() -> Target {
    Target::tool("desk", "refund")
}

#[tokio::test]
async fn c42_what_cannot_be_taken_back_begins_only_after_an_approval() {
    let desk = Desk::enforcing().await;
    let mut held = desk.held(REFUND).await;
    let decision = held.decision();
    let view = desk.stands(decision, "held").await;
    assert_eq!(names(&view), ["proposed", "held"]);
    let policy = view.policy.unwrap();
    assert_eq!((&*policy.id, &*policy.verdict), ("irreversible", "hold"));
    assert_eq!(policy.enforced, "hold");
    desk.approve(decision).await.unwrap();
    assert_eq!(held.told().await, Told::Approved);
    let mut open = held.go_through(&refund()).unwrap().begin(None).unwrap();
    open.durable().await.unwrap();
    assert_eq!(open.decision(), decision);
    end(open, Outcome::Succeeded).await;
    let view = desk.stands(decision, "succeeded").await;
    let all = ["proposed", "held", "approved", "started", "finished"];
    assert_eq!(names(&view), all);
    assert_eq!(view.approvals[0].by, "grace");
    assert!(desk.listed().await.is_empty());
    // The next refund needs an approval of its own.
    desk.waits(REFUND).await;
}

#[tokio::test]
async fn c42_only_the_exact_call_finds_its_approval() {
    let desk = Desk::enforcing().await;
    let decision = desk.waits(REFUND).await;
    desk.approve(decision).await.unwrap();
    for other in [
        Asked {
            arguments: r#"{"order":"W4482130"}"#,
            ..REFUND
        },
        Asked {
            tool: "refund_all",
            ..REFUND
        },
        Asked {
            agent: "bob",
            ..REFUND
        },
        Asked {
            run: "ticket-8",
            ..REFUND
        },
    ] {
        assert_ne!(desk.waits(other).await, decision);
    }
    let spaced = Asked {
        arguments: r#"{ "order" : "W4482139" }"#,
        ..REFUND
    };
    assert_eq!(desk.opened(spaced).await.decision(), decision);
}

#[tokio::test]
async fn c42_of_two_equal_calls_one_gets_the_approval() {
    let desk = Desk::enforcing().await;
    let decision = desk.waits(REFUND).await;
    desk.approve(decision).await.unwrap();
    let (one, other) = tokio::join!(desk.ask(REFUND), desk.ask(REFUND));
    let begun = [&one, &other]
        .into_iter()
        .filter_map(|admitted| match admitted {
            Admitted::Open(open) => Some(open.decision()),
            Admitted::Held(_) | Admitted::Refused(_) | Admitted::Replayed(_) => None,
        });
    assert_eq!(begun.collect::<Vec<_>>(), [decision]);
}

#[tokio::test]
async fn c42_calls_that_wait_side_by_side_are_approved_one_by_one() {
    let desk = Desk::enforcing().await;
    let mut one = desk.held(REFUND).await;
    let mut other = desk.held(REFUND).await;
    assert_ne!(one.decision(), other.decision());
    desk.approve(other.decision()).await.unwrap();
    assert_eq!(other.told().await, Told::Approved);
    let still = tokio::time::timeout(Duration::from_millis(1), one.told()).await;
    assert!(still.is_err(), "nobody approved this one");
}

#[tokio::test]
async fn a_call_that_comes_again_takes_up_its_wait() {
    let desk = Desk::enforcing().await;
    let decision = desk.waits(REFUND).await;
    let mut held = desk.held(REFUND).await;
    assert_eq!(held.decision(), decision);
    assert_eq!(desk.listed().await, ["held"]);
    desk.approve(decision).await.unwrap();
    assert_eq!(held.told().await, Told::Approved);
}

#[tokio::test]
async fn a_rejection_reaches_the_call_with_its_reason() {
    let desk = Desk::enforcing().await;
    let mut held = desk.held(REFUND).await;
    let shown = held.call();
    let ruled = desk.rule(held.decision(), |ruling| {
        ruling.approve = false;
        ruling.shown = shown;
        ruling.reason = Some("twice the price".to_owned());
    });
    ruled.await.unwrap();
    let told = Told::Rejected {
        by: "grace".to_owned(),
        reason: Some("twice the price".to_owned()),
    };
    assert_eq!(held.told().await, told);
    let view = desk.stands(held.decision(), "rejected").await;
    let comment = view
        .contents
        .iter()
        .find(|content| content.field == "comment");
    assert_eq!(comment.unwrap().text.as_deref(), Some("twice the price"));
    let again = desk.approve(held.decision()).await.unwrap_err();
    assert!(matches!(again, EngineError::NotHeld { .. }), "{again}");
}

#[tokio::test]
async fn who_approves_and_goes_away_meanwhile_has_approved() {
    let desk = Desk::enforcing().await;
    let mut held = desk.held(REFUND).await;
    let shown = held.call();
    held.durable().await.unwrap();
    let mut ruling = Box::pin(desk.rule(held.decision(), |ruling| ruling.shown = shown));
    // The request has come, and its connection closes before the verdict is durable.
    assert!(futures_util::poll!(&mut ruling).is_pending());
    drop(ruling);
    assert_eq!(held.told().await, Told::Approved);
}

#[tokio::test]
async fn who_approves_must_have_seen_the_call_and_not_have_asked_for_it() {
    let desk = Desk::enforcing().await;
    let own = Asked {
        token: Some("build"),
        ..REFUND
    };
    let decision = desk.waits(own).await;
    let unseen = desk.rule(decision, |_| {}).await.unwrap_err();
    assert!(matches!(unseen, EngineError::Shown { .. }), "{unseen}");
    let shown = desk.shown(decision).await;
    for name in ["build", "ada"] {
        let mine = desk.rule(decision, |ruling| {
            ruling.by = name.to_owned();
            ruling.shown = shown;
        });
        let mine = mine.await.unwrap_err();
        assert!(matches!(mine, EngineError::OwnCall { .. }), "{mine}");
    }
    desk.approve(decision).await.unwrap();
}

#[tokio::test]
async fn c49_what_nobody_decides_in_time_is_denied() {
    let desk = Desk::enforcing().await;
    let mut held = desk.held(REFUND).await;
    desk.at(3_600);
    let late = desk.approve(held.decision()).await.unwrap_err();
    assert!(
        matches!(
            late,
            EngineError::Overdue { .. } | EngineError::NotHeld { .. }
        ),
        "{late}"
    );
    let Told::Rejected { by, .. } = held.told().await else {
        panic!("it was not rejected");
    };
    assert_eq!(by, "rule: overdue");
    let view = desk.stands(held.decision(), "rejected").await;
    assert_eq!(names(&view), ["proposed", "held", "rejected"]);
    assert!(desk.listed().await.is_empty());
}

#[tokio::test]
async fn c42_an_approval_that_is_not_used_in_time_is_over() {
    let desk = Desk::enforcing().await;
    let decision = desk.waits(REFUND).await;
    desk.at(3_000);
    desk.approve(decision).await.unwrap();
    desk.at(6_000);
    assert_eq!(desk.listed().await, ["approved"]);
    desk.at(6_600);
    assert_ne!(desk.waits(REFUND).await, decision);
    desk.stands(decision, "cancelled").await;
}

#[tokio::test]
async fn who_goes_away_cancels_and_takes_no_approval_along() {
    let desk = Desk::enforcing().await;
    let held = desk.held(REFUND).await;
    let decision = held.decision();
    drop(held);
    desk.stands(decision, "cancelled").await;
    assert!(desk.listed().await.is_empty());
    // It was approved in the moment in which its caller went away.
    let held = desk.held(REFUND).await;
    let decision = held.decision();
    desk.approve(decision).await.unwrap();
    drop(held);
    let after = desk.ask(REFUND).await;
    assert!(matches!(after, Admitted::Held(_)), "{after:?}");
    desk.stands(decision, "cancelled").await;
}

#[tokio::test]
async fn c42_what_waits_and_what_is_approved_is_found_again_after_a_restart() {
    let desk = Desk::enforcing().await;
    let approved = desk.waits(REFUND).await;
    desk.approve(approved).await.unwrap();
    let other = Asked {
        tool: "close_account",
        ..REFUND
    };
    let waiting = desk.held(other).await;
    let pending = waiting.decision();
    let desk = desk.restarted().await;
    drop(waiting);
    assert_eq!(desk.listed().await, ["approved", "held"]);
    assert_eq!(desk.waits(other).await, pending);
    let open = desk.opened(REFUND).await;
    assert_eq!(open.decision(), approved);
    end(open, Outcome::Succeeded).await;
    // What was used up stays used up, also for the next process.
    let desk = desk.restarted().await;
    assert_ne!(desk.waits(REFUND).await, approved);
    desk.approve(pending).await.unwrap();
    assert_eq!(desk.opened(other).await.decision(), pending);
}

#[tokio::test]
async fn c42_an_approval_whose_call_could_not_be_recorded_is_good_for_the_next() {
    let desk = Desk::enforcing().await;
    let decision = desk.waits(REFUND).await;
    desk.approve(decision).await.unwrap();
    desk.full.0.store(true, Ordering::SeqCst);
    let what = desk.recorder.admit(call_of(REFUND)).await;
    assert!(what.is_err(), "{what:?}");
    // So is one that reached a call which then could not begin.
    desk.full.0.store(false, Ordering::SeqCst);
    let other = Asked {
        tool: "close_account",
        ..REFUND
    };
    let mut held = desk.held(other).await;
    let waited = held.decision();
    desk.approve(waited).await.unwrap();
    assert_eq!(held.told().await, Told::Approved);
    desk.full.0.store(true, Ordering::SeqCst);
    let through = held.go_through(&refund()).unwrap();
    assert!(through.begin(None).is_err());
    desk.full.0.store(false, Ordering::SeqCst);
    assert_eq!(desk.opened(REFUND).await.decision(), decision);
    assert_eq!(desk.opened(other).await.decision(), waited);
}

#[tokio::test]
async fn c42_an_approval_given_to_the_files_is_found_at_the_next_start() {
    let desk = Desk::enforcing().await;
    let decision = desk.waits(REFUND).await;
    let shown = desk.shown(decision).await;
    desk.recorder.stop(Duration::from_secs(10)).await.unwrap();
    let ruling = Ruling {
        approve: true,
        by: "grace".to_owned(),
        known: false,
        reason: Some("the customer asked twice".to_owned()),
        shown,
    };
    let engine = desk.recorder.engine();
    engine.rule_on_files(decision, ruling).await.unwrap();
    let desk = Desk::over(desk.store, desk.clock, desk.options).await;
    assert_eq!(desk.opened(REFUND).await.decision(), decision);
}

#[tokio::test]
async fn c42_an_approval_does_not_outlive_what_it_stood_on() {
    let desk = Desk::enforcing().await;
    let cause = desk.opened(LOOK).await;
    let (revoked, run) = (cause.decision(), cause.run());
    end(cause, Outcome::Succeeded).await;
    let what = What::ToolCall {
        server: "desk",
        tool: "refund",
        arguments: ORDER,
        class: EffectClass::Irreversible,
        by: ClassSource::Nobody,
        call_id: None,
    };
    let call = Call {
        caller: Caller {
            agent: Some("ada".to_owned()),
            run: Some(run.to_string()),
            causes: vec![revoked],
            ..Caller::default()
        },
        what,
        asked: (Media::Json, ORDER),
        environment: Environment::default(),
        touches: None,
    };
    let Admitted::Held(mut held) = desk.recorder.admit(call).await.unwrap() else {
        panic!("it was not held");
    };
    held.durable().await.unwrap();
    let decision = held.decision();
    held.leave();
    desk.approve(decision).await.unwrap();
    invalidate(&desk, revoked).await;
    assert_ne!(desk.waits(REFUND).await, decision);
    desk.stands(decision, "cancelled").await;
}

/// Appends that a decision is revoked.
async fn invalidate(desk: &Desk, decision: DecisionId) {
    let engine = desk.recorder.engine();
    engine.caught_up(Duration::from_secs(1)).await;
    let at = engine.next_time();
    let event = model::Event {
        at,
        body: model::Body::Invalidated {
            decision,
            incident: None,
            reason: "it was wrong".to_owned(),
        },
        id: model::EventId::new(at.millis(), [42; 10]),
        prev: desk.store.head(*decision.as_bytes()).await.unwrap(),
        v: 1,
    };
    let leaves = vec![ledger::Leaf::encode(&event).unwrap()];
    let batch = Batch {
        leaves,
        payloads: Vec::new(),
    };
    let appended = desk.store.append(batch).await.unwrap();
    desk.store.wait_indexed(appended.seqs[0] + 1).await.unwrap();
}

#[tokio::test]
async fn what_a_call_touches_is_read_anew_when_it_begins() {
    let desk = Desk::enforcing().await;
    let record = "orders/W4482139".to_owned();
    let as_of = |version: &str| Touches {
        writes: vec![Resource {
            uri: record.clone(),
            version: Some(version.to_owned()),
        }],
        before: [(
            record.clone(),
            Some(serde_json::json!({ "version": version })),
        )]
        .into(),
        ..Touches::default()
    };
    let call = |version| Call {
        touches: Some(as_of(version)),
        ..call_of(REFUND)
    };
    let Admitted::Held(mut held) = desk.recorder.admit(call("1")).await.unwrap() else {
        panic!("it was not held");
    };
    held.durable().await.unwrap();
    let decision = held.decision();
    held.leave();
    desk.approve(decision).await.unwrap();
    let Admitted::Open(open) = desk.recorder.admit(call("2")).await.unwrap() else {
        panic!("it did not begin");
    };
    assert!(open.touches().is_some());
    end(open, Outcome::Succeeded).await;
    let view = desk.stands(decision, "succeeded").await;
    let images = view.contents.iter().filter(|one| one.field == "before");
    let images: Vec<&str> = images.filter_map(|one| one.text.as_deref()).collect();
    assert_eq!(images.len(), 2);
    assert!(images[1].contains(r#""version":"2""#), "{images:?}");
    assert_eq!(view.writes, ["orders/W4482139@2"]);
}

#[tokio::test]
async fn c42_a_run_that_goes_on_from_elsewhere_takes_no_approval_along() {
    let desk = Desk::enforcing().await;
    let held = desk.held(REFUND).await;
    let (run, waiting) = (held.run(), held.decision());
    let approved = desk
        .waits(Asked {
            tool: "close_account",
            ..REFUND
        })
        .await;
    desk.approve(approved).await.unwrap();
    let elsewhere = desk
        .waits(Asked {
            run: "ticket-8",
            ..REFUND
        })
        .await;
    assert_eq!(
        desk.recorder
            .void_approvals(run, None, "the run was restored"),
        2
    );
    let mut held = held;
    assert!(matches!(held.told().await, Told::Void { .. }));
    for decision in [waiting, approved] {
        desk.stands(decision, "cancelled").await;
    }
    desk.stands(elsewhere, "held").await;
}

#[tokio::test]
async fn observing_holds_nothing_and_marks_everything() {
    let desk = Desk::with(Options::default()).await;
    let unreviewed = Asked {
        class: EffectClass::Unreviewed,
        ..REFUND
    };
    for (call, rule) in [(REFUND, "irreversible"), (unreviewed, "unreviewed")] {
        let open = desk.opened(call).await;
        let decision = open.decision();
        end(open, Outcome::Succeeded).await;
        let policy = desk.stands(decision, "succeeded").await.policy.unwrap();
        assert_eq!((&*policy.id, &*policy.verdict), (rule, "hold"));
        assert_eq!(policy.enforced, "allow");
    }
    let open = desk.opened(LOOK).await;
    let policy = desk
        .stands(open.decision(), "unknown")
        .await
        .policy
        .unwrap();
    assert_eq!((&*policy.id, &*policy.verdict), ("observe", "allow"));
}

#[tokio::test]
async fn c22_a_call_that_waited_goes_through_the_breaker_of_its_tool() {
    let desk = Desk::enforcing().await;
    let trip = || {
        while let Ok(pass) = desk.recorder.pass(&refund(), None) {
            pass.ended(Heard::Failed, None);
        }
    };
    let mut held = desk.held(REFUND).await;
    let decision = held.decision();
    desk.approve(decision).await.unwrap();
    assert_eq!(held.told().await, Told::Approved);
    trip();
    let refused = held.go_through(&refund()).unwrap_err();
    assert!(matches!(refused, RecordError::Resting { .. }), "{refused}");
    // The approval is not used up, and the call that uses it is the probe.
    desk.at(600);
    let open = desk.opened(REFUND).await;
    assert_eq!(open.decision(), decision);
    end(open, Outcome::Succeeded).await;
    assert!(desk.recorder.rests(&refund()).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c42_a_verdict_that_comes_as_soon_as_a_call_is_in_the_record_reaches_it() {
    let desk = std::sync::Arc::new(Desk::enforcing().await);
    let approving = std::sync::Arc::clone(&desk);
    // Somebody who looks all the time, and approves what he sees.
    let approver = desk.recorder.tasks().spawn(async move {
        let mut approved = 0;
        while approved < 50 {
            let engine = approving.recorder.engine();
            for one in engine.approvals().await.unwrap().approvals {
                if one.status == "held" {
                    let decision = one.decision.parse().unwrap();
                    approving.approve(decision).await.unwrap();
                    approved += 1;
                }
            }
            tokio::task::yield_now().await;
        }
    });
    for nth in 0..50 {
        let arguments = format!(r#"{{"order":"W{nth}"}}"#);
        let arguments = &*arguments;
        let mut held = desk
            .held(Asked {
                arguments,
                ..REFUND
            })
            .await;
        let told = tokio::time::timeout(Duration::from_secs(30), held.told()).await;
        assert_eq!(told, Ok(Told::Approved), "call {nth}");
        held.leave();
    }
    approver.await.unwrap();
}
