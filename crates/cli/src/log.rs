//! The log of `rescind up`: what a process that runs for long has to say, on standard error.
//!
//! Takes what our own crates tell through `tracing`, from `info` on, and prints each as one line. It
//! keeps no file, knows no spans and has no filter to set: what happened to calls is in the record, and
//! numbers are at `/metrics`.

use std::fmt;

use engine::{Clock as _, SystemClock};
use tracing::field::{Field, Visit};
use tracing::metadata::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

use crate::out::Out;

/// Whose words are printed. What libraries tell is about them and not about the record.
const OURS: [&str; 4] = ["engine", "gateway", "server", "store"];

/// Prints the log of this process from now on.
pub(crate) fn begin(out: &Out) {
    let ours = Targets::new().with_targets(OURS.map(|root| (root, LevelFilter::INFO)));
    let log = Registry::default().with(ours).with(Lines { out: *out });
    // One that was set before goes on: there is one for each process.
    let _ = tracing::subscriber::set_global_default(log);
}

/// Prints each event as one line.
struct Lines {
    out: Out,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = *event.metadata().level();
        let at = engine::stamp(model::Timestamp(
            i64::try_from(SystemClock.wall()).unwrap_or(i64::MAX),
        ));
        let word = match level {
            Level::ERROR => "error",
            Level::WARN => "warning",
            _ => "note",
        };
        let text = format!("{at} {word}: {}{}", line.message, line.fields);
        self.out.log(&text, level <= Level::WARN);
    }
}

/// An event as text: what happened, then the facts.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn take(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.fields.push_str(&format!("; {name} {value}")),
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &format!("{value:?}"));
    }
}
