//! Speed of what runs on every body and on every failure.
//!
//! `cargo bench -p rescind-wire --bench text` prints it. Redaction is measured on a made-up history of 222 KB
//! without secrets, the size of a long agent session, and on the same with one in every message.
//! The time of a `memchr`-like pass over the same bytes stands beside, as the floor.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark prints, measures time, and may stop"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use wire::failure::{Failure, classify};
use wire::redact::Redactor;

fn main() {
    // `cargo test` runs benchmarks too, with `--test`: compiling them is enough there.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    redaction();
    classes();
}

/// The best of several rounds: noise only adds.
fn best(rounds: u32, mut work: impl FnMut()) -> Duration {
    (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .min()
        .unwrap()
}

/// A request of 200 messages; `extra` is put into each.
fn history(extra: &str) -> String {
    let messages: Vec<_> = (0..200)
        .map(|i| {
            let text = format!(
                "Order #W{i}378156 was placed by user_{i}; the key question is whether the \
                 password policy, a token limit of {i}96 and the task-list allow a refund. See \
                 https://shop.example.test/orders/{i}?page=2 for what was said before. {extra}"
            );
            serde_json::json!({"role": "user", "content": text.repeat(6)})
        })
        .collect();
    let mut text = serde_json::json!({"model": "m", "messages": messages}).to_string();
    text.truncate(222 << 10);
    text
}

fn redaction() {
    let plain = Redactor::new(&[]).unwrap();
    let own = Redactor::new(&[r"ACME-\d{8}".to_owned(), r"badge (\w{12})".to_owned()]).unwrap();
    let clean = history("");
    let secret = history(concat!("password: hunter", "2x"));
    println!("redaction of {} KB", clean.len() >> 10);
    for (name, redactor, text) in [
        ("no secrets", &plain, &clean),
        ("no secrets, two own patterns", &own, &clean),
        ("a secret in every message", &plain, &secret),
    ] {
        let time = best(200, || {
            black_box(redactor.redact(black_box(text)));
        });
        let (_, count) = redactor.redact(text);
        let rate = text.len() as f64 / time.as_secs_f64() / 1e6;
        println!("  {name}: {time:.1?}, {rate:.0} MB/s, {count} found");
    }
    let time = best(200, || {
        black_box(clean.bytes().filter(|b| *b == 0).count());
    });
    println!("  floor, one look at each byte: {time:.1?}");
}

fn classes() {
    println!("classing a failure");
    for (name, status, code, text) in [
        (
            "by code",
            Some(429),
            Some("rate_limit_exceeded"),
            "Rate limit reached for gpt-4o",
        ),
        (
            "by text",
            Some(400),
            None,
            "prompt is too long: 213462 tokens > 200000 maximum",
        ),
        (
            "by nothing",
            None,
            None,
            "a long tale of which no rule knows a word ",
        ),
    ] {
        for (size, repeat) in [("", 1), (", 16 KB", 400)] {
            let text = text.repeat(repeat);
            let failure = Failure {
                status,
                code,
                text: &text,
                ..Failure::default()
            };
            let time = best(50, || {
                black_box(classify(black_box(&failure)));
            });
            println!("  {name}{size}: {time:.1?}");
        }
    }
}
