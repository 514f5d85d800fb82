//! Who is let in, over a real socket and through the router.

use axum::http::StatusCode;
use engine::access::{Access, Role, Token};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{World, ask, get, listen, local, request};

const VIEWER: &str = "token-of-the-viewer";
const AGENT: &str = "token-of-the-agent";
const OPERATOR: &str = "token-of-the-operator";

fn tokens() -> Access {
    let token = |text: &str, role: Role| Token::of(text, role.name(), role);
    Access::new(vec![
        token(VIEWER, Role::Viewer),
        token(AGENT, Role::Agent),
        token(OPERATOR, Role::Operator),
    ])
}

#[tokio::test]
async fn each_role_sees_what_it_may() {
    let world = World::with_a_run().await;
    let router = world.builder().access(local(tokens())).build();
    let cases = [
        (None, 401, "no-token"),
        (Some("Bearer wrong"), 401, "unknown-token"),
        (Some("Basic dXNlcjp4"), 401, "no-token"),
        (Some(&*format!("Bearer {AGENT}")), 403, "role"),
        (Some(&*format!("Bearer {VIEWER}")), 200, ""),
        (Some(&*format!("bearer {OPERATOR}")), 200, ""),
    ]
    .map(|(header, status, code)| (header.map(str::to_owned), status, code));
    for path in [
        "/api/v1/runs",
        "/api/v1/status",
        "/metrics",
        "/log/default/checkpoint",
    ] {
        for (header, status, code) in &cases {
            if path == "/metrics" && *status == 200 {
                continue;
            }
            let header = header.as_deref().map(|value| [("authorization", value)]);
            let headers = header.as_ref().map_or(&[][..], |header| header);
            let answer = ask(&router, request("GET", path, headers)).await;
            assert_eq!(answer.status.as_u16(), *status, "{path} {headers:?}");
            if *status == 401 {
                assert!(answer.header("www-authenticate").starts_with("Bearer"));
            }
            if !code.is_empty() {
                assert_eq!(answer.json()["code"], *code, "{path} {headers:?}");
            }
            for secret in [VIEWER, AGENT, OPERATOR, "wrong"] {
                assert!(!answer.text.contains(secret), "{}", answer.text);
            }
        }
    }
    for open in ["/healthz", "/readyz", "/api/v1/openapi.json"] {
        assert_eq!(
            ask(&router, get(open)).await.status,
            StatusCode::OK,
            "{open}"
        );
    }
}

#[tokio::test]
async fn nobody_is_let_in_where_nothing_was_said() {
    let world = World::with_a_run().await;
    let router = server::Server::builder(world.engine.clone()).build();
    let answer = ask(&router, get("/api/v1/runs")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_name_that_was_rebound_to_this_machine_is_refused() {
    let world = World::with_a_run().await;
    for (target, host) in [
        ("/api/v1/runs", "evil.example:7373"),
        ("/healthz", "evil.example"),
        ("/readyz", ""),
        ("http://evil.example/api/v1/runs", "localhost"),
        ("http://localhost/api/v1/runs", "evil.example"),
    ] {
        let answer = ask(&world.router(), request("GET", target, &[("host", host)])).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{target} {host}");
        assert_eq!(answer.json()["code"], "host");
    }
    let two = request(
        "GET",
        "/healthz",
        &[("host", "localhost"), ("host", "evil.example")],
    );
    assert_eq!(
        ask(&world.router(), two).await.status,
        StatusCode::BAD_REQUEST
    );

    let named = local(Access::default()).answering_to(["desk.example".to_owned()]);
    let router = world.builder().access(named).build();
    let answer = ask(
        &router,
        request("GET", "/healthz", &[("host", "desk.example:7373")]),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_start_anything() {
    let world = World::with_a_run().await;
    let verify = |headers: &[(&str, &str)]| request("POST", "/api/v1/verify", headers);
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
    ] {
        let answer = ask(&world.router(), verify(headers)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
        assert_eq!(answer.json()["code"], "cross-site");
    }
    // Our own page, and what is no browser, get as far as there being no verifier.
    for headers in [&[("origin", "http://localhost:7373")][..], &[]] {
        let answer = ask(&world.router(), verify(headers)).await;
        assert_eq!(answer.json()["code"], "no-verifier", "{headers:?}");
    }
    let answer = ask(
        &world.router(),
        request("GET", "/api/v1/runs", &[("origin", "https://evil.example")]),
    )
    .await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn tokens_are_asked_for_on_a_real_socket() {
    let world = World::with_a_run().await;
    let address = listen(world.builder().access(local(tokens())).build()).await;
    for (header, status) in [
        (String::new(), "401"),
        (format!("authorization: Bearer {VIEWER}\r\n"), "200"),
    ] {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let asked = format!("GET /api/v1/status HTTP/1.0\r\nhost: {address}\r\n{header}\r\n");
        socket.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
    }
}

#[tokio::test]
async fn who_decides_is_whose_token_it_is_whatever_they_say() {
    let world = World::empty().await;
    let access = Access::new(vec![Token::of("token-of-olga", "olga", Role::Operator)]);
    let router = world.builder().access(local(access)).build();
    let headers = [("authorization", "Bearer token-of-olga")];
    let path = "/api/v1/quarantine/billing?by=mallory";
    let held = ask(&router, request("POST", path, &headers)).await.json();
    assert_eq!(held["held"][0]["by"], "olga");
    // Where there are no tokens they say it themselves.
    let router = world.router();
    let path = "/api/v1/quarantine/orders?by=otto";
    let held = ask(&router, request("POST", path, &[])).await.json();
    assert_eq!(held["held"][1]["by"], "otto");
    assert_eq!(held["unseen"], "orders", "nobody of that name was seen");
}
