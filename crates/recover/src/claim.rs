//! What a server says of the tool that takes another back (SEP-3172), as a call remembers it.
//!
//! A claim is the server's, and the operator's word goes before it. It is noted with each call, in
//! the environment, so that a plan rests on what was said when the call was made, also where the
//! server is gone. Of what the proposal has, expressions over the body of the response and of the
//! request are understood; what cannot be filled in is never called with less.

use std::collections::BTreeMap;

use model::Environment;
use serde_json::{Map, Value};

use crate::catalogue::{Lack, Made};
use crate::plan::ToolCall;

/// Under this name the environment of a call has the tool that takes it back.
const TOOL: &str = "compensation.tool";

/// Under this name it has how many parameters that tool is given, where the server says so.
const COUNT: &str = "compensation.parameters";

/// The tool that takes a call back, as its server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its name, on the same server.
    pub tool: String,
    /// Its arguments as runtime expressions; none where the server does not say with what it is
    /// called.
    pub parameters: Option<BTreeMap<String, String>>,
}

impl Claim {
    /// Reads a claim from the environment of a call.
    #[must_use]
    pub fn of(environment: &Environment) -> Option<Self> {
        let entries = &environment.0;
        let tool = entries.get(TOOL)?.clone();
        let prefix = format!("{COUNT}.");
        let parameters: BTreeMap<String, String> = entries
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), value)))
            .map(|(name, value)| (name, value.clone()))
            .collect();
        let whole =
            entries.get(COUNT).and_then(|count| count.parse().ok()) == Some(parameters.len());
        Some(Self {
            tool,
            parameters: whole.then_some(parameters),
        })
    }

    /// Returns what the environment of a call has of it.
    pub fn entries(&self) -> impl Iterator<Item = (String, String)> {
        let parameters = self.parameters.iter();
        let count = parameters
            .clone()
            .map(|parameters| (COUNT.to_owned(), parameters.len().to_string()));
        let each = parameters.flatten();
        let each = each.map(|(name, expression)| (format!("{COUNT}.{name}"), expression.clone()));
        [(TOOL.to_owned(), self.tool.clone())]
            .into_iter()
            .chain(count)
            .chain(each)
    }

    /// Returns the call that takes `made` back; none where the server does not say how.
    ///
    /// # Errors
    /// What it needs and is not there.
    pub fn call(&self, server: &str, made: &Made<'_>) -> Result<Option<ToolCall>, Lack> {
        let Some(parameters) = &self.parameters else {
            return Ok(None);
        };
        let mut arguments = Map::new();
        for (name, expression) in parameters {
            let value = resolved(expression, made).ok_or_else(|| Lack {
                hole: expression.clone(),
            })?;
            arguments.insert(name.clone(), value);
        }
        Ok(Some(ToolCall {
            server: server.to_owned(),
            tool: self.tool.clone(),
            arguments: Value::Object(arguments),
        }))
    }
}

/// The value of a runtime expression as OpenAPI has them; a text that is none stands for itself.
fn resolved(expression: &str, made: &Made<'_>) -> Option<Value> {
    if !expression.contains('$') {
        return Some(Value::String(expression.to_owned()));
    }
    let (root, pointer) = expression.split_once('#').unwrap_or((expression, ""));
    let root = match root {
        "$response.body" => made.result?,
        "$request.body" => made.args,
        _ => return None,
    };
    root.pointer(pointer)
        .filter(|value| !value.is_null())
        .cloned()
}
