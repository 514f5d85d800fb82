//! Decision graphs in the DOT language of Graphviz.

use std::fmt::Write;

use engine::view::GraphView;

use crate::out::{clean_block, short};

/// Writes a graph as DOT: solid edges are certain, dashed ones possible.
pub(crate) fn dot(graph: &GraphView) -> String {
    let mut text = String::from(
        "digraph decisions {\n  rankdir=TB;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n",
    );
    for node in &graph.nodes {
        let name = node
            .name
            .as_deref()
            .map_or(String::new(), |name| format!(" {name}"));
        let summary = node.summary.as_deref().unwrap_or_default();
        let label = format!(
            "{} · {}{name}\n{}\n{} {}",
            node.agent,
            node.kind,
            summary,
            node.status,
            short(&node.id)
        );
        let _ = writeln!(text, "  {} [label={}];", quote(&node.id), quote(&label));
    }
    for edge in &graph.edges {
        let style = if edge.strength == "certain" {
            "solid"
        } else {
            "dashed"
        };
        let _ = writeln!(
            text,
            "  {} -> {} [label={}, style={style}];",
            quote(&edge.cause),
            quote(&edge.effect),
            quote(&edge.kind)
        );
    }
    text.push_str("}\n");
    text
}

/// A DOT string: quotes and backslashes escaped, line breaks as `\n`.
fn quote(text: &str) -> String {
    let inner = clean_block(text)
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{inner}\"")
}
