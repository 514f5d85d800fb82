//! Idempotency keys: what was done once is not done again.

use crate::support::{call, keyed, shop};

#[test]
fn a_repeated_key_is_answered_as_at_first_and_does_nothing() {
    let mut desk = shop();
    let send = r#"message_customer {"user_id": "ida_moreau_3360", "text": "Hello.",
        "idempotency_key": "k1"}"#;
    let (first, changed) = keyed(&mut desk, send);
    assert_eq!(changed, 1);
    let (second, changed) = keyed(&mut desk, send);
    assert_eq!((second, changed), (first, 0));
    assert_eq!(desk.state().unwrap()["messages"].len(), 1);
}

#[test]
fn a_key_is_for_one_call() {
    let mut desk = shop();
    let (first, _) = keyed(
        &mut desk,
        r##"book_pickup {"order_id": "#W1001", "task": "collect", "idempotency_key": "k1"}"##,
    );
    first.unwrap();
    let (second, _) = keyed(
        &mut desk,
        r##"book_pickup {"order_id": "#W1002", "task": "collect", "idempotency_key": "k1"}"##,
    );
    assert_eq!(
        second.unwrap_err(),
        "Error: this idempotency key was used for another call"
    );
}

#[test]
fn a_refused_call_leaves_its_key_unused() {
    let mut desk = shop();
    let cancel = r##"cancel_pending_order {"order_id": "#W1003", "reason": "no longer needed",
        "idempotency_key": "k1"}"##;
    keyed(&mut desk, cancel).0.unwrap_err();
    let other = r##"cancel_pending_order {"order_id": "#W1002", "reason": "no longer needed",
        "idempotency_key": "k1"}"##;
    keyed(&mut desk, other).0.unwrap();
}

#[test]
fn a_desk_without_keys_does_not_know_the_argument() {
    let mut desk = shop();
    let cancel = r##"cancel_pending_order {"order_id": "#W1002", "reason": "no longer needed",
        "idempotency_key": "k1"}"##;
    // Dropping it silently would let a caller think that it is safe to call again.
    assert_eq!(
        call(&mut desk, cancel).unwrap_err(),
        "Error: unknown argument `idempotency_key`"
    );
}
