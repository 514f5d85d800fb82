//! How rollbacks reach the tools: over the servers that agents use, recorded like any call.
//!
//! Each call is a decision of the agent `rescind` in the run of the rollback, with the step as its
//! cause. Its intent is durable before it goes out, unless it only reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use ::http::{HeaderMap, Method, StatusCode, Uri};
use async_trait::async_trait;
use bytes::Bytes;
use engine::live::{Call, Caller, Ended, Open, What};
use engine::undo::catalogue::{KeyPlace, Problem};
use engine::undo::plan::{HttpCall, ToolCall};
use engine::undo::{Cause, HTTP, Hands, HandsError, Listing};
use http_body_util::{BodyExt as _, Limited};
use model::{
    ClassSource, DecisionId, EffectClass, Environment, FailureClass, Field, Media, Outcome,
};
use serde_json::{Value, json};

use crate::mcp::{Failed, value_of};
use crate::notify::{self, Notify};
use crate::upstream::{Endpoint, UpstreamError};
use crate::{Gateway, Inner, rpc};

/// Who makes the calls of rollbacks.
const AGENT: &str = "rescind";

/// What messages to the operator's webhook are recorded as being made to.
const NOTIFY: &str = "notify";

/// The header that carries the key of a step.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

#[derive(Debug)]
struct Reach {
    inner: Arc<Inner>,
}

impl Gateway {
    /// Returns hands that reach the MCP servers of this gateway.
    #[must_use]
    pub fn hands(&self) -> Arc<dyn Hands> {
        let inner = Arc::clone(&self.inner);
        Arc::new(Reach { inner })
    }

    /// Asks an MCP server for its tools, and returns what in the catalogue does not fit them.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub async fn misfits(&self, server: &str) -> Result<Vec<Problem>, HandsError> {
        let listed = Box::pin(self.inner.list_tools(server)).await;
        listed.map_err(Failed::into_error)?;
        Ok(self.inner.misfits(server))
    }
}

#[async_trait]
impl Hands for Reach {
    async fn call(&self, call: &ToolCall, cause: &Cause) -> Result<Value, HandsError> {
        let (server, tool) = (call.server.as_str(), call.tool.as_str());
        let mut arguments = call.arguments.clone();
        let mut meta = None;
        match self.key_place(call) {
            Some(KeyPlace::Argument(at)) => place(&mut arguments, at, &cause.key),
            Some(KeyPlace::Meta(name)) => meta = Some(json!({ name: cause.key })),
            None => {}
        }
        let class = self.inner.class(server, tool);
        let open = self.begin(server, tool, &arguments, class, cause).await?;
        let answer = self.inner.call_tool(server, tool, &arguments, meta).await;
        let kept = answer.as_ref().ok().map(Value::to_string);
        let value = answer.and_then(|result| value_of(&result));
        self.end(open, value, kept).await
    }

    async fn look(&self, call: &ToolCall) -> Result<Value, HandsError> {
        let (server, tool) = (&call.server, &call.tool);
        let answer = self
            .inner
            .call_tool(server, tool, &call.arguments, None)
            .await;
        answer
            .and_then(|result| value_of(&result))
            .map_err(Failed::into_error)
    }

    async fn forget(&self, decisions: &[DecisionId]) -> Result<(), HandsError> {
        // They are revoked in the record already; this tells those who look at histories.
        let told = self.inner.recorder.rescind(decisions, None, "").await;
        told.map(drop).map_err(|error| HandsError::NotSent {
            reason: error.to_string(),
            passes: true,
        })
    }

    fn listings(&self) -> BTreeMap<String, Listing> {
        self.inner.listings()
    }

    fn is_keyed(&self, call: &ToolCall) -> bool {
        self.key_place(call).is_some()
    }

    fn writes_ahead(&self) -> bool {
        true
    }

    async fn http(&self, call: &HttpCall, cause: &Cause) -> Result<Value, HandsError> {
        let asked = json!({ "url": call.url, "body": call.body });
        let class = (EffectClass::Unreviewed, ClassSource::Nobody);
        let open = self.begin(HTTP, &call.method, &asked, class, cause).await?;
        let answer = self.send(call, &cause.key).await;
        let kept = answer.as_ref().ok().map(Value::to_string);
        self.end(open, answer, kept).await
    }

    async fn tell(
        &self,
        who: &[String],
        what: &str,
        cause: &Cause,
    ) -> Result<Vec<String>, HandsError> {
        let Some(notify) = &self.inner.options.notify else {
            // Who must be told stands in the plan, and nobody was.
            return Ok(Vec::new());
        };
        let body = notify::body(who, what, &cause.run.to_string(), &cause.step.to_string());
        let class = (EffectClass::Irreversible, ClassSource::Nobody);
        let open = self.begin(NOTIFY, "POST", &body, class, cause).await?;
        let answer = self.post(notify, &body.to_string(), &cause.key).await;
        self.end(open, answer, None).await.map(|_| who.to_vec())
    }
}

impl Reach {
    fn key_place(&self, call: &ToolCall) -> Option<&KeyPlace> {
        let catalogue = self.inner.catalogue()?;
        catalogue.key(&call.server, &call.tool)
    }

    async fn begin(
        &self,
        server: &str,
        tool: &str,
        arguments: &Value,
        (class, by): (EffectClass, ClassSource),
        cause: &Cause,
    ) -> Result<Open, HandsError> {
        let unrecorded = |error: engine::live::RecordError| HandsError::NotSent {
            reason: error.to_string(),
            passes: true,
        };
        let text = arguments.to_string();
        let mut environment = Environment::default();
        let named = ("mcp.server".to_owned(), server.to_owned());
        environment.0.extend([named]);
        let begun = self.inner.recorder.begin(Call {
            caller: Caller {
                agent: Some(AGENT.to_owned()),
                run: Some(cause.run.to_string()),
                causes: vec![cause.step],
                ..Caller::default()
            },
            what: What::ToolCall {
                server,
                tool,
                arguments: &text,
                class,
                by,
                call_id: None,
            },
            asked: (Media::Json, &text),
            environment,
            touches: None,
        });
        // Boxed: the future is long, and few of its kind are under way.
        let mut open = Box::pin(begun).await.map_err(unrecorded)?;
        if class != EffectClass::Read
            && let Err(error) = open.in_the_log().await
        {
            let why = "it was not sent, because it cannot be recorded";
            let _ = open.finish(rpc::unanswered(Outcome::Cancelled, why)).await;
            return Err(unrecorded(error));
        }
        Ok(open)
    }

    /// Records how a call ended, and says what that means.
    async fn end(
        &self,
        open: Open,
        answer: Result<Value, Failed>,
        kept: Option<String>,
    ) -> Result<Value, HandsError> {
        let class = |class| Outcome::Failed { class };
        let outcome = match &answer {
            Ok(_) => Outcome::Succeeded,
            Err(Failed::NotSent { .. }) => class(FailureClass::Unavailable),
            Err(Failed::Refused(_)) => class(FailureClass::Error),
            Err(Failed::Unknown(_)) => Outcome::Unknown,
        };
        let answer = answer.map_err(Failed::into_error);
        let mut ended = Ended::with(outcome);
        let said = kept.map(|kept| (Field::Result, Media::Json, kept));
        let why = answer.as_ref().err().map(ToString::to_string);
        let why = why.map(|why| (Field::Result, Media::Text, why));
        ended.kept.extend(said.or(why));
        // Where it cannot be written down it reads as unknown; the step has its own outcome.
        let _ = open.finish(ended).await;
        answer
    }

    async fn send(&self, call: &HttpCall, key: &str) -> Result<Value, Failed> {
        let not_sent = |reason: String, passes| Failed::NotSent { reason, passes };
        let url: Uri = call.url.parse().map_err(|_| {
            let reason = format!("`{}` is no address", call.url);
            not_sent(reason, false)
        })?;
        let method = Method::from_bytes(call.method.as_bytes());
        let method = method.map_err(|error| not_sent(error.to_string(), false))?;
        let mut headers = HeaderMap::new();
        if let Ok(key) = HeaderValue::from_str(key) {
            headers.insert(KEY, key);
        }
        let body = call.body.as_ref().map(Value::to_string);
        if body.is_some() {
            let json = HeaderValue::from_static("application/json");
            headers.insert(CONTENT_TYPE, json);
        }
        let endpoint = Endpoint {
            url: url.clone(),
            ca: None,
            headers: Vec::new(),
        };
        let body = Bytes::from(body.unwrap_or_default());
        self.exchange(&endpoint, &method, url, &headers, body).await
    }

    /// Tells the operator's webhook.
    async fn post(&self, notify: &Notify, body: &str, key: &str) -> Result<Value, Failed> {
        let now = self.inner.recorder.engine().clock().wall();
        let seconds = i64::try_from(now / 1_000_000).unwrap_or(i64::MAX);
        let headers = notify.headers(key, seconds, body);
        let (endpoint, url) = (&notify.endpoint, notify.endpoint.url.clone());
        let body = Bytes::from(body.to_owned());
        let posted = self.exchange(endpoint, &Method::POST, url, &headers, body);
        // What it answers is nobody's business.
        posted.await.map(|_| Value::Null)
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        method: &Method,
        url: Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Value, Failed> {
        let not_sent = |reason: String| Failed::NotSent {
            reason,
            passes: true,
        };
        let sent = self.inner.client.call(endpoint, method, url, headers, body);
        let response = sent.await.map_err(|error| match error {
            UpstreamError::Unreachable { unsent: false, .. } => Failed::Unknown(error.to_string()),
            error => not_sent(error.to_string()),
        })?;
        let status = response.status();
        let max = self.inner.options.limits.body_bytes_max;
        let body = Limited::new(response.into_body(), max).collect().await;
        let body = body
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        match status {
            status if status.is_success() => {
                Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Err(not_sent(format!("the answer was {status}")))
            }
            status if status.is_server_error() => {
                Err(Failed::Unknown(format!("the answer was {status}")))
            }
            status => Err(Failed::Refused(format!("the answer was {status}"))),
        }
    }
}

impl Failed {
    /// The same, as those who carry plans out hear it.
    fn into_error(self) -> HandsError {
        match self {
            Self::NotSent { reason, passes } => HandsError::NotSent { reason, passes },
            Self::Refused(reason) => HandsError::Tool { reason },
            Self::Unknown(reason) => HandsError::Unknown { reason },
        }
    }
}

/// Puts a key into arguments, at a JSON Pointer of one name.
fn place(arguments: &mut Value, at: &str, key: &str) {
    if let (Some(name), Value::Object(members)) = (at.strip_prefix('/'), arguments) {
        members.insert(name.to_owned(), Value::String(key.to_owned()));
    }
}
