//! The retail desk: orders, users and products. What each tool asks and does is published; the
//! code is ours.

use serde_json::{Map, Value, json};

use crate::arguments::Arguments;
use crate::error::Refusal;
use crate::number::Amount;
use crate::record::{add_to_balance, amount, list, list_mut, method, text};
use crate::tables::Tables;

pub(crate) const ORDERS: &str = "orders";
pub(crate) const USERS: &str = "users";
pub(crate) const PRODUCTS: &str = "products";

type Said = Result<String, Refusal>;

pub(crate) fn find_user_id_by_email(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let email = args.text("email")?.to_lowercase();
    find_user(tables, |user| {
        user["email"].as_str().map(str::to_lowercase).as_ref() == Some(&email)
    })
}

pub(crate) fn find_user_id_by_name_zip(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let first = args.text("first_name")?.to_lowercase();
    let last = args.text("last_name")?.to_lowercase();
    let zip = args.text("zip")?;
    let same = |value: &Value, name: &str| value.as_str().is_some_and(|v| v.to_lowercase() == name);
    find_user(tables, |user| {
        same(&user["name"]["first_name"], &first)
            && same(&user["name"]["last_name"], &last)
            && user["address"]["zip"].as_str() == Some(zip)
    })
}

fn find_user(tables: &Tables<'_>, is: impl Fn(&Value) -> bool) -> Said {
    let users = tables.all(USERS)?;
    let found = users.into_iter().find(|(_, user)| is(user));
    found
        .map(|(id, _)| id)
        .ok_or_else(|| Refusal::said("user not found"))
}

pub(crate) fn get_user_details(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let user = tables.get(USERS, args.text("user_id")?, "user not found")?;
    Ok(user.to_string())
}

pub(crate) fn get_order_details(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let order = tables.get(ORDERS, args.text("order_id")?, "order not found")?;
    Ok(order.to_string())
}

pub(crate) fn get_product_details(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let product = tables.get(PRODUCTS, args.text("product_id")?, "product not found")?;
    Ok(product.to_string())
}

pub(crate) fn list_all_product_types(tables: &mut Tables<'_>, _: Arguments<'_>) -> Said {
    let mut types = Map::new();
    for (id, product) in tables.all(PRODUCTS)? {
        types.insert(text(&product, "name")?.to_owned(), id.into());
    }
    Ok(Value::from(types).to_string())
}

pub(crate) fn cancel_pending_order(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (id, mut order) = order(tables, args)?;
    if order["status"] != "pending" {
        return Err(Refusal::said("non-pending order cannot be cancelled"));
    }
    let reason = args.text("reason")?;
    if !["no longer needed", "ordered by mistake"].contains(&reason) {
        return Err(Refusal::said("invalid reason"));
    }
    let (user_id, mut user) = owner(tables, &order)?;
    let mut refunds = Vec::new();
    for payment in list(&order, "payment_history")? {
        let paid_with = text(payment, "payment_method_id")?;
        let paid = amount(payment, "amount")?;
        refunds.push(entry("refund", paid, paid_with));
        if paid_with.contains("gift_card") {
            add_to_balance(&mut user, paid_with, "balance", paid, true)?;
        }
    }
    list_mut(&mut order, "payment_history")?.extend(refunds);
    order["status"] = "cancelled".into();
    order["cancel_reason"] = reason.into();
    tables.put(USERS, &user_id, user);
    keep(tables, id, order)
}

pub(crate) fn modify_pending_order_address(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (id, mut order) = order(tables, args)?;
    if order["status"] != "pending" {
        return Err(Refusal::said("non-pending order cannot be modified"));
    }
    order["address"] = address(args)?;
    keep(tables, id, order)
}

pub(crate) fn modify_user_address(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let id = args.text("user_id")?;
    let mut user = tables.get(USERS, id, "user not found")?;
    user["address"] = address(args)?;
    let said = user.to_string();
    tables.put(USERS, id, user);
    Ok(said)
}

pub(crate) fn modify_pending_order_items(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (id, mut order) = order(tables, args)?;
    if order["status"] != "pending" {
        return Err(Refusal::said("non-pending order cannot be modified"));
    }
    let old = args.texts("item_ids")?;
    let new = args.texts("new_item_ids")?;
    present(&order, &old)?;
    if old.len() != new.len() {
        return Err(Refusal::said(
            "the number of items to be exchanged should match",
        ));
    }
    let exchange = exchange(tables, &order, &old, &new)?;
    let (user_id, mut user) = owner(tables, &order)?;
    let pays_with = args.text("payment_method_id")?;
    let pays = method(&user, pays_with)?;
    let gift_card = pays["source"] == "gift_card";
    if gift_card && amount(pays, "balance")?.float() < exchange.difference.float() {
        return Err(Refusal::said(
            "insufficient gift card balance to pay for the new item",
        ));
    }
    let difference = exchange.difference;
    let deed = if difference.float() > 0.0 {
        "payment"
    } else {
        "refund"
    };
    let payment = entry(deed, difference.absolute(), pays_with);
    list_mut(&mut order, "payment_history")?.push(payment);
    if gift_card {
        add_to_balance(&mut user, pays_with, "balance", difference.negative(), true)?;
        tables.put(USERS, &user_id, user);
    }
    for ((old, new), variant) in old.iter().zip(&new).zip(exchange.variants) {
        let items = list_mut(&mut order, "items")?;
        let item = items.iter_mut().find(|item| item["item_id"] == *old);
        let item = item.ok_or_else(|| Refusal::said(format!("{old} not found")))?;
        item["item_id"] = (*new).into();
        item["price"] = variant["price"].clone();
        item["options"] = variant["options"].clone();
    }
    order["status"] = "pending (item modified)".into();
    keep(tables, id, order)
}

pub(crate) fn modify_pending_order_payment(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (id, mut order) = order(tables, args)?;
    if order["status"] != "pending" {
        return Err(Refusal::said("non-pending order cannot be modified"));
    }
    let (user_id, mut user) = owner(tables, &order)?;
    let new = args.text("payment_method_id")?;
    let pays = method(&user, new)?;
    let [payment] = list(&order, "payment_history")? else {
        return Err(Refusal::said(
            "there should be exactly one payment for a pending order",
        ));
    };
    if payment["transaction_type"] != "payment" {
        return Err(Refusal::said(
            "there should be exactly one payment for a pending order",
        ));
    }
    let old = text(payment, "payment_method_id")?.to_owned();
    if old == new {
        return Err(Refusal::said(
            "the new payment method should be different from the current one",
        ));
    }
    let paid = amount(payment, "amount")?;
    let gift_card = pays["source"] == "gift_card";
    if gift_card && amount(pays, "balance")?.float() < paid.float() {
        return Err(Refusal::said(
            "insufficient gift card balance to pay for the order",
        ));
    }
    let both = [entry("payment", paid, new), entry("refund", paid, &old)];
    list_mut(&mut order, "payment_history")?.extend(both);
    if gift_card {
        add_to_balance(&mut user, new, "balance", paid.negative(), true)?;
    }
    if old.contains("gift_card") {
        add_to_balance(&mut user, &old, "balance", paid, true)?;
    }
    tables.put(USERS, &user_id, user);
    keep(tables, id, order)
}

pub(crate) fn return_delivered_order_items(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (id, mut order) = order(tables, args)?;
    if order["status"] != "delivered" {
        return Err(Refusal::said("non-delivered order cannot be returned"));
    }
    let (_, user) = owner(tables, &order)?;
    let refund_to = args.text("payment_method_id")?;
    method(&user, refund_to)?;
    let first = list(&order, "payment_history")?.first();
    if !refund_to.contains("gift_card") && first.is_none_or(|p| p["payment_method_id"] != refund_to)
    {
        return Err(Refusal::said(
            "payment method should be either the original payment method or a gift card",
        ));
    }
    let mut items = args.texts("item_ids")?;
    present(&order, &items).map_err(|_| Refusal::said("some item not found"))?;
    items.sort_unstable();
    order["status"] = "return requested".into();
    order["return_items"] = items.into();
    order["return_payment_method_id"] = refund_to.into();
    keep(tables, id, order)
}

pub(crate) fn exchange_delivered_order_items(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (id, mut order) = order(tables, args)?;
    if order["status"] != "delivered" {
        return Err(Refusal::said("non-delivered order cannot be exchanged"));
    }
    let mut old = args.texts("item_ids")?;
    let mut new = args.texts("new_item_ids")?;
    present(&order, &old)?;
    if old.len() != new.len() {
        return Err(Refusal::said(
            "the number of items to be exchanged should match",
        ));
    }
    let difference = exchange(tables, &order, &old, &new)?.difference.cents();
    let (_, user) = owner(tables, &order)?;
    let pays_with = args.text("payment_method_id")?;
    let pays = method(&user, pays_with)?;
    if pays["source"] == "gift_card" && amount(pays, "balance")?.float() < difference.float() {
        return Err(Refusal::said(
            "insufficient gift card balance to pay for the price difference",
        ));
    }
    old.sort_unstable();
    new.sort_unstable();
    order["status"] = "exchange requested".into();
    order["exchange_items"] = old.into();
    order["exchange_new_items"] = new.into();
    order["exchange_payment_method_id"] = pays_with.into();
    order["exchange_price_difference"] = difference.json();
    keep(tables, id, order)
}

fn order<'a>(tables: &Tables<'_>, args: Arguments<'a>) -> Result<(&'a str, Value), Refusal> {
    let id = args.text("order_id")?;
    Ok((id, tables.get(ORDERS, id, "order not found")?))
}

fn owner(tables: &Tables<'_>, order: &Value) -> Result<(String, Value), Refusal> {
    let id = text(order, "user_id")?;
    Ok((id.to_owned(), tables.get(USERS, id, "user not found")?))
}

fn keep(tables: &mut Tables<'_>, id: &str, order: Value) -> Said {
    let said = order.to_string();
    tables.put(ORDERS, id, order);
    Ok(said)
}

fn entry(deed: &str, amount: Amount, method: &str) -> Value {
    json!({"transaction_type": deed, "amount": amount.json(), "payment_method_id": method})
}

fn address(args: Arguments<'_>) -> Result<Value, Refusal> {
    let mut address = Map::new();
    for field in ["address1", "address2", "city", "state", "country", "zip"] {
        address.insert(field.to_owned(), args.value(field)?.clone());
    }
    Ok(address.into())
}

/// Refuses items that the order does not have, or not that often.
fn present(order: &Value, items: &[&str]) -> Result<(), Refusal> {
    let ordered = list(order, "items")?;
    for id in items {
        let has = ordered.iter().filter(|item| item["item_id"] == *id).count();
        if items.iter().filter(|item| *item == id).count() > has {
            return Err(Refusal::said(format!("{id} not found")));
        }
    }
    Ok(())
}

/// What exchanging items comes to.
struct Exchange {
    /// Not rounded: the published desk writes it so into payments.
    difference: Amount,
    /// The new variants, in the order of the arguments.
    variants: Vec<Value>,
}

fn exchange(
    tables: &Tables<'_>,
    order: &Value,
    old: &[&str],
    new: &[&str],
) -> Result<Exchange, Refusal> {
    let items = list(order, "items")?;
    let mut difference = Amount::ZERO;
    let mut variants = Vec::with_capacity(new.len());
    for (old, new) in old.iter().zip(new) {
        let item = items.iter().find(|item| item["item_id"] == *old);
        let item = item.ok_or_else(|| Refusal::said(format!("{old} not found")))?;
        let product = tables.get(PRODUCTS, text(item, "product_id")?, "product not found")?;
        let variant = &product["variants"][*new];
        if variant["available"] != true {
            return Err(Refusal::said(format!(
                "new item {new} not found or available"
            )));
        }
        let dearer = amount(variant, "price")?.minus(amount(item, "price")?);
        difference = difference.plus(dearer);
        variants.push(variant.clone());
    }
    Ok(Exchange {
        difference,
        variants,
    })
}
