//! Evidence: one decision, its place in the log, and as much of its content as is disclosed, in
//! one file that verifies offline.
//!
//! Each entry is given byte for byte with a C2SP `.tlog-proof`, which any verifier of that format
//! checks. Disclosed contents come with the salts of their commitments, so that they can be held
//! against the entry; nothing else of the log is revealed.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledger::key::KeyKind;
use ledger::payload::{SALT_BYTES, verify_field};
use ledger::proof::TlogProof;
use ledger::{Checkpoint, Direction, Leaf, Note, Tile, TileError, TileReader, VerifyingKey};
use model::{DecisionId, Field, Strength};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::{Engine, EngineError};

/// Names the format and its version.
pub const EVIDENCE_FORMAT: &str = "rescind evidence 1";

/// The longest chain of causes that is proven, in decisions.
const CHAIN_MAX: usize = 10_000;

/// Evidence of one decision.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// `rescind evidence 1`.
    pub format: String,
    /// The decision.
    pub decision: String,
    /// The log's origin.
    pub origin: String,
    /// Verifier keys of the log. Trust them only if you know them from elsewhere.
    pub log_keys: Vec<String>,
    /// Verifier keys of its witnesses.
    pub witness_keys: Vec<String>,
    /// Whether the whole chain of causes is proven with it.
    pub chain: bool,
    /// The entries that make the decision, and its chain of causes if that was asked for.
    pub entries: Vec<EvidenceEntry>,
    /// The contents that are disclosed.
    pub contents: Vec<EvidenceContent>,
    /// Contents that were asked for and cannot be disclosed.
    pub withheld: Vec<EvidenceWithheld>,
}

/// A content that was asked for and cannot be disclosed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceWithheld {
    /// The entry that commits to it.
    pub index: u64,
    /// Which field it is.
    pub field: String,
    /// `erased` (its key was destroyed, and the log says so), `missing` or `damaged`.
    pub why: String,
}

/// One entry of the log.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceEntry {
    /// Its place in the log.
    pub index: u64,
    /// The entry, byte for byte.
    pub entry: String,
    /// That it is in the log: a C2SP `.tlog-proof`.
    pub proof: String,
}

/// One disclosed content.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceContent {
    /// The entry that commits to it.
    pub index: u64,
    /// Which field it is.
    pub field: String,
    /// The salt of the commitment, base64.
    pub salt: String,
    /// The content.
    pub text: String,
}

/// What checking evidence found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EvidenceReport {
    /// Whether everything holds.
    pub intact: bool,
    /// The decision.
    pub decision: String,
    /// The log's origin.
    pub origin: String,
    /// Entries that are proven to be in the log.
    pub entries: u64,
    /// Contents that are what the entries commit to.
    pub contents: u64,
    /// Size of the log that the proofs are for.
    pub size: u64,
    /// Entries whose checkpoint a trusted witness signed too.
    pub witnessed: u64,
    /// What was asked for and could not be disclosed, in words.
    pub withheld: Vec<String>,
    /// Whether the keys came with the evidence itself; then it proves only that it fits together.
    pub own_keys: bool,
    /// What does not hold.
    pub findings: Vec<String>,
}

/// Evidence that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// It is not JSON of the right form.
    #[error("not an evidence bundle")]
    Form(#[from] serde_json::Error),
    /// It is of another version.
    #[error("the evidence has format `{found}`, this program knows `{EVIDENCE_FORMAT}`")]
    Format {
        /// What it says.
        found: String,
    },
    /// A verifier key cannot be read.
    #[error("`{key}` is not a verifier key")]
    Key {
        /// The key.
        key: String,
        /// Why not.
        #[source]
        source: ledger::NoteError,
    },
}

/// Reads names of contents to disclose; `all` is every one.
///
/// # Errors
/// [`EngineError::NoField`] names the first that is none.
pub fn fields_named<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeSet<Field>, EngineError> {
    let mut fields = BTreeSet::new();
    for name in names {
        if name == "all" {
            fields.extend(Field::ALL);
            continue;
        }
        let known = Field::ALL.into_iter().find(|field| field.name() == name);
        fields.insert(known.ok_or_else(|| EngineError::NoField {
            name: name.chars().take(80).collect(),
        })?);
    }
    Ok(fields)
}

impl Engine {
    /// Makes evidence of a decision under the last signed checkpoint.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Unproven`] if the log was not sealed since.
    pub async fn prove(
        &self,
        id: DecisionId,
        disclose: &BTreeSet<Field>,
        chain: bool,
    ) -> Result<Evidence, EngineError> {
        let note = self.store.log_file("checkpoint").await?;
        let note = note.ok_or(EngineError::Unproven { index: 0, size: 0 })?;
        let note = Note::parse(&note).map_err(EngineError::Checkpoint)?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(EngineError::Checkpoint)?;
        let sealing = self.store.sealing().await?;
        // A key that did not sign this checkpoint would only make the evidence look incomplete.
        let signed = |key: &String| {
            let key = key.parse::<VerifyingKey>();
            key.is_ok_and(|key| note.verify(std::slice::from_ref(&key)).is_ok())
        };
        let mut evidence = Evidence {
            format: EVIDENCE_FORMAT.to_owned(),
            decision: id.to_string(),
            origin: sealing.origin,
            log_keys: sealing.log.into_iter().filter(signed).collect(),
            witness_keys: sealing.witnesses.into_iter().filter(signed).collect(),
            chain,
            entries: Vec::new(),
            contents: Vec::new(),
            withheld: Vec::new(),
        };
        let mut ids = vec![id];
        if chain {
            let causes = self
                .store
                .closure(id, Direction::Causes, Strength::Possible, CHAIN_MAX)
                .await?;
            ids.extend(causes.into_iter().map(|(id, _)| id));
        }
        let mut tiles = Tiles::default();
        for id in ids {
            for (index, event) in self.events_of(id).await? {
                let size = checkpoint.size;
                if index >= size {
                    return Err(EngineError::Unproven { index, size });
                }
                let proof = self.inclusion(&mut tiles, index, size, &note).await?;
                let leaf = self.store.read(index, 1).await?.pop();
                let (_, bytes) = leaf.ok_or_else(|| EngineError::NotFound {
                    text: format!("leaf {index}"),
                })?;
                let entry = String::from_utf8_lossy(&bytes).into_owned();
                evidence.entries.push(EvidenceEntry {
                    index,
                    entry,
                    proof: proof.to_string(),
                });
                let Some(sealed) = event.body.sealed() else {
                    continue;
                };
                if disclose.is_empty() {
                    continue;
                }
                let opened = self.open(&event, sealed).await?;
                let why = opened.name();
                let Content::Kept(fields) = opened else {
                    let asked = sealed
                        .fields
                        .iter()
                        .filter(|field| disclose.contains(&field.role));
                    evidence
                        .withheld
                        .extend(asked.map(|field| EvidenceWithheld {
                            index,
                            field: field.role.name().to_owned(),
                            why: why.to_owned(),
                        }));
                    continue;
                };
                for field in fields
                    .into_iter()
                    .filter(|field| disclose.contains(&field.role))
                {
                    evidence.contents.push(EvidenceContent {
                        index,
                        field: field.role.name().to_owned(),
                        salt: STANDARD.encode(field.salt),
                        text: String::from_utf8_lossy(&field.bytes).into_owned(),
                    });
                }
            }
        }
        Ok(evidence)
    }

    /// Builds an inclusion proof, fetching tiles as the proof turns out to need them.
    async fn inclusion(
        &self,
        tiles: &mut Tiles,
        index: u64,
        size: u64,
        note: &Note,
    ) -> Result<TlogProof, EngineError> {
        loop {
            match TlogProof::build(&*tiles, size, index, note.clone()) {
                Ok(proof) => return Ok(proof),
                Err(error) => {
                    // Each round fetches one tile more; a proof needs at most a few of each level.
                    let Some(path) = tiles.wanted.borrow_mut().take() else {
                        return Err(EngineError::Tile(error));
                    };
                    let bytes = self.store.log_file(&path).await?;
                    tiles.files.insert(path, bytes);
                }
            }
        }
    }
}

/// Tiles fetched so far; a miss is noted for the next round.
#[derive(Debug, Default)]
struct Tiles {
    files: HashMap<String, Option<Vec<u8>>>,
    wanted: RefCell<Option<String>>,
}

impl TileReader for Tiles {
    fn read(&self, tile: Tile) -> Result<Vec<u8>, TileError> {
        let path = tile.path();
        match self.files.get(&path) {
            Some(Some(bytes)) => Ok(bytes.clone()),
            Some(None) => Err(TileError::Missing { tile }),
            None => {
                *self.wanted.borrow_mut() = Some(path);
                // Whatever is tried in place of a missing tile is not wanted until this one was.
                let source = "it is not fetched yet".into();
                Err(TileError::Unreadable { tile, source })
            }
        }
    }
}

/// Checks evidence, offline. `keys` are the verifier keys that are trusted; if there are none,
/// those in the evidence are taken, and the report says so.
///
/// # Errors
/// [`EvidenceError`] if it cannot be read; what does not hold is in the report.
pub fn verify_evidence(bytes: &[u8], keys: &[String]) -> Result<EvidenceReport, EvidenceError> {
    let evidence: Evidence = serde_json::from_slice(bytes)?;
    if evidence.format != EVIDENCE_FORMAT {
        return Err(EvidenceError::Format {
            found: evidence.format,
        });
    }
    let own_keys = keys.is_empty();
    let texts: Vec<&String> = if own_keys {
        evidence
            .log_keys
            .iter()
            .chain(&evidence.witness_keys)
            .collect()
    } else {
        keys.iter().collect()
    };
    let parse = |text: &&String| {
        text.parse::<VerifyingKey>()
            .map_err(|source| EvidenceError::Key {
                key: (*text).clone(),
                source,
            })
    };
    let keys = texts.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let mut report = EvidenceReport {
        intact: false,
        decision: evidence.decision.clone(),
        origin: evidence.origin.clone(),
        entries: 0,
        contents: 0,
        size: 0,
        witnessed: 0,
        withheld: evidence
            .withheld
            .iter()
            .map(|gone| format!("{} of entry {} is {}", gone.field, gone.index, gone.why))
            .collect(),
        own_keys,
        findings: Vec::new(),
    };
    check_entries(&evidence, &keys, &mut report);
    for content in &evidence.contents {
        match check_content(content, &evidence.entries) {
            Ok(()) => report.contents += 1,
            Err(why) => {
                report.findings.push(format!(
                    "{} of entry {}: {why}",
                    content.field, content.index
                ));
            }
        }
    }
    report.intact = report.findings.is_empty();
    Ok(report)
}

fn check_entries(evidence: &Evidence, keys: &[VerifyingKey], report: &mut EvidenceReport) {
    let mut proven = BTreeSet::new();
    let mut causes = BTreeSet::new();
    for entry in &evidence.entries {
        let found = &mut report.findings;
        match check_entry(entry, keys) {
            Ok((checkpoint, witnessed)) => {
                report.entries += 1;
                report.witnessed += u64::from(witnessed);
                if report.size != 0 && report.size != checkpoint.size {
                    found.push(format!(
                        "entry {}: another checkpoint than the others",
                        entry.index
                    ));
                }
                report.size = checkpoint.size;
                if checkpoint.origin != evidence.origin {
                    let (says, is) = (&evidence.origin, &checkpoint.origin);
                    found.push(format!(
                        "entry {}: it is from {is}, not from {says}",
                        entry.index
                    ));
                }
                report.origin = checkpoint.origin;
            }
            Err(why) => found.push(format!("entry {}: {why}", entry.index)),
        }
        let Ok(event) = Leaf::decode(entry.entry.as_bytes()) else {
            continue;
        };
        // Only the entry that begins a decision makes the others of it readable.
        if event.body.proposal().is_some() {
            proven.extend(event.body.decision());
        }
        causes.extend(event.body.causes().iter().map(|cause| cause.decision));
    }
    if !proven.iter().any(|id| id.to_string() == evidence.decision) {
        report
            .findings
            .push(format!("no entry begins decision {}", evidence.decision));
    }
    if evidence.chain {
        for absent in causes.difference(&proven) {
            report
                .findings
                .push(format!("the chain lacks its cause {absent}"));
        }
    }
}

fn check_entry(entry: &EvidenceEntry, keys: &[VerifyingKey]) -> Result<(Checkpoint, bool), String> {
    let proof = TlogProof::parse(entry.proof.as_bytes()).map_err(|error| error.to_string())?;
    if proof.index != entry.index {
        return Err(format!("its proof is for entry {}", proof.index));
    }
    let checkpoint = proof
        .verify(entry.entry.as_bytes(), keys)
        .map_err(|error| error.to_string())?;
    let signers = proof
        .checkpoint
        .verify(keys)
        .map_err(|error| error.to_string())?;
    let witnesses = || keys.iter().filter(|key| key.kind() == KeyKind::Cosignature);
    for key in witnesses() {
        if !signers.iter().any(|signer| std::ptr::eq(signer.key, key)) {
            return Err(format!(
                "the witness {} did not sign its checkpoint",
                key.name()
            ));
        }
    }
    Ok((checkpoint, witnesses().next().is_some()))
}

fn check_content(content: &EvidenceContent, entries: &[EvidenceEntry]) -> Result<(), String> {
    let entry = entries.iter().find(|entry| entry.index == content.index);
    let entry = entry.ok_or("there is no such entry")?;
    let event = Leaf::decode(entry.entry.as_bytes()).map_err(|error| error.to_string())?;
    let sealed = event
        .body
        .sealed()
        .ok_or("the entry commits to no content")?;
    let field = sealed
        .fields
        .iter()
        .find(|field| field.role.name() == content.field);
    let field = field.ok_or("the entry commits to no such field")?;
    let salt = STANDARD.decode(&content.salt).ok();
    let salt: Option<[u8; SALT_BYTES]> = salt.and_then(|salt| salt.try_into().ok());
    let salt = salt.ok_or("the salt is not 16 bytes in base64")?;
    if verify_field(&salt, content.text.as_bytes(), &field.com) {
        Ok(())
    } else {
        Err("it is not what the entry commits to".to_owned())
    }
}
