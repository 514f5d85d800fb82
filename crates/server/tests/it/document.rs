//! The OpenAPI document, held against the router.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::Value;

use crate::world::{World, ask, get, request};

/// What is designed, written down once more by hand.
const ROUTES: [(&str, &str); 35] = [
    ("get", "/api/v1/approvals"),
    ("post", "/api/v1/approvals/{decision}/approve"),
    ("post", "/api/v1/approvals/{decision}/reject"),
    ("get", "/api/v1/blast/{id}"),
    ("get", "/api/v1/decisions/{id}"),
    ("get", "/api/v1/events"),
    ("get", "/api/v1/graph/{id}"),
    ("get", "/api/v1/openapi.json"),
    ("get", "/api/v1/proof/{id}"),
    ("get", "/api/v1/quarantine"),
    ("post", "/api/v1/quarantine/{agent}"),
    ("post", "/api/v1/quarantine/{agent}/release"),
    ("get", "/api/v1/rollbacks"),
    ("get", "/api/v1/rollbacks/{id}"),
    ("post", "/api/v1/rollbacks/{id}/approve"),
    ("post", "/api/v1/rollbacks/{id}/reject"),
    ("post", "/api/v1/rollbacks/{id}/retry"),
    ("post", "/api/v1/rollbacks/plan"),
    ("post", "/api/v1/rollbacks/propose"),
    ("get", "/api/v1/runs"),
    ("get", "/api/v1/runs/{run}"),
    ("get", "/api/v1/runs/{run}/checkpoints"),
    ("put", "/api/v1/runs/{run}/checkpoints"),
    ("get", "/api/v1/runs/{run}/checkpoints/{id}"),
    ("get", "/api/v1/runs/{run}/context"),
    ("get", "/api/v1/runs/{run}/decisions"),
    ("post", "/api/v1/runs/{run}/restore"),
    ("get", "/api/v1/status"),
    ("get", "/api/v1/tools"),
    ("post", "/api/v1/verify"),
    ("get", "/api/v1/why/{earlier}/{later}"),
    ("get", "/healthz"),
    ("get", "/log/{realm}/{path}"),
    ("get", "/metrics"),
    ("get", "/readyz"),
];

fn documented() -> BTreeSet<(String, String)> {
    let document = server::openapi();
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(|method| (method.clone(), path.clone()))
        })
        .collect()
}

#[test]
fn every_designed_route_is_documented_and_no_other() {
    let designed = ROUTES.map(|(method, path)| (method.to_owned(), path.to_owned()));
    assert_eq!(documented(), designed.into());
}

#[tokio::test]
async fn every_documented_route_is_answered_by_the_router_and_by_no_other_method() {
    let world = World::with_a_run().await;
    let router = world.router();
    let fill = |path: &str| {
        path.replace("{run}", "latest")
            .replace("{id}", "latest:1")
            .replace("{earlier}", "latest:1")
            .replace("{later}", "latest:2")
            .replace("{realm}", "default")
            .replace("{path}", "checkpoint")
            .replace("{decision}", "latest:1")
            .replace("{agent}", "desk")
    };
    for (method, path) in documented() {
        if path == "/api/v1/events" {
            // It does not end; the tests of events follow it.
            continue;
        }
        let path = fill(&path);
        let asked = request(&method.to_uppercase(), &path, &[]);
        let status = ask(&router, asked).await.status;
        // This server has neither a verifier nor metrics, and says so.
        let expected = match &*path {
            "/api/v1/verify" => StatusCode::NOT_IMPLEMENTED,
            "/metrics" => StatusCode::NOT_FOUND,
            // The decision that is asked for is none.
            "/api/v1/rollbacks/latest:1" | "/api/v1/runs/latest/checkpoints/latest:1" => {
                StatusCode::BAD_REQUEST
            }
            "/api/v1/rollbacks/latest:1/retry" => StatusCode::NOT_FOUND,
            path if path.starts_with("/api/v1/quarantine") => StatusCode::OK,
            // It comes without its body.
            _ if method != "get" => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        assert_eq!(status, expected, "{path}");
        let other = ask(&router, request("DELETE", &path, &[])).await;
        assert_eq!(other.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}

#[tokio::test]
async fn the_document_is_served_and_refers_only_to_what_it_has() {
    let world = World::empty().await;
    let served = ask(&world.router(), get("/api/v1/openapi.json"))
        .await
        .json();
    let document = server::openapi();
    assert_eq!(served, document);
    assert_eq!(document["openapi"], "3.1.0");
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let names: Vec<&str> = document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert!(
        names.contains(&"PageOfRunsView") && names.contains(&"ProblemView"),
        "{names:?}"
    );
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "$ref" => references.push(text.clone()),
                    other => collect(other, references),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[test]
fn options_are_documented_as_they_are_read() {
    let document = server::openapi();
    let options = |path: &str, method: &str| {
        let list = document["paths"][path][method]["parameters"]
            .as_array()
            .unwrap();
        list.iter()
            .map(|parameter| {
                let name = parameter["name"].as_str().unwrap();
                let place = parameter["in"].as_str().unwrap();
                assert!(parameter["description"].is_string(), "{path} {name}");
                format!(
                    "{place} {name} {}",
                    parameter["schema"]["type"].as_str().unwrap()
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        options("/api/v1/runs/{run}/decisions", "get"),
        [
            "path run string",
            "query cursor string",
            "query limit integer",
            "query skip integer"
        ]
    );
    assert_eq!(
        options("/api/v1/proof/{id}", "get"),
        [
            "path id string",
            "query chain boolean",
            "query disclose string"
        ]
    );
    assert_eq!(
        options("/api/v1/events", "get"),
        [
            "query from integer",
            "query run string",
            "header Last-Event-ID string"
        ]
    );
    assert_eq!(options("/api/v1/verify", "post"), ["query full boolean"]);
}
