//! What the planner asks of a catalogue: how records are put back, and what records and calls need.

use serde_json::Value;

use super::template::Scope;
use super::{CallPattern, Catalogue, Condition, Ref, Resource, Tool, Touch};
use crate::changes::within;
use crate::plan::ToolCall;

impl Catalogue {
    /// The call that puts fields of a record back, with `{fields}` and `{version}` to be filled in.
    pub(crate) fn restore_call(&self, touch: &Touch) -> Option<ToolCall> {
        let resource = self.resource(&touch.kind);
        filled(resource.restore.as_ref()?, &touch.id)
    }

    /// The call that removes a record.
    pub(crate) fn delete_call(&self, touch: &Touch) -> Option<ToolCall> {
        let resource = self.resource(&touch.kind);
        filled(resource.delete.as_ref()?, &touch.id)
    }

    /// The id that a record made by a call would have got, had the records before it been `before`.
    pub(crate) fn made_id(
        &self,
        server: &str,
        tool: &str,
        alias: &str,
        args: &Value,
        before: &Value,
    ) -> Option<String> {
        let touches = &self.tool(server, tool)?.touches;
        let touch = touches.iter().find(|touch| touch.alias == alias)?;
        let variables = [("args", args), ("before", before)];
        touch.creates.as_ref()?.text_of(&variables).ok()
    }
}

fn filled(pattern: &CallPattern, id: &Value) -> Option<ToolCall> {
    let scope = Scope {
        args: &Value::Null,
        result: None,
        before: &Value::Null,
        id: Some(id),
    };
    pattern.fill(&scope).ok()
}

impl Tool {
    /// Whether anything that is said of the tool speaks of the records before a call.
    pub(crate) fn asks_before(&self) -> bool {
        let of_before = |touch: &Ref| touch.id.holes().any(|hole| hole.root() == "before");
        self.needs.is_some()
            || self.probe.is_some()
            || self.undo.inverse.is_some()
            || self.undo.http.is_some()
            || self
                .touches
                .iter()
                .any(|t| t.creates.is_some() || of_before(t))
    }
}

impl Resource {
    /// The fields that are never put back.
    pub(crate) fn left_alone(&self, at: &str) -> bool {
        let version = self.version.as_ref().filter(|_| self.record.is_empty());
        let kept = self.keep.iter().chain(version);
        kept.clone().any(|keep| within(at, keep))
    }

    pub(crate) fn holds(&self, record: &Value) -> Result<(), String> {
        let Some(condition) = &self.holds else {
            return Ok(());
        };
        match condition.holds(&[("record", record)]) {
            Ok(false) => Err(condition.text().to_owned()),
            // What cannot be computed rules nothing out.
            Ok(true) | Err(_) => Ok(()),
        }
    }
}

impl Condition {
    /// Tells whether a call with these records before it would be refused; the condition that says
    /// so. What cannot be computed refuses nothing.
    pub(crate) fn refuses(&self, args: &Value, before: &Value) -> Option<String> {
        let holds = self.holds(&[("args", args), ("before", before)]);
        (holds == Ok(false)).then(|| self.text().to_owned())
    }

    /// Returns the text that the expression gives.
    pub(crate) fn text_of(&self, variables: &[(&str, &Value)]) -> Result<String, String> {
        match self.run(variables)? {
            cel::Value::String(text) => Ok(text.to_string()),
            other => Err(format!("`{}` gives {other:?}, not a text", self.text())),
        }
    }
}
