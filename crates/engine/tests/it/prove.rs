//! Evidence that verifies offline.

use std::collections::BTreeSet;

use engine::prove::{Evidence, verify_evidence};
use model::Field;

use crate::support::{Desk, REFUND};

async fn evidence(chain: bool) -> Evidence {
    let desk = Desk::open().await;
    desk.import(REFUND).await;
    let id = desk.engine.resolve_decision("latest:6").await.unwrap();
    let disclose = BTreeSet::from([Field::Asked, Field::Result]);
    desk.engine.prove(id, &disclose, chain).await.unwrap()
}

fn findings(evidence: &Evidence) -> Vec<String> {
    let report = verify_evidence(&serde_json::to_vec(evidence).unwrap(), &[]).unwrap();
    assert_eq!(report.intact, report.findings.is_empty());
    report.findings
}

#[tokio::test]
async fn c58_c59_one_decision_is_proven_without_the_others() {
    let evidence = evidence(false).await;
    assert_eq!((evidence.entries.len(), evidence.contents.len()), (1, 2));
    let text = serde_json::to_string(&evidence).unwrap();
    assert!(text.contains("PAY-30552"), "what is disclosed is there");
    assert!(!text.contains("headphones"), "nothing else is");
    assert!(findings(&evidence).is_empty());
    let report = verify_evidence(text.as_bytes(), &[]).unwrap();
    assert!(report.own_keys, "and it says whose keys it believed");
    let pinned = verify_evidence(text.as_bytes(), &evidence.log_keys).unwrap();
    assert!(pinned.intact && !pinned.own_keys);
}

#[tokio::test]
async fn c60_a_chain_proves_every_cause() {
    let evidence = evidence(true).await;
    assert!(evidence.entries.len() >= 5, "{}", evidence.entries.len());
    assert!(findings(&evidence).is_empty());
}

#[tokio::test]
async fn c55_changed_evidence_is_found() {
    let good = evidence(false).await;
    let with = |change: fn(&mut Evidence)| {
        let mut bad = good.clone();
        change(&mut bad);
        findings(&bad).join("; ")
    };
    let cases = [
        with(|e| e.entries[0].entry = e.entries[0].entry.replace("issue_refund", "issue_nothing")),
        with(|e| e.entries[0].index += 1),
        with(|e| e.contents[0].text.push('0')),
        with(|e| e.contents[0].salt = "AAAAAAAAAAAAAAAAAAAAAA==".to_owned()),
        with(|e| e.contents[0].field = "chosen".to_owned()),
        with(|e| e.entries.clear()),
        with(|e| e.decision = "0".repeat(36)),
        with(|e| e.entries[0].proof = e.entries[0].proof.replacen("index 6", "index 5", 1)),
    ];
    for (number, found) in cases.iter().enumerate() {
        assert!(!found.is_empty(), "case {number} was not found");
    }
    let chain = evidence(true).await;
    let mut torn = chain.clone();
    torn.entries.remove(1);
    assert!(
        findings(&torn)
            .join("; ")
            .contains("the chain lacks its cause")
    );
    let mut renamed = good.clone();
    renamed.origin = "example.com/other".to_owned();
    assert!(
        findings(&renamed)
            .join("; ")
            .contains("not from example.com/other")
    );
    let stranger = "ledger.example/decisions+99489fed+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
    let bytes = serde_json::to_vec(&good).unwrap();
    let report = verify_evidence(&bytes, &[stranger.to_owned()]).unwrap();
    assert!(!report.intact, "a key that did not sign proves nothing");
}

#[tokio::test]
async fn what_was_erased_is_named_as_withheld() {
    use engine::ErasePolicy;

    let desk = Desk::open().await;
    desk.import(REFUND).await;
    let engine = &desk.engine;
    let subject = engine.runs(ledger::Page::first(1)).await.unwrap().runs[0]
        .subject
        .clone();
    let policy = ErasePolicy {
        basis: "b",
        by: "t",
        before_minimum: true,
    };
    engine
        .erase(subject.parse().unwrap(), policy)
        .await
        .unwrap();
    let id = engine.resolve_decision("latest:6").await.unwrap();
    let evidence = engine
        .prove(id, &BTreeSet::from([Field::Asked]), false)
        .await
        .unwrap();
    assert!(evidence.contents.is_empty());
    assert_eq!(evidence.withheld[0].why, "erased");
    assert!(
        findings(&evidence).is_empty(),
        "the entry itself is still proven"
    );
}
