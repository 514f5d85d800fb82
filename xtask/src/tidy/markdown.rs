//! Documents: fenced blocks, inline code, and links that must lead somewhere.
//!
//! Reads the part of CommonMark that the project's documents use: fences of three backticks or
//! more, ATX headings, inline links and images. No reference links, no indented code.

use std::path::{Component, Path};

use super::Finding;
use crate::files::File;

/// A fenced code block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// First word after the fence, such as `sh`.
    pub(crate) language: String,
    /// Other words after the fence, such as `no-run`.
    pub(crate) words: Vec<String>,
    /// Line of the document on which the text starts.
    pub(crate) line: usize,
    /// The text inside.
    pub(crate) text: String,
}

/// A document taken apart.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Fenced blocks in order.
    pub(crate) blocks: Vec<Block>,
    /// Lines outside of fences, with their numbers.
    pub(crate) prose: Vec<(usize, String)>,
}

/// Takes a document apart into fenced blocks and prose.
pub(crate) fn parts(text: &str) -> Parts {
    let mut parts = Parts::default();
    let mut open: Option<(usize, Block)> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let ticks = trimmed.bytes().take_while(|&b| b == b'`').count();
        match &mut open {
            Some((fence, _)) if ticks >= *fence && trimmed[ticks..].trim().is_empty() => {
                parts.blocks.extend(open.take().map(|(_, block)| block));
            }
            Some((_, block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            None if ticks >= 3 => {
                let mut words = trimmed[ticks..].split_whitespace().map(str::to_owned);
                let language = words.next().unwrap_or_default();
                let words = words.collect();
                let block = Block {
                    language,
                    words,
                    line: index + 2,
                    text: String::new(),
                };
                open = Some((ticks, block));
            }
            None => parts.prose.push((index + 1, line.to_owned())),
        }
    }
    parts.blocks.extend(open.map(|(_, block)| block));
    parts
}

/// Returns the inline code of a line of prose.
pub(crate) fn inline_code(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// Checks that relative links and paths named in inline code lead to something.
///
/// `exists` answers for a path relative to the root.
pub(super) fn check_links(
    file: &File,
    documents: &[File],
    exists: &dyn Fn(&str) -> bool,
) -> Vec<Finding> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for (line, text) in parts(&file.text).prose {
        for target in links(&text) {
            if let Some(what) = broken(file, folder, &target, documents, exists) {
                let hint = "write the path relative to this document";
                findings.push(Finding::new(&file.path, line, what, hint));
            }
        }
        for code in inline_code(&text) {
            if names_file(code) && !exists(code.trim_end_matches('/')) {
                let what = format!("no such file: `{code}`");
                let hint = "write the path from the root, as it is now";
                findings.push(Finding::new(&file.path, line, what, hint));
            }
        }
    }
    findings
}

/// Whether inline code names a file or folder of the project, rather than a pattern or a command.
fn names_file(code: &str) -> bool {
    const HOMES: &[&str] = &[
        "crates/",
        "xtask/",
        "docs/",
        "examples/",
        "fuzz/",
        "verifiers/",
        ".ci/",
        ".cargo/",
    ];
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    HOMES.iter().any(|home| code.starts_with(home)) && code.bytes().all(plain)
}

fn broken(
    file: &File,
    folder: &str,
    target: &str,
    documents: &[File],
    exists: &dyn Fn(&str) -> bool,
) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let inside = if path.is_empty() {
        Some(file.path.clone())
    } else {
        normalise(folder, path)
    };
    let Some(path) = inside else {
        return Some(format!("link out of the project: `{target}`"));
    };
    if !exists(&path) {
        return Some(format!("broken link: `{target}`"));
    }
    let document = documents.iter().find(|document| document.path == path);
    match document {
        Some(document)
            if !anchor.is_empty() && !anchors(&document.text).contains(&anchor.into()) =>
        {
            Some(format!("no heading `#{anchor}` in `{path}`"))
        }
        _ => None,
    }
}

/// Returns `path` as seen from the root, or `None` when it leaves the project.
fn normalise(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for component in Path::new(folder).join(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => drop(parts.pop()?),
            _ => {}
        }
    }
    Some(parts.join("/"))
}

/// Returns the targets of `[text](target)` in a line, outside of inline code.
fn links(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("");
    prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| {
            target
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

/// Returns the anchors of a document's headings, as common hosts form them.
fn anchors(text: &str) -> Vec<String> {
    parts(text)
        .prose
        .iter()
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_and_prose_are_told_apart() {
        let parts = parts("a\n```sh no-run\nb\n````\n# c\n```\nd\n");
        assert_eq!(parts.blocks.len(), 2);
        assert_eq!(parts.blocks[0].language, "sh");
        assert_eq!(parts.blocks[0].words, ["no-run"]);
        assert_eq!(
            (parts.blocks[0].line, parts.blocks[0].text.as_str()),
            (3, "b\n")
        );
        assert_eq!(parts.prose, [(1, "a".to_owned()), (5, "# c".to_owned())]);
        assert_eq!(parts.blocks[1].text, "d\n", "an open fence runs to the end");
    }

    fn findings(text: &str) -> Vec<String> {
        let here = File {
            path: "docs/guides/a.md".to_owned(),
            text: text.to_owned(),
        };
        let other = File {
            path: "README.md".to_owned(),
            text: "# The two commands\n".to_owned(),
        };
        let exists = |path: &str| matches!(path, "README.md" | "docs/guides/a.md" | "xtask");
        let documents = [here.clone(), other];
        let found = check_links(&here, &documents, &exists);
        found
            .into_iter()
            .map(|finding| format!("{}: {}", finding.line, finding.what))
            .collect()
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        assert_eq!(
            findings("[a](../../README.md) [b](b.md)"),
            ["1: broken link: `b.md`"]
        );
        assert_eq!(
            findings("\n[a](../../../b.md)"),
            ["2: link out of the project: `../../../b.md`"]
        );
        assert_eq!(
            findings("[a](../../README.md#two) [b](../../README.md#the-two-commands)"),
            ["1: no heading `#two` in `README.md`"]
        );
        assert!(findings("[a](https://example.org/x) `[b](c.md)`\n```\n[d](e.md)\n```").is_empty());
    }

    #[test]
    fn paths_in_inline_code_are_checked() {
        assert_eq!(
            findings("see `docs/none.md`"),
            ["1: no such file: `docs/none.md`"]
        );
        assert!(findings("see `xtask/`, `crates/<name>` and `docs/**/*.md`").is_empty());
    }
}
