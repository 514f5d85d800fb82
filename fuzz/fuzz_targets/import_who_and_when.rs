//! Any bytes, read as `who-and-when`.
#![no_main]

use wire::import::Format;

libfuzzer_sys::fuzz_target!(|data: &[u8]| rescind_fuzz::import(Format::WhoAndWhen, data));
