//! `kill -9` of the real binary in the middle of an import, again and again.
//!
//! No clock decides when: the import reads a pipe of progress from its own data directory, and
//! is killed once the segment has grown past the next mark.

use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::world::World;

/// Enough for more batches than there must be kills.
const CONVERSATIONS: usize = 2_500;

/// Conversations as JSON Lines, enough for many batches.
fn conversations(count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        text.push_str(&format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":\"Where is order W-{n:06}?\"}},\
             {{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{{\"id\":\"c{n}\",\
             \"type\":\"function\",\"function\":{{\"name\":\"get_order\",\
             \"arguments\":\"{{\\\"id\\\":\\\"W-{n:06}\\\"}}\"}}}}]}},\
             {{\"role\":\"tool\",\"tool_call_id\":\"c{n}\",\"content\":\"{}\"}},\
             {{\"role\":\"assistant\",\"content\":\"W-{n:06} is on its way.\"}}]}}\n",
            "in the depot, ".repeat(20)
        ));
    }
    text
}

fn size_of(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

/// Waits until the segments hold more than `mark` bytes, or the process ended by itself.
fn wait_for(child: &mut Child, segments: &Path, mark: u64) -> bool {
    loop {
        if size_of(segments) > mark {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::yield_now();
    }
}

#[test]
fn c73_killed_imports_lose_nothing_and_are_completed_once() {
    let text = conversations(CONVERSATIONS);
    let whole = World::new();
    let file = whole.file("runs.jsonl", &text);
    let expected = whole.json(&["import", &file, "--format", "openai-chat"]);
    let expected = expected["files"][0]["size"].as_u64().unwrap();
    assert_eq!(
        expected,
        CONVERSATIONS as u64 * 6,
        "an opening, four decisions and an end for each"
    );

    let world = World::new();
    let file = world.file("runs.jsonl", &text);
    let import = ["import", &file, "--format", "openai-chat", "--quiet"];
    let segments = world.path("rescind-data/segments/default");
    let (mut kills, mut mark) = (0, 0);
    loop {
        let mut command = world.command(&import);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Each time a little further than what the last one left.
        if !wait_for(&mut child, &segments, mark) {
            assert!(child.wait().unwrap().success());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        mark = size_of(&segments) + 75_000;
        let output = world.call(&["verify", "--full", "--json"]);
        if output.status.code() == Some(2) {
            // Killed before there was a first checkpoint: nothing was acknowledged either.
            continue;
        }
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["intact"], true, "after {kills} kills: {report}");
    }
    assert!(kills >= 5, "only {kills} kills hit");
    let report = world.json(&["verify", "--full"]);
    assert_eq!(report["intact"], true);
    assert_eq!(
        report["size"], expected,
        "nothing is lost, nothing is twice"
    );
    let count = |world: &World, page: &str| -> u64 {
        let runs = world.json(&["runs", "--limit", "10000", "--skip", page]);
        let runs = runs["runs"].as_array().unwrap();
        assert!(
            runs.iter()
                .all(|run| run["whole"] == true && run["decisions"] == 4)
        );
        runs.len() as u64
    };
    assert_eq!(count(&world, "0"), CONVERSATIONS as u64);
}
