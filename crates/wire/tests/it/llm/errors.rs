//! Errors of providers, and those that a proxy says itself.

use proptest::prelude::*;
use wire::llm::{Api, Moment, Stream, error_body, error_event, keep_alive, read_error};
use wire::sse::Splitter;

use super::failure;

#[test]
fn errors_are_read_whoever_wrote_them() {
    let mut shown = String::new();
    for body in [
        r#"{"error": {"message": "too long", "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"}}"#,
        r#"{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}"#,
        r#"{"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}"#,
        r#"[{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}]"#,
        r#"{"__type": "com.amazon.coral.service#ThrottlingException", "message": "Too many requests"}"#,
        r#"{"Message": "denied"}"#,
        r#"{"object": "error", "message": "no such model", "type": "NotFoundError", "code": 404}"#,
        r#"{"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": null, "sequence_number": 1}"#,
        r#"{"error": {"message": "filtered", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}"#,
        r#"{"error": "model not loaded"}"#,
        r#"{"error": "invalid_grant", "error_description": "expired"}"#,
        r#"{"detail": [{"loc": ["body"], "msg": "field required"}]}"#,
        r#"{"detail": "Not Found"}"#,
        r#"{"errors": [{"message": "nope", "code": 10000}]}"#,
        r#"{"error": {"message": null}}"#,
        r#""plain""#,
        "<html><h1>502 Bad Gateway</h1></html>\n",
        "",
    ] {
        shown += &failure(&read_error(Api::Chat, body.as_bytes()));
    }
    insta::assert_snapshot!(shown, @r#"
error type=invalid_request_error code=context_length_exceeded param=messages "too long"
error type=overloaded_error code=- param=- "Overloaded"
error type=RESOURCE_EXHAUSTED code=429 param=- "slow down"
error type=INVALID_ARGUMENT code=400 param=- "bad"
error type=ThrottlingException code=- param=- "Too many requests"
error type=- code=- param=- "denied"
error type=NotFoundError code=404 param=- "no such model"
error type=- code=rate_limit_exceeded param=- "slow"
error type=- code=ResponsibleAIPolicyViolation param=- "filtered"
error type=- code=- param=- "model not loaded"
error type=invalid_grant code=- param=- "expired"
error type=- code=- param=- "[{\"loc\": [\"body\"], \"msg\": \"field required\"}]"
error type=- code=- param=- "Not Found"
error type=- code=10000 param=- "nope"
error type=- code=- param=- ""
error type=- code=- param=- "plain"
error type=- code=- param=- "<html><h1>502 Bad Gateway</h1></html>"
error type=- code=- param=- ""
"#);
}

#[test]
fn a_long_page_is_cut_between_characters() {
    let error = read_error(Api::Chat, "é".repeat(1 << 20).as_bytes());
    assert!(error.message.len() <= 8 << 10);
    assert!(error.message.ends_with('é'));
    assert_eq!(read_error(Api::Messages, b"\xff").message, "\u{fffd}");
}

#[test]
fn our_own_errors_have_the_form_of_the_wire() {
    let shown = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let mut all = String::new();
    for api in Api::ALL {
        for status in [400, 401, 403, 404, 413, 429, 502, 503, 504] {
            let body = shown(error_body(api, status, "record_unavailable", "say \"no\""));
            let read = failure(&read_error(api, body.as_bytes()));
            all += &format!("{api} {status} {read}");
        }
    }
    all += &format!("{}\n", shown(error_body(Api::Chat, 503, "k", "m")));
    all += &format!("{}\n", shown(error_body(Api::Messages, 503, "k", "m")));
    all += &shown(error_event(Api::Chat, "truncated", "a\nb"));
    insta::assert_snapshot!(all, @r#"
chat 400 error type=invalid_request_error code=record_unavailable param=- "say \"no\""
chat 401 error type=authentication_error code=record_unavailable param=- "say \"no\""
chat 403 error type=invalid_request_error code=record_unavailable param=- "say \"no\""
chat 404 error type=invalid_request_error code=record_unavailable param=- "say \"no\""
chat 413 error type=invalid_request_error code=record_unavailable param=- "say \"no\""
chat 429 error type=rate_limit_error code=record_unavailable param=- "say \"no\""
chat 502 error type=server_error code=record_unavailable param=- "say \"no\""
chat 503 error type=server_error code=record_unavailable param=- "say \"no\""
chat 504 error type=server_error code=record_unavailable param=- "say \"no\""
responses 400 error type=invalid_request_error code=record_unavailable param=- "say \"no\""
responses 401 error type=authentication_error code=record_unavailable param=- "say \"no\""
responses 403 error type=invalid_request_error code=record_unavailable param=- "say \"no\""
responses 404 error type=invalid_request_error code=record_unavailable param=- "say \"no\""
responses 413 error type=invalid_request_error code=record_unavailable param=- "say \"no\""
responses 429 error type=rate_limit_error code=record_unavailable param=- "say \"no\""
responses 502 error type=server_error code=record_unavailable param=- "say \"no\""
responses 503 error type=server_error code=record_unavailable param=- "say \"no\""
responses 504 error type=server_error code=record_unavailable param=- "say \"no\""
messages 400 error type=invalid_request_error code=record_unavailable param=- "say \"no\""
messages 401 error type=authentication_error code=record_unavailable param=- "say \"no\""
messages 403 error type=permission_error code=record_unavailable param=- "say \"no\""
messages 404 error type=not_found_error code=record_unavailable param=- "say \"no\""
messages 413 error type=request_too_large code=record_unavailable param=- "say \"no\""
messages 429 error type=rate_limit_error code=record_unavailable param=- "say \"no\""
messages 502 error type=api_error code=record_unavailable param=- "say \"no\""
messages 503 error type=overloaded_error code=record_unavailable param=- "say \"no\""
messages 504 error type=timeout_error code=record_unavailable param=- "say \"no\""
{"error":{"message":"m","type":"server_error","param":null,"code":"k"}}
{"type":"error","error":{"type":"overloaded_error","message":"m","code":"k"}}
event: error
data: {"type":"error","error":{"type":"truncated","message":"a\nb"}}
"#);
}

#[test]
fn our_own_events_mean_what_they_should() {
    for api in Api::ALL {
        let mut splitter = Splitter::new(1 << 10);
        let mut stream = Stream::new(api);
        let keep = splitter.push(keep_alive(api)).unwrap();
        assert_eq!(stream.push(&keep[0]), Moment::Preamble);
        let event = splitter
            .push(&error_event(api, "truncated", "cut"))
            .unwrap();
        assert_eq!(event.len(), 1);
        let Moment::Failed(error) = stream.push(&event[0]) else {
            panic!("{api}");
        };
        assert_eq!(error.kind.as_deref(), Some("truncated"));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_error_with_a_text(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = read_error(Api::Chat, &bytes);
    }

    #[test]
    fn any_message_survives_being_said(message in ".{0,40}") {
        for api in Api::ALL {
            let body = error_body(api, 500, "kind", &message);
            prop_assert_eq!(&read_error(api, &body).message, &message);
        }
    }
}
