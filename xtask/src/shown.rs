//! `cargo xtask shown`: runs the commands that documents show.
//!
//! All `sh` blocks of a document run as one script, in order, in a fresh folder that has a copy of
//! `examples/` and the freshly built `rescind` in the search path. A block marked `sh no-run`
//! is left out, and so are `console` blocks, which hold placeholders. Whether what is printed is
//! what the text says is not compared: exit codes are.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::files::{self, File};
use crate::{binary, markdown};

/// Runs every document's blocks. Returns whether all went through.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task talks to who started it"
)]
pub(crate) fn run(options: &[String]) -> anyhow::Result<bool> {
    if let Some(option) = options.first() {
        bail!("`shown` takes no option, got `{option}`");
    }
    let root = files::root();
    let rescind = binary::build(&root)?;
    let bin = rescind.parent().context("the binary lies in a folder")?;
    let (mut ran, mut failed) = (0, 0);
    for document in files::find(&root, &[".md"])? {
        let Some(script) = script(&document) else {
            continue;
        };
        println!("running the commands of {}", document.path);
        ran += 1;
        let folder = bin.join("shown").join(document.path.replace('/', "-"));
        if let Err(error) = play(&root, bin, &folder, &script) {
            eprintln!("{}: {error:#}", document.path);
            failed += 1;
        }
    }
    ensure!(ran > 0, "no document shows a command that runs");
    println!("shown: {ran} documents, {failed} failed");
    Ok(failed == 0)
}

/// Runs a script in a fresh `folder`.
fn play(root: &Path, bin: &Path, folder: &Path, script: &str) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("could not empty `{}`", folder.display()))?;
    }
    let examples = folder.join("examples");
    fs::create_dir_all(&examples)
        .with_context(|| format!("could not make `{}`", examples.display()))?;
    for entry in fs::read_dir(root.join("examples")).context("could not list `examples`")? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), examples.join(entry.file_name()))
                .with_context(|| format!("could not copy `{}`", entry.path().display()))?;
        }
    }
    let file = folder.join("commands.sh");
    fs::write(&file, script).with_context(|| format!("could not write `{}`", file.display()))?;
    // The shell itself puts the folder in front of its search path: reading ours is not needed.
    let status = Command::new("bash")
        .arg("-c")
        .arg("PATH=\"$0:$PATH\" exec bash commands.sh")
        .arg(bin)
        // What the documents record is witnessed here, not in the state folder of who runs this.
        .env("RESCIND_WITNESS_DIR", folder.join("witness"))
        .current_dir(folder)
        .status()
        .context("could not run bash")?;
    ensure!(
        status.success(),
        "the commands ended with {status} in `{}`",
        folder.display()
    );
    Ok(())
}

/// Returns a document's blocks as one script whose lines have the numbers of the document, so that
/// a failing line is found in it; or `None` when nothing runs.
fn script(document: &File) -> Option<String> {
    /// `cargo run … -- words` means the binary that is built already. One line: the document's
    /// blocks start below its first.
    const PRELUDE: &str = "set -Eeu; trap 'echo \"line $LINENO: $BASH_COMMAND\" >&2' ERR; \
         cargo() { case $1 in build) return;; run) while [ \"$1\" != -- ]; do shift; done; shift; \
         rescind \"$@\";; *) echo \"mark this block no-run: cargo $*\" >&2; return 1;; esac; }";
    let mut lines = vec![PRELUDE.to_owned()];
    for block in markdown::parts(&document.text).blocks {
        if block.language != "sh" || block.words.iter().any(|word| word == "no-run") {
            continue;
        }
        lines.resize(block.line - 1, String::new());
        lines.extend(block.text.lines().map(str::to_owned));
    }
    (lines.len() > 1).then(|| lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> File {
        File {
            path: "a.md".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn blocks_keep_their_line_numbers() {
        let text = "a\n```sh\none\n```\n```sh no-run\ntwo\n```\n```console\n$ three\n```\n\
                    ```sh\nfour\n```\n";
        let script = script(&document(text)).unwrap();
        let lines: Vec<&str> = script.lines().collect();
        assert_eq!(lines[2], "one");
        assert_eq!(lines[11], "four");
        assert!(lines[3..11].iter().all(|line| line.is_empty()), "{lines:?}");
        assert_eq!(super::script(&document("```text\nfive\n```")), None);
    }

    /// Plays `text` with a `rescind` that prints its words into a file and fails when told to.
    fn play_document(text: &str) -> (anyhow::Result<()>, String) {
        let folder = tempfile::tempdir().unwrap();
        let (root, bin) = (folder.path().join("root"), folder.path().join("bin"));
        fs::create_dir_all(root.join("examples")).unwrap();
        fs::write(root.join("examples/a.json"), "{}").unwrap();
        fs::create_dir_all(&bin).unwrap();
        let program =
            "#!/bin/sh\necho \"$@\" >> said\ntest -f examples/a.json\n[ \"$1\" != fail ]\n";
        fs::write(bin.join("rescind"), program).unwrap();
        let executable = Command::new("chmod")
            .arg("+x")
            .arg(bin.join("rescind"))
            .status();
        assert!(executable.unwrap().success());
        let at = folder.path().join("at");
        let result = play(&root, &bin, &at, &script(&document(text)).unwrap());
        (
            result,
            fs::read_to_string(at.join("said")).unwrap_or_default(),
        )
    }

    #[test]
    fn commands_run_in_order_however_the_binary_is_called() {
        let text = "```sh\ncargo run --release -p rescind-cli -- import a --x\n```\n\
                    ```sh\nrescind runs\n```";
        let (result, said) = play_document(text);
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(said, "import a --x\nruns\n");
    }

    #[test]
    fn a_failing_command_stops_the_document() {
        let (result, said) = play_document("```sh\nrescind fail\nrescind runs\n```");
        assert!(result.is_err());
        assert_eq!(said, "fail\n");
        assert!(play_document("```sh\ncargo xtask test\n```").0.is_err());
    }
}
