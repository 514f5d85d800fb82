//! Agent cards, made to point to another endpoint and nowhere else.
//!
//! A card says under which addresses an agent is reached: v0.3 in `url` with `preferredTransport`,
//! and in `additionalInterfaces`; v1.0 in `supportedInterfaces`; some cards say both. Rewritten,
//! every JSON-RPC interface has our address, and every other is gone: left in, it would be a way
//! around us. Everything else is kept as it came.
//!
//! Readers of Protocol Buffers take `supported_interfaces` for `supportedInterfaces`, and some for
//! v0.3 do alike, so both spellings are rewritten. A signature does not hold over a changed card:
//! it is taken out, and its loss is told.

use std::borrow::Cow;

use crate::import::json::{Object, quoted, write_array, write_object};
use crate::jsonrpc::{Body, Json, Message, Unreadable, read, unambiguous};

/// Where cards are found: since v0.3, and before.
pub const CARD_PATHS: [&str; 2] = ["/.well-known/agent-card.json", "/.well-known/agent.json"];

/// The one binding that is carried.
const JSONRPC: &str = "JSONRPC";

/// A card that points to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The card, or the answer that holds it.
    pub card: Vec<u8>,
    /// The JSON-RPC interfaces that it had, the preferred one first; never empty.
    pub upstream: Vec<Interface>,
    /// The interfaces that were taken out.
    pub removed: Vec<Interface>,
    /// How many signatures were taken out.
    pub signatures: usize,
}

/// An address of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Where it is. Who wrote the card chose it: whether it may be called is for the caller to see.
    pub url: String,
    /// How it is spoken to: `JSONRPC`, `GRPC`, `HTTP+JSON`, or another.
    pub binding: String,
    /// The version of the protocol, where it is said.
    pub version: Option<String>,
    /// The tenant (v1.0).
    pub tenant: Option<String>,
}

impl Rewritten {
    /// Returns the interface for a request: the first whose major version is that which the
    /// request names, else the first. Without a name, a request is of version 0.3.
    #[must_use]
    pub fn upstream_for(&self, version: Option<&str>) -> Option<&Interface> {
        let major = |text: &str| text.trim().split('.').next().map(str::to_owned);
        let wanted = major(version.unwrap_or("0.3"));
        let speaks =
            |interface: &&Interface| interface.version.as_deref().and_then(major) == wanted;
        let fitting = self.upstream.iter().find(speaks);
        fitting.or_else(|| self.upstream.first())
    }
}

/// Why a card was not rewritten. Then it must not be passed on: it points past us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// Not JSON, or said in two ways.
    #[error("the agent card cannot be read")]
    Unreadable(#[from] Unreadable),
    /// JSON that is no card.
    #[error("the agent card names no interface")]
    NoInterface,
    /// Interfaces, but none that is carried.
    #[error("the agent offers no JSON-RPC interface, only {}", offered.join(", "))]
    NothingCarried {
        /// The bindings that it offers.
        offered: Vec<String>,
    },
}

impl CardError {
    /// Returns what a person can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable(_) | Self::NoInterface => {
                "ask for the card with an HTTP client: the address may not be that of an A2A agent"
            }
            Self::NothingCarried { .. } => "switch on the agent's JSON-RPC binding",
        }
    }
}

/// Makes a card point to `own`, the absolute address of our endpoint for this agent. Rewriting a
/// rewritten card changes nothing.
///
/// # Errors
/// [`CardError`]; then nothing is to be passed on.
pub fn rewrite_card(card: &[u8], own: &str) -> Result<Rewritten, CardError> {
    let text = std::str::from_utf8(card).map_err(|error| Unreadable::Utf8 {
        offset: error.valid_up_to(),
    })?;
    rewrite(Json::parse(text)?, own)
}

/// Makes the card in the answer to `agent/getAuthenticatedExtendedCard` or `GetExtendedAgentCard`
/// point to `own`. None if the answer is an error, which passes as it came.
///
/// # Errors
/// [`CardError`]; then nothing is to be passed on.
pub fn rewrite_card_answer(body: &[u8], own: &str) -> Result<Option<Rewritten>, CardError> {
    let Body::One(Message::Response(response)) = read(body)? else {
        return Err(CardError::NoInterface);
    };
    let Ok(card) = response.result else {
        return Ok(None);
    };
    let mut rewritten = rewrite(card, own)?;
    let card = String::from_utf8_lossy(&rewritten.card).into_owned();
    let text = std::str::from_utf8(body).unwrap_or_default();
    let envelope = Json::parse(text)?.object();
    let fields = envelope.pairs().map(|(key, raw)| match key {
        "result" => (key, &*card),
        _ => (key, raw),
    });
    rewritten.card = write_object(&fields.collect::<Vec<_>>()).into_bytes();
    Ok(Some(rewritten))
}

/// The fields by which a card says where the agent is, in their spellings.
const SUPPORTED: [&str; 2] = ["supportedInterfaces", "supported_interfaces"];
const ADDITIONAL: [&str; 2] = ["additionalInterfaces", "additional_interfaces"];
const PREFERRED: [&str; 2] = ["preferredTransport", "preferred_transport"];
const BINDING: [&str; 3] = ["protocolBinding", "protocol_binding", "transport"];
const VERSION: [&str; 2] = ["protocolVersion", "protocol_version"];

/// The fields that must not be spelt otherwise, since some readers take any case for them.
const CARD: [&str; 8] = [
    "url",
    "signatures",
    SUPPORTED[0],
    SUPPORTED[1],
    ADDITIONAL[0],
    ADDITIONAL[1],
    PREFERRED[0],
    PREFERRED[1],
];
const INTERFACE: [&str; 4] = ["url", BINDING[0], BINDING[1], BINDING[2]];

fn rewrite(card: Json<'_>, own: &str) -> Result<Rewritten, CardError> {
    let object = unambiguous(card, &CARD)?;
    for spellings in [SUPPORTED, ADDITIONAL, PREFERRED, VERSION] {
        once(&object, &spellings)?;
    }
    let mut work = Work {
        own: quoted(own),
        kept: Vec::new(),
        removed: Vec::new(),
    };
    // In the order of preference: v1.0 first, since who speaks it looks there first.
    let supported = work.list(&object, &SUPPORTED, None)?;
    // v0.3 says it once for the card; v1.0 with each interface.
    let version = object.any(&VERSION).and_then(text);
    let version = version.unwrap_or_else(|| "0.3".to_owned());
    if let Some(url) = object.text("url") {
        let binding = object.any(&PREFERRED).and_then(text);
        work.sort(Interface {
            url: url.into_owned(),
            binding: binding.unwrap_or_else(|| JSONRPC.to_owned()),
            version: Some(version.clone()),
            tenant: None,
        });
    }
    let additional = work.list(&object, &ADDITIONAL, Some(&version))?;
    if work.kept.is_empty() {
        if work.removed.is_empty() {
            return Err(CardError::NoInterface);
        }
        let mut offered: Vec<String> = work.removed.into_iter().map(|it| it.binding).collect();
        offered.dedup();
        return Err(CardError::NothingCarried { offered });
    }
    let mut fields: Vec<(&str, Cow<'_, str>)> = Vec::new();
    let mut signatures = 0;
    for (key, raw) in object.pairs() {
        let value = match key {
            "signatures" => {
                signatures = Json::validated(raw).elements().count();
                continue;
            }
            "url" if raw != "null" => Cow::Owned(work.own.clone()),
            key if SUPPORTED.contains(&key) => Cow::Owned(supported.clone()),
            key if ADDITIONAL.contains(&key) => Cow::Owned(additional.clone()),
            key if PREFERRED.contains(&key) => Cow::Owned(quoted(JSONRPC)),
            _ => Cow::Borrowed(raw),
        };
        fields.push((key, value));
    }
    Ok(Rewritten {
        card: write_object(&fields).into_bytes(),
        upstream: work.kept,
        removed: work.removed,
        signatures,
    })
}

/// What is gathered while a card is taken apart.
struct Work {
    /// Our address as JSON.
    own: String,
    kept: Vec<Interface>,
    removed: Vec<Interface>,
}

impl Work {
    fn sort(&mut self, interface: Interface) -> bool {
        let carried = interface.binding.eq_ignore_ascii_case(JSONRPC);
        let into = if carried {
            &mut self.kept
        } else {
            &mut self.removed
        };
        if !into.contains(&interface) {
            into.push(interface);
        }
        carried
    }

    /// Rewrites a list of interfaces. Those that only their address told apart become one.
    fn list(
        &mut self,
        card: &Object<'_>,
        key: &[&str],
        of_card: Option<&str>,
    ) -> Result<String, CardError> {
        let interfaces = card.any(key).map(Json::validated);
        let mut list: Vec<String> = Vec::new();
        for json in interfaces.into_iter().flat_map(Json::elements) {
            let object = unambiguous(json, &INTERFACE)?;
            once(&object, &BINDING)?;
            once(&object, &VERSION)?;
            let Some(url) = object.text("url") else {
                continue;
            };
            let version = object.any(&VERSION).and_then(text);
            let carried = self.sort(Interface {
                url: url.into_owned(),
                binding: object.any(&BINDING).and_then(text).unwrap_or_default(),
                version: version.or_else(|| of_card.map(str::to_owned)),
                tenant: object.filled("tenant").map(Cow::into_owned),
            });
            if carried {
                let rewritten = self.interface(&object);
                if !list.contains(&rewritten) {
                    list.push(rewritten);
                }
            }
        }
        Ok(write_array(&list))
    }

    /// An interface with our address. Any other field that holds an address goes: whatever its
    /// name, it would be a way around us.
    fn interface(&self, object: &Object<'_>) -> String {
        let fields = object.pairs().filter_map(|(key, raw)| match key {
            "url" => Some((key, &*self.own)),
            _ if holds_address(raw) => None,
            _ => Some((key, raw)),
        });
        write_object(&fields.collect::<Vec<_>>())
    }
}

/// Refuses an object that says one thing in several spellings.
fn once(object: &Object<'_>, spellings: &[&str]) -> Result<(), CardError> {
    let said = spellings.iter().filter(|key| object.get(key).is_some());
    let said: Vec<String> = said.map(|key| format!("`{key}`")).collect();
    if said.len() < 2 {
        return Ok(());
    }
    Err(CardError::Unreadable(Unreadable::Ambiguous {
        reason: format!("{} at once", said.join(" and ")),
    }))
}

fn text(raw: &str) -> Option<String> {
    let text = Json::validated(raw).string()?;
    (!text.is_empty()).then(|| text.into_owned())
}

/// Whether there is an absolute address anywhere in a value, escaped or not.
fn holds_address(raw: &str) -> bool {
    // Of the whole value as one string: escapes stand only within its strings.
    let whole = format!("\"{raw}\"");
    let unescaped = Json::validated(&whole).string();
    unescaped.is_some_and(|text| text.contains("://"))
}
