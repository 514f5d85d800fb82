//! Leaves: an event as the bytes that are hashed, and the keys under which it is found.

use std::sync::Arc;

use model::{Event, IndexKeys};

/// The longest leaf, in bytes: an entry bundle gives its entries a length of 16 bits
/// (C2SP tlog-tiles).
pub const LEAF_LEN_MAX: usize = 65_535;

/// One event, ready to be appended. Cheap to clone: who appends keeps a copy until it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    inner: Arc<Inner>,
}

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    bytes: Vec<u8>,
    keys: IndexKeys,
}

/// An event that cannot be a leaf, or bytes that are not one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    /// The event does not fit into a leaf.
    #[error("the event has {len} bytes, more than the {LEAF_LEN_MAX} of a leaf")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The bytes are not an event.
    #[error("the leaf is not an event")]
    Form(#[source] serde_json::Error),
    /// The event has a newer form than this program knows.
    #[error("the leaf has version {found}, this program knows versions up to 1")]
    Newer {
        /// The version found.
        found: u8,
    },
}

impl Leaf {
    /// Encodes `event` as canonical JSON (RFC 8785).
    ///
    /// Fields are declared in the order of their names and no field is a floating-point number,
    /// so plain serialisation is canonical; a property test holds this against the canonical
    /// encoder.
    ///
    /// # Errors
    /// [`LeafError::TooLong`].
    pub fn encode(event: &Event) -> Result<Self, LeafError> {
        // Few are longer: to move one costs more than the room that the others leave.
        let mut bytes = Vec::with_capacity(1_536);
        serde_json::to_writer(&mut bytes, event).map_err(LeafError::Form)?;
        if bytes.len() > LEAF_LEN_MAX {
            return Err(LeafError::TooLong { len: bytes.len() });
        }
        let keys = IndexKeys::of(event);
        Ok(Self {
            inner: Arc::new(Inner { bytes, keys }),
        })
    }

    /// Decodes the bytes of a leaf.
    ///
    /// # Errors
    /// [`LeafError::Form`] and [`LeafError::Newer`].
    pub fn decode(bytes: &[u8]) -> Result<Event, LeafError> {
        // Looked at whole, text is known to be text sooner than string by string.
        let event: Result<Event, _> = match std::str::from_utf8(bytes) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(bytes),
        };
        let event = event.map_err(LeafError::Form)?;
        if event.v > 1 {
            return Err(LeafError::Newer { found: event.v });
        }
        Ok(event)
    }

    /// Returns the exact bytes that are hashed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.inner.bytes
    }

    /// Returns the keys under which the event is found.
    #[must_use]
    pub fn keys(&self) -> &IndexKeys {
        &self.inner.keys
    }
}
