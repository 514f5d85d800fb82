//! Decision graphs as SVG: one lane for each agent, time downwards.

use std::collections::HashMap;
use std::fmt::Write;

use engine::view::{GraphView, NodeView};

use crate::out::{clean_block, fit, short};

const LANE_WIDTH: usize = 320;
const ROW_HEIGHT: usize = 58;
const BOX_WIDTH: usize = 280;
const BOX_HEIGHT: usize = 42;
const MARGIN: usize = 24;
const HEAD_HEIGHT: usize = 40;
const LABEL_WIDTH: usize = 42;

/// Draws a graph: solid edges are certain, dashed ones possible.
pub(crate) fn svg(graph: &GraphView) -> String {
    let mut lanes: Vec<&str> = Vec::new();
    for node in &graph.nodes {
        if !lanes.contains(&node.agent.as_str()) {
            lanes.push(&node.agent);
        }
    }
    let lane = |node: &NodeView| {
        lanes
            .iter()
            .position(|name| *name == node.agent)
            .unwrap_or(0)
    };
    let place: HashMap<&str, (usize, usize)> = graph
        .nodes
        .iter()
        .enumerate()
        .map(|(row, node)| (node.id.as_str(), (x_of(lane(node)), y_of(row))))
        .collect();
    let width = 2 * MARGIN + lanes.len().max(1) * LANE_WIDTH;
    let height = y_of(graph.nodes.len()) + MARGIN;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (index, name) in lanes.iter().enumerate() {
        let x = x_of(index);
        let _ = writeln!(
            text,
            "<text x=\"{x}\" y=\"{}\" font-size=\"14\" font-weight=\"bold\">{}</text>",
            MARGIN + 8,
            escape(name)
        );
    }
    for edge in &graph.edges {
        let (Some((x1, y1)), Some((x2, y2))) = (
            place.get(edge.cause.as_str()),
            place.get(edge.effect.as_str()),
        ) else {
            continue;
        };
        let dash = if edge.strength == "certain" {
            ""
        } else {
            " stroke-dasharray=\"4 4\""
        };
        let (from_y, to_y) = (y1 + BOX_HEIGHT, *y2);
        let from_x = x1 + BOX_WIDTH / 2;
        let to_x = x2 + BOX_WIDTH / 2;
        // Long edges within a lane bow out to the side, so that they pass the boxes between.
        let bow = if x1 == x2 && to_y > from_y + ROW_HEIGHT {
            BOX_WIDTH / 2 + 14
        } else {
            0
        };
        let middle = from_y.midpoint(to_y);
        let _ = writeln!(
            text,
            "<path d=\"M{from_x},{from_y} C{},{middle} {},{middle} {to_x},{to_y}\" fill=\"none\" \
             stroke=\"#8a94a6\"{dash}><title>{}, {}</title></path>",
            from_x + bow,
            to_x + bow,
            escape(&edge.kind),
            escape(&edge.strength)
        );
    }
    for node in &graph.nodes {
        let (x, y) = place[node.id.as_str()];
        let name = node
            .name
            .as_deref()
            .map_or(String::new(), |name| format!(" {name}"));
        let head = fit(
            &format!("{}{name} · {}", node.kind, short(&node.id)),
            LABEL_WIDTH,
        );
        let summary = node.summary.as_deref().unwrap_or_default();
        let (fill, stroke) = colours(&node.status);
        let _ = writeln!(
            text,
            "<g><title>{} {}\n{}</title>\
             <rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"6\" \
             fill=\"{fill}\" stroke=\"{stroke}\"/>\
             <text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text>\
             <text x=\"{}\" y=\"{}\" fill=\"#444b57\">{}</text></g>",
            escape(&node.id),
            escape(&node.status),
            escape(summary),
            x + 8,
            y + 17,
            escape(head.trim_end()),
            x + 8,
            y + 34,
            escape(fit(summary, LABEL_WIDTH).trim_end())
        );
    }
    text.push_str("</svg>\n");
    text
}

const fn x_of(lane: usize) -> usize {
    MARGIN + lane * LANE_WIDTH
}

const fn y_of(row: usize) -> usize {
    MARGIN + HEAD_HEIGHT + row * ROW_HEIGHT
}

fn colours(status: &str) -> (&'static str, &'static str) {
    match status {
        "succeeded" | "compensated" | "replayed" => ("#eef7ee", "#4b9a58"),
        "failed" | "rejected" | "invalidated" | "compensation-failed" => ("#fbecec", "#c0504d"),
        "unknown" | "held" | "stands" | "cancelled" => ("#fdf6e3", "#c99a2e"),
        _ => ("#f2f4f8", "#8a94a6"),
    }
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in clean_block(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(c),
        }
    }
    safe
}
