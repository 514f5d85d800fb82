//! How fast a file of recorded runs goes into the record.
//!
//! ```sh
//! cargo bench -p rescind-engine --bench import
//! ```
//!
//! The file is JSON Lines of whole conversations: those of tau-bench where they are at hand
//! (`RESCIND_DATA`), else invented ones of the same shape, repeated with other numbers until
//! `RESCIND_BENCH_MB` megabytes (default 32) are reached. It is imported into a store in memory
//! and into the embedded store (durable: acknowledged after `fdatasync`, sealed and signed at the
//! end), and compared with one write and `fdatasync` of the same bytes in the same run.
//!
//! A decision costs about the same whatever it says, so throughput in bytes follows from how long
//! messages are. The last lines therefore show the other formats of which there are recordings at
//! hand, repeated to half as many megabytes, with the bytes of a decision beside the throughput.
//!
//! `-- embedded` measures the embedded store alone, `RESCIND_BENCH_ROUNDS` times (default 5), for
//! whoever profiles it. What it writes stays until the end: file systems look for a while at every
//! inode that was freed just before they hand out another. ext4 without a journal does so for one to
//! six minutes, and a run right after another one, or after tests, spends a tenth of its
//! processor time on that: wait, or let `TMPDIR` be a new directory with `chattr +T`, whose
//! directories lie in other groups of inodes.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark measures and prints, and stops at the first surprise"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use engine::{Clock, Engine, ImportOptions, SystemClock};
use ledger::{Store, SystemEntropy};
use serde_json::value::RawValue;
use store::{EmbeddedStore, MemoryStore, OpenOptions};
use wire::import::Format;

/// The binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let megabytes = std::env::var("RESCIND_BENCH_MB")
        .ok()
        .and_then(|mb| mb.parse().ok());
    let text = input(megabytes.unwrap_or(32) << 20);
    let lines = text.lines().count();
    let mb = text.len() as f64 / 1e6;
    println!("{lines} runs, {mb:.1} MB of JSON Lines");
    if std::env::args().any(|argument| argument == "embedded") {
        let rounds = std::env::var("RESCIND_BENCH_ROUNDS").ok();
        let rounds = rounds.and_then(|rounds| rounds.parse().ok());
        let dirs: Vec<_> = (0..rounds.unwrap_or(5))
            .map(|_| one_line(Format::OpenaiChat, &text))
            .collect();
        drop(dirs);
        return;
    }
    let parse = timed(|| {
        let options = wire::import::Options::default();
        let runs = wire::import::read(Format::OpenaiChat, text.as_bytes(), &options).unwrap();
        println!(
            "{} decisions",
            runs.iter().map(|run| run.steps.len()).sum::<usize>()
        );
    });
    println!("decode alone:       {:8.1} MB/s", mb / parse);
    let raw = raw_write(text.as_bytes());
    println!("raw write+fdatasync: {:7.1} MB/s", mb / raw);
    let memory = timed(|| import(Arc::new(MemoryStore::default()), &text));
    println!(
        "into memory:        {:8.1} MB/s, {:.1} x raw",
        mb / memory,
        memory / raw
    );
    let dir = tempfile::tempdir().unwrap();
    let seconds = Arc::new(|| SystemClock.wall() / 1_000_000);
    let options = OpenOptions::new(dir.path(), Arc::new(entropy()), seconds);
    let embedded = timed(|| import(Arc::new(EmbeddedStore::open(options).unwrap()), &text));
    println!(
        "embedded, durable:  {:8.1} MB/s, {:.1} x raw",
        mb / embedded,
        embedded / raw
    );
    println!("peak memory:        {:8.1} MB", peak_mb());
    let mut dirs = vec![dir];
    let sets = [
        (Format::WhoAndWhen, "who-and-when"),
        (Format::Atif, "terminal-runs"),
        (Format::Langfuse, "framework-traces"),
        (Format::OtlpJson, "otel-mas-sim"),
    ];
    for (format, set) in sets {
        let text = repeated(format, set, megabytes.unwrap_or(32) << 19);
        if !text.is_empty() {
            dirs.push(one_line(format, &text));
        }
    }
}

/// Measures the embedded store with a format, and returns where it is.
fn one_line(format: Format, text: &str) -> tempfile::TempDir {
    let options = wire::import::Options::default();
    let runs = wire::import::read(format, text.as_bytes(), &options).unwrap();
    let decisions = runs.iter().map(|run| run.steps.len()).sum::<usize>();
    drop(runs);
    let dir = tempfile::tempdir().unwrap();
    let seconds = Arc::new(|| SystemClock.wall() / 1_000_000);
    let options = OpenOptions::new(dir.path(), Arc::new(entropy()), seconds);
    println!("{format}: {decisions} decisions");
    let wall = timed(|| {
        let store = Arc::new(EmbeddedStore::open(options).unwrap());
        import_as(format, store, text);
    });
    let mb = text.len() as f64 / 1e6;
    println!(
        "embedded, durable:  {:8.1} MB/s, {:.0} bytes and {:.1} us of a decision",
        mb / wall,
        text.len() as f64 / decisions as f64,
        wall * 1e6 / decisions as f64
    );
    dir
}

fn timed(work: impl FnOnce()) -> f64 {
    let (start, busy) = (Instant::now(), cpu_seconds());
    work();
    let wall = start.elapsed().as_secs_f64();
    println!(
        "  {wall:.2} s on the clock, {:.2} s of processor time",
        cpu_seconds() - busy
    );
    wall
}

/// Processor time of this process so far, as Linux tells it in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

fn import(store: Arc<dyn Store>, text: &str) {
    import_as(Format::OpenaiChat, store, text);
}

fn import_as(format: Format, store: Arc<dyn Store>, text: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let entropy = Arc::new(entropy());
        let engine = Engine::start(store, Arc::new(SystemClock), entropy)
            .await
            .unwrap();
        let options = ImportOptions {
            format,
            pointer: None,
            agent: None,
        };
        let decoded = engine::decode_import(text.as_bytes(), options).unwrap();
        engine.import(&decoded, &mut |_, _| {}).await.unwrap();
        engine.store().close().await.unwrap();
    });
}

/// The binary's: the library's own takes 25 ms before its first byte.
fn entropy() -> SystemEntropy {
    SystemEntropy::drawing_from(store::random::fill)
}

/// The most memory that this process ever had resident, as Linux tells it.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}

fn raw_write(bytes: &[u8]) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let mut file = std::fs::File::create(dir.path().join("raw")).unwrap();
    timed(|| {
        file.write_all(bytes).unwrap();
        file.sync_data().unwrap();
    })
}

/// Conversations as JSON Lines, at least `bytes` long.
fn input(bytes: usize) -> String {
    let mut conversations = recorded();
    if conversations.is_empty() {
        println!("no recorded runs at hand: invented ones instead");
        conversations = (0..50).map(invented).collect();
    }
    let mut text = String::with_capacity(bytes + (1 << 20));
    for round in 0.. {
        for conversation in &conversations {
            // Each round is other runs: without this they would be in the record already.
            let _ = writeln!(text, "{{\"round\":{round},\"messages\":{conversation}}}");
            if text.len() >= bytes {
                return text;
            }
        }
    }
    text
}

fn recorded() -> Vec<String> {
    let mut conversations: Vec<String> = files("tau-bench")
        .iter()
        .flat_map(|text| messages(text))
        .collect();
    conversations.sort();
    conversations
}

/// The files of a set in a format as JSON Lines, at least `bytes` long; empty where there are none.
fn repeated(format: Format, set: &str, bytes: usize) -> String {
    let mut runs = files(set);
    runs.retain(|text| wire::import::detect(text.as_bytes()) == Some(format));
    runs.sort();
    let mut text = String::with_capacity(bytes + (1 << 20));
    for round in 0.. {
        for run in &runs {
            // Line breaks between values are not content.
            let run = run.replace(['\n', '\r'], " ");
            // Spans of one trace are one run wherever they lie, so each round has other traces.
            let run = [
                r#""traceId": ""#,
                r#""traceId":""#,
                r#""trace_id": ""#,
                r#""trace_id":""#,
            ]
            .into_iter()
            .fold(run, |run, key| in_round(&run, key, round));
            text.push_str(run.trim());
            text.push('\n');
            if text.len() >= bytes {
                return text;
            }
        }
        if runs.is_empty() {
            return text;
        }
    }
    text
}

/// Puts the number of the round in place of the first four digits of every value of `key`.
fn in_round(text: &str, key: &str, round: usize) -> String {
    let mut parts = text.split(key);
    let mut changed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        changed.push_str(key);
        let _ = write!(changed, "{round:04x}");
        changed.push_str(part.get(4..).unwrap_or_default());
    }
    changed
}

fn files(set: &str) -> Vec<String> {
    let root = std::env::var_os("RESCIND_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let mut texts = Vec::new();
    let mut folders = vec![root.join(set)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "json") {
                texts.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}

#[derive(serde::Deserialize)]
struct Recorded<'a> {
    #[serde(borrow, alias = "messages")]
    traj: Option<&'a RawValue>,
}

fn messages(text: &str) -> Vec<String> {
    let many: Vec<Recorded<'_>> = serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(text).map(|one| vec![one]))
        .unwrap_or_default();
    // Line breaks between values are not content.
    let line = |raw: &RawValue| raw.get().replace('\n', " ");
    many.into_iter()
        .filter_map(|run| run.traj.map(line))
        .collect()
}

/// A conversation with the shape of a recorded one: long system text, calls, results.
fn invented(n: usize) -> String {
    let mut text = format!(
        "[{{\"role\":\"system\",\"content\":\"{}\"}}",
        "Follow the policy. ".repeat(300)
    );
    for turn in 0..10 {
        let order = format!("W{n:04}{turn:03}");
        let _ = write!(
            text,
            ",{{\"role\":\"user\",\"content\":\"Please look at order {order} for me, it is late.\"}},\
             {{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{{\"id\":\"c{turn}\",\
             \"type\":\"function\",\"function\":{{\"name\":\"get_order\",\
             \"arguments\":\"{{\\\"id\\\":\\\"{order}\\\"}}\"}}}}]}},\
             {{\"role\":\"tool\",\"tool_call_id\":\"c{turn}\",\"content\":\"{{\\\"id\\\":\\\"{order}\\\",{}\\\"z\\\":1}}\"}}",
            format!("\\\"line{turn}\\\":\\\"one more item of the order\\\",").repeat(20)
        );
    }
    text.push(']');
    text
}
