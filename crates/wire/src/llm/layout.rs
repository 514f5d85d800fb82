//! A request as it lies in its body, for who changes a piece of it and leaves every other byte.

use std::ops::Range;

use super::fields::{Body, Fields, Raw};
use super::{Api, Request, Unreadable, read_body, unreadable, utf8};

/// The fields of a request and the items of its history, as slices of the body. Nothing is
/// judged: the items are what stands there, in the form of the wire.
#[derive(Clone, Debug)]
pub struct Layout<'a> {
    api: Api,
    text: &'a str,
    body: Body<'a>,
}

impl<'a> Layout<'a> {
    /// Reads where things lie.
    ///
    /// # Errors
    /// [`Unreadable`] if the body is no JSON object.
    pub fn read(api: Api, body: &'a [u8]) -> Result<Self, Unreadable> {
        let text = utf8(body)?;
        let body = Body::parse(text, api.history()).map_err(unreadable)?;
        Ok(Self { api, text, body })
    }

    /// Reads what the request says, as [`read_request`](super::read_request) does.
    ///
    /// # Errors
    /// [`Unreadable`] if it is no request of this wire.
    pub fn request(&self) -> Result<Request<'a>, Unreadable> {
        read_body(self.api, self.body.clone())
    }

    /// Returns the wire.
    #[must_use]
    pub const fn api(&self) -> Api {
        self.api
    }

    /// Returns the body.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// Returns the fields around the history.
    #[must_use]
    pub const fn fields(&self) -> &Fields<'a> {
        &self.body.fields
    }

    /// Returns the key of the history.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        self.api.history()
    }

    /// Returns the items of the history, where it is a list of them.
    #[must_use]
    pub fn items(&self) -> &[Fields<'a>] {
        self.body.items().unwrap_or_default()
    }

    /// Returns whether a key is given twice, in the request or in an item: parsers disagree which
    /// counts.
    #[must_use]
    pub fn repeats(&self) -> bool {
        self.fields().repeats() || self.items().iter().any(Fields::repeats)
    }

    /// Returns where a slice lies in the body.
    ///
    /// # Panics
    /// If it is no slice of this body.
    #[must_use]
    pub fn place(&self, raw: Raw<'a>) -> Range<usize> {
        let at = (raw.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        let place = at..at.saturating_add(raw.len());
        assert!(place.end <= self.text.len(), "a slice of another body");
        place
    }
}
