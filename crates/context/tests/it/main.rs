//! Repairing histories on all three wires.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod forms;
mod laws;
mod line;
mod play;
mod support;
