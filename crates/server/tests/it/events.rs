//! Following the record.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::world::{Stream, World, ask, field, get, listen, request};

/// The sequence number of an event; none for other messages.
fn seq(message: &str) -> Option<u64> {
    if field(message, "event").is_some() {
        return None;
    }
    let id: u64 = field(message, "id")?.parse().unwrap();
    let data: Value = serde_json::from_str(field(message, "data").unwrap()).unwrap();
    assert_eq!(data["seq"], id, "{message}");
    Some(id)
}

#[tokio::test]
async fn what_is_new_is_told_as_it_is_recorded() {
    let world = World::with_a_run().await;
    let address = listen(world.router()).await;
    let mut stream = Stream::open(address, "/api/v1/events", None).await;
    let size = world.size().await;
    let ready = stream.message().await.unwrap();
    assert_eq!(field(&ready, "event"), Some("ready"));
    assert_eq!(field(&ready, "id"), Some(&*(size - 1).to_string()));

    world.import(1).await;
    let opened = stream.message().await.unwrap();
    assert_eq!(seq(&opened), Some(size));
    assert!(opened.contains("\"what\":\"run-opened\""), "{opened}");
    let asked = stream.message().await.unwrap();
    let data: Value = serde_json::from_str(field(&asked, "data").unwrap()).unwrap();
    assert_eq!(data["what"], "reconstructed");
    assert_eq!(data["status"], "succeeded");
    // What is told can be asked for.
    let decision = data["decision"].as_str().unwrap();
    let got = world.get(&format!("/api/v1/decisions/{decision}")).await;
    assert_eq!(got["run"], data["run"]);
}

#[tokio::test]
async fn c170_a_client_goes_on_from_a_sequence_number_without_loss_or_repeats() {
    let world = World::empty().await;
    let address = listen(world.router()).await;
    let mut seen: Vec<u64> = Vec::new();
    let mut last: Option<String> = None;
    // Cut off again and again, at first before any event, while the record grows.
    for round in 0..12 {
        let mut stream = Stream::open(address, "/api/v1/events", last.as_deref()).await;
        let ready = stream.message().await.unwrap();
        last = Some(field(&ready, "id").unwrap().to_owned());
        world.import(round).await;
        for _ in 0..round {
            let message = stream.message().await.unwrap();
            seen.extend(seq(&message));
            last = Some(field(&message, "id").unwrap().to_owned());
        }
    }
    let size = world.size().await;
    let mut stream = Stream::open(address, "/api/v1/events", last.as_deref()).await;
    while seen.len() as u64 != size {
        seen.extend(seq(&stream.message().await.unwrap()));
    }
    assert_eq!(seen, (0..size).collect::<Vec<_>>());
}

#[test]
fn c169_a_slow_client_holds_a_handful_of_events_and_is_told_that_it_is_behind() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let told = || {
        let text = recorder.handle().render();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("rescind_events_told_total "));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let world = World::with_a_run().await;
            let asked = get("/api/v1/events?from=0");
            let mut body = world.router().oneshot(asked).await.unwrap().into_body();
            let ready = next(&mut body).await;
            assert_eq!(field(&ready, "event"), Some("ready"));
            for number in 1..200 {
                world.import(number).await;
            }
            let size = world.size().await;
            assert!(size > 1_500);
            // The client took nothing, so nothing was read for it.
            assert_eq!(told(), 0);

            let behind = next(&mut body).await;
            assert_eq!(field(&behind, "event"), Some("behind"));
            let data = field(&behind, "data").unwrap();
            assert_eq!(data, format!("{{\"next\":0,\"size\":{size}}}"));
            let mut seen = Vec::new();
            while (seen.len() as u64) < size {
                let message = next(&mut body).await;
                seen.extend(seq(&message));
                // What is held for it here is never more than was taken together.
                assert!(
                    told() - (seen.len() as u64) < 64,
                    "{} {}",
                    told(),
                    seen.len()
                );
            }
            assert_eq!(seen, (0..size).collect::<Vec<_>>());
            assert!(body.frame().now_or_never().is_none());
        });
    });
}

async fn next(body: &mut Body) -> String {
    let frame = body.frame().await.unwrap().unwrap();
    let data = frame.into_data().unwrap();
    String::from_utf8(data.to_vec())
        .unwrap()
        .trim_end()
        .to_owned()
}

#[tokio::test]
async fn events_of_one_run_are_told_alone() {
    let world = World::with_a_run().await;
    world.import(1).await;
    let run = world.get("/api/v1/runs/latest").await;
    let path = "/api/v1/events?from=0&run=latest";
    let mut body = world.router().oneshot(get(path)).await.unwrap().into_body();
    next(&mut body).await;
    for number in 8..16 {
        let message = next(&mut body).await;
        assert_eq!(seq(&message), Some(number));
        assert!(message.contains(run["id"].as_str().unwrap()), "{message}");
    }
}

#[tokio::test]
async fn a_place_that_is_not_in_the_record_is_refused() {
    let world = World::with_a_run().await;
    for (id, code) in [
        ("8", "ahead"),
        ("x", "bad-event-id"),
        ("-1", "bad-event-id"),
    ] {
        let asked = request("GET", "/api/v1/events", &[("last-event-id", id)]);
        let answer = ask(&world.router(), asked).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{id}");
        assert_eq!(answer.json()["code"], code);
    }
    assert_eq!(
        world.refused("/api/v1/events?from=9").await,
        (400, "ahead".to_owned())
    );
}

#[tokio::test]
async fn streams_end_when_the_process_stops() {
    let world = World::with_a_run().await;
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let address = listen(world.builder().stopping(stopping).build()).await;
    let mut stream = Stream::open(address, "/api/v1/events", None).await;
    stream.message().await.unwrap();
    stop.send(true).unwrap();
    assert_eq!(stream.message().await, None);
}

#[tokio::test]
async fn a_store_that_fails_ends_the_stream_with_its_error() {
    let world = World::with_a_run().await;
    let path = "/api/v1/events?from=0";
    let mut body = world.router().oneshot(get(path)).await.unwrap().into_body();
    next(&mut body).await;
    world.engine.store().close().await.unwrap();
    let failed = next(&mut body).await;
    assert_eq!(field(&failed, "event"), Some("failed"));
    assert!(failed.contains("\"code\":\"stopped\""), "{failed}");
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn something_is_sent_where_nothing_happens() {
    let world = World::with_a_run().await;
    let mut body = world
        .router()
        .oneshot(get("/api/v1/events"))
        .await
        .unwrap()
        .into_body();
    next(&mut body).await;
    let began = tokio::time::Instant::now();
    assert_eq!(next(&mut body).await, ":");
    assert!(began.elapsed() >= Duration::from_secs(15));
}

#[tokio::test]
async fn only_so_many_may_follow() {
    let world = World::with_a_run().await;
    let router = world.router();
    let mut streams = Vec::new();
    for _ in 0..256 {
        let response = router.clone().oneshot(get("/api/v1/events")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        streams.push(response.into_body());
    }
    let answer = ask(&router, get("/api/v1/events")).await;
    assert_eq!(answer.json()["code"], "too-many-followers");
    streams.pop();
    let response = router.clone().oneshot(get("/api/v1/events")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}
