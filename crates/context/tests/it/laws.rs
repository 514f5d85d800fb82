//! What holds for every history on every wire.

use context::{Marks, repair};
use proptest::prelude::*;
use serde_json::{Value, json};
use wire::llm::Api;

use crate::support::{Turn, body, here, history, illegal, items, output, repaired};

/// What was rescinded: an answer with a call, one without, and a short one.
const SENTENCE: &str = "Order W7 is refunded in full to the card of the customer.";
const BEFORE_CALL: &str = "I refund W7.";

fn marks() -> Marks {
    here(&[
        output(1, SENTENCE, &[], &["refunded"]),
        output(
            2,
            BEFORE_CALL,
            &[("bad", "refund", json!({ "order": "W7" }))],
            &["Go on."],
        ),
        output(3, "Yes.", &[], &["Is it W7?"]),
    ])
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zé\\\\\"\u{1F600}\n]{1,12}",
        Just(SENTENCE.to_owned()),
        Just(format!("Ada says: {SENTENCE} Do it.")),
        Just("Is it W7?".to_owned()),
        Just("Yes.".to_owned()),
    ]
}

/// A question and what came of it: some calls, perhaps the rescinded one, and an answer.
fn round() -> impl Strategy<Value = Vec<Turn>> {
    let calls = prop::collection::vec((any::<bool>(), "[a-z]{1,5}"), 0..3);
    (word(), prop::collection::vec((calls, word()), 0..3), word()).prop_map(
        |(question, steps, answer)| {
            let mut turns = vec![Turn::User(question)];
            for (calls, said) in steps {
                if calls.is_empty() {
                    continue;
                }
                let bad = calls.iter().any(|(bad, _)| *bad);
                let results = calls.iter().map(|_| said.clone()).collect();
                let mut used = false;
                let calls = calls.into_iter().enumerate().map(|(n, (bad, arg))| {
                    if bad && !std::mem::replace(&mut used, true) {
                        (
                            "bad".to_owned(),
                            "refund".to_owned(),
                            json!({ "order": "W7" }),
                        )
                    } else {
                        (
                            format!("id{n}{arg}"),
                            "find".to_owned(),
                            json!({ "what": arg }),
                        )
                    }
                });
                let text = if bad {
                    BEFORE_CALL.to_owned()
                } else {
                    String::new()
                };
                turns.push(Turn::Model {
                    text,
                    calls: calls.collect(),
                });
                turns.push(Turn::Results(results));
            }
            turns.push(Turn::Model {
                text: answer,
                calls: Vec::new(),
            });
            turns
        },
    )
}

fn conversation() -> impl Strategy<Value = (Api, Vec<Turn>)> {
    let turns = prop::collection::vec(round(), 1..5).prop_map(|rounds| rounds.concat());
    (prop::sample::select(Api::ALL.to_vec()), turns)
}

/// The items of a body as they stand there, byte for byte.
fn raw_items(api: Api, body: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow, alias = "input")]
        messages: Vec<&'a serde_json::value::RawValue>,
    }
    let _ = history(api);
    let body: Body<'_> = serde_json::from_str(body).unwrap();
    body.messages
        .iter()
        .map(|raw| raw.get().to_owned())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn c43_a_history_that_grew_keeps_its_repaired_beginning(
        (api, turns) in conversation(),
        cut in any::<prop::sample::Index>(),
    ) {
        let marks = marks();
        let sent = |turns: &[Turn]| {
            let before = body(api, turns).to_string();
            repaired(api, &before, &marks).map_or(before, |(after, _)| after)
        };
        let cut = cut.index(turns.len()) + 1;
        let (part, whole) = (sent(&turns[..cut]), sent(&turns));
        let (part, whole) = (raw_items(api, &part), raw_items(api, &whole));
        prop_assert_eq!(&part[..], &whole[..part.len()]);
    }

    #[test]
    fn c43_what_a_provider_takes_before_it_takes_after((api, turns) in conversation()) {
        let before = body(api, &turns).to_string();
        prop_assert_eq!(illegal(api, &before), None);
        let Some((after, repair)) = repaired(api, &before, &marks()) else {
            return Ok(());
        };
        prop_assert_eq!(illegal(api, &after), None);
        let (was, is) = (items(api, &before), items(api, &after));
        prop_assert_eq!(was.len(), is.len());
        // Only what is told of is another, and each item keeps its role.
        for (at, (was, is)) in was.iter().zip(&is).enumerate() {
            prop_assert_eq!(&was["role"], &is["role"]);
            let pointer = format!("/{}/{at}", history(api));
            let told = repair.replaced.iter().any(|cut| cut.at == pointer);
            prop_assert_eq!(told, was != is, "{}", pointer);
        }
        let around = |mut body: Value| {
            body[history(api)].take();
            body.to_string()
        };
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        prop_assert_eq!(around(parse(&before)), around(parse(&after)));
    }

    #[test]
    fn c43_nothing_rescinded_is_left_and_a_second_repair_changes_nothing(
        (api, turns) in conversation(),
    ) {
        let marks = marks();
        let before = body(api, &turns).to_string();
        let after = repaired(api, &before, &marks).map_or(before, |(after, _)| after);
        prop_assert!(!after.contains(SENTENCE), "{after}");
        prop_assert!(!after.contains("\"W7\"") && !after.contains("\\\"W7\\\""), "{after}");
        prop_assert_eq!(repaired(api, &after, &marks), None);
    }

    #[test]
    fn c43_healthy_histories_are_not_touched((api, turns) in conversation()) {
        let before = body(api, &turns).to_string();
        let unknown = here(&[
            output(1, "Nobody here ever said so, in any of these conversations.", &[], &[]),
            output(2, "", &[("bad", "refund", json!({ "order": "W8" }))], &[]),
        ]);
        prop_assert_eq!(repaired(api, &before, &unknown), None);
        prop_assert_eq!(repaired(api, &before, &here(&[])), None);
    }

    #[test]
    fn a_quick_look_misses_nothing(text in "[ -~é]{0,40}", around in "[ -~é\\n]{0,40}") {
        // Short texts have no place to be recognised by and are looked for everywhere.
        let marks = here(&[output(1, &format!("{text} {SENTENCE}"), &[], &[])]);
        let said = format!("{around} {} {around}", format!("{text} {SENTENCE}").trim());
        let sent = body(Api::Chat, &[Turn::User(said)]).to_string();
        let (after, _) = repaired(Api::Chat, &sent, &marks).unwrap();
        prop_assert!(!after.contains(SENTENCE));
    }

    #[test]
    fn a_quick_look_finds_calls_by_ids_of_any_length_and_beginning(
        ids in prop::collection::hash_set("(call_)?(functions\\.find:)?[a-z0-9é]{1,24}", 1..12),
        which in any::<prop::sample::Index>(),
        api in prop::sample::select(Api::ALL.to_vec()),
    ) {
        let mut ids: Vec<String> = ids.into_iter().collect();
        ids.sort_unstable();
        let arguments = json!({ "order": "W7" });
        let marks: Vec<_> = ids
            .iter()
            .map(|id| output(1, "", &[(id, "find", arguments.clone())], &[]))
            .collect();
        let turn = |id: &str| {
            let calls = vec![(id.to_owned(), "find".to_owned(), arguments.clone())];
            [
                Turn::User("Is it there?".to_owned()),
                Turn::Model { text: "I look.".to_owned(), calls },
                Turn::Results(vec!["It is.".to_owned()]),
            ]
        };
        let id: &String = which.get(&ids);
        let known = body(api, &turn(id)).to_string();
        let (after, _) = repaired(api, &known, &here(&marks)).unwrap();
        prop_assert!(!after.contains("W7"), "{}", after);
        let other = format!("{id}0");
        if !ids.contains(&other) {
            let unknown = body(api, &turn(&other)).to_string();
            prop_assert_eq!(repaired(api, &unknown, &here(&marks)), None);
        }
    }

    #[test]
    fn any_bytes_go_through(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for api in Api::ALL {
            if let Ok(layout) = wire::llm::Layout::read(api, &bytes) {
                let _ = repair(&layout, &[&marks()]);
            }
        }
    }
}
