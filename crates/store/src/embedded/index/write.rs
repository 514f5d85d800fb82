//! Putting leaves into the index, many to a transaction.

use std::collections::{HashMap, HashSet};

use ledger::merkle::leaf_hash;
use model::{DecisionId, Digest, Edge, EventId, HybridTime, IndexKeys, RunId, Status, SubjectId};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::Mark;

/// Length of a cause in the row of its decision.
pub(super) const CAUSE_LEN: usize = 17;

/// A leaf to put in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) keys: &'a IndexKeys,
}

/// A payload to put in: where its record starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) ct: Digest,
    pub(crate) pack: u32,
    pub(crate) place: u64,
}

/// The one connection that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    connection: Connection,
    mark: Mark,
    words: HashMap<&'static str, i64>,
}

/// Neighbours in the log that belong to one run or one subject.
#[derive(Clone, Copy)]
struct Span {
    first: u64,
    last: u64,
    count: u64,
    owner: [u8; 16],
}

/// The spans that a transaction adds or lengthens. That a span is as long as it can be makes the
/// rows independent of where transactions begin.
struct Spans {
    insert: &'static str,
    spans: Vec<Span>,
}

impl Spans {
    /// Begins with the last span that is there, which may grow.
    fn begin(connection: &Connection, last: &str, insert: &'static str) -> rusqlite::Result<Self> {
        let unsigned = |number: i64| u64::try_from(number).expect("written from a u64");
        let last = connection
            .prepare_cached(last)?
            .query_row([], |row| {
                Ok(Span {
                    first: unsigned(row.get(0)?),
                    last: unsigned(row.get(1)?),
                    count: unsigned(row.get(2)?),
                    owner: row.get(3)?,
                })
            })
            .optional()?;
        Ok(Self {
            insert,
            spans: last.into_iter().collect(),
        })
    }

    fn add(&mut self, owner: &[u8; 16], seq: u64) {
        match self.spans.last_mut() {
            Some(span) if span.owner == *owner => {
                span.last = seq;
                span.count += 1;
            }
            _ => self.spans.push(Span {
                first: seq,
                last: seq,
                count: 1,
                owner: *owner,
            }),
        }
    }

    fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(self.insert)?;
        for span in self.spans {
            statement.execute(params![
                signed(span.first),
                signed(span.last),
                signed(span.count),
                &span.owner[..]
            ])?;
        }
        Ok(())
    }
}

/// What is written once for the whole transaction.
struct Gathered {
    /// In key order when written, so that neighbours are written together.
    events: Vec<(EventId, i64)>,
    effects: Vec<Edge>,
    decisions_of_runs: Spans,
    payloads_of_subjects: Spans,
    heads: HashMap<[u8; 16], EventId>,
    statuses: HashMap<DecisionId, (RunId, Status, Status)>,
    counts: HashMap<(RunId, Status), i64>,
    agents: HashSet<(RunId, String)>,
    runs: HashSet<RunId>,
    subjects: HashSet<SubjectId>,
}

struct Statements<'c> {
    named: CachedStatement<'c>,
    of_decision: CachedStatement<'c>,
    decision: CachedStatement<'c>,
    status: CachedStatement<'c>,
    cause: CachedStatement<'c>,
    payload: CachedStatement<'c>,
}

impl Writer {
    pub(crate) fn new(connection: Connection, mark: Mark) -> Self {
        Self {
            connection,
            mark,
            words: HashMap::new(),
        }
    }

    pub(crate) const fn mark(&self) -> Mark {
        self.mark
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn into_connection(self) -> Connection {
        self.connection
    }

    /// Empties the index.
    pub(crate) fn clear(&mut self) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        for (table, _) in super::TABLES {
            transaction.execute(&format!("DELETE FROM {table}"), [])?;
        }
        transaction.commit()?;
        self.mark = Mark::default();
        self.words.clear();
        Ok(())
    }

    /// Puts in the leaves that follow the watermark, and the payloads up to `packs`.
    pub(crate) fn take(
        &mut self,
        items: &[Item<'_>],
        blobs: &[Blob],
        packs: (u32, u64),
    ) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        let mut mark = self.mark;
        let mut words = self.words.clone();
        {
            let mut gathered = Gathered::begin(&transaction)?;
            let mut statements = Statements::prepare(&transaction)?;
            for item in items {
                let code = word(&transaction, &mut words, item.keys.what)?;
                statements.leaf(&transaction, mark.size, code, item.keys, &mut gathered)?;
                mark.size += 1;
                mark.at = item.keys.at;
            }
            gathered.write(&transaction)?;
            let mut statement =
                transaction.prepare_cached("INSERT OR IGNORE INTO blob VALUES (?1, ?2, ?3)")?;
            let mut blobs = blobs.to_vec();
            blobs.sort_unstable_by_key(|blob| (blob.ct, blob.pack, blob.place));
            for blob in blobs {
                statement.execute(params![&blob.ct.0[..], blob.pack, signed(blob.place)])?;
            }
        }
        if let Some(item) = items.last() {
            mark.last = leaf_hash(item.bytes);
        }
        (mark.pack, mark.pack_end) = packs;
        transaction
            .prepare_cached("INSERT OR REPLACE INTO meta VALUES ('mark', ?1)")?
            .execute([mark.encode()])?;
        transaction.commit()?;
        self.mark = mark;
        self.words = words;
        Ok(())
    }
}

fn word(
    connection: &Connection,
    words: &mut HashMap<&'static str, i64>,
    what: &'static str,
) -> rusqlite::Result<i64> {
    if let Some(code) = words.get(what) {
        return Ok(*code);
    }
    let known = connection
        .query_row("SELECT code FROM word WHERE what = ?1", [what], |row| {
            row.get(0)
        })
        .optional()?;
    let code = match known {
        Some(code) => code,
        None => connection.query_row(
            "INSERT INTO word SELECT ?1, COUNT(*) FROM word RETURNING code",
            [what],
            |row| row.get(0),
        )?,
    };
    words.insert(what, code);
    Ok(code)
}

impl<'c> Statements<'c> {
    fn prepare(c: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            named: c.prepare_cached("INSERT INTO named VALUES (?1, ?2)")?,
            of_decision: c.prepare_cached("INSERT INTO event_of_decision VALUES (?1, ?2)")?,
            decision: c.prepare_cached(
                "INSERT OR IGNORE INTO decision VALUES \
                 (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)",
            )?,
            status: c.prepare_cached("SELECT run, status FROM decision WHERE id = ?1")?,
            cause: c.prepare_cached("INSERT OR IGNORE INTO cause_edge VALUES (?1, ?2, ?3, ?4)")?,
            payload: c.prepare_cached("INSERT OR IGNORE INTO payload VALUES (?1, ?2)")?,
        })
    }

    fn leaf(
        &mut self,
        connection: &Connection,
        seq: u64,
        code: i64,
        keys: &IndexKeys,
        gathered: &mut Gathered,
    ) -> rusqlite::Result<()> {
        let at = signed(seq);
        gathered.events.push((keys.id, at));
        gathered.effects.extend_from_slice(&keys.edges);
        if let Some((_, subject)) = keys.payload {
            gathered.payloads_of_subjects.add(subject.as_bytes(), seq);
            gathered.subjects.insert(subject);
        }
        let began = match keys.decision {
            Some(id) => self.decision(connection, id, (seq, code), keys, gathered)?,
            None => false,
        };
        if !began {
            self.further(at, code, keys, gathered)?;
        }
        if let Some(opened) = &keys.run {
            gathered.run(connection, opened.run, seq, keys.at)?;
            let origin = opened.origin.as_ref();
            let news = connection
                .prepare_cached(
                    "UPDATE run SET opened = 1, external = ?2, file = ?3, format = ?4, part = ?5, \
                     subject = ?6 WHERE id = ?1 AND opened = 0",
                )?
                .execute(params![
                    &opened.run.as_bytes()[..],
                    opened.external,
                    origin.map(|origin| &origin.file.0[..]),
                    origin.map(|origin| &origin.format),
                    origin.and_then(|origin| origin.part.as_ref()),
                    &opened.subject.as_bytes()[..],
                ])?;
            if let Some(origin) = origin
                && news == 1
            {
                connection
                    .prepare_cached(
                        "INSERT INTO run_origin SELECT ?2, ?3, ?4, first, id FROM run WHERE id = ?1",
                    )?
                    .execute(params![
                        &opened.run.as_bytes()[..],
                        &origin.file.0[..],
                        origin.format,
                        part_key(origin.part.as_deref()),
                    ])?;
            }
            gathered.subjects.insert(opened.subject);
        }
        if let Some(run) = keys.imported {
            gathered.run(connection, run, seq, keys.at)?;
            connection
                .prepare_cached("UPDATE run SET imported = 1 WHERE id = ?1")?
                .execute([&run.as_bytes()[..]])?;
        }
        if let Some(subject) = keys.erased {
            connection
                .prepare_cached("INSERT INTO erased VALUES (?1, ?2)")?
                .execute(params![&subject.as_bytes()[..], at])?;
            gathered.subjects.insert(subject);
        }
        Ok(())
    }

    /// The rows of an event that begins no decision.
    fn further(
        &mut self,
        at: i64,
        code: i64,
        keys: &IndexKeys,
        gathered: &mut Gathered,
    ) -> rusqlite::Result<()> {
        self.named.execute([code, at])?;
        if let Some(stream) = keys.stream {
            gathered.heads.insert(stream, keys.id);
        }
        if let Some(id) = keys.decision {
            self.of_decision.execute(params![&id.as_bytes()[..], at])?;
        }
        for edge in &keys.edges {
            self.cause.execute(params![
                &edge.effect.as_bytes()[..],
                &edge.cause.as_bytes()[..],
                kind_code(edge.kind),
                edge.strength as i64
            ])?;
        }
        if let Some((ct, _)) = keys.payload {
            self.payload.execute(params![at, &ct.0[..]])?;
        }
        Ok(())
    }

    /// Begins a decision or moves it on, and tells whether it began.
    fn decision(
        &mut self,
        connection: &Connection,
        id: DecisionId,
        (seq, code): (u64, i64),
        keys: &IndexKeys,
        gathered: &mut Gathered,
    ) -> rusqlite::Result<bool> {
        let Some(status) = keys.status else {
            return Ok(false);
        };
        if let Some(begins) = &keys.begins {
            let causes = packed(&keys.edges);
            let ct = keys.payload.as_ref().map(|(ct, _)| &ct.0[..]);
            let added = self.decision.execute(params![
                signed(seq),
                &id.as_bytes()[..],
                &keys.id.as_bytes()[..],
                &begins.run.as_bytes()[..],
                begins.agent.name,
                begins.agent.version,
                begins.kind.name(),
                begins.name,
                begins.known.name(),
                begins.started.map(|started| started.0),
                status_code(status),
                signed(keys.at.wall),
                keys.at.tick,
                code,
                ct,
                causes,
            ])?;
            if added == 1 {
                gathered.decisions_of_runs.add(begins.run.as_bytes(), seq);
                gathered.run(connection, begins.run, seq, keys.at)?;
                gathered
                    .agents
                    .insert((begins.run, begins.agent.name.clone()));
                *gathered.counts.entry((begins.run, status)).or_default() += 1;
                gathered.statuses.insert(id, (begins.run, status, status));
                return Ok(true);
            }
        }
        let known = match gathered.statuses.get(&id) {
            Some(known) => Some(*known),
            None => self
                .status
                .query_row([&id.as_bytes()[..]], |row| {
                    let run = RunId::from_bytes(row.get(0)?);
                    let status = status_of(row.get(1)?)?;
                    Ok((run, status, status))
                })
                .optional()?,
        };
        if let Some((run, written, before)) = known
            && before != status
        {
            *gathered.counts.entry((run, before)).or_default() -= 1;
            *gathered.counts.entry((run, status)).or_default() += 1;
            gathered.statuses.insert(id, (run, written, status));
        }
        Ok(false)
    }
}

impl Gathered {
    fn begin(connection: &Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            events: Vec::new(),
            effects: Vec::new(),
            decisions_of_runs: Spans::begin(
                connection,
                "SELECT first, last, count, run FROM decision_span ORDER BY first DESC LIMIT 1",
                "INSERT INTO decision_span VALUES (?1, ?2, ?3, ?4) ON CONFLICT (first) \
                 DO UPDATE SET last = excluded.last, count = excluded.count",
            )?,
            payloads_of_subjects: Spans::begin(
                connection,
                "SELECT first, last, count, subject FROM payload_span ORDER BY first DESC LIMIT 1",
                "INSERT INTO payload_span VALUES (?1, ?2, ?3, ?4) ON CONFLICT (first) \
                 DO UPDATE SET last = excluded.last, count = excluded.count",
            )?,
            heads: HashMap::new(),
            statuses: HashMap::new(),
            counts: HashMap::new(),
            agents: HashSet::new(),
            runs: HashSet::new(),
            subjects: HashSet::new(),
        })
    }

    /// Makes sure that a run has a row.
    fn run(
        &mut self,
        connection: &Connection,
        run: RunId,
        seq: u64,
        at: HybridTime,
    ) -> rusqlite::Result<()> {
        if !self.runs.insert(run) {
            return Ok(());
        }
        let added = connection
            .prepare_cached(
                "INSERT OR IGNORE INTO run VALUES (?1, 0, 0, NULL, NULL, NULL, NULL, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                &run.as_bytes()[..],
                &[0u8; 16][..],
                signed(seq),
                signed(at.wall),
                at.tick
            ])?;
        if added == 1 {
            connection
                .prepare_cached("INSERT INTO run_order VALUES (?1, ?2)")?
                .execute(params![signed(seq), &run.as_bytes()[..]])?;
        }
        Ok(())
    }

    fn write(mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.decisions_of_runs.write(connection)?;
        self.payloads_of_subjects.write(connection)?;
        let mut statement = connection.prepare_cached("INSERT INTO event VALUES (?1, ?2)")?;
        self.events.sort_unstable();
        for (id, seq) in self.events {
            statement.execute(params![&id.as_bytes()[..], seq])?;
        }
        let mut statement = connection
            .prepare_cached("INSERT OR IGNORE INTO effect_edge VALUES (?1, ?2, ?3, ?4)")?;
        self.effects
            .sort_unstable_by_key(|edge| (edge.cause, edge.effect));
        for edge in self.effects {
            statement.execute(params![
                &edge.cause.as_bytes()[..],
                &edge.effect.as_bytes()[..],
                kind_code(edge.kind),
                edge.strength as i64
            ])?;
        }
        let mut statement = connection.prepare_cached(
            "INSERT INTO stream VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET head = excluded.head",
        )?;
        let mut heads: Vec<_> = self.heads.into_iter().collect();
        heads.sort_unstable();
        for (stream, head) in heads {
            statement.execute(params![&stream[..], &head.as_bytes()[..]])?;
        }
        let mut statement =
            connection.prepare_cached("UPDATE decision SET status = ?2 WHERE id = ?1")?;
        for (id, (_, written, status)) in self.statuses {
            if written != status {
                statement.execute(params![&id.as_bytes()[..], status_code(status)])?;
            }
        }
        let mut statement = connection.prepare_cached(
            "INSERT INTO run_status VALUES (?1, ?2, ?3) \
             ON CONFLICT (run, status) DO UPDATE SET count = count + excluded.count",
        )?;
        let mut left = connection.prepare_cached(
            "DELETE FROM run_status WHERE run = ?1 AND status = ?2 AND count = 0",
        )?;
        for ((run, status), change) in self.counts {
            let run = &run.as_bytes()[..];
            statement.execute(params![run, status_code(status), change])?;
            left.execute(params![run, status_code(status)])?;
        }
        let mut statement =
            connection.prepare_cached("INSERT OR IGNORE INTO run_agent VALUES (?1, ?2)")?;
        for (run, agent) in self.agents {
            statement.execute(params![&run.as_bytes()[..], agent])?;
        }
        let mut statement =
            connection.prepare_cached("INSERT OR IGNORE INTO subject VALUES (?1)")?;
        for subject in self.subjects {
            statement.execute([&subject.as_bytes()[..]])?;
        }
        Ok(())
    }
}

/// A part as a key: none and the empty part are not the same.
pub(super) fn part_key(part: Option<&str>) -> String {
    part.map_or_else(String::new, |part| format!("={part}"))
}

pub(super) fn status_code(status: Status) -> i64 {
    let place = Status::ALL.iter().position(|each| *each == status);
    i64::try_from(place.expect("all statuses are in the list")).expect("there are few")
}

pub(super) fn status_of(code: i64) -> rusqlite::Result<Status> {
    let status = usize::try_from(code)
        .ok()
        .and_then(|code| Status::ALL.get(code).copied());
    status.ok_or(rusqlite::Error::IntegralValueOutOfRange(0, code))
}

pub(super) fn kind_code(kind: model::CauseKind) -> i64 {
    let place = model::CauseKind::ALL.iter().position(|each| *each == kind);
    i64::try_from(place.expect("all kinds are in the list")).expect("there are few")
}

/// Causes in the row of the decision that they are causes of.
fn packed(edges: &[Edge]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(edges.len() * CAUSE_LEN);
    for edge in edges {
        bytes.extend_from_slice(edge.cause.as_bytes());
        let kind = u8::try_from(kind_code(edge.kind)).expect("there are few");
        bytes.push(kind << 1 | edge.strength as u8);
    }
    bytes
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("logs and clocks stay below 2^63")
}
