//! Tools of no published desk, which the demo's story needs: a pickup by courier, and a message to
//! the customer, which nobody can call back.

use serde_json::json;

use crate::arguments::Arguments;
use crate::error::Refusal;
use crate::retail::{ORDERS, USERS};
use crate::tables::Tables;

pub(crate) const PICKUPS: &str = "pickups";
pub(crate) const MESSAGES: &str = "messages";

type Said = Result<String, Refusal>;

/// Books a courier for an order's parcel: one per order.
pub(crate) fn book_pickup(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let order = args.text("order_id")?;
    tables.get(ORDERS, order, "order not found")?;
    if tables.find(PICKUPS, order)?.is_some() {
        return Err(Refusal::said("a pickup is booked for this order already"));
    }
    let pickup = json!({
        "order_id": order,
        "task": args.text("task")?,
        "status": "booked",
    });
    let said = pickup.to_string();
    tables.put(PICKUPS, order, pickup);
    Ok(said)
}

/// Sends a message to a customer. It is kept; that it was read cannot be undone.
pub(crate) fn message_customer(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let user = args.text("user_id")?;
    tables.get(USERS, user, "user not found")?;
    let number = tables.all(MESSAGES)?.len() + 1;
    let id = format!("message_{number}");
    let message = json!({"message_id": id, "user_id": user, "text": args.text("text")?});
    let said = message.to_string();
    tables.put(MESSAGES, &id, message);
    Ok(said)
}
