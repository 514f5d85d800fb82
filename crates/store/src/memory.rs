//! The store in memory: the whole seam, and nothing that outlives the process.
//!
//! For tests and for trying things out. It says so in its notices; nothing falls back to it when
//! another store cannot be reached.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ledger::{
    Appended, Batch, BlobState, Checkpoint, DecisionRow, Direction, Found, KeyState, LogBuilder,
    Page, RunRow, Sealing, SigningKey, Store, StoreError, StoreStatus, SubjectKey, ToolRow,
    digest::sha256,
};
use model::{DecisionId, Digest, Edge, EventId, Kind, Origin, RunId, Strength, SubjectId, Touched};

use crate::admit::{Known, Staged, admit};
use crate::error::unavailable;
use crate::projection::Projection;

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    key: SigningKey,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    leaves: Vec<Vec<u8>>,
    index: Projection,
    builder: LogBuilder,
    files: BTreeMap<String, Vec<u8>>,
    checkpoint: Option<(u64, String)>,
    payloads: HashMap<Digest, (SubjectId, BlobState)>,
    keys: HashMap<SubjectId, KeyState>,
    closed: bool,
}

impl Known for Projection {
    fn seq_of(&mut self, event: EventId) -> Result<Option<u64>, StoreError> {
        Ok(Self::seq_of(self, event))
    }

    fn head(&mut self, stream: [u8; 16]) -> Result<Option<EventId>, StoreError> {
        Ok(Self::head(self, stream))
    }
}

impl MemoryStore {
    /// Returns an empty store whose log is called `origin` and signed with the key of `seed`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the origin cannot name a log.
    pub fn new(origin: &str, seed: &[u8; 32]) -> Result<Self, StoreError> {
        let key = SigningKey::from_seed(origin, seed)
            .map_err(|e| unavailable(format!("call a log `{origin}`"), e))?;
        Ok(Self {
            key,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            Err(StoreError::Closed)
        } else {
            Ok(state)
        }
    }
}

impl Default for MemoryStore {
    /// An empty store under a key that everybody knows.
    fn default() -> Self {
        Self::new("memory.invalid/log", &[7; 32]).expect("the name is legal")
    }
}

impl State {
    fn append(&mut self, mut batch: Batch) -> Result<Appended, StoreError> {
        if let Some((ct, _)) = batch
            .payloads
            .iter()
            .find(|(ct, bytes)| sha256(bytes) != *ct)
        {
            return Err(StoreError::Payload { ct: *ct });
        }
        let next = self.leaves.len() as u64;
        let admitted = admit(&mut self.index, &mut Staged::default(), next, &batch)?;
        for (place, subject) in admitted.payloads {
            let (ct, bytes) = std::mem::take(&mut batch.payloads[place]);
            self.payloads.insert(ct, (subject, BlobState::Kept(bytes)));
        }
        let mut out = Vec::new();
        for place in &admitted.new {
            let leaf = &batch.leaves[*place];
            self.index.take(self.leaves.len() as u64, leaf.keys());
            self.builder
                .push(leaf.bytes(), &mut out)
                .map_err(|e| unavailable("put a leaf into the tree", e))?;
            self.leaves.push(leaf.bytes().to_vec());
        }
        self.files
            .extend(out.into_iter().map(|file| (file.tile.path(), file.bytes)));
        Ok(Appended {
            seqs: admitted.seqs,
            new: admitted.new.len(),
        })
    }

    fn publish(&mut self, key: &SigningKey) -> Result<String, StoreError> {
        let size = self.builder.size();
        if let Some((published, note)) = &self.checkpoint
            && *published == size
        {
            return Ok(note.clone());
        }
        let mut out = Vec::new();
        self.builder.publish(&mut out);
        self.files
            .extend(out.into_iter().map(|file| (file.tile.path(), file.bytes)));
        let checkpoint = Checkpoint {
            origin: key.name().to_owned(),
            size,
            root: self.builder.root(),
        };
        let note = checkpoint
            .sign(&[key])
            .map_err(|e| unavailable("sign a checkpoint", e))?
            .to_string();
        self.files
            .insert("checkpoint".to_owned(), note.clone().into_bytes());
        self.checkpoint = Some((size, note.clone()));
        Ok(note)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        self.state()?.append(batch)
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let state = self.state()?;
        let start = usize::try_from(from)
            .unwrap_or(usize::MAX)
            .min(state.leaves.len());
        let leaves = state.leaves[start..].iter().take(limit);
        Ok((from..).zip(leaves.cloned()).collect())
    }

    async fn status(&self) -> Result<StoreStatus, StoreError> {
        let state = self.state()?;
        let size = state.leaves.len() as u64;
        Ok(StoreStatus {
            durable: size,
            indexed: size,
            published: state.checkpoint.as_ref().map_or(0, |(size, _)| *size),
            last: state.index.last(),
            notices: vec![
                "this store is in memory: nothing outlives the process".to_owned(),
                "no witness: rolling the log back would not be noticed".to_owned(),
            ],
        })
    }

    async fn wait_indexed(&self, size: u64) -> Result<(), StoreError> {
        let have = self.state()?.leaves.len() as u64;
        if size <= have {
            Ok(())
        } else {
            Err(beyond(size, have))
        }
    }

    async fn publish(&self) -> Result<String, StoreError> {
        self.state()?.publish(&self.key)
    }

    async fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state()?.files.get(path).cloned())
    }

    async fn sealing(&self) -> Result<Sealing, StoreError> {
        drop(self.state()?);
        Ok(Sealing {
            origin: self.key.name().to_owned(),
            log: vec![self.key.verifying_key().to_string()],
            witnesses: Vec::new(),
        })
    }

    async fn payloads(
        &self,
        asked: &[(EventId, Digest)],
    ) -> Result<Vec<Result<BlobState, StoreError>>, StoreError> {
        let state = self.state()?;
        let found = asked.iter().map(|(event, ct)| {
            Projection::seq_of(&state.index, *event)?;
            state.payloads.get(ct)
        });
        Ok(found
            .map(|found| Ok(found.map_or(BlobState::Absent, |(_, blob)| blob.clone())))
            .collect())
    }

    async fn key(&self, subject: SubjectId) -> Result<KeyState, StoreError> {
        Ok(self
            .state()?
            .keys
            .get(&subject)
            .cloned()
            .unwrap_or(KeyState::Absent))
    }

    async fn keep_key(&self, subject: SubjectId, key: SubjectKey) -> Result<(), StoreError> {
        let mut state = self.state()?;
        match state.keys.get(&subject) {
            Some(KeyState::Kept(kept)) if *kept == key => Ok(()),
            Some(_) => Err(StoreError::KeyExists { subject }),
            None => {
                state.keys.insert(subject, KeyState::Kept(key));
                Ok(())
            }
        }
    }

    async fn destroy_key(&self, subject: SubjectId) -> Result<(), StoreError> {
        let mut state = self.state()?;
        state.keys.insert(subject, KeyState::Destroyed);
        for (of, blob) in state.payloads.values_mut() {
            if *of == subject {
                *blob = BlobState::Scrubbed;
            }
        }
        Ok(())
    }

    async fn head(&self, stream: [u8; 16]) -> Result<Option<EventId>, StoreError> {
        Ok(self.state()?.index.head(stream))
    }

    async fn runs(&self, page: Page) -> Result<Vec<RunRow>, StoreError> {
        Ok(self.state()?.index.runs(page))
    }

    async fn named_runs(&self, limit: u64) -> Result<Vec<(String, RunId)>, StoreError> {
        Ok(self.state()?.index.named_runs(limit))
    }

    async fn imported(&self, origins: &[Origin]) -> Result<Vec<Option<RunRow>>, StoreError> {
        let state = self.state()?;
        let found = origins.iter().map(|origin| state.index.imported(origin));
        Ok(found.collect())
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRow>, StoreError> {
        Ok(self.state()?.index.run_row(run))
    }

    async fn decisions(
        &self,
        run: Option<RunId>,
        page: Page,
    ) -> Result<Vec<DecisionRow>, StoreError> {
        Ok(self.state()?.index.decisions(run, page))
    }

    async fn decisions_of(
        &self,
        kind: Kind,
        runs: Option<&[RunId]>,
    ) -> Result<Vec<DecisionRow>, StoreError> {
        Ok(self.state()?.index.decisions_of(kind, runs))
    }

    async fn rows(&self, ids: &[DecisionId]) -> Result<Vec<DecisionRow>, StoreError> {
        Ok(self.state()?.index.rows(ids))
    }

    async fn events_of(&self, decision: DecisionId) -> Result<Vec<u64>, StoreError> {
        Ok(self.state()?.index.events_of(decision))
    }

    async fn leaves_of(
        &self,
        decisions: &[DecisionId],
    ) -> Result<Vec<Vec<(u64, Vec<u8>)>>, StoreError> {
        let state = self.state()?;
        let leaf = |seq: u64| {
            let place = usize::try_from(seq).unwrap_or(usize::MAX);
            Some((seq, state.leaves.get(place)?.clone()))
        };
        let of = |id: &DecisionId| state.index.events_of(*id).into_iter();
        Ok(decisions
            .iter()
            .map(|id| of(id).filter_map(leaf).collect())
            .collect())
    }

    async fn events_about(&self, subject: SubjectId) -> Result<Vec<u64>, StoreError> {
        Ok(self.state()?.index.events_about(subject))
    }

    async fn events_named(&self, names: &[&str]) -> Result<Vec<u64>, StoreError> {
        Ok(self.state()?.index.events_named(names))
    }

    async fn touching(
        &self,
        touched: &[Touched],
        since: u64,
    ) -> Result<Vec<DecisionId>, StoreError> {
        Ok(self.state()?.index.touching(touched, since))
    }

    async fn tools(&self, page: Page) -> Result<Vec<ToolRow>, StoreError> {
        Ok(self.state()?.index.tools(page))
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<Found>, StoreError> {
        Ok(self.state()?.index.find(prefix, limit))
    }

    async fn find_end(&self, suffix: &str, limit: usize) -> Result<Vec<Found>, StoreError> {
        Ok(self.state()?.index.find_end(suffix, limit))
    }

    async fn edges(
        &self,
        ids: &[DecisionId],
        direction: Direction,
    ) -> Result<Vec<Edge>, StoreError> {
        Ok(self.state()?.index.edges(ids, direction))
    }

    async fn closure(
        &self,
        id: DecisionId,
        direction: Direction,
        least: Strength,
        limit: usize,
    ) -> Result<Vec<(DecisionId, u32)>, StoreError> {
        Ok(self.state()?.index.closure(id, direction, least, limit))
    }

    async fn reindex(&self) -> Result<u64, StoreError> {
        let mut state = self.state()?;
        let mut index = Projection::default();
        for (seq, bytes) in (0..).zip(&state.leaves) {
            let keys = ledger::Leaf::decode(bytes).map(|event| model::IndexKeys::of(&event));
            let keys = keys.map_err(|e| unavailable(format!("read leaf {seq}"), e))?;
            index.take(seq, &keys);
        }
        state.index = index;
        Ok(state.leaves.len() as u64)
    }

    async fn close(&self) -> Result<(), StoreError> {
        let mut state = self.state()?;
        state.publish(&self.key)?;
        state.closed = true;
        Ok(())
    }
}

fn beyond(size: u64, have: u64) -> StoreError {
    unavailable(
        format!("wait for {size} leaves in the index"),
        format!("the log has {have} leaves"),
    )
}
