//! Fields of records by name: a JSON Pointer (RFC 6901); the empty one is the whole record.

use serde_json::{Map, Value};

/// Returns the field of a record; none where it is not there.
pub(crate) fn get<'a>(record: Option<&'a Value>, at: &str) -> Option<&'a Value> {
    let mut here = record?;
    // Nearly no name is escaped, and `pointer` makes two texts of each before it looks it up.
    if at.is_empty() || at.contains('~') {
        return here.pointer(at);
    }
    for name in at.strip_prefix('/')?.split('/') {
        here = match here {
            Value::Object(members) => members.get(name)?,
            other => other.pointer(&format!("/{name}"))?,
        };
    }
    Some(here)
}

/// Gives a field of a record another value; none takes it away.
pub(crate) fn set(record: &mut Option<Value>, at: &str, value: Option<Value>) {
    let Some((parent, last)) = at.rsplit_once('/') else {
        *record = value;
        return;
    };
    let last = unescape(last);
    let mut place = record.get_or_insert_with(|| Value::Object(Map::new()));
    for name in parent.split('/').skip(1) {
        if place.is_array() {
            let Some(inner) = name.parse().ok().and_then(|i: usize| place.get_mut(i)) else {
                return;
            };
            place = inner;
            continue;
        }
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(members) = place else {
            return;
        };
        place = members
            .entry(unescape(name))
            .or_insert_with(|| Value::Object(Map::new()));
    }
    match (place, value) {
        (Value::Array(list), Some(value)) => {
            if let Some(slot) = last.parse().ok().and_then(|i: usize| list.get_mut(i)) {
                *slot = value;
            }
        }
        (Value::Object(members), Some(value)) => {
            members.insert(last, value);
        }
        (Value::Object(members), None) => {
            members.remove(&last);
        }
        _ => {}
    }
}

fn unescape(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}
