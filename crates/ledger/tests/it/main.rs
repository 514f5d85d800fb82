//! The ledger, tested through its public functions.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod canonical;
mod payload;
