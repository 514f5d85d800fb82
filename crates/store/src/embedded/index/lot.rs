//! What goes into the index together: leaves, each with where its payload lies.
//!
//! A payload belongs to the event whose leaf names it, and lies in the packs with those of the
//! commit group that its leaf came with. So the two are brought together group by group, and in the
//! same way whether a group was written just now or is read from the log again.
//!
//! A payload that no leaf of its group names is a *stray*: its leaf was torn off by a crash and came
//! again with a payload of its own, or two leaves name the same digest. Nobody asks for it, but an
//! erasure reaches it.

use model::{Digest, IndexKeys, SubjectId};
use rustc_hash::FxHashMap;

/// Where a payload lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The pack. None has the number 0, which stands for a payload that is in no pack.
    pub(crate) pack: u32,
    /// Where in it the record starts.
    pub(crate) at: u64,
}

/// A payload in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) subject: SubjectId,
    pub(crate) ct: Digest,
    pub(crate) place: Place,
}

/// A leaf to put in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) keys: &'a IndexKeys,
    /// Where the payload lies that it names, if it names one.
    pub(crate) place: Option<Place>,
}

/// Leaves that follow each other in the log, in whole commit groups.
#[derive(Debug, Default)]
pub(crate) struct Lot<'a> {
    pub(super) items: Vec<Item<'a>>,
    pub(super) strays: Vec<Blob>,
    /// How far the packs are in it.
    pub(super) packs: (u32, u64),
}

impl<'a> Lot<'a> {
    /// Adds a commit group: its leaves, the payloads that were written with it, and how far the packs
    /// were then.
    pub(crate) fn add(
        &mut self,
        leaves: impl IntoIterator<Item = (&'a [u8], &'a IndexKeys)>,
        blobs: &[Blob],
        packs: (u32, u64),
    ) {
        let mut pairs = Pairs::new(blobs);
        for (bytes, keys) in leaves {
            let place = keys.payload.map(|(ct, _)| pairs.place_of(ct));
            self.items.push(Item { bytes, keys, place });
        }
        self.strays.extend(pairs.strays());
        self.packs = packs;
    }
}

/// The payloads of a commit group, and which of them a leaf names.
struct Pairs<'b> {
    blobs: &'b [Blob],
    named: Vec<bool>,
    /// The one after the last that was named: payloads come in the order of the leaves that name
    /// them, as a rule.
    following: usize,
    /// Made once that does not hold.
    by_digest: Option<FxHashMap<Digest, usize>>,
}

impl<'b> Pairs<'b> {
    fn new(blobs: &'b [Blob]) -> Self {
        Self {
            blobs,
            named: vec![false; blobs.len()],
            following: 0,
            by_digest: None,
        }
    }

    fn place_of(&mut self, ct: Digest) -> Place {
        let follows = self.blobs.get(self.following);
        let found = match follows.is_some_and(|blob| blob.ct == ct) {
            true => Some(self.following),
            false => self.search(ct),
        };
        found.map_or_else(Place::default, |found| {
            self.named[found] = true;
            self.following = found + 1;
            self.blobs[found].place
        })
    }

    fn search(&mut self, ct: Digest) -> Option<usize> {
        let by_digest = self.by_digest.get_or_insert_with(|| {
            let blobs = self.blobs.iter().enumerate();
            // The first of several.
            blobs.rev().map(|(nth, blob)| (blob.ct, nth)).collect()
        });
        by_digest.get(&ct).copied()
    }

    fn strays(&self) -> impl Iterator<Item = Blob> {
        let each = self.blobs.iter().zip(&self.named);
        each.filter(|(_, named)| !**named).map(|(blob, _)| *blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(ct: u8, at: u64) -> Blob {
        Blob {
            subject: SubjectId::from_bytes([ct; 16]),
            ct: Digest([ct; 32]),
            place: Place { pack: 1, at },
        }
    }

    /// Where the payloads with these digests are found, and the places of those that none names.
    fn paired(blobs: &[Blob], named: &[u8]) -> (Vec<u64>, Vec<u64>) {
        let mut pairs = Pairs::new(blobs);
        let places = named.iter().map(|ct| pairs.place_of(Digest([*ct; 32])).at);
        let places = places.collect();
        (places, pairs.strays().map(|blob| blob.place.at).collect())
    }

    #[test]
    fn payloads_are_found_in_any_order_and_those_that_no_leaf_names_are_strays() {
        let blobs = [blob(7, 20), blob(8, 30), blob(9, 40)];
        assert_eq!(paired(&blobs, &[7, 8, 9]), (vec![20, 30, 40], vec![]));
        assert_eq!(paired(&blobs, &[9, 8, 7]), (vec![40, 30, 20], vec![]));
        assert_eq!(paired(&blobs, &[9, 7]), (vec![40, 20], vec![30]));
        assert_eq!(paired(&blobs, &[]), (vec![], vec![20, 30, 40]));
        assert_eq!(paired(&[], &[7]), (vec![0], vec![]), "it is in no pack");
    }

    #[test]
    fn leaves_that_name_one_digest_share_a_payload_or_have_one_each() {
        assert_eq!(paired(&[blob(7, 20)], &[7, 7]), (vec![20, 20], vec![]));
        let twice = [blob(7, 20), blob(7, 30)];
        assert_eq!(paired(&twice, &[7, 7]), (vec![20, 30], vec![]));
        let apart = [blob(7, 20), blob(8, 30), blob(7, 40)];
        assert_eq!(paired(&apart, &[8, 7]), (vec![30, 40], vec![20]));
    }
}
