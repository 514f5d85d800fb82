//! What a tool sees of the records while it runs: the database, and over it what it has changed
//! so far. Nothing is written before the tool has said yes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::database::{Record, Work};
use crate::error::{DeskError, Refusal};

/// What a call did to one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The table.
    pub table: String,
    /// The record's id.
    pub id: String,
    /// The record before, or `None` if it was not there.
    pub before: Option<Value>,
    /// The record after, or `None` if it is gone.
    pub after: Option<Value>,
}

/// The records, with the changes of one call.
#[derive(Debug)]
pub(crate) struct Tables<'a> {
    work: &'a Work<'a>,
    changed: BTreeMap<(&'static str, String), Option<Value>>,
}

impl<'a> Tables<'a> {
    pub(crate) fn new(work: &'a Work<'a>) -> Self {
        Self {
            work,
            changed: BTreeMap::new(),
        }
    }

    /// Returns a record as it lies in the database, whatever this call changed.
    pub(crate) fn stored(&self, table: &str, id: &str) -> Result<Record, DeskError> {
        self.work.record(table, id)
    }

    /// Returns a record if it exists.
    pub(crate) fn find(&self, table: &'static str, id: &str) -> Result<Option<Value>, DeskError> {
        match self.changed.get(&(table, id.to_owned())) {
            Some(changed) => Ok(changed.clone()),
            None => Ok(self.work.record(table, id)?.body),
        }
    }

    /// Returns a record, or refuses with what is said where it is missing.
    pub(crate) fn get(&self, table: &'static str, id: &str, or: &str) -> Result<Value, Refusal> {
        self.find(table, id)?.ok_or_else(|| Refusal::said(or))
    }

    /// Returns a whole table, less what this call changed.
    pub(crate) fn all(&self, table: &str) -> Result<Vec<(String, Value)>, DeskError> {
        self.work.table(table)
    }

    pub(crate) fn put(&mut self, table: &'static str, id: &str, body: Value) {
        self.changed.insert((table, id.to_owned()), Some(body));
    }

    pub(crate) fn delete(&mut self, table: &'static str, id: &str) {
        self.changed.insert((table, id.to_owned()), None);
    }

    /// Writes the changes, and returns those that made a difference.
    pub(crate) fn write(self) -> Result<Vec<Change>, DeskError> {
        let mut changes = Vec::with_capacity(self.changed.len());
        for ((table, id), after) in self.changed {
            let before = self.work.record(table, &id)?.body;
            if before == after {
                continue;
            }
            let text = after.as_ref().map(Value::to_string);
            self.work.put(table, &id, text.as_deref())?;
            changes.push(Change {
                table: table.to_owned(),
                id,
                before,
                after,
            });
        }
        Ok(changes)
    }
}
