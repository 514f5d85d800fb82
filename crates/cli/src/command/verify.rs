//! `rescind verify`: check that nothing was changed.

use std::path::{Path, PathBuf};

use engine::prove::{EvidenceReport, verify_evidence};
use engine::view::{CheckedView, FindingView, VerifiedView};
use ledger::{Checkpoint, VerifyingKey};
use store::verify::{Options, Report, verify};

use crate::Answer;
use crate::args::Verify;
use crate::failure::Failure;
use crate::out::{Out, Paint, clean, counted};
use crate::session::Session;

use super::published;

pub(crate) async fn run(session: &Session, args: &Verify) -> Result<Answer, Failure> {
    if let Some(remote) = session.remote() {
        if args.path.is_some() || !args.keys.is_empty() || !args.checkpoints.is_empty() {
            return Err(
                Failure::new("a server checks its own files with its own keys")
                    .with_hint("leave out the path, `--key` and `--checkpoint`, or `--url`"),
            );
        }
        let view = remote.verify(args.full).await?;
        session.out.answer(&view, |out| text(out, &view))?;
        return Ok(if view.intact { Answer::Yes } else { Answer::No });
    }
    let keys = args
        .keys
        .iter()
        .map(|text| key(text))
        .collect::<Result<Vec<_>, _>>()?;
    let address = args.path.as_ref().and_then(|path| path.to_str());
    let address = address.filter(|text| published::is_address(text));
    let fetched = match address {
        Some(url) => Some(published::fetch(&session.out, url, &keys).await?),
        None => None,
    };
    let path = fetched.as_ref().map(|dir| dir.path());
    let path = path.or(args.path.as_deref());
    let path = path.unwrap_or(session.data_dir());
    if !path.exists() {
        return Err(
            Failure::new(format!("there is nothing at `{}`", path.display()))
                .with_hint("give a data directory, a log directory, an evidence bundle, or the address of a published log"),
        );
    }
    if path.is_file() {
        if !args.checkpoints.is_empty() {
            return Err(
                Failure::new("evidence is held against no other checkpoint than its own")
                    .with_hint("leave out `--checkpoint`, or give the directory of the log"),
            );
        }
        return evidence(session, args, path);
    }
    let own_keys = keys.is_empty();
    let options = Options {
        full: args.full,
        realm: session.realm().clone(),
        keys,
        anchors: kept(&args.checkpoints)?,
        witness_dir: session.witness_dir(),
        ..Options::default()
    };
    let bar = session.out.bar();
    let progress = |doing: &'static str, done: u64, total: u64| {
        if let Some(bar) = &bar {
            bar.set_message(doing);
            bar.set_length(total);
            bar.set_position(done);
        }
    };
    let report = verify(path, &options, &progress);
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let mut view = view(report?, args.full, own_keys);
    if let (Some(dir), Some(url)) = (&fetched, address) {
        // Where a file was looked at is gone; where it came from is not.
        let files = view.findings.iter_mut();
        for file in files.filter_map(|finding| finding.file.as_mut()) {
            if let Ok(name) = file.strip_prefix(dir.path()) {
                let whole = format!("{}/{}", url.trim_end_matches('/'), name.display());
                *file = whole.trim_end_matches('/').into();
            }
        }
    }
    session.out.answer(&view, |out| text(out, &view))?;
    Ok(if view.intact { Answer::Yes } else { Answer::No })
}

/// Reads checkpoints that somebody kept.
fn kept(paths: &[PathBuf]) -> Result<Vec<Checkpoint>, Failure> {
    let read = |path: &PathBuf| read_checkpoint(path).map(|(checkpoint, _)| checkpoint);
    paths.iter().map(read).collect()
}

/// Reads a checkpoint, with its whole text. Who signed it is not asked: it is the reader's own.
pub(super) fn read_checkpoint(path: &Path) -> Result<(Checkpoint, String), Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Failure::file("read", path, &error))?;
    let body = text.split_once("\n\n").map(|(body, _)| format!("{body}\n"));
    let checkpoint = Checkpoint::parse(body.as_deref().unwrap_or(&text)).map_err(|error| {
        Failure::new(format!("`{}` is no checkpoint: {error}", path.display()))
            .with_hint("a log has its checkpoint at `log/REALM/checkpoint` in its directory")
    })?;
    Ok((checkpoint, text))
}

fn key(text: &str) -> Result<VerifyingKey, Failure> {
    text.parse().map_err(|error| {
        Failure::new(format!("`{text}`: {error}"))
            .with_hint("`rescind keys` prints those of a log: `name+id+base64`")
    })
}

/// What a report says, as commands and the API answer it.
pub(super) fn view(report: Report, full: bool, own_keys: bool) -> VerifiedView {
    VerifiedView {
        intact: report.is_intact(),
        first_bad: report.first_bad(),
        origin: report.origin,
        size: report.size,
        root: report.root.map(|root| root.to_string()),
        full,
        own_keys,
        findings: report
            .findings
            .into_iter()
            .map(|finding| FindingView {
                first_bad: finding.first_bad,
                file: finding.file,
                detail: finding.detail,
            })
            .collect(),
        notices: report.notices,
        checked: CheckedView {
            entries: report.checked.entries,
            bytes: report.checked.bytes,
            payloads: report.checked.payloads,
            erased: report.checked.erased,
            rows: report.checked.rows,
        },
    }
}

fn text(out: &Out, view: &VerifiedView) -> String {
    let mut text = String::new();
    for finding in &view.findings {
        let index = finding
            .first_bad
            .map_or(String::new(), |index| format!("entry {index}: "));
        let file = finding
            .file
            .as_ref()
            .map_or(String::new(), |f| format!(" ({})", f.display()));
        let found = clean(&format!("{index}{}{file}", finding.detail)).into_owned();
        text.push_str(&format!("{} {found}\n", out.paint(Paint::Red, "✗")));
    }
    for notice in &view.notices {
        text.push_str(&format!(
            "{} {}\n",
            out.paint(Paint::Yellow, "·"),
            clean(notice)
        ));
    }
    let checked = &view.checked;
    let (entries, payloads, erased) = (checked.entries, checked.payloads, checked.erased);
    let extent = if view.full {
        format!("{entries} entries and {payloads} payloads hashed, {erased} erased with proof")
    } else {
        "signature, state and newest entries; `--full` checks every byte".to_owned()
    };
    let (origin, size) = (&view.origin, view.size);
    if view.intact {
        let verdict = out.paint(Paint::Green, "intact");
        text.push_str(&format!("{verdict}: {origin}, {size} entries ({extent})\n"));
    } else {
        let from = view
            .first_bad
            .map_or(String::new(), |index| format!(" from entry {index} on"));
        let verdict = out.paint(Paint::Red, "tampered or damaged");
        text.push_str(&format!(
            "{verdict}{from}: {origin}, {size} entries ({extent})\n"
        ));
    }
    text
}

fn evidence(session: &Session, args: &Verify, path: &Path) -> Result<Answer, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    let report = verify_evidence(&bytes, &args.keys).map_err(|error| {
        let source = std::error::Error::source(&error).map_or(String::new(), |e| format!(": {e}"));
        Failure::new(format!(
            "could not check `{}`: {error}{source}",
            path.display()
        ))
        .with_hint("evidence is made by `rescind prove`")
    })?;
    session
        .out
        .answer(&report, |out| evidence_text(out, &report))?;
    Ok(if report.intact {
        Answer::Yes
    } else {
        Answer::No
    })
}

fn evidence_text(out: &Out, report: &EvidenceReport) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&format!(
            "{} {}\n",
            out.paint(Paint::Red, "✗"),
            clean(finding)
        ));
    }
    let verdict = if report.intact {
        out.paint(Paint::Green, "proven")
    } else {
        out.paint(Paint::Red, "not proven")
    };
    let (decision, origin, size) = (&report.decision, &report.origin, report.size);
    let said = format!("decision {decision} in {origin}, {size} entries");
    let entries = counted(report.entries, "entry", "entries");
    let contents = counted(report.contents, "content", "contents");
    for absent in &report.withheld {
        text.push_str(&format!(
            "{} {}\n",
            out.paint(Paint::Yellow, "·"),
            clean(absent)
        ));
    }
    text.push_str(&format!(
        "{verdict}: {} ({entries}, {contents})\n",
        clean(&said)
    ));
    if report.own_keys {
        text.push_str("the keys came with the evidence; pin the log's key with `--key`\n");
    }
    text
}
