//! Plain answers, on each wire.

use proptest::prelude::*;
use wire::llm::{Api, read_answer};

use super::answered;

fn read(api: Api, body: &str) -> String {
    match read_answer(api, body.as_bytes()) {
        Ok(answer) => answered(&answer),
        Err(error) => format!("error: {error}"),
    }
}

const CHAT: &str = r#"{"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-5-2026", "choices": [
    {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "I look.", "refusal": null,
        "reasoning_content": "Hm.", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{\"order\":\"W1\"}"}},
        {"id": "c2", "type": "custom", "custom": {"name": "shell", "input": "ls"}}]}}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 64}, "completion_tokens_details": {"reasoning_tokens": 12}}}"#;

const RESPONSES: &str = r#"{"id": "resp_1", "object": "response", "status": "completed", "error": null, "model": "gpt-5-2026", "output": [
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
    {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "find", "arguments": "{\"order\":\"W1\"}"},
    {"type": "custom_tool_call", "id": "ct_1", "call_id": "c2", "name": "shell", "input": "ls"}],
    "usage": {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120,
        "input_tokens_details": {"cached_tokens": 64}, "output_tokens_details": {"reasoning_tokens": 12}}}"#;

const MESSAGES: &str = r#"{"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-1", "content": [
    {"type": "thinking", "thinking": "Hm.", "signature": "x"},
    {"type": "redacted_thinking", "data": "x"},
    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
    {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
    {"type": "text", "text": "I"}, {"type": "text", "text": "look."},
    {"type": "tool_use", "id": "c1", "name": "find", "input": {"order": "W1"}}, {"type": "novelty"}],
    "stop_reason": "tool_use", "usage": {"input_tokens": 30, "cache_read_input_tokens": 64,
        "cache_creation_input_tokens": 6, "output_tokens": 20}}"#;

#[test]
fn whole_answers_with_thoughts_and_calls() {
    insta::assert_snapshot!(read(Api::Chat, CHAT), @r#"
complete finish=tool_calls id=chatcmpl-1 model=gpt-5-2026
text "I look."
reasoning "Hm."
asks c1 find({"order":"W1"})
asks c2 shell(ls)
usage in 100 (cache read 64, write -), out 20 (reasoning 12)
"#);
    insta::assert_snapshot!(read(Api::Responses, RESPONSES), @r#"
complete finish=completed id=resp_1 model=gpt-5-2026
text "I look."
reasoning "Hm."
asks ws_1 hosted web_search({"type": "search"})
asks c1 find({"order":"W1"})
asks c2 shell(ls)
usage in 100 (cache read 64, write -), out 20 (reasoning 12)
"#);
    insta::assert_snapshot!(read(Api::Messages, MESSAGES), @r#"
complete finish=tool_use id=msg_1 model=claude-1 unread=1
text "I\nlook."
reasoning "Hm."
asks s1 hosted web_search({"query": "q"})
asks c1 find({"order": "W1"})
usage in 100 (cache read 64, write 6), out 20 (reasoning -)
"#);
}

#[test]
fn chat_answers_of_other_makes() {
    let mut shown = String::new();
    for body in [
        // Two choices, one of them cut off by a limit.
        r#"{"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"},
            {"index": 1, "message": {"content": "b"}, "finish_reason": "length"}]}"#,
        // Refused; filtered; of old; empty.
        r#"{"choices": [{"message": {"content": null, "refusal": "No."}, "finish_reason": "stop"}]}"#,
        r#"{"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}"#,
        r#"{"choices": [{"message": {"content": null, "function_call": {"name": "f", "arguments": "{}"}}, "finish_reason": "function_call"}]}"#,
        r#"{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}"#,
        // Audio; content in parts; reasoning under its other name; usage of other makes.
        r#"{"choices": [{"message": {"content": null, "audio": {"data": "AA", "transcript": "Hi."}}, "finish_reason": "stop"}]}"#,
        r#"{"choices": [{"message": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
            {"type": "text", "text": "Hi."}, {"type": "novelty"}]}, "finish_reason": "stop"}]}"#,
        r#"{"choices": [{"message": {"content": "Hi.", "reasoning": "Hm."}, "finish_reason": "eos"}],
            "usage": {"prompt_tokens": 9.0, "completion_tokens": null, "prompt_cache_hit_tokens": 4}}"#,
        // Keys twice: the SDKs take the last.
        r#"{"id": "a", "id": "b", "choices": [{"message": {"content": "x"}, "finish_reason": "stop", "finish_reason": "length"}]}"#,
        // Nothing says that it is whole.
        r#"{"choices": [{"message": {"content": "a"}, "finish_reason": null}]}"#,
        r#"{"choices": []}"#,
        r#"{"object": "list"}"#,
        // Failures that came with a status of success.
        r#"{"error": {"message": "overloaded", "code": 503}}"#,
        r#"{"choices": [{"message": {"content": "par"}, "finish_reason": "error", "error": {"code": 502, "message": "gone"}}]}"#,
    ] {
        shown += &read(Api::Chat, body);
    }
    insta::assert_snapshot!(shown, @r#"
incomplete finish=stop choices=2
text "a\nb"
complete finish=stop
refusal "No."
incomplete finish=content_filter
complete finish=function_call
asks - f({})
complete finish=stop
complete finish=stop
text "Hi."
complete finish=stop unread=1
text "Hi."
reasoning "Hm."
complete finish=eos
text "Hi."
reasoning "Hm."
usage in 9 (cache read 4, write -), out - (reasoning -)
incomplete finish=length id=b
text "x"
truncated
text "a"
truncated choices=0
truncated choices=0
failed choices=0
error type=- code=503 param=- "overloaded"
failed finish=error
text "par"
error type=- code=502 param=- "gone"
"#);
}

#[test]
fn responses_in_every_status() {
    let mut shown = String::new();
    for body in [
        r#"{"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [
            {"type": "message", "content": [{"type": "output_text", "text": "a"}]}]}"#,
        r#"{"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}"#,
        r#"{"object": "response", "status": "failed", "error": {"code": "server_error", "message": "gone"}, "output": []}"#,
        r#"{"status": "cancelled", "output": []}"#,
        r#"{"status": "queued", "output": []}"#,
        r#"{"status": "completed", "output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]},
            {"type": "mcp_call", "id": "m1", "name": "refund", "arguments": "{}", "output": "ok"}, {"type": "novelty"}]}"#,
        r#"{"output": []}"#,
        r#"{"error": {"message": "no", "type": "invalid_request_error"}}"#,
    ] {
        shown += &read(Api::Responses, body);
    }
    insta::assert_snapshot!(shown, @r#"
incomplete finish=max_output_tokens
text "a"
incomplete finish=content_filter
failed finish=failed
error type=- code=server_error param=- "gone"
incomplete finish=cancelled
incomplete finish=queued
complete finish=completed unread=1
refusal "No."
asks m1 hosted refund({})
truncated
failed choices=0
error type=invalid_request_error code=- param=- "no"
"#);
}

#[test]
fn messages_that_stop_for_every_reason() {
    let mut shown = String::new();
    for reason in [
        "end_turn",
        "stop_sequence",
        "tool_use",
        "max_tokens",
        "model_context_window_exceeded",
        "pause_turn",
        "refusal",
        "novelty",
    ] {
        let body = format!(r#"{{"content": [], "stop_reason": "{reason}"}}"#);
        shown += &read(Api::Messages, &body);
    }
    shown += &read(Api::Messages, r#"{"content": [], "stop_reason": null}"#);
    shown += &read(
        Api::Messages,
        r#"{"type": "error", "error": {"type": "overloaded_error", "message": "later"}}"#,
    );
    insta::assert_snapshot!(shown, @r#"
complete finish=end_turn
complete finish=stop_sequence
complete finish=tool_use
incomplete finish=max_tokens
incomplete finish=model_context_window_exceeded
incomplete finish=pause_turn
incomplete finish=refusal
complete finish=novelty
truncated
failed choices=0
error type=overloaded_error code=- param=- "later"
"#);
}

#[test]
fn usage_counts_every_iteration() {
    insta::assert_snapshot!(read(Api::Messages, r#"{"stop_reason": "end_turn", "content": [
        {"type": "compaction", "content": "So far."}, {"type": "text", "text": "Hi."}],
        "usage": {"input_tokens": 23000, "output_tokens": 1000, "iterations": [
            {"type": "compaction", "input_tokens": 180000, "output_tokens": 3500},
            {"type": "message", "input_tokens": 23000, "output_tokens": 1000, "cache_read_input_tokens": 50}]}}"#), @r#"
complete finish=end_turn
text "So far.\nHi."
usage in 203050 (cache read 50, write -), out 4500 (reasoning -)
"#);
}

#[test]
fn what_is_no_json_is_unreadable() {
    for body in ["", "<html>", "[]", "{\"id\": "] {
        assert!(read_answer(Api::Chat, body.as_bytes()).is_err(), "{body}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        for api in Api::ALL {
            let _ = read_answer(api, &bytes);
        }
    }

    #[test]
    fn an_answer_cut_off_anywhere_is_unreadable(which in 0_usize..3, at in any::<prop::sample::Index>()) {
        let (api, body) = [(Api::Chat, CHAT), (Api::Responses, RESPONSES), (Api::Messages, MESSAGES)][which];
        prop_assert!(read_answer(api, &body.as_bytes()[..at.index(body.len())]).is_err());
    }
}
