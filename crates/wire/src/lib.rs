//! Formats of agents, of what they say to models, tools and each other, and of their traces.
//!
//! [`import`] reads recorded runs, whatever tool recorded them, into neutral steps. [`llm`] reads
//! requests to models and their answers, whole or as a stream, which [`sse`] takes apart;
//! [`failure`] classes errors of models, proxies and networks. [`jsonrpc`] reads the envelopes that
//! MCP and A2A share, [`mcp`] and [`a2a`] what stands in them. [`redact`] takes secrets out of
//! texts, [`trace`] reads which trace a request belongs to. Nothing here opens a file or a socket,
//! reads a clock or knows the record: bytes go in, values come out.

pub mod a2a;
pub mod failure;
pub mod import;
pub mod jsonrpc;
pub mod llm;
pub mod mcp;
pub mod redact;
pub mod sse;
pub mod trace;
