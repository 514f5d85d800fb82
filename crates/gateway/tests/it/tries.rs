//! Tries: how often, after what wait, and where.

use std::time::Duration;

use gateway::Retry;
use tokio::time::Instant;

use crate::support::{
    ANSWER, Act, CHAT, Desk, Got, Stub, chunk, end, json, options, plain, stream, streamed, words,
};

const SLOW_DOWN: &str =
    r#"{"error":{"message":"Rate limit reached","type":"rate_limit_error","code":null}}"#;

fn slow_down(retry_after: &str) -> Vec<Act> {
    let retry_after = format!("retry-after: {retry_after}");
    plain(
        429,
        &["content-type: application/json", &retry_after],
        SLOW_DOWN,
    )
}

#[tokio::test(start_paused = true)]
async fn c100_c156_retry_after_is_obeyed_and_the_same_is_sent_again() {
    let (desk, stub) = Desk::open(vec![slow_down("7"), json(ANSWER)]).await;
    let begun = Instant::now();
    let got = desk.chat().await;
    assert_eq!((got.status.as_u16(), stub.count()), (200, 2));
    assert!(begun.elapsed() >= Duration::from_secs(7));
    assert!(begun.elapsed() < Duration::from_secs(8));
    let seen = stub.seen();
    assert_eq!(
        (&seen[0].line, &seen[0].body),
        (&seen[1].line, &seen[1].body)
    );
    assert_eq!(desk.outcome().await, "succeeded");
}

#[tokio::test(start_paused = true)]
async fn c100_a_longer_wait_than_is_allowed_is_passed_on() {
    let (desk, stub) = Desk::open(vec![slow_down("3600")]).await;
    let got = desk.chat().await;
    assert_eq!((got.status.as_u16(), stub.count()), (429, 1));
    assert_eq!(got.header("retry-after"), Some("3600"));
    assert_eq!(got.header("x-should-retry"), Some("false"));
    assert_eq!(got.text(), SLOW_DOWN);
    assert_eq!(desk.outcome().await, "failed: rate-limit");
}

#[tokio::test(start_paused = true)]
async fn tries_are_bounded_and_clients_are_told_not_to_add_their_own() {
    for (status, body, outcome) in [
        (429, SLOW_DOWN, "failed: rate-limit"),
        (503, "down", "failed: overload"),
        (
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            "failed: overload",
        ),
        (
            500,
            r#"{"error":{"message":"The server had an error","type":"server_error"}}"#,
            "failed: server",
        ),
    ] {
        let (desk, stub) = Desk::open(vec![plain(status, &[], body)]).await;
        let got = desk.chat().await;
        assert_eq!(got.status, status);
        assert_eq!(got.text(), body);
        assert_eq!(got.header("x-should-retry"), Some("false"), "{status}");
        assert_eq!(stub.count(), 3, "{status}");
        assert_eq!(desk.outcome().await, outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn c99_c154_what_cannot_help_is_tried_once() {
    for (status, kind, outcome) in [
        (400, "invalid_request_error", "failed: invalid"),
        (401, "authentication_error", "failed: authentication"),
        (403, "permission_error", "failed: denied"),
        (404, "not_found_error", "failed: not-found"),
    ] {
        let body = format!(r#"{{"error":{{"message":"No","type":"{kind}"}}}}"#);
        let (desk, stub) = Desk::open(vec![plain(status, &[], &body)]).await;
        let got = desk.chat().await;
        assert_eq!((got.status.as_u16(), got.text()), (status, &*body));
        assert_eq!(stub.count(), 1);
        assert_eq!(
            got.header("x-should-retry"),
            None,
            "the answer is as it was"
        );
        assert_eq!(desk.outcome().await, outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_says_not_to_try_again_is_believed() {
    let (desk, stub) = Desk::open(vec![plain(503, &["x-should-retry: false"], "down")]).await;
    assert_eq!(desk.chat().await.status, 503);
    assert_eq!(stub.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn c101_all_calls_share_one_budget_of_retries() {
    let stub = Stub::start(vec![plain(503, &[], "down")]).await;
    let desk = Desk::with(options(&[&stub])).await;
    for _ in 0..30 {
        desk.chat().await;
    }
    // Thirty calls, a reserve of ten retries, and a fifth of a retry earned by each.
    assert_eq!(stub.count(), 30 + 10 + 6);
}

#[tokio::test(start_paused = true)]
async fn c98_a_call_ends_within_its_total_time_with_all_its_tries() {
    let stub = Stub::start(vec![plain(503, &[], "down")]).await;
    let mut options = options(&[&stub]);
    options.retry = Retry {
        attempts_max: 100,
        initial_interval: Duration::from_secs(10),
        maximum_interval: Duration::from_secs(10),
        ..options.retry
    };
    options.timeouts.total = Duration::from_secs(30);
    let desk = Desk::with(options).await;
    let begun = Instant::now();
    assert_eq!(desk.chat().await.status, 503);
    assert!(begun.elapsed() <= Duration::from_secs(30));
    assert!((3..=6).contains(&stub.count()));
}

async fn both(first: Vec<Act>, streams: bool) -> (Got, Desk, Stub, Stub) {
    let one = Stub::start(vec![first]).await;
    let answer = if streams {
        streamed(&words(&["Here."]))
    } else {
        json(ANSWER)
    };
    let other = Stub::start(vec![answer]).await;
    let desk = Desk::with(options(&[&one, &other])).await;
    let got = if streams {
        desk.chat_stream().await
    } else {
        desk.chat().await
    };
    (got, desk, one, other)
}

#[tokio::test(start_paused = true)]
async fn another_upstream_takes_over_and_nobody_sees_it() {
    let role = chunk(&words(&[])[0]);
    for (name, first, streams) in [
        ("rate limit", slow_down("60"), false),
        (
            "quota",
            plain(
                429,
                &[],
                r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            ),
            false,
        ),
        ("down", plain(503, &[], "down"), true),
        ("closed", vec![Act::Close], false),
        (
            "cut before content",
            vec![stream(), role.clone(), Act::Close],
            true,
        ),
        (
            "ends before content",
            vec![stream(), role.clone(), end()],
            true,
        ),
        (
            "error before content",
            vec![
                stream(),
                role.clone(),
                chunk(
                    "event: error\ndata: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
                ),
                end(),
            ],
            true,
        ),
        (
            "silent before content",
            vec![stream(), role, Act::Stall],
            true,
        ),
        ("silent", vec![Act::Stall], true),
        (
            "error as a success",
            json(r#"{"error":{"message":"Overloaded","type":"overloaded_error"}}"#),
            false,
        ),
    ] {
        let begun = Instant::now();
        let (got, desk, one, other) = both(first, streams).await;
        assert_eq!(got.status, 200, "{name}");
        assert_eq!((one.count(), other.count()), (1, 1), "{name}");
        let expected = if streams {
            words(&["Here."]).concat()
        } else {
            ANSWER.to_owned()
        };
        assert_eq!(got.text(), expected, "{name}");
        assert_eq!(desk.outcome().await, "succeeded", "{name}");
        let silent = name.starts_with("silent");
        assert_eq!(
            begun.elapsed() >= Duration::from_secs(300),
            silent,
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_other_upstream_is_asked_for_what_the_caller_did_wrong_or_once_content_is_out() {
    let wrong = plain(
        400,
        &[],
        r#"{"error":{"message":"No","type":"invalid_request_error"}}"#,
    );
    let (got, _desk, _one, other) = both(wrong, false).await;
    assert_eq!((got.status.as_u16(), other.count()), (400, 0));
    let said = words(&["On "]);
    let cut = vec![stream(), chunk(&said[0]), chunk(&said[1]), end()];
    let (got, desk, _one, other) = both(cut, true).await;
    assert_eq!((got.status.as_u16(), other.count()), (200, 0));
    assert!(got.text().starts_with(&said[..2].concat()));
    assert!(
        got.text()
            .contains("event: error\ndata: {\"type\":\"error\"")
    );
    assert_eq!(desk.outcome().await, "failed: unavailable");
}

#[tokio::test(start_paused = true)]
async fn a_healthy_fallback_is_asked_however_often_the_first_is_down() {
    let one = Stub::start(vec![plain(503, &[], "down")]).await;
    let other = Stub::start(vec![json(ANSWER)]).await;
    let desk = Desk::with(options(&[&one, &other])).await;
    for _ in 0..40 {
        assert_eq!(desk.chat().await.status, 200);
    }
    assert_eq!(other.count(), 40);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_is_not_sent_twice_once_it_may_have_arrived() {
    let (desk, stub) = Desk::open(vec![vec![Act::Close]]).await;
    let got = desk.send("/openai/v1/fine_tuning/jobs", "{}", &[]).await;
    assert_eq!((got.status.as_u16(), stub.count()), (502, 1));
    assert_eq!(got.json()["error"]["code"], "upstream_unreachable");
    assert_eq!(desk.outcome().await, "failed: unavailable");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_says_how_long_it_waits_hears_of_a_timeout_before() {
    let (desk, stub) = Desk::open(vec![vec![Act::Stall]]).await;
    let begun = Instant::now();
    let headers = [("x-stainless-read-timeout", "60")];
    let got = desk
        .send("/openai/v1/chat/completions", CHAT, &headers)
        .await;
    assert_eq!((got.status.as_u16(), stub.count()), (504, 1));
    assert_eq!(got.json()["error"]["code"], "upstream_timeout");
    let message = got.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("the time that the caller waits"),
        "{message}"
    );
    assert_eq!(got.header("x-should-retry"), Some("false"));
    assert_eq!(begun.elapsed().as_secs(), 59);
    assert_eq!(desk.outcome().await, "failed: timeout");
}

#[tokio::test(start_paused = true)]
async fn a_plain_answer_may_take_longer_than_the_first_word_of_a_stream() {
    let mut slow = vec![Act::Pause(Duration::from_secs(600))];
    slow.extend(json(ANSWER));
    let (desk, _stub) = Desk::open(vec![slow]).await;
    assert_eq!(desk.chat().await.text(), ANSWER);
}

#[tokio::test]
async fn an_answer_that_leads_past_the_record_is_refused() {
    let location = "location: https://elsewhere.example/v1/chat/completions?key=sk-1";
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = plain(status, &[location], "");
        let (desk, stub) = Desk::open(vec![elsewhere.clone()]).await;
        for path in ["/openai/v1/chat/completions", "/openai/v1/fine_tuning/jobs"] {
            let got = desk.send(path, CHAT, &[]).await;
            assert_eq!(got.status, 502);
            assert_eq!(got.header("location"), None);
            assert_eq!(got.header("x-should-retry"), Some("false"));
            let error = &got.json()["error"];
            assert_eq!(error["code"], "upstream_redirects");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("`https://elsewhere.example/v1/chat/completions`"));
            assert!(!message.contains("sk-1"));
        }
        assert_eq!(stub.count(), 2, "it is not tried again");
        // Another upstream is.
        let one = Stub::start(vec![elsewhere]).await;
        let other = Stub::start(vec![json(ANSWER)]).await;
        let desk = Desk::with(options(&[&one, &other])).await;
        assert_eq!(desk.chat().await.text(), ANSWER);
    }
    let (desk, _stub) = Desk::open(vec![plain(304, &[], "")]).await;
    assert_eq!(desk.send("/openai/v1/files", "{}", &[]).await.status, 304);
}

#[tokio::test]
async fn a_call_that_its_client_tries_again_says_so_in_the_record() {
    let (desk, stub) = Desk::open(vec![json(ANSWER)]).await;
    let table = [("0", false), ("2", true), ("-1", false), ("x", false)];
    for (at, (said, kept)) in table.into_iter().enumerate() {
        let headers = [("x-stainless-retry-count", said)];
        let path = "/openai/v1/chat/completions";
        assert_eq!(desk.send(path, CHAT, &headers).await.status, 200);
        let seen = stub.seen().pop().unwrap();
        assert_eq!(seen.header("x-stainless-retry-count"), Some(said));
        let decision = desk.decisions(at + 1).await.remove(at);
        let environment = crate::support_mcp::content(&decision, "environment");
        assert_eq!(
            environment.contains(r#""client.retry":"2""#),
            kept,
            "{said}"
        );
    }
}
