//! `rescind import`: recorded runs from elsewhere into the record.

use std::io::{ErrorKind, Read};
use std::path::Path;

use engine::view::ImportView;
use engine::{Decoded, Engine, ImportOptions};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Answer;
use crate::args::Import;
use crate::failure::Failure;
use crate::out::{Out, Paint, clean, short};
use crate::session::Session;

/// What `import` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ImportedView {
    /// Each file, in the order given.
    files: Vec<ImportedFileView>,
}

/// What an import did with one file.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ImportedFileView {
    /// The file.
    file: String,
    /// What went in.
    #[serde(flatten)]
    import: ImportView,
}

pub(crate) async fn run(session: &Session, args: Import) -> Result<Answer, Failure> {
    let options = ImportOptions {
        format: args.format,
        pointer: args.pointer.as_deref(),
        agent: args.agent.as_deref(),
    };
    // Every file is read and checked before the record is touched: a mistake in the last one
    // leaves nothing behind.
    let bytes = args
        .files
        .iter()
        .map(|path| read(path))
        .collect::<Result<Vec<_>, _>>()?;
    let mut files = Vec::new();
    for (path, bytes) in args.files.iter().zip(&bytes) {
        let decoded = engine::decode_import(bytes, options);
        files.push((
            path.as_path(),
            decoded.map_err(|error| named(path, error.into()))?,
        ));
    }
    let engine = session.write().await?;
    let done = import(session, &engine, &files).await;
    // Whatever happened, what is in the record is sealed before the command ends.
    let closed = engine.store().close().await;
    let view = done?;
    closed?;
    session.out.answer(&view, |out| text(out, &view))?;
    Ok(Answer::Yes)
}

async fn import(
    session: &Session,
    engine: &Engine,
    files: &[(&Path, Decoded<'_>)],
) -> Result<ImportedView, Failure> {
    let mut view = ImportedView { files: Vec::new() };
    for (path, decoded) in files {
        let bar = session.out.bar();
        if let Some(bar) = &bar {
            bar.set_message(path.display().to_string());
        }
        let mut progress = |done: u64, total: u64| {
            if let Some(bar) = &bar {
                bar.set_length(total);
                bar.set_position(done);
            }
        };
        let import = engine.import(decoded, &mut progress).await;
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let import = import.map_err(|error| named(path, error.into()))?;
        view.files.push(ImportedFileView {
            file: path.display().to_string(),
            import,
        });
    }
    Ok(view)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let done = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    done.map_err(|error| unread(path, &error))?;
    Ok(bytes)
}

fn unread(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::file("read", path, error);
    match error.kind() {
        ErrorKind::NotFound => failure.with_hint(
            "check the path, which begins in the current directory unless it begins with `/`; `-` \
             reads standard input",
        ),
        ErrorKind::IsADirectory => failure.with_hint("name the files in it, such as `DIR/*.json`"),
        ErrorKind::PermissionDenied => {
            failure.with_hint("let this user read it, or hand it in: `… | rescind import -`")
        }
        _ => failure,
    }
}

fn named(path: &Path, failure: Failure) -> Failure {
    failure.within(&format!("could not import `{}`", path.display()))
}

fn text(out: &Out, view: &ImportedView) -> String {
    let mut text = String::new();
    let mut already = 0;
    for run in view.files.iter().flat_map(|file| &file.import.runs) {
        if run.already {
            already += 1;
            continue;
        }
        let orphans = match run.orphans {
            0 => String::new(),
            n => format!(", {n} calls without a result"),
        };
        let agents = clean(&run.agents.join(", ")).into_owned();
        text.push_str(&format!(
            "{} {} decisions, {} causes, agents {agents}{orphans}\n",
            out.paint(Paint::Yellow, short(&run.id)),
            run.decisions,
            run.edges,
        ));
    }
    if already > 0 {
        text.push_str(&format!("{already} runs were in the record already\n"));
    }
    if let Some(file) = view.files.last() {
        let (size, root) = (file.import.size, &file.import.root);
        text.push_str(&out.paint(
            Paint::Dim,
            format!("the log has {size} entries, root {root}\n"),
        ));
    }
    text
}
