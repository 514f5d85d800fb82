//! The tools on the shop that is built in: each refusal changes nothing, each write what it says.

use serde_json::json;
use service_desk::{Deed, Desk, Rights};

use crate::support::{call, record, shop};

/// Makes a call that must be refused, and returns why; nothing may have changed.
fn refused(text: &str) -> String {
    let mut desk = shop();
    let before = desk.state().unwrap();
    let why = call(&mut desk, text).unwrap_err();
    assert_eq!(desk.state().unwrap(), before);
    why
}

#[test]
fn a_cancelled_order_gives_the_gift_card_its_money_back() {
    let mut desk = shop();
    let cancel = r##"cancel_pending_order {"order_id": "#W1002", "reason": "no longer needed"}"##;
    call(&mut desk, cancel).unwrap();
    let order = record(&mut desk, "orders", "#W1002");
    assert_eq!(order["status"], "cancelled");
    assert_eq!(order["payment_history"].as_array().unwrap().len(), 4);
    let user = record(&mut desk, "users", "jonas_weber_1177");
    assert_eq!(user["payment_methods"]["gift_card_7310"]["balance"], 140.5);
    assert_eq!(desk.record("orders", "#W1002").unwrap().version, 2);
    assert_eq!(desk.record("orders", "#W1001").unwrap().version, 1);
    assert_eq!(
        call(&mut desk, cancel).unwrap_err(),
        "Error: non-pending order cannot be cancelled"
    );
}

#[test]
fn modified_items_are_paid_for_and_cannot_be_modified_again() {
    let mut desk = shop();
    let modify = r##"modify_pending_order_items {"order_id": "#W1001",
        "item_ids": ["6100200302"], "new_item_ids": ["6100200303"],
        "payment_method_id": "gift_card_7310"}"##;
    call(&mut desk, modify).unwrap();
    let order = record(&mut desk, "orders", "#W1001");
    assert_eq!(order["items"][0]["item_id"], "6100200303");
    assert_eq!(order["status"], "pending (item modified)");
    assert_eq!(
        order["payment_history"][1],
        json!({"transaction_type": "refund", "amount": 8.25, "payment_method_id": "gift_card_7310"})
    );
    let user = record(&mut desk, "users", "jonas_weber_1177");
    assert_eq!(user["payment_methods"]["gift_card_7310"]["balance"], 28.75);
    assert!(call(&mut desk, modify).is_err());
}

#[test]
fn paying_another_way_moves_the_money() {
    let mut desk = shop();
    let pay = r##"modify_pending_order_payment {"order_id": "#W1001",
        "payment_method_id": "credit_card_8842"}"##;
    call(&mut desk, pay).unwrap();
    let user = record(&mut desk, "users", "jonas_weber_1177");
    assert_eq!(user["payment_methods"]["gift_card_7310"]["balance"], 70.0);
    assert_eq!(
        call(&mut desk, pay).unwrap_err(),
        "Error: there should be exactly one payment for a pending order"
    );
}

#[test]
fn a_refused_call_says_why_and_changes_nothing() {
    let table = [
        (
            r##"cancel_pending_order {"order_id": "#W1002", "reason": "a whim"}"##,
            "invalid reason",
        ),
        (
            r##"cancel_pending_order {"order_id": "#W9", "reason": "no longer needed"}"##,
            "order not found",
        ),
        (
            r##"cancel_pending_order {"order_id": "#W1002"}"##,
            "missing argument `reason`",
        ),
        (
            r##"get_order_details {"order_id": "#W1002", "verbose": true}"##,
            "unknown argument `verbose`",
        ),
        (
            r##"get_order_details {"order_id": 7}"##,
            "argument `order_id` is not a string",
        ),
        (
            r##"find_user_id_by_email {"email": "nobody@example.com"}"##,
            "user not found",
        ),
        (
            r##"modify_pending_order_items {"order_id": "#W1002", "item_ids": ["6100200402", "6100200402"],
            "new_item_ids": ["6100200403", "6100200403"], "payment_method_id": "gift_card_7310"}"##,
            "6100200402 not found",
        ),
        (
            r##"modify_pending_order_items {"order_id": "#W1002", "item_ids": ["6100200402"],
            "new_item_ids": ["6100200403"], "payment_method_id": "gift_card_7310"}"##,
            "new item 6100200403 not found or available",
        ),
        (
            r##"return_delivered_order_items {"order_id": "#W1003", "item_ids": ["6100200503"],
            "payment_method_id": "credit_card_8842"}"##,
            "some item not found",
        ),
        (
            r##"exchange_delivered_order_items {"order_id": "#W1003", "item_ids": ["6100200502"],
            "new_item_ids": ["6100200503"], "payment_method_id": "gift_card_7310"}"##,
            "insufficient gift card balance to pay for the price difference",
        ),
        (
            r##"book_pickup {"order_id": "#W9", "task": "collect"}"##,
            "order not found",
        ),
        (r##"drop_tables"##, "unknown tool `drop_tables`"),
    ];
    for (text, why) in table {
        assert_eq!(refused(text), format!("Error: {why}"));
    }
}

#[test]
fn searches_and_sums_are_answered() {
    let mut desk = shop();
    let mut ask = |text| call(&mut desk, text).unwrap();
    let table = [
        (
            r#"find_user_id_by_email {"email": "Mara.Lind@Example.com"}"#,
            "mara_lind_2041",
        ),
        (
            r#"find_user_id_by_name_zip {"first_name": "ida", "last_name": "MOREAU", "zip": "02110"}"#,
            "ida_moreau_3360",
        ),
        (
            "list_all_product_types",
            r#"{"Backpack":"6100200501","Desk Lamp":"6100200301","Espresso Machine":"6100200401"}"#,
        ),
        (
            r#"calculate {"expression": "2 * (289.00 - 169) / 3"}"#,
            "80.0",
        ),
        (
            r#"calculate {"expression": "-0.125 + 7 // 2 ** 2"}"#,
            "0.88",
        ),
        (r#"think {"thought": "nothing"}"#, ""),
    ];
    for (text, said) in table {
        assert_eq!(ask(text), said);
    }
    for broken in [
        "1 +",
        "(1",
        "1 1",
        "2 * x",
        "1 / 0",
        "",
        &"(".repeat(10_000),
    ] {
        let text = format!(r#"calculate {{"expression": "{broken}"}}"#);
        assert!(call(&mut desk, &text).is_err(), "{broken}");
    }
}

#[test]
fn a_desk_is_filled_once_and_keeps_what_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("desk.db");
    let mut desk = Desk::open(&path).unwrap();
    assert!(desk.tools(Rights::default()).unwrap().is_empty());
    desk.seed().unwrap();
    assert_eq!(
        desk.seed().unwrap_err().to_string(),
        "the database already holds the retail desk"
    );
    let message = r#"message_customer {"user_id": "ida_moreau_3360", "text": "Hello."}"#;
    call(&mut desk, message).unwrap();
    let state = desk.state().unwrap();
    drop(desk);
    assert_eq!(Desk::open(&path).unwrap().state().unwrap(), state);
    assert_eq!(state["messages"]["message_1"]["text"], "Hello.");
}

#[test]
fn a_folder_that_does_not_hold_a_desk_fills_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("orders.json"), r#"{"a": {}}"#).unwrap();
    std::fs::write(folder.path().join("users.json"), "[]").unwrap();
    let mut desk = Desk::in_memory().unwrap();
    let error = desk.load_retail(folder.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("users.json` is no object of records"),
        "{error}"
    );
    assert!(desk.state().unwrap().is_empty());
    assert_eq!(desk.domain().unwrap(), None);
}

#[test]
fn agents_see_no_tool_of_operators() {
    let mut desk = shop();
    let agents = desk.tools(Rights::default()).unwrap();
    assert!(agents.iter().all(|tool| !tool.operator));
    let operators = desk
        .tools(Rights {
            operator: true,
            keys: false,
        })
        .unwrap();
    assert_eq!(operators.len(), agents.len() + 3);
    let writes = |tool: &&&service_desk::Tool| tool.deed == Deed::Write;
    assert_eq!(agents.iter().filter(writes).count(), 9);
}
