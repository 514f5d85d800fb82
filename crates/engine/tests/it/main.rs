//! The engine over a store in memory: import, questions, erasure, evidence.

mod erase;
mod import;
mod look;
mod prove;
mod real_runs;
mod support;
