//! MCP: what a message is, how a call ended, what a tool says of itself.

use model::{ClassSource, EffectClass, FailureClass, Outcome};
use proptest::prelude::*;
use wire::jsonrpc::{Json, RpcError, read};
use wire::mcp::{Ask, Call, CallResult, CallState, Task, TaskStatus, What, class_of, read_tools};

fn json(text: &str) -> Json<'_> {
    Json::parse(text).unwrap()
}

/// Says what the one request in a body is.
fn what(body: &str) -> String {
    let body = read(body.as_bytes()).unwrap();
    let request = body.requests().next().unwrap();
    match What::of(request) {
        Ok(What::Call(call)) => show(&call),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("{}: {error}", error.code()),
    }
}

fn show(call: &Call<'_>) -> String {
    let mut out = format!("call `{}` {}", call.tool, call.arguments_text());
    if let Some(id) = &call.id {
        out += &format!(", id {id}");
    }
    if let Some(token) = &call.meta.progress_token {
        out += &format!(", progress {token}");
    }
    if let Some(trace) = &call.meta.traceparent {
        out += &format!(", trace {trace}");
    }
    if let Some(id) = &call.meta.call_id {
        out += &format!(", asked for as {id}");
    }
    if let Some(version) = &call.meta.protocol_version {
        out += &format!(", revision {version}");
    }
    if let Some(client) = &call.meta.client {
        out += &format!(", client {}", client.name);
    }
    if let Some(state) = &call.request_state {
        out += &format!(", goes on with {state}");
    }
    if call.brings_input {
        out += ", with input";
    }
    if call.as_task {
        out += ", as a task";
    }
    out
}

#[test]
fn c82_calls_of_every_revision_are_captured() {
    let table = [
        (
            r#"{"id":1,"method":"tools/call","params":{"name":"book","arguments":{"to": "Oslo"},
                "_meta":{"progressToken":"p","traceparent":"00-ab-cd-01"}}}"#,
            r#"call `book` {"to": "Oslo"}, id 1, progress "p", trace 00-ab-cd-01"#,
        ),
        (
            r#"{"id":"x","method":"tools/call","params":{"name":"now"}}"#,
            r#"call `now` {}, id "x""#,
        ),
        // Some clients tell under which id the model asked for it.
        (
            r#"{"id":1,"method":"tools/call","params":{"name":"now","_meta":{"claudecode/toolUseId":"toolu_1"}}}"#,
            "call `now` {}, id 1, asked for as toolu_1",
        ),
        // Nobody waits for it, and a server may run it.
        (
            r#"{"method":"tools/call","params":{"name":"now","arguments":null}}"#,
            "call `now` {}",
        ),
        (
            r#"{"id":1,"method":"tools/call","params":{"name":"t","task":{"ttl":60000}}}"#,
            "call `t` {}, id 1, as a task",
        ),
        (
            r#"{"id":2,"method":"tools/call","params":{"name":"t","arguments":{},"requestState":"s\/1","inputResponses":{"a":{}},
                "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}}}}"#,
            "call `t` {}, id 2, revision 2026-07-28, client c, goes on with s/1, with input",
        ),
        (
            r#"{"id":1,"method":"tools/call"}"#,
            "-32602: `tools/call` needs a `name` that is a string",
        ),
        (
            r#"{"id":1,"method":"tools/call","params":["now"]}"#,
            "-32602: `tools/call` needs parameters that are an object",
        ),
        (
            r#"{"id":1,"method":"tools/call","params":{"name":7}}"#,
            "-32602: `tools/call` needs a `name` that is a string",
        ),
        (
            r#"{"id":1,"method":"tools/call","params":{"name":"read","name":"delete"}}"#,
            "-32600: the message can be read in two ways: the key `name` occurs twice in one object",
        ),
        (
            r#"{"id":1,"method":"tools/call","params":{"name":"read","Arguments":{}}}"#,
            "-32600: the message can be read in two ways: `Arguments` may be taken for `arguments`",
        ),
    ];
    for (body, expected) in table {
        assert_eq!(what(body), expected, "{body}");
    }
}

#[test]
fn every_other_message_is_told_by_its_method() {
    let table = [
        (r#"{"id":1,"method":"tools/list"}"#, "ListTools"),
        (r#"{"id":1,"method":"server/discover"}"#, "Discover"),
        (r#"{"id":1,"method":"ping"}"#, "Ping"),
        (
            r#"{"id":1,"method":"subscriptions/listen","params":{}}"#,
            "Listen",
        ),
        (
            r#"{"id":1,"method":"tasks/get","params":{"taskId":"t"}}"#,
            r#"Task(Get, "t")"#,
        ),
        (
            r#"{"id":1,"method":"tasks/update","params":{"taskId":"t"}}"#,
            r#"Task(Update, "t")"#,
        ),
        (
            r#"{"id":1,"method":"tasks/result","params":{}}"#,
            r#"Other("tasks/result")"#,
        ),
        (
            r#"{"id":1,"method":"sampling/createMessage"}"#,
            "Ask(Sampling)",
        ),
        (
            r#"{"id":1,"method":"elicitation/create"}"#,
            "Ask(Elicitation)",
        ),
        (r#"{"id":1,"method":"roots/list"}"#, "Ask(Roots)"),
        (
            r#"{"method":"notifications/progress","params":{"progressToken":7,"progress":1}}"#,
            r#"Progress(Some(Id("7")))"#,
        ),
        (
            r#"{"method":"notifications/cancelled","params":{"requestId":"a"}}"#,
            r#"Cancelled(Some(Id("\"a\"")))"#,
        ),
        (r#"{"method":"notifications/cancelled"}"#, "Cancelled(None)"),
        (
            r#"{"method":"notifications/tools/list_changed"}"#,
            "ListChanged(Tools)",
        ),
        (
            r#"{"method":"notifications/message","params":{"level":"info"}}"#,
            "Log",
        ),
        (
            r#"{"id":1,"method":"Tools/Call"}"#,
            r#"Other("Tools/Call")"#,
        ),
        (
            r#"{"id":1,"method":"resources/read","params":{"uri":"file:///a"}}"#,
            r#"Other("resources/read")"#,
        ),
    ];
    for (body, expected) in table {
        assert_eq!(what(body), expected, "{body}");
    }
    insta::assert_snapshot!(
        what(r#"{"id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"2"}}}"#),
        @r#"Initialize(Initialize { protocol_version: Some("2025-06-18"), client: Some(Client { name: "c", version: Some("2") }) })"#
    );
}

const FAILED: Outcome = Outcome::Failed {
    class: FailureClass::Error,
};

#[test]
fn c82_a_call_ends_as_its_result_says_and_not_before() {
    let table = [
        (
            r#"{"content":[{"type":"text","text":"ok"}]}"#,
            Outcome::Succeeded,
        ),
        (r#"{"content":[],"isError":false}"#, Outcome::Succeeded),
        (
            r#"{"resultType":"complete","content":[]}"#,
            Outcome::Succeeded,
        ),
        (
            r#"{"content":[{"type":"text","text":"no such order"}],"isError":true}"#,
            FAILED,
        ),
        // A failure never passes for a success, however it is written.
        (r#"{"content":[],"isError":"true"}"#, FAILED),
        (
            r#"{"content":[],"isError":true,"isError":false}"#,
            Outcome::Unknown,
        ),
        (
            r#"{"resultType":"input_required","requestState":"s"}"#,
            Outcome::Unknown,
        ),
        (
            r#"{"resultType":"input_required","isError":true}"#,
            Outcome::Unknown,
        ),
        (
            r#"{"task":{"taskId":"t","status":"working"}}"#,
            Outcome::Unknown,
        ),
        (
            r#"{"resultType":"task","taskId":"t","status":"working"}"#,
            Outcome::Unknown,
        ),
        (
            r#"{"resultType":"task","taskId":"t","status":"cancelled"}"#,
            Outcome::Cancelled,
        ),
        (
            r#"{"resultType":"task","status":"completed"}"#,
            Outcome::Unknown,
        ),
        (r#"{"resultType":"later"}"#, Outcome::Unknown),
        ("null", Outcome::Unknown),
        (r#"["ok"]"#, Outcome::Unknown),
    ];
    for (result, outcome) in table {
        assert_eq!(
            CallResult::read(json(result)).outcome(),
            outcome,
            "{result}"
        );
    }
}

#[test]
fn c82_a_task_ends_in_its_three_terminal_states_only() {
    let table = [
        (r#"{"taskId":"t","status":"working"}"#, Outcome::Unknown),
        (
            r#"{"taskId":"t","status":"input_required"}"#,
            Outcome::Unknown,
        ),
        (r#"{"taskId":"t","status":"rejected"}"#, Outcome::Unknown),
        (r#"{"taskId":"t","status":"completed"}"#, Outcome::Succeeded),
        (
            r#"{"taskId":"t","status":"completed","result":{"content":[]}}"#,
            Outcome::Succeeded,
        ),
        (
            r#"{"taskId":"t","status":"completed","result":{"content":[],"isError":true}}"#,
            FAILED,
        ),
        // What ended is no task any more.
        (
            r#"{"taskId":"t","status":"completed","result":{"resultType":"task","taskId":"t","status":"completed"}}"#,
            Outcome::Unknown,
        ),
        (r#"{"taskId":"t","status":"failed"}"#, FAILED),
        (
            r#"{"taskId":"t","status":"failed","error":{"code":-32602,"message":"no"}}"#,
            Outcome::Failed {
                class: FailureClass::Invalid,
            },
        ),
        (r#"{"taskId":"t","status":"cancelled"}"#, Outcome::Cancelled),
    ];
    for (text, outcome) in table {
        let task = Task::read(json(text)).unwrap();
        assert_eq!(task.outcome(), outcome, "{text}");
        assert!(task.status.is_terminal() || outcome == Outcome::Unknown);
    }
    assert_eq!(Task::read(json(r#"{"status":"completed"}"#)), None);
}

#[test]
fn what_a_call_waits_for_is_told() {
    let result = r#"{"resultType":"input_required","requestState":"s","inputRequests":{
        "a":{"method":"elicitation/create","params":{}},"b":{"method":"sampling/createMessage"},"c":{"method":"later"}}}"#;
    let expected = CallState::InputRequired {
        request_state: Some("s".into()),
        asks: vec![Ask::Elicitation, Ask::Sampling],
    };
    assert_eq!(CallResult::read(json(result)).state, expected);
    let result = CallResult::read(json(
        r#"{"task":{"taskId":"t","status":"working","ttl":1}}"#,
    ));
    let CallState::Task(task) = result.state else {
        panic!("a task");
    };
    assert_eq!((&*task.id, task.status), ("t", TaskStatus::Working));
}

#[test]
fn content_is_joined_and_what_is_no_text_is_noted() {
    let result = r#"{"content":[
        {"type":"text","text":"one"},
        {"type":"image","data":"aGk=","mimeType":"image/png"},
        {"type":"resource","resource":{"uri":"file:///a","mimeType":"text/plain","text":"two\ud800"}},
        {"type":"resource_link","uri":"file:///b","name":"b"},
        {"type":"text"}, 7],
        "structuredContent":{"n": 1}}"#;
    insta::assert_debug_snapshot!(CallResult::read(json(result)), @r#"
    CallResult {
        state: Complete,
        is_error: false,
        text: "one\ntwo�",
        structured: Some(
            Json(
                "{\"n\": 1}",
            ),
        ),
        other: [
            Content {
                kind: "image",
                media_type: Some(
                    "image/png",
                ),
                uri: None,
            },
            Content {
                kind: "resource",
                media_type: Some(
                    "text/plain",
                ),
                uri: Some(
                    "file:///a",
                ),
            },
            Content {
                kind: "resource_link",
                media_type: None,
                uri: Some(
                    "file:///b",
                ),
            },
            Content {
                kind: "",
                media_type: None,
                uri: None,
            },
        ],
    }
    "#);
}

#[test]
fn errors_have_the_class_that_their_code_says() {
    let class = |code| {
        class_of(&RpcError {
            code,
            message: "".into(),
            data: None,
        })
    };
    for code in [-32700, -32600, -32601, -32602, -32020, -32021, -32022] {
        assert_eq!(class(code), FailureClass::Invalid, "{code}");
    }
    assert_eq!(class(-32002), FailureClass::NotFound);
    assert_eq!(class(-32042), FailureClass::Denied);
    assert_eq!(class(-32603), FailureClass::Server);
    // Each implementation's own.
    for code in [-32000, -32001, -32019, 0, 1] {
        assert_eq!(class(code), FailureClass::Error, "{code}");
    }
}

#[test]
fn the_class_of_an_effect_follows_what_the_tool_says() {
    use EffectClass::{Compensable, Idempotent, Read, Unreviewed};
    let pair = r#""x-compensation-pair":"cancel""#;
    let recovery = r#""recovery":{"strategy":"compensation","compensatingOperation":{"operationId":"cancel","parameters":{"id":"$response.body#/id"}}}"#;
    let table = [
        (String::new(), Unreviewed),
        (r#","annotations":{}"#.into(), Unreviewed),
        (r#","annotations":{"readOnlyHint":true}"#.into(), Read),
        (
            r#","annotations":{"readOnlyHint":"true"}"#.into(),
            Unreviewed,
        ),
        (
            r#","annotations":{"readOnlyHint":false}"#.into(),
            Unreviewed,
        ),
        (
            r#","annotations":{"destructiveHint":false}"#.into(),
            Unreviewed,
        ),
        (
            r#","annotations":{"destructiveHint":true}"#.into(),
            Unreviewed,
        ),
        (
            r#","annotations":{"idempotentHint":true}"#.into(),
            Idempotent,
        ),
        (
            r#","annotations":{"idempotentHint":true,"destructiveHint":false}"#.into(),
            Idempotent,
        ),
        (
            r#","annotations":{"idempotentHint":true,"destructiveHint":true}"#.into(),
            Unreviewed,
        ),
        (
            r#","annotations":{"readOnlyHint":true,"idempotentHint":true}"#.into(),
            Read,
        ),
        (format!(r#","annotations":{{{pair}}}"#), Compensable),
        // Who names an undo admits that there is something to undo.
        (
            format!(r#","annotations":{{"readOnlyHint":true,{pair}}}"#),
            Compensable,
        ),
        (
            format!(r#","annotations":{{"destructiveHint":true,{recovery}}}"#),
            Compensable,
        ),
        (format!(r#","_meta":{{{pair}}}"#), Compensable),
        (
            r#","_meta":{"com.example/x-compensation-pair":"cancel"}"#.into(),
            Compensable,
        ),
        (format!(",{pair}"), Compensable),
        (
            format!(r#","inputSchema":{{"type":"object",{pair}}}"#),
            Compensable,
        ),
        (
            r#","annotations":{"x-compensation-pair":""}"#.into(),
            Unreviewed,
        ),
        (
            r#","annotations":{"recovery":{"strategy":"manual-only"}}"#.into(),
            Unreviewed,
        ),
        (
            r#","annotations":{"recovery":{"strategy":"compensation"}}"#.into(),
            Unreviewed,
        ),
        (
            r#","annotations":{"x-action-type":"read"}"#.into(),
            Unreviewed,
        ),
    ];
    for (fields, class) in table {
        let text = format!(r#"{{"tools":[{{"name":"book"{fields}}}]}}"#);
        let tools = read_tools(json(&text));
        assert_eq!(tools[0].effect_class(), class, "{text}");
        let by = match class {
            Compensable => Some(ClassSource::Metadata),
            Read | Idempotent => Some(ClassSource::Annotations),
            _ => None,
        };
        assert_eq!(tools[0].said().map(|(_, by)| by), by, "{text}");
        if let Some(compensation) = &tools[0].compensation {
            assert_eq!(compensation.tool, "cancel");
            let bindings = fields.contains("recovery").then(|| {
                let id = ("id".to_owned(), "$response.body#/id".to_owned());
                vec![id]
            });
            assert_eq!(compensation.bindings(), bindings);
        }
    }
}

#[test]
fn tools_are_read_as_they_are_listed() {
    let result = r#"{"tools":[
        {"name":"a","title":"A","description":"does a","inputSchema":{"type": "object"}},
        {"title":"nameless"},
        {"name":"b","annotations":{"title":"B","openWorldHint":false}}],"nextCursor":"x"}"#;
    let tools = read_tools(json(result));
    assert_eq!(tools.len(), 2);
    assert_eq!(tools[0].title.as_deref(), Some("A"));
    assert_eq!(tools[0].description.as_deref(), Some("does a"));
    assert_eq!(
        tools[0].input_schema.map(Json::text),
        Some(r#"{"type": "object"}"#)
    );
    assert_eq!(tools[1].title.as_deref(), Some("B"));
    assert_eq!(tools[1].annotations.open_world, Some(false));
    assert!(tools[1].raw.text().starts_with(r#"{"name":"b""#));
    for nothing in ["{}", "null", r#"{"tools":{}}"#, r#"{"tools":[7]}"#] {
        assert!(read_tools(json(nothing)).is_empty());
    }
}

proptest! {
    #[test]
    fn any_json_is_read(text in "(\\{|\\[|\\}|\\]|,|:|\"name\"|\"tools\"|\"result\"|\"task\"|\"taskId\"|\"status\"|\"completed\"|\"content\"|1| ){0,24}") {
        if let Ok(json) = Json::parse(&text) {
            let _ = (read_tools(json), CallResult::read(json).outcome(), Task::read(json));
        }
        if let Ok(body) = read(text.as_bytes()) {
            for request in body.requests() {
                let _ = What::of(request);
            }
        }
    }
}
