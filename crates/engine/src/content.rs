//! Opening what was sealed, and saying what became of what cannot be opened.

use std::borrow::Cow;
use std::collections::{HashMap, hash_map};

use ledger::payload::SALT_BYTES;
use ledger::{BlobState, KeyState, StoreError, SubjectKey};
use model::{Base, Digest, Event, EventId, Field, Sealed, SubjectId};

use crate::text::summary;
use crate::view::ContentView;
use crate::{Engine, EngineError, at_once};

/// Sealed contents that are in memory together, in bytes.
const BYTES_MAX: u64 = 16 << 20;

/// How many characters of content a node shows.
const SUMMARY_WIDTH: usize = 72;

impl Engine {
    pub(crate) async fn opened_field(
        &self,
        event: &Event,
        role: Field,
    ) -> Result<Option<String>, EngineError> {
        let Some(sealed) = event.body.sealed() else {
            return Ok(None);
        };
        if !sealed.fields.iter().any(|field| field.role == role) {
            return Ok(None);
        }
        let Content::Kept(fields) = self.open_whole(event, sealed).await? else {
            return Ok(None);
        };
        let field = fields.into_iter().find(|field| field.role == role);
        Ok(field.map(|field| String::from_utf8_lossy(&field.bytes).into_owned()))
    }

    /// The beginning of what each of these events says, as far as it is kept in the event itself.
    /// What is read is read together, as much as may be in memory.
    pub(crate) async fn summaries(
        &self,
        events: &[&Event],
    ) -> Result<Vec<Option<String>>, EngineError> {
        let mut summaries = Vec::with_capacity(events.len());
        let (mut from, mut bytes) = (0, 0);
        for (at, event) in events.iter().enumerate() {
            let len = event.body.sealed().map_or(0, |sealed| sealed.len);
            if bytes + len > BYTES_MAX {
                let part = self.open_each_as_kept(&events[from..at]).await?;
                summaries.extend(part.iter().map(in_short_of));
                (from, bytes) = (at, 0);
            }
            bytes += len;
        }
        let part = self.open_each_as_kept(&events[from..]).await?;
        summaries.extend(part.iter().map(in_short_of));
        Ok(summaries)
    }

    pub(crate) async fn contents(
        &self,
        events: &[(u64, Event)],
    ) -> Result<Vec<ContentView>, EngineError> {
        let mut contents = Vec::new();
        for (_, event) in events {
            let Some(sealed) = event.body.sealed() else {
                continue;
            };
            let opened = self.open_whole(event, sealed).await?;
            for field in &sealed.fields {
                let text = match &opened {
                    Content::Kept(fields) => fields
                        .iter()
                        .find(|kept| kept.role == field.role)
                        .map(|kept| String::from_utf8_lossy(&kept.bytes).into_owned()),
                    Content::Erased | Content::Damaged | Content::Missing => None,
                };
                contents.push(ContentView {
                    field: field.role.name().to_owned(),
                    bytes: field.len + field.base.map_or(0, |base| base.head + base.tail),
                    state: opened.name().to_owned(),
                    text,
                });
            }
        }
        Ok(contents)
    }

    /// Opens what an event sealed, with what its fields have in common with earlier ones.
    pub(crate) async fn open_whole(
        &self,
        event: &Event,
        sealed: &Sealed,
    ) -> Result<Content, EngineError> {
        let opened = self.open(event, sealed).await?;
        self.whole(opened, sealed).await
    }

    /// Adds what fields have in common with earlier ones.
    async fn whole(&self, mut opened: Content, sealed: &Sealed) -> Result<Content, EngineError> {
        let Content::Kept(fields) = &mut opened else {
            return Ok(opened);
        };
        for (field, said) in fields.iter_mut().zip(&sealed.fields) {
            let Some(base) = said.base else { continue };
            let Some(earlier) = self.base_of(base, said.role).await? else {
                return Ok(Content::Missing);
            };
            let (head, tail) = (base.head as usize, base.tail as usize);
            let (Some(head), Some(tail)) = (
                earlier.get(..head),
                earlier
                    .len()
                    .checked_sub(tail)
                    .and_then(|at| earlier.get(at..)),
            ) else {
                return Ok(Content::Damaged);
            };
            field.bytes = [head, &field.bytes, tail].concat();
        }
        Ok(opened)
    }

    /// Returns the field of an earlier decision that others have a part of. How far that leads is
    /// bounded where such parts are made.
    async fn base_of(&self, base: Base, role: Field) -> Result<Option<Vec<u8>>, EngineError> {
        for (_, event) in self.events_of(base.decision).await? {
            let Some(sealed) = event.body.sealed() else {
                continue;
            };
            if !sealed.fields.iter().any(|field| field.role == role) {
                continue;
            }
            let Content::Kept(fields) = Box::pin(self.open_whole(&event, sealed)).await? else {
                return Ok(None);
            };
            let field = fields.into_iter().find(|field| field.role == role);
            return Ok(field.map(|field| field.bytes));
        }
        Ok(None)
    }

    /// Opens what an event sealed, as it is kept.
    pub(crate) async fn open(
        &self,
        event: &Event,
        sealed: &Sealed,
    ) -> Result<Content, EngineError> {
        let key = match self.key_of(sealed.kid).await? {
            Ok(key) => key,
            Err(gone) => return Ok(gone),
        };
        let found = self.store.payload(event.id, sealed.ct).await;
        let ciphertext = match self.ciphertext(found, sealed.kid).await? {
            Ok(ciphertext) => ciphertext,
            Err(gone) => return Ok(gone),
        };
        unsealed(&key, event, sealed, &ciphertext)
    }

    /// Opens what each of these events sealed, with what their fields have in common with earlier
    /// ones; none where an event sealed nothing. What is read is read together, each key once.
    pub(crate) async fn open_each(
        &self,
        events: &[&Event],
    ) -> Result<Vec<Option<Content>>, EngineError> {
        let mut opened = self.open_each_as_kept(events).await?;
        for (content, event) in opened.iter_mut().zip(events) {
            if let (Some(kept), Some(sealed)) = (content.take(), event.body.sealed()) {
                *content = Some(self.whole(kept, sealed).await?);
            }
        }
        Ok(opened)
    }

    /// Opens what each of these events sealed, without what their fields have in common with earlier
    /// ones.
    async fn open_each_as_kept(
        &self,
        events: &[&Event],
    ) -> Result<Vec<Option<Content>>, EngineError> {
        let mut keys: HashMap<SubjectId, Result<SubjectKey, Content>> = HashMap::new();
        for sealed in events.iter().filter_map(|event| event.body.sealed()) {
            if let hash_map::Entry::Vacant(unknown) = keys.entry(sealed.kid) {
                unknown.insert(self.key_of(sealed.kid).await?);
            }
        }
        let mut opened: Vec<Option<Content>> = events.iter().map(|_| None).collect();
        let (mut part, mut bytes) = (Vec::new(), 0);
        for (place, event) in events.iter().enumerate() {
            let Some(sealed) = event.body.sealed() else {
                continue;
            };
            let key = match &keys[&sealed.kid] {
                Ok(key) => key,
                Err(gone) => {
                    opened[place] = Some(gone.clone());
                    continue;
                }
            };
            if bytes + sealed.len > BYTES_MAX {
                let part = std::mem::take(&mut part);
                self.open_part(part, &mut opened).await?;
                bytes = 0;
            }
            bytes += sealed.len;
            let event: &Event = event;
            part.push(Closed {
                place,
                event,
                sealed,
                key,
            });
        }
        self.open_part(part, &mut opened).await?;
        Ok(opened)
    }

    /// Opens some of these, so many as may be in memory together.
    async fn open_part(
        &self,
        part: Vec<Closed<'_>>,
        opened: &mut [Option<Content>],
    ) -> Result<(), EngineError> {
        let asked = part
            .iter()
            .map(|closed| (closed.event.id, closed.sealed.ct));
        let asked: Vec<(EventId, Digest)> = asked.collect();
        let found = self.store.payloads(&asked).await?;
        let mut kept = Vec::with_capacity(found.len());
        for (closed, found) in part.into_iter().zip(found) {
            match self.ciphertext(found, closed.sealed.kid).await? {
                Ok(bytes) => kept.push((closed, bytes)),
                Err(gone) => opened[closed.place] = Some(gone),
            }
        }
        let unsealed = at_once::spread(kept, |(closed, bytes)| {
            let content = unsealed(closed.key, closed.event, closed.sealed, &bytes);
            (closed.place, content)
        });
        for (place, content) in unsealed {
            opened[place] = Some(content?);
        }
        Ok(())
    }

    /// Returns a subject's key, or what became of everything that it opens.
    async fn key_of(&self, subject: SubjectId) -> Result<Result<SubjectKey, Content>, EngineError> {
        Ok(match self.store.key(subject).await? {
            KeyState::Kept(key) => Ok(key),
            // Only the log's own word makes it erased; a key that is merely gone is a loss.
            KeyState::Destroyed if self.is_erased(subject).await? => Err(Content::Erased),
            KeyState::Destroyed | KeyState::Absent => Err(Content::Missing),
        })
    }

    /// Returns what can be opened of a payload, or what became of it.
    async fn ciphertext(
        &self,
        found: Result<BlobState, StoreError>,
        subject: SubjectId,
    ) -> Result<Result<Vec<u8>, Content>, EngineError> {
        Ok(match found {
            Ok(BlobState::Kept(bytes)) => Ok(bytes),
            Ok(BlobState::Scrubbed) if self.is_erased(subject).await? => Err(Content::Erased),
            Ok(BlobState::Scrubbed | BlobState::Absent) => Err(Content::Missing),
            // One damaged content must not hide everything else; `verify` locates the damage.
            Err(StoreError::Damaged { .. }) => Err(Content::Damaged),
            Err(error) => return Err(error.into()),
        })
    }
}

/// What is to be opened, and the number of who asked for it.
struct Closed<'a> {
    place: usize,
    event: &'a Event,
    sealed: &'a Sealed,
    key: &'a SubjectKey,
}

fn unsealed(
    key: &SubjectKey,
    event: &Event,
    sealed: &Sealed,
    ciphertext: &[u8],
) -> Result<Content, EngineError> {
    let opened = ledger::payload::open(key, event.id.as_bytes(), ciphertext).map_err(|source| {
        EngineError::Content {
            event: event.id.to_string(),
            source,
        }
    })?;
    // The leaf says what the fields are, in the order in which they were sealed.
    let fields = sealed.fields.iter().zip(opened);
    Ok(Content::Kept(
        fields
            .map(|(said, field)| Opened {
                role: said.role,
                salt: field.salt,
                bytes: field.bytes,
            })
            .collect(),
    ))
}

/// One field of content, opened.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) role: Field,
    pub(crate) salt: [u8; SALT_BYTES],
    pub(crate) bytes: Vec<u8>,
}

/// What became of sealed content.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// It can be read.
    Kept(Vec<Opened>),
    /// Its key was destroyed, and the log says so.
    Erased,
    /// It is there and does not open: it was changed, or its key was.
    Damaged,
    /// It is not there, and nothing says why.
    Missing,
}

impl Content {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Kept(_) => "kept",
            Self::Erased => "erased",
            Self::Damaged => "damaged",
            Self::Missing => "missing",
        }
    }
}

/// The beginning of what an event says.
fn in_short_of(content: &Option<Content>) -> Option<String> {
    let Some(Content::Kept(fields)) = content else {
        return None;
    };
    let text = [Field::Chosen, Field::Asked, Field::Result]
        .into_iter()
        .find_map(|role| fields.iter().find(|field| field.role == role))
        .map(|field| in_short(&String::from_utf8_lossy(&field.bytes)));
    text.filter(|text| !text.is_empty())
}

/// The beginning of a content. Of a list of tool calls, their names say more than their JSON.
pub(crate) fn in_short(text: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Call<'a> {
        #[serde(borrow)]
        function: Option<Function<'a>>,
        #[serde(borrow)]
        name: Option<Cow<'a, str>>,
    }
    #[derive(serde::Deserialize)]
    struct Function<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
    }
    if text.trim_start().starts_with('[')
        && let Ok(calls) = serde_json::from_str::<Vec<Call<'_>>>(text)
    {
        let names: Option<Vec<&str>> = calls
            .iter()
            .map(|call| {
                call.function
                    .as_ref()
                    .map(|f| &*f.name)
                    .or(call.name.as_deref())
            })
            .collect();
        if let Some(names) = names.filter(|names| !names.is_empty()) {
            return summary(&format!("calls {}", names.join(", ")), SUMMARY_WIDTH);
        }
    }
    summary(text, SUMMARY_WIDTH)
}
