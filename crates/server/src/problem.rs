//! Failures as clients read them: a status, and an object that says what to do.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use engine::access::Denied;
use engine::{Class, EngineError, chain};
use schemars::JsonSchema;
use serde::Serialize;

/// What went wrong.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ProblemView {
    /// What happened, in words.
    pub error: String,
    /// What a person can do, where there is something.
    pub hint: Option<String>,
    /// What happened, as a name that stays.
    pub code: &'static str,
}

/// A failure on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    view: ProblemView,
    /// A header that goes along, in lower case.
    header: Option<(&'static str, &'static str)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, error: impl Into<String>) -> Self {
        let header = match status {
            StatusCode::SERVICE_UNAVAILABLE => Some(("retry-after", "1")),
            StatusCode::UNAUTHORIZED => Some(("www-authenticate", "Bearer realm=\"rescind\"")),
            _ => None,
        };
        Self {
            status,
            view: ProblemView {
                error: error.into(),
                hint: None,
                code,
            },
            header,
        }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.view.hint = Some(hint.into());
        self
    }

    /// A request that makes no sense.
    pub(crate) fn bad(code: &'static str, error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, error)
    }

    /// A cursor that no page of this list gave.
    pub(crate) fn cursor() -> Self {
        Self::bad("bad-cursor", "this cursor is not one of this list")
            .with_hint("begin again without `cursor`")
    }

    /// Something that is not there.
    pub(crate) fn absent(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", error)
    }

    /// A method that a path does not have.
    pub(crate) fn method(allowed: &'static str) -> Self {
        let error = format!("this path takes {allowed}");
        let mut problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", error);
        problem.header = Some(("allow", allowed));
        problem
    }

    pub(crate) fn denied(denied: Denied) -> Self {
        let (status, code) = match denied {
            Denied::NoToken => (StatusCode::UNAUTHORIZED, "no-token"),
            Denied::Role { .. } => (StatusCode::FORBIDDEN, "role"),
            _ => (StatusCode::UNAUTHORIZED, "unknown-token"),
        };
        Self::new(status, code, denied.to_string()).with_hint(denied.hint())
    }

    pub(crate) const fn view(&self) -> &ProblemView {
        &self.view
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let (class, code) = error.class();
        let status = match class {
            Class::Request => StatusCode::BAD_REQUEST,
            Class::Absent => StatusCode::NOT_FOUND,
            Class::Conflict => StatusCode::CONFLICT,
            Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Class::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // Where the engine's hint names a command, the API has a path.
        let hint = match code {
            "not-found" => Some(
                "`/api/v1/runs` lists the runs, `/api/v1/runs/RUN/decisions` the decisions of one"
                    .to_owned(),
            ),
            "wrong-kind" => Some(
                "name a decision of a run as `RUN:N`; `/api/v1/runs/RUN/decisions` lists them"
                    .to_owned(),
            ),
            "not-sealed" => Some(
                "the log is sealed from time to time while the server runs; try again".to_owned(),
            ),
            _ => error.hint(),
        };
        let mut problem = Self::new(status, code, chain(&error));
        problem.view.hint = hint;
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.view)).into_response();
        if let Some((name, value)) = self.header {
            let (name, value) = (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
            response.headers_mut().insert(name, value);
        }
        response
    }
}
