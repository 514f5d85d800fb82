//! Reading one layer, a file or a variable, along the tree of shapes: every mistake at once, each
//! with its place.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::near;
use super::settings::{Finding, Path, Setting, Settings, Source};
use super::shape::{Field, Shape};
use super::text::{self, Form, Names, Wrong};

/// Reads values into settings.
pub(crate) struct Reader<'a> {
    /// Shape of the whole configuration, to find names that stand in the wrong section.
    pub(crate) root: &'a Shape,
    /// Where a span of the text stands.
    pub(crate) locate: &'a dyn Fn(Range<usize>) -> Source,
    /// What a relative path counts from.
    pub(crate) base: Option<&'a std::path::Path>,
    pub(crate) settings: &'a mut Settings,
    pub(crate) findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    /// Reads a document or an inline table.
    pub(crate) fn table(&mut self, shape: &Shape, path: &Path, table: &DeTable<'_>) {
        let entries = sorted(table);
        match shape {
            Shape::Table(fields) => {
                for (key, value) in entries {
                    let name: &str = key.get_ref();
                    match fields.iter().find(|field| field.name == name) {
                        Some(field) => self.value(&field.shape, &path.key(name), value),
                        None => self.unknown(fields, path, key.span(), name),
                    }
                }
            }
            Shape::Named { names, item } => {
                for (key, value) in entries {
                    let name: &str = key.get_ref();
                    self.name(*names, path, key.span(), name);
                    self.value(item, &path.key(name), value);
                }
            }
            _ => {}
        }
    }

    /// Reads a value at `path`.
    pub(crate) fn value(&mut self, shape: &Shape, path: &Path, value: &Spanned<DeValue<'_>>) {
        let source = (self.locate)(value.span());
        match (shape, value.get_ref()) {
            (Shape::Table(_), DeValue::Table(table)) => {
                self.settings.section(path.clone(), source);
                self.table(shape, path, table);
            }
            (Shape::Named { .. }, DeValue::Table(table)) => self.table(shape, path, table),
            (Shape::OneOrMore(item), DeValue::Table(_)) => self.value(item, path, value),
            (Shape::OneOrMore(item) | Shape::Several(item), DeValue::Array(list)) => {
                self.settings.forget(path);
                if list.is_empty() && matches!(shape, Shape::OneOrMore(_)) {
                    self.settings.spoil(path.clone());
                    self.wrong(
                        path,
                        &source,
                        "this list names none",
                        "leave it out, or fill it",
                    );
                }
                for (number, value) in list.iter().enumerate() {
                    self.value(item, &path.index(number), value);
                }
            }
            _ => match self.single(shape, path, value, &source) {
                Some(single) => {
                    let setting = Setting {
                        value: single,
                        source,
                        hidden: hidden(shape),
                    };
                    self.settings.set(path.clone(), setting);
                }
                None => self.settings.spoil(path.clone()),
            },
        }
    }

    /// Reads a value that stands on one line. `None` says that it is wrong, and was told.
    fn single(
        &mut self,
        shape: &Shape,
        path: &Path,
        value: &Spanned<DeValue<'_>>,
        source: &Source,
    ) -> Option<Value> {
        match (shape, value.get_ref()) {
            (Shape::Text(form), DeValue::String(text)) => {
                self.text(*form, path, source, text).map(Value::String)
            }
            (Shape::Choice(choices), DeValue::String(text)) => {
                let words = || choices.iter().map(|choice| choice.word.as_str());
                if words().any(|word| word == text) {
                    return Some(Value::String(text.to_string()));
                }
                let what = format!("`{path}` cannot be `{}`", text::clipped(text));
                let hint = match near::nearest(text, words()) {
                    Some(word) => format!("did you mean `{word}`?"),
                    None => format!("use {}", shape.called()),
                };
                self.wrong(path, source, what, hint);
                None
            }
            (Shape::Switch, DeValue::Boolean(on)) => Some(Value::Bool(*on)),
            (Shape::Number { min, max }, DeValue::Integer(number)) => {
                let read = u64::from_str_radix(number.as_str(), number.radix());
                match read {
                    Ok(number) if (*min..=*max).contains(&number) => Some(number.into()),
                    _ => {
                        let what = format!("`{path}` cannot be {}", number.as_str());
                        let hint = if *max == i64::MAX as u64 {
                            format!("use a number of {min} or more")
                        } else {
                            format!("use a number from {min} to {max}")
                        };
                        self.wrong(path, source, what, hint);
                        None
                    }
                }
            }
            (Shape::Given, DeValue::String(text)) => {
                if text.chars().any(char::is_control) {
                    let what = format!("`{path}` holds a line break or another control character");
                    self.wrong(path, source, what, "no header and no variable can");
                    return None;
                }
                Some(Value::String(text.to_string()))
            }
            (Shape::Given, DeValue::Table(table)) => self.variable(path, source, table),
            (Shape::List(item), DeValue::Array(list)) => {
                let mut read = Vec::new();
                let mut whole = true;
                for (number, value) in list.iter().enumerate() {
                    let source = (self.locate)(value.span());
                    match self.single(item, &path.index(number), value, &source) {
                        Some(single) => read.push(single),
                        None => whole = false,
                    }
                }
                whole.then_some(Value::Array(read))
            }
            (_, other) => {
                let is = match other {
                    DeValue::String(_) => "a text",
                    DeValue::Integer(_) => "a number",
                    DeValue::Float(_) => "a number with a fraction",
                    DeValue::Boolean(_) => "`true` or `false`",
                    DeValue::Datetime(_) => "a date",
                    DeValue::Array(_) => "a list",
                    DeValue::Table(_) => "a table",
                };
                let what = format!("`{path}` must be {}, and this is {is}", shape.called());
                let hint = as_written(shape, path);
                let finding = Finding::error(source, what).on(path);
                self.findings.push(match hint {
                    Some(hint) => finding.hint(hint),
                    None => finding,
                });
                None
            }
        }
    }

    fn text(&mut self, form: Form, path: &Path, source: &Source, text: &str) -> Option<String> {
        match form.check(text) {
            Ok(text) => Some(match (form, self.base) {
                (Form::File | Form::Directory, Some(base)) => base.join(text).display().to_string(),
                _ => text,
            }),
            Err(Wrong { what, hint }) => {
                self.wrong(path, source, format!("`{path}`: {what}"), hint);
                None
            }
        }
    }

    /// Reads `{ env = "NAME" }`.
    fn variable(&mut self, path: &Path, source: &Source, table: &DeTable<'_>) -> Option<Value> {
        let mut entries = table
            .iter()
            .map(|(key, value)| (key.get_ref(), value.get_ref()));
        if let (Some((key, DeValue::String(name))), None) = (entries.next(), entries.next())
            && key == "env"
            && text::is_variable(name)
        {
            return Some(serde_json::json!({ "env": name }));
        }
        let what = format!("`{path}` must be a text, or `{{ env = \"NAME\" }}`");
        self.wrong(
            path,
            source,
            what,
            "`NAME` is a variable of the environment",
        );
        None
    }

    fn name(&mut self, names: Names, path: &Path, span: Range<usize>, name: &str) {
        if let Err(Wrong { what, hint }) = names.check(name) {
            let source = (self.locate)(span);
            self.wrong(&path.key(name), &source, format!("`{path}`: {what}"), hint);
        }
    }

    fn unknown(&mut self, fields: &[Field], path: &Path, span: Range<usize>, name: &str) {
        let source = (self.locate)(span);
        let at = path.key(name);
        let hint = near::hint(self.root, fields, name);
        self.wrong(&at, &source, format!("unknown option `{at}`"), hint);
    }

    fn wrong(
        &mut self,
        path: &Path,
        source: &Source,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.findings
            .push(Finding::error(source, what).on(path).hint(hint));
    }
}

/// Whether a value of this shape may be secret.
pub(crate) const fn hidden(shape: &Shape) -> bool {
    matches!(
        shape,
        Shape::Given | Shape::Text(Form::Hidden | Form::Sha256)
    )
}

/// How a value is written that was written as something else.
fn as_written(shape: &Shape, path: &Path) -> Option<String> {
    let path = path.to_string();
    let name = path.rsplit('.').next().unwrap_or_default();
    match shape {
        Shape::Number { .. } => {}
        Shape::List(_) => return Some(format!("write it in brackets: `{name} = [\"…\"]`")),
        Shape::Several(_) => {
            return Some(format!("begin each of them with `[[{path}]]`"));
        }
        _ => return None,
    }
    let words = || name.split('_');
    if words().any(|word| word == "ms") {
        Some(format!(
            "write it in milliseconds, without quotes: `{name} = 5000`"
        ))
    } else if words().any(|word| word == "bytes") {
        Some(format!(
            "write it in bytes, without quotes: `{name} = 1048576`"
        ))
    } else {
        Some("write it without quotes".to_owned())
    }
}

/// A table's entries in the order of the text.
fn sorted<'a, 'i>(
    table: &'a DeTable<'i>,
) -> Vec<(
    &'a Spanned<std::borrow::Cow<'i, str>>,
    &'a Spanned<DeValue<'i>>,
)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}
