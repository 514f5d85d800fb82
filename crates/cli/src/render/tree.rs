//! Decision graphs as a tree in the terminal.
//!
//! A graph has nodes with several causes; a tree has room for one. Each decision hangs on its
//! firmest and latest cause, and names the other certain ones at the end of its line. The longest
//! line of descent keeps its indentation, so that a conversation reads straight down.

use std::collections::HashMap;

use engine::view::{GraphView, NodeView};

use crate::out::{Out, Paint, clean, fit, short};

/// Draws a graph as a tree, causes above effects.
pub(crate) fn tree(out: &Out, graph: &GraphView) -> String {
    let index: HashMap<&str, usize> = graph
        .nodes
        .iter()
        .enumerate()
        .map(|(at, node)| (node.id.as_str(), at))
        .collect();
    let mut parents: Vec<Option<(bool, usize)>> = vec![None; graph.nodes.len()];
    let mut certain: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for edge in &graph.edges {
        let (Some(&cause), Some(&effect)) = (
            index.get(edge.cause.as_str()),
            index.get(edge.effect.as_str()),
        ) else {
            continue;
        };
        let firm = edge.strength == "certain";
        if firm && !certain[effect].contains(&cause) {
            certain[effect].push(cause);
        }
        // Causes come first in the list of nodes, so a cause after its effect cannot be drawn.
        if cause < effect {
            parents[effect] = parents[effect].max(Some((drawn_firm(&edge.kind, firm), cause)));
        }
    }
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    let mut roots = Vec::new();
    for (at, parent) in parents.iter().enumerate() {
        match parent {
            Some((_, cause)) => children[*cause].push(at),
            None => roots.push(at),
        }
    }
    let reach = reach(&children);
    let mut text = String::new();
    // What is still to be drawn: a node, the indentation of its line, and that of what follows.
    let mut todo: Vec<(usize, String, String)> = roots
        .into_iter()
        .rev()
        .map(|root| (root, String::new(), String::new()))
        .collect();
    while let Some((at, lead, below)) = todo.pop() {
        let node = &graph.nodes[at];
        let others: Vec<String> = certain[at]
            .iter()
            .filter(|cause| Some(**cause) != parents[at].map(|(_, cause)| cause))
            .map(|cause| short(&graph.nodes[*cause].id))
            .collect();
        let also = if others.is_empty() {
            String::new()
        } else {
            out.paint(Paint::Dim, format!("  ⇠ {}", others.join(", ")))
        };
        // Of a whole run, the number is an address: `RUN:N`.
        let number = if graph.whole_run {
            format!("{:>4} ", at + 1)
        } else {
            String::new()
        };
        let lead = out.paint(Paint::Dim, format!("{number}{lead}"));
        text.push_str(&format!("{lead}{}{also}\n", label(out, node)));
        let mut next = children[at].clone();
        next.sort_by_key(|child| (reach[*child], *child));
        if let Some(spine) = next.pop() {
            todo.push((spine, below.clone(), below.clone()));
        }
        for side in next.into_iter().rev() {
            todo.push((side, format!("{below}├─ "), format!("{below}│  ")));
        }
    }
    text
}

/// Calls hang on the inference that asked for them, even where a value came from elsewhere.
fn drawn_firm(kind: &str, firm: bool) -> bool {
    firm && matches!(kind, "call" | "message" | "parent" | "result")
}

/// The last node that each node's descent reaches; effects come after causes in the list.
fn reach(children: &[Vec<usize>]) -> Vec<usize> {
    let mut reach: Vec<usize> = (0..children.len()).collect();
    for at in (0..children.len()).rev() {
        for child in &children[at] {
            reach[at] = reach[at].max(reach[*child]);
        }
    }
    reach
}

/// One decision on one line.
pub(crate) fn label(out: &Out, node: &NodeView) -> String {
    let what = match &node.name {
        Some(name) if node.kind == "tool-call" => format!("{name}()"),
        Some(name) if name != "unknown" => format!("{} {name}", node.kind),
        Some(_) | None => node.kind.clone(),
    };
    let status = if node.status == "succeeded" {
        String::new()
    } else {
        format!(" [{}]", out.status(&node.status))
    };
    let summary = node.summary.as_deref().unwrap_or_default();
    format!(
        "{} {} {}{status} {}",
        out.paint(Paint::Yellow, short(&node.id)),
        out.paint(Paint::Cyan, clean(&node.agent)),
        out.paint(Paint::Bold, clean(&what)),
        clean(fit(summary, 72).trim_end())
    )
}
