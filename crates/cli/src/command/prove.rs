//! `rescind prove`: evidence of one decision for someone who does not trust us.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use engine::prove::fields_named;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::Answer;
use crate::args::Prove;
use crate::failure::Failure;
use crate::out::counted;
use crate::session::Session;

/// What `prove` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProvedView {
    /// The decision.
    decision: String,
    /// The file that was written.
    file: String,
    /// Entries that it proves.
    entries: usize,
    /// Contents that it discloses.
    contents: usize,
    /// Contents that were asked for and cannot be disclosed.
    withheld: Vec<engine::prove::EvidenceWithheld>,
}

pub(crate) async fn run(session: &Session, args: &Prove) -> Result<Answer, Failure> {
    let disclose = fields_named(args.disclose.iter().map(String::as_str))?;
    let evidence = match session.remote() {
        Some(remote) => remote.prove(&args.id, &args.disclose, args.chain).await?,
        None => {
            let engine = session.read().await?;
            let id = engine.resolve_decision(&args.id).await?;
            engine.prove(id, &disclose, args.chain).await?
        }
    };
    let mut text = serde_json::to_string_pretty(&evidence)?;
    text.push('\n');
    if args.output == Path::new("-") {
        session.out.text(&text)?;
        return Ok(Answer::Yes);
    }
    // From here on a signal ends nothing: what is being written is short, and would be left behind.
    let _passed_over = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    write(&args.output, &text, args.force)?;
    let view = ProvedView {
        decision: evidence.decision,
        file: args.output.display().to_string(),
        entries: evidence.entries.len(),
        contents: evidence.contents.len(),
        withheld: evidence.withheld,
    };
    for gone in &view.withheld {
        session.out.note(&format!(
            "{} of entry {} is {}",
            gone.field, gone.index, gone.why
        ))?;
    }
    session.out.answer(&view, |_| {
        let file = &view.file;
        let entries = counted(view.entries, "entry", "entries");
        let contents = counted(view.contents, "content", "contents");
        format!(
            "{file}: {entries} proven, {contents} disclosed\n\
             check it anywhere with `rescind verify {file}`\n"
        )
    })?;
    Ok(Answer::Yes)
}

/// Writes the file whole or not at all. It may hold what the record keeps sealed, so only its
/// owner can read it.
fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::file("write", path, &error);
    if !force && path.exists() {
        return Err(Failure::new(format!("`{}` exists", path.display()))
            .with_hint("`--force` overwrites it"));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&beside).map_err(failed)?;
    let done = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&beside, path));
    done.map_err(|error| {
        // What is left of the attempt helps nobody.
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}
