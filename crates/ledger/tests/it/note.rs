//! Keys, signed notes and checkpoints.

use ledger::note::{SIGNATURES_MAX, Signature};
use ledger::{Checkpoint, Digest, Note, NoteError, SigningKey, VerifyingKey};
use proptest::prelude::*;

use crate::support::{ORIGIN, log_key, seed};

fn key(name: &str, first: u8) -> SigningKey {
    SigningKey::from_seed(name, &seed(first)).unwrap()
}

fn signed(text: &str, keys: &[&SigningKey]) -> Note {
    let mut note = Note::new(text.to_owned()).unwrap();
    for key in keys {
        note.push(key.sign(text));
    }
    note
}

fn verifying(keys: &[&SigningKey]) -> Vec<VerifyingKey> {
    keys.iter().map(|key| key.verifying_key().clone()).collect()
}

#[test]
fn a_vkey_is_split_at_the_first_two_plus_signs_only() {
    // Some seed gives a key whose base64 has a plus sign in it.
    let with_plus = (0..=200)
        .map(|first| key("a.example/log", first).verifying_key().clone())
        .find(|key| key.to_string().matches('+').count() > 2)
        .unwrap();
    assert_eq!(
        with_plus.to_string().parse::<VerifyingKey>().unwrap(),
        with_plus
    );
}

#[test]
fn keys_that_are_none_are_refused() {
    let vkey = log_key().verifying_key().to_string();
    let id_changed = vkey.replacen("99489fed", "99489fee", 1);
    let name_changed = vkey.replacen("ledger", "Ledger", 1);
    for bad in [
        "",
        "a",
        "a+b",
        "a+b+!",
        "a b+00000000+AQ==",
        "+99489fed+AQ==",
        &id_changed,
        &name_changed,
    ] {
        assert!(bad.parse::<VerifyingKey>().is_err(), "{bad}");
    }
    // ECDSA, and a key of 31 bytes.
    for material in ["AgAAAA==", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
        let error = format!("a+00000000+{material}")
            .parse::<VerifyingKey>()
            .unwrap_err();
        assert!(matches!(error, NoteError::Vkey { .. }), "{error}");
    }
    for name in ["", "a b", "a+b", "a\u{2003}b", "a\nb"] {
        let error = SigningKey::from_seed(name, &seed(0)).unwrap_err();
        assert!(matches!(error, NoteError::KeyName { .. }), "{name:?}");
    }
}

#[test]
fn a_private_key_is_the_text_that_go_writes_and_never_shows_itself() {
    let key = log_key();
    let encoded = key.encode();
    assert_eq!(
        **encoded,
        *"PRIVATE+KEY+ledger.example/decisions+99489fed+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
    );
    let read = SigningKey::parse(&format!("{}\n", *encoded)).unwrap();
    assert_eq!(read.verifying_key(), key.verifying_key());
    let shown = format!("{key:?}");
    assert!(
        shown.contains("hidden") && !shown.contains("AQABAgME"),
        "{shown}"
    );
    for bad in [
        "",
        "PRIVATE+KEY+a",
        &encoded.replace("99489fed", "00000000"),
        &encoded.replace("+AQAB", "+BAAB"),
        &encoded[..encoded.len() - 4],
    ] {
        let error = SigningKey::parse(bad).unwrap_err();
        assert!(matches!(error, NoteError::PrivateKey { .. }), "{bad}");
        assert!(!error.to_string().contains("AgMEBQYHCAkKCwwN"), "{error}");
    }
}

#[test]
fn a_text_may_hold_empty_lines() {
    let key = log_key();
    let note = signed("one\n\n\u{2014} two\n\nthree\n", &[&key]);
    let read = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(read, note);
    assert_eq!(read.text(), "one\n\n\u{2014} two\n\nthree\n");
    assert_eq!(read.verify(&verifying(&[&key])).unwrap().len(), 1);
}

#[test]
fn unknown_keys_are_ignored_and_a_bad_known_one_spoils_the_note() {
    let (a, b, other) = (
        key("a.example", 1),
        key("b.example", 2),
        key("c.example", 3),
    );
    let note = signed("text\n", &[&other, &a, &a, &b]);
    let both = verifying(&[&a, &b]);
    let signers: Vec<_> = note
        .verify(&both)
        .unwrap()
        .iter()
        .map(|v| v.key.name().to_owned())
        .collect();
    assert_eq!(signers, ["a.example", "b.example"]);
    // Same name with another key, same key with another name: both unknown.
    let strangers = verifying(&[&key("a.example", 9), &key("z.example", 1)]);
    let error = note.verify(&strangers).unwrap_err();
    assert!(
        error.to_string().contains("`c.example`, `a.example`"),
        "{error}"
    );
    assert!(error.hint().is_some());
    // One bit of the signature of `b`.
    let mut bad = signed("text\n", &[&a]);
    let mut line = b.sign("text\n");
    line.bytes[5] ^= 1;
    bad.push(line);
    assert!(
        matches!(bad.verify(&both), Err(NoteError::BadSignature { name, .. }) if name == "b.example")
    );
    assert_eq!(bad.verify(&both[..1]).unwrap().len(), 1);
    // Another text under the same signature.
    let mut moved = Note::new("texT\n".into()).unwrap();
    moved.push(a.sign("text\n"));
    assert!(matches!(
        moved.verify(&both),
        Err(NoteError::BadSignature { .. })
    ));
}

#[test]
fn sixteen_signatures_and_more_are_accepted() {
    let keys: Vec<_> = (0..40).map(|i| key(&format!("k{i}.example"), i)).collect();
    let note = signed("text\n", &keys.iter().collect::<Vec<_>>());
    let read = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(
        read.verify(&verifying(&keys.iter().collect::<Vec<_>>()))
            .unwrap()
            .len(),
        40
    );
    let mut many = Note::new("text\n".into()).unwrap();
    for _ in 0..=SIGNATURES_MAX {
        many.push(keys[0].sign("text\n"));
    }
    assert!(Note::parse(many.to_string().as_bytes()).is_err());
}

#[test]
fn bytes_that_are_no_note_are_refused() {
    let good = signed("text\n", &[&log_key()]).to_string();
    Note::parse(good.as_bytes()).unwrap();
    let without_end = good.trim_end().to_owned();
    let with_tab = good.replace("text", "te\txt");
    let with_return = good.replace('\n', "\r\n");
    let with_hyphen = good.replace('\u{2014}', "-");
    let with_word = good.replace("\n\u{2014}", "\nword \u{2014}");
    let unpadded = good.replace('=', "");
    let short = "text\n\n\u{2014} a AAAAAA==\n".to_owned();
    for bad in [
        String::new(),
        "text\n".into(),
        "text\n\n".into(),
        without_end,
        with_tab,
        with_return,
        with_hyphen,
        with_word,
        unpadded,
        short,
        format!("{good}\n"),
        good.replace("\n\n", "\n"),
    ] {
        assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(Note::parse(b"te\xfft\n\n\xe2\x80\x94 a AAAAAAA=\n").is_err());
    assert!(Note::new("no newline".into()).is_err());
    assert!(Note::parse(&vec![b'a'; 1_000_001]).is_err());
}

#[test]
fn checkpoints_are_exactly_three_lines() {
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let good = format!("a.example\n12\n{root}\n");
    let checkpoint = Checkpoint::parse(&good).unwrap();
    assert_eq!(
        (checkpoint.origin.as_str(), checkpoint.size),
        ("a.example", 12)
    );
    assert_eq!(checkpoint.to_string(), good);
    for (line, bad) in [
        (1, format!("\n12\n{root}\n")),
        (2, "a.example\n".to_owned()),
        (2, format!("a.example\n012\n{root}\n")),
        (2, format!("a.example\n+12\n{root}\n")),
        (2, format!("a.example\n-1\n{root}\n")),
        (2, format!("a.example\n9223372036854775808\n{root}\n")),
        (2, format!("a.example\n\n{root}\n")),
        (3, "a.example\n12\n".to_owned()),
        (3, format!("a.example\n12\n{root}")),
        (3, format!("a.example\n12\n{}\n", &root[4..])),
        (3, format!("a.example\n12\n{}\n", root.replace('=', ""))),
        (4, format!("a.example\n12\n{root}\n\n")),
        (4, format!("a.example\n12\n{root}\nextension\n")),
    ] {
        match Checkpoint::parse(&bad) {
            Err(NoteError::Checkpoint { line: found, .. }) => assert_eq!(found, line, "{bad:?}"),
            other => panic!("{bad:?}: {other:?}"),
        }
    }
    let spaced = Checkpoint {
        origin: "a b".into(),
        size: 0,
        root: Digest::default(),
    };
    assert!(spaced.sign(&[]).is_err());
}

#[test]
fn a_checkpoint_needs_the_signature_of_its_own_log() {
    let (log, other) = (log_key(), key("other.example", 7));
    let checkpoint = Checkpoint {
        origin: ORIGIN.into(),
        size: 0,
        root: ledger::digest::sha256(b""),
    };
    let by_other = checkpoint.sign(&[&other]).unwrap().to_string();
    let keys = verifying(&[&log, &other]);
    let error = Checkpoint::open(by_other.as_bytes(), &keys).unwrap_err();
    assert!(matches!(error, NoteError::Origin { .. }), "{error}");
    let by_both = checkpoint.sign(&[&other, &log]).unwrap().to_string();
    assert_eq!(
        Checkpoint::open(by_both.as_bytes(), &keys).unwrap().0,
        checkpoint
    );
}

/// Key rotation: old and new key sign for an overlap, and a reader with either is content.
#[test]
fn a_checkpoint_may_carry_the_old_and_the_new_key_of_its_log() {
    let (old, new) = (log_key(), key(ORIGIN, 99));
    let checkpoint = Checkpoint {
        origin: ORIGIN.into(),
        size: 0,
        root: ledger::digest::sha256(b""),
    };
    let bytes = checkpoint.sign(&[&old, &new]).unwrap().to_string();
    for key in [&old, &new] {
        Checkpoint::open(bytes.as_bytes(), &verifying(&[key])).unwrap();
    }
    assert_ne!(old.verifying_key().id(), new.verifying_key().id());
}

proptest! {
    #[test]
    fn any_change_of_a_byte_is_noticed(at in 0..1000usize, bit in 0..8u8) {
        let key = log_key();
        let note = signed("ledger.example/decisions\n5\ntext\n", &[&key]).to_string();
        let mut bytes = note.into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let verified = Note::parse(&bytes).and_then(|note| {
            note.verify(&verifying(&[&key])).map(|verified| verified.len())
        });
        prop_assert!(verified.is_err());
    }

    #[test]
    fn what_is_no_note_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes);
        }
    }

    #[test]
    fn notes_read_back(text in "[ -~\n]{0,60}\n", count in 1..4u8) {
        let keys: Vec<_> = (0..count).map(|i| key("a.example", i)).collect();
        let note = signed(&text, &keys.iter().collect::<Vec<_>>());
        prop_assert_eq!(&Note::parse(note.to_string().as_bytes()).unwrap(), &note);
        for signature in note.signatures() {
            prop_assert_eq!(&Signature::parse(&signature.to_string()).unwrap(), signature);
        }
    }
}
