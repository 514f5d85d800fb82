//! What is wrong is refused, with place and reason, whatever the format; nothing panics.

use proptest::prelude::*;
use wire::import::{Format, ITEM_BYTES_MAX, ImportError, Options, detect, read};

use crate::kept::fixtures;
use crate::support::{check, play};

fn refusal(format: Format, bytes: &[u8]) -> ImportError {
    match read(format, bytes, &Options::default()) {
        Err(error) => error,
        Ok(runs) => panic!("{format} took it: {runs:?}"),
    }
}

#[test]
fn a_file_cut_off_anywhere_is_refused_as_cut_off() {
    for (format, file) in fixtures() {
        let text = serde_json::to_string_pretty(&file).unwrap();
        for end in 1..text.len() {
            let error = refusal(format, &text.as_bytes()[..end]);
            assert!(
                matches!(error, ImportError::Truncated { .. }),
                "{format} {end}: {error}"
            );
        }
    }
    insta::assert_snapshot!(play(Format::OpenaiChat, "[\n  {\"role\": \"user\",\n   \"conte"), @r"
error: line 3, column 9: the JSON is cut off
hint: the file is incomplete: copy or export it again
");
    insta::assert_snapshot!(play(Format::OpenaiChat, "[{\"role\":\"user\",\"content\":\"a\"}]\n[{\"role\":"), @r"
error: line 2, column 9: the JSON is cut off
hint: the file is incomplete: copy or export it again
");
}

#[test]
fn another_format_is_recognised() {
    for (format, file) in fixtures() {
        let text = file.to_string();
        assert_eq!(detect(text.as_bytes()), Some(format), "{text}");
        for other in Format::ALL.into_iter().filter(|other| *other != format) {
            let error = refusal(other, text.as_bytes());
            let hint = error.hint().unwrap_or_default();
            assert_eq!(
                hint,
                format!("this looks like `{format}`: use `--format {format}`"),
                "{error}"
            );
        }
    }
}

#[test]
fn nothing_is_refused_as_nothing() {
    for format in Format::ALL {
        for text in ["", " \n\n\t", "\u{feff}"] {
            assert!(matches!(
                refusal(format, text.as_bytes()),
                ImportError::Empty { .. }
            ));
        }
        for text in [
            "[]",
            "{}",
            "null",
            "7",
            "\"text\"",
            "[[]]",
            "[1]",
            "{\"messages\":3}",
        ] {
            refusal(format, text.as_bytes());
        }
    }
}

#[test]
fn text_that_is_no_json_is_refused_where_it_begins() {
    insta::assert_snapshot!(play(Format::OpenaiChat, "[{\"role\":\"user\",\"content\":\"a\"}]\n\nhello"), @"error: line 3, column 1: expected value");
    insta::assert_snapshot!(play(Format::OpenaiChat, "[{\"role\":\"user\"\n\"content\":\"a\"}]"), @"error: line 2, column 1: expected `,` or `}`");
    insta::assert_snapshot!(play(Format::Atif, "\u{feff}{\"a\": nul}"), @"error: line 1, column 13: expected ident");
    insta::assert_snapshot!(play(Format::OpenaiChat, r#"[{"role":"user","content":"a"},{"role":"user","role":"system","content":"a"}]"#), @"error: `/1` (line 1, column 47): the key `role` occurs twice in one object");
}

#[test]
fn bytes_that_are_not_utf_8_are_refused_with_offset_and_line() {
    for format in Format::ALL {
        let error = refusal(
            format,
            b"[{\"role\": \"user\",\n \"content\": \"caf\xe9\"}]",
        );
        insta::allow_duplicates! {
            insta::assert_snapshot!(error, @"line 2, column 17: byte 34 is not UTF-8");
        }
    }
}

#[test]
fn a_message_of_100_mb_is_refused_with_its_place() {
    let long = "x".repeat(100_000_000);
    let text = format!(
        "[{{\"role\":\"user\",\"content\":\"a\"}},\n {{\"role\":\"user\",\"content\":\"{long}\"}}]"
    );
    insta::assert_snapshot!(play(Format::OpenaiChat, &text), @r"
error: `/1` (line 2, column 2): an item of 100000028 bytes is too large, the limit is 67108864
hint: take large contents out of the item, or refer to them by URL
");
    // The limit is on one item, not on the file.
    let half = "x".repeat(ITEM_BYTES_MAX - 100);
    let text = format!(
        "[{{\"role\":\"user\",\"content\":\"{half}\"}},{{\"role\":\"user\",\"content\":\"{half}\"}}]"
    );
    let runs = read(Format::OpenaiChat, text.as_bytes(), &Options::default()).unwrap();
    assert_eq!(runs[0].steps.len(), 2);
}

#[test]
fn what_stands_around_the_steps_is_limited_too() {
    let long = "x".repeat(ITEM_BYTES_MAX);
    let text = format!(r#"{{"history": [{{"role": "human", "content": "a"}}], "note": "{long}"}}"#);
    insta::assert_snapshot!(play(Format::WhoAndWhen, &text), @r"
error: the whole file: an item of 67108875 bytes is too large, the limit is 67108864
hint: take large contents out of the item, or refer to them by URL
");
}

#[test]
fn a_million_tiny_messages_are_read() {
    let mut text = r#"{"role":"user","content":"x"},"#.repeat(1_000_000);
    text.pop();
    let text = format!("[{text}]");
    let runs = read(Format::OpenaiChat, text.as_bytes(), &Options::default()).unwrap();
    assert_eq!(runs[0].steps.len(), 1_000_000);
    assert_eq!(runs[0].steps[999_999].position.to_string(), "/999999");
}

#[test]
fn depth_does_not_overflow_the_stack() {
    let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let any_value = format!(
        "{}{{\"stringValue\":\"x\"}}{}",
        "{\"arrayValue\":{\"values\":[".repeat(20_000),
        "]}}".repeat(20_000)
    );
    for format in Format::ALL {
        refusal(format, deep("").as_bytes());
        refusal(format, "[".repeat(1_000_000).as_bytes());
        refusal(format, "{\"a\":".repeat(1_000_000).as_bytes());
    }
    let deep = deep("1");
    let dots = ".0".repeat(500_000);
    let taken = [
        (
            Format::OpenaiChat,
            format!(r#"[{{"role": "user", "content": {deep}}}]"#),
        ),
        (
            Format::OpenaiChat,
            format!(
                r#"[{{"role": "assistant", "tool_calls": [{{"function": {{"name": "f", "arguments": {deep}}}}}]}}]"#
            ),
        ),
        (
            Format::Atif,
            format!(r#"{{"steps": [{{"source": "agent", "message": {deep}, "extra": {deep}}}]}}"#),
        ),
        (
            Format::WhoAndWhen,
            format!(r#"{{"history": [{{"role": "a", "content": {deep}}}]}}"#),
        ),
        (
            Format::Langfuse,
            format!(
                r#"{{"trace": {{"id": "t"}}, "observations": [{{"id": "a", "input": {deep}, "metadata": {{"attributes": {{"llm.input_messages{dots}": {deep}}}}}}}]}}"#
            ),
        ),
        (
            Format::OtlpJson,
            format!(
                r#"{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{{"traceId": "t", "spanId": "a", "attributes": [
            {{"key": "gen_ai.input.messages", "value": {any_value}}}, {{"key": "llm.input_messages{dots}", "value": {{"stringValue": "x"}}}}]}}]}}]}}]}}"#
            ),
        ),
    ];
    for (format, text) in taken {
        let runs = read(format, text.as_bytes(), &Options::default()).unwrap();
        runs.iter().for_each(check);
    }
}

#[test]
fn session_logs_of_other_tools_are_refused_by_what_they_hold() {
    insta::assert_snapshot!(play(Format::OpenaiChat, "{\"type\":\"session\",\"id\":\"s\",\"cwd\":\"/\"}\n{\"type\":\"message\",\"message\":{\"role\":\"user\",\"content\":\"a\"}}\n"), @r"
error: line 1, column 1: expected an array of messages, or an object with `messages`, found an object with `type`, `id`, `cwd`
hint: the formats that can be imported are `openai-chat`, `atif`, `otlp-json`, `who-and-when`, `langfuse`
");
    insta::assert_snapshot!(play(Format::OpenaiChat, r#"{"info": {"id": "ses"}, "messages": [{"info": {"role": "user"}, "parts": []}]}"#), @r"
error: `/messages/0` (line 1, column 38): expected a message with `role`, found an object with `info`, `parts`
hint: correct this item, or take it out
");
}

#[test]
fn names_of_formats_are_read_and_guessed() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    let nearest = |name: &str| name.parse::<Format>().unwrap_err().nearest;
    assert_eq!(nearest("otlp"), Format::OtlpJson);
    assert_eq!(nearest("openai"), Format::OpenaiChat);
    assert_eq!(nearest("whoandwhen"), Format::WhoAndWhen);
    assert_eq!(nearest("ATIF"), Format::Atif);
    insta::assert_snapshot!("lngfuse".parse::<Format>().unwrap_err(), @"`lngfuse` is not a format: did you mean `langfuse`? There are `openai-chat`, `atif`, `otlp-json`, `who-and-when`, `langfuse`");
}

/// JSON made of the words that decoders look for.
fn values() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let words = [
        "role",
        "",
        "content",
        "tool_calls",
        "id",
        "function",
        "name",
        "arguments",
        "messages",
        "choices",
        "message",
        "request",
        "response",
        "tool_call_id",
        "steps",
        "source",
        "agent",
        "observation",
        "results",
        "source_call_id",
        "trajectory",
        "history",
        "resourceSpans",
        "scopeSpans",
        "spans",
        "spanId",
        "traceId",
        "parentSpanId",
        "attributes",
        "key",
        "value",
        "stringValue",
        "arrayValue",
        "values",
        "kvlistValue",
        "events",
        "links",
        "trace",
        "observations",
        "type",
        "metadata",
        "parentObservationId",
        "status",
        "code",
        "resource",
        "timestamp",
        "system_prompt",
        "extra",
        "assistant",
        "user",
        "tool",
        "a",
        "b",
        "2026-04-01T16:52:52Z",
        "gen_ai.operation.name",
        "chat",
        "execute_tool",
        "{\"id\":\"a\"}",
        "input",
        "output",
        "function_call",
        "reasoning_content",
        "startTime",
    ];
    let word = proptest::sample::select(words.to_vec());
    let leaf = prop_oneof![
        word.clone().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((word.clone(), inner), 0..6).prop_map(|pairs| pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(value in values()) {
        let text = value.to_string();
        for format in Format::ALL {
            if let Ok(runs) = read(format, text.as_bytes(), &Options::default()) {
                runs.iter().for_each(check);
            }
        }
        let _ = detect(text.as_bytes());
    }

    #[test]
    fn a_fixture_with_a_part_replaced_is_read_or_refused(which in 0_usize..6, at in 0_usize..200, value in values()) {
        fn replace(into: &mut serde_json::Value, at: &mut usize, value: &serde_json::Value) {
            if *at == 0 {
                *into = value.clone();
            }
            *at = at.wrapping_sub(1);
            match into {
                serde_json::Value::Array(items) => items.iter_mut().for_each(|item| replace(item, at, value)),
                serde_json::Value::Object(items) => items.values_mut().for_each(|item| replace(item, at, value)),
                _ => {}
            }
        }
        let [first, second, third, fourth, fifth, sixth] = fixtures();
        let (format, mut file) = match which {
            0 => first, 1 => second, 2 => third, 3 => fourth, 4 => fifth, _ => sixth,
        };
        replace(&mut file, &mut { at }, &value);
        let text = file.to_string();
        if let Ok(runs) = read(format, text.as_bytes(), &Options::default()) {
            runs.iter().for_each(check);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), pointer in "(/[a-z0-9~]{0,3}){0,3}") {
        for format in Format::ALL {
            let _ = read(format, &bytes, &Options { pointer: Some(&pointer), agent: None });
        }
    }
}
