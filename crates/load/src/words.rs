//! Bodies of calls: words that repeat as little as those of real agents, and a marker that tells
//! one call from every other.

use std::fmt::Write as _;

/// How a marker begins.
pub const MARKER: &str = "load-marker-";

/// What every agent of the load is told; the same in all calls, as in life.
const INSTRUCTIONS: &str = "You are the order desk. Answer from the order system alone, never guess \
an order, and ask a colleague before a refund over 200 EUR. Say what you did in one sentence.";

/// Returns the marker that stands in a text: what follows [`MARKER`] up to its end. Of several,
/// the last: histories are resent, and what is new comes last.
#[must_use]
pub fn find(body: &[u8], begins: &str) -> Option<String> {
    let begins = begins.as_bytes();
    let start = (0..body.len().checked_sub(begins.len())? + 1)
        .rev()
        .find(|place| body[*place..].starts_with(begins))?;
    let rest = &body[start..];
    let len = rest
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-')
        .unwrap_or(rest.len());
    Some(String::from_utf8_lossy(&rest[..len]).into_owned())
}

/// Makes the bodies of one leg.
#[derive(Clone, Debug)]
pub struct Words {
    model: &'static str,
    stream: bool,
    bytes: usize,
    history: String,
}

impl Words {
    /// Bodies of about `bytes` bytes.
    #[must_use]
    pub fn new(model: &'static str, stream: bool, bytes: usize) -> Self {
        let mut words = Self {
            model,
            stream,
            bytes: bytes.min(1_024),
            history: String::new(),
        };
        let mut turn = 0;
        while words.history.len() + words.bytes < bytes {
            let (asked, told) = (prose(turn, 700), prose(turn + 1, 900));
            let _ = write!(
                words.history,
                "{{\"role\":\"user\",\"content\":\"{asked}\"}},\
                 {{\"role\":\"assistant\",\"content\":\"{told}\"}},"
            );
            turn += 2;
        }
        words
    }

    /// Returns the body of one call.
    #[must_use]
    pub fn body(&self, marker: &str) -> String {
        let Self {
            model,
            stream,
            bytes,
            history,
        } = self;
        let mut body = format!(
            "{{\"model\":\"{model}\",\"stream\":{stream},\"temperature\":0,\"messages\":[\
             {{\"role\":\"system\",\"content\":\"{INSTRUCTIONS}\"}},{history}\
             {{\"role\":\"user\",\"content\":\""
        );
        let end = format!(" {marker}\"}}]}}");
        let left = bytes.saturating_sub(body.len() - history.len() + end.len());
        let seed = marker.bytes().fold(7, |seed: u64, byte| {
            seed.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        body.push_str(&prose(seed, left));
        body.push_str(&end);
        body
    }
}

/// Words by number: two seeds have hardly three words in a row in common.
fn prose(seed: u64, bytes: usize) -> String {
    const SYLLABLES: [&str; 16] = [
        "par", "cel", "or", "der", "de", "pot", "ship", "ment", "in", "voice", "re", "fund", "cus",
        "tom", "er", "to",
    ];
    let mut text = String::with_capacity(bytes + 16);
    let mut state = seed;
    while text.len() < bytes {
        // The constants of a well-known linear generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let bits = usize::try_from(state >> 40).unwrap_or_default();
        for shift in [0, 4, 8] {
            text.push_str(SYLLABLES[(bits >> shift) & 15]);
        }
        text.push(' ');
    }
    text.truncate(bytes);
    text
}
