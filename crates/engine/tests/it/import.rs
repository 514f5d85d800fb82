//! Importing runs.

use engine::decode_import;
use wire::import::Format;

use crate::support::{Desk, REFUND, options, sketch};

#[tokio::test]
async fn a_run_becomes_a_graph_of_decisions() {
    let desk = Desk::open().await;
    let imported = desk.import(REFUND).await;
    assert_eq!(
        (imported.decisions, imported.orphans, imported.runs.len()),
        (7, 0, 1)
    );
    insta::assert_snapshot!(sketch(&desk.graph("latest").await), @r"
    1 system message - [succeeded] <- 
    2 user message - [succeeded] <- context1?
    3 assistant inference unknown [succeeded] <- context1? message2? value2!
    4 assistant tool-call get_order [succeeded] <- value2! call3!
    5 assistant inference unknown [succeeded] <- context3? result4? value4!
    6 assistant tool-call issue_refund [succeeded] <- value4! call5!
    7 assistant inference unknown [succeeded] <- context5? result6? value6!
    ");
}

#[tokio::test]
async fn importing_again_adds_nothing() {
    let desk = Desk::open().await;
    let first = desk.import(REFUND).await;
    let again = desk.import(REFUND).await;
    assert!(again.runs[0].already);
    assert_eq!(again.runs[0].id, first.runs[0].id);
    assert_eq!(
        (again.decisions, again.size, &again.root),
        (0, first.size, &first.root)
    );
}

#[tokio::test]
async fn c78_an_import_is_marked_reconstructed_with_an_account_of_every_field() {
    let desk = Desk::open().await;
    desk.import(REFUND).await;
    let refund = desk.engine.resolve_decision("latest:6").await.unwrap();
    let decision = desk.engine.decision(refund).await.unwrap();
    assert_eq!(decision.node.known, "reconstructed");
    let account = decision.account.expect("an import gives an account");
    let mut fields = [&account.known[..], &account.partly, &account.unknowable].concat();
    fields.sort();
    assert_eq!(fields, model::Account::FIELDS);
    insta::assert_snapshot!(format!("{:?}\n{:?}\n{:?}", account.known, account.partly, account.unknowable), @r#"
    ["asked", "chosen"]
    ["agent", "causes", "effects", "outcome"]
    ["approvals", "environment", "options", "policy", "reasoning", "times"]
    "#);
}

#[tokio::test]
async fn c79_unknown_fields_are_kept_as_they_came() {
    let desk = Desk::open().await;
    desk.import(REFUND).await;
    let last = desk.engine.resolve_decision("latest:7").await.unwrap();
    let decision = desk.engine.decision(last).await.unwrap();
    let source = decision
        .contents
        .iter()
        .find(|content| content.field == "source")
        .unwrap();
    let text = source.text.as_deref().unwrap();
    assert!(text.contains(r#""x_unknown":{"kept":[1,2.50]}"#), "{text}");
}

#[tokio::test]
async fn a_call_without_a_result_is_unknown() {
    let desk = Desk::open().await;
    let text = r#"[{"role":"user","content":"hi"},
      {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function",
       "function":{"name":"delete_all","arguments":"{}"}}]}]"#;
    let imported = desk.import(text).await;
    assert_eq!(imported.orphans, 1);
    let call = desk.engine.resolve_decision("latest:3").await.unwrap();
    assert_eq!(
        desk.engine.decision(call).await.unwrap().node.status,
        "unknown"
    );
}

#[tokio::test]
async fn a_refused_file_is_refused_before_the_record_is_touched() {
    let half = &REFUND[..REFUND.len() / 2];
    let long = format!(
        r#"[{{"role":"user","content":"x"}},{{"role":"assistant","content":null,"tool_calls":[
        {{"id":"a","type":"function","function":{{"name":"{}","arguments":"{{}}"}}}}]}}]"#,
        "n".repeat(10_000)
    );
    for text in [half, &long] {
        let options = options(Format::OpenaiChat);
        decode_import(text.as_bytes(), options).unwrap_err();
    }
}

#[tokio::test]
async fn c6_the_record_keeps_its_order_when_the_clock_is_set_back() {
    use crate::support::NOON;

    let desk = Desk::open().await;
    desk.import(REFUND).await;
    desk.clock.set(NOON - 3_600_000_000);
    desk.import(&REFUND.replace("48213", "48214")).await;
    let leaves = desk.engine.store().read(0, 100).await.unwrap();
    let times: Vec<_> = leaves
        .iter()
        .map(|(_, bytes)| ledger::Leaf::decode(bytes).unwrap().at)
        .collect();
    assert_eq!(times.len(), 18);
    assert!(
        times.is_sorted_by(|before, after| before < after),
        "{times:?}"
    );
}

#[tokio::test]
async fn keys_of_any_length_do_not_break_an_import_off() {
    let desk = Desk::open().await;
    let long = "k".repeat(70_000);
    let text = format!(
        r#"[{{"role":"user","content":"use ZQX-998877-UNIQ"}},{{"role":"assistant","content":null,
        "tool_calls":[{{"id":"a","type":"function","function":{{"name":"f","arguments":
        "{{\"{long}\":\"ZQX-998877-UNIQ\"}}"}}}}]}}]"#
    );
    let imported = desk.import(&text).await;
    assert_eq!(imported.decisions, 3);
    let call = desk.engine.resolve_decision("latest:3").await.unwrap();
    let causes = desk.engine.decision(call).await.unwrap().causes;
    assert!(
        causes.iter().any(|cause| cause.kind == "value"),
        "{causes:?}"
    );
}

#[tokio::test]
async fn an_import_that_was_broken_off_is_completed_by_importing_again() {
    use crate::support::NOON;
    use std::sync::Arc;
    use store::MemoryStore;

    let whole = Desk::open().await;
    let expected = whole.import(REFUND).await;
    let leaves = whole.engine.store().read(0, 100).await.unwrap();
    // Whatever number of batches was durable when the process died, the rest is added, once.
    for kept in 1..leaves.len() {
        let store = Arc::new(MemoryStore::default());
        let desk = Desk::over(store).await;
        desk.clock.set(NOON + 60_000_000);
        copy(&whole, &desk, &leaves[..kept]).await;
        let row = &desk.engine.runs(ledger::Page::first(1)).await.unwrap().runs[0];
        assert!(!row.whole);
        let completed = desk.import(REFUND).await;
        assert_eq!(completed.size, expected.size, "{kept} leaves were durable");
        assert_eq!(completed.runs[0].id, expected.runs[0].id);
        assert!(desk.engine.runs(ledger::Page::first(1)).await.unwrap().runs[0].whole);
        assert_eq!(
            sketch(&desk.graph("latest").await),
            sketch(&whole.graph("latest").await)
        );
    }
}

#[tokio::test]
async fn a_run_goes_on_with_ids_as_it_began() {
    // What an id has after its time, as the number of a decision in its run.
    let number_first = |id: &[u8; 16]| {
        let parts = [id[6] & 0x0f, id[7], id[8] & 0x3f, id[9]].map(u32::from);
        parts[0] << 22 | parts[1] << 14 | parts[2] << 8 | parts[3]
    };
    let run_first = |id: &[u8; 16]| [id[6] & 0x0f, id[7]];

    let whole = Desk::open().await;
    whole.import(REFUND).await;
    let leaves = whole.engine.store().read(0, 100).await.unwrap();
    let mut opened = ledger::Leaf::decode(&leaves[0].1).unwrap();
    let model::Body::RunOpened { run, subject, .. } = &mut opened.body else {
        panic!("a run is opened first");
    };
    let run = *run;
    assert_eq!(run_first(subject.as_bytes()), run_first(run.as_bytes()));
    let page = || ledger::Page::first(100);
    for row in whole
        .engine
        .store()
        .decisions(Some(run), page())
        .await
        .unwrap()
    {
        assert_eq!(run_first(row.id.as_bytes()), run_first(run.as_bytes()));
    }

    // Opened by a program that gave its subject an id of its own.
    let mut other = *subject.as_bytes();
    other[7] ^= 1;
    *subject = model::SubjectId::from_bytes(other);
    let desk = Desk::open().await;
    let leaves = vec![ledger::Leaf::encode(&opened).unwrap()];
    let payloads = Vec::new();
    let batch = ledger::Batch { leaves, payloads };
    desk.engine.store().append(batch).await.unwrap();
    let completed = desk.import(REFUND).await;
    assert_eq!(completed.runs[0].id, run.to_string());
    let rows = desk
        .engine
        .store()
        .decisions(Some(run), page())
        .await
        .unwrap();
    let numbers: Vec<u32> = rows
        .iter()
        .map(|row| number_first(row.id.as_bytes()))
        .collect();
    assert_eq!(numbers, (0..completed.decisions as u32).collect::<Vec<_>>());
}

/// Copies leaves, their payloads and keys from one record into another, as a crash leaves them.
async fn copy(from: &Desk, to: &Desk, leaves: &[(u64, Vec<u8>)]) {
    let (from, to) = (from.engine.store(), to.engine.store());
    for (_, bytes) in leaves {
        let event = ledger::Leaf::decode(bytes).unwrap();
        let mut payloads = Vec::new();
        if let Some(sealed) = event.body.sealed() {
            let ledger::BlobState::Kept(blob) = from.payload(event.id, sealed.ct).await.unwrap()
            else {
                panic!("the payload is there");
            };
            payloads.push((sealed.ct, blob));
            let ledger::KeyState::Kept(key) = from.key(sealed.kid).await.unwrap() else {
                panic!("the key is there");
            };
            if to.key(sealed.kid).await.unwrap() == ledger::KeyState::Absent {
                to.keep_key(sealed.kid, key).await.unwrap();
            }
        }
        let leaf = ledger::Leaf::encode(&event).unwrap();
        to.append(ledger::Batch {
            leaves: vec![leaf],
            payloads,
        })
        .await
        .unwrap();
    }
}
