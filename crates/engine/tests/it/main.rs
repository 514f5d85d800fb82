//! The engine over a store in memory: import, questions, erasure, evidence.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "a test that passes over says so")]

mod access;
mod admit;
mod checkpoints;
mod erase;
mod import;
mod import_lots;
mod judged;
mod live;
mod look;
mod news;
mod prove;
mod reads;
mod real_runs;
mod replays;
mod rescind;
mod rests;
mod support;
#[path = "../../../recover/tests/it/systems.rs"]
mod systems;
mod undo;
#[path = "../../../recover/tests/it/world.rs"]
mod world;
