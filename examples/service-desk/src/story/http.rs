//! A client of JSON over HTTP: a document out, a document back, and the headers that came with it.

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::agent::StoryError;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    /// The document, or `null` where there is none.
    pub(super) body: Value,
}

/// The client; copies share their connections.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Http {
    pub(super) fn new() -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Posts a document.
    pub(super) async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: &Value,
    ) -> Result<Answer, StoryError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| StoryError::Call {
            url: url.to_owned(),
            source,
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .header(AUTHORIZATION, "Bearer none");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|error| failed(error.into()))?;
        let answer = self.client.request(request).await;
        let (parts, body) = answer.map_err(|error| failed(error.into()))?.into_parts();
        let body = body.collect().await.map_err(|error| failed(error.into()))?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        if !parts.status.is_success() {
            return Err(StoryError::Refused {
                url: url.to_owned(),
                status: parts.status.as_u16(),
                said: text,
            });
        }
        let stream = parts
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let document = if stream { last_event(&text) } else { &text };
        let body = match parts.status {
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Value::Null,
            _ => serde_json::from_str(document).map_err(|error| failed(error.into()))?,
        };
        Ok(Answer {
            headers: parts.headers,
            body,
        })
    }
}

/// Returns the last event of a stream: the answer, after what was said on the way.
fn last_event(stream: &str) -> &str {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .next_back()
        .map_or("", str::trim)
}
