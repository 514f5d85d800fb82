//! What is wrong with a query, in words of the options that a path has.
//!
//! Asked only once a query was refused; what is accepted is for the types that read it. The schema
//! of those types is what the OpenAPI document shows, so that both say the same.

use axum::extract::Query;
use axum::http::Uri;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

/// Says which option of a query cannot be read, and what is expected; none where nothing is found.
pub(crate) fn misread<T: JsonSchema>(query: &str) -> Option<String> {
    let schema = T::json_schema(&mut SchemaGenerator::default()).to_value();
    let options = schema.get("properties")?.as_object()?;
    let uri: Uri = format!("/?{query}").parse().ok()?;
    let Query(given): Query<Vec<(String, String)>> = Query::try_from_uri(&uri).ok()?;
    for (at, (name, value)) in given.iter().enumerate() {
        let Some(option) = options.get(name) else {
            let names: Vec<String> = options.keys().map(|known| format!("`{known}`")).collect();
            let names = names.join(", ");
            return Some(format!(
                "`{name}` is no option of this path; it takes {names}"
            ));
        };
        if given[..at].iter().any(|(before, _)| before == name) {
            return Some(format!("`{name}` is given twice"));
        }
        if let Some(wanted) = unfit(option, value) {
            return Some(format!("`{name}` is `{value}`, and has to be {wanted}"));
        }
    }
    let required = schema.get("required").and_then(Value::as_array)?;
    let mut required = required.iter().filter_map(Value::as_str);
    let missing = required.find(|name| given.iter().all(|(known, _)| known != name))?;
    Some(format!(
        "`{missing}` is missing: {}",
        what(options, missing)
    ))
}

/// What a value would have to be, where it is not.
fn unfit(option: &Value, value: &str) -> Option<String> {
    let kind = option.get("type")?;
    let kind = kind.as_str().or_else(|| kind.get(0)?.as_str())?;
    match kind {
        "boolean" if !matches!(value, "true" | "false") => Some("`true` or `false`".to_owned()),
        "integer" if value.parse::<u64>().is_err() => {
            let least = option.get("minimum").and_then(Value::as_u64).unwrap_or(0);
            let most = option.get("maximum").and_then(Value::as_u64);
            Some(match most {
                Some(most) => format!("a whole number, {least} to {most}"),
                None => format!("a whole number, {least} or more"),
            })
        }
        _ => None,
    }
}

/// What an option is, in its first sentence.
fn what(options: &Map<String, Value>, name: &str) -> String {
    let described = options
        .get(name)
        .and_then(|option| option.get("description"));
    let text = described.and_then(Value::as_str).unwrap_or_default();
    text.lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_lowercase()
}
