//! Opening what was sealed, and saying what became of what cannot be opened.

use std::borrow::Cow;
use std::collections::{HashMap, hash_map};

use ledger::payload::{self, FieldRef, PayloadError, SALT_BYTES};
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
    pub(crate) async fn whole(
        &self,
        mut opened: Content,
        sealed: &Sealed,
    ) -> Result<Content, EngineError> {
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
        let found = self.ciphertext(found, sealed.kid).await?;
        let event = event.id;
        Closed { event, sealed }.unsealed(found.map(|bytes| (key, bytes)))
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
        // So many at a time as may be in memory together.
        let mut parts: Vec<(Vec<usize>, Vec<Closed<'_>>)> = Vec::new();
        let mut bytes = 0;
        for (place, event) in events.iter().enumerate() {
            let Some(sealed) = event.body.sealed() else {
                continue;
            };
            if parts.is_empty() || bytes + sealed.len > BYTES_MAX {
                parts.push(Default::default());
                bytes = 0;
            }
            bytes += sealed.len;
            if let Some((places, part)) = parts.last_mut() {
                places.push(place);
                let event = event.id;
                part.push(Closed { event, sealed });
            }
        }
        let mut opened: Vec<Option<Content>> = events.iter().map(|_| None).collect();
        for (places, part) in parts {
            let found = self.fetch(&part).await?;
            let pairs = part.iter().zip(found).collect();
            let unsealed = at_once::spread(pairs, |(closed, found): (&Closed<'_>, _)| {
                closed.unsealed(found)
            });
            for (place, content) in places.into_iter().zip(unsealed) {
                opened[place] = Some(content?);
            }
        }
        Ok(opened)
    }

    /// Reads what these sealed, all of it together and each key once, and opens none of it.
    pub(crate) async fn fetch(&self, closed: &[Closed<'_>]) -> Result<Vec<Fetched>, EngineError> {
        let mut keys: HashMap<SubjectId, Result<SubjectKey, Content>> = HashMap::new();
        for closed in closed {
            if let hash_map::Entry::Vacant(unknown) = keys.entry(closed.sealed.kid) {
                unknown.insert(self.key_of(closed.sealed.kid).await?);
            }
        }
        let mut asked: Vec<(EventId, Digest)> = Vec::with_capacity(closed.len());
        for closed in closed {
            if keys[&closed.sealed.kid].is_ok() {
                asked.push((closed.event, closed.sealed.ct));
            }
        }
        let mut found = self.store.payloads(&asked).await?.into_iter();
        let mut fetched = Vec::with_capacity(closed.len());
        for closed in closed {
            let key = match &keys[&closed.sealed.kid] {
                Ok(key) => key.clone(),
                Err(gone) => {
                    fetched.push(Err(gone.clone()));
                    continue;
                }
            };
            let found = found.next().unwrap_or(Ok(BlobState::Absent));
            let bytes = self.ciphertext(found, closed.sealed.kid).await?;
            fetched.push(bytes.map(|bytes| (key, bytes)));
        }
        Ok(fetched)
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

/// What an event sealed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed<'a> {
    pub(crate) event: EventId,
    pub(crate) sealed: &'a Sealed,
}

/// What can be opened with which key, or what became of it.
pub(crate) type Fetched = Result<(SubjectKey, Vec<u8>), Content>;

impl Closed<'_> {
    /// Opens what was read of it.
    pub(crate) fn open(
        &self,
        key: &SubjectKey,
        bytes: Vec<u8>,
    ) -> Result<payload::Opened, EngineError> {
        payload::open_in_place(key, self.event.as_bytes(), bytes).map_err(|e| self.failed(e))
    }

    /// Returns what is in it, by what the leaf says that the fields are: they are in the order in which
    /// they were sealed.
    pub(crate) fn fields<'o>(
        &self,
        opened: &'o payload::Opened,
    ) -> Result<impl Iterator<Item = (Field, FieldRef<'o>)>, EngineError> {
        let fields = opened.fields().map_err(|e| self.failed(e))?;
        Ok(self.sealed.fields.iter().map(|said| said.role).zip(fields))
    }

    /// Whether a part of it stands in an earlier decision.
    pub(crate) fn leans(&self) -> bool {
        self.sealed.fields.iter().any(|field| field.base.is_some())
    }

    pub(crate) fn unsealed(&self, found: Fetched) -> Result<Content, EngineError> {
        let (key, bytes) = match found {
            Ok(found) => found,
            Err(gone) => return Ok(gone),
        };
        let opened = self.open(&key, bytes)?;
        let fields = self.fields(&opened)?.map(|(role, field)| Opened {
            role,
            salt: *field.salt,
            bytes: field.bytes.to_vec(),
        });
        Ok(Content::Kept(fields.collect()))
    }

    fn failed(&self, source: PayloadError) -> EngineError {
        let event = self.event.to_string();
        EngineError::Content { event, source }
    }
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
