//! Any bytes, read as `langfuse`.
#![no_main]

use wire::import::Format;

libfuzzer_sys::fuzz_target!(|data: &[u8]| rescind_fuzz::import(Format::Langfuse, data));
