//! A service desk: a database of a shop or an airline behind the tools that agents work it with.
//!
//! ```text
//!   agent ──MCP──► serve ──► desk ──► tools (retail, airline, front, operator)
//!                              │         read records, say what changes
//!                              ▼
//!                           database   one row per record, one transaction per call
//! ```
//!
//! Tools, arguments and effects are those of the published desks of tau-bench, so that recorded
//! runs can be played again and compared; [`Desk`] is the way in without MCP. Beside them stand
//! what an undo needs and no agent should have: reading a record with its version, and putting
//! fields back or deleting it if that version still holds.
//!
//! A call is one transaction, written through before it is answered: whenever the process is
//! killed, it did everything or nothing. The desk has no clock, no randomness and no notion of who
//! calls: whoever may start it says which tools it offers.
//!
//! [`story`] has the agents that work at it in `rescind demo`.

mod airline;
mod arguments;
mod calculate;
mod database;
mod desk;
mod error;
mod front;
mod number;
mod operator;
mod record;
mod retail;
mod seed;
mod serve;
pub mod story;
mod tables;
mod tools;

pub use database::Record;
pub use desk::{Answer, Desk, Rights};
pub use error::DeskError;
pub use serve::{ServeError, serve_stdio};
pub use tables::Change;
pub use tools::{Deed, Domain, Tool};
