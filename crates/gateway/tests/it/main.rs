//! What goes through the gateway, and what of it stands in the record.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "a test that enumerates says how much")]

mod a2a;
mod context;
mod faults;
mod fronts;
mod held;
mod hold;
mod kept;
mod killed_agents;
mod logged;
mod mcp;
mod mcp_program;
mod notify;
mod outage;
mod pass;
mod reads;
mod refused;
mod replay;
mod replays;
mod resent;
mod rest;
mod stopped;
mod streams;
mod support;
mod support_mcp;
mod tools;
mod tries;
mod undo;
