//! Tests of the stores through their seam.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod conformance;
mod crash;
mod index;
mod journal;
mod kill;
mod noted;
mod open;
mod payloads;
mod support;
mod tamper;
mod tiles;
