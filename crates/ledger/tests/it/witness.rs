//! The witness: every answer of the protocol, and that no second story gets a signature.

use ledger::cosign::{AddCheckpoint, Refused, Witness, WitnessKey, WitnessState};
use ledger::merkle::leaf_hash;
use ledger::{Checkpoint, LogBuilder, Note, SigningKey, Tree};

use crate::support::{Files, ORIGIN, build, build_published, checkpoint, entry, log_key, seed};

const TIME: u64 = 1_767_225_600;

fn witness() -> Witness {
    let key = WitnessKey::from_seed("witness.example/w1", &seed(0x20)).unwrap();
    Witness::new(key, [log_key().verifying_key().clone()])
}

fn signed(builder: &LogBuilder) -> Note {
    checkpoint(builder).sign(&[&log_key()]).unwrap()
}

fn request(old: u64, new: u64) -> AddCheckpoint {
    let (builder, files) = build(new);
    let proof = Tree::new(&files, new)
        .prove_consistency(old.min(new), new)
        .unwrap();
    AddCheckpoint {
        old_size: old,
        proof,
        checkpoint: signed(&builder),
    }
}

fn seen(size: u64) -> WitnessState {
    witness()
        .add_checkpoint(&WitnessState::default(), &request(0, size), TIME)
        .unwrap()
        .0
}

fn status(state: &WitnessState, request: &AddCheckpoint) -> u16 {
    witness()
        .add_checkpoint(state, request, TIME)
        .unwrap_err()
        .status()
}

#[test]
fn a_log_that_only_grows_gets_every_signature() {
    let witness = witness();
    let mut state = WitnessState::default();
    let mut old = 0;
    for new in [0, 1, 1, 2, 255, 256, 257, 700, 700] {
        let (next, line) = witness
            .add_checkpoint(&state, &request(old, new), TIME)
            .unwrap();
        let (builder, _) = build(new);
        let mut note = signed(&builder);
        note.push(line);
        let keys = [
            log_key().verifying_key().clone(),
            witness.verifying_key().clone(),
        ];
        let verified = note.verify(&keys).unwrap();
        assert_eq!(
            verified.iter().map(|v| v.time).collect::<Vec<_>>(),
            [None, Some(TIME)]
        );
        assert_eq!(next.seen(ORIGIN).unwrap().size, new);
        assert_eq!(next.seen(ORIGIN).unwrap().root, builder.root());
        let json = serde_json::to_string(&next).unwrap();
        assert_eq!(serde_json::from_str::<WitnessState>(&json).unwrap(), next);
        (state, old) = (next, new);
    }
}

#[test]
fn an_unknown_log_is_404_and_an_unsigned_checkpoint_403() {
    let (builder, _) = build(3);
    let other = SigningKey::from_seed("other.example/log", &seed(1)).unwrap();
    let foreign = Checkpoint {
        origin: "other.example/log".into(),
        ..checkpoint(&builder)
    };
    let unknown = AddCheckpoint {
        old_size: 0,
        proof: vec![],
        checkpoint: foreign.sign(&[&other]).unwrap(),
    };
    assert_eq!(status(&WitnessState::default(), &unknown), 404);
    let impostor = SigningKey::from_seed(ORIGIN, &seed(1)).unwrap();
    for keys in [&[&other][..], &[&impostor]] {
        let checkpoint = checkpoint(&builder).sign(keys).unwrap();
        let request = AddCheckpoint {
            old_size: 0,
            proof: vec![],
            checkpoint,
        };
        assert_eq!(status(&WitnessState::default(), &request), 403);
    }
}

#[test]
fn an_old_size_above_the_new_one_is_400() {
    assert_eq!(status(&seen(7), &request(8, 7)), 400);
    let text = Note::new("no checkpoint\n".into()).unwrap();
    let request = AddCheckpoint {
        old_size: 0,
        proof: vec![],
        checkpoint: text,
    };
    assert_eq!(status(&WitnessState::default(), &request), 400);
}

#[test]
fn another_old_size_is_409_and_the_answer_tells_the_right_one() {
    let refused = witness()
        .add_checkpoint(&seen(7), &request(3, 9), TIME)
        .unwrap_err();
    assert_eq!(refused.status(), 409);
    assert_eq!(refused.body(), ("text/x.tlog.size", "7\n".to_owned()));
    assert_eq!(status(&WitnessState::default(), &request(3, 9)), 409);
}

/// A ledger that was put back to an older copy and went on from there.
#[test]
fn c56_a_log_that_tells_two_stories_gets_no_second_signature() {
    let (mut builder, mut files, mut out) = (LogBuilder::new(), Files::default(), Vec::new());
    for index in 0..9 {
        let text = if index == 5 {
            b"rewritten".to_vec()
        } else {
            entry(index)
        };
        builder.push(&text, &mut out).unwrap();
        if index == 6 {
            let fork = AddCheckpoint {
                old_size: 7,
                proof: vec![],
                checkpoint: signed(&builder),
            };
            let refused = witness().add_checkpoint(&seen(7), &fork, TIME).unwrap_err();
            assert!(
                matches!(refused, Refused::Forked { size: 7, .. }),
                "{refused}"
            );
            assert_eq!(refused.status(), 409);
        }
    }
    builder.publish(&mut out);
    files.write(&mut out);
    let proof = Tree::new(&files, 9).prove_consistency(7, 9).unwrap();
    let fork = AddCheckpoint {
        old_size: 7,
        proof,
        checkpoint: signed(&builder),
    };
    assert_eq!(status(&seen(7), &fork), 422);
    // The older copy itself: its size is behind what was seen.
    assert_eq!(status(&seen(7), &request(5, 5)), 409);
}

#[test]
fn a_bad_proof_is_422() {
    let good = request(3, 9);
    witness().add_checkpoint(&seen(3), &good, TIME).unwrap();
    for proof in [
        vec![],
        good.proof[1..].to_vec(),
        vec![leaf_hash(b"x"); good.proof.len()],
    ] {
        assert_eq!(
            status(
                &seen(3),
                &AddCheckpoint {
                    proof,
                    ..good.clone()
                }
            ),
            422
        );
    }
    // From nothing, a proof must be empty.
    let proof = vec![leaf_hash(b"x")];
    assert_eq!(
        status(
            &WitnessState::default(),
            &AddCheckpoint {
                proof,
                ..request(0, 9)
            }
        ),
        422
    );
}

#[test]
fn requests_read_back_and_damaged_ones_are_400() {
    let request = request(3, 300);
    let body = request.to_string();
    assert!(body.starts_with("old 3\n"));
    assert_eq!(AddCheckpoint::parse(body.as_bytes()).unwrap(), request);
    let too_many = format!("old 3\n{}{body}", &body[6..51].repeat(64));
    for bad in [
        String::new(),
        body.replacen("old 3", "old 03", 1),
        body.replacen("old 3", "new 3", 1),
        body.replacen("old 3\n", "old 3\nAAAA\n", 1),
        body.replacen("\n\n", "\n", 1),
        too_many,
    ] {
        let refused = AddCheckpoint::parse(bad.as_bytes()).unwrap_err();
        assert_eq!(refused.status(), 400, "{bad}");
    }
}

#[test]
fn every_pair_of_published_checkpoints_is_consistent() {
    let sizes = [1, 3, 200, 256, 300, 513];
    let (_, files) = build_published(513, &sizes);
    for (i, new) in sizes.iter().enumerate() {
        for old in &sizes[..i] {
            witness()
                .add_checkpoint(
                    &seen(*old),
                    &AddCheckpoint {
                        old_size: *old,
                        proof: Tree::new(&files, *new)
                            .prove_consistency(*old, *new)
                            .unwrap(),
                        checkpoint: signed(&build(*new).0),
                    },
                    TIME,
                )
                .unwrap();
        }
    }
}
