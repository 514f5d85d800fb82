//! SQLite's write-ahead log, and when what is in it moves into the file.
//!
//! Left alone SQLite moves it within the commit that makes the log long, syncs twice for it, and
//! everybody who waits for the commit waits for that too. Here it is moved on a thread of its own,
//! while whoever writes makes up the next transaction.

use rusqlite::{Connection, OpenFlags};

use crate::worker::{self, Task};

/// How many pages are in it that are not in the file when these are moved there.
const LONG: i64 = 1_000;
/// How many are in it, about, when they are moved before more is written: SQLite begins it anew only
/// once all of them are in the file.
pub(crate) const LONG_MAX: i64 = 8 * LONG;

/// Moves pages for one who writes.
#[derive(Debug, Default)]
pub(crate) struct Shortener {
    moving: Option<Task<()>>,
}

impl Shortener {
    /// Has SQLite move nothing by itself any more.
    pub(crate) fn take_over(connection: &Connection) {
        // Where that cannot be said, it goes on as before.
        let _ = connection.pragma_update(None, "wal_autocheckpoint", 0);
    }

    /// Begins to move what is in the log, if that is much. Called between two transactions.
    pub(crate) fn look(&mut self, connection: &Connection) {
        let (pages, moved) = length(connection);
        if pages >= LONG_MAX {
            self.end();
            shorten(connection);
            return;
        }
        if self.moving.as_ref().is_some_and(Task::is_done) {
            self.end();
        }
        if pages - moved < LONG || self.moving.is_some() {
            return;
        }
        // With no thread to have, the log grows until it is far too long.
        let Some(path) = connection.path().map(str::to_owned) else {
            return;
        };
        self.moving = worker::begin("rescind-wal", move || shorten_file(&path)).ok();
    }

    /// Waits for what was begun.
    pub(crate) fn end(&mut self) {
        if let Some(moving) = self.moving.take() {
            moving.end();
        }
    }
}

/// How many pages are in the log, and how many of them are in the file too.
fn length(connection: &Connection) -> (i64, i64) {
    let length = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
        Ok((row.get(1)?, row.get(2)?))
    });
    length.unwrap_or_default()
}

/// Moves pages over a connection of its own. What fails is tried the next time.
fn shorten_file(path: &str) {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if let Ok(connection) = Connection::open_with_flags(path, flags) {
        shorten(&connection);
    }
}

/// Moves pages, as far as no reader needs them where they are. What fails is tried the next time.
fn shorten(connection: &Connection) {
    let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
}
