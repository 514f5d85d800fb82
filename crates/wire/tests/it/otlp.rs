//! `otlp-json`.

use wire::import::Format;

use crate::support::play;

fn otlp(text: &str) -> String {
    play(Format::OtlpJson, text)
}

#[test]
fn spans_in_any_order_become_a_tree_with_kinds() {
    insta::assert_snapshot!(otlp(r#"{"resourceSpans": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "shop"}},
            {"key": "replicas", "value": {"intValue": "3"}}]},
        "scopeSpans": [{"scope": {"name": "genai", "version": "1"}, "spans": [
            {"traceId": "t1", "spanId": "d", "parentSpanId": "b", "name": "execute_tool find", "kind": 3,
             "startTimeUnixNano": "1700000003000000000", "endTimeUnixNano": "1700000004000000000",
             "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "execute_tool"}},
                {"key": "gen_ai.tool.name", "value": {"stringValue": "find"}},
                {"key": "gen_ai.tool.call.id", "value": {"stringValue": "call_1"}},
                {"key": "gen_ai.tool.call.arguments", "value": {"stringValue": "{\"order\":\"W1\"}"}}],
             "status": {"code": 2, "message": "no answer"},
             "events": [{"timeUnixNano": "1700000003500000000", "name": "exception", "attributes": [
                {"key": "exception.type", "value": {"stringValue": "TimeoutError"}}]}]},
            {"traceId": "t1", "spanId": "c", "parentSpanId": "b", "name": "chat m",
             "startTimeUnixNano": "1700000001000000000", "endTimeUnixNano": "1700000002000000000",
             "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                {"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
                {"key": "gen_ai.input.messages", "value": {"arrayValue": {"values": [{"kvlistValue": {"values": [
                    {"key": "role", "value": {"stringValue": "user"}}, {"key": "n", "value": {"intValue": "7"}}]}}]}}},
                {"key": "gen_ai.output.messages", "value": {"stringValue": "[{\"role\":\"assistant\",\"parts\":[{\"type\":\"tool_call\",\"id\":\"call_1\",\"name\":\"find\"}]}]"}}],
             "status": {}},
            {"traceId": "t1", "spanId": "b", "parentSpanId": "a", "name": "invoke_agent helper",
             "startTimeUnixNano": "1700000000500000000", "endTimeUnixNano": "1700000005000000000",
             "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "invoke_agent"}},
                {"key": "input.value", "value": {"stringValue": "help"}},
                {"key": "output.value", "value": {"stringValue": "helped"}}],
             "status": {"code": "STATUS_CODE_OK"}},
            {"traceId": "t1", "spanId": "a", "parentSpanId": "", "name": "invoke_agent boss",
             "startTimeUnixNano": "1700000000900000000",
             "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "invoke_agent"}},
                {"key": "gen_ai.agent.name", "value": {"stringValue": "boss"}},
                {"key": "gen_ai.agent.version", "value": {"stringValue": "4"}}]}
        ]}, {"scope": {"name": "empty"}, "spans": []}]}], "note": "kept"}"#), @r#"
run at the whole file, id t1, titled invoke_agent boss, started 1700000000500000
  model.name = m
  resource.replicas = 3
  resource.service.name = shop
  0 step by boss 4 `invoke_agent boss` Unknown 1700000000900000..? @/resourceSpans/0/scopeSpans/0/spans/3
  1 message by boss to helper `invoke_agent helper` chosen="help" result="helped" in 0 <-0 parent (parent_span_id) 1700000000500000..1700000005000000 @/resourceSpans/0/scopeSpans/0/spans/2
  2 inference by helper `m` asked=json "[{\"role\":\"user\",\"n\":7}]" chosen=json "[{\"role\":\"assistant\",\"parts\":[{\"type\":\"tool_call\",\"id\":\"call…" in 1 <-1 parent (parent_span_id) 1700000001000000..1700000002000000 @/resourceSpans/0/scopeSpans/0/spans/1
  3 tool-call by helper `find` asked=json "{\"order\":\"W1\"}" result="no answer" id=call_1 in 1 <-1 parent (parent_span_id) <-2 call (call id) FAILED Timeout 1700000003000000..1700000004000000 @/resourceSpans/0/scopeSpans/0/spans/0
  rest {"note":"kept","withoutSpans":[{"scope": {"name": "empty"}, "spans": []}],"resourceSpans":[{"resource":{"attributes": [
            {"key": "service.name", "value": {"stringValue": "shop"}},
            {"key": "replicas", "value": {"intValue": "3"}}]},"scopeSpans":[{"scope":{"name": "genai", "version": "1"}}]}]}
"#);
}

#[test]
fn openinference_and_older_names_are_understood() {
    insta::assert_snapshot!(otlp(r#"{"resourceSpans": [{"scopeSpans": [{"spans": [
        {"traceId": "t", "spanId": "1", "name": "LLM", "startTimeUnixNano": "1000000", "endTimeUnixNano": "2000000", "attributes": [
            {"key": "openinference.span.kind", "value": {"stringValue": "LLM"}},
            {"key": "llm.model_name", "value": {"stringValue": "gpt-4o"}},
            {"key": "llm.input_messages.1.message.content", "value": {"stringValue": "hi"}},
            {"key": "llm.input_messages.1.message.role", "value": {"stringValue": "user"}},
            {"key": "llm.input_messages.0.message.role", "value": {"stringValue": "system"}},
            {"key": "llm.output_messages.0.message.tool_calls.0.tool_call.id", "value": {"stringValue": "x1"}}]},
        {"traceId": "t", "spanId": "2", "parentSpanId": "1", "name": "lookup", "startTimeUnixNano": "1500000", "endTimeUnixNano": "1600000", "attributes": [
            {"key": "openinference.span.kind", "value": {"stringValue": "TOOL"}},
            {"key": "tool_call.id", "value": {"stringValue": "x1"}},
            {"key": "input.value", "value": {"stringValue": "{}"}},
            {"key": "output.value", "value": {"doubleValue": 1.5}}]},
        {"traceId": "t", "spanId": "3", "name": "openai.chat", "startTimeUnixNano": "1700000", "endTimeUnixNano": "1800000",
         "links": [{"traceId": "t", "spanId": "2"}, {"traceId": "other", "spanId": "9"}], "attributes": [
            {"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
            {"key": "gen_ai.prompt.0.content", "value": {"stringValue": "old"}},
            {"key": "gen_ai.completion.0.content", "value": {"stringValue": "new"}}]},
        {"traceId": "t", "spanId": "4", "parentSpanId": "gone", "name": "step", "startTimeUnixNano": "1900000", "endTimeUnixNano": "2000000"},
        {"traceId": "u", "spanId": "1", "name": "other trace", "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    ]}]}]}"#), @r#"
run at the whole file, trace t, id t, titled LLM, started 1000
  model.name = gpt-4o, m
  0 inference by unknown `gpt-4o` asked=json "[{\"message\":{\"role\":\"system\"}},{\"message\":{\"content\":\"hi\",\"r…" chosen=json "[{\"message\":{\"tool_calls\":[{\"tool_call\":{\"id\":\"x1\"}}]}}]" 1000..2000 @/resourceSpans/0/scopeSpans/0/spans/0
  1 tool-call by unknown `lookup` asked=json "{}" result=json "1.5" id=x1 in 0 <-0 parent (parent_span_id) <-0 call (call id) 1500..1600 @/resourceSpans/0/scopeSpans/0/spans/1
  2 inference by unknown `m` asked=json "[{\"content\":\"old\"}]" chosen=json "[{\"content\":\"new\"}]" <-1 parent (links) 1700..1800 @/resourceSpans/0/scopeSpans/0/spans/2
  3 step by unknown `step` [missing parent] 1900..2000 @/resourceSpans/0/scopeSpans/0/spans/3
  rest {"resourceSpans":[{"scopeSpans":[{}]}]}
run at the whole file, trace u, id u, titled other trace, started 0
  0 step by unknown `other trace` 0..0 @/resourceSpans/0/scopeSpans/0/spans/4
  rest {"resourceSpans":[{"scopeSpans":[{}]}]}
"#);
}

#[test]
fn exports_on_several_lines_are_put_together_by_trace() {
    insta::assert_snapshot!(otlp(concat!(
        r#"{"resourceSpans":[{"resource":{"attributes":[]},"scopeSpans":[{"scope":{"name":"s1"},"spans":[{"traceId":"t","spanId":"2","parentSpanId":"1","name":"late","startTimeUnixNano":"5000","endTimeUnixNano":"6000"}]}]}]}"#, "\n",
        r#"{"resourceSpans":[]}"#, "\n",
        r#"{"resourceSpans":[{"scopeSpans":[{"scope":{"name":"s2"},"spans":[{"traceId":"t","spanId":"1","name":"early","startTimeUnixNano":"7000","endTimeUnixNano":"8000"}]}]}]}"#, "\n",
    )), @r#"
run at line 1, id t, titled early, started 5
  0 step by unknown `early` 7..8 @line 3, /resourceSpans/0/scopeSpans/0/spans/0
  1 step by unknown `late` in 0 <-0 parent (parent_span_id) 5..6 @line 1, /resourceSpans/0/scopeSpans/0/spans/0
  rest [{"line":1,"withoutSpans":[{"resourceSpans":[]}],"resourceSpans":[{"resource":{"attributes":[]},"scopeSpans":[{"scope":{"name":"s1"}}]}]},{"line":3,"resourceSpans":[{"scopeSpans":[{"scope":{"name":"s2"}}]}]}]
"#);
}

#[test]
fn flat_spans_with_plain_attributes() {
    insta::assert_snapshot!(otlp(r#"{"schema": "otel-json-local-v0", "run_id": "r1", "task": "Count.", "spans": [
        {"name": "agent.lead", "trace_id": "t", "span_id": "b", "parent_span_id": "a", "start_time_unix_ns": 2000, "end_time_unix_ns": 3000,
         "status": {"status_code": "OK", "description": null},
         "attributes": {"gen_ai.agent.name": "Lead", "gen_ai.operation.name": "task_decomposition", "experiment.operation_type": "agent_llm",
            "gen_ai.request.model": "g", "agent.input_message": "in", "agent.output_message": "out"},
         "events": [{"name": "task_delegated", "timestamp_unix_ns": 2500, "attributes": {"target_agent": "Worker"}}]},
        {"name": "tool.search", "trace_id": "t", "span_id": "c", "parent_span_id": "a", "start_time_unix_ns": 4000, "end_time_unix_ns": 5000,
         "status": {"status_code": "ERROR", "description": "bad type"},
         "attributes": {"experiment.operation_type": "tool_call", "tool.name": "Search", "tool.args_json": "{\"q\": 1}", "error.type": "SchemaError"}, "events": []},
        {"name": "run", "trace_id": "t", "span_id": "a", "parent_span_id": null, "start_time_unix_ns": 1000, "end_time_unix_ns": 6000,
         "status": {"status_code": "OK"}, "attributes": {"experiment.operation_type": "workflow", "task.input": "Count."}}
    ]}"#), @r#"
run at the whole file, id r1, titled Count., started 1
  model.name = g
  0 step by unknown `run` asked="Count." 1..6 @/spans/2
  1 inference by Lead to Worker `g` asked="in" chosen="out" in 0 <-0 parent (parent_span_id) 2..3 @/spans/0
  2 tool-call by unknown `Search` asked=json "{\"q\": 1}" result="bad type" in 0 <-0 parent (parent_span_id) FAILED Invalid 4..5 @/spans/1
  rest {"schema":"otel-json-local-v0","run_id":"r1","task":"Count."}
"#);
}

#[test]
fn a_flat_export_names_the_trace_that_it_brings_first() {
    let flat = |run: &str, spans: &[(&str, &str)]| {
        let span = |(trace, id): &(&str, &str)| {
            format!(r#"{{"trace_id": "{trace}", "span_id": "{id}", "name": "{id}"}}"#)
        };
        let spans: Vec<String> = spans.iter().map(span).collect();
        format!(
            "{{\"run_id\": \"{run}\", \"spans\": [{}]}}\n",
            spans.join(", ")
        )
    };
    insta::assert_snapshot!(otlp(&[
        flat("r1", &[("t", "a")]),
        flat("r2", &[("t", "b"), ("u", "c")]),
        flat("r3", &[("t", "d")]),
    ].concat()), @r#"
run at line 1, trace t, id r1, titled a
  0 step by unknown `a` Unknown @line 1, /spans/0
  1 step by unknown `b` Unknown @line 2, /spans/0
  2 step by unknown `d` Unknown @line 3, /spans/0
  rest [{"line":1,"run_id":"r1"},{"line":2,"run_id":"r2"},{"line":3,"run_id":"r3"}]
run at line 2, trace u, id r2, titled c
  0 step by unknown `c` Unknown @line 2, /spans/1
"#);
}

#[test]
fn circles_and_double_ids_are_refused() {
    let spans = |spans: &str| {
        otlp(&format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#
        ))
    };
    insta::assert_snapshot!(spans(r#"
        {"traceId": "t", "spanId": "a", "parentSpanId": "c"},
        {"traceId": "t", "spanId": "b", "parentSpanId": "a"},
        {"traceId": "t", "spanId": "c", "parentSpanId": "b"},
        {"traceId": "t", "spanId": "d", "parentSpanId": "c"}"#), @r"
error: `/resourceSpans/0/scopeSpans/0/spans/0` (line 2, column 9): `a`, `c`, `b` claim to cause each other
hint: correct the parents or links of one of them
");
    insta::assert_snapshot!(spans(r#"{"traceId": "t", "spanId": "a", "parentSpanId": "a"}"#), @r"
error: `/resourceSpans/0/scopeSpans/0/spans/0` (line 1, column 44): `a` claims to cause itself
hint: correct the parents or links of one of them
");
    insta::assert_snapshot!(spans(r#"
        {"traceId": "t", "spanId": "a", "links": [{"spanId": "b"}]},
        {"traceId": "t", "spanId": "b", "links": [{"spanId": "a"}]}"#), @r"
error: `/resourceSpans/0/scopeSpans/0/spans/0` (line 2, column 9): `a`, `b` claim to cause each other
hint: correct the parents or links of one of them
");
    insta::assert_snapshot!(spans(r#"
        {"traceId": "t", "spanId": "a"},
        {"traceId": "t", "spanId": "a"}"#), @r"
error: `/resourceSpans/0/scopeSpans/0/spans/1` (line 3, column 9): the span id `a` is used twice, first at /resourceSpans/0/scopeSpans/0/spans/0
hint: take one of them out, or rename it
");
    insta::assert_snapshot!(spans(r#"{"traceId": "t", "name": "x"}"#), @r"
error: `/resourceSpans/0/scopeSpans/0/spans/0` (line 1, column 44): expected a span with `spanId`, found an object with `traceId`, `name`
hint: correct this item, or take it out
");
    insta::assert_snapshot!(spans(""), @"error: there is nothing to import: no spans");
    insta::assert_snapshot!(otlp(r#"{"resourceMetrics": []}"#), @r"
error: line 1, column 1: expected an object with `resourceSpans`, or with `spans`, found an object with `resourceMetrics`
hint: the formats that can be imported are `openai-chat`, `atif`, `otlp-json`, `who-and-when`, `langfuse`
");
}
