//! Making events: ids, times, and sealing what they carry.

use ledger::payload::{FieldIn, PayloadError, SALT_BYTES, Sealer};
use ledger::{Entropy, SubjectKey};
use model::{Body, Event, EventId, Field, HybridTime, Media, Sealed, SealedField, SubjectId};

use crate::{Engine, EngineError};

/// A content to seal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain<'a> {
    /// What stands around the text, and is kept elsewhere.
    pub(crate) base: Option<model::Base>,
    pub(crate) role: Field,
    pub(crate) media: Media,
    pub(crate) text: &'a str,
}

/// Whose key seals.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) subject: SubjectId,
    pub(crate) key: SubjectKey,
}

impl Envelope {
    /// Seals the contents of one event; none where there is nothing to seal.
    pub(crate) fn seal(
        &self,
        sealer: &mut Sealer,
        entropy: &dyn Entropy,
        event: EventId,
        plain: &[Plain<'_>],
    ) -> Result<Option<(Sealed, Vec<u8>)>, PayloadError> {
        if plain.is_empty() {
            return Ok(None);
        }
        let fields: Vec<FieldIn<'_>> = plain
            .iter()
            .map(|field| FieldIn {
                role: field.role.name(),
                media: field.media.name(),
                bytes: field.text.as_bytes(),
                salt: ledger::entropy::draw::<SALT_BYTES>(entropy),
            })
            .collect();
        let nonce = ledger::entropy::draw(entropy);
        let sealed = sealer.seal(&self.key, nonce, event.as_bytes(), &fields)?;
        let fields = plain
            .iter()
            .zip(sealed.fields)
            .map(|(plain, field)| SealedField {
                base: plain.base,
                com: field.com,
                len: field.len,
                media: plain.media,
                role: plain.role,
            })
            .collect();
        let seen = Sealed {
            ct: sealed.ct,
            fields,
            kid: self.subject,
            len: sealed.len,
        };
        Ok(Some((seen, sealed.ciphertext)))
    }
}

impl Engine {
    /// Draws a new event id for `at`.
    pub(crate) fn event_id(&self, at: HybridTime) -> EventId {
        EventId::new(at.millis(), ledger::entropy::draw(&*self.entropy))
    }

    /// Makes an event that begins or continues a stream.
    pub(crate) fn new_event(&self, body: Body, prev: Option<EventId>) -> Event {
        let at = self.next_time();
        Event {
            at,
            body,
            id: self.event_id(at),
            prev,
            v: 1,
        }
    }

    /// Appends one event and returns its place in the log.
    pub(crate) async fn append_one(&self, event: &Event) -> Result<u64, EngineError> {
        let leaf = ledger::Leaf::encode(event).map_err(|source| EngineError::Unrecordable {
            position: event.body.name().to_owned(),
            source,
        })?;
        let batch = ledger::Batch {
            leaves: vec![leaf],
            payloads: Vec::new(),
        };
        let appended = self.append_batch(batch).await?;
        Ok(appended.seqs[0])
    }
}
