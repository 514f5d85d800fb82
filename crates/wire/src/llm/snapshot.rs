//! The environment of a decision, out of the request that asked for it.

use model::Environment;
use serde_json::value::RawValue;

use super::Request;
use super::fields::{Fields, quoted, string};

/// Fields of a tool's definition that hold credentials for a server.
const SECRET: &[&str] = &["authorization", "authorization_token", "headers"];

/// Returns what a request was to run with: the model, the settings and the tools.
///
/// Names are those of an import: `model.name`, `limits.*` for limits, `params.*` for other
/// settings, `tools.<name>.definition`. Definitions are written without space between tokens, so
/// that formatting makes no difference, and without the credentials that they may hold.
#[must_use]
pub fn snapshot(request: &Request<'_>) -> Environment {
    let mut environment = Environment::default();
    let mut insert = |name: String, value: String| environment.0.insert(name, value);
    if let Some(model) = &request.model {
        insert("model.name".to_owned(), model.clone().into_owned());
    }
    insert("model.api".to_owned(), request.api.name().to_owned());
    for (name, raw) in &request.settings {
        let section = match name.starts_with("max_") || name.ends_with("budget_tokens") {
            true => "limits",
            false => "params",
        };
        let value = string(raw).map_or_else(|| (*raw).to_owned(), Into::into);
        insert(format!("{section}.{name}"), value);
    }
    for tool in &request.tools {
        insert(
            format!("tools.{}.definition", tool.name),
            definition(tool.raw),
        );
    }
    environment
}

/// A definition without space and credentials.
fn definition(raw: &str) -> String {
    let Some(fields) = Fields::of(raw) else {
        return compact(raw);
    };
    let kept = fields
        .pairs()
        .filter(|(key, _)| !SECRET.contains(&&***key))
        .map(|(key, raw)| format!("{}:{}", quoted(key), compact(raw)));
    format!("{{{}}}", kept.collect::<Vec<_>>().join(","))
}

/// Valid JSON without the space between its tokens.
fn compact(raw: &str) -> String {
    debug_assert!(serde_json::from_str::<&RawValue>(raw).is_ok());
    let mut out = String::with_capacity(raw.len());
    let (mut in_string, mut escaped) = (false, false);
    for character in raw.chars() {
        let space = matches!(character, ' ' | '\t' | '\n' | '\r');
        if in_string || !space {
            out.push(character);
        }
        match character {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
    }
    out
}
