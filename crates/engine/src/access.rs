//! Who may do what: bearer tokens and their roles, and which hosts and pages are answered.
//!
//! Plain functions over what a request says of itself, so that every face that listens (the API,
//! the gateway) decides alike. Nothing here reads a request, and no token is kept: only the digest
//! of one, so that neither the configuration nor a core dump gives any away.

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use ledger::digest::sha256;

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends its calls through the gateway, and sees nothing of the record.
    Agent,
    /// Reads the record.
    Viewer,
    /// Everything.
    Operator,
}

/// A kind of deed, as roles allow them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Send a call through the gateway.
    Call,
    /// Read the record.
    Read,
    /// Change what happens: approve, erase, roll back.
    Operate,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Viewer, Self::Operator];

    /// Returns whether the role allows the deed.
    #[must_use]
    pub const fn may(self, deed: Deed) -> bool {
        matches!(
            (self, deed),
            (Self::Operator, _) | (Self::Agent, Deed::Call) | (Self::Viewer, Deed::Read)
        )
    }

    /// Returns the name that the configuration uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }

    /// Returns the role that the configuration calls `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A token that is accepted.
#[derive(Clone)]
pub struct Token {
    /// Whose it is, for people.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// SHA-256 of the token's text.
    pub sha256: [u8; 32],
}

impl Token {
    /// A token of this text.
    #[must_use]
    pub fn of(text: &str, name: impl Into<String>, role: Role) -> Self {
        Self {
            name: name.into(),
            role,
            sha256: sha256(text.as_bytes()).0,
        }
    }
}

impl fmt::Debug for Token {
    /// Shows no digest: a weak token could be guessed from it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Why a caller is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// A token is needed, and none came.
    #[error("a token is needed")]
    NoToken,
    /// The token is none of those that are accepted.
    #[error("the token is not known")]
    UnknownToken,
    /// The token is known, and its role does not allow this.
    #[error("the role `{}` does not allow this", role.name())]
    Role {
        /// The token's role.
        role: Role,
    },
}

impl Denied {
    /// Returns what a person can do.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::NoToken => "send one of the configured tokens as `Authorization: Bearer TOKEN`",
            Self::UnknownToken => "the configuration lists the tokens by their SHA-256",
            Self::Role { .. } => {
                "agents send calls, viewers read, operators do everything: use another token"
            }
        }
    }
}

/// Who is let in.
///
/// Without more it lets in only who has a token. Once [`bound_to`](Access::bound_to) a loopback
/// address, and only if there is no token, everybody who reaches it is the operator: whoever can
/// connect there works on this machine already.
#[derive(Clone, Debug, Default)]
pub struct Access {
    tokens: Vec<Token>,
    loopback: bool,
    hosts: Vec<String>,
}

impl Access {
    /// Lets in who has one of these tokens.
    #[must_use]
    pub const fn new(tokens: Vec<Token>) -> Self {
        Self {
            tokens,
            loopback: false,
            hosts: Vec::new(),
        }
    }

    /// Says on which address requests arrive.
    #[must_use]
    pub const fn bound_to(mut self, address: IpAddr) -> Self {
        self.loopback = match address {
            IpAddr::V4(address) => address.is_loopback(),
            IpAddr::V6(address) => address.is_loopback(),
        };
        self
    }

    /// Answers to these host names too, besides those of loopback.
    #[must_use]
    pub fn answering_to(mut self, hosts: impl IntoIterator<Item = String>) -> Self {
        let names = hosts.into_iter().map(|host| host.to_ascii_lowercase());
        self.hosts.extend(names);
        self
    }

    /// Decides who a caller is, from the token that came along.
    ///
    /// # Errors
    /// [`Denied::NoToken`], [`Denied::UnknownToken`].
    pub fn check(&self, presented: Option<&str>) -> Result<Role, Denied> {
        if self.loopback && self.tokens.is_empty() {
            return Ok(Role::Operator);
        }
        let digest = sha256(presented.ok_or(Denied::NoToken)?.as_bytes());
        // Every token is compared, in constant time each: how long it takes says nothing of which
        // one was nearly right.
        let mut found = Err(Denied::UnknownToken);
        for token in &self.tokens {
            if verify_slices_are_equal(&token.sha256, &digest.0).is_ok() {
                found = Ok(token.role);
            }
        }
        found
    }

    /// Returns the name of the token that came along, if it is one of those that are accepted.
    #[must_use]
    pub fn name_of(&self, presented: Option<&str>) -> Option<&str> {
        let digest = sha256(presented?.as_bytes());
        let mut found = None;
        for token in &self.tokens {
            if verify_slices_are_equal(&token.sha256, &digest.0).is_ok() {
                found = Some(&*token.name);
            }
        }
        found
    }

    /// Decides whether a caller may do something.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit(&self, presented: Option<&str>, deed: Deed) -> Result<Role, Denied> {
        let role = self.check(presented)?;
        if role.may(deed) {
            Ok(role)
        } else {
            Err(Denied::Role { role })
        }
    }

    /// Returns whether a request that was sent to this host is answered.
    ///
    /// A page of another site can give its own name our loopback address and then pass for this
    /// site in a browser (DNS rebinding). It cannot change the name that it was loaded under, so
    /// on loopback only names that mean this machine are answered. Elsewhere a token is needed,
    /// which such a page does not have.
    #[must_use]
    pub fn answers_to(&self, host: &str) -> bool {
        if !self.loopback {
            return true;
        }
        let Some(name) = host_name(host) else {
            return false;
        };
        let name = name.to_ascii_lowercase();
        matches!(&*name, "localhost" | "127.0.0.1" | "[::1]") || self.hosts.contains(&name)
    }
}

/// The name in `name:port`, without the port.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = if host.starts_with('[') {
        let end = host.find(']')? + 1;
        host.split_at(end)
    } else {
        host.split_at(host.find(':').unwrap_or(host.len()))
    };
    let digits = |port: &str| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    (port.is_empty() || port.strip_prefix(':').is_some_and(digits)).then_some(name)
}

/// Returns the token of an `Authorization` header.
#[must_use]
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    let token = token.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Returns whether a browser sent a request from a page of another site.
///
/// Takes the headers `Origin`, `Sec-Fetch-Site` and `Host`. What sends none of the first two is
/// no browser, and has whatever rights it has without us. Reading needs no such check: a browser
/// shows the page no answer of another site, unless that site allows it, and this one never does.
#[must_use]
pub fn is_cross_site(origin: Option<&str>, fetch_site: Option<&str>, host: &str) -> bool {
    match (fetch_site, origin) {
        // A person who types the address comes from `none`.
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, None) => false,
        // Older browsers. `null` is the origin of pages that hide theirs.
        (None, Some(origin)) => origin
            .split_once("://")
            .is_none_or(|(_, from)| !from.eq_ignore_ascii_case(host)),
    }
}
