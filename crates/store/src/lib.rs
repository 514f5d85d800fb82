//! Stores of the record: in memory, and embedded in a directory.
//!
//! Both answer the one seam, [`ledger::Store`]. The embedded one keeps the log in append-only
//! segments, which are the truth, and an index beside them, which is rebuilt from the log at any
//! time; its files are described to the byte in `docs/design/on-disk-format.md`. [`verify`] checks
//! them without trusting anything but the log's public key.
//!
//! A store does not know what an event means, and it never falls back to another store.

mod admit;
pub mod disk;
mod embedded;
mod error;
pub mod fault;
pub mod journal;
mod memory;
mod prefix;
mod projection;
pub mod random;
pub mod verify;
pub mod worker;

pub use embedded::{Clock, Continue, EmbeddedStore, Indexing, OpenOptions};
pub use journal::FileJournal;
pub use memory::MemoryStore;
