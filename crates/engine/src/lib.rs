//! Reads, asks the pure crates, writes.
