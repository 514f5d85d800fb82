//! Failures of models, proxies and the network between, classed by what to do about them.
//!
//! ```text
//! type, code, status ─► sure ──────────────────────────► class ─► action, retry?, cool down?
//!                   └─► group ─► text of that group ─┘
//! ```
//!
//! [`classify`] believes what providers state as data before what they say in words: a sure type
//! or code decides alone, anything else names a group, and the text tells apart only what that
//! group can be. What the outcome of a call is, whether to call again, and whether a target needs
//! rest are [separate decisions](Class::should_retry) from the one class.
//!
//! *What is not done here.* Nothing parses bodies: who has one takes type, code and message out of
//! it first. Nothing waits, counts or remembers: that is whose calls these are.

mod decide;
mod group;
mod headers;
mod hint;
mod names;
mod phrases;
mod words;

use std::time::Duration;

use model::FailureClass;

pub use headers::retry_after;
use names::Says;
use words::Words;

/// How much of a text is read, in bytes.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// What is known of a failure. Whatever is absent is `None`; an empty text is fine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failure<'a> {
    /// Who answered, as configured: `openai`, `bedrock`, `zai`.
    pub provider: Option<&'a str>,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Type of the error: `error.type`, the status name of gRPC, the name of an exception.
    pub kind: Option<&'a str>,
    /// Code of the error: `error.code`, the code of a system call.
    pub code: Option<&'a str>,
    /// What it says.
    pub text: &'a str,
}

/// What a failure is, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// What kind of failure it is.
    pub class: FailureClass,
    /// What would help.
    pub action: Action,
    /// How long the text asks to wait: "try again in 18.642s".
    pub retry_after: Option<Duration>,
}

/// What would help against a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Wait, longer each time, then send the same again.
    Wait,
    /// Wait for as long as the text says, then send the same again.
    WaitHint,
    /// Send the same again.
    Retry,
    /// Send less.
    Shrink,
    /// Put the messages in order, then send them again.
    Repair,
    /// Send other words.
    Revise,
    /// Send another request: this one is wrong.
    FixRequest,
    /// Mend address, deployment or certificate: no request gets through like this.
    FixConfig,
    /// Ask another model.
    ChangeModel,
    /// Stop: a person must look.
    Stop,
}

impl Action {
    /// Returns the name of the action.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::WaitHint => "wait-hint",
            Self::Retry => "retry",
            Self::Shrink => "shrink",
            Self::Repair => "repair",
            Self::Revise => "revise",
            Self::FixRequest => "fix-request",
            Self::FixConfig => "fix-config",
            Self::ChangeModel => "change-model",
            Self::Stop => "stop",
        }
    }
}

/// Classes a failure: by type and code, then by status, then by its text.
#[must_use]
pub fn classify(failure: &Failure<'_>) -> Class {
    let failure = &Failure {
        text: &failure.text[..failure.text.floor_char_boundary(TEXT_BYTES_MAX)],
        ..*failure
    };
    let words = Words::of(failure.text);
    let (class, action) = kind_of(failure, &words);
    let retry_after = hint::in_text(failure.text);
    let action = match action.unwrap_or_else(|| usual(class, &words)) {
        Action::Wait if retry_after.is_some() => Action::WaitHint,
        action => action,
    };
    Class {
        class,
        action,
        retry_after,
    }
}

fn kind_of(failure: &Failure<'_>, words: &Words) -> (FailureClass, Option<Action>) {
    let (group, class) = match stated(failure, words) {
        Some(Says::Sure(class)) => return (class, None),
        Some(Says::Likely(group, class) | Says::Vague(group, class)) => (group, class),
        None => (group::NONE, FailureClass::Error),
    };
    // One provider answers an overflow with a bare 400.
    if words.are_none() && failure.status == Some(400) && failure.provider == Some("cerebras") {
        return (FailureClass::ContextOverflow, None);
    }
    match phrases::first(group, words) {
        Some(rule) => (rule.class, rule.action),
        None => (class, None),
    }
}

/// What is stated as data: the surest of code, type and status, in this order.
fn stated(failure: &Failure<'_>, words: &Words) -> Option<Says> {
    let numbered = failure
        .provider
        .zip(failure.code)
        .and_then(|(provider, code)| names::of_number(provider, code));
    let names = [failure.code, failure.kind].map(|name| name.and_then(names::of_name));
    let status = failure
        .status
        .or_else(|| failure.code.and_then(|code| code.parse().ok()))
        .and_then(names::of_status);
    let all = [numbered, names[0], names[1], status];
    let surest = surest(&all);
    if surest.is_some() || failure.status.is_some_and(|status| status >= 300) {
        return surest;
    }
    // Exceptions and logs carry it all inside the text.
    let named = hint::names_in(failure.text).filter_map(names::of_name);
    let named: Vec<_> = named
        .filter(|says| !matches!(says, Says::Vague(..)))
        .map(Some)
        .chain([hint::status_in(words).and_then(names::of_status)])
        .collect();
    self::surest(&named)
}

fn surest(says: &[Option<Says>]) -> Option<Says> {
    let says = || says.iter().flatten().copied();
    says()
        .find(|says| matches!(says, Says::Sure(_)))
        .or_else(|| says().find(|says| matches!(says, Says::Likely(..))))
        // A request that was refused is not a fault of the server, whatever its type is called.
        .or_else(|| says().find(|says| matches!(says, Says::Vague(group::REQUEST, _))))
        .or_else(|| says().next())
}

/// What usually helps against a kind of failure.
fn usual(class: FailureClass, words: &Words) -> Action {
    match class {
        FailureClass::RateLimit | FailureClass::Overload => Action::Wait,
        FailureClass::ContextOverflow | FailureClass::TooLarge => Action::Shrink,
        FailureClass::MalformedToolHistory => Action::Repair,
        FailureClass::ContentFilter => Action::Revise,
        FailureClass::Invalid => Action::FixRequest,
        FailureClass::NotFound if words.have("model|models|deployment|engine|endpoints") => {
            Action::ChangeModel
        }
        FailureClass::NotFound => Action::FixConfig,
        FailureClass::OutOfMemory => Action::ChangeModel,
        FailureClass::Timeout
        | FailureClass::Unavailable
        | FailureClass::Server
        | FailureClass::BadToolCall => Action::Retry,
        FailureClass::Quota
        | FailureClass::Authentication
        | FailureClass::Denied
        | FailureClass::Error => Action::Stop,
    }
}
