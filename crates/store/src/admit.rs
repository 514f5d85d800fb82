//! Whether a batch may be appended: idempotence, compare-and-set on streams, payloads.
//!
//! A plain function over what is known, shared by all stores, so that they cannot differ in it.

use ledger::{Batch, StoreError};
use model::{Digest, EventId, SubjectId};
use rustc_hash::FxHashMap;

/// What the log holds already.
pub(crate) trait Known {
    /// Returns where an event lies.
    fn seq_of(&mut self, event: EventId) -> Result<Option<u64>, StoreError>;
    /// Returns the last event of a stream.
    fn head(&mut self, stream: [u8; 16]) -> Result<Option<EventId>, StoreError>;
}

/// What batches before this one add, though they are not in the log yet.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    events: FxHashMap<EventId, u64>,
    heads: FxHashMap<[u8; 16], EventId>,
}

/// A batch that may be appended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// Where each leaf lies or goes.
    pub(crate) seqs: Vec<u64>,
    /// Places within the batch of those that are new.
    pub(crate) new: Vec<usize>,
    /// Places within the batch's payloads of those to keep, with whose key opens them.
    pub(crate) payloads: Vec<(usize, SubjectId)>,
}

/// Decides about one batch; `next` is the sequence number of the next new leaf. An error leaves
/// `staged` as it was.
pub(crate) fn admit(
    known: &mut impl Known,
    staged: &mut Staged,
    next: u64,
    batch: &Batch,
) -> Result<Admitted, StoreError> {
    let mut mine = Staged::default();
    let mut admitted = Admitted {
        seqs: Vec::with_capacity(batch.leaves.len()),
        new: Vec::new(),
        payloads: Vec::new(),
    };
    let mut next = next;
    let mut named: FxHashMap<Digest, Option<SubjectId>> = FxHashMap::default();
    // Payloads come in the order of the leaves that name them, as a rule.
    let mut following = 0;
    for (place, leaf) in batch.leaves.iter().enumerate() {
        let keys = leaf.keys();
        let first = match mine
            .events
            .get(&keys.id)
            .or_else(|| staged.events.get(&keys.id))
        {
            Some(seq) => Some(*seq),
            None => known.seq_of(keys.id)?,
        };
        if let Some(seq) = first {
            if let Some((ct, _)) = keys.payload {
                named.entry(ct).or_default();
            }
            admitted.seqs.push(seq);
            continue;
        }
        if let Some(stream) = keys.stream {
            let actual = match mine
                .heads
                .get(&stream)
                .or_else(|| staged.heads.get(&stream))
            {
                Some(head) => Some(*head),
                None => known.head(stream)?,
            };
            if actual != keys.prev {
                return Err(StoreError::Conflict {
                    stream,
                    expected: keys.prev,
                    actual,
                });
            }
            mine.heads.insert(stream, keys.id);
        }
        if let Some((ct, subject)) = keys.payload {
            let is = |(given, _): &(Digest, Vec<u8>)| *given == ct;
            if batch.payloads.get(following).is_some_and(is) {
                following += 1;
            } else if !batch.payloads.iter().any(is) {
                return Err(StoreError::Payload { ct });
            }
            named.insert(ct, Some(subject));
        }
        mine.events.insert(keys.id, next);
        admitted.seqs.push(next);
        admitted.new.push(place);
        next += 1;
    }
    for (place, (ct, _)) in batch.payloads.iter().enumerate() {
        match named.remove(ct) {
            Some(Some(subject)) => admitted.payloads.push((place, subject)),
            Some(None) => {}
            // Nothing names it, or it came twice: nobody could ever erase it.
            None => return Err(StoreError::Payload { ct: *ct }),
        }
    }
    staged.events.extend(mine.events);
    staged.heads.extend(mine.heads);
    Ok(admitted)
}
