//! Agent cards: rewritten, no address of the agent is left by which we could be bypassed.

use proptest::prelude::*;
use serde_json::{Value, json};
use wire::a2a::{CardError, Interface, rewrite_card, rewrite_card_answer};

const OWN: &str = "http://127.0.0.1:7373/a2a/planner";

/// Rewrites a card and says what became of it.
fn play(card: &Value) -> String {
    let rewritten = match rewrite_card(card.to_string().as_bytes(), OWN) {
        Ok(rewritten) => rewritten,
        Err(error) => {
            return match &error {
                CardError::Unreadable(inner) => format!("error: {error}: {inner}"),
                _ => format!("error: {error}\nhint: {}", error.hint()),
            };
        }
    };
    let show = |interface: &Interface| {
        let version = interface.version.as_deref().unwrap_or("-");
        let tenant = interface.tenant.as_deref().unwrap_or("-");
        format!("{} {} {version} {tenant}", interface.url, interface.binding)
    };
    let mut lines = vec![String::from_utf8(rewritten.card).unwrap()];
    lines.extend(
        rewritten
            .upstream
            .iter()
            .map(|it| format!("upstream {}", show(it))),
    );
    lines.extend(
        rewritten
            .removed
            .iter()
            .map(|it| format!("removed {}", show(it))),
    );
    lines.push(format!("signatures {}", rewritten.signatures));
    lines.join("\n")
}

#[test]
fn a_card_of_v0_3_points_to_us() {
    let card = json!({
        "protocolVersion": "0.3.0", "name": "Planner", "url": "https://up.example/a2a", "preferredTransport": "JSONRPC",
        "additionalInterfaces": [
            {"url": "https://up.example/a2a", "transport": "JSONRPC"},
            {"url": "https://up.example/grpc", "transport": "GRPC"},
            {"url": "https://up.example/v1", "transport": "HTTP+JSON"},
            {"url": "https://eu.up.example/a2a", "transport": "JSONRPC", "region": "eu"}],
        "provider": {"organization": "Up", "url": "https://up.example"},
        "supportsAuthenticatedExtendedCard": true,
        "signatures": [{"protected": "e30", "signature": "x"}],
        "later": {"n": 1}
    });
    insta::assert_snapshot!(play(&card), @r#"
{"additionalInterfaces":[{"transport":"JSONRPC","url":"http://127.0.0.1:7373/a2a/planner"},{"region":"eu","transport":"JSONRPC","url":"http://127.0.0.1:7373/a2a/planner"}],"later":{"n":1},"name":"Planner","preferredTransport":"JSONRPC","protocolVersion":"0.3.0","provider":{"organization":"Up","url":"https://up.example"},"supportsAuthenticatedExtendedCard":true,"url":"http://127.0.0.1:7373/a2a/planner"}
upstream https://up.example/a2a JSONRPC 0.3.0 -
upstream https://eu.up.example/a2a JSONRPC 0.3.0 -
removed https://up.example/grpc GRPC 0.3.0 -
removed https://up.example/v1 HTTP+JSON 0.3.0 -
signatures 1
"#);
}

#[test]
fn a_card_of_v1_0_points_to_us() {
    let card = json!({
        "name": "Planner",
        "supportedInterfaces": [
            {"url": "https://up.example/grpc", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
            {"url": "https://up.example/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "x"},
            {"url": "https://old.up.example/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
            {"url": "https://up.example/v1", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"}],
        "capabilities": {"extendedAgentCard": true, "streaming": true},
        "documentationUrl": "https://docs.up.example"
    });
    insta::assert_snapshot!(play(&card), @r#"
{"capabilities":{"extendedAgentCard":true,"streaming":true},"documentationUrl":"https://docs.up.example","name":"Planner","supportedInterfaces":[{"protocolBinding":"JSONRPC","protocolVersion":"1.0","tenant":"x","url":"http://127.0.0.1:7373/a2a/planner"},{"protocolBinding":"JSONRPC","protocolVersion":"0.3","url":"http://127.0.0.1:7373/a2a/planner"}]}
upstream https://up.example/rpc JSONRPC 1.0 x
upstream https://old.up.example/rpc JSONRPC 0.3 -
removed https://up.example/grpc GRPC 1.0 -
removed https://up.example/v1 HTTP+JSON 1.0 -
signatures 0
"#);
    let rewritten = rewrite_card(card.to_string().as_bytes(), OWN).unwrap();
    let upstream = |version| rewritten.upstream_for(version).unwrap().url.clone();
    assert_eq!(upstream(Some("1.0")), "https://up.example/rpc");
    assert_eq!(upstream(Some("0.3.0")), "https://old.up.example/rpc");
    assert_eq!(upstream(None), "https://old.up.example/rpc");
    assert_eq!(upstream(Some("9")), "https://up.example/rpc");
}

#[test]
fn a_card_of_both_versions_points_to_us_in_both() {
    let card = json!({
        "url": "https://up.example/grpc", "preferredTransport": "GRPC",
        "additional_interfaces": [{"transport": "JSONRPC", "url": "https://up.example/a2a"}],
        "supported_interfaces": [{"protocol_binding": "JSONRPC", "protocol_version": "1.0", "url": "https:\u{2f}/up.example/rpc"}]
    });
    insta::assert_snapshot!(play(&card), @r#"
{"additional_interfaces":[{"transport":"JSONRPC","url":"http://127.0.0.1:7373/a2a/planner"}],"preferredTransport":"JSONRPC","supported_interfaces":[{"protocol_binding":"JSONRPC","protocol_version":"1.0","url":"http://127.0.0.1:7373/a2a/planner"}],"url":"http://127.0.0.1:7373/a2a/planner"}
upstream https://up.example/rpc JSONRPC 1.0 -
upstream https://up.example/a2a JSONRPC 0.3 -
removed https://up.example/grpc GRPC 0.3 -
signatures 0
"#);
}

#[test]
fn the_shortest_card_is_a_card() {
    insta::assert_snapshot!(play(&json!({"url": "https://up.example"})), @r#"
{"url":"http://127.0.0.1:7373/a2a/planner"}
upstream https://up.example JSONRPC 0.3 -
signatures 0
"#);
}

#[test]
fn a_card_that_cannot_point_to_us_is_refused() {
    let interface =
        |binding: &str| json!({"url": "https://up.example", "protocolBinding": binding});
    insta::assert_snapshot!(play(&json!({"supportedInterfaces": [interface("GRPC"), interface("HTTP+JSON")]})), @r"
error: the agent offers no JSON-RPC interface, only GRPC, HTTP+JSON
hint: switch on the agent's JSON-RPC binding
");
    insta::assert_snapshot!(play(&json!({"url": "https://up.example", "preferredTransport": "GRPC"})), @r"
error: the agent offers no JSON-RPC interface, only GRPC
hint: switch on the agent's JSON-RPC binding
");
    insta::assert_snapshot!(play(&json!({"name": "nobody"})), @r"
error: the agent card names no interface
hint: ask for the card with an HTTP client: the address may not be that of an A2A agent
");
    let twice = [
        json!({"supportedInterfaces": [interface("JSONRPC")], "supported_interfaces": [interface("JSONRPC")]}),
        json!({"url": "https://up.example", "URL": "https://up.example"}),
        json!({"supportedInterfaces": [interface("JSONRPC")], "SupportedInterfaces": [interface("JSONRPC")]}),
        json!({"supportedInterfaces": [{"url": "https://a", "protocolBinding": "JSONRPC", "transport": "GRPC"}]}),
    ];
    for card in twice {
        assert!(play(&card).contains("in two ways"), "{}", play(&card));
    }
    for card in [
        &b"{"[..],
        b"\xff",
        b"{\"url\":\"https://a\",\"url\":\"https://b\"}",
    ] {
        assert!(matches!(
            rewrite_card(card, OWN),
            Err(CardError::Unreadable(_))
        ));
    }
    assert!(rewrite_card(b"[]", OWN).is_err());
}

#[test]
fn an_interface_keeps_no_other_address() {
    let card = br#"{"supportedInterfaces":[{"url":"https://up.example/a","protocolBinding":"JSONRPC",
        "ws":"wss:\/\/up.example\/ws","more":{"deep":["\u0068ttps:\u002f/up.example"]},"note":"kept","n":1e400}]}"#;
    let rewritten = rewrite_card(card, OWN).unwrap();
    let text = String::from_utf8(rewritten.card).unwrap();
    insta::assert_snapshot!(text, @r#"{"supportedInterfaces":[{"url":"http://127.0.0.1:7373/a2a/planner","protocolBinding":"JSONRPC","note":"kept","n":1e400}]}"#);
}

#[test]
fn the_extended_card_is_rewritten_in_its_answer() {
    let answer = br#"{"jsonrpc":"2.0","id":"a\/1","result":{"name":"x","url":"https://up.example"},"later":1}"#;
    let rewritten = rewrite_card_answer(answer, OWN).unwrap().unwrap();
    insta::assert_snapshot!(String::from_utf8(rewritten.card).unwrap(), @r#"{"jsonrpc":"2.0","id":"a\/1","result":{"name":"x","url":"http://127.0.0.1:7373/a2a/planner"},"later":1}"#);
    assert_eq!(rewritten.upstream[0].url, "https://up.example");
    let error = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32007,"message":"none"}}"#;
    assert_eq!(rewrite_card_answer(error, OWN), Ok(None));
    assert!(rewrite_card_answer(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#, OWN).is_err());
    assert!(rewrite_card_answer(br#"{"url":"https://up.example"}"#, OWN).is_err());
}

/// Cards of either version or both, with interfaces of any kind.
fn cards() -> impl Strategy<Value = Value> {
    let host = "https://up\\.example(/[a-z]{0,3})?";
    let binding = prop_oneof![
        Just("JSONRPC"),
        Just("GRPC"),
        Just("HTTP+JSON"),
        Just("jsonrpc"),
        Just("x")
    ];
    let interface = |key: &'static str| {
        (host, binding.clone(), proptest::option::of("[01]\\.[03]"), proptest::option::of(host)).prop_map(
            move |(url, binding, version, other)| {
                json!({"url": url, key: binding, "protocolVersion": version, "other": other, "kept": true})
            },
        )
    };
    let list = |key| proptest::option::of(proptest::collection::vec(interface(key), 0..4));
    (
        proptest::option::of(host),
        proptest::option::of(binding.clone()),
        list("transport"),
        list("protocolBinding"),
        any::<bool>(),
    )
        .prop_map(|(url, preferred, additional, supported, snake)| {
            let mut card = serde_json::Map::new();
            let spelt = |camel: &str, other: &str| {
                if snake {
                    other.to_owned()
                } else {
                    camel.to_owned()
                }
            };
            card.insert("name".into(), json!("x"));
            card.insert("url".into(), json!(url));
            card.insert(
                spelt("preferredTransport", "preferred_transport"),
                json!(preferred),
            );
            card.insert(
                spelt("additionalInterfaces", "additional_interfaces"),
                json!(additional),
            );
            card.insert(
                spelt("supportedInterfaces", "supported_interfaces"),
                json!(supported),
            );
            Value::Object(card)
        })
}

proptest! {
    #[test]
    fn no_address_of_the_agent_is_left(card in cards()) {
        let text = card.to_string();
        match rewrite_card(text.as_bytes(), OWN) {
            Ok(rewritten) => {
                let text = String::from_utf8(rewritten.card).unwrap();
                prop_assert!(!text.contains("up.example"), "{}", text);
                for name in ["GRPC", "HTTP+JSON", "\"x\"}"] {
                    prop_assert!(!text.contains(name), "{}", text);
                }
                prop_assert!(!rewritten.upstream.is_empty());
                prop_assert!(rewritten.upstream.iter().all(|it| it.binding.eq_ignore_ascii_case("JSONRPC")));
                let again = rewrite_card(text.as_bytes(), OWN).unwrap();
                prop_assert_eq!(String::from_utf8(again.card).unwrap(), text);
                prop_assert!(again.upstream.iter().all(|it| it.url == OWN));
                prop_assert!(again.removed.is_empty());
            }
            Err(CardError::NothingCarried { .. } | CardError::NoInterface) => {
                prop_assert!(!text.to_ascii_uppercase().contains(":\"JSONRPC\"") || card["url"].is_null());
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn any_bytes_are_a_card_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = rewrite_card(&bytes, OWN);
        let _ = rewrite_card_answer(&bytes, OWN);
    }
}
