//! The commands.

pub(crate) mod anew;
pub(crate) mod approvals;
mod beside;
pub(crate) mod config;
pub(crate) mod demo;
mod desk;
pub(crate) mod graph;
pub(crate) mod import;
pub(crate) mod live;
pub(crate) mod look;
pub(crate) mod minds;
pub(crate) mod prove;
mod published;
pub(crate) mod rollback;
pub(crate) mod tools;
pub(crate) mod up;
pub(crate) mod upkeep;
pub(crate) mod verify;
