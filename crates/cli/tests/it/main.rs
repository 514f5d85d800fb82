//! The command as a person calls it: the real binary on a real directory.

mod accounts;
mod bad_input;
mod commands;
mod crash;
mod tampering;
mod world;
