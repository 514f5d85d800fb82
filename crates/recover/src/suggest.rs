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

/// Verbs that give one record.
const READING: [&str; 5] = ["describe", "fetch", "get", "read", "show"];

/// A kind of record that seems to be there: what reads one, by which argument.
struct Kind<'a> {
    name: String,
    server: &'a str,
    reader: &'a str,
    argument: &'a str,
    /// Tools that write and take the same argument.
    writers: BTreeSet<&'a str>,
}

/// Returns entries for the tools that were called and that the catalogue does not name, and for the
/// kinds of records that they seem to write, as comments; calls are in the order in which they were
/// made.
#[must_use]
pub fn suggest(seen: &[Seen], catalogue: &Catalogue) -> String {
    let mut tools: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (number, call) in seen.iter().enumerate() {
        let of = tools.entry((&call.server, &call.tool)).or_default();
        of.push(number);
    }
    let mut text = String::new();
    let kinds = kinds(seen, &tools, catalogue);
    for kind in &kinds {
        resource(&mut text, kind);
    }
    for ((server, tool), calls) in &tools {
        if catalogue.knows(server, tool) {
            continue;
        }
        let others = tools.keys().filter(|(other, _)| other == server);
        let others: Vec<&str> = others.map(|(_, name)| *name).collect();
        entry(&mut text, seen, server, tool, calls, &others);
        let written = kinds
            .iter()
            .filter(|kind| kind.server == *server && kind.writers.contains(tool));
        for Kind { name, argument, .. } in written {
            let _ = writeln!(
                text,
                "## writes = [{{ {} = \"{{args.{argument}}}\" }}]   # once `[resources.{name}]` holds",
                key(name)
            );
        }
        text.push('\n');
    }
    text
}

/// Finds tools that read one record by one argument which tools that write take too, with a value in
/// common. Of several that read by the same argument the one that was called most counts.
fn kinds<'a>(
    seen: &'a [Seen],
    tools: &BTreeMap<(&'a str, &'a str), Vec<usize>>,
    catalogue: &Catalogue,
) -> Vec<Kind<'a>> {
    let values = |calls: &[usize], argument: &str| -> BTreeSet<String> {
        let given = calls
            .iter()
            .filter_map(|number| seen[*number].arguments.get(argument));
        let told = given.filter(|value| telling(value));
        told.map(Value::to_string).collect()
    };
    let mut kinds: BTreeMap<(&str, &str), (usize, Kind<'a>)> = BTreeMap::new();
    for ((server, reader), calls) in tools {
        let takes = taken(seen, calls);
        let verb = words(reader).into_iter().next().unwrap_or_default();
        let (Some(argument), 1) = (takes.first(), takes.len()) else {
            continue;
        };
        let name = thing(argument, reader);
        if !READING.contains(&verb.as_str()) || catalogue.names(&name) {
            continue;
        }
        let read = values(calls, argument);
        let writers: BTreeSet<&str> = tools
            .iter()
            .filter(|((of, tool), calls)| {
                of == server && !looks(tool) && !values(calls, argument).is_disjoint(&read)
            })
            .map(|((_, tool), _)| *tool)
            .collect();
        let best = kinds.get(&(*server, *argument));
        if writers.is_empty() || best.is_some_and(|(count, _)| *count >= calls.len()) {
            continue;
        }
        let kind = Kind {
            name,
            server,
            reader,
            argument,
            writers,
        };
        kinds.insert((server, argument), (calls.len(), kind));
    }
    kinds.into_values().map(|(_, kind)| kind).collect()
}

/// What an argument names: `order_id` an order, and `id` what its tool reads.
fn thing(argument: &str, reader: &str) -> String {
    let mut named = words(argument);
    if named.last().is_some_and(|last| last == "id") {
        named.pop();
    }
    if named.is_empty() {
        named = words(reader).split_off(1);
    }
    if named.is_empty() {
        return argument.to_owned();
    }
    named.join("_")
}

fn resource(text: &mut String, kind: &Kind<'_>) {
    let Kind {
        name,
        server,
        reader,
        argument,
        writers,
    } = kind;
    let writers: Vec<&str> = writers.iter().copied().collect();
    let writers = writers.join(", ");
    let _ = writeln!(
        text,
        "## `{reader}` reads by `{argument}`, and these took one that it read: {writers}."
    );
    let _ = writeln!(text, "# [resources.{}]", key(name));
    let _ = writeln!(text, "# {}", server_line(server));
    let _ = writeln!(text, "# uri    = {:?}", format!("{name}/{{id}}"));
    let _ = writeln!(
        text,
        "# read   = {{ tool = {reader:?}, args = {{ {} = \"{{id}}\" }} }}",
        key(argument)
    );
    let _ = writeln!(
        text,
        "## restore = {{ tool = …, args = {{ … = \"{{fields}}\" }} }}   # what puts fields back\n"
    );
}

fn server_line(server: &str) -> String {
    match server {
        "" => "server = \"SERVER\"   # nothing says which: its name in `[mcp]`".to_owned(),
        server => format!("server = {server:?}"),
    }
}

/// The names of the arguments that calls had.
fn taken<'a>(seen: &'a [Seen], calls: &[usize]) -> Vec<&'a str> {
    let takes: BTreeSet<&String> = calls
        .iter()
        .filter_map(|number| seen[*number].arguments.as_object())
        .flat_map(|arguments| arguments.keys())
        .collect();
    takes.into_iter().map(String::as_str).collect()
}

/// Whether a tool seems only to look.
fn looks(tool: &str) -> bool {
    let words = words(tool);
    words
        .first()
        .is_some_and(|verb| LOOKING.contains(&verb.as_str()))
}

fn entry(
    text: &mut String,
    seen: &[Seen],
    server: &str,
    tool: &str,
    calls: &[usize],
    others: &[&str],
) {
    let takes = taken(seen, calls);
    let times = if calls.len() == 1 { "once" } else { "times" };
    let count = if calls.len() == 1 {
        String::new()
    } else {
        format!("{} ", calls.len())
    };
    // Writing to a text cannot fail.
    let _ = writeln!(text, "## Called {count}{times}, with {}.", listed(&takes));
    let _ = writeln!(text, "# [tools.{}]", key(tool));
    let _ = writeln!(text, "# {}", server_line(server));
    if looks(tool) {
        let _ = writeln!(text, "# class  = \"read\"");
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
            let _ = writeln!(text, "## {evidence}");
        }
        None => {
            let _ = writeln!(
                text,
                "# class  = \"irreversible\"   # nothing that was called looks like its undo"
            );
        }
    }
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
