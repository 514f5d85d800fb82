//! Proof files and trust policies.

use ledger::cosign::WitnessKey;
use ledger::policy::{Policy, PolicyError};
use ledger::proof::{TlogProof, TlogProofError};
use ledger::{Note, SigningKey};
use proptest::prelude::*;

use crate::support::{ORIGIN, build, checkpoint, entry, log_key, seed};

fn signed() -> Note {
    checkpoint(&build(600).0).sign(&[&log_key()]).unwrap()
}

fn proof(index: u64) -> TlogProof {
    TlogProof::build(&build(600).1, 600, index, signed()).unwrap()
}

fn witness(number: u8) -> WitnessKey {
    WitnessKey::from_seed(&format!("witness.example/w{number}"), &seed(0x20 + number)).unwrap()
}

fn cosigned(by: &[u8]) -> Note {
    let mut note = signed();
    for number in by {
        let line = witness(*number).cosign(note.text(), 1_767_225_600);
        note.push(line);
    }
    note
}

#[test]
fn c59_one_entry_is_proven_without_the_others() {
    let keys = [log_key().verifying_key().clone()];
    for index in [0, 255, 256, 599] {
        let proof = proof(index);
        let text = proof.to_string();
        assert!(
            text.starts_with(&format!("c2sp.org/tlog-proof@v1\nindex {index}\n")),
            "{text}"
        );
        let read = TlogProof::parse(text.as_bytes()).unwrap();
        assert_eq!(read, proof);
        assert_eq!(read.verify(&entry(index), &keys).unwrap().size, 600);
        let wrong = read.verify(&entry(index + 1), &keys).unwrap_err();
        assert!(matches!(wrong, TlogProofError::Inclusion(_)), "{wrong}");
        let moved = TlogProof {
            index: (index + 1) % 600,
            ..read.clone()
        };
        moved.verify(&entry(index), &keys).unwrap_err();
        let stranger = SigningKey::from_seed(ORIGIN, &seed(9)).unwrap();
        let unknown = read.verify(&entry(index), &[stranger.verifying_key().clone()]);
        assert!(matches!(unknown, Err(TlogProofError::Checkpoint(_))));
    }
    assert!(TlogProof::build(&build(600).1, 600, 600, signed()).is_err());
}

#[test]
fn extra_data_travels_along() {
    let proof = TlogProof {
        extra: Some(b"name of the file".to_vec()),
        ..proof(3)
    };
    assert_eq!(
        TlogProof::parse(proof.to_string().as_bytes()).unwrap(),
        proof
    );
}

#[test]
fn damaged_proof_files_are_refused_with_their_line() {
    let good = proof(3).to_string();
    let hash = good.lines().nth(2).unwrap().to_owned();
    for (line, bad) in [
        (1, String::new()),
        (1, good.replace("@v1", "@v2")),
        (2, good.replace("index 3", "index 03")),
        (2, good.replace("index 3\n", "")),
        (2, good.replace("index 3", "extra !\nindex 3")),
        (3, good.replace(&hash, &hash[4..])),
        (3, good.replace("index 3", "index 3\nindex 3")),
        (66, good.replace(&hash, &[hash.as_str(); 64].join("\n"))),
    ] {
        match TlogProof::parse(bad.as_bytes()) {
            Err(TlogProofError::Malformed { line: found, .. }) => assert_eq!(found, line, "{bad}"),
            other => panic!("{bad}: {other:?}"),
        }
    }
}

fn policy(rest: &str) -> Result<Policy, PolicyError> {
    let mut text = format!("# A comment.\n\nlog {}\n", log_key().verifying_key());
    for number in 1..=4 {
        let key = witness(number);
        text += &format!(
            "witness W{number}\t {} https://w{number}.example\n",
            key.verifying_key()
        );
    }
    Policy::parse(&format!("{text}{rest}\n"))
}

#[test]
fn quorums_count_as_the_policy_says() {
    let two_levels = "group X 2 W1 W2 W3\ngroup Y any W4\ngroup both all X Y\nquorum both";
    for (rest, by, good) in [
        ("quorum none", &[][..], true),
        ("quorum W2", &[1, 2], true),
        ("quorum W2", &[1, 3], false),
        ("group any any W1 W2\nquorum any", &[2], true),
        ("group any any W1 W2\nquorum any", &[3], false),
        ("group all all W1 W2\nquorum all", &[1, 2], true),
        ("group all all W1 W2\nquorum all", &[1], false),
        (two_levels, &[1, 3, 4], true),
        (two_levels, &[1, 2, 3], false),
        (two_levels, &[1, 4], false),
        // The same witness twice is one witness.
        ("group G 2 W1 W2\nquorum G", &[1, 1], false),
    ] {
        let checked = policy(rest).unwrap().check(&cosigned(by));
        assert_eq!(checked.is_ok(), good, "{rest} {by:?}: {checked:?}");
        if !good {
            assert!(matches!(checked, Err(PolicyError::NoQuorum { .. })));
        }
    }
    let error = policy("quorum W2")
        .unwrap()
        .check(&cosigned(&[1, 3]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the quorum `W2` is not met; witnesses that signed: W1, W3"
    );
}

#[test]
fn a_policy_accepts_its_own_logs_only() {
    let policy = policy("quorum none").unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (1, 4));
    let other = SigningKey::from_seed("other.example", &seed(5)).unwrap();
    let mut foreign = checkpoint(&build(5).0);
    assert!(policy.check(&foreign.sign(&[&log_key()]).unwrap()).is_ok());
    foreign.origin = "other.example".into();
    for keys in [&[&other][..], &[&other, &log_key()]] {
        let checked = policy.check(&foreign.sign(keys).unwrap());
        assert!(
            matches!(checked, Err(PolicyError::NoLog { .. })),
            "{checked:?}"
        );
    }
    let mut bad = cosigned(&[]);
    let mut line = witness(1).cosign(bad.text(), 1);
    line.bytes[20] ^= 1;
    bad.push(line);
    assert!(matches!(policy.check(&bad), Err(PolicyError::Note(_))));
    let proven = proof(7).verify_by_policy(&entry(7), &policy).unwrap();
    assert_eq!(proven.size, 600);
}

#[test]
fn policies_that_are_none_are_refused_with_their_line() {
    let again = format!("witness W5 {}\nquorum none", witness(1).verifying_key());
    let wrong_kind = format!("witness W5 {}\nquorum none", log_key().verifying_key());
    for (line, bad) in [
        (9, ""),
        (8, "quorum W9"),
        (9, "quorum none\nquorum none"),
        (8, "group G any\nquorum G"),
        (8, "group G 0 W1\nquorum G"),
        (8, "group G 2 W1\nquorum G"),
        (8, "group G 02 W1 W2\nquorum G"),
        (8, "group W1 any W2\nquorum W1"),
        (8, "group none any W2\nquorum none"),
        (8, "group G any none\nquorum G"),
        (8, "group G any G\nquorum G"),
        (9, "group G any W1\ngroup H any W1\nquorum H"),
        (8, "group G any W1 W1\nquorum G"),
        (8, "quorum none extra"),
        (8, "trust everybody"),
        (8, "quorum none\u{b}"),
        (8, "log nonsense"),
        (8, &again),
        (8, &wrong_kind),
    ] {
        match policy(bad) {
            Err(PolicyError::Malformed { line: found, .. }) if found == line => {}
            other => panic!("{bad:?}: {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn any_change_of_a_byte_of_a_proof_is_noticed(at in any::<prop::sample::Index>(), bit in 0..7u8) {
        let (_, files) = build(5);
        let note = checkpoint(&build(5).0).sign(&[&log_key()]).unwrap();
        let proof = TlogProof::build(&files, 5, 2, note).unwrap();
        let mut bytes = proof.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let keys = [log_key().verifying_key().clone()];
        let verified = TlogProof::parse(&bytes).and_then(|proof| proof.verify(b"entry-2", &keys));
        prop_assert!(verified.is_err());
    }

    #[test]
    fn policies_never_panic(text in "((log|witness|group|quorum|#|none|all|any|2|a|b)[ \t\n]){0,30}") {
        let _ = Policy::parse(&text);
    }
}
