//! How fast requests and streams are read, beside what a parser needs to look over the same bytes.
//! Everything is in memory.
//!
//! ```sh
//! cargo bench -p rescind-wire --bench wire
//! ```
//!
//! The history is a conversation of 222 KB with calls and results, invented, as each wire writes
//! it. The stream has 100 chunks of text. Times are those of the fastest
//! call of many.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark measures time and prints it"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use serde_json::json;
use serde_json::value::RawValue;
use wire::llm::{Api, Stream, read_request};
use wire::sse::Splitter;

const HISTORY_BYTES: usize = 222_000;
const CHUNKS: usize = 100;
const LINE_BYTES: usize = 8 << 20;

fn main() {
    for api in Api::ALL {
        let body = history(api);
        let text = std::str::from_utf8(&body).unwrap();
        let looked = best(2000, || {
            black_box(serde_json::from_str::<&RawValue>(black_box(text)).unwrap());
        });
        let read = best(2000, || {
            black_box(read_request(api, black_box(&body)).unwrap());
        });
        let items = read_request(api, &body).unwrap().items.len();
        println!(
            "{api}: request of {} bytes, {items} items: {:.0} µs, {:.0} MB/s, {:.1} x a look over it",
            body.len(),
            read * 1e6,
            body.len() as f64 / read / 1e6,
            read / looked,
        );
        let text = stream(api);
        let whole = best(2000, || {
            black_box(play(api, black_box(&text), text.len()));
        });
        let single = best(2000, || {
            black_box(play(api, black_box(&text), 200));
        });
        println!(
            "{api}: stream of {CHUNKS} chunks, {} bytes: {:.0} µs in one piece, {:.0} µs in pieces of 200 bytes, {:.0} MB/s",
            text.len(),
            whole * 1e6,
            single * 1e6,
            text.len() as f64 / single / 1e6,
        );
    }
    let long = format!("data: {}\n\n", "x".repeat(LINE_BYTES));
    let long = long.as_bytes();
    let split = best(20, || {
        let mut splitter = Splitter::new(LINE_BYTES + 6);
        for chunk in long.chunks(16 << 10) {
            black_box(splitter.push(chunk).unwrap());
        }
    });
    println!(
        "a line of {LINE_BYTES} bytes in chunks of 16 KiB: {:.1} ms, {:.0} MB/s",
        split * 1e3,
        long.len() as f64 / split / 1e6
    );
}

/// Seconds that the fastest of some calls takes: what the code can do when nobody disturbs it.
fn best(calls: u32, mut work: impl FnMut()) -> f64 {
    let call = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..calls).map(call).fold(f64::INFINITY, f64::min)
}

fn play(api: Api, text: &str, chunk_bytes: usize) -> wire::llm::Answer {
    let mut splitter = Splitter::new(1 << 20);
    let mut stream = Stream::new(api);
    for chunk in text.as_bytes().chunks(chunk_bytes) {
        for block in splitter.push(chunk).unwrap() {
            black_box(stream.push(&block));
        }
    }
    assert!(stream.is_complete());
    stream.end()
}

/// A conversation of turns: a question, a call, its result in JSON, an answer.
fn history(api: Api) -> Vec<u8> {
    let mut items = Vec::new();
    let mut turn = 0;
    while serde_json::to_vec(&items).unwrap().len() < HISTORY_BYTES {
        turn += 1;
        let id = format!("call_{turn}");
        let question = format!("Where is order #W{turn}? The customer says:\n\"It never came.\"");
        let arguments = json!({"order_id": format!("#W{turn}"), "fields": ["status", "items"]});
        let mut result = String::from("[");
        for item in 0..12 {
            let _ = write!(
                result,
                "{{\"id\": \"{turn}-{item}\", \"status\": \"delivered\", \"price\": 12.5}}, "
            );
        }
        result.push_str("{}]");
        let answer = "It was delivered on Monday, and here is what it held. ".repeat(6);
        let written = arguments.to_string();
        let more = match api {
            Api::Chat => vec![
                json!({"role": "user", "content": question}),
                json!({"role": "assistant", "content": null, "tool_calls": [
                    {"id": id, "type": "function", "function": {"name": "find", "arguments": written}}]}),
                json!({"role": "tool", "tool_call_id": id, "content": result}),
                json!({"role": "assistant", "content": answer}),
            ],
            Api::Responses => vec![
                json!({"role": "user", "content": [{"type": "input_text", "text": question}]}),
                json!({"type": "function_call", "call_id": id, "name": "find", "arguments": written}),
                json!({"type": "function_call_output", "call_id": id, "output": result}),
                json!({"type": "message", "role": "assistant", "content": [
                    {"type": "output_text", "text": answer}]}),
            ],
            Api::Messages => vec![
                json!({"role": "user", "content": [{"type": "text", "text": question}]}),
                json!({"role": "assistant", "content": [
                    {"type": "tool_use", "id": id, "name": "find", "input": arguments}]}),
                json!({"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": id, "content": result}]}),
                json!({"role": "assistant", "content": [{"type": "text", "text": answer}]}),
            ],
        };
        items.extend(more);
    }
    let key = if api == Api::Responses {
        "input"
    } else {
        "messages"
    };
    serde_json::to_vec(&json!({"model": "m", "temperature": 0, key: items})).unwrap()
}

/// A stream of text, as each wire writes it.
fn stream(api: Api) -> String {
    let words = "ten words or so that the model says at once";
    let mut lines = Vec::new();
    match api {
        Api::Chat => {
            for _ in 0..CHUNKS {
                lines.push(json!({"id": "chatcmpl-Bx1", "object": "chat.completion.chunk", "created": 1_750_000_000,
                    "model": "m", "system_fingerprint": "fp", "choices": [
                        {"index": 0, "delta": {"content": words}, "logprobs": null, "finish_reason": null}]}));
            }
            lines.push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}));
        }
        Api::Responses => {
            for number in 0..CHUNKS {
                lines.push(json!({"type": "response.output_text.delta", "sequence_number": number,
                    "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": words, "logprobs": []}));
            }
            lines.push(json!({"type": "response.completed", "response": {"status": "completed", "output": [
                {"type": "message", "content": [{"type": "output_text", "text": words.repeat(CHUNKS)}]}]}}));
        }
        Api::Messages => {
            lines.push(json!({"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 1}}}));
            lines.push(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}));
            for _ in 0..CHUNKS {
                lines.push(json!({"type": "content_block_delta", "index": 0,
                    "delta": {"type": "text_delta", "text": words}}));
            }
            lines.push(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}));
            lines.push(json!({"type": "message_stop"}));
        }
    }
    let mut text = String::new();
    for line in lines {
        match line["type"].as_str() {
            Some(kind) => text += &format!("event: {kind}\ndata: {line}\n\n"),
            None => text += &format!("data: {line}\n\n"),
        }
    }
    if api == Api::Chat {
        text += "data: [DONE]\n\n";
    }
    text
}
