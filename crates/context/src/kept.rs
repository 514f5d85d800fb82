//! Histories that a provider keeps, of which a request names only the last answer.
//!
//! What is rescinded there cannot be cut out of the request. [`whole`] writes the turns since the
//! last one that holds nothing rescinded into the request itself, so that it continues that one and
//! can be repaired like any other. Where the turns are not known, or the provider's form of them
//! cannot be written (a *conversation*), [`tell`] adds a note for the model.

use std::borrow::Cow;
use std::collections::BTreeSet;

use model::DecisionId;
use wire::llm::raw::{Fields, elements, quoted};
use wire::llm::{Api, Layout};

use crate::edit::{Cut, Edit, Repair, Replaced, splice};
use crate::mark::Called;
use crate::marks::Marks;

/// The longest request that is written out whole, in bytes.
const WHOLE_MAX: usize = 16 << 20;

/// One turn of a history that a provider keeps.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The request's body, as the agent sent it.
    pub asked: String,
    /// What the model said.
    pub text: String,
    /// The calls that it asked for.
    pub calls: Vec<Called>,
}

/// Returns the request with `turns` written into it, oldest first, so that it continues `before`
/// in place of the last of them; from the beginning if that is none.
///
/// What a model thought is left out, as are calls that the provider carried out itself: their words
/// are in the answers. None if something in the turns has no form that can be sent again, or if the
/// request would be longer than 16 MiB.
#[must_use]
pub fn whole(layout: &Layout<'_>, before: Option<&str>, turns: &[Turn]) -> Option<String> {
    if layout.api() != Api::Responses || layout.repeats() {
        return None;
    }
    let text = layout.text();
    let fields = Fields::of(text)?;
    let own = fields.get("input")?;
    let mut asked = Vec::new();
    for turn in turns {
        asked.push(Fields::of(&turn.asked)?.get("input").unwrap_or("[]"));
    }
    let mut custom = BTreeSet::new();
    for input in asked.iter().copied().chain([own]) {
        look(input, &mut custom)?;
    }
    let mut items = Vec::new();
    for (turn, input) in turns.iter().zip(asked) {
        items.extend(inside(input)?);
        items.extend(answer(turn, &custom)?.into_iter().map(Cow::Owned));
    }
    items.extend(inside(own)?);
    let input = format!("[{}]", items.join(","));
    let before = before.map_or_else(|| "null".to_owned(), quoted);
    let edits = vec![
        Edit {
            place: layout.place(fields.get("previous_response_id")?),
            by: before,
        },
        Edit {
            place: layout.place(own),
            by: input,
        },
    ];
    let whole = splice(text.as_bytes(), edits);
    String::from_utf8(whole)
        .ok()
        .filter(|whole| whole.len() <= WHOLE_MAX)
}

/// Returns the request with a note that tells the model which of the things that the provider keeps
/// no longer hold; none where nothing is known to say. The note stands after the results that the
/// request brings, so that these follow their calls.
#[must_use]
pub fn tell(layout: &Layout<'_>, marks: &Marks, rescinded: &[DecisionId]) -> Option<Repair> {
    if layout.api() != Api::Responses || layout.repeats() {
        return None;
    }
    let notes: Vec<(DecisionId, String)> = rescinded
        .iter()
        .filter_map(|decision| Some((*decision, marks.note_of(*decision)?)))
        .collect();
    if notes.is_empty() {
        return None;
    }
    let lines: Vec<&str> = notes.iter().map(|(_, note)| &**note).collect();
    let item = format!(
        r#"{{"type":"message","role":"developer","content":{}}}"#,
        quoted(&lines.join("\n"))
    );
    let fields = Fields::of(layout.text())?;
    let own = fields.get("input")?;
    let mut items = inside(own)?;
    let results = layout.items().iter().take_while(|item| {
        item.text("type")
            .is_some_and(|kind| kind.ends_with("_output"))
    });
    let at = results.count();
    items.insert(at, Cow::Owned(item));
    let edit = Edit {
        place: layout.place(own),
        by: format!("[{}]", items.join(",")),
    };
    let replaced = notes.into_iter().map(|(decision, by)| Replaced {
        at: format!("/input/{at}"),
        decision,
        what: Cut::Kept,
        by,
    });
    Some(Repair {
        body: splice(layout.text().as_bytes(), vec![edit]),
        replaced: replaced.collect(),
    })
}

/// Looks an input over: none if it has items that only the provider can read; else the calls of
/// tools with free input are noted.
fn look(input: &str, custom: &mut BTreeSet<String>) -> Option<()> {
    if input.starts_with('"') {
        return Some(());
    }
    for item in elements(input) {
        let item = item.ok()?;
        match &*item.text("type").unwrap_or(Cow::Borrowed("message")) {
            "message" | "function_call" | "function_call_output" | "custom_tool_call" => {}
            "custom_tool_call_output" => {
                custom.insert(item.filled("call_id")?.into_owned());
            }
            _ => return None,
        }
    }
    Some(())
}

/// The items of an input as they stand there; text alone is what a user said.
fn inside(input: &str) -> Option<Vec<Cow<'_, str>>> {
    if input.starts_with('"') {
        let item = format!(r#"{{"type":"message","role":"user","content":{input}}}"#);
        return Some(vec![Cow::Owned(item)]);
    }
    let items = wire::llm::raw::list(input)?;
    Some(items.into_iter().map(Cow::Borrowed).collect())
}

/// An answer as items of an input. Without the provider's ids: under these it would be looked for
/// together with what the model thought.
fn answer(turn: &Turn, custom: &BTreeSet<String>) -> Option<Vec<String>> {
    let mut items = Vec::new();
    if !turn.text.is_empty() {
        items.push(format!(
            r#"{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":{},"annotations":[]}}]}}"#,
            quoted(&turn.text)
        ));
    }
    for call in &turn.calls {
        let id = call.id.as_deref()?;
        let (kind, key) = match custom.contains(id) {
            true => ("custom_tool_call", "input"),
            false => ("function_call", "arguments"),
        };
        items.push(format!(
            r#"{{"type":"{kind}","call_id":{},"name":{},"{key}":{}}}"#,
            quoted(id),
            quoted(&call.name),
            quoted(&call.arguments)
        ));
    }
    (!items.is_empty()).then_some(items)
}
