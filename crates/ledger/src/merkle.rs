//! Merkle trees as RFC 6962 section 2.1 defines them: hashes, append, and checking of proofs.
//!
//! A leaf is hashed with a 0x00 before it and a node with a 0x01, so that neither can pass for the
//! other. Everything here works on hashes alone; where they are stored is the business of
//! [`tile`](crate::tile), and building proofs from there that of [`tree`](crate::tree).

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, sha256, sha256_parts};

/// The most hashes an inclusion or consistency proof can have; sizes are below 2^63.
pub const PROOF_HASHES_MAX: usize = 63;

/// Why a proof does not prove what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The entry is not part of a tree of that size.
    #[error("entry {index} is beyond a tree of {size} entries")]
    Beyond {
        /// The index of the entry.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The older tree is the larger one.
    #[error("a tree of {old} entries cannot precede one of {new}")]
    Order {
        /// The size of the older tree.
        old: u64,
        /// The size of the newer tree.
        new: u64,
    },
    /// The proof has too few or too many hashes.
    #[error("the proof has {found} hashes, which does not fit the sizes")]
    Length {
        /// How many hashes there are.
        found: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to the root `{found}`, expected `{expected}`")]
    Root {
        /// The root that was expected.
        expected: Digest,
        /// The root that follows from the proof.
        found: Digest,
    },
}

/// Returns the root of the tree without entries: SHA-256 of nothing.
pub fn empty_root() -> Digest {
    sha256(b"")
}

/// Returns SHA-256 of `0x00 || entry`.
pub fn leaf_hash(entry: &[u8]) -> Digest {
    sha256_parts(&[&[0], entry])
}

/// Returns the leaf hash of the entry that follows the 0x00 at the start of `bytes`.
pub(crate) fn leaf_hash_prefixed(bytes: &[u8]) -> Digest {
    debug_assert_eq!(bytes.first(), Some(&0));
    let digest = digest(&SHA256, bytes);
    Digest::from_slice(digest.as_ref()).expect("SHA-256 gives 32 bytes")
}

/// Returns the leaf hashes of `entries` in order. A pure function of a slice: a caller with several
/// cores splits its entries and calls this on each part.
pub fn leaf_hashes<E: AsRef<[u8]>>(entries: &[E]) -> Vec<Digest> {
    entries
        .iter()
        .map(|entry| leaf_hash(entry.as_ref()))
        .collect()
}

/// Returns SHA-256 of `0x01 || left || right`.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    sha256(&bytes)
}

/// Returns the root over `hashes`, each of them the root of an equally large full subtree.
/// `None` when there are none.
pub fn fold(hashes: impl IntoIterator<Item = Digest>) -> Option<Digest> {
    let mut frontier = Frontier::default();
    for hash in hashes {
        frontier.push(hash);
    }
    (frontier.size > 0).then(|| frontier.root())
}

/// The right edge of a tree: what appending needs to know, in O(log n) hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    size: u64,
    /// The roots of the full subtrees that the size in binary names, largest first.
    subtrees: Vec<Digest>,
}

impl Frontier {
    /// Returns the frontier of `size` entries with the given full subtrees, largest first, or
    /// `None` unless there is one for each 1 in the binary form of `size`.
    pub fn from_parts(size: u64, subtrees: Vec<Digest>) -> Option<Self> {
        (subtrees.len() == size.count_ones() as usize).then_some(Self { size, subtrees })
    }

    /// Returns how many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the roots of the full subtrees, largest first.
    pub fn subtrees(&self) -> &[Digest] {
        &self.subtrees
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Digest) {
        self.push_with(leaf, |_, _| {});
    }

    /// Appends a leaf by its hash and tells `on_node` every node that becomes complete, from the
    /// lowest up: its height (the leaf's is 0) and its hash.
    pub fn push_with(&mut self, leaf: Digest, mut on_node: impl FnMut(u32, &Digest)) {
        let mut hash = leaf;
        // Each trailing 1 of the size is a full subtree that the new leaf completes to a larger
        // one.
        for height in 0..self.size.trailing_ones() {
            let left = self
                .subtrees
                .pop()
                .expect("there is a subtree for each 1 of the size");
            hash = node_hash(&left, &hash);
            on_node(height + 1, &hash);
        }
        self.subtrees.push(hash);
        self.size += 1;
    }

    /// Returns the root over all leaves.
    pub fn root(&self) -> Digest {
        let mut subtrees = self.subtrees.iter().rev();
        match subtrees.next() {
            None => empty_root(),
            Some(smallest) => subtrees.fold(*smallest, |right, left| node_hash(left, &right)),
        }
    }
}

/// Returns the root that `path` leads to from the leaf at `index` (RFC 9162 section 2.1.3.2).
///
/// # Errors
///
/// When the index is not below `size`, or the path has not exactly the hashes it needs.
pub fn root_from_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    path: &[Digest],
) -> Result<Digest, ProofError> {
    if index >= size {
        return Err(ProofError::Beyond { index, size });
    }
    let length = ProofError::Length { found: path.len() };
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return Err(length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok(hash) } else { Err(length) }
}

/// Checks that the leaf at `index` is part of the tree of `size` entries with `root`.
///
/// # Errors
///
/// When the proof does not show it.
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    path: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    expect_root(root, root_from_inclusion(leaf, index, size, path)?)
}

/// Checks that the tree of `new` entries with `new_root` starts with the tree of `old` entries with
/// `old_root` (RFC 9162 section 2.1.4.2). Every tree starts with the empty one, which needs no
/// proof.
///
/// # Errors
///
/// When the proof does not show it.
pub fn verify_consistency(
    old: u64,
    new: u64,
    path: &[Digest],
    old_root: &Digest,
    new_root: &Digest,
) -> Result<(), ProofError> {
    let length = ProofError::Length { found: path.len() };
    if old > new {
        return Err(ProofError::Order { old, new });
    }
    if old == 0 || old == new {
        if !path.is_empty() {
            return Err(length);
        }
        // The root of the empty tree is known, whatever the caller holds it to be.
        let expected = if old == 0 { empty_root() } else { *new_root };
        return expect_root(&expected, *old_root);
    }
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    // A full old tree is a node of the new one, and the proof leaves its root out.
    let (start, rest) = if old.is_power_of_two() {
        (old_root, path)
    } else {
        path.split_first().ok_or(length)?
    };
    if rest.is_empty() {
        return Err(length);
    }
    let (mut from_old, mut from_new) = (*start, *start);
    for hash in rest {
        if last == 0 {
            return Err(length);
        }
        if node & 1 == 1 || node == last {
            from_old = node_hash(hash, &from_old);
            from_new = node_hash(hash, &from_new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            from_new = node_hash(&from_new, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length);
    }
    expect_root(old_root, from_old)?;
    expect_root(new_root, from_new)
}

fn expect_root(expected: &Digest, found: Digest) -> Result<(), ProofError> {
    if *expected == found {
        Ok(())
    } else {
        Err(ProofError::Root {
            expected: *expected,
            found,
        })
    }
}
