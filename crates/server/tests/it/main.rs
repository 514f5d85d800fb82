//! The router over a store in memory, asked as clients ask it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod access;
mod api;
mod approvals;
mod checkpoints;
mod document;
mod embedded;
mod events;
mod lists;
mod operations;
mod published;
mod world;
