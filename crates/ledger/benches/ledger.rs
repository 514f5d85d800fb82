//! How fast the ledger hashes, builds, audits and seals, each as a ratio to a baseline of the same
//! run: hashing the same bytes. Everything is in memory, so no disk is measured.
//!
//! `cargo bench -p rescind-ledger`
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark measures time and prints it"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use ledger::audit::{audit_range, combine, split};
use ledger::entropy::draw;
use ledger::payload::{FieldIn, Sealer, SubjectKey, open};
use ledger::tile::decode_bundle;
use ledger::{
    Checkpoint, LogBuilder, SystemEntropy, Tile, TileError, TileReader, canonical, digest,
};

const ENTRIES: u64 = 200_000;
const ENTRY_BYTES: usize = 1024;
const SEALED: u64 = 100_000;

struct Files(HashMap<Tile, Vec<u8>>);

impl TileReader for Files {
    fn read(&self, tile: Tile) -> Result<Vec<u8>, TileError> {
        self.0
            .get(&tile)
            .cloned()
            .ok_or(TileError::Missing { tile })
    }

    fn read_into(&self, tile: Tile, buffer: &mut Vec<u8>) -> Result<(), TileError> {
        let bytes = self.0.get(&tile).ok_or(TileError::Missing { tile })?;
        buffer.clear();
        buffer.extend_from_slice(bytes);
        Ok(())
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// The best of five: what the code can do when nobody disturbs it.
fn best(mut work: impl FnMut() -> Duration) -> Duration {
    (0..5).map(|_| work()).min().unwrap()
}

fn show(what: &str, took: Duration, baseline: Duration, count: u64) {
    let each = took.as_secs_f64() * 1e6 / count as f64;
    let ratio = took.as_secs_f64() / baseline.as_secs_f64();
    println!("{what:<44} {took:>10.1?} {each:>8.3} µs each {ratio:>6.2}x");
}

fn entry(index: u64) -> Vec<u8> {
    let mut entry: Vec<u8> = (0..ENTRY_BYTES).map(|i| (i * 31 % 251) as u8).collect();
    entry[..8].copy_from_slice(&index.to_be_bytes());
    entry
}

fn main() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    println!("{ENTRIES} entries of {ENTRY_BYTES} bytes, {cores} cores; baseline 1.00x\n");
    log(cores);
    payloads();
}

fn log(cores: usize) {
    let entries: Vec<Vec<u8>> = (0..ENTRIES).map(entry).collect();
    let one_core = best(|| {
        timed(|| {
            entries.iter().for_each(|e| {
                black_box(digest::sha256(e));
            })
        })
        .1
    });
    show(
        "hash every entry, one core (baseline)",
        one_core,
        one_core,
        ENTRIES,
    );
    let mut files = HashMap::new();
    let (builder, building) = timed(|| {
        let (mut builder, mut out) = (LogBuilder::new(), Vec::new());
        for entry in &entries {
            builder.push(entry, &mut out).unwrap();
            files.extend(out.drain(..).map(|file| (file.tile, file.bytes)));
        }
        builder.publish(&mut out);
        files.extend(out.drain(..).map(|file| (file.tile, file.bytes)));
        builder
    });
    show("build the log, one core", building, one_core, ENTRIES);
    drop(entries);

    let files = Files(files);
    let ranges = split(ENTRIES, cores as u64);
    let hashing = best(|| {
        timed(|| {
            thread::scope(|scope| {
                for range in ranges.clone() {
                    let files = &files;
                    scope.spawn(move || {
                        for index in range {
                            let tile = Tile::entries(index, 256.min(ENTRIES - index * 256) as u16);
                            for entry in decode_bundle(tile, &files.0[&tile]).unwrap() {
                                black_box(digest::sha256(entry));
                            }
                        }
                    });
                }
            });
        })
        .1
    });
    show(
        "hash every entry, all cores (baseline)",
        hashing,
        hashing,
        ENTRIES,
    );
    let checkpoint = Checkpoint {
        origin: "bench".to_owned(),
        size: ENTRIES,
        root: builder.root(),
    };
    let auditing = best(|| {
        let (report, took) = timed(|| {
            let reports = thread::scope(|scope| {
                let audit = |range| scope.spawn(|| audit_range(&files, ENTRIES, range));
                let running: Vec<_> = ranges.iter().cloned().map(audit).collect();
                running
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect()
            });
            combine(&files, &checkpoint, reports)
        });
        assert!(report.is_intact() && report.entries == ENTRIES);
        took
    });
    show("audit the log, all cores", auditing, hashing, ENTRIES);
}

fn payloads() {
    let (entropy, key) = (SystemEntropy::new(), SubjectKey::from_bytes(&[1; 32]));
    let text: String = (0..)
        .map(|i| {
            format!(
                "{{\"role\":\"user\",\"content\":\"cancel order W{}\"}},",
                i * 7919
            )
        })
        .scan(0, |length, part| {
            (*length < 2000).then(|| (*length += part.len(), part).1)
        })
        .collect();
    println!();
    for length in [500, 2000] {
        let bytes = &text.as_bytes()[..length];
        let repeat = |work: &mut dyn FnMut()| best(|| timed(|| (0..SEALED).for_each(|_| work())).1);
        let baseline = repeat(&mut || {
            black_box(digest::sha256(bytes));
        });
        show(
            &format!("hash {length} bytes (baseline)"),
            baseline,
            baseline,
            SEALED,
        );
        let mut sealer = Sealer::new();
        let mut seal = || {
            let salt = draw(&entropy);
            let field = FieldIn {
                role: "prompt",
                media: "application/json",
                bytes,
                salt,
            };
            sealer
                .seal(&key, draw(&entropy), &[1; 16], &[field])
                .unwrap()
        };
        let sealed = seal();
        show(
            &format!("seal {length} bytes"),
            repeat(&mut || drop(seal())),
            baseline,
            SEALED,
        );
        let opening = repeat(&mut || drop(open(&key, &[1; 16], &sealed.ciphertext).unwrap()));
        show(&format!("open {length} bytes"), opening, baseline, SEALED);
    }
    let value: serde_json::Value =
        serde_json::from_str(&format!("[{}null]", &text[..text.rfind('{').unwrap()])).unwrap();
    let time = |work: &dyn Fn() -> Vec<u8>| {
        best(|| timed(|| (0..SEALED / 10).for_each(|_| drop(black_box(work())))).1)
    };
    let plain = time(&|| serde_json::to_vec(&value).unwrap());
    println!();
    show("serde_json of 2 KB (baseline)", plain, plain, SEALED / 10);
    let canonical = time(&|| canonical::to_vec(&value).unwrap());
    show("canonical JSON of 2 KB", canonical, plain, SEALED / 10);
}
