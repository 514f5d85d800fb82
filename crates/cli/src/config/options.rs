//! Every option of `rescind.toml`: its name, type, default and meaning, each stated here and only
//! here.
//!
//! The reading, the environment's names, `rescind config show` and the reference are made from the
//! schema of [`Config`]. The comments below are what a person reads there, so they say what an
//! option does and in which unit. Plain data: nothing here opens, resolves or connects.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use model::Realm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::environment::Environment;

/// What `rescind up` runs with.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Address and port that everything is served on. Beyond this machine only with tokens.
    #[schemars(with = "String", extend("x-form" = "address"))]
    pub(crate) listen: SocketAddr,
    /// Directory of the record.
    #[schemars(extend("x-form" = "directory"))]
    pub(crate) data_dir: PathBuf,
    /// The log to record into: the unit of isolation.
    #[schemars(with = "String", extend("x-form" = "realm"))]
    pub(crate) realm: Realm,
    /// What is done about calls that a rule objects to.
    pub(crate) mode: Mode,
    /// File with the tool catalogue: what each tool does, and how it is undone.
    #[schemars(extend("x-form" = "file"))]
    pub(crate) tools: Option<PathBuf>,
    /// Where the witness keeps what it has signed, away from the record. Default: the state
    /// directory of this user.
    #[schemars(extend("x-form" = "directory"))]
    pub(crate) witness_dir: Option<PathBuf>,
    /// Host names that clients may call us by, beside those of this machine. Others are refused,
    /// so that no web page can reach us under a name of its own.
    #[schemars(extend("x-form" = "host"))]
    pub(crate) allowed_hosts: Vec<String>,
    /// Where model calls go, under the name that agents call: `/openai/v1/…` goes to
    /// `[upstreams.openai]`. Several under one name, each as `[[upstreams.openai]]`, are tried in
    /// their order.
    #[schemars(extend("x-names" = "segment"))]
    pub(crate) upstreams: BTreeMap<String, OneOrMore<Upstream>>,
    /// An MCP server, served at `/mcp/<server>`: either `url` or `command`.
    #[schemars(extend("x-names" = "segment"))]
    pub(crate) mcp: BTreeMap<String, McpServer>,
    /// An A2A agent, served at `/a2a/<agent>`.
    #[schemars(extend("x-names" = "segment"))]
    pub(crate) a2a: BTreeMap<String, A2aAgent>,
    /// What is recorded, and how surely.
    pub(crate) record: Record,
    /// What is too large or too much. Who exceeds a limit gets an error that says so.
    pub(crate) limits: Limits,
    /// How long is waited.
    pub(crate) timeouts: Timeouts,
    /// How model calls that failed are tried again.
    pub(crate) retry: Retry,
    /// How long persons have to decide about calls that wait for them.
    pub(crate) approvals: Approvals,
    /// When calls that lead nowhere and targets that fail are stopped.
    pub(crate) guard: Guard,
    /// How decisions are taken back.
    pub(crate) rollback: Rollback,
    /// Where those are told who must hear of what a rollback cannot take back.
    pub(crate) notify: Notify,
    /// Who may call: `rescind config token` makes a token and the section for it.
    pub(crate) tokens: Vec<Token>,
    /// Where the record is kept. Default: the directory `data_dir`.
    pub(crate) store: Store,
}

impl Default for Config {
    fn default() -> Self {
        let upstream = |url: &str, wire| {
            OneOrMore::One(Upstream {
                wire,
                ..Upstream::at(url)
            })
        };
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7373)),
            data_dir: PathBuf::from("rescind-data"),
            realm: Realm::default(),
            mode: Mode::Observe,
            tools: None,
            witness_dir: None,
            allowed_hosts: Vec::new(),
            upstreams: BTreeMap::from([
                (
                    "openai".to_owned(),
                    upstream("https://api.openai.com/v1", Wire::Openai),
                ),
                (
                    "anthropic".to_owned(),
                    upstream("https://api.anthropic.com/v1", Wire::Anthropic),
                ),
            ]),
            mcp: BTreeMap::new(),
            a2a: BTreeMap::new(),
            record: Record::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            approvals: Approvals::default(),
            guard: Guard::default(),
            rollback: Rollback::default(),
            notify: Notify::default(),
            tokens: Vec::new(),
            store: Store::default(),
        }
    }
}

/// What is done about calls that a rule objects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// They pass and are marked.
    Observe,
    /// They are held or refused.
    Enforce,
}

/// One of something, or several in their order.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMore<T> {
    /// `[name]`
    One(T),
    /// `[[name]]`, at least one.
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    /// Returns them in their order.
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(several) => several,
        }
    }
}

/// Where model calls go.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    /// Base URL of the provider's API, as its own clients take it. Of the Anthropic wire the
    /// `/v1` may be left out. Default under `openai` and `anthropic`: the provider's own.
    #[schemars(extend("x-form" = "url"))]
    pub(crate) url: String,
    /// Which API it speaks. Default: `anthropic` under that name, `openai` under any other.
    #[serde(default)]
    pub(crate) wire: Wire,
    /// File with certificates (PEM) to trust beside those of the system.
    #[serde(default)]
    #[schemars(extend("x-form" = "file"))]
    pub(crate) ca_file: Option<PathBuf>,
    /// Headers to set on every call, in place of what the agent sends: text, or the variable of
    /// the environment that holds it, `{ env = "NAME" }`. Never recorded.
    #[serde(default)]
    #[schemars(extend("x-names" = "header"))]
    pub(crate) headers: BTreeMap<String, Given>,
    /// Models to ask for in place of others: the name that agents use, and the name sent. For a
    /// fallback whose provider names them otherwise.
    #[serde(default)]
    pub(crate) models: BTreeMap<String, String>,
}

impl Upstream {
    /// An upstream with nothing but its URL.
    fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            wire: Wire::default(),
            ca_file: None,
            headers: BTreeMap::new(),
            models: BTreeMap::new(),
        }
    }
}

/// An API of model providers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wire {
    /// Chat completions and responses.
    #[default]
    Openai,
    /// Messages.
    Anthropic,
}

/// A text that may be secret: written out, or the name of the variable that holds it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("x-form" = "given"))]
pub(crate) enum Given {
    /// `{ env = "NAME" }`
    Env {
        /// The variable.
        env: String,
    },
    /// Written out.
    Text(String),
}

impl Given {
    /// Returns the text, unless the variable that holds it is not set.
    pub(crate) fn text<'a>(&'a self, environment: &'a Environment) -> Option<&'a str> {
        match self {
            Self::Env { env } => environment.text(env),
            Self::Text(text) => Some(text),
        }
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env { env } => write!(f, "Env({env})"),
            Self::Text(_) => f.write_str("Text(hidden)"),
        }
    }
}

/// An MCP server.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct McpServer {
    /// Its URL, where it speaks streamable HTTP.
    #[schemars(extend("x-form" = "url"))]
    pub(crate) url: Option<String>,
    /// The program and its arguments, where we start it and speak over its standard input and
    /// output. The arguments are no place for secrets: anybody on the machine sees them.
    pub(crate) command: Vec<String>,
    /// Variables of the program's environment, beside `PATH`, `HOME` and such: text, or
    /// `{ env = "NAME" }`.
    #[schemars(extend("x-names" = "variable"))]
    pub(crate) env: BTreeMap<String, Given>,
    /// Directory to start the program in. Default: the one `rescind` was started in.
    #[schemars(extend("x-form" = "directory"))]
    pub(crate) cwd: Option<PathBuf>,
    /// Headers to set on every call of the URL: text, or `{ env = "NAME" }`. Never recorded.
    #[schemars(extend("x-names" = "header"))]
    pub(crate) headers: BTreeMap<String, Given>,
    /// File with certificates (PEM) to trust beside those of the system.
    #[schemars(extend("x-form" = "file"))]
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether agents may call it. One that they may not is for rollbacks alone: records are read
    /// there before and after calls, and put back.
    pub(crate) agents: bool,
    /// The longest wait before a program that ended is started again; the first wait is short,
    /// and each is twice the one before.
    #[schemars(range(min = 1))]
    pub(crate) restart_backoff_ms_max: u64,
}

impl Default for McpServer {
    fn default() -> Self {
        Self {
            url: None,
            command: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            headers: BTreeMap::new(),
            ca_file: None,
            agents: true,
            restart_backoff_ms_max: 30_000,
        }
    }
}

/// An A2A agent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct A2aAgent {
    /// Base URL of the agent, or the URL of its card.
    #[schemars(extend("x-form" = "url"))]
    pub(crate) url: String,
    /// File with certificates (PEM) to trust beside those of the system.
    #[serde(default)]
    #[schemars(extend("x-form" = "file"))]
    pub(crate) ca_file: Option<PathBuf>,
    /// Headers to set on every call: text, or `{ env = "NAME" }`. Never recorded.
    #[serde(default)]
    #[schemars(extend("x-names" = "header"))]
    pub(crate) headers: BTreeMap<String, Given>,
}

/// What is recorded, and how surely.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Record {
    /// When an answer that something depends on is let through.
    pub(crate) durability: Durability,
    /// How many events a `lagged` record may be behind at the most.
    #[schemars(range(min = 1))]
    pub(crate) lag_events_max: u64,
    /// How long a `lagged` record may be behind at the most.
    #[schemars(range(min = 1))]
    pub(crate) lag_ms_max: u64,
    /// What becomes of tool calls and agent messages while the record cannot be written.
    pub(crate) on_outage_tools: OnOutage,
    /// What becomes of model calls while the record cannot be written.
    pub(crate) on_outage_models: OnOutage,
    /// How much is kept aside during an outage. What comes after is counted, and stands in the
    /// record as a gap.
    #[schemars(range(min = 1_048_576))]
    pub(crate) spool_bytes_max: u64,
    /// How long a recorded event waits at the most until the published log holds it.
    #[schemars(range(min = 1))]
    pub(crate) publish_interval_ms: u64,
    /// Keys, bearer tokens and private keys in bodies are blacked out before they are recorded.
    pub(crate) redact: bool,
    /// Regular expressions of what else to black out, as the Rust crate `regex` reads them.
    #[schemars(extend("x-form" = "pattern"))]
    pub(crate) redact_patterns: Vec<String>,
    /// Which contents are kept beside the log: prompts, arguments, results.
    pub(crate) bodies: Bodies,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            durability: Durability::Durable,
            lag_events_max: 1_000,
            lag_ms_max: 50,
            on_outage_tools: OnOutage::Block,
            on_outage_models: OnOutage::Spool,
            spool_bytes_max: 1 << 30,
            publish_interval_ms: 1_000,
            redact: true,
            redact_patterns: Vec::new(),
            bodies: Bodies::All,
        }
    }
}

/// When an answer that something depends on is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Durability {
    /// When its events are on the disk.
    Durable,
    /// At once. A crash may lose what the two limits of the lag allow.
    Lagged,
}

/// What becomes of calls while the record cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnOutage {
    /// They are refused, with an error that says why.
    Block,
    /// They pass, and their events are kept aside until the record is back.
    Spool,
}

/// Which contents are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bodies {
    /// All of them, encrypted and erasable.
    All,
    /// None. Who decided what, when and on what grounds is still recorded.
    None,
}

/// What is too large or too much.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// The largest body of a request or an answer that comes in one piece.
    #[schemars(range(min = 1024, max = 4_294_967_296_u64))]
    pub(crate) body_bytes_max: u64,
    /// The longest line of a stream of server-sent events.
    #[schemars(range(min = 1024, max = 4_294_967_296_u64))]
    pub(crate) sse_line_bytes_max: u64,
    /// All headers of a message together.
    #[schemars(range(min = 1024, max = 16_777_216))]
    pub(crate) header_bytes_max: u64,
    /// Connections at the same time; further ones wait.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) connections_max: u64,
    /// Calls at the same time; further ones are refused as overload.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) in_flight_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 << 20,
            sse_line_bytes_max: 16 << 20,
            header_bytes_max: 64 << 10,
            connections_max: 4_096,
            in_flight_max: 2_048,
        }
    }
}

/// How long is waited.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Timeouts {
    /// For a connection to an upstream, with its TLS handshake.
    #[schemars(range(min = 1))]
    pub(crate) connect_ms: u64,
    /// From the call to the first content of the answer. Until then a fallback is still free.
    #[schemars(range(min = 1))]
    pub(crate) first_token_ms: u64,
    /// From one piece of a streamed answer to the next.
    #[schemars(range(min = 1))]
    pub(crate) idle_ms: u64,
    /// For a call in all, with its retries and fallbacks.
    #[schemars(range(min = 1))]
    pub(crate) total_ms: u64,
    /// For a tool to answer all the same, after its call was cancelled because a rollback holds its
    /// agent.
    pub(crate) cancelled_ms: u64,
    /// For calls in flight when we are told to stop; then they are broken off, truthfully.
    #[schemars(range(min = 1))]
    pub(crate) shutdown_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_ms: 5_000,
            first_token_ms: 300_000,
            idle_ms: 120_000,
            total_ms: 900_000,
            cancelled_ms: 2_000,
            shutdown_ms: 30_000,
        }
    }
}

/// How model calls that failed are tried again.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retry {
    /// How often one upstream is tried in all; 1 never tries again.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) attempts_max: u64,
    /// The wait before the second attempt; each further wait is twice the one before.
    #[schemars(range(min = 1))]
    pub(crate) initial_interval_ms: u64,
    /// The longest such wait.
    #[schemars(range(min = 1))]
    pub(crate) maximum_interval_ms: u64,
    /// How many retries there may be to a hundred calls, so that an upstream that is down is not
    /// called many times over.
    #[schemars(range(max = 1_000))]
    pub(crate) budget_percent: u64,
    /// The longest `Retry-After` that is waited for. Where an upstream asks for more, the agent
    /// gets its answer at once.
    pub(crate) retry_after_max_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 3,
            initial_interval_ms: 500,
            maximum_interval_ms: 8_000,
            budget_percent: 20,
            retry_after_max_ms: 60_000,
        }
    }
}

/// How long persons have to decide about calls that wait for them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Approvals {
    /// How long a call waits for its approval before its agent is told to come again. Less than
    /// agents wait for their tools.
    pub(crate) wait_ms: u64,
    /// How long a person has to decide, and how long an approval is good.
    #[schemars(range(min = 1))]
    pub(crate) expire_ms: u64,
}

impl Default for Approvals {
    fn default() -> Self {
        Self {
            wait_ms: 25_000,
            expire_ms: 3_600_000,
        }
    }
}

/// How decisions are taken back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rollback {
    /// What becomes of calls in flight of agents that a rollback holds.
    pub(crate) in_flight: InFlight,
}

impl Default for Rollback {
    fn default() -> Self {
        Self {
            in_flight: InFlight::Finish,
        }
    }
}

/// Where those are told who must hear of what a rollback cannot take back.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Notify {
    /// A webhook that is sent a message for each. Without it nobody is told, and the plan's steps
    /// say so.
    #[schemars(extend("x-form" = "url"))]
    pub(crate) url: Option<String>,
    /// What messages are signed with, as Standard Webhooks has it: `whsec_` and base64, or any
    /// text; `{ env = "NAME" }`.
    #[schemars(extend("x-form" = "given"))]
    pub(crate) secret: Option<Given>,
    /// Headers to set on every message: text, or `{ env = "NAME" }`. Never recorded.
    #[schemars(extend("x-names" = "header"))]
    pub(crate) headers: BTreeMap<String, Given>,
    /// File with certificates (PEM) to trust beside those of the system.
    #[schemars(extend("x-form" = "file"))]
    pub(crate) ca_file: Option<PathBuf>,
}

/// What becomes of calls in flight of agents that a rollback holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum InFlight {
    /// They are awaited, for 30 s.
    Finish,
    /// Tools are told that nobody waits, tasks are asked to stop, and streams of models are closed.
    /// Of a call that is not answered all the same it is not known how it ended.
    Cancel,
}

/// When calls that lead nowhere and targets that fail are stopped.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Guard {
    /// How often an agent may make the same tool call with the same arguments in a row; the next
    /// one is refused. 0 for no limit.
    #[schemars(range(max = 1_000_000))]
    pub(crate) loop_calls_max: u64,
    /// Failures in a row after which a tool is left alone for a while. 0 for never.
    #[schemars(range(max = 1_000_000))]
    pub(crate) tool_failures_max: u64,
    /// Failures in a row after which an agent gets no messages for a while. 0 for never.
    #[schemars(range(max = 1_000_000))]
    pub(crate) agent_failures_max: u64,
    /// Failures in a row after which a model of an upstream is passed over for a while. 0 for
    /// never.
    #[schemars(range(max = 1_000_000))]
    pub(crate) upstream_failures_max: u64,
    /// How long what failed is left alone the first time; each further time twice as long.
    #[schemars(range(min = 1))]
    pub(crate) open_ms: u64,
    /// The longest such time.
    #[schemars(range(min = 1))]
    pub(crate) open_ms_max: u64,
    /// How many calls at a time may then test whether it is back.
    #[schemars(range(min = 1, max = 1_000))]
    pub(crate) probes_max: u64,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            loop_calls_max: 5,
            tool_failures_max: 5,
            agent_failures_max: 5,
            upstream_failures_max: 5,
            open_ms: 30_000,
            open_ms_max: 300_000,
            probes_max: 1,
        }
    }
}

/// Who may call.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    /// Who or what holds it; stands in the record where it acts.
    #[schemars(extend("x-form" = "name"))]
    pub(crate) name: String,
    /// What it may do.
    pub(crate) role: Role,
    /// SHA-256 of the token in hexadecimal; the token itself is nowhere in the file.
    #[schemars(extend("x-form" = "sha256"))]
    pub(crate) sha256: String,
}

impl Token {
    /// Returns the digest as bytes; none of one that is not 64 hexadecimal digits.
    pub(crate) fn digest(&self) -> Option<[u8; 32]> {
        let mut digest = [0; 32];
        if self.sha256.len() != 64 || !self.sha256.is_ascii() {
            return None;
        }
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&self.sha256[at * 2..at * 2 + 2], 16).ok()?;
        }
        Some(digest)
    }
}

/// What a token may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// Call models, tools and agents.
    Agent,
    /// Look at the record.
    Viewer,
    /// Everything.
    Operator,
}

/// Where the record is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// A PostgreSQL database. Not supported yet by this version, and refused: nothing is ever
    /// recorded elsewhere than you said.
    #[schemars(extend("x-form" = "hidden"))]
    pub(crate) postgres: Option<String>,
}
