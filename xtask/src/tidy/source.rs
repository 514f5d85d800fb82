//! Checks on single source files: module docs, length, unfinished marks, purity.

use super::Finding;
use super::edges;
use super::mask::{Masked, mask, word};
use crate::files::File;

/// Above this many lines a reader wants a file in parts.
const LINES_MAX: usize = 900;

/// Paths into the standard library that pure crates do not take: they touch the world.
const IMPURE_MODULES: &[&str] = &["env", "fs", "net", "os", "process", "thread"];

/// Files of pure crates that may say `async`: the store seam is asynchronous by contract, and the
/// suite that every store runs goes through it.
const ASYNC_ALLOWED: &[&str] = &[
    "crates/ledger/src/store.rs",
    "crates/ledger/src/conformance",
];

/// Checks one Rust file.
pub(super) fn check(file: &File) -> Vec<Finding> {
    let masked = mask(&file.text);
    let mut findings = Vec::new();
    findings.extend(module_docs(file));
    findings.extend(length(file));
    findings.extend(marks(file, &masked));
    if edges::pure_source(&file.path) {
        findings.extend(purity(file, &without_tests(&masked.code)));
    }
    findings
}

fn module_docs(file: &File) -> Option<Finding> {
    let first = file.text.lines().find(|line| !line.trim().is_empty());
    let documented = first.is_some_and(|line| line.starts_with("//! "));
    (!documented).then(|| {
        Finding::new(
            &file.path,
            1,
            "no module documentation",
            "start the file with `//!`: what this is, and what it deliberately does not do",
        )
    })
}

fn length(file: &File) -> Option<Finding> {
    let lines = file.text.lines().count();
    (lines > LINES_MAX).then(|| {
        Finding::new(
            &file.path,
            LINES_MAX + 1,
            format!("{lines} lines, at most {LINES_MAX}"),
            "split it by topic",
        )
    })
}

/// Marks of unfinished work. Their names are put together here, so that this file has none.
fn marks(file: &File, masked: &Masked) -> Vec<Finding> {
    let in_code = [
        concat!("to", "do!"),
        concat!("unimplemen", "ted!"),
        concat!("#[ign", "ore"),
    ];
    let in_comments = [
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("TO", "DO"),
    ];
    let mut findings = Vec::new();
    for (layer, marks) in [(&masked.code, in_code), (&masked.comments, in_comments)] {
        for mark in marks {
            for at in words(layer, mark) {
                findings.push(Finding::new(
                    &file.path,
                    line_of(layer, at),
                    format!("unfinished: `{mark}`"),
                    "finish it, or take it out and say in an issue what is missing",
                ));
            }
        }
    }
    findings
}

fn purity(file: &File, code: &str) -> Vec<Finding> {
    let hint = "a pure crate decides on values: time, entropy and answers are arguments, and \
                verdicts, plans and events go out as values";
    let mut findings = Vec::new();
    for (at, module) in std_modules(code) {
        let what = if IMPURE_MODULES.contains(&module) {
            format!("`std::{module}` in a pure crate")
        } else if code[at..].starts_with("std::io::std") {
            "a standard stream in a pure crate".to_owned()
        } else {
            continue;
        };
        findings.push(Finding::new(&file.path, line_of(code, at), what, hint));
    }
    if !ASYNC_ALLOWED
        .iter()
        .any(|allowed| file.path.starts_with(allowed))
    {
        for at in words(code, "async").chain(words(code, "await")) {
            let what = "asynchronous code in a pure crate";
            findings.push(Finding::new(&file.path, line_of(code, at), what, hint));
        }
    }
    findings
}

/// Returns where `code` names modules of the standard library: `std::fs::read`, and each of
/// `use std::{fs, io::Read}`.
fn std_modules(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for at in words(code, "std::") {
        let after = &code[at + "std::".len()..];
        let Some(group) = after.strip_prefix('{') else {
            found.push((at, leading_word(after)));
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (offset, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    found.push((at, leading_word(group[start..offset].trim_start())));
                    start = offset + 1;
                    if c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    found
}

fn leading_word(text: &str) -> &str {
    let end = text.bytes().position(|b| !word(b)).unwrap_or(text.len());
    &text[..end]
}

/// Blanks every item under `#[cfg(test)]`: tests of a pure crate may do as they like.
fn without_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    while let Some(start) = kept.find("#[cfg(test)]") {
        let mut depth = 0;
        let end = kept[start..].char_indices().find_map(|(offset, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0 && matches!(c, '}' | ';')).then_some(start + offset + 1)
        });
        let end = end.unwrap_or(kept.len());
        let blank: String = kept[start..end]
            .bytes()
            .map(|b| if b == b'\n' { '\n' } else { ' ' })
            .collect();
        kept.replace_range(start..end, &blank);
    }
    kept
}

/// Returns where `wanted` stands as a word of its own.
fn words<'a>(text: &'a str, wanted: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(wanted)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let bytes = text.as_bytes();
            let before = at.checked_sub(1).is_some_and(|before| word(bytes[before]));
            let last = wanted.as_bytes()[wanted.len() - 1];
            let after = word(last) && bytes.get(at + wanted.len()).is_some_and(|&b| word(b));
            !(after || before && word(wanted.as_bytes()[0]))
        })
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks `text` as if it lay at `path`; returns `line: what`.
    fn findings(path: &str, text: &str) -> Vec<String> {
        let file = File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        check(&file)
            .iter()
            .map(|f| format!("{}: {}", f.line, f.what))
            .collect()
    }

    const PURE: &str = "crates/model/src/id.rs";

    #[test]
    fn a_file_without_module_docs_is_found() {
        assert_eq!(
            findings("xtask/src/a.rs", "use a;\n//! late\n"),
            ["1: no module documentation"]
        );
        assert_eq!(
            findings("xtask/src/a.rs", ""),
            ["1: no module documentation"]
        );
        assert!(findings("xtask/src/a.rs", "\n//! What it is.\n").is_empty());
    }

    #[test]
    fn a_long_file_is_found() {
        let text = format!("//! A.\n{}", "\n".repeat(900));
        assert_eq!(
            findings("xtask/src/a.rs", &text),
            ["901: 901 lines, at most 900"]
        );
        assert!(findings("xtask/src/a.rs", &format!("//! A.\n{}", "\n".repeat(899))).is_empty());
    }

    #[test]
    fn unfinished_marks_are_found_in_code_and_comments_only() {
        let text = format!(
            "//! A.\nfn f() {{ {}() }}\n// {}: later\n{}]\nlet s = \"{}!\";\nlet x = 0xXXX1;\n",
            concat!("to", "do!"),
            concat!("FIX", "ME"),
            concat!("#[ign", "ore"),
            concat!("to", "do"),
        );
        let found = findings("xtask/src/a.rs", &text);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].starts_with("2: ") && found[1].starts_with("4: "),
            "{found:?}"
        );
        assert!(found[2].starts_with("3: "), "{found:?}");
    }

    #[test]
    fn the_world_in_a_pure_crate_is_found() {
        let text = "//! A.\nuse std::fs;\nuse std::{collections::{BTreeMap, BTreeSet}, net};\n\
                    fn f() { std::thread::sleep(d); std::io::stdout(); }\nasync fn g() {}\n";
        assert_eq!(
            findings(PURE, text),
            [
                "2: `std::fs` in a pure crate",
                "3: `std::net` in a pure crate",
                "4: `std::thread` in a pure crate",
                "4: a standard stream in a pure crate",
                "5: asynchronous code in a pure crate",
            ]
        );
        assert!(findings("crates/store/src/log.rs", text).is_empty());
        assert!(findings("crates/model/tests/it/main.rs", text).is_empty());
    }

    #[test]
    fn what_only_looks_impure_is_let_through() {
        let text = "//! A: no `std::fs` here.\nuse std::{fmt, io::Read};\n// std::net\n\
                    const S: &str = \"async fn\";\nfn asynchronous() {}\n\
                    #[cfg(test)]\nmod tests {\n    use std::fs;\n    fn f() {}\n}\n";
        assert_eq!(findings(PURE, text), Vec::<String>::new());
        let after = format!("{text}use std::env;\n");
        assert_eq!(findings(PURE, &after), ["11: `std::env` in a pure crate"]);
    }

    #[test]
    fn only_the_store_seam_is_asynchronous() {
        let text = "//! A.\ntrait Store { async fn append(&self); }\n";
        assert!(findings("crates/ledger/src/store.rs", text).is_empty());
        assert_eq!(findings("crates/ledger/src/tree.rs", text).len(), 1);
    }
}
