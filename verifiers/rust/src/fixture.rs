//! Logs to check, written by our ledger: some sizes at the edges of tiles, one with a changed byte,
//! and proofs for verifiers that take no directories.
//!
//! ```text
//! <dir>/vkey                   the public key of the log
//! <dir>/witness-vkey           the public key of the witness that cosigned each checkpoint
//! <dir>/logs/<size>/           a log of that many entries `entry-N`
//! <dir>/tampered/              the largest, with one byte of `tile/entries/010` flipped
//! <dir>/right.json             checks and receipts that must succeed
//! <dir>/wrong.json             checks and receipts that must fail, each for one reason of its own
//! ```

use std::path::Path;

use anyhow::{Context, Result};
use ledger::cosign::{AddCheckpoint, Witness, WitnessKey, WitnessState};
use ledger::{
    Checkpoint, Digest, LogBuilder, Receipt, SigningKey, Tile, TileError, TileFile, TileReader,
    Tree,
};
use serde_json::{Value, json};

/// The name of the log.
pub const ORIGIN: &str = "ledger.example/decisions";
/// The sizes of the logs, smallest first.
pub const SIZES: &[u64] = &[1, 2, 3, 255, 256, 257, 512, 65_536, 65_537, 70_000];
/// When the witness saw each checkpoint.
const TIME: u64 = 1_767_225_600;

/// A directory of tiles.
struct Directory<'a>(&'a Path);

impl TileReader for Directory<'_> {
    fn read(&self, tile: Tile) -> Result<Vec<u8>, TileError> {
        std::fs::read(self.0.join(tile.path())).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => TileError::Missing { tile },
            _ => TileError::Unreadable {
                tile,
                source: Box::new(e),
            },
        })
    }
}

fn seed(first: u8) -> [u8; 32] {
    let mut seed = [first; 32];
    for (byte, offset) in seed.iter_mut().zip(0..) {
        *byte += offset;
    }
    seed
}

/// Returns the key of the log. Its seed counts up from 0: it protects nothing.
///
/// # Errors
///
/// None, as the name is a key name.
pub fn log_key() -> Result<SigningKey> {
    Ok(SigningKey::from_seed(ORIGIN, &seed(0))?)
}

/// Writes the fixture into `dir`, with the logs of [`SIZES`] up to `largest`.
///
/// # Errors
///
/// When a file cannot be written.
pub fn write(dir: &Path, largest: u64) -> Result<()> {
    let key = log_key()?;
    let witness_key = WitnessKey::from_seed("witness.example/w1", &seed(0x20))?;
    let witness = Witness::new(witness_key, [key.verifying_key().clone()]);
    write_file(
        &dir.join("vkey"),
        key.verifying_key().to_string().as_bytes(),
    )?;
    write_file(
        &dir.join("witness-vkey"),
        witness.verifying_key().to_string().as_bytes(),
    )?;

    let (mut state, mut seen) = (WitnessState::default(), 0);
    let mut checkpoints = Vec::new();
    let sizes: Vec<u64> = SIZES
        .iter()
        .copied()
        .filter(|size| *size <= largest)
        .collect();
    for size in &sizes {
        let log = dir.join("logs").join(size.to_string());
        let root = write_log(&log, *size)?;
        let checkpoint = Checkpoint {
            origin: ORIGIN.to_owned(),
            size: *size,
            root,
        };
        let mut note = checkpoint.sign(&[&key])?;
        let proof = Tree::new(Directory(&log), *size).prove_consistency(seen, *size)?;
        let request = AddCheckpoint {
            old_size: seen,
            proof,
            checkpoint: note.clone(),
        };
        let (next, cosignature) = witness.add_checkpoint(&state, &request, TIME)?;
        (state, seen) = (next, *size);
        note.push(cosignature);
        write_file(&log.join("checkpoint"), note.to_string().as_bytes())?;
        checkpoints.push((*size, note.to_string()));
    }
    let (size, newest) = checkpoints.last().context("no size is small enough")?;
    let log = dir.join("logs").join(size.to_string());
    let tampered = dir.join("tampered");
    write_log(&tampered, *size)?;
    write_file(&tampered.join("checkpoint"), newest.as_bytes())?;
    let bundle = tampered.join(Tile::entries(10, 256).path());
    let mut bytes = std::fs::read(&bundle).context("the largest log is too small")?;
    // Each entry has 12 bytes with its length; this is the first letter of the one in the middle.
    let at = bytes.len() / 24 * 12 + 2;
    bytes[at] ^= 1;
    write_file(&bundle, &bytes)?;
    write_checks(dir, &log, &checkpoints)
}

fn write_checks(dir: &Path, log: &Path, checkpoints: &[(u64, String)]) -> Result<()> {
    let (size, newest) = checkpoints.last().context("no checkpoint")?;
    let tree = Tree::new(Directory(log), *size);
    let hashes = |path: &[Digest]| path.iter().map(ToString::to_string).collect::<Vec<_>>();
    let resized = newest.replacen(&format!("\n{size}\n"), &format!("\n{}\n", size + 1), 1);
    let mut right = vec![json!({ "kind": "checkpoint", "checkpoint": newest })];
    let mut wrong = vec![json!({ "kind": "checkpoint", "checkpoint": resized })];
    for index in [0, 255, 256, 2600, size / 2, size - 1] {
        let path = tree.prove_inclusion(index, *size)?;
        let check = |index: u64, entry: &str, path: &[Digest]| -> Value {
            json!({
                "kind": "inclusion", "checkpoint": newest,
                "index": index, "entry": entry, "path": hashes(path),
            })
        };
        let entry = format!("entry-{index}");
        right.push(check(index, &entry, &path));
        wrong.push(check(index, "another entry", &path));
        wrong.push(check(index ^ 1, &entry, &path));
        wrong.push(check(index, &entry, &path[1..]));
    }
    for (old, older) in &checkpoints[..checkpoints.len() - 1] {
        let path = tree.prove_consistency(*old, *size)?;
        let check = |path: &[Digest]| -> Value {
            json!({
                "kind": "consistency", "older": older, "newer": newest, "path": hashes(path),
            })
        };
        right.push(check(&path));
        let mut changed = path.clone();
        if let Some(hash) = changed.last_mut() {
            hash.0[31] ^= 1;
        }
        wrong.push(check(&changed));
        wrong.push(check(&path[1..]));
    }
    let key = log_key()?;
    let (vkey, pem) = (key.verifying_key().to_string(), key.verifying_key().pem());
    let (right_receipts, wrong_receipts) = receipts(dir, checkpoints)?;
    for (name, checks, receipts) in [
        ("right.json", right, right_receipts),
        ("wrong.json", wrong, wrong_receipts),
    ] {
        let content = json!({ "vkey": vkey, "pem": pem, "checks": checks, "receipts": receipts });
        write_file(&dir.join(name), &serde_json::to_vec_pretty(&content)?)?;
    }
    Ok(())
}

/// Returns COSE Receipts of some entries of each log: right ones, and wrong ones.
fn receipts(dir: &Path, checkpoints: &[(u64, String)]) -> Result<(Vec<Value>, Vec<Value>)> {
    let key = log_key()?;
    let stranger = SigningKey::from_seed(ORIGIN, &seed(0x40))?;
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for (size, note) in checkpoints {
        let (checkpoint, _) = Checkpoint::open(note.as_bytes(), &[key.verifying_key().clone()])?;
        let log = dir.join("logs").join(size.to_string());
        let tree = Tree::new(Directory(&log), *size);
        for index in [0, size / 2, size - 1] {
            let subject = format!("{ORIGIN}#{index}");
            let receipt = Receipt::issue(&tree, &checkpoint, index, &subject, &key)?;
            let row = |receipt: &Receipt, entry: &str| {
                json!({
                    "receipt": hex(&receipt.encode()), "entry": entry,
                    "root": checkpoint.root.to_string(), "size": size, "index": index,
                    "issuer": ORIGIN, "subject": subject,
                })
            };
            let entry = format!("entry-{index}");
            right.push(row(&receipt, &entry));
            wrong.push(row(&receipt, "another entry"));
            let foreign = Receipt::issue(&tree, &checkpoint, index, &subject, &stranger)?;
            wrong.push(row(&foreign, &entry));
            let changes: [fn(&mut Receipt); 5] = [
                |receipt| receipt.signature[0] ^= 1,
                |receipt| receipt.subject.push('0'),
                |receipt| receipt.issuer.push('0'),
                |receipt| receipt.index = receipt.size,
                |receipt| match receipt.path.first_mut() {
                    Some(hash) => hash.0[31] ^= 1,
                    None => receipt.path.push(Digest([0; 32])),
                },
            ];
            for change in changes {
                let mut changed = receipt.clone();
                change(&mut changed);
                wrong.push(row(&changed, &entry));
            }
        }
    }
    Ok((right, wrong))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_log(log: &Path, size: u64) -> Result<Digest> {
    let (mut builder, mut files) = (LogBuilder::new(), Vec::new());
    for index in 0..size {
        builder.push(format!("entry-{index}").as_bytes(), &mut files)?;
        write_files(log, &mut files)?;
    }
    builder.publish(&mut files);
    write_files(log, &mut files)?;
    Ok(builder.root())
}

fn write_files(log: &Path, files: &mut Vec<TileFile>) -> Result<()> {
    for TileFile { tile, bytes } in files.drain(..) {
        write_file(&log.join(tile.path()), &bytes)?;
    }
    Ok(())
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, bytes).with_context(|| format!("could not write `{}`", path.display()))
}
