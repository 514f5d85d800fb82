//! OpenAI responses.

use std::borrow::Cow;

use wire::llm::raw::{Fields, quoted};

use crate::edit::Cut;
use crate::walk::{ARGUMENTS, At, Voice, Walk, text_of};

/// Goes through the instructions and the input.
pub(crate) fn walk(walk: &mut Walk<'_, '_>) {
    let layout = walk.layout;
    walk.around("instructions", Voice::System);
    walk.around("input", Voice::User);
    for (number, item) in layout.items().iter().enumerate() {
        let kind = item.text("type").unwrap_or(Cow::Borrowed("message"));
        let voice = match (&*kind, item.text("role").as_deref()) {
            ("reasoning", _) => continue,
            ("message", Some("system" | "developer")) => Voice::System,
            ("message", Some("assistant")) => Voice::Assistant,
            ("message", _) => Voice::User,
            (kind, _) if kind.ends_with("_output") => Voice::Tool,
            _ => Voice::Assistant,
        };
        if walk.passes(item, voice) {
            continue;
        }
        match &*kind {
            "message" => message(walk, number, item, voice),
            _ if voice == Voice::Tool => output(walk, number, item, &kind),
            _ => call(walk, number, item, &kind),
        }
    }
}

fn message<'a>(walk: &mut Walk<'a, '_>, number: usize, item: &Fields<'a>, voice: Voice) {
    let at = At::Item(number);
    let Some(content) = item.get("content") else {
        return;
    };
    let own = walk.own().filter(|_| voice == Voice::Assistant);
    let layout = walk.layout;
    let before = || {
        // What the model thought stands between what it was told and what it said.
        let told = layout.items().get(..number)?.iter().rev();
        let told = told.filter(|item| item.text("type").as_deref() != Some("reasoning"));
        let before = told.into_iter().next()?;
        let raw = before.get("content").or_else(|| before.get("output"))?;
        Some(text_of(raw).into_owned())
    };
    let rescinded = own.and_then(|marks| Some((marks, marks.message(&text_of(content), before)?)));
    let Some((marks, mark)) = rescinded else {
        return walk.content(at, voice, Some(content));
    };
    let by = marks.message_of(mark);
    let new = match content.starts_with('[') {
        true => format!(
            r#"[{{"type":"output_text","text":{},"annotations":[]}}]"#,
            quoted(by)
        ),
        false => quoted(by),
    };
    if walk.put(content, new) {
        walk.note(at, marks, mark, Cut::Message, by);
    }
}

fn output<'a>(walk: &mut Walk<'a, '_>, number: usize, item: &Fields<'a>, kind: &str) {
    let at = At::Item(number);
    let id = item.filled("call_id").or_else(|| item.filled("id"));
    let raw = item.get("output");
    // The others have forms of their own, which no text fits.
    let plain = matches!(
        kind,
        "function_call_output" | "custom_tool_call_output" | "local_shell_call_output"
    );
    if plain && walk.result(at, id.as_deref(), raw, quoted) {
        return;
    }
    walk.content(at, Voice::Tool, raw);
}

fn call<'a>(walk: &mut Walk<'a, '_>, number: usize, item: &Fields<'a>, kind: &str) {
    if !walk.knows_calls() {
        return;
    }
    let at = At::Item(number);
    let id = item.filled("call_id").or_else(|| item.filled("id"));
    let keys = ["arguments", "input", "action", "operation", "code"];
    let Some((key, raw)) = keys.iter().find_map(|key| Some((*key, item.get(key)?))) else {
        return;
    };
    let arguments = match raw.starts_with('"') {
        true => text_of(raw),
        false => Cow::Borrowed(raw),
    };
    let name = item
        .filled("name")
        .unwrap_or_else(|| Cow::Owned(kind.trim_end_matches("_call").to_owned()));
    let Some(found) = walk.called(id.clone(), &name, &arguments) else {
        return;
    };
    let Some(marks) = walk.own() else { return };
    if found.asked && raw.starts_with('"') && matches!(key, "arguments" | "input") {
        let by = match key {
            "arguments" => ARGUMENTS,
            _ => "[rescinded]",
        };
        if walk.put(raw, quoted(by)) {
            walk.note(at, marks, found.mark, Cut::Arguments, by);
        }
    }
    // A server that the provider called itself: its result stands in the same item.
    if kind == "mcp_call" {
        walk.result(at, id.as_deref(), item.get("output"), quoted);
    }
}
