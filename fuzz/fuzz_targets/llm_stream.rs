//! Any bytes, cut in two, read as a stream of every wire.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rescind_fuzz::stream(data));
