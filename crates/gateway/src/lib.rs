//! The sidecar: agents send their calls here, and they go on unchanged.
//!
//! ```text
//! agent ─► serve ─► route ─┬─► llm ─► intent ─► upstream ─► stream state ─► outcome ─► agent
//!                          ├─► mcp ─► …
//!                          └─► a2a ─► …
//! ```
//!
//! A route says which wire a call is on; the wire's front reads what it needs of the call, has the
//! [`Recorder`] write down the intent, passes the bytes on, watches the
//! answer and has the outcome written down. What carries a tool call is not let out before its
//! record is durable. Bytes that no rule changed go through as they came, in both directions.
//!
//! Each call is a task of the recorder's own task set, so that it ends truthfully when its caller
//! goes away. What the gateway does not do: judge (the engine does), store (the store does),
//! answer questions about the record (the server does).

mod a2a;
mod caller;
mod hands;
mod headers;
mod llm;
mod mcp;
mod notify;
mod parked;
mod passing;
mod reply;
mod retry;
mod route;
mod rpc;
mod serve;
mod stopped;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::access::{Access, Deed, is_cross_site};
use engine::live::Recorder;
use engine::undo::Catalogue;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use self::mcp::{McpServer, Program};
pub use self::notify::{Notify, Secret};
pub use self::reply::Body;
pub use self::serve::{Sockets, serve};
pub use self::upstream::{Endpoint, Pool, Upstream, UpstreamError, Wire, plain_client, root};

use self::retry::Budget;
use self::route::{BadPath, Front, Route};
use self::upstream::Client;

/// What a person may tune.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where calls go, by the name in the URL; of several, the first that works.
    pub upstreams: BTreeMap<String, Vec<Upstream>>,
    /// The MCP servers, by the name in the URL.
    pub mcp: BTreeMap<String, McpServer>,
    /// MCP servers that only we call, to read records and put them back: they are refused to agents.
    pub only_ours: BTreeSet<String>,
    /// The agents, by the name in the URL: the address of each, or that of its card.
    pub a2a: BTreeMap<String, Endpoint>,
    /// Where those are told who must hear of what cannot be taken back; none to tell nobody.
    pub notify: Option<Notify>,
    /// How much is taken at once.
    pub limits: Limits,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// How often is tried again.
    pub retry: Retry,
}

/// How much is taken at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest body of a request or of a plain answer, in bytes. Default: 64 MiB.
    pub body_bytes_max: usize,
    /// The longest line of a stream, in bytes. Default: 16 MiB.
    pub sse_line_bytes_max: usize,
    /// Calls at once. Default: 2,048.
    pub in_flight_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 << 20,
            sse_line_bytes_max: 16 << 20,
            in_flight_max: 2_048,
        }
    }
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection. Default: 5 s.
    pub connect: Duration,
    /// For the first content of an answer. Default: 5 min.
    pub first_token: Duration,
    /// Between two pieces of an answer. Default: 2 min.
    pub idle: Duration,
    /// For a call, all tries together. Default: 15 min.
    pub total: Duration,
    /// For an answer that comes all the same, after a call was cancelled for a rollback.
    /// Default: 2 s.
    pub cancelled: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(300),
            idle: Duration::from_secs(120),
            total: Duration::from_secs(900),
            cancelled: Duration::from_secs(2),
        }
    }
}

/// How often is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries for a call over all upstreams, the first included. Default: 3.
    pub attempts_max: u32,
    /// Wait before the second try. Default: 500 ms.
    pub initial_interval: Duration,
    /// The longest wait between tries. Default: 8 s.
    pub maximum_interval: Duration,
    /// Retries that calls earn, in percent of calls. Default: 20.
    pub budget_percent: u32,
    /// A longer `Retry-After` is not waited for but passed on. Default: 60 s.
    pub retry_after_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 3,
            initial_interval: Duration::from_millis(500),
            maximum_interval: Duration::from_secs(8),
            budget_percent: 20,
            retry_after_max: Duration::from_secs(60),
        }
    }
}

/// Takes calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    recorder: Recorder,
    access: Access,
    options: Options,
    client: Client,
    budget: Budget,
    in_flight: Arc<Semaphore>,
    mcp: mcp::Shared,
    a2a: a2a::Shared,
    /// Told when what only listens is to end.
    stop: CancellationToken,
}

impl Gateway {
    /// Makes a gateway.
    ///
    /// # Errors
    /// [`UpstreamError`] if the certificates that an upstream is to be trusted by cannot be read.
    pub fn new(
        recorder: Recorder,
        access: Access,
        options: Options,
    ) -> Result<Self, UpstreamError> {
        let upstreams = options.upstreams.values().flatten();
        let upstreams = upstreams.map(|upstream| (upstream.host(), upstream.ca.as_deref()));
        let endpoints = options.mcp.values().filter_map(McpServer::endpoint);
        let endpoints = endpoints.chain(options.a2a.values());
        let endpoints = endpoints.chain(options.notify.iter().map(|notify| &notify.endpoint));
        let endpoints = endpoints.map(|endpoint| (endpoint.host(), endpoint.ca.as_deref()));
        let client = Client::new(upstreams.chain(endpoints), options.timeouts.connect)?;
        let budget = Budget::new(options.retry.budget_percent);
        let in_flight = Arc::new(Semaphore::new(options.limits.in_flight_max));
        Ok(Self {
            inner: Arc::new(Inner {
                recorder,
                access,
                options,
                client,
                budget,
                in_flight,
                mcp: mcp::Shared::default(),
                a2a: a2a::Shared::default(),
                stop: CancellationToken::new(),
            }),
        })
    }

    /// Whether requests for this path are the gateway's.
    #[must_use]
    pub fn takes(&self, path: &str) -> bool {
        route::takes(path, &self.inner.options)
    }

    /// Answers a request.
    pub async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let ambiguous = headers::is_ambiguous(request.headers());
        let mut response = self.answer(request).await;
        if ambiguous {
            headers::last_on_connection(&mut response);
        }
        response
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let inner = Arc::clone(&self.inner);
        if let Err(refused) = inner.admit(request.headers(), request.uri().host()) {
            return *refused;
        }
        let route = match route::read(request.uri(), &inner.options) {
            Ok(route) => route,
            Err(wrong) => {
                // Clients that look for whom to sign in with go on only after this status.
                let (status, code) = match wrong {
                    BadPath::SignIn => (StatusCode::NOT_FOUND, "sign_in_not_carried"),
                    BadPath::NotForAgents => (StatusCode::FORBIDDEN, "not_for_agents"),
                    _ => (StatusCode::BAD_REQUEST, "bad_path"),
                };
                return reply::plain(status, code, &wrong.to_string());
            }
        };
        let Ok(place) = Arc::clone(&inner.in_flight).try_acquire_owned() else {
            metrics::counter!("rescind_calls_refused_total", "reason" => "in_flight").increment(1);
            return reply::error(
                route.words(),
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_calls",
                "too many calls are under way; `limits.in_flight_max` is how many may be",
                reply::Again::After(1),
            );
        };
        let Route { agent, front } = route;
        // Boxed: what is around them is moved several times before it begins.
        match front {
            Front::Llm(target) => Box::pin(llm::handle(inner, agent, target, request, place)).await,
            Front::Mcp(below) => Box::pin(mcp::handle(inner, agent, below, request, place)).await,
            Front::A2a(below) => Box::pin(a2a::handle(inner, agent, below, request, place)).await,
        }
    }

    /// Ends what only listens, so that a stop need not wait for it, and gives up waiting for calls
    /// that went on after their first answer: they read as unknown.
    pub fn stop(&self) {
        self.inner.stop.cancel();
        self.inner.a2a.stop();
        self.inner.mcp.stop();
    }
}

impl Inner {
    /// What is known about tools.
    fn catalogue(&self) -> Option<&Arc<Catalogue>> {
        self.recorder.catalogue()
    }

    /// Lets in who may call, and only under a name that means this machine.
    fn admit(
        &self,
        headers: &HeaderMap,
        authority: Option<&str>,
    ) -> Result<(), Box<Response<Body>>> {
        let no = |status, code, message: &str| Err(Box::new(reply::plain(status, code, message)));
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text("host").or(authority).unwrap_or_default();
        if !self.access.answers_to(host) {
            return no(
                StatusCode::MISDIRECTED_REQUEST,
                "unknown_host",
                "this address is not answered under that host name; add it to `allowed_hosts`",
            );
        }
        if is_cross_site(text("origin"), text("sec-fetch-site"), host) {
            return no(
                StatusCode::FORBIDDEN,
                "cross_site",
                "calls from pages of other sites are not taken",
            );
        }
        match self.access.admit(text(caller::TOKEN), Deed::Call) {
            Ok(_) => Ok(()),
            Err(denied) => no(
                StatusCode::UNAUTHORIZED,
                "token",
                &format!(
                    "{denied}: send a token with the role `agent` as `{}`",
                    caller::TOKEN
                ),
            ),
        }
    }
}
