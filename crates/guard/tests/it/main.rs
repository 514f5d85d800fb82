//! What is judged, tested with timelines.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod approvals;
mod breaker;
mod judge;
mod loops;
