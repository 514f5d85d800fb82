//! Recorded runs from elsewhere, read into neutral steps.
//!
//! ```text
//! bytes ─► documents ─► part (pointer) ─► decoder of the format ─► runs of steps
//! ```
//!
//! [`read`] decodes a whole file or refuses it with position and reason; nothing is ever half
//! read. A [`Run`] holds its [`Step`]s in an order in which every explicit cause comes before
//! what it caused. Text is borrowed from the bytes wherever JSON escapes allow it.
//!
//! *What is kept.* Every item of the source is some step's [`Step::source`], byte for byte, and
//! whatever is no item is in [`Run::rest`]; so no unknown field is lost. Where a decoder has looked
//! at every key of an item, [`Step::unsaid`] is what of it the step's fields do not say.
//!
//! *What is not done here.* Nothing is inferred from content: [`Step::links`] are only what the
//! source states outright (ids, parents, calls inside a message). Ids, the record and inference
//! belong to others.

mod atif;
mod attributes;
mod conversation;
mod documents;
mod error;
mod format;
pub(crate) mod json;
mod langfuse;
mod openai_chat;
mod openai_message;
mod otlp;
mod pointer;
mod run;
mod span_content;
mod spans;
mod split;
mod spread;
pub(crate) mod time;
mod who_and_when;

pub use error::{ImportError, Place};
pub use format::{Format, UnknownFormat, detect};
pub use run::{Gaps, Link, Marks, Position, Run, Step, Text, Unsaid};
pub use spread::AtOnce;

use spread::Spread;

/// The longest item (a message, a span, an envelope) that is read, in bytes: 64 MiB.
pub const ITEM_BYTES_MAX: usize = 64 << 20;

/// What a person may say about a file beside its format.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'o> {
    /// JSON Pointer (RFC 6901) of the part to read; of JSON Lines, it applies to each line.
    pub pointer: Option<&'o str>,
    /// Name of the agent, where the format does not say it.
    pub agent: Option<&'o str>,
}

/// Reads every run of a file.
///
/// # Errors
/// [`ImportError`] with position and reason; then nothing of the file is to be taken.
pub fn read<'a>(
    format: Format,
    bytes: &'a [u8],
    options: &Options<'_>,
) -> Result<Vec<Run<'a>>, ImportError> {
    let alone = |pieces: usize, work: &(dyn Fn(usize) + Sync)| (0..pieces).for_each(work);
    read_at_once(format, bytes, options, 1, &alone)
}

/// As [`read`], with the work of large files in so many pieces, for whoever can do them at once.
///
/// # Errors
/// As [`read`]. Of several errors it may be another one.
pub fn read_at_once<'a>(
    format: Format,
    bytes: &'a [u8],
    options: &Options<'_>,
    pieces: usize,
    at_once: &AtOnce<'_>,
) -> Result<Vec<Run<'a>>, ImportError> {
    let spread = Spread { pieces, at_once };
    let input = json::Input::new(bytes)?;
    let parts = documents::parts(&input, format, options.pointer, spread)?;
    let runs = match format {
        Format::OpenaiChat => openai_chat::read(&input, parts, options, spread),
        Format::Atif => atif::read(&input, parts, spread),
        Format::WhoAndWhen => who_and_when::read(&input, parts, spread),
        Format::OtlpJson => otlp::read(&input, parts, options, spread),
        Format::Langfuse => langfuse::read(&input, parts, options, spread),
    }?;
    check_sizes(&runs)?;
    Ok(runs)
}

/// Refuses items over the limit, whichever decoder they came through.
fn check_sizes(runs: &[Run<'_>]) -> Result<(), ImportError> {
    for run in runs {
        if let Some(step) = run
            .steps
            .iter()
            .find(|step| step.source.len() > ITEM_BYTES_MAX)
        {
            return Err(ImportError::TooLarge {
                at: Place::of(&step.position),
                bytes: step.source.len(),
            });
        }
        let rest = run.rest.as_ref().map_or(0, |rest| rest.len());
        if rest > ITEM_BYTES_MAX {
            return Err(ImportError::TooLarge {
                at: Place::of(&run.position),
                bytes: rest,
            });
        }
    }
    Ok(())
}
