//! Drafts of catalogue entries from calls that were seen, for a person to judge.
//!
//! Names that look like opposites, and values of one call that another took up, are hints and prove
//! nothing: what comes out are comments of TOML, so that nothing holds until somebody has read it and
//! taken the marks away. Values of calls are compared and never written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use crate::catalogue::Catalogue;

/// A call that was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The server.
    pub server: String,
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub arguments: Value,
    /// What came back, as JSON where it is JSON.
    pub result: Option<Value>,
}

/// Verbs that undo each other.
const OPPOSITES: [(&str, &str); 22] = [
    ("add", "remove"),
    ("archive", "unarchive"),
    ("assign", "unassign"),
    ("attach", "detach"),
    ("block", "unblock"),
    ("book", "cancel"),
    ("create", "cancel"),
    ("create", "delete"),
    ("create", "remove"),
    ("disable", "enable"),
    ("follow", "unfollow"),
    ("grant", "revoke"),
    ("hold", "release"),
    ("insert", "delete"),
    ("like", "unlike"),
    ("lock", "unlock"),
    ("open", "close"),
    ("place", "cancel"),
    ("reserve", "release"),
    ("start", "stop"),
    ("subscribe", "unsubscribe"),
    ("upload", "delete"),
];

/// Verbs that only look.
const LOOKING: [&str; 10] = [
    "calculate",
    "check",
    "describe",
    "fetch",
    "find",
    "get",
    "list",
    "read",
    "search",
    "think",
];

/// Returns entries for the tools that were called and that the catalogue does not name, as comments;
/// calls are in the order in which they were made.
#[must_use]
pub fn suggest(seen: &[Seen], catalogue: &Catalogue) -> String {
    let mut tools: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (number, call) in seen.iter().enumerate() {
        let of = tools.entry((&call.server, &call.tool)).or_default();
        of.push(number);
    }
    let mut text = String::new();
    for ((server, tool), calls) in &tools {
        if catalogue.knows(server, tool) {
            continue;
        }
        let others = tools.keys().filter(|(other, _)| other == server);
        let others: Vec<&str> = others.map(|(_, name)| *name).collect();
        entry(&mut text, seen, server, tool, calls, &others);
    }
    text
}

fn entry(
    text: &mut String,
    seen: &[Seen],
    server: &str,
    tool: &str,
    calls: &[usize],
    others: &[&str],
) {
    let takes: BTreeSet<&String> = calls
        .iter()
        .filter_map(|number| seen[*number].arguments.as_object())
        .flat_map(|arguments| arguments.keys())
        .collect();
    let takes: Vec<&str> = takes.into_iter().map(String::as_str).collect();
    let times = if calls.len() == 1 { "once" } else { "times" };
    let count = if calls.len() == 1 {
        String::new()
    } else {
        format!("{} ", calls.len())
    };
    // Writing to a text cannot fail.
    let _ = writeln!(text, "# Called {count}{times}, with {}.", listed(&takes));
    let _ = writeln!(text, "# [tools.{}]", key(tool));
    let _ = writeln!(text, "# server = {server:?}");
    if words(tool)
        .first()
        .is_some_and(|verb| LOOKING.contains(&verb.as_str()))
    {
        let _ = writeln!(text, "# class  = \"read\"\n");
        return;
    }
    let opposite = others.iter().find(|other| opposites(tool, other));
    match opposite {
        Some(opposite) => {
            let (args, evidence) = arguments(seen, server, tool, opposite);
            let _ = writeln!(text, "# class  = \"compensable\"");
            let _ = writeln!(
                text,
                "# undo   = {{ tool = {opposite:?}, args = {{ {args} }} }}"
            );
            let _ = writeln!(text, "# {evidence}");
        }
        None => {
            let _ = writeln!(
                text,
                "# class  = \"irreversible\"   # nothing that was called looks like its undo"
            );
        }
    }
    text.push('\n');
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        "no arguments".to_owned()
    } else {
        names.join(", ")
    }
}

/// A name as a key of TOML.
fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !name.is_empty() && name.bytes().all(bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

/// The words of a name: `createTicket`, `create_ticket`, `create-ticket`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    let mut small = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && small) {
            words.push(String::new());
        }
        small = letter.is_lowercase();
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether two tools do opposite things to the same kind of thing.
fn opposites(tool: &str, other: &str) -> bool {
    let (one, two) = (words(tool), words(other));
    let ([verb, things @ ..], [undo, same @ ..]) = (one.as_slice(), two.as_slice()) else {
        return false;
    };
    things == same
        && OPPOSITES.iter().any(|(a, b)| {
            (verb == a && undo == b)
                || (verb == b && undo == a && !["cancel", "delete"].contains(b))
        })
}

/// Where the arguments of the opposite come from: a value that a call of the tool had or gave, and
/// that the opposite took up later; else a name that both have.
fn arguments(seen: &[Seen], server: &str, tool: &str, opposite: &str) -> (String, String) {
    let of = |name: &str| {
        let mine = move |(_, call): &(usize, &Seen)| call.server == server && call.tool == name;
        seen.iter().enumerate().filter(mine).collect::<Vec<_>>()
    };
    let (done, undone) = (of(tool), of(opposite));
    let names: BTreeSet<&String> = undone
        .iter()
        .filter_map(|(_, call)| call.arguments.as_object())
        .flat_map(|arguments| arguments.keys())
        .collect();
    let mut filled = Vec::new();
    let mut shown = 0;
    for name in names {
        let mut ways: BTreeMap<String, usize> = BTreeMap::new();
        for (later, undo) in &undone {
            let Some(value) = undo.arguments.get(name).filter(|value| telling(value)) else {
                continue;
            };
            let earlier = done.iter().rev().filter(|(number, _)| number < later);
            for (_, call) in earlier {
                let found = place("args", &call.arguments, value)
                    .or_else(|| place("result", call.result.as_ref()?, value));
                if let Some(way) = found {
                    *ways.entry(way).or_default() += 1;
                    break;
                }
            }
        }
        let best = ways.into_iter().max_by_key(|(_, count)| *count);
        let way = match best {
            Some((way, count)) => {
                shown = shown.max(count);
                way
            }
            None if done
                .iter()
                .any(|(_, call)| call.arguments.get(name).is_some()) =>
            {
                format!("args.{name}")
            }
            None => format!("result.{name}"),
        };
        filled.push(format!("{} = \"{{{way}}}\"", key(name)));
    }
    let evidence = match shown {
        0 => "The names are all that speaks for it.".to_owned(),
        1 => format!("`{opposite}` took up a value of it once."),
        count => format!("`{opposite}` took up a value of it {count} times."),
    };
    (filled.join(", "), evidence)
}

/// Whether a value is telling: short words and small numbers are everywhere.
fn telling(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() > 2,
        Value::Number(number) => number.as_i64().is_none_or(|number| number.abs() > 9),
        _ => false,
    }
}

/// Where a value stands at the top of another.
fn place(root: &str, within: &Value, value: &Value) -> Option<String> {
    let members = within.as_object()?;
    let (name, _) = members.iter().find(|(_, member)| *member == value)?;
    Some(format!("{root}.{name}"))
}
