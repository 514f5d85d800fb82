//! The Model Context Protocol: what a message is, what a tool says of itself, how a call ended.
//!
//! Read after revisions 2024-11-05 to 2025-11-25, which have sessions, and 2026-07-28, which is
//! stateless. [`What::of`] says what a request is, [`CallResult::read`] how a tool call ended,
//! [`read_tools`] what a server's tools say of themselves. [`http`] and [`stdio`] hold the facts
//! of the two transports, [`Answers`] follows a stream until every request is answered.
//!
//! *Order of trust.* The class of an effect comes from the operator's catalogue first, which is
//! not known here. Of what a tool says of itself, metadata about how to compensate it comes before
//! annotations, since a tool that can be undone has something to undo. All of it is a claim.
//!
//! *What is not done here.* Nothing is sent, no session is kept, and no message is rewritten:
//! what is not understood passes as it came.

mod answers;
pub mod http;
mod message;
mod outcome;
mod result;
pub mod stdio;
mod tool;

pub use answers::{Answered, Answers, End};
pub use message::{Ask, Call, Client, Initialize, Listing, Meta, TaskDeed, What};
pub use outcome::{class_of, outcome_of};
pub use result::{CallResult, CallState, Content, Task, TaskStatus};
pub use tool::{Annotations, Compensation, Tool, next_page, read_tools};
