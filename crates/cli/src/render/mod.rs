//! Decision graphs as text, DOT and SVG.

mod dot;
mod svg;
mod tree;

pub(crate) use dot::dot;
pub(crate) use svg::svg;
pub(crate) use tree::{label, tree};
