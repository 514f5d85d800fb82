//! Nothing that a source says is lost (C79), and each step says what it cannot know (C78).

use serde_json::{Map, Value, json};
use wire::import::{Format, Options, Run, Step, read};

use crate::support::check;

/// A small file of each format, with everything in it that the decoder opens.
pub(crate) fn fixtures() -> [(Format, Value); 6] {
    let chat = json!({
        "request": {"model": "m", "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "u"}, {"type": "image_url", "image_url": {"url": "x"}}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "z", "content": "2"}
        ], "tools": [{"type": "function", "function": {"name": "f"}}]},
        "response": {"id": "r", "choices": [{"message": {"role": "assistant", "content": "done", "reasoning_content": "why"}}], "usage": {"total": 3}}
    });
    let atif = json!({"task": "t", "trajectory": {
        "schema_version": "ATIF-v1.2", "session_id": "s", "agent": {"name": "a", "version": "1", "model_name": "m", "extra": {"cwds": ["/"]}},
        "steps": [
            {"step_id": 1, "timestamp": "2026-04-01T16:52:52Z", "source": "user", "message": "hi", "extra": {"k": false}},
            {"step_id": 2, "source": "agent", "message": "x", "reasoning_content": "r", "metrics": {"prompt_tokens": 1},
             "tool_calls": [{"tool_call_id": "c", "function_name": "f", "arguments": {"p": 1}}, {"tool_call_id": "d", "function_name": "g", "arguments": {}}],
             "observation": {"results": [{"source_call_id": "c", "content": "ok"}, {"source_call_id": "q", "content": "?"}]},
             "extra": {"tool_result_metadata": {"is_error": false, "raw_tool_result": {"tool_use_id": "c"}}}}],
        "final_metrics": {"total_steps": 2}}});
    let otlp = json!({"resourceSpans": [
        {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]}, "schemaUrl": "u", "scopeSpans": [
            {"scope": {"name": "n", "attributes": []}, "spans": [
                {"traceId": "t", "spanId": "1", "name": "chat", "startTimeUnixNano": "1", "endTimeUnixNano": "2", "status": {"code": 1},
                 "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                    {"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
                    {"key": "gen_ai.input.messages", "value": {"arrayValue": {"values": [{"kvlistValue": {"values": [{"key": "role", "value": {"stringValue": "user"}}]}}]}}}],
                 "events": [{"name": "e", "timeUnixNano": "1", "attributes": [{"key": "k", "value": {"boolValue": true}}]}],
                 "links": [{"traceId": "o", "spanId": "9", "attributes": []}]},
                {"traceId": "t", "spanId": "2", "parentSpanId": "1", "name": "execute_tool f", "startTimeUnixNano": "1",
                 "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "execute_tool"}}]},
                {"traceId": "u", "spanId": "1", "name": "other"}]},
            {"scope": {"name": "unused"}, "spans": []}]},
        {"resource": {"attributes": []}, "scopeSpans": []}]});
    let flat = json!({"schema": "otel-json-local-v0", "run_id": "r", "task_metadata": {"d": {"e": 1}}, "spans": [
        {"trace_id": "t", "span_id": "1", "name": "n", "start_time_unix_ns": 1, "end_time_unix_ns": 2, "status": {"status_code": "OK"},
         "attributes": {"gen_ai.agent.name": "a", "x": {"y": 1}}, "events": [{"name": "e", "attributes": {"target_agent": "b"}}]}]});
    let history = json!({"question_ID": "q", "ground_truth": "g", "mistake_step": "1", "system_prompt": {"Expert": "p"}, "history": [
        {"role": "human", "content": "h"}, {"role": "Boss (-> Worker)", "content": "w"}, {"role": "assistant", "name": "Expert", "content": "e"}]});
    let langfuse = json!({"trace": {"id": "t", "name": "n", "timestamp": "2026-04-01T16:52:52Z", "tags": [{"a": 1}], "metadata": {"attributes": {"k": 1}},
            "observations": [{"id": "1", "type": "SPAN", "usageDetails": {"in": 1}}, {"id": "3", "type": "EVENT"}]},
        "observations": [
            {"id": "1", "traceId": "t", "type": "SPAN", "name": "s", "startTime": "2026-04-01T16:52:52Z", "endTime": "2026-04-01T16:52:53Z", "metadata": {"attributes": {"k": {"l": 1}}}},
            {"id": "2", "traceId": "t", "type": "GENERATION", "name": "g", "parentObservationId": "1", "model": "m", "input": {"messages": [{"role": "user"}]}, "output": {"role": "assistant"}, "level": "DEFAULT",
             "startTime": "2026-04-01T16:52:52Z", "endTime": "2026-04-01T16:52:53Z"}]});
    [
        (Format::OpenaiChat, chat),
        (Format::Atif, atif),
        (Format::OtlpJson, otlp),
        (Format::OtlpJson, flat),
        (Format::WhoAndWhen, history),
        (Format::Langfuse, langfuse),
    ]
}

fn read_checked(format: Format, text: &str) -> Vec<Run<'_>> {
    let runs = read(format, text.as_bytes(), &Options::default()).unwrap();
    runs.iter().for_each(check);
    runs
}

/// Every path of keys down to a value that holds no other, without the names of array places.
fn leaves(value: &Value, key: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            object
                .iter()
                .for_each(|(key, value)| leaves(value, key, into));
        }
        Value::Array(array) if !array.is_empty() => {
            array.iter().for_each(|value| leaves(value, key, into));
        }
        other => into.push(format!("{key}={other}")),
    }
}

/// What the runs keep: the leaves of every source and every rest.
fn kept(runs: &[Run<'_>]) -> Vec<String> {
    let mut all = Vec::new();
    for run in runs {
        let sources = run.steps.iter().map(|step| &*step.source);
        for text in sources.chain(run.rest.as_deref()) {
            let value: Value = serde_json::from_str(text).unwrap();
            leaves(&value, "", &mut all);
        }
    }
    all
}

/// The leaves of a file that its runs do not keep, each as often as it is missing.
pub(crate) fn lost(file: &Value, runs: &[Run<'_>]) -> Vec<String> {
    let mut wanted = Vec::new();
    leaves(file, "", &mut wanted);
    let mut kept = kept(runs);
    wanted.sort_unstable();
    kept.sort_unstable();
    let mut kept = kept.into_iter().peekable();
    wanted.retain(|leaf| {
        while kept.peek().is_some_and(|other| other < leaf) {
            kept.next();
        }
        kept.next_if(|other| other == leaf).is_none()
    });
    wanted
}

#[test]
fn c79_every_value_of_a_file_is_in_a_source_or_in_the_rest() {
    for (format, file) in fixtures() {
        let text = file.to_string();
        let runs = read_checked(format, &text);
        assert_eq!(lost(&file, &runs), Vec::<String>::new(), "{format}");
    }
}

#[test]
fn c79_a_field_that_nobody_knows_is_kept_wherever_it_stands() {
    /// Puts one new field into the object with this number, counted in reading order.
    fn mark(value: &mut Value, target: usize, count: &mut usize) {
        match value {
            Value::Object(object) => {
                if *count == target {
                    object.insert(
                        "x-new".to_owned(),
                        json!({"deep": [format!("mark {target}")]}),
                    );
                }
                *count += 1;
                object
                    .values_mut()
                    .for_each(|value| mark(value, target, count));
            }
            Value::Array(array) => array
                .iter_mut()
                .for_each(|value| mark(value, target, count)),
            _ => {}
        }
    }
    for (format, file) in fixtures() {
        let mut objects = 0;
        mark(&mut file.clone(), usize::MAX, &mut objects);
        assert!(objects > 3, "{format}");
        for target in 0..objects {
            let mut marked = file.clone();
            mark(&mut marked, target, &mut 0);
            let text = marked.to_string();
            let runs = read_checked(format, &text);
            let wanted = format!("deep=\"mark {target}\"");
            assert!(kept(&runs).contains(&wanted), "{format}: {text}");
        }
    }
}

#[test]
fn c79_what_the_fields_of_a_message_say_is_kept_once_and_the_rest_beside_them() {
    let call = r#"{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}"#;
    let file = format!(
        r#"{{"messages":[
        {{"role":"user","content":"hi"}},
        {{"role":"user","content":"hi","tool_calls":null,"turn_idx":3}},
        {{"role":"user","name":"bob","content":"hi"}},
        {{"role":"developer","content":"hi"}},
        {{"role":"user","content":[{{"type":"text","text":"hi"}}]}},
        {{"role":"assistant","content":null}},
        {{"role":"assistant","content":"Look.","tool_calls":[{call}]}},
        {{"role":"tool","tool_call_id":"c","name":"f","content":"1","x":[2.50]}},
        {{"role":"assistant","content":null,"tool_calls":[{}]}}
        ],"choices":[
        {{"message":{{"role":"assistant","content":"no"}},"finish_reason":"stop"}}]}}"#,
        call.replace(r#""c""#, r#""d""#),
    );
    let runs = read_checked(Format::OpenaiChat, &file);
    let unsaid: Vec<&str> = runs[0]
        .steps
        .iter()
        .map(|step| step.unsaid().unwrap_or("nothing"))
        .collect();
    insta::assert_snapshot!(unsaid.join("\n"), @r#"
    nothing
    {"turn_idx":3}
    {"role":"user"}
    {"role":"developer"}
    {"content":[{"type":"text","text":"hi"}]}
    {"role":"assistant","content":null}
    {"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}
    {"x":[2.50]}
    nothing
    {"id":"d","type":"function","function":{"name":"f","arguments":"{}"}}
    {"message":{"role":"assistant","content":"no"},"finish_reason":"stop"}
    "#);
    let file = r#"{"history":[
        {"role":"human","content":"go"},
        {"role":"assistant","name":"Coder","content":"done"},
        {"role":"Orchestrator (thought)","content":"next","k":1}]}"#;
    let runs = read_checked(Format::WhoAndWhen, file);
    let unsaid: Vec<&str> = runs[0]
        .steps
        .iter()
        .map(|step| step.unsaid().unwrap_or("nothing"))
        .collect();
    insta::assert_snapshot!(unsaid.join("\n"), @r#"
    nothing
    {"role":"assistant"}
    {"role":"Orchestrator (thought)","k":1}
    "#);
}

#[test]
fn c79_lines_keep_what_stands_around_their_messages() {
    let lines = [
        json!({"id": 1, "messages": [{"role": "user", "content": "a", "k": 1}]}),
        json!({"id": 2, "messages": [{"role": "user", "content": "a", "k": 2}, {"role": "assistant", "content": "b"}]}),
    ];
    let text = format!("{}\n{}\n", lines[0], lines[1]);
    let runs = read_checked(Format::OpenaiChat, &text);
    assert_eq!(runs.len(), 1);
    assert_eq!(lost(&json!(lines), &runs), Vec::<String>::new());
}

#[test]
fn c78_each_step_accounts_for_what_it_cannot_know() {
    let mut shown = String::new();
    for (format, file) in fixtures() {
        let text = file.to_string();
        for run in read_checked(format, &text) {
            shown += &format!("{format} {}\n", run.position);
            run.steps.iter().for_each(|step| shown += &account(step));
        }
    }
    insta::assert_snapshot!(shown, @r"
openai-chat the whole file
  message ``: knows agent chosen effects outcome; partly causes; cannot know approvals asked environment options policy reasoning times
  message ``: knows agent chosen effects outcome; partly causes; cannot know approvals asked environment options policy reasoning times
  inference `m`: knows chosen effects outcome; partly agent asked causes environment; cannot know approvals options policy reasoning times
  tool-call `f`: knows asked chosen; partly agent causes effects outcome; cannot know approvals environment options policy reasoning times
  tool-call `g`: knows asked chosen; partly agent causes effects; cannot know approvals environment options outcome policy reasoning times
  tool-call `unknown`: knows chosen; partly agent causes effects outcome; cannot know approvals asked environment options policy reasoning times
  inference `m`: knows chosen effects outcome; partly agent asked causes environment reasoning; cannot know approvals options policy times
atif the whole file
  message ``: knows agent chosen effects outcome; partly causes times; cannot know approvals asked environment options policy reasoning
  inference `m`: knows agent chosen effects outcome; partly asked causes environment reasoning; cannot know approvals options policy times
  tool-call `f`: knows agent asked chosen outcome; partly causes effects environment; cannot know approvals options policy reasoning times
  tool-call `g`: knows agent asked chosen; partly causes effects environment; cannot know approvals options outcome policy reasoning times
  tool-call `unknown`: knows chosen; partly agent causes effects outcome; cannot know approvals asked environment options policy reasoning times
otlp-json the whole file, trace t
  inference `m`: knows asked effects outcome times; partly agent causes environment; cannot know approvals chosen options policy reasoning
  tool-call `f`: knows chosen; partly agent causes effects times; cannot know approvals asked environment options outcome policy reasoning
otlp-json the whole file, trace u
  step `other`: knows chosen; partly agent asked causes effects; cannot know approvals environment options outcome policy reasoning times
otlp-json the whole file
  step `n`: knows agent chosen outcome times; partly asked causes effects; cannot know approvals environment options policy reasoning
who-and-when the whole file
  message ``: knows agent chosen effects outcome; partly causes; cannot know approvals asked environment options policy reasoning times
  message ``: knows agent chosen effects outcome; partly causes; cannot know approvals asked environment options policy reasoning times
  inference `unknown`: knows agent chosen effects outcome; partly asked causes; cannot know approvals environment options policy reasoning times
langfuse the whole file
  step `n`: knows chosen; partly agent asked causes effects outcome times; cannot know approvals environment options policy reasoning
  step ``: knows chosen; partly agent asked causes effects outcome; cannot know approvals environment options policy reasoning times
  step `s`: knows chosen times; partly agent asked causes effects outcome; cannot know approvals environment options policy reasoning
  inference `m`: knows asked chosen effects times; partly agent causes environment outcome; cannot know approvals options policy reasoning
");
}

fn account(step: &Step<'_>) -> String {
    let account = step.gaps.account();
    let known = model::Account::FIELDS.iter().filter(|field| {
        let named = |list: &[std::borrow::Cow<'_, str>]| list.iter().any(|name| name == *field);
        let (partly, unknowable) = (named(&account.partly), named(&account.unknowable));
        assert!(!(partly && unknowable), "{field} is in both lists");
        !partly && !unknowable
    });
    let known: Vec<&str> = known.copied().collect();
    format!(
        "  {} `{}`: knows {}; partly {}; cannot know {}\n",
        step.kind.name(),
        step.name.as_deref().unwrap_or_default(),
        known.join(" "),
        account.partly.join(" "),
        account.unknowable.join(" "),
    )
}

/// Objects have to be told apart from their text: a map with the same keys is the same.
#[test]
fn the_test_itself_sees_what_is_lost() {
    let text = r#"[{"role": "user", "content": "a"}]"#;
    let runs = read_checked(Format::OpenaiChat, text);
    let mut more = Map::new();
    more.insert("role".to_owned(), json!("user"));
    more.insert("content".to_owned(), json!("a"));
    assert!(lost(&json!([more]), &runs).is_empty());
    assert_eq!(
        lost(&json!([more, {"role": "user"}]), &runs),
        ["role=\"user\""]
    );
}
