//! Lists that come whole where nothing is said, and in pages where a limit is.

use engine::NewCheckpoint;
use engine::undo::plan::{Incident, Plan};
use model::DecisionId;
use serde_json::{Value, json};

use crate::approvals::{post, refund, waiting};
use crate::world::{NOON, World, ask, get};

/// What tells a row from the others.
fn name(row: &Value) -> String {
    let named = ["id", "decision", "agent", "name"].map(|field| row[field].as_str());
    let named = named.into_iter().flatten().next();
    named.unwrap().to_owned()
}

fn names(page: &Value, list: &str) -> Vec<String> {
    page[list].as_array().unwrap().iter().map(name).collect()
}

/// The names of a list, read `limit` at a time; that of a whole answer without one.
async fn read(world: &World, path: &str, list: &str, limit: Option<usize>) -> Vec<String> {
    let mut all = Vec::new();
    let mut query = limit.map_or(String::new(), |limit| format!("?limit={limit}"));
    loop {
        let page = world.get(&format!("{path}{query}")).await;
        let shown = names(&page, list);
        assert!(shown.len() <= limit.unwrap_or(usize::MAX), "{path}{query}");
        all.extend(shown);
        let Some(next) = page["next"].as_str() else {
            return all;
        };
        query = format!("?limit={}&cursor={next}", limit.unwrap());
    }
}

#[tokio::test]
async fn pages_of_a_list_are_the_whole_list() {
    let world = World::with_a_run().await;
    let engine = &world.engine;
    let run = engine.resolve_run("latest").await.unwrap();
    let root: DecisionId = engine.resolve_decision("latest:1").await.unwrap();
    for n in 0..3 {
        let new = NewCheckpoint {
            agent: "desk".to_owned(),
            state: json!({ "n": n }),
            keep: Vec::new(),
            external: Default::default(),
            causes: Vec::new(),
        };
        engine.checkpoint(run, &new).await.unwrap();
        engine
            .quarantine(&format!("agent/{n}"), "grace")
            .await
            .unwrap();
        let roots = vec![root];
        let reason = "misread".to_owned();
        let plan = Plan {
            incident: Incident { roots, reason },
            ..Plan::default()
        };
        engine.propose_rollback(&plan).await.unwrap();
    }
    for (path, list, count) in [
        ("/api/v1/tools".to_owned(), "tools", 2),
        (format!("/api/v1/runs/{run}/checkpoints"), "checkpoints", 3),
        ("/api/v1/quarantine".to_owned(), "held", 3),
        ("/api/v1/rollbacks".to_owned(), "rollbacks", 3),
    ] {
        let all = read(&world, &path, list, None).await;
        assert_eq!(all.len(), count, "{path}: {all:?}");
        for limit in 1..=count + 1 {
            let pages = read(&world, &path, list, Some(limit)).await;
            assert_eq!(pages, all, "{path} by {limit}");
        }
        for cursor in ["", "2", "x.y", "9.short", "1.%C3%A4"] {
            let refused = world.refused(&format!("{path}?cursor={cursor}")).await;
            assert_eq!(refused, (400, "bad-cursor".to_owned()), "{path} {cursor}");
        }
        let refused = world.refused(&format!("{path}?limit=1001")).await;
        assert_eq!(refused, (400, "bad-option".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_list_goes_on_after_a_call_that_was_decided_about_meanwhile() {
    let world = World::empty().await;
    let (recorder, first) = waiting(&world).await;
    let mut waits = vec![first];
    for later in 1..4 {
        // Ids are in the order of time, to the millisecond.
        world.clock.set(NOON + 1_000 * later);
        waits.push(refund(&recorder).await);
    }
    let router = world.builder().recorder(recorder).build();
    let ids: Vec<String> = waits
        .iter()
        .map(|held| held.decision().to_string())
        .collect();
    let page = ask(&router, get("/api/v1/approvals?limit=2")).await.json();
    assert_eq!(names(&page, "approvals"), ids[..2]);
    let path = format!("/api/v1/approvals/{}/reject", ids[1]);
    let call = json!({ "call": waits[1].call().to_string() });
    assert_eq!(ask(&router, post(&path, None, &call)).await.status, 200);
    let cursor = page["next"].as_str().unwrap();
    let path = format!("/api/v1/approvals?limit=2&cursor={cursor}");
    let page = ask(&router, get(&path)).await.json();
    assert_eq!(names(&page, "approvals"), ids[2..]);
    assert_eq!(page["next"], Value::Null);
}
