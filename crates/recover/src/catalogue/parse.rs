//! From text to catalogue: every option, and what each may refer to.

use std::collections::BTreeMap;

use model::EffectClass;
use toml::de::{DeTable, DeValue};

use super::condition::Condition;
use super::read::{Entry, Place, Problem, Reader, Section};
use super::template::{Hole, Pattern};
use super::{
    CallPattern, Catalogue, HttpPattern, InverseTool, KeyPlace, Probe, Ref, Resource, Tool, Undo,
    near,
};
use crate::plan::Rule;

const TOP: [&str; 3] = ["server", "resources", "tools"];
const RESOURCE: [&str; 11] = [
    "server", "uri", "read", "record", "absent", "restore", "delete", "version", "conflict",
    "keep", "holds",
];
const TOOL: [&str; 12] = [
    "server", "name", "class", "reads", "writes", "shows", "needs", "volatile", "key", "undo",
    "probe", "tell",
];
const CALL: [&str; 3] = ["server", "tool", "args"];
const UNDO: [&str; 8] = [
    "restore",
    "server",
    "tool",
    "args",
    "exact_if",
    "refused_if",
    "residue",
    "http",
];
const PROBE: [&str; 4] = ["server", "tool", "args", "happened"];
const HTTP: [&str; 3] = ["method", "url", "body"];
const METHODS: [&str; 4] = ["DELETE", "PATCH", "POST", "PUT"];
/// What stands in a reference to a record beside its kind.
const BESIDE: [&str; 4] = ["as", "fields", "sets", "creates"];
const CLASSES: [(&str, EffectClass); 7] = [
    ("read", EffectClass::Read),
    ("idempotent", EffectClass::Idempotent),
    ("bufferable", EffectClass::Bufferable),
    ("reversible", EffectClass::Reversible),
    ("compensable", EffectClass::Compensable),
    ("irreversible", EffectClass::Irreversible),
    ("unreviewed", EffectClass::Unreviewed),
];
const RULES: [(&str, Rule); 3] = [
    ("restore-field", Rule::RestoreField),
    ("keep-newer", Rule::KeepNewer),
    ("ask", Rule::Ask),
];

pub(super) fn parse(text: &str) -> Result<Catalogue, Vec<Problem>> {
    let mut reader = Reader::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    // What a parser makes of a file after the first mistake is a guess.
    if let Some(error) = errors.iter().min_by_key(|error| start(error)) {
        let place = reader.place("", start(error)..start(error));
        let what = format!("this is not TOML: {}", error.message().replace('\n', ", "));
        reader.wrong(
            &place,
            what,
            "what comes after this is read once it is right",
        );
        return Err(reader.problems);
    }
    let root = reader.root(table.get_ref(), &TOP);
    let server = reader.text(&root, "server").map(|(_, name)| name);
    let mut parser = Parser {
        reader,
        server,
        kinds: Vec::new(),
    };
    let resources = parser.resources(&root);
    let tools = parser.tools(&root);
    let mut problems = parser.reader.problems;
    let catalogue = Catalogue { resources, tools };
    if problems.is_empty() {
        problems = in_vain(&catalogue);
    }
    if problems.is_empty() {
        Ok(catalogue)
    } else {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Err(problems)
    }
}

/// What is said of tools and cannot be kept, whatever a call comes to.
fn in_vain(catalogue: &Catalogue) -> Vec<Problem> {
    let tools = catalogue.tools.values().flat_map(BTreeMap::values);
    let problem = |tool: &Tool| {
        let (undo, at) = (&tool.undo, &tool.place.at);
        let has_way = undo.inverse.is_some() || undo.http.is_some();
        if tool.class == Some(EffectClass::Read) && (has_way || undo.restore == Some(true)) {
            let what = format!("`{at}` is said to read only, and how it is taken back");
            let hint = "give it another `class`, or leave `undo` out";
            return Some(tool.place.problem(what, hint));
        }
        if undo.restore != Some(true) || catalogue.restores(tool) {
            return None;
        }
        let mut written = tool.touches.iter().filter(|touch| !touch.writes.is_empty());
        Some(match written.find(|touch| !catalogue.puts_back(touch)) {
            Some(Ref { kind, .. }) => tool.place.problem(
                format!("`{at}` is to be taken back by putting `{kind}` back, which no tool does"),
                "say `restore = { tool = \"…\", args = { … } }` of the resource, or name an inverse",
            ),
            None => tool.place.problem(
                format!("`{at}` is to be taken back by putting records back, and names none"),
                "name what it writes in `writes`",
            ),
        })
    };
    tools.filter_map(problem).collect()
}

struct Parser<'t> {
    reader: Reader<'t>,
    /// The server of everything that names none.
    server: Option<String>,
    /// Names of the resources.
    kinds: Vec<String>,
}

impl Parser<'_> {
    fn resources(&mut self, root: &Section<'_>) -> BTreeMap<String, Resource> {
        let mut resources = BTreeMap::new();
        let Some(entry) = root.get(&self.reader, "resources") else {
            return resources;
        };
        let Some(section) = self.reader.section(entry, &[]) else {
            return resources;
        };
        let entries = section.entries(&self.reader);
        // Also of those that are wrong in themselves, so that nothing is told twice.
        self.kinds = entries.iter().map(|(name, _)| name.clone()).collect();
        for (name, entry) in entries {
            if BESIDE.contains(&name.as_str()) {
                let what = format!("a resource cannot be called `{name}`");
                self.reader.wrong(&entry.0, what, "use another name");
            }
            if let Some(resource) = self.resource(entry) {
                resources.insert(name, resource);
            }
        }
        resources
    }

    fn resource(&mut self, entry: Entry<'_>) -> Option<Resource> {
        let section = self.reader.section(entry, &RESOURCE)?;
        let server = self.server_of(&section);
        let uri = self.reader.text(&section, "uri");
        let uri = uri.and_then(|(place, text)| self.reader.template(&place, &text, &["id"]));
        let read = self.call(&section, "read", &server, &["id"]);
        for (name, missing) in [("uri", uri.is_none()), ("read", read.is_none())] {
            if missing && section.get(&self.reader, name).is_none() {
                self.missing(&section, name);
            }
        }
        let filled = ["id", "version", "fields", "key"];
        let restore = self.call(&section, "restore", &server, &filled);
        let delete = self.call(&section, "delete", &server, &filled);
        let conflict = self.reader.text(&section, "conflict");
        let conflict = conflict.and_then(|(place, word)| self.word(&place, &word, &RULES));
        Some(Resource {
            record: self.reader.pointer(&section, "record").unwrap_or_default(),
            absent: self.reader.text(&section, "absent").map(|(_, text)| text),
            version: self.reader.pointer(&section, "version"),
            keep: self.reader.pointers(&section, "keep").unwrap_or_default(),
            holds: self.condition(&section, "holds", &["record"], &[]),
            conflict: conflict.unwrap_or(Rule::Ask),
            server,
            uri: uri?,
            read: read?,
            restore,
            delete,
        })
    }

    fn tools(&mut self, root: &Section<'_>) -> BTreeMap<String, BTreeMap<String, Tool>> {
        let mut tools: BTreeMap<String, BTreeMap<String, Tool>> = BTreeMap::new();
        let Some(entry) = root.get(&self.reader, "tools") else {
            return tools;
        };
        let Some(section) = self.reader.section(entry, &[]) else {
            return tools;
        };
        for (name, entry) in section.entries(&self.reader) {
            let place = entry.0.clone();
            let Some(section) = self.reader.section(entry, &TOOL) else {
                continue;
            };
            let server = self.server_of(&section);
            let named = self.reader.text(&section, "name").map(|(_, name)| name);
            let tool = self.tool(&section, &server);
            let of_server = tools.entry(server).or_default();
            let name = named.unwrap_or(name);
            if of_server.contains_key(&name) {
                let what = format!("`{name}` of this server is here twice");
                self.reader.wrong(&place, what, "keep one of them");
            }
            of_server.insert(name, tool);
        }
        tools
    }

    fn tool(&mut self, section: &Section<'_>, server: &str) -> Tool {
        let class = self.reader.text(section, "class");
        let class = class.and_then(|(place, word)| self.word(&place, &word, &CLASSES));
        let touches = self.touches(section);
        let aliases: Vec<&str> = touches.iter().map(|touch| touch.alias.as_str()).collect();
        let shows = self.reader.texts(section, "shows").map(|shows| {
            for (place, alias) in &shows {
                if !aliases.contains(&alias.as_str()) {
                    let what = format!("the tool names no record `{alias}`");
                    let hint = near::hint(alias, aliases.iter().copied());
                    self.reader.wrong(place, what, hint);
                }
            }
            shows.into_iter().map(|(_, alias)| alias).collect()
        });
        let tell = self.reader.texts(section, "tell").unwrap_or_default();
        Tool {
            class,
            shows,
            needs: self.condition(section, "needs", &["args", "before"], &aliases),
            volatile: self
                .reader
                .pointers(section, "volatile")
                .unwrap_or_default(),
            key: self.key(section),
            undo: self.undo(section, server, &aliases),
            probe: self.probe(section, server, &aliases),
            tell: tell.into_iter().map(|(_, who)| who).collect(),
            touches,
            place: section.place.clone(),
        }
    }

    /// Reads the records that a tool touches, and puts them in the order in which they can be read:
    /// an id that stands in another record comes after that record.
    fn touches(&mut self, section: &Section<'_>) -> Vec<Ref> {
        let mut touches: Vec<Ref> = Vec::new();
        for (name, written) in [("reads", false), ("writes", true)] {
            for entry in self.reader.list(section, name).unwrap_or_default() {
                let Some(touch) = self.touch(entry, written) else {
                    continue;
                };
                let Some(same) = touches.iter_mut().find(|t| t.alias == touch.alias) else {
                    touches.push(touch);
                    continue;
                };
                if same.kind != touch.kind || same.id != touch.id {
                    let what = format!("two records are called `{}`", touch.alias);
                    let hint = "give one of them another name with `as`";
                    self.reader.wrong(&touch.place, what, hint);
                    continue;
                }
                // What is read and written with the same id is one record. What is read was said
                // first, and holds for what is written too.
                same.writes.extend(touch.writes);
                same.sets.extend(touch.sets);
                same.creates = same.creates.take().or(touch.creates);
            }
        }
        self.in_order(touches)
    }

    fn in_order(&mut self, mut waiting: Vec<Ref>) -> Vec<Ref> {
        let names: Vec<String> = waiting.iter().map(|touch| touch.alias.clone()).collect();
        let mut ordered: Vec<Ref> = Vec::new();
        while !waiting.is_empty() {
            let known: Vec<String> = ordered.iter().map(|touch| touch.alias.clone()).collect();
            let needs = |touch: &Ref| {
                let of_before = touch.id.holes().filter(|hole| hole.root() == "before");
                of_before
                    .map(|hole| hole.member().unwrap_or_default().to_owned())
                    .collect::<Vec<_>>()
            };
            let at = waiting
                .iter()
                .position(|t| needs(t).iter().all(|n| known.contains(n)));
            let Some(at) = at else {
                for touch in &waiting {
                    let needs = needs(touch);
                    let (what, hint) = match needs.iter().find(|need| !names.contains(need)) {
                        Some(need) => (
                            format!("`before.{need}` cannot exist: the tool names no such record"),
                            near::hint(need, names.iter().map(String::as_str)),
                        ),
                        None => (
                            format!(
                                "the id of `{}` is in a record that is read after it",
                                touch.alias
                            ),
                            "build one of the ids from the arguments".to_owned(),
                        ),
                    };
                    self.reader.wrong(&touch.place, what, hint);
                }
                break;
            };
            ordered.push(waiting.remove(at));
        }
        ordered
    }

    fn touch(&mut self, entry: Entry<'_>, written: bool) -> Option<Ref> {
        let section = self.reader.section(entry, &[])?;
        let mut kind = None;
        for (name, entry) in section.entries(&self.reader) {
            if BESIDE.contains(&name.as_str()) {
                continue;
            }
            if kind.is_some() {
                let what = format!("`{name}` is a second name of a resource");
                self.reader
                    .wrong(&entry.0, what, "one record stands in one pair of braces");
            } else if self.kinds.contains(&name) {
                kind = Some((name, entry));
            } else {
                let what = format!("there is no resource `{name}`");
                let kinds: Vec<&str> = self.kinds.iter().map(String::as_str).collect();
                let hint = match near::nearest(&name, kinds.iter().copied().chain(BESIDE)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "declare `[resources.{name}]`, or use {}",
                        near::listed(kinds)
                    ),
                };
                self.reader.wrong(&entry.0, what, hint);
                return None;
            }
        }
        let Some((kind, (place, value))) = kind else {
            let what = "this names no resource";
            let hint = "write `{ order = \"{args.order_id}\" }`";
            self.reader.wrong(&section.place, what, hint);
            return None;
        };
        let roots: &[&str] = if written {
            &["args", "result", "before"]
        } else {
            &["args", "before"]
        };
        let DeValue::String(text) = value.get_ref() else {
            let what = format!("the id of `{kind}` must be a text");
            self.reader
                .wrong(&place, what, "write it as `\"{args.order_id}\"`");
            return None;
        };
        let id = self.reader.template(&place, text, roots)?;
        let fields = self.reader.pointers(&section, "fields");
        let sets = self.reader.pointers(&section, "sets").unwrap_or_default();
        if !written && !sets.is_empty() {
            let what = "a record that is only read has nothing set";
            self.reader
                .wrong(&section.place, what, "move it to `writes`");
        }
        let alias = self.reader.text(&section, "as").map(|(_, alias)| alias);
        let fields = fields.unwrap_or_else(|| {
            let all = sets.is_empty().then(String::new);
            all.into_iter().collect()
        });
        let (reads, writes) = if written {
            let writes = fields.into_iter().chain(sets.iter().cloned()).collect();
            (Vec::new(), writes)
        } else {
            (fields, Vec::new())
        };
        Some(Ref {
            several: text.contains("[*]"),
            alias: alias.unwrap_or_else(|| kind.clone()),
            creates: self.condition(&section, "creates", &["args", "before"], &[]),
            place: section.place.clone(),
            kind,
            id,
            reads,
            writes,
            sets,
        })
    }

    fn key(&mut self, section: &Section<'_>) -> Option<KeyPlace> {
        let entry = section.get(&self.reader, "key")?;
        if let DeValue::Table(_) = entry.1.get_ref() {
            let inner = self.reader.section(entry, &["meta"])?;
            let (_, name) = self.reader.text(&inner, "meta")?;
            return Some(KeyPlace::Meta(name));
        }
        self.reader.pointer(section, "key").map(KeyPlace::Argument)
    }

    fn undo(&mut self, section: &Section<'_>, server: &str, aliases: &[&str]) -> Undo {
        let Some(entry) = section.get(&self.reader, "undo") else {
            return Undo::default();
        };
        if let DeValue::String(word) = entry.1.get_ref() {
            if word != "none" {
                let what = format!("`{}` cannot be `{word}`", entry.0.at);
                let hint =
                    "use `\"none\"`, `{ restore = true }` or `{ tool = \"…\", args = { … } }`";
                self.reader.wrong(&entry.0, what, hint);
            }
            return Undo {
                restore: Some(false),
                ..Undo::default()
            };
        }
        let Some(undo) = self.reader.section(entry, &UNDO) else {
            return Undo::default();
        };
        let roots = ["args", "result", "before", "key"];
        let has = |name| undo.get(&self.reader, name).is_some();
        let inverse = if has("tool") {
            let call = self.called(&undo, server, &roots, aliases);
            let variables = ["args", "result", "before"];
            call.map(|call| InverseTool {
                call,
                exact_if: self.condition(&undo, "exact_if", &variables, aliases),
                refused_if: self.condition(&undo, "refused_if", &variables, aliases),
                residue: self.reader.text(&undo, "residue").map(|(_, text)| text),
            })
        } else {
            for name in ["args", "exact_if", "refused_if", "residue"] {
                if let Some((place, _)) = undo.get(&self.reader, name) {
                    let what =
                        format!("`{name}` says something about a tool, and `tool` is missing");
                    self.reader
                        .wrong(&place, what, "name the tool that is the inverse");
                }
            }
            None
        };
        Undo {
            restore: self.reader.switch(&undo, "restore"),
            http: self.http(&undo, aliases),
            inverse,
        }
    }

    fn http(&mut self, undo: &Section<'_>, aliases: &[&str]) -> Option<HttpPattern> {
        let entry = undo.get(&self.reader, "http")?;
        let section = self.reader.section(entry, &HTTP)?;
        let roots = ["args", "result", "before", "key"];
        let method = match self.reader.text(&section, "method") {
            None => "POST".to_owned(),
            Some((place, word)) => {
                let method = word.to_uppercase();
                if !METHODS.contains(&method.as_str()) {
                    let what = format!("`{word}` is not a method that changes anything");
                    self.reader
                        .wrong(&place, what, near::hint(&method, METHODS));
                }
                method
            }
        };
        let Some((place, url)) = self.reader.text(&section, "url") else {
            self.missing(&section, "url");
            return None;
        };
        let url = self.reader.template(&place, &url, &roots)?;
        self.members(&place, url.holes(), aliases);
        let body = section.get(&self.reader, "body");
        let body = body.and_then(|entry| self.reader.pattern(entry, &roots));
        Some(HttpPattern { method, url, body })
    }

    fn probe(&mut self, section: &Section<'_>, server: &str, aliases: &[&str]) -> Option<Probe> {
        let entry = section.get(&self.reader, "probe")?;
        let probe = self.reader.section(entry, &PROBE)?;
        // Whoever probes does not know the result: that is why.
        let call = self.called(&probe, server, &["args", "before"], aliases);
        let variables = ["args", "result", "before"];
        let happened = self.condition(&probe, "happened", &variables, aliases);
        if probe.get(&self.reader, "happened").is_none() {
            self.missing(&probe, "happened");
        }
        Some(Probe {
            call: call?,
            happened: happened?,
        })
    }

    fn call(
        &mut self,
        section: &Section<'_>,
        name: &str,
        server: &str,
        roots: &[&str],
    ) -> Option<CallPattern> {
        let entry = section.get(&self.reader, name)?;
        let call = self.reader.section(entry, &CALL)?;
        self.called(&call, server, roots, &[])
    }

    /// Reads the call that a table describes.
    fn called(
        &mut self,
        call: &Section<'_>,
        server: &str,
        roots: &[&str],
        aliases: &[&str],
    ) -> Option<CallPattern> {
        let Some((place, tool)) = self.reader.text(call, "tool") else {
            if call.get(&self.reader, "tool").is_none() {
                self.missing(call, "tool");
            }
            return None;
        };
        let named = self.reader.text(call, "server").map(|(_, name)| name);
        let args = match call.get(&self.reader, "args") {
            Some(entry) => {
                let place = entry.0.clone();
                let args = self.reader.pattern(entry, roots)?;
                if roots.contains(&"before") {
                    self.members(&place, args.holes().into_iter(), aliases);
                }
                args
            }
            None => Pattern::Object(Vec::new()),
        };
        Some(CallPattern {
            server: named.unwrap_or_else(|| server.to_owned()),
            tool,
            args,
            place,
        })
    }

    /// Tells of holes that begin with `before` and a record that the tool does not name.
    fn members<'h>(
        &mut self,
        place: &Place,
        holes: impl Iterator<Item = &'h Hole>,
        aliases: &[&str],
    ) {
        for hole in holes.filter(|hole| hole.root() == "before") {
            let member = hole.member().unwrap_or_default();
            if !aliases.contains(&member) {
                let what = format!(
                    "`{{{}}}` cannot exist: the tool names no such record",
                    hole.text()
                );
                self.reader
                    .wrong(place, what, near::hint(member, aliases.iter().copied()));
            }
        }
    }

    fn condition(
        &mut self,
        section: &Section<'_>,
        name: &str,
        variables: &[&str],
        aliases: &[&str],
    ) -> Option<Condition> {
        let (place, text) = self.reader.text(section, name)?;
        // What an id is made of is checked with the tool, whose records are not known yet.
        let free = name == "creates";
        match Condition::compile(&text, variables, (!free).then_some(aliases)) {
            Ok(condition) => Some(condition),
            Err(wrong) => {
                for (what, hint) in wrong {
                    self.reader.wrong(&place, what, hint);
                }
                None
            }
        }
    }

    fn word<T: Copy>(&mut self, place: &Place, word: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(known, _)| *known == word);
        if found.is_none() {
            let what = format!("`{}` cannot be `{word}`", place.at);
            let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
            let hint = match near::nearest(&word.replace('_', "-"), known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("use {}", near::listed(known)),
            };
            self.reader.wrong(place, what, hint);
        }
        found.map(|(_, value)| *value)
    }

    /// Returns the server that a section is about; what is missing is told, and the rest read on.
    fn server_of(&mut self, section: &Section<'_>) -> String {
        let said = self.reader.text(section, "server").map(|(_, name)| name);
        let server = said.or_else(|| self.server.clone());
        if server.is_none() && section.get(&self.reader, "server").is_none() {
            let what = format!("`{}.server` is missing", section.place.at);
            let hint = "name the server in `[mcp.<server>]`, here or once at the top of the file";
            self.reader.wrong(&section.place, what, hint);
        }
        server.unwrap_or_default()
    }

    fn missing(&mut self, section: &Section<'_>, name: &str) {
        let what = format!("`{}.{name}` is missing", section.place.at);
        let place = section.place.clone();
        self.reader
            .wrong(&place, what, "every option is in the reference");
    }
}
