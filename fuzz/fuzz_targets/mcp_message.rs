//! Any bytes, read as a message of MCP.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rescind_fuzz::message(data));
