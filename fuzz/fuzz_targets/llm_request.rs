//! Any bytes, read as a request to a model, an answer and an error, on every wire.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rescind_fuzz::body(data));
