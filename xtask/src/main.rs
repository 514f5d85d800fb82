//! The tasks of the project: `cargo xtask <task>`.
//!
//! - `tidy` checks what a compiler and clippy do not: the direction of dependencies, what pure
//!   crates may reach, module documentation, unfinished marks, and that documents show commands,
//!   files and tests that exist.
//! - `reference` writes what the binary says of itself into `docs/reference`.
//! - `shown` runs the commands that documents show.
//! - `test` installs what is missing and runs everything that CI runs, in order.
//!
//! Nothing here is part of the product, and no crate depends on it. Start at [`TASKS`].

mod binary;
mod files;
mod markdown;
mod reference;
mod shown;
mod test;
mod tidy;

use std::process::ExitCode;

/// A task: its name, the options it takes, and one line of help.
pub(crate) struct Task {
    /// What to type after `cargo xtask`.
    pub(crate) name: &'static str,
    /// The options it knows; tidy checks documents against them.
    pub(crate) options: &'static [&'static str],
    /// One line for the overview.
    pub(crate) about: &'static str,
    run: fn(&[String]) -> anyhow::Result<bool>,
}

/// Every task, in the order of the overview.
pub(crate) const TASKS: &[Task] = &[
    Task {
        name: "test",
        options: &["--list", "--only", "--keep-going", "--no-install"],
        about: "install what is missing, then run everything that CI runs",
        run: test::run,
    },
    Task {
        name: "tidy",
        options: &[],
        about: "check edges between crates, purity, module docs, marks and documents",
        run: tidy::run,
    },
    Task {
        name: "reference",
        options: &["--check"],
        about: "write what is generated in docs/reference, or check it for drift",
        run: reference::run,
    },
    Task {
        name: "shown",
        options: &[],
        about: "run the commands that documents show, each document in a fresh folder",
        run: shown::run,
    },
];

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task talks to who started it"
)]
fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(task) = words
        .first()
        .and_then(|name| TASKS.iter().find(|task| task.name == name))
    else {
        println!("usage: cargo xtask <task> [options]\n");
        for task in TASKS {
            println!("  {:<10} {}", task.name, task.about);
            if !task.options.is_empty() {
                println!("  {:<10} options: {}", "", task.options.join(", "));
            }
        }
        let asked_for_help = matches!(
            words.first().map(String::as_str),
            None | Some("help" | "--help")
        );
        return if asked_for_help {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    };
    match (task.run)(&words[1..]) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
