//! What requests of one run have in common, so that it is kept once.
//!
//! An agent resends its whole history with every call: kept as they come, the bodies of a run grow
//! with the square of its length. The body before is remembered, and of the next one only what is
//! new in the middle is kept, with a note of what stands around it. After a number of such steps a
//! body is kept whole again, so that reading one stays cheap.

use std::num::NonZeroUsize;

use lru::LruCache;
use model::{Base, DecisionId, RunId};

/// Runs whose last body is remembered.
const RUNS_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Bytes of all bodies that are remembered; the least used go first.
const BYTES_MAX: usize = 64 << 20;

/// Less than this in common is not worth a note, in bytes.
const SHARED_MIN: usize = 1_024;

/// How many steps lead back to a body that is kept whole, at most.
const STEPS_MAX: u32 = 32;

/// The last body of each run.
#[derive(Debug)]
pub(super) struct Bodies {
    last: LruCache<RunId, Last>,
    bytes: usize,
}

#[derive(Debug)]
struct Last {
    decision: DecisionId,
    text: String,
    steps: u32,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            last: LruCache::new(RUNS_MAX),
            bytes: 0,
        }
    }
}

impl Bodies {
    /// Remembers a body, and tells what of it the one before has already.
    pub(super) fn keep(&mut self, run: RunId, decision: DecisionId, text: &str) -> Option<Base> {
        let before = self.last.pop(&run);
        if let Some(last) = &before {
            self.bytes -= last.text.len();
        }
        let base = before
            .as_ref()
            .filter(|last| last.steps < STEPS_MAX)
            .and_then(|last| shared(last, text));
        let steps = match (&base, &before) {
            (Some(_), Some(last)) => last.steps + 1,
            _ => 0,
        };
        if text.len() <= BYTES_MAX / 8 {
            self.bytes += text.len();
            let text = text.to_owned();
            let last = Last {
                decision,
                text,
                steps,
            };
            if let Some((_, forgotten)) = self.last.push(run, last) {
                self.bytes -= forgotten.text.len();
            }
        }
        while self.bytes > BYTES_MAX {
            let Some((_, forgotten)) = self.last.pop_lru() else {
                break;
            };
            self.bytes -= forgotten.text.len();
        }
        base
    }
}

/// What two bodies share at their beginning and, apart from that, at their end.
fn shared(last: &Last, text: &str) -> Option<Base> {
    let (before, now) = (last.text.as_bytes(), text.as_bytes());
    let mut head = common(before, now);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    let rest = before.len().min(now.len()) - head;
    let mut tail = before
        .iter()
        .rev()
        .zip(now.iter().rev())
        .take(rest)
        .take_while(|(a, b)| a == b)
        .count();
    while !text.is_char_boundary(now.len() - tail) {
        tail -= 1;
    }
    (head + tail >= SHARED_MIN).then_some(Base {
        decision: last.decision,
        head: head as u64,
        tail: tail as u64,
    })
}

/// The length of a common beginning: in blocks, which compilers turn into wide comparisons.
fn common(a: &[u8], b: &[u8]) -> usize {
    const BLOCK: usize = 256;
    let blocks = a
        .chunks_exact(BLOCK)
        .zip(b.chunks_exact(BLOCK))
        .take_while(|(a, b)| a == b)
        .count();
    let at = blocks * BLOCK;
    let more = a[at..]
        .iter()
        .zip(&b[at..])
        .take_while(|(a, b)| a == b)
        .count();
    at + more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_left_between_what_is_shared() {
        let mut bodies = Bodies::default();
        let run = RunId::new(1, [1; 10]);
        let id = |n: u8| DecisionId::new(1, [n; 10]);
        let history = "ä".repeat(2_000);
        let body = |turns: &str| format!("{{\"messages\":[{history}{turns}],\"tools\":[1,2,3]}}");
        assert_eq!(bodies.keep(run, id(1), &body("")), None);
        let second = body(",\"é\"");
        let base = bodies.keep(run, id(2), &second).unwrap();
        let new = &second[base.head as usize..second.len() - base.tail as usize];
        assert_eq!((new, base.decision), (",\"é\"", id(1)));
        assert_eq!(bodies.keep(RunId::new(2, [2; 10]), id(3), &second), None);
        // The same again, and one that only shares its ends.
        let same = bodies.keep(run, id(4), &second).unwrap();
        assert_eq!((same.head + same.tail) as usize, second.len());
        assert_eq!(bodies.keep(run, id(5), "{\"tools\":[1,2,3]}"), None);
    }

    #[test]
    fn a_body_is_kept_whole_now_and_then_and_memory_is_bounded() {
        let mut bodies = Bodies::default();
        let run = RunId::new(1, [1; 10]);
        let text = "x".repeat(4_000);
        let whole = (0..100)
            .filter(|n| {
                bodies
                    .keep(run, DecisionId::new(*n, [0; 10]), &text)
                    .is_none()
            })
            .count();
        assert_eq!(whole, 4, "every 33rd");
        let text = "y".repeat(4 << 20);
        for n in 0..40 {
            bodies.keep(RunId::new(n, [3; 10]), DecisionId::new(n, [0; 10]), &text);
        }
        assert!(bodies.bytes <= BYTES_MAX);
        assert_eq!(
            bodies.bytes,
            bodies
                .last
                .iter()
                .map(|(_, last)| last.text.len())
                .sum::<usize>()
        );
    }
}
