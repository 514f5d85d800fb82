//! The licence of every dependency is one that `deny.toml` allows.
//!
//! Evaluates SPDX licence expressions (SPDX specification 2.3, annex D) as far as crates use them:
//! `AND`, `OR`, `WITH`, parentheses, and the old `/` for `OR`. What `cargo deny` checks beyond
//! this (texts, advisories, sources) stays with it.

use super::Finding;

/// Where the allowed licences are listed.
const LIST: &str = "deny.toml";

/// Checks (crate and version, licence expression) pairs against the list in `deny`.
pub(super) fn check(deny: &str, crates: &[(String, Option<String>)]) -> Vec<Finding> {
    let allowed = allowed(deny);
    if allowed.is_empty() {
        let hint = "list the licences that dependencies may have";
        return vec![Finding::new(LIST, 0, "no `allow` in `[licenses]`", hint)];
    }
    let mut findings = Vec::new();
    for (name, licence) in crates {
        let what = match licence.as_deref().map(|text| permits(text, &allowed)) {
            Some(Some(true)) => continue,
            Some(Some(false)) => {
                format!("`{name}` is under `{}`", licence.as_deref().unwrap_or(""))
            }
            Some(None) => {
                format!(
                    "`{name}` has an unreadable licence, `{}`",
                    licence.as_deref().unwrap_or("")
                )
            }
            None => format!("`{name}` names no licence"),
        };
        let hint = "do without it, or allow its licence in deny.toml and say why";
        findings.push(Finding::new("Cargo.lock", 0, what, hint));
    }
    findings
}

/// Returns the strings of `allow = […]` in the section `[licenses]`.
fn allowed(deny: &str) -> Vec<&str> {
    let section = deny
        .split("\n[")
        .find(|section| section.starts_with("licenses]"));
    let list = section.and_then(|section| section.split_once("\nallow = ["));
    let list = list
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("", |(list, _)| list);
    list.split('"').skip(1).step_by(2).collect()
}

/// Whether `expression` can be met with `allowed` licences; `None` when it cannot be read.
fn permits(expression: &str, allowed: &[&str]) -> Option<bool> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let met = any(&mut rest, allowed)?;
    rest.is_empty().then_some(met)
}

fn any(tokens: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut met = all(tokens, allowed)?;
    while take(tokens, "OR") {
        met |= all(tokens, allowed)?;
    }
    Some(met)
}

fn all(tokens: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut met = one(tokens, allowed)?;
    while take(tokens, "AND") {
        met &= one(tokens, allowed)?;
    }
    Some(met)
}

fn one(tokens: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    if take(tokens, "(") {
        let met = any(tokens, allowed)?;
        return take(tokens, ")").then_some(met);
    }
    let licence = word(tokens)?;
    if take(tokens, "WITH") {
        let exception = word(tokens)?;
        // An exception only adds permissions, so the plain licence allows it too.
        let whole = format!("{licence} WITH {exception}");
        return Some(allowed.contains(&whole.as_str()) || allowed.contains(&licence));
    }
    Some(allowed.contains(&licence))
}

fn word<'a>(tokens: &mut &[&'a str]) -> Option<&'a str> {
    let (first, rest) = tokens.split_first()?;
    *tokens = rest;
    (!matches!(*first, "(" | ")" | "AND" | "OR" | "WITH")).then_some(first)
}

fn take(tokens: &mut &[&str], wanted: &str) -> bool {
    match tokens.split_first() {
        Some((first, rest)) if *first == wanted => {
            *tokens = rest;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str =
        "[graph]\n\n[licenses]\n# why\nallow = [\n    \"MIT\",\n    \"ISC\",\n]\n[bans]\n";

    fn findings(licence: Option<&str>) -> Vec<String> {
        let crates = [("a 1.0.0".to_owned(), licence.map(str::to_owned))];
        check(DENY, &crates)
            .into_iter()
            .map(|finding| finding.what)
            .collect()
    }

    #[test]
    fn expressions_are_met_by_what_is_allowed() {
        for met in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "(GPL-3.0 OR MIT) AND ISC",
        ] {
            assert_eq!(findings(Some(met)), [""; 0], "{met}");
        }
        for unmet in ["GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 OR (MIT AND MPL-2.0)"] {
            assert_eq!(
                findings(Some(unmet)),
                [format!("`a 1.0.0` is under `{unmet}`")]
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_found() {
        for odd in ["MIT OR", "(MIT", "MIT ISC", ""] {
            assert!(findings(Some(odd))[0].contains("unreadable"), "{odd}");
        }
        assert_eq!(findings(None), ["`a 1.0.0` names no licence"]);
        assert_eq!(check("", &[])[0].what, "no `allow` in `[licenses]`");
    }
}
