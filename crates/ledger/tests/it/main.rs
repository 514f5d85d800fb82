//! The ledger, tested through its public functions.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod audit;
mod canonical;
mod known;
mod leaf;
mod merkle;
mod note;
mod payload;
mod proof;
mod receipt;
mod safety;
mod support;
mod tile;
mod witness;
