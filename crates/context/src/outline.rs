//! A history as people read it: who said what, item by item.

use wire::llm::raw::{Fields, Raw, elements};
use wire::llm::{Api, Layout};

use crate::walk::text_of;

/// One item of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it stands: a JSON Pointer.
    pub at: String,
    /// Whose it is, in the word of the wire: `system`, `user`, `assistant`, `tool`, or the type of
    /// the item.
    pub role: String,
    /// What it says; calls as `name(arguments)`, each on a line of its own.
    pub text: String,
}

/// Returns the items of a history in order, with what the model is told beside it.
#[must_use]
pub fn outline(layout: &Layout<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for (key, role) in [
        ("system", "system"),
        ("instructions", "system"),
        ("input", "user"),
    ] {
        let text = layout.fields().get(key).map(text_of);
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            lines.push(Line {
                at: format!("/{key}"),
                role: role.to_owned(),
                text: text.into_owned(),
            });
        }
    }
    for (number, item) in layout.items().iter().enumerate() {
        let role = item.text("role").or_else(|| item.text("type"));
        let mut said = Vec::new();
        match layout.api() {
            Api::Responses => response(item, &mut said),
            Api::Chat | Api::Messages => message(item, &mut said),
        }
        said.retain(|text| !text.is_empty());
        lines.push(Line {
            at: format!("/{}/{number}", layout.key()),
            role: role.unwrap_or_default().into_owned(),
            text: said.join("\n"),
        });
    }
    lines
}

fn message(item: &Fields<'_>, said: &mut Vec<String>) {
    for key in ["content", "refusal"] {
        content(item.get(key), said);
    }
    for call in item.objects("tool_calls") {
        if let Some(inner) = call.object("function").or_else(|| call.object("custom")) {
            said.push(called(&inner, &["arguments", "input"]));
        }
    }
}

fn content(raw: Option<Raw<'_>>, said: &mut Vec<String>) {
    let Some(raw) = raw else { return };
    if !raw.starts_with('[') {
        said.push(text_of(raw).into_owned());
        return;
    }
    for part in elements(raw) {
        let Ok(part) = part else { continue };
        match part.text("type").as_deref() {
            Some("tool_use") => said.push(called(&part, &["input"])),
            Some("text" | "input_text" | "output_text") | None => {
                said.push(part.text("text").unwrap_or_default().into_owned());
            }
            Some("tool_result") => {
                said.push(
                    part.get("content")
                        .map(text_of)
                        .unwrap_or_default()
                        .into_owned(),
                );
            }
            Some(other) => said.push(format!("[{other}]")),
        }
    }
}

fn response(item: &Fields<'_>, said: &mut Vec<String>) {
    let kind = item.text("type");
    match kind.as_deref() {
        None | Some("message") => content(item.get("content"), said),
        Some(kind) if kind.ends_with("_output") => {
            said.push(
                item.get("output")
                    .map(text_of)
                    .unwrap_or_default()
                    .into_owned(),
            );
        }
        Some(kind) if kind.ends_with("_call") => {
            said.push(called(item, &["arguments", "input", "action"]));
            content(item.get("output"), said);
        }
        Some(other) => said.push(format!("[{other}]")),
    }
}

fn called(call: &Fields<'_>, keys: &[&str]) -> String {
    let name = call.text("name").unwrap_or_default();
    let arguments = keys
        .iter()
        .find_map(|key| call.get(key))
        .unwrap_or_default();
    match arguments.starts_with('"') {
        true => format!("{name}({})", text_of(arguments)),
        false => format!("{name}({arguments})"),
    }
}
