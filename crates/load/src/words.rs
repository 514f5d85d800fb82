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

/// Calls in one conversation with a long history: the first resends what nobody has seen, the
/// others what was resent before and one turn more.
const TURNS: usize = 10;

/// What the upstream says, in every answer.
#[must_use]
pub fn answer() -> String {
    "The parcel left the depot this morning and arrives on Thursday. ".repeat(12)
}

/// Makes the bodies of one leg.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    model: &'static str,
    stream: bool,
    bytes: usize,
}

impl Words {
    /// Bodies of about `bytes` bytes.
    #[must_use]
    pub const fn new(model: &'static str, stream: bool, bytes: usize) -> Self {
        Self {
            model,
            stream,
            bytes,
        }
    }

    /// Returns the body of the call with a number, and puts a marker of both into it.
    #[must_use]
    pub fn body(&self, label: &str, number: usize) -> String {
        let Self {
            model,
            stream,
            bytes,
        } = self;
        let mut body = format!(
            "{{\"model\":\"{model}\",\"stream\":{stream},\"temperature\":0,\"messages\":[\
             {{\"role\":\"system\",\"content\":\"{INSTRUCTIONS}\"}},"
        );
        let end = format!(" {MARKER}{label}-{number}\"}}]}}");
        let left = if *bytes > SHORT {
            history(&mut body, *bytes, label, number);
            ASKED
        } else {
            bytes.saturating_sub(body.len() + USER.len() + end.len())
        };
        body.push_str(USER);
        body.push_str(&prose(seed(label, number), left));
        body.push_str(&end);
        body
    }
}

/// Bodies up to this length have no history, in bytes.
const SHORT: usize = 1_024;

/// What is asked after a history, in bytes.
const ASKED: usize = 300;

/// How a message of the user's begins.
const USER: &str = "{\"role\":\"user\",\"content\":\"";

/// Writes the history of a call: that of its conversation, and the turns of the calls before it.
fn history(body: &mut String, bytes: usize, label: &str, number: usize) {
    let conversation = seed(label, usize::MAX - number / TURNS);
    let end = bytes - SHORT;
    let mut turn = |user: &str, assistant: &str| {
        let _ = write!(
            body,
            "{USER}{user}\"}},\
             {{\"role\":\"assistant\",\"content\":\"{assistant}\"}},"
        );
        body.len() < end
    };
    let mut place = conversation;
    while turn(&prose(place, 700), &prose(place.wrapping_add(1), 900)) {
        place = place.wrapping_add(2);
    }
    for before in number - number % TURNS..number {
        let user = prose(seed(label, before), ASKED);
        turn(&format!("{user} {MARKER}{label}-{before}"), &answer());
    }
}

/// A number that differs from call to call.
fn seed(label: &str, number: usize) -> u64 {
    let bytes = label.bytes().chain(number.to_le_bytes());
    bytes.fold(7, |seed: u64, byte| {
        seed.wrapping_mul(31).wrapping_add(u64::from(byte))
    })
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
