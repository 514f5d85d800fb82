//! Reading many things at once: leaves by their places, payloads by theirs.
//!
//! What lies close together is read together, in the order of the files; what lies alone costs one
//! small read. Nothing is kept between two questions, and how much comes back is up to who asks.

use std::io;

use ledger::{BlobState, StoreError};
use model::{DecisionId, Digest, EventId};

use super::index::{Place, Reader};
use super::log::{Log, reading};
use super::segment::Head;
use super::shared::Shared;
use crate::disk::DiskFile;
use crate::error::damaged;

/// Places no further apart are read in one go, in bytes.
const GAP: u64 = 16 << 10;
/// The most that is read in one go for the sake of what follows, in bytes.
const STRETCH: u64 = 512 << 10;
/// Read behind the last place of a stretch, whose length nobody knows yet, in bytes.
const BEHIND: u64 = 2 << 10;

/// The leaves of a decision, with their sequence numbers.
pub(super) type Leaves = Vec<(u64, Vec<u8>)>;

/// What came of asking for a payload: damage to one hides none of the others.
pub(super) type Found = Result<BlobState, StoreError>;

/// Returns the leaves of each decision.
pub(super) fn leaves(
    shared: &Shared,
    index: Reader<'_>,
    decisions: &[DecisionId],
) -> Result<Vec<Leaves>, StoreError> {
    let asked = index.events_of_each(decisions);
    let asked = asked.map_err(|e| shared.index_error(&e))?;
    let durable = shared.log.durable();
    let mut places: Vec<(u64, usize)> = (0..)
        .zip(&asked)
        .flat_map(|(of, seqs)| seqs.iter().map(move |seq| (*seq, of)))
        .filter(|(seq, _)| *seq < durable)
        .collect();
    places.sort_unstable();
    let seqs: Vec<u64> = places.iter().map(|(seq, _)| *seq).collect();
    let mut found: Vec<Leaves> = asked.iter().map(|_| Vec::new()).collect();
    let mut of = places.into_iter();
    read_leaves(&shared.log, &seqs, |seq, leaf| {
        if let Some((_, of)) = of.next() {
            found[of].push((seq, leaf.to_vec()));
        }
    })?;
    Ok(found)
}

/// Shows the leaves at these places, which are in order. All of them are durable.
pub(super) fn read_leaves(
    log: &Log,
    seqs: &[u64],
    mut show: impl FnMut(u64, &[u8]),
) -> Result<(), StoreError> {
    let mut near = Near::default();
    let mut rest = seqs;
    while let Some(&first) = rest.first() {
        let segment = log.segment_of(first);
        let end = segment.first + segment.count();
        let (mine, others) = rest.split_at(rest.partition_point(|seq| *seq < end));
        rest = others;
        near.leave();
        let failed = |e| reading(&segment.path, e);
        let mut offsets = Vec::with_capacity(mine.len());
        segment.offsets(mine, |offset| offsets.push(offset))?;
        for (nth, (&seq, &at)) in mine.iter().zip(&offsets).enumerate() {
            let ahead = offsets[nth + 1..].iter().copied();
            let begins = near.at(&*segment.file, at, 4, ahead).map_err(failed)?;
            let record = match Head::whole(begins) {
                Some(length) => near.at(&*segment.file, at, length, std::iter::empty()),
                None => Ok(&[][..]),
            };
            let record = Head::decode(record.map_err(failed)?);
            let Some((_, leaf)) = record.filter(|(head, _)| head.seq == seq) else {
                return Err(damaged(&segment.path, format!("byte {at}"), Some(seq)));
            };
            show(seq, leaf);
        }
    }
    Ok(())
}

/// Returns what came of each payload. They are read in the order of the packs.
pub(super) fn payloads(
    shared: &Shared,
    index: Reader<'_>,
    asked: &[(EventId, Digest)],
) -> Result<Vec<Found>, StoreError> {
    let places = index.places(asked.iter().map(|(event, _)| *event));
    let places = places.map_err(|e| shared.index_error(&e))?;
    let mut found: Vec<Found> = asked.iter().map(|_| Ok(BlobState::Absent)).collect();
    let known = (0..)
        .zip(places)
        .filter_map(|(of, place)| Some((place?, of)));
    let mut known: Vec<(Place, usize)> = known.collect();
    known.sort_unstable();
    let mut near = Near::default();
    for of_pack in known.chunk_by(|(one, _), (other, _)| one.pack == other.pack) {
        near.leave();
        for (nth, (place, of)) in of_pack.iter().enumerate() {
            let ahead = of_pack[nth + 1..].iter().map(|(place, _)| place.at);
            found[*of] = shared.packs.read(asked[*of].1, *place, |file, at, length| {
                let bytes = near.at(file, at, length, ahead.clone());
                bytes.map(<[u8]>::to_vec)
            });
        }
    }
    Ok(found)
}

/// A part of a file in memory, with what is asked for next.
#[derive(Debug, Default)]
pub(super) struct Near {
    start: u64,
    bytes: Vec<u8>,
}

impl Near {
    /// Forgets what is in memory: the next file is another one.
    fn leave(&mut self) {
        self.bytes.clear();
    }

    /// Returns `length` bytes from `at` on, fewer if the file ends before. `ahead` are the places
    /// that are asked for after it, in order.
    pub(super) fn at(
        &mut self,
        file: &dyn DiskFile,
        at: u64,
        length: usize,
        ahead: impl Iterator<Item = u64>,
    ) -> io::Result<&[u8]> {
        let mut skip = self.skip(at);
        if skip.is_none_or(|skip| self.bytes.len() < skip + length) {
            let mut end = at + length as u64;
            for place in ahead {
                if place > end + GAP || place > at + STRETCH {
                    break;
                }
                end = end.max(place);
            }
            let wanted = usize::try_from(end + BEHIND - at).map_err(io::Error::other)?;
            self.bytes.resize(wanted, 0);
            let count = file.read_at(at, &mut self.bytes)?;
            self.bytes.truncate(count);
            self.start = at;
            skip = Some(0);
        }
        let rest = self.bytes.get(skip.unwrap_or_default()..);
        let rest = rest.unwrap_or_default();
        Ok(&rest[..length.min(rest.len())])
    }

    /// How far into what is in memory a place lies.
    fn skip(&self, at: u64) -> Option<usize> {
        usize::try_from(at.checked_sub(self.start)?).ok()
    }
}
