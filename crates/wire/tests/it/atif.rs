//! `atif`.

use wire::import::Format;

use crate::support::play;

#[test]
fn calls_find_their_results_and_orphans_are_marked() {
    insta::assert_snapshot!(play(Format::Atif, r#"{
        "task": "build", "reward": "1",
        "trajectory": {
            "schema_version": "ATIF-v1.2", "session_id": "s1",
            "agent": {"name": "coder", "version": "2.1", "model_name": "m-1", "extra": {"cwd": "/app"}},
            "steps": [
                {"step_id": 1, "timestamp": "2026-04-01T16:52:52.600Z", "source": "user", "message": "Build it."},
                {"step_id": 2, "timestamp": "2026-04-01T16:52:53Z", "source": "agent", "message": "", "reasoning_content": "Look first.",
                 "tool_calls": [
                    {"tool_call_id": "c1", "function_name": "Read", "arguments": {"path": "/a"}},
                    {"tool_call_id": "c2", "function_name": "Bash", "arguments": {"command": "make"}}],
                 "observation": {"results": [{"source_call_id": "c2", "content": "failed"}]},
                 "extra": {"tool_result_metadata": {"is_error": true, "raw_tool_result": {"tool_use_id": "c2"}}}},
                {"step_id": 3, "source": "agent", "model_name": "m-2", "message": "Again",
                 "tool_calls": [{"tool_call_id": "c3", "function_name": "Bash", "arguments": {}}],
                 "observation": {"results": [{"content": "ok", "note": 1}, {"source_call_id": "c9", "content": [{"type": "text", "text": "late"}]}]},
                 "extra": {"tool_result_is_error": false}},
                {"step_id": 4, "source": "system", "message": "Reset.", "observation": {"results": [{"content": "done"}]}}
            ],
            "final_metrics": {"total_steps": 4}
        }
    }"#), @r#"
run at the whole file, id s1, titled build, started 1775062372600000
  agent.version = 2.1
  model.name = m-1
  schema.version = ATIF-v1.2
  0 message by user chosen="Build it." 1775062372600000..? @/trajectory/steps/0
  1 inference by coder 2.1 `m-1` chosen=json "[\n                    {\"tool_call_id\": \"c1\", \"function_name\"…" because="Look first." 1775062373000000..? @/trajectory/steps/1
  2 tool-call by coder 2.1 `Read` asked=json "{\"path\": \"/a\"}" id=c1 <-1 call (call id) Unknown [orphaned call] 1775062373000000..? @/trajectory/steps/1/tool_calls/0
  3 tool-call by coder 2.1 `Bash` asked=json "{\"command\": \"make\"}" result="failed" id=c2 <-1 call (call id) FAILED Error 1775062373000000..? @/trajectory/steps/1/tool_calls/1
  4 inference by coder 2.1 `m-2` chosen="Again" @/trajectory/steps/2
  5 tool-call by coder 2.1 `Bash` asked=json "{}" result="ok" id=c3 <-4 call (call id) @/trajectory/steps/2/tool_calls/0
  6 tool-call by coder `unknown` result="late" id=c9 [orphaned result] @/trajectory/steps/2/observation/results/1
  7 message by system chosen="Reset." @/trajectory/steps/3
  8 tool-call by system `unknown` result="done" [orphaned result] @/trajectory/steps/3/observation/results/0
  rest {"task":"build","reward":"1","trajectory":{"schema_version":"ATIF-v1.2","session_id":"s1","agent":{"name": "coder", "version": "2.1", "model_name": "m-1", "extra": {"cwd": "/app"}},"final_metrics":{"total_steps": 4}}}
"#);
}

#[test]
fn a_bare_trajectory_is_read_too() {
    insta::assert_snapshot!(play(Format::Atif, r#"{"schema_version": "ATIF-v1.4", "steps": [
        {"step_id": 1, "source": "agent", "message": [{"type": "text", "text": "hi"}, {"type": "image", "source": {"path": "a.png"}}]}
    ]}"#), @r#"
run at the whole file
  schema.version = ATIF-v1.4
  0 inference by agent `unknown` chosen=json "[{\"type\": \"text\", \"text\": \"hi\"}, {\"type\": \"image\", \"source\":…" @/steps/0
  rest {"schema_version":"ATIF-v1.4"}
"#);
}

#[test]
fn what_is_no_trajectory_is_refused() {
    insta::assert_snapshot!(play(Format::Atif, r#"{"steps": [{"step_id": 1, "message": "hi"}]}"#), @r"
error: `/steps/0` (line 1, column 12): expected a step with `source`, found an object with `step_id`, `message`
hint: correct this item, or take it out
");
    insta::assert_snapshot!(play(Format::Atif, r#"{"trajectory": {"steps": []}}"#), @"error: there is nothing to import: no steps in the whole file");
    insta::assert_snapshot!(play(Format::Atif, r#"{"messages": [{"role": "user", "content": "x"}]}"#), @r"
error: line 1, column 1: expected a trajectory: an object with `steps`, found an object with `messages`
hint: this looks like `openai-chat`: use `--format openai-chat`
");
    insta::assert_snapshot!(play(Format::Atif, r#"{"steps": [{"source": "agent", "tool_calls": [3]}]}"#), @r"
error: `/steps/0/tool_calls/0` (line 1, column 47): expected an object, found a number
hint: correct this item, or take it out
");
    insta::assert_snapshot!(play(Format::Atif, r#"{"steps": [{"source": "agent", "tool_calls": [
        {"tool_call_id": "c", "function_name": "f"}, {"tool_call_id": "c", "function_name": "g"}]}]}"#), @r"
error: `/steps/0/tool_calls/1` (line 2, column 54): the call id `c` is used twice, first at /steps/0/tool_calls/0
hint: a call needs its result before its id is used again: rename one
");
}

#[test]
fn names_without_letters_count_as_none() {
    insta::assert_snapshot!(play(Format::Atif, r#"{"agent": {"name": "", "model_name": ""}, "steps": [
        {"step_id": 1, "source": "agent", "model_name": "", "message": "", "tool_calls": [{"tool_call_id": "", "function_name": ""}]}
    ]}"#), @r#"
run at the whole file
  0 inference by agent `unknown` chosen=json "[{\"tool_call_id\": \"\", \"function_name\": \"\"}]" @/steps/0
  1 tool-call by agent `unknown` <-0 call (tool_calls) Unknown [orphaned call] @/steps/0/tool_calls/0
  rest {"agent":{"name": "", "model_name": ""}}
"#);
    insta::assert_snapshot!(play(Format::Atif, r#"{"steps": [{"step_id": 1, "source": ""}]}"#), @r"
error: `/steps/0` (line 1, column 12): expected a step with `source`, found an object with `step_id`, `source`
hint: correct this item, or take it out
");
}
