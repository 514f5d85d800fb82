//! What an error in place of a result says about a request.

use model::{FailureClass, Outcome};

use crate::jsonrpc::RpcError;

/// Resource not found, up to 2025-11-25.
const RESOURCE_NOT_FOUND: i64 = -32002;
/// Headers that contradict the body (2026-07-28).
const HEADER_MISMATCH: i64 = -32020;
/// The client lacks something that the server needs (2026-07-28).
const MISSING_CAPABILITY: i64 = -32021;
/// A revision that the server does not speak (2026-07-28).
const UNSUPPORTED_VERSION: i64 = -32022;
/// A person must visit an address first (2025-11-25).
const URL_ELICITATION_REQUIRED: i64 = -32042;

/// Returns the class of an error. Codes from -32000 to -32019 are each implementation's own, and
/// are not interpreted, save the one that earlier revisions gave away.
#[must_use]
pub fn class_of(error: &RpcError<'_>) -> FailureClass {
    match error.code {
        RESOURCE_NOT_FOUND => FailureClass::NotFound,
        HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION => FailureClass::Invalid,
        URL_ELICITATION_REQUIRED => FailureClass::Denied,
        _ => error.class(),
    }
}

/// Returns how a request ended that was answered with an error.
#[must_use]
pub fn outcome_of(error: &RpcError<'_>) -> Outcome {
    Outcome::Failed {
        class: class_of(error),
    }
}
