//! `langfuse`.

use wire::import::Format;

use crate::support::play;

fn langfuse(text: &str) -> String {
    play(Format::Langfuse, text)
}

#[test]
fn every_observation_hangs_below_the_trace() {
    insta::assert_snapshot!(langfuse(r#"{
        "trace": {"id": "t1", "name": "support", "timestamp": "2025-06-11T14:01:32.598Z", "environment": "default",
            "input": "\"hi\"", "output": null, "metadata": "{}",
            "observations": [
                {"id": "a", "type": "SPAN", "name": "run", "extra": 1},
                {"id": "z", "type": "EVENT", "name": "only here", "parentObservationId": "a", "startTime": "2025-06-11T14:01:40.000Z"}]},
        "observations": [
            {"id": "c", "traceId": "t1", "type": "TOOL", "name": "find", "parentObservationId": "b",
             "startTime": "2025-06-11T14:01:34.000Z", "endTime": "2025-06-11T14:01:35.000Z",
             "input": {"order": "W1"}, "output": null, "level": "ERROR", "statusMessage": "Boom",
             "metadata": {"attributes": {"gen_ai.tool.call.id": "call_7"}}},
            {"id": "g", "traceId": "t1", "type": "GENERATION", "name": "chat", "parentObservationId": "b", "model": "gpt-4o",
             "startTime": "2025-06-11T14:01:33.500Z", "endTime": "2025-06-11T14:01:33.900Z", "level": "DEFAULT",
             "input": "[{\"role\":\"user\",\"content\":\"hi\"}]",
             "output": "{\"role\":\"assistant\",\"additional_kwargs\":\"{\\\"tool_calls\\\": [{\\\"id\\\": \\\"call_7\\\"}]}\"}"},
            {"id": "b", "traceId": "t1", "type": "AGENT", "name": "invoke_agent helper", "parentObservationId": "a",
             "startTime": "2025-06-11T14:01:33.000Z", "endTime": "2025-06-11T14:01:39.000Z", "input": "please"},
            {"id": "a", "traceId": "t1", "type": "SPAN", "name": "run", "parentObservationId": null,
             "startTime": "2025-06-11T14:01:32.598Z", "endTime": "2025-06-11T14:01:39.589Z",
             "metadata": "{\"attributes\":{\"openinference.span.kind\":\"AGENT\",\"agent.name\":\"boss\"}}"},
            {"id": "x", "traceId": "t1", "type": "SPAN", "name": "lost", "parentObservationId": "nowhere",
             "startTime": "2025-06-11T14:01:33.000Z", "endTime": null}
        ],
        "exportedBy": "me"
    }"#), @r#"
run at the whole file, id t1, titled support, started 1749650492598000
  model.name = gpt-4o
  trace.environment = default
  0 step by support `support` asked="\"hi\"" 1749650492598000..? @/trace
  1 step by boss `run` in 0 <-0 parent (traceId) 1749650492598000..1749650499589000 @/observations/3
  2 message by boss to helper `invoke_agent helper` chosen="please" in 1 <-1 parent (parentObservationId) 1749650493000000..1749650499000000 @/observations/2
  3 step by support `lost` in 0 <-0 parent (traceId) Unknown [missing parent] 1749650493000000..? @/observations/4
  4 inference by helper `gpt-4o` asked=json "[{\"role\":\"user\",\"content\":\"hi\"}]" chosen=json "{\"role\":\"assistant\",\"additional_kwargs\":\"{\\\"tool_calls\\\": [{…" in 2 <-2 parent (parentObservationId) 1749650493500000..1749650493900000 @/observations/1
  5 tool-call by helper `find` asked=json "{\"order\": \"W1\"}" result="Boom" id=call_7 in 2 <-2 parent (parentObservationId) <-4 call (call id) FAILED Error 1749650494000000..1749650495000000 @/observations/0
  6 step by boss `only here` in 1 <-1 parent (parentObservationId) 1749650500000000..? @/trace/observations/1
  rest {"exportedBy":"me","trace":{"observations":[{"id": "a", "type": "SPAN", "name": "run", "extra": 1}]}}
"#);
}

#[test]
fn bare_observations_get_a_trace_for_each_id() {
    insta::assert_snapshot!(langfuse(r#"[
        {"id": "a", "traceId": "t1", "type": "SPAN", "name": "one", "startTime": "2025-06-11T14:01:32Z", "endTime": "2025-06-11T14:01:33Z"},
        {"id": "b", "traceId": "t2", "type": "GENERATION", "name": "two", "startTime": "2025-06-11T14:01:32Z", "endTime": "2025-06-11T14:01:33Z"},
        {"id": "c", "traceId": "t1", "type": "CHAIN", "name": "three", "startTime": "2025-06-11T14:01:31Z", "endTime": "2025-06-11T14:01:33Z"}
    ]"#), @r"
run at the whole file, trace t1, id t1, started 1749650491000000
  0 step by unknown `trace` @/0/traceId
  1 step by unknown `three` in 0 <-0 parent (traceId) 1749650491000000..1749650493000000 @/2
  2 step by unknown `one` in 0 <-0 parent (traceId) 1749650492000000..1749650493000000 @/0
run at the whole file, trace t2, id t2, started 1749650492000000
  0 step by unknown `trace` @/1/traceId
  1 inference by unknown `unknown` in 0 <-0 parent (traceId) 1749650492000000..1749650493000000 @/1
");
}

#[test]
fn a_trace_as_the_api_answers_it() {
    insta::assert_snapshot!(langfuse(r#"{"id": "t", "name": "n", "observations": [{"id": "a", "type": "EVENT", "name": "e"}], "scores": []}"#), @r"
run at the whole file, id t, titled n
  0 step by n `n` @the whole file
  1 step by n `e` in 0 <-0 parent (traceId) @/observations/0
");
}

#[test]
fn what_is_no_export_is_refused() {
    insta::assert_snapshot!(langfuse(r#"{"trace": {"id": "t"}, "observations": [
        {"id": "a", "type": "SPAN", "parentObservationId": "b"}, {"id": "b", "type": "SPAN", "parentObservationId": "a"}]}"#), @r"
error: `/observations/0` (line 2, column 9): `a`, `b` claim to cause each other
hint: correct the parents or links of one of them
");
    insta::assert_snapshot!(langfuse(r#"{"trace": {"id": "t"}, "observations": [{"id": "a"}, {"id": "a"}]}"#), @r"
error: `/observations/1` (line 1, column 54): the observation id `a` is used twice, first at /observations/0
hint: take one of them out, or rename it
");
    insta::assert_snapshot!(langfuse(r#"{"trace": {"id": "t"}, "observations": [{"type": "SPAN"}]}"#), @r"
error: `/observations/0` (line 1, column 41): expected an observation with `id`, found an object with `type`
hint: correct this item, or take it out
");
    insta::assert_snapshot!(langfuse(r#"[{"role": "user", "content": "x"}]"#), @r"
error: line 1, column 1: expected an object with `trace` and `observations`, or an array of observations, found an array of objects with `role`, `content`
hint: this looks like `openai-chat`: use `--format openai-chat`
");
    insta::assert_snapshot!(langfuse("[]"), @"error: there is nothing to import: no observations in the whole file");
    insta::assert_snapshot!(langfuse("7"), @r"
error: line 1, column 1: expected an object with `trace` and `observations`, or an array of observations, found a number
hint: the formats that can be imported are `openai-chat`, `atif`, `otlp-json`, `who-and-when`, `langfuse`
");
}
