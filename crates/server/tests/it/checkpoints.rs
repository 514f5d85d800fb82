//! States that agents save and go back to, over the API.

use axum::body::Body;
use axum::http::Request;
use engine::access::{Access, Role, Token};
use engine::live::{Options, Recorder};
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

async fn rescind(recorder: &Recorder, text: &str) {
    let id = recorder.engine().resolve_decision(text).await.unwrap();
    let told = recorder.rescind(&[id], None, "misread").await.unwrap();
    assert_eq!(told.rescinded, [id]);
}

#[tokio::test]
async fn c33_c35_after_a_rescission_the_state_awaits_its_agent_and_comes_back_whole() {
    let world = World::with_a_run().await;
    let recorder = Recorder::start(world.engine.clone(), None, Options::default());
    let recorder = recorder.await.unwrap();
    let router = world.builder().recorder(recorder.clone()).build();
    let put = async |state: Value, thread: &str| {
        let body = json!({
            "agent": "desk", "state": state, "keep": ["/learnt"],
            "external": { "thread": thread },
        });
        let saved = ask(&router, send("PUT", PATH, &body, None)).await;
        assert_eq!(saved.status, 200, "{}", saved.text);
        saved.json()
    };
    let restore = async || {
        let body = json!({ "agent": "desk" });
        let back = send("POST", "/api/v1/runs/latest/restore", &body, None);
        ask(&router, back).await.json()
    };
    let first = put(json!({ "order": "TH-48213", "learnt": 1 }), "t-1").await;
    assert_eq!(first["awaits"], Value::Null);
    let second = put(json!({ "order": "TH-99999", "learnt": 2 }), "t-2").await;
    rescind(&recorder, second["id"].as_str().unwrap()).await;
    // Whoever looks is told: in the list, at any of its states, and on saving another one.
    let list = ask(&router, get(PATH)).await.json();
    let awaits = &list["awaits"][0];
    assert_eq!(awaits["agent"], "desk");
    assert_eq!(awaits["checkpoint"], first["id"]);
    assert_eq!(
        awaits["ask"],
        format!(
            "POST /api/v1/runs/{}/restore",
            first["run"].as_str().unwrap()
        )
    );
    let one = format!("{PATH}/{}", second["id"].as_str().unwrap());
    assert_eq!(ask(&router, get(&one)).await.json()["awaits"], *awaits);
    let third = put(json!({ "order": "TH-99999", "learnt": 3 }), "t-3").await;
    assert_eq!(third["awaits"], *awaits);
    let back = restore().await;
    assert_eq!(back["checkpoint"], first["id"]);
    assert_eq!(
        back["state"],
        json!({ "order": "TH-48213", "learnt": 3 }),
        "as then, but what is kept"
    );
    assert_eq!(back["kept"], json!(["/learnt"]));
    assert_eq!(back["external"]["thread"], "t-1", "as then");
    let list = ask(&router, get(PATH)).await.json();
    assert_eq!(list["awaits"], json!([]), "it went back");
    // What is rescinded later has it go back further: here to nothing but what is kept.
    rescind(&recorder, first["id"].as_str().unwrap()).await;
    let list = ask(&router, get(PATH)).await.json();
    assert_eq!(list["awaits"][0]["checkpoint"], Value::Null);
    let back = restore().await;
    assert_eq!(back["state"], json!({ "learnt": 3 }));
    assert_eq!(back["external"], json!({}));
    assert_eq!(ask(&router, get(PATH)).await.json()["awaits"], json!([]));
}
