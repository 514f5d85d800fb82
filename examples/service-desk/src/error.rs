//! What can go wrong with a desk itself; what its tools refuse is an answer and no error.

use std::path::PathBuf;

/// A desk that could not be opened, filled or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeskError {
    /// The database did not do what was asked.
    #[error("could not {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A file of records could not be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of records, or a record in the database, is not what it should be.
    #[error("`{place}` is no object of records")]
    Form {
        /// The file, or the record.
        place: String,
        /// Where it stops making sense.
        #[source]
        source: serde_json::Error,
    },
    /// The database already holds the records of a desk.
    #[error("the database already holds the {held} desk")]
    Filled {
        /// What it holds.
        held: &'static str,
    },
}

/// Why a tool did nothing.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The caller is told so: the published text, less `Error: `.
    Said(String),
    /// The desk itself is in trouble.
    Broken(DeskError),
}

impl Refusal {
    pub(crate) fn said(text: impl Into<String>) -> Self {
        Self::Said(text.into())
    }
}

impl From<DeskError> for Refusal {
    fn from(error: DeskError) -> Self {
        Self::Broken(error)
    }
}
