//! Recorded runs of every format through the one door: [`wire::import::read`].

mod atif;
mod langfuse;
mod openai_chat;
mod otlp;
mod support;
mod who_and_when;
