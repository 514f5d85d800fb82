//! Faults of upstreams: every status in the record is true, and the caller hears what to do.

use std::sync::Arc;

use gateway::Wire;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{ANSWER, Act, CHAT, Desk, Stub, json, kept, options, plain, stream, upstream};

#[tokio::test(start_paused = true)]
async fn plain_answers_that_do_not_come_whole_are_failures() {
    let cut = |body: &str| {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            body.len() + 5
        );
        Act::Send([head.as_bytes(), body.as_bytes()].concat())
    };
    for (script, status, code, outcome, tries) in [
        (
            vec![Act::Close],
            502,
            "upstream_unreachable",
            "failed: unavailable",
            3,
        ),
        (
            vec![cut(ANSWER), Act::Close],
            502,
            "upstream_unreachable",
            "failed: unavailable",
            3,
        ),
        (
            vec![cut(ANSWER), Act::Stall],
            504,
            "upstream_timeout",
            "failed: timeout",
            1,
        ),
        (
            vec![Act::Stall],
            504,
            "upstream_timeout",
            "failed: timeout",
            1,
        ),
        (
            vec![Act::Send(b"SSH-2.0-OpenSSH\r\n".to_vec())],
            502,
            "upstream_unreachable",
            "failed: unavailable",
            3,
        ),
    ] {
        let (desk, stub) = Desk::open(vec![script]).await;
        let got = desk.chat().await;
        assert_eq!(got.status, status, "{}", got.text());
        assert_eq!(got.json()["error"]["code"], code);
        assert_eq!(got.header("x-should-retry"), Some("false"));
        assert_eq!(stub.count(), tries);
        let decision = desk.decision().await;
        assert_eq!(decision.outcome, outcome);
        assert!(kept(&decision, "result").contains("error"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_comes_as_a_success_gets_the_status_that_clients_notice() {
    let body = r#"{"error":{"message":"Rate limit reached","type":"rate_limit_error"}}"#;
    let (desk, stub) = Desk::open(vec![json(body)]).await;
    let got = desk.chat().await;
    assert_eq!((got.status.as_u16(), got.text()), (429, body));
    assert_eq!(stub.count(), 3);
    assert_eq!(desk.outcome().await, "failed: rate-limit");
}

#[tokio::test]
async fn answers_that_say_nothing_are_passed_on_and_are_no_success() {
    for body in ["<html>Log in to the network</html>", "{}", "[]", ""] {
        let (desk, _stub) = Desk::open(vec![json(body)]).await;
        let got = desk.chat().await;
        assert_eq!((got.status.as_u16(), got.text()), (200, body));
        assert_eq!(desk.outcome().await, "failed: server", "{body}");
    }
}

#[tokio::test]
async fn what_is_compressed_although_it_was_not_asked_for_goes_through() {
    let headers = ["content-type: text/event-stream", "content-encoding: gzip"];
    let (desk, _stub) = Desk::open(vec![plain(200, &headers, "\u{1f}\u{8}zipped")]).await;
    let got = desk.chat_stream().await;
    assert_eq!(
        (got.status.as_u16(), got.text()),
        (200, "\u{1f}\u{8}zipped")
    );
    assert_eq!(got.header("content-encoding"), Some("gzip"));
    assert_eq!(desk.outcome().await, "succeeded");
}

#[tokio::test(start_paused = true)]
async fn an_unread_answer_that_breaks_off_breaks_off_for_the_caller() {
    use http_body_util::BodyExt as _;
    let script = vec![stream(), crate::support::chunk("half"), Act::Close];
    let (desk, _stub) = Desk::open(vec![script]).await;
    let body = desk
        .begin("/openai/v1/audio/speech", "{}", &[])
        .await
        .into_body();
    assert!(body.collect().await.is_err(), "it is not whole");
    assert_eq!(desk.outcome().await, "failed: unavailable");
}

#[tokio::test(start_paused = true)]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let stub = Stub::start(Vec::new()).await;
    let mut options = options(&[&stub]);
    let url = format!("http://{address}/v1");
    options.upstreams = [("openai".to_owned(), vec![upstream(&url, Wire::OpenAi)])].into();
    let desk = Desk::with(options).await;
    let got = desk.chat().await;
    assert_eq!(got.status, 502);
    let message = got.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&address.to_string()), "{message}");
    assert!(message.contains("check the upstream's `url`"), "{message}");
    assert_eq!(desk.outcome().await, "failed: unavailable");
}

#[tokio::test]
async fn an_upstream_without_tls_is_told_from_one_that_is_down() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stub = Stub::start(Vec::new()).await;
    let mut options = options(&[&stub]);
    options.retry.attempts_max = 1;
    let url = format!("https://{address}/v1");
    options.upstreams = [("openai".to_owned(), vec![upstream(&url, Wire::OpenAi)])].into();
    let desk = Desk::with(options).await;
    desk.recorder.tasks().spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 1024]).await;
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let got = desk.chat().await;
    assert_eq!(got.status, 502);
    let message = got.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("begin with `http://`"), "{message}");
}

#[tokio::test]
async fn what_the_address_of_an_upstream_has_after_its_mark_goes_along_with_every_call() {
    let stub = Stub::start(vec![json(ANSWER), json(ANSWER)]).await;
    let mut options = options(&[&stub]);
    let url = format!("{}?api-version=7", stub.url());
    options.upstreams = [("openai".to_owned(), vec![upstream(&url, Wire::OpenAi)])].into();
    let desk = Desk::with(options).await;
    desk.chat().await;
    desk.send("/openai/v1/chat/completions?x=1", CHAT, &[])
        .await;
    let lines: Vec<String> = stub.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(
        lines,
        [
            "POST /v1/chat/completions?api-version=7 HTTP/1.1",
            "POST /v1/chat/completions?x=1&api-version=7 HTTP/1.1"
        ]
    );
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_and_its_authority_can_be_named() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (acceptor, listener) = (
        TlsAcceptor::from(Arc::new(tls)),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let port = listener.local_addr().unwrap().port();
    let stub = Stub::start(Vec::new()).await;
    let mut options = options(&[&stub]);
    options.retry.attempts_max = 1;
    let mut at = upstream(&format!("https://localhost:{port}/v1"), Wire::OpenAi);
    options.upstreams = [("openai".to_owned(), vec![at.clone()])].into();
    let desk = Desk::with(options.clone()).await;
    desk.recorder.tasks().spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if let Ok(mut socket) = acceptor.accept(socket).await {
                crate::support::answer_once(&mut socket, &json(ANSWER)).await;
            }
        }
    });
    let got = desk.chat().await;
    assert_eq!(got.status, 502);
    let message = got.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("`ca_file`"), "{message}");
    assert_eq!(desk.outcome().await, "failed: unavailable");
    at.ca = Some(made.cert.pem().into_bytes());
    options.upstreams = [("openai".to_owned(), vec![at])].into();
    let trusting = Desk::with(options).await;
    assert_eq!(trusting.chat().await.text(), ANSWER);
}
