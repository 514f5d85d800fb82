//! A call that waits, decided about with the real binary, while it runs and while it does not.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use store::worker::{Worker, spawn};

use crate::world::World;

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"refund","arguments":{"order":"W4482139"}}}"#;
const RESULT: &str =
    r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"Refunded."}]}}"#;

/// A tool server that answers so many calls.
fn server(calls: usize) -> (u16, Worker) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let worker = spawn("tools", move || {
        for _ in 0..calls {
            let (mut stream, _) = listener.accept().unwrap();
            let mut read = Vec::new();
            let mut buffer = [0; 4_096];
            while !read.ends_with(b"}}}") {
                let count = stream.read(&mut buffer).unwrap();
                assert_ne!(count, 0, "it broke off");
                read.extend_from_slice(&buffer[..count]);
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{RESULT}",
                RESULT.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
        }
    });
    (port, worker.unwrap())
}

struct Up {
    child: Child,
    address: String,
}

impl Up {
    fn start(world: &World) -> Self {
        let mut child = world
            .command(&["up", "--listen", "127.0.0.1:0", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["listening"].as_str().unwrap().to_owned();
        Self { child, address }
    }

    /// Makes the call, and returns the answer's body.
    fn call(&self) -> String {
        let address = self.address.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "POST /agents/ada/mcp/desk HTTP/1.1\r\nhost: {address}\r\nx-rescind-run: ticket-7\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{CALL}",
            CALL.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn c42_c49_a_call_waits_for_rescind_approve() {
    let world = World::new();
    let (port, tools) = server(2);
    world.file(
        "rescind.toml",
        format!(
            "mode = \"enforce\"\n[mcp.desk]\nurl = \"http://127.0.0.1:{port}/mcp\"\n\
             [approvals]\nwait_ms = 0\n"
        ),
    );
    let up = Up::start(&world);
    assert!(up.call().contains("Not done yet"));
    let url = ["--url", &up.address];
    let listed = world.ok(&[&["approvals"], &url[..]].concat());
    assert!(
        listed.contains(r#"desk/refund {"order":"W4482139"} (unreviewed)"#),
        "{listed}"
    );
    let held = &world.json(&[&["approvals"], &url[..]].concat())["approvals"][0];
    let decision = held["decision"].as_str().unwrap();
    let short = &decision[decision.len() - 10..];
    let none = world.fails(2, &[&["approve", "ffffffffff"], &url[..]].concat());
    assert!(none.contains("no call waits"), "{none}");
    let said = ["approve", short, "--by", "grace", "--reason", "she called"];
    let approved = world.ok(&[&said, &url[..]].concat());
    assert!(approved.starts_with("approved: desk/refund"), "{approved}");
    assert_eq!(up.call(), RESULT);
    let shown = world.json(&[&["show", decision], &url[..]].concat());
    assert_eq!(shown["decision"]["approvals"][0]["by"], "grace");
    // The next one is approved while nothing runs, and found at the next start.
    assert!(up.call().contains("Not done yet"));
    up.stop();
    let held = &world.json(&["approvals"])["approvals"][0];
    let ruled = world.json(&["approve", held["decision"].as_str().unwrap()]);
    assert_eq!(ruled["verdict"], "approved");
    assert_eq!(
        world.json(&["approvals"])["approvals"][0]["status"],
        "approved"
    );
    let up = Up::start(&world);
    assert_eq!(up.call(), RESULT);
    drop(tools);
    // A rejection is told with its reason.
    assert!(up.call().contains("Not done yet"));
    let url = ["--url", &up.address];
    let held = &world.json(&[&["approvals"], &url[..]].concat())["approvals"][0];
    let decision = held["decision"].as_str().unwrap();
    let said = ["reject", decision, "--reason", "twice the price"];
    let rejected = world.ok(&[&said, &url[..]].concat());
    assert!(rejected.starts_with("rejected: desk/refund"), "{rejected}");
    let nothing = world.ok(&[&["approvals"], &url[..]].concat());
    assert_eq!(nothing, "nothing waits for an approval\n");
    up.stop();
    assert!(world.ok(&["verify", "--full"]).contains("intact"));
}
