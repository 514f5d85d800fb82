//! Proofs: every small tree exhaustively, larger ones by sample, and what must not pass.

use ledger::Digest;
use ledger::merkle::{
    Frontier, ProofError, empty_root, fold, leaf_hash, node_hash, verify_consistency,
    verify_inclusion,
};
use ledger::{Tree, merkle};
use proptest::prelude::*;

use crate::support::{build, entry};

/// The recursive definition of RFC 6962 section 2.1.
fn root_by_definition(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(1 << (leaves.len() - 1).ilog2());
            node_hash(&root_by_definition(left), &root_by_definition(right))
        }
    }
}

fn leaves(count: u64) -> Vec<Digest> {
    (0..count).map(|index| leaf_hash(&entry(index))).collect()
}

#[test]
fn the_frontier_agrees_with_the_definition() {
    let leaves = leaves(300);
    let mut frontier = Frontier::default();
    for count in 0..=leaves.len() {
        assert_eq!(
            frontier.root(),
            root_by_definition(&leaves[..count]),
            "{count}"
        );
        let parts = Frontier::from_parts(frontier.size(), frontier.subtrees().to_vec()).unwrap();
        assert_eq!(parts, frontier);
        assert_eq!(Frontier::from_parts(frontier.size() + 1, vec![]), None);
        let json = serde_json::to_string(&frontier).unwrap();
        assert_eq!(serde_json::from_str::<Frontier>(&json).unwrap(), frontier);
        if let Some(leaf) = leaves.get(count) {
            frontier.push(*leaf);
        }
    }
    assert_eq!(fold([]), None);
}

#[test]
fn every_entry_of_every_small_tree_is_included_and_no_other_is() {
    let (_, files) = build(70);
    let leaves = leaves(70);
    let tree = Tree::new(&files, 70);
    for size in 1..=70 {
        let root = root_by_definition(&leaves[..size as usize]);
        for index in 0..size {
            let path = tree.prove_inclusion(index, size).unwrap();
            let leaf = leaves[index as usize];
            verify_inclusion(&leaf, index, size, &path, &root).unwrap();
            for wrong in 0..=size {
                let verified = verify_inclusion(&leaf, wrong, size, &path, &root);
                assert_eq!(
                    verified.is_ok(),
                    wrong == index,
                    "{index} as {wrong} of {size}"
                );
            }
            verify_inclusion(
                &leaves[(index as usize + 1) % 70],
                index,
                size,
                &path,
                &root,
            )
            .unwrap_err();
            if let Some((_, shorter)) = path.split_last() {
                verify_inclusion(&leaf, index, size, shorter, &root).unwrap_err();
            }
            let longer = [path.as_slice(), &[leaf]].concat();
            assert_eq!(
                verify_inclusion(&leaf, index, size, &longer, &root),
                Err(ProofError::Length {
                    found: longer.len()
                })
            );
        }
    }
}

#[test]
fn every_small_tree_continues_every_smaller_one_and_no_other_does() {
    let (_, files) = build(70);
    let leaves = leaves(70);
    let tree = Tree::new(&files, 70);
    let root = |size: u64| root_by_definition(&leaves[..size as usize]);
    for new in 0..=70 {
        for old in 0..=new {
            let path = tree.prove_consistency(old, new).unwrap();
            verify_consistency(old, new, &path, &root(old), &root(new)).unwrap();
            assert!(path.len() <= merkle::PROOF_HASHES_MAX);
            let wrong = leaf_hash(b"another");
            verify_consistency(old, new, &path, &wrong, &root(new)).unwrap_err();
            if old > 0 {
                verify_consistency(old, new, &path, &root(old), &wrong).unwrap_err();
            }
            for i in 0..path.len() {
                let mut changed = path.clone();
                changed[i] = wrong;
                verify_consistency(old, new, &changed, &root(old), &root(new)).unwrap_err();
                changed.remove(i);
                verify_consistency(old, new, &changed, &root(old), &root(new)).unwrap_err();
            }
            let longer = [path.as_slice(), &[wrong]].concat();
            verify_consistency(old, new, &longer, &root(old), &root(new)).unwrap_err();
        }
        let order = verify_consistency(new + 1, new, &[], &root(new), &root(new));
        assert_eq!(order, Err(ProofError::Order { old: new + 1, new }));
    }
}

#[test]
fn proofs_across_tiles_and_levels_hold() {
    let size = 66_000;
    let (builder, files) = build(size);
    let tree = Tree::new(&files, size);
    let root = builder.root();
    for index in [
        0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_791, 65_792, 65_999,
    ] {
        let leaf = leaf_hash(&entry(index));
        assert_eq!(tree.leaf(index).unwrap(), leaf);
        assert_eq!(tree.entry(index).unwrap(), entry(index));
        let path = tree.prove_inclusion(index, size).unwrap();
        verify_inclusion(&leaf, index, size, &path, &root).unwrap();
    }
    for old in [
        1, 2, 255, 256, 257, 4096, 65_535, 65_536, 65_537, 65_999, 66_000,
    ] {
        let path = tree.prove_consistency(old, size).unwrap();
        let old_root = tree.root_at(old).unwrap();
        verify_consistency(old, size, &path, &old_root, &root).unwrap();
    }
    assert!(tree.leaf(size).is_err());
    assert!(tree.entry(size).is_err());
    assert!(tree.root_at(size + 1).is_err());
    assert!(tree.prove_inclusion(5, 5).is_err());
    assert!(tree.prove_consistency(6, 5).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn proofs_of_sampled_sizes_hold(
        (new, old, index) in (1..3000u64).prop_flat_map(|new| (Just(new), 0..=new, 0..new)),
    ) {
        let (builder, files) = build(new);
        let tree = Tree::new(&files, new);
        prop_assert_eq!(tree.root().unwrap(), builder.root());
        let path = tree.prove_inclusion(index, new).unwrap();
        let leaf = leaf_hash(&entry(index));
        verify_inclusion(&leaf, index, new, &path, &builder.root()).unwrap();
        let path = tree.prove_consistency(old, new).unwrap();
        let old_root = root_by_definition(&leaves(old));
        prop_assert_eq!(tree.root_at(old).unwrap(), old_root);
        verify_consistency(old, new, &path, &old_root, &builder.root()).unwrap();
    }
}
