//! SQLite's write-ahead log, and when what is in it moves into the file.
//!
//! Left alone SQLite moves it within the commit that makes the log long, syncs twice for it, and
//! everybody who waits for the commit waits for that too.

use rusqlite::Connection;

/// How many pages are in it when they are moved as soon as nobody writes.
pub(crate) const LONG: i64 = 4_000;
/// How many are in it, about, when they are moved before more is written.
pub(crate) const LONG_MAX: i64 = 2 * LONG;

/// Has SQLite move nothing by itself any more.
pub(crate) fn on_demand(connection: &Connection) {
    // Where that cannot be said, it goes on as before.
    let _ = connection.pragma_update(None, "wal_autocheckpoint", 0);
}

/// How many pages are in it that are not in the file.
pub(crate) fn pages(connection: &Connection) -> i64 {
    let pages = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
        Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?)
    });
    pages.unwrap_or_default()
}

/// Moves them, as far as no reader needs them where they are. What fails is tried the next time.
pub(crate) fn shorten(connection: &Connection) {
    let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
}
