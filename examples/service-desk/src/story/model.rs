//! A model that plays its answers back, over the OpenAI chat wire.
//!
//! What it answers is the first line of the script that fits what it was sent. So it is a model in
//! what counts here: it sees the history of the request and nothing else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::script::{self, Answer};

/// A request as it reached the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The agent that its first message names.
    pub agent: String,
    /// The messages.
    pub messages: Vec<Value>,
}

/// The model, listening on a free port of this machine.
#[derive(Debug)]
pub struct Playback {
    listener: TcpListener,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Playback {
    /// Takes a port.
    ///
    /// # Errors
    ///
    /// There is none.
    pub async fn bind() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Self {
            listener,
            heard: Arc::default(),
        })
    }

    /// Returns where it listens.
    ///
    /// # Errors
    ///
    /// The socket is gone.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns a view of what it is sent, which stays when the model serves.
    pub fn heard(&self) -> impl Fn() -> Vec<Heard> + Send + Sync + 'static {
        let heard = Arc::clone(&self.heard);
        move || heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers until the future is dropped.
    ///
    /// # Errors
    ///
    /// The socket broke.
    pub async fn serve(self) -> std::io::Result<()> {
        let router = Router::new()
            .route("/v1/chat/completions", post(answer))
            .with_state(self.heard);
        axum::serve(self.listener, router).await
    }
}

async fn answer(
    State(all): State<Arc<Mutex<Vec<Heard>>>>,
    Json(request): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let messages = request["messages"].as_array().cloned().unwrap_or_default();
    let agent = script::agent_of(&messages).unwrap_or_default().to_owned();
    let line = script::next(&agent, &messages);
    let number = {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Heard { agent, messages });
        all.len()
    };
    let Some(line) = line else {
        let error = json!({"error": {
            "message": "the script has no line for this history",
            "type": "invalid_request_error",
        }});
        return (StatusCode::BAD_REQUEST, Json(error));
    };
    let (message, reason) = match line {
        Answer::Say(text) => (json!({"role": "assistant", "content": text}), "stop"),
        Answer::Call(calls) => {
            let calls: Vec<Value> = calls
                .iter()
                .enumerate()
                .map(|(at, (name, arguments))| {
                    json!({
                        "id": format!("call_{number}_{at}"),
                        "type": "function",
                        "function": {"name": name, "arguments": arguments},
                    })
                })
                .collect();
            let message = json!({"role": "assistant", "content": null, "tool_calls": calls});
            (message, "tool_calls")
        }
    };
    let body = json!({
        "id": format!("chatcmpl-playback-{number}"),
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "playback-1",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    });
    (StatusCode::OK, Json(body))
}
