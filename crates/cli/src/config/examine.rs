//! What is known before anything starts, and is not in the text: whether files can be read,
//! programs are there, variables are set, and options agree with each other.
//!
//! Nothing is connected to and nothing is started: whether an upstream answers is not known here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Uri;
use recover::Catalogue;

use super::environment::Environment;
use super::layers::Read;
use super::options::{Config, Given, McpServer, Upstream};
use super::settings::{Finding, Path, Settings, Source};
use super::text::url_shown;

/// What the paths that are not those of upstreams begin with.
const OUR_PATHS: [&str; 9] = [
    "a2a", "agents", "api", "healthz", "log", "mcp", "metrics", "readyz", "v1",
];

/// Returns what is wrong with the world as `read` wants it.
pub(crate) fn examine(read: &Read) -> Vec<Finding> {
    let Some(config) = read.config() else {
        return Vec::new();
    };
    let mut examiner = Examiner {
        read,
        config,
        settings: &read.settings,
        environment: &read.environment,
        findings: Vec::new(),
    };
    examiner.access();
    examiner.directories();
    for (name, upstreams) in &config.upstreams {
        let at = Path::keys(&["upstreams", name]);
        if OUR_PATHS.contains(&name.as_str()) {
            let what = format!("`/{name}/…` is a path of our own, so `{at}` cannot be called");
            examiner.error(&at, what, "choose another name");
        }
        let listed = read.settings.count(&at) > 0;
        for (number, upstream) in upstreams.as_slice().iter().enumerate() {
            let at = if listed { at.index(number) } else { at.clone() };
            examiner.upstream(&at, upstream);
        }
    }
    for (name, server) in &config.mcp {
        examiner.mcp(&Path::keys(&["mcp", name]), server);
    }
    for (name, agent) in &config.a2a {
        let at = Path::keys(&["a2a", name]);
        examiner.called(&at, &agent.url, agent.ca_file.as_deref(), &agent.headers);
    }
    examiner.notify();
    examiner.waits();
    examiner.findings
}

struct Examiner<'a> {
    read: &'a Read,
    config: &'a Config,
    settings: &'a Settings,
    environment: &'a Environment,
    findings: Vec<Finding>,
}

impl Examiner<'_> {
    fn error(&mut self, at: &Path, what: impl Into<String>, hint: impl Into<String>) {
        let source = self.settings.source(at);
        self.findings
            .push(Finding::error(&source, what).on(at).hint(hint));
    }

    fn warn(&mut self, at: &Path, what: impl Into<String>, hint: impl Into<String>) {
        let source = self.settings.source(at);
        self.findings
            .push(Finding::warning(&source, what).on(at).hint(hint));
    }

    /// Who may reach us, and with what.
    fn access(&mut self) {
        let config = self.config;
        if !config.listen.ip().is_loopback() && config.tokens.is_empty() {
            let what = format!(
                "`listen` is `{}`, which others can reach, and there is no token",
                config.listen
            );
            let hint = "make one with `rescind config token --name NAME --role operator` and add \
                        the section that it prints, or listen on `127.0.0.1`";
            self.error(&Path::keys(&["listen"]), what, hint);
        }
        let at = Path::keys(&["tokens"]);
        for (number, token) in config.tokens.iter().enumerate() {
            let earlier = &config.tokens[..number];
            if earlier.iter().any(|other| other.name == token.name) {
                let what = format!("there are two tokens with the name `{}`", token.name);
                let hint = "give each its own name: it stands in the record where it acts";
                self.error(&at.index(number).key("name"), what, hint);
            }
            if let Some(same) = earlier.iter().find(|other| other.sha256 == token.sha256) {
                let (name, other) = (&token.name, &same.name);
                let what = format!("`{name}` and `{other}` have the same token");
                let hint = "make one for each with `rescind config token`";
                self.error(&at.index(number).key("sha256"), what, hint);
            }
        }
    }

    /// Where people are told.
    fn notify(&mut self) {
        let notify = &self.config.notify;
        let at = Path::keys(&["notify"]);
        if let Some(url) = &notify.url {
            self.called(&at, url, notify.ca_file.as_deref(), &notify.headers);
        }
        let Some(secret) = &notify.secret else { return };
        let at = at.key("secret");
        self.given(&at, "secret", secret);
        let text = secret.text(self.environment);
        if text.is_some_and(|text| gateway::Secret::read(text).is_none()) {
            let what = format!("`{at}` is empty, or no base64 after `whsec_`");
            self.error(&at, what, "give it as the receiver shows it");
        }
    }

    fn directories(&mut self) {
        let config = self.config;
        let at = Path::keys(&["data_dir"]);
        if config.data_dir.exists() && !config.data_dir.is_dir() {
            let what = format!("`{}` is not a directory", config.data_dir.display());
            self.error(
                &at,
                what,
                "name the directory of the record, or one to make",
            );
        }
        if let Some(tools) = &config.tools {
            let hint = "leave the option out to go without a tool catalogue";
            let at = Path::keys(&["tools"]);
            if let Some(bytes) = self.readable(&at, tools, hint) {
                self.catalogue(tools, &bytes);
            }
        }
        if let Some(witness) = &config.witness_dir
            && absolute(witness).starts_with(absolute(&config.data_dir))
        {
            let what = "`witness_dir` lies in `data_dir`, so an old copy of the record takes the \
                        witness's memory along";
            self.error(
                &Path::keys(&["witness_dir"]),
                what,
                "name a directory elsewhere",
            );
        }
    }

    /// What the catalogue of tools says, each mistake with its place in that file.
    fn catalogue(&mut self, file: &FilePath, bytes: &[u8]) {
        let name: Arc<str> = file.display().to_string().into();
        let source = |line, column| Source::File {
            name: Arc::clone(&name),
            line,
            column,
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            let finding = Finding::error(&source(1, 1), "the file is not valid UTF-8");
            self.findings.push(finding.hint("save it as UTF-8"));
            return;
        };
        match Catalogue::parse(text) {
            Ok(catalogue) => {
                for server in catalogue.servers() {
                    if !self.config.mcp.contains_key(server) {
                        let what = format!(
                            "the catalogue names the server `{server}`, and `[mcp.{server}]` is \
                             not configured"
                        );
                        let hint = "what is said about its tools holds for no call";
                        let finding = Finding::warning(&source(1, 1), what);
                        self.findings.push(finding.hint(hint));
                    }
                }
            }
            Err(problems) => self.findings.extend(problems.into_iter().map(|problem| {
                let source = source(problem.line, problem.column);
                let mut finding = Finding::error(&source, problem.what).hint(problem.hint);
                // After what is wrong with the file that names it.
                finding.rank.0 = 1;
                finding
            })),
        }
    }

    fn upstream(&mut self, at: &Path, upstream: &Upstream) {
        self.called(
            at,
            &upstream.url,
            upstream.ca_file.as_deref(),
            &upstream.headers,
        );
        let uri: Uri = upstream.url.parse().unwrap_or_default();
        if uri.host() == Some("api.openai.com") && matches!(uri.path(), "" | "/") {
            let what = format!("`{}` is missing its version", url_shown(&upstream.url));
            self.warn(&at.key("url"), what, "write `https://api.openai.com/v1`");
        }
    }

    fn mcp(&mut self, at: &Path, server: &McpServer) {
        match (&server.url, server.command.first()) {
            (Some(_), Some(_)) => {
                let what = format!("`{at}` has both `url` and `command`");
                self.error(at, what, "keep the one that you mean");
            }
            // What was said there cannot be read, and that has been told.
            (None, None)
                if ["url", "command"]
                    .iter()
                    .any(|key| self.read.refused(&at.key(key))) => {}
            (None, None) => {
                let what = format!("`{at}` has neither `url` nor `command`");
                let hint = "give the URL of the server, or the program to start as a list: \
                            `command = [\"program\", \"argument\"]`";
                self.error(at, what, hint);
            }
            (Some(url), None) => {
                self.called(at, url, server.ca_file.as_deref(), &server.headers);
                if server.cwd.is_some() || !server.env.is_empty() {
                    let what =
                        format!("`{at}` has a `url`, so nothing is started in `cwd` or with `env`");
                    self.warn(at, what, "leave them out");
                }
            }
            (None, Some(program)) => self.program(at, server, program),
        }
        for (name, given) in &server.env {
            self.given(&at.key("env").key(name), name, given);
        }
    }

    fn program(&mut self, at: &Path, server: &McpServer, program: &str) {
        if let Some(cwd) = &server.cwd
            && !cwd.is_dir()
        {
            let what = format!("there is no directory `{}`", cwd.display());
            self.error(&at.key("cwd"), what, "make it, or leave the option out");
        }
        if server.ca_file.is_some() || !server.headers.is_empty() {
            let what = format!("`{at}` has a `command`, so `headers` and `ca_file` do nothing");
            self.warn(at, what, "leave them out; `env` reaches the program");
        }
        let path = self.environment.raw("PATH").map(|path| path.as_os_str());
        if !is_there(program, path) {
            let what = if program.contains('/') {
                format!("there is no program `{program}`")
            } else {
                format!("there is no program `{program}` in the `PATH`")
            };
            let hint = "install it, or write its whole path";
            self.error(&at.key("command"), what, hint);
        }
    }

    /// What is called by URL.
    fn called(
        &mut self,
        at: &Path,
        url: &str,
        ca_file: Option<&FilePath>,
        headers: &BTreeMap<String, Given>,
    ) {
        let uri: Uri = url.parse().unwrap_or_default();
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let own = self.config.listen;
        let here = is_here(host);
        let secure = uri.scheme_str() == Some("https");
        if here && uri.port_u16() == Some(own.port()) {
            let what = format!(
                "`{}` is this gateway itself, so calls would go round",
                url_shown(url)
            );
            self.error(&at.key("url"), what, "give the URL of the server behind it");
        }
        if !secure && !here && !headers.is_empty() {
            let what = format!(
                "`{}` is not encrypted, and `headers` go there",
                url_shown(url)
            );
            self.warn(&at.key("url"), what, "use `https`");
        }
        if let Some(file) = ca_file {
            self.certificates(&at.key("ca_file"), file, secure);
        }
        for (name, given) in headers {
            self.given(&at.key("headers").key(name), name, given);
        }
    }

    fn given(&mut self, at: &Path, name: &str, given: &Given) {
        match given {
            Given::Env { env } if given.text(self.environment).is_none() => {
                let what = format!("the variable `{env}` of the environment is not set");
                self.error(
                    at,
                    what,
                    format!("set it where `rescind up` starts, for `{at}`"),
                );
            }
            Given::Text(_) if may_be_secret(name) => {
                let what = format!("`{at}` is written out, and whoever reads the file has it");
                let hint =
                    "put it into a variable of the environment and write `{ env = \"NAME\" }`";
                self.warn(at, what, hint);
            }
            Given::Env { .. } | Given::Text(_) => {}
        }
    }

    fn certificates(&mut self, at: &Path, file: &FilePath, secure: bool) {
        let hint = "name a file with certificates between `-----BEGIN CERTIFICATE-----` and \
                    `-----END CERTIFICATE-----`";
        let Some(bytes) = self.readable(at, file, hint) else {
            return;
        };
        if let Err(what) = certificates(&String::from_utf8_lossy(&bytes)) {
            self.error(at, format!("`{}` {what}", file.display()), hint);
        } else if !secure {
            let what = format!("`{at}` does nothing, because the URL is not `https`");
            self.warn(at, what, "leave it out, or use `https`");
        }
    }

    fn readable(&mut self, at: &Path, file: &FilePath, hint: &str) -> Option<Vec<u8>> {
        match fs::read(file) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let what = format!("could not read `{}`: {error}", file.display());
                self.error(at, what, hint);
                None
            }
        }
    }

    /// Limits and times that contradict each other.
    fn waits(&mut self) {
        let (times, retry) = (&self.config.timeouts, &self.config.retry);
        let shorter = [
            ("connect_ms", times.connect_ms),
            ("first_token_ms", times.first_token_ms),
            ("idle_ms", times.idle_ms),
        ];
        let total = times.total_ms;
        let (initial, maximum) = (retry.initial_interval_ms, retry.maximum_interval_ms);
        let (headers, body) = (
            self.config.limits.header_bytes_max,
            self.config.limits.body_bytes_max,
        );
        for (name, value) in shorter {
            let at = Path::keys(&["timeouts", name]);
            // A default that is longer than a total which somebody chose is no mistake of theirs.
            if value > total && self.settings.source(&at) != Source::Default {
                let what = format!(
                    "`timeouts.{name}` is longer than `timeouts.total_ms`, so it never comes to it"
                );
                let hint = format!("use a number up to {total}, or raise `total_ms`");
                self.warn(&at, what, hint);
            }
        }
        if initial > maximum {
            let what = format!(
                "`retry.initial_interval_ms` is {initial}, longer than \
                 `retry.maximum_interval_ms`, which is {maximum}"
            );
            let at = self.said("retry", ["initial_interval_ms", "maximum_interval_ms"]);
            self.error(
                &at,
                what,
                "the first wait is the shortest: lower the one or raise the other",
            );
        }
        let (wait, expire) = (
            self.config.approvals.wait_ms,
            self.config.approvals.expire_ms,
        );
        if wait > expire {
            let what = format!(
                "`approvals.wait_ms` is {wait}, longer than `approvals.expire_ms`, which is {expire}"
            );
            let at = self.said("approvals", ["wait_ms", "expire_ms"]);
            let hint = "a call cannot wait longer than a person may take: lower the one or raise \
                        the other";
            self.error(&at, what, hint);
        }
        let (open, longest) = (self.config.guard.open_ms, self.config.guard.open_ms_max);
        if open > longest {
            let what = format!(
                "`guard.open_ms` is {open}, longer than `guard.open_ms_max`, which is {longest}"
            );
            let at = self.said("guard", ["open_ms", "open_ms_max"]);
            let hint = "the first time is the shortest: lower the one or raise the other";
            self.error(&at, what, hint);
        }
        if headers > body {
            let what = format!(
                "`limits.header_bytes_max` is {headers}, more than `limits.body_bytes_max`, which \
                 is {body}"
            );
            let at = self.said("limits", ["header_bytes_max", "body_bytes_max"]);
            self.error(
                &at,
                what,
                "headers are smaller than bodies: lower the one or raise the other",
            );
        }
    }

    /// Of two options the one that somebody said.
    fn said(&self, section: &str, names: [&str; 2]) -> Path {
        let [one, other] = names.map(|name| Path::keys(&[section, name]));
        if self.settings.source(&one) == Source::Default {
            other
        } else {
            one
        }
    }
}

/// Whether a host is this machine.
fn is_here(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Whether the name of a header or a variable says that it holds a secret.
fn may_be_secret(name: &str) -> bool {
    const WORDS: [&str; 7] = [
        "auth",
        "cookie",
        "credential",
        "key",
        "passw",
        "secret",
        "token",
    ];
    let name = name.to_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// Whether a program can be started: a path to it, or a name in one of `path`'s directories.
fn is_there(program: &str, path: Option<&OsStr>) -> bool {
    let runs = |file: &FilePath| {
        fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return runs(FilePath::new(program));
    }
    path.is_some_and(|path| std::env::split_paths(path).any(|dir| runs(&dir.join(program))))
}

/// Checks that a text holds certificates, as far as their armour tells.
fn certificates(text: &str) -> Result<(), String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut parts = text.split(BEGIN);
    parts.next();
    let mut count = 0;
    for part in parts {
        count += 1;
        let body = part.split_once(END).map(|(body, _)| body);
        let Some(body) = body else {
            return Err(format!("ends within its certificate number {count}"));
        };
        let digits: String = body.split_whitespace().collect();
        // A certificate is a DER sequence, whose first byte is always this.
        let is_sequence = |der: &Vec<u8>| der.first() == Some(&0x30);
        if !BASE64_STANDARD
            .decode(digits)
            .is_ok_and(|der| is_sequence(&der))
        {
            return Err(format!("has a damaged certificate, number {count}"));
        }
    }
    if count == 0 {
        return Err("holds no certificate in PEM".to_owned());
    }
    Ok(())
}

/// A path from the root, without `.` and `..` where they can be worked out.
fn absolute(path: &FilePath) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    whole.canonicalize().unwrap_or(whole)
}
