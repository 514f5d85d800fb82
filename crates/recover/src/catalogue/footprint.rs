//! What a call touched: records, fields, and the arguments that make it what it is.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::template::{Lack, Scope};
use super::{Catalogue, KeyPlace, Ref};
use crate::changes::{changed, overlap};
use crate::facts::Call;
use crate::fields;
use crate::plan::RecordRef;

/// What a call touched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Footprint {
    /// Every record, in the order in which they can be read.
    pub touches: Vec<Touch>,
    /// The records before the call, by the name that the catalogue gives them: `null` where there
    /// was none, and an object by id where there may be several.
    pub before: Value,
    /// The arguments without the volatile ones: what makes the call the same call.
    pub arguments: Value,
    /// Where its idempotency key goes.
    pub key: Option<KeyPlace>,
    /// What templates asked for and nothing has.
    pub lacks: Vec<Lack>,
    /// Whether an image was asked for that the call does not have: the calls around it may.
    pub(crate) partial: bool,
}

/// A record that a call touched.
#[derive(Clone, Debug, PartialEq)]
pub struct Touch {
    /// The record.
    pub record: RecordRef,
    /// The name of its resource.
    pub kind: String,
    /// What it is called in `before`.
    pub alias: String,
    /// Its id.
    pub id: Value,
    /// The fields that the call depended on.
    pub reads: Vec<String>,
    /// The fields that it may have changed; none if it only read.
    pub writes: Vec<String>,
    /// Those of them that it made what its arguments say, whatever they were.
    pub sets: Vec<String>,
    /// Whether its id was known only once the call was made.
    pub made: bool,
    /// Whether there may be several of that name.
    pub several: bool,
    /// Other names that the same record has in the same call.
    pub also: Vec<String>,
    /// The fields in which the call's own images differ; none where it does not have both.
    pub(crate) changed: Option<Vec<String>>,
}

impl Footprint {
    /// Returns what it read.
    #[must_use]
    pub fn reads(&self) -> Vec<model::Resource> {
        self.named(|touch| !touch.reads.is_empty())
    }

    /// Returns what it wrote.
    #[must_use]
    pub fn writes(&self) -> Vec<model::Resource> {
        self.named(|touch| !touch.writes.is_empty())
    }

    fn named(&self, keep: impl Fn(&Touch) -> bool) -> Vec<model::Resource> {
        let kept = self.touches.iter().filter(|touch| keep(touch));
        kept.map(|touch| model::Resource {
            uri: touch.record.uri.clone(),
            version: None,
        })
        .collect()
    }
}

impl Catalogue {
    /// Returns what a call touched, as far as its arguments, its result and the images before it
    /// tell. Before the call, `result` is none, and a record that the call makes is missing.
    ///
    /// A tool that the catalogue does not name has an empty footprint.
    #[must_use]
    pub fn footprint(
        &self,
        server: &str,
        tool: &str,
        args: &Value,
        result: Option<&Value>,
        images: &BTreeMap<String, Option<Value>>,
    ) -> Footprint {
        let image = |uri: &str| images.get(uri).cloned();
        self.footprint_over(server, tool, args, result, &image, true)
    }

    /// Returns what a recorded call touched, for [`Facts`](crate::Facts). Images are copied only
    /// where something that the catalogue says of the tool speaks of them.
    #[must_use]
    pub fn footprint_of(&self, call: &Call) -> Footprint {
        let lacked = Cell::new(false);
        let image = |uri: &str| {
            let image = call.before.get(uri).cloned();
            lacked.set(lacked.get() || image.is_none());
            image
        };
        let mut found = self.footprint_within(call, &image);
        found.partial = lacked.get();
        for touch in &mut found.touches {
            let uri = &touch.record.uri;
            if let (Some(before), Some(after)) = (call.before.get(uri), call.after.get(uri)) {
                touch.changed = Some(changed(before.as_ref(), after.as_ref()));
            }
        }
        found
    }

    /// The same over a function that knows images also of the calls around it.
    pub(crate) fn footprint_within(
        &self,
        call: &Call,
        image: &dyn Fn(&str) -> Option<Option<Value>>,
    ) -> Footprint {
        let (args, result) = (&call.arguments, call.result.as_ref());
        self.footprint_over(&call.server, &call.tool, args, result, image, false)
    }

    /// A footprint over a function that knows images; what it does not know is not in `before`.
    /// Records may be large: unless they are wanted, `before` is filled only where the tool asks for
    /// it.
    fn footprint_over(
        &self,
        server: &str,
        tool: &str,
        args: &Value,
        result: Option<&Value>,
        image: &dyn Fn(&str) -> Option<Option<Value>>,
        wanted: bool,
    ) -> Footprint {
        let Some(tool) = self.tool(server, tool) else {
            return Footprint {
                arguments: args.clone(),
                before: Value::Object(Map::new()),
                ..Footprint::default()
            };
        };
        let mut found = Footprint {
            arguments: without(args, &tool.volatile),
            key: tool.key.clone(),
            before: Value::Object(Map::new()),
            ..Footprint::default()
        };
        let asked = wanted || tool.asks_before();
        for touch in &tool.touches {
            let ids = match self.ids(touch, args, result, &found.before) {
                Ok(ids) => ids,
                // Before the call nobody expects its result.
                Err(_) if result.is_none() && touch.creates_only() => continue,
                Err(lack) => {
                    found.lacks.push(lack);
                    continue;
                }
            };
            for id in ids {
                let record = match self.record(&touch.kind, &id) {
                    Ok(record) => record,
                    Err(lack) => {
                        found.lacks.push(lack);
                        continue;
                    }
                };
                if let Some(image) = asked.then(|| image(&record.uri)).flatten() {
                    note(&mut found.before, touch, &id, image);
                }
                let touched = touched(touch, record, id);
                let uri = &touched.record.uri;
                match found
                    .touches
                    .iter_mut()
                    .find(|same| same.record.uri == *uri)
                {
                    Some(same) => same.join(touched),
                    None => found.touches.push(touched),
                }
            }
        }
        found
    }

    /// Returns a record of a resource by its id.
    ///
    /// # Errors
    /// What a template of the resource asks for besides the id.
    pub fn record(&self, kind: &str, id: &Value) -> Result<RecordRef, Lack> {
        let resource = self.resource(kind);
        let scope = Scope {
            args: &Value::Null,
            result: None,
            before: &Value::Null,
            id: Some(id),
        };
        Ok(RecordRef {
            uri: resource.uri.texts(&scope)?.pop().unwrap_or_default(),
            read: resource.read.fill(&scope)?,
            version: resource.version.clone(),
            record: resource.record.clone(),
            absent: resource.absent.clone(),
        })
    }

    pub(super) fn ids(
        &self,
        touch: &Ref,
        args: &Value,
        result: Option<&Value>,
        before: &Value,
    ) -> Result<Vec<Value>, Lack> {
        let scope = Scope {
            args,
            result,
            before,
            id: None,
        };
        let mut ids: Vec<Value> = touch
            .id
            .texts(&scope)?
            .into_iter()
            .map(Value::String)
            .collect();
        ids.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
        ids.dedup();
        Ok(ids)
    }
}

/// Puts an image under its name into `before`.
pub(super) fn note(before: &mut Value, touch: &Ref, id: &Value, image: Option<Value>) {
    let Value::Object(before) = before else {
        return;
    };
    let image = image.unwrap_or(Value::Null);
    if touch.several {
        let several = before
            .entry(touch.alias.clone())
            .or_insert_with(|| Value::Object(Map::new()));
        if let (Value::Object(several), Some(id)) = (several, id.as_str()) {
            several.insert(id.to_owned(), image);
        }
    } else {
        before.insert(touch.alias.clone(), image);
    }
}

fn touched(touch: &Ref, record: RecordRef, id: Value) -> Touch {
    let written = !touch.writes.is_empty();
    let only_set = touch.writes.iter().all(|at| touch.sets.contains(at));
    let mut reads = touch.reads.clone();
    // Nobody said what a written record is read for, so all of it may matter.
    if written && reads.is_empty() && !only_set {
        reads.push(String::new());
    }
    Touch {
        record,
        kind: touch.kind.clone(),
        alias: touch.alias.clone(),
        id,
        reads,
        writes: touch.writes.clone(),
        sets: touch.sets.clone(),
        made: touch.creates_only(),
        several: touch.several,
        also: Vec::new(),
        changed: None,
    }
}

impl Touch {
    /// Takes what the same call does to the same record under another name.
    fn join(&mut self, mut other: Self) {
        // The name under which it is made says which id it gets.
        if other.made {
            std::mem::swap(self, &mut other);
        }
        self.also.push(other.alias);
        self.also.extend(other.also);
        // What depends on the record under one name is not set whatever it was under another.
        self.sets
            .retain(|at| !other.reads.iter().any(|read| overlap(at, read)));
        for (mine, theirs) in [
            (&mut self.reads, other.reads),
            (&mut self.writes, other.writes),
        ] {
            for field in theirs {
                if !mine.contains(&field) {
                    mine.push(field);
                }
            }
        }
    }
}

fn without(args: &Value, volatile: &[String]) -> Value {
    let mut args = Some(args.clone());
    for at in volatile {
        if fields::get(args.as_ref(), at).is_some() {
            fields::set(&mut args, at, None);
        }
    }
    args.unwrap_or(Value::Null)
}
