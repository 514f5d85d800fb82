//! Formats of agents and their traces.
//!
//! [`import`] reads recorded runs, whatever tool recorded them, into neutral steps. [`sse`] takes
//! streams of events apart. Nothing here opens a file or a socket, reads a clock or knows the
//! record: bytes go in, values come out.

pub mod import;
pub mod sse;
