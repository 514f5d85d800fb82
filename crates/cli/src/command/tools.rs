//! `rescind tools`, `tools suggest`: which tools there are, and how calls of them are taken back.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use engine::view::{ToolView, ToolsView, WayView};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Answer;
use crate::args::{Tools, ToolsAction, ToolsSuggest};
use crate::failure::Failure;
use crate::out::{Out, Paint, clean, fit};
use crate::session::Session;

use super::up::catalogue;

/// What `tools suggest` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SuggestedView {
    /// The drafts, as comments of TOML.
    toml: String,
    /// How many calls were looked at.
    calls: usize,
    /// The file that was written; absent where none was.
    file: Option<String>,
}

pub(crate) async fn run(session: &Session, args: &Tools) -> Result<Answer, Failure> {
    if let Some(ToolsAction::Suggest(args)) = &args.action {
        return suggest(session, args).await;
    }
    let mut view = match session.remote() {
        Some(remote) => remote.tools().await?,
        None => {
            let catalogue = catalogue(session.config())?.unwrap_or_default();
            let engine = session.read().await?;
            engine.tools(&catalogue, &BTreeMap::new()).await?
        }
    };
    let server = args.server.as_deref();
    view.tools.retain(|tool| {
        let of = server.is_none() || tool.server.as_deref() == server;
        of && (!args.no_undo || tool.has_no_undo())
    });
    view.misfits
        .retain(|misfit| server.is_none_or(|server| misfit.server == server));
    session.out.answer(&view, |out| text(out, &view))?;
    Ok(Answer::Yes)
}

fn text(out: &Out, view: &ToolsView) -> String {
    if view.tools.is_empty() {
        return "there is no such tool\n".to_owned();
    }
    let server = |tool: &ToolView| tool.server.clone().unwrap_or_else(|| "?".to_owned());
    let width = |of: fn(&ToolView) -> usize, least: usize, most: usize| {
        let widths = view.tools.iter().map(of);
        widths.max().unwrap_or(0).clamp(least, most)
    };
    let servers = width(
        |t| t.server.as_deref().map_or(1, |s| s.chars().count()),
        6,
        16,
    );
    let names = width(|tool| tool.name.chars().count(), 4, 40);
    let undos = width(|tool| undo(tool).chars().count(), 4, 44);
    let head = format!(
        "{} {} {} {} {:>7} LAST\n",
        fit("SERVER", servers),
        fit("TOOL", names),
        fit("CLASS", 26),
        fit("UNDO", undos),
        "CALLS"
    );
    let mut text = out.paint(Paint::Bold, head);
    for tool in &view.tools {
        let class = format!("{} ({})", tool.class, tool.class_by);
        let way = fit(&undo(tool), undos);
        let way = clean(&way);
        let way = match tool.has_no_undo() {
            true => out.paint(Paint::Yellow, way),
            false => way.into_owned(),
        };
        let last = tool.last.as_deref().unwrap_or_default();
        let last: String = last.chars().take(19).collect();
        let listed = match tool.listed {
            Some(false) => "  (its server does not list it)",
            _ => "",
        };
        text.push_str(&format!(
            "{} {} {} {way} {:>7} {last}{listed}\n",
            clean(&fit(&server(tool), servers)),
            clean(&fit(&tool.name, names)),
            clean(&fit(&class, 26)),
            tool.calls,
        ));
    }
    if view.more {
        text.push_str(&out.paint(Paint::Dim, "there are more\n"));
    }
    let without = view.tools.iter().filter(|tool| tool.has_no_undo()).count();
    if without > 0 {
        let line = match without {
            1 => "1 of them has no way back\n".to_owned(),
            many => format!("{many} of them have no way back\n"),
        };
        text.push_str(&format!("\n{line}"));
    }
    for misfit in &view.misfits {
        let word = out.paint(Paint::Yellow, "does not fit");
        let (line, column) = (misfit.line, misfit.column);
        let what = format!("tools.toml:{line}:{column}: {}", misfit.what);
        text.push_str(&format!("{word}: {}\n", clean(&what)));
        text.push_str(&format!("  hint: {}\n", clean(&misfit.hint)));
    }
    text
}

/// The ways back in words, with what else the catalogue knows.
fn undo(tool: &ToolView) -> String {
    let way = |way: &WayView| {
        let called = way.tool.as_deref().unwrap_or_default();
        let by = match way.by.as_str() {
            "metadata" => " (its server says)",
            _ => "",
        };
        match way.way.as_str() {
            "restore" => "restore".to_owned(),
            "http" => format!("HTTP {called}"),
            _ => format!("{called}{by}"),
        }
    };
    let ways: Vec<String> = tool.undo.iter().map(way).collect();
    let mut text = match (ways.is_empty(), tool.class.as_str()) {
        (false, _) => ways.join(", else "),
        (true, "read") => "-".to_owned(),
        (true, _) => "none".to_owned(),
    };
    if let Some(probe) = &tool.probe {
        text.push_str(&format!("; probe {probe}"));
    }
    if let Some(key) = &tool.key {
        text.push_str(&format!("; key {key}"));
    }
    text
}

async fn suggest(session: &Session, args: &ToolsSuggest) -> Result<Answer, Failure> {
    if session.remote().is_some() {
        return Err(Failure::new("drafts are made from the files only")
            .with_hint("leave out `--url`, and name the files with `--data-dir`"));
    }
    let catalogue = catalogue(session.config())?.unwrap_or_default();
    let mut servers = session.config().mcp.keys();
    let only = servers.next().filter(|_| servers.next().is_none());
    let server = args.server.as_ref().or(only);
    let engine = session.read().await?;
    let mut seen = engine.seen_calls(&catalogue, args.calls).await?;
    for call in seen.iter_mut().filter(|call| call.server.is_empty()) {
        call.server = server.cloned().unwrap_or_default();
    }
    let toml = recover::suggest(&seen, &catalogue);
    let file = args.out.as_deref();
    if let Some(file) = file {
        write(file, &toml)?;
    }
    let view = SuggestedView {
        calls: seen.len(),
        file: file.map(|file| file.display().to_string()),
        toml,
    };
    session.out.answer(&view, |_| match &view.file {
        Some(file) => format!("drafts from {} calls: {}\n", view.calls, clean(file)),
        None => view.toml.clone(),
    })?;
    if view.toml.is_empty() {
        let why = match view.calls {
            0 => "there are no calls of tools in the record",
            _ => "the catalogue names every tool that was called",
        };
        session.out.note(why)?;
    }
    Ok(Answer::Yes)
}

/// Writes a new file: drafts take the place of nothing that somebody may have worked on.
fn write(file: &Path, toml: &str) -> Result<(), Failure> {
    let made = OpenOptions::new().write(true).create_new(true).open(file);
    let written = made.and_then(|mut to| to.write_all(toml.as_bytes()));
    written.map_err(|error| {
        let failure = Failure::file("write", file, &error);
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                failure.with_hint("name another file; none is written over")
            }
            _ => failure,
        }
    })
}
