//! Commands that documents show must be commands that exist.
//!
//! Every command line in a shell block that calls `rescind` is handed to the real parser; inline
//! code must at least name a subcommand that exists. Tasks of `cargo xtask` are checked against
//! the list in `main.rs`. Whether a command *does* what the text says is for the step that runs
//! the blocks.

use super::Finding;
use crate::TASKS;
use crate::files::File;
use crate::markdown::{Block, inline_code, parts};

/// Something that parses command lines of `rescind` without carrying them out.
pub(super) trait Understands {
    /// Checks the words after `rescind`. On refusal returns what the parser said.
    fn understands(&mut self, words: &[String]) -> Result<(), String>;
}

/// A document that tells of commands that once were.
const HISTORY: &str = "CHANGELOG.md";

/// Checks every document.
pub(super) fn check(documents: &[File], rescind: &mut dyn Understands) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in documents.iter().filter(|file| file.path != HISTORY) {
        let parts = parts(&file.text);
        for block in parts.blocks.iter().filter(|block| is_shell(block)) {
            for (line, words) in command_lines(&block.text) {
                if let Err(what) = check_words(&words, rescind) {
                    findings.push(finding(file, block.line + line, what));
                }
            }
        }
        for (line, text) in &parts.prose {
            for code in inline_code(text) {
                let words: Vec<String> = code.split_whitespace().map(str::to_owned).collect();
                if let Err(what) = check_inline(&words, rescind) {
                    findings.push(finding(file, *line, what));
                }
            }
        }
    }
    findings
}

fn finding(file: &File, line: usize, what: String) -> Finding {
    let hint = "show only what exists: `rescind help` and `cargo xtask` list it";
    Finding::new(&file.path, line, what, hint)
}

/// Whether a block holds commands that a person would type.
fn is_shell(block: &Block) -> bool {
    matches!(block.language.as_str(), "sh" | "bash" | "shell" | "console")
}

fn check_words(words: &[String], rescind: &mut dyn Understands) -> Result<(), String> {
    if let Some(arguments) = rescind_arguments(words) {
        return rescind
            .understands(arguments)
            .map_err(|said| format!("`rescind {}`: {said}", arguments.join(" ")));
    }
    match words {
        [cargo, xtask, rest @ ..] if cargo == "cargo" && xtask == "xtask" => check_task(rest),
        _ => Ok(()),
    }
}

/// Inline code may hold placeholders, so only the command's name is checked.
fn check_inline(words: &[String], rescind: &mut dyn Understands) -> Result<(), String> {
    match words {
        [cargo, xtask, rest @ ..] if cargo == "cargo" && xtask == "xtask" => check_task(rest),
        [program, name, ..] if program == "rescind" => {
            let is_name =
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !name.starts_with('-');
            if !is_name {
                return Ok(());
            }
            rescind
                .understands(std::slice::from_ref(name))
                .map_err(|said| format!("`rescind {name}`: {said}"))
        }
        _ => Ok(()),
    }
}

fn check_task(words: &[String]) -> Result<(), String> {
    let Some(name) = words.first() else {
        return Ok(());
    };
    if name.starts_with(|c: char| !c.is_ascii_lowercase()) {
        return Ok(());
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        return Err(format!("`cargo xtask {name}`: no such task"));
    };
    let unknown = words[1..]
        .iter()
        .filter(|word| word.starts_with("--"))
        .find(|word| {
            !task
                .options
                .contains(&word.split('=').next().unwrap_or_default())
        });
    match unknown {
        Some(option) => Err(format!("`cargo xtask {name}` has no option `{option}`")),
        None => Ok(()),
    }
}

/// Returns the words after `rescind`, however the binary is called.
fn rescind_arguments(words: &[String]) -> Option<&[String]> {
    let program = words.first()?;
    if program == "rescind" || program.ends_with("/rescind") {
        return Some(&words[1..]);
    }
    let runs_cli = program == "cargo"
        && words.get(1).is_some_and(|word| word == "run")
        && words
            .iter()
            .any(|word| word == "rescind-cli" || word == "rescind");
    let dashes = words.iter().position(|word| word == "--")?;
    runs_cli.then(|| &words[dashes + 1..])
}

/// Splits shell text into simple commands: (line from 0, words).
///
/// Knows quotes, comments, line continuation, pipes, lists and command substitution. Redirections
/// and leading assignments are dropped, keywords such as `if` and a leading `$` too.
fn command_lines(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut commands = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    // The quote around each open parenthesis, restored where it closes.
    let mut around = Vec::new();
    let (mut line, mut started) = (0, 0);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\n' {
            line += 1;
        }
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(c),
            (_, '\\') => match chars.next() {
                Some('\n') => line += 1,
                Some(escaped) => word.get_or_insert_default().push(escaped),
                None => {}
            },
            // A substitution starts a command, also inside of double quotes.
            (_, '$') if chars.peek() == Some(&'(') => {
                chars.next();
                around.push(quote.take());
                finish(&mut commands, &mut words, &mut word, started);
                started = line;
            }
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => {
                while chars.peek().is_some_and(|&c| c != '\n') {
                    chars.next();
                }
            }
            (None, '|' | '&' | ';' | '(' | ')' | '\n') => {
                // `2>&1` is one redirection, not a list.
                if c == '&' && word.as_ref().is_some_and(|word| word.ends_with('>')) {
                    word.get_or_insert_default().push(c);
                    continue;
                }
                finish(&mut commands, &mut words, &mut word, started);
                started = line;
                match c {
                    '(' => around.push(None),
                    ')' => quote = around.pop().flatten(),
                    _ => {}
                }
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => {
                if words.is_empty() && word.is_none() {
                    started = line;
                }
                word.get_or_insert_default().push(c);
            }
        }
    }
    finish(&mut commands, &mut words, &mut word, started);
    commands
}

fn finish(
    commands: &mut Vec<(usize, Vec<String>)>,
    words: &mut Vec<String>,
    word: &mut Option<String>,
    line: usize,
) {
    const KEYWORDS: &[&str] = &[
        "$", "!", "if", "then", "else", "elif", "while", "until", "do", "time", "exec",
    ];
    words.extend(word.take());
    let mut simple = Vec::new();
    let mut all = words.drain(..).peekable();
    while let Some(word) = all.next() {
        let redirection = word.trim_start_matches(|c: char| c.is_ascii_digit());
        if redirection.starts_with(['>', '<']) {
            if redirection.trim_start_matches(['>', '<', '&']).is_empty() {
                all.next();
            }
            continue;
        }
        let assignment = word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
        });
        if simple.is_empty() && (assignment || KEYWORDS.contains(&word.as_str())) {
            continue;
        }
        simple.push(word);
    }
    if !simple.is_empty() {
        commands.push((line, simple));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows `import FILE [--format X]` and `blast ID`, nothing else.
    struct Small;

    impl Understands for Small {
        fn understands(&mut self, words: &[String]) -> Result<(), String> {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["import"] | ["import", _] | ["import", _, "--format", _] | ["blast"] => Ok(()),
                ["blast", id] if !id.starts_with("--") => Ok(()),
                _ => Err("not understood".to_owned()),
            }
        }
    }

    fn findings(text: &str) -> Vec<String> {
        let file = File {
            path: "README.md".to_owned(),
            text: text.to_owned(),
        };
        check(&[file], &mut Small)
            .iter()
            .map(|f| format!("{}: {}", f.line, f.what))
            .collect()
    }

    #[test]
    fn commands_that_do_not_exist_are_found_with_their_line() {
        let text = "```sh\nrescind import a.json --format x\n\nrescind undo 1\n```\n";
        assert_eq!(findings(text), ["4: `rescind undo 1`: not understood"]);
        let text = "```console\n$ cargo run --release -p rescind-cli -- \\\n    blast --fast\n```";
        assert_eq!(
            findings(text),
            ["2: `rescind blast --fast`: not understood"]
        );
        assert_eq!(
            findings("Use `rescind undo ID`."),
            ["1: `rescind undo`: not understood"]
        );
    }

    #[test]
    fn commands_inside_of_others_are_found() {
        let text = "```sh\na=\"$(rescind undo 1 | head -n 1)\" && ! ./target/rescind redo > x\n```";
        assert_eq!(
            findings(text),
            [
                "2: `rescind undo 1`: not understood",
                "2: `rescind redo`: not understood"
            ]
        );
    }

    #[test]
    fn what_is_no_command_is_let_through() {
        let text = "```text\nrescind undo 1\n```\n`rescind …` and `rescind-data`\n\
                    ```sh\necho 'rescind undo' # rescind undo\nrescind blast 1 2>&1 >/dev/null\n```";
        assert_eq!(findings(text), [""; 0]);
    }

    #[test]
    fn tasks_and_their_options_are_checked() {
        assert_eq!(
            findings("`cargo xtask sweep`"),
            ["1: `cargo xtask sweep`: no such task"]
        );
        assert_eq!(
            findings("```sh\ncargo xtask test --only tidy\ncargo xtask test --fast\n```"),
            ["3: `cargo xtask test` has no option `--fast`"]
        );
        assert_eq!(findings("`cargo xtask <task>`, `cargo xtask`"), [""; 0]);
    }
}
