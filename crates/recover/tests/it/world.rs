//! A small world of files, rows and accounts behind tools, in memory: what the tests act on.

use std::collections::BTreeMap;

use model::{DecisionId, EffectClass, FailureClass, Outcome};
use recover::plan::{Act, Fields, Plan, RecordRef, ToolCall};
use recover::{Call, Catalogue, Images};
use serde_json::{Map, Value, json};

/// Records by URI.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct World(pub(crate) BTreeMap<String, Value>);

pub(crate) fn catalogue() -> Catalogue {
    Catalogue::parse(include_str!("world.toml")).unwrap()
}

pub(crate) fn id(number: usize) -> DecisionId {
    DecisionId::new(number as u64, [0; 10])
}

impl World {
    /// Calls a tool as an agent or an operator would.
    pub(crate) fn call(&mut self, tool: &str, args: &Value) -> Result<Value, String> {
        let name = |of: &str| args[of].as_str().unwrap_or_default().to_owned();
        let none = |uri: &str| format!("no such record: {uri}");
        match tool {
            "read" => Ok(self.0.get(&name("uri")).cloned().unwrap_or(Value::Null)),
            "restore" => {
                let record = self.0.remove(&name("uri"));
                let fields = args["fields"].as_object().unwrap();
                let record = restored(record, fields);
                self.0.insert(name("uri"), record);
                Ok(Value::Null)
            }
            "delete" => {
                let gone = self.0.remove(&name("uri"));
                gone.map(|_| Value::Null).ok_or_else(|| none(&name("uri")))
            }
            "write_file" => {
                let file = json!({"text": args["text"]});
                self.0
                    .insert(format!("files/{}", name("path")), file.clone());
                Ok(file)
            }
            "append_file" => self.change(&format!("files/{}", name("path")), |file| {
                let text = format!("{}{}", file["text"].as_str().unwrap(), name("text"));
                file["text"] = text.into();
                Ok(())
            }),
            "read_file" => {
                let uri = format!("files/{}", name("path"));
                self.0.get(&uri).cloned().ok_or_else(|| none(&uri))
            }
            "insert_row" => {
                let uri = format!("rows/{}", name("id"));
                if self.0.contains_key(&uri) {
                    return Err(format!("{uri} is there already"));
                }
                let row = json!({"id": args["id"], "a": args["a"], "b": "", "learned": 0});
                self.0.insert(uri, row.clone());
                Ok(row)
            }
            "delete_row" => {
                let uri = format!("rows/{}", name("id"));
                self.0.remove(&uri).ok_or_else(|| none(&uri))
            }
            "set_b" => self.change(&format!("rows/{}", name("id")), |row| {
                row["b"] = args["b"].clone();
                Ok(())
            }),
            "learn" => self.change(&format!("rows/{}", name("id")), |row| {
                row["learned"] = args["b"].clone();
                row["b"] = args["b"].clone();
                Ok(())
            }),
            "add_a" => self.change(&format!("rows/{}", name("id")), |row| {
                row["a"] = (row["a"].as_i64().unwrap() + args["n"].as_i64().unwrap()).into();
                Ok(())
            }),
            "copy" => {
                let from = format!("rows/{}", name("from"));
                let a = self.0.get(&from).ok_or_else(|| none(&from))?["a"].clone();
                self.change(&format!("rows/{}", name("to")), |row| {
                    row["b"] = a.to_string().into();
                    Ok(())
                })
            }
            "pay" => self.change(&format!("accounts/{}", name("account")), |account| {
                let left = account["balance"].as_i64().unwrap() - args["amount"].as_i64().unwrap();
                if left < 0 {
                    return Err("not enough".to_owned());
                }
                account["balance"] = left.into();
                Ok(())
            }),
            "send" => {
                let uri = format!("rows/{}", name("id"));
                let b = self.0.get(&uri).ok_or_else(|| none(&uri))?["b"].clone();
                self.0
                    .insert(format!("letters/{}", name("letter")), json!({"text": b}));
                Ok(Value::Null)
            }
            other => Err(format!("no tool `{other}`")),
        }
    }

    fn change(
        &mut self,
        uri: &str,
        change: impl FnOnce(&mut Value) -> Result<(), String>,
    ) -> Result<Value, String> {
        let record = self
            .0
            .get_mut(uri)
            .ok_or(format!("no such record: {uri}"))?;
        let mut changed = record.clone();
        change(&mut changed)?;
        *record = changed.clone();
        Ok(changed)
    }

    /// Makes a call as the gateway would: with images before and after it.
    pub(crate) fn perform(
        &mut self,
        catalogue: &Catalogue,
        decision: DecisionId,
        tool: &str,
        arguments: Value,
    ) -> Call {
        let mut reads = catalogue.images("world", tool, &arguments);
        while let Some(record) = reads.ask() {
            let image = self.0.get(&record.uri).cloned();
            reads.give(image);
        }
        let before = reads.finish();
        let answer = self.call(tool, &arguments);
        let result = answer.as_ref().ok();
        let print = catalogue.footprint("world", tool, &arguments, result, &before);
        let after = |r: model::Resource| (r.uri.clone(), self.0.get(&r.uri).cloned());
        let after: Images = print.writes().into_iter().map(after).collect();
        let failed = Outcome::Failed {
            class: FailureClass::Error,
        };
        Call {
            decision,
            server: "world".to_owned(),
            tool: tool.to_owned(),
            result: answer.clone().ok(),
            outcome: answer.map_or(failed, |_| Outcome::Succeeded),
            class: EffectClass::Unreviewed,
            claim: None,
            arguments,
            before,
            after,
            undone: false,
        }
    }

    /// Every record that calls touched, as it is now.
    pub(crate) fn now(&self, calls: &[Call]) -> Images {
        let touched = calls
            .iter()
            .flat_map(|call| call.before.keys().chain(call.after.keys()));
        touched
            .map(|uri| (uri.clone(), self.0.get(uri).cloned()))
            .collect()
    }

    /// Carries the steps of a plan out. Of those that may run next, `pick` chooses one.
    pub(crate) fn carry_out(
        &mut self,
        plan: &Plan,
        mut pick: impl FnMut(usize) -> usize,
    ) -> Vec<String> {
        let mut refused = Vec::new();
        let mut waits: BTreeMap<u32, usize> = BTreeMap::new();
        let mut frees: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut ready = Vec::new();
        for step in &plan.steps {
            waits.insert(step.n, step.after.len());
            for earlier in &step.after {
                assert!(*earlier < step.n, "step {} waits for {earlier}", step.n);
                frees.entry(*earlier).or_default().push(step.n);
            }
            if step.after.is_empty() {
                ready.push(step.n);
            }
        }
        while !ready.is_empty() {
            let n = ready.swap_remove(pick(ready.len()));
            if let Err(error) = self.step(&plan.steps[n as usize - 1].act) {
                refused.push(format!("step {n}: {error}"));
            }
            for later in frees.remove(&n).unwrap_or_default() {
                let left = waits.get_mut(&later).unwrap();
                *left -= 1;
                if *left == 0 {
                    ready.push(later);
                }
            }
        }
        refused
    }

    fn step(&mut self, act: &Act) -> Result<(), String> {
        match act {
            Act::PutBack(put) => {
                self.expect(&put.resource, &put.expected)?;
                self.do_call(&put.restore, Some(&put.fields))
            }
            Act::Delete {
                resource,
                call,
                expected,
            } => {
                self.expect(resource, expected)?;
                self.do_call(call, None)
            }
            Act::Again { call, before } => {
                before
                    .iter()
                    .try_for_each(|(record, fields)| self.expect(record, fields))?;
                self.do_call(call, None)
            }
            Act::Blocked { why } => Err(why.clone()),
            Act::Inverse { call, .. } | Act::Probe { call, .. } => self.do_call(call, None),
            Act::Hold { .. }
            | Act::Http(_)
            | Act::Restore { .. }
            | Act::Repair { .. }
            | Act::Notify { .. }
            | Act::Resume { .. } => Ok(()),
        }
    }

    fn do_call(&mut self, call: &ToolCall, fields: Option<&Fields>) -> Result<(), String> {
        let mut args = call.arguments.clone();
        if let (Some(fields), Some(place)) = (fields, args.get_mut("fields")) {
            *place = json!(fields);
        }
        self.call(&call.tool, &args).map(drop)
    }

    fn expect(&self, record: &RecordRef, expected: &Fields) -> Result<(), String> {
        let now = self.0.get(&record.uri);
        for (at, value) in expected {
            let is = now.and_then(|now| now.pointer(at));
            if is != value.as_ref() {
                return Err(format!("{at} of {} is {is:?}, not {value:?}", record.uri));
            }
        }
        Ok(())
    }
}

fn restored(record: Option<Value>, fields: &Map<String, Value>) -> Value {
    let mut record = record.unwrap_or_else(|| json!({}));
    for (at, value) in fields {
        match at.strip_prefix('/') {
            None => record = value.clone(),
            Some(name) if value.is_null() => {
                record.as_object_mut().unwrap().remove(name);
            }
            Some(name) => record[name] = value.clone(),
        }
    }
    record
}
