//! Links and paths in documents must lead somewhere.
//!
//! Knows inline links and images, and the anchors of ATX headings. No reference links.

use std::path::{Component, Path};

use super::Finding;
use crate::files::File;
use crate::markdown::{inline_code, parts};

/// Checks that relative links and paths named in inline code lead to something.
///
/// `exists` answers for a path relative to the root.
pub(super) fn check(
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
        let found = check(&here, &documents, &exists);
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
