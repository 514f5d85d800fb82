//! One conversation, on each wire, as it is sent after its second answer was rescinded.

use serde_json::json;
use wire::llm::Api;

use crate::support::{Turn, body, called, here, illegal, items, output, repaired, result};

fn turns() -> Vec<Turn> {
    let call = |id: &str, order: &str| {
        let name = "cancel_order".to_owned();
        (
            id.to_owned(),
            name,
            json!({ "order": order, "why": "late" }),
        )
    };
    vec![
        Turn::User("Cancel what came too late.".to_owned()),
        Turn::Model {
            text: "I cancel W1.".to_owned(),
            calls: vec![call("c1", "W1")],
        },
        Turn::Results(vec!["W1 is cancelled".to_owned()]),
        Turn::Model {
            text: "I cancel W2 too.".to_owned(),
            calls: vec![call("c2", "W2")],
        },
        Turn::Results(vec!["W2 is cancelled".to_owned()]),
        Turn::Model {
            text: "Both orders are cancelled, and W2 will be refunded to your card.".to_owned(),
            calls: Vec::new(),
        },
        Turn::User("Thank you.".to_owned()),
    ]
}

fn wrong() -> Vec<context::Mark> {
    let arguments = json!({ "why": "late", "order": "W2" });
    vec![
        output(
            2,
            "I cancel W2 too.",
            &[("c2", "cancel_order", arguments)],
            &["W1 is cancelled"],
        ),
        output(
            4,
            "Both orders are cancelled, and W2 will be refunded to your card.",
            &[],
            &["W2 is cancelled"],
        ),
    ]
}

fn sent(api: Api) -> String {
    let before = body(api, &turns()).to_string();
    let (after, _) = repaired(api, &before, &here(&wrong())).unwrap();
    assert_eq!(illegal(api, &after), None);
    let lines: Vec<String> = items(api, &after).iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn chat_completions() {
    insta::assert_snapshot!(sent(Api::Chat));
}

#[test]
fn responses() {
    insta::assert_snapshot!(sent(Api::Responses));
}

#[test]
fn messages() {
    insta::assert_snapshot!(sent(Api::Messages));
}

#[test]
fn what_was_replaced_is_told_by_place_decision_and_kind() {
    let before = body(Api::Chat, &turns()).to_string();
    let (_, repair) = repaired(Api::Chat, &before, &here(&wrong())).unwrap();
    let told: Vec<String> = repair
        .replaced
        .iter()
        .map(|cut| {
            format!(
                "{} {} {}",
                cut.at,
                cut.what.name(),
                cut.decision.as_bytes()[15]
            )
        })
        .collect();
    let expected = [
        "/messages/3 arguments 2",
        "/messages/3 message 2",
        "/messages/4 result 2",
        "/messages/5 message 4",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_call_alone_loses_its_result_and_keeps_what_was_asked() {
    for api in Api::ALL {
        let before = body(api, &turns()).to_string();
        let call = called(
            "c1",
            "cancel_order",
            &json!({ "order": "W1", "why": "late" }),
        );
        let marks = here(&[result(3, call.clone(), "W1 is cancelled")]);
        let (after, repair) = repaired(api, &before, &marks).unwrap();
        assert_eq!(repair.replaced.len(), 1, "{api}");
        assert!(!after.contains("W1 is cancelled"), "{api}");
        assert!(after.contains("I cancel W1.") && after.contains("W2 is cancelled"));
        // The same where nobody knows the id, by its arguments and its result.
        let nameless = context::Called { id: None, ..call };
        let marks = here(&[result(3, nameless.clone(), "W1 is cancelled")]);
        assert_eq!(repaired(api, &before, &marks).unwrap().0, after);
        let other = here(&[result(3, nameless, "W1 was refused")]);
        assert_eq!(repaired(api, &before, &other), None);
    }
}
