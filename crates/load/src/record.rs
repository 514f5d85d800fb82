//! Reads a record that no process has open: which calls it holds, and how they ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use engine::{Engine, Page, SystemClock, SystemEntropy};
use store::{EmbeddedStore, OpenOptions};

use crate::words::{MARKER, find};

/// Decisions that are read at a time.
const PAGE: u64 = 512;

/// Returns, for each marker, the statuses of the decisions that were asked with it.
///
/// # Errors
/// The record cannot be read.
pub fn calls(data_dir: &Path) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(read(data_dir))
}

async fn read(data_dir: &Path) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let entropy = Arc::new(SystemEntropy::new());
    let store = EmbeddedStore::open(OpenOptions {
        read_only: true,
        ..OpenOptions::new(data_dir, entropy.clone(), Arc::new(|| 0))
    })?;
    let engine = Engine::start(Arc::new(store), Arc::new(SystemClock), entropy).await?;
    let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut page = Page::first(PAGE);
    loop {
        let rows = engine.store().decisions(None, page).await?;
        if rows.is_empty() {
            return Ok(calls);
        }
        page.skip += rows.len() as u64;
        for row in rows {
            let decision = engine.decision(row.id).await?;
            let asked = decision
                .contents
                .iter()
                .find(|content| content.field == "asked")
                .and_then(|content| content.text.as_deref());
            let marker = asked
                .and_then(|text| find(text.as_bytes(), MARKER))
                .unwrap_or_else(|| format!("none: {}", row.id));
            calls.entry(marker).or_default().push(decision.node.status);
        }
    }
}
