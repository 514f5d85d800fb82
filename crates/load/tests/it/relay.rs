//! The relay passes on what it is given, and what comes back, also where it keeps both.

use std::process::Command;

use load::client::Connection;
use load::process::{DIRECT, Process};
use load::upstream::{Options, Upstream, WORDS};
use load::words::Words;

#[test]
fn answers_are_the_same_as_without_it() {
    let upstream = Upstream::start(Options {
        remembers: true,
        ..Options::default()
    })
    .unwrap();
    let to = upstream.address().to_string();
    let binary = env!("CARGO_BIN_EXE_rescind-load");
    let dir = tempfile::tempdir().unwrap();
    let mut bare = Command::new(binary);
    bare.args(["relay", "--to", &to]);
    let mut keeping = Command::new(binary);
    keeping
        .args(["relay", "--to", &to, "--keep"])
        .arg(dir.path());
    for mut relay in [bare, keeping] {
        let relay = Process::start(&mut relay).unwrap();
        for stream in [false, true] {
            let words = Words::new(WORDS, stream, 1_024);
            let mut through = Connection::open(relay.address()).unwrap();
            let mut directly = Connection::open(upstream.address()).unwrap();
            let through = through.call(DIRECT, &words.body("through", 0)).unwrap();
            let directly = directly.call(DIRECT, &words.body("directly", 0)).unwrap();
            assert_eq!(through.status, 200);
            assert!(!through.body.is_empty() && (stream || through.body == directly.body));
        }
    }
    assert_eq!(upstream.seen().count(), 8);
    // Two questions and two answers, each in the journal.
    let journal = dir.path().join("journal").join("journal-00000001");
    assert!(std::fs::metadata(journal).unwrap().len() > 3 * 1_024);
}
