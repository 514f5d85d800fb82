//! What an agent has answered so far.

use engine::live::Ended;
use model::{Cause, Field, Media};
use serde_json::json;
use wire::a2a::{End, Event, Task, Whole};

/// What an agent has answered so far, put together from one answer or from many events.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) task: Option<String>,
    pub(super) context: Option<String>,
    /// How it says it stands, by its own last word.
    state: Option<&'static str>,
    /// Its words.
    text: String,
    /// Words that are not kept, in bytes.
    left_out: usize,
    error: Option<(i64, String)>,
    /// Everything, as one result.
    whole: Whole,
}

impl Told {
    /// Takes in an answer or an event, as it came and as it reads, keeping at most `max` bytes of
    /// words.
    pub(super) fn take(&mut self, data: &str, event: &Event<'_>, max: usize) {
        self.whole.take(data, max);
        match event {
            Event::Task(task) => {
                self.named(Some(&task.id), task.context.as_deref());
                self.stands(task.state);
                self.task(task, max);
            }
            Event::Message(message) => {
                self.named(message.task.as_deref(), message.context.as_deref());
                self.say(&message.content.text, true, max);
            }
            Event::Status(update) => {
                self.named(update.task.as_deref(), update.context.as_deref());
                self.stands(update.state);
                if let Some(message) = &update.message {
                    self.say(&message.content.text, true, max);
                }
            }
            Event::Artifact(update) => {
                self.named(update.task.as_deref(), update.context.as_deref());
                self.say(&update.artifact.content.text, !update.append, max);
            }
            Event::Error(error) => {
                self.error = Some((error.code, error.message.clone().into_owned()));
            }
            Event::Other => {}
        }
    }

    fn task(&mut self, task: &Task<'_>, max: usize) {
        for artifact in &task.artifacts {
            self.say(&artifact.content.text, true, max);
        }
        if let Some(message) = &task.message {
            self.say(&message.content.text, true, max);
        }
    }

    fn named(&mut self, task: Option<&str>, context: Option<&str>) {
        if self.task.is_none() {
            self.task = task.map(str::to_owned);
        }
        if self.context.is_none() {
            self.context = context.map(str::to_owned);
        }
    }

    fn stands(&mut self, state: wire::a2a::TaskState) {
        self.state = Some(state.name(wire::a2a::Version::V0_3));
    }

    fn say(&mut self, text: &str, apart: bool, max: usize) {
        if text.is_empty() {
            return;
        }
        if self.text.len() + text.len() > max {
            self.left_out += text.len();
            return;
        }
        if apart && !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
    }

    /// Returns it as the end of a message. What was answered is kept as it came where it has its end:
    /// who goes back is answered with it.
    pub(super) fn ended(&self, end: End, causes: Vec<Cause>) -> Ended {
        let mut ended = Ended::with(end.outcome());
        ended.output.clone_from(&self.text);
        let error = self.error.as_ref();
        let kept = json!({
            "task": self.task,
            "context": self.context,
            "state": self.state,
            "text": self.text,
            "bytes_left_out": self.left_out,
            "error": error.map(|(code, message)| json!({ "code": code, "message": message })),
        });
        let mut kept = kept.to_string();
        if is_answered(end)
            && let Some(answer) = self.whole.result()
        {
            // As it came: a number that is read and written again may be another.
            kept.pop();
            kept.push_str(&format!(",\"answer\":{answer}}}"));
        }
        ended.kept.push((Field::Result, Media::Json, kept));
        ended.causes = causes;
        ended
    }
}

/// Whether a message has its answer: its task ended, or its agent waits for another message.
fn is_answered(end: End) -> bool {
    match end {
        End::Terminal(_) | End::Answered => true,
        End::Paused(state) => state.is_interrupted(),
        End::Refused(_) | End::Truncated(_) => false,
    }
}
