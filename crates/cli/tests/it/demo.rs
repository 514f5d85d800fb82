//! `rescind demo`: the whole story holds, and its record verifies.

use serde_json::Value;

use crate::world::{World, said};

#[test]
fn the_story_holds_and_its_record_verifies() {
    let world = World::new();
    let output = world.call(&["demo", "--exit", "--json", "--data-dir", "d"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let told: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    for check in told["checks"].as_array().unwrap() {
        assert_eq!(check["held"], true, "{told:#}");
    }
    assert_eq!(told["held"], true, "{told:#}");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        told["followed"]["agents"],
        serde_json::json!(["courier", "orders"])
    );
    world.ok(&["verify", "d", "--full"]);

    let said = world.fails(2, &["demo", "--exit", "--data-dir", "d"]);
    assert!(said.contains("there is a record in `d` already"), "{said}");
}

#[test]
fn where_the_record_of_the_story_stays_is_told() {
    let world = World::new();
    let mut demo = world.command(&["demo", "--exit"]);
    let output = demo.env("TMPDIR", world.path("")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let dir = text.lines().last().unwrap();
    let dir = dir.strip_prefix("the record stays in ").unwrap();
    world.ok(&["verify", dir, "--full"]);
}
