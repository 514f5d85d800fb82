//! Tests of lineage through its public face.

mod graph;
