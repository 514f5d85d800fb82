//! What can stand where in `rescind.toml`: a small tree, made from the schema of
//! [`Config`](super::options::Config).
//!
//! The one place that knows how a schema is worded. Reading, defaults, names in the environment
//! and the reference all follow this tree, so that none of them can know an option that another
//! does not.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::text::{Form, Names};

/// What may stand in one place.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// A text of some form.
    Text(Form),
    /// One of several words.
    Choice(Vec<Choice>),
    /// `true` or `false`.
    Switch,
    /// A whole number, within bounds.
    Number { min: u64, max: u64 },
    /// A text or `{ env = "NAME" }`, possibly secret.
    Given,
    /// A list of single values.
    List(Box<Self>),
    /// `[section]`: a table whose names we know.
    Table(Vec<Field>),
    /// A table whose names a person chooses.
    Named { names: Names, item: Box<Self> },
    /// `[[section]]`: any number of tables.
    Several(Box<Self>),
    /// `[section]` or `[[section]]`.
    OneOrMore(Box<Self>),
}

/// A word that can be chosen, and what it means.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) word: String,
    pub(crate) about: String,
}

/// A name in a table that we know.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) about: String,
    /// What holds where nobody says otherwise.
    pub(crate) default: Option<Value>,
    /// Whether it must be said.
    pub(crate) required: bool,
    pub(crate) shape: Shape,
}

impl Shape {
    /// Returns the shape of a type's values.
    pub(crate) fn of<T: JsonSchema>() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
        });
        let schema = settings.into_generator().into_root_schema_for::<T>();
        shape(schema.as_value())
    }

    /// Returns the fields, where this is a table whose names we know.
    pub(crate) fn fields(&self) -> &[Field] {
        match self {
            Self::Table(fields) => fields,
            _ => &[],
        }
    }

    /// Whether a value of this shape stands on a line, and not as a section of its own.
    pub(crate) fn is_single(&self) -> bool {
        match self {
            Self::Table(_) | Self::Several(_) | Self::OneOrMore(_) => false,
            Self::Named { item, .. } => item.is_single(),
            _ => true,
        }
    }

    /// Returns what the sections of this shape look like inside, whatever stands around them.
    pub(crate) fn section(&self) -> &Self {
        match self {
            Self::Named { item, .. } | Self::Several(item) | Self::OneOrMore(item) => {
                item.section()
            }
            _ => self,
        }
    }

    /// Names the shape for people: "a whole number".
    pub(crate) fn called(&self) -> String {
        match self {
            Self::Text(form) => form.called().to_owned(),
            Self::Choice(choices) => {
                let words: Vec<String> = choices.iter().map(|c| format!("`{}`", c.word)).collect();
                match words.split_last() {
                    Some((last, [])) => last.clone(),
                    Some((last, others)) => format!("{} or {last}", others.join(", ")),
                    None => String::new(),
                }
            }
            Self::Switch => "`true` or `false`".to_owned(),
            Self::Number { .. } => "a whole number".to_owned(),
            Self::Given => "a text, or `{ env = \"NAME\" }`".to_owned(),
            Self::List(item) => match item.as_ref() {
                Self::Text(form) => format!("a list, each {}", form.called()),
                item => format!("a list of {}", item.called()),
            },
            Self::Table(_) => "a section".to_owned(),
            Self::Named { item, .. } if item.is_single() => {
                format!("a table: names, and for each {}", item.called())
            }
            Self::Named { .. } => "a section with a name of your own".to_owned(),
            Self::Several(_) => "a list of sections".to_owned(),
            Self::OneOrMore(_) => "a section, or a list of sections".to_owned(),
        }
    }
}

fn shape(schema: &Value) -> Shape {
    let word = |key: &str| schema.get(key).and_then(Value::as_str);
    if word("x-form") == Some("given") {
        return Shape::Given;
    }
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        return Shape::Choice(choices.iter().filter_map(choice).collect());
    }
    if let Some(forms) = schema.get("anyOf").and_then(Value::as_array) {
        let one = forms.first().unwrap_or(&Value::Null);
        return Shape::OneOrMore(Box::new(shape(one)));
    }
    let named = match schema.get("type") {
        Some(Value::Array(types)) => types.first().and_then(Value::as_str),
        Some(single) => single.as_str(),
        None => None,
    };
    match named {
        Some("object") => object(schema),
        Some("array") => {
            let mut item = schema.get("items").cloned().unwrap_or_default();
            if let (Some(form), Some(item)) = (word("x-form"), item.as_object_mut()) {
                item.insert("x-form".to_owned(), form.into());
            }
            match shape(&item) {
                table @ Shape::Table(_) => Shape::Several(Box::new(table)),
                single => Shape::List(Box::new(single)),
            }
        }
        Some("boolean") => Shape::Switch,
        Some("integer") => {
            let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
            // What TOML can write at the most.
            let max = bound("maximum").unwrap_or(i64::MAX as u64);
            Shape::Number {
                min: bound("minimum").unwrap_or(0),
                max,
            }
        }
        _ => Shape::Text(Form::of(word("x-form"))),
    }
}

fn object(schema: &Value) -> Shape {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        let item = schema.get("additionalProperties").unwrap_or(&Value::Null);
        return Shape::Named {
            names: Names::of(schema.get("x-names").and_then(Value::as_str)),
            item: Box::new(shape(item)),
        };
    };
    let required = schema.get("required").and_then(Value::as_array);
    let fields = properties.iter().map(|(name, schema)| Field {
        name: name.clone(),
        about: about(schema),
        default: schema.get("default").filter(|d| !d.is_null()).cloned(),
        required: required.is_some_and(|names| names.iter().any(|n| n == name.as_str())),
        shape: shape(schema),
    });
    Shape::Table(fields.collect())
}

fn choice(schema: &Value) -> Option<Choice> {
    Some(Choice {
        word: schema.get("const")?.as_str()?.to_owned(),
        about: about(schema),
    })
}

/// The description as one line.
fn about(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str);
    text.unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
