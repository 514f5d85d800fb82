//! Catalogues, plans, and what plans come to when they are carried out.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod catalogue;
mod claim;
mod generated;
mod oracle;
mod planner;
mod reads;
mod recorded;
mod suggest;
mod systems;
mod world;
