//! Short ways to say what went wrong, in the words of the seam.

use std::path::Path;

use ledger::StoreError;

pub(crate) fn unavailable(
    doing: impl Into<String>,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unavailable {
        doing: doing.into(),
        source: source.into(),
    }
}

pub(crate) fn damaged(path: &Path, at: String, first_bad: Option<u64>) -> StoreError {
    StoreError::Damaged {
        what: format!("`{}`", path.display()),
        at,
        first_bad,
    }
}

/// A copy for another waiter: errors of the system cannot be cloned, so their text is.
pub(crate) fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full { path } => StoreError::Full { path: path.clone() },
        StoreError::Poisoned { reason } => StoreError::Poisoned {
            reason: reason.clone(),
        },
        StoreError::RolledBack { have, signed } => StoreError::RolledBack {
            have: *have,
            signed: *signed,
        },
        StoreError::Rewritten { size } => StoreError::Rewritten { size: *size },
        StoreError::Damaged {
            what,
            at,
            first_bad,
        } => StoreError::Damaged {
            what: what.clone(),
            at: at.clone(),
            first_bad: *first_bad,
        },
        StoreError::Closed => StoreError::Closed,
        StoreError::Conflict {
            stream,
            expected,
            actual,
        } => StoreError::Conflict {
            stream: *stream,
            expected: *expected,
            actual: *actual,
        },
        StoreError::Payload { ct } => StoreError::Payload { ct: *ct },
        StoreError::Locked { path, holder } => StoreError::Locked {
            path: path.clone(),
            holder: holder.clone(),
        },
        StoreError::Newer { path, found, known } => StoreError::Newer {
            path: path.clone(),
            found: *found,
            known: *known,
        },
        StoreError::KeyExists { subject } => StoreError::KeyExists { subject: *subject },
        StoreError::Unavailable { doing, source } => StoreError::Unavailable {
            doing: doing.clone(),
            source: chain(&**source).into(),
        },
        other => StoreError::Unavailable {
            doing: "go on".to_owned(),
            source: chain(other).into(),
        },
    }
}

/// An error with all its sources, as text.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
