//! Reading TOML with a place for every mistake, and all mistakes at once.

use std::fmt;
use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::near;
use super::template::{Hole, Pattern, Template};

/// Something wrong with a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// The option: `tools.cancel_order.undo`.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.what)
    }
}

/// Where an option stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) at: String,
}

impl Place {
    pub(crate) fn problem(&self, what: impl Into<String>, hint: impl Into<String>) -> Problem {
        Problem {
            line: self.line,
            column: self.column,
            at: self.at.clone(),
            what: what.into(),
            hint: hint.into(),
        }
    }
}

/// A table with the names that may stand in it.
#[derive(Clone, Debug)]
pub(crate) struct Section<'a> {
    pub(crate) place: Place,
    table: &'a DeTable<'a>,
}

/// A value and where it stands.
pub(crate) type Entry<'a> = (Place, &'a Spanned<DeValue<'a>>);

impl<'a> Section<'a> {
    /// Returns what stands under a name.
    pub(crate) fn get(&self, reader: &Reader<'_>, name: &str) -> Option<Entry<'a>> {
        let (_, value) = self.table.iter().find(|(key, _)| key.get_ref() == name)?;
        Some((
            reader.place(&join(&self.place.at, name), value.span()),
            value,
        ))
    }

    /// Returns every entry in the order of the file, with the place of its name.
    pub(crate) fn entries(&self, reader: &Reader<'_>) -> Vec<(String, Entry<'a>)> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            let place = reader.place(&join(&self.place.at, name), key.span());
            (name.to_string(), (place, value))
        };
        entries.into_iter().map(entry).collect()
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.to_owned()
    } else {
        format!("{at}.{name}")
    }
}

/// Reads values and collects what is wrong with them.
#[derive(Debug)]
pub(crate) struct Reader<'t> {
    text: &'t str,
    pub(crate) problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    pub(crate) const fn new(text: &'t str) -> Self {
        Self {
            text,
            problems: Vec::new(),
        }
    }

    pub(crate) fn place(&self, at: &str, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            at: at.to_owned(),
        }
    }

    pub(crate) fn wrong(
        &mut self,
        place: &Place,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problems.push(place.problem(what, hint));
    }

    /// Takes the whole document.
    pub(crate) fn root<'a>(&mut self, table: &'a DeTable<'a>, known: &[&str]) -> Section<'a> {
        let section = Section {
            place: self.place("", 0..0),
            table,
        };
        self.names(&section, known);
        section
    }

    /// Takes a table and tells of names that have no place in it; no `known` names means any.
    pub(crate) fn section<'a>(&mut self, entry: Entry<'a>, known: &[&str]) -> Option<Section<'a>> {
        let (place, value) = entry;
        let DeValue::Table(table) = value.get_ref() else {
            self.kind(&place, "a table", value.get_ref());
            return None;
        };
        let section = Section { place, table };
        self.names(&section, known);
        Some(section)
    }

    fn names(&mut self, section: &Section<'_>, known: &[&str]) {
        if known.is_empty() {
            return;
        }
        for (name, (place, _)) in section.entries(self) {
            if !known.contains(&name.as_str()) {
                let what = format!("unknown option `{}`", place.at);
                self.wrong(&place, what, near::hint(&name, known.iter().copied()));
            }
        }
    }

    fn kind(&mut self, place: &Place, wanted: &str, is: &DeValue<'_>) {
        let is = match is {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "`true` or `false`",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let what = format!("`{}` must be {wanted}, and this is {is}", place.at);
        self.wrong(place, what, "the form of each option is in the reference");
    }

    pub(crate) fn text(&mut self, section: &Section<'_>, name: &str) -> Option<(Place, String)> {
        let entry = section.get(self, name)?;
        self.as_text(entry)
    }

    fn as_text(&mut self, (place, value): Entry<'_>) -> Option<(Place, String)> {
        match value.get_ref() {
            DeValue::String(text) => Some((place, text.to_string())),
            other => {
                self.kind(&place, "a text", other);
                None
            }
        }
    }

    pub(crate) fn switch(&mut self, section: &Section<'_>, name: &str) -> Option<bool> {
        let (place, value) = section.get(self, name)?;
        match value.get_ref() {
            DeValue::Boolean(on) => Some(*on),
            other => {
                self.kind(&place, "`true` or `false`", other);
                None
            }
        }
    }

    pub(crate) fn list<'a>(&mut self, section: &Section<'a>, name: &str) -> Option<Vec<Entry<'a>>> {
        let (place, value) = section.get(self, name)?;
        let DeValue::Array(list) = value.get_ref() else {
            self.kind(&place, "a list", value.get_ref());
            return None;
        };
        let item = |(number, value): (usize, &'a Spanned<DeValue<'a>>)| {
            let at = format!("{}[{number}]", place.at);
            (self.place(&at, value.span()), value)
        };
        Some(list.iter().enumerate().map(item).collect())
    }

    pub(crate) fn texts(
        &mut self,
        section: &Section<'_>,
        name: &str,
    ) -> Option<Vec<(Place, String)>> {
        let list = self.list(section, name)?;
        Some(list.into_iter().filter_map(|e| self.as_text(e)).collect())
    }

    /// Reads a list of JSON Pointers.
    pub(crate) fn pointers(&mut self, section: &Section<'_>, name: &str) -> Option<Vec<String>> {
        let texts = self.texts(section, name)?;
        let kept = texts
            .into_iter()
            .filter(|(place, text)| self.is_pointer(place, text));
        Some(kept.map(|(_, text)| text).collect())
    }

    pub(crate) fn pointer(&mut self, section: &Section<'_>, name: &str) -> Option<String> {
        let (place, text) = self.text(section, name)?;
        self.is_pointer(&place, &text).then_some(text)
    }

    pub(crate) fn is_pointer(&mut self, place: &Place, text: &str) -> bool {
        let is = text.is_empty() || text.starts_with('/');
        if !is {
            let what = format!("`{text}` is not a JSON Pointer");
            self.wrong(place, what, format!("write `/{}`", text.replace('.', "/")));
        }
        is
    }

    /// Reads a template, whose holes begin with one of `roots`.
    pub(crate) fn template(
        &mut self,
        place: &Place,
        text: &str,
        roots: &[&str],
    ) -> Option<Template> {
        match Template::parse(text) {
            Ok(template) => {
                self.holes(place, template.holes(), roots);
                Some(template)
            }
            Err(what) => {
                let hint = "a hole is `{args.order_id}`; a brace that is meant is doubled";
                self.wrong(place, what, hint);
                None
            }
        }
    }

    fn holes<'h>(&mut self, place: &Place, holes: impl Iterator<Item = &'h Hole>, roots: &[&str]) {
        for hole in holes {
            if !roots.contains(&hole.root()) {
                let (what, hint) = super::template::unknown_root(hole, roots);
                self.wrong(place, what, hint);
            }
        }
    }

    /// Reads JSON in which texts are templates.
    pub(crate) fn pattern(&mut self, entry: Entry<'_>, roots: &[&str]) -> Option<Pattern> {
        let (place, value) = entry;
        Some(match value.get_ref() {
            DeValue::String(text) => Pattern::Text(self.template(&place, text, roots)?),
            DeValue::Boolean(on) => Pattern::Value(Value::Bool(*on)),
            DeValue::Integer(number) => {
                let read = i64::from_str_radix(number.as_str(), number.radix());
                Pattern::Value(read.ok()?.into())
            }
            DeValue::Float(number) => {
                let read: f64 = number.as_str().parse().ok()?;
                Pattern::Value(serde_json::Number::from_f64(read)?.into())
            }
            DeValue::Datetime(date) => Pattern::Value(Value::String(date.to_string())),
            DeValue::Array(list) => {
                let mut read = Vec::new();
                for (number, value) in list.iter().enumerate() {
                    let place = self.place(&format!("{}[{number}]", place.at), value.span());
                    read.push(self.pattern((place, value), roots)?);
                }
                Pattern::List(read)
            }
            DeValue::Table(table) => {
                let section = Section { place, table };
                let mut read = Vec::new();
                for (name, entry) in section.entries(self) {
                    read.push((name, self.pattern(entry, roots)?));
                }
                Pattern::Object(read)
            }
        })
    }
}
