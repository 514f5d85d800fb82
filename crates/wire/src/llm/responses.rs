//! OpenAI responses.

use std::borrow::Cow;

use super::Unreadable;
use super::answer::{Answer, Completeness, Draft, Usage, add_line};
use super::error;
use super::fields::{Body, Fields, join};
use super::request::{Call, Item, Request, Role, arguments, demanded};

/// Reads the instructions and the input of a request.
pub(super) fn request<'a>(
    body: &mut Body<'a>,
    request: &mut Request<'a>,
) -> Result<(), Unreadable> {
    request.previous_response_id = body.fields.filled("previous_response_id");
    request.conversation = body.fields.filled("conversation").or_else(|| {
        let conversation = body.fields.object("conversation")?;
        conversation.filled("id")
    });
    if let Some(instructions) = body.fields.get("instructions") {
        let text = request.content(Some(instructions));
        request.items.push(Item::new(Role::System, text));
    }
    if let Some(text) = body.fields.text("input") {
        request.items.push(Item::new(Role::User, text));
        return Ok(());
    }
    let expected = "`input` to be a text or an array of items";
    for item in demanded(body, expected, "an item of the input")? {
        read_item(request, &item);
    }
    Ok(())
}

/// Reads an item of the input.
fn read_item<'a>(request: &mut Request<'a>, item: &Fields<'a>) {
    let kind = item.text("type").unwrap_or(Cow::Borrowed("message"));
    match &*kind {
        "message" => {
            let role = Role::read(&item.text("role").unwrap_or_default());
            let text = request.content(item.get("content"));
            message(request, role, text, item.filled("name"));
        }
        // What the model thought, and what only the provider acts on.
        "reasoning" | "mcp_list_tools" => {}
        "mcp_approval_response" => {
            let text = match item.flag("approve") {
                Some(true) => "approved",
                Some(false) => "denied",
                None => "",
            };
            let mut text = Cow::Borrowed(text);
            join(&mut text, item.text("reason").unwrap_or_default());
            request.items.push(Item {
                call_id: item.filled("approval_request_id"),
                ..Item::new(Role::User, text)
            });
        }
        _ if kind.ends_with("_output") => {
            let text = request.result(item.any(&["output", "tools"]));
            request.items.push(Item {
                call_id: item.filled("call_id").or_else(|| item.filled("id")),
                name: item.filled("name"),
                ..Item::new(Role::Tool, text)
            });
        }
        _ => match call(item, &kind) {
            Some(call) => {
                let id = call.id.clone();
                let hosted = call.hosted;
                asked(request, call);
                if hosted && kind == "mcp_call" {
                    mcp_result(request, item, id);
                }
            }
            None => request.unread += 1,
        },
    }
}

/// A message; of the model, it joins the calls that it was said with.
fn message<'a>(
    request: &mut Request<'a>,
    role: Role,
    text: Cow<'a, str>,
    name: Option<Cow<'a, str>>,
) {
    match request.items.last_mut() {
        Some(last) if role == Role::Assistant && last.role == role && last.text.is_empty() => {
            last.text = text;
        }
        _ => request.items.push(Item {
            name,
            ..Item::new(role, text)
        }),
    }
}

/// A call joins the turn of the model that it belongs to.
fn asked<'a>(request: &mut Request<'a>, call: Call<'a>) {
    match request.items.last_mut() {
        Some(last) if last.role == Role::Assistant => last.asked.push(call),
        _ => request.items.push(Item {
            asked: vec![call],
            ..Item::new(Role::Assistant, Cow::Borrowed(""))
        }),
    }
}

/// The result that stands in the same item as the call: the provider called the server itself.
fn mcp_result<'a>(request: &mut Request<'a>, item: &Fields<'a>, id: Option<Cow<'a, str>>) {
    let error = item.get("error");
    let Some(raw) = error.or_else(|| item.get("output")) else {
        return;
    };
    let text = request.content(Some(raw));
    request.items.push(Item {
        call_id: id,
        error: Some(error.is_some()),
        ..Item::new(Role::Tool, text)
    });
}

/// The call that an item is, if it is one. One with a `call_id` waits for the client's result;
/// others the provider runs itself.
pub(super) fn call<'a>(item: &Fields<'a>, kind: &str) -> Option<Call<'a>> {
    let plain = kind.strip_suffix("_call");
    let call_id = item.filled("call_id");
    if plain.is_none() && kind != "mcp_approval_request" {
        return None;
    }
    let said = item.any(&["arguments", "input", "action", "operation", "code"]);
    Some(Call {
        hosted: call_id.is_none(),
        id: call_id.or_else(|| item.filled("id")),
        name: item
            .filled("name")
            .unwrap_or_else(|| Cow::Owned(plain.unwrap_or(kind).to_owned())),
        arguments: arguments(said),
    })
}

/// Reads a plain answer, or the one in the last event of a stream.
pub(super) fn answer(fields: &Fields<'_>) -> Answer {
    let mut answer = Answer::default();
    envelope(&mut answer, fields);
    for item in fields.objects("output") {
        let draft = draft(&item, &mut answer.unread);
        answer.add(draft);
    }
    answer
}

/// What stands around the output.
pub(super) fn envelope(answer: &mut Answer, fields: &Fields<'_>) {
    let status = fields.filled("status");
    let details = fields.object("incomplete_details").unwrap_or_default();
    answer.id = fields.filled("id").map(Cow::into_owned);
    answer.model = fields.filled("model").map(Cow::into_owned);
    answer.usage = fields
        .object("usage")
        .and_then(|usage| Usage::openai(&usage));
    answer.choices = usize::from(fields.get("output").is_some());
    answer.complete = match status.as_deref() {
        Some("completed") => Completeness::Complete,
        Some("failed") => Completeness::Failed,
        // Also those that are still worked on in the background: there is more to come.
        Some(_) => Completeness::Incomplete,
        None => Completeness::Truncated,
    };
    answer.finish = details.filled("reason").or(status).map(Cow::into_owned);
    answer.error = (answer.complete == Completeness::Failed).then(|| error::of_object(fields));
}

/// What an item of the output says.
pub(super) fn draft(item: &Fields<'_>, unread: &mut usize) -> Draft {
    let mut draft = Draft::default();
    let kind = item.text("type").unwrap_or_default();
    match &*kind {
        "message" => {
            for part in item.objects("content") {
                match part.text("type").as_deref() {
                    Some("output_text" | "text") => {
                        add_line(&mut draft.text, &part.text("text").unwrap_or_default());
                    }
                    Some("refusal") => add_line(
                        draft.refusal.get_or_insert_default(),
                        &part.text("refusal").unwrap_or_default(),
                    ),
                    _ => *unread += 1,
                }
            }
        }
        "reasoning" => {
            for part in item.objects("summary").chain(item.objects("content")) {
                add_line(&mut draft.reasoning, &part.text("text").unwrap_or_default());
            }
        }
        "mcp_list_tools" | "compaction" => {}
        _ if kind.ends_with("_output") => {}
        _ => match call(item, &kind) {
            Some(call) => draft.asked.push(call.into()),
            None => *unread += 1,
        },
    }
    draft
}
