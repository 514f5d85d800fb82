//! Agent2Agent, JSON-RPC binding, v0.3 and v1.0: cards, messages, tasks and their streams.
//!
//! [`rewrite_card`] makes an agent's card point to another endpoint and nowhere else. [`Method::of`]
//! says what a request is, [`Message`] and [`Event`] what was said, [`TaskStream`] how a stream
//! ended, and [`Whole`] what it comes to. The two versions differ in names (`message/send` and
//! `SendMessage`, `completed` and `TASK_STATE_COMPLETED`), in how a value says what it is (`kind`, or
//! the name of the member that holds it), and in how a stream ends (`final`, or that it is closed).
//!
//! *What is not done here.* No other binding is read: cards that are rewritten offer none. Nothing
//! is translated between versions; what is not understood passes as it came.

mod card;
mod event;
mod message;
mod method;
mod outcome;
mod state;
mod stream;
mod whole;

pub use card::{CARD_PATHS, CardError, Interface, Rewritten, rewrite_card, rewrite_card_answer};
pub use event::{ArtifactUpdate, Event, StatusUpdate, Task, read_event};
pub use message::{Attachment, Content, Message, Role, Sent, identity};
pub use method::{EXTENSIONS_HEADER, Method, VERSION_HEADER, Version};
pub use outcome::class_of;
pub use state::TaskState;
pub use stream::{End, Step, TaskStream};
pub use whole::Whole;
