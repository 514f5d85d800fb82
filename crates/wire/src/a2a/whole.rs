//! An answer as one result, whether it came in one piece or event by event.
//!
//! Bytes that no event changed stay as they came. What an event says of a task replaces what was
//! said before, and artifacts that come in pieces are put together, as a client does.

use std::borrow::Cow;

use super::event::inner_of;
use crate::import::json::{Object, quoted, write_array, write_object};
use crate::jsonrpc::{Json, result_in};

/// An answer, as far as it has come.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The result as it came, as long as nothing was added to it.
    verbatim: Option<String>,
    /// Whether its member says what it is, as in v1.0.
    is_wrapped: bool,
    /// The members of the task but for those below, each as JSON.
    members: Vec<(String, String)>,
    status: Option<String>,
    artifacts: Vec<Pieces>,
    /// How much was taken in; none once that was too much.
    bytes: Option<usize>,
}

/// An artifact of which more may come.
#[derive(Clone, Debug, Default)]
struct Pieces {
    id: Option<String>,
    members: Vec<(String, String)>,
    parts: Vec<String>,
}

impl Default for Whole {
    fn default() -> Self {
        Self {
            verbatim: None,
            is_wrapped: false,
            members: Vec::new(),
            status: None,
            artifacts: Vec::new(),
            bytes: Some(0),
        }
    }
}

impl Whole {
    /// Takes in the body of an answer, or the data of the next event. What says nothing of a task and
    /// is no message changes nothing. Of more than `max` bytes in all nothing is kept.
    pub fn take(&mut self, data: &str, max: usize) {
        let bytes = self.bytes.map(|bytes| bytes + data.len());
        self.bytes = bytes.filter(|bytes| *bytes <= max);
        if self.bytes.is_none() {
            *self = Self {
                bytes: None,
                ..Self::default()
            };
            return;
        }
        let Some(result) = result_in(data) else {
            return;
        };
        let (kind, inner, is_wrapped) = inner_of(result);
        let object = inner.object();
        match &*kind {
            "task" | "message" => {
                let says = if kind == "task" { "status" } else { "parts" };
                if object.get(says).is_none() {
                    return;
                }
                *self = Self {
                    verbatim: Some(result.text().to_owned()),
                    is_wrapped,
                    bytes: self.bytes,
                    ..Self::default()
                };
                if kind == "task" {
                    self.task(&object);
                }
            }
            "status-update" => {
                self.begins(&object, is_wrapped);
                self.status = object.get("status").map(str::to_owned);
            }
            "artifact-update" => {
                self.begins(&object, is_wrapped);
                let append = object.get("append") == Some("true");
                if let Some(artifact) = object.get("artifact") {
                    self.artifact(&Json::validated(artifact).object(), append);
                }
            }
            _ => {}
        }
    }

    fn task(&mut self, object: &Object<'_>) {
        self.status = object.get("status").map(str::to_owned);
        let artifacts = object.get("artifacts").map(Json::validated);
        for artifact in artifacts.into_iter().flat_map(Json::elements) {
            self.artifact(&artifact.object(), false);
        }
        let others = object.pairs();
        let others = others.filter(|(key, _)| !matches!(*key, "status" | "artifacts"));
        let others = others.map(|(key, raw)| (key.to_owned(), raw.to_owned()));
        self.members = others.collect();
    }

    /// An update has come, of a task that may not have been told before.
    fn begins(&mut self, update: &Object<'_>, is_wrapped: bool) {
        self.verbatim = None;
        if !self.members.is_empty() {
            return;
        }
        self.is_wrapped = is_wrapped;
        if !is_wrapped {
            self.members.push(("kind".to_owned(), quoted("task")));
        }
        for (name, of) in [("id", "taskId"), ("contextId", "contextId")] {
            let raw = update.get(of).map(|raw| (name.to_owned(), raw.to_owned()));
            self.members.extend(raw);
        }
    }

    fn artifact(&mut self, artifact: &Object<'_>, append: bool) {
        let id = artifact.filled("artifactId").map(Cow::into_owned);
        let parts = artifact.get("parts").map(Json::validated);
        let parts = parts.into_iter().flat_map(Json::elements);
        let parts: Vec<String> = parts.map(|part| part.text().to_owned()).collect();
        let known = self.artifacts.iter_mut().find(|known| known.id == id);
        match known {
            Some(known) if append => known.parts.extend(parts),
            known => {
                let members = artifact.pairs().filter(|(key, _)| *key != "parts");
                let members = members.map(|(key, raw)| (key.to_owned(), raw.to_owned()));
                let pieces = Pieces {
                    members: members.collect(),
                    id,
                    parts,
                };
                match known {
                    Some(known) => *known = pieces,
                    None => self.artifacts.push(pieces),
                }
            }
        }
    }

    /// Returns the answer as one result of the version in which it came; none if there is none.
    #[must_use]
    pub fn result(&self) -> Option<String> {
        if let Some(verbatim) = &self.verbatim {
            return Some(verbatim.clone());
        }
        let status = self.status.as_ref()?;
        let mut task = self.members.clone();
        task.push(("status".to_owned(), status.clone()));
        if !self.artifacts.is_empty() {
            let artifacts: Vec<String> = self.artifacts.iter().map(Pieces::json).collect();
            task.push(("artifacts".to_owned(), write_array(&artifacts)));
        }
        let task = write_object(&task);
        Some(match self.is_wrapped {
            true => write_object(&[("task", &*task)]),
            false => task,
        })
    }
}

impl Pieces {
    fn json(&self) -> String {
        let mut members = self.members.clone();
        members.push(("parts".to_owned(), write_array(&self.parts)));
        write_object(&members)
    }
}
