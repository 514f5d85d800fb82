//! The same over a store in a directory, whose index and seal come after the log.

use std::path::Path;
use std::sync::Arc;

use axum::http::StatusCode;
use engine::{SeededEntropy, Store};
use store::{EmbeddedStore, OpenOptions};

use crate::world::{NOON, Stream, World, ask, field, get, listen};

fn open(dir: &Path, read_only: bool) -> Arc<dyn Store> {
    let entropy = Arc::new(SeededEntropy::new(3));
    let options = OpenOptions {
        read_only,
        ..OpenOptions::new(dir, entropy, Arc::new(|| NOON / 1_000_000))
    };
    Arc::new(EmbeddedStore::open(options).unwrap())
}

#[tokio::test]
async fn what_is_told_can_be_asked_for_proven_and_read_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::over(open(dir.path(), false)).await;
    let address = listen(world.router()).await;
    let mut stream = Stream::open(address, "/api/v1/events", None).await;
    let ready = stream.message().await.unwrap();
    assert_eq!(field(&ready, "id"), Some("start"));
    world.import(0).await;
    let size = world.size().await;
    for seq in 0..size {
        let message = stream.message().await.unwrap();
        assert_eq!(field(&message, "id"), Some(&*seq.to_string()));
        let data = field(&message, "data").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        if let Some(decision) = data["decision"].as_str() {
            let got = world.get(&format!("/api/v1/decisions/{decision}")).await;
            assert_eq!(got["index"], seq);
        }
    }
    let evidence = ask(&world.router(), get("/api/v1/proof/latest:2?disclose=all")).await;
    let report = engine::prove::verify_evidence(&evidence.bytes, &[]).unwrap();
    assert!(report.intact, "{report:?}");
    let tile = format!("/log/default/tile/entries/000.p/{size}");
    for path in ["/log/default/checkpoint", &tile] {
        assert_eq!(
            ask(&world.router(), get(path)).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    for path in [
        "/log/default/tree",
        "/log/default/../../FORMAT",
        "/log/default/tile/0",
    ] {
        let status = ask(&world.router(), get(path)).await.status;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(
        ask(&world.router(), get("/readyz")).await.status,
        StatusCode::OK
    );
    world.engine.store().close().await.unwrap();
}

#[tokio::test]
async fn a_record_that_cannot_be_written_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::over(open(dir.path(), false)).await;
    world.import(0).await;
    world.engine.store().close().await.unwrap();
    let world = World::over(open(dir.path(), true)).await;
    let ready = ask(&world.router(), get("/readyz")).await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    let reason = ready.json()["reasons"][0].as_str().unwrap().to_owned();
    assert!(reason.contains("read only"), "{reason}");
    world.get("/api/v1/runs/latest").await;
}
