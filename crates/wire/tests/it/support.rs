//! Plays a small file and shows what came of it, one step a line.

use model::{Evidence, Kind, Media, Outcome};
use wire::import::{Format, Options, Run, Step, Text, read, read_at_once};

/// Reads a file without options and shows its runs, or the error and its hint.
pub(crate) fn play(format: Format, text: &str) -> String {
    play_with(format, text, &Options::default())
}

/// Reads a file and shows its runs, or the error and its hint. Read in pieces it is the same.
pub(crate) fn play_with(format: Format, text: &str, options: &Options<'_>) -> String {
    let backwards = |pieces: usize, work: &(dyn Fn(usize) + Sync)| (0..pieces).rev().for_each(work);
    let in_pieces = read_at_once(format, text.as_bytes(), options, 3, &backwards);
    match read(format, text.as_bytes(), options) {
        Ok(runs) => {
            let shown: String = runs.iter().map(show).collect();
            let in_pieces = in_pieces.expect("what is read whole is read in pieces");
            assert_eq!(in_pieces.iter().map(show).collect::<String>(), shown);
            shown
        }
        Err(error) => match error.hint() {
            Some(hint) => format!("error: {error}\nhint: {hint}"),
            None => format!("error: {error}"),
        },
    }
}

/// Shows a run.
pub(crate) fn show(run: &Run<'_>) -> String {
    let mut out = format!("run at {}", run.position);
    if let Some(external) = &run.external {
        out += &format!(", id {external}");
    }
    if let Some(title) = &run.title {
        out += &format!(", titled {title}");
    }
    if let Some(started) = run.started {
        out += &format!(", started {}", started.0);
    }
    out.push('\n');
    for (name, value) in &run.environment {
        out += &format!("  {name} = {value}\n");
    }
    for (index, step) in run.steps.iter().enumerate() {
        out += &format!("  {index} {}\n", line(step));
    }
    if let Some(rest) = &run.rest {
        out += &format!("  rest {rest}\n");
    }
    out
}

fn line(step: &Step<'_>) -> String {
    let mut out = format!("{} by {}", step.kind.name(), step.agent);
    if let Some(version) = &step.agent_version {
        out += &format!(" {version}");
    }
    if let Some(to) = &step.to {
        out += &format!(" to {to}");
    }
    if let Some(name) = &step.name {
        out += &format!(" `{name}`");
    }
    let texts = [
        ("asked", &step.asked),
        ("chosen", &step.chosen),
        ("because", &step.reasoning),
        ("result", &step.result),
    ];
    for (role, text) in texts {
        if let Some(Text { media, text }) = text {
            let media = if *media == Media::Json { "json " } else { "" };
            out += &format!(" {role}={media}{:?}", shorten(text));
        }
    }
    if let Some(id) = &step.call_id {
        out += &format!(" id={id}");
    }
    if let Some(parent) = step.parent {
        out += &format!(" in {parent}");
    }
    for link in &step.links {
        let by = match &link.evidence {
            Evidence::CallId => "call id",
            Evidence::Explicit { by } => by,
            other => panic!("{other:?} is no explicit evidence"),
        };
        out += &format!(" <-{} {} ({by})", link.step, link.kind.name());
    }
    match &step.outcome {
        Outcome::Succeeded => {}
        Outcome::Failed { class } => out += &format!(" FAILED {class:?}"),
        other => out += &format!(" {other:?}"),
    }
    let marks = [
        ("orphaned call", step.marks.orphaned_call),
        ("orphaned result", step.marks.orphaned_result),
        ("reused id", step.marks.reused_call_id),
        ("missing parent", step.marks.missing_parent),
    ];
    for (name, set) in marks {
        if set {
            out += &format!(" [{name}]");
        }
    }
    match (step.started, step.ended) {
        (None, None) => {}
        (started, ended) => {
            let micros = |time: Option<model::Timestamp>| match time {
                Some(time) => time.0.to_string(),
                None => "?".to_owned(),
            };
            out += &format!(" {}..{}", micros(started), micros(ended));
        }
    }
    out += &format!(" @{}", step.position);
    out
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Checks what every run promises, whatever its format.
pub(crate) fn check(run: &Run<'_>) {
    assert!(!run.steps.is_empty());
    assert!(!run.position.is_empty());
    for (index, step) in run.steps.iter().enumerate() {
        assert!(step.links.iter().all(|link| link.step < index), "{step:?}");
        assert!(step.parent.is_none_or(|parent| parent < index), "{step:?}");
        assert!(!step.source.is_empty(), "{step:?}");
        assert!(!step.agent.is_empty(), "{step:?}");
        if matches!(step.kind, Kind::Inference | Kind::ToolCall) {
            assert!(
                step.name.as_ref().is_some_and(|name| !name.is_empty()),
                "{step:?}"
            );
        }
        if step.marks.orphaned_call {
            assert_eq!(step.outcome, Outcome::Unknown);
        }
    }
    if let Some(rest) = &run.rest {
        assert!(
            serde_json::from_str::<&serde_json::value::RawValue>(rest).is_ok(),
            "{rest}"
        );
    }
}
