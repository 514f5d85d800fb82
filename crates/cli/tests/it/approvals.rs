//! A call that waits, decided about with the real binary, while it runs and while it does not.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use rustix::process::Signal;
use store::worker::{Worker, spawn};

use crate::running::{Up, answer};
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

/// Makes the call, and returns the answer's body.
fn call(up: &Up) -> String {
    let stream = up.post("/agents/ada/mcp/desk", "x-rescind-run: ticket-7\r\n", CALL);
    answer(stream).1
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
    assert!(call(&up).contains("Not done yet"));
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
    assert_eq!(call(&up), RESULT);
    let shown = world.json(&[&["show", decision], &url[..]].concat());
    assert_eq!(shown["decision"]["approvals"][0]["by"], "grace");
    // The next one is approved while nothing runs, and found at the next start.
    assert!(call(&up).contains("Not done yet"));
    assert!(up.stop(Signal::TERM).success());
    let held = &world.json(&["approvals"])["approvals"][0];
    let ruled = world.json(&["approve", held["decision"].as_str().unwrap()]);
    assert_eq!(ruled["verdict"], "approved");
    assert_eq!(
        world.json(&["approvals"])["approvals"][0]["status"],
        "approved"
    );
    let up = Up::start(&world);
    assert_eq!(call(&up), RESULT);
    drop(tools);
    // A rejection is told with its reason.
    assert!(call(&up).contains("Not done yet"));
    let url = ["--url", &up.address];
    let held = &world.json(&[&["approvals"], &url[..]].concat())["approvals"][0];
    let decision = held["decision"].as_str().unwrap();
    let said = ["reject", decision, "--reason", "twice the price"];
    let rejected = world.ok(&[&said, &url[..]].concat());
    assert!(rejected.starts_with("rejected: desk/refund"), "{rejected}");
    let nothing = world.ok(&[&["approvals"], &url[..]].concat());
    assert_eq!(nothing, "nothing waits for an approval\n");
    assert!(up.stop(Signal::TERM).success());
    assert!(world.ok(&["verify", "--full"]).contains("intact"));
}
