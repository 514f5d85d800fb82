//! The catalogue of tools (`tools.toml`): what calls do to records, and how it is taken back.
//!
//! Written by whoever runs the tools. A *resource* is a kind of record, with the tools that read,
//! restore and delete one; a *tool* says which records a call reads and writes, which fields of
//! them it depends on, and its undo. Everything that is said is checked when it is read, and all
//! mistakes are told at once, each with its place. What is not said is assumed in the direction
//! that is safe: a write with no fields depends on the whole record and may change all of it.
//!
//! Facts only: nothing here calls a tool. [`Catalogue::images`] says what to read before a call,
//! [`Catalogue::footprint`] what the call touched, and [`Catalogue::inverse`] whether the tool that
//! is its inverse would take it back exactly.

mod condition;
mod footprint;
mod images;
mod near;
mod parse;
mod read;
mod says;
mod server;
mod template;
mod undo;

use std::collections::{BTreeMap, BTreeSet};

use model::{ClassSource, EffectClass};
use serde_json::Value;

pub use footprint::{Footprint, Touch};
pub use images::{Image, Images, Reads};
pub use read::Problem;
pub use says::UndoWay;
pub use server::Listed;
pub use template::Lack;

pub(crate) use condition::Condition;
use read::Place;
use template::{Pattern, Scope, Template};

use crate::plan::{HttpCall, Rule, ToolCall};

/// What is known about tools.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    resources: BTreeMap<String, Resource>,
    /// By server, then by name.
    tools: BTreeMap<String, BTreeMap<String, Tool>>,
}

/// Where the idempotency key goes in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// Into the arguments, at this JSON Pointer.
    Argument(String),
    /// Into `_meta` of the request, under this name.
    Meta(String),
}

/// What the inverse of a call would do.
#[derive(Clone, Debug, PartialEq)]
pub enum Inverse {
    /// It takes the call back without residue.
    Exact(ToolCall),
    /// It takes the call back and leaves something over.
    Residue(ToolCall, String),
    /// It would be refused.
    Refused(String),
    /// It cannot be called, because something that it needs is not there.
    Lacks(Lack),
    /// There is none.
    None,
}

/// A kind of record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resource {
    pub(crate) server: String,
    pub(crate) uri: Template,
    pub(crate) read: CallPattern,
    /// Where in what the read gives the record stands.
    pub(crate) record: String,
    /// What an error of the read says if the record is not there.
    pub(crate) absent: Option<String>,
    pub(crate) restore: Option<CallPattern>,
    pub(crate) delete: Option<CallPattern>,
    pub(crate) version: Option<String>,
    pub(crate) conflict: Rule,
    pub(crate) keep: Vec<String>,
    /// What is true of every record.
    pub(crate) holds: Option<Condition>,
}

/// A call to be made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallPattern {
    pub(crate) server: String,
    pub(crate) tool: String,
    pub(crate) args: Pattern,
    pub(crate) place: Place,
}

/// A tool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tool {
    pub(crate) class: Option<EffectClass>,
    /// Every record that a call touches, in the order in which they can be read.
    pub(crate) touches: Vec<Ref>,
    /// Names of the records whose fields stand in the result; none if nobody said.
    pub(crate) shows: Option<Vec<String>>,
    /// What a call needs to be carried out at all.
    pub(crate) needs: Option<Condition>,
    pub(crate) volatile: Vec<String>,
    pub(crate) key: Option<KeyPlace>,
    pub(crate) undo: Undo,
    pub(crate) probe: Option<Probe>,
    pub(crate) tell: Vec<String>,
    pub(crate) place: Place,
}

/// A record that a tool touches.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ref {
    /// The name of the resource.
    pub(crate) kind: String,
    /// What it is called in `before`.
    pub(crate) alias: String,
    pub(crate) id: Template,
    /// Whether there may be several, so that `before` holds them by id.
    pub(crate) several: bool,
    /// The fields that a call depends on; none if it is not read. The empty pointer is all of it.
    pub(crate) reads: Vec<String>,
    /// The fields that a call may change; none if it is not written.
    pub(crate) writes: Vec<String>,
    /// The fields that a call makes what its arguments say, whatever they were.
    pub(crate) sets: Vec<String>,
    /// The id that a record made by the call gets.
    pub(crate) creates: Option<Condition>,
    pub(crate) place: Place,
}

/// How a call is taken back.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Undo {
    /// By putting records back; nobody said means wherever they can be.
    pub(crate) restore: Option<bool>,
    pub(crate) inverse: Option<InverseTool>,
    pub(crate) http: Option<HttpPattern>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InverseTool {
    pub(crate) call: CallPattern,
    pub(crate) exact_if: Option<Condition>,
    pub(crate) refused_if: Option<Condition>,
    pub(crate) residue: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpPattern {
    pub(crate) method: String,
    pub(crate) url: Template,
    pub(crate) body: Option<Pattern>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Probe {
    pub(crate) call: CallPattern,
    pub(crate) happened: Condition,
}

/// A call and what is known about it, for whoever fills templates and asks conditions.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// Its arguments.
    pub args: &'a Value,
    /// What came back, read as JSON where it is JSON; none where it is not known.
    pub result: Option<&'a Value>,
    /// The records before it, by the name that the catalogue gives them.
    pub before: &'a Value,
}

impl<'a> Made<'a> {
    const fn scope(&self) -> Scope<'a> {
        Scope {
            args: self.args,
            result: self.result,
            before: self.before,
            id: None,
        }
    }

    fn variables(&self) -> [(&'static str, &'a Value); 3] {
        [
            ("args", self.args),
            ("result", self.result.unwrap_or(&Value::Null)),
            ("before", self.before),
        ]
    }
}

/// Tells whether a condition of a plan holds: over what was answered, and the arguments and records
/// that it speaks of.
///
/// # Errors
/// Why it cannot be read or computed.
pub fn holds(
    condition: &str,
    result: &Value,
    args: &Value,
    before: &Value,
) -> Result<bool, String> {
    let compiled = Condition::compile(condition, &["args", "result", "before"], None);
    let compiled = compiled.map_err(|wrong| {
        let wrong: Vec<String> = wrong.into_iter().map(|(what, _)| what).collect();
        wrong.join("; ")
    })?;
    compiled.holds(&[("args", args), ("result", result), ("before", before)])
}

impl Catalogue {
    /// Reads a catalogue.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        parse::parse(text)
    }

    /// Returns the class of a tool's effect, and who said so: the catalogue, else the server as
    /// `said` has it.
    #[must_use]
    pub fn class(
        &self,
        server: &str,
        tool: &str,
        said: Option<(EffectClass, ClassSource)>,
    ) -> (EffectClass, ClassSource) {
        let own = self.tool(server, tool).and_then(|tool| tool.class);
        own.map(|class| (class, ClassSource::Catalogue))
            .or(said)
            .unwrap_or((EffectClass::Unreviewed, ClassSource::Nobody))
    }

    /// Returns whether the catalogue says anything about a tool.
    #[must_use]
    pub fn knows(&self, server: &str, tool: &str) -> bool {
        self.tool(server, tool).is_some()
    }

    /// Returns whether a tool touches records.
    #[must_use]
    pub fn touches(&self, server: &str, tool: &str) -> bool {
        let tool = self.tool(server, tool);
        tool.is_some_and(|tool| !tool.touches.is_empty())
    }

    /// Returns every tool that the catalogue says something about, as (server, tool).
    pub fn tools(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tools
            .iter()
            .flat_map(|(server, tools)| tools.keys().map(move |t| (server.as_str(), t.as_str())))
    }

    /// Returns whether it has a kind of record of this name.
    #[must_use]
    pub fn names(&self, resource: &str) -> bool {
        self.resources.contains_key(resource)
    }

    /// Returns every server that it says something about, once.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        let of_resources = self.resources.values().map(|resource| &resource.server);
        let servers: BTreeSet<&String> = self.tools.keys().chain(of_resources).collect();
        servers.into_iter().map(String::as_str)
    }

    /// Returns where the idempotency key of a call goes, if the tool takes one.
    #[must_use]
    pub fn key(&self, server: &str, tool: &str) -> Option<&KeyPlace> {
        self.tool(server, tool)?.key.as_ref()
    }

    /// Returns who must be told if a call of the tool stands.
    #[must_use]
    pub fn tell(&self, server: &str, tool: &str) -> &[String] {
        self.tool(server, tool).map_or(&[], |tool| &tool.tell)
    }

    /// Returns the call that tells whether an effect happened, with the condition over its answer.
    ///
    /// # Errors
    /// What the call needs and is not there.
    pub fn probe(
        &self,
        server: &str,
        tool: &str,
        made: &Made<'_>,
    ) -> Result<Option<(ToolCall, String)>, Lack> {
        let Some(probe) = self.tool(server, tool).and_then(|t| t.probe.as_ref()) else {
            return Ok(None);
        };
        let call = probe.call.fill(&made.scope())?;
        Ok(Some((call, probe.happened.text().to_owned())))
    }

    /// Tells whether a probed effect happened: `result` is what the probe gave.
    ///
    /// # Errors
    /// Why the condition could not be computed.
    pub fn happened(
        &self,
        server: &str,
        tool: &str,
        made: &Made<'_>,
        result: &Value,
    ) -> Result<bool, String> {
        let probe = self.tool(server, tool).and_then(|t| t.probe.as_ref());
        let probe = probe.ok_or("the tool has no probe")?;
        let variables = [
            ("args", made.args),
            ("result", result),
            ("before", made.before),
        ];
        probe.happened.holds(&variables)
    }

    /// Says what the tool that is the inverse of a call would do now, right after it.
    #[must_use]
    pub fn inverse(&self, server: &str, tool: &str, made: &Made<'_>) -> Inverse {
        let undo = self.tool(server, tool).map(|tool| &tool.undo);
        let Some(inverse) = undo.and_then(|undo| undo.inverse.as_ref()) else {
            return Inverse::None;
        };
        let call = match inverse.call.fill(&made.scope()) {
            Ok(call) => call,
            Err(lack) => return Inverse::Lacks(lack),
        };
        let variables = made.variables();
        // A condition that cannot be computed shows nothing: it neither makes an inverse exact nor
        // rules it out.
        let holds = |condition: &Option<Condition>| {
            let condition = condition.as_ref();
            condition.is_some_and(|condition| condition.holds(&variables).unwrap_or(false))
        };
        if holds(&inverse.refused_if) {
            let text = inverse.refused_if.as_ref().map_or("", Condition::text);
            return Inverse::Refused(format!("`{}` refuses where `{text}`", call.tool));
        }
        if holds(&inverse.exact_if) {
            return Inverse::Exact(call);
        }
        let residue = inverse.residue.clone();
        let residue = residue.unwrap_or_else(|| format!("what `{}` leaves over", call.tool));
        Inverse::Residue(call, residue)
    }

    /// Returns the HTTP call that takes a call back, if there is one.
    ///
    /// # Errors
    /// What it needs and is not there.
    pub fn http(
        &self,
        server: &str,
        tool: &str,
        made: &Made<'_>,
    ) -> Result<Option<HttpCall>, Lack> {
        let undo = self.tool(server, tool).map(|tool| &tool.undo);
        let Some(http) = undo.and_then(|undo| undo.http.as_ref()) else {
            return Ok(None);
        };
        let scope = made.scope();
        let url = http.url.texts(&scope)?.pop().unwrap_or_default();
        let body = http
            .body
            .as_ref()
            .map(|body| body.fill(&scope))
            .transpose()?;
        Ok(Some(HttpCall {
            method: http.method.clone(),
            url,
            body,
        }))
    }

    pub(crate) fn tool(&self, server: &str, tool: &str) -> Option<&Tool> {
        self.tools.get(server)?.get(tool)
    }

    pub(crate) fn resource(&self, kind: &str) -> &Resource {
        // Every name was looked up when the catalogue was read.
        &self.resources[kind]
    }

    /// Whether what a tool does can be taken back by putting its records back.
    pub(crate) fn restores(&self, tool: &Tool) -> bool {
        let mut written = tool
            .touches
            .iter()
            .filter(|t| !t.writes.is_empty())
            .peekable();
        let all = written.peek().is_some() && written.all(|touch| self.puts_back(touch));
        tool.undo.restore != Some(false) && all
    }

    /// Whether there is a tool that puts a record back as it was.
    pub(crate) fn puts_back(&self, touch: &Ref) -> bool {
        let resource = self.resource(&touch.kind);
        resource.restore.is_some() || touch.creates_only() && resource.delete.is_some()
    }
}

impl Ref {
    /// Whether the id is known only once the call was made.
    pub(crate) fn creates_only(&self) -> bool {
        self.id.holes().any(|hole| hole.root() == "result")
    }
}

impl CallPattern {
    pub(crate) fn fill(&self, scope: &Scope<'_>) -> Result<ToolCall, Lack> {
        Ok(ToolCall {
            server: self.server.clone(),
            tool: self.tool.clone(),
            arguments: self.args.fill(scope)?,
        })
    }
}
