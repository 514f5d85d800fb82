//! Rows for one table, many to a statement.
//!
//! Beginning, resetting and ending a statement costs as much as the row that it puts in, so rows
//! that are at hand together share it.

use rusqlite::{CachedStatement, Connection, ToSql};

/// An insertion that is prepared twice: for many rows, and for one, where that is another.
pub(super) struct Rows<'c> {
    many: CachedStatement<'c>,
    one: Option<CachedStatement<'c>>,
    at_once: usize,
}

/// Takes the values of a row, from the first column on.
pub(super) struct Values<'s, 'c> {
    statement: &'s mut CachedStatement<'c>,
    at: usize,
}

impl<'c> Rows<'c> {
    /// Prepares `INSERT` and what follows the word, up to the values; `tail` follows them.
    pub(super) fn prepare(
        connection: &'c Connection,
        insert: &str,
        width: usize,
        at_once: usize,
        tail: &str,
    ) -> rusqlite::Result<Self> {
        let row = format!("({})", vec!["?"; width].join(","));
        let sql = |rows: usize| format!("{insert} VALUES {} {tail}", vec![&*row; rows].join(","));
        Ok(Self {
            many: connection.prepare_cached(&sql(at_once))?,
            one: match at_once {
                1 => None,
                _ => Some(connection.prepare_cached(&sql(1))?),
            },
            at_once,
        })
    }

    /// Puts the rows in, in order, and returns how many were added.
    pub(super) fn put<T>(
        &mut self,
        items: &[T],
        mut bind: impl FnMut(&T, &mut Values<'_, 'c>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<usize> {
        let mut added = 0;
        let chunks = items.chunks_exact(self.at_once);
        let rest = chunks.remainder();
        let rest = rest.chunks(1).map(|one| (one, false));
        for (items, many) in chunks.map(|chunk| (chunk, true)).chain(rest) {
            let statement = match &mut self.one {
                Some(one) if !many => one,
                _ => &mut self.many,
            };
            let mut values = Values { statement, at: 0 };
            for item in items {
                bind(item, &mut values)?;
            }
            added += values.statement.raw_execute()?;
        }
        Ok(added)
    }
}

impl Values<'_, '_> {
    /// Takes the value of the next column.
    pub(super) fn push(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.at += 1;
        self.statement.raw_bind_parameter(self.at, value)
    }
}
