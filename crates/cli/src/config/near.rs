//! What a person may have meant by a name that is none: the nearest known one, the section that it
//! belongs to, or the word that we use for the same thing.

use super::shape::{Field, Shape};

/// Words that others use, and what it is called here.
const OTHER_WORDS: [(&str, &str); 17] = [
    ("address", "`listen`, with the port"),
    ("api_base", "`url`"),
    (
        "api_key",
        "`headers`; agents bring their own key, and it passes through",
    ),
    ("args", "`command`, a list: the program, then its arguments"),
    ("base_url", "`url`"),
    ("bind", "`listen`"),
    ("endpoint", "`url`"),
    ("host", "`listen`, with the port"),
    ("hosts", "`allowed_hosts`"),
    (
        "key",
        "`headers`; agents bring their own key, and it passes through",
    ),
    ("max_retries", "`attempts_max` in `[retry]`"),
    (
        "password",
        "`sha256`; the token itself is nowhere in the file",
    ),
    ("port", "`listen`, with the address"),
    (
        "secret",
        "`sha256`; the token itself is nowhere in the file",
    ),
    ("timeout", "one of those in `[timeouts]`"),
    ("token", "`sha256`; the token itself is nowhere in the file"),
    ("type", "`wire`"),
];

/// Returns the nearest of some words, where one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    // A third of the letters: `listne`, `up_streams`, `time_out`.
    let near = |other: &str| {
        let distance = strsim::osa_distance(&word, other);
        (distance <= 1.max(other.len() / 3)).then_some(distance)
    };
    words
        .into_iter()
        .filter_map(|other| Some((near(other)?, other)))
        .min()
        .map(|(_, other)| other)
}

/// Says what to do about an unknown `name` among `fields`.
pub(crate) fn hint(root: &Shape, fields: &[Field], name: &str) -> String {
    let names = || fields.iter().map(|field| field.name.as_str());
    if let Some(known) = nearest(name, names()) {
        return format!("did you mean `{known}`?");
    }
    if let Some(section) = sections(root).into_iter().find(|(_, f)| has(f, name)) {
        return match section {
            (None, _) => format!("`{name}` stands above the first `[section]` of the file"),
            (Some(section), _) => format!("`{name}` belongs in `[{section}]`"),
        };
    }
    let meant = OTHER_WORDS.iter().find(|(word, meant)| {
        *word == name && names().any(|known| meant.contains(&format!("`{known}`")))
    });
    if let Some((_, meant)) = meant {
        return format!("use {meant}");
    }
    let names: Vec<String> = names().map(|name| format!("`{name}`")).collect();
    format!("known here: {}", names.join(", "))
}

fn has(fields: &[Field], name: &str) -> bool {
    fields.iter().any(|field| field.name == name)
}

/// Every section, by how it is written, and its options; the first is what stands above them all.
pub(crate) fn sections(root: &Shape) -> Vec<(Option<String>, &[Field])> {
    let mut all = vec![(None, root.fields())];
    for field in root.fields() {
        let name = match (&field.shape, field.name.as_str()) {
            (Shape::Named { .. }, name @ "mcp") => format!("{name}.<server>"),
            (Shape::Named { .. }, name @ "a2a") => format!("{name}.<agent>"),
            (Shape::Named { .. }, name) => format!("{name}.<name>"),
            (_, name) => name.to_owned(),
        };
        let inside = field.shape.section().fields();
        if !inside.is_empty() {
            all.push((Some(name), inside));
        }
    }
    all
}
