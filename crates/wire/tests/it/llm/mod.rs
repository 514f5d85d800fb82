//! Requests to models and their answers, through the doors of [`wire::llm`].

mod answers;
mod errors;
mod requests;
mod streams;

use wire::llm::{Answer, Api, Item, ProviderError, Request, read_request};

/// Shows a request, one item a line.
fn asked(api: Api, body: &str) -> String {
    match read_request(api, body.as_bytes()) {
        Ok(request) => show(&request),
        Err(error) => format!("error: {error}"),
    }
}

fn show(request: &Request<'_>) -> String {
    let mut out = String::new();
    let mut facts = Vec::new();
    facts.extend(request.model.as_ref().map(|model| format!("model {model}")));
    facts.extend(request.stream.then(|| "streamed".to_owned()));
    let previous = request.previous_response_id.as_ref();
    facts.extend(previous.map(|id| format!("continues {id}")));
    let conversation = request.conversation.as_ref();
    facts.extend(conversation.map(|id| format!("in {id}")));
    for (what, count) in [
        ("attachments", request.attachments),
        ("unread", request.unread),
    ] {
        facts.extend((count > 0).then(|| format!("{count} {what}")));
    }
    if !facts.is_empty() {
        out += &format!("{}\n", facts.join(", "));
    }
    out += &items(request);
    for tool in &request.tools {
        out += &format!("tool {}: {}\n", tool.name, tool.raw);
    }
    for (name, value) in &request.settings {
        out += &format!("{name} = {value}\n");
    }
    out
}

fn items(request: &Request<'_>) -> String {
    request.items.iter().map(|item| line(item) + "\n").collect()
}

fn line(item: &Item<'_>) -> String {
    let mut out = format!("{} {:?}", item.role.name(), item.text);
    if let Some(name) = &item.name {
        out += &format!(" name={name}");
    }
    if let Some(id) = &item.call_id {
        out += &format!(" of={id}");
    }
    if let Some(error) = item.error {
        out += &format!(" error={error}");
    }
    for call in &item.asked {
        let id = call.id.as_deref().unwrap_or("-");
        let hosted = if call.hosted { " hosted" } else { "" };
        out += &format!(" asks {id}{hosted} {}({})", call.name, call.arguments);
    }
    out
}

/// Shows an answer, one fact a line.
fn answered(answer: &Answer) -> String {
    let mut out = answer.complete.name().to_owned();
    for (name, value) in [
        ("finish", &answer.finish),
        ("id", &answer.id),
        ("model", &answer.model),
    ] {
        if let Some(value) = value {
            out += &format!(" {name}={value}");
        }
    }
    if answer.choices != 1 {
        out += &format!(" choices={}", answer.choices);
    }
    if answer.unread > 0 {
        out += &format!(" unread={}", answer.unread);
    }
    out.push('\n');
    for (name, text) in [
        ("text", &answer.text),
        ("reasoning", &answer.reasoning),
        ("refusal", answer.refusal.as_ref().unwrap_or(&String::new())),
    ] {
        if !text.is_empty() {
            out += &format!("{name} {text:?}\n");
        }
    }
    for call in &answer.asked {
        let id = call.id.as_deref().unwrap_or("-");
        let hosted = if call.hosted { " hosted" } else { "" };
        out += &format!("asks {id}{hosted} {}({})\n", call.name, call.arguments);
    }
    if let Some(usage) = &answer.usage {
        let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        out += &format!(
            "usage in {} (cache read {}, write {}), out {} (reasoning {})\n",
            count(usage.input_tokens),
            count(usage.cache_read_tokens),
            count(usage.cache_write_tokens),
            count(usage.output_tokens),
            count(usage.reasoning_tokens),
        );
    }
    if let Some(error) = &answer.error {
        out += &failure(error);
    }
    out
}

fn failure(error: &ProviderError) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or("-".to_owned());
    let (kind, code, param) = (part(&error.kind), part(&error.code), part(&error.param));
    format!(
        "error type={kind} code={code} param={param} {:?}\n",
        error.message
    )
}
