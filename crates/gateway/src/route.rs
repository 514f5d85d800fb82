//! Which wire a path is on.
//!
//! ```text
//! /openai/v1/chat/completions               /agents/<agent>/openai/v1/chat/completions
//! /mcp/<server>                             /agents/<agent>/mcp/<server>
//! /a2a/<agent>[/.well-known/…]              /agents/<agent>/a2a/<agent>[/.well-known/…]
//! ```
//!
//! A path is taken apart as it came, without decoding: what an upstream would read differently
//! (encoded slashes and dots, empty and dotted segments, backslashes) is refused, not mended.

use http::Uri;
use wire::llm::Api;

use crate::{Options, Wire};

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The agent, where the URL names it.
    pub(crate) agent: Option<String>,
    pub(crate) front: Front,
}

impl Route {
    /// Returns the wire for our own words to the caller, before its front has read anything.
    pub(crate) const fn words(&self) -> Api {
        match &self.front {
            Front::Llm(target) => target.words(),
            Front::Mcp(_) | Front::A2a(_) => Api::Chat,
        }
    }
}

impl Target {
    /// Returns the wire for our own words to the caller.
    pub(crate) const fn words(&self) -> Api {
        match (self.api, self.wire) {
            (Some(api), _) => api,
            (None, Wire::OpenAi) => Api::Chat,
            (None, Wire::Anthropic) => Api::Messages,
        }
    }
}

/// The front that takes the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// A model's.
    Llm(Target),
    /// That of an MCP server.
    Mcp(Below),
    /// That of an agent.
    A2a(Below),
}

/// An address of a configured server or agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Below {
    /// Its name.
    pub(crate) name: String,
    /// Our path for it, without a slash at its end.
    pub(crate) own: String,
    /// What stands below that path, beginning with a slash, or nothing.
    pub(crate) path: String,
    /// The query, without its mark.
    pub(crate) query: Option<String>,
}

/// An address of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The upstreams' name.
    pub(crate) name: String,
    /// The path below the upstream's base, beginning with a slash, with the query.
    pub(crate) rest: String,
    /// The wire of the path, where it is one that models are asked on.
    pub(crate) api: Option<Api>,
    pub(crate) wire: Wire,
}

/// A path that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPath {
    /// Somebody on the way could read it differently.
    #[error("the path is ambiguous: encoded slashes or dots, empty or dotted parts are not taken")]
    Ambiguous,
    /// The name of an agent is none.
    #[error("`{0}` in the path is no name: use 1 to 128 letters, digits, `.`, `-`, `_`, `@`, `:`")]
    Name(&'static str),
    /// Nothing is there.
    #[error(
        "nothing is there; agents call `/openai/v1/…`, `/anthropic/v1/…` or another configured \
         upstream, `/mcp/<server>`, `/a2a/<agent>`, or the same below `/agents/<agent>/`"
    )]
    Unknown,
    /// A client looks for whom to sign in with.
    #[error(
        "signing in does not go through here: a token is made out for the server's own address; \
         give the client one for that address, or set it as a header of the server in rescind.toml"
    )]
    SignIn,
    /// No server of that name is configured.
    #[error("no such MCP server is configured; `[mcp.<server>]` in rescind.toml names them")]
    UnknownServer,
    /// Only we call that server.
    #[error(
        "this MCP server is for rollbacks alone and takes no calls of agents; \
         `mcp.<server>.agents` in rescind.toml says so"
    )]
    NotForAgents,
    /// No agent of that name is configured.
    #[error("no such agent is configured; `[a2a.<agent>]` in rescind.toml names them")]
    UnknownAgent,
}

/// Whether a path is the gateway's, legal or not.
pub(crate) fn takes(path: &str, options: &Options) -> bool {
    let first = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    matches!(first, "agents" | "mcp" | "a2a")
        || options.upstreams.contains_key(first)
        || is_sign_in(path)
}

/// Whether somebody looks for whom to sign in with, for something below this address (RFC 8414,
/// RFC 9728).
fn is_sign_in(path: &str) -> bool {
    path.split("/.well-known/")
        .skip(1)
        .any(|rest| rest.starts_with("oauth-") || rest.starts_with("openid-configuration"))
}

/// Reads a path.
pub(crate) fn read(uri: &Uri, options: &Options) -> Result<Route, BadPath> {
    let path = uri.path();
    if !is_plain(path) {
        return Err(BadPath::Ambiguous);
    }
    if is_sign_in(path) {
        return Err(BadPath::SignIn);
    }
    let mut rest = path.strip_prefix('/').ok_or(BadPath::Ambiguous)?;
    let mut agent = None;
    if let Some(after) = rest.strip_prefix("agents/") {
        let (name, after) = after.split_once('/').ok_or(BadPath::Unknown)?;
        let name = decoded(name).ok_or(BadPath::Name("agent"))?;
        agent = Some(name);
        rest = after;
    }
    let (name, below) = rest.split_once('/').ok_or(BadPath::Unknown)?;
    match name {
        "mcp" => {
            let below = below_of(path, below, uri).ok_or(BadPath::Name("server"))?;
            if options.only_ours.contains(&below.name) {
                return Err(BadPath::NotForAgents);
            }
            let known = options.mcp.contains_key(&below.name);
            let front = Front::Mcp(known.then_some(below).ok_or(BadPath::UnknownServer)?);
            return Ok(Route { agent, front });
        }
        "a2a" => {
            let below = below_of(path, below, uri).ok_or(BadPath::Name("agent"))?;
            let known = options.a2a.contains_key(&below.name);
            let front = Front::A2a(known.then_some(below).ok_or(BadPath::UnknownAgent)?);
            return Ok(Route { agent, front });
        }
        _ => {}
    }
    let upstreams = options.upstreams.get(name).ok_or(BadPath::Unknown)?;
    let wire = upstreams.first().ok_or(BadPath::Unknown)?.wire;
    // The base of an upstream ends with the version, as the base URL of the SDKs does.
    let below = below.strip_prefix("v1/").unwrap_or(below);
    let api = match (wire, below) {
        (Wire::OpenAi, "chat/completions") => Some(Api::Chat),
        (Wire::OpenAi, "responses") => Some(Api::Responses),
        (Wire::Anthropic, "messages") => Some(Api::Messages),
        _ => None,
    };
    let query = uri
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    Ok(Route {
        agent,
        front: Front::Llm(Target {
            name: name.to_owned(),
            rest: format!("/{below}{query}"),
            api,
            wire,
        }),
    })
}

/// Takes apart what stands behind `/mcp/` or `/a2a/`.
fn below_of(path: &str, rest: &str, uri: &Uri) -> Option<Below> {
    let end = rest.find('/').unwrap_or(rest.len());
    let (name, below) = rest.split_at(end);
    let own = path.strip_suffix(below).unwrap_or(path);
    Some(Below {
        name: decoded(name)?,
        own: own.to_owned(),
        path: below.trim_end_matches('/').to_owned(),
        query: uri.query().map(str::to_owned),
    })
}

/// Whether everybody reads the path alike.
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    !lower.contains("%2f")
        && !lower.contains("%5c")
        && !lower.contains("%2e")
        && !lower.contains("%00")
        && !path.contains('\\')
        && !path.contains("//")
        && path.split('/').all(|part| part != "." && part != "..")
}

/// A name in a path: a few characters, the `@` and `:` of which may be encoded.
fn decoded(name: &str) -> Option<String> {
    let name = name
        .replace("%40", "@")
        .replace("%3A", ":")
        .replace("%3a", ":");
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@:".contains(&byte);
    (matches!(name.len(), 1..=128) && name.bytes().all(legal)).then_some(name)
}
