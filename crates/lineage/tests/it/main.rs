//! Tests of lineage through its public face.

mod graph;
mod infer;
mod live;
mod play;
mod safety;
