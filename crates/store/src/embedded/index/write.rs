//! Putting leaves into the index, many to a transaction.

use std::collections::{HashMap, HashSet};

use ledger::merkle::leaf_hash;
use model::{DecisionId, Digest, EventId, HybridTime, IndexKeys, RunId, Status, SubjectId};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::Mark;

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

/// What is written once for the whole transaction.
#[derive(Default)]
struct Gathered {
    heads: HashMap<[u8; 16], EventId>,
    statuses: HashMap<DecisionId, (RunId, Status, Status)>,
    counts: HashMap<(RunId, Status), i64>,
    agents: HashSet<(RunId, String)>,
    runs: HashSet<RunId>,
    subjects: HashSet<SubjectId>,
}

struct Statements<'c> {
    event: CachedStatement<'c>,
    named: CachedStatement<'c>,
    of_decision: CachedStatement<'c>,
    decision: CachedStatement<'c>,
    status: CachedStatement<'c>,
    order: CachedStatement<'c>,
    of_run: CachedStatement<'c>,
    effect: CachedStatement<'c>,
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
            let mut gathered = Gathered::default();
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
            event: c.prepare_cached("INSERT INTO event VALUES (?1, ?2)")?,
            named: c.prepare_cached("INSERT INTO named VALUES (?1, ?2)")?,
            of_decision: c.prepare_cached("INSERT INTO event_of_decision VALUES (?1, ?2)")?,
            decision: c.prepare_cached(
                "INSERT OR IGNORE INTO decision VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
            )?,
            status: c.prepare_cached("SELECT run, status FROM decision WHERE id = ?1")?,
            order: c.prepare_cached("INSERT INTO decision_order VALUES (?1, ?2)")?,
            of_run: c.prepare_cached("INSERT INTO decision_of_run VALUES (?1, ?2, ?3)")?,
            effect: c
                .prepare_cached("INSERT OR IGNORE INTO effect_edge VALUES (?1, ?2, ?3, ?4)")?,
            cause: c.prepare_cached("INSERT OR IGNORE INTO cause_edge VALUES (?1, ?2, ?3, ?4)")?,
            payload: c.prepare_cached("INSERT OR IGNORE INTO payload VALUES (?1, ?2, ?3)")?,
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
        self.event.execute(params![&keys.id.as_bytes()[..], at])?;
        self.named.execute([code, at])?;
        if let Some(stream) = keys.stream {
            gathered.heads.insert(stream, keys.id);
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
        if let Some(id) = keys.decision {
            self.of_decision.execute(params![&id.as_bytes()[..], at])?;
            self.decision(connection, id, seq, keys, gathered)?;
        }
        for edge in &keys.edges {
            let kind = kind_code(edge.kind);
            let strength = edge.strength as i64;
            let (cause, effect) = (&edge.cause.as_bytes()[..], &edge.effect.as_bytes()[..]);
            self.effect
                .execute(params![cause, effect, kind, strength])?;
            self.cause.execute(params![effect, cause, kind, strength])?;
        }
        if let Some((ct, subject)) = keys.payload {
            self.payload
                .execute(params![&subject.as_bytes()[..], at, &ct.0[..]])?;
            gathered.subjects.insert(subject);
        }
        if let Some(subject) = keys.erased {
            connection
                .prepare_cached("INSERT INTO erased VALUES (?1, ?2)")?
                .execute(params![&subject.as_bytes()[..], at])?;
            gathered.subjects.insert(subject);
        }
        Ok(())
    }

    fn decision(
        &mut self,
        connection: &Connection,
        id: DecisionId,
        seq: u64,
        keys: &IndexKeys,
        gathered: &mut Gathered,
    ) -> rusqlite::Result<()> {
        let Some(status) = keys.status else {
            return Ok(());
        };
        if let Some(begins) = &keys.begins {
            let added = self.decision.execute(params![
                &id.as_bytes()[..],
                &begins.run.as_bytes()[..],
                begins.agent.name,
                begins.agent.version,
                begins.kind.name(),
                begins.name,
                begins.known.name(),
                begins.started.map(|started| started.0),
                status_code(status),
                signed(seq),
                signed(keys.at.wall),
                keys.at.tick,
            ])?;
            if added == 1 {
                self.order
                    .execute(params![signed(seq), &id.as_bytes()[..]])?;
                self.of_run.execute(params![
                    &begins.run.as_bytes()[..],
                    signed(seq),
                    &id.as_bytes()[..]
                ])?;
                gathered.run(connection, begins.run, seq, keys.at)?;
                gathered
                    .agents
                    .insert((begins.run, begins.agent.name.clone()));
                *gathered.counts.entry((begins.run, status)).or_default() += 1;
                gathered.statuses.insert(id, (begins.run, status, status));
                return Ok(());
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
        Ok(())
    }
}

impl Gathered {
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

    fn write(self, connection: &Connection) -> rusqlite::Result<()> {
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

fn kind_code(kind: model::CauseKind) -> i64 {
    let place = model::CauseKind::ALL.iter().position(|each| *each == kind);
    i64::try_from(place.expect("all kinds are in the list")).expect("there are few")
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("logs and clocks stay below 2^63")
}
