//! The words of Rescind, tested through what they promise.

mod decision;
mod effect;
mod environment;
mod lifecycle;
mod sample;
mod time;
