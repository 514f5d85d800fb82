//! OpenAI chat completions.

use wire::llm::raw::{Fields, Raw, quoted};

use crate::edit::Cut;
use crate::walk::{ARGUMENTS, At, Voice, Walk, cache_marker, text_of, text_part};

/// Goes through the messages.
pub(crate) fn walk(walk: &mut Walk<'_, '_>) {
    let layout = walk.layout;
    for (number, message) in layout.items().iter().enumerate() {
        let at = At::Item(number);
        let voice = match message.text("role").as_deref() {
            Some("assistant") => Voice::Assistant,
            Some("tool" | "function") => Voice::Tool,
            Some("system" | "developer") => Voice::System,
            _ => Voice::User,
        };
        if walk.passes(message, voice) {
            continue;
        }
        let content = message.get("content");
        match voice {
            Voice::Assistant => assistant(walk, number, message),
            Voice::Tool => {
                let id = message.filled("tool_call_id");
                if !walk.result(at, id.as_deref(), content, |by| rewritten(content, by)) {
                    walk.content(at, voice, content);
                }
            }
            Voice::System | Voice::User => walk.content(at, voice, content),
        }
    }
}

/// A content with nothing but a correction, in the form that the content had.
fn rewritten(content: Option<Raw<'_>>, by: &str) -> String {
    match content {
        Some(raw) if raw.starts_with('[') => {
            format!("[{}]", text_part("text", by, cache_marker(raw)))
        }
        _ => quoted(by),
    }
}

fn assistant<'a>(walk: &mut Walk<'a, '_>, number: usize, message: &Fields<'a>) {
    let at = At::Item(number);
    let content = message.get("content");
    let has_calls = message.get("tool_calls").is_some_and(|raw| raw != "[]");
    let mut rescinded = None;
    if has_calls && walk.knows_calls() {
        for call in message.objects("tool_calls") {
            let found = call_of(walk, number, &call);
            rescinded = rescinded.or(found);
        }
    } else if !has_calls && let Some(marks) = walk.own() {
        let said = content.or_else(|| message.get("refusal"));
        let layout = walk.layout;
        let before = || {
            let before = layout.items().get(number.checked_sub(1)?)?;
            Some(text_of(before.get("content")?).into_owned())
        };
        rescinded = said.and_then(|raw| marks.message(&text_of(raw), before));
    }
    let (Some(mark), Some(marks)) = (rescinded, walk.own()) else {
        return walk.content(at, Voice::Assistant, content);
    };
    let by = marks.message_of(mark);
    let says = |raw: &&str| !matches!(*raw, "null" | "\"\"" | "[]");
    // Nothing is made empty: a message without calls must say something.
    let target = content.filter(says).or(match has_calls {
        true => None,
        false => message.get("refusal"),
    });
    let mut changed = false;
    if let Some(raw) = target
        && text_of(raw).trim() != by
    {
        changed = walk.put(raw, rewritten(Some(raw), by));
    }
    for key in ["refusal", "reasoning_content", "reasoning"] {
        let raw = message
            .get(key)
            .filter(says)
            .filter(|raw| Some(*raw) != target);
        if let Some(raw) = raw.filter(|raw| raw.starts_with('"'))
            && text_of(raw) != by
        {
            changed |= walk.put(raw, quoted(by));
        }
    }
    if changed {
        walk.note(at, marks, mark, Cut::Message, by);
    }
}

/// Looks a call up; returns its mark if the message that asks for it is rescinded.
fn call_of<'a>(walk: &mut Walk<'a, '_>, number: usize, call: &Fields<'a>) -> Option<usize> {
    let inner = call.object("function").or_else(|| call.object("custom"))?;
    let name = inner.text("name").unwrap_or_default();
    let free = inner.get("arguments").is_none();
    let raw = inner.get("arguments").or_else(|| inner.get("input"))?;
    let arguments = text_of(raw);
    let found = walk.called(call.filled("id"), &name, &arguments)?;
    if !found.asked {
        return None;
    }
    let marks = walk.own()?;
    let by = if free { "[rescinded]" } else { ARGUMENTS };
    if walk.put(raw, quoted(by)) {
        walk.note(At::Item(number), marks, found.mark, Cut::Arguments, by);
    }
    Some(found.mark)
}
