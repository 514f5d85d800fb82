//! Asking the index: each question of the seam as SQL over the keys that it needs.

use std::collections::{BTreeSet, HashSet, VecDeque};

use ledger::{DecisionRow, Direction, Found, Page, RunRow, ToolRow};
use model::{
    Agent, CauseKind, DecisionId, DecisionKeys, Digest, Edge, EventId, HybridTime, Kind, Origin,
    Provenance, RunId, RunKeys, Strength, SubjectId, Timestamp, ToolKeys,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, Transaction, params};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;

use super::lot::Place;
use super::write::{EDGE_LEN, USUAL, kind_code, part_key, signed, status_of};
use crate::prefix::{IdRange, is_id_part};

pub(super) type Sql<T> = rusqlite::Result<T>;
type OfRow = fn(&Row<'_>) -> Sql<Found>;
type OfId = fn([u8; 16]) -> Found;

pub(super) const ROW: &str = "SELECT d.id, d.run, d.agent, d.version, d.kind, d.name, d.known, d.started, \
     d.status, d.first, d.wall, d.tick FROM decision d";

const RUN: &str = "SELECT r.id, r.imported, r.external, r.file, r.format, r.part, r.subject, \
     r.first, r.wall, r.tick FROM run r";

/// A connection that only reads.
#[derive(Debug)]
pub(crate) struct Reader<'c>(pub(crate) &'c Connection);

impl Reader<'_> {
    /// Asks several things of one state of the index, which is locked once for all of them.
    pub(super) fn together<T>(&self, ask: impl FnOnce() -> Sql<T>) -> Sql<T> {
        // Whoever looks into a record that somebody else writes is in a transaction already.
        let transaction = match self.0.is_autocommit() {
            true => Some(self.0.unchecked_transaction()?),
            false => None,
        };
        let answer = ask()?;
        transaction.map_or(Ok(()), Transaction::commit)?;
        Ok(answer)
    }

    pub(crate) fn seq_of(&self, event: EventId) -> Sql<Option<u64>> {
        self.0
            .prepare_cached("SELECT seq FROM event WHERE id = ?1")?
            .query_row([&event.as_bytes()[..]], |row| unsigned(row, 0))
            .optional()
    }

    /// The last event of a stream: a decision that has one event alone has no row for it.
    pub(crate) fn head(&self, stream: [u8; 16]) -> Sql<Option<EventId>> {
        let head: Option<[u8; 16]> = self
            .0
            .prepare_cached(
                "SELECT COALESCE((SELECT head FROM stream WHERE id = ?1), \
                 (SELECT event FROM decision WHERE id = ?1))",
            )?
            .query_row([&stream[..]], |row| row.get(0))?;
        Ok(head.map(EventId::from_bytes))
    }

    /// The largest event id and the largest stream id that the index holds.
    pub(crate) fn newest(&self) -> Sql<([u8; 16], [u8; 16])> {
        let one = |sql: &str| -> Sql<[u8; 16]> {
            let found: Option<[u8; 16]> = self.0.query_row(sql, [], |row| row.get(0))?;
            Ok(found.unwrap_or_default())
        };
        let stream = one("SELECT MAX(id) FROM stream")?;
        let decision = one("SELECT MAX(id) FROM decision")?;
        Ok((one("SELECT MAX(id) FROM event")?, stream.max(decision)))
    }

    pub(crate) fn runs(&self, page: Page) -> Sql<Vec<RunRow>> {
        let sql = format!(
            "{RUN} JOIN run_order o ON r.id = o.id ORDER BY o.first DESC LIMIT ?1 OFFSET ?2"
        );
        let mut statement = self.0.prepare_cached(&sql)?;
        let mut runs = statement
            .query_map(limit(page), run)?
            .collect::<Sql<Vec<_>>>()?;
        for run in &mut runs {
            self.complete(run)?;
        }
        Ok(runs)
    }

    pub(crate) fn named_runs(&self, limit: u64) -> Sql<Vec<(String, RunId)>> {
        self.0
            .prepare_cached(
                "SELECT external, id FROM run WHERE external IS NOT NULL AND file IS NULL \
                 ORDER BY first DESC LIMIT ?1",
            )?
            .query_map([signed(limit)], |row| {
                Ok((row.get(0)?, RunId::from_bytes(row.get(1)?)))
            })?
            .collect()
    }

    pub(crate) fn run(&self, id: RunId) -> Sql<Option<RunRow>> {
        let mut statement = self.0.prepare_cached(&format!("{RUN} WHERE r.id = ?1"))?;
        let mut found = statement.query_row([&id.as_bytes()[..]], run).optional()?;
        if let Some(run) = &mut found {
            self.complete(run)?;
        }
        Ok(found)
    }

    pub(crate) fn imported(&self, origin: &Origin) -> Sql<Option<RunRow>> {
        let id: Option<[u8; 16]> = self
            .0
            .prepare_cached(
                "SELECT id FROM run_origin WHERE file = ?1 AND format = ?2 AND part = ?3 \
                 ORDER BY first LIMIT 1",
            )?
            .query_row(
                params![
                    &origin.file.0[..],
                    origin.format,
                    part_key(origin.part.as_deref())
                ],
                |row| row.get(0),
            )
            .optional()?;
        id.map_or(Ok(None), |id| self.run(RunId::from_bytes(id)))
    }

    fn complete(&self, run: &mut RunRow) -> Sql<()> {
        let id = *run.keys.run.as_bytes();
        run.decisions = self
            .0
            .prepare_cached("SELECT status, count FROM run_status WHERE run = ?1")?
            .query_map([&id[..]], |row| {
                Ok((status_of(row.get(0)?)?, unsigned(row, 1)?))
            })?
            .collect::<Sql<_>>()?;
        run.agents = self
            .0
            .prepare_cached("SELECT agent FROM run_agent WHERE run = ?1 ORDER BY agent")?
            .query_map([&id[..]], |row| row.get(0))?
            .collect::<Sql<_>>()?;
        Ok(())
    }

    pub(crate) fn decisions(&self, run: Option<RunId>, page: Page) -> Sql<Vec<DecisionRow>> {
        let Some(run) = run else {
            return self
                .0
                .prepare_cached(&format!("{ROW} ORDER BY d.first LIMIT ?1 OFFSET ?2"))?
                .query_map(limit(page), decision)?
                .collect();
        };
        let mut spans = self.0.prepare_cached(
            "SELECT first, last, count FROM decision_span WHERE run = ?1 ORDER BY first",
        )?;
        let mut statement = self.0.prepare_cached(&format!(
            "{ROW} WHERE d.first BETWEEN ?3 AND ?4 ORDER BY d.first LIMIT ?1 OFFSET ?2"
        ))?;
        let mut found = Vec::new();
        let Page { mut skip, .. } = page;
        let mut spans = spans.query([&run.as_bytes()[..]])?;
        while let Some(span) = spans.next()? {
            let left = page.limit.saturating_sub(found.len() as u64);
            if left == 0 {
                break;
            }
            let count = unsigned(span, 2)?;
            if skip >= count {
                skip -= count;
                continue;
            }
            let [left, offset] = limit(Page { limit: left, skip });
            skip = 0;
            let (first, last): (i64, i64) = (span.get(0)?, span.get(1)?);
            for row in statement.query_map([left, offset, first, last], decision)? {
                found.push(row?);
            }
        }
        Ok(found)
    }

    pub(crate) fn rows(&self, ids: &[DecisionId]) -> Sql<Vec<DecisionRow>> {
        self.together(|| {
            let mut statement = self.0.prepare_cached(&format!("{ROW} WHERE d.id = ?1"))?;
            let mut rows = Vec::with_capacity(ids.len());
            for id in ids {
                rows.extend(
                    statement
                        .query_row([&id.as_bytes()[..]], decision)
                        .optional()?,
                );
            }
            Ok(rows)
        })
    }

    pub(crate) fn events_of(&self, decision: DecisionId) -> Sql<Vec<u64>> {
        Ok(self.events_of_each(&[decision])?.pop().unwrap_or_default())
    }

    /// The events of each of these decisions.
    pub(crate) fn events_of_each(&self, decisions: &[DecisionId]) -> Sql<Vec<Vec<u64>>> {
        self.together(|| {
            // One question over both tables, in order, costs SQLite more than these two.
            let mut first = self
                .0
                .prepare_cached("SELECT first FROM decision WHERE id = ?1")?;
            let mut later = self.0.prepare_cached(
                "SELECT seq FROM event_of_decision WHERE decision = ?1 ORDER BY seq",
            )?;
            let mut events = Vec::with_capacity(decisions.len());
            for decision in decisions {
                let id = &decision.as_bytes()[..];
                let begins = first.query_row([id], |row| unsigned(row, 0)).optional()?;
                let mut seqs: Vec<u64> = begins.into_iter().collect();
                for seq in later.query_map([id], |row| unsigned(row, 0))? {
                    seqs.push(seq?);
                }
                seqs.sort_unstable();
                events.push(seqs);
            }
            Ok(events)
        })
    }

    pub(crate) fn events_about(&self, subject: SubjectId) -> Sql<Vec<u64>> {
        self.0
            .prepare_cached(&format!(
                "{} UNION {} ORDER BY 1",
                about("decision", "t.first", "t.first", "t.pack IS NOT NULL"),
                about("payload", "t.seq", "t.seq", "1"),
            ))?
            .query_map([&subject.as_bytes()[..]], |row| unsigned(row, 0))?
            .collect()
    }

    pub(crate) fn events_named<T: AsRef<str>>(&self, names: &[T]) -> Sql<Vec<u64>> {
        let names: BTreeSet<&str> = names.iter().map(AsRef::as_ref).collect();
        let mut seqs = Vec::new();
        let mut take = |sql: &str, name: &str| -> Sql<()> {
            let mut statement = self.0.prepare_cached(sql)?;
            for seq in statement.query_map([name], |row| unsigned(row, 0))? {
                seqs.push(seq?);
            }
            Ok(())
        };
        for name in names {
            take(
                "SELECT seq FROM named WHERE code = (SELECT code FROM word WHERE what = ?1)",
                name,
            )?;
            if USUAL.contains(&name) {
                take(
                    "SELECT first FROM decision WHERE code = (SELECT code FROM word WHERE what = ?1)",
                    name,
                )?;
            }
        }
        seqs.sort_unstable();
        Ok(seqs)
    }

    /// The decisions that touch what these are the keys of; one may be there more than once.
    pub(crate) fn touching(&self, keys: &[i64], since: u64) -> Sql<Vec<DecisionId>> {
        let since = signed(since);
        self.together(|| {
            let mut statement = self
                .0
                .prepare_cached("SELECT decision FROM touch WHERE what = ?1 AND seq >= ?2")?;
            let mut found = Vec::new();
            for key in keys {
                for id in statement.query_map([*key, since], |row| row.get(0))? {
                    found.push(DecisionId::from_bytes(id?));
                }
            }
            Ok(found)
        })
    }

    pub(crate) fn tools(&self, page: Page) -> Sql<Vec<ToolRow>> {
        let row = |row: &Row<'_>| {
            let (server, name): (String, String) = (row.get(0)?, row.get(1)?);
            Ok(ToolRow {
                keys: ToolKeys::new(&server, &name),
                calls: unsigned(row, 2)?,
                first: unsigned(row, 3)?,
                last: unsigned(row, 4)?,
            })
        };
        self.0
            .prepare_cached(
                "SELECT server, name, calls, first, last FROM tool ORDER BY server, name \
                 LIMIT ?1 OFFSET ?2",
            )?
            .query_map(limit(page), row)?
            .collect()
    }

    pub(crate) fn find(&self, prefix: &str, limit: usize) -> Sql<Vec<Found>> {
        let Some(range) = IdRange::of(prefix) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let queries: [(&str, OfRow); 4] = [
            ("SELECT id FROM run", |row| {
                Ok(Found::Run(RunId::from_bytes(row.get(0)?)))
            }),
            ("SELECT id FROM decision", |row| {
                Ok(Found::Decision(DecisionId::from_bytes(row.get(0)?)))
            }),
            ("SELECT id FROM subject", |row| {
                Ok(Found::Subject(SubjectId::from_bytes(row.get(0)?)))
            }),
            ("SELECT id, seq FROM event", |row| {
                Ok(Found::Event(
                    EventId::from_bytes(row.get(0)?),
                    unsigned(row, 1)?,
                ))
            }),
        ];
        for (sql, take) in queries {
            let left = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
            let mut statement = self.0.prepare_cached(&format!(
                "{sql} WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3"
            ))?;
            let rows = statement.query_map(params![&range.low[..], &range.high[..], left], take)?;
            for row in rows {
                found.push(row?);
            }
        }
        Ok(found)
    }

    /// Looks at every id: the end of one is no key.
    pub(crate) fn find_end(&self, suffix: &str, limit: usize) -> Sql<Vec<Found>> {
        if !is_id_part(suffix) {
            return Ok(Vec::new());
        }
        let queries: [(&str, OfId); 3] = [
            ("SELECT id FROM run_order", |id| {
                Found::Run(RunId::from_bytes(id))
            }),
            ("SELECT id FROM decision", |id| {
                Found::Decision(DecisionId::from_bytes(id))
            }),
            ("SELECT id FROM subject", |id| {
                Found::Subject(SubjectId::from_bytes(id))
            }),
        ];
        let mut found = Vec::new();
        for (sql, take) in queries {
            let mut statement = self.0.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let id: [u8; 16] = row.get(0)?;
                if RunId::from_bytes(id).to_string().ends_with(suffix) {
                    found.push(take(id));
                }
            }
        }
        found.sort_unstable();
        found.truncate(limit);
        Ok(found)
    }

    /// The edges of each of these, which are there once and in order.
    pub(crate) fn edges(&self, ids: &[DecisionId], direction: Direction) -> Sql<Vec<Edge>> {
        self.together(|| {
            let mut edges = Vec::new();
            let mut reader = EdgeReader::new(self.0, direction)?;
            for id in ids {
                reader.take(*id, &mut edges)?;
            }
            Ok(edges)
        })
    }

    /// Level by level: a recursive query cannot drop a decision that it reached before at a
    /// shorter distance.
    pub(crate) fn closure(
        &self,
        id: DecisionId,
        direction: Direction,
        least: Strength,
        limit: usize,
    ) -> Sql<Vec<(DecisionId, u32)>> {
        let mut seen = HashSet::from([id]);
        let mut queue = VecDeque::from([(id, 0)]);
        let mut reached = Vec::new();
        let mut edges = Vec::new();
        let mut reader = EdgeReader::new(self.0, direction)?;
        while let Some((at, distance)) = queue.pop_front() {
            reader.take(at, &mut edges)?;
            for edge in edges.drain(..).filter(|edge| edge.strength >= least) {
                let next = match direction {
                    Direction::Effects => edge.effect,
                    Direction::Causes => edge.cause,
                };
                if !seen.insert(next) {
                    continue;
                }
                if reached.len() == limit {
                    return Ok(reached);
                }
                reached.push((next, distance + 1));
                queue.push_back((next, distance + 1));
            }
        }
        Ok(reached)
    }

    /// Where the payload of each of these events lies, in the order in which they are asked for.
    pub(crate) fn places(&self, events: impl Iterator<Item = EventId>) -> Sql<Vec<Option<Place>>> {
        self.together(|| {
            // What a decision begins with is looked for first, and with most of them nothing else.
            let mut statement = self.0.prepare_cached(
                "SELECT d.pack, d.place FROM event e JOIN decision d ON d.first = e.seq \
                 WHERE e.id = ?1 AND d.pack > 0 UNION ALL \
                 SELECT p.pack, p.place FROM event e JOIN payload p ON p.seq = e.seq \
                 WHERE e.id = ?1 AND p.pack > 0",
            )?;
            let mut place = |event: EventId| {
                let found = statement.query_row([&event.as_bytes()[..]], place_of_row);
                found.optional()
            };
            events.map(&mut place).collect()
        })
    }

    /// Where everything lies that a subject's key opens, in order.
    pub(crate) fn places_of(&self, subject: SubjectId) -> Sql<Vec<Place>> {
        let place = "t.pack, t.place";
        self.0
            .prepare_cached(&format!(
                "{} UNION {} UNION SELECT pack, place FROM stray WHERE subject = ?1 ORDER BY 1, 2",
                about("decision", "t.first", place, "t.pack > 0"),
                about("payload", "t.seq", place, "t.pack > 0"),
            ))?
            .query_map([&subject.as_bytes()[..]], place_of_row)?
            .collect()
    }

    /// The subjects that the log says are erased.
    pub(crate) fn erased(&self) -> Sql<Vec<SubjectId>> {
        self.0
            .prepare_cached("SELECT DISTINCT subject FROM erased")?
            .query_map([], |row| Ok(SubjectId::from_bytes(row.get(0)?)))?
            .collect()
    }
}

/// Reads the edges of one decision after the other, over statements that are prepared once: a
/// closure asks a thousand times.
struct EdgeReader<'c> {
    direction: Direction,
    /// Edges in rows of their own: only causes have them.
    rows: Option<CachedStatement<'c>>,
    /// Edges that stand together in a row.
    packed: CachedStatement<'c>,
}

impl<'c> EdgeReader<'c> {
    fn new(connection: &'c Connection, direction: Direction) -> Sql<Self> {
        let (rows, packed) = match direction {
            Direction::Effects => (None, "SELECT edges FROM effects WHERE cause = ?1"),
            Direction::Causes => (
                Some(connection.prepare_cached(
                    "SELECT cause, effect, kind, strength FROM cause_edge WHERE effect = ?1",
                )?),
                "SELECT causes FROM decision WHERE id = ?1",
            ),
        };
        Ok(Self {
            direction,
            rows,
            packed: connection.prepare_cached(packed)?,
        })
    }

    /// Adds the edges of one decision, in order.
    fn take(&mut self, id: DecisionId, edges: &mut Vec<Edge>) -> Sql<()> {
        let from = edges.len();
        if let Some(rows) = &mut self.rows {
            for edge in rows.query_map([&id.as_bytes()[..]], edge)? {
                edges.push(edge?);
            }
        }
        let mut rows = self.packed.query([&id.as_bytes()[..]])?;
        while let Some(row) = rows.next()? {
            let packed = row.get_ref(0)?.as_blob()?;
            for bytes in packed.chunks_exact(EDGE_LEN) {
                let (other, code) = bytes.split_at(EDGE_LEN - 1);
                let other = DecisionId::from_bytes(other.try_into().expect("16 bytes"));
                let (cause, effect) = match self.direction {
                    Direction::Effects => (id, other),
                    Direction::Causes => (other, id),
                };
                edges.push(Edge {
                    cause,
                    effect,
                    kind: kind_of(i64::from(code[0] >> 1))?,
                    strength: strength_of(i64::from(code[0] & 1)),
                });
            }
        }
        let mut own = edges.split_off(from);
        own.sort_unstable_by_key(|edge| {
            (edge.cause, edge.effect, kind_code(edge.kind), edge.strength)
        });
        own.dedup();
        edges.append(&mut own);
        Ok(())
    }
}

/// Asks for the payloads of the subject `?1` that stand in `table`, by the column with the place of
/// their events in the log.
fn about(table: &str, seq: &str, columns: &str, those: &str) -> String {
    format!(
        "SELECT {columns} FROM payload_span s \
         JOIN {table} t ON {seq} BETWEEN s.first AND s.last AND {those} WHERE s.subject = ?1"
    )
}

fn place_of_row(row: &Row<'_>) -> Sql<Place> {
    Ok(Place {
        pack: row.get(0)?,
        at: unsigned(row, 1)?,
    })
}

/// A run without what other tables say of it.
fn run(row: &Row<'_>) -> Sql<RunRow> {
    let format: Option<String> = row.get(4)?;
    let file: Option<[u8; 32]> = row.get(3)?;
    let origin = match (file, format) {
        (Some(file), Some(format)) => Some(Origin {
            file: Digest(file),
            format,
            part: row.get(5)?,
        }),
        _ => None,
    };
    let imported: bool = row.get(1)?;
    Ok(RunRow {
        whole: origin.is_none() || imported,
        keys: RunKeys {
            run: RunId::from_bytes(row.get(0)?),
            external: row.get(2)?,
            origin,
            subject: SubjectId::from_bytes(row.get(6)?),
        },
        first: unsigned(row, 7)?,
        at: time(row, 8)?,
        decisions: std::collections::BTreeMap::new(),
        agents: Vec::new(),
    })
}

pub(super) fn decision(row: &Row<'_>) -> Sql<DecisionRow> {
    let started: Option<i64> = row.get(7)?;
    Ok(DecisionRow {
        id: DecisionId::from_bytes(row.get(0)?),
        keys: DecisionKeys {
            run: RunId::from_bytes(row.get(1)?),
            agent: Agent {
                name: row.get(2)?,
                version: row.get(3)?,
            },
            kind: named::<Kind>(row, 4)?,
            name: row.get(5)?,
            known: named::<Provenance>(row, 6)?,
            started: started.map(Timestamp),
        },
        status: status_of(row.get(8)?)?,
        first: unsigned(row, 9)?,
        at: time(row, 10)?,
    })
}

fn edge(row: &Row<'_>) -> Sql<Edge> {
    Ok(Edge {
        cause: DecisionId::from_bytes(row.get(0)?),
        effect: DecisionId::from_bytes(row.get(1)?),
        kind: kind_of(row.get(2)?)?,
        strength: strength_of(row.get(3)?),
    })
}

fn kind_of(code: i64) -> Sql<CauseKind> {
    let found = usize::try_from(code)
        .ok()
        .and_then(|kind| CauseKind::ALL.get(kind).copied());
    found.ok_or(rusqlite::Error::IntegralValueOutOfRange(2, code))
}

const fn strength_of(code: i64) -> Strength {
    if code == 0 {
        Strength::Possible
    } else {
        Strength::Certain
    }
}

/// Reads a value by the name that the record uses for it.
fn named<'de, T: Deserialize<'de>>(row: &Row<'_>, column: usize) -> Sql<T> {
    let text: String = row.get(column)?;
    let deserializer: StrDeserializer<'_, serde::de::value::Error> =
        text.as_str().into_deserializer();
    T::deserialize(deserializer).map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e))
    })
}

fn time(row: &Row<'_>, column: usize) -> Sql<HybridTime> {
    Ok(HybridTime {
        wall: unsigned(row, column)?,
        tick: row.get(column + 1)?,
    })
}

fn unsigned(row: &Row<'_>, column: usize) -> Sql<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn limit(page: Page) -> [i64; 2] {
    let fits = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    [fits(page.limit), fits(page.skip)]
}
