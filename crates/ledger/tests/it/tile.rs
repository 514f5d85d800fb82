//! Paths of tiles, bundles, and the files that a growing log writes.

use ledger::tile::{
    ENTRY_BYTES_MAX, Level, decode_bundle, push_entry, read_tile, tile_at, tiles_of,
};
use ledger::{LogBuilder, Tile, TileError, Tree};
use proptest::prelude::*;

use crate::support::{Files, build, build_published, entry};

#[test]
fn paths_are_those_of_the_specification() {
    for (tile, path) in [
        (Tile::hashes(0, 0, 256), "tile/0/000"),
        (Tile::hashes(0, 999, 256), "tile/0/999"),
        (Tile::hashes(5, 1000, 1), "tile/5/x001/000.p/1"),
        (
            Tile::hashes(63, 1_234_067, 255),
            "tile/63/x001/x234/067.p/255",
        ),
        (Tile::entries(1_234_067, 256), "tile/entries/x001/x234/067"),
        (Tile::entries(273, 112), "tile/entries/273.p/112"),
        (
            Tile::entries(u64::MAX, 256),
            "tile/entries/x018/x446/x744/x073/x709/x551/615",
        ),
    ] {
        assert_eq!(tile.path(), path);
        assert_eq!(path.parse::<Tile>().unwrap(), tile);
    }
    for bad in [
        "",
        "checkpoint",
        "tile/0",
        "tile/0/",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/001/000",
        "tile/0/x000/001",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/+00",
        "tile/data/000",
        "tile/0/../000",
        "tile/entries/x018/x446/x744/x073/x709/x551/616",
    ] {
        assert!(
            matches!(bad.parse::<Tile>(), Err(TileError::Path { .. })),
            "{bad}"
        );
    }
}

#[test]
fn the_files_of_a_size_are_those_of_the_specification() {
    let tiles: Vec<Tile> = tiles_of(70_000).collect();
    assert_eq!(tiles.len(), 274 + 274 + 2 + 1);
    for tile in [
        Tile::hashes(0, 273, 112),
        Tile::hashes(1, 0, 256),
        Tile::hashes(1, 1, 17),
        Tile::hashes(2, 0, 1),
    ] {
        assert!(tiles.contains(&tile), "{tile}");
    }
    let of_256: Vec<String> = tiles_of(256).map(|tile| tile.path()).collect();
    assert_eq!(of_256, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(tiles_of(0).count(), 0);
    assert_eq!(tile_at(Level::Hashes(8), 0, u64::MAX), None);
    assert_eq!(tile_at(Level::Hashes(7), u64::MAX, u64::MAX), None);
}

#[test]
fn an_entry_of_65535_bytes_is_the_largest() {
    let (mut builder, mut out) = (LogBuilder::new(), Vec::new());
    builder.push(&vec![7; ENTRY_BYTES_MAX], &mut out).unwrap();
    let before = builder.root();
    let error = builder
        .push(&vec![7; ENTRY_BYTES_MAX + 1], &mut out)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "an entry of 65536 bytes is larger than 65535"
    );
    assert_eq!(
        (builder.size(), builder.root()),
        (1, before),
        "nothing has changed"
    );
    builder.publish(&mut out);
    let bundle = &out[0];
    assert_eq!(bundle.bytes.len(), ENTRY_BYTES_MAX + 2);
    assert_eq!(
        decode_bundle(bundle.tile, &bundle.bytes).unwrap()[0].len(),
        ENTRY_BYTES_MAX
    );
}

#[test]
fn a_bundle_that_is_cut_or_goes_on_is_refused_with_its_place() {
    let mut bytes = Vec::new();
    for text in ["one", "", "three"] {
        push_entry(&mut bytes, text.as_bytes()).unwrap();
    }
    let tile = Tile::entries(4, 3);
    assert_eq!(
        decode_bundle(tile, &bytes).unwrap(),
        [&b"one"[..], b"", b"three"]
    );
    for length in 0..bytes.len() {
        let (entry, byte) = match length {
            0..5 => (0, 0),
            5..7 => (1, 5),
            _ => (2, 7),
        };
        match decode_bundle(tile, &bytes[..length]) {
            Err(TileError::Truncated {
                entry: e, byte: b, ..
            }) => assert_eq!((e, b), (entry, byte)),
            other => panic!("{length}: {other:?}"),
        }
    }
    let error = decode_bundle(Tile::entries(4, 2), &bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`tile/entries/004.p/2` goes on after its last entry, from byte 7"
    );
}

#[test]
fn a_partial_tile_can_be_read_from_the_full_one() {
    let (_, files) = build(600);
    for (tile, full) in [
        (Tile::entries(1, 3), Tile::entries(1, 256)),
        (Tile::hashes(0, 1, 3), Tile::hashes(0, 1, 256)),
    ] {
        let partial = read_tile(&files, tile).unwrap();
        assert!(files.0[&full].starts_with(&partial));
        assert!(!files.0.contains_key(&tile));
    }
    assert_eq!(
        Tree::new(&files, 600).root_at(300).unwrap(),
        build(300).0.root()
    );
    let missing = read_tile(&files, Tile::hashes(0, 2, 4)).unwrap_err();
    assert_eq!(missing.to_string(), "`tile/0/002.p/4` is missing");
}

#[test]
fn an_older_log_is_continued_with_the_same_files() {
    let (whole, whole_files) = build_published(1200, &[1, 255, 256, 257, 700, 768]);
    for size in [0, 1, 255, 256, 257, 700, 768] {
        let (_, mut files) = build_published(size, &[1, 255, 256, 257, 700]);
        let mut builder = LogBuilder::resume(&files, size).unwrap();
        let mut out = Vec::new();
        builder.publish(&mut out);
        assert_eq!(out, [], "what is published already does not come out again");
        for index in size..1200 {
            builder.push(&entry(index), &mut out).unwrap();
            if [1, 255, 256, 257, 700, 768].contains(&(index + 1)) {
                builder.publish(&mut out);
            }
            files.write(&mut out);
        }
        builder.publish(&mut out);
        files.write(&mut out);
        assert_eq!(builder.root(), whole.root(), "{size}");
        assert_eq!(builder.frontier(), whole.frontier(), "{size}");
        assert_eq!(files, whole_files, "{size}");
    }
}

#[test]
fn a_log_whose_last_bundle_and_tile_disagree_is_not_continued() {
    let (_, mut files) = build(300);
    let bundle = files.0.get_mut(&Tile::entries(1, 44)).unwrap();
    *bundle.last_mut().unwrap() ^= 1;
    let error = LogBuilder::resume(&files, 300).unwrap_err();
    assert!(
        matches!(error, TileError::Mismatch { index: 299 }),
        "{error}"
    );
    files.0.remove(&Tile::entries(1, 44));
    assert!(matches!(
        LogBuilder::resume(&files, 300),
        Err(TileError::Missing { .. })
    ));
}

#[test]
fn partial_tiles_of_every_published_size_come_out() {
    let sizes = [1, 2, 3, 255, 256, 257, 512, 600];
    let (_, files) = build_published(600, &sizes);
    for size in sizes {
        for tile in tiles_of(size) {
            assert!(files.0.contains_key(&tile), "{tile} for {size}");
        }
        assert_eq!(
            Tree::new(&files, size).root().unwrap(),
            build(size).0.root()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However a log is cut into sessions and batches, its files are the same.
    #[test]
    fn any_chunking_gives_the_same_files(cuts in prop::collection::vec((0..400u64, any::<bool>()), 1..8)) {
        let total: u64 = cuts.iter().map(|(count, _)| count).sum();
        let mut sizes = Vec::new();
        let (mut builder, mut files, mut out) = (LogBuilder::new(), Files::default(), Vec::new());
        for (count, reopen) in cuts {
            for _ in 0..count {
                builder.push(&entry(builder.size()), &mut out).unwrap();
            }
            builder.publish(&mut out);
            files.write(&mut out);
            sizes.push(builder.size());
            if reopen {
                let resumed = LogBuilder::resume(&files, builder.size()).unwrap();
                prop_assert_eq!(resumed.root(), builder.root());
                builder = resumed;
            }
        }
        let (whole, whole_files) = build_published(total, &sizes);
        prop_assert_eq!(builder.root(), whole.root());
        prop_assert_eq!(files, whole_files);
    }

    #[test]
    fn every_path_reads_back(index in any::<u64>(), level in 0..=63u8, width in 1..=256u16) {
        for tile in [Tile::hashes(level, index, width), Tile::entries(index, width)] {
            prop_assert_eq!(tile.path().parse::<Tile>().unwrap(), tile);
        }
    }

    #[test]
    fn damaged_bundles_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), width in 1..=256u16) {
        let tile = Tile::entries(0, width);
        if let Ok(entries) = decode_bundle(tile, &bytes) {
            let mut again = Vec::new();
            for entry in entries {
                push_entry(&mut again, entry).unwrap();
            }
            prop_assert_eq!(again, bytes);
        }
    }
}
