//! Putting leaves into the index, many to a transaction.

use std::collections::{HashMap, HashSet};

use ledger::digest::sha256_parts;
use ledger::merkle::leaf_hash;
use model::{
    DecisionId, DecisionKeys, Edge, EventId, HybridTime, IndexKeys, RunId, RunKeys, Status,
    SubjectId, Touched,
};
use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, params};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Mark;
use super::effects::{EFFECTS_SPAN, write_effects};
use super::lot::{Blob, Item, Lot, Place};
use super::rows::Rows;
use super::spans::Spans;

/// Length of an edge in a row that holds many: the decision at its other end, kind and strength.
pub(super) const EDGE_LEN: usize = 17;

/// Rows that share a statement. Wide rows share less of what it costs. Statements of several rows
/// say `OR FAIL`: one that failed leaves what it did until then, which goes with the transaction,
/// and SQLite need not keep a copy of every page before the statement changes it.
pub(super) const AT_ONCE: usize = 32;
const DECISIONS_AT_ONCE: usize = 8;

/// Names of events that begin nearly every decision. That one of them begins a decision stands in the
/// decision's row alone: to find all of a name is to look at all decisions.
pub(super) const USUAL: [&str; 2] = ["begun", "reconstructed"];

/// The one connection that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    connection: Connection,
    mark: Mark,
    words: HashMap<&'static str, i64>,
}

/// What is written once for the whole transaction.
struct Gathered<'k> {
    /// In key order when written, so that neighbours are written together.
    events: Vec<(EventId, i64)>,
    effects: Vec<(DecisionId, u64, [u8; EDGE_LEN])>,
    /// Events that begin decisions, in the order of the log.
    begun: Vec<Begun<'k>>,
    decisions_of_runs: Spans,
    payloads_of_subjects: Spans,
    touches: Vec<(i64, i64, DecisionId)>,
    /// Of events that begin no decision under a usual name.
    named: Vec<(i64, i64)>,
    /// Of events that begin no decision.
    of_decisions: Vec<(DecisionId, i64)>,
    causes: Vec<(DecisionId, DecisionId, i64, i64)>,
    payloads: Vec<(i64, Place)>,
    heads: FxHashMap<[u8; 16], EventId>,
    /// Run, what the row says, and what it is to say; of a decision that begins here there is no row
    /// yet.
    statuses: FxHashMap<DecisionId, (RunId, Option<Status>, Status)>,
    counts: FxHashMap<(RunId, Status), i64>,
    /// Not by a hash that others can foresee: names of agents and tools are theirs.
    agents: HashSet<(RunId, &'k str)>,
    /// By server and name: calls, where the first begins, and the last.
    tools: HashMap<(&'k str, &'k str), (i64, u64, u64)>,
    runs: FxHashSet<RunId>,
    subjects: FxHashSet<SubjectId>,
    /// Whether each decision that begins is looked up first.
    careful: bool,
    /// The first leaf of the transaction.
    from: u64,
}

/// A decision and the first of its events.
struct Begun<'k> {
    seq: u64,
    code: i64,
    id: DecisionId,
    keys: &'k IndexKeys,
    begins: &'k DecisionKeys,
    place: Option<Place>,
}

struct Statements<'c> {
    known: CachedStatement<'c>,
    status: CachedStatement<'c>,
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

    /// Puts in the leaves that follow the watermark.
    pub(crate) fn take(&mut self, lot: &Lot<'_>) -> rusqlite::Result<()> {
        // A decision that begins twice is one that nothing should have let in, so whether it is
        // there already is not asked of each, but seen when its row does not go in.
        if self.try_take(lot, false)? || self.try_take(lot, true)? {
            return Ok(());
        }
        Err(rusqlite::Error::StatementChangedRows(0))
    }

    /// Tells whether every decision that began got its row; nothing was put in if not.
    fn try_take(&mut self, lot: &Lot<'_>, careful: bool) -> rusqlite::Result<bool> {
        let transaction = self.connection.unchecked_transaction()?;
        let mut mark = self.mark;
        let mut words = self.words.clone();
        {
            let mut gathered = Gathered::begin(&transaction, mark.size, careful)?;
            let mut statements = Statements::prepare(&transaction)?;
            for item in &lot.items {
                let code = word(&transaction, &mut words, item.keys.what)?;
                statements.leaf(&transaction, mark.size, code, item, &mut gathered)?;
                mark.size += 1;
                mark.at = item.keys.at;
            }
            if !gathered.write(&transaction)? {
                return Ok(false);
            }
            write_strays(&transaction, &lot.strays)?;
        }
        if let Some(item) = lot.items.last() {
            mark.last = leaf_hash(item.bytes);
        }
        (mark.pack, mark.pack_end) = lot.packs;
        transaction
            .prepare_cached("INSERT OR REPLACE INTO meta VALUES ('mark', ?1)")?
            .execute([mark.encode()])?;
        transaction.commit()?;
        self.mark = mark;
        self.words = words;
        Ok(true)
    }
}

fn write_strays(connection: &Connection, strays: &[Blob]) -> rusqlite::Result<()> {
    if strays.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached("INSERT INTO stray VALUES (?1, ?2, ?3)")?;
    for Blob { subject, place, .. } in strays {
        statement.execute(params![
            &subject.as_bytes()[..],
            place.pack,
            signed(place.at)
        ])?;
    }
    Ok(())
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
            known: c.prepare_cached("SELECT 1 FROM decision WHERE id = ?1")?,
            status: c.prepare_cached("SELECT run, status FROM decision WHERE id = ?1")?,
        })
    }

    fn leaf<'k>(
        &mut self,
        connection: &Connection,
        seq: u64,
        code: i64,
        item: &Item<'k>,
        gathered: &mut Gathered<'k>,
    ) -> rusqlite::Result<()> {
        let keys = item.keys;
        let at = signed(seq);
        gathered.events.push((keys.id, at));
        let packed = |edge: &Edge| (edge.cause, seq / EFFECTS_SPAN, packed(edge.effect, edge));
        gathered.effects.extend(keys.edges.iter().map(packed));
        if let Some((_, subject)) = keys.payload {
            gathered.payloads_of_subjects.add(subject.as_bytes(), seq);
            gathered.subjects.insert(subject);
        }
        if let Some(id) = keys.decision {
            let touches = keys.touches.iter();
            let rows = touches.map(|touched| (touch_key(touched), at, id));
            gathered.touches.extend(rows);
        }
        let began = match keys.decision {
            Some(id) => self.decision(connection, id, (seq, code), item, gathered)?,
            None => false,
        };
        if !began {
            gathered.further(at, code, item);
        }
        if let Some(opened) = &keys.run {
            gathered.open(connection, opened, seq, keys.at)?;
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

    /// Begins a decision or moves it on, and tells whether it began.
    fn decision<'k>(
        &mut self,
        connection: &Connection,
        id: DecisionId,
        (seq, code): (u64, i64),
        item: &Item<'k>,
        gathered: &mut Gathered<'k>,
    ) -> rusqlite::Result<bool> {
        let keys = item.keys;
        let Some(status) = keys.status else {
            return Ok(false);
        };
        if let Some(begins) = &keys.begins
            && !gathered.statuses.contains_key(&id)
            && !(gathered.careful && self.known.exists([&id.as_bytes()[..]])?)
        {
            if !USUAL.contains(&keys.what) {
                gathered.named.push((code, signed(seq)));
            }
            gathered.begun.push(Begun {
                seq,
                code,
                id,
                keys,
                begins,
                place: item.place,
            });
            gathered.decisions_of_runs.add(begins.run.as_bytes(), seq);
            gathered.run(connection, begins.run, seq, keys.at)?;
            gathered.agents.insert((begins.run, &begins.agent.name));
            if let Some(tool) = keys.tool() {
                let (calls, _, last) = gathered.tools.entry(tool).or_insert((0, seq, seq));
                *calls += 1;
                *last = seq;
            }
            *gathered.counts.entry((begins.run, status)).or_default() += 1;
            gathered.statuses.insert(id, (begins.run, None, status));
            return Ok(true);
        }
        let known = match gathered.statuses.get(&id) {
            Some(known) => Some(*known),
            None => self
                .status
                .query_row([&id.as_bytes()[..]], |row| {
                    let run = RunId::from_bytes(row.get(0)?);
                    let status = status_of(row.get(1)?)?;
                    Ok((run, Some(status), status))
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

impl Gathered<'_> {
    fn begin(connection: &Connection, from: u64, careful: bool) -> rusqlite::Result<Self> {
        Ok(Self {
            events: Vec::new(),
            effects: Vec::new(),
            begun: Vec::new(),
            decisions_of_runs: Spans::begin(connection, "decision_span", "run")?,
            payloads_of_subjects: Spans::begin(connection, "payload_span", "subject")?,
            touches: Vec::new(),
            named: Vec::new(),
            of_decisions: Vec::new(),
            causes: Vec::new(),
            payloads: Vec::new(),
            heads: FxHashMap::default(),
            statuses: FxHashMap::default(),
            counts: FxHashMap::default(),
            agents: HashSet::new(),
            tools: HashMap::new(),
            runs: FxHashSet::default(),
            subjects: FxHashSet::default(),
            careful,
            from,
        })
    }

    /// The rows of an event that begins no decision.
    fn further(&mut self, at: i64, code: i64, Item { keys, place, .. }: &Item<'_>) {
        self.named.push((code, at));
        if let Some(stream) = keys.stream {
            self.heads.insert(stream, keys.id);
        }
        if let Some(id) = keys.decision {
            self.of_decisions.push((id, at));
        }
        let cause = |edge: &Edge| {
            let (kind, strength) = (kind_code(edge.kind), edge.strength as i64);
            (edge.effect, edge.cause, kind, strength)
        };
        self.causes.extend(keys.edges.iter().map(cause));
        self.payloads.extend(place.map(|place| (at, place)));
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
            put_in_order(connection, run, seq)?;
        }
        Ok(())
    }

    /// Writes down what a run is: in its row, or with it where it has none.
    fn open(
        &mut self,
        connection: &Connection,
        opened: &RunKeys,
        seq: u64,
        at: HybridTime,
    ) -> rusqlite::Result<()> {
        let id = &opened.run.as_bytes()[..];
        let origin = opened.origin.as_ref();
        let (file, format) = origin.map(|from| (&from.file.0[..], &from.format)).unzip();
        let part = origin.and_then(|origin| origin.part.as_ref());
        let subject = &opened.subject.as_bytes()[..];
        let external = &opened.external;
        let mut news = 0;
        if self.runs.insert(opened.run) {
            news = connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO run VALUES (?1, 1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?
                .execute(params![
                    id,
                    external,
                    file,
                    format,
                    part,
                    subject,
                    signed(seq),
                    signed(at.wall),
                    at.tick
                ])?;
            if news == 1 {
                put_in_order(connection, opened.run, seq)?;
            }
        }
        if news == 0 {
            news = connection
                .prepare_cached(
                    "UPDATE run SET opened = 1, external = ?2, file = ?3, format = ?4, part = ?5, \
                     subject = ?6 WHERE id = ?1 AND opened = 0",
                )?
                .execute(params![id, external, file, format, part, subject])?;
        }
        if let Some(origin) = origin
            && news == 1
        {
            connection
                .prepare_cached(
                    "INSERT INTO run_origin SELECT ?2, ?3, ?4, first, id FROM run WHERE id = ?1",
                )?
                .execute(params![
                    id,
                    &origin.file.0[..],
                    origin.format,
                    part_key(origin.part.as_deref()),
                ])?;
        }
        self.subjects.insert(opened.subject);
        Ok(())
    }

    /// Tells whether every decision that began got its row.
    fn write(mut self, connection: &Connection) -> rusqlite::Result<bool> {
        if !self.write_begun(connection)? {
            return Ok(false);
        }
        self.write_further(connection)?;
        self.decisions_of_runs.write(connection)?;
        self.payloads_of_subjects.write(connection)?;
        self.events.sort_unstable();
        Rows::prepare(connection, "INSERT OR FAIL INTO event", 2, AT_ONCE, "")?.put(
            &self.events,
            |(id, seq), values| {
                values.push(&id.as_bytes()[..])?;
                values.push(seq)
            },
        )?;
        write_effects(connection, self.effects, self.from / EFFECTS_SPAN)?;
        self.touches.sort_unstable();
        // Two names can have one key.
        Rows::prepare(connection, "INSERT OR IGNORE INTO touch", 3, AT_ONCE, "")?.put(
            &self.touches,
            |(what, seq, id), values| {
                values.push(what)?;
                values.push(seq)?;
                values.push(&id.as_bytes()[..])
            },
        )?;
        write_heads(connection, self.heads.into_iter().collect())?;
        let mut statement =
            connection.prepare_cached("UPDATE decision SET status = ?2 WHERE id = ?1")?;
        for (id, (_, written, status)) in self.statuses {
            if written.is_some_and(|written| written != status) {
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
        let counts = self.counts.into_iter();
        let counts = counts.map(|((run, status), change)| (run, status_code(status), change));
        let mut counts: Vec<_> = counts.filter(|(_, _, change)| *change != 0).collect();
        counts.sort_unstable();
        for (run, status, change) in counts {
            let run = &run.as_bytes()[..];
            statement.execute(params![run, status, change])?;
            if change < 0 {
                left.execute(params![run, status])?;
            }
        }
        let mut agents: Vec<(RunId, &str)> = self.agents.into_iter().collect();
        agents.sort_unstable();
        Rows::prepare(
            connection,
            "INSERT OR IGNORE INTO run_agent",
            2,
            AT_ONCE,
            "",
        )?
        .put(&agents, |(run, agent), values| {
            values.push(&run.as_bytes()[..])?;
            values.push(agent)
        })?;
        let mut statement = connection.prepare_cached(
            "INSERT INTO tool VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (server, name) \
             DO UPDATE SET calls = calls + excluded.calls, last = excluded.last",
        )?;
        for ((server, name), (calls, first, last)) in self.tools {
            statement.execute(params![server, name, calls, signed(first), signed(last)])?;
        }
        let mut subjects: Vec<SubjectId> = self.subjects.into_iter().collect();
        subjects.sort_unstable();
        Rows::prepare(connection, "INSERT OR IGNORE INTO subject", 1, AT_ONCE, "")?
            .put(&subjects, |subject, values| {
                values.push(&subject.as_bytes()[..])
            })?;
        Ok(true)
    }

    /// Writes the rows of decisions, and tells whether each was new.
    fn write_begun(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let mut rows = Rows::prepare(
            connection,
            "INSERT OR FAIL INTO decision",
            17,
            DECISIONS_AT_ONCE,
            "",
        )?;
        let mut causes = Vec::new();
        let put = rows.put(&self.begun, |begun, values| {
            let Begun { keys, begins, .. } = begun;
            causes.clear();
            for edge in &keys.edges {
                causes.extend_from_slice(&packed(edge.cause, edge));
            }
            let (_, _, status) = self.statuses[&begun.id];
            values.push(signed(begun.seq))?;
            values.push(&begun.id.as_bytes()[..])?;
            values.push(&keys.id.as_bytes()[..])?;
            values.push(&begins.run.as_bytes()[..])?;
            values.push(&begins.agent.name)?;
            values.push(&begins.agent.version)?;
            values.push(begins.kind.name())?;
            values.push(&begins.name)?;
            values.push(begins.known.name())?;
            values.push(begins.started.map(|started| started.0))?;
            values.push(status_code(status))?;
            values.push(signed(keys.at.wall))?;
            values.push(keys.at.tick)?;
            values.push(begun.code)?;
            values.push(begun.place.map(|place| place.pack))?;
            values.push(begun.place.map(|place| signed(place.at)))?;
            values.push(&causes[..])
        });
        match put {
            Ok(_) => Ok(true),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes the rows of events that begin no decision.
    fn write_further(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let rows = |insert, width| Rows::prepare(connection, insert, width, AT_ONCE, "");
        self.named.sort_unstable();
        rows("INSERT OR FAIL INTO named", 2)?.put(&self.named, |(code, seq), values| {
            values.push(code)?;
            values.push(seq)
        })?;
        self.of_decisions.sort_unstable();
        rows("INSERT OR FAIL INTO event_of_decision", 2)?.put(
            &self.of_decisions,
            |(id, seq), values| {
                values.push(&id.as_bytes()[..])?;
                values.push(seq)
            },
        )?;
        self.causes.sort_unstable();
        rows("INSERT OR IGNORE INTO cause_edge", 4)?.put(
            &self.causes,
            |(effect, cause, kind, strength), values| {
                values.push(&effect.as_bytes()[..])?;
                values.push(&cause.as_bytes()[..])?;
                values.push(kind)?;
                values.push(strength)
            },
        )?;
        rows("INSERT OR FAIL INTO payload", 3)?.put(&self.payloads, |(seq, place), values| {
            values.push(seq)?;
            values.push(place.pack)?;
            values.push(signed(place.at))
        })?;
        Ok(())
    }
}

/// Gives a run its place in the order of runs.
fn put_in_order(connection: &Connection, run: RunId, seq: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO run_order VALUES (?1, ?2)")?
        .execute(params![signed(seq), &run.as_bytes()[..]])?;
    Ok(())
}

/// Writes the last events of streams. Most streams that move on have no row yet.
fn write_heads(
    connection: &Connection,
    mut heads: Vec<([u8; 16], EventId)>,
) -> rusqlite::Result<()> {
    heads.sort_unstable();
    let mut rows = Rows::prepare(connection, "INSERT OR IGNORE INTO stream", 2, AT_ONCE, "")?;
    let mut known = connection.prepare_cached("UPDATE stream SET head = ?2 WHERE id = ?1")?;
    for heads in heads.chunks(AT_ONCE) {
        let added = rows.put(heads, |(stream, head), values| {
            values.push(&stream[..])?;
            values.push(&head.as_bytes()[..])
        })?;
        if added < heads.len() {
            for (stream, head) in heads {
                known.execute(params![&stream[..], &head.as_bytes()[..]])?;
            }
        }
    }
    Ok(())
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

/// An edge in a row that says what is at its one end: the decision at the other, kind and strength.
fn packed(other: DecisionId, edge: &Edge) -> [u8; EDGE_LEN] {
    let mut bytes = [0; EDGE_LEN];
    bytes[..EDGE_LEN - 1].copy_from_slice(other.as_bytes());
    let kind = u8::try_from(kind_code(edge.kind)).expect("there are few");
    bytes[EDGE_LEN - 1] = kind << 1 | edge.strength as u8;
    bytes
}

/// The beginning of a digest of what a call touched, as a number, which is compared faster than
/// bytes: names of records are long, and who is found by one is looked at.
pub(crate) fn touch_key(touched: &Touched) -> i64 {
    let (tag, name) = match touched {
        Touched::Record(uri) => (b"r", uri),
        Touched::Unsaid(tool) => (b"u", tool),
    };
    let digest = sha256_parts(&[tag, name.as_bytes()]);
    i64::from_be_bytes(digest.0[..8].try_into().expect("a digest has 32 bytes"))
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("logs and clocks stay below 2^63")
}
