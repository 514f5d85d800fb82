//! Answers on which independent implementations agree: roots, tiles, proofs, keys and signatures.
//!
//! The entries are `entry-0`, `entry-1`, …; the seed of the log's key counts up from 0, that of
//! the witness from 0x20. The values were computed by programs of other authors.

use base64::Engine;
use ledger::cosign::WitnessKey;
use ledger::digest::{hmac_sha256, sha256, sha256_parts};
use ledger::merkle::{
    Frontier, empty_root, leaf_hash, leaf_hashes, node_hash, verify_consistency, verify_inclusion,
};
use ledger::{Checkpoint, Digest, Tile, Tree, VerifyingKey};

use crate::support::{build, checkpoint, entry, log_key, seed};

const ROOTS: &[(u64, &str)] = &[
    (
        0,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    (
        1,
        "40766b2033429026f53d54502679a839706b4741f8dcaf3a8bba5f41b5ffe075",
    ),
    (
        2,
        "2f27a5082c1d42afa488ac350a9fc4390c084f54f71ecdff859e98db8429b479",
    ),
    (
        3,
        "a64bf26e09128f6fe2fe6f8b2d8c801e166b57c047a7cd9b2b809e7a96a2f1cb",
    ),
    (
        5,
        "1aa68d3074905a581f84cbbd0f753794904fd80451bc4c13e69d9a53bc59502c",
    ),
    (
        7,
        "9139601cc1ca8ab2a7a0c2c134c04845f2b1ba549a83d6c845cfcda439cc585d",
    ),
    (
        8,
        "dfcc13b9b0ca932c68de3d59eaaa8fe266a9c8091c0300e8405ebfeb0d0e5832",
    ),
    (
        255,
        "45da9f374748e17a372f71c00422b12e2bf96842f1f61c5740fe494e4becff0f",
    ),
    (
        256,
        "f85f4ead34080710b4d1e808301543aaab81aa04deb88599350dc26a4f2f58de",
    ),
    (
        257,
        "918b1cec64f317c76e3cf55c0536841c039eff06772ebb8828ce7c176028b5ac",
    ),
    (
        512,
        "c954999acb64f3b754d9d128d79c6da360d8783539ecaa4acfa7f4b4b20eaafd",
    ),
    (
        65536,
        "df2c606d114416fa600bf3495152e09e39e8be3d0e2e5501c352826539abda8e",
    ),
    (
        65537,
        "b63007bf60359bdcbc1d1ef1ed256fe359d2b9d15aba68a3cee30a832f40c79e",
    ),
    (
        70000,
        "a62a54be33294ffd5a5c4c637fd754630b71a892e8356e3a666a5c8a7ffd1518",
    ),
];

const VKEY: &str = "ledger.example/decisions+99489fed+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
const SIGNATURE: &str = "\u{2014} ledger.example/decisions mUif7RbQSXtDp0nRHt9HVNVK3dl3h5KGoLH66z2\
                         +tObMCe+6p4kM54E5hyGcYIV6Aw2tGGUgazE+MMksaBJBXj7MZA4=";
const WITNESS_VKEY: &str =
    "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";
const COSIGNATURE: &str = "\u{2014} witness.example/w1 IDJKvgAAAABpVbkAbph4dPyYm3KmJyB4e4GOVl2V7Rj\
                           aK8Dqr5OBF4T/fpjsDvHeuOavCDtf8lutrEnOHpszV6/mZMcZdfAwzbMTAA==";

fn hex(digest: &str) -> Digest {
    digest.parse().unwrap()
}

fn root(size: u64) -> Digest {
    hex(ROOTS.iter().find(|(known, _)| *known == size).unwrap().1)
}

#[test]
fn the_empty_leaf_and_the_empty_tree_have_their_hashes() {
    assert_eq!(
        leaf_hash(b""),
        hex("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")
    );
    assert_eq!(empty_root(), root(0));
    let empty = Checkpoint {
        origin: "a".into(),
        size: 0,
        root: empty_root(),
    };
    assert_eq!(
        empty.to_string(),
        "a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    );
}

#[test]
fn leaf_hashes_of_every_length_agree_with_the_definition() {
    for length in [
        0, 1, 63, 64, 1000, 1087, 1088, 4095, 4096, 4097, 65_535, 70_000,
    ] {
        let bytes: Vec<u8> = (0..length).map(|i: u32| i.to_le_bytes()[0]).collect();
        let prefixed = [&[0], bytes.as_slice()].concat();
        assert_eq!(leaf_hash(&bytes), sha256(&prefixed), "{length}");
    }
}

#[test]
fn roots_of_every_known_size() {
    let entries: Vec<_> = (0..70_000).map(entry).collect();
    let mut frontier = Frontier::default();
    let mut checked = 0;
    for leaf in [None]
        .into_iter()
        .chain(leaf_hashes(&entries).into_iter().map(Some))
    {
        if let Some(leaf) = leaf {
            frontier.push(leaf);
        }
        if let Some((_, known)) = ROOTS.iter().find(|(size, _)| *size == frontier.size()) {
            assert_eq!(frontier.root(), hex(known), "{}", frontier.size());
            checked += 1;
        }
    }
    assert_eq!(checked, ROOTS.len());
}

#[test]
fn inclusion_of_entry_2_in_5() {
    let path = [
        hex("27479b6ab321d2ee477452f68ba527748e863cafe8fbd1df2bf89d1570d1b697"),
        root(2),
        hex("194bb5a2d5bd10e5d1aa6fd5d42980b356caf1da623cd9987c4bfa2f81771ed7"),
    ];
    let (_, files) = build(5);
    assert_eq!(Tree::new(&files, 5).prove_inclusion(2, 5).unwrap(), path);
    verify_inclusion(&leaf_hash(b"entry-2"), 2, 5, &path, &root(5)).unwrap();
    verify_inclusion(&leaf_hash(b"entry-3"), 2, 5, &path, &root(5)).unwrap_err();
}

#[test]
fn consistency_of_3_with_7() {
    let path = [
        hex("049d7dcdb56bcfebd313304c9839f196a3d4b6ef3bdc0b08298f93ac8191f0a8"),
        hex("27479b6ab321d2ee477452f68ba527748e863cafe8fbd1df2bf89d1570d1b697"),
        root(2),
        hex("e429c5b5ccaa9523c37297f1846766f903137e82195c5199e6be57130d1006c8"),
    ];
    let (_, files) = build(7);
    assert_eq!(Tree::new(&files, 7).prove_consistency(3, 7).unwrap(), path);
    verify_consistency(3, 7, &path, &root(3), &root(7)).unwrap();
    verify_consistency(3, 7, &path, &root(3), &root(8)).unwrap_err();
    verify_consistency(3, 7, &path, &root(2), &root(7)).unwrap_err();
}

#[test]
fn files_of_70000_entries() {
    let (builder, files) = build(70_000);
    assert_eq!(builder.root(), root(70_000));
    for (tile, digest) in [
        (
            Tile::hashes(0, 0, 256),
            "8921c57d2f65271c82bf0f686c002793863c80c8d1cbbbf5db6046ff59e8b590",
        ),
        (
            Tile::hashes(0, 273, 112),
            "41c090f240cc1bbcec93391099da9f3bde6e87927975e789b8f7794061b27f1d",
        ),
        (
            Tile::hashes(1, 0, 256),
            "3f2180f39b716a1f9ba5b330e55deac1781861f2854c705884f31806688285e0",
        ),
        (
            Tile::hashes(1, 1, 17),
            "e7be92bf44b56bfc274e384835c09a9b949542f7ef3bed21a46195a871173926",
        ),
        (
            Tile::hashes(2, 0, 1),
            "a39abb517974ee0fe428abf332453555ac40e6bdf705bb4a4bf919dfa6b3b24c",
        ),
        (
            Tile::entries(273, 112),
            "e2ad61b1c0a68bb3fb91d5ddf19152cad4365671577e11ab31558aa5feb8d0ed",
        ),
    ] {
        assert_eq!(sha256(&files.0[&tile]), hex(digest), "{tile}");
    }
    assert_eq!(files.0[&Tile::entries(273, 112)].len(), 1456);
    assert_eq!(files.0.len(), 274 + 274 + 2 + 1);
    let tree = Tree::new(&files, 70_000);
    for (size, _) in ROOTS {
        assert_eq!(tree.root_at(*size).unwrap(), root(*size), "{size}");
    }
}

#[test]
fn the_key_and_the_signature_of_the_log() {
    let key = log_key();
    assert_eq!(key.verifying_key().to_string(), VKEY);
    let (builder, _) = build(70_000);
    let note = checkpoint(&builder).sign(&[&key]).unwrap();
    let root = base64::engine::general_purpose::STANDARD.encode(root(70_000).0);
    let text = format!("ledger.example/decisions\n70000\n{root}\n");
    assert_eq!(note.to_string(), format!("{text}\n{SIGNATURE}\n"));
    let keys = [VKEY.parse::<VerifyingKey>().unwrap()];
    let (read, _) = Checkpoint::open(note.to_string().as_bytes(), &keys).unwrap();
    assert_eq!(read, checkpoint(&builder));
}

#[test]
fn the_key_and_the_cosignature_of_the_witness() {
    let key = WitnessKey::from_seed("witness.example/w1", &seed(0x20)).unwrap();
    assert_eq!(key.verifying_key().to_string(), WITNESS_VKEY);
    let checkpoint = Checkpoint {
        origin: "ledger.example/decisions".into(),
        size: 70_000,
        root: root(70_000),
    };
    let line = key.cosign(&checkpoint.to_string(), 1_767_225_600);
    assert_eq!(line.to_string(), COSIGNATURE);
    let verifying: VerifyingKey = WITNESS_VKEY.parse().unwrap();
    assert_eq!(
        verifying.verify(&checkpoint.to_string(), &line).unwrap(),
        Some(1_767_225_600)
    );
}

#[test]
fn nodes_are_not_leaves() {
    let (left, right) = (leaf_hash(b"a"), leaf_hash(b"b"));
    let both = [left.0, right.0].concat();
    assert_ne!(node_hash(&left, &right), leaf_hash(&both));
    assert_ne!(node_hash(&left, &right), sha256(&both));
}

#[test]
fn the_example_of_the_specification_verifies() {
    let vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    let key: VerifyingKey = vkey.parse().unwrap();
    assert_eq!(key.id().to_string(), "530d903a");
    assert_eq!(key.to_string(), vkey);
    let note = "This is an example message.\n\n\u{2014} example.com/foo \
                Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Y\
                u72IneyaQM=\n";
    let note = ledger::Note::parse(note.as_bytes()).unwrap();
    assert_eq!(note.verify(&[key]).unwrap().len(), 1);
}

/// RFC 4231, test cases 1, 2, 3 and 6.
#[test]
fn a_commitment_is_the_hmac_of_the_rfc() {
    let cases: [(&[u8], &[u8], &str); 4] = [
        (
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            &[0xaa; 20],
            &[0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ];
    for (key, text, tag) in cases {
        assert_eq!(hmac_sha256(key, text).to_string(), tag);
    }
}

#[test]
fn hashes_do_not_depend_on_how_they_are_computed() {
    let text: Vec<u8> = (0..6_000u32).map(|n| (n * 7) as u8).collect();
    let salt = [0x5a; 16];
    let pad = |with: u8| [[with ^ 0x5a; 16].as_slice(), &[with; 48]].concat();
    let lengths = [0, 1, 63, 64, 65, 1_471, 1_472, 1_473, 1_536, 1_537];
    for len in lengths
        .into_iter()
        .chain([4_031, 4_032, 4_033, 4_096, 4_097, 6_000])
    {
        let text = &text[..len];
        let (front, rear) = text.split_at(len / 3);
        assert_eq!(sha256_parts(&[front, &[], rear]), sha256(text), "{len}");
        let inner = sha256(&[&pad(0x36), text].concat());
        let outer = sha256(&[&pad(0x5c), &inner.0[..]].concat());
        assert_eq!(hmac_sha256(&salt, text), outer, "{len}");
    }
}
