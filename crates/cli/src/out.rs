//! Printing: the one place that writes to standard output and standard error.
//!
//! What comes from agents may hold escape sequences that would act on a terminal, so everything
//! printed for people goes through [`clean`].

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde::Serialize;
use store::Indexing;

use crate::failure::Failure;

/// How many hexadecimal digits of an id's end stand for it in lists.
const SHORT_ID_LEN: usize = 10;

/// How many entries are indexed before a bar is worth showing: some tenths of a second.
const INDEXED_AT_ONCE: u64 = 16_384;

/// Where a command prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    json: bool,
    color: bool,
    quiet: bool,
}

/// Colours that a terminal shows and a pipe does not.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paint {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Out {
    pub(crate) fn new(json: bool, color: bool, quiet: bool) -> Self {
        Self { json, color, quiet }
    }

    /// Whether the one object on standard output is JSON.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// A progress bar, where one may be shown: standard error is a terminal, and nobody said
    /// otherwise.
    pub(crate) fn bar(&self) -> Option<ProgressBar> {
        if !self.shows_progress() {
            return None;
        }
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{msg} {bar:30} {human_pos}/{human_len} {rate}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.with_key("rate", rate));
        Some(bar)
    }

    fn shows_progress(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// A progress bar for the index, where one may be shown. It shows itself once there is so much to
    /// do that a person would wonder, and is gone once that is done.
    pub(crate) fn indexing(self) -> Option<Indexing> {
        if !self.shows_progress() {
            return None;
        }
        let shown: Mutex<Option<ProgressBar>> = Mutex::default();
        Some(Arc::new(move |done, total| {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            if done >= total {
                if let Some(bar) = shown.take() {
                    bar.finish_and_clear();
                }
                return;
            }
            if shown.is_none() && total - done > INDEXED_AT_ONCE {
                *shown = self.bar();
            }
            if let Some(bar) = &*shown {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message("index");
            }
        }))
    }

    /// Prints the command's answer: `object` as JSON, or else what `text` makes of it.
    pub(crate) fn answer<T: Serialize>(
        &self,
        object: &T,
        text: impl FnOnce(&Self) -> String,
    ) -> io::Result<()> {
        if self.json {
            self.json_object(object)
        } else {
            self.text(&text(self))
        }
    }

    /// Prints an object as JSON.
    pub(crate) fn json_object<T: Serialize>(&self, object: &T) -> io::Result<()> {
        let mut line = escaped(&serde_json::to_string_pretty(object)?);
        line.push('\n');
        write(io::stdout().lock(), &line)
    }

    /// Prints text for people, whole lines.
    pub(crate) fn text(&self, text: &str) -> io::Result<()> {
        let newline = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        write(io::stdout().lock(), &format!("{text}{newline}"))
    }

    /// Says something beside the answer, on standard error.
    pub(crate) fn note(&self, text: &str) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        write(io::stderr().lock(), &format!("note: {}\n", clean(text)))
    }

    /// Says something of a process that runs for long, on standard error: what is `urgent` also where
    /// notes are not wanted.
    pub(crate) fn log(&self, text: &str, urgent: bool) {
        if urgent || !self.quiet {
            // Where standard error is closed there is nobody left to tell.
            let _ = write(io::stderr().lock(), &format!("{}\n", clean(text)));
        }
    }

    /// Says that the command could not answer.
    pub(crate) fn fail(&self, failure: &Failure) {
        if self.json {
            let object = serde_json::json!({ "error": failure.message(), "hint": failure.hint() });
            let _ = self.text(&object.to_string());
        }
        error(failure.message(), failure.hint());
    }

    /// Colours `text` where that shows.
    pub(crate) fn paint(&self, paint: Paint, text: impl fmt::Display) -> String {
        if !self.color {
            return text.to_string();
        }
        let code = match paint {
            Paint::Bold => 1,
            Paint::Dim => 2,
            Paint::Red => 31,
            Paint::Green => 32,
            Paint::Yellow => 33,
            Paint::Cyan => 36,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Colours a status by what it means.
    pub(crate) fn status(&self, status: &str) -> String {
        let paint = match status {
            "succeeded" | "compensated" | "approved" | "replayed" => Paint::Green,
            "failed" | "rejected" | "compensation-failed" | "invalidated" => Paint::Red,
            "unknown" | "held" | "stands" | "cancelled" => Paint::Yellow,
            _ => Paint::Dim,
        };
        self.paint(paint, status)
    }
}

/// Prints an error with its chain of sources and its hint, on standard error.
pub(crate) fn error(message: &str, hint: Option<&str>) {
    let mut text = format!("error: {}\n", clean(message));
    if let Some(hint) = hint {
        text.push_str(&format!("hint: {}\n", clean(hint)));
    }
    // Where standard error is closed there is nobody left to tell.
    let _ = write(io::stderr().lock(), &text);
}

/// Writes and flushes. A reader that has had enough (`| head`) is no failure.
fn write(mut to: impl Write, text: &str) -> io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Makes one line of a text: no control characters, so that recorded text can neither act on the
/// terminal nor pass for lines of ours.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    replaced(text, |c| c.is_control() || is_bidi(c))
}

/// As [`clean`], but line breaks and tabs stay: for contents that are shown as a block.
pub(crate) fn clean_block(text: &str) -> Cow<'_, str> {
    replaced(text, |c| {
        (c.is_control() && c != '\n' && c != '\t') || is_bidi(c)
    })
}

fn replaced(text: &str, bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&bad) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|c| if bad(c) { '\u{fffd}' } else { c })
            .collect(),
    )
}

/// Escapes what JSON lets stand as it is and a terminal would act on; the value is the same.
fn escaped(json: &str) -> String {
    let acts = |c: char| matches!(c, '\u{7f}'..='\u{9f}') || is_bidi(c);
    if !json.contains(acts) {
        return json.to_owned();
    }
    let mut safe = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if acts(c) {
            safe.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Marks that reorder the text around them and so can show something else than is there.
const fn is_bidi(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The end of an id, which tells ids apart better than their beginning, the time.
pub(crate) fn short(id: &str) -> String {
    let digits: String = id.chars().filter(|c| *c != '-').collect();
    digits[digits.len().saturating_sub(SHORT_ID_LEN)..].to_owned()
}

/// A number of things, in words.
pub(crate) fn counted<N>(count: N, one: &str, many: &str) -> String
where
    N: From<u8> + PartialEq + fmt::Display,
{
    let what = if count == N::from(1) { one } else { many };
    format!("{count} {what}")
}

/// How fast it goes, in whole things.
fn rate(state: &ProgressState, text: &mut dyn fmt::Write) {
    // A bar is drawn again; what cannot be drawn now is drawn then.
    let _ = text.write_fmt(format_args!("{:.0}/s", state.per_sec()));
}

/// Pads `text` to `width` columns, and cuts what is longer.
pub(crate) fn fit(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return format!("{text}{}", " ".repeat(width - count));
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}
