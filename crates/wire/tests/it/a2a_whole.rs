//! A2A: an answer as one result, and what makes a message the same.

use wire::a2a::{Whole, identity};
use wire::jsonrpc::Json;

fn whole(results: &[&str]) -> Option<String> {
    let mut whole = Whole::default();
    for result in results {
        whole.take(
            &format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#),
            1_000,
        );
    }
    whole.result()
}

#[test]
fn an_answer_in_one_piece_stays_as_it_came() {
    for result in [
        r#"{ "kind": "message", "parts": [], "n": 12345678901234567890 }"#,
        r#"{"task":{"id":"t","status":{"state":"TASK_STATE_COMPLETED"}} }"#,
        r#"{"id":"t","status":{"state":"completed"},"kind":"task","artifacts":[]}"#,
    ] {
        assert_eq!(whole(&[result]).as_deref(), Some(result));
    }
    assert_eq!(whole(&[]), None);
    assert_eq!(whole(&[r#"{"kind":"else"}"#, "7"]), None);
    let answer = r#"{"kind":"message","parts":[]}"#;
    assert_eq!(whole(&[answer; 30]), None, "it is too much");
}

#[test]
fn events_are_put_together_into_the_task_that_they_tell() {
    let told = whole(&[
        r#"{"kind":"task","id":"t","contextId":"c","status":{"state":"submitted"},"artifacts":[{"artifactId":"b","parts":[1]}],"x":1.0}"#,
        r#"{"kind":"status-update","taskId":"t","status":{"state":"working"},"final":false}"#,
        r#"{"kind":"artifact-update","taskId":"t","artifact":{"artifactId":"a","name":"n","parts":[{"text":"one"}]}}"#,
        r#"{"kind":"artifact-update","taskId":"t","append":true,"artifact":{"artifactId":"a","parts":[{"text":"two"}]}}"#,
        r#"{"kind":"artifact-update","taskId":"t","artifact":{"artifactId":"b","parts":[2]}}"#,
        r#"{"kind":"status-update","taskId":"t","status":{"state":"completed"},"final":true}"#,
    ]);
    let expected = r#"{"kind":"task","id":"t","contextId":"c","x":1.0,"status":{"state":"completed"},"artifacts":[{"artifactId":"b","parts":[2]},{"artifactId":"a","name":"n","parts":[{"text":"one"},{"text":"two"}]}]}"#;
    assert_eq!(told.as_deref(), Some(expected));
}

#[test]
fn updates_of_a_task_that_was_not_told_before_make_one_in_the_form_of_their_version() {
    let old =
        r#"{"kind":"status-update","taskId":"t","contextId":"c","status":{"state":"failed"}}"#;
    let expected = r#"{"kind":"task","id":"t","contextId":"c","status":{"state":"failed"}}"#;
    assert_eq!(whole(&[old]).as_deref(), Some(expected));
    let new = r#"{"statusUpdate":{"taskId":"t","status":{"state":"TASK_STATE_FAILED"}}}"#;
    let expected = r#"{"task":{"id":"t","status":{"state":"TASK_STATE_FAILED"}}}"#;
    assert_eq!(whole(&[new]).as_deref(), Some(expected));
    let piece = r#"{"kind":"artifact-update","taskId":"t","artifact":{"parts":[1]}}"#;
    assert_eq!(whole(&[piece]), None, "how the task stands is not known");
}

#[test]
fn a_message_is_the_same_whatever_its_own_id_and_however_its_answer_is_to_come() {
    let of = |params: &str| identity(Json::parse(params).unwrap());
    let first = of(r#"{"message":{"messageId":"1","parts":[{"text":"a"}]}}"#);
    let again =
        r#"{"configuration":{"blocking":true},"message":{"parts":[{"text":"a"}],"messageId":"2"}}"#;
    assert_eq!(of(again), first);
    for other in [
        r#"{"message":{"messageId":"1","parts":[{"text":"b"}]}}"#,
        r#"{"message":{"messageId":"1","parts":[{"text":"a"}],"taskId":"t"}}"#,
        r#"{"tenant":"x","message":{"messageId":"1","parts":[{"text":"a"}]}}"#,
    ] {
        assert!(
            of(other).is_some_and(|other| Some(other) != first),
            "{other}"
        );
    }
    assert_eq!(of(r#"{"id":"t"}"#), None);
}
