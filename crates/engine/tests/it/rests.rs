//! Calls that lead nowhere, and targets that are left alone.

use std::time::Duration;

use engine::live::{ApprovalOptions, BreakerOptions, GuardOptions, Mode, Options};
use model::{FailureClass, Outcome, Timestamp};

use crate::judged::{Asked, Desk, LOOK, NOW, SECOND, end, names};

#[tokio::test]
async fn c31_the_same_call_again_and_again_is_stopped_with_the_reason() {
    let desk = Desk::enforcing().await;
    for _ in 0..5 {
        end(desk.opened(LOOK).await, Outcome::Succeeded).await;
    }
    let refused = desk.refused(LOOK).await;
    assert!(
        refused.reason.contains("5 times in a row"),
        "{}",
        refused.reason
    );
    let view = desk.stands(refused.decision, "rejected").await;
    assert_eq!(names(&view), ["proposed", "rejected"]);
    assert_eq!(view.approvals[0].by, "rule: loop");
    let policy = view.policy.unwrap();
    assert_eq!((&*policy.id, &*policy.enforced), ("loop", "deny"));
    // Another process does not begin to count anew.
    let desk = desk.restarted().await;
    desk.refused(LOOK).await;
    let other = Asked {
        arguments: "{}",
        ..LOOK
    };
    end(desk.opened(other).await, Outcome::Succeeded).await;
    end(desk.opened(LOOK).await, Outcome::Succeeded).await;
}

#[tokio::test]
async fn c31_observing_marks_a_loop_and_lets_it_go_on() {
    let desk = Desk::with(Options::default()).await;
    for _ in 0..5 {
        end(desk.opened(LOOK).await, Outcome::Succeeded).await;
    }
    let open = desk.opened(LOOK).await;
    let policy = desk
        .stands(open.decision(), "unknown")
        .await
        .policy
        .unwrap();
    assert_eq!((&*policy.id, &*policy.verdict), ("loop", "deny"));
    assert_eq!(policy.enforced, "allow");
}

fn breaking() -> Options {
    let tools = BreakerOptions {
        failures_max: 2,
        open_for: Duration::from_secs(10),
        ..BreakerOptions::default()
    };
    Options {
        mode: Mode::Enforce,
        guard: GuardOptions {
            tools,
            loop_calls_max: 0,
            ..GuardOptions::default()
        },
        approvals: ApprovalOptions::default(),
        ..Options::default()
    }
}

const DOWN: Outcome = Outcome::Failed {
    class: FailureClass::Unavailable,
};

#[tokio::test]
async fn c22_c23_a_tool_that_fails_is_left_alone_and_probed() {
    let desk = Desk::with(breaking()).await;
    let tripped_by = desk.opened(LOOK).await;
    end(desk.opened(LOOK).await, DOWN).await;
    let cause = tripped_by.decision();
    end(tripped_by, DOWN).await;
    let refused = desk.refused(LOOK).await;
    assert!(
        refused.reason.contains("try again in 10 s"),
        "{}",
        refused.reason
    );
    assert_eq!(
        refused.retry_at,
        Some(Timestamp((NOW + 10 * SECOND) as i64))
    );
    desk.stands(refused.decision, "rejected").await;
    // Another tool of the same server is none of its business.
    end(
        desk.opened(Asked {
            tool: "get_user",
            ..LOOK
        })
        .await,
        Outcome::Succeeded,
    )
    .await;
    desk.at(10);
    let probe = desk.opened(LOOK).await;
    desk.refused(LOOK).await;
    end(probe, Outcome::Succeeded).await;
    end(desk.opened(LOOK).await, Outcome::Succeeded).await;
    let name = "tool:desk/get_order";
    let expected = ["deny", "degrade", "allow"].map(|verdict| format!("{name}: {verdict}"));
    assert_eq!(desk.verdicts().await, expected);
    let effects = desk
        .recorder
        .engine()
        .decision(cause)
        .await
        .unwrap()
        .effects;
    assert!(
        effects.iter().any(|edge| edge.kind == "result"),
        "the verdict names the call that tripped it"
    );
}

#[tokio::test]
async fn c24_a_probe_that_nobody_ends_frees_its_place() {
    let desk = Desk::with(breaking()).await;
    for _ in 0..2 {
        end(desk.opened(LOOK).await, DOWN).await;
    }
    desk.at(10);
    let probe = desk.opened(LOOK).await;
    desk.refused(LOOK).await;
    // However the task ends that carries it, also by a panic, its call is dropped with it.
    let carried = desk.recorder.tasks().spawn(async move {
        let _probe = probe;
        panic!("the task that carries the probe ends");
    });
    assert!(carried.await.is_err());
    let probe = desk.opened(LOOK).await;
    end(probe, Outcome::Cancelled).await;
    desk.opened(LOOK).await;
}

#[tokio::test]
async fn c25_a_call_from_before_the_trip_decides_nothing() {
    let desk = Desk::with(breaking()).await;
    let (late, later) = (desk.opened(LOOK).await, desk.opened(LOOK).await);
    for _ in 0..2 {
        end(
            desk.opened(Asked {
                agent: "bob",
                ..LOOK
            })
            .await,
            DOWN,
        )
        .await;
    }
    end(late, Outcome::Succeeded).await;
    desk.refused(LOOK).await;
    desk.at(10);
    let probe = desk.opened(LOOK).await;
    end(later, DOWN).await;
    end(probe, Outcome::Succeeded).await;
    desk.opened(LOOK).await;
}

#[tokio::test]
async fn c26_mistakes_of_callers_trip_nothing() {
    let desk = Desk::with(breaking()).await;
    for class in [
        FailureClass::Invalid,
        FailureClass::Error,
        FailureClass::Denied,
    ] {
        for _ in 0..3 {
            end(desk.opened(LOOK).await, Outcome::Failed { class }).await;
        }
    }
    desk.opened(LOOK).await;
    assert!(desk.verdicts().await.is_empty());
}

#[tokio::test]
async fn c32_a_tripped_breaker_survives_a_restart() {
    let desk = Desk::with(breaking()).await;
    for _ in 0..2 {
        end(desk.opened(LOOK).await, DOWN).await;
    }
    let desk = desk.restarted().await;
    let refused = desk.refused(LOOK).await;
    assert_eq!(
        refused.retry_at,
        Some(Timestamp((NOW + 10 * SECOND) as i64))
    );
    desk.at(10);
    let probe = desk.opened(LOOK).await;
    end(probe, DOWN).await;
    let desk = desk.restarted().await;
    let refused = desk.refused(LOOK).await;
    let longer = Timestamp((NOW + 30 * SECOND) as i64);
    assert_eq!(
        refused.retry_at,
        Some(longer),
        "twice as long, from second 10 on"
    );
    assert_eq!(desk.verdicts().await.len(), 3);
}

#[tokio::test]
async fn a_verdict_of_a_rule_names_the_policy_as_it_was() {
    let (strict, lax) = (Desk::with(breaking()).await, Desk::enforcing().await);
    let digest = async |desk: &Desk| {
        let open = desk.opened(LOOK).await;
        let policy = desk.stands(open.decision(), "unknown").await.policy;
        policy.unwrap().digest
    };
    assert_ne!(digest(&strict).await, digest(&lax).await);
}
