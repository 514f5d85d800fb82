//! Failures: texts of providers, proxies and transports, and the class of each.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use model::{FailureClass, Timestamp};
use serde_json::Value;
use wire::failure::{Action, Class, Failure, classify, retry_after};

use crate::real_runs::files;

/// Texts from public sources with our judgement: provider, status, type, code, class, source, text.
/// A row is written down before the tables that class it are touched.
const TEXTS: &str = include_str!("failures.tsv");

/// Providers whose five kinds of failure must be told apart everywhere.
const PROVIDERS: [&str; 5] = ["openai", "anthropic", "bedrock", "gemini", "azure"];

fn field(text: &str) -> Option<&str> {
    (text != "-").then_some(text)
}

/// Each row of the table: provider, its class by our judgement, and what it is classed as.
fn rows() -> Vec<(&'static str, &'static str, Class, &'static str)> {
    let rows = TEXTS.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| {
        let [provider, status, kind, code, class, _source, text] =
            line.splitn(7, '\t').collect::<Vec<_>>()[..]
        else {
            panic!("a row has seven columns: {line}");
        };
        let failure = Failure {
            provider: field(provider),
            status: field(status).map(|status| status.parse().unwrap()),
            kind: field(kind),
            code: field(code),
            text,
        };
        (provider, class, classify(&failure), line)
    })
    .collect()
}

#[test]
fn c51_texts_of_many_providers_are_classed() {
    let rows = rows();
    let wrong: Vec<String> = rows
        .iter()
        .filter(|(_, class, is, _)| is.class.name() != *class)
        .map(|(_, _, is, line)| format!("{} for {line}", is.class.name()))
        .collect();
    assert!(rows.len() >= 150);
    assert!(
        wrong.is_empty(),
        "{} of {} are wrong:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

/// Words of the data set for a class, in ours.
fn ours(class: &str) -> &str {
    match class {
        "invalid_request" => "invalid",
        "network" => "unavailable",
        "permission" => "denied",
        "overloaded" => "overload",
        "auth" => "authentication",
        "server_error" => "server",
        "request_too_large" => "too-large",
        other => other,
    }
}

#[test]
fn c51_errors_collected_from_real_providers_are_classed() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in files("provider-errors", "errors.jsonl") {
        for line in fs::read_to_string(path).unwrap().lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| row[name].as_str();
            let is = classify(&Failure {
                provider: text("provider"),
                status: row["http"]
                    .as_u64()
                    .map(|status| status.try_into().unwrap()),
                kind: None,
                code: text("code"),
                text: text("text").unwrap(),
            });
            count += 1;
            let class = ours(text("class").unwrap()).replace('_', "-");
            let action = text("action").unwrap().replace('_', "-");
            if (is.class.name(), is.action.name()) != (&class, &action) {
                wrong.push(format!(
                    "{} {} for {line}",
                    is.class.name(),
                    is.action.name()
                ));
            }
        }
    }
    assert!(count > 0 || crate::real_runs::data().is_none());
    assert!(
        wrong.is_empty(),
        "{} of {count} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn c153_overflow_history_throttling_credentials_and_outage_are_told_apart_at_five_providers() {
    let kinds: [&[&str]; 5] = [
        &["context-overflow"],
        &["malformed-tool-history"],
        &["rate-limit"],
        &["authentication"],
        &["overload", "server", "timeout"],
    ];
    for provider in PROVIDERS {
        let found: BTreeSet<_> = rows()
            .into_iter()
            .filter(|(by, class, is, _)| *by == provider && is.class.name() == *class)
            .map(|(_, class, ..)| class)
            .collect();
        for kind in kinds {
            assert!(
                kind.iter().any(|class| found.contains(class)),
                "{provider}: {kind:?}"
            );
        }
    }
}

fn class(status: Option<u16>, text: &str) -> Class {
    classify(&Failure {
        status,
        text,
        ..Failure::default()
    })
}

#[test]
fn numbers_and_parts_of_words_are_no_evidence() {
    for (status, text, is) in [
        (Some(401), "HTTP 401 for request 150234", "authentication"),
        (None, "HTTP 401 for request 150234", "authentication"),
        (None, "arn 503111", "error"),
        (None, "order 429 was shipped in 503 days", "error"),
        (Some(500), "could not generate a separate answer", "server"),
        (None, "we moderate corporate narratives", "error"),
        (
            Some(500),
            "internal error computing maximum context length",
            "server",
        ),
        (Some(429), "Too many tokens, please wait", "rate-limit"),
        (Some(400), "timeout must be a positive number", "invalid"),
    ] {
        assert_eq!(class(status, text).class.name(), is, "{text}");
    }
}

#[test]
fn the_text_says_how_long_to_wait() {
    let waits = |text| {
        class(Some(429), text)
            .retry_after
            .map(|wait| wait.as_millis())
    };
    for (text, millis) in [
        ("Please try again in 18.642s. Visit https://x", Some(18_642)),
        ("Please try again in 9m38.016s.", Some(578_016)),
        ("Please try again in 6ms.", Some(6)),
        ("Please retry in 59.95s.", Some(59_950)),
        ("Please retry after 7 seconds. Please go here", Some(7_000)),
        ("please try again after 1 seconds", Some(1_000)),
        ("Try again in 60 seconds. Passed model=x", Some(60_000)),
        ("Your rate limit resets in ~30s.", Some(30_000)),
        ("quota will reset after 7h12m4s.", Some(25_924_000)),
        ("try again in 2 minutes 3 seconds", Some(123_000)),
        ("{\"retryDelay\": \"41s\"}", Some(41_000)),
        ("Please wait 20 seconds and try again", Some(20_000)),
        ("please wait before trying again", None),
        ("try again in 99999999 days", None),
        ("retry after 1e400s", None),
        ("try again later. 30 seconds is our limit", None),
    ] {
        assert_eq!(waits(text), millis, "{text}");
    }
    assert_eq!(class(Some(429), "try again in 3s").action, Action::WaitHint);
    assert_eq!(class(Some(429), "try again").action, Action::Wait);
}

/// 2026-01-01T00:00:00Z.
const NOW: Timestamp = Timestamp(1_767_225_600_000_000);

fn waits(headers: &[(&str, &'static str)]) -> Option<Duration> {
    let find = |name: &str| {
        let header = headers.iter().find(|(known, _)| *known == name);
        header.map(|(_, value)| *value)
    };
    retry_after(find, NOW)
}

#[test]
fn headers_say_how_long_to_wait() {
    let millis = |headers: &[(&str, &'static str)]| waits(headers).map(|wait| wait.as_millis());
    for (name, value, wait) in [
        ("retry-after", "20", Some(20_000)),
        ("retry-after", " 1.5 ", Some(1_500)),
        ("retry-after", "0", Some(0)),
        ("retry-after", "Thu, 01 Jan 2026 00:01:00 GMT", Some(60_000)),
        (
            "retry-after",
            "Thursday, 01-Jan-26 00:00:10 GMT",
            Some(10_000),
        ),
        ("retry-after", "Thu Jan  1 00:00:05 2026", Some(5_000)),
        ("retry-after", "Wed, 31 Dec 2025 23:59:00 GMT", Some(0)),
        ("retry-after", "soon", None),
        ("retry-after", "-3", None),
        ("retry-after", "NaN", None),
        (
            "retry-after",
            "99999999999999999999999999",
            Some(604_800_000),
        ),
        ("retry-after-ms", "250.5", Some(250)),
        ("x-ratelimit-reset", "30", Some(30_000)),
        ("x-ratelimit-reset", "1767225700", Some(100_000)),
        ("x-ratelimit-reset", "1767225601500", Some(1_500)),
        ("x-ratelimit-reset-tokens", "6m0s", Some(360_000)),
        ("x-ratelimit-reset-requests", "120ms", Some(120)),
        (
            "anthropic-ratelimit-tokens-reset",
            "2026-01-01T00:00:42Z",
            Some(42_000),
        ),
        (
            "anthropic-ratelimit-tokens-reset",
            "2026-01-01T00:00:42",
            None,
        ),
        ("date", "20", None),
    ] {
        assert_eq!(millis(&[(name, value)]), wait, "{name}: {value}");
    }
    // What is told to whoever was refused goes before what is told to everybody.
    assert_eq!(
        millis(&[
            ("x-ratelimit-reset-tokens", "9s"),
            ("retry-after", "2"),
            ("retry-after-ms", "1900")
        ]),
        Some(1_900)
    );
    // Requests are used up, tokens are not.
    assert_eq!(
        millis(&[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "3s"),
            ("x-ratelimit-remaining-tokens", "500"),
            ("x-ratelimit-reset-tokens", "50s"),
        ]),
        Some(3_000)
    );
}

#[test]
fn calling_again_resting_and_blame_are_decided_apart() {
    let decided = |status, text| {
        let class = class(Some(status), text);
        (
            class.should_retry(Some(status), None),
            class.should_cool_down(),
            class.is_caller_mistake(),
        )
    };
    assert_eq!(
        decided(429, "Rate limit reached, try again in 2s"),
        (true, true, false)
    );
    assert_eq!(
        decided(429, "You exceeded your current quota"),
        (false, true, false)
    );
    assert_eq!(
        decided(400, "prompt is too long: 3 tokens > 2 maximum"),
        (false, false, true)
    );
    assert_eq!(decided(401, "invalid x-api-key"), (false, false, true));
    assert_eq!(
        decided(400, "Failed to call a function."),
        (true, false, false)
    );
    assert_eq!(decided(503, "no healthy upstream"), (true, true, false));

    let busy = class(Some(503), "busy");
    assert!(busy.should_retry(Some(503), Some("true")));
    assert!(!busy.should_retry(Some(503), Some(" False ")));
    let refused = class(Some(400), "unsupported value");
    assert!(!refused.should_retry(Some(400), Some("true")));
    let unknown = class(None, "what is this");
    assert_eq!(unknown.class, FailureClass::Error);
    assert!(!unknown.should_retry(None, None));
    assert!(unknown.should_retry(None, Some("true")));
}

proptest::proptest! {
    #[test]
    fn any_text_is_classed(text in ".{0,100}", status: Option<u16>, code in proptest::option::of("[ -~]{0,20}")) {
        let failure = Failure { status, code: code.as_deref(), text: &text, ..Failure::default() };
        let is = classify(&failure);
        proptest::prop_assert_eq!(is, classify(&failure));
    }
}
