//! `cargo xtask test`: everything that CI runs, in the order in which it fails soonest.
//!
//! It says beforehand what it does and what it installs, installs what is missing, runs one step
//! after the other and ends with a summary. CI runs this and nothing else, so what passes here
//! passes there.

mod install;
mod steps;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::files;
use steps::{STEPS, Step};

/// What was asked for on the command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    list: bool,
    only: Vec<String>,
    keep_going: bool,
    no_install: bool,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Passed,
    Failed,
    /// A step before it failed.
    NotRun,
}

/// Runs the steps and prints a summary. Returns whether all passed.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task talks to who started it"
)]
pub(crate) fn run(words: &[String]) -> anyhow::Result<bool> {
    let options = parse(words)?;
    let root = files::root();
    let steps = chosen(&options.only, STEPS.iter().collect())?;

    println!("`cargo xtask test` runs {} steps:\n", steps.len());
    for (index, step) in steps.iter().enumerate() {
        println!("  {:>2}. {:<10} {}", index + 1, step.name, step.about);
    }
    let missing = install::missing(&steps);
    println!("\n{}", install::announce(&missing, options.no_install));
    if options.list {
        return Ok(true);
    }
    if !options.no_install {
        install::install(&missing)?;
    }

    let mut results: Vec<(&Step, Status, Duration)> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let stop = !options.keep_going && results.iter().any(|(_, s, _)| *s == Status::Failed);
        if stop {
            results.push((step, Status::NotRun, Duration::ZERO));
            continue;
        }
        println!(
            "\n==> {}/{} {}: {}",
            index + 1,
            steps.len(),
            step.name,
            step.about
        );
        let start = now();
        let status = match step.run(&root) {
            Ok(()) => Status::Passed,
            Err(error) => {
                eprintln!("error: {error:#}");
                Status::Failed
            }
        };
        let took = now().duration_since(start);
        println!(
            "<== {}: {} in {:.1} s",
            step.name,
            word(status),
            took.as_secs_f64()
        );
        results.push((step, status, took));
    }

    println!("\nSummary:");
    for (step, status, took) in &results {
        println!(
            "  {:<10} {:<8} {:>7.1} s",
            step.name,
            word(*status),
            took.as_secs_f64()
        );
    }
    Ok(results
        .iter()
        .all(|(_, status, _)| *status == Status::Passed))
}

#[expect(
    clippy::disallowed_methods,
    reason = "says how long a step took; decides nothing"
)]
fn now() -> Instant {
    Instant::now()
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Passed => "passed",
        Status::Failed => "FAILED",
        Status::NotRun => "not run",
    }
}

fn parse(words: &[String]) -> anyhow::Result<Options> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        match (name, value) {
            ("--list", None) => options.list = true,
            ("--keep-going", None) => options.keep_going = true,
            ("--no-install", None) => options.no_install = true,
            ("--only", value) => {
                let value = value.or_else(|| words.next().cloned());
                let value = value.context("`--only` takes the names of steps, parted by commas")?;
                options.only.extend(value.split(',').map(str::to_owned));
            }
            _ => bail!("`test` has no option `{word}`"),
        }
    }
    Ok(options)
}

/// Picks the steps named in `only`, or all; their order stays.
fn chosen<'a>(only: &[String], steps: Vec<&'a Step>) -> anyhow::Result<Vec<&'a Step>> {
    let names: BTreeSet<&str> = steps.iter().map(|step| step.name).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name.as_str())) {
        let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
        bail!("no step `{unknown}`; there are {}", names.join(", "));
    }
    let wanted = |step: &&Step| only.is_empty() || only.iter().any(|name| name == step.name);
    Ok(steps.into_iter().filter(wanted).collect())
}

/// Runs one command and prints it first, so that it can be repeated by hand.
#[expect(clippy::print_stdout, reason = "a task talks to who started it")]
fn carry_out(command: &mut Command) -> anyhow::Result<()> {
    let mut line: Vec<String> = Vec::new();
    for (key, value) in command.get_envs() {
        let value = value.unwrap_or_default().to_string_lossy().into_owned();
        line.push(format!("{}={}", key.to_string_lossy(), quote(&value)));
    }
    line.push(command.get_program().to_string_lossy().into_owned());
    line.extend(
        command
            .get_args()
            .map(|word| quote(&word.to_string_lossy())),
    );
    let line = line.join(" ");
    println!("$ {line}");
    let status = command
        .status()
        .with_context(|| format!("could not run `{line}`"))?;
    if status.success() {
        Ok(())
    } else {
        bail!("`{line}` ended with {status}")
    }
}

fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_are_parsed_and_unknown_ones_refused() {
        let options = parse(&words("--only tidy,test --keep-going --only=format")).unwrap();
        assert_eq!(options.only, ["tidy", "test", "format"]);
        assert!(options.keep_going && !options.list && !options.no_install);
        assert!(parse(&words("--fast")).is_err());
        assert!(parse(&words("--only")).is_err());
        assert!(parse(&words("--list=yes")).is_err());
    }

    #[test]
    fn steps_are_chosen_by_name_in_their_own_order() {
        let all = || STEPS.iter().collect::<Vec<_>>();
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
            chosen(&only, all()).map(|s| s.iter().map(|s| s.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), STEPS.len());
        assert_eq!(names(&["tidy", "format"]).unwrap(), ["format", "tidy"]);
        assert!(
            names(&["formats"])
                .unwrap_err()
                .to_string()
                .contains("format, ")
        );
    }

    #[test]
    fn a_command_that_fails_is_an_error() {
        assert!(carry_out(&mut Command::new("true")).is_ok());
        assert!(carry_out(&mut Command::new("false")).is_err());
        assert!(carry_out(&mut Command::new("no-such-program-anywhere")).is_err());
    }

    #[test]
    fn printed_commands_can_be_repeated_by_hand() {
        assert_eq!(quote("-D warnings"), "'-D warnings'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote("--all"), "--all");
    }
}
