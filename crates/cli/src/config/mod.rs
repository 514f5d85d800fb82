//! The configuration: what `rescind.toml`, the environment and the flags say, and what holds where
//! none of them says anything.
//!
//! [`options`] states every option once; [`shape`] makes a tree of it, along which a file and the
//! environment are read ([`read`], [`environment`]), so that every mistake is found at once and
//! every value knows its place. [`examine`] looks at the world: files, programs, variables. The
//! reference is printed from the same tree ([`manual`]).
//!
//! Nothing here connects to anything, and nothing is decided from it: `up` takes the [`Config`].

mod environment;
mod examine;
mod layers;
pub(crate) mod manual;
mod near;
mod options;
mod read;
mod settings;
mod shape;
mod text;

pub(crate) use environment::Environment;
pub(crate) use layers::{Flag, Read};
pub(crate) use options::{
    Bodies, Config, Durability, Given, InFlight, McpServer, Mode, OnOutage, Role, Upstream, Wire,
};
pub(crate) use settings::{Finding, Path, Severity, Source};
pub(crate) use text::url_shown;

use crate::failure::Failure;

/// Checks the name of a token.
pub(crate) fn name(name: &str) -> Result<String, Failure> {
    text::Form::Name
        .check(name)
        .map_err(|wrong| Failure::new(wrong.what).with_hint(wrong.hint))
}
