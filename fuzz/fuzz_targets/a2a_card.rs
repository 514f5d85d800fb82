//! Any bytes, rewritten as an agent's card.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rescind_fuzz::card(data));
