//! How fast the embedded store is, as ratios to plain work on the same bytes in the same run.
//!
//! `cargo bench -p rescind-store`. Sizes come from the environment, so that a small run is quick:
//! `STORE_BENCH_EVENTS` (default 1,000,000) and `STORE_BENCH_COMMITS` (default 2,000). With
//! `-- verify` only verification is measured. No time is asserted: a machine that is busy with
//! something else is slow, and says so by its load.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
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
    // Cargo adds `--bench`.
    let only = std::env::args().skip(1).find(|each| each == "verify");
    if only.is_none() {
        runtime.block_on(single(root.path(), commits));
        runtime.block_on(crowd(root.path(), commits));
    }
    let full = root.path().join("full");
    runtime.block_on(fill(&full, events));
    check(&full, events);
    std::fs::remove_dir_all(&full).expect("it was made above");
    if only.is_none() {
        runtime.block_on(graph(&root.path().join("graph"), events));
    }
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

/// Full verification, against hashing the entries on all cores: in memory, and with both copies of
/// them read from the files. In turns, so that all meet the same moods of the machine.
fn check(dir: &Path, events: u64) {
    let run = |events| {
        let options = verify::Options {
            full: true,
            events,
            ..verify::Options::default()
        };
        let report = verify::verify(dir, &options, &|_, _, _| {}).expect("can be checked");
        assert!(report.is_intact(), "{:#?}", report.findings);
        report.checked.entries
    };
    let leaf = Maker::default().filler(TEXT);
    // One leaf over and over never leaves the nearest cache: no memory is faster.
    let hash = || {
        let done = AtomicU64::new(0);
        worker::scatter(worker::cores(), |_| {
            while done.fetch_add(256, Ordering::Relaxed) < events {
                for _ in 0..256 {
                    std::hint::black_box(ledger::merkle::leaf_hash(leaf.bytes()));
                }
            }
        });
    };
    let files = Files::of(dir);
    // The first pass reads from the disk; those after it are what is compared.
    let cold = cost(|| run(false)).0;
    let (mut ours, mut memory, mut read) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        memory.push(cost(hash));
        ours.push(cost(|| run(false)));
        read.push(cost(|| files.read_and_hash()));
    }
    let whole = cost(|| run(true)).0;
    let (ours, memory, read) = (middle(ours), middle(memory), middle(read));
    say(&format!(
        "full verification of {events} entries: first pass {cold:?}, later ones {}; medians of {ROUNDS}; with every leaf decoded and the index rebuilt {whole:?}",
        shown(ours)
    ));
    for (what, base) in [
        (
            "hashing as many bytes in memory on all cores (goal 1.3)",
            memory,
        ),
        (
            "reading bundles and segments, and hashing each entry once",
            read,
        ),
    ] {
        say(&format!(
            "  {what}: {}; ratio {:.2}, of processor time {:.2}",
            shown(base),
            ours.0.as_secs_f64() / base.0.as_secs_f64(),
            ours.1 / base.1
        ));
    }
}

/// How often verification and its baselines are measured.
const ROUNDS: usize = 5;

/// The time that something takes, and the processor time of all threads in seconds.
type Cost = (Duration, f64);

fn cost<T>(work: impl FnOnce() -> T) -> Cost {
    let (start, busy) = (now(), cpu_seconds());
    std::hint::black_box(work());
    (start.elapsed(), cpu_seconds() - busy)
}

/// The medians of both, each by itself.
fn middle(mut costs: Vec<Cost>) -> Cost {
    costs.sort_unstable_by_key(|cost| cost.0);
    let took = costs[costs.len() / 2].0;
    costs.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
    (took, costs[costs.len() / 2].1)
}

fn shown((took, busy): Cost) -> String {
    format!("{took:?} ({busy:.2} s of processor time)")
}

/// Processor time of this process so far, in user and in kernel mode.
fn cpu_seconds() -> f64 {
    let stat = proc("/proc/self/stat", "");
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |place| -> f64 {
        let field = fields.split_whitespace().nth(place);
        field.and_then(|text| text.parse().ok()).unwrap_or(0.0)
    };
    // The kernel counts a hundred ticks a second on every machine that this runs on.
    (ticks(11) + ticks(12)) / 100.0
}

/// The files that hold the entries, for a baseline that only reads and hashes.
struct Files {
    bundles: Vec<PathBuf>,
    segments: Vec<PathBuf>,
}

impl Files {
    fn of(dir: &Path) -> Self {
        let mut files = Self {
            bundles: Vec::new(),
            segments: Vec::new(),
        };
        let mut open = vec![dir.join("log"), dir.join("segments")];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                let names = std::fs::read_dir(&path).expect("it is there");
                open.extend(names.map(|name| name.expect("it is there").path()));
            } else if path.components().any(|part| part.as_os_str() == "entries") {
                files.bundles.push(path);
            } else if path.file_name().is_some_and(|name| {
                let name = name.to_string_lossy();
                name.starts_with("seg-") && name.ends_with(".log")
            }) {
                files.segments.push(path);
            }
        }
        files
    }

    /// Reads every bundle and hashes its entries, and reads as much of the segments.
    fn read_and_hash(&self) {
        let next = AtomicU64::new(0);
        worker::scatter(worker::cores(), |_| {
            let mut buffer = vec![0; 256 << 10];
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed) as usize;
                let Some(bundle) = self.bundles.get(place) else {
                    break;
                };
                let file = File::open(bundle).expect("it is there");
                let length = file.metadata().expect("it is there").len();
                buffer.resize(length as usize, 0);
                file.read_exact_at(&mut buffer, 0).expect("it is whole");
                let mut rest = &buffer[..];
                while let Some((length, after)) = rest.split_first_chunk::<2>() {
                    let (entry, after) = after.split_at(u16::from_be_bytes(*length).into());
                    std::hint::black_box(ledger::digest::sha256(entry));
                    rest = after;
                }
            }
        });
        let mut parts = Vec::new();
        for path in &self.segments {
            let file = Arc::new(File::open(path).expect("it is there"));
            let length = file.metadata().expect("it is there").len();
            parts.extend((0..length).step_by(PART).map(|at| (Arc::clone(&file), at)));
        }
        let next = AtomicU64::new(0);
        worker::scatter(worker::cores(), |_| {
            let mut buffer = vec![0; PART];
            while let Some((file, at)) = parts.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                let count = file.read_at(&mut buffer, *at).expect("it is there");
                std::hint::black_box(&buffer[..count]);
            }
        });
    }
}

/// How much of a segment is read at once.
const PART: usize = 256 << 10;

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
