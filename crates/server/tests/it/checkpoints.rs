//! States that agents save and go back to, over the API.

use axum::body::Body;
use axum::http::Request;
use engine::access::{Access, Role, Token};
use serde_json::{Value, json};

use crate::world::{World, ask, get, local, request};

fn send(method: &str, path: &str, body: &Value, token: Option<&str>) -> Request<Body> {
    let token = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(token.as_deref().map(|token| ("authorization", token)));
    let (parts, _) = request(method, path, &headers).into_parts();
    Request::from_parts(parts, Body::from(body.to_string()))
}

const PATH: &str = "/api/v1/runs/latest/checkpoints";

#[tokio::test]
async fn an_agent_saves_a_state_and_gets_it_back() {
    let world = World::with_a_run().await;
    let router = world.router();
    let state = json!({
        "agent": "desk", "state": { "order": "TH-48213", "tone": "warm" },
        "keep": ["/tone"], "external": { "thread": "t-1" }, "causes": ["latest:1"],
    });
    let saved = ask(&router, send("PUT", PATH, &state, None)).await;
    assert_eq!(saved.status, 200, "{}", saved.text);
    let saved = saved.json();
    assert_eq!(saved["state"]["order"], "TH-48213");
    // The record is durable, and everything that the agent decided is behind it.
    assert!(saved["causes"].as_array().unwrap().len() > 1);
    let list = ask(&router, get(PATH)).await.json();
    assert_eq!(list["checkpoints"][0]["id"], saved["id"]);
    assert_eq!(list["checkpoints"][0]["line"], true);
    assert_eq!(list["checkpoints"][0]["state"], Value::Null);
    let one = format!("{PATH}/{}", saved["id"].as_str().unwrap());
    assert_eq!(
        ask(&router, get(&one)).await.json()["state"],
        state["state"]
    );
    let back = send(
        "POST",
        "/api/v1/runs/latest/restore",
        &json!({ "agent": "desk" }),
        None,
    );
    let back = ask(&router, back).await.json();
    assert_eq!(back["state"], state["state"]);
    assert_eq!(back["checkpoint"], saved["id"]);
    assert_eq!(back["external"]["thread"], "t-1");
}

#[tokio::test]
async fn what_cannot_be_saved_or_restored_is_refused_by_name() {
    let world = World::with_a_run().await;
    let router = world.router();
    let cases = [
        (json!({ "agent": "desk" }), 400, "bad-body"),
        (json!({ "agent": "desk", "state": [] }), 400, "bad-body"),
        (
            json!({ "agent": "desk", "state": {}, "stat": 1 }),
            400,
            "bad-body",
        ),
        (
            json!({ "agent": "desk", "state": {}, "keep": ["x"] }),
            400,
            "bad-checkpoint",
        ),
        (
            json!({ "agent": "desk", "state": {}, "causes": ["latest:99"] }),
            404,
            "not-found",
        ),
    ];
    for (body, status, code) in cases {
        let answer = ask(&router, send("PUT", PATH, &body, None)).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text);
        assert_eq!(answer.json()["code"], code, "{body}");
    }
    let restore = "/api/v1/runs/latest/restore";
    let answer = ask(
        &router,
        send("POST", restore, &json!({ "agent": "desk" }), None),
    )
    .await;
    assert_eq!(answer.status, 404);
    let answer = ask(&router, request("DELETE", PATH, &[])).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), "GET, HEAD, PUT");
}

#[tokio::test]
async fn agents_save_and_viewers_look() {
    let world = World::with_a_run().await;
    let token = |text: &str, role: Role| Token::of(text, role.name(), role);
    let access = Access::new(vec![
        token("token-of-the-viewer", Role::Viewer),
        token("token-of-the-agent", Role::Agent),
    ]);
    let router = world.builder().access(local(access)).build();
    let state = json!({ "agent": "desk", "state": {} });
    let (viewer, agent) = (Some("token-of-the-viewer"), Some("token-of-the-agent"));
    let status = async |request| ask(&router, request).await.status.as_u16();
    assert_eq!(status(send("PUT", PATH, &state, viewer)).await, 403);
    assert_eq!(status(send("PUT", PATH, &state, agent)).await, 200);
    assert_eq!(status(send("GET", PATH, &json!({}), viewer)).await, 200);
    assert_eq!(status(send("GET", PATH, &json!({}), agent)).await, 403);
}
