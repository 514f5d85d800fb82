//! What operators have: reading, restoring and deleting, each against the version that was seen.

use serde_json::json;

use crate::support::{call, operator, record, shop};

const CANCEL: &str =
    r##"cancel_pending_order {"order_id": "#W1002", "reason": "no longer needed"}"##;

#[test]
fn a_restored_record_is_as_it_was() {
    let mut desk = shop();
    let before = record(&mut desk, "orders", "#W1002");
    call(&mut desk, CANCEL).unwrap();
    let read = operator(
        &mut desk,
        r##"read_record {"table": "orders", "id": "#W1002"}"##,
    );
    let read = read.unwrap();
    assert_eq!(read["version"], 2);
    assert_eq!(read["body"]["status"], "cancelled");
    let fields = json!({
        "status": "pending",
        "cancel_reason": null,
        "payment_history": before["payment_history"],
    });
    let restore = format!(
        r##"restore_record {{"table": "orders", "id": "#W1002", "fields": {fields}, "version": 2}}"##
    );
    assert_eq!(operator(&mut desk, &restore).unwrap()["version"], 3);
    assert_eq!(record(&mut desk, "orders", "#W1002"), before);
}

#[test]
fn a_restore_keeps_what_it_does_not_name() {
    let mut desk = shop();
    let restore = r##"restore_record {"table": "users", "id": "jonas_weber_1177", "version": 1,
        "fields": {"/payment_methods/gift_card_7310/balance": 5, "/orders/3": "#W1", "email": null}}"##;
    operator(&mut desk, restore).unwrap();
    let user = record(&mut desk, "users", "jonas_weber_1177");
    assert_eq!(user["payment_methods"]["gift_card_7310"]["balance"], 5);
    assert_eq!(user["orders"], json!(["#W1001", "#W1002", "#W1003", "#W1"]));
    assert_eq!(user.get("email"), None);
    assert_eq!(user["name"]["first_name"], "Jonas");
}

#[test]
fn who_saw_an_older_version_changes_nothing() {
    let mut desk = shop();
    call(&mut desk, CANCEL).unwrap();
    let state = desk.state().unwrap();
    for stale in [
        r##"restore_record {"table": "orders", "id": "#W1002", "fields": {"status": "pending"}, "version": 1}"##,
        r##"delete_record {"table": "orders", "id": "#W1002", "version": 1}"##,
    ] {
        assert_eq!(
            operator(&mut desk, stale).unwrap_err(),
            "Error: version conflict: the record is at version 2, not 1; read it again"
        );
    }
    assert_eq!(desk.state().unwrap(), state);
}

#[test]
fn a_deleted_record_comes_back_with_a_later_version() {
    let mut desk = shop();
    call(
        &mut desk,
        r##"book_pickup {"order_id": "#W1002", "task": "collect"}"##,
    )
    .unwrap();
    let pickup = record(&mut desk, "pickups", "#W1002");
    let delete = r##"delete_record {"table": "pickups", "id": "#W1002", "version": 1}"##;
    let deleted = operator(&mut desk, delete).unwrap();
    assert_eq!(
        deleted,
        json!({"table": "pickups", "id": "#W1002", "version": 2, "body": null})
    );
    let read = operator(
        &mut desk,
        r##"read_record {"table": "pickups", "id": "#W1002"}"##,
    );
    assert_eq!(read.unwrap(), deleted);
    let again = r##"delete_record {"table": "pickups", "id": "#W1002", "version": 2}"##;
    assert_eq!(
        operator(&mut desk, again).unwrap_err(),
        "Error: pickups/#W1002 does not exist"
    );
    let whole = format!(
        r##"restore_record {{"table": "pickups", "id": "#W1002", "fields": {{"": {pickup}}}, "version": 2}}"##
    );
    assert_eq!(operator(&mut desk, &whole).unwrap()["version"], 3);
    assert_eq!(record(&mut desk, "pickups", "#W1002"), pickup);
}

#[test]
fn an_agent_that_knows_the_name_is_refused() {
    let mut desk = shop();
    let delete = r##"delete_record {"table": "orders", "id": "#W1002", "version": 1}"##;
    assert_eq!(
        call(&mut desk, delete).unwrap_err(),
        "Error: unknown tool `delete_record`"
    );
}

#[test]
fn a_field_without_a_place_is_refused() {
    let mut desk = shop();
    for fields in [
        r#"{"/name/first_name/x": 1}"#,
        r#"{"/orders/9": 1}"#,
        r#"{"": 1}"#,
        r#"{"/a/b": 1}"#,
    ] {
        let restore = format!(
            r#"restore_record {{"table": "users", "id": "ida_moreau_3360", "fields": {fields}, "version": 1}}"#
        );
        assert!(operator(&mut desk, &restore).is_err(), "{fields}");
    }
    let elsewhere = r#"read_record {"table": "answers", "id": "x"}"#;
    assert!(
        operator(&mut desk, elsewhere)
            .unwrap_err()
            .starts_with("Error: no table `answers`")
    );
}
