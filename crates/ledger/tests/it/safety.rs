//! The safety rules of the ledger, as far as they concern what is pure. Durability, the order of
//! writes and the refusal to start belong to the stores and are tested there.

use ledger::audit::{Damage, audit, audit_anchors};
use ledger::cosign::{AddCheckpoint, Witness, WitnessKey, WitnessState};
use ledger::merkle::{leaf_hash, verify_consistency, verify_inclusion};
use ledger::tile::Level;
use ledger::{Checkpoint, LogBuilder, Note, SigningKey, Tree, canonical};

use crate::support::{Files, ORIGIN, build, build_published, checkpoint, entry, log_key, seed};

fn witness_for(keys: &[&SigningKey]) -> Witness {
    let key = WitnessKey::from_seed("witness.example/w1", &seed(0x20)).unwrap();
    Witness::new(key, keys.iter().map(|key| key.verifying_key().clone()))
}

fn request(old: u64, log: &(LogBuilder, Files), checkpoint: Note) -> AddCheckpoint {
    let size = log.0.size();
    let proof = Tree::new(&log.1, size)
        .prove_consistency(old, size)
        .unwrap();
    AddCheckpoint {
        old_size: old,
        proof,
        checkpoint,
    }
}

/// What was signed last is kept apart from the tree. A tree that does not continue it must not be
/// signed, whether it is an older copy or an older copy that went on.
#[test]
fn rule_2_a_tree_that_does_not_continue_what_was_signed_last_is_told() {
    let last = checkpoint(&build(600).0);
    let (builder, files) = build(500);
    let findings = audit_anchors(&files, &checkpoint(&builder), std::slice::from_ref(&last));
    let findings = findings.unwrap();
    assert!(matches!(
        findings[0].damage,
        Damage::RolledBack {
            kept: 600,
            found: 500
        }
    ));

    let (mut builder, mut files, mut out) = (LogBuilder::new(), Files::default(), Vec::new());
    for index in 0..700 {
        let text = if index < 500 {
            entry(index)
        } else {
            b"after the old copy".to_vec()
        };
        builder.push(&text, &mut out).unwrap();
    }
    builder.publish(&mut out);
    files.write(&mut out);
    let findings = audit_anchors(&files, &checkpoint(&builder), &[last]).unwrap();
    assert!(matches!(
        findings[0].damage,
        Damage::Forked { size: 600, .. }
    ));
}

/// A log that is restored from an older copy goes on under a new name, and its first entry holds
/// the last checkpoint of the old one.
#[test]
fn rule_3_a_restored_log_goes_on_under_a_new_origin() {
    let old_key = log_key();
    let new_origin = format!("{ORIGIN}/2");
    let new_key = SigningKey::from_seed(&new_origin, &seed(0x40)).unwrap();
    let witness = witness_for(&[&old_key, &new_key]);
    let old = build(600);
    let last = checkpoint(&old.0).sign(&[&old_key]).unwrap();
    let state = WitnessState::default();
    let (state, _) = witness
        .add_checkpoint(&state, &request(0, &old, last.clone()), 1)
        .unwrap();

    let (mut builder, mut files, mut out) = (LogBuilder::new(), Files::default(), Vec::new());
    let continuation = serde_json::json!({ "kind": "continuation", "of": last.to_string() });
    builder
        .push(&canonical::to_vec(&continuation).unwrap(), &mut out)
        .unwrap();
    builder.publish(&mut out);
    files.write(&mut out);
    let renamed = Checkpoint {
        origin: new_origin.clone(),
        ..checkpoint(&builder)
    };
    let new = (builder, files);
    let signed = renamed.sign(&[&new_key]).unwrap();
    let (state, _) = witness
        .add_checkpoint(&state, &request(0, &new, signed), 2)
        .unwrap();
    assert_eq!(state.seen(ORIGIN).unwrap().size, 600);
    assert_eq!(state.seen(&new_origin).unwrap().size, 1);

    // Under the old name it gets no signature.
    let forked = checkpoint(&new.0).sign(&[&old_key]).unwrap();
    witness
        .add_checkpoint(&state, &request(0, &new, forked), 3)
        .unwrap_err();
    // The entry holds the whole checkpoint, which still verifies.
    let stored: serde_json::Value =
        serde_json::from_slice(&Tree::new(&new.1, 1).entry(0).unwrap()).unwrap();
    let keys = [old_key.verifying_key().clone()];
    let (kept, _) = Checkpoint::open(stored["of"].as_str().unwrap().as_bytes(), &keys).unwrap();
    assert_eq!(kept, checkpoint(&old.0));
}

/// A torn tail is written again identically: the same entries give the same files, and nothing that
/// was published changes.
#[test]
fn rule_4_writing_a_torn_tail_again_never_changes_what_was_published() {
    let (_, published) = build_published(300, &[100, 256]);
    let mut files = published.clone();
    let (mut builder, mut out) = (LogBuilder::resume(&files, 300).unwrap(), Vec::new());
    for index in 300..700 {
        builder.push(&entry(index), &mut out).unwrap();
    }
    builder.publish(&mut out);
    let mut again = out.clone();
    files.write(&mut out);
    // The crash came here; the same files are written once more.
    files.write(&mut again);
    for (tile, bytes) in &published.0 {
        assert_eq!(&files.0[tile], bytes, "{tile}");
    }
    assert!(audit(&files, &checkpoint(&builder)).is_intact());
}

/// Old and new key sign for an overlap, and history is not signed again.
#[test]
fn rule_8_a_rotated_key_is_accepted_with_and_without_the_old_one() {
    let (old, new) = (
        log_key(),
        SigningKey::from_seed(ORIGIN, &seed(0x50)).unwrap(),
    );
    let witness = witness_for(&[&old, &new]);
    let mut state = WitnessState::default();
    let mut seen = 0;
    for (size, keys) in [(100, &[&old][..]), (200, &[&old, &new]), (300, &[&new])] {
        let log = build(size);
        let signed = checkpoint(&log.0).sign(keys).unwrap();
        state = witness
            .add_checkpoint(&state, &request(seen, &log, signed), size)
            .unwrap()
            .0;
        seen = size;
    }
    assert_eq!(state.seen(ORIGIN).unwrap().size, 300);
}

/// Bundles below a minimum index may be deleted: later entries are still proven.
#[test]
fn rule_9_proofs_of_later_entries_outlive_pruned_bundles() {
    let (builder, mut files) = build(1000);
    files
        .0
        .retain(|tile, _| tile.level != Level::Entries || tile.index >= 2);
    let tree = Tree::new(&files, 1000);
    let root = builder.root();
    for index in [512, 700, 999] {
        let leaf = leaf_hash(&tree.entry(index).unwrap());
        let path = tree.prove_inclusion(index, 1000).unwrap();
        verify_inclusion(&leaf, index, 1000, &path, &root).unwrap();
    }
    let path = tree.prove_consistency(100, 1000).unwrap();
    verify_consistency(100, 1000, &path, &tree.root_at(100).unwrap(), &root).unwrap();
    // And an audit does not take what is gone for intact.
    assert_eq!(
        audit(&files, &checkpoint(&builder)).first_bad_index(),
        Some(0)
    );
}

/// The stored bytes are what is hashed, also when they are not canonical.
#[test]
fn rule_10_verification_never_serialises_again() {
    let (canonical_form, spaced) = (&br#"{"a":1,"b":2}"#[..], &br#"{ "b": 2, "a": 1 }"#[..]);
    assert!(canonical::is_canonical(canonical_form) && !canonical::is_canonical(spaced));
    let (mut builder, mut files, mut out) = (LogBuilder::new(), Files::default(), Vec::new());
    for text in [canonical_form, spaced] {
        builder.push(text, &mut out).unwrap();
    }
    builder.publish(&mut out);
    files.write(&mut out);
    assert_ne!(leaf_hash(canonical_form), leaf_hash(spaced));
    assert!(audit(&files, &checkpoint(&builder)).is_intact());
    assert_eq!(Tree::new(&files, 2).entry(1).unwrap(), spaced);
}
