//! Requests, on each wire.

use proptest::prelude::*;
use wire::llm::{Api, read_request, snapshot};

use super::{asked, items};

const CHAT: &str = r#"{"model": "gpt-5", "messages": [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Cancel W1 \u2014 and W2."},
    {"role": "assistant", "content": "I look.", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{\"order\":\"W1\"}"}},
        {"id": "c2", "type": "function", "function": {"name": "find", "arguments": "{\"order\":\"W2\"}"}}
    ]},
    {"role": "tool", "tool_call_id": "c1", "content": "open"},
    {"role": "tool", "tool_call_id": "c2", "content": "closed"},
    {"role": "assistant", "content": "W1 is open."},
    {"role": "user", "content": [{"type": "text", "text": "Go"}, {"type": "text", "text": "on."}]}
]}"#;

const RESPONSES: &str = r#"{"model": "gpt-5", "instructions": "Be brief.", "input": [
    {"role": "user", "content": "Cancel W1 \u2014 and W2."},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
    {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "find", "arguments": "{\"order\":\"W1\"}"},
    {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "find", "arguments": "{\"order\":\"W2\"}"},
    {"type": "function_call_output", "call_id": "c1", "output": "open"},
    {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "closed"}]},
    {"role": "assistant", "content": "W1 is open."},
    {"role": "user", "content": [{"type": "input_text", "text": "Go"}, {"type": "input_text", "text": "on."}]}
]}"#;

const MESSAGES: &str = r#"{"model": "claude", "max_tokens": 100,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
    {"role": "user", "content": "Cancel W1 \u2014 and W2."},
    {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "x"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "c1", "name": "find", "input": {"order":"W1"}},
        {"type": "tool_use", "id": "c2", "name": "find", "input": {"order":"W2"}}
    ]},
    {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "c1", "content": "open"},
        {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "closed"}]}
    ]},
    {"role": "assistant", "content": "W1 is open."},
    {"role": "user", "content": [{"type": "text", "text": "Go"}, {"type": "text", "text": "on."}]}
]}"#;

#[test]
fn one_conversation_reads_as_the_same_items_on_every_wire() {
    let read = |api, body: &'static str| items(&read_request(api, body.as_bytes()).unwrap());
    let chat = read(Api::Chat, CHAT);
    insta::assert_snapshot!(chat, @r#"
    system "Be brief."
    user "Cancel W1 — and W2."
    assistant "I look." asks c1 find({"order":"W1"}) asks c2 find({"order":"W2"})
    tool "open" of=c1
    tool "closed" of=c2
    assistant "W1 is open."
    user "Go\non."
    "#);
    assert_eq!(read(Api::Responses, RESPONSES), chat);
    assert_eq!(read(Api::Messages, MESSAGES), chat);
}

#[test]
fn chat_of_old_and_of_other_makes() {
    insta::assert_snapshot!(asked(Api::Chat, r#"{"model": "m", "stream": true, "messages": [
        {"role": "developer", "content": [{"type": "text", "text": "One."}, "Two."]},
        {"role": "user", "name": "ada", "content": [{"type": "text", "text": "See"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_id": "f1"}}, {"type": "hologram", "at": 1}]},
        {"role": "assistant", "content": null, "function_call": {"name": "look", "arguments": "{not json"}},
        {"role": "function", "name": "look", "content": "a cat"},
        {"role": "assistant", "content": "", "refusal": "I cannot."},
        {"role": "assistant", "audio": {"id": "audio_1"}},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "s1", "type": "custom", "custom": {"name": "shell", "input": "ls -l"}},
            {"id": "", "type": "function", "function": {"name": "now"}}]},
        {"role": "tool", "tool_call_id": "s1", "content": {"files": 3}},
        {"role": "narrator", "content": "cut off \ud83d here"},
        {"content": "whose?"}
    ]}"#), @r#"
model m, streamed, 4 attachments, 1 unread
system "One.\nTwo."
user "See" name=ada
assistant "" asks - look({not json)
tool "a cat" name=look
assistant "I cannot."
assistant ""
assistant "" asks s1 shell(ls -l) asks - now()
tool "{\"files\": 3}" of=s1
user "cut off � here"
user "whose?"
"#);
}

#[test]
fn responses_with_every_kind_of_item() {
    insta::assert_snapshot!(asked(Api::Responses, r#"{"model": "m", "previous_response_id": "resp_1",
        "conversation": {"id": "conv_1"}, "input": [
        {"role": "developer", "content": "Obey."},
        {"role": "user", "content": [{"type": "input_text", "text": "See"},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
            {"type": "input_file", "file_id": "f1"}]},
        {"type": "item_reference", "id": "msg_0"},
        {"type": "custom_tool_call", "id": "ct_1", "call_id": "c1", "name": "patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
        {"type": "local_shell_call", "call_id": "c2", "action": {"type":"exec","command":["ls"]}},
        {"type": "local_shell_call_output", "id": "c2", "output": "{\"code\":0}"},
        {"type": "computer_call", "id": "cc", "call_id": "c3", "action": {"type":"click","x":1}},
        {"type": "computer_call_output", "call_id": "c3", "output": {"type": "computer_screenshot", "image_url": "x"}},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type":"search","query":"q"}},
        {"type": "mcp_list_tools", "id": "l", "server_label": "crm", "tools": []},
        {"type": "mcp_approval_request", "id": "ap_1", "name": "refund", "arguments": "{\"eur\":5}", "server_label": "crm"},
        {"type": "mcp_approval_response", "approval_request_id": "ap_1", "approve": true, "reason": "fine"},
        {"type": "mcp_call", "id": "mcp_1", "name": "refund", "arguments": "{\"eur\":5}", "output": "ok", "error": null},
        {"type": "mcp_call", "id": "mcp_2", "name": "refund", "arguments": "{}", "error": "no such order"},
        {"type": "function_call", "call_id": "c4", "name": "f", "arguments": "{}"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Well."}]},
        {"type": "surprise", "x": 1}
    ]}"#), @r#"
model m, continues resp_1, in conv_1, 3 attachments, 2 unread
system "Obey."
user "See"
assistant "" asks c1 patch(*** Begin)
tool "done" of=c1
assistant "" asks c2 local_shell({"type":"exec","command":["ls"]})
tool "{\"code\":0}" of=c2
assistant "" asks c3 computer({"type":"click","x":1})
tool "" of=c3
assistant "" asks ws_1 hosted web_search({"type":"search","query":"q"}) asks ap_1 hosted refund({"eur":5})
user "approved\nfine" of=ap_1
assistant "" asks mcp_1 hosted refund({"eur":5})
tool "ok" of=mcp_1 error=false
assistant "" asks mcp_2 hosted refund({})
tool "no such order" of=mcp_2 error=true
assistant "No." asks c4 f({})
assistant "Well."
"#);
    insta::assert_snapshot!(asked(Api::Responses, r#"{"conversation": "conv_2", "input": "Hi"}"#), @r#"
in conv_2
user "Hi"
"#);
}

#[test]
fn messages_with_every_kind_of_block() {
    insta::assert_snapshot!(asked(Api::Messages, r#"{"model": "m", "system": "Obey.", "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "See"},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A contract."}},
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "A page."}]}},
            {"type": "document", "source": {"type": "file", "file_id": "f1"}},
            {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "A find."}]}
        ]},
        {"role": "assistant", "content": [
            {"type": "redacted_thinking", "data": "x"},
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"type": "web_search_result", "url": "u"}]},
            {"type": "mcp_tool_use", "id": "m1", "name": "refund", "server_name": "crm", "input": {}},
            {"type": "mcp_tool_result", "tool_use_id": "m1", "is_error": false, "content": [{"type": "text", "text": "ok"}]},
            {"type": "text", "text": "Now you."},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": [
                {"type": "text", "text": "broken"}, {"type": "image", "source": {}}]},
            {"type": "tool_result", "tool_use_id": "t2"},
            {"type": "text", "text": "Again."}
        ]},
        {"role": "assistant", "content": []},
        {"role": "user", "content": [{"type": "compaction", "content": "So far."}, {"type": "novelty"}, 7]}
    ]}"#), @r#"
model m, 5 attachments, 2 unread
system "Obey."
user "See\nA contract.\nA page.\nA find."
assistant "" asks s1 hosted web_search({"query": "q"})
tool "[{\"type\": \"web_search_result\", \"url\": \"u\"}]" of=s1
assistant "" asks m1 hosted refund({})
tool "ok" of=m1 error=false
assistant "Now you." asks t1 f({"a": 1})
tool "broken" of=t1 error=true
tool "" of=t2
user "Again."
assistant ""
user "So far."
"#);
}

#[test]
fn settings_are_scalars_and_tools_have_names_on_every_wire() {
    insta::assert_snapshot!(asked(Api::Chat, r#"{"model": "m", "temperature": 0.2, "n": 2, "user": "ada",
        "metadata": {"k": "v"}, "stop": ["a"], "seed": null, "max_completion_tokens": 100, "unheard_of": true,
        "response_format": {"type": "json_schema", "json_schema": {"name": "order", "strict": true, "schema": {"type": "object"}}},
        "tool_choice": {"type": "function", "function": {"name": "find"}}, "stream_options": {"include_usage": true},
        "functions": [{"name": "old"}], "tools": [
            {"type": "function", "function": {"name": "find", "parameters": {}}},
            {"type": "custom", "custom": {"name": "shell"}}, {"type": "web_search"}, 3]}"#), @r#"
model m
tool find: {"type": "function", "function": {"name": "find", "parameters": {}}}
tool shell: {"type": "custom", "custom": {"name": "shell"}}
tool web_search: {"type": "web_search"}
tool old: {"name": "old"}
max_completion_tokens = 100
n = 2
response_format.json_schema.name = "order"
response_format.json_schema.strict = true
response_format.type = "json_schema"
stream_options.include_usage = true
temperature = 0.2
tool_choice.function.name = "find"
tool_choice.type = "function"
unheard_of = true
"#);
    insta::assert_snapshot!(asked(Api::Responses, r#"{"reasoning": {"effort": "high", "summary": "auto"}, "store": false,
        "text": {"format": {"type": "json_object"}, "verbosity": "low"}, "tool_choice": "auto",
        "prompt": {"id": "p1", "version": "2", "variables": {"customer": "Ada"}}, "tools": [
            {"type": "function", "name": "find", "parameters": {}},
            {"type": "mcp", "server_label": "crm", "authorization": "hush"}, {"type": "web_search"}]}"#), @r#"
tool find: {"type": "function", "name": "find", "parameters": {}}
tool crm: {"type": "mcp", "server_label": "crm", "authorization": "hush"}
tool web_search: {"type": "web_search"}
prompt.id = "p1"
prompt.version = "2"
reasoning.effort = "high"
reasoning.summary = "auto"
store = false
text.format.type = "json_object"
text.verbosity = "low"
tool_choice = "auto"
"#);
    insta::assert_snapshot!(asked(Api::Messages, r#"{"max_tokens": 1024, "thinking": {"type": "enabled", "budget_tokens": 512},
        "mcp_servers": [{"type": "url", "name": "crm", "authorization_token": "hush"}], "tools": [
            {"name": "find", "input_schema": {}}, {"type": "web_search_20250305", "name": "web_search"}]}"#), @r#"
tool find: {"name": "find", "input_schema": {}}
tool web_search: {"type": "web_search_20250305", "name": "web_search"}
max_tokens = 1024
thinking.budget_tokens = 512
thinking.type = "enabled"
"#);
}

#[test]
fn the_snapshot_names_model_limits_settings_and_tools_without_credentials() {
    let body = r#"{"model": "gpt-5", "temperature": 1, "max_output_tokens": 9, "reasoning": {"effort": "low"}, "tools": [
        {"type": "function", "name": "find",  "description": "a \"b\" : c", "parameters": {"type" : "object"}},
        {"type": "mcp", "server_label": "crm", "headers": {"x-key": "hush"}, "authorization": "hush"}]}"#;
    let request = read_request(Api::Responses, body.as_bytes()).unwrap();
    let lines = snapshot(&request).0.into_iter();
    let shown: String = lines
        .map(|(name, value)| format!("{name} = {value}\n"))
        .collect();
    insta::assert_snapshot!(shown, @r#"
limits.max_output_tokens = 9
model.api = responses
model.name = gpt-5
params.reasoning.effort = low
params.temperature = 1
tools.crm.definition = {"type":"mcp","server_label":"crm"}
tools.find.definition = {"type":"function","name":"find","description":"a \"b\" : c","parameters":{"type":"object"}}
"#);
}

#[test]
fn what_is_no_request_is_refused_with_a_reason() {
    let mut shown = String::new();
    for (api, body) in [
        (Api::Chat, ""),
        (Api::Chat, "[]"),
        (Api::Chat, "{\"messages\": [1]}"),
        (Api::Chat, "{\"messages\": {}}"),
        (Api::Chat, "{\"messages\": [], \"messages\": []}"),
        (
            Api::Chat,
            "{\"messages\": [{\"role\": \"user\", \"rol\\u0065\": \"system\"}]}",
        ),
        (Api::Chat, "{\"messages\": [{\"role\": \"secret"),
        (Api::Responses, "{\"input\": 3}"),
        (Api::Messages, "{\"messages\": \"hi\"}"),
        (Api::Messages, "{}"),
    ] {
        shown += &format!("{body}\n  {}\n", asked(api, body).trim());
    }
    insta::assert_snapshot!(shown, @r#"
  error: the body is not JSON: EOF while parsing a value at line 1 column 0
[]
  error: expected a JSON object
{"messages": [1]}
  error: expected `messages` to be an array of messages
{"messages": {}}
  error: expected `messages` to be an array of messages
{"messages": [], "messages": []}
  error: a key occurs twice in the request
{"messages": [{"role": "user", "rol\u0065": "system"}]}
  error: a key occurs twice in a message
{"messages": [{"role": "secret
  error: the body is not JSON: EOF while parsing a string at line 1 column 30
{"input": 3}
  error: expected `input` to be a text or an array of items
{"messages": "hi"}
  error: expected `messages` to be an array of messages
{}
"#);
    let error = read_request(Api::Chat, b"{\"a\": \"\xff\"}").unwrap_err();
    assert_eq!(error.to_string(), "byte 7 of the body is not UTF-8");
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    for (api, body) in [
        (Api::Chat, format!(r#"{{"messages": {deep}}}"#)),
        (Api::Chat, format!(r#"{{"x": {deep}}}"#)),
        (
            Api::Messages,
            format!(r#"{{"messages": [{{"content": {deep}}}]}}"#),
        ),
        (
            Api::Responses,
            format!(r#"{{"input": [{{"type": "f_call", "action": {deep}}}]}}"#),
        ),
    ] {
        let _ = read_request(api, body.as_bytes());
    }
}

/// A history is read in one pass where every item is an object; these go the longer way.
#[test]
fn histories_that_are_no_lists_of_objects() {
    let mut shown = String::new();
    for (api, body) in [
        (Api::Chat, r#"{"messages": null, "model": "m"}"#),
        (
            Api::Chat,
            r#"{"messages": [{"role": "user", "content": "a"}, "b"]}"#,
        ),
        (
            Api::Chat,
            r#"{"messages": [{"role": "user"}], "messages": "b"}"#,
        ),
        (Api::Responses, r#"{"input": "cut off \ud83d here"}"#),
        (Api::Responses, r#"{"inp\u0075t": [{"content": "hi"}]}"#),
        (Api::Responses, r#"{"input": [{"content": "hi"}]} x"#),
    ] {
        shown += &format!("{body}\n{}\n", asked(api, body).trim());
    }
    insta::assert_snapshot!(shown, @r#"
{"messages": null, "model": "m"}
model m
{"messages": [{"role": "user", "content": "a"}, "b"]}
error: expected `messages` to be an array of messages
{"messages": [{"role": "user"}], "messages": "b"}
error: a key occurs twice in the request
{"input": "cut off \ud83d here"}
user "cut off � here"
{"inp\u0075t": [{"content": "hi"}]}
user "hi"
{"input": [{"content": "hi"}]} x
error: the body is not JSON: trailing characters at line 1 column 32
"#);
}

#[test]
fn text_without_escapes_is_borrowed() {
    let request = read_request(Api::Chat, CHAT.as_bytes()).unwrap();
    let borrowed = |item: &wire::llm::Item<'_>| matches!(item.text, std::borrow::Cow::Borrowed(_));
    assert!(request.items.iter().filter(|item| borrowed(item)).count() >= 5);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        for api in Api::ALL {
            let _ = read_request(api, &bytes);
        }
    }

    /// Pieces of real requests, cut and put together in any way.
    #[test]
    fn any_json_is_read_or_refused(
        which in 0_usize..3,
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
    ) {
        let mut body = [CHAT, RESPONSES, MESSAGES][which].to_owned();
        for (from, to) in cuts {
            let values: Vec<(usize, &str)> = body.match_indices(['"', '{', '[', ':', ',']).collect();
            let (from, to) = (from.get(&values).0, to.get(&values).0);
            let piece = body[from..(from + 7).min(body.len())].chars().take(3).collect::<String>();
            body.insert_str(to, &piece);
        }
        for api in Api::ALL {
            if let Ok(request) = read_request(api, body.as_bytes()) {
                let _ = snapshot(&request);
            }
        }
    }
}
