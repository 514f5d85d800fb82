//! Recorded runs of every format through the one door, [`wire::import::read`], and what agents
//! say on the wire.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests are tests too"
)]

mod a2a;
mod a2a_card;
mod a2a_whole;
mod atif;
mod bad_input;
mod failure;
mod jsonrpc;
mod kept;
mod langfuse;
mod llm;
mod mcp;
mod mcp_transport;
mod openai_chat;
mod otlp;
mod real_runs;
mod redact;
mod sse;
mod support;
mod trace;
mod who_and_when;
