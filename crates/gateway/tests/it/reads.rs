//! What follows from a write through the database: found, taken back or announced, and over once
//! it is put back.

use engine::undo::{Include, Request};
use model::DecisionId;
use serde_json::{Value, json};

use super::support_mcp::World;
use super::undo::{Shared, carry, world};

/// Calls a tool as an agent, in a run of its own, for the reason that it names.
async fn call(world: &World, agent: &str, tool: &str, cause: Option<DecisionId>) -> DecisionId {
    let arguments = json!({ "id": "W1" });
    let params = json!({ "name": tool, "arguments": arguments });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let cause = cause.map(|cause| cause.to_string());
    let mut headers = vec![("x-rescind-run", agent)];
    headers.extend(cause.as_deref().map(|cause| ("x-rescind-cause", cause)));
    let path = format!("/agents/{agent}/mcp/desk");
    let answered = world.post(&path, &headers, &body.to_string()).await;
    assert_eq!(answered.status, 200, "{}", answered.body);
    let named = answered.header("x-rescind-decision").unwrap();
    named.parse().unwrap()
}

fn status(orders: &Shared) -> Value {
    orders.lock().unwrap().orders["W1"].0["status"].clone()
}

#[tokio::test]
async fn c4_what_followed_through_a_record_is_in_every_view_of_it_and_ends_with_the_rollback() {
    let (world, orders, _stub) = world().await;
    let engine = world.recorder.engine().clone();
    let wrong = call(&world, "ada", "cancel", None).await;
    let looked = call(&world, "bob", "read", None).await;
    let acted = call(&world, "bob", "refund", Some(looked)).await;
    let carl = call(&world, "carl", "refund", None).await;

    engine
        .store()
        .wait_indexed(engine.store().status().await.unwrap().durable)
        .await
        .unwrap();
    let blast = engine.blast(wrong, 100).await.unwrap();
    let certain: Vec<&str> = blast
        .certain
        .iter()
        .map(|reached| &*reached.node.id)
        .collect();
    assert_eq!(certain, [looked.to_string(), acted.to_string()]);
    let why = engine.why(wrong, looked).await.unwrap();
    let links: Vec<&str> = why.chain.iter().map(|link| &*link.evidence).collect();
    assert_eq!(
        links,
        ["looked at `/status` of `orders/W1`, which was changed there"]
    );

    let request = Request {
        roots: vec![wrong],
        reason: "the wrong order".to_owned(),
        include: Include::None,
        ..Request::default()
    };
    let hands = world.gateway.hands();
    let catalogue = world.recorder.catalogue().unwrap().clone();
    let plan = engine
        .plan_rollback(&request, &catalogue, Some(&*hands))
        .await
        .unwrap();
    let affected: Vec<DecisionId> = plan
        .affected
        .iter()
        .map(|affected| affected.decision)
        .collect();
    assert_eq!(affected, [wrong, looked, acted], "{plan}");
    let view = carry(&world, &plan).await;
    assert_eq!(
        (view.state.name(), status(&orders)),
        ("succeeded", json!("open"))
    );

    // Who looks now sees what was always right.
    let after = call(&world, "carl", "read", None).await;
    let record = world.record().await;
    let of = |id: DecisionId| record.iter().find(|d| d.node.id == id.to_string()).unwrap();
    for healthy in [after, carl] {
        assert!(of(healthy).causes.is_empty(), "{:?}", of(healthy).causes);
        assert_eq!(of(healthy).node.status, "succeeded");
    }
}
