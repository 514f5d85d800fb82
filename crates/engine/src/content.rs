//! Opening what was sealed, and saying what became of what cannot be opened.

use std::borrow::Cow;

use ledger::payload::SALT_BYTES;
use ledger::{BlobState, KeyState, StoreError};
use model::{Event, Field, Sealed};

use crate::text::summary;
use crate::view::ContentView;
use crate::{Engine, EngineError};

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
        let Content::Kept(fields) = self.open(event, sealed).await? else {
            return Ok(None);
        };
        let field = fields.into_iter().find(|field| field.role == role);
        Ok(field.map(|field| String::from_utf8_lossy(&field.bytes).into_owned()))
    }

    pub(crate) async fn summary_of(&self, event: &Event) -> Result<Option<String>, EngineError> {
        let Some(sealed) = event.body.sealed() else {
            return Ok(None);
        };
        let Content::Kept(fields) = self.open(event, sealed).await? else {
            return Ok(None);
        };
        let text = [Field::Chosen, Field::Asked, Field::Result]
            .into_iter()
            .find_map(|role| fields.iter().find(|field| field.role == role))
            .map(|field| in_short(&String::from_utf8_lossy(&field.bytes)));
        Ok(text.filter(|text| !text.is_empty()))
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
            let opened = self.open(event, sealed).await?;
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
                    bytes: field.len,
                    state: opened.name().to_owned(),
                    text,
                });
            }
        }
        Ok(contents)
    }

    /// Opens what an event sealed.
    pub(crate) async fn open(
        &self,
        event: &Event,
        sealed: &Sealed,
    ) -> Result<Content, EngineError> {
        let key = match self.store.key(sealed.kid).await? {
            KeyState::Kept(key) => key,
            // Only the log's own word makes it erased; a key that is merely gone is a loss.
            KeyState::Destroyed if self.is_erased(sealed.kid).await? => return Ok(Content::Erased),
            KeyState::Destroyed | KeyState::Absent => return Ok(Content::Missing),
        };
        let ciphertext = match self.store.payload(sealed.ct).await {
            Ok(BlobState::Kept(bytes)) => bytes,
            Ok(BlobState::Scrubbed) if self.is_erased(sealed.kid).await? => {
                return Ok(Content::Erased);
            }
            Ok(BlobState::Scrubbed | BlobState::Absent) => return Ok(Content::Missing),
            // One damaged content must not hide everything else; `verify` locates the damage.
            Err(StoreError::Damaged { .. }) => return Ok(Content::Damaged),
            Err(error) => return Err(error.into()),
        };
        let opened =
            ledger::payload::open(&key, event.id.as_bytes(), &ciphertext).map_err(|source| {
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
}

/// One field of content, opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) role: Field,
    pub(crate) salt: [u8; SALT_BYTES],
    pub(crate) bytes: Vec<u8>,
}

/// What became of sealed content.
#[derive(Debug)]
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
