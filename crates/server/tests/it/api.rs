//! Looking into the record.

use axum::http::StatusCode;
use serde_json::Value;

use crate::world::{World, ask, get, request};

#[tokio::test]
async fn answers_are_the_objects_of_the_engine() {
    let world = World::with_a_run().await;
    let run = world.get("/api/v1/runs/latest").await;
    let engine = &world.engine;
    let id = engine.resolve_run("latest").await.unwrap();
    let view = |view: &dyn erased::Json| view.json();
    assert_eq!(run, view(&engine.run(id).await.unwrap()));

    let second = engine.resolve_decision("latest:2").await.unwrap();
    let fourth = engine.resolve_decision("latest:4").await.unwrap();
    let got = world.get("/api/v1/decisions/latest:2").await;
    assert_eq!(got, view(&engine.decision(second).await.unwrap()));
    let got = world.get("/api/v1/graph/latest").await;
    let named = engine.resolve("latest").await.unwrap();
    assert_eq!(got, view(&engine.graph(named, 1_000).await.unwrap()));
    let got = world.get(&format!("/api/v1/blast/{second}")).await;
    assert_eq!(got, view(&engine.blast(second, 1_000).await.unwrap()));
    let got = world.get("/api/v1/why/latest:2/latest:4").await;
    assert_eq!(got, view(&engine.why(second, fourth).await.unwrap()));
    assert_eq!(got["depends"], true);
}

/// Any view, as JSON.
mod erased {
    pub(super) trait Json {
        fn json(&self) -> serde_json::Value;
    }

    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> serde_json::Value {
            serde_json::to_value(self).unwrap()
        }
    }
}

#[tokio::test]
async fn ids_are_read_as_the_commands_read_them() {
    let world = World::with_a_run().await;
    let whole = world.get("/api/v1/decisions/latest:3").await;
    let id = whole["id"].as_str().unwrap();
    for address in [id, &id[26..], "latest%3A3"] {
        let got = world.get(&format!("/api/v1/decisions/{address}")).await;
        assert_eq!(got["id"], whole["id"], "{address}");
    }
    let refused = [
        ("/api/v1/decisions/latest", 400, "wrong-kind"),
        ("/api/v1/runs/latest:1", 400, "wrong-kind"),
        ("/api/v1/decisions/latest:99", 404, "not-found"),
        ("/api/v1/decisions/0123456789", 404, "not-found"),
        ("/api/v1/decisions/zzzz", 400, "bad-id"),
        ("/api/v1/decisions/..%2f..%2fetc", 400, "bad-id"),
        ("/api/v1/decisions/%ff", 400, "bad-path"),
        ("/api/v1/decisions/0", 400, "bad-id"),
        ("/api/v1/decisions/", 404, "not-found"),
        ("/api/v1/nothing", 404, "not-found"),
        ("/api/v2/runs", 404, "not-found"),
    ];
    for (path, status, code) in refused {
        assert_eq!(
            world.refused(path).await,
            (status, code.to_owned()),
            "{path}"
        );
    }
    // Everything of one run was made in the same moment, so the beginning fits it all.
    assert_eq!(
        world
            .refused(&format!("/api/v1/decisions/{}", &id[..8]))
            .await,
        (400, "ambiguous".to_owned())
    );
}

#[tokio::test]
async fn options_that_are_unknown_or_out_of_range_are_refused_by_name() {
    let world = World::with_a_run().await;
    for query in [
        "limit=0",
        "limit=1001",
        "limit=ten",
        "lmit=5",
        "skip=-1",
        "cursor=1.x&skip=1",
    ] {
        let answer = ask(&world.router(), get(&format!("/api/v1/runs?{query}"))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        let name = query.split('=').next().unwrap();
        assert!(error.contains(name), "{query}: {error}");
    }
    for (path, error) in [
        (
            "runs?limit=ten",
            "`limit` is `ten`, and has to be a whole number, 1 to 1000",
        ),
        (
            "runs?skip=-1",
            "`skip` is `-1`, and has to be a whole number, 0 or more",
        ),
        (
            "runs?lmit=5",
            "`lmit` is no option of this path; it takes `cursor`, `limit`, `skip`",
        ),
        ("runs?limit=1&limit=2", "`limit` is given twice"),
        (
            "proof/latest:1?chain=yes",
            "`chain` is `yes`, and has to be `true` or `false`",
        ),
    ] {
        let answer = ask(&world.router(), get(&format!("/api/v1/{path}"))).await;
        assert_eq!(answer.json()["error"], error, "{path}");
    }
    let plan = request("POST", "/api/v1/rollbacks/plan?reason=x", &[]);
    let answer = ask(&world.router(), plan).await;
    assert_eq!(
        answer.json()["error"],
        "`of` is missing: the bad decisions, with commas between"
    );
    let bad = "bad-option".to_owned();
    assert_eq!(
        world.refused("/api/v1/graph/latest?limit=10001").await,
        (400, bad.clone())
    );
    let chain = world.refused("/api/v1/decisions/latest:1?chain=true").await;
    assert_eq!(chain, (400, bad));
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_told() {
    let world = World::with_a_run().await;
    let answer = ask(
        &world.router(),
        request("DELETE", "/api/v1/runs/latest", &[]),
    )
    .await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.json()["code"], "method");
    assert_eq!(answer.header("allow"), "GET, HEAD");
    let answer = ask(&world.router(), get("/api/v1/verify")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("allow")),
        (405, "POST")
    );
    let answer = ask(&world.router(), request("HEAD", "/api/v1/runs", &[])).await;
    assert_eq!((answer.status.as_u16(), answer.bytes.len()), (200, 0));
}

fn ids(page: &Value, list: &str) -> Vec<String> {
    let list = page[list].as_array().unwrap();
    list.iter()
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn pages_of_runs_neither_repeat_nor_lose_one_while_runs_come_in() {
    let world = World::empty().await;
    for number in 0..5 {
        world.import(number).await;
    }
    let all = ids(&world.get("/api/v1/runs").await, "runs");
    let first = world.get("/api/v1/runs?limit=2").await;
    let mut seen = ids(&first, "runs");
    let mut next = first["next"].as_str().map(str::to_owned);
    for number in 5.. {
        let Some(cursor) = next else { break };
        world.import(number).await;
        let page = world
            .get(&format!("/api/v1/runs?limit=2&cursor={cursor}"))
            .await;
        seen.extend(ids(&page, "runs"));
        next = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, all);
    let bad = (400, "bad-cursor".to_owned());
    for cursor in ["", "2", "0.x", "18446744073709551615.x", "nine"] {
        assert_eq!(
            world
                .refused(&format!("/api/v1/runs?cursor={cursor}"))
                .await,
            bad
        );
    }
    let skipped = world.get("/api/v1/runs?limit=2&skip=1").await;
    assert_eq!(skipped["skipped"], 1);
}

#[tokio::test]
async fn pages_of_decisions_are_the_run() {
    let world = World::with_a_run().await;
    let graph = world.get("/api/v1/graph/latest").await;
    let mut seen = Vec::new();
    let mut query = String::new();
    loop {
        let page = world
            .get(&format!("/api/v1/runs/latest/decisions?limit=4{query}"))
            .await;
        seen.extend(ids(&page, "steps"));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        query = format!("&cursor={next}");
    }
    assert_eq!(seen, ids(&graph, "nodes"));
}

#[tokio::test]
async fn evidence_is_what_prove_writes_and_verifies() {
    let world = World::with_a_run().await;
    let answer = ask(
        &world.router(),
        get("/api/v1/proof/latest:4?disclose=asked,result&chain=true"),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert!(answer.header("content-disposition").contains("evidence-"));
    let report = engine::prove::verify_evidence(&answer.bytes, &[]).unwrap();
    assert!(report.intact, "{report:?}");
    assert!(report.entries > 1 && report.contents > 0);

    let id = world.engine.resolve_decision("latest:4").await.unwrap();
    let plain = world
        .engine
        .prove(id, &Default::default(), false)
        .await
        .unwrap();
    let answer = ask(&world.router(), get("/api/v1/proof/latest:4")).await;
    let written = format!("{}\n", serde_json::to_string_pretty(&plain).unwrap());
    assert_eq!(answer.text, written);

    let refused = world
        .refused("/api/v1/proof/latest:4?disclose=asked,secrets")
        .await;
    assert_eq!(refused, (400, "no-field".to_owned()));
}

#[tokio::test]
async fn what_is_not_sealed_yet_cannot_be_proven_yet() {
    let world = World::with_a_run().await;
    let run = world.engine.resolve_run("latest").await.unwrap();
    let subject = world.engine.run(run).await.unwrap().subject;
    world
        .engine
        .set_hold(subject.parse().unwrap(), true, "me")
        .await
        .unwrap();
    // The hold is no decision; the decisions before it are sealed.
    world.get("/api/v1/proof/latest:1").await;
    let status = world.get("/api/v1/status").await;
    assert_eq!(status["publish_lag"], 1);
}

#[tokio::test]
async fn a_store_that_is_closed_is_not_the_clients_fault() {
    let world = World::with_a_run().await;
    world.engine.store().close().await.unwrap();
    assert_eq!(
        world.refused("/api/v1/runs").await,
        (503, "stopped".to_owned())
    );
}
