//! The tamper-evident log: leaves, the store seam, and what proves that nothing was changed.
//!
//! An event becomes a [`Leaf`]: canonical bytes, which are hashed, and the keys under which it is
//! found. A [`Store`] appends leaves in order, makes them durable, and publishes signed
//! checkpoints over them. This crate opens no files, reads no clock and draws no randomness.

mod leaf;
mod store;

pub use leaf::{LEAF_LEN_MAX, Leaf, LeafError};
pub use store::{
    Appended, Batch, BlobState, Box32, DecisionRow, Direction, Found, KeyState, Page, Remedy,
    RunRow, Sealing, Store, StoreError, StoreStatus, SubjectKey,
};
