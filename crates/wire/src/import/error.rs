//! What can be wrong with a file, where, and what to do about it.

use std::fmt;

use super::{Format, ITEM_BYTES_MAX};

/// Where in a file something is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line, counted from 1; 0 where only the pointer is known.
    pub line: usize,
    /// Column in bytes, counted from 1.
    pub column: usize,
    /// JSON Pointer, or line and pointer, where an item is meant; else empty.
    pub item: String,
}

impl Place {
    /// The place of an item that has a name but no single line.
    pub(crate) fn of(item: impl fmt::Display) -> Self {
        Self {
            line: 0,
            column: 0,
            item: item.to_string(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, &*self.item) {
            (0, item) => write!(f, "{item}"),
            (line, "") => write!(f, "line {line}, column {}", self.column),
            (line, item) => write!(f, "`{item}` (line {line}, column {})", self.column),
        }
    }
}

/// Why a file was refused. Nothing of a refused file is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Bytes that are not UTF-8.
    #[error("{at}: byte {offset} is not UTF-8")]
    Utf8 {
        /// Where.
        at: Place,
        /// Offset of the first bad byte, counted from 0.
        offset: usize,
    },
    /// The file ends within a value.
    #[error("{at}: the JSON is cut off")]
    Truncated {
        /// Where it ends.
        at: Place,
    },
    /// Something that is not JSON, or a value of the wrong type.
    #[error("{at}: {reason}")]
    Malformed {
        /// Where.
        at: Place,
        /// What the parser says.
        reason: String,
    },
    /// JSON that is not of the format.
    #[error("{at}: expected {expected}, found {found}")]
    WrongFormat {
        /// Where.
        at: Place,
        /// What the format wants there.
        expected: &'static str,
        /// What is there.
        found: String,
        /// The format that the file looks like, if that is another.
        looks_like: Option<Format>,
        /// A pointer at which the format would be found, if there is one.
        pointer: Option<String>,
    },
    /// A pointer that is none.
    #[error("`{pointer}` is not a JSON Pointer")]
    PointerSyntax {
        /// What was given.
        pointer: String,
    },
    /// A pointer to nothing.
    #[error("{at}: there is nothing at `{pointer}`")]
    PointerNotFound {
        /// The document it was applied to.
        at: Place,
        /// What was given.
        pointer: String,
        /// The deepest part of it that exists.
        parent: String,
        /// What that part has: its keys, or its length.
        has: String,
    },
    /// An item over [`ITEM_BYTES_MAX`].
    #[error("{at}: an item of {bytes} bytes is too large, the limit is {ITEM_BYTES_MAX}")]
    TooLarge {
        /// Where.
        at: Place,
        /// Its length.
        bytes: usize,
    },
    /// An id used twice, so that it is open which one is meant.
    #[error("{at}: the {what} `{id}` is used twice, first at {first}")]
    Duplicate {
        /// The second use.
        at: Place,
        /// What kind of id.
        what: &'static str,
        /// The id.
        id: String,
        /// The first use.
        first: String,
    },
    /// Causes that go round in a circle.
    #[error("{at}: {}", circle(ids))]
    Cycle {
        /// One of them.
        at: Place,
        /// Their ids, in order of who claims whom; at most eight.
        ids: Vec<String>,
    },
    /// Nothing to import.
    #[error("there is nothing to import: {what}")]
    Empty {
        /// What is empty.
        what: String,
    },
}

impl ImportError {
    /// Returns what a person can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Utf8 { .. } => "convert the file to UTF-8".to_owned(),
            Self::Truncated { .. } => "the file is incomplete: copy or export it again".to_owned(),
            Self::Malformed { .. } => return None,
            Self::WrongFormat {
                pointer: Some(pointer),
                ..
            } => format!("there are messages further down: add `--pointer {pointer}`"),
            Self::WrongFormat {
                looks_like: Some(format),
                ..
            } => format!("this looks like `{format}`: use `--format {format}`"),
            Self::WrongFormat { at, .. } if !at.item.is_empty() => {
                "correct this item, or take it out".to_owned()
            }
            Self::WrongFormat { .. } => format!(
                "the formats that can be imported are {}",
                list(&Format::ALL)
            ),
            Self::PointerSyntax { .. } => {
                "a JSON Pointer is empty or begins with `/`, like `/0/traj`".to_owned()
            }
            Self::PointerNotFound { parent, has, .. } => {
                let parent = if parent.is_empty() { "the top" } else { parent };
                format!("{parent} has {has}")
            }
            Self::TooLarge { .. } => {
                "take large contents out of the item, or refer to them by URL".to_owned()
            }
            Self::Duplicate {
                what: "call id", ..
            } => "a call needs its result before its id is used again: rename one".to_owned(),
            Self::Duplicate { .. } => "take one of them out, or rename it".to_owned(),
            Self::Cycle { .. } => "correct the parents or links of one of them".to_owned(),
            Self::Empty { .. } => return None,
        })
    }
}

/// Names in backticks, separated by commas.
pub(crate) fn list<T: fmt::Display>(names: &[T]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

fn circle(ids: &[String]) -> String {
    match ids {
        [id] => format!("`{id}` claims to cause itself"),
        _ => format!("{} claim to cause each other", list(ids)),
    }
}
