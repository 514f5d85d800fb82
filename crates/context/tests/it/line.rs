//! Saved states: what is kept of the newest.

use context::with_kept;
use serde_json::json;

#[test]
fn c35_what_is_to_be_kept_is_taken_from_the_newest_state() {
    let line = json!({ "orders": ["W1"], "learnt": { "tone": "short" }, "a/b": 1, "list": [1, 2] });
    let newest = json!({
        "orders": ["W1", "W7"], "learnt": { "tone": "warm", "names": ["Ada"] }, "a/b": 2,
        "likes": { "tea": true }, "list": [1, 3, 5],
    });
    let keep = [
        "/learnt/names",
        "/likes/tea",
        "/a~1b",
        "/list/1",
        "/list/2",
        "/absent",
        "/orders/x",
    ];
    let keep: Vec<String> = keep.iter().map(|pointer| (*pointer).to_owned()).collect();
    let (state, kept) = with_kept(line, &newest, &keep);
    let expected = json!({
        "orders": ["W1"], "learnt": { "tone": "short", "names": ["Ada"] }, "a/b": 2,
        "likes": { "tea": true }, "list": [1, 3],
    });
    assert_eq!(state, expected);
    assert_eq!(kept, ["/learnt/names", "/likes/tea", "/a~1b", "/list/1"]);
    // The whole, and onto nothing.
    let whole = vec![String::new()];
    assert_eq!(with_kept(json!({}), &newest, &whole).0, newest);
}
