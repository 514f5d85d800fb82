//! `rescind config check`, `show`, `token`: the configuration before anything runs on it.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ledger::SystemEntropy;
use ledger::digest::sha256;
use ledger::entropy::draw;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::Answer;
use crate::args::{ConfigAction, ConfigToken, Global};
use crate::config::{self, Finding, Read, Role, Severity, manual, url_shown};
use crate::failure::Failure;
use crate::out::{Out, Paint, clean, fit};
use crate::session::read_config;

/// What the tokens of ours begin with, so that a scanner for leaked secrets knows them.
const TOKEN_PREFIX: &str = "rescind_";

/// What `config check` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CheckedView {
    /// Whether `rescind up` can start with it.
    ok: bool,
    /// The file that was read; `null` where there is none.
    file: Option<String>,
    /// What is wrong: in the file from its top, in the environment, in flags, and with defaults.
    findings: Vec<Finding>,
}

/// What `config show` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownView {
    /// The file that was read; `null` where there is none.
    file: Option<String>,
    /// Every option that has a value.
    options: Vec<OptionView>,
}

/// An option that has a value.
#[derive(Debug, Serialize, JsonSchema)]
struct OptionView {
    /// Its name, with the section: `upstreams.openai.url`.
    name: String,
    /// Its value; `null` where it may be secret.
    value: Option<Value>,
    /// Whether the value may be secret, and is not shown.
    hidden: bool,
    /// Where it came from: `default`, `file`, `environment` or `flag`.
    source: String,
    /// Where exactly: file, line and column, or variable, or flag.
    place: Option<String>,
}

/// What `config token` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TokenView {
    /// The token. It is printed this once and kept nowhere.
    token: String,
    /// Its SHA-256, which the configuration holds.
    sha256: String,
    /// The section to add to the configuration.
    toml: String,
}

pub(crate) async fn run(
    out: &Out,
    global: &Global,
    action: &ConfigAction,
) -> Result<Answer, Failure> {
    match action {
        ConfigAction::Check(args) => check(out, global, args.live).await,
        ConfigAction::Show => show(out, global),
        ConfigAction::Token(args) => token(out, args),
    }
}

async fn check(out: &Out, global: &Global, live: bool) -> Result<Answer, Failure> {
    let read = read_config(global, &[])?;
    let mut findings = read.check();
    let sound = findings.iter().all(|f| f.severity != Severity::Error);
    if let (true, true, Some(config)) = (live, sound, read.config()) {
        findings.extend(super::live::check(&read, config).await?);
    }
    let view = CheckedView {
        ok: findings
            .iter()
            .all(|finding| finding.severity != Severity::Error),
        file: file(&read),
        findings,
    };
    out.answer(&view, |out| checked(out, &view))?;
    Ok(if view.ok { Answer::Yes } else { Answer::No })
}

fn checked(out: &Out, view: &CheckedView) -> String {
    let mut text = String::new();
    let (mut errors, mut warnings) = (0, 0);
    for finding in &view.findings {
        let (word, paint) = match finding.severity {
            Severity::Error => ("error", Paint::Red),
            Severity::Warning => ("warning", Paint::Yellow),
        };
        match finding.severity {
            Severity::Error => errors += 1,
            Severity::Warning => warnings += 1,
        }
        let what = finding.to_string();
        text.push_str(&format!("{}: {}\n", out.paint(paint, word), clean(&what)));
        if let Some(hint) = &finding.hint {
            text.push_str(&format!("  hint: {}\n", clean(hint)));
        }
    }
    let file = view.file.as_deref().unwrap_or("no file, so defaults");
    text.push_str(&match (errors, warnings) {
        (0, 0) => format!("{}: nothing is wrong\n", clean(file)),
        _ => format!(
            "{}: {}, {}\n",
            clean(file),
            many(errors, "error"),
            many(warnings, "warning")
        ),
    });
    text
}

fn many(count: usize, word: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {word}{s}")
}

fn show(out: &Out, global: &Global) -> Result<Answer, Failure> {
    let read = read_config(global, &[])?;
    if let Some(failure) = read.refusal() {
        return Err(failure);
    }
    let view = ShownView {
        file: file(&read),
        options: read
            .settings
            .iter()
            .map(|(path, setting)| {
                // The name of a variable is no secret; what it holds is.
                let hidden = setting.hidden && !setting.value.is_object();
                OptionView {
                    name: path.to_string(),
                    value: (!hidden).then(|| shown(&setting.value)),
                    hidden,
                    source: setting.source.kind().to_owned(),
                    place: setting.source.place(),
                }
            })
            .collect(),
    };
    out.answer(&view, |out| listed(out, &view))?;
    Ok(Answer::Yes)
}

/// A value as it may be shown.
fn shown(value: &Value) -> Value {
    match value {
        Value::String(text) if text.contains("://") => Value::String(url_shown(text)),
        other => other.clone(),
    }
}

fn listed(out: &Out, view: &ShownView) -> String {
    let rows: Vec<(&str, String, &str)> = view
        .options
        .iter()
        .map(|option| {
            let value = option
                .value
                .as_ref()
                .map_or("(hidden)".to_owned(), manual::toml);
            let place = option.place.as_deref().unwrap_or(&option.source);
            (option.name.as_str(), clean(&value).into_owned(), place)
        })
        .collect();
    let width = |text: fn(&(&str, String, &str)) -> usize, max: usize| {
        rows.iter().map(text).max().unwrap_or(0).min(max)
    };
    let names = width(|(name, _, _)| name.chars().count(), 48);
    let values = width(|(_, value, _)| value.chars().count(), 48);
    let mut text = String::new();
    for (name, value, place) in rows {
        // What is longer than its column is shown whole: it may be what somebody looks for.
        let value = if value.chars().count() > values {
            value
        } else {
            fit(&value, values)
        };
        let name = clean(name);
        let name = if name.chars().count() > names {
            name.into_owned()
        } else {
            fit(&name, names)
        };
        text.push_str(&format!(
            "{name}  {value}  {}\n",
            out.paint(Paint::Dim, clean(place))
        ));
    }
    text
}

fn token(out: &Out, args: &ConfigToken) -> Result<Answer, Failure> {
    let bytes: [u8; 32] = draw(&SystemEntropy::new());
    let token = format!("{TOKEN_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
    let sha256 = sha256(token.as_bytes()).to_string();
    let role = match args.role {
        Role::Agent => "agent",
        Role::Viewer => "viewer",
        Role::Operator => "operator",
    };
    let name = config::name(&args.name)?;
    let view = TokenView {
        toml: format!("[[tokens]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{sha256}\"\n"),
        token,
        sha256,
    };
    out.answer(&view, |_| {
        format!(
            "# The token, shown this once; whoever holds it sends `authorization: Bearer TOKEN`:\n\
             # {}\n\n{}",
            view.token, view.toml
        )
    })?;
    out.note("the token is kept nowhere; add the section to rescind.toml, at its end")?;
    Ok(Answer::Yes)
}

fn file(read: &Read) -> Option<String> {
    read.file.as_ref().map(|file| file.display().to_string())
}
