//! Where those are told who must hear of what cannot be taken back: a webhook of the operator's.
//!
//! A message is one POST of JSON, signed as Standard Webhooks 1.0 has it, so that receivers check
//! it with what they have. Its id is the key of the step: the same over tries, so that who is told
//! twice can tell. Its address may be a secret, and stands in no record.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::upstream::Endpoint;

/// What the secrets of Standard Webhooks begin with; the rest is base64.
const PREFIX: &str = "whsec_";

/// What a message is, in its own words.
const STANDS: &str = "rescind.stands";

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A webhook.
#[derive(Clone, Debug)]
pub struct Notify {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What messages are signed with, if they are.
    pub secret: Option<Secret>,
}

/// A secret that messages are signed with. Shown nowhere.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl Secret {
    /// Reads a secret: `whsec_` and base64, or the bytes of the text as they are. None if it is
    /// empty, or no base64.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = match text.strip_prefix(PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).ok()?,
            None => text.as_bytes().to_vec(),
        };
        (!bytes.is_empty()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// Signs a message.
    fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        let signed = format!("{id}.{seconds}.{body}");
        let tag = hmac::sign(&self.0, signed.as_bytes());
        format!("v1,{}", STANDARD.encode(tag.as_ref()))
    }
}

/// The body of a message that says what stands, and who must hear of it.
pub(crate) fn body(who: &[String], what: &str, run: &str, step: &str) -> Value {
    json!({
        "type": STANDS,
        "data": { "who": who, "what": what, "run": run, "step": step },
    })
}

impl Notify {
    /// The headers of a message that is sent at this time, in seconds.
    pub(crate) fn headers(&self, id: &str, seconds: i64, body: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        headers.insert(CONTENT_TYPE, json);
        let signature = self.secret.as_ref();
        let signature = signature.map(|secret| secret.sign(id, seconds, body));
        let told = [
            (ID, Some(id.to_owned())),
            (KEY, Some(id.to_owned())),
            (TIMESTAMP, Some(seconds.to_string())),
            (SIGNATURE, signature),
        ];
        for (name, value) in told {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn a_message_is_signed_as_the_specification_says() {
        let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("it is one");
        let signature = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature, expected);
        assert!(Secret::read("whsec_?").is_none());
        assert!(Secret::read("").is_none());
        assert_eq!(format!("{secret:?}"), "Secret(hidden)");
    }
}
