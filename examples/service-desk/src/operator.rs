//! What the desk offers to operators and not to agents: to read any record with its version, to
//! put fields of it back, and to delete it, each only if nobody changed the record meanwhile.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use crate::arguments::Arguments;
use crate::error::Refusal;
use crate::tables::Tables;

type Said = Result<String, Refusal>;

/// The tables of all desks. The name of a table is given by the caller, so it is looked up.
const TABLES: [&str; 7] = [
    crate::retail::ORDERS,
    crate::retail::USERS,
    crate::retail::PRODUCTS,
    crate::airline::RESERVATIONS,
    crate::airline::FLIGHTS,
    crate::front::PICKUPS,
    crate::front::MESSAGES,
];

pub(crate) fn read_record(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (table, id) = (table(args)?, args.text("id")?);
    let stored = tables.stored(table, id)?;
    Ok(shown(table, id, stored.version, stored.body.as_ref()))
}

pub(crate) fn restore_record(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (table, id) = (table(args)?, args.text("id")?);
    let stored = tables.stored(table, id)?;
    unchanged(args, stored.version)?;
    let mut body = stored.body.clone().unwrap_or_else(|| json!({}));
    for (field, value) in args.object("fields")? {
        restore(&mut body, field, value)?;
    }
    // A restore that changes nothing leaves the version as it is.
    let version = stored.version + u64::from(stored.body.as_ref() != Some(&body));
    let said = shown(table, id, version, Some(&body));
    tables.put(table, id, body);
    Ok(said)
}

pub(crate) fn delete_record(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (table, id) = (table(args)?, args.text("id")?);
    let stored = tables.stored(table, id)?;
    unchanged(args, stored.version)?;
    if stored.body.is_none() {
        return Err(Refusal::said(format!("{table}/{id} does not exist")));
    }
    tables.delete(table, id);
    Ok(shown(table, id, stored.version + 1, None))
}

fn table(args: Arguments<'_>) -> Result<&'static str, Refusal> {
    let name = args.text("table")?;
    let known = TABLES.into_iter().find(|table| *table == name);
    known.ok_or_else(|| {
        Refusal::said(format!(
            "no table `{name}`; there are {}",
            TABLES.join(", ")
        ))
    })
}

fn unchanged(args: Arguments<'_>, version: u64) -> Result<(), Refusal> {
    let seen = args.count("version")?;
    if seen == version {
        return Ok(());
    }
    Err(Refusal::said(format!(
        "version conflict: the record is at version {version}, not {seen}; read it again"
    )))
}

fn shown(table: &str, id: &str, version: u64, body: Option<&Value>) -> String {
    json!({"table": table, "id": id, "version": version, "body": body}).to_string()
}

/// Sets one field, named or pointed to; `null` takes it away, and the empty name is the record.
fn restore(body: &mut Value, field: &str, value: &Value) -> Result<(), Refusal> {
    if field.is_empty() {
        if !value.is_object() {
            return Err(Refusal::said("a record is an object"));
        }
        *body = value.clone();
        return Ok(());
    }
    let nowhere = || Refusal::said(format!("field `{field}` has no place in the record"));
    let (parent, name) = match field.strip_prefix('/') {
        Some(_) => field.rsplit_once('/').ok_or_else(nowhere)?,
        None => ("", field),
    };
    let name = if field.starts_with('/') {
        name.replace("~1", "/").replace("~0", "~")
    } else {
        name.to_owned()
    };
    match body.pointer_mut(parent).ok_or_else(nowhere)? {
        Value::Object(fields) => set(fields, name, value),
        Value::Array(items) => {
            let at: usize = name.parse().map_err(|_| nowhere())?;
            match at.cmp(&items.len()) {
                Ordering::Less => items[at] = value.clone(),
                Ordering::Equal => items.push(value.clone()),
                Ordering::Greater => return Err(nowhere()),
            }
        }
        _ => return Err(nowhere()),
    }
    Ok(())
}

fn set(fields: &mut Map<String, Value>, name: String, value: &Value) {
    if value.is_null() {
        fields.remove(&name);
    } else {
        fields.insert(name, value.clone());
    }
}
