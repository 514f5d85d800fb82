//! `cargo xtask reference`: the generated part of `docs/reference`.
//!
//! The binary knows its commands, options, exit codes and the schemas of what it prints; its hidden
//! command `reference` prints one JSON object, file name → text. This task writes those files, or
//! with `--check` says which of them differ from what lies there. Nobody edits them by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::{binary, files};

/// Where the generated files lie.
const FOLDER: &str = "docs/reference";
/// The one file there that is written by hand.
const BY_HAND: &str = "checklist.md";

/// Writes or checks the files. Returns whether they are up to date now.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task talks to who started it"
)]
pub(crate) fn run(options: &[String]) -> anyhow::Result<bool> {
    let check = match options {
        [] => false,
        [option] if option == "--check" => true,
        _ => bail!("`reference` takes `--check` or nothing"),
    };
    let root = files::root();
    let wanted = generated(&binary::build(&root)?)?;
    let folder = root.join(FOLDER);
    let differences = compare(&wanted, &present(&folder)?);
    for (name, difference) in &differences {
        if check {
            eprintln!("{FOLDER}/{name}: {}", difference.word());
            continue;
        }
        let path = folder.join(name);
        match wanted.get(name) {
            Some(text) => fs::write(&path, text),
            None => fs::remove_file(&path),
        }
        .with_context(|| format!("could not write `{}`", path.display()))?;
    }
    if check && !differences.is_empty() {
        eprintln!("    hint: run `cargo xtask reference` and commit what it writes");
    } else {
        println!(
            "reference: {} files, {} differed",
            wanted.len(),
            differences.len()
        );
    }
    Ok(!check || differences.is_empty())
}

/// How a file differs from what the binary says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    Missing,
    Changed,
    Stale,
}

impl Difference {
    const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Changed => "not what the binary says",
            Self::Stale => "no longer generated",
        }
    }
}

fn compare(
    wanted: &BTreeMap<String, String>,
    present: &BTreeMap<String, String>,
) -> BTreeMap<String, Difference> {
    let mut differences = BTreeMap::new();
    for (name, text) in wanted {
        match present.get(name) {
            None => differences.insert(name.clone(), Difference::Missing),
            Some(there) if there != text => differences.insert(name.clone(), Difference::Changed),
            Some(_) => None,
        };
    }
    for name in present.keys().filter(|name| !wanted.contains_key(*name)) {
        differences.insert(name.clone(), Difference::Stale);
    }
    differences
}

fn generated(rescind: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let output = Command::new(rescind)
        .arg("reference")
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not run `{}`", rescind.display()))?;
    ensure!(
        output.status.success(),
        "`rescind reference` ended with {}",
        output.status
    );
    parse(&output.stdout)
}

fn parse(printed: &[u8]) -> anyhow::Result<BTreeMap<String, String>> {
    let files: BTreeMap<String, String> = serde_json::from_slice(printed)
        .context("`rescind reference` must print one object: file name to text")?;
    ensure!(!files.is_empty(), "`rescind reference` printed no file");
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    for name in files.keys() {
        let fits = name != BY_HAND && !name.starts_with('.') && name.bytes().all(plain);
        ensure!(fits, "`{name}` cannot be a generated file");
    }
    Ok(files)
}

fn present(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let files = files::find(folder, &[""])?;
    Ok(files
        .into_iter()
        .filter(|file| file.path != BY_HAND)
        .map(|file| (file.path, file.text))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(files: &[(&str, &str)]) -> BTreeMap<String, String> {
        files
            .iter()
            .map(|&(name, text)| (name.to_owned(), text.to_owned()))
            .collect()
    }

    #[test]
    fn drift_is_found_in_both_directions() {
        let wanted = map(&[("a.md", "1"), ("b.md", "2"), ("c.json", "3")]);
        let present = map(&[("a.md", "1"), ("b.md", "old"), ("d.md", "4")]);
        let differences: Vec<_> = compare(&wanted, &present).into_values().collect();
        assert_eq!(
            differences,
            [Difference::Changed, Difference::Missing, Difference::Stale]
        );
        assert!(compare(&wanted, &wanted).is_empty());
    }

    #[test]
    fn only_plain_file_names_are_written() {
        assert_eq!(parse(br#"{"a.md": "1"}"#).unwrap(), map(&[("a.md", "1")]));
        for bad in [
            r#"{"../a": ""}"#,
            r#"{"checklist.md": ""}"#,
            r#"{".a": ""}"#,
            "{}",
            "[]",
            "",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
