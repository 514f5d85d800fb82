//! Who must be told what cannot be taken back, over a webhook.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::undo::plan::{Act, Affected, Fate, Incident, Plan, Step};
use engine::undo::view::{RollbackView, StepState};
use engine::undo::{Approve, CarryOptions};
use gateway::{Gateway, Notify, Options, Secret};
use http::StatusCode;
use model::{DecisionId, Strength};
use serde_json::Value;

use crate::support::{ANSWER, CHAT, Desk, options};
use crate::support_mcp::{Stub, content, json as answer};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Carries out a plan in which something stands, in front of a webhook that answers with these
/// statuses in turn, and with the last from then on.
async fn told(statuses: &'static [u16]) -> (Desk, Stub, RollbackView) {
    let asked = Arc::new(AtomicUsize::new(0));
    let hook = Stub::start(move |_| {
        let nth = asked.fetch_add(1, Ordering::SeqCst);
        let status = statuses[nth.min(statuses.len() - 1)];
        let reply = answer("{}").status(status);
        match StatusCode::from_u16(status).unwrap().is_redirection() {
            true => reply.with("location", "http://127.0.0.1:1/elsewhere"),
            false => reply,
        }
    })
    .await;
    let (desk, model) = Desk::open(vec![crate::support::json(ANSWER)]).await;
    let got = desk.send("/openai/v1/chat/completions", CHAT, &[]).await;
    let bad: DecisionId = got.header("x-rescind-decision").unwrap().parse().unwrap();
    let engine = desk.recorder.engine();
    engine.caught_up(Duration::from_secs(5)).await;
    let plan = Plan {
        incident: Incident {
            roots: vec![bad],
            reason: "misread".to_owned(),
        },
        affected: vec![Affected {
            decision: bad,
            ring: Strength::Certain,
            fate: Fate::Stands(vec!["customer".to_owned()]),
            steps: vec![1],
        }],
        steps: vec![Step {
            n: 1,
            after: Vec::new(),
            decisions: vec![bad],
            act: Act::Notify {
                who: vec!["customer".to_owned()],
                what: "cannot be taken back and stands: `send_mail`".to_owned(),
            },
        }],
        ..Plan::default()
    };
    let proposed = engine.propose_rollback(&plan).await.unwrap();
    let id: DecisionId = proposed.id.parse().unwrap();
    let approve = Approve {
        digest: proposed.digest.parse().unwrap(),
        by: "olga",
        waits: false,
    };
    engine.approve_rollback(id, approve).await.unwrap();
    let options = Options {
        notify: Some(Notify {
            endpoint: hook.endpoint("/hook/T0K3N"),
            secret: Secret::read(SECRET),
        }),
        ..options(&[&model])
    };
    let access = engine::access::Access::new(Vec::new());
    let gateway = Gateway::new(desk.recorder.clone(), access, options).unwrap();
    let carry = CarryOptions {
        pause_first: Duration::from_millis(1),
        ..CarryOptions::default()
    };
    let view = engine.carry_out(id, gateway.hands(), &carry).await.unwrap();
    (desk, hook, view)
}

#[tokio::test]
async fn c42_who_must_hear_of_what_stands_is_told_once_and_the_record_says_so() {
    let (desk, hook, view) = told(&[503, 204]).await;
    assert_eq!(view.state.name(), "succeeded", "{view:?}");
    assert_eq!(view.steps[0].state, StepState::Done);
    let seen = hook.seen();
    assert_eq!(seen.len(), 2, "it was not there at first");
    let (first, last) = (&seen[0], &seen[1]);
    assert_eq!(first.header("webhook-id"), last.header("webhook-id"));
    assert_eq!(last.header("webhook-id"), last.header("idempotency-key"));
    assert!(last.header("webhook-signature").unwrap().starts_with("v1,"));
    assert!(last.header("webhook-timestamp").is_some());
    let said: Value = serde_json::from_str(&last.body).unwrap();
    assert_eq!(said["type"], "rescind.stands");
    assert_eq!(said["data"]["who"][0], "customer");
    assert_eq!(said["data"]["run"], view.run);
    let engine = desk.recorder.engine();
    engine.caught_up(Duration::from_secs(5)).await;
    let run = view.run.parse().unwrap();
    let steps = engine
        .steps(run, engine::Page::first(100))
        .await
        .unwrap()
        .steps;
    let mut messages = Vec::new();
    for step in steps.iter().filter(|step| step.kind == "tool-call") {
        messages.push(engine.decision(step.id.parse().unwrap()).await.unwrap());
    }
    let outcomes: Vec<&str> = messages.iter().map(|m| &*m.outcome).collect();
    assert_eq!(outcomes, ["failed: unavailable", "succeeded"]);
    for message in &messages {
        let kept = serde_json::to_string(message).unwrap();
        assert!(!kept.contains("T0K3N") && !kept.contains("whsec"), "{kept}");
    }
    assert!(content(&messages[0], "asked").contains("customer"));
}

#[tokio::test]
async fn who_was_not_told_is_not_told_to_have_been() {
    const NOT_TOLD: [&[u16]; 3] = [&[302], &[404], &[500]];
    for statuses in NOT_TOLD {
        let (_desk, hook, view) = told(statuses).await;
        assert_eq!(view.state.name(), "failed", "{statuses:?}");
        assert_eq!(view.steps[0].state, StepState::Failed);
        assert_eq!(hook.seen().len(), 4, "within limits: {statuses:?}");
    }
}
