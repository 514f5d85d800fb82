//! The desk through its boundary: calls, what they say and what they change.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(
    clippy::print_stdout,
    reason = "a test without its data says so, and how much it compared"
)]

mod keys;
mod mcp;
mod operator;
mod recorded;
mod shop;
mod story;
mod support;
