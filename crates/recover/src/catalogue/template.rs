//! Templates: texts with holes that are filled from a call, its result and the images before it.
//!
//! `orders/{args.order_id}` has one hole. A text that is nothing but a hole takes the value as it
//! is, number or list; in a longer text it is written out. `[0]` takes an item of a list, `[*]`
//! each of them. A brace that is meant is doubled.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use super::near;

/// What a hole is filled from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// The arguments of the call.
    pub(crate) args: &'a Value,
    /// What came back; none before the call, and where it is not known.
    pub(crate) result: Option<&'a Value>,
    /// Images before the call, by the name of the resource.
    pub(crate) before: &'a Value,
    /// The id of the record, for templates of a resource.
    pub(crate) id: Option<&'a Value>,
}

impl Scope<'_> {
    fn root(&self, name: &str) -> Option<&Value> {
        match name {
            "args" => Some(self.args),
            "result" => self.result,
            "before" => Some(self.before),
            "id" => self.id,
            _ => None,
        }
    }
}

/// A hole that nothing fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The hole.
    pub hole: String,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no `{}`", self.hole)
    }
}

/// One step of a way into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    Each,
}

/// A hole: where its value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    text: String,
    root: String,
    steps: Vec<Step>,
}

impl Hole {
    /// The first word: `args`, `result`, `before`, `id`.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The name that comes after the first word.
    pub(crate) fn member(&self) -> Option<&str> {
        match self.steps.first() {
            Some(Step::Key(name)) => Some(name),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The value of a hole without `[*]`.
    fn value<'a>(&self, scope: &'a Scope<'_>) -> Option<&'a Value> {
        let mut here = scope.root(&self.root)?;
        for step in &self.steps {
            here = match step {
                Step::Key(name) => here.get(name)?,
                Step::Index(index) => here.get(index)?,
                Step::Each => return None,
            };
        }
        Some(here)
    }

    fn values<'a>(&self, scope: &'a Scope<'_>) -> Vec<&'a Value> {
        let mut here: Vec<&Value> = scope.root(&self.root).into_iter().collect();
        for step in &self.steps {
            here = match step {
                Step::Key(name) => here.iter().filter_map(|v| v.get(name)).collect(),
                Step::Index(index) => here.iter().filter_map(|v| v.get(index)).collect(),
                Step::Each => here
                    .iter()
                    .flat_map(|value| match value {
                        Value::Array(list) => list.iter().collect::<Vec<_>>(),
                        Value::Object(members) => members.values().collect(),
                        _ => Vec::new(),
                    })
                    .collect(),
            };
        }
        here
    }

    /// Whether it is filled only when the step runs.
    fn later(&self) -> bool {
        matches!(self.root.as_str(), "fields" | "version" | "key")
    }

    fn each(&self) -> bool {
        self.steps.contains(&Step::Each)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{{{text}}}` is not the way to a value");
        let mut rest = text;
        let mut steps = Vec::new();
        let mut root = None;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (index, after) = inner.split_once(']').ok_or_else(wrong)?;
                steps.push(match index {
                    "*" => Step::Each,
                    index => Step::Index(index.parse().map_err(|_| wrong())?),
                });
                rest = after;
                if root.is_none() {
                    return Err(wrong());
                }
                continue;
            }
            if root.is_some() {
                rest = rest.strip_prefix('.').ok_or_else(wrong)?;
            }
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if name.is_empty() || name.contains([' ', ']', '"']) {
                return Err(wrong());
            }
            match root {
                None => root = Some(name.to_owned()),
                Some(_) => steps.push(Step::Key(name.to_owned())),
            }
            rest = after;
        }
        Ok(Self {
            text: text.to_owned(),
            root: root.ok_or_else(wrong)?,
            steps,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Hole),
}

/// A text with holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
            } else if brace == "{" {
                let (hole, after) = rest
                    .split_once('}')
                    .ok_or_else(|| format!("`{text}` has a `{{` without its `}}`"))?;
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Hole(Hole::parse(hole)?));
                rest = after;
            } else {
                return Err(format!("`{text}` has a `}}` without its `{{`"));
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    pub(crate) fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.0.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some(hole),
            Part::Text(_) => None,
        })
    }

    /// Returns the value: the hole's own where there is nothing else, else a text.
    pub(crate) fn fill(&self, scope: &Scope<'_>) -> Result<Value, Lack> {
        if let [Part::Hole(hole)] = self.0.as_slice() {
            if hole.later() {
                return Ok(Value::String(format!("{{{}}}", hole.text)));
            }
            if hole.each() {
                return Ok(hole.values(scope).into_iter().cloned().collect());
            }
            return hole.value(scope).cloned().ok_or_else(|| hole.lack());
        }
        let mut texts = self.texts(scope)?;
        Ok(Value::String(texts.pop().unwrap_or_default()))
    }

    /// Returns the only text of a template in which no hole has `[*]`.
    fn text(&self, scope: &Scope<'_>) -> Result<String, Lack> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Hole(hole) => {
                    let value = hole.value(scope).and_then(written);
                    text.push_str(&value.ok_or_else(|| hole.lack())?);
                }
            }
        }
        Ok(text)
    }

    /// Returns a text for each value that a hole with `[*]` has; one where there is no such hole.
    pub(crate) fn texts(&self, scope: &Scope<'_>) -> Result<Vec<String>, Lack> {
        if !self.holes().any(Hole::each) {
            return Ok(vec![self.text(scope)?]);
        }
        let mut texts = vec![String::new()];
        for part in &self.0 {
            match part {
                Part::Text(text) => texts.iter_mut().for_each(|t| t.push_str(text)),
                Part::Hole(hole) => {
                    let values = hole.values(scope);
                    if values.is_empty() && !hole.each() {
                        return Err(hole.lack());
                    }
                    let written = values.iter().map(|value| written(value));
                    let written = written.collect::<Option<Vec<_>>>();
                    let written = written.ok_or_else(|| hole.lack())?;
                    texts = texts
                        .iter()
                        .flat_map(|text| written.iter().map(move |w| format!("{text}{w}")))
                        .collect();
                }
            }
        }
        Ok(texts)
    }
}

impl Hole {
    fn lack(&self) -> Lack {
        Lack {
            hole: self.text.clone(),
        }
    }
}

/// A value within a text. Lists and objects have no place there.
fn written(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(on) => Some(Cow::Owned(on.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// JSON in which texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pattern {
    Value(Value),
    Text(Template),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Pattern {
    pub(crate) fn fill(&self, scope: &Scope<'_>) -> Result<Value, Lack> {
        Ok(match self {
            Self::Value(value) => value.clone(),
            Self::Text(template) => template.fill(scope)?,
            Self::List(list) => {
                let filled: Result<Vec<_>, _> = list.iter().map(|p| p.fill(scope)).collect();
                Value::Array(filled?)
            }
            Self::Object(members) => {
                let mut filled = Map::new();
                for (name, pattern) in members {
                    filled.insert(name.clone(), pattern.fill(scope)?);
                }
                Value::Object(filled)
            }
        })
    }

    pub(crate) fn holes(&self) -> Vec<&Hole> {
        match self {
            Self::Value(_) => Vec::new(),
            Self::Text(template) => template.holes().collect(),
            Self::List(list) => list.iter().flat_map(Self::holes).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, p)| p.holes()).collect(),
        }
    }
}

/// Says what is wrong with a hole whose first word is none of `roots`.
pub(crate) fn unknown_root(hole: &Hole, roots: &[&str]) -> (String, String) {
    let what = format!("`{{{}}}` cannot be filled here", hole.text());
    let hint = match near::nearest(hole.root(), roots.iter().copied()) {
        Some(root) => format!("did you mean `{root}`?"),
        None => format!(
            "a hole here begins with {}",
            near::listed(roots.iter().copied())
        ),
    };
    (what, hint)
}
