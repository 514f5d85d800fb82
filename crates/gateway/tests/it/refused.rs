//! What is refused before anything is recorded or sent.

use gateway::Limits;

use crate::support::{ANSWER, Act, CHAT, Desk, Stub, json, options, plain};

async fn send_raw(desk: &Desk, line: &str, headers: &str, body: &str) -> String {
    let host = desk.address;
    let host = if headers.to_ascii_lowercase().contains("host:") {
        String::new()
    } else {
        format!("host: {host}\r\n")
    };
    let request = format!("{line} HTTP/1.1\r\n{host}connection: close\r\n{headers}\r\n{body}");
    desk.raw(request.as_bytes()).await
}

#[tokio::test]
async fn paths_that_two_could_read_differently_are_refused() {
    let (desk, stub) = Desk::open(vec![json(ANSWER)]).await;
    for path in [
        "/openai/v1/..%2fadmin",
        "/openai/v1/%2e%2e/admin",
        "/openai/v1/../../admin",
        "/openai/./v1/models",
        "/openai//v1/models",
        "/openai/v1/a%5cb",
        "/openai/v1/a\\b",
        "/openai/v1/a%00b",
        "/agents/a%2fb/openai/v1/chat/completions",
        "/agents//openai/v1/chat/completions",
        "/agents/../openai/v1/chat/completions",
        "/agents/ada",
        "/agents/ada/nowhere/v1/models",
        "/openai",
    ] {
        let answer = send_raw(
            &desk,
            &format!("POST {path}"),
            "content-length: 2\r\n",
            "{}",
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
    }
    assert_eq!(stub.count(), 0);
}

#[tokio::test]
async fn nothing_is_smuggled_in_a_body_whose_length_is_said_in_two_ways() {
    let (desk, stub) = Desk::open(vec![json(ANSWER)]).await;
    let line = "POST /openai/v1/chat/completions HTTP/1.1";
    let smuggled = format!("0\r\n\r\n{line}\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    let length = smuggled.len();
    for (headers, status) in [
        (
            "content-length: 5\r\ncontent-length: 6\r\n".to_owned(),
            "400",
        ),
        ("transfer-encoding: chunked, identity\r\n".to_owned(), "400"),
        ("transfer-encoding: xchunked\r\n".to_owned(), "400"),
        ("content-length: +5\r\n".to_owned(), "400"),
        // Read as chunks, of which there are none; what follows is not read at all.
        (
            format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
            "200",
        ),
        (
            format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
            "200",
        ),
    ] {
        let request = format!("{line}\r\nhost: localhost\r\n{headers}\r\n{smuggled}");
        let before = stub.count();
        let answer = desk.raw(request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{headers}: {answer}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{headers}: {answer}"
        );
        assert_eq!(
            stub.count() - before,
            usize::from(status == "200"),
            "{headers}"
        );
    }
    for seen in stub.seen() {
        assert_eq!(seen.header("content-length").unwrap_or("0"), "0");
        assert_eq!(seen.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn other_host_names_and_pages_of_other_sites_are_refused() {
    let (desk, stub) = Desk::open(vec![json(ANSWER)]).await;
    let line = "POST /openai/v1/chat/completions";
    for (headers, status) in [
        (
            "host: attacker.example\r\ncontent-length: 2\r\n".to_owned(),
            "421",
        ),
        (
            "host: 127.0.0.1.attacker.example\r\ncontent-length: 2\r\n".to_owned(),
            "421",
        ),
        (
            "origin: https://attacker.example\r\ncontent-length: 2\r\n".to_owned(),
            "403",
        ),
        (
            "sec-fetch-site: cross-site\r\ncontent-length: 2\r\n".to_owned(),
            "403",
        ),
    ] {
        let answer = send_raw(&desk, line, &headers, "{}").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    assert_eq!(stub.count(), 0);
}

#[tokio::test]
async fn limits_are_said_on_the_wire_of_the_call() {
    let stub = Stub::start(vec![json(ANSWER)]).await;
    let mut options = options(&[&stub]);
    options.limits = Limits {
        body_bytes_max: 200,
        ..Limits::default()
    };
    let desk = Desk::with(options).await;
    let long = CHAT.replace("Where", &"x".repeat(500));
    let got = desk
        .send("/openai/v1/chat/completions", long.clone(), &[])
        .await;
    assert_eq!(got.status, 413);
    let error = &got.json()["error"];
    assert_eq!(error["type"], "invalid_request_error");
    assert_eq!(error["code"], "body_too_large");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("limits.body_bytes_max")
    );
    let got = desk.send("/anthropic/v1/messages", long, &[]).await;
    assert_eq!(
        (got.status.as_u16(), &got.json()["type"]),
        (413, &"error".into())
    );
    assert_eq!(got.json()["error"]["type"], "request_too_large");
    assert_eq!(stub.count(), 0);
    // The answer is longer than that too.
    let got = desk.chat().await;
    assert_eq!(got.status, 502);
    assert_eq!(got.json()["error"]["code"], "answer_too_large");
    assert_eq!(stub.count(), 1);
    assert_eq!(desk.outcome().await, "failed: too-large");
}

#[tokio::test]
async fn more_calls_than_are_allowed_at_once_are_refused() {
    let stub = Stub::start(vec![vec![Act::Stall]]).await;
    let mut options = options(&[&stub]);
    options.limits.in_flight_max = 1;
    let desk = Desk::with(options).await;
    let first = desk.send("/openai/v1/chat/completions", CHAT, &[]);
    let others = async {
        while stub.count() == 0 {
            tokio::task::yield_now().await;
        }
        let got = desk.send("/anthropic/v1/messages", CHAT, &[]).await;
        assert_eq!(got.status, 503);
        assert_eq!(got.json()["error"]["code"], "too_many_calls");
        assert_eq!(got.json()["error"]["type"], "overloaded_error");
        assert_eq!(got.header("retry-after"), Some("1"));
    };
    tokio::select! {
        _ = first => panic!("the upstream stalls"),
        () = others => {}
    }
    assert_eq!(
        desk.outcome().await,
        "cancelled",
        "the first caller went away"
    );
}

#[tokio::test]
async fn an_error_in_plain_text_is_passed_on_and_classed_by_its_status() {
    let (desk, _stub) = Desk::open(vec![plain(401, &[], "who are you?")]).await;
    let got = desk.chat().await;
    assert_eq!((got.status.as_u16(), got.text()), (401, "who are you?"));
    assert_eq!(desk.outcome().await, "failed: authentication");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_waited_for_with_a_limit() {
    let (desk, stub) = Desk::open(vec![json(ANSWER)]).await;
    let line = "POST /anthropic/v1/messages";
    let answer = send_raw(&desk, line, "content-length: 9\r\n", "{}").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains(r#"{"type":"error","error":"#), "{answer}");
    assert_eq!(stub.count(), 0);
}
