//! `rescind prove`: evidence of one decision for someone who does not trust us.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use model::Field;
use schemars::JsonSchema;
use serde::Serialize;

use crate::Answer;
use crate::args::Prove;
use crate::failure::Failure;
use crate::session::Session;

/// Every content that can be disclosed, by the name that `--disclose` takes.
const FIELDS: [Field; 8] = [
    Field::Asked,
    Field::Chosen,
    Field::Comment,
    Field::Environment,
    Field::Options,
    Field::Reasoning,
    Field::Result,
    Field::Source,
];

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
}

pub(crate) async fn run(session: &Session, args: &Prove) -> Result<Answer, Failure> {
    let disclose = fields(&args.disclose)?;
    let engine = session.read().await?;
    let id = engine.resolve_decision(&args.id).await?;
    let evidence = engine.prove(id, &disclose, args.chain).await?;
    let mut text = serde_json::to_string_pretty(&evidence)?;
    text.push('\n');
    if args.output == Path::new("-") {
        session.out.text(&text)?;
        return Ok(Answer::Yes);
    }
    write(&args.output, &text, args.force)?;
    let view = ProvedView {
        decision: evidence.decision,
        file: args.output.display().to_string(),
        entries: evidence.entries.len(),
        contents: evidence.contents.len(),
    };
    session.out.answer(&view, |_| {
        let (file, entries, contents) = (&view.file, view.entries, view.contents);
        format!(
            "{file}: {entries} entries proven, {contents} contents disclosed\n\
             check it anywhere with `rescind verify {file}`\n"
        )
    })?;
    Ok(Answer::Yes)
}

fn fields(names: &[String]) -> Result<BTreeSet<Field>, Failure> {
    let mut fields = BTreeSet::new();
    for name in names {
        if name == "all" {
            fields.extend(FIELDS);
            continue;
        }
        let known = FIELDS.into_iter().find(|field| field.name() == name);
        fields.insert(known.ok_or_else(|| {
            let all: Vec<&str> = FIELDS.into_iter().map(Field::name).collect();
            Failure::new(format!("`{name}` is no content of a decision"))
                .with_hint(format!("use `all`, or some of {}", all.join(", ")))
        })?);
    }
    Ok(fields)
}

fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    if force {
        options.truncate(true)
    } else {
        options.create_new(true)
    };
    let file = options.open(path).map_err(|error| {
        let failure = Failure::file("write", path, &error);
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => failure.with_hint("`--force` overwrites it"),
            _ => failure,
        }
    });
    file?
        .write_all(text.as_bytes())
        .map_err(|error| Failure::file("write", path, &error))
}
