//! A server to ask, over a record with one small run.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use engine::access::Access;
use engine::{Engine, ImportOptions, ManualClock, SeededEntropy, Store};
use http_body_util::BodyExt as _;
use serde_json::Value;
use server::{Builder, Server};
use store::MemoryStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

/// 2026-03-10T12:00:00Z.
pub(crate) const NOON: u64 = 1_773_144_000_000_000;

/// A desk that refunds an order: asked, looked up, refunded, told.
const REFUND: &str = r#"[
  {"role":"user","content":"Please refund order TH-48213."},
  {"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function",
    "function":{"name":"get_order","arguments":"{\"order_id\":\"TH-48213\"}"}}]},
  {"role":"tool","tool_call_id":"call_1","content":"{\"payment\":\"PAY-30552\"}"},
  {"role":"assistant","content":null,"tool_calls":[{"id":"call_2","type":"function",
    "function":{"name":"issue_refund","arguments":"{\"payment\":\"PAY-30552\"}"}}]},
  {"role":"tool","tool_call_id":"call_2","content":"{\"refund\":\"RF-99120\"}"},
  {"role":"assistant","content":"Done, your refund is RF-99120."}
]"#;

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    /// An empty record.
    pub(crate) async fn empty() -> Self {
        Self::over(Arc::new(MemoryStore::default())).await
    }

    /// Whatever is in this store.
    pub(crate) async fn over(store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(ManualClock::at(NOON));
        let entropy = Arc::new(SeededEntropy::new(7));
        let engine = Engine::start(store, clock.clone(), entropy).await.unwrap();
        Self { engine, clock }
    }

    /// A record with one run.
    pub(crate) async fn with_a_run() -> Self {
        let world = Self::empty().await;
        world.import(0).await;
        world
    }

    /// Imports a run; each number gives another one.
    pub(crate) async fn import(&self, number: usize) {
        let text = REFUND.replace("TH-48213", &format!("TH-{}", 48_213 + number));
        let options = ImportOptions {
            format: "openai-chat".parse().unwrap(),
            pointer: None,
            agent: Some("desk"),
        };
        let decoded = engine::decode_import(text.as_bytes(), options).unwrap();
        self.engine.import(&decoded, &mut |_, _| {}).await.unwrap();
    }

    pub(crate) async fn size(&self) -> u64 {
        self.engine.store().status().await.unwrap().durable
    }

    /// Begins a server that is bound to loopback and has no tokens.
    pub(crate) fn builder(&self) -> Builder {
        Server::builder(self.engine.clone()).access(local(Access::default()))
    }

    pub(crate) fn router(&self) -> Router {
        self.builder().build()
    }

    /// Asks for an object that must be there.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = ask(&self.router(), get(path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.json()
    }

    /// Asks for what must be refused, and returns the status and the code.
    pub(crate) async fn refused(&self, path: &str) -> (u16, String) {
        let answer = ask(&self.router(), get(path)).await;
        let problem = answer.json();
        assert!(problem["error"].is_string(), "{path}: {}", answer.text);
        assert!(problem.get("hint").is_some(), "{path}: {}", answer.text);
        let code = problem["code"].as_str().unwrap();
        (answer.status.as_u16(), code.to_owned())
    }
}

pub(crate) fn local(access: Access) -> Access {
    access.bound_to("127.0.0.1".parse().unwrap())
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|_| panic!("{}: {}", self.status, self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn get(path: &str) -> Request<Body> {
    request("GET", path, &[])
}

/// A request as a client on this machine sends it; `headers` can say otherwise.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:7373");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

pub(crate) async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes().to_vec();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8_lossy(&bytes).into_owned(),
        bytes,
    }
}

/// Puts a router on a real socket of this machine, until the test ends.
pub(crate) async fn listen(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the runtime of the test owns it")]
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// A connection that reads server-sent events as they come.
pub(crate) struct Stream {
    socket: TcpStream,
    read: String,
}

impl Stream {
    pub(crate) async fn open(address: SocketAddr, path: &str, last: Option<&str>) -> Self {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let last = last.map_or(String::new(), |id| format!("last-event-id: {id}\r\n"));
        // HTTP/1.0 leaves the body as it is, without chunks.
        let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n{last}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut stream = Self {
            socket,
            read: String::new(),
        };
        let head = stream.until("\r\n\r\n").await.unwrap();
        assert!(head.contains(" 200 "), "{head}");
        assert!(head.contains("text/event-stream"), "{head}");
        stream
    }

    /// The next message, as its lines; none at the end of the stream.
    pub(crate) async fn message(&mut self) -> Option<String> {
        self.until("\n\n").await
    }

    async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some((before, after)) = self.read.split_once(end) {
                let (before, after) = (before.to_owned(), after.to_owned());
                self.read = after;
                return Some(before);
            }
            let mut buffer = [0; 4096];
            let count = self.socket.read(&mut buffer).await.unwrap();
            if count == 0 {
                return None;
            }
            self.read
                .push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }
}

/// A field of a message.
pub(crate) fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim_start)
}
