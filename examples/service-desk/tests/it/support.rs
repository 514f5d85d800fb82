//! A desk with the shop that is built in, and calls in one line.

use serde_json::{Map, Value};
use service_desk::{Desk, Rights};

/// Opens a small shop that is gone with the test.
pub(crate) fn shop() -> Desk {
    let mut desk = Desk::in_memory().unwrap();
    desk.seed().unwrap();
    desk
}

/// Reads `name {"argument": ...}`.
pub(crate) fn read(call: &str) -> (&str, Map<String, Value>) {
    let (name, arguments) = call.split_once(' ').unwrap_or((call, "{}"));
    (name, serde_json::from_str(arguments).unwrap())
}

/// Makes an agent's call.
pub(crate) fn call(desk: &mut Desk, call: &str) -> Result<String, String> {
    let (name, arguments) = read(call);
    desk.call(name, &arguments, false)
}

/// Makes an operator's call.
pub(crate) fn operator(desk: &mut Desk, call: &str) -> Result<Value, String> {
    let (name, arguments) = read(call);
    let said = desk.call(name, &arguments, true)?;
    Ok(serde_json::from_str(&said).unwrap())
}

/// Makes a call that may carry an idempotency key, and returns what it said and how many records
/// it changed.
pub(crate) fn keyed(desk: &mut Desk, call: &str) -> (Result<String, String>, usize) {
    let (name, arguments) = read(call);
    let rights = Rights {
        operator: false,
        keys: true,
    };
    let answer = desk.perform(name, &arguments, rights).unwrap();
    (answer.said, answer.changes.len())
}

/// Returns a record as it is now.
pub(crate) fn record(desk: &mut Desk, table: &str, id: &str) -> Value {
    desk.record(table, id).unwrap().body.unwrap_or(Value::Null)
}
