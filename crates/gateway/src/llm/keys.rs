//! The keys that a call is made with, so that nothing which quotes one is recorded.
//!
//! Headers are never recorded; but some providers quote the key that they refuse, and such an
//! answer is. What an agent writes into its own messages is not looked at here: that is redaction,
//! which knows what keys look like.

use engine::live::Ended;
use http::HeaderMap;

/// Headers that carry keys.
const CARRIERS: &[&str] = &["authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// What is shorter is no key, and striking it would spoil the record.
const KEY_BYTES_MIN: usize = 8;

/// What stands in the place of a key.
const STRUCK: &str = "[key]";

/// Keys of one call.
#[derive(Default)]
pub(crate) struct Keys(Vec<String>);

impl Keys {
    /// Reads the keys of a caller's headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut keys = Self::default();
        for name in CARRIERS {
            for value in headers.get_all(*name) {
                keys.add(value.to_str().unwrap_or_default());
            }
        }
        keys
    }

    /// Adds the key of a header, with or without the scheme before it.
    pub(super) fn add(&mut self, value: &str) {
        let key = value.rsplit(' ').next().unwrap_or_default();
        if key.len() >= KEY_BYTES_MIN {
            self.0.push(key.to_owned());
        }
    }

    /// Strikes them out of what would be recorded.
    pub(super) fn strike(&self, ended: &mut Ended) {
        for key in &self.0 {
            let texts = ended.kept.iter_mut().map(|(_, _, text)| text);
            for text in texts.chain([&mut ended.output]) {
                if text.contains(key.as_str()) {
                    *text = text.replace(key.as_str(), STRUCK);
                }
            }
        }
    }
}
