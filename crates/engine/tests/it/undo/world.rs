//! A small database with versions that tools change, and a fuse that ends the process at a point.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use engine::undo::{Cause, Hands, HandsError};
use ledger::{
    Appended, Batch, BlobState, DecisionRow, Direction, Found, KeyState, Page, RunRow, Sealing,
    Store, StoreError, StoreStatus, SubjectKey, ToolRow,
};
use model::{DecisionId, Digest, Edge, EventId, Kind, Origin, RunId, Strength, SubjectId, Touched};
use recover::plan::{Fields, HttpCall, RecordRef, ToolCall};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Ends the process: from its point on nothing that goes through it comes back.
#[derive(Debug, Default)]
pub(crate) struct Fuse {
    at: Option<usize>,
    passed: AtomicUsize,
    blown: Notify,
}

impl Fuse {
    pub(crate) fn at(point: usize) -> Arc<Self> {
        Arc::new(Self {
            at: Some(point),
            ..Self::default()
        })
    }

    pub(crate) fn none() -> Arc<Self> {
        Arc::default()
    }

    /// One place at which a process may end.
    async fn point(&self) {
        let passed = self.passed.fetch_add(1, Ordering::SeqCst);
        if self.at.is_some_and(|at| passed >= at) {
            self.blown.notify_one();
            std::future::pending::<()>().await;
        }
    }

    pub(crate) async fn blown(&self) {
        self.blown.notified().await;
    }
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server is not there.
    Down,
    /// The call is refused.
    Refused,
    /// The call is lost on its way.
    LostBefore,
    /// The answer is lost on its way back.
    LostAfter,
}

#[derive(Debug, Default)]
struct Inner {
    records: BTreeMap<String, Value>,
    answers: HashMap<String, Value>,
    /// What was carried out.
    done: Vec<String>,
    faults: VecDeque<(&'static str, Fault)>,
    told: Vec<String>,
    flying: usize,
    most: usize,
}

/// The world outside.
#[derive(Clone, Default)]
pub(crate) struct World {
    inner: Arc<Mutex<Inner>>,
    fuse: Arc<Fuse>,
    /// Lets others run while a call is under way.
    pub(crate) slow: bool,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    pub(crate) fn with(records: &[(&str, Value)]) -> Self {
        let world = Self::default();
        for (uri, record) in records {
            world.put(uri, record.clone());
        }
        world
    }

    /// The same world as a process sees it that ends where the fuse says.
    pub(crate) fn through(&self, fuse: &Arc<Fuse>) -> Self {
        Self {
            fuse: Arc::clone(fuse),
            ..self.clone()
        }
    }

    pub(crate) fn put(&self, uri: &str, record: Value) {
        let mut record = record;
        record["version"] = json!(1);
        self.lock().records.insert(uri.to_owned(), record);
    }

    /// Somebody else writes a field.
    pub(crate) fn write(&self, uri: &str, name: &str, value: Value) {
        let mut inner = self.lock();
        let record = inner.records.get_mut(uri).unwrap();
        record[name] = value;
        touch(record);
    }

    pub(crate) fn fail(&self, tool: &'static str, fault: Fault) {
        self.lock().faults.push_back((tool, fault));
    }

    /// Every record, versions left out.
    pub(crate) fn state(&self) -> BTreeMap<String, Value> {
        let mut records = self.lock().records.clone();
        for record in records.values_mut() {
            record.as_object_mut().unwrap().remove("version");
        }
        records
    }

    /// Calls that changed something, in order.
    pub(crate) fn done(&self) -> Vec<String> {
        self.lock().done.clone()
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.lock().told.clone()
    }

    /// How many calls were under way at once.
    pub(crate) fn most(&self) -> usize {
        self.lock().most
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

impl Inner {
    fn fault(&mut self, tool: &str) -> Option<Fault> {
        let at = self.faults.iter().position(|(of, _)| *of == tool)?;
        Some(self.faults.remove(at).unwrap().1)
    }

    fn run(&mut self, call: &ToolCall) -> Result<Value, HandsError> {
        let args = &call.arguments;
        let key = args["key"].as_str().map(str::to_owned);
        if let Some(answer) = key.as_ref().and_then(|key| self.answers.get(key)) {
            return Ok(answer.clone());
        }
        let refused = |reason: &str| HandsError::Tool {
            reason: reason.to_owned(),
        };
        let uri = args["uri"].as_str().unwrap().to_owned();
        let tool = call.tool.as_str();
        if tool == "read" {
            let record = self.records.get(&uri).cloned();
            return record.ok_or_else(|| refused("no such record"));
        }
        let record = self.records.get_mut(&uri);
        let record = record.ok_or_else(|| refused("no such record"))?;
        if let Some(version) = args.get("version")
            && *version != record["version"]
        {
            return Err(refused("the record was changed"));
        }
        match tool {
            "restore" => {
                for (pointer, value) in args["fields"].as_object().unwrap() {
                    record[&pointer[1..]] = value.clone();
                }
                touch(record);
            }
            "delete" => {
                self.records.remove(&uri);
            }
            "credit" => {
                let sum = record["sum"].as_i64().unwrap() + args["amount"].as_i64().unwrap();
                record["sum"] = json!(sum);
                if let Some(reference) = args["ref"].as_str() {
                    record["refs"][reference] = json!(true);
                }
                touch(record);
            }
            "note" => {
                record["note"] = args["note"].clone();
                touch(record);
            }
            other => return Err(refused(&format!("no such tool: {other}"))),
        }
        self.done.push(format!("{tool} {uri}"));
        let answer = json!({ "ok": true });
        if let Some(key) = key {
            self.answers.insert(key, answer.clone());
        }
        Ok(answer)
    }
}

fn touch(record: &mut Value) {
    let version = record["version"].as_i64().unwrap_or_default();
    record["version"] = json!(version + 1);
}

#[async_trait]
impl Hands for World {
    async fn call(&self, call: &ToolCall, _: &Cause) -> Result<Value, HandsError> {
        self.fuse.point().await;
        if self.slow {
            {
                let mut inner = self.lock();
                inner.flying += 1;
                inner.most = inner.most.max(inner.flying);
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            self.lock().flying -= 1;
        }
        let lost = || HandsError::Unknown {
            reason: "the connection broke off".to_owned(),
        };
        let answer = {
            let mut inner = self.lock();
            match inner.fault(&call.tool) {
                Some(Fault::Down) => Err(HandsError::NotSent {
                    reason: "connection refused".to_owned(),
                    passes: true,
                }),
                Some(Fault::Refused) => Err(HandsError::Tool {
                    reason: "not now".to_owned(),
                }),
                Some(Fault::LostBefore) => Err(lost()),
                Some(Fault::LostAfter) => {
                    let _ = inner.run(call);
                    Err(lost())
                }
                None => inner.run(call),
            }
        };
        self.fuse.point().await;
        answer
    }

    async fn look(&self, call: &ToolCall) -> Result<Value, HandsError> {
        self.lock().run(call)
    }

    async fn http(&self, call: &HttpCall, _: &Cause) -> Result<Value, HandsError> {
        self.fuse.point().await;
        self.lock()
            .done
            .push(format!("{} {}", call.method, call.url));
        self.fuse.point().await;
        Ok(Value::Null)
    }

    async fn tell(&self, who: &[String], _: &str, _: &Cause) -> Result<Vec<String>, HandsError> {
        self.fuse.point().await;
        self.lock().told.extend(who.iter().cloned());
        self.fuse.point().await;
        Ok(who.to_vec())
    }
}

pub(crate) fn call(tool: &str, arguments: Value) -> ToolCall {
    ToolCall {
        server: "desk".to_owned(),
        tool: tool.to_owned(),
        arguments,
    }
}

pub(crate) fn record(uri: &str) -> RecordRef {
    RecordRef {
        uri: uri.to_owned(),
        read: call("read", json!({ "uri": uri })),
        version: Some("/version".to_owned()),
        record: String::new(),
        absent: Some("no such record".to_owned()),
    }
}

pub(crate) fn fields(values: &[(&str, Value)]) -> Fields {
    let values = values.iter();
    values
        .map(|(pointer, value)| ((*pointer).to_owned(), Some(value.clone())))
        .collect()
}

/// A store as a process sees it that ends where the fuse says: before or after any append. Its
/// decisions may not be readable.
#[derive(Debug)]
pub(crate) struct Mortal {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fuse: Arc<Fuse>,
    pub(crate) unread: Mutex<Unread>,
}

/// How often decisions cannot be read, and why.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unread {
    pub(crate) times: u32,
    pub(crate) damaged: bool,
}

impl Mortal {
    fn fail(&self) -> Result<(), StoreError> {
        let mut unread = self.unread.lock().unwrap();
        if unread.times == 0 {
            return Ok(());
        }
        unread.times -= 1;
        Err(match unread.damaged {
            true => StoreError::Damaged {
                what: "a segment".to_owned(),
                at: "byte 7".to_owned(),
                first_bad: None,
            },
            false => StoreError::Unavailable {
                doing: "read a segment".to_owned(),
                source: "it is busy".into(),
            },
        })
    }
}

#[async_trait]
impl Store for Mortal {
    async fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        self.fuse.point().await;
        let appended = self.store.append(batch).await;
        self.fuse.point().await;
        appended
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.store.read(from, limit).await
    }

    async fn status(&self) -> Result<StoreStatus, StoreError> {
        self.store.status().await
    }

    async fn wait_indexed(&self, size: u64) -> Result<(), StoreError> {
        self.store.wait_indexed(size).await
    }

    async fn publish(&self) -> Result<String, StoreError> {
        self.store.publish().await
    }

    async fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.log_file(path).await
    }

    async fn sealing(&self) -> Result<Sealing, StoreError> {
        self.store.sealing().await
    }

    async fn payloads(
        &self,
        asked: &[(EventId, Digest)],
    ) -> Result<Vec<Result<BlobState, StoreError>>, StoreError> {
        self.store.payloads(asked).await
    }

    async fn key(&self, subject: SubjectId) -> Result<KeyState, StoreError> {
        self.store.key(subject).await
    }

    async fn keep_key(&self, subject: SubjectId, key: SubjectKey) -> Result<(), StoreError> {
        self.store.keep_key(subject, key).await
    }

    async fn destroy_key(&self, subject: SubjectId) -> Result<(), StoreError> {
        self.store.destroy_key(subject).await
    }

    async fn head(&self, stream: [u8; 16]) -> Result<Option<EventId>, StoreError> {
        self.store.head(stream).await
    }

    async fn runs(&self, page: Page) -> Result<Vec<RunRow>, StoreError> {
        self.store.runs(page).await
    }

    async fn named_runs(&self, limit: u64) -> Result<Vec<(String, RunId)>, StoreError> {
        self.store.named_runs(limit).await
    }

    async fn imported(&self, origins: &[Origin]) -> Result<Vec<Option<RunRow>>, StoreError> {
        self.store.imported(origins).await
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRow>, StoreError> {
        self.store.run(run).await
    }

    async fn decisions(
        &self,
        run: Option<RunId>,
        page: Page,
    ) -> Result<Vec<DecisionRow>, StoreError> {
        self.store.decisions(run, page).await
    }

    async fn decisions_of(
        &self,
        kind: Kind,
        runs: Option<&[RunId]>,
    ) -> Result<Vec<DecisionRow>, StoreError> {
        self.store.decisions_of(kind, runs).await
    }

    async fn rows(&self, ids: &[DecisionId]) -> Result<Vec<DecisionRow>, StoreError> {
        self.store.rows(ids).await
    }

    async fn events_of(&self, decision: DecisionId) -> Result<Vec<u64>, StoreError> {
        self.store.events_of(decision).await
    }

    async fn leaves_of(
        &self,
        decisions: &[DecisionId],
    ) -> Result<Vec<Vec<(u64, Vec<u8>)>>, StoreError> {
        self.fail()?;
        self.store.leaves_of(decisions).await
    }

    async fn events_about(&self, subject: SubjectId) -> Result<Vec<u64>, StoreError> {
        self.store.events_about(subject).await
    }

    async fn events_named(&self, names: &[&str]) -> Result<Vec<u64>, StoreError> {
        self.store.events_named(names).await
    }

    async fn touching(
        &self,
        touched: &[Touched],
        since: u64,
    ) -> Result<Vec<DecisionId>, StoreError> {
        self.store.touching(touched, since).await
    }

    async fn tools(&self, page: Page) -> Result<Vec<ToolRow>, StoreError> {
        self.store.tools(page).await
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<Found>, StoreError> {
        self.store.find(prefix, limit).await
    }

    async fn find_end(&self, suffix: &str, limit: usize) -> Result<Vec<Found>, StoreError> {
        self.store.find_end(suffix, limit).await
    }

    async fn edges(
        &self,
        ids: &[DecisionId],
        direction: Direction,
    ) -> Result<Vec<Edge>, StoreError> {
        self.store.edges(ids, direction).await
    }

    async fn closure(
        &self,
        id: DecisionId,
        direction: Direction,
        least: Strength,
        limit: usize,
    ) -> Result<Vec<(DecisionId, u32)>, StoreError> {
        self.store.closure(id, direction, least, limit).await
    }

    async fn reindex(&self) -> Result<u64, StoreError> {
        self.store.reindex().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}
