//! What repair costs a request of 200 messages, beside reading the same request.
//!
//! ```sh
//! cargo bench -p rescind-context --bench repair
//! ```
//!
//! The histories are invented: questions, calls with results, answers, of about 1 KB a message and
//! of about 300 bytes. *Quick look* is what every request pays while anything at all is rescinded;
//! *repair* is paid on top by requests in whose history something rescinded stands. Times are
//! those of the fastest call of many.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark measures time and prints it"
)]

use std::hint::black_box;
use std::time::Instant;

use context::{Audience, Called, Mark, Marks, Trace, repair};
use model::DecisionId;
use serde_json::{Value, json};
use wire::llm::{Api, Layout, read_request};

const MESSAGES: usize = 200;

const SYLLABLES: [&str; 20] = [
    "or", "der", "cus", "tom", "er", "re", "fund", "the", "to", "is", "be", "cau", "se", "ket",
    "tle", "a", "in", "ing", "ly", "pol",
];

fn main() {
    for api in Api::ALL {
        for bytes in [300, 1_100] {
            let body = history(api, bytes);
            let read = best(500, || {
                black_box(read_request(api, black_box(&body)).unwrap());
            });
            println!(
                "{api}: {MESSAGES} messages, {} bytes: read in {:.0} µs",
                body.len(),
                read * 1e6
            );
            for count in [1, 32, 512] {
                measure(api, &body, count, bytes, read);
            }
        }
    }
}

fn measure(api: Api, body: &[u8], count: usize, bytes: usize, read: f64) {
    let strangers: Vec<Mark> = (0..count).map(|n| mark(1_000_000 + n, bytes)).collect();
    let strangers = Marks::new(Audience::SameRun, &strangers);
    let known: Vec<Mark> = (0..count)
        .map(|n| mark(n * 4 % MESSAGES + 3, bytes))
        .collect();
    let made = Instant::now();
    let known = Marks::new(Audience::SameRun, &known);
    let made = made.elapsed().as_secs_f64();
    let layout = Layout::read(api, body).unwrap();
    let clean = best(500, || {
        assert!(repair(black_box(&layout), &[&strangers]).is_none());
    });
    let done = repair(&layout, &[&known]).unwrap();
    let repaired = best(500, || {
        black_box(repair(black_box(&layout), &[&known]).unwrap());
    });
    println!(
        "  {count} rescinded: nothing of it here {:.0} µs ({:.2} x reading), repair of {} places \
         {:.0} µs ({:.2} x reading); made ready in {:.1} ms",
        clean * 1e6,
        clean / read,
        done.replaced.len(),
        repaired * 1e6,
        repaired / read,
        made * 1e3,
    );
}

/// Seconds that the fastest of some calls takes: what the code can do when nobody disturbs it.
fn best(times: usize, mut call: impl FnMut()) -> f64 {
    (0..times)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

fn mark(n: usize, bytes: usize) -> Mark {
    Mark {
        decision: DecisionId::new(n as u64, [0; 10]),
        agent: "ada".to_owned(),
        reason: "the policy was misread".to_owned(),
        trace: Trace::Output {
            text: text(n, bytes),
            calls: vec![Called {
                id: Some(format!("call_Yk3f9QeTzP0w_{n}")),
                name: "look".to_owned(),
                arguments: json!({ "n": n }).to_string(),
            }],
            told: Vec::new(),
        },
    }
}

/// Text of words that are like those of others and yet its own.
fn text(n: usize, bytes: usize) -> String {
    let mut out = format!("Case {n}:");
    let mut state = n as u64 * 0x9e37_79b9 + 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize
    };
    while out.len() < bytes {
        out.push(' ');
        // Short words are met often, long ones seldom.
        for _ in 0..1 + next() % 4 {
            out.push_str(SYLLABLES[next() % SYLLABLES.len()]);
        }
        if next() % 12 == 0 {
            out.push_str(".\n");
        }
    }
    out
}

fn history(api: Api, bytes: usize) -> Vec<u8> {
    let mut items: Vec<Value> = Vec::new();
    for n in 0..MESSAGES {
        let text = text(n, bytes);
        let (id, before) = (
            format!("call_Yk3f9QeTzP0w_{n}"),
            format!("call_Yk3f9QeTzP0w_{}", n.saturating_sub(1)),
        );
        let arguments = json!({ "n": n });
        let item = match (api, n % 4) {
            (Api::Responses, 1) => json!({ "type": "function_call", "call_id": id, "name": "look",
                "arguments": arguments.to_string() }),
            (Api::Responses, 2) => {
                json!({ "type": "function_call_output", "call_id": before, "output": text })
            }
            (Api::Chat, 1) => json!({ "role": "assistant", "content": text, "tool_calls": [
                { "id": id, "type": "function",
                  "function": { "name": "look", "arguments": arguments.to_string() } }] }),
            (Api::Chat, 2) => json!({ "role": "tool", "tool_call_id": before, "content": text }),
            (Api::Messages, 1) => json!({ "role": "assistant", "content": [
                { "type": "text", "text": text },
                { "type": "tool_use", "id": id, "name": "look", "input": arguments }] }),
            (Api::Messages, 2) => json!({ "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": before, "content": text }] }),
            (_, 3) => json!({ "role": "assistant", "content": text }),
            _ => json!({ "role": "user", "content": text }),
        };
        items.push(item);
    }
    let key = match api {
        Api::Chat | Api::Messages => "messages",
        Api::Responses => "input",
    };
    json!({ "model": "m", key: items }).to_string().into_bytes()
}
