//! `signed_note` and `tlog_tiles`: signature, checkpoint, every entry against authenticated tiles,
//! and proofs of inclusion and consistency.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Error, HashReader, Tile, TileHashReader, TileReader, check_record, check_tree,
    prove_record, prove_tree, record_hash, stored_hash_index, tree_hash,
};

use crate::{bundle_path, read, split_bundle};

/// A directory in the layout of C2SP, for a library that has the layout of Go.
struct Directory<'a>(&'a Path);

impl TileReader for Directory<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let read_one = |tile: &Tile| {
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            read(self.0, &path).map_err(|_| Error::InvalidTile)
        };
        tiles.iter().map(read_one).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// Checks everything in `log`, which is signed with the key `vkey`.
///
/// # Errors
///
/// When a file cannot be read.
pub fn check(log: &Path, vkey: &str) -> Result<Vec<String>> {
    let note = read(log, "checkpoint")?;
    let note = Note::from_bytes(&note).map_err(|e| anyhow!("not a note: {e:?}"))?;
    let verifier = StandardVerifier::new(vkey).map_err(|e| anyhow!("not a vkey: {e:?}"))?;
    if let Err(error) = note.verify(&VerifierList::new(vec![Box::new(verifier)])) {
        return Ok(vec![format!("the checkpoint is not signed: {error:?}")]);
    }
    let checkpoint = Checkpoint::from_bytes(note.text())
        .ok()
        .context("not a checkpoint")?;
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    let directory = Directory(log);
    let hashes = TileHashReader::new(size, root, &directory);

    let mut findings = Vec::new();
    let mut first = 0;
    for bundle in 0..size.div_ceil(256) {
        let bytes = read(log, &bundle_path(bundle, size))?;
        let entries = match split_bundle(&bytes) {
            Ok(entries) => entries,
            Err(error) => return Ok(vec![format!("bundle {bundle}: {error}")]),
        };
        let indexes: Vec<u64> = (first..)
            .take(entries.len())
            .map(|index| stored_hash_index(0, index))
            .collect();
        let Ok(stated) = hashes.read_hashes(&indexes) else {
            findings.push(format!(
                "the tiles over bundle {bundle} do not authenticate"
            ));
            continue;
        };
        for ((index, entry), stated) in (first..).zip(&entries).zip(stated) {
            if record_hash(entry) != stated {
                findings.push(format!("entry {index} does not have the hash of its tile"));
            }
        }
        first += entries.len() as u64;
    }
    if first != size {
        findings.push(format!("{first} entries, the checkpoint says {size}"));
    }

    for index in [0, 1, size / 3, size / 2, size - 1]
        .into_iter()
        .filter(|index| *index < size)
    {
        let entry = read(log, &bundle_path(index / 256, size))?;
        let leaf = record_hash(split_bundle(&entry)?[usize::try_from(index % 256)?]);
        let proven = prove_record(size, index, &hashes)
            .and_then(|proof| check_record(&proof, size, root, index, leaf));
        if let Err(error) = proven {
            findings.push(format!("entry {index} is not included: {error}"));
        }
    }
    for old in [1, 2, 3, 255, 256, 257, 65_536, size]
        .into_iter()
        .filter(|old| *old <= size)
    {
        let proven = tree_hash(old, &hashes).and_then(|old_root| {
            let proof = prove_tree(size, old, &hashes)?;
            check_tree(&proof, size, root, old, old_root)
        });
        if let Err(error) = proven {
            findings.push(format!(
                "the tree does not continue that of size {old}: {error}"
            ));
        }
    }
    Ok(findings)
}
