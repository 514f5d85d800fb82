//! Spans of neighbours in the log: which decisions a run has, and which payloads a subject.

use rusqlite::{Connection, OptionalExtension};

use super::rows::{Rows, Values};
use super::write::{AT_ONCE, signed};

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
pub(super) struct Spans {
    table: &'static str,
    spans: Vec<Span>,
    /// How many of them are there already, the first ones.
    known: usize,
}

impl Spans {
    /// Begins with the last span that is there, which may grow.
    pub(super) fn begin(
        connection: &Connection,
        table: &'static str,
        owner: &str,
    ) -> rusqlite::Result<Self> {
        let last =
            format!("SELECT first, last, count, {owner} FROM {table} ORDER BY first DESC LIMIT 1");
        let unsigned = |number: i64| u64::try_from(number).expect("written from a u64");
        let last = connection
            .prepare_cached(&last)?
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
            table,
            known: last.iter().len(),
            spans: last.into_iter().collect(),
        })
    }

    pub(super) fn add(&mut self, owner: &[u8; 16], seq: u64) {
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

    pub(super) fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        let bind = |span: &Span, values: &mut Values<'_, '_>| {
            values.push(signed(span.first))?;
            values.push(signed(span.last))?;
            values.push(signed(span.count))?;
            values.push(&span.owner[..])
        };
        let (grown, new) = self.spans.split_at(self.known);
        let grow = "ON CONFLICT (first) DO UPDATE SET last = excluded.last, count = excluded.count";
        let insert = format!("INSERT INTO {}", self.table);
        Rows::prepare(connection, &insert, 4, 1, grow)?.put(grown, bind)?;
        let insert = format!("INSERT OR FAIL INTO {}", self.table);
        Rows::prepare(connection, &insert, 4, AT_ONCE, "")?.put(new, bind)?;
        Ok(())
    }
}
