//! Hands: how a rollback reaches the tools.
//!
//! The engine decides what is called and what an answer means; whoever implements [`Hands`] carries
//! the bytes. What counts is what an error says of the world: certainly nothing was done
//! ([`NotSent`](HandsError::NotSent)), the tool says that it did nothing
//! ([`Tool`](HandsError::Tool)), or nobody knows ([`Unknown`](HandsError::Unknown)).

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use model::{DecisionId, RunId};
use recover::catalogue::Problem;
use recover::plan::{HttpCall, ToolCall};
use serde_json::Value;

/// What calls over HTTP are recorded as being made to.
pub const HTTP: &str = "http";

/// Calls tools on behalf of a rollback.
///
/// What callers may rely on: a call that returns an error other than
/// [`HandsError::Unknown`] changed nothing, as far as the tool tells the truth; every call ends
/// within a limit. What implementers owe: each call is recorded like any other, in the run and
/// with the cause that they are given.
#[async_trait]
pub trait Hands: Send + Sync + fmt::Debug {
    /// Calls a tool. Its arguments are filled in already.
    ///
    /// # Errors
    /// [`HandsError`] says what is known of the effect.
    async fn call(&self, call: &ToolCall, cause: &Cause) -> Result<Value, HandsError>;

    /// Calls a tool that reads, for a plan: there is no rollback yet, and nothing is recorded.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    async fn look(&self, call: &ToolCall) -> Result<Value, HandsError>;

    /// Makes agents forget decisions that are revoked: from now on no history that is sent on cites
    /// them as valid. Telling again of the same is safe.
    ///
    /// # Errors
    /// [`HandsError`] if what they left cannot be found now.
    async fn forget(&self, decisions: &[DecisionId]) -> Result<(), HandsError> {
        let _ = decisions;
        Ok(())
    }

    /// Returns what servers list of their tools, as far as they were asked.
    fn listings(&self) -> BTreeMap<String, Listing> {
        BTreeMap::new()
    }

    /// Whether calls of a tool carry the key of their step although their arguments do not name it:
    /// then one that is sent again is not carried out again.
    fn is_keyed(&self, call: &ToolCall) -> bool {
        let _ = call;
        false
    }

    /// Whether every call is durably in the log before it goes out, unless its tool only reads: as
    /// a call of that tool, with the server in its environment as `mcp.server`, and the step as its
    /// cause; cancelled if it did not go out. Then a call that does not stand there was not made.
    fn writes_ahead(&self) -> bool {
        false
    }

    /// Calls something over HTTP, with the key of the step as its `Idempotency-Key`.
    ///
    /// # Errors
    /// [`HandsError`] says what is known of the effect.
    async fn http(&self, call: &HttpCall, cause: &Cause) -> Result<Value, HandsError>;

    /// Tells people or systems what stands, and returns those who were told: none where there is
    /// no way to tell anybody, which is no error.
    ///
    /// # Errors
    /// [`HandsError`] if somebody could have been told and was not.
    async fn tell(
        &self,
        who: &[String],
        what: &str,
        cause: &Cause,
    ) -> Result<Vec<String>, HandsError>;
}

/// What a server lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Its tools, each as the server describes it.
    pub tools: Vec<String>,
    /// What in the catalogue does not fit them.
    pub problems: Vec<Problem>,
}

/// What a call is made for.
#[derive(Clone, Debug)]
pub struct Cause {
    /// The run of the rollback, in which the call is recorded.
    pub run: RunId,
    /// The step of the rollback: the cause of the call.
    pub step: DecisionId,
    /// The idempotency key of the step: the same however often it is tried.
    pub key: String,
}

/// Why a call has no answer that can be used, and what that says of its effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandsError {
    /// The call did not reach the tool: nothing was done.
    #[error("the call was not made: {reason}")]
    NotSent {
        /// Why not.
        reason: String,
        /// Whether another try may get through.
        passes: bool,
    },
    /// The tool answered with an error.
    #[error("the tool refused: {reason}")]
    Tool {
        /// What it said.
        reason: String,
    },
    /// The call went out and no answer came: it may have been carried out.
    #[error("whether the call was carried out is not known: {reason}")]
    Unknown {
        /// What happened.
        reason: String,
    },
}
