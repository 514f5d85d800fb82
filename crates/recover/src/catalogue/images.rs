//! Images: records as they are just before and just after a call.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value};

use super::footprint::note;
use super::{Catalogue, Ref};
use crate::plan::RecordRef;

/// Records by URI; none says that the record was not there.
pub type Images = BTreeMap<String, Option<Value>>;

/// A record as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The record; none if it is not there.
    pub record: Option<Value>,
    /// Its version, where it has one.
    pub version: Option<Value>,
}

/// The reads to be made before a call, one after the other: a later one may need what an earlier
/// one gave.
#[derive(Debug)]
pub struct Reads<'a> {
    catalogue: &'a Catalogue,
    args: &'a Value,
    touches: std::slice::Iter<'a, Ref>,
    waiting: VecDeque<(&'a Ref, Value, RecordRef)>,
    asked: Option<(&'a Ref, Value, RecordRef)>,
    before: Value,
    images: Images,
}

impl Catalogue {
    /// Begins the images before a call. A tool that writes nothing needs none.
    #[must_use]
    pub fn images<'a>(&'a self, server: &str, tool: &str, args: &'a Value) -> Reads<'a> {
        let tool = self.tool(server, tool);
        let writes = tool.is_some_and(|t| t.touches.iter().any(|touch| !touch.writes.is_empty()));
        let touches = tool
            .filter(|_| writes)
            .map_or(&[][..], |tool| &tool.touches);
        Reads {
            catalogue: self,
            args,
            touches: touches.iter(),
            waiting: VecDeque::new(),
            asked: None,
            before: Value::Object(Map::new()),
            images: Images::new(),
        }
    }
}

impl Reads<'_> {
    /// Returns the next record to be read; none if all were. What was asked for and not given is
    /// passed over, with everything that needs it.
    pub fn ask(&mut self) -> Option<&RecordRef> {
        self.asked = None;
        while self.waiting.is_empty() {
            let touch = self.touches.next()?;
            // An id that is not there yet is that of a record which the call makes.
            let ids = self.catalogue.ids(touch, self.args, None, &self.before);
            for id in ids.unwrap_or_default() {
                let record = self.catalogue.record(&touch.kind, &id);
                if let Ok(record) = record
                    && !self.images.contains_key(&record.uri)
                {
                    self.waiting.push_back((touch, id, record));
                }
            }
        }
        self.asked = self.waiting.pop_front();
        self.asked.as_ref().map(|(_, _, record)| record)
    }

    /// Takes what was read for the record that was asked for last.
    pub fn give(&mut self, record: Option<Value>) {
        if let Some((touch, id, asked)) = self.asked.take() {
            note(&mut self.before, touch, &id, record.clone());
            self.images.insert(asked.uri, record);
        }
    }

    /// Returns the images.
    #[must_use]
    pub fn finish(self) -> Images {
        self.images
    }
}

impl RecordRef {
    /// Reads an image out of what the read tool answered: its result, or what its error says.
    ///
    /// # Errors
    /// That it cannot be told whether the record is there.
    pub fn image(&self, answer: Result<&Value, &str>) -> Result<Image, String> {
        match answer {
            Ok(result) => {
                let record = result.pointer(&self.record);
                let record = record.filter(|record| !record.is_null());
                let version = self.version.as_ref().and_then(|at| result.pointer(at));
                Ok(Image {
                    record: record.cloned(),
                    version: version.cloned(),
                })
            }
            Err(error)
                if self
                    .absent
                    .as_ref()
                    .is_some_and(|a| error.contains(a.as_str())) =>
            {
                Ok(Image {
                    record: None,
                    version: None,
                })
            }
            Err(error) => Err(format!("could not read `{}`: {error}", self.uri)),
        }
    }
}
