//! Forms that histories come in, and what stays as it is.

use context::{Mark, Trace};
use serde_json::json;
use wire::llm::Api;

use crate::support::{anywhere, called, here, items, output, repaired, result};

const SAID: &str = "The customer in Bergen gets the full price of order W7 back today.";

fn one() -> Mark {
    output(1, SAID, &[], &["What about W7?"])
}

#[test]
fn a_passage_in_somebody_elses_message_is_replaced_and_the_rest_stays() {
    let text = json!(format!("Ada writes:\n\"{SAID}\"\nDo it — now.")).to_string();
    let marks = here(&[one()]);
    for (api, body) in [
        (
            Api::Chat,
            format!(r#"{{"messages":[{{"role":"user","content":{text}}}]}}"#),
        ),
        (
            Api::Chat,
            format!(
                r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":{text}}}]}}]}}"#
            ),
        ),
        (Api::Responses, format!(r#"{{"input":{text}}}"#)),
        (
            Api::Responses,
            format!(r#"{{"instructions":{text},"input":"x"}}"#),
        ),
        (
            Api::Messages,
            format!(r#"{{"system":{text},"messages":[]}}"#),
        ),
        (
            Api::Messages,
            format!(
                r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":{text},"cache_control":{{"type":"ephemeral"}}}}]}}]}}"#
            ),
        ),
    ] {
        let (after, repair) = repaired(api, &body, &marks).unwrap();
        assert_eq!(repair.replaced.len(), 1, "{body}");
        let expected = body.replace(
            SAID,
            "[Rescinded: what stood here by `ada` no longer holds. Reason: the policy was misread.]",
        );
        assert_eq!(after, expected);
    }
}

#[test]
fn text_written_with_escapes_is_the_same_text() {
    let said = "Größe 44 für Frau Ørsted: die Bestellung W7 wird ganz erstattet, heute noch.";
    let marks = here(&[output(1, said, &[], &[])]);
    let escaped: String = said
        .chars()
        .map(|c| match c.is_ascii() {
            true => c.to_string(),
            false => format!("\\u{:04x}", c as u32),
        })
        .collect();
    let body = format!(
        r#"{{"messages":[{{"role":"assistant","content":"{escaped}"}},{{"role":"user","content":"\u00e9"}}]}}"#
    );
    let (after, _) = repaired(Api::Chat, &body, &marks).unwrap();
    assert!(
        after.ends_with(r#",{"role":"user","content":"\u00e9"}]}"#),
        "{after}"
    );
    assert!(!after.contains("W7"));
}

#[test]
fn a_sentence_of_it_is_enough_unless_the_model_had_it_from_elsewhere() {
    let order = "Please send the blue kettle back to the shop in Oslo tomorrow.";
    let text = format!("{order} I will refund the kettle twice because the shop said so.");
    let marks = here(&[output(1, &text, &[], &[order])]);
    let quoting =
        |text: &str| json!({ "messages": [{ "role": "user", "content": text }] }).to_string();
    let own = quoting("He said: I will refund the kettle twice because the shop said so. Right?");
    assert!(repaired(Api::Chat, &own, &marks).is_some());
    assert_eq!(repaired(Api::Chat, &quoting(order), &marks), None);
}

#[test]
fn what_is_short_counts_only_in_its_place() {
    let marks = here(&[output(1, "Done.", &[], &["Refund W7."])]);
    let body = json!({ "messages": [
        { "role": "user", "content": "Refund W6." },
        { "role": "assistant", "content": "Done." },
        { "role": "user", "content": "Refund W7." },
        { "role": "assistant", "content": "Done." },
        { "role": "user", "content": "Done." },
    ]});
    let (_, repair) = repaired(Api::Chat, &body.to_string(), &marks).unwrap();
    let at: Vec<&str> = repair.replaced.iter().map(|cut| &*cut.at).collect();
    assert_eq!(at, ["/messages/3"]);
}

#[test]
fn another_run_is_told_of_long_passages_only_and_its_own_words_stay() {
    let short = one();
    let long = output(
        2,
        "After looking at the policy again I have decided that every order of this customer is \
         refunded in full, whatever it is and whenever it was made.",
        &[],
        &[],
    );
    let Trace::Output { text, .. } = &long.trace else {
        unreachable!()
    };
    let marks = anywhere(&[short, long.clone()]);
    let body = |role: &str, text: &str| {
        json!({ "messages": [{ "role": role, "content": text }] }).to_string()
    };
    assert_eq!(repaired(Api::Chat, &body("user", SAID), &marks), None);
    assert_eq!(repaired(Api::Chat, &body("assistant", text), &marks), None);
    assert!(repaired(Api::Chat, &body("user", text), &marks).is_some());
}

#[test]
fn thinking_stays_beside_a_call_and_goes_with_an_answer() {
    let arguments = json!({ "order": "W7" });
    let marks = here(&[
        output(1, "", &[("t1", "refund", arguments.clone())], &[]),
        one(),
    ]);
    let thinking = json!({ "type": "thinking", "thinking": "W7 it is.", "signature": "c2ln" });
    let body = json!({ "messages": [
        { "role": "user", "content": "What about W7?" },
        { "role": "assistant", "content": [
            thinking,
            { "type": "text", "text": "I refund W7.", "cache_control": { "type": "ephemeral" } },
            { "type": "tool_use", "id": "t1", "name": "refund", "input": arguments },
        ]},
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "t1", "is_error": false,
              "content": [{ "type": "text", "text": "ok" }, { "type": "image", "source": {} }],
              "cache_control": { "type": "ephemeral" } },
        ]},
        { "role": "assistant", "content": [
            thinking,
            { "type": "text", "text": SAID, "cache_control": { "type": "ephemeral" } },
        ]},
    ]});
    let (after, _) = repaired(Api::Messages, &body.to_string(), &marks).unwrap();
    insta::assert_snapshot!(
        items(Api::Messages, &after)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn reasoning_that_servers_put_beside_a_message_goes_too() {
    let body = json!({ "messages": [
        { "role": "assistant", "content": SAID, "reasoning_content": "W7, so all of it." },
    ]});
    let (after, _) = repaired(Api::Chat, &body.to_string(), &here(&[one()])).unwrap();
    assert!(!after.contains("W7"), "{after}");
}

#[test]
fn an_id_that_comes_again_is_known_by_its_call() {
    let marks = here(&[output(
        1,
        "",
        &[("0", "refund", json!({ "order": "W7" }))],
        &[],
    )]);
    let call = |order: &str| {
        let arguments = json!({ "order": order }).to_string();
        json!({ "role": "assistant", "content": null, "tool_calls": [
            { "id": "0", "type": "function", "function": { "name": "refund", "arguments": arguments } },
        ]})
    };
    let answer = json!({ "role": "tool", "tool_call_id": "0", "content": "ok" });
    let body = json!({ "messages": [call("W6"), answer, call("W7"), answer, call("W8"), answer] });
    let (_, repair) = repaired(Api::Chat, &body.to_string(), &marks).unwrap();
    let at: Vec<&str> = repair.replaced.iter().map(|cut| &*cut.at).collect();
    assert_eq!(at, ["/messages/2", "/messages/3"]);
}

#[test]
fn what_a_tool_says_again_is_news() {
    let record = r#"{"order":"W7","state":"open","total":"12.50","city":"Bergen"}"#;
    let call = called("c1", "get_order", &json!({ "order": "W7" }));
    let marks = here(&[result(1, call, record)]);
    let again =
        json!({ "messages": [{ "role": "tool", "tool_call_id": "c9", "content": record }] });
    assert_eq!(repaired(Api::Chat, &again.to_string(), &marks), None);
    let quoted = json!({ "messages": [{ "role": "user", "content": format!("See {record}") }] });
    assert!(repaired(Api::Chat, &quoted.to_string(), &marks).is_some());
}

#[test]
fn a_reason_that_quotes_what_it_rescinds_is_left_out() {
    let mark = Mark {
        reason: format!("he wrote: {SAID}"),
        ..one()
    };
    let marks = here(&[mark]);
    let body = json!({ "messages": [{ "role": "assistant", "content": SAID }] }).to_string();
    let (after, _) = repaired(Api::Chat, &body, &marks).unwrap();
    assert!(!after.contains(SAID));
    assert_eq!(repaired(Api::Chat, &after, &marks), None);
}

#[test]
fn what_cannot_be_read_goes_on_as_it_is() {
    let marks = here(&[one()]);
    for body in [
        "",
        "[]",
        "{",
        "{\"messages\":7}",
        "{\"messages\":[],\"messages\":[]}",
        "\u{0}",
    ] {
        for api in Api::ALL {
            assert_eq!(repaired(api, body, &marks), None);
        }
    }
}
