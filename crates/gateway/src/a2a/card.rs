//! The card of an agent: read where it is configured, and made to point here.

use http::header::{
    CONTENT_TYPE, ETAG, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use tokio::time::timeout;
use wire::a2a::{CARD_PATHS, CardError, Rewritten, rewrite_card};

use crate::route::Below;
use crate::rpc::{self, Refusal};
use crate::upstream::Endpoint;
use crate::{Body, Inner, headers, reply};

/// The longest card that is read, in bytes.
const CARD_BYTES_MAX: usize = 4 << 20;

/// What asking for a card came to.
enum Found {
    /// One that points to us, and the headers that it came with.
    Card(Box<Rewritten>, HeaderMap),
    /// There is none.
    None(StatusCode),
}

/// Answers a request for the card.
pub(super) async fn answer(
    inner: &Inner,
    below: &Below,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    own: &str,
) -> Response<Body> {
    match fetch(inner, endpoint, &below.path, headers, own).await {
        Ok(Found::Card(card, came_with)) => {
            let mut back = Response::new(reply::whole(card.card.clone()));
            *back.headers_mut() = headers::back(&came_with);
            // They are of the card as it was.
            for name in [ETAG, LAST_MODIFIED] {
                back.headers_mut().remove(name);
            }
            let json = HeaderValue::from_static("application/json");
            back.headers_mut().insert(CONTENT_TYPE, json);
            inner.a2a.keep_card(&below.name, *card);
            back
        }
        Ok(Found::None(status)) => {
            let message = format!(
                "`{}` answers {status} in place of its card",
                endpoint.host()
            );
            let status = if status.is_client_error() {
                status
            } else {
                StatusCode::BAD_GATEWAY
            };
            reply::plain(status, "no_card", &message)
        }
        Err(refusal) => reply::plain(StatusCode::BAD_GATEWAY, refusal.code, &refusal.message),
    }
}

/// Returns where an agent's requests of a version go: to the interface that its card names, as
/// long as that is on the configured host; without a card, to the configured address itself.
pub(super) async fn interface(
    inner: &Inner,
    agent: &str,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    version: Option<&str>,
    own: &str,
) -> Result<Uri, Refusal> {
    let card = match inner.a2a.card(agent) {
        Some(card) => Some(card),
        None => match fetch(inner, endpoint, CARD_PATHS[0], headers, own).await? {
            Found::Card(card, _) => Some(inner.a2a.keep_card(agent, *card)),
            Found::None(_) => None,
        },
    };
    let Some(interface) = card.as_ref().and_then(|card| card.upstream_for(version)) else {
        return Ok(endpoint.url.clone());
    };
    let url: Option<Uri> = interface.url.parse().ok();
    match url.filter(|url| origin(url).is_some() && origin(url) == origin(&endpoint.url)) {
        Some(url) => Ok(url),
        None => {
            let message = format!(
                "the card of agent `{agent}` puts its interface at `{}`, which is not on `{}`; \
                 only the configured address is called: set `url` of the agent to that one",
                interface.url,
                endpoint.host()
            );
            Err(Refusal::new("card_elsewhere", message))
        }
    }
}

/// Reads the card where it may lie, and rewrites it.
async fn fetch(
    inner: &Inner,
    endpoint: &Endpoint,
    wanted: &str,
    headers: &HeaderMap,
    own: &str,
) -> Result<Found, Refusal> {
    let mut headers = headers.clone();
    for name in [CONTENT_TYPE, IF_NONE_MATCH, IF_MODIFIED_SINCE] {
        headers.remove(name);
    }
    let mut last = StatusCode::NOT_FOUND;
    for uri in places(&endpoint.url, wanted) {
        let asking = inner
            .client
            .call(endpoint, &Method::GET, uri, &headers, bytes::Bytes::new());
        let late = || Refusal::new("upstream_timeout", "the agent's card did not come in time");
        let limit = inner.options.timeouts.first_token;
        let response = timeout(limit, asking).await.map_err(|_| late())?;
        let response = response.map_err(|error| rpc::unreached(&error).0)?;
        let (parts, body) = response.into_parts();
        rpc::passable(parts.status, &parts.headers, endpoint.host())?;
        last = parts.status;
        if last == StatusCode::NOT_FOUND || last == StatusCode::METHOD_NOT_ALLOWED {
            continue;
        }
        if last != StatusCode::OK {
            break;
        }
        let body = Limited::new(body, CARD_BYTES_MAX).collect();
        let body = timeout(limit, body).await.map_err(|_| late())?;
        let body = body.map_err(|error| {
            Refusal::new(
                "card_broken",
                format!("the agent's card broke off: {error}"),
            )
        })?;
        let card = rewrite_card(&body.to_bytes(), own).map_err(|error| unfit(&error))?;
        return Ok(Found::Card(Box::new(card), parts.headers));
    }
    Ok(Found::None(last))
}

/// Why a card is not passed on.
pub(super) fn unfit(error: &CardError) -> Refusal {
    let reason = match error {
        CardError::Unreadable(reason) => format!("{error}: {reason}"),
        error => error.to_string(),
    };
    Refusal::new("card_unfit", format!("{reason}; {}", error.hint()))
}

/// Where the card may lie: at the configured address, if that is a card's, else below it, at the
/// path that was asked for first.
fn places(url: &Uri, wanted: &str) -> Vec<Uri> {
    if url.path().ends_with(".json") {
        return vec![url.clone()];
    }
    let base = url.path().trim_end_matches('/');
    let rest = CARD_PATHS.into_iter().filter(|path| *path != wanted);
    std::iter::once(wanted)
        .chain(rest)
        .filter_map(|path| {
            let mut parts = url.clone().into_parts();
            parts.path_and_query = Some(format!("{base}{path}").parse().ok()?);
            Uri::from_parts(parts).ok()
        })
        .collect()
}

/// Scheme, host and port.
fn origin(url: &Uri) -> Option<(String, String, u16)> {
    let scheme = url.scheme_str()?.to_ascii_lowercase();
    let port = match (url.port_u16(), &*scheme) {
        (Some(port), _) => port,
        (None, "http") => 80,
        (None, "https") => 443,
        (None, _) => return None,
    };
    Some((scheme, url.host()?.to_ascii_lowercase(), port))
}
