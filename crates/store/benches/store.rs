//! How fast the embedded store is, as ratios to plain work on the same bytes in the same run.
//!
//! `cargo bench -p rescind-store`. Sizes come from the environment, so that a small run is quick:
//! `STORE_BENCH_EVENTS` (default 1,000,000) and `STORE_BENCH_COMMITS` (default 2,000). Nothing is
//! asserted: a machine that is busy with something else is slow, and says so by its load.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ledger::conformance::sample::{Maker, batch};
use ledger::{Direction, Leaf, SeededEntropy, Store};
use model::{DecisionId, Strength};
use store::{EmbeddedStore, OpenOptions, verify, worker};

/// Length of the text in a filler, so that its leaf has 1 KiB.
const TEXT: usize = 830;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "sizes of a benchmark")]
fn size(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn say(text: &str) {
    println!("{text}");
}

fn proc(path: &str, line: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let found = text
        .lines()
        .find(|each| each.starts_with(line))
        .unwrap_or_default();
    found.trim_start_matches(line).trim().to_owned()
}

fn load() -> String {
    proc("/proc/loadavg", "")
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn options(dir: &Path) -> OpenOptions {
    OpenOptions::new(
        dir,
        Arc::new(SeededEntropy::new(1)),
        Arc::new(|| 1_700_000_000),
    )
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

/// Plain writes, each followed by fdatasync, of `parts` parts of `bytes` bytes.
fn raw(path: &Path, parts: u64, bytes: usize) -> Vec<Duration> {
    let file = File::create(path).expect("the directory is there");
    let buffer = vec![7u8; bytes];
    (0..parts)
        .map(|part| {
            let start = now();
            file.write_all_at(&buffer, part * bytes as u64)
                .expect("there is space");
            file.sync_data().expect("the disk works");
            start.elapsed()
        })
        .collect()
}

fn main() {
    let events = size("STORE_BENCH_EVENTS", 1_000_000);
    let commits = size("STORE_BENCH_COMMITS", 2_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads");
    let root = tempfile::tempdir().expect("a temporary directory");
    say(&format!(
        "cores {}, load at the start {}",
        worker::cores(),
        load()
    ));
    runtime.block_on(single(root.path(), commits));
    runtime.block_on(crowd(root.path(), commits));
    let full = root.path().join("full");
    runtime.block_on(fill(&full, events));
    check(&full, events);
    std::fs::remove_dir_all(&full).expect("it was made above");
    runtime.block_on(graph(&root.path().join("graph"), events));
    say(&format!("load at the end {}", load()));
}

/// One caller, one event of 1 KiB at a time, against one raw write and sync of as many bytes.
async fn single(root: &Path, commits: u64) {
    let store = EmbeddedStore::open(options(&root.join("single"))).expect("opens");
    let mut make = Maker::default();
    let bytes = make.filler(TEXT).bytes().len() + 36;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // In turns, so that both meet the same moods of the disk.
    for _ in 0..10 {
        for _ in 0..commits / 10 {
            let leaf = make.filler(TEXT);
            let start = now();
            store.append(batch([leaf])).await.expect("appends");
            ours.push(start.elapsed());
        }
        theirs.extend(raw(&root.join("raw"), commits / 10, bytes));
    }
    let (a, b) = (percentile(&mut ours, 50), percentile(&mut theirs, 50));
    say(&format!(
        "single writer: p50 {a:?}, p99 {:?}; raw write+fdatasync of {bytes} bytes: p50 {b:?}, p99 {:?}; ratio of medians {:.2} (goal 3)",
        percentile(&mut ours, 99),
        percentile(&mut theirs, 99),
        a.as_secs_f64() / b.as_secs_f64()
    ));
    store.close().await.expect("closes");
}

/// 64 callers, each with one event of 1 KiB at a time, against raw syncs of as many bytes in
/// groups of 64.
async fn crowd(root: &Path, commits: u64) {
    let store = Arc::new(EmbeddedStore::open(options(&root.join("crowd"))).expect("opens"));
    let each = commits * 10 / 64;
    let start = now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut make = Maker::new(1_700_000_000_000 + task * 1_000_000);
            let mut times = Vec::new();
            for _ in 0..each {
                let leaf = make.filler(TEXT);
                let start = now();
                store.append(batch([leaf])).await.expect("appends");
                times.push(start.elapsed());
            }
            times
        });
    }
    let mut times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let took = start.elapsed();
    let durable = times.len() as f64 / took.as_secs_f64();
    let mut theirs = raw(&root.join("raw"), each, 64 * 1_060);
    let raw_rate = (each * 64) as f64 / theirs.iter().sum::<Duration>().as_secs_f64();
    say(&format!(
        "64 writers of 1 KiB: {durable:.0} durable events/s (goal 10,000), p50 {:?}, p99 {:?} (goal 50 ms); raw groups of 64: {raw_rate:.0} events/s, p50 {:?}; ratio {:.2}",
        percentile(&mut times, 50),
        percentile(&mut times, 99),
        percentile(&mut theirs, 50),
        raw_rate / durable
    ));
    store.close().await.expect("closes");
}

/// All events in, in batches as an import makes them, with the index keeping up.
async fn fill(dir: &Path, events: u64) {
    let store = EmbeddedStore::open(options(dir)).expect("opens");
    let mut make = Maker::default();
    let start = now();
    let mut bytes = 0;
    for _ in 0..events / 256 {
        let leaves: Vec<Leaf> = (0..256).map(|_| make.filler(TEXT)).collect();
        bytes += leaves.iter().map(|leaf| leaf.bytes().len()).sum::<usize>();
        store.append(batch(leaves)).await.expect("appends");
    }
    let appended = start.elapsed();
    let durable = store.status().await.expect("answers").durable;
    store.wait_indexed(durable).await.expect("catches up");
    let indexed = start.elapsed();
    store.close().await.expect("closes");
    say(&format!(
        "{durable} events of 1 KiB in batches of 256: durable in {appended:?} ({:.0} events/s, {:.0} MB/s), indexed in {indexed:?}, published and closed in {:?}; peak memory of the process {}",
        durable as f64 / appended.as_secs_f64(),
        bytes as f64 / 1e6 / appended.as_secs_f64(),
        start.elapsed(),
        proc("/proc/self/status", "VmHWM:")
    ));
}

/// Full verification, against hashing as many bytes in memory on all cores.
fn check(dir: &Path, events: u64) {
    let run = |events| {
        let start = now();
        let options = verify::Options {
            full: true,
            events,
            ..verify::Options::default()
        };
        let report = verify::verify(dir, &options, &|_, _, _| {}).expect("can be checked");
        assert!(report.is_intact(), "{:#?}", report.findings);
        (start.elapsed(), report.checked.entries)
    };
    let leaf = Maker::default().filler(TEXT);
    let hash = || {
        let done = AtomicU64::new(0);
        let start = now();
        worker::scatter(worker::cores(), |_| {
            let mut total = 0u64;
            while done.fetch_add(256, Ordering::Relaxed) < events {
                for _ in 0..256 {
                    total += u64::from(ledger::merkle::leaf_hash(leaf.bytes()).0[0]);
                }
            }
            total
        });
        start.elapsed()
    };
    // The first pass reads from the disk; the one after it is what is compared.
    let (cold, entries) = run(false);
    let before = hash();
    let (warm, _) = run(false);
    let after = hash();
    let hashing = (before + after) / 2;
    let (whole, _) = run(true);
    say(&format!(
        "full verification of {entries} entries: first pass {cold:?}, second {warm:?}; hashing the same bytes on all cores {hashing:?}; ratio {:.2} (goal 1.3); with every leaf decoded and the index rebuilt {whole:?}",
        warm.as_secs_f64() / hashing.as_secs_f64()
    ));
}

/// A graph of as many decisions, in runs of a thousand, each depending on one or two before it.
async fn graph(dir: &Path, decisions: u64) {
    let store = EmbeddedStore::open(options(dir)).expect("opens");
    let mut make = Maker::default();
    let mut firsts = Vec::new();
    let start = now();
    for _ in 0..decisions / 1_001 {
        let run = make.run();
        let ids: Vec<DecisionId> = (0..1_001).map(|_| make.decision()).collect();
        let mut leaves = Vec::with_capacity(ids.len());
        for (place, id) in ids.iter().enumerate() {
            let mut causes = Vec::new();
            if let Some(before) = place.checked_sub(1) {
                causes.push((ids[before / 3], Strength::Certain));
                if before / 3 != before {
                    causes.push((ids[before], Strength::Possible));
                }
            }
            leaves.push(make.propose(*id, run, "agent", &causes));
        }
        firsts.push(ids[0]);
        store.append(batch(leaves)).await.expect("appends");
    }
    let durable = store.status().await.expect("answers").durable;
    store.wait_indexed(durable).await.expect("catches up");
    let filled = start.elapsed();
    let step = (firsts.len() / 100).max(1);
    let mut times = Vec::new();
    let mut reached = 0;
    for first in firsts.iter().step_by(step) {
        let start = now();
        let closure = store
            .closure(*first, Direction::Effects, Strength::Possible, usize::MAX)
            .await
            .expect("answers");
        times.push(start.elapsed());
        reached = closure.len();
    }
    say(&format!(
        "graph of {durable} decisions and twice as many edges, indexed in {filled:?}; closure of {reached}: p50 {:?}, p99 {:?} (goal 10 ms); peak memory of the process {}",
        percentile(&mut times, 50),
        percentile(&mut times, 99),
        proc("/proc/self/status", "VmHWM:")
    ));
    store.close().await.expect("closes");
}
