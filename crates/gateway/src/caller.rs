//! Who calls, as the headers say it.

use engine::live::Caller;
use http::HeaderMap;

/// What the names of our headers begin with. None of them goes on to an upstream or comes from one.
pub(crate) const OURS: &str = "x-rescind-";
/// Names the agent.
pub(crate) const AGENT: &str = "x-rescind-agent";
/// Names the run: one of our ids, or any name of the caller's.
pub(crate) const RUN: &str = "x-rescind-run";
/// Names decisions that caused the call, parted by commas.
pub(crate) const CAUSE: &str = "x-rescind-cause";
/// Says that a call which was made before its agent went back is to be made anew: `1`.
pub(crate) const FORK: &str = "x-rescind-fork";
/// Tells the client which decision's answer it got, where its call was not made anew.
pub(crate) const REPLAY_OF: &str = "x-rescind-replay-of";
/// The token of a caller that needs one. `Authorization` is the upstream's.
pub(crate) const TOKEN: &str = "x-rescind-token";
/// Tells the client which decision its call is.
pub(crate) const DECISION: &str = "x-rescind-decision";

/// The longest name that is taken from a header, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Reads who calls. What is not well-formed is passed over: a header of ours never fails a call.
pub(crate) fn read(headers: &HeaderMap, agent: Option<String>) -> Caller {
    let text = |name: &str| {
        let text = headers.get(name)?.to_str().ok()?.trim();
        (!text.is_empty() && text.len() <= NAME_BYTES_MAX).then(|| text.to_owned())
    };
    let causes = headers
        .get_all(CAUSE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|id| id.trim().parse().ok())
        .collect();
    Caller {
        agent: agent.or_else(|| text(AGENT)),
        run: text(RUN),
        causes,
        trace: text("traceparent")
            .and_then(|value| wire::trace::traceparent(&value))
            .map(|parent| parent.trace_id),
        fork: text(FORK).is_some_and(|fork| fork == "1"),
        ..Caller::default()
    }
}
