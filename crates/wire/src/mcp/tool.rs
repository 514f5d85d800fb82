//! What a tool says of itself.

use std::borrow::Cow;

use model::{ClassSource, EffectClass};

use crate::import::json::Object;
use crate::jsonrpc::Json;

/// A tool as its server describes it. All of it is a claim of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool<'a> {
    /// The whole description as it came. A digest over its canonical form tells when a tool
    /// changed under its name.
    pub raw: Json<'a>,
    /// The name by which it is called.
    pub name: Cow<'a, str>,
    /// A name for people.
    pub title: Option<Cow<'a, str>>,
    /// What it does, for the model.
    pub description: Option<Cow<'a, str>>,
    /// The schema of its arguments, as it came.
    pub input_schema: Option<Json<'a>>,
    /// What it hints about its effects.
    pub annotations: Annotations,
    /// How its effect is compensated.
    pub compensation: Option<Compensation<'a>>,
}

/// Hints about effects; what is absent was not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// It changes nothing.
    pub read_only: Option<bool>,
    /// It may destroy something; said of nothing, it is to be assumed.
    pub destructive: Option<bool>,
    /// Calling it twice with the same arguments is the same as once.
    pub idempotent: Option<bool>,
    /// It reaches beyond a closed domain.
    pub open_world: Option<bool>,
}

/// The tool of the same server that compensates another.
///
/// Two conventions are read. SEP-3172 puts `recovery` among the annotations, with the operation
/// and where its parameters come from. Before it, `x-compensation-pair` named the tool only: among
/// the annotations, in `_meta`, in the schema of the arguments or beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compensation<'a> {
    /// Name of the tool. Whether the server has it is for the caller to see.
    pub tool: Cow<'a, str>,
    /// Its parameters as runtime expressions over the call's result (SEP-3172), as they came.
    pub parameters: Option<Json<'a>>,
}

/// Reads the result of a `tools/list`. What has no name is passed over: it cannot be called.
#[must_use]
pub fn read_tools(result: Json<'_>) -> Vec<Tool<'_>> {
    let tools = result.object().get("tools").map(Json::validated);
    let tools = tools.into_iter().flat_map(Json::elements);
    tools.filter_map(Tool::read).collect()
}

/// Returns with what the rest of a list is asked for; none where there is no more.
#[must_use]
pub fn next_page(result: Json<'_>) -> Option<String> {
    let cursor = result.object().filled("nextCursor")?;
    Some(cursor.into_owned())
}

impl<'a> Tool<'a> {
    /// Reads one description; none if it has no name.
    #[must_use]
    pub fn read(raw: Json<'a>) -> Option<Self> {
        let object = raw.object();
        let inner = |key| object.get(key).map(Json::validated);
        let annotations = inner("annotations").map(Json::object).unwrap_or_default();
        let hint = |key| match annotations.get(key) {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        let title = object.filled("title");
        Some(Self {
            raw,
            name: object.filled("name")?,
            title: title.or_else(|| annotations.filled("title")),
            description: object.filled("description"),
            input_schema: inner("inputSchema"),
            annotations: Annotations {
                read_only: hint("readOnlyHint"),
                destructive: hint("destructiveHint"),
                idempotent: hint("idempotentHint"),
                open_world: hint("openWorldHint"),
            },
            compensation: Compensation::read(&object, &annotations),
        })
    }

    /// Returns the class of its effect by what it says of itself.
    #[must_use]
    pub fn effect_class(&self) -> EffectClass {
        self.said()
            .map_or(EffectClass::Unreviewed, |(class, _)| class)
    }

    /// Returns what it says of how its effect can be taken back, and by what it says so.
    ///
    /// Compensation comes before annotations: who names a tool that undoes this one admits that
    /// there is something to undo, whatever the hints say. Then `readOnlyHint`; then
    /// `idempotentHint`, unless the tool says outright that it destroys. Anything else says
    /// nothing, and nothing is unreviewed.
    #[must_use]
    pub fn said(&self) -> Option<(EffectClass, ClassSource)> {
        let hints = &self.annotations;
        if self.compensation.is_some() {
            Some((EffectClass::Compensable, ClassSource::Metadata))
        } else if hints.read_only == Some(true) {
            Some((EffectClass::Read, ClassSource::Annotations))
        } else if hints.idempotent == Some(true) && hints.destructive != Some(true) {
            Some((EffectClass::Idempotent, ClassSource::Annotations))
        } else {
            None
        }
    }
}

/// Parameters that are read of one compensation.
const PARAMETERS_MAX: usize = 64;

impl<'a> Compensation<'a> {
    /// Returns its parameters by name, each an expression; none where the tool does not say with
    /// what it is called, or says more than anybody means.
    #[must_use]
    pub fn bindings(&self) -> Option<Vec<(String, String)>> {
        let object = self.parameters?.object();
        let binding = |(name, raw): (&str, &'a str)| {
            let text = Json::validated(raw).string();
            let text = text.map_or_else(|| raw.to_owned(), Cow::into_owned);
            (name.to_owned(), text)
        };
        let bindings: Vec<_> = object.pairs().map(binding).collect();
        (bindings.len() <= PARAMETERS_MAX).then_some(bindings)
    }

    fn read(tool: &Object<'a>, annotations: &Object<'a>) -> Option<Self> {
        let inner = |key| {
            let raw = tool.get(key).map(Json::validated);
            raw.map(Json::object).unwrap_or_default()
        };
        let (meta, schema) = (inner("_meta"), inner("inputSchema"));
        let recovery = annotations
            .get("recovery")
            .or_else(|| prefixed(&meta, "recovery"));
        let pair = || {
            let said = annotations
                .get("x-compensation-pair")
                .or_else(|| prefixed(&meta, "x-compensation-pair"))
                .or_else(|| tool.get("x-compensation-pair"))
                .or_else(|| schema.get("x-compensation-pair"));
            let tool = Json::validated(said?).string()?;
            (!tool.is_empty()).then_some(Self {
                tool,
                parameters: None,
            })
        };
        recovery.and_then(Self::recovery).or_else(pair)
    }

    /// The one strategy that SEP-3172 defines; of others nothing is known.
    fn recovery(raw: &'a str) -> Option<Self> {
        let recovery = Json::validated(raw).object();
        if recovery.text("strategy")? != "compensation" {
            return None;
        }
        let operation = Json::validated(recovery.get("compensatingOperation")?).object();
        Some(Self {
            tool: operation.filled("operationId")?,
            parameters: operation.get("parameters").map(Json::validated),
        })
    }
}

/// A value of `_meta`, whose keys may have a prefix.
fn prefixed<'a>(meta: &Object<'a>, name: &str) -> Option<&'a str> {
    let plain = meta.get(name);
    plain.or_else(|| {
        let own = |key: &str| key.rsplit_once('/').is_some_and(|(_, last)| last == name);
        let mut pairs = meta.pairs();
        let found = pairs.find(|(key, raw)| own(key) && *raw != "null");
        found.map(|(_, raw)| raw)
    })
}
