//! Who depends on a write through a record: each line of a story is one call.

use model::{CauseKind, Edge, Strength};
use recover::plan::Fate;
use recover::{Dependant, dependants, plan, relied_on};
use serde_json::json;

use crate::planner::{Story, acts, fates};
use crate::world::{catalogue, id};

/// `call <- write: record#field strength` for what each call of a story relies on.
fn relies(story: &Story) -> Vec<String> {
    let mut lines = Vec::new();
    for last in 1..=story.calls.len() {
        lines.extend(
            relied_on(&story.calls[..last], &catalogue())
                .iter()
                .map(line),
        );
    }
    lines
}

fn line(found: &Dependant) -> String {
    let number = |of: model::DecisionId| (1..99).find(|n| id(*n) == of).unwrap_or_default();
    let (call, write) = (number(found.decision), number(found.cause));
    let (uri, at, strength) = (&found.uri, &found.at, found.strength.name());
    format!("{call} <- {write}: {uri}#{at} {strength}")
}

#[test]
fn who_reads_what_a_write_changed_depends_on_it() {
    let story = Story::new()
        .call("append_file", json!({"path": "f", "text": "two"}))
        .call("read_file", json!({"path": "f"}))
        .call("copy", json!({"from": "r", "to": "s"}));
    assert_eq!(relies(&story), ["2 <- 1: files/f#/text certain"]);
}

#[test]
fn who_looks_at_other_fields_does_not() {
    let story = Story::new()
        .call("set_b", json!({"id": "r", "b": "new"}))
        .call("copy", json!({"from": "r", "to": "s"}));
    assert_eq!(relies(&story), [""; 0]);
}

#[test]
fn a_write_that_was_overwritten_or_taken_back_changed_nothing_for_who_reads_then() {
    let story = Story::new()
        .call("write_file", json!({"path": "f", "text": "two"}))
        .call("write_file", json!({"path": "f", "text": "three"}))
        .call("read_file", json!({"path": "f"}))
        .call("write_file", json!({"path": "f", "text": "one "}));
    assert_eq!(relies(&story), ["3 <- 2: files/f#/text certain"]);
    let mut undone = story;
    undone.calls[1].undone = true;
    let read = &undone.calls[..3];
    assert!(
        relied_on(read, &catalogue())
            .iter()
            .all(|d| d.cause != id(2))
    );
}

#[test]
fn a_write_that_shows_a_change_depends_on_it_and_what_it_did_is_kept() {
    let story = Story::new()
        .call("set_b", json!({"id": "r", "b": "new"}))
        .call("add_a", json!({"id": "r", "n": 4}));
    assert_eq!(relies(&story), ["2 <- 1: rows/r#/b certain"]);
    let mut facts = story.facts(&[1, 2]);
    facts.edges = vec![read(1, 2)];
    let made = plan(&facts, &catalogue());
    assert_eq!(acts(&made), ["put back /b of rows/r"]);
    assert!(matches!(fates(&made)[..], [Fate::Undone, Fate::Kept(_)]));
    // Something else that ties it to the incident takes it along.
    facts.edges.push(Edge {
        kind: CauseKind::Call,
        ..read(1, 2)
    });
    let made = plan(&facts, &catalogue());
    assert_eq!(fates(&made), [Fate::Undone, Fate::Undone]);
}

#[test]
fn a_write_that_could_not_stand_without_another_is_taken_back_with_it() {
    let story = Story::new()
        .call("insert_row", json!({"id": "t", "a": 7}))
        .call("set_b", json!({"id": "t", "b": "x"}));
    assert_eq!(relies(&story), ["2 <- 1: rows/t#/id certain"]);
    let mut facts = story.facts(&[1, 2]);
    facts.edges = vec![read(1, 2)];
    let made = plan(&facts, &catalogue());
    assert_eq!(acts(&made), ["delete rows/t"]);
    assert_eq!(fates(&made), [Fate::Undone, Fate::Undone]);
}

#[test]
fn without_images_sharing_a_record_is_possible_and_no_more() {
    let mut story = Story::new()
        .call("append_file", json!({"path": "f", "text": "two"}))
        .call("read_file", json!({"path": "f"}));
    story.calls[0].before.clear();
    story.calls[0].after.clear();
    assert_eq!(relies(&story), ["2 <- 1: files/f# possible"]);
}

#[test]
fn several_writes_are_left_out_together() {
    let story = Story::new()
        .call("write_file", json!({"path": "f", "text": "two"}))
        .call("write_file", json!({"path": "f", "text": "one "}))
        .call("read_file", json!({"path": "f"}));
    let of = |of: &[usize]| {
        let of: Vec<_> = of.iter().map(|number| id(*number)).collect();
        dependants(&story.calls, &of, &catalogue())
            .iter()
            .map(line)
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&[2]), ["3 <- 2: files/f#/text certain"]);
    assert_eq!(of(&[1, 2]), [""; 0]);
}

fn read(cause: usize, effect: usize) -> Edge {
    Edge {
        cause: id(cause),
        effect: id(effect),
        kind: CauseKind::Read,
        strength: Strength::Certain,
    }
}
