//! Bytes go through as they came, and what is ours or secret goes nowhere.

use serde_json::json;

use crate::support::{ANSWER, CHAT, Desk, KEY, kept, options, plain, streamed, words};
use crate::support::{Stub, json as answers};

/// JSON that no printer of ours would write: its spaces, its order, its numbers, fields that
/// nobody knows.
const ODD: &str = "{ \"x_unknown\" : [1.50, 2e0, \"\\u00fc\"],\"model\":\"m-1\",\t\"messages\":[{\"content\":\"Hi\",\"role\":\"user\",\"x\":null}],\"model_\":1}\n";

#[tokio::test]
async fn bodies_go_through_byte_for_byte() {
    let odd = format!(
        "{}  ",
        ANSWER.replace("\"usage\"", "\"x_more\" : 1.50,\"usage\"")
    );
    let (desk, stub) = Desk::open(vec![answers(&odd)]).await;
    let got = desk
        .send("/openai/v1/chat/completions?x=1&y=%2F", ODD, &[])
        .await;
    assert_eq!(got.text(), odd);
    let seen = &stub.seen()[0];
    assert_eq!(seen.line, "POST /v1/chat/completions?x=1&y=%2F HTTP/1.1");
    assert_eq!(String::from_utf8_lossy(&seen.body), ODD);
    let decision = desk.decision().await;
    assert_eq!(kept(&decision, "asked"), ODD);
    assert_eq!(kept(&decision, "result"), odd);
    assert_eq!(got.header("x-rescind-decision"), Some(&*decision.node.id));
    assert_eq!(got.header("x-rescind-run"), Some(&*decision.node.run));
}

#[tokio::test]
async fn a_stream_goes_through_byte_for_byte_however_it_is_cut() {
    let mut blocks = words(&["On ", "its ", "way."]);
    blocks.insert(1, ": a comment\r\n\r\n".to_owned());
    blocks.insert(
        3,
        "event: x-unknown\nid: 7\ndata: {\"x\":\ndata: 1}\n\n".to_owned(),
    );
    blocks.push(": said after the end\n\n".to_owned());
    let whole = blocks.concat();
    for size in [1, 2, 7, 64, 100_000] {
        let chunks: Vec<String> = whole
            .as_bytes()
            .chunks(size)
            .map(|chunk| String::from_utf8(chunk.to_vec()).unwrap())
            .collect();
        let (desk, _stub) = Desk::open(vec![streamed(&chunks)]).await;
        assert_eq!(
            desk.chat_stream().await.text(),
            whole,
            "in pieces of {size}"
        );
        let decision = desk.decision().await;
        assert_eq!(decision.outcome, "succeeded");
        assert_eq!(kept(&decision, "chosen"), "On its way.");
        assert!(kept(&decision, "result").contains(r#""output_tokens":3"#));
    }
}

#[tokio::test]
async fn endpoints_that_nobody_knows_go_through_and_are_recorded() {
    let body = "\u{0}not JSON at all";
    let (desk, stub) = Desk::open(vec![plain(201, &["x-odd: 1"], body)]).await;
    let got = desk.send("/openai/v1/odd/end-point", "a=b", &[]).await;
    assert_eq!((got.status.as_u16(), got.text()), (201, body));
    assert_eq!(got.header("x-odd"), Some("1"));
    assert_eq!(stub.seen()[0].body, b"a=b");
    let decision = desk.decision().await;
    assert_eq!(decision.node.name.as_deref(), Some("/odd/end-point"));
    assert_eq!(decision.outcome, "succeeded");
    assert_eq!(kept(&decision, "result"), body);
}

#[tokio::test]
async fn an_unknown_endpoint_streams_while_it_is_said() {
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let script = vec![
        crate::support::stream(),
        crate::support::chunk("data: 1\n\n"),
        crate::support::Act::Wait(go.clone()),
        crate::support::chunk("data: 2\n\n"),
        crate::support::end(),
    ];
    let (desk, _stub) = Desk::open(vec![script]).await;
    use http_body_util::BodyExt as _;
    let mut body = desk
        .begin("/openai/v1/completions", "{}", &[])
        .await
        .into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&first[..], b"data: 1\n\n", "before the second is sent");
    go.notify_one();
    assert_eq!(
        &body.collect().await.unwrap().to_bytes()[..],
        b"data: 2\n\n"
    );
    assert_eq!(desk.outcome().await, "succeeded");
}

#[tokio::test]
async fn looking_is_passed_on_and_not_recorded() {
    let (desk, stub) = Desk::open(vec![answers(r#"{"data":[]}"#), answers(ANSWER)]).await;
    let raw = format!(
        "GET /openai/v1/models HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        desk.address
    );
    assert!(desk.raw(raw.as_bytes()).await.ends_with(r#"{"data":[]}"#));
    desk.chat().await;
    assert_eq!(stub.count(), 2);
    assert_eq!(desk.decision().await.node.name.as_deref(), Some("m-1"));
}

#[tokio::test]
async fn our_headers_and_those_of_the_connection_end_here() {
    let passing_for_ours = ["x-rescind-run: made-up", "x-rescind-odd: 1", "x-odd: 1"];
    let (desk, stub) = Desk::open(vec![plain(200, &passing_for_ours, ANSWER)]).await;
    let headers = [
        ("x-rescind-agent", "ada"),
        ("x-rescind-run", "ticket-7"),
        ("x-rescind-decision", "made-up"),
        ("x-rescind-anything", "1"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("accept-encoding", "gzip, br"),
        ("x-odd", "goes on"),
    ];
    let got = desk
        .send("/openai/v1/chat/completions", CHAT, &headers)
        .await;
    assert_eq!(got.header("x-rescind-odd"), None);
    assert_eq!(got.header("x-odd"), Some("1"));
    let seen = &stub.seen()[0];
    let head = seen.head.to_ascii_lowercase();
    assert!(!head.contains("x-rescind"), "{head}");
    assert!(!head.contains("x-hop"), "{head}");
    assert_eq!(seen.header("x-odd"), Some("goes on"));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert_eq!(seen.header("host"), Some(&*stub.address.to_string()));
    assert_eq!(
        seen.header("authorization"),
        Some(&*format!("Bearer {KEY}"))
    );
    let decision = desk.decision().await;
    assert_eq!(decision.node.agent, "ada");
    assert_eq!(got.header("x-rescind-run"), Some(&*decision.node.run));
}

#[tokio::test]
async fn keys_are_not_recorded_even_where_the_provider_quotes_them() {
    let quotes = json!({"error": {"message": format!("Incorrect API key provided: {KEY}."),
        "type": "invalid_request_error", "code": "invalid_api_key"}});
    let (desk, stub) = Desk::open(vec![
        plain(
            401,
            &["content-type: application/json"],
            &quotes.to_string(),
        ),
        answers(ANSWER),
    ])
    .await;
    let got = desk.chat().await;
    assert_eq!(got.status, 401);
    assert_eq!(got.json(), quotes, "the caller sees what it was told");
    assert_eq!(stub.count(), 1, "a wrong key stays wrong");
    desk.chat().await;
    let all = desk.decisions(2).await;
    assert_eq!(all[0].outcome, "failed: authentication");
    assert!(kept(&all[0], "result").contains("provided: [key]."));
    let everything = serde_json::to_string(&all).unwrap();
    assert!(!everything.contains(KEY), "{everything}");
}

#[tokio::test]
async fn the_url_names_the_agent_and_an_upstream_names_its_models() {
    let stub = Stub::start(vec![answers(ANSWER)]).await;
    let mut options = options(&[&stub]);
    let upstream = &mut options.upstreams.get_mut("openai").unwrap()[0];
    upstream.models = [("m-1".to_owned(), "big-model".to_owned())].into();
    upstream.headers = vec![(
        http::header::AUTHORIZATION,
        http::HeaderValue::from_static("Bearer sk-of-the-operator"),
    )];
    let desk = Desk::with(options).await;
    desk.send("/agents/ada%40home/openai/v1/chat/completions", CHAT, &[])
        .await;
    let seen = &stub.seen()[0];
    assert_eq!(
        String::from_utf8_lossy(&seen.body),
        CHAT.replace("\"m-1\"", "\"big-model\"")
    );
    assert_eq!(
        seen.header("authorization"),
        Some("Bearer sk-of-the-operator")
    );
    let decision = desk.decision().await;
    assert_eq!(decision.node.agent, "ada@home");
    assert!(kept(&decision, "asked").contains("\"m-1\""));
}

#[tokio::test]
async fn fifty_megabytes_go_through_in_both_directions() {
    let long = "x".repeat(50 << 20);
    let (desk, stub) = Desk::open(vec![answers(&ANSWER.replace("On its way.", &long))]).await;
    let got = desk
        .send(
            "/openai/v1/chat/completions",
            CHAT.replace("Where", &long),
            &[],
        )
        .await;
    assert_eq!(
        got.body.len(),
        ANSWER.len() - "On its way.".len() + (50 << 20)
    );
    assert_eq!(stub.seen()[0].body.len(), CHAT.len() - 5 + (50 << 20));
    assert_eq!(desk.outcome().await, "succeeded");
}
