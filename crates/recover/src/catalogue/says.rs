//! What a catalogue says of a tool, for people.

use super::{Catalogue, Tool};

/// A way back that the catalogue has for a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UndoWay {
    /// Its records are put back.
    Restore,
    /// A tool is called that is its inverse.
    Tool(String),
    /// Something is called over HTTP, with this method.
    Http(String),
}

impl Catalogue {
    /// Returns the ways back that it has for a tool, the cheapest first.
    #[must_use]
    pub fn ways(&self, server: &str, tool: &str) -> Vec<UndoWay> {
        let Some(tool) = self.tool(server, tool) else {
            return Vec::new();
        };
        let restore = self.restores(tool).then_some(UndoWay::Restore);
        let undo = &tool.undo;
        let inverse = undo.inverse.as_ref();
        let inverse = inverse.map(|inverse| UndoWay::Tool(inverse.call.tool.clone()));
        let http = undo.http.as_ref();
        let http = http.map(|http| UndoWay::Http(http.method.clone()));
        [restore, inverse, http].into_iter().flatten().collect()
    }

    /// Whether it says that nobody takes a call of the tool back, whatever the server says.
    #[must_use]
    pub fn rules_out(&self, server: &str, tool: &str) -> bool {
        self.tool(server, tool).is_some_and(Tool::ruled_out)
    }

    /// Returns the tool that tells whether a call of a tool happened.
    #[must_use]
    pub fn prober(&self, server: &str, tool: &str) -> Option<&str> {
        let probe = self.tool(server, tool)?.probe.as_ref()?;
        Some(&probe.call.tool)
    }
}

impl Tool {
    const fn ruled_out(&self) -> bool {
        matches!(self.undo.restore, Some(false))
            && self.undo.inverse.is_none()
            && self.undo.http.is_none()
    }
}
