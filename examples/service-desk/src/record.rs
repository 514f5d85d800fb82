//! Small readers of records: a field of an object, by name, with a plain answer where the record
//! is not what the published desks keep.

use serde_json::{Map, Value};

use crate::error::Refusal;
use crate::number::Amount;

pub(crate) fn text<'a>(record: &'a Value, field: &str) -> Result<&'a str, Refusal> {
    record[field].as_str().ok_or_else(|| odd(field))
}

pub(crate) fn amount(record: &Value, field: &str) -> Result<Amount, Refusal> {
    Amount::of(&record[field]).ok_or_else(|| odd(field))
}

pub(crate) fn list<'a>(record: &'a Value, field: &str) -> Result<&'a [Value], Refusal> {
    let list = record[field].as_array();
    list.map(Vec::as_slice).ok_or_else(|| odd(field))
}

pub(crate) fn list_mut<'a>(
    record: &'a mut Value,
    field: &str,
) -> Result<&'a mut Vec<Value>, Refusal> {
    let list = record.get_mut(field).and_then(Value::as_array_mut);
    list.ok_or_else(|| odd(field))
}

pub(crate) fn object_mut<'a>(
    record: &'a mut Value,
    field: &str,
) -> Result<&'a mut Map<String, Value>, Refusal> {
    let object = record.get_mut(field).and_then(Value::as_object_mut);
    object.ok_or_else(|| odd(field))
}

/// Returns the user's way of paying, or refuses.
pub(crate) fn method<'a>(user: &'a Value, id: &str) -> Result<&'a Value, Refusal> {
    user["payment_methods"]
        .get(id)
        .ok_or_else(|| Refusal::said("payment method not found"))
}

/// Adds to what a gift card or a certificate holds, in `field` of the method.
pub(crate) fn add_to_balance(
    user: &mut Value,
    method: &str,
    field: &str,
    amount: Amount,
    round: bool,
) -> Result<(), Refusal> {
    let method = object_mut(user, "payment_methods")?
        .get_mut(method)
        .ok_or_else(|| Refusal::said("payment method not found"))?;
    let sum = self::amount(method, field)?.plus(amount);
    method[field] = if round { sum.cents() } else { sum }.json();
    Ok(())
}

fn odd(field: &str) -> Refusal {
    Refusal::said(format!("the record has no `{field}`"))
}
