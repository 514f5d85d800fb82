//! A gateway between a caller and a server that answers as it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use engine::access::Access;
use engine::live::{self, Recorder};
use engine::undo::Catalogue;
use engine::view::DecisionView;
use engine::{Engine, Journal, ManualClock, Page, SeededEntropy, Store};
use futures_util::StreamExt as _;
use gateway::{Body, Endpoint, Gateway, Limits, McpServer, Options, Retry, Sockets, Timeouts};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use store::MemoryStore;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

static SEED: AtomicU64 = AtomicU64::new(7);

pub(crate) const SOCKETS: Sockets = Sockets {
    connections_max: 64,
    header_bytes_max: 64 << 10,
};

/// What a server was asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What a server answers.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) pieces: Vec<Piece>,
}

/// A part of an answer.
#[derive(Clone)]
pub(crate) enum Piece {
    Text(String),
    /// Tells that it is here, and goes on when it is told to.
    Meet(Arc<Notify>, Arc<Notify>),
    /// Counts that so much was sent.
    Count(Arc<AtomicUsize>),
    /// The connection breaks.
    Break,
}

pub(crate) fn text(piece: impl Into<String>) -> Piece {
    Piece::Text(piece.into())
}

pub(crate) fn json(body: impl Into<String>) -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type", "application/json".to_owned())],
        pieces: vec![text(body)],
    }
}

pub(crate) fn stream(pieces: Vec<Piece>) -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type", "text/event-stream".to_owned())],
        pieces,
    }
}

impl Reply {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    fn response(self) -> Response<Body> {
        let pieces = futures_util::stream::iter(self.pieces).filter_map(|piece| async move {
            match piece {
                Piece::Text(text) => Some(Ok(Frame::data(Bytes::from(text)))),
                Piece::Meet(here, on) => {
                    here.notify_one();
                    on.notified().await;
                    None
                }
                Piece::Count(sent) => {
                    sent.fetch_add(1, Ordering::Relaxed);
                    None
                }
                Piece::Break => Some(Err("broken".into())),
            }
        });
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        let body = StreamBody::new(pieces);
        response.body(body.boxed_unsync()).unwrap()
    }
}

/// A server that answers as it is told.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: JoinSet<bool>,
}

impl Stub {
    pub(crate) async fn start(
        answer: impl Fn(&Seen) -> Reply + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let keep = Arc::clone(&seen);
        let answer = move |request: Request<Incoming>| {
            let (answer, keep) = (answer.clone(), Arc::clone(&keep));
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let asked = Seen {
                    method: parts.method,
                    uri: parts.uri,
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                };
                let reply = answer(&asked);
                keep.lock().unwrap().push(asked);
                reply.response()
            }
        };
        let mut serving = JoinSet::new();
        let stop = CancellationToken::new();
        serving.spawn(gateway::serve(
            listener,
            answer,
            SOCKETS,
            stop,
            Duration::from_secs(1),
        ));
        Self {
            address,
            seen,
            _serving: serving,
        }
    }

    pub(crate) fn url(&self, path: &str) -> Uri {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    pub(crate) fn endpoint(&self, path: &str) -> Endpoint {
        endpoint(self.url(path))
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

pub(crate) fn endpoint(url: Uri) -> Endpoint {
    Endpoint {
        url,
        ca: None,
        headers: Vec::new(),
    }
}

/// A gateway that listens, and a caller of it.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) recorder: Recorder,
    pub(crate) gateway: Gateway,
    client: Client<HttpConnector, Full<Bytes>>,
    _serving: JoinSet<bool>,
}

impl World {
    pub(crate) async fn with_mcp(server: McpServer) -> Self {
        let mcp = BTreeMap::from([("desk".to_owned(), server)]);
        Self::start(mcp, BTreeMap::new(), Timeouts::default(), memory()).await
    }

    /// In front of an MCP server, with rules.
    pub(crate) async fn guarding(server: McpServer, recording: live::Options) -> Self {
        let mcp = BTreeMap::from([("desk".to_owned(), server)]);
        let timeouts = Timeouts::default();
        Self::recording(mcp, BTreeMap::new(), timeouts, memory(), recording).await
    }

    pub(crate) async fn start(
        mcp: BTreeMap<String, McpServer>,
        a2a: BTreeMap<String, Endpoint>,
        timeouts: Timeouts,
        store: Arc<dyn Store>,
    ) -> Self {
        Self::recording(mcp, a2a, timeouts, store, live::Options::default()).await
    }

    pub(crate) async fn recording(
        mcp: BTreeMap<String, McpServer>,
        a2a: BTreeMap<String, Endpoint>,
        timeouts: Timeouts,
        store: Arc<dyn Store>,
        recording: live::Options,
    ) -> Self {
        Self::over(mcp, a2a, timeouts, (store, None), recording).await
    }

    pub(crate) async fn over(
        mcp: BTreeMap<String, McpServer>,
        a2a: BTreeMap<String, Endpoint>,
        timeouts: Timeouts,
        (store, journal): (Arc<dyn Store>, Option<Arc<dyn Journal>>),
        recording: live::Options,
    ) -> Self {
        let options = Options {
            upstreams: BTreeMap::new(),
            mcp,
            // Its name says it.
            only_ours: BTreeSet::from(["operator".to_owned()]),
            a2a,
            notify: None,
            limits: Limits::default(),
            timeouts,
            retry: Retry::default(),
        };
        // A process after another draws anew.
        let seed = SEED.fetch_add(1, Ordering::Relaxed);
        let entropy = Arc::new(SeededEntropy::new(seed));
        let clock = Arc::new(ManualClock::at(1_790_000_000_000_000));
        let engine = Engine::start(store, clock, entropy).await.unwrap();
        let recorder = Recorder::start(engine, journal, recording);
        let recorder = recorder.await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let access = Access::new(Vec::new()).bound_to(address.ip());
        let gateway = Gateway::new(recorder.clone(), access, options).unwrap();
        let taking = gateway.clone();
        let answer = move |request| {
            let gateway = taking.clone();
            async move { gateway.handle(request).await }
        };
        let mut serving = JoinSet::new();
        let stop = CancellationToken::new();
        serving.spawn(gateway::serve(
            listener,
            answer,
            SOCKETS,
            stop,
            Duration::from_secs(1),
        ));
        Self {
            address,
            recorder,
            gateway,
            client: Client::builder(TokioExecutor::new()).build_http(),
            _serving: serving,
        }
    }

    /// In front of these servers.
    pub(crate) async fn with_servers(
        mcp: BTreeMap<String, McpServer>,
        recording: live::Options,
    ) -> Self {
        let (a2a, timeouts) = (BTreeMap::new(), Timeouts::default());
        Self::over(mcp, a2a, timeouts, (memory(), None), recording).await
    }

    /// In front of one server of which it is known what its tools do.
    pub(crate) async fn with_catalogue(
        server: McpServer,
        catalogue: &str,
        recording: live::Options,
    ) -> Self {
        Self::knowing(server, catalogue, recording, memory()).await
    }

    /// The same, over a record that may be there already.
    pub(crate) async fn knowing(
        server: McpServer,
        catalogue: &str,
        recording: live::Options,
        store: Arc<dyn Store>,
    ) -> Self {
        let catalogue = Catalogue::parse(catalogue).unwrap();
        let operator = ("operator".to_owned(), server.clone());
        let mcp = BTreeMap::from([("desk".to_owned(), server), operator]);
        let (a2a, timeouts) = (BTreeMap::new(), Timeouts::default());
        let recording = live::Options {
            catalogue: Some(Arc::new(catalogue)),
            ..recording
        };
        Self::over(mcp, a2a, timeouts, (store, None), recording).await
    }

    /// The same, where what was cancelled has but a moment to answer.
    pub(crate) async fn impatient(server: McpServer, catalogue: &str) -> Self {
        let catalogue = Catalogue::parse(catalogue).unwrap();
        let mcp = BTreeMap::from([("desk".to_owned(), server)]);
        let timeouts = Timeouts {
            cancelled: Duration::from_millis(50),
            ..Timeouts::default()
        };
        let recording = live::Options {
            catalogue: Some(Arc::new(catalogue)),
            ..live::Options::default()
        };
        Self::over(mcp, BTreeMap::new(), timeouts, (memory(), None), recording).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Incoming> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned())));
        self.client.request(request.unwrap()).await.unwrap()
    }

    /// Posts to a path and returns the whole answer.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let response = self.send(Method::POST, path, headers, body).await;
        Answer::read(response).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        Answer::read(self.send(Method::GET, path, headers, "").await).await
    }

    /// Ends what is under way and returns every decision in the record, oldest first.
    pub(crate) async fn record(&self) -> Vec<DecisionView> {
        self.gateway.stop();
        self.recorder.stop(Duration::from_secs(10)).await.unwrap();
        self.decisions().await
    }

    /// Returns every decision in the record of a gateway that stopped, oldest first.
    pub(crate) async fn decisions(&self) -> Vec<DecisionView> {
        let engine = self.recorder.engine();
        let mut all = Vec::new();
        for run in engine.runs(Page::first(100)).await.unwrap().runs {
            let run = run.id.parse().unwrap();
            for step in engine.steps(run, Page::first(100)).await.unwrap().steps {
                let id = step.id.parse().unwrap();
                all.push(engine.decision(id).await.unwrap());
            }
        }
        all.sort_by_key(|decision| decision.node.index);
        all
    }
}

pub(crate) fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

/// An answer that came whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn read(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The next piece of an answer that comes bit by bit.
pub(crate) async fn next(body: &mut Incoming) -> String {
    loop {
        let frame = body.frame().await.unwrap().unwrap();
        if let Ok(data) = frame.into_data() {
            return String::from_utf8(data.to_vec()).unwrap();
        }
    }
}

/// A content of a decision.
pub(crate) fn content<'a>(decision: &'a DecisionView, role: &str) -> &'a str {
    let found = decision
        .contents
        .iter()
        .find(|content| content.field == role);
    found
        .and_then(|content| content.text.as_deref())
        .unwrap_or_default()
}
