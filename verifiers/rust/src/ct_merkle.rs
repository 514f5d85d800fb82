//! `ct-merkle`: the root of a log, computed from nothing but the bytes of its entries.

use std::path::Path;

use anyhow::{Context, Result};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sha2::Sha256;

use crate::{bundle_path, read, split_bundle};

/// Compares the root of all entries of `log` with the one in its checkpoint.
///
/// # Errors
///
/// When a file cannot be read.
pub fn check(log: &Path) -> Result<Vec<String>> {
    let checkpoint = String::from_utf8(read(log, "checkpoint")?)?;
    let mut lines = checkpoint.lines().skip(1);
    let size: u64 = lines.next().context("no size")?.parse()?;
    let root = lines.next().context("no root")?;
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for index in 0..size.div_ceil(256) {
        match split_bundle(&read(log, &bundle_path(index, size))?) {
            Ok(entries) => entries.iter().for_each(|entry| tree.push(entry.to_vec())),
            Err(error) => return Ok(vec![format!("bundle {index}: {error}")]),
        }
    }
    let mut findings = Vec::new();
    if tree.len() != size {
        findings.push(format!(
            "{} entries, the checkpoint says {size}",
            tree.len()
        ));
    }
    let found = ::tlog_tiles::Hash(tree.root().as_bytes().as_slice().try_into()?).to_string();
    if found != root {
        findings.push(format!(
            "the entries have the root {found}, the checkpoint says {root}"
        ));
    }
    Ok(findings)
}
