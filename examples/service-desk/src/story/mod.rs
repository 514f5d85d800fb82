//! The story: three agents of a shop, one wrong decision, and what comes of it.
//!
//! ```text
//!   customer ──► intake ──► orders ──► courier ──► customer
//!                  │           │          │
//!                  └─ model ───┴─ model ──┴─ model     played back, over the OpenAI wire
//!                  └─ tools ───┴─ tools ──┴─ tools     real, over MCP
//! ```
//!
//! Intake reads what a customer wants and says it in a sentence; orders changes the records; courier
//! moves parcels and tells the customer. Each is a loop as in any agent: ask the model, make the
//! calls that it asks for, ask again. They know two URLs and nothing of what stands behind them.
//!
//! What the model says is fixed ([`Playback`]), and depends on what it is sent: who still has a
//! wrong sentence in its history goes on in its sense.

mod agent;
mod http;
mod model;
mod script;

pub use agent::{Agent, Happened, StoryError, What};
pub use model::{Heard, Playback};
pub use script::{AGENTS, Role, TICKETS, Ticket, ticket, work};

/// The catalogue of the desk's tools, as `tools.toml` of a configuration.
pub const TOOLS: &str = include_str!("../../tools.toml");
