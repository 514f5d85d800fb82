//! The layers on top of each other: flags win over the environment, over the file, over defaults.

use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use toml::de::DeTable;

use super::environment::{self, Environment};
use super::examine::examine;
use super::options::{Config, Wire};
use super::read::{self, Reader};
use super::settings::{Finding, Path, Setting, Settings, Severity, Source};
use super::shape::Shape;
use crate::failure::Failure;

/// The file that is read where no other is named.
const FILE: &str = "rescind.toml";

/// A value that was said on the command line.
#[derive(Clone, Debug)]
pub(crate) struct Flag {
    /// The option's name at the top level: `data_dir`.
    pub(crate) option: &'static str,
    /// The flag's name: `--data-dir`.
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Read {
    /// The configuration; `None` where too much is wrong to make one. What is wrong and has a
    /// default stands in it as the default, so whoever acts on it asks for errors first.
    config: Option<Config>,
    /// Every value with its place.
    pub(crate) settings: Settings,
    /// What is wrong in what was said.
    findings: Vec<Finding>,
    /// The file that was read, if there was one.
    pub(crate) file: Option<PathBuf>,
    /// The environment that it was read with.
    pub(crate) environment: Environment,
}

impl Read {
    /// Whether something was said of an option, and cannot be used.
    pub(crate) fn refused(&self, option: &Path) -> bool {
        let option = option.to_string();
        let of = |finding: &Finding| finding.option.as_ref() == Some(&option);
        self.findings.iter().any(of)
    }

    /// Reads every layer. Fails only where a file cannot be read; what is wrong in it is found.
    pub(crate) fn new(
        file: Option<&FilePath>,
        flags: &[Flag],
        environment: Environment,
    ) -> Result<Self, Failure> {
        let root = Shape::of::<Config>();
        let mut settings = Settings::default();
        let mut findings = Vec::new();
        let bytes = match file {
            Some(path) => Some((path, bytes(path)?)),
            None if FilePath::new(FILE).exists() => {
                Some((FilePath::new(FILE), bytes(FilePath::new(FILE))?))
            }
            None => None,
        };
        if let Some((path, bytes)) = &bytes {
            document(&root, path, bytes, &mut settings, &mut findings);
        }
        environment.apply(&root, &mut settings, &mut findings);
        for flag in flags {
            let path = Path::default().key(flag.option);
            let Some(field) = root.fields().iter().find(|field| field.name == flag.option) else {
                continue;
            };
            let source = Source::Flag(flag.name);
            let (shape, value) = (&field.shape, &flag.value);
            environment::one(
                &root,
                shape,
                &path,
                value,
                &source,
                &mut settings,
                &mut findings,
            );
        }
        fill(&root, &Path::default(), None, &mut settings, &mut findings);
        settle(&mut settings, &mut findings);
        let config = config(&settings, &mut findings);
        Ok(Self {
            config,
            settings,
            findings,
            file: bytes.map(|(path, _)| path.to_path_buf()),
            environment,
        })
    }

    /// Returns the configuration, also where something else is wrong.
    pub(crate) fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// Returns everything that is wrong, also with the world around: the file from its top, the
    /// environment, flags, defaults. Who starts on this configuration asks for it first.
    pub(crate) fn check(&self) -> Vec<Finding> {
        let mut findings = self.findings.clone();
        findings.extend(examine(self));
        findings.sort_by_key(|finding| finding.rank);
        findings
    }

    /// Returns the first error, where there is one, as the failure of a command.
    pub(crate) fn refusal(&self) -> Option<Failure> {
        refusal(&self.findings)
    }

    /// Returns the configuration where nothing is wrong with it, or else the first error.
    pub(crate) fn accept(self) -> Result<Config, Failure> {
        if let Some(failure) = self.refusal() {
            return Err(failure);
        }
        self.config
            .ok_or_else(|| Failure::new("the configuration cannot be read"))
    }
}

/// The first error as a failure, with how many there are.
fn refusal(findings: &[Finding]) -> Option<Failure> {
    let mut errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    let first = errors.next()?;
    let failure = Failure::new(first.to_string());
    let hint = first.hint.clone();
    Some(match (hint, errors.count()) {
        (None, 0) => failure,
        (Some(hint), 0) => failure.with_hint(hint),
        (hint, more) => {
            let hint = hint.map(|hint| format!("{hint} ")).unwrap_or_default();
            failure.with_hint(format!(
                "{hint}({more} more: `rescind config check` lists them all)"
            ))
        }
    })
}

fn bytes(path: &FilePath) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::file("read", path, &error).with_hint(
            "name another file with `--config`, or go without: every option has a default",
        )
    })
}

/// Reads the file's layer.
fn document(
    root: &Shape,
    path: &FilePath,
    bytes: &[u8],
    settings: &mut Settings,
    findings: &mut Vec<Finding>,
) {
    let name: Arc<str> = path.display().to_string().into();
    let at = |text: &str, offset: usize| {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Source::File {
            name: Arc::clone(&name),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let source = at(&valid, valid.len());
            let finding = Finding::error(&source, "the file is not valid UTF-8 from here on");
            findings.push(finding.hint("save it as UTF-8"));
            return;
        }
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    // What a parser makes of a file after the first mistake is a guess, and what it says of it would
    // mislead.
    let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    if let Some(error) = errors.iter().min_by_key(|error| start(error)) {
        let source = at(text, start(error));
        let what = error.message().replace('\n', ", ");
        let finding = Finding::error(&source, format!("this is not TOML: {what}"));
        findings.push(
            finding.hint(
                "a text stands between quotes; what comes after this is read once it is right",
            ),
        );
        return;
    }
    let locate = |span: Range<usize>| at(text, span.start);
    let mut reader = Reader {
        root,
        locate: &locate,
        base: path.parent().filter(|base| !base.as_os_str().is_empty()),
        settings,
        findings,
    };
    reader.table(root, &Path::default(), table.get_ref());
}

/// Puts defaults where nothing was said, and finds what had to be said.
///
/// `given` is the default of what stands around: `[upstreams.openai]` has a URL before anybody
/// says one.
fn fill(
    shape: &Shape,
    path: &Path,
    given: Option<&Value>,
    settings: &mut Settings,
    findings: &mut Vec<Finding>,
) {
    match shape {
        Shape::Table(fields) => {
            for field in fields {
                let default = given.and_then(|given| given.get(&field.name));
                let default = default.or(field.default.as_ref());
                let at = path.key(&field.name);
                if field.required && default.is_none() {
                    missing(&at, path, settings, findings);
                    continue;
                }
                fill(&field.shape, &at, default, settings, findings);
            }
        }
        Shape::Named { item, .. } => {
            let mut names = settings.names(path);
            names.extend(
                given
                    .and_then(Value::as_object)
                    .into_iter()
                    .flatten()
                    .map(|(n, _)| n.clone()),
            );
            for name in names {
                let given = given.and_then(|given| given.get(&name));
                fill(item, &path.key(&name), given, settings, findings);
            }
        }
        Shape::OneOrMore(item) if settings.count(path) == 0 => {
            if !settings.is_spoilt(path) {
                fill(item, path, given, settings, findings);
            }
        }
        Shape::OneOrMore(item) | Shape::Several(item) => {
            // Of a list each says for itself what it must: only what may be left out is common.
            let required = item.fields().iter().filter(|field| field.required);
            let mut common = given.cloned().unwrap_or_default();
            if let Some(common) = common.as_object_mut() {
                required.for_each(|field| drop(common.remove(&field.name)));
            }
            for index in 0..settings.count(path) {
                fill(item, &path.index(index), Some(&common), settings, findings);
            }
        }
        single => {
            let default = given.filter(|value| !value.is_null());
            if let (Some(default), None, false) =
                (default, settings.get(path), settings.is_spoilt(path))
            {
                let setting = Setting {
                    value: default.clone(),
                    source: Source::Default,
                    hidden: read::hidden(single),
                };
                settings.set(path.clone(), setting);
            }
        }
    }
}

fn missing(at: &Path, section: &Path, settings: &Settings, findings: &mut Vec<Finding>) {
    if settings.get(at).is_none() && !settings.is_spoilt(at) {
        let source = settings.source(section);
        findings.push(Finding::error(&source, format!("`{at}` is missing")).on(at));
    }
}

/// Brings values that have several spellings into one, and refuses what this version cannot do.
fn settle(settings: &mut Settings, findings: &mut Vec<Finding>) {
    let upstreams = Path::keys(&["upstreams"]);
    for name in settings.names(&upstreams) {
        let at = upstreams.key(&name);
        let several = (0..settings.count(&at)).map(|index| at.index(index));
        for at in std::iter::once(at.clone()).chain(several) {
            let anthropic = serde_json::to_value(Wire::Anthropic).ok();
            let wire = settings.get(&at.key("wire")).map(|wire| &wire.value);
            if wire != anthropic.as_ref() {
                continue;
            }
            // The clients of this provider take the URL without the version.
            if let Some(setting) = settings.get_mut(&at.key("url"))
                && let Some(url) = setting.value.as_str()
                && url
                    .parse::<http::Uri>()
                    .is_ok_and(|uri| matches!(uri.path(), "" | "/"))
                && !url.contains('?')
            {
                setting.value = format!("{url}/v1").into();
            }
        }
    }
    let postgres = Path::keys(&["store", "postgres"]);
    if settings.get(&postgres).is_some() {
        let source = settings.source(&postgres);
        let what = "`store.postgres` is not supported yet by this version";
        let finding = Finding::error(&source, what).on(&postgres);
        findings.push(finding.hint(
            "leave it out to record into `data_dir`; nothing is recorded elsewhere than you said",
        ));
    }
}

fn config(settings: &Settings, findings: &mut Vec<Finding>) -> Option<Config> {
    match serde_json::from_value(settings.tree()) {
        Ok(config) => Some(config),
        Err(error) => {
            // Everything that a person can get wrong was found above, with its place.
            if !findings
                .iter()
                .any(|finding| finding.severity == Severity::Error)
            {
                findings.push(Finding::error(&Source::Default, error.to_string()));
            }
            None
        }
    }
}
