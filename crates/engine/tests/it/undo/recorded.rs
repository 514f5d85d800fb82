//! Hands that write every call down before it goes out, as the gateway's do.

use std::sync::Arc;

use async_trait::async_trait;
use engine::live::{Call, Caller, Ended, Recorder, What};
use engine::undo::{Cause, Hands, HandsError};
use model::{ClassSource, EffectClass, Environment, FailureClass, Field, Media, Outcome};
use recover::plan::{HttpCall, ToolCall};
use serde_json::Value;

use super::world::World;

/// A world whose calls stand in the record.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) world: World,
    pub(crate) recorder: Recorder,
}

impl Recorded {
    pub(crate) fn over(world: World, recorder: Recorder) -> Arc<Self> {
        Arc::new(Self { world, recorder })
    }
}

fn not_sent(error: impl ToString) -> HandsError {
    HandsError::NotSent {
        reason: error.to_string(),
        passes: true,
    }
}

#[async_trait]
impl Hands for Recorded {
    async fn call(&self, call: &ToolCall, cause: &Cause) -> Result<Value, HandsError> {
        let class = match call.tool.as_str() {
            "read" => EffectClass::Read,
            _ => EffectClass::Compensable,
        };
        let text = call.arguments.to_string();
        let mut environment = Environment::default();
        let server = ("mcp.server".to_owned(), call.server.clone());
        environment.0.extend([server]);
        let begun = self.recorder.begin(Call {
            caller: Caller {
                agent: Some("rescind".to_owned()),
                run: Some(cause.run.to_string()),
                causes: vec![cause.step],
                ..Caller::default()
            },
            what: What::ToolCall {
                server: &call.server,
                tool: &call.tool,
                arguments: &text,
                class,
                by: ClassSource::Nobody,
                call_id: None,
            },
            asked: (Media::Json, &text),
            environment,
            touches: None,
        });
        let mut open = begun.await.map_err(not_sent)?;
        if class != EffectClass::Read {
            open.in_the_log().await.map_err(not_sent)?;
        }
        let answer = self.world.call(call, cause).await;
        let outcome = match &answer {
            Ok(_) => Outcome::Succeeded,
            Err(HandsError::NotSent { .. }) => Outcome::Failed {
                class: FailureClass::Unavailable,
            },
            Err(HandsError::Tool { .. }) => Outcome::Failed {
                class: FailureClass::Error,
            },
            Err(_) => Outcome::Unknown,
        };
        let said = answer
            .as_ref()
            .map_or_else(ToString::to_string, Value::to_string);
        let ended = Ended {
            kept: vec![(Field::Result, Media::Text, said)],
            ..Ended::with(outcome)
        };
        // Where it cannot be written down it reads as unknown; the answer is what it is.
        let _ = open.finish(ended).await;
        answer
    }

    async fn look(&self, call: &ToolCall) -> Result<Value, HandsError> {
        self.world.look(call).await
    }

    fn writes_ahead(&self) -> bool {
        true
    }

    async fn http(&self, call: &HttpCall, cause: &Cause) -> Result<Value, HandsError> {
        self.world.http(call, cause).await
    }

    async fn tell(
        &self,
        who: &[String],
        what: &str,
        to: &Cause,
    ) -> Result<Vec<String>, HandsError> {
        self.world.tell(who, what, to).await
    }
}
