//! The process of an agent ends at every point of its call, and a new one does the work.
//!
//! What the gateway sees of a kill is that its connection closes, with whatever was sent before. The
//! new process remembers nothing. What it does depends on the tool: where a key makes the second
//! call the same as the first it just calls again; where a probe can tell it asks the tool; else it
//! asks the record what became of the call. After each point the tool has run exactly once, or the
//! record says that nobody knows.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use engine::live::{self, ApprovalOptions, Mode};
use engine::{Page, Ruling, SeededEntropy, Store};
use gateway::McpServer;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use store::fault::FaultDisk;
use store::{EmbeddedStore, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support_mcp::{SOCKETS, World, endpoint, memory};

const PATH: &str = "/agents/ada/mcp/desk";

const CATALOGUE: &str = r#"
server = "desk"

[tools.credit]
class = "irreversible"

[tools.read]
class = "read"
"#;

/// Where the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Point {
    Nothing,
    Connected,
    PartOfHead,
    Head,
    PartOfBody,
    Sent,
    Held,
    InFlight,
    CarriedOut,
    Answered,
    PartOfAnswer,
    Read,
}

const POINTS: [Point; 12] = [
    Point::Nothing,
    Point::Connected,
    Point::PartOfHead,
    Point::Head,
    Point::PartOfBody,
    Point::Sent,
    Point::Held,
    Point::InFlight,
    Point::CarriedOut,
    Point::Answered,
    Point::PartOfAnswer,
    Point::Read,
];

/// How somebody can tell that the tool ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tells {
    Key,
    Probe,
    Nothing,
}

#[derive(Debug, Default)]
struct Books {
    keys: Vec<String>,
    references: Vec<String>,
    done: usize,
}

/// A server whose one tool gives money.
#[derive(Debug, Default)]
struct Desk {
    books: Mutex<Books>,
    /// Where its next call stops until it is let go.
    trap: Mutex<Option<Point>>,
    here: Notify,
    go: Notify,
}

impl Desk {
    async fn start(self: &Arc<Self>, serving: &mut JoinSet<bool>) -> McpServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let desk = Arc::clone(self);
        let answer = move |request| Arc::clone(&desk).answer(request);
        let (stop, patience) = (CancellationToken::new(), Duration::from_secs(1));
        serving.spawn(gateway::serve(listener, answer, SOCKETS, stop, patience));
        McpServer::Http(endpoint(url.parse().unwrap()))
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<gateway::Body> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let result = match asked["params"]["name"].as_str() {
            Some("read") => json!({ "references": self.books().references }),
            Some("credit") => {
                self.stop_at(Point::InFlight).await;
                self.books().credit(&asked["params"]["arguments"]);
                self.stop_at(Point::CarriedOut).await;
                json!({ "done": true })
            }
            _ => Value::Null,
        };
        let content = json!([{ "type": "text", "text": result.to_string() }]);
        let result = json!({ "content": content, "resultType": "complete" });
        let reply = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result });
        let body = Full::new(Bytes::from(reply.to_string()));
        let body = body.map_err(|never| match never {}).boxed_unsync();
        let response = Response::builder().header("content-type", "application/json");
        response.body(body).unwrap()
    }

    async fn stop_at(&self, point: Point) {
        let stops = self.trap.lock().unwrap().take_if(|at| *at == point);
        if stops.is_some() {
            self.here.notify_one();
            self.go.notified().await;
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }
}

impl Books {
    fn credit(&mut self, args: &Value) {
        if let Some(key) = args["key"].as_str() {
            if self.keys.iter().any(|known| known == key) {
                return;
            }
            self.keys.push(key.to_owned());
        }
        let reference = args["reference"].as_str();
        self.references.extend(reference.map(str::to_owned));
        self.done += 1;
    }
}

/// What the new process did about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Did {
    Called,
    Nothing,
    /// Nobody knows what became of the call: it asks a person.
    Asked,
}

struct Scene {
    desk: Arc<Desk>,
    world: World,
    tells: Tells,
    revision: &'static str,
    /// Tasks of the gateway when nothing is under way.
    idle: usize,
    _serving: JoinSet<bool>,
    _index: tempfile::TempDir,
}

fn embedded(index: &Path) -> Arc<dyn Store> {
    let entropy = Arc::new(SeededEntropy::new(11));
    let mut open = OpenOptions::new("/data", entropy, Arc::new(|| 1_790_000_000_000_000));
    open.disk = Arc::new(FaultDisk::default());
    open.index = Some(index.join("index.sqlite"));
    Arc::new(EmbeddedStore::open(open).unwrap())
}

impl Scene {
    async fn set(tells: Tells, revision: &'static str, gated: bool, point: Point) -> Self {
        let index = tempfile::tempdir().unwrap();
        let (desk, mut serving) = (Arc::new(Desk::default()), JoinSet::new());
        let server = desk.start(&mut serving).await;
        let wait = Duration::from_secs(if point == Point::Held { 3_600 } else { 0 });
        let recording = live::Options {
            mode: if gated { Mode::Enforce } else { Mode::Observe },
            approvals: ApprovalOptions {
                wait,
                ..ApprovalOptions::default()
            },
            ..live::Options::default()
        };
        // On a disk it takes a moment until an intent is durable, in which its client may go.
        let store = match point {
            Point::Sent => embedded(index.path()),
            _ => memory(),
        };
        let world = World::knowing(server, CATALOGUE, recording, store).await;
        world.recorder.recalled().await;
        tokio::task::yield_now().await;
        let idle = world.recorder.tasks().len();
        Self {
            desk,
            world,
            tells,
            revision,
            idle,
            _serving: serving,
            _index: index,
        }
    }

    fn headers(&self) -> [(&'static str, &'static str); 2] {
        [
            ("x-rescind-run", "ticket-7"),
            ("mcp-protocol-version", self.revision),
        ]
    }

    fn body(&self, tool: &str) -> String {
        let mut args = json!({ "amount": 30 });
        match self.tells {
            Tells::Key => args["key"] = json!("ticket-7/refund"),
            Tells::Probe => args["reference"] = json!("ticket-7"),
            Tells::Nothing => {}
        }
        let params = json!({ "name": tool, "arguments": args });
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
    }

    /// Calls and reads the answer; while it waits for a person, that person approves.
    async fn call(&self) {
        loop {
            let (body, headers) = (self.body("credit"), self.headers());
            let answer = tokio::select! {
                answer = self.world.post(PATH, &headers, &body) => answer,
                () = self.approving() => unreachable!("it goes on"),
            };
            if !answer.body.contains("Not done yet") {
                assert!(answer.body.contains("done"), "{}", answer.body);
                return;
            }
            self.approve().await;
        }
    }

    /// A person approves whatever waits, as it comes.
    async fn approving(&self) {
        loop {
            self.approve().await;
            tokio::task::yield_now().await;
        }
    }

    async fn waiting(&self) -> Vec<engine::view::HeldView> {
        let engine = self.world.recorder.engine();
        engine.caught_up(Duration::from_secs(1)).await;
        engine.approvals().await.unwrap().approvals
    }

    /// A person approves what waits now. Returns how much that was.
    async fn approve(&self) -> usize {
        let waiting = self.waiting().await;
        let count = waiting.len();
        for held in waiting {
            let ruling = Ruling {
                approve: true,
                by: "grace".to_owned(),
                known: false,
                reason: None,
                shown: held.call.parse().unwrap(),
            };
            let decision = held.decision.parse().unwrap();
            // Who waited may have gone meanwhile.
            let _ = self.world.recorder.rule(decision, ruling).await;
        }
        count
    }

    /// One process of the agent, up to its end.
    async fn first_process(&self, point: Point) {
        if point == Point::Nothing {
            return;
        }
        let mut socket = TcpStream::connect(self.world.address).await.unwrap();
        let body = self.body("credit");
        let mut head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\ncontent-length: {}\r\n",
            self.world.address,
            body.len()
        );
        for (name, value) in self.headers() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let request = format!("{head}\r\n{body}");
        let all = request.len();
        let sends = match point {
            Point::Connected => 0,
            Point::PartOfHead => head.len() / 2,
            Point::Head => all - body.len(),
            Point::PartOfBody => all - body.len() / 2,
            _ => all,
        };
        *self.desk.trap.lock().unwrap() = Some(point);
        socket
            .write_all(&request.as_bytes()[..sends])
            .await
            .unwrap();
        let mut some = [0; 24];
        match point {
            Point::Held => {
                while self.waiting().await.is_empty() {
                    tokio::task::yield_now().await;
                }
            }
            Point::InFlight | Point::CarriedOut => {
                let here = self.desk.here.notified();
                let reached = tokio::time::timeout(Duration::from_secs(60), here).await;
                reached.expect("the call reaches the server");
            }
            Point::Answered => drop(socket.peek(&mut some).await.unwrap()),
            Point::PartOfAnswer => drop(socket.read_exact(&mut some).await.unwrap()),
            Point::Read => {
                let mut answer = Vec::new();
                while !answer.ends_with(b"}") {
                    socket.read_buf(&mut answer).await.unwrap();
                }
            }
            _ => {}
        }
        // What the system does for a process that ends; then until the gateway has noticed.
        socket.shutdown().await.unwrap();
        let _ = socket.read_to_end(&mut Vec::new()).await;
        self.desk.go.notify_one();
    }

    /// Waits until nothing is under way in the gateway.
    async fn quiet(&self) {
        while self.world.recorder.tasks().len() > self.idle {
            tokio::task::yield_now().await;
        }
        let engine = self.world.recorder.engine();
        engine.caught_up(Duration::from_secs(10)).await;
    }

    /// What the record says became of the calls.
    async fn statuses(&self) -> Vec<String> {
        let engine = self.world.recorder.engine();
        let mut statuses = Vec::new();
        for run in engine.runs(Page::first(10)).await.unwrap().runs {
            let run = run.id.parse().unwrap();
            for step in engine.steps(run, Page::first(100)).await.unwrap().steps {
                if step.name.as_deref() == Some("credit") {
                    statuses.push(step.status);
                }
            }
        }
        statuses
    }

    async fn next_process(&self) -> Did {
        let calls = match self.tells {
            Tells::Key => true,
            Tells::Probe => {
                let body = self.body("read");
                let read = self.world.post(PATH, &self.headers(), &body).await;
                !read.body.contains("ticket-7")
            }
            Tells::Nothing => {
                let statuses = self.statuses().await;
                if statuses.iter().any(|status| status == "unknown") {
                    return Did::Asked;
                }
                !statuses.iter().any(|status| status == "succeeded")
            }
        };
        if calls {
            self.call().await;
            return Did::Called;
        }
        Did::Nothing
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    points: usize,
    duplicated: usize,
    lost: usize,
    parked: usize,
}

/// Ends the process at every point, with and without a person in between.
async fn every_point(tells: Tells, revision: &'static str) -> Tally {
    let mut tally = Tally::default();
    for gated in [false, true] {
        for point in POINTS {
            if point == Point::Held && !gated {
                continue;
            }
            let scene = Scene::set(tells, revision, gated, point).await;
            if gated && point > Point::Held {
                // It was told to come again, and a person approved meanwhile.
                let body = scene.body("credit");
                scene.world.post(PATH, &scene.headers(), &body).await;
                while scene.approve().await == 0 {
                    tokio::task::yield_now().await;
                }
            }
            scene.first_process(point).await;
            scene.quiet().await;
            let did = scene.next_process().await;
            scene.quiet().await;
            let done = scene.desk.books().done;
            let statuses = scene.statuses().await;
            let said = format!(
                "{tells:?}, {revision}, gated {gated}, {point:?}: {did:?}, {done} done, {statuses:?}"
            );
            tally.points += 1;
            tally.duplicated += done.saturating_sub(1);
            tally.parked += usize::from(did == Did::Asked);
            tally.lost += usize::from(done == 0 && did != Did::Asked);
            // The record owns up to everything that was done, and to nothing else.
            let count = |of: &str| statuses.iter().filter(|status| *status == of).count();
            let (succeeded, unknown) = (count("succeeded"), count("unknown"));
            assert!(done <= succeeded + unknown, "{said}");
            assert!(tells == Tells::Key || succeeded <= done, "{said}");
        }
    }
    println!("{tells:?}, {revision}: {tally:?}");
    tally
}

#[tokio::test]
async fn c44_an_agent_killed_at_any_point_of_its_call_loses_and_repeats_nothing() {
    for revision in ["2025-11-25", "2026-07-28"] {
        for tells in [Tells::Key, Tells::Probe, Tells::Nothing] {
            let tally = every_point(tells, revision).await;
            assert_eq!((tally.duplicated, tally.lost), (0, 0), "{tells:?}");
            // Where leaving cancels the call, nobody hears what became of one on its way: just sent,
            // in flight or carried out, with and without a person's word.
            let on_its_way = if revision == "2026-07-28" && tells == Tells::Nothing {
                6
            } else {
                0
            };
            assert!(tally.parked <= on_its_way, "{tells:?}: {tally:?}");
        }
    }
}
