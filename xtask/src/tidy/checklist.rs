//! Tests that the checklist claims must exist, and tests that name a number must be claimed.
//!
//! `docs/reference/checklist.md` has one table row per number that is met:
//! `| C6 | what it says | crates/model/tests/it/time.rs::c6_causal_order_survives |`, several
//! tests parted by `<br>`.

use super::Finding;
use super::mask::{mask, word};
use crate::files::File;

/// The document with the claims.
const CLAIMS: &str = "docs/reference/checklist.md";
/// Numbers end here.
const NUMBER_MAX: u32 = 186;

/// Checks claims against tests, in both directions.
pub(super) fn check(documents: &[File], sources: &[File]) -> Vec<Finding> {
    let Some(claims) = documents.iter().find(|file| file.path == CLAIMS) else {
        return vec![Finding::new(
            CLAIMS,
            0,
            "missing",
            "say there which test meets which number",
        )];
    };
    let mut findings = Vec::new();
    let mut claimed = Vec::new();
    for (index, line) in claims.text.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, number, _, tests, _] = cells[..] else {
            continue;
        };
        let Some(number) = number.strip_prefix('C').and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let mut refuse = |what: String, hint: &str| {
            findings.push(Finding::new(CLAIMS, index + 1, what, hint));
        };
        if !(1..=NUMBER_MAX).contains(&number) {
            refuse(
                format!("there is no C{number}"),
                "the checklist ends at C186",
            );
        }
        for test in tests
            .split("<br>")
            .map(|test| test.trim().trim_matches('`'))
        {
            match test.split_once("::") {
                Some((path, name)) if has_test(sources, path, name) => {
                    claimed.push((number, path, name));
                }
                _ => refuse(
                    format!("C{number} claims a test that does not exist: `{test}`"),
                    "write `path/from/root.rs::name_of_the_test`",
                ),
            }
        }
    }
    for (path, line, name, number) in numbered_tests(sources) {
        if !claimed.contains(&(number, path, name)) {
            findings.push(Finding::new(
                path,
                line,
                format!("`{name}` names C{number}, and {CLAIMS} does not list it"),
                "add its row, or name the test for what it checks alone",
            ));
        }
    }
    findings
}

fn has_test(sources: &[File], path: &str, name: &str) -> bool {
    let file = sources.iter().find(|file| file.path == path);
    file.is_some_and(|file| tests(&file.text).iter().any(|(_, test)| test == name))
}

/// Returns every test whose name starts with a number: (path, line, name, number).
fn numbered_tests(sources: &[File]) -> Vec<(&str, usize, &str, u32)> {
    let mut found = Vec::new();
    for file in sources {
        for (line, name) in tests(&file.text) {
            let number = name
                .strip_prefix('c')
                .and_then(|rest| rest.split('_').next());
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                let at = file.text.find(&format!("fn {name}")).map_or(0, |at| at + 3);
                found.push((
                    file.path.as_str(),
                    line,
                    &file.text[at..at + name.len()],
                    number,
                ));
            }
        }
    }
    found
}

/// Returns the functions of a source text that carry a test attribute: (line, name). Inside of
/// `proptest!` the attribute is written the same way.
fn tests(text: &str) -> Vec<(usize, String)> {
    let code = mask(text).code;
    let mut found = Vec::new();
    let mut is_test = false;
    for (index, line) in code.lines().enumerate() {
        let line = line.trim();
        let attribute = line.strip_prefix("#[").unwrap_or_default();
        let attribute = attribute.split([']', '(']).next().unwrap_or_default();
        is_test |= attribute == "test" || attribute.ends_with("::test");
        if let Some((before, after)) = line.split_once("fn ")
            && before
                .split_whitespace()
                .all(|word| matches!(word, "async" | "pub"))
        {
            let end = after.bytes().position(|b| !word(b)).unwrap_or(after.len());
            if is_test {
                found.push((index + 1, after[..end].to_owned()));
            }
            is_test = false;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(claims: &str, source: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let found = check(
            &[file(CLAIMS, claims)],
            &[file("crates/a/tests/it/main.rs", source)],
        );
        found
            .into_iter()
            .map(|f| format!("{}:{}: {}", f.path, f.line, f.what))
            .collect()
    }

    const TESTS: &str = "//! A.\n#[test]\nfn c6_order() {}\n#[tokio::test(start_paused = true)]\n\
                         async fn c7_intent() {}\nfn c8_helper() {}\n";

    #[test]
    fn a_claim_without_its_test_is_found() {
        let claims = "| C6 | Time | `crates/a/tests/it/main.rs::c6_order` |\n\
                      | C7 | Intent | `crates/a/tests/it/main.rs::c7_intent`<br>`b.rs::c7_x` |\n\
                      | C8 | Append | `crates/a/tests/it/main.rs::c8_helper` |\n\
                      | C200 | No | `crates/a/tests/it/main.rs::c6_order` |\n";
        assert_eq!(
            findings(claims, TESTS),
            [
                "docs/reference/checklist.md:2: C7 claims a test that does not exist: `b.rs::c7_x`",
                "docs/reference/checklist.md:3: C8 claims a test that does not exist: \
                 `crates/a/tests/it/main.rs::c8_helper`",
                "docs/reference/checklist.md:4: there is no C200",
            ]
        );
    }

    #[test]
    fn a_numbered_test_without_its_claim_is_found() {
        assert_eq!(
            findings(
                "| C6 | Time | `crates/a/tests/it/main.rs::c6_order` |\n",
                TESTS
            ),
            [
                "crates/a/tests/it/main.rs:5: `c7_intent` names C7, and docs/reference/checklist.md \
              does not list it"
            ]
        );
    }

    #[test]
    fn a_missing_document_is_found() {
        assert_eq!(check(&[], &[]).len(), 1);
    }
}
