//! The forms of single texts: what an address, a URL or a name may look like.
//!
//! Only the text is judged here; whether a file is there or a host answers is not known from it.

use std::net::{Ipv4Addr, SocketAddr};

use http::{HeaderName, Uri};
use model::Realm;
use regex::Regex;

/// What a text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Anything.
    Plain,
    /// Anything, and never shown.
    Hidden,
    /// Address and port.
    Address,
    /// Base URL, `http` or `https`.
    Url,
    /// Path to a file.
    File,
    /// Path to a directory.
    Directory,
    /// The name of a realm.
    Realm,
    /// Name of a host, without scheme and port.
    Host,
    /// A short name.
    Name,
    /// 64 hexadecimal digits.
    Sha256,
    /// A regular expression.
    Pattern,
}

/// What a text of the wrong form is answered with: what is wrong, and what to do.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) what: String,
    pub(crate) hint: String,
}

fn wrong<T>(what: impl Into<String>, hint: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong {
        what: what.into(),
        hint: hint.into(),
    })
}

impl Form {
    /// Returns the form that a schema calls so.
    pub(crate) fn of(word: Option<&str>) -> Self {
        match word {
            Some("hidden") => Self::Hidden,
            Some("address") => Self::Address,
            Some("url") => Self::Url,
            Some("file") => Self::File,
            Some("directory") => Self::Directory,
            Some("realm") => Self::Realm,
            Some("host") => Self::Host,
            Some("name") => Self::Name,
            Some("sha256") => Self::Sha256,
            Some("pattern") => Self::Pattern,
            _ => Self::Plain,
        }
    }

    /// Names the form for people.
    pub(crate) const fn called(self) -> &'static str {
        match self {
            Self::Plain | Self::Hidden => "a text",
            Self::Address => "an address and port",
            Self::Url => "a URL",
            Self::File => "the path of a file",
            Self::Directory => "the path of a directory",
            Self::Realm => "the name of a realm",
            Self::Host => "the name of a host",
            Self::Name => "a short name",
            Self::Sha256 => "64 hexadecimal digits",
            Self::Pattern => "a regular expression",
        }
    }

    /// Checks `text`, and returns it in the spelling that everything below expects.
    pub(crate) fn check(self, text: &str) -> Result<String, Wrong> {
        match self {
            Self::Plain | Self::Hidden => Ok(text.to_owned()),
            Self::Address => address(text),
            Self::Url => url(text),
            Self::File | Self::Directory if text.is_empty() => wrong(
                "a path cannot be empty",
                "leave the option out for its default",
            ),
            Self::File | Self::Directory => Ok(text.to_owned()),
            Self::Realm => match text.parse::<Realm>() {
                Ok(realm) => Ok(realm.to_string()),
                Err(error) => wrong(error.to_string(), "for example `default` or `team-a`"),
            },
            Self::Host => host(text),
            Self::Name if is_segment(text) => Ok(text.to_owned()),
            Self::Name => wrong(
                format!("`{text}` is not a name"),
                "use 1 to 64 letters, digits, dots, dashes and underscores",
            ),
            // The text is not repeated: somebody may have written the token itself.
            Self::Sha256 => {
                if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    Ok(text.to_ascii_lowercase())
                } else {
                    wrong(
                        "this is not a SHA-256, which has 64 hexadecimal digits",
                        "`rescind config token` makes a token and prints what to write here",
                    )
                }
            }
            Self::Pattern => pattern(text),
        }
    }
}

fn address(text: &str) -> Result<String, Wrong> {
    if let Some(port) = text.strip_prefix("localhost:")
        && let Ok(port) = port.parse::<u16>()
    {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string());
    }
    match text.parse::<SocketAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => wrong(
            format!("`{text}` is not an address and port"),
            "write for example `127.0.0.1:7373`, or `0.0.0.0:7373` for every network of this machine",
        ),
    }
}

fn url(text: &str) -> Result<String, Wrong> {
    const EXAMPLE: &str = "write it whole, for example `https://api.openai.com/v1`";
    // What may be a password is not repeated.
    if text.contains('@') {
        return wrong(
            "a URL cannot hold a user or password here",
            "send it as a header: `headers = { authorization = { env = \"NAME\" } }`",
        );
    }
    let Ok(uri) = text.parse::<Uri>() else {
        return wrong(format!("`{}` is not a URL", url_shown(text)), EXAMPLE);
    };
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => {}
        (Some(scheme), Some(_)) if scheme != "http" && scheme != "https" => {
            return wrong(
                format!("`{scheme}` is not a scheme that we can call"),
                "use `http` or `https`",
            );
        }
        _ => {
            return wrong(
                format!("`{}` does not say `http` or `https`", url_shown(text)),
                EXAMPLE,
            );
        }
    }
    // A port that is no number is silently none to `Uri`.
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let after_host = authority
        .rsplit_once(']')
        .map_or(authority, |(_, rest)| rest);
    if after_host.contains(':') && uri.port_u16().is_none() {
        return wrong(
            format!("`{authority}` has a port that is none"),
            "a port is a number from 1 to 65535",
        );
    }
    if text.contains('#') {
        return wrong("the part after `#` is never sent", "leave it out");
    }
    Ok(if uri.query().is_some() {
        text.to_owned()
    } else {
        text.trim_end_matches('/').to_owned()
    })
}

/// Returns a URL as it may be shown: what stands after `?` may be a key.
pub(crate) fn url_shown(text: &str) -> String {
    let text = match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => text.to_owned(),
    };
    match text.split_once('?') {
        Some((before, _)) => format!("{before}?…"),
        None => text,
    }
}

fn host(text: &str) -> Result<String, Wrong> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
    let port = !text.starts_with('[') && text.contains(':');
    if text.is_empty() || port || !text.bytes().all(legal) {
        return wrong(
            format!("`{text}` is not the name of a host"),
            "write the name alone, without `https://` and port: `rescind.example.org`",
        );
    }
    Ok(text.to_ascii_lowercase())
}

fn pattern(text: &str) -> Result<String, Wrong> {
    let regex = match Regex::new(text) {
        Ok(regex) => regex,
        Err(error) => {
            // The last line says what; those before draw where, over several lines.
            let error = error.to_string();
            let what = error.lines().last().unwrap_or_default();
            let what = what.trim_start_matches("error: ");
            return wrong(
                format!("`{text}` is not a regular expression: {what}"),
                "write it between single quotes, so that TOML leaves its backslashes alone",
            );
        }
    };
    if regex.is_match("") {
        return wrong(
            format!("`{text}` matches the empty text, which is everywhere"),
            "let it match at least one character: `+` in place of `*`",
        );
    }
    Ok(text.to_owned())
}

/// What names a person may choose in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// Any.
    Any,
    /// A part of our URLs.
    Segment,
    /// A header.
    Header,
    /// A variable of the environment.
    Variable,
}

impl Names {
    /// Returns the names that a schema calls so.
    pub(crate) fn of(word: Option<&str>) -> Self {
        match word {
            Some("segment") => Self::Segment,
            Some("header") => Self::Header,
            Some("variable") => Self::Variable,
            _ => Self::Any,
        }
    }

    /// Checks a name.
    pub(crate) fn check(self, name: &str) -> Result<(), Wrong> {
        match self {
            Self::Any => Ok(()),
            Self::Segment if is_segment(name) => Ok(()),
            Self::Segment => wrong(
                format!("`{name}` cannot stand in a URL as it is"),
                "use 1 to 64 letters, digits, dots, dashes and underscores",
            ),
            Self::Header => match HeaderName::from_bytes(name.as_bytes()) {
                Err(_) => wrong(format!("`{name}` is not a header"), "for example `x-team`"),
                Ok(header) if is_ours(&header) => wrong(
                    format!("`{name}` is set for each call and connection anew"),
                    "leave it out",
                ),
                Ok(_) => Ok(()),
            },
            Self::Variable if is_variable(name) => Ok(()),
            Self::Variable => wrong(
                format!("`{name}` is not the name of a variable"),
                "use letters, digits and underscores, and begin with no digit",
            ),
        }
    }
}

/// Headers that belong to one connection or one body, so that no configuration can know them.
fn is_ours(header: &HeaderName) -> bool {
    matches!(
        header.as_str(),
        "host"
            | "content-length"
            | "transfer-encoding"
            | "connection"
            | "te"
            | "trailer"
            | "upgrade"
    )
}

/// Whether a text can be a variable of the environment.
pub(crate) fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_segment(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    matches!(text.len(), 1..=64) && text.bytes().all(legal) && !matches!(text, "." | "..")
}

/// A text that goes into a message: its beginning, where it is long.
pub(crate) fn clipped(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    if text.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    let mut clipped: String = text.chars().take(CHARS_MAX).collect();
    clipped.push('…');
    clipped
}
