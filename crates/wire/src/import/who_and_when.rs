//! `who-and-when`: several agents in one history, as the Who&When data set writes them
//! (Zhang et al., "Which Agent Causes Task Failures and When?", 2025).
//!
//! Every item of `history` is exactly one step, so that a step's index is the item's. The
//! speaker is `name`, or else `role`; a role may name the addressed agent, `Orchestrator (->
//! WebSurfer)`, or what the item is, `Orchestrator (thought)`. Labels (`mistake_…`,
//! `ground_truth`) are kept in the rest of the run and shape nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use model::Kind;

use super::documents::Part;
use super::error::ImportError;
use super::format::Format;
use super::json::{self, Input};
use super::openai_message::content;
use super::run::{Gaps, Position, Run, Step, Unsaid};
use super::spread::Spread;

/// Reads every run: one for each object with `history`.
pub(crate) fn read<'a>(
    input: &Input<'a>,
    parts: Vec<Part<'a>>,
    spread: Spread<'_>,
) -> Result<Vec<Run<'a>>, ImportError> {
    let runs = spread.map(parts, |part| run(input, &part));
    runs.into_iter().collect()
}

fn run<'a>(input: &Input<'a>, part: &Part<'a>) -> Result<Run<'a>, ImportError> {
    let position = &part.position;
    let expected = Format::WhoAndWhen.shape();
    let unexpected = || input.unexpected(Format::WhoAndWhen, part.raw, position, expected);
    if !part.raw.starts_with('{') {
        return Err(unexpected());
    }
    let object = input.object(part.raw, position)?;
    let list = object.get("history").filter(|list| list.starts_with('['));
    let list = list.ok_or_else(unexpected)?;
    let below = position.then("history");
    let mut steps = Vec::new();
    for (index, raw) in input.array(list, &below)?.into_iter().enumerate() {
        steps.push(step(input, raw, below.at(index))?);
    }
    if steps.is_empty() {
        return Err(ImportError::Empty {
            what: format!("no history in {position}"),
        });
    }
    let mut environment = BTreeMap::new();
    if let Some(prompts) = object
        .get("system_prompt")
        .filter(|raw| raw.starts_with('{'))
    {
        for (agent, prompt) in input
            .object(prompts, &position.then("system_prompt"))?
            .pairs()
        {
            if let Some(prompt) = json::string(prompt) {
                environment.insert(format!("system_prompt.{agent}"), prompt.into_owned());
            }
        }
    }
    Ok(Run {
        external: object.scalar("question_ID").map(Cow::into_owned),
        title: object.text("question").map(Cow::into_owned),
        position: position.to_string(),
        started: None,
        environment,
        rest: object.without(&["history"]).map(Cow::Owned),
        steps,
    })
}

fn step<'a>(input: &Input<'a>, raw: &'a str, position: Position) -> Result<Step<'a>, ImportError> {
    let expected = "an item with `role` and `content`";
    let unexpected = || input.unexpected(Format::WhoAndWhen, raw, &position, expected);
    if !raw.starts_with('{') {
        return Err(unexpected());
    }
    let item = input.item(raw, &position)?;
    let role = item.text("role").ok_or_else(unexpected)?;
    let name = item.text("name").filter(|name| !name.is_empty());
    let named = name.is_some();
    let (speaker, aside) = match &name {
        // With a name the role is only `user` or `assistant`: whose turn it is, not who speaks.
        Some(_) => (name, None),
        None => split(role),
    };
    let speaker_is_missing = speaker.is_none();
    let speaker = speaker.unwrap_or(Cow::Borrowed("unknown"));
    let to = aside.as_deref().and_then(|aside| aside.strip_prefix("->"));
    let to = to.map(|to| Cow::Owned(to.trim().to_owned()));
    let kind = match (&to, aside.as_deref(), &*speaker) {
        (Some(_), ..) | (None, None, "human" | "user" | "system") => Kind::Message,
        // Runs the code that others write; no model speaks here.
        (None, None, "Computer_terminal") => Kind::Step,
        (None, None | Some("thought"), _) => Kind::Inference,
        (None, Some(_), _) => Kind::Step,
    };
    // Of a role without a name and without an aside, speaker is all that it says.
    let whole = !named && aside.is_none() && !speaker_is_missing;
    let left = item.left(|key, raw| match key {
        "content" => !raw.starts_with('"'),
        "name" => !named,
        "role" => !whole,
        _ => true,
    });
    let mut step = Step::new(position, kind, speaker, raw);
    step.unsaid = left.map_or(Unsaid::Nothing, Unsaid::Members);
    step.to = to;
    if kind == Kind::Step {
        step.name = aside.or(Some(Cow::Borrowed("code execution")));
        step.gaps.partly(Gaps::EFFECTS);
    }
    step.chosen = item.get("content").and_then(content);
    if step.chosen.is_none() {
        step.gaps.unknowable(Gaps::CHOSEN);
    }
    Ok(step)
}

/// Splits `Orchestrator (thought)` into speaker and aside.
fn split(role: Cow<'_, str>) -> (Option<Cow<'_, str>>, Option<Cow<'_, str>>) {
    let Some(inner) = role.strip_suffix(')') else {
        return (Some(role).filter(|role| !role.is_empty()), None);
    };
    match inner.split_once(" (") {
        Some((speaker, aside)) if !speaker.is_empty() => (
            Some(Cow::Owned(speaker.to_owned())),
            Some(Cow::Owned(aside.to_owned())),
        ),
        _ => (Some(role), None),
    }
}
