//! The two transports of MCP: headers and revisions, lines, and streams that must be answered.

use proptest::prelude::*;
use wire::jsonrpc::{Id, Json, read};
use wire::mcp::http::{Revision, ends_session, header_value, is_stream, mismatch};
use wire::mcp::stdio::{LineTooLong, Lines, one_line};
use wire::mcp::{Answers, End, What};

#[test]
fn revisions_are_ordered_and_later_ones_are_stateless() {
    let table = [
        ("2024-11-05", false, true),
        ("2025-03-26", false, true),
        ("2025-06-18", false, false),
        ("2025-11-25", false, false),
        ("2026-07-28", true, false),
        ("2027-01-01", true, false),
    ];
    for (text, stateless, batches) in table {
        let revision = Revision::parse(text).unwrap();
        assert_eq!(revision.is_stateless(), stateless, "{text}");
        assert_eq!(revision.has_batches(), batches, "{text}");
    }
    for text in ["", "draft", "2025-6-18", "2025/06/18", "2025-06-18 "] {
        assert_eq!(Revision::parse(text), None, "{text}");
    }
}

#[test]
fn answers_are_told_by_content_type_and_status() {
    for stream in [
        "text/event-stream",
        "Text/Event-Stream; charset=utf-8",
        " text/event-stream ;x",
    ] {
        assert!(is_stream(stream), "{stream}");
    }
    for plain in [
        "application/json",
        "",
        "text/event-streams",
        "application/json; text/event-stream",
    ] {
        assert!(!is_stream(plain), "{plain}");
    }
    assert!(ends_session(404, true));
    assert!(!ends_session(404, false));
    assert!(!ends_session(400, true));
}

#[test]
fn headers_that_say_otherwise_than_the_body_are_told() {
    let call = r#"{"id":1,"method":"tools/call","params":{"name":"wetter_köln"}}"#;
    let table = [
        (
            call,
            Some("tools/call"),
            Some("=?base64?d2V0dGVyX2vDtmxu?="),
            "-",
        ),
        (
            call,
            Some("tools/call"),
            Some("wetter"),
            "`mcp-name` is not what the body names",
        ),
        (
            call,
            Some("tools/call"),
            Some("=?base64?!?="),
            "`mcp-name` is not what the body names",
        ),
        (call, Some("tools/call"), None, "`mcp-name` is missing"),
        (
            call,
            Some("tools/list"),
            None,
            "`mcp-method` is not the method of the body",
        ),
        (call, None, None, "`mcp-method` is missing"),
        (
            r#"{"id":1,"method":"tools/list"}"#,
            Some("tools/list"),
            None,
            "-",
        ),
        (
            r#"{"id":1,"method":"resources/read","params":{"uri":"a:b"}}"#,
            Some("resources/read"),
            Some("a:c"),
            "`mcp-name` is not what the body names",
        ),
        (
            r#"{"id":1,"method":"tasks/get","params":{"taskId":"t"}}"#,
            Some("tasks/get"),
            Some("t"),
            "-",
        ),
        (r#"{"method":"notifications/cancelled"}"#, None, None, "-"),
    ];
    for (body, method, name, expected) in table {
        let read = read(body.as_bytes()).unwrap();
        let request = read.requests().next().unwrap();
        let what = What::of(request).unwrap();
        let said = |revision| mismatch(request, &what, revision, method, name);
        let found = said(Revision::V2026_07_28);
        assert_eq!(found.as_deref().unwrap_or("-"), expected, "{body}");
        assert_eq!(
            said(Revision::V2025_11_25),
            None,
            "earlier revisions mirror nothing"
        );
    }
    assert_eq!(header_value("=?base64?").as_deref(), Some("=?base64?"));
    assert_eq!(header_value("=?base64?/w==?="), None);
}

fn split(limit: usize, chunks: &[&[u8]]) -> (Vec<String>, bool) {
    let mut lines = Lines::new(limit);
    let pushed = chunks.iter().flat_map(|chunk| lines.push(chunk));
    let shown = pushed.map(|line| match line {
        Ok(line) => String::from_utf8(line).unwrap(),
        Err(error) => error.to_string(),
    });
    (shown.collect(), lines.is_within_line())
}

#[test]
fn lines_are_split_wherever_the_chunks_end() {
    let whole = |lines: &[&str]| {
        (
            lines.iter().map(ToString::to_string).collect::<Vec<_>>(),
            false,
        )
    };
    assert_eq!(
        split(9, &[b"{}\n[1]\r\n\n\r\n7\n"]),
        whole(&["{}", "[1]", "7"])
    );
    assert_eq!(
        split(9, &[b"{", b"}", b"\n", b"[1", b"]\r", b"\n"]),
        whole(&["{}", "[1]"])
    );
    assert_eq!(split(9, &[b"{}\n[1"]), (vec!["{}".into()], true));
    assert_eq!(split(9, &[]), whole(&[]));
}

#[test]
fn a_line_over_the_limit_is_told_once_and_ends_at_its_end() {
    let told = LineTooLong { limit: 4 }.to_string();
    let chunks: [&[u8]; 4] = [b"12345", b"6789012345", b"67\n1234\n12", b"345\n1\n"];
    let expected = vec![told.clone(), "1234".into(), told.clone(), "1".into()];
    assert_eq!(split(4, &chunks), (expected, false));
    assert_eq!(split(4, &[b"12345"]), (vec![told], true));
}

#[test]
fn a_message_becomes_one_line_that_means_the_same() {
    let pretty = "{\r\n  \"a\": \"x\\ny\",\n  \"b\": [1,\n2]\n}";
    let line = one_line(pretty.as_bytes());
    assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
    let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    assert_eq!(read(&line), read(pretty.as_bytes()));
    assert_eq!(one_line(b"{}"), &b"{}"[..]);
}

fn id(text: &'static str) -> Id<'static> {
    Id::from(Json::parse(text).unwrap())
}

#[test]
fn c168_a_stream_is_complete_when_its_request_was_answered_once() {
    let mut answers = Answers::new([id("1")]);
    let open = End::Truncated {
        open: vec![id("1")],
        resumable: false,
    };
    let events = [
        r#"{"method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#,
        // Another's request, with the same id, and another's answer.
        r#"{"id":1,"method":"sampling/createMessage","params":{}}"#,
        r#"{"id":"1","result":{}}"#,
        r#"{"id":2,"result":{}}"#,
        r#"{"id":null,"error":{"code":-32700,"message":"?"}}"#,
    ];
    for data in events {
        let (message, answered) = answers.push(data, false).unwrap();
        assert!(message.is_some() && answered.is_empty(), "{data}");
        assert_eq!(answers.end(), open, "{data}");
    }
    assert!(answers.push("{\"id\":1,\"resu", false).is_err());
    assert_eq!(answers.end(), open);
    let (_, answered) = answers
        .push(r#"{"id":1.0,"result":{"ok":true}}"#, false)
        .unwrap();
    assert_eq!(
        answered[0].result,
        Ok(Json::parse(r#"{"ok":true}"#).unwrap())
    );
    assert_eq!(answers.end(), End::Complete);
    let (_, again) = answers
        .push(r#"{"id":1,"error":{"code":0,"message":""}}"#, false)
        .unwrap();
    assert!(again.is_empty(), "a second answer answers nothing");
}

#[test]
fn a_stream_that_broke_off_says_what_is_open_and_can_be_taken_up() {
    let mut answers = Answers::new([id("1"), id("\"a\"")]);
    let (message, answered) = answers.push("", true).unwrap();
    assert!(message.is_none() && answered.is_empty());
    let (_, answered) = answers
        .push(
            r#"[{"id":1,"error":{"code":-32603,"message":"x"}},{"method":"m"}]"#,
            true,
        )
        .unwrap();
    assert_eq!(answered.len(), 1);
    let open = End::Truncated {
        open: vec![id("\"a\"")],
        resumable: true,
    };
    assert_eq!(answers.end(), open);
    answers.push(r#"{"id":"a","result":{}}"#, true).unwrap();
    assert!(answers.is_complete());
    assert_eq!(Answers::new([]).end(), End::Complete);
}

proptest! {
    #[test]
    fn lines_do_not_depend_on_chunks(text in "[ab\n\r]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6), limit in 1usize..9) {
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(split(limit, &chunks), split(limit, &[bytes]));
    }
}
