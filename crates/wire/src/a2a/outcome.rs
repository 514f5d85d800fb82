//! What an error in place of a result says about a request.

use model::FailureClass;

use crate::jsonrpc::RpcError;

/// Returns the class of an error.
///
/// From -32001 to -32009: no such task, a task that cannot be cancelled, no push notifications,
/// an operation or a content type that the agent does not know, an invalid answer of the agent,
/// no extended card, an extension that the client must know, an unknown version. All but the
/// agent's own fault say that the request was refused.
#[must_use]
pub fn class_of(error: &RpcError<'_>) -> FailureClass {
    match error.code {
        -32001 => FailureClass::NotFound,
        -32006 => FailureClass::Server,
        -32009..=-32001 => FailureClass::Invalid,
        _ => error.class(),
    }
}
