//! The OpenAPI 3.1 document, made from the table of routes and the types that they give.

use std::sync::OnceLock;

use axum::Json;
use engine::access::Deed;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::problem::ProblemView;
use crate::route::{Answer, Route, table};

/// Returns the OpenAPI document of the whole router.
#[must_use]
pub fn openapi() -> Value {
    // What is given is described as it is written: a field that can be null is there all the same.
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in table() {
        let operation = operation(&route, &mut generator);
        let path = route.path.replace("{*", "{");
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[route.method] = operation;
    }
    generator.subschema_for::<ProblemView>();
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rescind",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Look into the record of what agents decided, prove it, verify it, \
                follow what is new, and decide about calls that wait. Runs and decisions are named as the commands name them: by \
                their id, its beginning or its end; `latest` is the newest run, and `RUN:N` the \
                N-th decision of a run. Options that a path does not list are refused.",
        },
        "servers": [{ "url": "http://127.0.0.1:7373" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Problem": {
                    "description": "It could not be answered; `hint` says what to do.",
                    "content": { "application/json": { "schema": reference("ProblemView") } },
                },
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "One of the configured tokens. Without configured tokens, \
                        callers on this machine need none.",
                },
            },
        },
    })
}

pub(crate) async fn serve() -> Json<&'static Value> {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    Json(DOCUMENT.get_or_init(openapi))
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.what,
        "responses": responses(route, generator),
    });
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| in_path(name.trim_start_matches('*')))
        .collect();
    parameters.extend(in_query(route, generator));
    if let Answer::Events(_) = route.answer {
        parameters.push(json!({
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The id of the last event that was seen: those after it follow.",
            "schema": { "type": "string" },
        }));
    }
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(make) = route.body {
        let schema = make(generator).to_value();
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": schema } },
        });
    }
    match route.deed {
        None => operation["security"] = json!([]),
        Some(deed) => operation["description"] = Value::from(needs(deed)),
    }
    operation
}

const fn needs(deed: Deed) -> &'static str {
    match deed {
        Deed::Call => "For the roles `agent` and `operator`.",
        Deed::Read => "For the roles `viewer` and `operator`.",
        Deed::Operate => "For the role `operator`.",
    }
}

fn in_path(name: &str) -> Value {
    let what = match name {
        "run" => "A run: its id, its beginning or end, or `latest`.",
        "id" => {
            "A decision, or a run where the path takes one: its id, its beginning or end, or `RUN:N`."
        }
        "decision" => "A decision that waits: its id, its beginning or end, or `RUN:N`.",
        "earlier" => "The earlier decision.",
        "later" => "The later decision, which may depend on it.",
        "agent" => "The name of an agent.",
        "realm" => "The realm that is served.",
        "path" => "The path of a file of the log; its slashes are not escaped.",
        other => other,
    };
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": what,
        "schema": { "type": "string" },
    })
}

/// The options, each from a field of the type that reads them.
fn in_query(route: &Route, generator: &mut SchemaGenerator) -> Vec<Value> {
    let Some(make) = route.options else {
        return Vec::new();
    };
    let schema = make(generator).to_value();
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let description = schema.as_object_mut().and_then(|s| s.remove("description"));
        // An option is given or not; it is never null.
        let kind = schema.get("type").and_then(Value::as_array);
        if let Some(kind) = kind.and_then(|kinds| kinds.first()).cloned() {
            schema["type"] = kind;
        }
        json!({ "name": name, "in": "query", "description": description, "schema": schema })
    };
    fields.iter().map(parameter).collect()
}

fn responses(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let json_of = |schema: Value| json!({ "application/json": { "schema": schema } });
    let mut responses = json!({ "default": { "$ref": "#/components/responses/Problem" } });
    let content = match &route.answer {
        Answer::Object(make) => json_of(make(generator).to_value()),
        Answer::Readiness(make) => {
            let content = json_of(make(generator).to_value());
            let says_no = "It does not take records now; the reasons say why.";
            responses["503"] = json!({ "description": says_no, "content": content });
            content
        }
        Answer::Other(content) => {
            let (mut types, schema) = (Map::new(), json!({ "type": "string" }));
            types.insert((*content).to_owned(), json!({ "schema": schema }));
            if route.id == "log" {
                types.insert("text/plain".to_owned(), json!({ "schema": schema }));
            }
            Value::Object(types)
        }
        Answer::Events(make) => {
            // OpenAPI 3.1 has no word for a stream; the schema is that of each message's data.
            json!({ "text/event-stream": { "schema": make(generator).to_value() } })
        }
    };
    responses["200"] = json!({ "description": route.what, "content": content });
    responses
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
