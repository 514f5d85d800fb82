//! Tests of lineage through its public face.

mod beginnings;
mod graph;
mod infer;
mod line;
mod live;
mod play;
mod safety;
