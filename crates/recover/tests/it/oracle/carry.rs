//! Carrying a plan out on a desk, step by step; and the other ways that it is compared with.

use recover::catalogue::{Inverse, Made};
use recover::plan::{Act, Fields, Plan, RecordRef, ToolCall};
use serde_json::{Map, Value, json};

use super::play::{Open, Played};

/// Carries out every step of a plan in its order, and returns what was refused.
pub(crate) fn carry_out(desk: &mut Open, plan: &Plan) -> Vec<String> {
    let mut refused = Vec::new();
    for step in &plan.steps {
        let done = match &step.act {
            Act::PutBack(put) => restore(
                desk,
                &put.resource,
                &put.restore,
                &put.fields,
                &put.expected,
            ),
            Act::Delete {
                resource,
                call,
                expected,
            } => restore(desk, resource, call, &Fields::new(), expected),
            Act::Inverse { call, .. } => desk.call(&call.tool, &call.arguments).map(drop),
            Act::Again { call, before } => before
                .iter()
                .try_for_each(|(record, fields)| unchanged(&read(desk, record), record, fields))
                .and_then(|()| desk.call(&call.tool, &call.arguments).map(drop)),
            Act::Blocked { why } => Err(why.clone()),
            Act::Hold { .. } | Act::Repair { .. } | Act::Resume { .. } => Ok(()),
            other => Err(format!("{other:?} is none of a desk's")),
        };
        refused.extend(done.err().map(|error| format!("step {}: {error}", step.n)));
    }
    refused
}

fn read(desk: &mut Open, record: &RecordRef) -> Value {
    let answer = desk
        .call(&record.read.tool, &record.read.arguments)
        .unwrap();
    serde_json::from_str(&answer).unwrap()
}

fn unchanged(answer: &Value, record: &RecordRef, expected: &Fields) -> Result<(), String> {
    let now = record.image(Ok(answer))?.record;
    for (at, value) in expected {
        let is = now.as_ref().and_then(|now| now.pointer(at));
        if is != value.as_ref() {
            return Err(format!(
                "`{at}` of `{}` is {is:?}, not {value:?}",
                record.uri
            ));
        }
    }
    Ok(())
}

fn restore(
    desk: &mut Open,
    record: &RecordRef,
    call: &ToolCall,
    fields: &Fields,
    expected: &Fields,
) -> Result<(), String> {
    let answer = read(desk, record);
    unchanged(&answer, record, expected)?;
    let version = record.image(Ok(&answer))?.version.unwrap();
    let mut arguments = call.arguments.clone();
    for value in arguments.as_object_mut().unwrap().values_mut() {
        if value == "{version}" {
            *value = version.clone();
        } else if value == "{fields}" {
            *value = json!(fields);
        }
    }
    desk.call(&call.tool, &arguments).map(drop)
}

/// Gives every record the state from before the first dropped call.
pub(crate) fn to_checkpoint(desk: &mut Open, played: &Played, drop: &[usize]) {
    let first = *drop.iter().min().unwrap();
    let mut done = std::collections::BTreeSet::new();
    for call in &played.calls[first..] {
        for uri in call.after.keys() {
            if done.insert(uri.clone()) {
                put(desk, uri, call.before.get(uri).cloned().flatten());
            }
        }
    }
}

fn put(desk: &mut Open, uri: &str, body: Option<Value>) {
    let (table, id) = uri.split_once('/').unwrap();
    let stored = desk
        .call("read_record", &json!({"table": table, "id": id}))
        .unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let mut arguments = json!({"table": table, "id": id, "version": stored["version"]});
    let Some(body) = body else {
        // A reservation that was made and is not there any more is as it is to be.
        let _ = desk.call("delete_record", &arguments);
        return;
    };
    arguments["fields"] = Value::from(Map::from_iter([(String::new(), body)]));
    desk.call("restore_record", &arguments).unwrap();
}

/// Calls the inverses that the API has, in reverse order, and takes what they leave.
pub(crate) fn saga(desk: &mut Open, played: &Played, drop: &[usize]) {
    let mut drop = drop.to_vec();
    drop.sort_unstable();
    for number in drop.into_iter().rev() {
        let call = &played.calls[number];
        let catalogue = &played.catalogue;
        let (server, tool) = (call.server.as_str(), call.tool.as_str());
        let (args, result) = (&call.arguments, call.result.as_ref());
        let before = catalogue
            .footprint(server, tool, args, result, &call.before)
            .before;
        let made = Made {
            args,
            result,
            before: &before,
        };
        if let Inverse::Exact(call) | Inverse::Residue(call, _) =
            catalogue.inverse(server, tool, &made)
        {
            // Refused is refused: a saga has nothing else.
            let _ = desk.call(&call.tool, &call.arguments);
        }
    }
}
