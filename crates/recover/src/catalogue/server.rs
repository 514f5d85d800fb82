//! A catalogue against what a server says it has: tools, their arguments, what their results hold.

use std::collections::BTreeSet;

use serde_json::Value;

use super::read::{Place, Problem};
use super::template::Hole;
use super::{CallPattern, Catalogue, Pattern, Tool, near};

/// A tool as its server lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The arguments that it takes; none if it does not say.
    pub arguments: Option<BTreeSet<String>>,
    /// Those that it must have.
    pub required: BTreeSet<String>,
    /// What its results hold at the top; none if it does not say.
    pub results: Option<BTreeSet<String>>,
}

impl Listed {
    /// Reads an entry of a `tools/list`; none if it has no name.
    #[must_use]
    pub fn read(tool: &Value) -> Option<Self> {
        // A schema that lets other members in does not say which there are.
        let names = |schema: &Value| -> Option<BTreeSet<String>> {
            let properties = schema.get("properties")?.as_object()?;
            Some(properties.keys().cloned().collect())
        };
        let input = &tool["inputSchema"];
        let open = input
            .get("additionalProperties")
            .is_some_and(|more| more != &Value::Bool(false));
        let required = input["required"].as_array().into_iter().flatten();
        Some(Self {
            name: tool["name"].as_str()?.to_owned(),
            arguments: names(input).filter(|_| !open),
            required: required
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            results: names(&tool["outputSchema"]),
        })
    }
}

impl Catalogue {
    /// Returns what in the catalogue does not fit the tools that `server` lists: tools that it does
    /// not have, arguments that they do not take or lack, and templates over what cannot be there.
    #[must_use]
    pub fn check(&self, server: &str, tools: &[Listed]) -> Vec<Problem> {
        let mut checker = Checker {
            server,
            tools,
            problems: Vec::new(),
        };
        for resource in self.resources.values() {
            let calls = [
                Some(&resource.read),
                resource.restore.as_ref(),
                resource.delete.as_ref(),
            ];
            calls
                .into_iter()
                .flatten()
                .for_each(|call| checker.call(call, None));
        }
        for (of, named) in &self.tools {
            for (name, tool) in named {
                let listed = if of == server {
                    let listed = checker.listed(&tool.place, name);
                    if listed.is_none() {
                        continue;
                    }
                    listed
                } else {
                    None
                };
                checker.tool(tool, listed);
            }
        }
        checker
            .problems
            .sort_by_key(|problem| (problem.line, problem.column));
        checker.problems.dedup();
        checker.problems
    }
}

struct Checker<'a> {
    server: &'a str,
    tools: &'a [Listed],
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn listed(&mut self, place: &Place, name: &str) -> Option<&'a Listed> {
        let found = self.tools.iter().find(|tool| tool.name == name);
        if found.is_none() {
            let what = format!("the server `{}` has no tool `{name}`", self.server);
            let hint = near::hint(name, self.tools.iter().map(|tool| tool.name.as_str()));
            self.problems.push(place.problem(what, hint));
        }
        found
    }

    fn tool(&mut self, tool: &Tool, listed: Option<&Listed>) {
        for touch in &tool.touches {
            self.holes(&touch.place, touch.id.holes(), listed);
        }
        if let Some(inverse) = &tool.undo.inverse {
            self.call(&inverse.call, listed);
        }
        if let Some(probe) = &tool.probe {
            self.call(&probe.call, listed);
        }
        if let Some(http) = &tool.undo.http {
            let body = http.body.iter().flat_map(Pattern::holes);
            self.holes(&tool.place, http.url.holes().chain(body), listed);
        }
    }

    /// Checks a call of the catalogue; `of` is the tool whose arguments and result fill it.
    fn call(&mut self, call: &CallPattern, of: Option<&Listed>) {
        self.holes(&call.place, call.args.holes().into_iter(), of);
        if call.server != self.server {
            return;
        }
        let Some(listed) = self.listed(&call.place, &call.tool) else {
            return;
        };
        let Pattern::Object(given) = &call.args else {
            return;
        };
        if let Some(known) = &listed.arguments {
            for (name, _) in given.iter().filter(|(name, _)| !known.contains(name)) {
                let what = format!("`{}` takes no argument `{name}`", call.tool);
                let hint = near::hint(name, known.iter().map(String::as_str));
                self.problems.push(call.place.problem(what, hint));
            }
        }
        for name in &listed.required {
            if !given.iter().any(|(given, _)| given == name) {
                let what = format!("`{}` needs the argument `{name}`", call.tool);
                self.problems
                    .push(call.place.problem(what, "add it to `args`"));
            }
        }
    }

    fn holes<'h>(
        &mut self,
        place: &Place,
        holes: impl Iterator<Item = &'h Hole>,
        of: Option<&Listed>,
    ) {
        let Some(of) = of else {
            return;
        };
        for hole in holes {
            let known = match hole.root() {
                "args" => &of.arguments,
                "result" => &of.results,
                _ => continue,
            };
            let (Some(known), Some(member)) = (known, hole.member()) else {
                continue;
            };
            if !known.contains(member) {
                let has = if hole.root() == "args" {
                    "takes"
                } else {
                    "gives"
                };
                let what = format!(
                    "`{{{}}}` cannot be there: `{}` {has} no `{member}`",
                    hole.text(),
                    of.name
                );
                let hint = near::hint(member, known.iter().map(String::as_str));
                self.problems.push(place.problem(what, hint));
            }
        }
    }
}
