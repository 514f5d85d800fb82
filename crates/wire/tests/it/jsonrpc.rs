//! Envelopes: what a body is taken for, and which bodies are refused.

use std::collections::HashSet;

use proptest::prelude::*;
use wire::jsonrpc::{Body, Id, Json, Message, Request, error_reply, read};

/// Says what a body is, one message a line.
fn play(body: &str) -> String {
    let body = match read(body.as_bytes()) {
        Ok(body) => body,
        Err(error) => return format!("{}: {error}", error.code()),
    };
    let lines = body.messages().iter().map(|message| match message {
        Message::Request(Request { id, method, params }) => {
            let id = id.as_ref().map_or("-", |id| id.text());
            let params = params.map_or("-", Json::text);
            format!("request {id} {method} {params}")
        }
        Message::Response(response) => {
            let id = response.id.as_ref().map_or("-", |id| id.text());
            match &response.result {
                Ok(result) => format!("result {id} {result}"),
                Err(error) => format!("error {id} {error} {:?}", error.data.map(Json::text)),
            }
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_body_is_read_as_what_it_is() {
    let table = [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            "request 1 ping -",
        ),
        (
            r#" {"id":"a\u0062","method":"tools\/call","params":{"x": [1, 2]},"later":{}} "#,
            r#"request "a\u0062" tools/call {"x": [1, 2]}"#,
        ),
        (
            r#"{"method":"notifications/initialized","params":null}"#,
            "request - notifications/initialized -",
        ),
        (r#"{"id":null,"method":"m"}"#, "request null m -"),
        (r#"{"id":1,"result":null}"#, "result 1 null"),
        (
            r#"{"id":1.50,"result":{"ok":true}}"#,
            r#"result 1.50 {"ok":true}"#,
        ),
        (
            r#"{"id":1,"result":null,"error":{"code":-32602,"message":"no","data":[1]}}"#,
            r#"error 1 no (-32602) Some("[1]")"#,
        ),
        (r#"{"error":{"code":"x"}}"#, "error -  (0) None"),
        (
            r#"[{"id":1,"method":"a"},{"method":"b"},{"id":2,"result":3}]"#,
            "request 1 a -\nrequest - b -\nresult 2 3",
        ),
        (
            "[]",
            "-32600: the body is no JSON-RPC message: a batch holds at least one message",
        ),
        (
            "[1]",
            "-32600: the body is no JSON-RPC message: expected an object",
        ),
        (
            "{}",
            "-32600: the body is no JSON-RPC message: no `method`, no `result`, no `error`",
        ),
        (
            r#"{"method":7}"#,
            "-32600: the body is no JSON-RPC message: `method` is no string",
        ),
        (
            "",
            "-32700: the body is not JSON: EOF while parsing a value at line 1 column 0",
        ),
        (
            r#"{"method":"a"} x"#,
            "-32700: the body is not JSON: trailing characters at line 1 column 16",
        ),
    ];
    for (body, expected) in table {
        assert_eq!(play(body), expected, "{body}");
    }
    assert_eq!(read(b"{\"m\xff\"}").unwrap_err().code(), -32700);
}

#[test]
fn a_body_that_can_be_read_in_two_ways_is_refused() {
    let table = [
        r#"{"method":"ping","method":"tools/call"}"#,
        r#"{"method":"ping","meth\u006fd":"tools/call"}"#,
        r#"{"method":"ping","Method":"tools/call"}"#,
        r#"{"id":1,"ID":2,"method":"ping"}"#,
        r#"{"id":1,"method":"ping","result":{}}"#,
        r#"{"id":1,"result":{},"error":{"code":1,"message":""}}"#,
        r#"[{"id":1,"method":"ping"},{"id":1,"id":2,"method":"ping"}]"#,
    ];
    for body in table {
        let error = read(body.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("in two ways"), "{body}: {error}");
        assert_eq!(error.code(), -32600);
    }
}

#[test]
fn ids_are_compared_by_value() {
    let id = |text| Id::from(Json::parse(text).unwrap()).into_owned();
    let same = [
        ["7", "7.0"],
        ["7", "70e-1"],
        ["0", "-0"],
        ["\"a\"", r#""\u0061""#],
        ["1.5", "1.50"],
        ["9007199254740993", "9007199254740993"],
    ];
    for [left, right] in same {
        assert_eq!(id(left), id(right));
        assert_eq!(HashSet::from([id(left), id(right)]).len(), 1);
    }
    let other = [
        ["7", "\"7\""],
        ["null", "\"null\""],
        ["9007199254740992", "9007199254740993"],
        ["-9007199254740992", "-9007199254740993"],
        ["\"a\"", "\"A\""],
        ["1", "-1"],
    ];
    for [left, right] in other {
        assert_ne!(id(left), id(right));
    }
}

#[test]
fn a_reply_echoes_the_id_byte_for_byte() {
    let body = br#"{"id":"\u00e9\/7","method":"m"}"#;
    let Body::One(Message::Request(request)) = read(body).unwrap() else {
        panic!("one request");
    };
    let data = Json::parse(r#"{"a": 1}"#).unwrap();
    let reply = error_reply(request.id.as_ref(), -32000, "no \"way\"", Some(data));
    let text = r#"{"jsonrpc":"2.0","id":"\u00e9\/7","error":{"code":-32000,"message":"no \"way\"","data":{"a": 1}}}"#;
    assert_eq!(String::from_utf8(reply).unwrap(), text);
    let reply = error_reply(None, -32700, "x", None);
    let text = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#;
    assert_eq!(String::from_utf8(reply).unwrap(), text);
}

#[test]
fn depth_costs_no_stack() {
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let body = format!(r#"{{"id":1,"method":"m","params":{deep}}}"#);
    assert!(read(body.as_bytes()).is_ok());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn any_text_of_brackets_is_read_or_refused(text in "[\\[\\]{}\",:\\\\a1 ]{0,60}") {
        let _ = read(text.as_bytes());
    }
}
