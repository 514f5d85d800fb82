//! `who-and-when`.

use wire::import::Format;

use crate::support::play;

#[test]
fn named_speakers_are_agents() {
    insta::assert_snapshot!(play(Format::WhoAndWhen, r#"{
        "is_correct": false, "question": "How far is it?", "question_ID": "q1", "level": "1",
        "history": [
            {"content": "You are given a task.", "role": "assistant", "name": "Travel_Expert"},
            {"content": "exitcode: 0", "name": "Computer_terminal", "role": "user"},
            {"content": "TERMINATE", "name": "Travel_Expert", "role": "user", "mood": "sure"}
        ],
        "mistake_agent": "Travel_Expert", "mistake_step": "2", "ground_truth": "12 km",
        "system_prompt": {"Travel_Expert": "You know roads."}
    }"#), @r#"
run at the whole file, id q1, titled How far is it?
  system_prompt.Travel_Expert = You know roads.
  0 inference by Travel_Expert `unknown` chosen="You are given a task." @/history/0
  1 step by Computer_terminal `code execution` chosen="exitcode: 0" @/history/1
  2 inference by Travel_Expert `unknown` chosen="TERMINATE" @/history/2
  rest {"is_correct":false,"question":"How far is it?","question_ID":"q1","level":"1","mistake_agent":"Travel_Expert","mistake_step":"2","ground_truth":"12 km","system_prompt":{"Travel_Expert": "You know roads."}}
"#);
}

#[test]
fn roles_name_speaker_and_addressed_agent() {
    insta::assert_snapshot!(play(Format::WhoAndWhen, r#"{
        "history": [
            {"content": "Find it.", "role": "human"},
            {"content": "Plan.", "role": "Orchestrator (thought)"},
            {"content": "Search.", "role": "Orchestrator (-> WebSurfer)"},
            {"content": "I typed.", "role": "WebSurfer"},
            {"content": "Stop.", "role": "Orchestrator (termination condition)"},
            {"content": null, "role": "(odd)"}
        ],
        "question_ID": "q2"
    }"#), @r#"
run at the whole file, id q2
  0 message by human chosen="Find it." @/history/0
  1 inference by Orchestrator `unknown` chosen="Plan." @/history/1
  2 message by Orchestrator to WebSurfer chosen="Search." @/history/2
  3 inference by WebSurfer `unknown` chosen="I typed." @/history/3
  4 step by Orchestrator `termination condition` chosen="Stop." @/history/4
  5 inference by (odd) `unknown` @/history/5
  rest {"question_ID":"q2"}
"#);
}

#[test]
fn items_without_a_role_are_refused() {
    insta::assert_snapshot!(play(Format::WhoAndWhen, "{\"history\": [\n {\"content\": \"x\"}]}"), @r"
error: `/history/0` (line 2, column 2): expected an item with `role` and `content`, found an object with `content`
hint: correct this item, or take it out
");
    insta::assert_snapshot!(play(Format::WhoAndWhen, r#"{"history": []}"#), @"error: there is nothing to import: no history in the whole file");
    insta::assert_snapshot!(play(Format::WhoAndWhen, r#"{"history": {"a": 1}}"#), @r"
error: line 1, column 1: expected an object with `history`, found an object with `history`
hint: the formats that can be imported are `openai-chat`, `atif`, `otlp-json`, `who-and-when`, `langfuse`
");
}
