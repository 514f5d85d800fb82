//! Asking the record.

use engine::EngineError;

use crate::support::{Desk, REFUND};

#[tokio::test]
async fn c2_c4_what_followed_is_told_in_two_rings_and_why() {
    let desk = Desk::open().await;
    desk.import(REFUND).await;
    let engine = &desk.engine;
    let order = engine.resolve_decision("latest:4").await.unwrap();
    let refund = engine.resolve_decision("latest:6").await.unwrap();
    let blast = engine.blast(order, 100).await.unwrap();
    let names = |ring: &[engine::view::ReachedView]| {
        let name = |r: &engine::view::ReachedView| r.node.name.clone().unwrap_or_default();
        ring.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(blast.of.name.as_deref(), Some("get_order"));
    assert!(
        names(&blast.certain).contains(&"issue_refund".to_owned()),
        "{blast:?}"
    );
    let certain: Vec<&str> = blast.certain.iter().map(|r| r.node.id.as_str()).collect();
    assert!(
        blast
            .possible
            .iter()
            .all(|r| !certain.contains(&r.node.id.as_str()))
    );

    let why = engine.why(order, refund).await.unwrap();
    assert!(why.depends);
    assert_eq!(why.strength.as_deref(), Some("certain"));
    let link = &why.chain[0];
    assert_eq!(link.edge.kind, "value");
    assert_eq!(link.carried.as_deref(), Some("PAY-30552"));

    let back = engine.why(refund, order).await.unwrap();
    assert!(!back.depends && back.chain.is_empty());
}

#[tokio::test]
async fn c60_provenance_reaches_from_the_outcome_back_to_the_request() {
    let desk = Desk::open().await;
    desk.import(REFUND).await;
    let request = desk.engine.resolve_decision("latest:2").await.unwrap();
    let answer = desk.engine.resolve_decision("latest:7").await.unwrap();
    let why = desk.engine.why(request, answer).await.unwrap();
    assert!(why.depends);
    let steps: Vec<&str> = why
        .chain
        .iter()
        .map(|link| link.edge.cause.as_str())
        .collect();
    assert_eq!(steps[0], request.to_string());
    assert_eq!(why.chain.last().unwrap().edge.effect, answer.to_string());
}

#[tokio::test]
async fn addresses_name_one_thing_or_are_refused() {
    let desk = Desk::open().await;
    let imported = desk.import(REFUND).await;
    let engine = &desk.engine;
    let run = &imported.runs[0].id;
    let same = engine.resolve("latest").await.unwrap();
    for address in [run.as_str(), &run[26..], &run.to_uppercase()] {
        assert_eq!(engine.resolve(address).await.unwrap(), same, "{address}");
    }
    let said = async |address: &str| engine.resolve(address).await.unwrap_err().to_string();
    assert!(said("latest:8").await.contains("nothing in the record"));
    assert!(said("latest:0").await.contains("nothing in the record"));
    assert!(said("../../etc").await.contains("cannot be part of an id"));
    assert!(
        said("0123").await.contains("nothing in the record")
            || said("0123").await.contains("could be")
    );
    assert!(
        said(&run[..8]).await.contains("could be"),
        "ids of one time begin alike"
    );
    let error = engine.resolve_decision(run).await.unwrap_err();
    assert!(matches!(error, EngineError::WrongKind { is: "a run", .. }));
}

#[tokio::test]
async fn c3_environments_are_kept_and_differ_by_name() {
    let desk = Desk::open().await;
    for model in ["alpha-1", "alpha-2"] {
        desk.import(&format!(
            r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi {model}"}},
            {{"role":"assistant","content":"hello"}}]}}"#
        ))
        .await;
    }
    let engine = &desk.engine;
    let runs = engine.runs(ledger::Page::first(10)).await.unwrap().runs;
    let mut environments = Vec::new();
    for run in &runs {
        let id = engine
            .resolve_decision(&format!("{}:2", run.id))
            .await
            .unwrap();
        assert!(engine.decision(id).await.unwrap().environment.is_some());
        environments.push(engine.environment(id).await.unwrap());
    }
    let changes = environments[1].diff(&environments[0]);
    let said: Vec<String> = changes
        .iter()
        .map(|c| format!("{} {:?}", c.name, c.after))
        .collect();
    assert_eq!(said, [r#"model.name Some("alpha-2")"#]);
}

#[tokio::test]
async fn c4_a_limit_cuts_both_rings_and_says_so() {
    let desk = Desk::open().await;
    desk.import(REFUND).await;
    let engine = &desk.engine;
    let id = engine.resolve_decision("latest:1").await.unwrap();
    let whole = engine.blast(id, usize::MAX).await.unwrap();
    assert!(!whole.cut);
    let (certain, possible) = (whole.certain.len(), whole.possible.len());
    for limit in 0..=certain.max(possible) {
        let cut = engine.blast(id, limit).await.unwrap();
        assert_eq!(cut.certain.len(), certain.min(limit));
        assert_eq!(cut.possible.len(), possible.min(limit));
        assert_eq!(
            cut.cut,
            certain > limit || possible > limit,
            "limit {limit}"
        );
    }
}
