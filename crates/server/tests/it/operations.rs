//! Health, readiness, metrics, verification.

use std::sync::Arc;

use axum::http::StatusCode;
use engine::StoreError;
use engine::view::{CheckedView, VerifiedView};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::world::{NOON, World, ask, get, request};

#[tokio::test]
async fn the_status_says_how_far_the_record_is() {
    let world = World::with_a_run().await;
    let router = world.router();
    world.clock.set(NOON + 90_500_000);
    let status = ask(&router, get("/api/v1/status")).await.json();
    let size = world.size().await;
    assert_eq!(status["uptime_s"], 90);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    for name in ["durable", "indexed", "published"] {
        assert_eq!(status[name], size, "{name}");
    }
    assert_eq!(
        (&status["index_lag"], &status["publish_lag"]),
        (&0.into(), &0.into())
    );
}

#[tokio::test]
async fn readiness_says_why_not() {
    let world = World::with_a_run().await;
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let router = world.builder().stopping(stopping).build();
    let ready = ask(&router, get("/readyz")).await;
    assert_eq!(
        (ready.status, &ready.json()["ready"]),
        (StatusCode::OK, &true.into())
    );

    let path = "rescind-data".into();
    world.engine.refused(&StoreError::Full { path });
    let full = ask(&router, get("/readyz")).await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE);
    let reason = full.json()["reasons"][0].as_str().unwrap().to_owned();
    assert!(reason.contains("no space left"), "{reason}");

    world.import(1).await;
    stop.send(true).unwrap();
    let stopped = ask(&router, get("/readyz")).await;
    assert_eq!(
        stopped.json()["reasons"],
        serde_json::json!(["the process is stopping"])
    );

    world.engine.store().close().await.unwrap();
    let closed = ask(&world.router(), get("/readyz")).await;
    assert_eq!(closed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        ask(&world.router(), get("/healthz")).await.status,
        StatusCode::OK
    );
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let text = metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let world = World::with_a_run().await;
            let router = world.builder().metrics(recorder.handle()).build();
            ask(&router, get("/api/v1/runs/latest")).await;
            ask(&router, get("/api/v1/runs/0123456789")).await;
            ask(&router, request("BREW", "/api/v1/runs/latest", &[])).await;
            let answer = ask(&router, get("/metrics")).await;
            assert!(
                answer
                    .header("content-type")
                    .starts_with("text/plain; version=0.0.4")
            );
            answer.text
        })
    });
    for line in [
        "# TYPE rescind_http_requests_total counter",
        "rescind_record_events 8",
        "rescind_index_lag_events 0",
        "rescind_publish_lag_events 0",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
    for (method, status) in [("GET", 200), ("GET", 404), ("other", 405)] {
        let route = "route=\"/api/v1/runs/{run}\"";
        let labels = format!("{{{route},method=\"{method}\",status=\"{status}\"}} 1");
        assert!(text.contains(&labels), "{labels}\n{text}");
    }
    // Labels are routes, never what a client sent.
    assert!(!text.contains("latest") && !text.contains("BREW"), "{text}");
}

fn found(full: bool) -> VerifiedView {
    VerifiedView {
        intact: true,
        first_bad: None,
        origin: "memory.invalid/log".to_owned(),
        size: 8,
        root: None,
        full,
        own_keys: true,
        findings: Vec::new(),
        notices: Vec::new(),
        checked: CheckedView {
            entries: 8,
            bytes: 0,
            payloads: 0,
            erased: 0,
            rows: 0,
        },
    }
}

#[tokio::test]
async fn verifying_is_done_by_what_was_handed_in() {
    let world = World::with_a_run().await;
    let router = world
        .builder()
        .verifier(Arc::new(|full| Ok(found(full))))
        .build();
    for (path, full) in [
        ("/api/v1/verify", false),
        ("/api/v1/verify?full=true", true),
    ] {
        let answer = ask(&router, request("POST", path, &[])).await.json();
        assert_eq!(
            (&answer["intact"], &answer["full"]),
            (&true.into(), &full.into())
        );
    }
    let fails = world
        .builder()
        .verifier(Arc::new(|_| Err(StoreError::Closed)));
    let answer = ask(&fails.build(), request("POST", "/api/v1/verify", &[])).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn verifying_is_done_for_one_at_a_time() {
    let world = World::with_a_run().await;
    let (began, mut begun) = tokio::sync::mpsc::channel(1);
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = std::sync::Mutex::new(ended);
    let verify = Arc::new(move |full| {
        began.blocking_send(()).unwrap();
        ended.lock().unwrap().recv().unwrap();
        Ok(found(full))
    });
    let router = world.builder().verifier(verify).build();
    let first = ask(&router, request("POST", "/api/v1/verify", &[]));
    let second = async {
        begun.recv().await.unwrap();
        let busy = ask(&router, request("POST", "/api/v1/verify", &[])).await;
        end.send(()).unwrap();
        busy
    };
    let (first, busy) = tokio::join!(first, second);
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(
        (busy.status.as_u16(), &busy.json()["code"]),
        (503, &"busy".into())
    );
    assert_eq!(busy.header("retry-after"), "1");
}
