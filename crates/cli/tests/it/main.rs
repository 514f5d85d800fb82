//! The command as a person calls it: the real binary on a real directory.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod accounts;
mod approvals;
mod bad_input;
mod commands;
mod config;
mod crash;
mod demo;
mod reads;
mod rollback;
mod running;
mod tampering;
mod tools;
mod up;
mod world;
