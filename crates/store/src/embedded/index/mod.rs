//! The index: a SQLite file beside the log, rebuilt from the log at any time.
//!
//! It is a projection and never an authority. Its watermark moves in the transaction that adds
//! the rows, so that it is never ahead of what it says. One connection writes; readers have their
//! own. SQLite is always the bundled one: versions from 3.7.0 to 3.51.2 could corrupt a file that
//! two connections checkpoint at once.

mod effects;
mod kinds;
mod lot;
mod read;
mod rows;
mod spans;
pub(super) mod wal;
mod write;

use std::path::{Path, PathBuf};

use ledger::StoreError;
use model::{Digest, HybridTime};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

pub(crate) use lot::{Blob, Lot, Place};
pub(crate) use read::Reader;
pub(crate) use write::{Writer, touch_key};

use crate::error::unavailable;

/// The version of the tables. An index of another version is rebuilt.
const SCHEMA: i64 = 8;

/// How far an index is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Leaves in it.
    pub(crate) size: u64,
    /// Leaf hash of the last of them, which ties the index to its log.
    pub(crate) last: Digest,
    /// How far the packs are in it.
    pub(crate) pack: u32,
    pub(crate) pack_end: u64,
    /// Time of the last leaf.
    pub(crate) at: HybridTime,
}

/// Opens the index to write, and makes a new one where there is none that can be used. The text
/// says why the old one could not.
pub(crate) fn open(path: &Path) -> Result<(Connection, Mark, Option<String>), StoreError> {
    match try_open(path) {
        Ok(Some((connection, mark))) => return Ok((connection, mark, None)),
        Ok(None) => {}
        Err(error) => {
            let why = format!("the index could not be used and is rebuilt: {error}");
            remove(path)?;
            let (connection, mark) = create(path)?;
            return Ok((connection, mark, Some(why)));
        }
    }
    let existed = path.exists();
    remove(path)?;
    let (connection, mark) = create(path)?;
    let why = existed.then(|| "the index has another version and is rebuilt".to_owned());
    Ok((connection, mark, why))
}

/// Opens an index and reads its mark; none if there is no index of this version.
fn try_open(path: &Path) -> rusqlite::Result<Option<(Connection, Mark)>> {
    if !path.exists() {
        return Ok(None);
    }
    let connection = Connection::open(path)?;
    tune(&connection)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version != SCHEMA {
        return Ok(None);
    }
    let mark = mark(&connection)?;
    Ok(Some((connection, mark)))
}

/// Removes an index with its journals.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(unavailable(
                    format!("remove the index `{}`", path.display()),
                    e,
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn create(path: &Path) -> Result<(Connection, Mark), StoreError> {
    let failed =
        |e: rusqlite::Error| unavailable(format!("make the index `{}`", path.display()), e);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)
            .map_err(|e| unavailable(format!("make the directory `{}`", dir.display()), e))?;
    }
    let make = || {
        let connection = Connection::open(path)?;
        // What a crash tears of an empty index is not read as one, and made anew.
        connection.pragma_update(None, "synchronous", "off")?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        fill_schema(&connection)?;
        tune(&connection)?;
        Ok(connection)
    };
    Ok((make().map_err(failed)?, Mark::default()))
}

/// An index that no file holds, for looking into a log without writing.
pub(crate) fn in_memory() -> Result<Connection, StoreError> {
    let make = || {
        let connection = Connection::open_in_memory()?;
        plan_once(&connection)?;
        fill_schema(&connection)?;
        Ok(connection)
    };
    make().map_err(|e: rusqlite::Error| unavailable("make an index in memory", e))
}

fn fill_schema(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN;\n{}\nPRAGMA user_version = {SCHEMA};\nCOMMIT;",
        include_str!("schema.sql")
    ))
}

fn tune(connection: &Connection) -> rusqlite::Result<()> {
    // A commit may be lost with the power, never torn: the log is read again from the watermark.
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "wal_autocheckpoint", wal::LONG_MAX)?;
    connection.pragma_update(None, "cache_size", -32_000)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.set_prepared_statement_cache_capacity(96);
    connection.busy_timeout(std::time::Duration::from_secs(10))
}

/// Has questions planned without a look at the values that are put in: else one with a limit is
/// parsed and planned anew for each other value.
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    let done = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true);
    done.map(drop)
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "cache_size", -16_000)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    plan_once(&connection)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == SCHEMA {
        Ok(connection)
    } else {
        Err(rusqlite::Error::InvalidQuery)
    }
}

/// Reads the watermark.
pub(crate) fn mark(connection: &Connection) -> rusqlite::Result<Mark> {
    let row = connection
        .query_row("SELECT value FROM meta WHERE name = 'mark'", [], |row| {
            row.get::<_, Vec<u8>>(0)
        })
        .optional()?;
    let Some(bytes) = row else {
        return Ok(Mark::default());
    };
    Mark::decode(&bytes).ok_or(rusqlite::Error::InvalidQuery)
}

impl Mark {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.last.0);
        bytes.extend_from_slice(&self.pack.to_be_bytes());
        bytes.extend_from_slice(&self.pack_end.to_be_bytes());
        bytes.extend_from_slice(&self.at.wall.to_be_bytes());
        bytes.extend_from_slice(&self.at.tick.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        use super::segment::{u32_at, u64_at};
        (bytes.len() == 64).then(|| Self {
            size: u64_at(bytes, 0),
            last: Digest::from_slice(&bytes[8..40]).expect("32 bytes"),
            pack: u32_at(bytes, 40),
            pack_end: u64_at(bytes, 44),
            at: HybridTime {
                wall: u64_at(bytes, 52),
                tick: u32_at(bytes, 60),
            },
        })
    }
}

/// Every table with its columns in key order: what makes two indexes equal.
const TABLES: [(&str, &str); 22] = [
    ("cause_edge", "effect, cause, kind, strength"),
    (
        "decision",
        "first, id, event, run, agent, version, kind, name, known, started, status, wall, tick, \
         code, pack, place, causes",
    ),
    ("decision_span", "first, last, count, run"),
    ("effects", "cause, span, edges"),
    ("erased", "subject, seq"),
    ("event", "id, seq"),
    ("event_of_decision", "decision, seq"),
    ("meta", "name, value"),
    ("named", "code, seq"),
    ("payload", "seq, pack, place"),
    ("payload_span", "first, last, count, subject"),
    (
        "run",
        "id, opened, imported, external, file, format, part, subject, first, wall, tick",
    ),
    ("run_agent", "run, agent"),
    ("run_order", "first, id"),
    ("run_origin", "file, format, part, first, id"),
    ("run_status", "run, status, count"),
    ("stray", "subject, pack, place"),
    ("stream", "id, head"),
    ("subject", "id"),
    ("tool", "server, name, calls, first, last"),
    ("touch", "what, seq, decision"),
    ("word", "what, code"),
];

/// Returns a digest of each table's rows in key order, so that an index can be compared with one
/// that was rebuilt.
pub(crate) fn digests(
    connection: &Connection,
) -> rusqlite::Result<Vec<(&'static str, u64, Digest)>> {
    use rusqlite::types::ValueRef;
    let mut digests = Vec::with_capacity(TABLES.len());
    for (table, columns) in TABLES {
        let order = columns.split(", ").take(4).collect::<Vec<_>>().join(", ");
        let mut statement =
            connection.prepare(&format!("SELECT {columns} FROM {table} ORDER BY {order}"))?;
        let width = statement.column_count();
        let mut rows = statement.query([])?;
        let mut count = 0;
        let mut running = Digest([0; 32]);
        let mut bytes = Vec::new();
        while let Some(row) = rows.next()? {
            bytes.clear();
            bytes.extend_from_slice(&running.0);
            for column in 0..width {
                let (tag, value): (u8, &[u8]) = match row.get_ref(column)? {
                    ValueRef::Null => (0, &[]),
                    ValueRef::Integer(value) => {
                        bytes.push(1);
                        bytes.extend_from_slice(&value.to_be_bytes());
                        continue;
                    }
                    ValueRef::Real(_) => (2, &[]),
                    ValueRef::Text(value) => (3, value),
                    ValueRef::Blob(value) => (4, value),
                };
                bytes.push(tag);
                bytes.extend_from_slice(&(value.len() as u64).to_be_bytes());
                bytes.extend_from_slice(value);
            }
            running = ledger::digest::sha256(&bytes);
            count += 1;
        }
        digests.push((table, count, running));
    }
    Ok(digests)
}
