//! From a file to the parts that decoders read: one value, or one value a line, and of each the
//! part that the pointer picks.

use super::error::ImportError;
use super::format::{Format, of_value};
use super::json::{Input, Object};
use super::pointer;
use super::run::Position;
use super::spread::Spread;

/// A part of a file for a decoder.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) raw: &'a str,
    pub(crate) position: Position,
    /// If a pointer picked it out of an object: that object, and the key.
    pub(crate) around: Option<(Object<'a>, String)>,
}

/// Splits a file into its values and picks the part of each.
pub(crate) fn parts<'a>(
    input: &Input<'a>,
    format: Format,
    pointer: Option<&str>,
    spread: Spread<'_>,
) -> Result<Vec<Part<'a>>, ImportError> {
    let pointer = pointer.unwrap_or_default();
    let documents = values(input, format, pointer, spread)?;
    let several = documents.len() > 1;
    let mut parts = Vec::with_capacity(documents.len());
    for (line, raw) in documents {
        let document = Position {
            line: several.then_some(line),
            pointer: "".into(),
        };
        let target = pointer::follow(input, raw, pointer, &document)?;
        parts.push(Part {
            raw: target.raw,
            position: Position {
                line: document.line,
                pointer: pointer.into(),
            },
            around: target.around,
        });
    }
    if parts.is_empty() {
        return Err(ImportError::Empty {
            what: "the file has no content".to_owned(),
        });
    }
    Ok(parts)
}

/// The values of a file with their lines.
fn values<'a>(
    input: &Input<'a>,
    format: Format,
    pointer: &str,
    spread: Spread<'_>,
) -> Result<Vec<(u64, &'a str)>, ImportError> {
    let mut values: Vec<(u64, &str)> = Vec::new();
    for value in input.all_values(spread) {
        match (value, values.first()) {
            (Ok(value), _) => values.push(value),
            // That the file is of another kind says more than that it is damaged further down.
            (Err(_), Some((_, first))) if pointer.is_empty() && of_value(first) != Some(format) => {
                let position = Position {
                    line: Some(1),
                    ..Position::default()
                };
                return Err(input.unexpected(format, first, &position, format.shape()));
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(values)
}
