//! The journal: what was put is found again, whatever happens in between.

use std::path::Path;
use std::sync::Arc;

use ledger::conformance::sample::Maker;
use ledger::{Batch, Journal, Place, StoreError};
use store::FileJournal;
use store::disk::{Disk, How};
use store::fault::{Fault, FaultDisk, Loss};

use crate::support::propose_sealed;

const DIR: &str = "/journal";

fn open(disk: &FaultDisk) -> Result<FileJournal, StoreError> {
    FileJournal::open(Arc::new(disk.clone()), Path::new(DIR), 1 << 30)
}

/// A run with a decision and its payload, `len` bytes or a little more.
fn batch(make: &mut Maker, len: usize) -> Batch {
    let (run, subject, decision) = (make.run(), make.subject(), make.decision());
    let opened = make.open(run, subject);
    // Bytes that do not compress.
    let mut state = 0x9e37_79b9_u32;
    let text: Vec<u8> = (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        })
        .collect();
    let (leaf, payload) = propose_sealed(make, decision, run, subject, &text);
    Batch {
        leaves: vec![opened, leaf],
        payloads: vec![payload],
    }
}

fn left(journal: &FileJournal) -> Vec<(Place, Vec<Vec<u8>>)> {
    let next = || journal.next_left().unwrap();
    std::iter::from_fn(next)
        .map(|(place, batch)| {
            let mut parts: Vec<Vec<u8>> = batch
                .leaves
                .iter()
                .map(|leaf| leaf.bytes().to_vec())
                .collect();
            parts.extend(batch.payloads.into_iter().map(|(_, bytes)| bytes));
            (place, parts)
        })
        .collect()
}

#[test]
fn what_was_put_and_not_done_is_left_in_order_and_what_was_done_goes() {
    let disk = FaultDisk::default();
    let mut make = Maker::default();
    let journal = open(&disk).unwrap();
    let batches: Vec<Batch> = (0..3).map(|n| batch(&mut make, 100 * n)).collect();
    let places: Vec<Place> = batches.iter().map(|b| journal.put(b).unwrap()).collect();
    journal.done(places[1]);
    assert_eq!(journal.pending(), places[0].len + places[2].len);
    drop(journal);

    let journal = open(&disk).unwrap();
    let found = left(&journal);
    // What was done is not told apart within a file: appending it again changes nothing.
    assert_eq!(found.len(), 3);
    for (batch, (_, parts)) in batches.iter().zip(&found) {
        assert_eq!(parts[1], batch.leaves[1].bytes());
        assert_eq!(parts[2], batch.payloads[0].1);
    }
    for (place, _) in found {
        journal.done(place);
    }
    assert_eq!(journal.pending(), 0);
    drop(journal);
    assert!(disk.paths().is_empty(), "nothing waits");
}

#[test]
fn a_file_that_has_grown_is_closed_and_of_those_that_nothing_waits_in_one_is_kept() {
    let disk = FaultDisk::default();
    let mut make = Maker::default();
    let journal = open(&disk).unwrap();
    let places: Vec<Place> = (0..3)
        .map(|_| journal.put(&batch(&mut make, 1_100_000)).unwrap())
        .collect();
    assert_eq!(places.iter().map(|p| p.file).collect::<Vec<_>>(), [1, 2, 3]);
    journal.done(places[0]);
    let names = || disk.list(Path::new(DIR)).unwrap();
    let of = |numbers: &[u32]| -> Vec<String> {
        numbers.iter().map(|n| format!("journal-{n:08}")).collect()
    };
    assert_eq!(names(), of(&[1, 2, 3]));
    journal.done(places[1]);
    assert_eq!(names(), of(&[1, 3]));
    journal.put(&batch(&mut make, 10)).unwrap();
    assert_eq!(names(), of(&[3, 4]), "the first is written over");
}

#[test]
fn nothing_of_the_file_before_is_read_in_one_that_is_written_over() {
    // What a process that is killed leaves after so many batches more.
    let found = |more: usize| {
        let disk = FaultDisk::default();
        let mut make = Maker::default();
        let journal = open(&disk).unwrap();
        // Of equal length, so that what is old lies where a record could begin.
        let mut put = || journal.put(&batch(&mut make, 400_000)).unwrap();
        let places = [put(), put(), put(), put()];
        assert_ne!(places[2].file, places[3].file);
        places[..3].iter().for_each(|place| journal.done(*place));
        let last = (0..more).map(|_| put()).last();
        let file = last.map_or(places[3].file, |place| place.file);
        let disk = disk.after_power_loss(Loss::None);
        (file, left(&open(&disk).unwrap()).len())
    };
    assert_eq!(found(0), (2, 1));
    assert_eq!(found(2), (2, 3));
    assert_eq!(found(3), (3, 4), "in the file that was the first");
}

#[test]
fn whatever_fails_what_was_acknowledged_is_found() {
    let script = |disk: &FaultDisk| {
        let mut make = Maker::default();
        let mut acknowledged = Vec::new();
        for _ in 0..2 {
            let Ok(journal) = open(disk) else { continue };
            for len in [10, 1_100_000, 20] {
                let batch = batch(&mut make, len);
                if journal.put(&batch).is_ok() {
                    acknowledged.push(batch.leaves[1].bytes().to_vec());
                }
            }
        }
        acknowledged
    };
    let whole = FaultDisk::default();
    assert_eq!(script(&whole).len(), 6);
    for operation in 0..whole.operations() {
        for fault in [
            Fault::Eio,
            Fault::Enospc,
            Fault::Full,
            Fault::Die,
            Fault::DieHalfway,
        ] {
            let disk = FaultDisk::default();
            disk.plan(operation, fault);
            let acknowledged = script(&disk);
            let found = left(&open(&disk.after_power_loss(Loss::None)).unwrap());
            let mut found = found.iter().map(|(_, parts)| &parts[1]);
            for leaf in &acknowledged {
                assert!(
                    found.any(|other| other == leaf),
                    "{fault:?} at {operation}: a batch is lost, or out of order"
                );
            }
        }
    }
}

#[test]
fn a_full_disk_is_not_filled_with_files() {
    let disk = FaultDisk::default();
    let mut make = Maker::default();
    let journal = open(&disk).unwrap();
    disk.plan(disk.operations() + 1, Fault::Full);
    for _ in 0..5 {
        assert!(matches!(
            journal.put(&batch(&mut make, 10)),
            Err(StoreError::Full { .. })
        ));
    }
    assert!(disk.paths().is_empty());
    disk.free_space();
    journal.put(&batch(&mut make, 10)).unwrap();
}

#[test]
fn a_torn_record_is_passed_over_and_damage_hides_no_other_file() {
    let disk = FaultDisk::default();
    let mut make = Maker::default();
    let journal = open(&disk).unwrap();
    for len in [10, 1_100_000, 20] {
        journal.put(&batch(&mut make, len)).unwrap();
    }
    drop(journal);
    let first = Path::new(DIR).join("journal-00000001");
    let file = disk.open(&first, How::Write).unwrap();
    // What ends the file, and the last byte of the record before it.
    file.truncate(file.len().unwrap() - 5).unwrap();
    assert_eq!(left(&open(&disk).unwrap()).len(), 2);
}

#[test]
fn more_than_the_limit_is_refused_and_newer_files_are() {
    let disk = FaultDisk::default();
    let mut make = Maker::default();
    let small = FileJournal::open(Arc::new(disk.clone()), Path::new(DIR), 4_000).unwrap();
    let place = small.put(&batch(&mut make, 1_000)).unwrap();
    let refused = small.put(&batch(&mut make, 4_000)).unwrap_err();
    assert!(matches!(refused, StoreError::Full { .. }), "{refused}");
    let busy = open(&disk).unwrap_err();
    assert!(matches!(busy, StoreError::Locked { .. }), "{busy}");
    small.done(place);
    drop(small);

    let path = Path::new(DIR).join("journal-00000009");
    let file = disk.open(&path, How::New).unwrap();
    file.write_at(0, b"rescind journal 2\nwho knows").unwrap();
    let newer = open(&disk).unwrap_err();
    assert!(
        matches!(newer, StoreError::Newer { found: 2, .. }),
        "{newer}"
    );
}
