//! How a stream of events ended: with one terminal event, or without any.

use std::borrow::Cow;

use model::{FailureClass, Outcome};

use super::{Event, TaskState, class_of};

/// Follows one stream, or one stream and those that take it up again.
///
/// The first terminal event counts. A second is told, whether it says the same or the contrary,
/// and changes nothing. `unspecified` is no end.
#[derive(Clone, Debug, Default)]
pub struct TaskStream {
    task: Option<String>,
    state: Option<TaskState>,
    end: Option<End>,
}

/// What an event was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The stream goes on.
    Going,
    /// The one terminal event: the task has this state for good.
    Terminal(TaskState),
    /// The one answer is a message without a task.
    Answered,
    /// The agent waits, or says that nothing more comes for now; the task has not ended.
    Paused(TaskState),
    /// An error in place of a result: the stream is over.
    Refused,
    /// The terminal state again.
    Repeated(TaskState),
    /// Another terminal state, or an answer, an error or a task that goes on, after the end.
    Contradicted,
    /// About another task.
    Foreign,
}

/// How a stream stands at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The task ended.
    Terminal(TaskState),
    /// The agent answered with a message, without a task.
    Answered,
    /// The agent waits, or said that nothing more comes on this stream. The task has not ended.
    Paused(TaskState),
    /// The agent answered with an error.
    Refused(FailureClass),
    /// It broke off; where the task stood then, if that was said.
    Truncated(Option<TaskState>),
}

impl End {
    /// Returns how what was asked for ended: unknown unless it has.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Terminal(state) => state.outcome(),
            Self::Answered => Outcome::Succeeded,
            Self::Refused(class) => Outcome::Failed { class },
            Self::Paused(_) | Self::Truncated(_) => Outcome::Unknown,
        }
    }

    /// Returns whether nothing more may come.
    fn is_final(self) -> bool {
        match self {
            Self::Terminal(_) | Self::Answered | Self::Refused(_) => true,
            Self::Paused(_) | Self::Truncated(_) => false,
        }
    }
}

impl TaskStream {
    /// Begins before the first event.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next event.
    pub fn push(&mut self, event: &Event<'_>) -> Step {
        match event {
            Event::Task(task) => self.stands(Some(&task.id), task.state, false),
            Event::Status(update) => {
                self.stands(update.task.as_ref(), update.state, update.is_final)
            }
            Event::Artifact(update) if self.is_foreign(update.task.as_ref()) => Step::Foreign,
            // Work after the end is told, since who heard of the end may have gone.
            Event::Artifact(_) if self.has_ended() => Step::Contradicted,
            Event::Artifact(_) => Step::Going,
            Event::Message(_) => self.close(End::Answered, Step::Answered),
            Event::Error(error) => self.close(End::Refused(class_of(error)), Step::Refused),
            Event::Other => Step::Going,
        }
    }

    fn stands(&mut self, task: Option<&Cow<'_, str>>, state: TaskState, is_final: bool) -> Step {
        if self.is_foreign(task) {
            return Step::Foreign;
        }
        if let (None, Some(task)) = (&self.task, task) {
            self.task = Some(task.to_string());
        }
        if state.is_terminal() {
            return match self.end {
                Some(End::Terminal(first)) if first == state => Step::Repeated(state),
                _ => self.close(End::Terminal(state), Step::Terminal(state)),
            };
        }
        if self.has_ended() {
            return Step::Contradicted;
        }
        self.state = Some(state);
        if is_final || state.is_interrupted() {
            self.end = Some(End::Paused(state));
            return Step::Paused(state);
        }
        self.end = None;
        Step::Going
    }

    fn close(&mut self, end: End, step: Step) -> Step {
        if self.has_ended() {
            return Step::Contradicted;
        }
        self.end = Some(end);
        step
    }

    /// A stream is about one task: the first that it names.
    fn is_foreign(&self, task: Option<&Cow<'_, str>>) -> bool {
        match (&self.task, task) {
            (Some(ours), Some(task)) => ours != task,
            _ => false,
        }
    }

    /// Returns whether the one terminal event was seen.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.end.is_some_and(End::is_final)
    }

    /// Returns the task that the stream is about, as soon as it is named.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }

    /// Returns how the stream stands if it ends here.
    #[must_use]
    pub fn end(&self) -> End {
        self.end.unwrap_or(End::Truncated(self.state))
    }
}
