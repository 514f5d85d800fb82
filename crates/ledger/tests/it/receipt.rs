//! COSE Receipts of inclusion.

use ciborium::Value;
use ledger::key::VerifyingKey;
use ledger::receipt::{RECEIPT_LEN_MAX, Receipt, ReceiptError};
use ledger::{Checkpoint, SigningKey, Tree};

use crate::support::{Files, ORIGIN, build, checkpoint, entry, log_key, seed};

const SUBJECT: &str = "ledger.example/d/12345";

fn log(size: u64) -> (Tree<Files>, Checkpoint) {
    let (builder, files) = build(size);
    (Tree::new(files, size), checkpoint(&builder))
}

fn issue(size: u64, index: u64) -> Receipt {
    let (tree, checkpoint) = log(size);
    Receipt::issue(&tree, &checkpoint, index, SUBJECT, &log_key()).unwrap()
}

fn keys() -> Vec<VerifyingKey> {
    vec![log_key().verifying_key().clone()]
}

fn problem(bytes: &[u8]) -> &'static str {
    match Receipt::parse(bytes) {
        Err(ReceiptError::Malformed { problem }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_receipt_with_17_hashes_has_735_bytes_in_the_order_of_the_specification() {
    let receipt = issue(70_000, 12_345);
    assert_eq!(receipt.path.len(), 17);
    // Written by hand from RFC 9942 and RFC 9052, without a CBOR library.
    let mut expected = vec![0xd2, 0x84, 0x58, 66, 0xa4, 0x01, 0x27, 0x04, 0x44];
    expected.extend([0x99, 0x48, 0x9f, 0xed, 0x0f, 0xa2, 0x01, 0x78, 24]);
    expected.extend(ORIGIN.as_bytes());
    expected.extend([0x02, 0x76]);
    expected.extend(SUBJECT.as_bytes());
    expected.extend([0x19, 0x01, 0x8b, 0x01]);
    expected.extend([0xa1, 0x19, 0x01, 0x8c, 0xa1, 0x20, 0x81, 0x59, 0x02, 0x4c]);
    expected.extend([0x83, 0x1a, 0x00, 0x01, 0x11, 0x70, 0x19, 0x30, 0x39, 0x91]);
    for hash in &receipt.path {
        expected.extend([0x58, 32]);
        expected.extend(hash.0);
    }
    expected.extend([0xf6, 0x58, 64]);
    expected.extend(receipt.signature);
    assert_eq!(receipt.encode(), expected);
    assert_eq!(expected.len(), 735);
}

#[test]
fn a_receipt_is_checked_with_the_entry_and_the_key_alone() {
    for (size, indices) in [(1, &[0][..]), (2, &[0, 1]), (600, &[0, 255, 256, 599])] {
        let (tree, checkpoint) = log(size);
        for &index in indices {
            let issued = Receipt::issue(&tree, &checkpoint, index, "run/7", &log_key()).unwrap();
            let receipt = Receipt::parse(&issued.encode()).unwrap();
            assert_eq!(receipt, issued);
            assert_eq!((receipt.index, receipt.subject.as_str()), (index, "run/7"));
            assert_eq!(
                receipt.verify(&entry(index), &keys()).unwrap(),
                checkpoint.root
            );
            let other = receipt.verify(&entry(index + 1), &keys());
            assert!(matches!(other, Err(ReceiptError::BadSignature { .. })));
        }
    }
}

#[test]
fn a_receipt_holds_for_what_it_says_and_nothing_else() {
    let good = issue(600, 300);
    let refused = |change: fn(&mut Receipt)| {
        let mut receipt = good.clone();
        change(&mut receipt);
        let receipt = Receipt::parse(&receipt.encode()).unwrap();
        receipt.verify(&entry(300), &keys()).unwrap_err()
    };
    for change in [
        (|r| r.subject.push('6')) as fn(&mut Receipt),
        |r| r.index = 301,
        |r| r.path[3].0[0] ^= 1,
        |r| r.signature[10] ^= 1,
    ] {
        assert!(matches!(refused(change), ReceiptError::BadSignature { .. }));
    }
    for change in [
        (|r| r.size = 300) as fn(&mut Receipt),
        |r| r.size = 1200,
        |r| r.path.truncate(9),
        |r| r.path.push(r.path[0]),
    ] {
        assert!(matches!(refused(change), ReceiptError::Inclusion(_)));
    }
    for change in [
        (|r| r.issuer = "other.example".into()) as fn(&mut Receipt),
        |r| r.key_id.0[0] ^= 1,
    ] {
        assert!(matches!(refused(change), ReceiptError::UnknownKey { .. }));
    }
}

#[test]
fn only_the_key_that_signed_is_believed() {
    let receipt = issue(5, 2);
    let stranger = SigningKey::from_seed(ORIGIN, &seed(9)).unwrap();
    let stranger = stranger.verifying_key().clone();
    let error = receipt.verify(&entry(2), std::slice::from_ref(&stranger));
    assert_eq!(
        error.unwrap_err().to_string(),
        "no trusted key is called `ledger.example/decisions` and has the id `99489fed`"
    );
    assert!(receipt.verify(&entry(2), &[]).is_err());
    // The id is not what makes a key: one that names the stranger's is not signed by the stranger.
    let renamed = Receipt {
        key_id: stranger.id(),
        ..receipt.clone()
    };
    let error = renamed
        .verify(&entry(2), std::slice::from_ref(&stranger))
        .unwrap_err();
    assert!(matches!(error, ReceiptError::BadSignature { .. }));
    let both = [stranger, log_key().verifying_key().clone()];
    assert_eq!(receipt.verify(&entry(2), &both).unwrap(), log(5).1.root);
}

#[test]
fn nothing_is_signed_that_no_checkpoint_says() {
    let (tree, good) = log(600);
    let refused = |checkpoint: &Checkpoint, index, subject: &str| {
        Receipt::issue(&tree, checkpoint, index, subject, &log_key()).unwrap_err()
    };
    let mut other = good.clone();
    other.root.0[0] ^= 1;
    assert!(matches!(
        refused(&other, 1, SUBJECT),
        ReceiptError::Inclusion(_)
    ));
    let mut other = good.clone();
    other.origin = "other.example".into();
    assert!(matches!(
        refused(&other, 1, SUBJECT),
        ReceiptError::OtherLog { .. }
    ));
    let mut other = good.clone();
    other.size = 601;
    assert!(matches!(refused(&other, 1, SUBJECT), ReceiptError::Tile(_)));
    assert!(matches!(
        refused(&good, 600, SUBJECT),
        ReceiptError::Tile(_)
    ));
    assert!(matches!(refused(&good, 1, ""), ReceiptError::NoSubject));
    let long = "s".repeat(RECEIPT_LEN_MAX);
    assert!(matches!(
        refused(&good, 1, &long),
        ReceiptError::TooLong { .. }
    ));
}

#[test]
fn any_changed_or_missing_bit_of_a_receipt_is_noticed() {
    let (good, (_, checkpoint)) = (issue(5, 2), log(5));
    let bytes = good.encode();
    // The size is beside the signature: what was read is held against the checkpoint as well.
    let accepted = |bytes: &[u8]| {
        let Ok(receipt) = Receipt::parse(bytes) else {
            return false;
        };
        receipt
            .verify(&entry(2), &keys())
            .is_ok_and(|root| (receipt.size, root) == (checkpoint.size, checkpoint.root))
    };
    assert!(accepted(&bytes));
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepted(&bytes), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(!accepted(&bytes[..len]), "{len} bytes");
    }
    assert!(!accepted(&[&bytes[..], &[0]].concat()));
}

#[test]
fn size_and_index_are_not_signed_but_the_root_is() {
    let good = issue(5, 4);
    let moved = Receipt {
        size: 2,
        index: 1,
        ..good.clone()
    };
    let root = moved.verify(&entry(4), &keys()).unwrap();
    assert_eq!(root, log(5).1.root);
    assert_ne!(root, log(2).1.root);
}

/// Takes the four parts of a good receipt and returns the bytes that `change` makes of them.
fn changed(change: impl FnOnce(&mut Vec<Value>)) -> Vec<u8> {
    let value: Value = ciborium::from_reader(&issue(5, 2).encode()[..]).unwrap();
    let Value::Tag(tag, message) = value else {
        panic!("{value:?}")
    };
    let mut parts = message.into_array().unwrap();
    change(&mut parts);
    written(&Value::Tag(tag, Box::new(Value::Array(parts))))
}

fn written(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn header(change: impl FnOnce(&mut Vec<(Value, Value)>)) -> Vec<u8> {
    changed(|parts| {
        let protected: Value = ciborium::from_reader(&parts[0].as_bytes().unwrap()[..]).unwrap();
        let mut fields = protected.into_map().unwrap();
        change(&mut fields);
        parts[0] = Value::Bytes(written(&Value::Map(fields)));
    })
}

#[test]
fn what_is_not_the_one_encoding_of_a_receipt_is_refused() {
    let good = issue(5, 2).encode();
    assert_eq!(changed(|_| ()), good);
    assert_eq!(header(|_| ()), good);
    let message = "is not a signed message without payload";
    for bad in [
        Vec::new(),
        b"c2sp.org/tlog-proof@v1\n".to_vec(),
        good[1..].to_vec(),
        [&[0xd1], &good[1..]].concat(),
        changed(|parts| parts[2] = Value::Bytes(vec![0; 32])),
        changed(|parts| parts[3] = Value::Bytes(vec![0; 63])),
        changed(|parts| parts[1] = Value::Map(Vec::new())),
        changed(|parts| parts.truncate(3)),
        // An array of 2^63 entries, and arrays within arrays.
        vec![0x9b, 0x80, 0, 0, 0, 0, 0, 0, 0],
        vec![0x81; 9000],
    ] {
        assert_eq!(problem(&bad), message, "{bad:02x?}");
    }
    assert_eq!(problem(&[0; RECEIPT_LEN_MAX + 1]), "is too long");

    let names = "does not name its key, issuer and subject";
    for bad in [
        header(Vec::clear),
        header(|fields| drop(fields.remove(1))),
        header(|fields| drop(fields.remove(2))),
        header(|fields| fields[1].1 = Value::Bytes(vec![0; 5])),
        header(|fields| fields[2].1 = Value::Map(vec![(1.into(), ORIGIN.into())])),
    ] {
        assert_eq!(problem(&bad), names, "{bad:02x?}");
    }
    let empty = Receipt {
        subject: String::new(),
        ..issue(5, 2)
    };
    assert_eq!(problem(&empty.encode()), "has an empty subject");

    let proof = "does not hold one proof of inclusion";
    let proofs = |proofs: Value| changed(|parts| parts[1] = Value::Map(vec![(396.into(), proofs)]));
    let mut long = issue(5, 2);
    long.path = vec![long.path[0]; 64];
    for bad in [
        proofs(Value::Map(Vec::new())),
        proofs(Value::Map(vec![((-1).into(), Value::Array(Vec::new()))])),
        proofs(Value::Map(vec![((-2).into(), Value::Array(Vec::new()))])),
        proofs(Value::Map(vec![(
            (-1).into(),
            Value::Array(vec![Value::Bytes(vec![0x83, 0x05, 0x20, 0x80])]),
        )])),
        long.encode(),
    ] {
        assert_eq!(problem(&bad), proof, "{bad:02x?}");
    }

    let other = "has other headers than ours have, or another encoding of them";
    for bad in [
        [&good[..], &[0]].concat(),
        // The same message in an array without a stated length.
        [&[0xd2, 0x9f], &good[2..], &[0xff]].concat(),
        header(|fields| fields[0].1 = (-7).into()),
        header(|fields| fields[3].1 = 2.into()),
        header(|fields| fields.swap(0, 1)),
        header(|fields| fields.push(fields[1].clone())),
        // A critical header that nobody here understands (RFC 9052 section 3.1).
        header(|fields| fields.insert(1, (2.into(), Value::Array(vec![99.into()])))),
        changed(|parts| {
            let unprotected = parts[1].as_map_mut().unwrap();
            unprotected.push((4.into(), Value::Bytes(vec![1])));
        }),
    ] {
        assert_eq!(problem(&bad), other, "{bad:02x?}");
    }
}

#[test]
fn the_public_key_is_written_as_a_pem_file() {
    // Example of RFC 8410 section 10.1.
    let public = [
        0x19, 0xbf, 0x44, 0x09, 0x69, 0x84, 0xcd, 0xfe, 0x85, 0x41, 0xba, 0xc1, 0x67, 0xdc, 0x3b,
        0x96, 0xc8, 0x50, 0x86, 0xaa, 0x30, 0xb6, 0xb6, 0xcb, 0x0c, 0x5c, 0x38, 0xad, 0x70, 0x31,
        0x66, 0xe1,
    ];
    let key = VerifyingKey::new(ledger::key::KeyKind::Note, "example", public).unwrap();
    assert_eq!(
        key.pem(),
        "-----BEGIN PUBLIC KEY-----\n\
         MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
         -----END PUBLIC KEY-----\n"
    );
}
