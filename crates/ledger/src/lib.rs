//! The tamper-evident log: leaves, the store seam, and what proves that nothing was changed.
//!
//! An event becomes a [`Leaf`]: canonical bytes, which are hashed, and the keys under which it is
//! found. A [`Store`] appends leaves in order, makes them durable, and publishes signed
//! checkpoints over them.
//!
//! Everything here is a pure function of its arguments. No file is opened, no clock is read and
//! no thread is started; randomness is an [`Entropy`] that the caller hands in.

pub mod audit;
pub mod builder;
pub mod canonical;
pub mod checkpoint;
pub mod conformance;
pub mod cosign;
pub mod digest;
pub mod entropy;
pub mod journal;
pub mod key;
mod leaf;
pub mod merkle;
pub mod note;
pub mod payload;
pub mod policy;
pub mod proof;
pub mod receipt;
mod store;
pub mod tile;
pub mod tree;

pub use builder::{LogBuilder, TileFile};
pub use checkpoint::Checkpoint;
pub use digest::Digest;
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use journal::{Journal, Place};
pub use key::{SigningKey, VerifyingKey};
pub use leaf::{LEAF_LEN_MAX, Leaf, LeafError};
pub use note::{Note, NoteError};
pub use payload::SubjectKey;
pub use proof::TlogProof;
pub use receipt::Receipt;
pub use store::{
    Appended, Batch, BlobState, DecisionRow, Direction, Found, KeyState, Page, Remedy, RunRow,
    Sealing, Store, StoreError, StoreStatus, ToolRow,
};
pub use tile::{Tile, TileError, TileReader};
pub use tree::Tree;
