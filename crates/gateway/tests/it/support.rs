//! A gateway over a record in memory, an upstream that does what a script says, and a client.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use engine::access::Access;
use engine::live::{self, Recorder};
use engine::view::DecisionView;
use engine::{Engine, Journal, ManualClock, Page, SeededEntropy, Store};
use gateway::{Gateway, Options, Sockets, Upstream, Wire, serve};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use store::MemoryStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) const NOW: u64 = 1_790_000_000_000_000;

/// A key that must never be found in the record, nor any part of it.
pub(crate) const KEY: &str = "sk-test-0123456789abcdef";

/// What the upstream does with a request, one act after the other.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Sends bytes as they are.
    Send(Vec<u8>),
    /// Waits until it is told to go on.
    Wait(Arc<Notify>),
    /// Waits for so long.
    Pause(Duration),
    /// Does nothing more, until the other side is gone.
    Stall,
    /// Closes the connection; without this it does so at the end too.
    Close,
}

/// A request as it reached the upstream.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// An upstream that does what its scripts say: one for each request, the last for all further ones.
#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Told whenever a client went away while the upstream stalled.
    pub(crate) left: Arc<Notify>,
    _tasks: TaskTracker,
}

impl Stub {
    pub(crate) async fn start(scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            left: Arc::default(),
            _tasks: TaskTracker::new(),
        };
        let scripts = Arc::new(Mutex::new(VecDeque::from(scripts)));
        let (seen, left, tasks) = (
            Arc::clone(&stub.seen),
            Arc::clone(&stub.left),
            stub._tasks.clone(),
        );
        stub._tasks.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (scripts, seen, left) =
                    (Arc::clone(&scripts), Arc::clone(&seen), Arc::clone(&left));
                tasks.spawn(async move { play(socket, &scripts, &seen, &left).await });
            }
        });
        stub
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

async fn play(
    mut socket: TcpStream,
    scripts: &Mutex<VecDeque<Vec<Act>>>,
    seen: &Mutex<Vec<Seen>>,
    left: &Notify,
) {
    let Some(request) = read_request(&mut socket).await else {
        return;
    };
    seen.lock().unwrap().push(request);
    let script = {
        let mut scripts = scripts.lock().unwrap();
        match scripts.len() {
            0 => return,
            1 => scripts[0].clone(),
            _ => scripts.pop_front().unwrap(),
        }
    };
    for act in script {
        match act {
            Act::Send(bytes) => {
                if socket.write_all(&bytes).await.is_err() {
                    left.notify_one();
                    return;
                }
            }
            Act::Wait(go) => go.notified().await,
            Act::Pause(pause) => tokio::time::sleep(pause).await,
            Act::Stall => {
                let mut nothing = [0; 64];
                while socket.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
                left.notify_one();
                return;
            }
            Act::Close => return,
        }
    }
    let _ = socket.shutdown().await;
}

/// Reads a request from any socket and answers it with what is to be sent.
pub(crate) async fn answer_once<S>(socket: &mut S, script: &[Act])
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    if read_request(socket).await.is_some() {
        for act in script {
            if let Act::Send(bytes) = act {
                let _ = socket.write_all(bytes).await;
            }
        }
    }
    let _ = socket.shutdown().await;
}

async fn read_request<S: tokio::io::AsyncRead + Unpin>(socket: &mut S) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = socket.read(&mut buffer).await.ok()?;
        if read == 0 {
            return None;
        }
        bytes.extend_from_slice(&buffer[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut seen = Seen {
            line: head.lines().next().unwrap().to_owned(),
            head,
            body: bytes.split_off(end + 4),
        };
        let length = seen.header("content-length").unwrap_or("0");
        let length: usize = length.parse().unwrap();
        while seen.body.len() < length {
            let read = socket.read(&mut buffer).await.ok()?;
            seen.body.extend_from_slice(&buffer[..read]);
        }
        return Some(seen);
    }
}

/// An answer that is one piece.
pub(crate) fn plain(status: u16, headers: &[&str], body: &str) -> Vec<Act> {
    let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    vec![Act::Send([head.as_bytes(), body.as_bytes()].concat())]
}

pub(crate) fn json(body: &str) -> Vec<Act> {
    plain(200, &["content-type: application/json"], body)
}

/// The head of a stream.
pub(crate) fn stream() -> Act {
    Act::Send(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\
          transfer-encoding: chunked\r\n\r\n"
            .to_vec(),
    )
}

/// A chunk of it.
pub(crate) fn chunk(bytes: impl AsRef<[u8]>) -> Act {
    let bytes = bytes.as_ref();
    let head = format!("{:x}\r\n", bytes.len());
    Act::Send([head.as_bytes(), bytes, b"\r\n"].concat())
}

/// Its clean end.
pub(crate) fn end() -> Act {
    Act::Send(b"0\r\n\r\n".to_vec())
}

/// A whole stream of these blocks, each in a chunk.
pub(crate) fn streamed(blocks: &[String]) -> Vec<Act> {
    let mut acts = vec![stream()];
    acts.extend(blocks.iter().map(chunk));
    acts.push(end());
    acts
}

/// A gateway with its record.
pub(crate) struct Desk {
    pub(crate) address: SocketAddr,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Arc<ManualClock>,
    client: Client<HttpConnector, Full<Bytes>>,
    _stop: tokio_util::sync::DropGuard,
}

/// What a client got.
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

pub(crate) fn upstream(url: &str, wire: Wire) -> Upstream {
    Upstream {
        url: url.parse().unwrap(),
        wire,
        ca: None,
        headers: Vec::new(),
        models: std::collections::BTreeMap::new(),
    }
}

/// Options with these stubs as OpenAI, in turn, and the first as Anthropic too.
pub(crate) fn options(stubs: &[&Stub]) -> Options {
    let of = |wire| {
        stubs
            .iter()
            .map(|stub| upstream(&stub.url(), wire))
            .collect()
    };
    Options {
        mcp: std::collections::BTreeMap::new(),
        only_ours: std::collections::BTreeSet::new(),
        a2a: std::collections::BTreeMap::new(),
        notify: None,
        upstreams: [
            ("openai".to_owned(), of(Wire::OpenAi)),
            ("anthropic".to_owned(), of(Wire::Anthropic)),
        ]
        .into(),
        limits: gateway::Limits::default(),
        timeouts: gateway::Timeouts::default(),
        retry: gateway::Retry::default(),
    }
}

impl Desk {
    /// In front of one upstream with these scripts.
    pub(crate) async fn open(scripts: Vec<Vec<Act>>) -> (Self, Stub) {
        let stub = Stub::start(scripts).await;
        (Self::with(options(&[&stub])).await, stub)
    }

    pub(crate) async fn with(options: Options) -> Self {
        let store = Arc::new(MemoryStore::default());
        Self::over(store, None, live::Options::default(), options).await
    }

    pub(crate) async fn over(
        store: Arc<dyn Store>,
        journal: Option<Arc<dyn Journal>>,
        recording: live::Options,
        options: Options,
    ) -> Self {
        let entropy = Arc::new(SeededEntropy::new(7));
        let clock = Arc::new(ManualClock::at(NOW));
        let engine = Engine::start(store, clock.clone(), entropy).await.unwrap();
        let recorder = Recorder::start(engine, journal, recording).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let access = Access::new(Vec::new()).bound_to(address.ip());
        let gateway = Gateway::new(recorder.clone(), access, options).unwrap();
        let stop = CancellationToken::new();
        let answer = move |request: Request<Incoming>| {
            let gateway = gateway.clone();
            async move { gateway.handle(request).await }
        };
        let sockets = Sockets {
            connections_max: 100,
            header_bytes_max: 64 << 10,
        };
        let stopped = stop.clone();
        recorder.tasks().spawn(async move {
            serve(listener, answer, sockets, stopped, Duration::from_secs(5)).await
        });
        Self {
            address,
            recorder,
            clock,
            client: Client::builder(TokioExecutor::new()).build_http(),
            _stop: stop.drop_guard(),
        }
    }

    /// Sends a request and returns the answer as it begins.
    pub(crate) async fn begin(
        &self,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Response<Incoming> {
        let mut request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {KEY}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        self.client.request(request).await.unwrap()
    }

    /// Sends a request and reads the answer to its end.
    pub(crate) async fn send(
        &self,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Got {
        let (parts, body) = self.begin(path, body, headers).await.into_parts();
        Got {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    /// A chat.
    pub(crate) async fn chat(&self) -> Got {
        self.send("/openai/v1/chat/completions", CHAT, &[]).await
    }

    /// A chat, piece by piece.
    pub(crate) async fn chat_stream(&self) -> Got {
        self.send("/openai/v1/chat/completions", CHAT_STREAM, &[])
            .await
    }

    /// Sends bytes as they are and returns all that comes back.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The first so many decisions, oldest first, once they have ended and are in the log.
    pub(crate) async fn decisions(&self, count: usize) -> Vec<DecisionView> {
        let engine = self.recorder.engine();
        loop {
            let mut all = Vec::new();
            for run in engine.runs(Page::first(100)).await.unwrap().runs {
                let id = run.id.parse().unwrap();
                for step in engine.steps(id, Page::first(100)).await.unwrap().steps {
                    let id = step.id.parse().unwrap();
                    all.push(engine.decision(id).await.unwrap());
                }
            }
            let ended = |view: &DecisionView| view.outcome != "unknown";
            if all.len() >= count && all.iter().all(ended) {
                assert_eq!(all.len(), count, "more calls are recorded than were made");
                all.sort_by_key(|view| view.node.index);
                return all;
            }
            // Not a mere yield: where time stands still, only who sleeps lets it go on, and the
            // record may wait for its own timers.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The one decision there is.
    pub(crate) async fn decision(&self) -> DecisionView {
        self.decisions(1).await.remove(0)
    }

    /// How the one call there was ended.
    pub(crate) async fn outcome(&self) -> String {
        self.decision().await.outcome
    }
}

/// The text of one field of a decision.
pub(crate) fn kept<'a>(decision: &'a DecisionView, field: &str) -> &'a str {
    let content = decision
        .contents
        .iter()
        .find(|content| content.field == field)
        .unwrap_or_else(|| panic!("no `{field}` in {decision:?}"));
    content.text.as_deref().unwrap()
}

pub(crate) const CHAT: &str =
    r#"{"model":"m-1","messages":[{"role":"user","content":"Where is my order?"}]}"#;

pub(crate) const CHAT_STREAM: &str =
    r#"{"model":"m-1","stream":true,"messages":[{"role":"user","content":"Where is it?"}]}"#;

pub(crate) const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"On its way."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#;

/// A block of a chat's stream.
pub(crate) fn piece(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"m-1\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

/// The stream of a chat that says these words.
pub(crate) fn words(words: &[&str]) -> Vec<String> {
    let mut blocks = vec![piece(r#"{"role":"assistant","content":""}"#, "null")];
    blocks.extend(
        words
            .iter()
            .map(|word| piece(&format!("{{\"content\":\"{word}\"}}"), "null")),
    );
    blocks.push(piece("{}", "\"stop\""));
    blocks.push(
        "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"m-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12}}\n\n"
            .to_owned(),
    );
    blocks.push("data: [DONE]\n\n".to_owned());
    blocks
}
