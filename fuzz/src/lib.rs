//! What the fuzz targets check.
//!
//! Of an import: a file is refused, or read into runs that keep their promises. The first line of
//! the input, if it begins with `/`, is the pointer. Of the wires of models: a body is refused or
//! read; a stream loses no byte, reads the same however it is cut, and is complete only with the
//! moment that says so. Of a message of MCP or A2A: it is refused or read. Of an agent's card:
//! rewritten, it points to us, and rewriting it again changes nothing.
//!
//! `RUSTC_BOOTSTRAP=1 cargo build --manifest-path fuzz/Cargo.toml` shows that the targets build.
//! `cargo fuzz run import_atif`, on a nightly compiler, looks for inputs that break them.

use wire::a2a::{self, Event, TaskStream};
use wire::import::{Format, Options, read};
use wire::jsonrpc::{self, Message};
use wire::llm::{
    Answer, Api, Completeness, Moment, Stream, read_answer, read_error, read_request, snapshot,
};
use wire::mcp::{self, CallResult, What};
use wire::sse::Splitter;

/// Reads `data` as a file and checks what comes of it.
///
/// # Panics
/// If a run breaks a promise; that is what the fuzzer looks for.
pub fn import(format: Format, data: &[u8]) {
    let (pointer, file) = match data {
        [b'/', ..] => {
            let end = data.iter().position(|byte| *byte == b'\n');
            let (pointer, file) = data.split_at(end.unwrap_or(data.len()));
            (std::str::from_utf8(pointer).ok(), file)
        }
        _ => (None, data),
    };
    let options = Options {
        pointer,
        agent: None,
    };
    let runs = match read(format, file, &options) {
        Ok(runs) => runs,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let _ = error.hint();
            return;
        }
    };
    assert!(!runs.is_empty());
    for run in runs {
        assert!(!run.steps.is_empty());
        for (index, step) in run.steps.iter().enumerate() {
            assert!(step.links.iter().all(|link| link.step < index));
            assert!(step.parent.is_none_or(|parent| parent < index));
            assert!(!step.agent.is_empty() && !step.source.is_empty());
            let _ = step.gaps.account();
        }
    }
}

/// Reads `data` as a body, of every kind and wire.
///
/// # Panics
/// If a reader breaks a promise; that is what the fuzzer looks for.
pub fn body(data: &[u8]) {
    for api in Api::ALL {
        match read_request(api, data) {
            Ok(request) => drop(snapshot(&request)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        if let Ok(answer) = read_answer(api, data) {
            assert_eq!(
                answer.complete == Completeness::Failed,
                answer.error.is_some()
            );
        }
        let _ = read_error(api, data);
    }
}

/// Reads `data` as a stream, of every wire. Its first byte says where it is cut in two.
///
/// # Panics
/// If the splitter or the stream breaks a promise; that is what the fuzzer looks for.
pub fn stream(data: &[u8]) {
    let Some((at, data)) = data.split_first() else {
        return;
    };
    let (head, tail) = data.split_at(data.len() * usize::from(*at) / 256);
    for api in Api::ALL {
        let whole = played(api, &[data]);
        assert_eq!(played(api, &[head, tail]), whole);
        let Some((moments, answer)) = whole else {
            continue;
        };
        let complete = matches!(
            answer.complete,
            Completeness::Complete | Completeness::Incomplete
        );
        let has = |wanted: &Moment| moments.contains(wanted);
        assert!(complete || !has(&Moment::Terminal));
        assert!(!complete || api == Api::Chat || has(&Moment::Terminal));
        assert!(!(complete && has(&Moment::Cut)));
    }
}

/// The moments of a stream and what came of it; none if a line is too long.
fn played(api: Api, chunks: &[&[u8]]) -> Option<(Vec<Moment>, Answer)> {
    let mut splitter = Splitter::new(1 << 10);
    let mut stream = Stream::new(api);
    let mut moments = Vec::new();
    let mut raw = Vec::new();
    for chunk in chunks {
        for block in splitter.push(chunk).ok()? {
            moments.push(stream.push(&block));
            raw.extend(block.raw);
        }
    }
    raw.extend(splitter.rest());
    assert_eq!(raw, chunks.concat());
    Some((moments, stream.end()))
}

/// Reads `data` as a message of MCP and of A2A.
///
/// # Panics
/// If two readings of one message differ; that is what the fuzzer looks for.
pub fn message(data: &[u8]) {
    let body = match jsonrpc::read(data) {
        Ok(body) => body,
        Err(error) => {
            let reply = jsonrpc::error_reply(None, error.code(), &error.to_string(), None);
            assert!(jsonrpc::read(&reply).is_ok());
            return;
        }
    };
    assert!(!body.messages().is_empty());
    let mut stream = TaskStream::new();
    for message in body.messages() {
        match message {
            Message::Request(request) => {
                if let Some(params) = request.params {
                    let _ = a2a::Sent::read(params);
                }
                if let Ok(What::Call(call)) = What::of(request) {
                    assert!(!call.tool.is_empty() && call.id == request.id);
                }
            }
            Message::Response(response) => {
                let Ok(result) = response.result else {
                    continue;
                };
                let call = CallResult::read(result);
                assert_eq!(call.outcome(), CallResult::read(result).outcome());
                for tool in mcp::read_tools(result) {
                    assert!(!tool.name.is_empty());
                    let _ = tool.effect_class();
                }
                let ended = stream.has_ended();
                stream.push(&Event::read(result));
                assert!(!ended || stream.has_ended());
            }
        }
    }
}

/// Rewrites `data` as an agent's card.
///
/// # Panics
/// If the card points anywhere else, or does not stay as it is; that is what the fuzzer looks for.
pub fn card(data: &[u8]) {
    const OWN: &str = "http://127.0.0.1:7373/a2a/x";
    let _ = a2a::rewrite_card_answer(data, OWN);
    let Ok(first) = a2a::rewrite_card(data, OWN) else {
        return;
    };
    assert!(!first.upstream.is_empty());
    let second = a2a::rewrite_card(&first.card, OWN).expect("a rewritten card is a card");
    assert_eq!(first.card, second.card);
    assert!(second.upstream.iter().all(|it| it.url == OWN));
    assert!(second.removed.is_empty() && second.signatures == 0);
}
