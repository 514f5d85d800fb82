//! Streams: the moment of every block, and the answer at the end.

use proptest::prelude::*;
use wire::llm::{Api, Completeness, Moment, Stream};
use wire::sse::Splitter;

use super::{answered, failure};

/// Plays a stream and shows the moment of each block and what came of it.
fn play(api: Api, text: &str) -> String {
    play_in(api, &[text.as_bytes()])
}

fn play_in(api: Api, chunks: &[&[u8]]) -> String {
    let mut splitter = Splitter::new(1 << 20);
    let mut stream = Stream::new(api);
    let mut out = String::new();
    for chunk in chunks {
        for block in splitter.push(chunk).unwrap() {
            let moment = stream.push(&block);
            let complete = if stream.is_complete() {
                " (complete)"
            } else {
                ""
            };
            out += &format!("{}{complete}", moment.name());
            match moment {
                Moment::Failed(error) => out += &format!(" {}", failure(&error)),
                _ => out.push('\n'),
            }
        }
    }
    out + &answered(&stream.end())
}

/// Lines of data, as events of chat completions.
fn chat(lines: &[&str]) -> String {
    play(Api::Chat, &events(lines))
}

fn events(lines: &[&str]) -> String {
    lines
        .iter()
        .map(|line| format!("data: {line}\n\n"))
        .collect()
}

/// Lines of data, as events named after their type, as the other two wires send them.
fn named(lines: &[&str]) -> String {
    let event = |line: &&str| {
        let kind = line.split('"').nth(3).unwrap();
        format!("event: {kind}\ndata: {line}\n\n")
    };
    lines.iter().map(event).collect()
}

const CHAT: &[&str] = &[
    r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"reasoning_content":"Hm."}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"content":"I "}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"content":"look."}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"find","arguments":""}}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"c2","function":{"name":"find","arguments":"{}"}}]}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
    r#"{"id":"c","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":2}}}"#,
    "[DONE]",
];

const RESPONSES: &[&str] = &[
    r#"{"type":"response.created","response":{"id":"r","model":"m","status":"in_progress","output":[]}}"#,
    r#"{"type":"response.in_progress","response":{"id":"r","model":"m","status":"in_progress","output":[]}}"#,
    r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs","summary":[]}}"#,
    r#"{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":0,"part":{}}"#,
    r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"Hm"}"#,
    r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":1,"delta":"so"}"#,
    r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"message","content":[]}}"#,
    r#"{"type":"response.content_part.added","output_index":1,"content_index":0,"part":{}}"#,
    r#"{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"I "}"#,
    r#"{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"look."}"#,
    r#"{"type":"response.output_text.done","output_index":1,"content_index":0,"text":"I look."}"#,
    r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"message","content":[{"type":"output_text","text":"I look."}]}}"#,
    r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","id":"fc","call_id":"c1","name":"find","arguments":""}}"#,
    r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{\"a\":"}"#,
    r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":"1}"}"#,
    r#"{"type":"response.function_call_arguments.done","output_index":2,"arguments":"{\"a\":1}"}"#,
    r#"{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","id":"fc","call_id":"c1","name":"find","arguments":"{\"a\":1}"}}"#,
    r#"{"type":"response.completed","response":{"id":"r","model":"m","status":"completed","output":[
data: {"type":"message","content":[{"type":"output_text","text":"I look."}]},{"type":"function_call","call_id":"c1","name":"find","arguments":"{\"a\":1}"}],
data: "usage":{"input_tokens":10,"output_tokens":5,"input_tokens_details":{"cached_tokens":4}}}}"#,
];

const MESSAGES: &[&str] = &[
    r#"{"type":"message_start","message":{"id":"m1","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":7,"cache_read_input_tokens":3,"output_tokens":1}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"x"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"I "}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"look."}}"#,
    r#"{"type":"content_block_stop","index":1}"#,
    r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"c1","name":"find","input":{}}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"1}"}}"#,
    r#"{"type":"content_block_stop","index":2}"#,
    r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"c2","name":"now","input":{}}}"#,
    r#"{"type":"content_block_stop","index":3}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":25}}"#,
    r#"{"type":"message_stop"}"#,
];

/// The example of each wire, as it comes.
fn examples() -> [(Api, String); 3] {
    [
        (Api::Chat, events(CHAT)),
        (Api::Responses, named(RESPONSES)),
        (Api::Messages, named(MESSAGES)),
    ]
}

#[test]
fn whole_streams_with_thoughts_and_parallel_calls() {
    let [(_, chat), (_, responses), (_, messages)] = examples();
    insta::assert_snapshot!(play(Api::Chat, &chat), @r#"
preamble
content
content
content
tool-call
tool-call
tool-call
last-of-tool-call
last-of-tool-call (complete)
preamble (complete)
terminal (complete)
complete finish=tool_calls id=c model=m
text "I look."
reasoning "Hm."
asks c1 find({"a":1})
asks c2 find({})
usage in 10 (cache read -, write -), out 5 (reasoning 2)
"#);
    insta::assert_snapshot!(play(Api::Responses, &responses), @r#"
preamble
preamble
preamble
preamble
content
content
preamble
preamble
content
content
content
content
tool-call
tool-call
tool-call
last-of-tool-call
last-of-tool-call
terminal (complete)
complete finish=completed id=r model=m
text "I look."
asks c1 find({"a":1})
usage in 10 (cache read 4, write -), out 5 (reasoning -)
"#);
    insta::assert_snapshot!(play(Api::Messages, &messages), @r#"
preamble
preamble
preamble
content
content
preamble
preamble
content
content
preamble
tool-call
tool-call
tool-call
tool-call
last-of-tool-call
tool-call
last-of-tool-call
last-of-tool-call
terminal (complete)
complete finish=tool_use id=m1 model=m
text "I look."
reasoning "Hm."
asks c1 find({"a":1})
asks c2 now({})
usage in 10 (cache read 3, write -), out 25 (reasoning -)
"#);
}

#[test]
fn a_stream_cut_off_anywhere_is_never_complete() {
    for (api, text) in examples() {
        let mut splitter = Splitter::new(1 << 20);
        let blocks = splitter.push(text.as_bytes()).unwrap();
        // Of a chat, the blocks after the last finish reason are dispensable.
        let needed = match api {
            Api::Chat => blocks.len() - 2,
            Api::Responses | Api::Messages => blocks.len(),
        };
        for len in 0..needed {
            let mut stream = Stream::new(api);
            for block in &blocks[..len] {
                assert!(!matches!(
                    stream.push(block),
                    Moment::Terminal | Moment::Cut
                ));
            }
            assert!(!stream.is_complete());
            assert_eq!(
                stream.end().complete,
                Completeness::Truncated,
                "{api} {len}"
            );
        }
    }
}

#[test]
fn chat_with_interleaved_choices() {
    insta::assert_snapshot!(chat(&[
        r#"{"choices":[{"index":1,"delta":{"role":"assistant"}},{"index":0,"delta":{"role":"assistant"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"b1 "}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a1 "}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"b2"}},{"index":0,"delta":{"content":"a2"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}"#,
        "[DONE]",
    ]), @r#"
preamble
content
content
content
content
content (complete)
terminal (complete)
incomplete finish=stop choices=2
text "a1 a2\nb1 b2"
"#);
}

#[test]
fn chat_of_other_makes() {
    // Every call with the index 0; a call without any; a finish reason before the last call.
    insta::assert_snapshot!(chat(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"g","arguments":"{"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"id":"c","function":{"name":"h","arguments":{"x":1}}}]},"finish_reason":"tool_calls"}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"id":"d","function":{"name":"i"}}]}}]}"#,
        "[DONE]",
    ]), @r#"
tool-call
last-of-tool-call
tool-call
last-of-tool-call (complete)
last-of-tool-call (complete)
terminal (complete)
complete finish=tool_calls
asks a f({})
asks b g({})
asks c h({"x":1})
asks d i()
"#);
    // Pieces of two calls in turn: with each change the SDKs hand one out.
    insta::assert_snapshot!(chat(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
    ]), @r"
tool-call
last-of-tool-call
last-of-tool-call
last-of-tool-call
last-of-tool-call (complete)
complete finish=tool_calls
asks a f({})
asks b g({})
");
    // Calls without index and id, which only their names tell apart.
    insta::assert_snapshot!(chat(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{}}},{"function":{"name":"f","arguments":{}}}]}}]}"#,
        r#"{"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}"#,
    ]), @r"
last-of-tool-call
last-of-tool-call (complete)
complete finish=stop
asks - f({})
asks - f({})
");
    // The function call of old; a refusal; usage in a chunk of its own; a filter's chunk.
    insta::assert_snapshot!(chat(&[
        r#"{"choices":[],"prompt_filter_results":[]}"#,
        r#"{"choices":[{"index":0,"delta":{"function_call":{"name":"f","arguments":""}}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"function_call":{"arguments":"{}"}}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"refusal":"No"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"refusal":"."},"finish_reason":"function_call"}]}"#,
        r#"{"usage":{"prompt_tokens":1}}"#,
        r#"{"novelty":1}"#,
    ]), @r#"
preamble
tool-call
tool-call
content
last-of-tool-call (complete)
preamble (complete)
unknown (complete)
complete finish=function_call unread=1
refusal "No."
asks - f({})
usage in 1 (cache read -, write -), out - (reasoning -)
"#);
    // Nothing but an end; an end without a reason; a comment, an empty event and a late one.
    insta::assert_snapshot!(chat(&["[DONE]"]), @r"
cut
truncated choices=0
");
    insta::assert_snapshot!(chat(&[r#"{"choices":[{"delta":{"content":"x"}}]}"#, "[DONE]"]), @r#"
content
cut
truncated
text "x"
"#);
    let late = events(&[
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
        "[DONE]",
        "{}",
    ]);
    insta::assert_snapshot!(play(Api::Chat, &format!(": hello\n\ndata:\n\n{late}")), @r"
preamble
preamble
content (complete)
terminal (complete)
unknown (complete)
complete finish=stop
");
}

#[test]
fn errors_within_a_stream_of_success() {
    let begun = r#"{"choices":[{"delta":{"content":"par"}}]}"#;
    insta::assert_snapshot!(chat(&[begun, r#"{"error":{"message":"gone","type":"server_error"}}"#, "[DONE]"]), @r#"
content
failed error type=server_error code=- param=- "gone"
cut
failed
text "par"
error type=server_error code=- param=- "gone"
"#);
    insta::assert_snapshot!(chat(&[begun, r#"{"choices":[{"delta":{},"finish_reason":"error","error":{"code":502,"message":"gone"}}]}"#]), @r#"
content
failed error type=- code=502 param=- "gone"
failed
text "par"
error type=- code=502 param=- "gone"
"#);
    insta::assert_snapshot!(chat(&[begun, r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#]), @r#"
content
failed error type=error code=- param=- ""
failed
text "par"
error type=error code=- param=- ""
"#);
    insta::assert_snapshot!(chat(&[begun, "{broken", r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, "[DONE]"]), @r#"
content
failed error type=malformed_event code=- param=- "an event of the stream is not valid JSON"
content
cut
failed finish=stop
text "par"
error type=malformed_event code=- param=- "an event of the stream is not valid JSON"
"#);
    insta::assert_snapshot!(play(Api::Chat, "event: error\ndata: gone\n\n"), @r#"
failed error type=- code=- param=- "gone"
failed choices=0
error type=- code=- param=- "gone"
"#);
    insta::assert_snapshot!(play(Api::Responses, &named(&[
        r#"{"type":"response.created","response":{"id":"r","status":"in_progress","error":null}}"#,
        r#"{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"server_error","message":"gone"},"usage":{"input_tokens":3}}}"#,
    ])), @r#"
preamble
failed error type=- code=server_error param=- "gone"
failed id=r choices=0
usage in 3 (cache read -, write -), out - (reasoning -)
error type=- code=server_error param=- "gone"
"#);
    insta::assert_snapshot!(play(Api::Responses, &events(&[
        r#"{"type":"error","code":"rate_limit_exceeded","message":"slow","param":null,"sequence_number":2}"#,
    ])), @r#"
failed error type=- code=rate_limit_exceeded param=- "slow"
failed choices=0
error type=- code=rate_limit_exceeded param=- "slow"
"#);
    insta::assert_snapshot!(play(Api::Messages, &named(&[
        MESSAGES[0],
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        r#"{"type":"message_stop"}"#,
    ])), @r#"
preamble
failed error type=overloaded_error code=- param=- "Overloaded"
cut
failed id=m1 model=m
usage in 10 (cache read 3, write -), out 1 (reasoning -)
error type=overloaded_error code=- param=- "Overloaded"
"#);
}

#[test]
fn responses_that_end_otherwise() {
    // The output of the last event is empty: what came before counts.
    insta::assert_snapshot!(play(Api::Responses, &named(&[
        r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"one"}"#,
        r#"{"type":"response.output_text.delta","output_index":0,"content_index":1,"delta":"two"}"#,
        r#"{"type":"response.incomplete","response":{"id":"r","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}}"#,
        r#"{"type":"response.novelty"}"#,
    ])), @r#"
content
content
terminal (complete)
unknown (complete)
incomplete finish=max_output_tokens id=r
text "one\ntwo"
"#);
    // Tools of the provider, unknown events, keep-alives, an end mark without an end.
    insta::assert_snapshot!(play(Api::Responses, &named(&[
        r#"{"type":"response.queued","response":{"id":"r","status":"queued"}}"#,
        r#"{"type":"keepalive","sequence_number":1}"#,
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"mcp_call","id":"m1","name":"refund","arguments":""}}"#,
        r#"{"type":"response.mcp_call_arguments.delta","output_index":0,"delta":"{}"}"#,
        r#"{"type":"response.mcp_call.in_progress","output_index":0}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"mcp_call","id":"m1","name":"refund","arguments":"{}","output":"ok"}}"#,
        r#"{"type":"response.refusal.delta","output_index":1,"content_index":0,"delta":"No."}"#,
        r#"{"type":"response.output_text.annotation.added","output_index":1}"#,
        r#"{"type":"response.custom_tool_call_input.delta","output_index":2,"delta":"ls"}"#,
        r#"{"type":"response.custom_tool_call_input.done","output_index":2,"input":"ls -l"}"#,
        r#"{"type":"response.hologram.delta","delta":"x"}"#,
        r#"{"type":"novelty"}"#,
    ])), @r#"
preamble
preamble
content
content
content
content
content
content
tool-call
last-of-tool-call
unknown
unknown
truncated id=r unread=2
refusal "No."
asks m1 hosted refund({})
asks - (ls -l)
"#);
    insta::assert_snapshot!(play(Api::Responses, &events(&["[DONE]"])), @r"
cut
truncated choices=0
");
}

#[test]
fn messages_that_end_otherwise() {
    let stop = r#"{"type":"message_stop"}"#;
    // No reason; a call that never stopped; nothing at all.
    insta::assert_snapshot!(play(Api::Messages, &named(&[MESSAGES[0], stop])), @r"
preamble
cut
truncated id=m1 model=m
usage in 10 (cache read 3, write -), out 1 (reasoning -)
");
    insta::assert_snapshot!(play(Api::Messages, &named(&[MESSAGES[0], MESSAGES[10], MESSAGES[17], stop])), @r"
preamble
tool-call
last-of-tool-call
cut
truncated finish=tool_use id=m1 model=m
asks c1 find({})
usage in 10 (cache read 3, write -), out 25 (reasoning -)
");
    insta::assert_snapshot!(play(Api::Messages, &named(&[stop])), @r"
cut
truncated choices=0
");
    // Tools of the provider, a paused turn with usage of all iterations, unknown things.
    insta::assert_snapshot!(play(Api::Messages, &named(&[
        MESSAGES[0],
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s1","name":"web_search","input":{}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"q\":1}"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result","tool_use_id":"s1","content":[]}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"compaction","content":""}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"compaction_delta","content":"So far."}}"#,
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"novelty"}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"novel_delta"}}"#,
        r#"{"type":"novelty"}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"pause_turn"},"usage":{"input_tokens":7,"output_tokens":5,"iterations":[{"input_tokens":7,"output_tokens":5},{"input_tokens":20,"output_tokens":6}]}}"#,
        stop,
    ])), @r#"
preamble
content
content
content
content
preamble
preamble
content
unknown
unknown
unknown
content
terminal (complete)
incomplete finish=pause_turn id=m1 model=m unread=3
text "So far."
asks s1 hosted web_search({"q":1})
usage in 30 (cache read 3, write -), out 11 (reasoning -)
"#);
    // Events without names; data that is no JSON, without a name and under an unknown one.
    let unnamed = events(&[MESSAGES[0], MESSAGES[6], MESSAGES[7], "{broken"]);
    insta::assert_snapshot!(play(Api::Messages, &format!("{unnamed}event: x\ndata: {{}}\n\nevent: x\ndata: y\n\n")), @r#"
preamble
preamble
content
unknown
unknown
failed error type=malformed_event code=- param=- "an event of the stream is not valid JSON"
failed id=m1 model=m unread=2
text "I "
usage in 10 (cache read 3, write -), out 1 (reasoning -)
error type=malformed_event code=- param=- "an event of the stream is not valid JSON"
"#);
}

proptest! {
    #[test]
    fn chunks_and_line_ends_make_no_difference(
        which in 0_usize..3,
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        end in proptest::sample::select(vec!["\n", "\r\n", "\r"]),
        bom in any::<bool>(),
    ) {
        let (api, text) = examples()[which].clone();
        let whole = play(api, &text);
        let text = text.replace('\n', end);
        let text = if bom { format!("\u{feff}{text}") } else { text };
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
        prop_assert_eq!(play_in(api, &chunks), &*whole);
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        prop_assert_eq!(play_in(api, &bytes), whole);
    }

    /// Events of all wires, in any order, some of them damaged: nothing panics, a stream is
    /// complete only with its marks, and after a failure it never is.
    #[test]
    fn any_events_are_taken(
        picks in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 0..24),
        api in proptest::sample::select(Api::ALL.to_vec()),
    ) {
        let mut splitter = Splitter::new(1 << 20);
        let pool: Vec<_> = examples().into_iter().flat_map(|(_, text)| splitter.push(text.as_bytes()).unwrap()).collect();
        let mut stream = Stream::new(api);
        let (mut failed, mut cut, mut terminal) = (false, false, false);
        for (pick, at, damaged) in picks {
            let mut block = pick.get(&pool).clone();
            if damaged {
                let data = block.data.unwrap();
                let at = at.index(data.len());
                block.data = data.get(..at).map(str::to_owned);
            }
            match stream.push(&block) {
                Moment::Failed(_) => failed = true,
                Moment::Cut => cut = true,
                Moment::Terminal => terminal = true,
                _ => {}
            }
        }
        let whole = stream.is_complete();
        let complete = stream.end().complete;
        prop_assert_eq!(whole, matches!(complete, Completeness::Complete | Completeness::Incomplete));
        prop_assert_eq!(failed, complete == Completeness::Failed);
        prop_assert!(!(cut && whole));
        prop_assert!(!terminal || whole);
        prop_assert!(api == Api::Chat || terminal || !whole);
    }
}
