//! What follows from a class, each question for itself.
//!
//! Whether to call again and whether a target needs rest are not the same question: an overflow
//! is neither, a rate limit is both, and a model that botched its own tool call is called again
//! although nothing is wrong with the target.

use model::FailureClass;

use super::{Action, Class};

impl Class {
    /// Decides whether sending the same again can help.
    ///
    /// `header` is the `x-should-retry` of the answer, with which the service decides itself; it
    /// cannot make a request that was refused for what it says worth sending again. `status` is
    /// that of the answer: what has no class and no answer is not tried again blindly.
    #[must_use]
    pub fn should_retry(&self, status: Option<u16>, header: Option<&str>) -> bool {
        let asked = header.map(str::trim);
        if asked.is_some_and(|asked| asked.eq_ignore_ascii_case("false")) {
            return false;
        }
        if matches!(self.action, Action::Wait | Action::WaitHint | Action::Retry) {
            return true;
        }
        let open = self.class == FailureClass::Error;
        let told = asked.is_some_and(|asked| asked.eq_ignore_ascii_case("true"));
        open && (told || status.is_some_and(|status| status >= 500))
            || told && self.class == FailureClass::Quota
    }

    /// Decides whether the target needs rest, because the next call to it would fare no better.
    ///
    /// What the caller's own request or credentials caused is no reason: one agent with a wrong
    /// key must not cut off the others.
    #[must_use]
    pub const fn should_cool_down(&self) -> bool {
        matches!(
            self.class,
            FailureClass::RateLimit
                | FailureClass::Quota
                | FailureClass::Overload
                | FailureClass::Server
                | FailureClass::Timeout
                | FailureClass::Unavailable
                | FailureClass::OutOfMemory
        )
    }

    /// Decides whether the caller has to change something, so that no other target helps either
    /// and no failure is to be counted against this one.
    #[must_use]
    pub const fn is_caller_mistake(&self) -> bool {
        matches!(
            self.class,
            FailureClass::Invalid
                | FailureClass::Denied
                | FailureClass::Authentication
                | FailureClass::NotFound
                | FailureClass::ContextOverflow
                | FailureClass::TooLarge
                | FailureClass::MalformedToolHistory
                | FailureClass::ContentFilter
        )
    }
}
