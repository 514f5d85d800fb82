//! Saved states: what of the newest is kept when an agent goes back to an earlier one.

use serde_json::{Map, Value};

/// Returns a state with the values of `newest` that are to be kept, each at a JSON Pointer
/// (RFC 6901), and which of them there were. Objects on the way to one are made where they are
/// missing; into a list a value goes only where the list has its place.
#[must_use]
pub fn with_kept(mut state: Value, newest: &Value, keep: &[String]) -> (Value, Vec<String>) {
    let mut kept = Vec::new();
    for pointer in keep {
        let Some(value) = newest.pointer(pointer) else {
            continue;
        };
        if put(&mut state, pointer, value.clone()) {
            kept.push(pointer.clone());
        }
    }
    (state, kept)
}

fn put(state: &mut Value, pointer: &str, value: Value) -> bool {
    let mut place = state;
    for key in pointer.split('/').skip(1) {
        let key = key.replace("~1", "/").replace("~0", "~");
        if place.is_null() {
            *place = Value::Object(Map::new());
        }
        place = match place {
            Value::Object(map) => map.entry(key).or_insert(Value::Null),
            Value::Array(list) => {
                let number = key.parse::<usize>().ok();
                match number.and_then(|number| list.get_mut(number)) {
                    Some(place) => place,
                    None => return false,
                }
            }
            _ => return false,
        };
    }
    *place = value;
    true
}
