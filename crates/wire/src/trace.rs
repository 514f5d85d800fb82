//! The trace that a request belongs to, as W3C Trace Context says it in one header.
//!
//! *What is not done here.* `tracestate` is other people's and passes through unread.

/// The `traceparent` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// Names the whole trace; never all zero.
    pub trace_id: [u8; 16],
    /// Names the span of who sent the request; never all zero.
    pub span_id: [u8; 8],
    /// Whether the sender recorded its span.
    pub sampled: bool,
}

/// Reads a `traceparent` header; none if it is not exactly one, which is to be treated as if it
/// had not been sent.
///
/// Versions after 00 may say more after a further dash; what version 00 says is read from them.
/// Flags but the first are not ours to interpret.
#[must_use]
pub fn traceparent(text: &str) -> Option<TraceParent> {
    let bytes = text.as_bytes();
    let (head, rest) = bytes.split_at_checked(55)?;
    if [head[2], head[35], head[52]] != [b'-'; 3] {
        return None;
    }
    let [version] = hex(&head[..2])?;
    let more_is_allowed = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest[0] == b'-',
    };
    let trace_id: [u8; 16] = hex(&head[3..35])?;
    let span_id: [u8; 8] = hex(&head[36..52])?;
    let [flags] = hex(&head[53..])?;
    let named = trace_id != [0; 16] && span_id != [0; 8];
    (more_is_allowed && named).then_some(TraceParent {
        trace_id,
        span_id,
        sampled: flags & 1 == 1,
    })
}

/// Reads digits of base 16 in small letters, exactly as many as fit.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}
