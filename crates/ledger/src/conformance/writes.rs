//! Checks of what is written: order, idempotence, streams, payloads, keys, checkpoints.

use model::{Digest, EventId, SubjectId};

use super::sample::{Maker, batch};
use crate::digest::sha256;
use crate::merkle::{Frontier, leaf_hash};
use crate::tile::{Tile, decode_bundle, tiles_of};
use crate::{BlobState, Checkpoint, KeyState, Store, StoreError, SubjectKey, VerifyingKey};

pub(super) async fn appends_in_order_and_reads_back(store: &dyn Store) {
    let mut make = Maker::default();
    assert!(
        store.read(0, 10).await.expect("reads").is_empty(),
        "a new store is empty"
    );
    let mut expected = Vec::new();
    for length in [0, 10, 4_000, 1] {
        let leaves = [make.filler(length), make.filler(length + 1)];
        expected.extend(leaves.iter().map(|leaf| leaf.bytes().to_vec()));
        let appended = store.append(batch(leaves)).await.expect("appends");
        let first = expected.len() as u64 - 2;
        assert_eq!(
            appended.seqs,
            [first, first + 1],
            "sequence numbers are dense"
        );
        assert_eq!(appended.new, 2);
    }
    let all = store.read(0, 100).await.expect("reads");
    let numbered: Vec<_> = (0..).zip(expected.iter().cloned()).collect();
    assert_eq!(all, numbered, "what is read is what was appended, in order");
    assert_eq!(
        store.read(3, 2).await.expect("reads"),
        numbered[3..5],
        "a part in the middle"
    );
    for (place, leaf) in numbered.iter().enumerate() {
        let alone = store.read(place as u64, 1).await.expect("reads");
        assert_eq!(alone, std::slice::from_ref(leaf), "each of them alone");
    }
    assert!(
        store.read(8, 1).await.expect("reads").is_empty(),
        "past the end there is none alone either"
    );
    assert_eq!(
        store.read(7, 9).await.expect("reads"),
        numbered[7..],
        "up to the end"
    );
    assert!(
        store.read(8, 9).await.expect("reads").is_empty(),
        "past the end there is none"
    );
    assert!(
        store.read(u64::MAX, 9).await.expect("reads").is_empty(),
        "far past it neither"
    );
    assert!(
        store.read(0, 0).await.expect("reads").is_empty(),
        "a limit of none gives none"
    );
    let appended = store
        .append(batch([]))
        .await
        .expect("an empty batch is fine");
    assert_eq!((appended.seqs.len(), appended.new), (0, 0));
    assert_eq!(store.status().await.expect("answers").durable, 8);
}

pub(super) async fn appends_each_event_once(store: &dyn Store) {
    let mut make = Maker::default();
    let leaves: Vec<_> = (0..4).map(|_| make.filler(5)).collect();
    let first = store
        .append(batch(leaves[..2].to_vec()))
        .await
        .expect("appends");
    let again = store
        .append(batch(leaves[..2].to_vec()))
        .await
        .expect("appends");
    assert_eq!(again.seqs, first.seqs, "the first place is returned");
    assert_eq!(again.new, 0, "nothing is appended twice");
    let mixed = batch([
        leaves[2].clone(),
        leaves[0].clone(),
        leaves[3].clone(),
        leaves[2].clone(),
    ]);
    let mixed = store.append(mixed).await.expect("appends");
    assert_eq!(
        mixed.seqs,
        [2, 0, 3, 2],
        "known events keep their place, also within a batch"
    );
    assert_eq!(mixed.new, 2);
    // A retried step of a stream is not a conflict, although the stream has moved on.
    let (run, decision) = (make.run(), make.decision());
    let steps = [
        make.propose(decision, run, "a", &[]),
        make.start(decision),
        make.finish(decision),
    ];
    store.append(batch(steps.clone())).await.expect("appends");
    let retried = store
        .append(batch([steps[1].clone()]))
        .await
        .expect("a retry is fine");
    assert_eq!((retried.seqs, retried.new), (vec![5], 0));
    assert_eq!(store.status().await.expect("answers").durable, 7);
}

pub(super) async fn refuses_a_stale_parent(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, decision) = (make.run(), make.decision());
    let proposed = make.propose(decision, run, "a", &[]);
    let stale = make.clone();
    let started = make.start(decision);
    store
        .append(batch([proposed.clone(), started.clone()]))
        .await
        .expect("appends");
    // Another writer saw only the proposal.
    let mut other = stale;
    other.run();
    let conflict = store.append(batch([other.finish(decision)])).await;
    let Err(StoreError::Conflict {
        stream,
        expected,
        actual,
    }) = conflict
    else {
        panic!("a stale parent is a conflict: {conflict:?}");
    };
    assert_eq!(stream, *decision.as_bytes());
    assert_eq!(
        expected,
        Some(proposed.keys().id),
        "the conflict says what was expected"
    );
    assert_eq!(actual, Some(started.keys().id), "and what is");
    // A stream that is there cannot begin again, and one that is not cannot go on.
    let mut fresh = Maker::new(1_800_000_000_000);
    let begin = store
        .append(batch([fresh.propose(decision, run, "b", &[])]))
        .await;
    assert!(
        matches!(
            begin,
            Err(StoreError::Conflict {
                expected: None,
                actual: Some(_),
                ..
            })
        ),
        "a stream begins once: {begin:?}"
    );
    let nowhere = fresh.decision();
    fresh.propose(nowhere, run, "b", &[]);
    let orphan = store.append(batch([fresh.start(nowhere)])).await;
    assert!(
        matches!(
            orphan,
            Err(StoreError::Conflict {
                expected: Some(_),
                actual: None,
                ..
            })
        ),
        "a stream that was never begun cannot go on: {orphan:?}"
    );
    store
        .append(batch([make.finish(decision)]))
        .await
        .expect("the right parent goes through");
}

pub(super) async fn appends_a_batch_whole_or_not_at_all(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, decision) = (make.run(), make.decision());
    make.propose(decision, run, "a", &[]);
    let bad = make.start(decision);
    let good = make.filler(3);
    let result = store.append(batch([good.clone(), bad])).await;
    assert!(
        matches!(result, Err(StoreError::Conflict { .. })),
        "{result:?}"
    );
    assert!(
        store.read(0, 10).await.expect("reads").is_empty(),
        "nothing of the batch is there"
    );
    let appended = store.append(batch([good])).await.expect("appends");
    assert_eq!(
        (appended.seqs, appended.new),
        (vec![0], 1),
        "nor is it remembered as known"
    );
}

pub(super) async fn keeps_payloads_of_events(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, subject) = (make.run(), make.subject());
    let mut kept = Vec::new();
    for length in [1, 700, 70_000] {
        let decision = make.decision();
        let ciphertext = vec![length as u8; length];
        let (leaf, payload) = make.propose_sealed(decision, run, subject, &ciphertext);
        let event = leaf.keys().id;
        let mut sealed = batch([leaf]);
        sealed.payloads.push(payload.clone());
        store.append(sealed.clone()).await.expect("appends");
        let again = store
            .append(sealed)
            .await
            .expect("a retry brings its payload along");
        assert_eq!(again.new, 0);
        kept.push((event, payload));
    }
    for (event, (ct, bytes)) in kept {
        assert_eq!(
            store.payload(event, ct).await.expect("reads"),
            BlobState::Kept(bytes)
        );
    }
    let absent = store.payload(unknown(&mut make), Digest([9; 32])).await;
    assert_eq!(absent.expect("reads"), BlobState::Absent);
}

/// The id of an event that is in no store.
fn unknown(make: &mut Maker) -> EventId {
    make.filler(1).keys().id
}

pub(super) async fn reads_many_payloads_at_once(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, gone, stays) = (make.run(), make.subject(), make.subject());
    let mut kept = Vec::new();
    for number in 0..150_usize {
        let decision = make.decision();
        let subject = if number % 7 == 0 { gone } else { stays };
        // Small ones between large ones, so that some lie close together and some far apart.
        let length = if number % 40 == 39 {
            90_000
        } else {
            number + 1
        };
        let (leaf, payload) =
            make.propose_sealed(decision, run, subject, &vec![number as u8; length]);
        let event = leaf.keys().id;
        let mut sealed = batch([leaf]);
        sealed.payloads.push(payload.clone());
        store.append(sealed).await.expect("appends");
        kept.push((subject, event, payload));
    }
    store.keep_key(gone, key(1)).await.expect("keeps");
    let erased = batch([make.erase(gone)]);
    store.append(erased).await.expect("appends");
    store.destroy_key(gone).await.expect("destroys");
    // In another order than that of the log, one of them twice, one that is not there.
    let mut asked: Vec<usize> = (0..kept.len()).map(|place| place * 67 % 150).collect();
    asked.push(asked[3]);
    let by = |place: &usize| (kept[*place].1, kept[*place].2.0);
    let mut by: Vec<(EventId, Digest)> = asked.iter().map(by).collect();
    by.push((unknown(&mut make), Digest([9; 32])));
    let mut found = store.payloads(&by).await.expect("reads");
    let absent = found.pop().expect("an answer for each");
    assert_eq!(absent.expect("reads"), BlobState::Absent);
    assert_eq!(found.len(), asked.len(), "an answer for each");
    for (place, found) in asked.into_iter().zip(found) {
        let (subject, _, (_, bytes)) = &kept[place];
        let expected = match *subject == gone {
            true => BlobState::Scrubbed,
            false => BlobState::Kept(bytes.clone()),
        };
        assert_eq!(found.expect("reads"), expected, "in the order asked for");
    }
    assert!(store.payloads(&[]).await.expect("reads").is_empty());
}

pub(super) async fn refuses_payloads_that_do_not_fit(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, subject) = (make.run(), make.subject());
    let decision = make.decision();
    let (leaf, (ct, bytes)) = make.propose_sealed(decision, run, subject, b"secret");
    let refused = |result: Result<crate::Appended, StoreError>, why: &str| {
        assert!(
            matches!(result, Err(StoreError::Payload { .. })),
            "{why}: {result:?}"
        );
    };
    refused(
        store.append(batch([leaf.clone()])).await,
        "a payload must come along",
    );
    let mut wrong = batch([leaf.clone()]);
    wrong.payloads.push((ct, b"other".to_vec()));
    refused(store.append(wrong).await, "a payload must have its digest");
    let mut stray = batch([leaf.clone()]);
    stray.payloads = vec![(ct, bytes.clone()), (sha256(b"stray"), b"stray".to_vec())];
    refused(
        store.append(stray).await,
        "a payload must be named by a leaf",
    );
    assert_eq!(
        store.status().await.expect("answers").durable,
        0,
        "nothing was appended"
    );
    let mut right = batch([leaf]);
    right.payloads.push((ct, bytes));
    assert_eq!(store.append(right).await.expect("appends").new, 1);
}

fn key(byte: u8) -> SubjectKey {
    SubjectKey::from_bytes(&[byte; 32])
}

pub(super) async fn keeps_one_key_for_a_subject(store: &dyn Store) {
    let mut make = Maker::default();
    let (one, two) = (make.subject(), make.subject());
    assert_eq!(store.key(one).await.expect("answers"), KeyState::Absent);
    store.keep_key(one, key(1)).await.expect("keeps");
    store.keep_key(two, key(2)).await.expect("keeps");
    assert_eq!(
        store.key(one).await.expect("answers"),
        KeyState::Kept(key(1))
    );
    assert_eq!(
        store.key(two).await.expect("answers"),
        KeyState::Kept(key(2))
    );
    store
        .keep_key(one, key(1))
        .await
        .expect("keeping the same key again changes nothing");
    let other = store.keep_key(one, key(3)).await;
    assert!(
        matches!(other, Err(StoreError::KeyExists { subject }) if subject == one),
        "a subject has one key for ever: {other:?}"
    );
    assert_eq!(
        store.key(one).await.expect("answers"),
        KeyState::Kept(key(1))
    );
    let three = make.subject();
    let together = |last| vec![(one, key(1)), (three, key(last))];
    store.keep_keys(together(4)).await.expect("keeps both");
    assert_eq!(
        store.key(three).await.expect("answers"),
        KeyState::Kept(key(4))
    );
    let other = store.keep_keys(together(5)).await;
    assert!(
        matches!(other, Err(StoreError::KeyExists { subject }) if subject == three),
        "also together with others: {other:?}"
    );
}

pub(super) async fn destroys_a_key_and_what_it_opens(store: &dyn Store) {
    let mut make = Maker::default();
    let (run, gone, stays) = (make.run(), make.subject(), make.subject());
    let mut payloads = Vec::new();
    for subject in [gone, stays, gone] {
        store.keep_key(subject, key(1)).await.expect("keeps");
        let decision = make.decision();
        let text = format!("payload {}", payloads.len());
        let (leaf, payload) = make.propose_sealed(decision, run, subject, text.as_bytes());
        let event = leaf.keys().id;
        let mut sealed = batch([leaf]);
        sealed.payloads.push(payload.clone());
        store.append(sealed).await.expect("appends");
        payloads.push((event, payload));
    }
    store
        .append(batch([make.erase(gone)]))
        .await
        .expect("appends");
    for _ in 0..2 {
        store
            .destroy_key(gone)
            .await
            .expect("destroying twice is the same as once");
        assert_eq!(store.key(gone).await.expect("answers"), KeyState::Destroyed);
        assert_eq!(
            store.key(stays).await.expect("answers"),
            KeyState::Kept(key(1))
        );
        for (place, (event, (ct, bytes))) in payloads.iter().enumerate() {
            let blob = store.payload(*event, *ct).await.expect("reads");
            if place == 1 {
                assert_eq!(
                    blob,
                    BlobState::Kept(bytes.clone()),
                    "others are not touched"
                );
            } else {
                assert_eq!(blob, BlobState::Scrubbed, "what the key opened is scrubbed");
            }
        }
    }
    let back = store.keep_key(gone, key(1)).await;
    assert!(
        matches!(back, Err(StoreError::KeyExists { .. })),
        "an erased key is never kept again"
    );
    let never: SubjectId = make.subject();
    store
        .destroy_key(never)
        .await
        .expect("a key that was never there can be destroyed");
    let late = store.keep_key(never, key(1)).await;
    assert!(
        matches!(late, Err(StoreError::KeyExists { .. })),
        "and is never kept after that"
    );
}

pub(super) async fn publishes_what_is_durable(store: &dyn Store) {
    let sealing = store.sealing().await.expect("answers");
    let keys: Vec<VerifyingKey> = sealing
        .log
        .iter()
        .map(|key| key.parse().expect("a verifier key"))
        .collect();
    let mut make = Maker::default();
    let mut tree = Frontier::default();
    for count in [0, 1, 255, 1, 300] {
        let leaves: Vec<_> = (0..count).map(|_| make.filler(8)).collect();
        for leaf in &leaves {
            tree.push(leaf_hash(leaf.bytes()));
        }
        store.append(batch(leaves)).await.expect("appends");
        let note = store.publish().await.expect("publishes");
        let (checkpoint, _) =
            Checkpoint::open(note.as_bytes(), &keys).expect("the log's key signed it");
        assert_eq!(checkpoint.origin, sealing.origin);
        assert_eq!(checkpoint.size, tree.size(), "it covers everything durable");
        assert_eq!(checkpoint.root, tree.root(), "under the right root");
        assert_eq!(
            store.publish().await.expect("publishes"),
            note,
            "nothing new, the same note"
        );
        assert_eq!(
            store.status().await.expect("answers").published,
            tree.size()
        );
        let served = store
            .log_file("checkpoint")
            .await
            .expect("reads")
            .expect("it is there");
        assert_eq!(served, note.as_bytes(), "and it is what is served");
    }
}

pub(super) async fn serves_the_published_log(store: &dyn Store) {
    let mut make = Maker::default();
    let mut leaves = Vec::new();
    for count in [3, 600] {
        let more: Vec<_> = (0..count).map(|_| make.filler(20)).collect();
        leaves.extend(more.iter().map(|leaf| leaf.bytes().to_vec()));
        store.append(batch(more)).await.expect("appends");
        store.publish().await.expect("publishes");
    }
    for tile in tiles_of(leaves.len() as u64) {
        let bytes = store.log_file(&tile.path()).await.expect("reads");
        assert!(bytes.is_some(), "`{tile}` is there");
    }
    let mut entries = Vec::new();
    for tile in [
        Tile::entries(0, 256),
        Tile::entries(1, 256),
        Tile::entries(2, 91),
    ] {
        let bytes = store
            .log_file(&tile.path())
            .await
            .expect("reads")
            .expect("it is there");
        let decoded = decode_bundle(tile, &bytes).expect("a bundle");
        entries.extend(decoded.into_iter().map(<[u8]>::to_vec));
    }
    assert_eq!(entries, leaves, "bundles hold exactly the leaves");
    for path in [
        "",
        "/",
        "tile",
        "tile/0/0",
        "../FORMAT",
        "tile/entries/../../checkpoint",
        "log.key",
        "tile/9/000",
    ] {
        let bytes = store
            .log_file(path)
            .await
            .expect("a strange path is no error");
        assert!(bytes.is_none(), "`{path}` is not of the layout");
    }
}

pub(super) async fn closes(store: &dyn Store) {
    let mut make = Maker::default();
    store
        .append(batch([make.filler(1)]))
        .await
        .expect("appends");
    store.close().await.expect("closes");
    let late = [
        store.append(batch([make.filler(1)])).await.map(|_| ()),
        store.read(0, 1).await.map(|_| ()),
        store.publish().await.map(|_| ()),
        store.status().await.map(|_| ()),
        store.head([0; 16]).await.map(|_| ()),
    ];
    for result in late {
        assert!(
            matches!(result, Err(StoreError::Closed)),
            "later calls fail: {result:?}"
        );
    }
}
