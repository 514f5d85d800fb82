//! `openai-chat`.

use wire::import::{Format, Options};

use crate::support::{play, play_with};

fn chat(text: &str) -> String {
    play(Format::OpenaiChat, text)
}

#[test]
fn an_array_of_messages_is_one_run() {
    insta::assert_snapshot!(chat(r#"[
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Cancel order W1 \u2014 please."},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{\"order\":\"W1\"}"}},
            {"id": "c2", "type": "custom", "custom": {"name": "shell", "input": "ls -l"}}
        ]},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: no such file"},
        {"role": "tool", "tool_call_id": "c1", "name": "find", "content": "{\"status\":\"open\"}"},
        {"role": "assistant", "content": "Done.", "reasoning_content": "It was open."}
    ]"#), @r#"
run at the whole file
  0 message by system chosen="Be brief." @/0
  1 message by user chosen="Cancel order W1 — please." @/1
  2 inference by assistant `unknown` chosen=json "[\n            {\"id\": \"c1\", \"type\": \"function\", \"function\": {…" @/2
  3 tool-call by assistant `find` asked=json "{\"order\":\"W1\"}" result="{\"status\":\"open\"}" id=c1 <-2 call (call id) @/2/tool_calls/0
  4 tool-call by assistant `shell` asked="ls -l" result="Error: no such file" id=c2 <-2 call (call id) @/2/tool_calls/1
  5 inference by assistant `unknown` chosen="Done." because="It was open." @/5
"#);
}

#[test]
fn old_and_odd_messages_are_kept() {
    insta::assert_snapshot!(chat(r#"[
        {"role": "developer", "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]},
        {"role": "user", "name": "ada", "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]},
        {"role": "assistant", "content": "", "function_call": {"name": "look", "arguments": "{not json"}},
        {"role": "function", "name": "look", "content": "a cat"},
        {"role": "assistant", "name": "critic", "content": null, "refusal": "I cannot."},
        {"role": "assistant", "content": null},
        {"role": "narrator", "content": {"scene": 1}},
        {"role": "user", "content": "cut off \ud83d here"}
    ]"#), @r#"
run at the whole file
  0 message by system chosen="One.\nTwo." @/0
  1 message by ada chosen=json "[{\"type\": \"text\", \"text\": \"See\"}, {\"type\": \"image_url\", \"ima…" @/1
  2 inference by assistant `unknown` chosen=json "{\"name\": \"look\", \"arguments\": \"{not json\"}" @/2
  3 tool-call by assistant `look` asked="{not json" result="a cat" <-2 call (tool_calls) @/2/function_call
  4 inference by critic `unknown` chosen="I cannot." @/4
  5 inference by assistant `unknown` @/5
  6 message by narrator chosen=json "{\"scene\": 1}" @/6
  7 message by user chosen="cut off � here" @/7
"#);
}

#[test]
fn results_without_calls_and_calls_without_results_are_marked() {
    insta::assert_snapshot!(chat(r#"[
        {"role": "tool", "tool_call_id": "lost", "content": "42"},
        {"role": "assistant", "tool_calls": [
            {"id": "a", "function": {"name": "pay", "arguments": "{}"}},
            {"id": "b", "function": {"name": "log"}}
        ]},
        {"role": "tool", "tool_call_id": "a", "content": "no", "is_error": true},
        {"role": "tool", "tool_call_id": "a", "content": "again"}
    ]"#), @r#"
run at the whole file
  0 tool-call by tool `unknown` result="42" id=lost [orphaned result] @/0
  1 inference by assistant `unknown` chosen=json "[\n            {\"id\": \"a\", \"function\": {\"name\": \"pay\", \"argum…" @/1
  2 tool-call by assistant `pay` asked=json "{}" result="no" id=a <-1 call (call id) FAILED Error @/1/tool_calls/0
  3 tool-call by assistant `log` id=b <-1 call (call id) Unknown [orphaned call] @/1/tool_calls/1
  4 tool-call by tool `unknown` result="again" id=a [orphaned result] @/3
"#);
}

#[test]
fn an_id_used_again_after_its_result_is_another_call() {
    insta::assert_snapshot!(chat(r#"[
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "get", "arguments": "{\"n\":1}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "get", "arguments": "{\"n\":2}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "two"}
    ]"#), @r#"
run at the whole file
  0 inference by assistant `unknown` chosen=json "[{\"id\": \"a\", \"function\": {\"name\": \"get\", \"arguments\": \"{\\\"n\\…" @/0
  1 tool-call by assistant `get` asked=json "{\"n\":1}" result="one" id=a <-0 call (call id) @/0/tool_calls/0
  2 inference by assistant `unknown` chosen=json "[{\"id\": \"a\", \"function\": {\"name\": \"get\", \"arguments\": \"{\\\"n\\…" @/2
  3 tool-call by assistant `get` asked=json "{\"n\":2}" result="two" id=a <-2 call (call id) [reused id] @/2/tool_calls/0
"#);
}

#[test]
fn an_id_used_again_before_its_result_is_refused() {
    insta::assert_snapshot!(chat(r#"[
        {"role": "assistant", "tool_calls": [
            {"id": "a", "function": {"name": "get", "arguments": "{\"n\":1}"}},
            {"id": "a", "function": {"name": "get", "arguments": "{\"n\":2}"}}
        ]}
    ]"#), @r"
error: `/0/tool_calls/1` (line 4, column 13): the call id `a` is used twice, first at /0/tool_calls/0
hint: a call needs its result before its id is used again: rename one
");
}

#[test]
fn a_simulation_with_plain_calls_and_user_tools() {
    insta::assert_snapshot!(chat(r#"{
        "id": "sim-1", "task_id": "7", "trial": 0, "start_time": "2025-01-01T00:00:00.000000",
        "messages": [
            {"role": "assistant", "content": "Hi!", "tool_calls": null, "turn_idx": 0},
            {"role": "user", "content": "I look.", "tool_calls": [{"id": "u", "name": "see", "arguments": {"what": "bill"}, "requestor": "user"}]},
            {"id": "u", "role": "tool", "content": "12 EUR", "requestor": "user", "error": false},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "x", "name": "refund", "arguments": {"eur": 12}, "requestor": "assistant"}]},
            {"id": "x", "role": "tool", "content": "over limit", "requestor": "assistant", "error": true}
        ]
    }"#), @r#"
run at the whole file, id sim-1, titled task 7, trial 0, started 1735689600000000
  0 inference by assistant `unknown` chosen="Hi!" @/messages/0
  1 message by user chosen="I look." @/messages/1
  2 tool-call by user `see` asked=json "{\"what\": \"bill\"}" result="12 EUR" id=u <-1 call (call id) @/messages/1/tool_calls/0
  3 inference by assistant `unknown` chosen=json "[{\"id\": \"x\", \"name\": \"refund\", \"arguments\": {\"eur\": 12}, \"re…" @/messages/3
  4 tool-call by assistant `refund` asked=json "{\"eur\": 12}" result="over limit" id=x <-3 call (call id) FAILED Error @/messages/3/tool_calls/0
  rest {"id":"sim-1","task_id":"7","trial":0,"start_time":"2025-01-01T00:00:00.000000"}
"#);
}

#[test]
fn a_request_with_its_response() {
    insta::assert_snapshot!(chat(r#"{
        "request": {"model": "gpt-4o", "temperature": 0.2, "max_tokens": 100, "user": "u1",
            "tools": [{"type": "function", "function": {"name": "find", "parameters": {}}}],
            "messages": [{"role": "user", "content": "hi"}]},
        "response": {"id": "chatcmpl-1", "model": "gpt-4o-2024-08-06", "created": 1700000000,
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}]},
        "trace": "t"
    }"#), @r#"
run at the whole file
  limits.max_tokens = 100
  model.name = gpt-4o-2024-08-06
  params.temperature = 0.2
  tools.find.definition = {"type": "function", "function": {"name": "find", "parameters": {}}}
  0 message by user chosen="hi" @/request/messages/0
  1 inference by assistant `gpt-4o-2024-08-06` chosen="hello" @/response/choices/0
  rest {"trace":"t","request":{"model":"gpt-4o","temperature":0.2,"max_tokens":100,"user":"u1","tools":[{"type": "function", "function": {"name": "find", "parameters": {}}}]},"response":{"id":"chatcmpl-1","model":"gpt-4o-2024-08-06","created":1700000000}}
"#);
}

#[test]
fn a_line_that_resends_an_earlier_one_continues_its_run() {
    insta::assert_snapshot!(chat(concat!(
        r#"{"model":"m1","messages":[{"role":"user","content":"one"}],"choices":[{"message":{"role":"assistant","content":"uno","annotations":[]}}]}"#, "\n",
        r#"{"model":"m1","messages":[{"role":"user","content":"ONE"}]}"#, "\n\n",
        r#"{"model":"m2","messages":[{"role":"user","content":"one"},{"role":"assistant","content":"uno"},{"role":"user","content":"two"}],"choices":[{"message":{"role":"assistant","content":"due"}}]}"#, "\r\n",
        r#"[{"role":"user","content":"ONE"},{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]}]"#, "\n",
        r#"[{"role":"user","content":"ONE"},{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":"1"}]"#, "\n",
    )), @r#"
run at line 1, continued on line 4
  model.name = m2
  0 message by user chosen="one" @line 1, /messages/0
  1 inference by assistant `m1` chosen="uno" @line 1, /choices/0
  2 message by user chosen="two" @line 4, /messages/2
  3 inference by assistant `m2` chosen="due" @line 4, /choices/0
  rest [{"line":1,"rest":{"model":"m1"}},{"line":4,"rest":{"model":"m2"},"resent":[{"role":"assistant","content":"uno"}]}]
run at line 2, continued on lines 5, 6
  model.name = m1
  0 message by user chosen="ONE" @line 2, /messages/0
  1 inference by assistant `unknown` chosen=json "[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]" @line 5, /1
  2 tool-call by assistant `f` asked=json "{}" result="1" id=a <-1 call (call id) @line 5, /1/tool_calls/0
  rest [{"line":2,"rest":{"model":"m1"}}]
"#);
}

#[test]
fn equal_lines_are_runs_of_their_own() {
    insta::assert_snapshot!(chat(concat!(
        r#"[{"role":"user","content":"hi"}]"#, "\n",
        r#"[{"role":"user","content":"hi"}]"#, "\n",
    )), @r#"
run at line 1
  0 message by user chosen="hi" @line 1, /0
run at line 2
  0 message by user chosen="hi" @line 2, /0
"#);
}

#[test]
fn lines_that_are_messages_make_up_one_run() {
    insta::assert_snapshot!(chat(concat!(
        r#"{"role":"user","content":"hi"}"#, "\n",
        r#"{"role":"assistant","content":"hello"}"#, "\n",
    )), @r#"
run at the whole file
  0 message by user chosen="hi" @line 1
  1 inference by assistant `unknown` chosen="hello" @line 2
"#);
}

#[test]
fn a_pointer_picks_a_part_and_keeps_what_is_around_it() {
    let text = r#"[{"task_id": 2, "reward": 0.0, "traj": [{"role": "user", "content": "hi"}], "trial": 3}]"#;
    insta::assert_snapshot!(chat(text), @r"
error: line 1, column 1: expected an array of messages, or an object with `messages`, found an array of objects with `task_id`, `reward`, `traj`, `trial`
hint: there are messages further down: add `--pointer /0/traj`
");
    let options = Options {
        pointer: Some("/0/traj"),
        agent: None,
    };
    insta::assert_snapshot!(play_with(Format::OpenaiChat, text, &options), @r#"
run at /0/traj, titled task 2, trial 3
  0 message by user chosen="hi" @/0/traj/0
  rest {"task_id":2,"reward":0.0,"trial":3}
"#);
    let options = Options {
        pointer: Some("/0/trajectory/3"),
        agent: None,
    };
    insta::assert_snapshot!(play_with(Format::OpenaiChat, text, &options), @r"
error: line 1, column 1: there is nothing at `/0/trajectory/3`
hint: /0 has `task_id`, `reward`, `traj`, `trial`
");
    let options = Options {
        pointer: Some("/1"),
        agent: None,
    };
    insta::assert_snapshot!(play_with(Format::OpenaiChat, text, &options), @r"
error: line 1, column 1: there is nothing at `/1`
hint: the top has 1 elements
");
    let options = Options {
        pointer: Some("0/traj"),
        agent: None,
    };
    insta::assert_snapshot!(play_with(Format::OpenaiChat, text, &options), @r"
error: `0/traj` is not a JSON Pointer
hint: a JSON Pointer is empty or begins with `/`, like `/0/traj`
");
}

#[test]
fn the_agent_can_be_named() {
    let options = Options {
        pointer: None,
        agent: Some("triage"),
    };
    let text = r#"[{"role": "assistant", "content": "hello"}]"#;
    insta::assert_snapshot!(play_with(Format::OpenaiChat, text, &options), @r#"
run at the whole file
  0 inference by triage `unknown` chosen="hello" @/0
"#);
}

#[test]
fn an_array_of_conversations_is_several_runs() {
    insta::assert_snapshot!(chat(r#"[
        {"id": "a", "messages": [{"role": "user", "content": "one"}]},
        {"id": "b", "messages": [{"role": "user", "content": "two"}]}
    ]"#), @r#"
run at /0, id a
  0 message by user chosen="one" @/0/messages/0
  rest {"id":"a"}
run at /1, id b
  0 message by user chosen="two" @/1/messages/0
  rest {"id":"b"}
"#);
}

#[test]
fn names_without_letters_count_as_none() {
    let text = r#"{"model": "", "messages": [
        {"role": "assistant", "name": "", "content": "a", "model": "",
            "tool_calls": [{"id": "", "function": {"name": "", "arguments": ""}}]},
        {"role": "tool", "name": "", "content": "b"},
        {"role": "", "name": "", "content": "c"}
    ]}"#;
    let options = Options {
        pointer: None,
        agent: Some(""),
    };
    insta::assert_snapshot!(play_with(Format::OpenaiChat, text, &options), @r#"
run at the whole file
  0 inference by assistant `unknown` chosen="a" @/messages/0
  1 tool-call by assistant `unknown` asked="" result="b" <-0 call (tool_calls) @/messages/0/tool_calls/0
  2 message by unknown chosen="c" @/messages/2
  rest {"model":""}
"#);
}
