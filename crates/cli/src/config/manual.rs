//! The reference of `rescind.toml`, made from the tree of shapes.

use serde_json::Value;

use super::environment::{BETWEEN, PREFIX, capitals};
use super::near;
use super::options::Config;
use super::shape::{Field, Shape};

/// Sections in the order in which somebody sets things up; others follow.
const FIRST: [&str; 7] = [
    "upstreams",
    "mcp",
    "a2a",
    "tokens",
    "record",
    "limits",
    "timeouts",
];

/// Returns the page `config.md`.
pub(crate) fn page() -> String {
    let root = Shape::of::<Config>();
    let mut text = String::from(
        "# Configuration\n\n\
         Made from the options themselves by `cargo xtask reference`. [A file with every option \
         and its default](rescind.toml) lies beside this page; [Configure](../guides/configure.md) \
         says where to start.\n\n\
         Every option has a default, except those marked *required*. `./rescind.toml` is read if \
         it is there, or the file that `--config` or `RESCIND_CONFIG` names. Flags win over the \
         environment, over the file, over defaults; `rescind config show` prints what holds and \
         where it came from. An unknown name is refused. A relative path in the file counts from \
         the file's directory, anywhere else from the working directory.\n\n\
         The variable of an option is `RESCIND_` and its name in capitals, with two underscores \
         between the parts of a name: `RESCIND_LISTEN`, `RESCIND_LIMITS__BODY_BYTES_MAX`, \
         `RESCIND_UPSTREAMS__OPENAI__URL`. A list is a TOML array, or words with commas between \
         them; a text needs no quotes. An empty variable counts as not set.\n",
    );
    for (section, fields) in sections(&root) {
        let single: Vec<&Field> = fields.iter().filter(|f| is_line(&section, f)).collect();
        match &section {
            None => text.push_str("\n## Top level\n"),
            Some(name) => {
                text.push_str(&format!("\n## `[{name}]`\n"));
                if let Some(field) = outer(&root, name) {
                    text.push_str(&format!("\n{}\n", field.about));
                    if matches!(field.shape, Shape::Several(_)) {
                        text.push_str(&format!("\nWritten `[[{name}]]`, once for each.\n"));
                    }
                }
            }
        }
        for field in single {
            text.push_str(&entry(section.as_deref(), field));
        }
    }
    text
}

fn entry(section: Option<&str>, field: &Field) -> String {
    let mut text = format!("\n### `{}`\n\n{}\n\n", field.name, field.about);
    if let Shape::Choice(choices) = &field.shape {
        for choice in choices {
            text.push_str(&format!("- `{}`: {}\n", choice.word, choice.about));
        }
    } else {
        let called = field.shape.called();
        let bounds = match field.shape {
            Shape::Number { min, max } if max < i64::MAX as u64 => format!(", {min} to {max}"),
            Shape::Number { min, .. } => format!(", {min} or more"),
            _ => String::new(),
        };
        text.push_str(&format!("- Type: {called}{bounds}\n"));
    }
    text.push_str(&match (&field.default, field.required) {
        (_, true) => "- Required\n".to_owned(),
        (Some(default), false) => format!("- Default: `{}`\n", toml(default)),
        (None, false) => "- Default: none\n".to_owned(),
    });
    if section != Some("tokens") {
        text.push_str(&format!(
            "- Environment: `{}`\n",
            variable(section, &field.name)
        ));
    }
    text
}

/// The variable of an option; what a person chooses stays as it is in the section's name.
fn variable(section: Option<&str>, name: &str) -> String {
    let section = section.unwrap_or_default();
    let parts = section
        .split('.')
        .filter(|part| !part.is_empty())
        .chain([name]);
    let parts: Vec<String> = parts
        .map(|part| {
            if part.starts_with('<') {
                part.to_uppercase()
            } else {
                capitals(part)
            }
        })
        .collect();
    format!("{PREFIX}{}", parts.join(BETWEEN))
}

/// Returns the file `rescind.toml` with every option, each as its default in a comment.
pub(crate) fn example() -> String {
    let root = Shape::of::<Config>();
    let mut text = String::from(
        "# Every option of Rescind with its default, made by `cargo xtask reference`. Nothing here\n\
         # needs to be set: take out the `#` of what you change, and of the section above it.\n",
    );
    for (section, fields) in sections(&root) {
        text.push('\n');
        if let Some(name) = &section {
            let field = outer(&root, name);
            comment(&mut text, field.map_or("", |field| &field.about));
            let several = field.is_some_and(|field| matches!(field.shape, Shape::Several(_)));
            let name = named(name);
            text.push_str(&if several {
                format!("#[[{name}]]\n")
            } else {
                format!("#[{name}]\n")
            });
        }
        for field in fields.iter().filter(|field| is_line(&section, field)) {
            comment(&mut text, &field.about);
            if let Shape::Choice(choices) = &field.shape {
                for choice in choices {
                    comment(
                        &mut text,
                        &format!("- \"{}\": {}", choice.word, choice.about),
                    );
                }
            }
            text.push_str(&format!(
                "#{} = {}\n",
                field.name,
                sample(section.as_deref().unwrap_or_default(), field)
            ));
        }
    }
    text
}

/// A section's name with names that a person might choose.
fn named(section: &str) -> String {
    match section {
        "upstreams.<name>" => "upstreams.openai".to_owned(),
        other => other
            .replace("<server>", "files")
            .replace("<agent>", "billing"),
    }
}

/// The default, or something that may stand there.
fn sample(section: &str, field: &Field) -> String {
    if let Some(default) = &field.default {
        return toml(default);
    }
    let sample = match (&field.shape, field.name.as_str()) {
        (_, "url") if section.starts_with("upstreams") => "https://api.openai.com/v1",
        (_, "url") => "https://server.example.org",
        (_, "sha256") => "0000000000000000000000000000000000000000000000000000000000000000",
        (_, "tools") => "tools.toml",
        (_, "witness_dir") => "/var/lib/rescind-witness",
        (_, "ca_file") => "company-ca.pem",
        (_, "cwd") => "/srv/files",
        (_, "postgres") => "postgres://…",
        (_, "name") => "build-server",
        (Shape::Choice(choices), _) => choices.first().map_or("", |choice| &choice.word),
        _ => "",
    };
    toml(&Value::String(sample.to_owned()))
}

fn comment(text: &mut String, about: &str) {
    const WIDTH: usize = 92;
    let mut line = String::from("#");
    for word in about.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// Whether a field is a line of its section, and not a section of its own.
fn is_line(section: &Option<String>, field: &Field) -> bool {
    section.is_some() || field.shape.is_single()
}

/// The field that a section stands in.
fn outer<'a>(root: &'a Shape, section: &str) -> Option<&'a Field> {
    let name = section.split('.').next().unwrap_or(section);
    root.fields().iter().find(|field| field.name == name)
}

fn sections(root: &Shape) -> Vec<(Option<String>, &[Field])> {
    let mut sections = near::sections(root);
    let rank = |section: &Option<String>| {
        let name = section.as_ref()?.split('.').next()?;
        Some(
            FIRST
                .iter()
                .position(|first| *first == name)
                .unwrap_or(FIRST.len()),
        )
    };
    sections.sort_by_key(|(section, _)| rank(section));
    sections
}

/// A value as TOML writes it. A text is quoted as in JSON, which TOML reads alike.
pub(crate) fn toml(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name} = {}", toml(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(toml).collect();
            format!("[{}]", values.join(", "))
        }
        single => single.to_string(),
    }
}
