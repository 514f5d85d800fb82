//! A real process is killed while it writes, over and over, on the same directory.
//!
//! The test runs itself again as a child that appends and prints each acknowledged leaf. The
//! parent decides when to kill by how many acknowledgements it has read, never by time.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use ledger::conformance::sample::{Maker, batch};
use ledger::{Leaf, Store};
use store::{EmbeddedStore, OpenOptions, verify};

use crate::support::{in_dir, key, propose_sealed};

const CHILD: &str = "RESCIND_STORE_CHILD";

fn options(dir: &Path) -> OpenOptions {
    let mut options = in_dir(&dir.join("data"));
    options.witness_dir = Some(dir.join("witness"));
    (options.segment_len, options.pack_len) = (40_000, 10_000);
    options
}

/// The child: appends from four tasks, publishes now and then, and never ends by itself.
#[test]
fn child_that_appends_until_it_is_killed() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how the parent tells the child where to write"
    )]
    let Ok(dir) = std::env::var(CHILD) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Arc::new(EmbeddedStore::open(options(Path::new(&dir))).unwrap());
        let start = store.status().await.unwrap().durable;
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..4u64 {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                // Ids that no other task and no earlier child makes.
                let mut make = Maker::new(1_700_000_000_000 + (start * 4 + task) * 1_000_000);
                let (run, subject) = (make.run(), make.subject());
                if store.keep_key(subject, key()).await.is_err() {
                    return;
                }
                for round in 0u64.. {
                    let leaf = make.filler(100 + (round % 7) as usize * 50);
                    let decision = make.decision();
                    let ciphertext = [task as u8, round as u8, 1, 2].repeat(40);
                    let (sealed, payload) =
                        propose_sealed(&mut make, decision, run, subject, &ciphertext);
                    let mut both = batch([leaf.clone(), sealed]);
                    both.payloads.push(payload);
                    let Ok(appended) = store.append(both).await else {
                        return;
                    };
                    // One write, so that a line is whole or not there.
                    let line = format!("{} {}\n", appended.seqs[0], leaf.keys().id);
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                    if round % 5 == task && store.publish().await.is_err() {
                        return;
                    }
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    });
}

/// What is acknowledged before each kill.
const KILLS: [usize; 12] = [1, 2, 3, 5, 8, 13, 40, 4, 90, 7, 200, 21];

#[tokio::test]
async fn c73_a_killed_process_loses_no_acknowledged_leaf() {
    let root = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(u64, String)> = Vec::new();
    for (round, count) in KILLS.into_iter().enumerate() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "kill::child_that_appends_until_it_is_killed",
                "--nocapture",
            ])
            .env(CHILD, root.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n');
        let mut read = 0;
        let mut take = |line: Vec<u8>| {
            let line = String::from_utf8(line).unwrap();
            let Some((seq, id)) = line.trim().rsplit_once(' ') else {
                return false;
            };
            // The harness may print its own words before the first acknowledgement.
            let seq = seq.rsplit(' ').next().and_then(|seq| seq.parse().ok());
            let Some(seq) = seq.filter(|_| id.len() == 36) else {
                return false;
            };
            acknowledged.push((seq, id.to_owned()));
            true
        };
        while read < count {
            let line = lines
                .next()
                .expect("the child goes on until it is killed")
                .unwrap();
            read += usize::from(take(line));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had printed by then was acknowledged too.
        for line in lines.map_while(Result::ok) {
            take(line);
        }
        let store = EmbeddedStore::open(options(root.path())).unwrap();
        let leaves = store.read(0, usize::MAX).await.unwrap();
        for (seq, id) in &acknowledged {
            let leaf = leaves
                .get(*seq as usize)
                .map(|(_, leaf)| Leaf::decode(leaf).unwrap());
            let found = leaf.map(|event| event.id.to_string());
            assert_eq!(
                found.as_deref(),
                Some(&**id),
                "kill {round}: leaf {seq} is lost"
            );
        }
        let mut ids: Vec<_> = leaves
            .iter()
            .map(|(_, leaf)| Leaf::decode(leaf).unwrap().id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(
            ids.len(),
            leaves.len(),
            "kill {round}: an event is there twice"
        );
        assert_eq!(
            leaves.len() % 2,
            0,
            "kill {round}: a batch is there in part"
        );
        let before = store.index_digests().await.unwrap();
        store.reindex().await.unwrap();
        assert_eq!(store.index_digests().await.unwrap(), before, "kill {round}");
        store.close().await.unwrap();
        let full = verify::Options {
            full: true,
            witness_dir: Some(root.path().join("witness")),
            ..verify::Options::default()
        };
        let report = verify::verify(&root.path().join("data"), &full, &|_, _, _| {}).unwrap();
        assert!(report.is_intact(), "kill {round}: {:#?}", report.findings);
        assert_eq!(report.checked.payloads, leaves.len() as u64 / 2);
    }
    assert!(acknowledged.len() >= KILLS.iter().sum());
}
