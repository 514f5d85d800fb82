//! Benchmarks of lineage.
fn main() {}
