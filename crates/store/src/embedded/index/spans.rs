//! Spans of neighbours in the log: which decisions a run has, and which payloads a subject.

use rusqlite::{Connection, OptionalExtension, params};

use super::write::signed;

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
    insert: &'static str,
    spans: Vec<Span>,
}

impl Spans {
    /// Begins with the last span that is there, which may grow.
    pub(super) fn begin(
        connection: &Connection,
        last: &str,
        insert: &'static str,
    ) -> rusqlite::Result<Self> {
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
