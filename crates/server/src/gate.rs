//! The gate in front of every route: which host was meant, from where, and who asks.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, HOST, HeaderName, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use engine::access::{Deed, bearer, is_cross_site};

use crate::App;
use crate::problem::Problem;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How long an answer waits for the index to hold what was recorded before it was asked for.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(1);

/// What the gate knows of the route behind it.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) app: App,
    /// What a caller must be allowed to do; none where everybody may ask.
    pub(crate) deed: Option<Deed>,
    /// The route, for counting.
    pub(crate) path: &'static str,
    /// Whether it takes options, and then refuses unknown ones itself.
    pub(crate) options: bool,
}

pub(crate) async fn gate(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let checked = gate.check(&method, request.uri(), request.headers());
    let mut response = match checked {
        Ok(()) => {
            // Who decides about something has just seen it.
            let asks = gate.deed == Some(Deed::Read) && method == Method::GET;
            if asks || gate.deed == Some(Deed::Operate) {
                gate.app.engine.caught_up(CAUGHT_UP_WITHIN).await;
            }
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    // Methods are whatever a client makes up; a label for each would grow without end.
    let method = match method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "other",
    };
    let status = response.status().as_u16().to_string();
    metrics::counter!(
        "rescind_http_requests_total",
        "route" => gate.path, "method" => method, "status" => status
    )
    .increment(1);
    response
}

impl Gate {
    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let access = &self.app.access;
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        if headers.get_all(HOST).iter().count() > 1 {
            return Err(Problem::bad("host", "there are several `Host` headers"));
        }
        // HTTP/2 and requests through a proxy name the host in the target; both must fit.
        let host = text(HOST).or(uri.authority().map(|authority| authority.as_str()));
        let named = uri.authority().map(|authority| authority.as_str());
        let host = host.unwrap_or_default();
        if !access.answers_to(host) || named.is_some_and(|named| !access.answers_to(named)) {
            return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "host",
            "this host name is not answered here",
        )
        .with_hint(
            "use `localhost` or `127.0.0.1`, or add the name to `allowed_hosts` in the configuration",
        ));
        }
        let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        if changes && is_cross_site(text(ORIGIN), text(FETCH_SITE), host) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "cross-site",
                "a page of another site may not ask this",
            ));
        }
        if let Some(deed) = self.deed {
            let token = text(AUTHORIZATION).and_then(bearer);
            access.admit(token, deed).map_err(Problem::denied)?;
        }
        let query = uri.query().unwrap_or_default();
        if !self.options && self.path.starts_with("/api/") && !query.is_empty() {
            return Err(Problem::bad("bad-option", "this path takes no options"));
        }
        Ok(())
    }
}
