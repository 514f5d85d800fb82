//! A2A: what is asked and answered in both versions, and how a stream ends.

use std::collections::HashSet;

use model::{FailureClass, Outcome};
use proptest::prelude::*;
use wire::a2a::{
    Content, End, Event, Message, Method, Role, Sent, Step, TaskState, TaskStream, Version,
    class_of, read_event,
};
use wire::jsonrpc::{Json, RpcError};

fn json(text: &str) -> Json<'_> {
    Json::parse(text).unwrap()
}

#[test]
fn c82_task_states_map_one_to_one() {
    let failed = |class| Outcome::Failed { class };
    let table = [
        (
            "submitted",
            "TASK_STATE_SUBMITTED",
            TaskState::Submitted,
            Outcome::Unknown,
        ),
        (
            "working",
            "TASK_STATE_WORKING",
            TaskState::Working,
            Outcome::Unknown,
        ),
        (
            "input-required",
            "TASK_STATE_INPUT_REQUIRED",
            TaskState::InputRequired,
            Outcome::Unknown,
        ),
        (
            "auth-required",
            "TASK_STATE_AUTH_REQUIRED",
            TaskState::AuthRequired,
            Outcome::Unknown,
        ),
        (
            "completed",
            "TASK_STATE_COMPLETED",
            TaskState::Completed,
            Outcome::Succeeded,
        ),
        (
            "failed",
            "TASK_STATE_FAILED",
            TaskState::Failed,
            failed(FailureClass::Error),
        ),
        (
            "canceled",
            "TASK_STATE_CANCELED",
            TaskState::Canceled,
            Outcome::Cancelled,
        ),
        (
            "rejected",
            "TASK_STATE_REJECTED",
            TaskState::Rejected,
            failed(FailureClass::Denied),
        ),
        (
            "unknown",
            "TASK_STATE_UNSPECIFIED",
            TaskState::Unspecified,
            Outcome::Unknown,
        ),
    ];
    for (old, new, state, outcome) in table {
        for name in [old, new] {
            assert_eq!(TaskState::parse(name), state, "{name}");
        }
        assert_eq!(state.name(Version::V0_3), old);
        assert_eq!(state.name(Version::V1_0), new);
        assert_eq!(state.outcome(), outcome, "{old}");
        assert_eq!(state.is_terminal(), outcome != Outcome::Unknown, "{old}");
        assert_eq!(state.is_interrupted(), old.ends_with("-required"), "{old}");
    }
    let states: HashSet<TaskState> = TaskState::ALL.into_iter().collect();
    assert_eq!(states.len(), 9);
    // No two terminal states are one outcome.
    let ends = TaskState::ALL
        .into_iter()
        .filter(|state| state.is_terminal());
    let outcomes: HashSet<String> = ends.map(|state| format!("{:?}", state.outcome())).collect();
    assert_eq!(outcomes.len(), 4);
}

#[test]
fn c168_unspecified_and_names_that_nobody_knows_are_no_end() {
    for name in [
        "unknown",
        "TASK_STATE_UNSPECIFIED",
        "",
        "done",
        "Completed",
        "cancelled",
        "TASK_STATE_DONE",
    ] {
        let state = TaskState::parse(name);
        assert_eq!(state, TaskState::Unspecified, "{name}");
        assert!(!state.is_terminal());
        assert_eq!(state.outcome(), Outcome::Unknown);
    }
}

#[test]
fn methods_have_a_name_in_each_version() {
    let names: HashSet<&str> = Method::ALL
        .iter()
        .flat_map(|method| [method.name(Version::V0_3), method.name(Version::V1_0)])
        .collect();
    assert_eq!(names.len(), 22);
    for method in Method::ALL {
        for version in [Version::V0_3, Version::V1_0] {
            assert_eq!(Method::of(method.name(version)), Some((method, version)));
        }
    }
    assert_eq!(
        Method::of("SetTaskPushNotificationConfig"),
        Some((Method::SetPush, Version::V1_0))
    );
    assert_eq!(Method::of("message/Send"), None);
    assert!(Method::SendStreamingMessage.sends() && Method::SendStreamingMessage.streams());
    for (text, version) in [
        ("0.3", Some(Version::V0_3)),
        ("0.3.0", Some(Version::V0_3)),
        (" 1.0", Some(Version::V1_0)),
        ("2.0", None),
        ("", None),
    ] {
        assert_eq!(Version::parse(text), version, "{text}");
    }
}

#[test]
fn c82_what_is_sent_is_captured_in_both_versions() {
    let old = r#"{"message":{"kind":"message","messageId":"m","role":"user","contextId":"c","taskId":"t","referenceTaskIds":["r","s"],
        "parts":[{"kind":"text","text":"book"},{"kind":"data","data":{"n": 1}},
                 {"kind":"file","file":{"uri":"https://a/b","name":"b","mimeType":"text/csv"}},
                 {"kind":"file","file":{"bytes":"aGk=","mimeType":"image/png"}}]},
        "configuration":{"pushNotificationConfig":{"url":"https://hook"}}}"#;
    let new = r#"{"tenant":"x","message":{"messageId":"m","role":"ROLE_USER","contextId":"c","taskId":"t","referenceTaskIds":["r","s"],
        "parts":[{"text":"book"},{"data":{"n": 1}},{"url":"https://a/b","filename":"b","mediaType":"text/csv"},{"raw":"aGk=","mediaType":"image/png"}]},
        "configuration":{"taskPushNotificationConfig":{"url":"https://hook"}}}"#;
    let old = Sent::read(json(old));
    let new = Sent::read(json(new));
    assert_eq!(new.tenant.as_deref(), Some("x"));
    assert_eq!(old.message, new.message);
    assert_eq!(old.push_url.as_deref(), Some("https://hook"));
    assert_eq!(old.push_url, new.push_url);
    assert_eq!(old.task.as_deref(), Some("t"));
    insta::assert_debug_snapshot!(old.message.unwrap(), @r#"
Message {
    id: Some(
        "m",
    ),
    role: User,
    context: Some(
        "c",
    ),
    task: Some(
        "t",
    ),
    references: [
        "r",
        "s",
    ],
    content: Content {
        text: "book\n{\"n\": 1}",
        files: [
            Attachment {
                name: Some(
                    "b",
                ),
                media_type: Some(
                    "text/csv",
                ),
                uri: Some(
                    "https://a/b",
                ),
            },
            Attachment {
                name: None,
                media_type: Some(
                    "image/png",
                ),
                uri: None,
            },
        ],
    },
}
"#);
}

#[test]
fn requests_about_a_task_name_it() {
    let table = [
        (r#"{"id":"t","historyLength":1}"#, Some("t"), None),
        // v0.3 and v1.0 of the same: a configuration of a task.
        (
            r#"{"taskId":"t","pushNotificationConfig":{"id":"p","url":"https://hook"}}"#,
            Some("t"),
            Some("https://hook"),
        ),
        (
            r#"{"taskId":"t","id":"p","url":"https://hook"}"#,
            Some("t"),
            Some("https://hook"),
        ),
        ("{}", None, None),
        ("null", None, None),
    ];
    for (params, task, url) in table {
        let sent = Sent::read(json(params));
        assert_eq!(
            (sent.task.as_deref(), sent.push_url.as_deref()),
            (task, url),
            "{params}"
        );
    }
}

#[test]
fn answers_are_what_they_say_in_both_versions() {
    let status = r#""taskId":"t","contextId":"c","status":{"state":"STATE","message":{"role":"agent","parts":[{"kind":"text","text":"hm"}]}}"#;
    let artifact = r#""taskId":"t","artifact":{"artifactId":"a","name":"n","parts":[{"text":"x"},{"text":"y"}]},"append":true,"lastChunk":true"#;
    let task = r#""id":"t","contextId":"c","status":{"state":"STATE"},"artifacts":[{"artifactId":"a","parts":[{"text":"x"}]}]"#;
    let message = r#""messageId":"m","parts":[{"text":"x"}]"#;
    let pairs = [
        (
            format!(r#"{{"kind":"status-update",{status}}}"#),
            format!(r#"{{"statusUpdate":{{{status}}}}}"#),
        ),
        (
            format!(r#"{{"kind":"artifact-update",{artifact}}}"#),
            format!(r#"{{"artifactUpdate":{{{artifact}}}}}"#),
        ),
        (
            format!(r#"{{"kind":"task",{task}}}"#),
            format!(r#"{{"task":{{{task}}}}}"#),
        ),
        // The answer to `GetTask`.
        (
            format!(r#"{{"kind":"task",{task}}}"#),
            format!("{{{task}}}"),
        ),
        (
            format!(r#"{{"kind":"message","role":"agent",{message}}}"#),
            format!(r#"{{"message":{{"role":"ROLE_AGENT",{message}}}}}"#),
        ),
    ];
    for (old, new) in pairs {
        let (old, new) = (
            old.replace("STATE", "working"),
            new.replace("STATE", "TASK_STATE_WORKING"),
        );
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{old}}}"#);
        let event = read_event(&body).unwrap();
        assert_ne!(event, Event::Other, "{old}");
        assert_eq!(event, Event::read(json(&new)), "{new}");
        match event {
            Event::Task(task) => {
                assert_eq!((&*task.id, task.state), ("t", TaskState::Working));
                assert_eq!(task.artifacts[0].content.text, "x");
            }
            Event::Status(update) => assert_eq!(update.message.unwrap().content.text, "hm"),
            Event::Artifact(update) => {
                assert_eq!(update.artifact.content.text, "x\ny");
                assert!(update.append && update.last_chunk);
            }
            Event::Message(message) => assert_eq!(message.role, Role::Agent),
            other => panic!("{other:?}"),
        }
    }
    let number = Event::read(json(
        r#"{"statusUpdate":{"taskId":"t","status":{"state":3}}}"#,
    ));
    assert!(matches!(number, Event::Status(update) if update.state == TaskState::Completed));
    for nothing in [
        "{}",
        "null",
        "[]",
        r#"{"kind":"later"}"#,
        r#"{"tasks":[]}"#,
        r#"{"task":{}}"#,
    ] {
        assert_eq!(Event::read(json(nothing)), Event::Other, "{nothing}");
    }
    assert!(read_event("{\"result\":").is_err());
    assert_eq!(read_event(r#"{"id":1,"method":"x"}"#), Ok(Event::Other));
    assert_eq!(Message::read(json(r#"{"role":"user"}"#)), None);
    assert_eq!(Content::default().text, "");
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
    for code in [
        -32002, -32003, -32004, -32005, -32007, -32008, -32009, -32602, -32601,
    ] {
        assert_eq!(class(code), FailureClass::Invalid, "{code}");
    }
    assert_eq!(class(-32001), FailureClass::NotFound);
    for code in [-32006, -32603] {
        assert_eq!(class(code), FailureClass::Server, "{code}");
    }
    for code in [-32010, -32000, 0] {
        assert_eq!(class(code), FailureClass::Error, "{code}");
    }
}

/// Plays a stream, one event a word: a state (with `!` where it is final), `artifact`, `message`,
/// `error`, or a state of another task (with `@`).
fn play(words: &str) -> (Vec<Step>, TaskStream) {
    let mut stream = TaskStream::new();
    let steps = words.split_whitespace().map(|word| {
        let data = match word {
            "artifact" => r#"{"result":{"kind":"artifact-update","taskId":"t","artifact":{"parts":[]}}}"#.to_owned(),
            "message" => r#"{"result":{"kind":"message","role":"agent","parts":[]}}"#.to_owned(),
            "error" => r#"{"error":{"code":-32603,"message":"x"}}"#.to_owned(),
            "task" => r#"{"result":{"kind":"task","id":"t","status":{"state":"submitted"}}}"#.to_owned(),
            "other" => r#"{"result":{}}"#.to_owned(),
            word => {
                let (word, is_final) = match word.strip_suffix('!') {
                    Some(word) => (word, true),
                    None => (word, false),
                };
                let (state, task) = match word.strip_prefix('@') {
                    Some(state) => (state, "u"),
                    None => (word, "t"),
                };
                format!(r#"{{"result":{{"kind":"status-update","taskId":"{task}","status":{{"state":"{state}"}},"final":{is_final}}}}}"#)
            }
        };
        stream.push(&read_event(&data).unwrap())
    });
    let steps = steps.collect();
    (steps, stream)
}

#[test]
fn c168_a_stream_has_exactly_one_terminal_event() {
    use Step::{Answered, Contradicted, Foreign, Going, Paused, Refused, Repeated, Terminal};
    use TaskState::{
        Canceled, Completed, Failed, InputRequired, Rejected, Submitted, Unspecified, Working,
    };
    let table = [
        (
            "task working artifact completed!",
            vec![Going, Going, Going, Terminal(Completed)],
            End::Terminal(Completed),
        ),
        (
            "working canceled",
            vec![Going, Terminal(Canceled)],
            End::Terminal(Canceled),
        ),
        (
            "task rejected!",
            vec![Going, Terminal(Rejected)],
            End::Terminal(Rejected),
        ),
        (
            "completed completed!",
            vec![Terminal(Completed), Repeated(Completed)],
            End::Terminal(Completed),
        ),
        (
            "completed failed!",
            vec![Terminal(Completed), Contradicted],
            End::Terminal(Completed),
        ),
        (
            "failed working artifact message",
            vec![Terminal(Failed), Contradicted, Contradicted, Contradicted],
            End::Terminal(Failed),
        ),
        ("message", vec![Answered], End::Answered),
        (
            "message completed",
            vec![Answered, Contradicted],
            End::Answered,
        ),
        ("error", vec![Refused], End::Refused(FailureClass::Server)),
        (
            "working error completed",
            vec![Going, Refused, Contradicted],
            End::Refused(FailureClass::Server),
        ),
        (
            "working input-required!",
            vec![Going, Paused(InputRequired)],
            End::Paused(InputRequired),
        ),
        (
            "input-required artifact",
            vec![Paused(InputRequired), Going],
            End::Paused(InputRequired),
        ),
        (
            "input-required working",
            vec![Paused(InputRequired), Going],
            End::Truncated(Some(Working)),
        ),
        (
            "input-required completed",
            vec![Paused(InputRequired), Terminal(Completed)],
            End::Terminal(Completed),
        ),
        // Said to be final, and no end of the task all the same.
        ("working!", vec![Paused(Working)], End::Paused(Working)),
        (
            "unknown!",
            vec![Paused(Unspecified)],
            End::Paused(Unspecified),
        ),
        (
            "working unknown",
            vec![Going, Going],
            End::Truncated(Some(Unspecified)),
        ),
        ("working", vec![Going], End::Truncated(Some(Working))),
        (
            "task artifact",
            vec![Going, Going],
            End::Truncated(Some(Submitted)),
        ),
        ("other", vec![Going], End::Truncated(None)),
        ("", vec![], End::Truncated(None)),
        (
            "task @completed working",
            vec![Going, Foreign, Going],
            End::Truncated(Some(Working)),
        ),
    ];
    for (words, steps, end) in table {
        let (found, stream) = play(words);
        assert_eq!(found, steps, "{words}");
        assert_eq!(stream.end(), end, "{words}");
        let outcome = match end {
            End::Terminal(state) => state.outcome(),
            End::Answered => Outcome::Succeeded,
            End::Refused(class) => Outcome::Failed { class },
            End::Paused(_) | End::Truncated(_) => Outcome::Unknown,
        };
        assert_eq!(end.outcome(), outcome, "{words}");
        assert_eq!(stream.has_ended(), outcome != Outcome::Unknown, "{words}");
    }
    assert_eq!(play("task").1.task(), Some("t"));
}

proptest! {
    #[test]
    fn c168_never_two_ends(words in proptest::collection::vec(
        proptest::sample::select(vec!["task", "working", "working!", "artifact", "message", "error", "other", "unknown!",
            "completed", "completed!", "failed!", "canceled", "rejected", "input-required!", "@completed"]), 0..12)) {
        let (steps, stream) = play(&words.join(" "));
        let ends = steps.iter().filter(|step| matches!(step, Step::Terminal(_) | Step::Answered | Step::Refused));
        prop_assert_eq!(ends.count(), usize::from(stream.has_ended()));
    }

    #[test]
    fn any_text_is_an_event_or_is_refused(text in "(\\{|\\[|\\}|\\]|,|:|\"result\"|\"task\"|\"status\"|\"state\"|\"parts\"|\"id\"|1| ){0,24}") {
        let _ = read_event(&text);
        if let Ok(json) = Json::parse(&text) {
            let _ = (Sent::read(json), Event::read(json));
        }
    }
}
