//! Who is let in.

use std::net::IpAddr;

use engine::access::{Access, Deed, Denied, Role, Token, bearer, is_cross_site};

fn access(tokens: &[(&str, Role)]) -> Access {
    let token = |&(text, role): &(&str, Role)| Token::of(text, role.name(), role);
    Access::new(tokens.iter().map(token).collect())
}

fn at(address: &str) -> IpAddr {
    address.parse().unwrap()
}

#[test]
fn a_role_may_do_what_it_is_for() {
    let allowed = |role: Role| {
        [Deed::Call, Deed::Read, Deed::Operate]
            .into_iter()
            .filter(|deed| role.may(*deed))
            .collect::<Vec<_>>()
    };
    assert_eq!(allowed(Role::Agent), [Deed::Call]);
    assert_eq!(allowed(Role::Viewer), [Deed::Read]);
    assert_eq!(
        allowed(Role::Operator),
        [Deed::Call, Deed::Read, Deed::Operate]
    );
    for role in Role::ALL {
        assert_eq!(Role::named(role.name()), Some(role));
    }
}

#[test]
fn only_known_tokens_are_let_in() {
    let access = access(&[("one", Role::Viewer), ("two", Role::Operator)]);
    for access in [
        access.clone(),
        access.clone().bound_to(at("127.0.0.1")),
        access.bound_to(at("0.0.0.0")),
    ] {
        assert_eq!(access.check(Some("one")), Ok(Role::Viewer));
        assert_eq!(access.check(Some("two")), Ok(Role::Operator));
        assert_eq!(access.check(None), Err(Denied::NoToken));
        for wrong in ["", "on", "one ", "onetwo"] {
            assert_eq!(access.check(Some(wrong)), Err(Denied::UnknownToken));
        }
        let denied = access.admit(Some("one"), Deed::Operate);
        assert_eq!(denied, Err(Denied::Role { role: Role::Viewer }));
    }
}

#[test]
fn without_tokens_only_loopback_is_open() {
    let local = access(&[]).bound_to(at("::1"));
    assert_eq!(local.admit(None, Deed::Operate), Ok(Role::Operator));
    for closed in [access(&[]), access(&[]).bound_to(at("10.0.0.1"))] {
        assert_eq!(closed.check(None), Err(Denied::NoToken));
        assert_eq!(closed.check(Some("")), Err(Denied::UnknownToken));
    }
}

#[test]
fn on_loopback_only_names_of_this_machine_are_answered() {
    let access = access(&[])
        .bound_to(at("127.0.0.1"))
        .answering_to(["Desk.example".to_owned()]);
    for host in [
        "localhost",
        "LOCALHOST:7373",
        "127.0.0.1:7373",
        "[::1]:7373",
        "[::1]",
        "desk.example:80",
    ] {
        assert!(access.answers_to(host), "{host}");
    }
    for host in [
        "",
        "evil.example",
        "evil.example:7373",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost:7373@evil.example",
        "localhost:port",
        "evil.example:localhost",
        "[::1",
        "[::1]x",
        "::1",
        "localhost ",
    ] {
        assert!(!access.answers_to(host), "{host}");
    }
    assert!(access.bound_to(at("0.0.0.0")).answers_to("evil.example"));
}

#[test]
fn a_page_of_another_site_is_told_from_everybody_else() {
    let host = "localhost:7373";
    let cases: [(Option<&str>, Option<&str>, bool); 9] = [
        (None, None, false),
        (None, Some("none"), false),
        (Some("http://localhost:7373"), Some("same-origin"), false),
        (Some("http://localhost:7373"), None, false),
        (Some("http://localhost:8000"), Some("same-site"), true),
        (Some("http://localhost:8000"), None, true),
        (Some("https://evil.example"), Some("cross-site"), true),
        (Some("null"), None, true),
        (None, Some("cross-site"), true),
    ];
    for (origin, site, cross) in cases {
        assert_eq!(
            is_cross_site(origin, site, host),
            cross,
            "{origin:?} {site:?}"
        );
    }
}

#[test]
fn a_token_is_read_from_its_header_and_shown_nowhere() {
    assert_eq!(bearer("Bearer abc"), Some("abc"));
    assert_eq!(bearer("bearer  abc "), Some("abc"));
    for other in ["", "abc", "Bearer", "Bearer ", "Basic abc"] {
        assert_eq!(bearer(other), None, "{other}");
    }
    let shown = format!("{:?}", access(&[("guessed", Role::Viewer)]));
    assert!(
        shown.contains("viewer") && !shown.contains("sha256"),
        "{shown}"
    );
}
