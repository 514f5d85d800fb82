//! Anthropic messages.

use wire::llm::raw::{Fields, Raw, list, quoted};

use crate::edit::Cut;
use crate::marks::Marks;
use crate::walk::{ARGUMENTS, At, Voice, Walk, cache_marker, text_of, text_part};

/// Goes through the system prompt and the messages.
pub(crate) fn walk(walk: &mut Walk<'_, '_>) {
    let layout = walk.layout;
    walk.around("system", Voice::System);
    for (number, message) in layout.items().iter().enumerate() {
        let model = message.text("role").as_deref() == Some("assistant");
        let voice = if model { Voice::Assistant } else { Voice::User };
        let Some(content) = message.get("content") else {
            continue;
        };
        if walk.passes(message, voice) {
            continue;
        }
        if model {
            assistant(walk, number, content);
        } else {
            user(walk, number, content);
        }
    }
}

fn user<'a>(walk: &mut Walk<'a, '_>, number: usize, content: Raw<'a>) {
    let at = At::Item(number);
    if !content.starts_with('[') {
        return walk.content(at, Voice::User, Some(content));
    }
    for block in wire::llm::raw::elements(content) {
        let Ok(block) = block else { continue };
        if !is_kind(&block, "tool_result") {
            walk.part(at, Voice::User, &block);
            continue;
        }
        let id = block.filled("tool_use_id");
        let said = block.get("content");
        let form = |by: &str| match said {
            Some(raw) if raw.starts_with('[') => {
                format!("[{}]", text_part("text", by, cache_marker(raw)))
            }
            _ => quoted(by),
        };
        if !walk.result(at, id.as_deref(), said, form) {
            walk.content(at, Voice::Tool, said);
        }
    }
}

fn assistant<'a>(walk: &mut Walk<'a, '_>, number: usize, content: Raw<'a>) {
    let at = At::Item(number);
    let Some(marks) = walk.own() else { return };
    let blocks: Vec<(Raw<'a>, Option<Fields<'a>>)> = list(content)
        .unwrap_or_default()
        .into_iter()
        .map(|raw| (raw, Fields::of(raw)))
        .collect();
    let uses = |(_, block): &&(Raw<'a>, Option<Fields<'a>>)| {
        block
            .as_ref()
            .is_some_and(|block| is_kind(block, "tool_use"))
    };
    let has_calls = blocks.iter().any(|block| uses(&block));
    let mut rescinded = None;
    if has_calls {
        for (_, block) in blocks.iter().filter(uses) {
            let Some(block) = block else { continue };
            let found = call_of(walk, number, block, marks);
            rescinded = rescinded.or(found);
        }
    } else {
        let layout = walk.layout;
        let before = || {
            let before = layout.items().get(number.checked_sub(1)?)?;
            Some(text_of(before.get("content")?).into_owned())
        };
        rescinded = marks.message(&text_of(content), before);
    }
    let Some(mark) = rescinded else {
        return walk.content(at, Voice::Assistant, Some(content));
    };
    let by = marks.message_of(mark);
    let changed = if blocks.is_empty() {
        text_of(content).trim() != by && walk.put(content, quoted(by))
    } else if has_calls {
        beside_calls(walk, &blocks, by)
    } else {
        // What the model thought goes with what it said: an answer that ended needs no thoughts.
        let new = format!("[{}]", text_part("text", by, cache_marker(content)));
        walk.put(content, new)
    };
    if changed {
        walk.note(at, marks, mark, Cut::Message, by);
    }
}

/// Rewrites the texts of a message that asks for calls. Thinking stays as the provider signed it,
/// which refuses calls that have lost theirs.
fn beside_calls<'a>(
    walk: &mut Walk<'a, '_>,
    blocks: &[(Raw<'a>, Option<Fields<'a>>)],
    by: &str,
) -> bool {
    let mut changed = false;
    for (raw, block) in blocks {
        let Some(block) = block else { continue };
        if is_kind(block, "text") && block.text("text").is_some_and(|text| text != by) {
            // Citations go with the text that they are of.
            changed |= walk.put(raw, text_part("text", by, block.get("cache_control")));
        }
    }
    changed
}

/// Looks a call up; returns its mark if the message that asks for it is rescinded.
fn call_of<'a>(
    walk: &mut Walk<'a, '_>,
    number: usize,
    block: &Fields<'a>,
    marks: &Marks,
) -> Option<usize> {
    let raw = block.get("input")?;
    let name = block.text("name").unwrap_or_default();
    let found = walk.called(block.filled("id"), &name, raw)?;
    if !found.asked {
        return None;
    }
    if walk.put(raw, ARGUMENTS.to_owned()) {
        walk.note(
            At::Item(number),
            marks,
            found.mark,
            Cut::Arguments,
            ARGUMENTS,
        );
    }
    Some(found.mark)
}

fn is_kind(block: &Fields<'_>, kind: &str) -> bool {
    block.text("type").as_deref() == Some(kind)
}
