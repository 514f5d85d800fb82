//! Requests to models and their answers, through the doors of [`wire::llm`].

mod requests;

use wire::llm::{Api, Item, Request, read_request};

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
