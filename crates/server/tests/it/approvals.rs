//! Verdicts on calls that wait, over the API.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use engine::access::{Access, Role, Token};
use engine::live::{Admitted, Call, Caller, Held, Mode, Options, Recorder, Told, What};
use model::{ClassSource, EffectClass, Environment, Media};
use serde_json::{Value, json};

use crate::world::{Answer, World, ask, local, request};

/// A recorder of the world's record, and a call in it that waits.
pub(crate) async fn waiting(world: &World) -> (Recorder, Held) {
    let options = Options {
        mode: Mode::Enforce,
        ..Options::default()
    };
    let recorder = Recorder::start(world.engine.clone(), None, options);
    let recorder = recorder.await.unwrap();
    let held = refund(&recorder).await;
    (recorder, held)
}

pub(crate) async fn refund(recorder: &Recorder) -> Held {
    let arguments = r#"{"order":"TH-48213"}"#;
    let call = Call {
        caller: Caller {
            agent: Some("ada".to_owned()),
            token: Some("build".to_owned()),
            run: Some("ticket-7".to_owned()),
            ..Caller::default()
        },
        what: What::ToolCall {
            server: "desk",
            tool: "refund",
            arguments,
            class: EffectClass::Irreversible,
            by: ClassSource::Nobody,
            call_id: None,
        },
        asked: (Media::Json, arguments),
        environment: Environment::default(),
        touches: None,
    };
    match recorder.admit(call).await.unwrap() {
        Admitted::Held(mut held) => {
            held.durable().await.unwrap();
            held
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn post(path: &str, token: Option<&str>, body: &Value) -> Request<Body> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    let (mut parts, _) = request("POST", path, &headers).into_parts();
    parts.method = "POST".parse().unwrap();
    Request::from_parts(parts, Body::from(body.to_string()))
}

fn code(answer: &Answer) -> (u16, String) {
    let code = answer.json()["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (answer.status.as_u16(), code)
}

#[tokio::test]
async fn c42_c49_a_verdict_over_the_api_reaches_the_call_that_waits() {
    let world = World::empty().await;
    let (recorder, mut held) = waiting(&world).await;
    let router = world.builder().recorder(recorder).build();
    let listed = ask(&router, crate::world::get("/api/v1/approvals"))
        .await
        .json();
    let one = &listed["approvals"][0];
    assert_eq!(one["decision"], held.decision().to_string());
    assert_eq!(
        (&one["agent"], &one["tool"]),
        (&json!("ada"), &json!("refund"))
    );
    assert_eq!(one["arguments"], r#"{"order":"TH-48213"}"#);
    assert_eq!(
        (&one["status"], &one["asker"]),
        (&json!("held"), &json!("build"))
    );
    let path = format!("/api/v1/approvals/{}/approve", held.decision());
    for (body, wrong) in [
        (json!({ "call": "7" }), (400, "bad-body")),
        (json!({ "cal": "7" }), (400, "bad-body")),
        (json!({}), (400, "bad-body")),
        (json!({ "call": "0".repeat(64) }), (409, "not-shown")),
    ] {
        let answer = ask(&router, post(&path, None, &body)).await;
        assert_eq!(code(&answer), (wrong.0, wrong.1.to_owned()), "{body}");
    }
    let body = json!({ "call": one["call"], "by": "grace", "reason": "she called" });
    let ruled = ask(&router, post(&path, None, &body)).await.json();
    assert_eq!(
        (&ruled["verdict"], &ruled["by"]),
        (&json!("approved"), &json!("grace"))
    );
    assert!(ruled["until"].is_string());
    assert_eq!(held.told().await, Told::Approved);
    let again = ask(&router, post(&path, None, &body)).await;
    assert_eq!(code(&again), (409, "not-held".to_owned()));
}

#[tokio::test]
async fn a_rejection_over_the_api_is_told_with_its_reason() {
    let world = World::empty().await;
    let (recorder, mut held) = waiting(&world).await;
    let router = world.builder().recorder(recorder).build();
    let path = format!("/api/v1/approvals/{}/reject", held.decision());
    let body = json!({ "call": held.call().to_string(), "reason": "twice the price" });
    let ruled = ask(&router, post(&path, None, &body)).await.json();
    assert_eq!(
        (&ruled["verdict"], &ruled["until"]),
        (&json!("rejected"), &Value::Null)
    );
    let told = Told::Rejected {
        by: "operator".to_owned(),
        reason: Some("twice the price".to_owned()),
    };
    assert_eq!(held.told().await, told);
}

#[tokio::test]
async fn only_operators_decide_and_never_about_their_own_calls() {
    let world = World::empty().await;
    let (recorder, held) = waiting(&world).await;
    let token = |name: &str, role| Token::of(&format!("token-of-{name}"), name, role);
    let access = Access::new(vec![
        token("build", Role::Operator),
        token("grace", Role::Operator),
        token("vera", Role::Viewer),
        token("ada-2", Role::Agent),
    ]);
    let builder = world.builder().access(local(access)).recorder(recorder);
    let router = builder.build();
    let path = format!("/api/v1/approvals/{}/approve", held.decision());
    // Whoever the body names, the token says who it is.
    let body = json!({ "call": held.call().to_string(), "by": "somebody else" });
    for (token, wrong) in [
        (None, (401, "no-token")),
        (Some("token-of-vera"), (403, "role")),
        (Some("token-of-ada-2"), (403, "role")),
        (Some("token-of-build"), (409, "own-call")),
    ] {
        let answer = ask(&router, post(&path, token, &body)).await;
        assert_eq!(code(&answer), (wrong.0, wrong.1.to_owned()), "{token:?}");
    }
    let ruled = ask(&router, post(&path, Some("token-of-grace"), &body)).await;
    assert_eq!(ruled.json()["by"], "grace");
}

#[tokio::test]
async fn a_server_that_carries_no_calls_records_the_verdict_for_one_that_does() {
    let world = World::empty().await;
    let (recorder, held) = waiting(&world).await;
    let (decision, call) = (held.decision(), held.call().to_string());
    held.leave();
    recorder.stop(Duration::from_secs(10)).await.unwrap();
    let path = format!("/api/v1/approvals/{decision}/approve");
    let ruled = ask(&world.router(), post(&path, None, &json!({ "call": call }))).await;
    assert_eq!(ruled.json()["verdict"], "approved");
    let listed = world.get("/api/v1/approvals").await;
    assert_eq!(listed["approvals"][0]["status"], "approved");
    assert_eq!(listed["approvals"][0]["approved_by"], "operator");
}
