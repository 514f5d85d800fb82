//! What followed from what: causes inferred from content, and the graph that they make.
//!
//! [`Tracer`] is fed every decision in order and says what each depends on: call ids, resent
//! histories, values and passages first seen elsewhere, hand-offs. [`Graph`] keeps those edges in
//! memory and answers ancestors, descendants, [`Graph::path`] ("why does B depend on A") and the
//! [`Blast`] radius in two rings. [`Rings`] computes the same rings over edges that live elsewhere.
//! [`recovery_line`] says to which saved states agents can go back.
//!
//! Nothing here stores content, reads a clock, draws randomness or touches a file: the tracer
//! remembers hashes and positions, within a stated bound. Start with [`Seen`].

mod arguments;
mod beginnings;
mod calls;
mod content;
mod cycle;
mod graph;
mod line;
mod order;
mod prompt;
mod reach;
mod rings;
mod roster;
mod run;
mod scan;
mod seen;
mod table;
mod tracer;
mod turns;
mod value;
mod winnow;

pub use cycle::find_cycle;
pub use graph::{Graph, GraphError, Link};
pub use line::{Checkpoint, recovery_line};
pub use reach::Reached;
pub use rings::{Blast, Rings, Touched, rings_over};
pub use seen::{Asked, History, Item, Role, Seen};
pub use tracer::{Answered, Options, Tracer};
