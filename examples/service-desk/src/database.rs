//! Records in SQLite: one row per record, with a version that grows with each change of it.
//!
//! A deleted record leaves its version behind, so that "unchanged since I looked" stays decidable
//! when it comes back. Which tools exist, and what they mean, is not known here.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use serde_json::Value;

use crate::error::DeskError;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS records (
  position INTEGER PRIMARY KEY,          -- the order in which they were first written
  of       TEXT    NOT NULL,             -- the table: orders, users, ...
  id       TEXT    NOT NULL,
  body     TEXT,                         -- JSON; NULL once deleted
  version  INTEGER NOT NULL,
  UNIQUE (of, id)
);
CREATE TABLE IF NOT EXISTS answers (     -- what calls with an idempotency key were answered
  key    TEXT PRIMARY KEY,
  call   TEXT NOT NULL,
  answer TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

/// A record as it lies in the database.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// How often it was changed, deletions included; 0 for a record that never was.
    pub version: u64,
    /// What it holds; `None` if it does not exist.
    pub body: Option<Value>,
}

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Connection,
}

impl Database {
    /// Opens the file, and creates it where it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, DeskError> {
        Self::set_up(Connection::open(path).map_err(doing("open the database"))?)
    }

    /// Opens a database that is gone with the process.
    pub(crate) fn in_memory() -> Result<Self, DeskError> {
        Self::set_up(Connection::open_in_memory().map_err(doing("open a database in memory"))?)
    }

    fn set_up(connection: Connection) -> Result<Self, DeskError> {
        let pragmas = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
             PRAGMA synchronous = FULL;";
        connection
            .execute_batch(pragmas)
            .and_then(|()| connection.execute_batch(SCHEMA))
            .map_err(doing("set up the database"))?;
        Ok(Self { connection })
    }

    /// Begins a piece of work: all of it, or, unless it is committed, nothing.
    pub(crate) fn begin(&mut self, writes: bool) -> Result<Work<'_>, DeskError> {
        // Taking the lock at once keeps two processes from reading the same version and one of
        // them from failing half way.
        let behavior = if writes {
            TransactionBehavior::Immediate
        } else {
            TransactionBehavior::Deferred
        };
        self.connection
            .transaction_with_behavior(behavior)
            .map(|transaction| Work { transaction })
            .map_err(doing("begin a transaction"))
    }
}

/// A transaction.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    transaction: Transaction<'a>,
}

impl Work<'_> {
    pub(crate) fn commit(self) -> Result<(), DeskError> {
        self.transaction
            .commit()
            .map_err(doing("commit the transaction"))
    }

    pub(crate) fn record(&self, table: &str, id: &str) -> Result<Record, DeskError> {
        let row = self
            .transaction
            .prepare_cached("SELECT version, body FROM records WHERE of = ? AND id = ?")
            .and_then(|mut statement| {
                statement
                    .query_row(params![table, id], |row| {
                        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?))
                    })
                    .optional()
            })
            .map_err(doing("read a record"))?;
        let Some((version, body)) = row else {
            return Ok(Record {
                version: 0,
                body: None,
            });
        };
        let body = body.map(|text| parsed(table, id, &text)).transpose()?;
        // The column only ever grows from 1.
        let version = version.unsigned_abs();
        Ok(Record { version, body })
    }

    /// Returns what a table holds, in the order in which it was first written.
    pub(crate) fn table(&self, table: &str) -> Result<Vec<(String, Value)>, DeskError> {
        let rows = self
            .transaction
            .prepare_cached(
                "SELECT id, body FROM records WHERE of = ? AND body IS NOT NULL ORDER BY position",
            )
            .and_then(|mut statement| {
                statement
                    .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<Result<Vec<(String, String)>, _>>()
            })
            .map_err(doing("read a table"))?;
        rows.into_iter()
            .map(|(id, text)| parsed(table, &id, &text).map(|body| (id, body)))
            .collect()
    }

    /// Returns the names of the tables that hold something.
    pub(crate) fn tables(&self) -> Result<Vec<String>, DeskError> {
        self.transaction
            .prepare_cached("SELECT DISTINCT of FROM records WHERE body IS NOT NULL ORDER BY of")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .map_err(doing("list the tables"))
    }

    /// Puts a record in place of what was there, or deletes it.
    pub(crate) fn put(&self, table: &str, id: &str, body: Option<&str>) -> Result<(), DeskError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO records (of, id, body, version) VALUES (?1, ?2, ?3, 1)
                 ON CONFLICT (of, id) DO UPDATE SET body = ?3, version = version + 1",
            )
            .and_then(|mut statement| statement.execute(params![table, id, body]))
            .map(drop)
            .map_err(doing("write a record"))
    }

    /// Returns the call that a key was first used for, and its answer.
    pub(crate) fn answered(&self, key: &str) -> Result<Option<(String, String)>, DeskError> {
        self.transaction
            .prepare_cached("SELECT call, answer FROM answers WHERE key = ?")
            .and_then(|mut statement| {
                statement
                    .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(doing("look up an idempotency key"))
    }

    pub(crate) fn answer(&self, key: &str, call: &str, answer: &str) -> Result<(), DeskError> {
        self.transaction
            .prepare_cached("INSERT INTO answers (key, call, answer) VALUES (?, ?, ?)")
            .and_then(|mut statement| statement.execute([key, call, answer]))
            .map(drop)
            .map_err(doing("keep an answer"))
    }

    pub(crate) fn fact(&self, name: &str) -> Result<Option<String>, DeskError> {
        self.transaction
            .prepare_cached("SELECT value FROM facts WHERE name = ?")
            .and_then(|mut statement| statement.query_row([name], |row| row.get(0)).optional())
            .map_err(doing("read a fact"))
    }

    pub(crate) fn set_fact(&self, name: &str, value: &str) -> Result<(), DeskError> {
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)")
            .and_then(|mut statement| statement.execute([name, value]))
            .map(drop)
            .map_err(doing("write a fact"))
    }
}

fn doing(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> DeskError {
    move |source| DeskError::Database { doing, source }
}

fn parsed(table: &str, id: &str, text: &str) -> Result<Value, DeskError> {
    serde_json::from_str(text).map_err(|source| DeskError::Form {
        place: format!("{table}/{id}"),
        source,
    })
}
