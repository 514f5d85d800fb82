//! Logs of Rescind, checked by programs that other people wrote.
//!
//! [`fixture`] writes logs with our ledger. Each other module reads them with libraries that know
//! nothing of ours, and returns what it finds wrong; nothing found means accepted. What cannot be
//! read at all is an error. The other verifiers are not in Rust; `verifiers/run` runs them all.

pub mod ct_merkle;
pub mod fixture;
pub mod tlog_tiles;

use std::path::Path;

use anyhow::{Context, Result, bail};

/// Splits an entry bundle, by the specification and without our ledger.
///
/// # Errors
///
/// When the bundle ends within an entry.
pub fn split_bundle(mut bundle: &[u8]) -> Result<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((entry, rest)) = rest.split_at_checked(length) else {
            bail!("a bundle ends within its entry {}", entries.len());
        };
        entries.push(entry);
        bundle = rest;
    }
    if !bundle.is_empty() {
        bail!("a bundle ends within a length");
    }
    Ok(entries)
}

/// Returns the path of an entry bundle of a log of `size` entries.
pub fn bundle_path(index: u64, size: u64) -> String {
    let (mut path, mut rest) = (format!("{:03}", index % 1000), index / 1000);
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    match size - index * 256 {
        width @ 0..256 => format!("tile/entries/{path}.p/{width}"),
        _ => format!("tile/entries/{path}"),
    }
}

pub(crate) fn read(log: &Path, path: &str) -> Result<Vec<u8>> {
    std::fs::read(log.join(path)).with_context(|| format!("could not read `{path}`"))
}
