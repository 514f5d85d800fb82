//! The agents at work, with nothing between them and their model and tools.

use std::future::Future;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use service_desk::Desk;
use service_desk::story::{AGENTS, Agent, Happened, Playback, TICKETS, What, work};
use tokio::net::TcpListener;

use crate::support::shop;

/// A story in play.
struct Play {
    agents: Vec<Agent>,
    desk: Arc<Mutex<Desk>>,
}

impl Play {
    /// Works a ticket, and returns what the agents said in the end of their turns.
    async fn work(&mut self, at: usize) -> Vec<String> {
        let mut said = Vec::new();
        let mut watch = |happened: Happened| match happened.what {
            What::Said(text) => said.push(text),
            What::Called { result, .. } => assert!(result.is_ok(), "{result:?}"),
            What::Asked(_) => {}
        };
        work(&mut self.agents, TICKETS[at], &mut watch)
            .await
            .unwrap();
        said
    }

    fn status(&self, order: &str) -> String {
        let body = self.desk.lock().unwrap().record("orders", order).unwrap();
        body.body.unwrap()["status"].as_str().unwrap().to_owned()
    }
}

/// Starts the model, the tools and the agents, and plays.
async fn play<F: Future<Output = ()>>(story: impl FnOnce(Play) -> F) {
    let playback = Playback::bind().await.unwrap();
    let models = format!("http://{}/v1", playback.address().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tools = format!("http://{}/mcp", listener.local_addr().unwrap());
    let desk = Arc::new(Mutex::new(shop()));
    let router = Router::new()
        .route("/mcp", post(mcp))
        .with_state(Arc::clone(&desk));
    let telling = async {
        let mut agents = Vec::new();
        for role in &AGENTS {
            agents.push(Agent::start(role, &models, &tools).await.unwrap());
        }
        story(Play { agents, desk }).await;
    };
    tokio::select! {
        () = telling => {}
        ended = playback.serve() => panic!("{ended:?}"),
        ended = axum::serve(listener, router) => panic!("{ended:?}"),
    }
}

/// As much of MCP over HTTP as the agents speak.
async fn mcp(State(desk): State<Arc<Mutex<Desk>>>, Json(asked): Json<Value>) -> Response {
    let mut desk = desk.lock().unwrap();
    let result = match asked["method"].as_str().unwrap() {
        "initialize" => json!({"protocolVersion": "2025-06-18", "capabilities": {}}),
        "tools/list" => {
            let tools = desk.tools(service_desk::Rights::default()).unwrap();
            let tools: Vec<Value> = tools.iter().map(|t| json!({"name": t.name})).collect();
            json!({"tools": tools})
        }
        "tools/call" => {
            let arguments = asked["params"]["arguments"].as_object().unwrap();
            let name = asked["params"]["name"].as_str().unwrap();
            let said = desk.call(name, arguments, false);
            let failed = said.is_err();
            let text = said.unwrap_or_else(|refusal| refusal);
            json!({"content": [{"type": "text", "text": text}], "isError": failed})
        }
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({"jsonrpc": "2.0", "id": asked["id"], "result": result})).into_response()
}

#[tokio::test]
async fn one_wrong_sentence_passes_through_three_agents() {
    play(async |mut play| {
        assert_eq!(play.work(0).await.len(), 3);
        assert_eq!(play.work(1).await.len(), 3);
        assert_eq!(play.work(2).await.len(), 2);
        assert_eq!(play.status("#W1002"), "cancelled");
        assert_eq!(play.status("#W1001"), "pending");
        let state = play.desk.lock().unwrap().state().unwrap();
        assert_eq!(state["messages"].len(), 2);
        assert_eq!(state["pickups"].len(), 2);
        let jonas = &state["users"]["jonas_weber_1177"];
        assert_eq!(jonas["address"]["city"], "Troy");
        assert_eq!(jonas["payment_methods"]["gift_card_7310"]["balance"], 140.5);
    })
    .await;
}

#[tokio::test]
async fn who_still_has_the_wrong_sentence_goes_on_in_its_sense() {
    play(async |mut play| {
        play.work(1).await;
        let said = play.work(3).await;
        assert_eq!(
            said,
            ["Ticket T-102 is settled: the order that the customer meant, #W1002, is cancelled."]
        );
        assert_eq!(play.status("#W1001"), "pending");
    })
    .await;
}

#[tokio::test]
async fn who_does_not_have_it_gets_it_right() {
    play(async |mut play| {
        assert_eq!(play.work(3).await.len(), 3);
        assert_eq!(play.status("#W1001"), "cancelled");
        assert_eq!(play.status("#W1002"), "pending");
    })
    .await;
}
