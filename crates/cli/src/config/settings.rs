//! Values with the place that each came from, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// Where an option stands: `upstreams.openai[1].url`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path(Vec<Step>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    /// Returns the path of names, one for each step.
    pub(crate) fn keys(names: &[&str]) -> Self {
        Self(
            names
                .iter()
                .map(|name| Step::Key((*name).to_owned()))
                .collect(),
        )
    }

    pub(crate) fn key(&self, name: &str) -> Self {
        self.with(Step::Key(name.to_owned()))
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    pub(crate) fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Returns the name right below `self` on the way to `other`.
    fn below<'a>(&self, other: &'a Self) -> Option<&'a str> {
        match other.0.strip_prefix(self.0.as_slice())?.first()? {
            Step::Key(name) => Some(name),
            Step::Index(_) => None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(name) => {
                    let dot = if number == 0 { "" } else { "." };
                    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
                    if !name.is_empty() && name.bytes().all(bare) {
                        write!(f, "{dot}{name}")?;
                    } else {
                        write!(f, "{dot}{name:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nobody said otherwise.
    Default,
    /// The file.
    File {
        /// The file as it was named.
        name: Arc<str>,
        /// Line, from 1.
        line: usize,
        /// Column, from 1, in characters.
        column: usize,
    },
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(&'static str),
}

impl Source {
    /// Names the kind of place in one word.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File { .. } => "file",
            Self::Environment(_) => "environment",
            Self::Flag(_) => "flag",
        }
    }

    /// Returns where this comes among the others: the file from its top, then variables, flags.
    fn rank(&self) -> (u8, usize, usize) {
        match self {
            Self::File { line, column, .. } => (0, *line, *column),
            Self::Environment(_) => (1, 0, 0),
            Self::Flag(_) => (2, 0, 0),
            Self::Default => (3, 0, 0),
        }
    }

    /// Returns the place, where there is one.
    pub(crate) fn place(&self) -> Option<String> {
        match self {
            Self::Default => None,
            Self::File { name, line, column } => Some(format!("{name}:{line}:{column}")),
            Self::Environment(name) => Some(name.clone()),
            Self::Flag(name) => Some((*name).to_owned()),
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Severity {
    /// `rescind up` refuses to start.
    Error,
    /// It works, and is probably not what was meant.
    Warning,
}

/// Something wrong with the configuration.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Finding {
    /// Whether `rescind up` refuses to start with it.
    pub(crate) severity: Severity,
    /// Where: file, line and column, or variable, or flag; `null` for a default.
    pub(crate) place: Option<String>,
    /// The option, where it is known.
    pub(crate) option: Option<String>,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// Where it comes among the others.
    #[serde(skip)]
    pub(crate) rank: (u8, usize, usize),
}

impl Finding {
    pub(crate) fn error(source: &Source, what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            place: source.place(),
            option: None,
            what: what.into(),
            hint: None,
            rank: source.rank(),
        }
    }

    pub(crate) fn warning(source: &Source, what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(source, what)
        }
    }

    pub(crate) fn on(mut self, path: &Path) -> Self {
        self.option = Some(path.to_string());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// A value, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) source: Source,
    /// Whether the value may be secret.
    pub(crate) hidden: bool,
}

/// Every value that was said, by its path. A later layer replaces what an earlier one said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    values: BTreeMap<Path, Setting>,
    /// Sections that were written, also those with nothing in them.
    sections: BTreeMap<Path, Source>,
    /// What was said and is wrong, so that nobody misses it.
    spoilt: BTreeSet<Path>,
}

impl Settings {
    pub(crate) fn set(&mut self, path: Path, setting: Setting) {
        self.spoilt.remove(&path);
        self.values.insert(path, setting);
    }

    pub(crate) fn section(&mut self, path: Path, source: Source) {
        self.sections.insert(path, source);
    }

    pub(crate) fn spoil(&mut self, path: Path) {
        self.values.remove(&path);
        self.spoilt.insert(path);
    }

    /// Forgets what earlier layers said at `path` and below.
    pub(crate) fn forget(&mut self, path: &Path) {
        self.values.retain(|at, _| !at.starts_with(path));
        self.sections.retain(|at, _| !at.starts_with(path));
        self.spoilt.retain(|at| !at.starts_with(path));
    }

    pub(crate) fn get(&self, path: &Path) -> Option<&Setting> {
        self.values.get(path)
    }

    pub(crate) fn get_mut(&mut self, path: &Path) -> Option<&mut Setting> {
        self.values.get_mut(path)
    }

    pub(crate) fn is_spoilt(&self, path: &Path) -> bool {
        self.spoilt.contains(path)
    }

    /// Returns where an option or a section was said, or [`Source::Default`].
    pub(crate) fn source(&self, path: &Path) -> Source {
        let value = self.values.get(path).map(|setting| &setting.source);
        let source = value.or_else(|| self.sections.get(path)).or_else(|| {
            let below = |(at, _): &(&Path, &Setting)| at.starts_with(path);
            self.values
                .iter()
                .find(below)
                .map(|(_, setting)| &setting.source)
        });
        source.cloned().unwrap_or(Source::Default)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Path, &Setting)> {
        self.values.iter()
    }

    /// Returns the names right below a path.
    pub(crate) fn names(&self, path: &Path) -> BTreeSet<String> {
        let all = self
            .values
            .keys()
            .chain(self.sections.keys())
            .chain(&self.spoilt);
        all.filter_map(|at| path.below(at))
            .map(str::to_owned)
            .collect()
    }

    /// Returns how many sections the list at a path has; 0 where there is none.
    pub(crate) fn count(&self, path: &Path) -> usize {
        (0..)
            .take_while(|index| self.sections.contains_key(&path.index(*index)))
            .count()
    }

    /// Returns all values as one tree.
    pub(crate) fn tree(&self) -> Value {
        let mut root = Value::Object(Map::new());
        for path in self.sections.keys() {
            let _ = place(&mut root, &path.0);
        }
        for (path, setting) in &self.values {
            if let Some(place) = place(&mut root, &path.0) {
                *place = setting.value.clone();
            }
        }
        root
    }
}

/// Returns the place at `steps`, made where it is missing.
fn place<'a>(root: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    let mut at = root;
    for (number, step) in steps.iter().enumerate() {
        let fresh = match steps.get(number + 1) {
            Some(Step::Index(_)) => Value::Array(Vec::new()),
            _ => Value::Object(Map::new()),
        };
        at = match step {
            Step::Key(name) => at.as_object_mut()?.entry(name.clone()).or_insert(fresh),
            Step::Index(index) => {
                let list = at.as_array_mut()?;
                if *index >= list.len() {
                    list.resize(index + 1, fresh);
                }
                list.get_mut(*index)?
            }
        };
    }
    Some(at)
}
