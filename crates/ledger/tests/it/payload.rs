//! Sealed payloads and the randomness they need.

use std::collections::HashSet;

use ledger::digest::{hmac_sha256, sha256};
use ledger::entropy::{Entropy, SeededEntropy, SystemEntropy, draw};
use ledger::payload::{FieldIn, PayloadError, Sealer, SubjectKey, open, verify_field};
use proptest::prelude::*;

const EVENT: &[u8] = b"0123456789abcdef";

fn key(byte: u8) -> SubjectKey {
    SubjectKey::from_bytes(&[byte; 32])
}

fn field<'a>(role: &'a str, bytes: &'a [u8]) -> FieldIn<'a> {
    FieldIn {
        role,
        media: "text/plain",
        bytes,
        salt: [role.len() as u8; 16],
    }
}

#[test]
fn what_is_sealed_opens_again_with_its_salts() {
    let long = b"the same words again and again; ".repeat(100);
    let fields = [
        field("prompt", b"hello"),
        field("", b""),
        field("result", &long),
    ];
    let sealed = Sealer::new()
        .seal(&key(1), [2; 12], EVENT, &fields)
        .unwrap();
    assert_eq!(sealed.ct, sha256(&sealed.ciphertext));
    assert_eq!(sealed.len, sealed.ciphertext.len() as u64);
    let opened = open(&key(1), EVENT, &sealed.ciphertext).unwrap();
    for ((field, opened), sealed) in fields.iter().zip(&opened).zip(&sealed.fields) {
        assert_eq!(
            (field.role, field.media),
            (opened.role.as_str(), opened.media.as_str())
        );
        assert_eq!(
            (field.bytes, field.salt),
            (opened.bytes.as_slice(), opened.salt)
        );
        assert_eq!(
            (sealed.role.as_str(), sealed.len),
            (field.role, field.bytes.len() as u64)
        );
        assert_eq!(sealed.com, hmac_sha256(&field.salt, field.bytes));
        assert!(verify_field(&opened.salt, &opened.bytes, &sealed.com));
        assert!(!verify_field(&[9; 16], &opened.bytes, &sealed.com));
        assert!(!verify_field(&opened.salt, b"another", &sealed.com));
    }
}

/// The format, pinned: a change of any byte is a new version.
#[test]
fn the_sealed_bytes_are_those_of_the_documentation() {
    let fields = [FieldIn {
        role: "r",
        media: "m/m",
        bytes: b"abc",
        salt: [7; 16],
    }];
    let sealed = Sealer::new()
        .seal(&key(1), [2; 12], EVENT, &fields)
        .unwrap();
    let plain = [
        &[0, 0, 1, 1][..],
        b"r",
        &[3],
        b"m/m",
        &[7; 16],
        &[0, 0, 0, 3],
        b"abc",
    ]
    .concat();
    assert_eq!(sealed.ciphertext.len(), 13 + plain.len() + 16);
    assert_eq!(
        sealed.ciphertext[..13],
        [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    );
    // The body, encrypted by another path through the library.
    let key = aws_lc_rs::aead::UnboundKey::new(&aws_lc_rs::aead::AES_256_GCM, &[1; 32]).unwrap();
    let aad = [&[1], EVENT].concat();
    let mut body = plain;
    aws_lc_rs::aead::LessSafeKey::new(key)
        .seal_in_place_append_tag(
            aws_lc_rs::aead::Nonce::assume_unique_for_key([2; 12]),
            aws_lc_rs::aead::Aad::from(aad),
            &mut body,
        )
        .unwrap();
    assert_eq!(sealed.ciphertext[13..], body);
}

#[test]
fn small_fields_are_stored_and_large_ones_compressed() {
    let text = b"words and words and words, ".repeat(100);
    let noise: Vec<u8> = {
        let mut bytes = vec![0; 2_500];
        SeededEntropy::new(1).fill(&mut bytes);
        bytes
    };
    let size = |bytes: &[u8]| {
        let sealed = Sealer::new()
            .seal(&key(1), [0; 12], EVENT, &[field("a", bytes)])
            .unwrap();
        assert_eq!(
            open(&key(1), EVENT, &sealed.ciphertext).unwrap()[0].bytes,
            bytes
        );
        sealed.ciphertext.len()
    };
    let overhead = 13 + 1 + 2 + 1 + 1 + 1 + 10 + 16 + 4 + 16;
    assert!(size(&text) < 200);
    assert_eq!(size(&text[..1_500]), 1_500 + overhead);
    assert_eq!(
        size(&noise),
        2_500 + overhead,
        "what does not shrink is stored"
    );
}

#[test]
fn nothing_opens_with_another_key_or_event_or_any_byte_changed() {
    let sealed = Sealer::new()
        .seal(&key(1), [2; 12], EVENT, &[field("a", b"secret")])
        .unwrap();
    assert_eq!(
        open(&key(2), EVENT, &sealed.ciphertext),
        Err(PayloadError::Closed)
    );
    assert_eq!(
        open(&key(1), b"another", &sealed.ciphertext),
        Err(PayloadError::Closed)
    );
    for at in 0..sealed.ciphertext.len() {
        let mut changed = sealed.ciphertext.clone();
        changed[at] ^= 0x80;
        assert!(open(&key(1), EVENT, &changed).is_err(), "byte {at}");
        assert!(
            open(&key(1), EVENT, &sealed.ciphertext[..at]).is_err(),
            "cut at {at}"
        );
    }
    let mut newer = sealed.ciphertext;
    newer[0] = 2;
    assert_eq!(
        open(&key(1), EVENT, &newer),
        Err(PayloadError::Version { found: 2 })
    );
}

#[test]
fn roles_and_types_that_do_not_fit_are_refused() {
    let long = "r".repeat(256);
    let error = Sealer::new()
        .seal(&key(1), [2; 12], EVENT, &[field(&long, b"")])
        .unwrap_err();
    assert_eq!(error.to_string(), "the role has 256 bytes, more than 255");
    let many = vec![field("a", b""); 65_536];
    assert!(Sealer::new().seal(&key(1), [2; 12], EVENT, &many).is_err());
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let sealed = Sealer::new()
        .seal(&key(1), [2; 12], EVENT, &[field("a", b"secret")])
        .unwrap();
    let opened = open(&key(1), EVENT, &sealed.ciphertext).unwrap();
    let shown = format!(
        "{:?} {sealed:?} {opened:?} {:?}",
        key(1),
        field("a", b"secret")
    );
    assert!(
        !shown.contains("secret") && !shown.contains("115, 101"),
        "{shown}"
    );
    assert!(!shown.contains("1, 1, 1"), "{shown}");
}

#[test]
fn system_randomness_differs_and_seeded_randomness_repeats() {
    let system = SystemEntropy::new();
    let drawn: HashSet<[u8; 16]> = (0..10_000).map(|_| draw(&system)).collect();
    assert_eq!(drawn.len(), 10_000);
    let mut large = vec![0; 5000];
    system.fill(&mut large);
    assert!(
        large
            .chunks(500)
            .all(|chunk| chunk.iter().any(|byte| *byte != 0))
    );
    let shared: &dyn Entropy = &system;
    assert_ne!(
        SubjectKey::generate(shared).as_bytes(),
        SubjectKey::generate(shared).as_bytes()
    );

    let (a, b) = (SeededEntropy::new(7), SeededEntropy::new(7));
    let mut whole = [0; 100];
    a.fill(&mut whole);
    let mut parts = [0; 100];
    for range in [0..1, 1..33, 33..33, 33..100] {
        b.fill(&mut parts[range]);
    }
    assert_eq!(whole, parts);
    assert_ne!(
        draw::<16>(&SeededEntropy::new(8)),
        draw::<16>(&SeededEntropy::new(7))
    );
}

proptest! {
    #[test]
    fn any_fields_open_again(
        contents in prop::collection::vec((".{0,20}", prop::collection::vec(any::<u8>(), 0..600)), 0..5),
        nonce in any::<[u8; 12]>(),
    ) {
        let fields: Vec<_> = contents.iter().map(|(role, bytes)| field(role, bytes)).collect();
        let sealed = Sealer::new().seal(&key(3), nonce, EVENT, &fields).unwrap();
        let opened = open(&key(3), EVENT, &sealed.ciphertext).unwrap();
        prop_assert_eq!(opened.len(), fields.len());
        for (field, opened) in fields.iter().zip(opened) {
            prop_assert_eq!((field.role, field.bytes), (opened.role.as_str(), &opened.bytes[..]));
        }
    }
}
