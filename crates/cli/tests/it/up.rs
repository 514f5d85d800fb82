//! `rescind up`: an agent's call through the real binary, and how the process ends.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::Signal;
use serde_json::{Value, json};
use store::worker::{Worker, spawn};

use crate::running::{Up, answer};
use crate::world::World;

const KEY: &str = "sk-test-never-recorded-0123456789";

/// What the upstream answers, byte for byte, unknown fields included.
const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"m-1","x_new":[1.50,{"a":null}],"choices":[{"index":0,"message":{"role":"assistant","content":"pong"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;

/// A model that answers so many calls, or takes them and never answers; each connection is handed
/// over once its call was taken.
fn upstream(calls: usize, answers: bool) -> (u16, Receiver<TcpStream>, Worker) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (taken, calls_taken) = channel();
    let worker = spawn("upstream", move || {
        for _ in 0..calls {
            let (mut stream, _) = listener.accept().unwrap();
            let (head, _) = request(&mut stream);
            assert!(head.contains(KEY), "the key goes through");
            assert!(
                !head.contains("x-rescind"),
                "nothing of ours goes on: {head}"
            );
            if answers {
                respond(&mut stream, ANSWER);
            }
            let _ = taken.send(stream);
        }
    });
    (port, calls_taken, worker.unwrap())
}

/// Reads a head, and a body of the length that it says.
fn request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(
            reader.read_line(&mut head).unwrap(),
            0,
            "it broke off: {head}"
        );
    }
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (head, body)
}

fn respond(stream: &mut TcpStream, body: &str) {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
}

/// Starts it in front of the upstream.
fn start(world: &World, upstream: u16) -> Up {
    let url = format!("http://127.0.0.1:{upstream}/v1");
    world.file(
        "rescind.toml",
        format!("[upstreams.openai]\nurl = \"{url}\"\n[retry]\nattempts_max = 1\n"),
    );
    Up::start(world)
}

/// Sends a chat call and returns the connection.
fn send(up: &Up) -> TcpStream {
    let body = json!({"model": "m-1", "messages": [{"role": "user", "content": "ping"}]});
    let headers = format!("authorization: Bearer {KEY}\r\nx-rescind-run: ticket-7\r\n");
    let path = "/agents/tester/openai/v1/chat/completions";
    up.post(path, &headers, &body.to_string())
}

#[test]
fn c77_a_call_goes_through_unchanged_and_is_recorded() {
    let world = World::new();
    let (port, _taken, upstream) = upstream(1, true);
    let up = start(&world, port);
    let (head, body) = answer(send(&up));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, ANSWER);
    let decision = head
        .lines()
        .find_map(|line| line.strip_prefix("x-rescind-decision: "))
        .unwrap()
        .to_owned();
    drop(upstream);
    let url = up.address.clone();
    let asked: Vec<Value> = [
        &["runs"][..],
        &["show", &decision],
        &["show", "latest"],
        &["graph", "latest"],
        &["blast", &decision],
    ]
    .iter()
    .map(|command| world.json(&[command, &["--url", &url][..]].concat()))
    .collect();
    assert!(
        world
            .ok(&["verify", "--full", "--url", &url])
            .contains("intact")
    );
    let not = world.fails(2, &["reindex", "--url", &url]);
    assert!(not.contains("works on the files"), "{not}");
    assert!(up.stop(Signal::TERM).success());
    let gone = world.fails(2, &["runs", "--url", &url]);
    assert!(gone.contains("is `rescind up` running there?"), "{gone}");
    for (command, remote) in [
        (&["runs"][..], &asked[0]),
        (&["show", &decision], &asked[1]),
        (&["show", "latest"], &asked[2]),
        (&["graph", "latest"], &asked[3]),
        (&["blast", &decision], &asked[4]),
    ] {
        assert_eq!(
            &world.json(command),
            remote,
            "{command:?}: the same answer either way"
        );
    }

    assert_eq!(world.json(&["runs"])["runs"][0]["external"], "ticket-7");
    let shown = world.json(&["show", &decision]);
    let shown = &shown["decision"];
    assert_eq!(shown["agent"], "tester");
    assert_eq!(shown["known"], "observed");
    assert_eq!(shown["status"], "succeeded");
    assert!(world.ok(&["verify", "--full"]).contains("intact"));
    for file in files(&world.path("rescind-data")) {
        let bytes = std::fs::read(&file).unwrap();
        let key = KEY.as_bytes();
        assert!(
            !bytes.windows(key.len()).any(|part| part == key),
            "{}",
            file.display()
        );
    }
}

#[test]
fn c7_a_call_that_reached_its_upstream_is_unknown_after_a_kill() {
    let world = World::new();
    let (port, taken, silent) = upstream(1, false);
    let up = start(&world, port);
    let _waits = send(&up);
    let held = taken.recv().unwrap();
    up.kill();
    drop((held, silent));
    let (port, _taken, upstream) = upstream(1, true);
    let up = start(&world, port);
    let (head, _) = answer(send(&up));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    drop(upstream);
    assert!(up.stop(Signal::INT).success());
    let runs = world.json(&["runs"]);
    assert_eq!(
        runs["runs"][0]["statuses"],
        json!({"succeeded": 1, "unknown": 1})
    );
    assert!(world.ok(&["verify", "--full"]).contains("intact"));
}

#[test]
fn a_published_log_is_fetched_and_checked_by_whoever_has_its_key() {
    let world = World::with_refund();
    let keys = world.json(&["keys"]);
    let key = keys["log"][0].as_str().unwrap();
    let up = Up::start(&world);
    let log = format!("{}/log/default", up.address);
    let intact = world.ok(&["verify", &log, "--full", "--key", key]);
    assert!(
        intact.contains("9 entries and 0 payloads hashed"),
        "{intact}"
    );
    let without = world.fails(2, &["verify", &log]);
    assert!(without.contains("`--key`"), "{without}");
    let nothing = format!("{}/log/other", up.address);
    let nothing = world.fails(2, &["verify", &nothing, "--key", key]);
    assert!(nothing.contains("there is no log at"), "{nothing}");
    let entries = files(&world.path("rescind-data/log/default/tile/entries"));
    let mut bundle = std::fs::read(&entries[0]).unwrap();
    *bundle.last_mut().unwrap() ^= 1;
    std::fs::write(&entries[0], bundle).unwrap();
    let tampered = world.call(&["verify", &log, "--full", "--key", key]);
    assert_eq!(tampered.status.code(), Some(1));
    let told = String::from_utf8(tampered.stdout).unwrap();
    assert!(told.contains("from entry 8 on"), "{told}");
    assert!(told.contains(&format!("({log})")), "{told}");
}

#[test]
fn what_a_start_finds_is_told_once() {
    let world = World::with_refund();
    let torn = files(&world.path("rescind-data/segments"));
    let torn = torn
        .iter()
        .filter(|file| file.extension() == Some("log".as_ref()));
    let mut torn = OpenOptions::new()
        .append(true)
        .open(torn.max().unwrap())
        .unwrap();
    torn.write_all(b"half a record").unwrap();
    assert!(Up::start(&world).stop(Signal::TERM).success());
    let log = std::fs::read_to_string(world.path("up.log")).unwrap();
    assert_eq!(log.matches("had a torn tail").count(), 1, "{log}");
}

#[test]
fn a_list_of_a_server_is_read_page_after_page() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let worker = spawn("server", move || {
        for (asked, agent, next) in [
            ("get /api/v1/quarantine http", "ada", json!("3.ada1")),
            (
                "get /api/v1/quarantine?cursor=3.ada1 http",
                "bo",
                Value::Null,
            ),
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let (head, _) = request(&mut stream);
            assert!(head.starts_with(asked), "{head}");
            let held = json!([{ "agent": agent, "by": "olga", "run": "1" }]);
            respond(
                &mut stream,
                &json!({ "held": held, "next": next }).to_string(),
            );
        }
    });
    let held = World::new().ok(&["quarantine", "--url", &url]);
    assert_eq!(held, "ada  held by olga\nbo  held by olga\n");
    drop(worker);
}

fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
