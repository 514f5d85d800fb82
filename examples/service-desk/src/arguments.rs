//! A tool's parameters, and the arguments of one call read by them.

use serde_json::{Map, Value, json};

use crate::error::Refusal;
use crate::number::Amount;

/// One parameter of a tool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) shape: Shape,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Text,
    Choice(&'static [&'static str]),
    Number,
    Count,
    Texts,
    /// A list of objects with these fields.
    Rows(&'static [Parameter]),
    /// Any object.
    Object,
}

impl Shape {
    fn schema(self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::Choice(choices) => json!({"type": "string", "enum": choices}),
            Self::Number => json!({"type": "number"}),
            Self::Count => json!({"type": "integer", "minimum": 0}),
            Self::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Self::Rows(fields) => json!({"type": "array", "items": schema(fields, &[])}),
            Self::Object => json!({"type": "object"}),
        }
    }
}

/// Returns the JSON schema of an object with these fields, all needed, and some that may be there.
pub(crate) fn schema(needed: &[Parameter], optional: &[Parameter]) -> Map<String, Value> {
    let mut properties = Map::new();
    for parameter in needed.iter().chain(optional) {
        let mut schema = parameter.shape.schema();
        schema["description"] = parameter.about.into();
        properties.insert(parameter.name.to_owned(), schema);
    }
    let required: Vec<&str> = needed.iter().map(|parameter| parameter.name).collect();
    Map::from_iter([
        ("type".to_owned(), "object".into()),
        ("properties".to_owned(), properties.into()),
        ("required".to_owned(), required.into()),
    ])
}

/// The arguments of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arguments<'a> {
    given: &'a Map<String, Value>,
}

impl<'a> Arguments<'a> {
    /// Takes the arguments of a call if they are those that the tool has.
    pub(crate) fn check(
        given: &'a Map<String, Value>,
        parameters: &[Parameter],
    ) -> Result<Self, Refusal> {
        if let Some(missing) = parameters.iter().find(|p| !given.contains_key(p.name)) {
            return Err(Refusal::said(format!(
                "missing argument `{}`",
                missing.name
            )));
        }
        let known = |name: &&String| parameters.iter().any(|p| p.name == name.as_str());
        if let Some(unknown) = given.keys().find(|name| !known(name)) {
            return Err(Refusal::said(format!("unknown argument `{unknown}`")));
        }
        Ok(Self { given })
    }

    pub(crate) fn value(&self, name: &str) -> Result<&'a Value, Refusal> {
        self.given
            .get(name)
            .ok_or_else(|| Refusal::said(format!("missing argument `{name}`")))
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a str, Refusal> {
        let value = self.value(name)?;
        value.as_str().ok_or_else(|| wrong(name, "a string"))
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&'a str>, Refusal> {
        self.rows(name)?
            .iter()
            .map(|item| {
                item.as_str()
                    .ok_or_else(|| wrong(name, "a list of strings"))
            })
            .collect()
    }

    pub(crate) fn rows(&self, name: &str) -> Result<&'a [Value], Refusal> {
        let value = self.value(name)?.as_array();
        value
            .map(Vec::as_slice)
            .ok_or_else(|| wrong(name, "a list"))
    }

    pub(crate) fn object(&self, name: &str) -> Result<&'a Map<String, Value>, Refusal> {
        let value = self.value(name)?;
        value.as_object().ok_or_else(|| wrong(name, "an object"))
    }

    pub(crate) fn amount(&self, name: &str) -> Result<Amount, Refusal> {
        Amount::of(self.value(name)?).ok_or_else(|| wrong(name, "a number"))
    }

    pub(crate) fn count(&self, name: &str) -> Result<u64, Refusal> {
        let value = self.value(name)?;
        value.as_u64().ok_or_else(|| wrong(name, "a whole number"))
    }
}

fn wrong(name: &str, should: &str) -> Refusal {
    Refusal::said(format!("argument `{name}` is not {should}"))
}
