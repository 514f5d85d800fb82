//! The published log.

use axum::http::StatusCode;

use crate::world::{World, ask, get};

#[tokio::test]
async fn files_of_the_log_come_as_they_are_kept() {
    let world = World::with_a_run().await;
    let router = world.router();
    let checkpoint = ask(&router, get("/log/default/checkpoint")).await;
    let kept = world.engine.store().log_file("checkpoint").await.unwrap();
    assert_eq!(Some(checkpoint.bytes.clone()), kept);
    assert_eq!(
        checkpoint.header("content-type"),
        "text/plain; charset=utf-8"
    );
    assert_eq!(checkpoint.header("cache-control"), "no-cache");

    let size = world.size().await;
    for path in [
        format!("tile/0/000.p/{size}"),
        format!("tile/entries/000.p/{size}"),
    ] {
        let tile = ask(&router, get(&format!("/log/default/{path}"))).await;
        let kept = world.engine.store().log_file(&path).await.unwrap();
        assert_eq!(
            (tile.status, Some(tile.bytes.clone())),
            (StatusCode::OK, kept),
            "{path}"
        );
        assert_eq!(tile.header("content-type"), "application/octet-stream");
        assert_eq!(tile.header("cache-control"), "no-cache");
    }
}

#[tokio::test]
async fn only_full_tiles_never_change() {
    let world = World::empty().await;
    for number in 0..40 {
        world.import(number).await;
    }
    assert!(world.size().await > 256);
    for path in ["tile/0/000", "tile/entries/000"] {
        let tile = ask(&world.router(), get(&format!("/log/default/{path}"))).await;
        assert_eq!(tile.status, StatusCode::OK, "{path}");
        assert_eq!(tile.header("cache-control"), "max-age=31536000, immutable");
    }
}

#[tokio::test]
async fn nothing_else_is_there() {
    let world = World::with_a_run().await;
    for path in [
        "/log/other/checkpoint",
        "/log/Default/checkpoint",
        "/log/default/tile/0/001",
        "/log/default/tile/0/0",
        "/log/default/tile/0/000",
        "/log/default/tile/0/000.p/999",
        "/log/default//checkpoint",
        "/log/default/checkpoint/",
        "/log/default/./checkpoint",
        "/log/default/../default/checkpoint",
        "/log/default/..%2f..%2fkeys",
        "/log/default/%63heckpoint",
        "/log/default/tile%2f0%2f000.p%2f1",
        "/log/default/tile/../checkpoint",
        "/log/default/tile/0/000.p/8%00",
        "/log/..%2fdefault/checkpoint",
    ] {
        let answer = ask(&world.router(), get(path)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
}
