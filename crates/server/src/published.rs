//! The published log, for verifiers that other people wrote.
//!
//! Only what the layout of C2SP tlog-tiles names is there, each under its one spelling; the store
//! refuses every other path, so none leads out of the log.

use axum::extract::State;
use axum::http::Uri;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use engine::EngineError;

use crate::App;
use crate::ask::Address;
use crate::problem::Problem;

pub(crate) async fn file(
    State(app): State<App>,
    uri: Uri,
    Address((realm, path)): Address<(String, String)>,
) -> Result<Response, Problem> {
    let absent = || {
        Problem::absent("the published log has no such file")
            .with_hint("`checkpoint` says how large the log is; see C2SP tlog-tiles")
    };
    // No file's name needs an escape, so an escaped one is another spelling, or a trick.
    if realm != app.realm.as_str() || uri.path().contains('%') {
        return Err(absent());
    }
    let bytes = app.engine.store().log_file(&path).await;
    let bytes = bytes.map_err(EngineError::Store)?.ok_or_else(absent)?;
    let (content, cache) = if path == "checkpoint" {
        ("text/plain; charset=utf-8", "no-cache")
    } else if path.contains(".p/") {
        // It is replaced by the full one.
        ("application/octet-stream", "no-cache")
    } else {
        ("application/octet-stream", "max-age=31536000, immutable")
    };
    Ok(([(CONTENT_TYPE, content), (CACHE_CONTROL, cache)], bytes).into_response())
}
