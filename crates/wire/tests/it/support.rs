//! Plays a small file and shows what came of it, one step a line.

use std::fmt::Write;

use model::{Evidence, Media, Outcome};
use wire::import::{Format, Options, Run, Step, Text, read};

/// Reads a file without options and shows its runs, or the error and its hint.
pub(crate) fn play(format: Format, text: &str) -> String {
    play_with(format, text, &Options::default())
}

/// Reads a file and shows its runs, or the error and its hint.
pub(crate) fn play_with(format: Format, text: &str, options: &Options<'_>) -> String {
    match read(format, text.as_bytes(), options) {
        Ok(runs) => runs.iter().map(show).collect(),
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
        write!(out, ", id {external}").unwrap();
    }
    if let Some(title) = &run.title {
        write!(out, ", titled {title}").unwrap();
    }
    if let Some(started) = run.started {
        write!(out, ", started {}", started.0).unwrap();
    }
    out.push('\n');
    for (name, value) in &run.environment {
        writeln!(out, "  {name} = {value}").unwrap();
    }
    for (index, step) in run.steps.iter().enumerate() {
        writeln!(out, "  {index} {}", line(step)).unwrap();
    }
    if let Some(rest) = &run.rest {
        writeln!(out, "  rest {rest}").unwrap();
    }
    out
}

fn line(step: &Step<'_>) -> String {
    let mut out = format!("{} by {}", step.kind.name(), step.agent);
    if let Some(version) = &step.agent_version {
        write!(out, " {version}").unwrap();
    }
    if let Some(to) = &step.to {
        write!(out, " to {to}").unwrap();
    }
    if let Some(name) = &step.name {
        write!(out, " `{name}`").unwrap();
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
            write!(out, " {role}={media}{:?}", shorten(text)).unwrap();
        }
    }
    if let Some(id) = &step.call_id {
        write!(out, " id={id}").unwrap();
    }
    if let Some(parent) = step.parent {
        write!(out, " in {parent}").unwrap();
    }
    for link in &step.links {
        let by = match &link.evidence {
            Evidence::CallId => "call id",
            Evidence::Explicit { by } => by,
            other => panic!("{other:?} is no explicit evidence"),
        };
        write!(out, " <-{} {} ({by})", link.step, link.kind.name()).unwrap();
    }
    match &step.outcome {
        Outcome::Succeeded => {}
        Outcome::Failed { class } => write!(out, " FAILED {class:?}").unwrap(),
        other => write!(out, " {other:?}").unwrap(),
    }
    let marks = [
        ("orphaned call", step.marks.orphaned_call),
        ("orphaned result", step.marks.orphaned_result),
        ("reused id", step.marks.reused_call_id),
        ("missing parent", step.marks.missing_parent),
    ];
    for (name, set) in marks {
        if set {
            write!(out, " [{name}]").unwrap();
        }
    }
    match (step.started, step.ended) {
        (None, None) => {}
        (started, ended) => {
            let micros = |time: Option<model::Timestamp>| match time {
                Some(time) => time.0.to_string(),
                None => "?".to_owned(),
            };
            write!(out, " {}..{}", micros(started), micros(ended)).unwrap();
        }
    }
    write!(out, " @{}", step.position).unwrap();
    out
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
