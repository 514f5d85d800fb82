//! Agents that go back to an earlier state, and calls that they make again.

use std::path::Path;
use std::sync::Arc;

use engine::NewCheckpoint;
use engine::live;
use engine::view::{DecisionView, RestoredView};
use engine::{Engine, Store};
use gateway::McpServer;
use model::RunId;
use serde_json::{Value, json};

use crate::support_mcp::{
    Answer, Piece, Reply, Seen, Stub, World, content, json as answer, memory,
};

const CATALOGUE: &str = r#"
[resources.order]
uri = "orders/{id}"
server = "desk"
read = { tool = "read", args = { id = "{id}" } }

[tools.read]
server = "desk"
class = "read"

[tools.cancel]
server = "desk"
class = "reversible"
writes = [{ order = "{args.id}", sets = ["/status"] }]
volatile = ["/note"]

[tools.reopen]
server = "desk"
class = "reversible"
writes = [{ order = "{args.id}", sets = ["/status"] }]
"#;

/// Numbers the calls that it carries out, in the order in which they come.
fn server(seen: &Seen) -> Reply {
    let asked: Value = serde_json::from_str(&seen.body).unwrap_or_default();
    let (tool, arguments) = (&asked["params"]["name"], &asked["params"]["arguments"]);
    let result = match asked["method"].as_str().unwrap_or_default() {
        "initialize" => json!({ "protocolVersion": "2025-06-18", "capabilities": {} }),
        "tools/call" if arguments["breaks"] == true => {
            return Reply {
                pieces: vec![Piece::Break],
                ..answer("")
            };
        }
        "tools/call" => {
            let said = format!("{} {}", tool.as_str().unwrap(), arguments["id"]);
            json!({ "content": [{ "type": "text", "text": said }], "structuredContent": { "n": 12345678901234567890_u64 } })
        }
        _ => return answer("").status(202),
    };
    let reply = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result });
    answer(reply.to_string()).with("mcp-session-id", "s-1")
}

pub(crate) struct Desk {
    stub: Stub,
    world: World,
    store: Arc<dyn Store>,
    options: live::Options,
}

impl Desk {
    async fn open() -> Self {
        Self::recording(live::Options::default()).await
    }

    pub(crate) async fn recording(options: live::Options) -> Self {
        let stub = Stub::start(server).await;
        let store = memory();
        let world = over(&stub, Arc::clone(&store), options.clone()).await;
        Self {
            stub,
            world,
            store,
            options,
        }
    }

    /// The gateway ends, and another goes on with its record.
    pub(crate) async fn restart(self) -> Self {
        self.world.record().await;
        let store = Arc::clone(&self.store);
        let world = over(&self.stub, store, self.options.clone()).await;
        Self { world, ..self }
    }

    fn engine(&self) -> &Engine {
        self.world.recorder.engine()
    }

    async fn call(&self, tool: &str, arguments: &Value) -> Answer {
        self.call_in(tool, arguments, &[("x-rescind-run", "ticket-7")])
            .await
    }

    pub(crate) async fn call_in(
        &self,
        tool: &str,
        arguments: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let params = json!({ "name": tool, "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let path = "/agents/ada/mcp/desk";
        self.world.post(path, headers, &body.to_string()).await
    }

    /// The calls that reached the server, but for those that only read.
    pub(crate) fn carried_out(&self) -> Vec<String> {
        let seen = self.stub.seen();
        let calls = seen.iter().filter_map(|seen| {
            let asked: Value = serde_json::from_str(&seen.body).ok()?;
            let (tool, id) = (
                &asked["params"]["name"],
                &asked["params"]["arguments"]["id"],
            );
            let tool = tool.as_str().filter(|tool| *tool != "read")?;
            Some(format!("{tool} {}", id.as_str().unwrap_or_default()))
        });
        calls.collect()
    }

    pub(crate) async fn saves(&self, run: RunId) {
        save(self.engine(), run).await;
    }

    pub(crate) async fn goes_back(&self, run: RunId, forks: bool) -> RestoredView {
        self.world
            .recorder
            .restore(run, "ada", forks)
            .await
            .unwrap()
    }
}

async fn over(stub: &Stub, store: Arc<dyn Store>, options: live::Options) -> World {
    let server = McpServer::Http(stub.endpoint("/mcp"));
    World::knowing(server, CATALOGUE, options, store).await
}

async fn save(engine: &Engine, run: RunId) {
    let new = NewCheckpoint {
        agent: "ada".to_owned(),
        state: json!({ "task": "W1" }),
        ..NewCheckpoint::default()
    };
    engine.checkpoint(run, &new).await.unwrap();
}

pub(crate) fn run_of(answer: &Answer) -> RunId {
    let run = answer.header("x-rescind-run");
    run.unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
}

pub(crate) fn id_of(answer: &Answer) -> String {
    answer.header("x-rescind-decision").unwrap().to_owned()
}

pub(crate) fn of(answer: &Answer) -> Option<&str> {
    answer.header("x-rescind-replay-of")
}

pub(crate) fn id(id: &str) -> Value {
    json!({ "id": id })
}

/// Something that opens the run, and the state before everything else.
pub(crate) async fn begun(desk: &Desk) -> RunId {
    let run = run_of(&desk.call("read", &id("W1")).await);
    desk.saves(run).await;
    run
}

fn one<'a>(record: &'a [DecisionView], id: &str) -> &'a DecisionView {
    record
        .iter()
        .find(|decision| decision.node.id == id)
        .unwrap()
}

#[tokio::test]
async fn a_call_made_again_gets_what_it_got_and_nothing_goes_out() {
    let desk = Desk::open().await;
    let run = begun(&desk).await;
    let first = desk
        .call("cancel", &json!({ "id": "W1", "note": "a" }))
        .await;
    let restored = desk.goes_back(run, false).await;
    assert_eq!(restored.replays, [id_of(&first)]);
    let again = desk
        .call("cancel", &json!({ "note": "b", "id": "W1" }))
        .await;
    let result = |answer: &Answer| {
        let at = answer.body.find("\"result\"").unwrap();
        answer.body[at..].to_owned()
    };
    assert_eq!(result(&again), result(&first), "byte for byte");
    assert_eq!(of(&again), Some(&*id_of(&first)));
    assert_ne!(id_of(&again), id_of(&first));
    assert_eq!(desk.carried_out(), ["cancel W1"]);
    // Each is found again once.
    let third = desk.call("cancel", &id("W1")).await;
    assert_eq!(of(&third), None);
    assert_eq!(desk.carried_out(), ["cancel W1", "cancel W1"]);
    let record = desk.world.record().await;
    let replayed = one(&record, &id_of(&again));
    assert_eq!(
        (&*replayed.node.status, &*replayed.outcome),
        ("replayed", "replayed")
    );
    assert!(replayed.writes.is_empty(), "it changed nothing");
    let cause = replayed
        .causes
        .iter()
        .find(|cause| cause.decision == id_of(&first));
    let cause = cause.unwrap();
    assert_eq!(cause.strength, "certain");
    assert!(cause.evidence.contains("replay"), "{}", cause.evidence);
    assert_eq!(
        content(replayed, "result"),
        content(one(&record, &id_of(&first)), "result")
    );
}

#[tokio::test]
async fn who_asks_to_go_back_and_goes_away_meanwhile_has_gone_back() {
    let desk = Desk::open().await;
    let recorder = &desk.world.recorder;
    recorder.recalled().await;
    tokio::task::yield_now().await;
    let idle = recorder.tasks().len();
    let run = begun(&desk).await;
    let first = desk.call("cancel", &id("W1")).await;
    // The request has come, and its connection closes at once.
    tokio::select! {
        biased;
        _ = recorder.restore(run, "ada", false) => unreachable!("it takes longer"),
        () = std::future::ready(()) => {}
    }
    while recorder.tasks().len() > idle {
        tokio::task::yield_now().await;
    }
    let again = desk.call("cancel", &id("W1")).await;
    assert_eq!(of(&again), Some(&*id_of(&first)));
    assert_eq!(desk.carried_out(), ["cancel W1"]);
}

#[tokio::test]
async fn reads_are_made_anew_and_so_is_what_comes_before_the_state() {
    let desk = Desk::open().await;
    let first = desk.call("cancel", &id("W1")).await;
    let run = run_of(&first);
    desk.saves(run).await;
    desk.call("look", &id("W1")).await;
    let restored = desk.goes_back(run, false).await;
    assert_eq!(
        restored.replays.len(),
        1,
        "`look` is not known to only read"
    );
    for tool in ["cancel", "read"] {
        assert_eq!(of(&desk.call(tool, &id("W1")).await), None, "{tool}");
    }
    assert_eq!(desk.carried_out(), ["cancel W1", "look W1", "cancel W1"]);
}

#[tokio::test]
async fn calls_on_other_records_come_in_any_order() {
    let desk = Desk::open().await;
    let run = begun(&desk).await;
    desk.call("cancel", &id("W1")).await;
    desk.call("cancel", &id("W2")).await;
    desk.goes_back(run, false).await;
    for order in ["W2", "W1"] {
        assert!(
            of(&desk.call("cancel", &id(order)).await).is_some(),
            "{order}"
        );
    }
    assert_eq!(desk.carried_out(), ["cancel W1", "cancel W2"]);
}

#[tokio::test]
async fn a_call_that_was_overwritten_since_is_made_anew() {
    let desk = Desk::open().await;
    let run = begun(&desk).await;
    desk.call("cancel", &id("W1")).await;
    desk.call("reopen", &id("W1")).await;
    desk.call("cancel", &id("W2")).await;
    desk.goes_back(run, false).await;
    assert!(of(&desk.call("reopen", &id("W1")).await).is_some());
    // The order is open now: who were told that it is cancelled would believe what is not so.
    assert_eq!(of(&desk.call("cancel", &id("W1")).await), None);
    assert!(of(&desk.call("cancel", &id("W2")).await).is_some());
}

#[tokio::test]
async fn a_call_that_diverges_ends_what_it_may_have_changed() {
    let desk = Desk::open().await;
    let run = begun(&desk).await;
    for (tool, order) in [
        ("cancel", "W1"),
        ("cancel", "W2"),
        ("mail", "a"),
        ("mail", "b"),
        ("page", "c"),
    ] {
        desk.call(tool, &id(order)).await;
    }
    desk.goes_back(run, false).await;
    assert_eq!(of(&desk.call("reopen", &id("W1")).await), None);
    assert_eq!(of(&desk.call("mail", &id("other")).await), None);
    let found = [
        ("cancel", "W1", false, "another call wrote the order"),
        ("cancel", "W2", true, "nobody touched this one"),
        ("mail", "a", false, "nobody knows what `mail` writes"),
        ("mail", "b", false, "nobody knows what `mail` writes"),
        ("page", "c", true, "another tool"),
    ];
    let desk = desk.restart().await;
    for (tool, order, replays, why) in found {
        let answer = desk.call(tool, &id(order)).await;
        assert_eq!(of(&answer).is_some(), replays, "{tool} {order}: {why}");
    }
}

#[tokio::test]
async fn who_says_so_forks() {
    let desk = Desk::open().await;
    let run = begun(&desk).await;
    let first = desk.call("cancel", &id("W1")).await;
    let other = desk.call("cancel", &id("W2")).await;
    desk.goes_back(run, false).await;
    let headers = [("x-rescind-run", "ticket-7"), ("x-rescind-fork", "1")];
    let forked = desk.call_in("cancel", &id("W1"), &headers).await;
    assert_eq!(of(&forked), None);
    assert!(of(&desk.call("cancel", &id("W2")).await).is_some());
    assert_eq!(desk.carried_out(), ["cancel W1", "cancel W2", "cancel W1"]);
    let seen = desk.stub.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.header("x-rescind-fork").is_none())
    );
    // A restore that forks makes everything anew.
    let restored = desk.goes_back(run, true).await;
    assert!(restored.forks);
    let anew = desk.call("cancel", &id("W2")).await;
    assert_eq!(of(&anew), None);
    let record = desk.world.record().await;
    for (fork, of) in [(&forked, &first), (&anew, &other)] {
        let fork = one(&record, &id_of(fork));
        assert_eq!(fork.node.status, "succeeded");
        let mut causes = fork
            .causes
            .iter()
            .filter(|cause| cause.decision == id_of(of));
        let said = causes
            .find(|cause| cause.evidence.contains("fork"))
            .unwrap();
        assert_eq!(said.strength, "possible", "it does not rest on the first");
    }
}

#[tokio::test]
async fn what_was_rescinded_is_never_found_again() {
    let desk = Desk::open().await;
    let run = begun(&desk).await;
    let before = desk.call("cancel", &id("W1")).await;
    let after = desk.call("cancel", &id("W2")).await;
    let rescind = async |answer: &Answer| {
        let ids = [id_of(answer).parse().unwrap()];
        let told = desk.world.recorder.rescind(&ids, None, "misread").await;
        assert_eq!(told.unwrap().rescinded, ids);
    };
    rescind(&before).await;
    let restored = desk.goes_back(run, false).await;
    assert_eq!(restored.replays, [id_of(&after)]);
    rescind(&after).await;
    for order in ["W1", "W2"] {
        assert_eq!(of(&desk.call("cancel", &id(order)).await), None, "{order}");
    }
}

#[tokio::test]
async fn what_an_agent_finds_again_survives_a_restart() {
    let desk = Desk::open().await;
    let run = begun(&desk).await;
    for order in ["W1", "W2", "W3"] {
        desk.call("cancel", &id(order)).await;
    }
    desk.goes_back(run, false).await;
    assert!(of(&desk.call("cancel", &id("W2")).await).is_some());
    assert_eq!(of(&desk.call("reopen", &id("W3")).await), None);
    let desk = desk.restart().await;
    assert!(of(&desk.call("cancel", &id("W1")).await).is_some());
    assert_eq!(
        of(&desk.call("cancel", &id("W2")).await),
        None,
        "it was found already"
    );
    assert_eq!(
        of(&desk.call("cancel", &id("W3")).await),
        None,
        "the order was reopened"
    );
    let done = [
        "cancel W1",
        "cancel W2",
        "cancel W3",
        "reopen W3",
        "cancel W2",
        "cancel W3",
    ];
    assert_eq!(desk.carried_out(), done);
}

#[tokio::test]
async fn a_state_saved_on_the_way_knows_what_was_not_found_yet() {
    let desk = Desk::open().await;
    let run = begun(&desk).await;
    desk.call("cancel", &id("W1")).await;
    desk.call("cancel", &id("W2")).await;
    desk.goes_back(run, false).await;
    assert!(of(&desk.call("cancel", &id("W1")).await).is_some());
    desk.saves(run).await;
    let restored = desk.goes_back(run, false).await;
    assert_eq!(restored.replays.len(), 1);
    assert_eq!(
        of(&desk.call("cancel", &id("W1")).await),
        None,
        "the state knows of it"
    );
    assert!(of(&desk.call("cancel", &id("W2")).await).is_some());
}

#[tokio::test]
async fn a_run_that_names_the_restore_goes_on_from_it() {
    let desk = Desk::open().await;
    let run = begun(&desk).await;
    desk.call("cancel", &id("W1")).await;
    desk.call("cancel", &id("W2")).await;
    let restored = desk.goes_back(run, false).await;
    let stranger = desk
        .call_in("cancel", &id("W1"), &[("x-rescind-run", "ticket-8")])
        .await;
    assert_eq!(of(&stranger), None);
    let names = [
        ("x-rescind-run", "ticket-9"),
        ("x-rescind-cause", &*restored.decision),
    ];
    assert!(of(&desk.call_in("cancel", &id("W1"), &names).await).is_some());
    let desk = desk.restart().await;
    let later = desk.call_in("cancel", &id("W2"), &names[..1]).await;
    assert!(
        of(&later).is_some(),
        "that it goes on from there stands in the record"
    );
    assert_ne!(run_of(&later), run);
}

/// What a client reads that gets an error.
fn refusal(answer: &Answer) -> (String, String) {
    let error = &answer.json()["error"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&error["data"]["code"]), text(&error["message"]))
}

#[tokio::test]
async fn what_nobody_knows_of_is_not_done_twice() {
    let desk = Desk::open().await;
    let run = begun(&desk).await;
    let broken = json!({ "id": "W1", "breaks": true });
    desk.call("cancel", &broken).await;
    desk.goes_back(run, false).await;
    let (code, why) = refusal(&desk.call("cancel", &broken).await);
    assert_eq!(code, "done_before");
    assert!(
        why.contains("is not known") && why.contains("x-rescind-fork"),
        "{why}"
    );
    assert_eq!(desk.carried_out().len(), 1);
    let headers = [("x-rescind-run", "ticket-7"), ("x-rescind-fork", "1")];
    desk.call_in("cancel", &broken, &headers).await;
    assert_eq!(desk.carried_out().len(), 2);
}

#[tokio::test]
async fn where_answers_are_not_kept_nothing_is_made_up() {
    let bodies = live::Options {
        bodies: false,
        ..live::Options::default()
    };
    let desk = Desk::recording(bodies).await;
    // States are kept all the same: an agent asked for it.
    let run = begun(&desk).await;
    desk.call("cancel", &id("W1")).await;
    desk.goes_back(run, false).await;
    let (code, why) = refusal(&desk.call("cancel", &id("W1")).await);
    assert_eq!(code, "done_before");
    assert!(why.contains("not kept"), "{why}");
    assert_eq!(desk.carried_out(), ["cancel W1"]);
}

#[tokio::test]
async fn of_several_calls_at_once_those_made_before_are_answered_and_nothing_goes_out() {
    let desk = Desk::open().await;
    let run = begun(&desk).await;
    desk.call("cancel", &id("W1")).await;
    desk.goes_back(run, false).await;
    let call = |n: u32, order: &str| {
        let params = json!({ "name": "cancel", "arguments": { "id": order } });
        json!({ "jsonrpc": "2.0", "id": n, "method": "tools/call", "params": params })
    };
    let batch = json!([call(1, "W5"), call(2, "W1")]).to_string();
    let headers = [("x-rescind-run", "ticket-7")];
    let answer = desk
        .world
        .post("/agents/ada/mcp/desk", &headers, &batch)
        .await;
    let answer = answer.json();
    assert_eq!(answer[0]["error"]["data"]["code"], "not_sent");
    assert_eq!(answer[1]["result"]["content"][0]["text"], "cancel \"W1\"");
    assert_eq!(desk.carried_out(), ["cancel W1"]);
}

/// Writes down what it carries out.
const PROGRAM: &str = r#"
import json, sys

for line in sys.stdin:
    message = json.loads(line)
    id, method = message.get("id"), message.get("method")
    result = {"protocolVersion": "2025-06-18", "capabilities": {}}
    if method == "tools/call":
        params = message["params"]
        with open("done", "a") as done:
            done.write(params["name"] + "\n")
        result = {"content": [{"type": "text", "text": params["name"] + " done"}]}
    if id is not None:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}) + "\n")
        sys.stdout.flush()
"#;

fn desk_program(directory: &Path) -> McpServer {
    let script = directory.join("server.py");
    std::fs::write(&script, PROGRAM).unwrap();
    let command = vec!["python3".to_owned(), script.display().to_string()];
    crate::mcp_program::program(command, directory)
}

#[tokio::test]
async fn calls_of_a_program_are_found_again_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = memory();
    let open = || {
        World::knowing(
            desk_program(directory.path()),
            CATALOGUE,
            live::Options::default(),
            Arc::clone(&store),
        )
    };
    let session = async |world: &World| {
        let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#;
        let answer = world.post("/agents/ada/mcp/desk", &[], body).await;
        answer.header("mcp-session-id").unwrap().to_owned()
    };
    let call = async |world: &World, session: &str, tool: &str| {
        let params = json!({ "name": tool, "arguments": {} });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let headers = [("mcp-session-id", session), ("x-rescind-run", "ticket-7")];
        world
            .post("/agents/ada/mcp/desk", &headers, &body.to_string())
            .await
    };
    let world = open().await;
    let s = session(&world).await;
    let run = run_of(&call(&world, &s, "mail").await);
    save(world.recorder.engine(), run).await;
    let first = call(&world, &s, "page").await;
    world.recorder.restore(run, "ada", false).await.unwrap();
    world.record().await;
    // Another process, another program, another session.
    let world = open().await;
    let s = session(&world).await;
    let again = call(&world, &s, "page").await;
    assert_eq!(of(&again), Some(&*id_of(&first)));
    assert_eq!(again.json()["result"], first.json()["result"]);
    assert_eq!(
        of(&call(&world, &s, "mail").await),
        None,
        "the state knows of it"
    );
    let done = std::fs::read_to_string(directory.path().join("done")).unwrap();
    assert_eq!(done, "mail\npage\nmail\n");
}
