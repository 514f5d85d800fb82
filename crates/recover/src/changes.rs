//! What changed between two images of a record, and what else such a change would have made.
//!
//! Objects are compared member by member. A list is one field: what stands in it has no name that
//! would stay the same when something is put before it.

use serde_json::{Number, Value};

use crate::fields::{get, set};
use crate::plan::Fields;

/// Returns the fields that differ, with what each is in `to`.
pub(crate) fn changes(from: Option<&Value>, to: Option<&Value>) -> Fields {
    let mut found = Fields::new();
    compare(from, to, &mut String::new(), &mut |at, to| {
        found.insert(at.to_owned(), to.cloned());
    });
    found
}

/// Returns the fields that differ, in the order of their names.
pub(crate) fn changed(from: Option<&Value>, to: Option<&Value>) -> Vec<String> {
    let mut found = Vec::new();
    compare(from, to, &mut String::new(), &mut |at, _| {
        found.push(at.to_owned());
    });
    found.sort_unstable();
    found
}

/// Tells each field that differs, with what it is in `to`.
fn compare(
    from: Option<&Value>,
    to: Option<&Value>,
    at: &mut String,
    tell: &mut impl FnMut(&str, Option<&Value>),
) {
    match (from, to) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let mut inner = |name: &str, was: Option<&Value>, is: Option<&Value>| {
                let length = at.len();
                at.push('/');
                at.push_str(&escape(name));
                compare(was, is, at, tell);
                at.truncate(length);
            };
            let mut kept = 0;
            for (name, is) in new {
                let was = old.get(name);
                kept += usize::from(was.is_some());
                // Most members of a record are as they were, and need no name.
                if was != Some(is) {
                    inner(name, was, Some(is));
                }
            }
            // Few lose one.
            if kept < old.len() {
                let gone = old.iter().filter(|(name, _)| !new.contains_key(*name));
                gone.for_each(|(name, was)| inner(name, Some(was), None));
            }
        }
        _ if from == to => {}
        _ => tell(at, to),
    }
}

/// Whether a field is another, or lies in it.
pub(crate) fn within(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether two fields have something in common.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    within(one, other) || within(other, one)
}

/// Gives a record the change that a write made to another state of it, in the fields that differ
/// there: numbers by their difference, lists by what was appended, anything else as it became.
///
/// This is what the write would probably have done, and is used to foresee, never to restore.
pub(crate) fn carry_over(
    record: &mut Option<Value>,
    changed: &[String],
    before: Option<&Value>,
    after: Option<&Value>,
) {
    for at in changed {
        let (old, new) = (get(before, at), get(after, at));
        let here = get(record.as_ref(), at);
        let carried = match (old, new, here) {
            (Some(Value::Number(old)), Some(Value::Number(new)), Some(Value::Number(here))) => {
                number(old, new, here)
            }
            (Some(Value::Array(old)), Some(Value::Array(new)), Some(Value::Array(here)))
                if new.starts_with(old) =>
            {
                let appended = new[old.len()..].iter();
                Some(here.iter().chain(appended).cloned().collect())
            }
            _ => None,
        };
        set(record, at, carried.or_else(|| new.cloned()));
    }
}

fn number(old: &Number, new: &Number, here: &Number) -> Option<Value> {
    if let (Some(old), Some(new), Some(here)) = (old.as_i64(), new.as_i64(), here.as_i64()) {
        return Some(here.checked_add(new.checked_sub(old)?)?.into());
    }
    let moved = here.as_f64()? + (new.as_f64()? - old.as_f64()?);
    // Amounts have cents: what binary fractions add behind them is nobody's.
    Number::from_f64((moved * 1e6).round() / 1e6).map(Value::Number)
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
