//! A window counts every call that was due, and is void when one fails.

use std::time::Duration;

use load::process::DIRECT;
use load::upstream::{Options, Upstream, WORDS};
use load::window::{Schedule, Target, in_turn, open_loop};
use load::words::Words;

fn schedule() -> Schedule {
    Schedule {
        rate: 500,
        lasts: Duration::from_millis(200),
        connections: 4,
    }
}

#[test]
fn every_call_that_was_due_is_counted() {
    let upstream = Upstream::start(Options::default()).unwrap();
    let target = Target {
        address: upstream.address(),
        path: DIRECT,
    };
    let words = Words::new(WORDS, false, 1_024);
    let times = open_loop(&target, schedule(), &words, "open").unwrap();
    assert_eq!(times.len(), 100);
    assert_eq!(in_turn(&target, 7, &words, "turn").unwrap().len(), 7);
}

#[test]
fn a_failed_call_voids_the_window() {
    // Who takes connections and closes them answers nobody.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target {
        address: listener.local_addr().unwrap(),
        path: DIRECT,
    };
    let words = Words::new(WORDS, false, 1_024);
    let closing = store::worker::spawn("closing", move || {
        for stream in listener.incoming().take(5) {
            use std::io::Read as _;
            let mut byte = [0];
            // Closed only once something was asked: with the question in the buffer unread.
            let _ = stream.unwrap().read(&mut byte);
        }
    })
    .unwrap();
    let error = in_turn(&target, 1, &words, "turn").unwrap_err();
    assert!(error.to_string().contains("void"), "{error:#}");
    let error = open_loop(&target, schedule(), &words, "open").unwrap_err();
    let said = format!("{error:#}");
    assert!(said.contains("void") || said.contains("send"), "{said}");
    drop(closing);
}
