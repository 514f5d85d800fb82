//! Tampering: every single change to any file is found, and the first bad index is named.

use std::sync::OnceLock;

use ledger::audit::{
    AuditReport, Damage, audit, audit_anchors, audit_partial, audit_range, audit_range_with,
    bundle_count, combine, open_checkpoint, split,
};
use ledger::tile::{Level, decode_bundle, push_entry};
use ledger::{Checkpoint, LogBuilder, SigningKey, Tile, TileFile};
use proptest::prelude::*;

use crate::support::{Files, ORIGIN, build, build_published, checkpoint, entry, log_key, seed};

/// A log with two full bundles, a partial one and two levels of hashes.
fn small() -> &'static (LogBuilder, Files) {
    static LOG: OnceLock<(LogBuilder, Files)> = OnceLock::new();
    LOG.get_or_init(|| build(600))
}

/// A log with three levels of hashes.
fn large() -> &'static (LogBuilder, Files) {
    static LOG: OnceLock<(LogBuilder, Files)> = OnceLock::new();
    LOG.get_or_init(|| build(66_100))
}

fn audited(log: &(LogBuilder, Files), change: impl FnOnce(&mut Files)) -> AuditReport {
    let mut files = log.1.clone();
    change(&mut files);
    audit(&files, &checkpoint(&log.0))
}

fn only(report: &AuditReport) -> (u64, &Damage) {
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    (report.findings[0].index, &report.findings[0].damage)
}

fn rewrite(files: &mut Files, tile: Tile, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let bundle = files.0.get_mut(&tile).unwrap();
    let mut entries: Vec<Vec<u8>> = decode_bundle(tile, bundle)
        .unwrap()
        .into_iter()
        .map(<[u8]>::to_vec)
        .collect();
    change(&mut entries);
    bundle.clear();
    for entry in entries {
        push_entry(bundle, &entry).unwrap();
    }
}

#[test]
fn an_untouched_log_is_intact() {
    for size in [0, 1, 2, 255, 256, 257, 512, 600] {
        let (builder, files) = build(size);
        let report = audit(&files, &checkpoint(&builder));
        assert!(report.is_intact(), "{size}: {:?}", report.findings);
        assert_eq!(report.entries, size);
        let bytes: usize = (0..size).map(|index| entry(index).len()).sum();
        assert_eq!(report.bytes, bytes as u64);
    }
    let report = audited(large(), |_| {});
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!(report.entries, 66_100);
}

#[test]
fn an_older_size_of_a_grown_log_is_intact() {
    let (_, files) = build_published(600, &[256, 300]);
    for size in [256, 300] {
        assert!(
            audit(&files, &checkpoint(&build(size).0)).is_intact(),
            "{size}"
        );
    }
    // Once the full tile exists, the partial ones may go.
    let mut without = files.clone();
    without
        .0
        .retain(|tile, _| tile.level != Level::Entries || tile.width != 44);
    without
        .0
        .retain(|tile, _| tile.level != Level::Hashes(0) || tile.width != 44);
    assert!(audit(&without, &checkpoint(&build(300).0)).is_intact());
}

#[test]
fn c55_a_changed_entry_is_found_and_named() {
    for index in [0, 17, 255, 256, 511, 512, 599] {
        let report = audited(small(), |files| {
            let tile = ledger::tile::tile_at(Level::Entries, index / 256, 600).unwrap();
            rewrite(files, tile, |entries| entries[index as usize % 256][0] ^= 1);
        });
        assert!(matches!(only(&report), (i, Damage::EntryChanged { .. }) if i == index));
        assert_eq!(report.first_bad_index(), Some(index));
    }
}

#[test]
fn c55_a_deleted_entry_is_found_and_named() {
    for (slot, bundle) in [(0, 0), (100, 0), (255, 1), (3, 2), (87, 2)] {
        let tile = ledger::tile::tile_at(Level::Entries, bundle, 600).unwrap();
        let report = audited(small(), |files| {
            rewrite(files, tile, |entries| drop(entries.remove(slot)));
        });
        let index = bundle * 256 + slot as u64;
        assert_eq!(report.first_bad_index(), Some(index));
        let last = slot + 1 == usize::from(tile.width);
        match only(&report) {
            (_, Damage::EntryDeleted { .. }) if !last => {}
            (_, Damage::Truncated { .. }) if last => {}
            other => panic!("{slot} of {bundle}: {other:?}"),
        }
    }
}

#[test]
fn c55_an_inserted_entry_is_found_and_named() {
    for (slot, bundle) in [(0, 0), (100, 1), (50, 2), (88, 2)] {
        let tile = ledger::tile::tile_at(Level::Entries, bundle, 600).unwrap();
        let report = audited(small(), |files| {
            rewrite(files, tile, |entries| {
                entries.insert(slot, b"forged".to_vec())
            });
        });
        let index = bundle * 256 + slot as u64;
        assert_eq!(report.first_bad_index(), Some(index));
        let last = slot == usize::from(tile.width);
        match only(&report) {
            (_, Damage::EntryInserted { .. }) if !last => {}
            (_, Damage::Trailing { .. }) if last => {}
            other => panic!("{slot} of {bundle}: {other:?}"),
        }
    }
}

#[test]
fn c55_reordered_entries_are_found_and_named() {
    let report = audited(small(), |files| {
        rewrite(files, Tile::entries(1, 256), |entries| {
            entries.swap(40, 200)
        });
    });
    assert!(matches!(
        only(&report),
        (296, Damage::EntriesReordered { .. })
    ));
    // Two bundles that changed places.
    let report = audited(small(), |files| {
        let (a, b) = (Tile::entries(0, 256), Tile::entries(1, 256));
        let first = files.0[&a].clone();
        let second = files.0.insert(b, first).unwrap();
        files.0.insert(a, second);
    });
    let indexes: Vec<u64> = report
        .findings
        .iter()
        .map(|finding| finding.index)
        .collect();
    assert_eq!(indexes, [0, 256]);
    // And with them their tiles.
    let report = audited(small(), |files| {
        for level in [Level::Entries, Level::Hashes(0)] {
            let tile = |index| Tile {
                level,
                index,
                width: 256,
            };
            let first = files.0[&tile(0)].clone();
            let second = files.0.insert(tile(1), first).unwrap();
            files.0.insert(tile(0), second);
        }
    });
    assert_eq!(report.first_bad_index(), Some(0), "{:?}", report.findings);
}

#[test]
fn c55_a_changed_tile_is_told_from_a_changed_entry() {
    for (tile, at, index) in [
        (Tile::hashes(0, 0, 256), 5000, 156),
        (Tile::hashes(0, 257, 256), 0, 65_792),
        (Tile::hashes(0, 258, 52), 1663, 66_099),
        (Tile::hashes(1, 0, 256), 4000, 125 * 256),
        (Tile::hashes(1, 1, 2), 63, 65_792),
        (Tile::hashes(2, 0, 1), 31, 0),
    ] {
        let report = audited(large(), |files| files.0.get_mut(&tile).unwrap()[at] ^= 1);
        assert_eq!(only(&report), (index, &Damage::TileChanged { tile }));
    }
}

#[test]
fn c55_entries_that_were_rewritten_with_their_tile_are_found() {
    let forged = |index: u64| {
        if index == 300 {
            b"forged".to_vec()
        } else {
            entry(index)
        }
    };
    let (mut builder, mut other, mut out) = (LogBuilder::new(), Files::default(), Vec::new());
    for index in 0..600 {
        builder.push(&forged(index), &mut out).unwrap();
    }
    builder.publish(&mut out);
    other.write(&mut out);
    let report = audited(small(), |files| {
        for tile in [Tile::entries(1, 256), Tile::hashes(0, 1, 256)] {
            files.0.insert(tile, other.0[&tile].clone());
        }
    });
    let tile = Tile::hashes(1, 0, 2);
    assert_eq!(only(&report), (256, &Damage::Rewritten { tile }));
    // Everything rewritten, but not signed again.
    let report = audited(small(), |files| *files = other.clone());
    assert!(matches!(only(&report), (0, Damage::Root { .. })));
}

#[test]
fn c55_a_missing_file_is_found_and_named() {
    for tile in small().1.0.keys() {
        let report = audited(small(), |files| drop(files.0.remove(tile)));
        assert_eq!(
            only(&report),
            (tile.first_entry(0), &Damage::Missing { tile: *tile })
        );
    }
    let report = audited(small(), |files| files.0.clear());
    assert_eq!(report.first_bad_index(), Some(0));
    assert!(!report.is_intact());
}

#[test]
fn c56_a_log_that_was_rewritten_and_signed_again_is_found_by_what_was_kept_elsewhere() {
    let (mut builder, mut files, mut out) = (LogBuilder::new(), Files::default(), Vec::new());
    for index in 0..600 {
        let text = if index == 300 {
            b"forged".to_vec()
        } else {
            entry(index)
        };
        builder.push(&text, &mut out).unwrap();
    }
    builder.publish(&mut out);
    files.write(&mut out);
    let forged = checkpoint(&builder);
    assert!(
        audit(&files, &forged).is_intact(),
        "alone, it cannot be told"
    );
    let kept: Vec<Checkpoint> = [100, 300, 301, 500]
        .map(|size| checkpoint(&build(size).0))
        .to_vec();
    let findings = audit_anchors(&files, &forged, &kept).unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].index, 300);
    assert!(matches!(
        findings[0].damage,
        Damage::Forked { size: 301, .. }
    ));
    let (builder, files) = small();
    assert_eq!(
        audit_anchors(files, &checkpoint(builder), &kept).unwrap(),
        []
    );
}

#[test]
fn c56_an_older_copy_is_found_by_what_was_kept_elsewhere() {
    let kept = [checkpoint(&small().0)];
    let (builder, files) = build(300);
    assert!(
        audit(&files, &checkpoint(&builder)).is_intact(),
        "alone, it cannot be told"
    );
    let findings = audit_anchors(&files, &checkpoint(&builder), &kept).unwrap();
    assert_eq!(findings[0].index, 300);
    assert_eq!(
        findings[0].to_string(),
        "the log was rolled back from 600 entries to 300"
    );
}

#[test]
fn c56_a_checkpoint_of_another_key_is_bad() {
    let good = checkpoint(&small().0)
        .sign(&[&log_key()])
        .unwrap()
        .to_string();
    let keys = [log_key().verifying_key().clone()];
    assert_eq!(
        open_checkpoint(good.as_bytes(), &keys).unwrap(),
        checkpoint(&small().0)
    );
    let impostor = SigningKey::from_seed(ORIGIN, &seed(9)).unwrap();
    let forged = checkpoint(&small().0)
        .sign(&[&impostor])
        .unwrap()
        .to_string();
    for bad in [
        forged,
        good.replace("600", "599"),
        good[..good.len() - 9].to_owned(),
    ] {
        let finding = open_checkpoint(bad.as_bytes(), &keys).unwrap_err();
        assert_eq!(finding.index, 0);
        assert!(matches!(finding.damage, Damage::Checkpoint { .. }));
    }
}

#[test]
fn ranges_give_the_same_report_however_they_are_cut() {
    let mut files = large().1.clone();
    for (tile, at) in [
        (Tile::entries(3, 256), 100),
        (Tile::hashes(0, 70, 256), 5),
        (Tile::hashes(1, 0, 256), 1000),
        (Tile::entries(258, 52), 7),
    ] {
        files.0.get_mut(&tile).unwrap()[at] ^= 0x10;
    }
    let checkpoint = checkpoint(&large().0);
    let whole = audit(&files, &checkpoint);
    assert_eq!(whole.findings.len(), 4, "{:#?}", whole.findings);
    for parts in [1, 2, 3, 7, 1000] {
        let ranges = split(checkpoint.size, parts);
        assert!(ranges.len() as u64 <= parts);
        assert_eq!(
            ranges
                .iter()
                .map(|range| range.end - range.start)
                .sum::<u64>(),
            259
        );
        let mut reports: Vec<_> = ranges
            .into_iter()
            .map(|range| audit_range(&files, checkpoint.size, range))
            .collect();
        reports.reverse();
        assert_eq!(combine(&files, &checkpoint, reports), whole, "{parts}");
    }
    assert!(split(0, 4).is_empty());
}

#[test]
fn a_part_that_was_not_audited_is_a_finding() {
    let (builder, files) = small();
    let reports = vec![audit_range(files, 600, 0..1), audit_range(files, 600, 2..3)];
    let report = combine(files, &checkpoint(builder), reports);
    assert_eq!(only(&report), (256, &Damage::NotAudited));
}

#[test]
fn every_entry_is_shown_to_the_caller() {
    let (_, files) = small();
    let mut seen = Vec::new();
    let count = bundle_count(600);
    audit_range_with(files, 600, 0..count, |index, bytes| {
        seen.push((index, bytes.to_vec()))
    });
    assert_eq!(
        seen,
        (0..600)
            .map(|index| (index, entry(index)))
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_log_that_is_damaged_throughout_keeps_its_report_small() {
    let mut files = large().1.clone();
    for (tile, bytes) in &mut files.0 {
        if tile.level == Level::Entries {
            bytes[3] ^= 1;
        }
    }
    let report = audit(&files, &checkpoint(&large().0));
    assert_eq!(report.first_bad_index(), Some(0));
    assert_eq!(
        report.findings.len() as u64 + report.unlisted,
        259,
        "{}",
        report.unlisted
    );
}

/// What a change of one file does, and which entry it makes doubtful first.
#[derive(Clone, Debug)]
enum Change {
    Flip { at: usize, bit: u8 },
    Cut { at: usize },
    Append { bytes: Vec<u8> },
    Remove,
}

fn first_bad(tile: Tile, bytes: &[u8], change: &Change) -> u64 {
    let slot_at = |at: usize| match tile.level {
        Level::Hashes(_) => at as u64 / 32,
        Level::Entries => {
            let mut end = 0;
            let entries = decode_bundle(tile, bytes).unwrap();
            entries
                .iter()
                .position(|entry| {
                    end += 2 + entry.len();
                    at < end
                })
                .unwrap() as u64
        }
    };
    tile.first_entry(match change {
        Change::Flip { at, .. } | Change::Cut { at } => slot_at(*at),
        Change::Append { .. } => tile.width.into(),
        Change::Remove => 0,
    })
}

fn apply(files: &mut Files, tile: Tile, change: &Change) {
    let bytes = files.0.get_mut(&tile).unwrap();
    match change {
        Change::Flip { at, bit } => bytes[*at] ^= 1 << bit,
        Change::Cut { at } => bytes.truncate(*at),
        Change::Append { bytes: more } => bytes.extend_from_slice(more),
        Change::Remove => drop(files.0.remove(&tile)),
    }
}

/// A file of the small log, and one change to it.
fn any_change() -> impl Strategy<Value = (Tile, Change)> {
    let tiles: Vec<Tile> = small().1.0.keys().copied().collect();
    prop::sample::select(tiles).prop_flat_map(|tile| {
        let length = small().1.0[&tile].len();
        let change = prop_oneof![
            6 => (0..length, 0..8u8).prop_map(|(at, bit)| Change::Flip { at, bit }),
            2 => (0..length).prop_map(|at| Change::Cut { at }),
            1 => prop::collection::vec(any::<u8>(), 1..80)
                .prop_map(|bytes| Change::Append { bytes }),
            1 => Just(Change::Remove),
        ];
        (Just(tile), change)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn c55_any_single_change_of_any_file_is_found_at_its_first_bad_index(
        (tile, change) in any_change(),
    ) {
        let expected = first_bad(tile, &small().1.0[&tile], &change);
        let report = audited(small(), |files| apply(files, tile, &change));
        prop_assert_eq!(report.first_bad_index(), Some(expected), "{:?}", report.findings);
        for finding in &report.findings {
            prop_assert!(!finding.to_string().is_empty());
        }
    }

    #[test]
    fn c55_two_changes_are_found_at_the_first_bad_index_of_one_of_them(
        (first, second) in (any_change(), any_change()),
    ) {
        prop_assume!(first.0 != second.0);
        let expected: Vec<u64> = [&first, &second]
            .iter()
            .map(|(tile, change)| first_bad(*tile, &small().1.0[tile], change))
            .collect();
        let report = audited(small(), |files| {
            apply(files, first.0, &first.1);
            apply(files, second.0, &second.1);
        });
        let found = report.first_bad_index().unwrap();
        prop_assert!(found <= *expected.iter().max().unwrap(), "{:?}", report.findings);
    }

    /// Partial files of sizes that were published before the last one.
    #[test]
    fn c55_any_single_change_of_an_outgrown_file_is_found(
        at in 0..100_000usize, bit in 0..8u8, which in 0..6usize, cut in any::<bool>(),
    ) {
        let (_, files) = build_published(300, &[100, 200, 256]);
        let outgrown: Vec<Tile> = [100, 200]
            .iter()
            .flat_map(|size| ledger::tile::tiles_of(*size))
            .collect();
        let tile = outgrown[which % outgrown.len()];
        let bytes = files.0[&tile].clone();
        let fuller = &files.0[&tile.full()];
        prop_assert_eq!(audit_partial(tile, &bytes, fuller), None);
        let at = at % bytes.len();
        let change = if cut { Change::Cut { at } } else { Change::Flip { at, bit } };
        let expected = first_bad(tile, &bytes, &change);
        let mut changed = Files([(tile, bytes)].into());
        apply(&mut changed, tile, &change);
        let finding = audit_partial(tile, &changed.0[&tile], fuller).unwrap();
        prop_assert_eq!(finding.index, expected, "{}", finding);
    }
}

#[test]
fn building_again_over_an_existing_log_never_writes_other_bytes() {
    let (_, files) = build(600);
    let mut again = Vec::new();
    let mut builder = LogBuilder::new();
    for index in 0..600 {
        builder.push(&entry(index), &mut again).unwrap();
    }
    builder.publish(&mut again);
    for TileFile { tile, bytes } in again {
        assert_eq!(files.0[&tile], bytes, "{tile}");
    }
}
