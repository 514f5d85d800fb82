//! Models that rest after failing again and again.

use std::sync::Arc;
use std::time::Duration;

use engine::live::{self, BreakerOptions, GuardOptions, Mode};
use gateway::Retry;
use store::MemoryStore;

use crate::support::{ANSWER, Act, CHAT, Desk, NOW, Stub, json, options, plain};

const SECOND: u64 = 1_000_000;

fn down() -> Vec<Act> {
    plain(
        503,
        &["content-type: application/json"],
        r#"{"error":{"message":"down"}}"#,
    )
}

async fn desk(stubs: &[&Stub], mode: Mode) -> Desk {
    let upstreams = BreakerOptions {
        failures_max: 2,
        open_for: Duration::from_secs(10),
        ..BreakerOptions::default()
    };
    let recording = live::Options {
        mode,
        guard: GuardOptions {
            upstreams,
            ..GuardOptions::default()
        },
        ..live::Options::default()
    };
    let mut options = options(stubs);
    if stubs.len() == 1 {
        options.retry = Retry {
            attempts_max: 1,
            ..options.retry
        };
    }
    Desk::over(Arc::new(MemoryStore::default()), None, recording, options).await
}

/// What was recorded of breakers.
async fn verdicts(desk: &Desk, calls: usize) -> Vec<String> {
    let found = desk.decisions(calls).await;
    let found = found.into_iter().filter(|view| view.node.kind == "verdict");
    found
        .map(|view| {
            format!(
                "{}: {}",
                view.node.name.unwrap(),
                view.policy.unwrap().verdict
            )
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn c108_a_model_that_fails_is_passed_over_until_it_is_back() {
    for mode in [Mode::Observe, Mode::Enforce] {
        let one = Stub::start(vec![down(), down(), down(), json(ANSWER)]).await;
        let other = Stub::start(vec![json(ANSWER)]).await;
        let desk = desk(&[&one, &other], mode).await;
        for _ in 0..4 {
            assert_eq!(desk.chat().await.status, 200);
        }
        assert_eq!(
            (one.count(), other.count()),
            (2, 4),
            "it rests after the second"
        );
        // Its health is its own: another model of the same upstream is asked there.
        let another = CHAT.replace("m-1", "m-2");
        desk.send("/openai/v1/chat/completions", another, &[]).await;
        assert_eq!(one.count(), 3);
        desk.clock.set(NOW + 10 * SECOND);
        assert_eq!(desk.chat().await.text(), ANSWER);
        desk.chat().await;
        assert_eq!((one.count(), other.count()), (5, 5), "it is back");
        let target = format!("upstream:{}/m-1", one.address);
        let expected = ["deny", "degrade", "allow"].map(|word| format!("{target}: {word}"));
        assert_eq!(verdicts(&desk, 7 + 3).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn c22_where_every_upstream_rests_the_caller_is_told_when_to_come_again() {
    let stub = Stub::start(vec![down()]).await;
    let desk = desk(&[&stub], Mode::Enforce).await;
    for _ in 0..2 {
        assert_eq!(desk.chat().await.status, 503);
    }
    desk.clock.set(NOW + 3 * SECOND);
    let got = desk.chat().await;
    assert_eq!((got.status.as_u16(), stub.count()), (503, 2));
    assert_eq!(got.header("retry-after"), Some("7"));
    assert_eq!(got.json()["error"]["code"], "upstream_resting");
    assert!(got.header("x-rescind-decision").is_some());
    let got = desk.send("/anthropic/v1/messages", CHAT, &[]).await;
    assert_eq!(got.json()["type"], "error", "each wire in its own form");
    let outcomes: Vec<String> = desk
        .decisions(4 + 1)
        .await
        .into_iter()
        .filter(|view| view.node.kind == "inference")
        .map(|view| view.outcome)
        .collect();
    assert_eq!(
        outcomes[2..],
        ["failed: unavailable", "failed: unavailable"]
    );
}

#[tokio::test(start_paused = true)]
async fn observing_asks_what_rests_where_nothing_else_is_there() {
    let stub = Stub::start(vec![down()]).await;
    let desk = desk(&[&stub], Mode::Observe).await;
    for _ in 0..4 {
        assert_eq!(desk.chat().await.json()["error"]["message"], "down");
    }
    assert_eq!(stub.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn c26_what_is_wrong_with_the_call_makes_no_model_rest() {
    let wrong = plain(
        400,
        &[],
        r#"{"error":{"message":"No","type":"invalid_request_error"}}"#,
    );
    let stub = Stub::start(vec![wrong]).await;
    let desk = desk(&[&stub], Mode::Enforce).await;
    for _ in 0..4 {
        assert_eq!(desk.chat().await.status, 400);
    }
    assert_eq!(stub.count(), 4);
}
