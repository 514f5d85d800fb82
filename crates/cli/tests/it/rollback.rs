//! `rescind rollback` with the real binary: through a server, without one, and with the server
//! killed at every point at which it calls a tool.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{Clock as _, SystemClock};
use rustix::process::Signal;
use serde_json::{Value, json};
use store::worker::spawn;

use crate::running::{Up, answer};
use crate::world::{World, said};

const TOOLS: &str = r#"
server = "desk"

[resources.order]
uri = "orders/{id}"
read = { tool = "read", args = { id = "{id}" } }
restore = { tool = "restore", args = { id = "{id}", fields = "{fields}", version = "{version}" } }
record = "/body"
version = "/version"
absent = "no such order"

[tools.cancel]
class = "reversible"
writes = [{ order = "{args.id}", sets = ["/status"] }]

[tools.pay]
class = "compensable"
undo = { tool = "pay_back", args = { amount = "{args.amount}", key = "{key}" }, exact_if = "true" }

[tools.lend]
class = "compensable"
undo = { tool = "take_back", args = { amount = "{args.amount}" }, exact_if = "true" }
probe = { tool = "lent", happened = "result.lent > 0" }

[tools.give]
class = "compensable"
undo = { tool = "ask_back", args = { amount = "{args.amount}" }, exact_if = "true" }
"#;

/// What the tools keep.
#[derive(Debug, Default)]
struct Books {
    status: String,
    version: u64,
    paid: i64,
    lent: i64,
    given: i64,
    keys: BTreeMap<String, bool>,
    done: Vec<String>,
}

/// Where the process that calls is to end, or the one that is called.
#[derive(Debug, Default)]
struct Trap {
    /// Points passed since it was set: before and after each call.
    passed: usize,
    at: Option<usize>,
    told: Option<(SyncSender<()>, Receiver<()>)>,
    /// Where the tools end: what they were asked is never answered, or only in part.
    dies: Option<Dies>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dies {
    at: usize,
    in_answer: bool,
}

impl Trap {
    /// One point; at the one that counts, waits until the caller has been killed. Returns whether
    /// the tools end here.
    fn point(&mut self) -> Option<Dies> {
        if self.at == Some(self.passed)
            && let Some((here, go)) = self.told.take()
        {
            here.send(()).unwrap();
            let _ = go.recv();
        }
        self.passed += 1;
        self.dies.filter(|dies| dies.at + 1 == self.passed)
    }
}

/// A tool server over HTTP, with everything that outlives the process that calls it.
#[derive(Clone, Default)]
struct Desk {
    books: Arc<Mutex<Books>>,
    trap: Arc<Mutex<Trap>>,
}

impl Desk {
    /// Somebody writes the order whom the record does not know.
    fn written_by_somebody(&self) {
        let mut books = self.books.lock().unwrap();
        "lost".clone_into(&mut books.status);
        books.version += 1;
    }

    fn has_done(&self, tool: &str) -> bool {
        let books = self.books.lock().unwrap();
        books.done.iter().any(|done| done == tool)
    }

    fn start(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let desk = self.clone();
        let worker = spawn("desk", move || {
            for stream in listener.incoming() {
                // One after the other, so that the points have an order.
                let _ = desk.answer(stream.unwrap());
            }
        });
        // It takes calls as long as this process lives.
        Box::leak(Box::new(worker.unwrap()));
        port
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        for line in head.to_ascii_lowercase().lines() {
            if let Some(said) = line.strip_prefix("content-length: ") {
                length = said.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let mut ends = None;
        let result = match asked["method"].as_str().unwrap() {
            "initialize" => json!({ "protocolVersion": "2025-06-18", "capabilities": {} }),
            "tools/call" => {
                if self.trap.lock().unwrap().point().is_some() {
                    return Ok(());
                }
                let tool = asked["params"]["name"].as_str().unwrap();
                let result = self
                    .books
                    .lock()
                    .unwrap()
                    .call(tool, &asked["params"]["arguments"]);
                ends = self.trap.lock().unwrap().point();
                result
            }
            _ => Value::Null,
        };
        let reply = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{reply}",
            reply.len()
        );
        let sent = match ends {
            None => head.len(),
            Some(Dies { in_answer, .. }) if in_answer => head.len() - reply.len() / 2,
            Some(_) => 0,
        };
        stream.write_all(&head.as_bytes()[..sent])
    }
}

impl Books {
    fn call(&mut self, tool: &str, args: &Value) -> Value {
        let amount = args["amount"].as_i64().unwrap_or_default();
        let mut answer = json!({ "done": true });
        match tool {
            "read" => {
                answer = json!({ "body": { "status": self.status }, "version": self.version })
            }
            "lent" => answer = json!({ "lent": self.lent }),
            "restore" if args["version"] != json!(self.version) => {
                let said = json!({ "type": "text", "text": "version conflict" });
                return json!({ "content": [said], "isError": true });
            }
            "restore" => {
                let status = &args["fields"]["/status"];
                self.status = status.as_str().unwrap().to_owned();
                self.version += 1;
            }
            "cancel" => {
                self.status = "cancelled".to_owned();
                self.version += 1;
            }
            "pay" => self.paid += amount,
            "lend" => self.lent += amount,
            "give" => self.given += amount,
            "pay_back" => {
                let key = args["key"].as_str().unwrap().to_owned();
                if self.keys.insert(key, true).is_some() {
                    return said_as(&answer);
                }
                self.paid -= amount;
            }
            "take_back" => self.lent -= amount,
            "ask_back" => self.given -= amount,
            other => panic!("there is no tool {other}"),
        }
        if !matches!(tool, "read" | "lent") {
            self.done.push(tool.to_owned());
        }
        said_as(&answer)
    }
}

fn said_as(answer: &Value) -> Value {
    json!({ "content": [{ "type": "text", "text": answer.to_string() }] })
}

/// Calls a tool as an agent, and returns the decision.
fn call(up: &Up, agent: &str, tool: &str, args: &Value, cause: Option<&str>) -> String {
    let params = json!({ "name": tool, "arguments": args });
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
    let cause = cause.map_or_else(String::new, |id| format!("x-rescind-cause: {id}\r\n"));
    let headers = format!("{cause}x-rescind-run: ticket-7\r\n");
    let path = format!("/agents/{agent}/mcp/desk");
    let (head, body) = answer(up.post(&path, &headers, &body.to_string()));
    let named = head
        .lines()
        .find_map(|line| line.strip_prefix("x-rescind-decision: "));
    named
        .unwrap_or_else(|| panic!("{head}\n\n{body}"))
        .to_owned()
}

/// An agent cancels the wrong order, and another pays, lends or gives money for it.
fn scene(tools: &[&str]) -> (World, Desk, Up, String) {
    let (world, desk) = (World::new(), Desk::default());
    "open".clone_into(&mut desk.books.lock().unwrap().status);
    let port = desk.start();
    world.file("tools.toml", TOOLS);
    let url = format!("http://127.0.0.1:{port}/mcp");
    let config = format!("tools = \"tools.toml\"\n[mcp.desk]\nurl = \"{url}\"\n");
    world.file("rescind.toml", config);
    let up = Up::start(&world);
    let root = call(&up, "orders", "cancel", &json!({ "id": "W1" }), None);
    for tool in tools {
        let amount = json!({ "amount": 30 });
        call(&up, "billing", tool, &amount, Some(&root));
    }
    (world, desk, up, root)
}

#[test]
fn c34_a_dry_run_shows_exactly_the_dependants_and_does_nothing() {
    let (world, desk, up, root) = scene(&["pay"]);
    call(&up, "stock", "lend", &json!({ "amount": 5 }), None);
    let plan = world.json(&["rollback", &root, "--dry-run", "--url", &up.address]);
    let affected = plan["plan"]["affected"].as_array().unwrap();
    assert_eq!(affected.len(), 2, "{plan}");
    let text = plan["text"].as_str().unwrap();
    for says in [
        "orders/W1",
        "  orders cancel: undone",
        "  billing pay: undone",
    ] {
        assert!(text.contains(says), "{text}");
    }
    assert_eq!(desk.books.lock().unwrap().done, ["cancel", "pay", "lend"]);
    let none = world.json(&["rollbacks", "--url", &up.address]);
    assert_eq!(none["rollbacks"], json!([]));
    up.stop(Signal::TERM);
}

#[test]
fn a_rollback_goes_through_the_server_that_runs() {
    let (world, desk, up, root) = scene(&["pay", "lend"]);
    let url = up.address.clone();
    let done = world.json(&["rollback", &root, "--yes", "--by", "olga", "--url", &url]);
    assert_eq!(done["state"], "succeeded", "{done:#}");
    assert_eq!(done["approved_by"], json!(["olga"]));
    assert_eq!(done["held"], json!([]));
    {
        let books = desk.books.lock().unwrap();
        assert_eq!(
            (books.status.as_str(), books.paid, books.lent),
            ("open", 0, 0)
        );
    }
    let id = done["id"].as_str().unwrap();
    let followed = world.ok(&["blast", &root, "--url", &url]);
    assert!(followed.contains("certainly followed: 2\n"), "{followed}");
    assert!(followed.contains("possibly followed: 0\n"), "{followed}");
    let id = &id[id.len() - 10..];
    let told = format!(
        "\ndone about it\nundone by rollback {id}: 7 of 7 steps; see `rescind rollback show {id}`\n"
    );
    assert!(followed.contains(&told), "{followed}");
    // Again: there is nothing left to do.
    let again = world.json(&["rollback", &root, "--yes", "--url", &url]);
    assert_eq!(again["state"], "succeeded", "{again:#}");
    assert_eq!(desk.books.lock().unwrap().done.len(), 6);
    let shown = world.json(&[
        "rollback",
        "show",
        done["id"].as_str().unwrap(),
        "--url",
        &url,
    ]);
    assert_eq!(shown["state"], "succeeded");
    up.stop(Signal::TERM);
    world.ok(&["verify", "--full"]);
    let log = std::fs::read_to_string(world.path("up.log")).unwrap();
    let id = done["id"].as_str().unwrap();
    for says in [
        format!("Z note: a rollback is carried out; rollback {id}; done 0; steps "),
        format!("Z note: a rollback ended; rollback {id}; state succeeded\n"),
    ] {
        assert!(log.contains(&says), "{says}: {log}");
    }
}

#[test]
fn a_rollback_is_carried_out_without_a_server_too() {
    let (world, desk, up, root) = scene(&["pay"]);
    up.stop(Signal::TERM);
    let put = world.json(&["rollback", &root, "--reason", "the wrong order"]);
    assert_eq!(put["state"], "proposed", "nobody could be asked");
    let (id, digest) = (put["id"].as_str().unwrap(), put["digest"].as_str().unwrap());
    let wrong = "0".repeat(64);
    let refused = world.fails(2, &["rollback", "approve", id, "--digest", &wrong]);
    assert!(refused.contains("has the digest"), "{refused}");
    let done = world.json(&["rollback", "approve", id, "--digest", digest]);
    assert_eq!(done["state"], "succeeded", "{done:#}");
    let books = desk.books.lock().unwrap();
    assert_eq!((books.status.as_str(), books.paid), ("open", 0));
}

#[test]
fn rollbacks_are_looked_at_while_another_process_holds_the_record() {
    let (world, _desk, up, root) = scene(&["pay"]);
    up.stop(Signal::TERM);
    assert_eq!(world.ok(&["rollbacks"]), "nothing was rolled back\n");
    let put = world.json(&["rollback", &root, "--reason", "the wrong order"]);
    let id = put["id"].as_str().unwrap();
    let lock = std::fs::File::open(world.path("rescind-data/LOCK")).unwrap();
    lock.lock().unwrap();
    let list = world.ok(&["rollbacks"]);
    assert_eq!(
        list,
        format!("{id}  proposed  0 of 6 steps  the wrong order\n")
    );
    let shown = world.ok(&["rollback", "show", id]);
    assert!(shown.contains("  billing pay: undone"), "{shown}");
    assert_eq!(
        world.ok(&["rollback", "diff", id, id]),
        "the plans say the same\n"
    );
    assert_eq!(world.ok(&["quarantine"]), "no agent is held\n");
}

#[test]
fn a_rollback_that_failed_says_what_to_do() {
    let (world, desk, up, root) = scene(&["pay"]);
    up.stop(Signal::TERM);
    // Nobody listens there.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", gone.local_addr().unwrap());
    drop(gone);
    let config = format!("tools = \"tools.toml\"\n[mcp.desk]\nurl = \"{url}\"\n");
    world.file("rescind.toml", config);
    let said = world.fails(1, &["rollback", &root, "--yes"]);
    for says in [
        "FAILED   inverse: the call was not made: could not reach",
        "  pending  put-back orders/W1\n",
        "\n0 taken back or nothing to undo, 2 not taken back\n",
        "\nheld: billing, orders\n",
        "\ntry again with `rescind rollback retry ",
    ] {
        assert!(said.contains(says), "{says}: {said}");
    }
    assert_eq!(desk.books.lock().unwrap().done, ["cancel", "pay"]);
    let both = ["--happened", "1,2", "--not-happened", "2"];
    let both = world.fails(2, &[&["rollback", "retry", "latest"][..], &both].concat());
    assert!(both.contains("step 2 is said to have been"), "{both}");
    let list = world.json(&["rollbacks"]);
    let id = list["rollbacks"][0]["id"].as_str().unwrap();
    let none = world.fails(2, &["rollback", "retry", id, "--not-happened", "99"]);
    assert!(none.contains("has no step 99"), "{none}");
}

#[test]
fn a_person_says_what_becomes_of_what_somebody_else_wrote() {
    let (world, desk, up, root) = scene(&[]);
    let url = up.address.clone();
    desk.written_by_somebody();
    let rollback = ["rollback", &root, "--yes", "--url", &url];
    let open = world.fails(2, &rollback);
    assert!(
        open.contains("leaves open what becomes of `orders/W1`"),
        "{open}"
    );
    assert!(open.contains("--settle URI=keep-newer"), "{open}");
    let wrong = [&rollback[..], &["--settle", "orders/W1=mine"]].concat();
    let wrong = world.fails(2, &wrong);
    assert!(wrong.contains("URI=restore-field"), "{wrong}");
    let kept = [&rollback[..], &["--settle", "orders/W1=keep-newer"]].concat();
    let kept = world.json(&kept);
    assert_eq!(kept["state"], "succeeded", "{kept:#}");
    assert_eq!(desk.books.lock().unwrap().status, "lost");

    let (world, desk, up, root) = scene(&[]);
    up.stop(Signal::TERM);
    desk.written_by_somebody();
    let rule = "orders/W1=restore-field";
    let back = world.json(&["rollback", &root, "--yes", "--settle", rule]);
    assert_eq!(back["state"], "succeeded", "{back:#}");
    assert_eq!(desk.books.lock().unwrap().status, "open");
}

#[test]
fn a_rollback_is_not_taken_back() {
    let (world, _desk, up, root) = scene(&[]);
    let url = up.address.clone();
    let done = world.json(&["rollback", &root, "--yes", "--url", &url]);
    // The newest run is now the rollback's own.
    for id in ["latest:1", done["steps"][1]["decision"].as_str().unwrap()] {
        let refused = world.fails(2, &["rollback", id, "--yes", "--url", &url]);
        assert!(refused.contains("is part of a rollback"), "{refused}");
        assert!(refused.contains("hint: the newest run may be"), "{refused}");
    }
    let list = world.json(&["rollbacks", "--url", &url]);
    assert_eq!(list["rollbacks"].as_array().unwrap().len(), 1, "{list}");
    up.stop(Signal::TERM);
}

#[test]
fn two_plans_are_compared() {
    let (world, _desk, up, root) = scene(&["pay"]);
    up.stop(Signal::TERM);
    let propose = |reason: &str| {
        let put = world.json(&["rollback", &root, "--reason", reason]);
        put["id"].as_str().unwrap().to_owned()
    };
    let (one, same) = (propose("the wrong order"), propose("the wrong order"));
    let other = propose("the wrong customer");
    let none = world.json(&["rollback", "diff", &one, &same]);
    assert_eq!(none["changes"], json!([]));
    let output = world.call(&["rollback", "diff", &one, &other]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "~ reason: the wrong order -> the wrong customer\n");
}

#[test]
fn an_agent_is_held_and_released_by_hand() {
    let (world, _desk, up, _root) = scene(&[]);
    let url = up.address.clone();
    let held = world.json(&["quarantine", "billing", "--by", "olga", "--url", &url]);
    assert_eq!(held["held"][0]["agent"], "billing");
    up.stop(Signal::TERM);
    let held = world.json(&["quarantine"]);
    assert_eq!(held["held"][0]["by"], "olga");
    let none = world.json(&["release", "billing"]);
    assert_eq!(none["held"], json!([]));
    assert_eq!(none["ended"][0]["by"], "olga");
    world.fails(2, &["release", "billing"]);
}

/// What came of a rollback whose server was killed.
struct End {
    view: Value,
    done: Vec<String>,
    /// What the order is, and what is paid, lent and given.
    left: (String, i64),
    /// From the start of the next process to the end of the rollback.
    resumed: Duration,
}

/// Kills the server at one point of a rollback, starts another, and waits until that has ended it.
/// None if the rollback has no such point.
fn killed_at(point: usize, tool: &str) -> Option<End> {
    let (world, desk, up, root) = scene(&[tool]);
    let put = world.json(&["rollback", &root, "--url", &up.address]);
    let (id, digest) = (put["id"].as_str().unwrap(), put["digest"].as_str().unwrap());
    let (here, reached) = sync_channel(0);
    let (go, wait) = channel();
    {
        let mut trap = desk.trap.lock().unwrap();
        (trap.at, trap.passed) = (Some(point), 0);
        trap.told = Some((here, wait));
    }
    let mut approving = world
        .command(&[
            "rollback",
            "approve",
            id,
            "--digest",
            digest,
            "--url",
            &up.address,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    loop {
        if reached.recv_timeout(Duration::from_millis(20)).is_ok() {
            break;
        }
        if approving.try_wait().unwrap().is_some() {
            up.stop(Signal::TERM);
            return None;
        }
    }
    up.kill();
    go.send(()).unwrap();
    approving.wait().unwrap();
    let started = SystemClock.wall();
    let up = Up::start(&world);
    let view = loop {
        let view = world.call(&["rollback", "show", id, "--json", "--url", &up.address]);
        let view: Value = serde_json::from_slice(&view.stdout).unwrap_or_else(|_| {
            panic!("{}", said(&view));
        });
        if view["state"] != "under-way" && view["state"] != "approved" {
            break view;
        }
    };
    let resumed = Duration::from_micros(SystemClock.wall().saturating_sub(started));
    let books = desk.books.lock().unwrap();
    let end = End {
        view,
        done: books.done.clone(),
        left: (books.status.clone(), books.paid + books.lent + books.given),
        resumed,
    };
    drop(books);
    up.stop(Signal::TERM);
    world.ok(&["verify", "--full"]);
    Some(end)
}

/// Kills the server before and after every call of a tool that a rollback makes.
fn every_point(tool: &str, inverse: &str) -> (usize, usize, Duration) {
    let (mut parked, mut longest) = (0, Duration::ZERO);
    for point in 0.. {
        let Some(end) = killed_at(point, tool) else {
            return (point, parked, longest);
        };
        longest = longest.max(end.resumed);
        let times = |name: &str| end.done.iter().filter(|done| *done == name).count();
        assert!(
            times(inverse) <= 1,
            "{tool}, point {point}: done twice: {:?}",
            end.done
        );
        assert!(
            times("restore") <= 1,
            "{tool}, point {point}: done twice: {:?}",
            end.done
        );
        let states = end.view["steps"].as_array().unwrap();
        if states.iter().any(|step| step["state"] == "parked") {
            parked += 1;
            assert_eq!(end.view["state"], "failed");
            continue;
        }
        assert_eq!(
            end.view["state"], "succeeded",
            "{tool}, point {point}: {:#}",
            end.view
        );
        assert_eq!(
            end.left,
            ("open".to_owned(), 0),
            "{tool}, point {point}: lost"
        );
    }
    unreachable!()
}

#[test]
fn c44_a_server_killed_at_every_call_of_a_rollback_ends_it_after_a_restart() {
    for (tool, inverse) in [
        ("pay", "pay_back"),
        ("lend", "take_back"),
        ("give", "ask_back"),
    ] {
        let (points, parked, longest) = every_point(tool, inverse);
        println!("{tool}: {points} points, {parked} parked, ended at most {longest:?} after");
        assert!(points >= 6, "{tool}: {points}");
        match tool {
            "give" => assert!(parked <= 2, "what nothing can tell"),
            _ => assert_eq!(parked, 0, "{tool}"),
        }
    }
}

/// Where what is paid, lent and given ought to be after a rollback, and how often each tool may have
/// run for it.
fn assert_once(desk: &Desk, inverse: &str, what: &str) {
    let books = desk.books.lock().unwrap();
    for name in [inverse, "restore"] {
        let times = books.done.iter().filter(|done| *done == name).count();
        assert_eq!(times, 1, "{what}: {:?}", books.done);
    }
    let left = (&*books.status, books.paid + books.lent + books.given);
    assert_eq!(left, ("open", 0), "{what}");
}

/// Lets the tools end at one point of a rollback; they are there again at once. Returns whether a
/// step was parked; none if the rollback has no such point.
fn tools_end_at(dies: Dies, tool: &str, inverse: &str) -> Option<bool> {
    let what = format!("{tool}, {dies:?}");
    let (world, desk, up, root) = scene(&[tool]);
    let url = up.address.clone();
    let rescind = |words: &[&str]| {
        let done = world.call(&[words, &["--json", "--url", &url]].concat());
        let view: Result<Value, _> = serde_json::from_slice(&done.stdout);
        view.unwrap_or_else(|_| panic!("{what}: {}", said(&done)))
    };
    let put = rescind(&["rollback", &root]);
    let (id, digest) = (put["id"].as_str().unwrap(), put["digest"].as_str().unwrap());
    {
        let mut trap = desk.trap.lock().unwrap();
        (trap.passed, trap.dies) = (0, Some(dies));
    }
    let mut view = rescind(&["rollback", "approve", id, "--digest", digest]);
    if desk.trap.lock().unwrap().passed <= dies.at {
        assert_once(&desk, inverse, &what);
        return None;
    }
    let parked = |view: &Value| {
        let steps = view["steps"].as_array().unwrap().iter();
        let mut parked = steps.filter(|step| step["state"] == "parked");
        parked.next().map(|step| step["n"].to_string())
    };
    let mut was_parked = false;
    if let Some(step) = parked(&view) {
        // A person looks, and says what they found.
        was_parked = true;
        let ran = desk.has_done(inverse);
        let found = if ran { "--happened" } else { "--not-happened" };
        view = rescind(&["rollback", "retry", id, found, &step]);
    } else if view["state"] == "failed" {
        view = rescind(&["rollback", "retry", id]);
    }
    assert_eq!(view["state"], "succeeded", "{what}: {view:#}");
    assert_once(&desk, inverse, &what);
    up.stop(Signal::TERM);
    world.ok(&["verify", "--full"]);
    Some(was_parked)
}

#[test]
fn c44_tools_that_die_at_every_call_of_a_rollback_are_called_once_all_the_same() {
    for (tool, inverse) in [
        ("pay", "pay_back"),
        ("lend", "take_back"),
        ("give", "ask_back"),
    ] {
        let (mut points, mut parked) = (0, 0);
        'points: for at in 0.. {
            for in_answer in [false, true] {
                // Before a call is carried out there is no answer to end in.
                if in_answer && at % 2 == 0 {
                    continue;
                }
                match tools_end_at(Dies { at, in_answer }, tool, inverse) {
                    None => break 'points,
                    Some(was_parked) => parked += usize::from(was_parked),
                }
                points += 1;
            }
        }
        println!("{tool}: {points} points, {parked} parked");
        assert!(points >= 9, "{tool}: {points}");
        match tool {
            "give" => assert!(parked <= 3, "what nothing can tell: {parked}"),
            _ => assert_eq!(parked, 0, "{tool}"),
        }
    }
}

#[test]
fn c41_a_call_whose_tools_died_is_asked_about_or_left_to_a_person() {
    for (tool, inverse, fate) in [
        ("lend", "take_back", "probed"),
        ("give", "ask_back", "parked"),
    ] {
        for (at, in_answer) in [(0, false), (1, false), (1, true)] {
            let dies = Dies { at, in_answer };
            let what = format!("{tool}, {dies:?}");
            let (world, desk, up, root) = scene(&[]);
            {
                let mut trap = desk.trap.lock().unwrap();
                (trap.passed, trap.dies) = (0, Some(dies));
            }
            let lent = call(&up, "billing", tool, &json!({ "amount": 30 }), Some(&root));
            desk.trap.lock().unwrap().dies = None;
            let ran = desk.has_done(tool);
            assert_eq!(ran, at == 1, "{what}");
            let shown = world.json(&["show", &lent, "--url", &up.address]);
            assert_eq!(shown["decision"]["status"], "unknown", "{what}: {shown:#}");
            let rollback = ["rollback", &root, "--url", &up.address];
            let plan = world.json(&[&rollback[..], &["--dry-run"]].concat());
            let affected = plan["plan"]["affected"].as_array().unwrap();
            let fates: Vec<&Value> = affected.iter().map(|one| &one["fate"]).collect();
            assert_eq!(fates, ["undone", fate], "{what}: {plan:#}");
            let done = world.call(&[&rollback[..], &["--yes", "--json"]].concat());
            let done: Value = serde_json::from_slice(&done.stdout).unwrap();
            let books = desk.books.lock().unwrap();
            let times = books.done.iter().filter(|done| *done == inverse).count();
            match tool {
                "lend" => {
                    assert_eq!(done["state"], "succeeded", "{what}: {done:#}");
                    assert_eq!((books.lent, times), (0, usize::from(ran)), "{what}");
                }
                _ => assert_eq!(times, 0, "{what}: nobody knows, and nothing is assumed"),
            }
        }
    }
}
