//! The environment's layer: `RESCIND_LISTEN`, `RESCIND_LIMITS__BODY_BYTES_MAX`.
//!
//! A variable's name is the option's path in capitals, with two underscores between its parts. A
//! text is taken as it is; a list is a TOML array, or words with commas between them; everything
//! else is written as in the file. An empty variable counts as not set.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use toml::Spanned;
use toml::de::DeValue;

use super::near;
use super::read::Reader;
use super::settings::{Finding, Path, Settings, Source};
use super::shape::Shape;

/// What the variables of ours begin with.
pub(crate) const PREFIX: &str = "RESCIND_";
/// What stands between the parts of an option's name.
pub(crate) const BETWEEN: &str = "__";

/// The environment as it was when the command started. Its values may be secret.
pub(crate) struct Environment(BTreeMap<String, OsString>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// Takes the environment of this process.
    pub(crate) fn read() -> Self {
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self(std::env::vars_os().filter_map(named).collect())
    }

    /// Returns a variable that is set, not empty, and text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().filter(|text| !text.is_empty())
    }

    /// Returns a variable that is set and not empty.
    pub(crate) fn raw(&self, name: &str) -> Option<&OsString> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    /// Reads the variables of ours over what `settings` hold.
    pub(crate) fn apply(&self, root: &Shape, settings: &mut Settings, findings: &mut Vec<Finding>) {
        for (name, value) in &self.0 {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            if value.is_empty() {
                continue;
            }
            let source = Source::Environment(name.clone());
            let Some((path, shape)) = find(root, settings, rest) else {
                findings.extend(unknown(root, name, rest));
                continue;
            };
            let Some(text) = value.to_str() else {
                let what = format!("`{name}` is not valid UTF-8");
                findings.push(Finding::error(&source, what).on(&path));
                continue;
            };
            one(root, shape, &path, text, &source, settings, findings);
        }
    }
}

/// Reads one value that was said outside the file.
pub(crate) fn one(
    root: &Shape,
    shape: &Shape,
    path: &Path,
    text: &str,
    source: &Source,
    settings: &mut Settings,
    findings: &mut Vec<Finding>,
) {
    let value = match value(shape, text) {
        Ok(value) => value,
        Err(what) => {
            settings.spoil(path.clone());
            let finding = Finding::error(source, format!("`{path}`: {what}")).on(path);
            findings.push(finding.hint(format!("write it as in the file: {}", shape.called())));
            return;
        }
    };
    let mut reader = Reader {
        root,
        locate: &|_| source.clone(),
        base: None,
        settings,
        findings,
    };
    reader.value(shape, path, &value);
}

/// The value that a variable's text stands for.
fn value<'a>(shape: &Shape, text: &'a str) -> Result<Spanned<DeValue<'a>>, String> {
    let whole = 0..text.len();
    let word = |text: &'a str| Spanned::new(whole.clone(), DeValue::String(text.into()));
    match shape {
        Shape::Text(_) | Shape::Choice(_) => return Ok(word(text)),
        Shape::Given if !text.starts_with('{') => return Ok(word(text)),
        Shape::List(_) if !text.starts_with('[') => {
            let words = text
                .split(',')
                .map(str::trim)
                .filter(|text| !text.is_empty());
            let mut list = toml::de::DeArray::new();
            words.for_each(|text| list.push(word(text)));
            return Ok(Spanned::new(whole, DeValue::Array(list)));
        }
        _ => {}
    }
    // The parser's message would repeat the text, which may be secret.
    DeValue::parse(text.trim()).map_err(|_| "this cannot be read".to_owned())
}

/// Finds the option that a variable names.
fn find<'a>(root: &'a Shape, settings: &Settings, rest: &str) -> Option<(Path, &'a Shape)> {
    let (mut shape, mut path) = (root, Path::default());
    for part in rest.split(BETWEEN) {
        if part.is_empty() {
            return None;
        }
        if let Shape::OneOrMore(item) = shape {
            // A list has no names to go on with.
            if settings.count(&path) > 0 {
                return None;
            }
            shape = item;
        }
        match shape {
            Shape::Table(fields) => {
                let field = fields.iter().find(|field| capitals(&field.name) == part)?;
                (shape, path) = (&field.shape, path.key(&field.name));
            }
            Shape::Named { item, .. } => {
                // A name that was given already may hold what no variable can, such as a dash.
                let known = settings
                    .names(&path)
                    .into_iter()
                    .find(|name| capitals(name) == part);
                path = path.key(&known.unwrap_or_else(|| part.to_lowercase()));
                shape = item;
            }
            _ => return None,
        }
    }
    Some((path, shape))
}

/// A name as it stands in a variable.
pub(crate) fn capitals(name: &str) -> String {
    name.to_uppercase().replace(['-', '.'], "_")
}

/// What to say of a variable that begins like ours and names no option. Others set such variables
/// too, so only what was probably meant for us is told, and nothing is refused.
fn unknown(root: &Shape, name: &str, rest: &str) -> Option<Finding> {
    if rest == "CONFIG" {
        return None;
    }
    let fields = root.fields().iter().map(|field| field.name.as_str());
    let near = near::nearest(rest, fields).filter(|_| !rest.contains(BETWEEN));
    let hint = match near {
        Some(near) => format!("did you mean `{PREFIX}{}`?", capitals(near)),
        None if rest.contains(BETWEEN) => {
            "`rescind config show` lists the options; two underscores stand between the parts \
             of a name"
                .to_owned()
        }
        None => return None,
    };
    let source = Source::Environment(name.to_owned());
    let finding = Finding::warning(&source, "this variable names no option");
    Some(finding.hint(hint))
}
