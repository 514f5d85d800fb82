//! Environment snapshots.

use std::collections::BTreeMap;

use model::Environment;

fn snapshot(pairs: &[(&str, &str)]) -> Environment {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment(pairs.collect::<BTreeMap<_, _>>())
}

#[test]
fn c3_two_snapshots_differ_name_by_name() {
    let before = snapshot(&[
        ("model.name", "a-1"),
        ("limits.tokens", "4000"),
        ("flags.eu", "on"),
    ]);
    let after = snapshot(&[
        ("model.name", "a-2"),
        ("limits.tokens", "4000"),
        ("tools.n", "7"),
    ]);
    let lines: Vec<String> = before
        .diff(&after)
        .into_iter()
        .map(|c| format!("{}: {:?} -> {:?}", c.name, c.before, c.after))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    flags.eu: Some("on") -> None
    model.name: Some("a-1") -> Some("a-2")
    tools.n: None -> Some("7")
    "#);
    assert!(before.diff(&before).is_empty());
}
