//! MCP servers that are programs of ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway::{McpServer, Program};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hold::{cancels, carried};
use crate::logged::Logged;
use crate::support_mcp::{Answer, World, next};

/// A server of a few lines. It leaves files that tell what became of it.
const SERVER: &str = r#"
import json, os, sys, time

def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()

print("starting up", flush=True)
sys.stderr.write("a word for the log\n")
open(f"pid-{os.getpid()}", "w").close()
asked = {}
for line in sys.stdin:
    message = json.loads(line)
    id, method = message.get("id"), message.get("method")
    tool = message.get("params", {}).get("name") if method == "tools/call" else None
    reply = lambda text: say({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}})
    if method == "tools/list":
        tools = [
            {"name": "pid", "annotations": {"readOnlyHint": True}},
            {"name": "env", "annotations": {"idempotentHint": True, "destructiveHint": False}},
            {"name": "again", "annotations": {"idempotentHint": True, "destructiveHint": True}},
            {"name": "undone", "_meta": {"x-compensation-pair": "unask"}},
        ]
        say({"jsonrpc": "2.0", "id": id, "result": {"tools": tools}})
    elif method == "initialize":
        say({"jsonrpc": "2.0", "id": id, "result": {"protocolVersion": "2025-06-18", "capabilities": {}}})
    elif tool == "pid":
        reply(str(os.getpid()))
    elif tool == "env":
        reply(",".join(sorted(os.environ)))
    elif tool == "ask":
        asked["s"] = id
        token = message["params"]["_meta"]["progressToken"]
        say({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
        say({"jsonrpc": "2.0", "id": "s", "method": "sampling/createMessage", "params": {}})
    elif tool == "tell":
        say({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "x:y"}})
        reply("told")
    elif tool in ("new", "undone", "again"):
        reply(tool)
    elif tool == "wait":
        pass
    elif tool == "slow":
        while not os.path.exists("go"):
            time.sleep(0.01)
        reply("slowly")
    elif tool == "crash":
        os._exit(3)
    elif method is None and id in asked:
        id = asked.pop(id)
        reply("heard " + message["result"]["text"])
    elif method in ("server/none", "server/wrong", "server/odd"):
        code = {"server/none": -32601, "server/wrong": -32602, "server/odd": -1}[method]
        say({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "no"}})
    elif method == "notifications/cancelled":
        open("cancelled", "w").close()
    elif method == "server/flood":
        say({"jsonrpc": "2.0", "id": id, "result": {}})
        for n in range(message["params"]["n"]):
            say({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "x:%d" % n}})
    elif method == "server/touch":
        say({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "x:z"}})
        say({"jsonrpc": "2.0", "id": id, "result": {}})
open(f"ended-{os.getpid()}", "w").close()
"#;

struct Desk {
    world: World,
    dir: TempDir,
}

impl Desk {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("server.py");
        std::fs::write(&script, SERVER).unwrap();
        let script = script.display().to_string();
        let command = vec!["python3".to_owned(), script];
        let world = World::with_mcp(program(command, dir.path())).await;
        Self { world, dir }
    }

    async fn session(&self) -> String {
        let body = request(0, "initialize", &json!({ "protocolVersion": "2025-06-18" }));
        let answer = self.world.post("/mcp/desk", &[], &body).await;
        assert_eq!(answer.json()["result"]["protocolVersion"], "2025-06-18");
        answer.header("mcp-session-id").unwrap().to_owned()
    }

    async fn call(&self, session: &str, id: u32, tool: &str) -> Answer {
        let headers = [("mcp-session-id", session)];
        self.world
            .post("/mcp/desk", &headers, &call(id, tool))
            .await
    }

    fn files(&self, prefix: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let named = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with(prefix)
        };
        paths.filter(named).collect()
    }

    async fn outcomes(&self) -> Vec<String> {
        let record = self.world.record().await;
        record.into_iter().map(|view| view.outcome).collect()
    }
}

pub(crate) fn program(command: Vec<String>, cwd: &Path) -> McpServer {
    #[expect(clippy::disallowed_methods, reason = "python is found by it")]
    let path = std::env::var("PATH").unwrap();
    McpServer::Program(Program {
        command,
        env: BTreeMap::from([
            ("PATH".to_owned(), path),
            ("DESK".to_owned(), "1".to_owned()),
        ]),
        cwd: Some(cwd.to_owned()),
        backoff_max: Duration::from_millis(1),
    })
}

fn request(id: u32, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

fn call(id: u32, tool: &str) -> String {
    let params = json!({ "name": tool, "arguments": {}, "_meta": { "progressToken": id } });
    request(id, "tools/call", &params)
}

fn said(answer: &Answer) -> String {
    let said = answer.json();
    said["result"]["content"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn each_session_has_a_program_of_its_own() {
    let desk = Desk::open().await;
    let (one, two) = (desk.session().await, desk.session().await);
    let first = said(&desk.call(&one, 1, "pid").await);
    assert_ne!(first, said(&desk.call(&two, 1, "pid").await));
    assert_eq!(first, said(&desk.call(&one, 2, "pid").await));
    // What is configured reaches it, and nothing else.
    let variables = said(&desk.call(&one, 3, "env").await);
    assert!(
        variables.contains("DESK") && !variables.contains("CARGO"),
        "{variables}"
    );
    assert_eq!(desk.outcomes().await, ["succeeded"; 4]);
    assert_eq!(
        desk.files("ended-").len(),
        2,
        "both were let end by themselves"
    );
}

#[tokio::test]
async fn what_the_program_asks_reaches_who_called_it() {
    let desk = Desk::open().await;
    let session = desk.session().await;
    let headers = [("mcp-session-id", &*session)];
    let response = desk
        .world
        .send(Method::POST, "/mcp/desk", &headers, &call(5, "ask"))
        .await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(response.headers().contains_key("x-rescind-decision"));
    let mut body = response.into_body();
    let mut got = String::new();
    while !got.contains("sampling/createMessage") {
        got.push_str(&next(&mut body).await);
    }
    assert!(got.contains("notifications/progress"), "{got}");
    let answer = r#"{"jsonrpc":"2.0","id":"s","result":{"text":"yes"}}"#;
    let accepted = desk.world.post("/mcp/desk", &headers, answer).await;
    assert_eq!(accepted.status, 202);
    assert!(next(&mut body).await.contains("heard yes"));
    assert_eq!(desk.outcomes().await, ["succeeded"]);
}

#[tokio::test]
async fn who_listens_hears_what_nobody_asked_for() {
    let desk = Desk::open().await;
    let session = desk.session().await;
    let headers = [("mcp-session-id", &*session)];
    let response = desk
        .world
        .send(Method::GET, "/mcp/desk", &headers, "")
        .await;
    assert_eq!(response.status(), 200);
    // Two wait, so that a line is for none of them more than for the other.
    let wait = desk.call(&session, 1, "wait");
    let touch = async {
        while !desk.recorded(1).await {}
        let touch = request(2, "server/touch", &json!({}));
        desk.world.post("/mcp/desk", &headers, &touch).await;
        let mut body = response.into_body();
        assert!(next(&mut body).await.contains("x:z"));
        desk.world
            .send(Method::DELETE, "/mcp/desk", &headers, "")
            .await
    };
    let (waited, deleted) = tokio::join!(wait, touch);
    assert_eq!(deleted.status(), 204);
    assert_eq!(waited.json()["error"]["data"]["code"], "program_ended");
    assert_eq!(desk.call(&session, 3, "pid").await.status, 404);
    assert_eq!(desk.outcomes().await, ["unknown", "failed: not-found"]);
}

#[tokio::test]
async fn c165_what_is_dropped_because_nobody_listens_is_one_line_and_another_when_somebody_does() {
    let desk = Desk::open().await;
    let session = desk.session().await;
    let headers = [("mcp-session-id", &*session)];
    let (logged, _guard) = Logged::keep();
    let lines = || logged.of(&["what a program says is dropped", "listens to a program"]);
    for round in 1..=2 {
        // More than is kept for who comes late; and again, as long as it is not seen that who
        // listened is gone.
        let flood = request(1, "server/flood", &json!({ "n": 300 }));
        while lines().len() < 2 * round - 1 {
            desk.world.post("/mcp/desk", &headers, &flood).await;
        }
        let listening = desk.world.send(Method::GET, "/mcp/desk", &headers, "");
        let mut body = listening.await.into_body();
        while !next(&mut body).await.contains("x:299") {}
        let lines = lines();
        assert_eq!(lines.len(), 2 * round, "{lines:?}");
        let [began, ended] = &lines[2 * round - 2..] else {
            panic!("{lines:?}")
        };
        let dropped = "WARN what a program says is dropped, because nobody listens server=desk";
        assert_eq!(began, dropped);
        let again = "INFO somebody listens to a program again server=desk dropped=";
        let count = ended.strip_prefix(again).unwrap();
        assert!(count.parse::<u32>().unwrap() > 0, "{count}");
    }
}

#[tokio::test]
async fn a_program_that_ends_says_so_and_is_started_again() {
    let desk = Desk::open().await;
    let session = desk.session().await;
    let crashed = desk.call(&session, 1, "crash").await;
    let error = &crashed.json()["error"];
    assert_eq!(error["data"]["code"], "program_ended");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("exit status: 3"), "{message}");
    assert_eq!(desk.call(&session, 2, "pid").await.status, 404);
    let again = desk.session().await;
    said(&desk.call(&again, 3, "pid").await);
    assert_eq!(
        desk.outcomes().await,
        ["unknown", "failed: not-found", "succeeded"]
    );
}

#[tokio::test]
async fn stateless_requests_share_a_program_unless_their_ids_are_the_same() {
    let desk = Desk::open().await;
    let headers = |tool| {
        [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", tool),
        ]
    };
    let call = |id: u32, tool: &str| {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "progressToken": id,
        });
        let params = json!({ "name": tool, "arguments": {}, "_meta": meta });
        request(id, "tools/call", &params)
    };
    let pid = |id| {
        let body = call(id, "pid");
        let world = &desk.world;
        async move { said(&world.post("/mcp/desk", &headers("pid"), &body).await) }
    };
    let one = pid(1).await;
    assert_eq!(one, pid(2).await);
    // A client that goes away has cancelled, and the program is told.
    let wait = call(7, "wait");
    let waits = headers("wait");
    let waiting = desk.world.send(Method::POST, "/mcp/desk", &waits, &wait);
    let other = async {
        while !desk.recorded(3).await {}
        let other = pid(7).await;
        assert_ne!(one, other);
    };
    tokio::select! {
        _ = waiting => panic!("nothing answers it"),
        () = other => {}
    }
    while desk.files("cancelled").is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        desk.outcomes().await,
        ["succeeded", "succeeded", "unknown", "succeeded"]
    );
}

#[tokio::test]
async fn a_request_that_says_two_things_spoils_no_shared_program() {
    let desk = Desk::open().await;
    let header = ("mcp-protocol-version", "2026-07-28");
    let method = ("mcp-method", "tools/call");
    let name = ("mcp-name", "pid");
    let meta = |version: &str| {
        json!({
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        })
    };
    let ask = |name: &str, meta: &Value| {
        let params = json!({ "name": name, "arguments": {}, "_meta": meta });
        request(1, "tools/call", &params)
    };
    let whole = meta("2026-07-28");
    let half = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
    type Asked<'a> = (&'a [(&'a str, &'a str)], String, i64);
    let refused: [Asked<'_>; 7] = [
        (&[header, method, name], ask("pid", &json!({})), -32602),
        (&[header, method, name], ask("pid", &half), -32602),
        (&[method, name], ask("pid", &whole), -32020),
        (
            &[header, method, name],
            ask("pid", &meta("2027-01-01")),
            -32020,
        ),
        (&[header, name], ask("pid", &whole), -32020),
        (&[header, method, name], ask("crash", &whole), -32020),
        (&[header, method], ask("pid", &whole), -32020),
    ];
    for (headers, body, code) in refused {
        let answer = desk.world.post("/mcp/desk", headers, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["error"]["code"], code, "{body}");
    }
    let begin = request(1, "initialize", &json!({ "_meta": whole }));
    let headers = [header, ("mcp-method", "initialize")];
    let answer = desk.world.post("/mcp/desk", &headers, &begin).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error"]["code"], -32601);
    assert!(desk.files("pid-").is_empty(), "no program heard any of it");
    let headers = [header, method, name];
    said(
        &desk
            .world
            .post("/mcp/desk", &headers, &ask("pid", &whole))
            .await,
    );
    assert_eq!(desk.outcomes().await, ["succeeded"]);
}

#[tokio::test]
async fn an_error_of_a_program_has_the_status_that_it_has_over_http() {
    let desk = Desk::open().await;
    for (method, status) in [
        ("server/none", 404),
        ("server/wrong", 400),
        ("server/odd", 200),
    ] {
        let headers = [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
        ];
        let params = json!({ "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        } });
        let answer = desk
            .world
            .post("/mcp/desk", &headers, &request(1, method, &params))
            .await;
        assert_eq!(answer.status, status, "{method}");
        assert!(answer.json()["error"]["code"].is_i64());
    }
}

#[tokio::test]
async fn the_class_of_a_call_is_what_the_server_says_of_its_tool() {
    let desk = Desk::open().await;
    let session = desk.session().await;
    let before = desk.call(&session, 1, "pid").await;
    assert_eq!(before.status, 200);
    let headers = [("mcp-session-id", &*session)];
    let list = request(2, "tools/list", &json!({}));
    desk.world.post("/mcp/desk", &headers, &list).await;
    let tools = ["pid", "env", "again", "undone", "new"];
    for (id, tool) in (3..).zip(tools) {
        said(&desk.call(&session, id, tool).await);
    }
    desk.world.record().await;
    let expected = [
        // Nothing was said of any tool yet.
        "unreviewed by nobody",
        "read by annotations",
        "idempotent by annotations",
        // One that destroys says nothing by being idempotent.
        "unreviewed by nobody",
        "compensable by metadata",
        "unreviewed by nobody",
    ];
    let decisions = desk.world.decisions().await;
    let said = decisions.iter().map(|decision| {
        let or_none = |word: &Option<String>| word.clone().unwrap_or_default();
        assert_eq!(decision.server.as_deref(), Some("desk"));
        format!(
            "{} by {}",
            or_none(&decision.class),
            or_none(&decision.class_by)
        )
    });
    assert_eq!(said.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_stop_lets_a_program_answer_what_it_was_asked() {
    let desk = Desk::open().await;
    let session = desk.session().await;
    let idle = desk.session().await;
    let called = desk.call(&session, 1, "slow");
    let stopping = async {
        while !desk.recorded(1).await {}
        desk.world.gateway.stop();
        // The one that nobody waits for ends at once, and the other goes on.
        while desk.files("ended-").len() != 1 {
            tokio::task::yield_now().await;
        }
        std::fs::write(desk.dir.path().join("go"), "").unwrap();
    };
    let (answer, ()) = tokio::join!(called, stopping);
    assert_eq!(said(&answer), "slowly");
    assert_ne!(session, idle);
    assert_eq!(desk.outcomes().await, ["succeeded"]);
    assert_eq!(desk.files("ended-").len(), 2, "it was let end by itself");
}

#[tokio::test]
async fn a_call_that_a_stop_cuts_short_is_unknown_and_its_caller_told() {
    let desk = Desk::open().await;
    let session = desk.session().await;
    let waiting = desk.call(&session, 1, "wait");
    let stopping = async {
        while !desk.recorded(1).await {}
        desk.world.gateway.stop();
        desk.world
            .recorder
            .stop(Duration::from_secs(5))
            .await
            .unwrap()
    };
    let (answer, open) = tokio::join!(waiting, stopping);
    assert_eq!(open, 0, "every call has an end");
    assert_eq!(answer.json()["error"]["data"]["code"], "gateway_stopping");
    assert_eq!(desk.world.decisions().await[0].outcome, "unknown");
    assert_eq!(desk.files("ended-").len(), 1, "it was let end by itself");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::with_mcp(program(vec!["no-such-program".to_owned()], dir.path())).await;
    let body = request(0, "initialize", &json!({}));
    let answer = world.post("/mcp/desk", &[], &body).await;
    let said = answer.json();
    assert_eq!(said["error"]["data"]["code"], "program_start");
    let message = said["error"]["message"].as_str().unwrap();
    assert!(message.contains("no-such-program"), "{message}");
    // A session begins with `initialize`, and is asked for by its own name alone.
    assert_eq!(
        world.post("/mcp/desk", &[], &call(1, "pid")).await.status,
        400
    );
    let unknown = [("mcp-session-id", "no-such-session")];
    assert_eq!(world.get("/mcp/desk", &unknown).await.status, 404);
}

impl Desk {
    /// Whether so many calls are in the record.
    async fn recorded(&self, calls: u64) -> bool {
        let engine = self.world.recorder.engine();
        let runs = engine.runs(engine::Page::first(100)).await.unwrap().runs;
        tokio::task::yield_now().await;
        runs.iter().map(|run| run.decisions).sum::<u64>() >= calls
    }
}

#[tokio::test]
async fn a_program_is_told_that_a_rollback_waits_for_no_call_in_flight() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("server.py");
    std::fs::write(&script, SERVER).unwrap();
    let command = vec!["python3".to_owned(), script.display().to_string()];
    let world = World::impatient(program(command, dir.path()), "").await;
    let desk = Arc::new(Desk { world, dir });
    let session = desk.session().await;
    let bad = desk.call(&session, 1, "pid").await;
    let bad = bad.header("x-rescind-decision").unwrap().parse().unwrap();
    let caller = (Arc::clone(&desk), session.clone());
    let waiting = async move { caller.0.call(&caller.1, 2, "wait").await };
    let waiting = desk.world.recorder.tasks().spawn(waiting);
    let engine = desk.world.recorder.engine();
    while engine.resolve_decision("latest:2").await.is_err() {
        tokio::task::yield_now().await;
    }
    let rollback = carried(&desk.world, bad, cancels()).await;
    assert_eq!(rollback.state.name(), "succeeded");
    let told = waiting.await.unwrap();
    assert_eq!(told.json()["error"]["data"]["code"], "agent_held");
    // The program is alive and reads on: it answers the next call.
    said(&desk.call(&session, 3, "pid").await);
    assert_eq!(desk.files("cancelled").len(), 1);
    assert_eq!(desk.outcomes().await[..2], ["succeeded", "unknown"]);
}
