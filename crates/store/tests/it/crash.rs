//! Every operation on the disk fails, tears, or is the last before the process dies.
//!
//! A script is run once to count its operations, and then again for each of them and each fault.
//! Afterwards the store is opened on what survived, and has to keep what it promised.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::conformance::sample::{Maker, batch};
use ledger::{Batch, BlobState, KeyState, Leaf, Store, StoreError};
use model::{Digest, EventId, HybridTime, SubjectId};
use store::fault::{Fault, FaultDisk, Loss};
use store::{EmbeddedStore, OpenOptions, verify, worker};

use crate::support::{key, on_disk, propose_sealed};

/// What the store said was done.
#[derive(Default)]
struct Said {
    leaves: BTreeMap<u64, Vec<u8>>,
    tried: Vec<Batch>,
    kept: Vec<SubjectId>,
    payloads: Vec<(EventId, Digest, SubjectId, Vec<u8>)>,
    erased: Vec<SubjectId>,
    full: u64,
}

impl Said {
    async fn append(&mut self, store: &EmbeddedStore, batch: Batch) -> bool {
        self.tried.push(batch.clone());
        match store.append(batch.clone()).await {
            Ok(appended) => {
                for (seq, leaf) in appended.seqs.iter().zip(&batch.leaves) {
                    self.leaves.insert(*seq, leaf.bytes().to_vec());
                    if let Some((ct, subject)) = leaf.keys().payload {
                        let payload = batch.payloads.iter().find(|(given, _)| *given == ct);
                        let bytes = payload.unwrap().1.clone();
                        self.payloads.push((leaf.keys().id, ct, subject, bytes));
                    }
                    self.erased.extend(leaf.keys().erased);
                }
                true
            }
            Err(StoreError::Full { .. }) => {
                self.full += 1;
                false
            }
            Err(_) => false,
        }
    }
}

fn options(disk: &FaultDisk, index: &Path) -> OpenOptions {
    let mut options = on_disk(disk, index);
    options.witness_dir = Some(PathBuf::from("/witness"));
    (options.segment_len, options.pack_len) = (3_000, 300);
    options
}

/// Everything that the store does to a disk, once or more. Errors end nothing: a caller may go on
/// asking, and must be told the truth each time.
async fn script(disk: &FaultDisk, index: &Path, said: &mut Said) {
    let mut make = Maker::default();
    let (run, subject, other) = (make.run(), make.subject(), make.subject());
    let Ok(store) = EmbeddedStore::open(options(disk, index)) else {
        return;
    };
    said.append(&store, batch([make.open(run, subject), make.filler(10)]))
        .await;
    for (place, subject) in [subject, other].into_iter().enumerate() {
        if store.keep_key(subject, key()).await.is_err() {
            continue;
        }
        said.kept.push(subject);
        let decision = make.decision();
        let (leaf, payload) =
            propose_sealed(&mut make, decision, run, subject, &[place as u8 + 1; 80]);
        let mut sealed = batch([leaf, make.start(decision)]);
        sealed.payloads.push(payload);
        said.append(&store, sealed).await;
    }
    let _ = store.publish().await;
    for _ in 0..4 {
        let filler: Vec<Leaf> = (0..3).map(|_| make.filler(300)).collect();
        said.append(&store, batch(filler)).await;
    }
    let _ = store
        .rotate_key(HybridTime {
            wall: 1_700_000_000_000_000,
            tick: 7,
        })
        .await;
    if said.append(&store, batch([make.erase(subject)])).await {
        let _ = store.destroy_key(subject).await;
    }
    // Beyond a full bundle and tile.
    let filler: Vec<Leaf> = (0..260).map(|_| make.filler(1)).collect();
    said.append(&store, batch(filler)).await;
    let _ = store.close().await;
    drop(store);
    let Ok(store) = EmbeddedStore::open(options(disk, index)) else {
        return;
    };
    said.append(&store, batch([make.filler(5)])).await;
    let _ = store.close().await;
}

/// Opens what survived, and checks everything that was promised.
async fn check(disk: &FaultDisk, index: &Path, said: &Said) {
    let store = EmbeddedStore::open(options(disk, index)).unwrap();
    let read = store.read(0, usize::MAX).await.unwrap();
    for (seq, leaf) in &said.leaves {
        let found = read.get(*seq as usize).map(|(_, leaf)| leaf);
        assert_eq!(found, Some(leaf), "leaf {seq} was acknowledged and is lost");
    }
    let ids: BTreeSet<EventId> = read
        .iter()
        .map(|(_, leaf)| Leaf::decode(leaf).unwrap().id)
        .collect();
    assert_eq!(ids.len(), read.len(), "an event is there twice");
    for subject in &said.kept {
        let erased = read.iter().any(|(_, leaf)| {
            model::IndexKeys::of(&Leaf::decode(leaf).unwrap()).erased == Some(*subject)
        });
        let key = store.key(*subject).await.unwrap();
        assert_eq!(
            matches!(key, KeyState::Kept(_)),
            !erased,
            "{subject}: {key:?}"
        );
        assert_eq!(key == KeyState::Destroyed, erased);
    }
    for (event, ct, subject, bytes) in &said.payloads {
        let blob = store.payload(*event, *ct).await.unwrap();
        if store.key(*subject).await.unwrap() == KeyState::Destroyed {
            assert_eq!(blob, BlobState::Scrubbed);
        } else {
            assert_eq!(blob, BlobState::Kept(bytes.clone()));
        }
    }
    for (place, batch) in said.tried.iter().enumerate() {
        let again = store.append(batch.clone()).await;
        let appended = again.unwrap_or_else(|e| panic!("batch {place} cannot be retried: {e:?}"));
        assert!(
            appended.new == 0 || appended.new == batch.leaves.len(),
            "batch {place} was there in part"
        );
    }
    let durable = store.status().await.unwrap().durable;
    store.wait_indexed(durable).await.unwrap();
    let before = store.index_digests().await.unwrap();
    assert_eq!(store.reindex().await.unwrap(), durable);
    assert_eq!(
        store.index_digests().await.unwrap(),
        before,
        "the index differs from a rebuilt one"
    );
    store.publish().await.expect("signing goes on");
    store.close().await.unwrap();
    let mut verifying = verify::Options {
        full: true,
        threads: 1,
        ..verify::Options::default()
    };
    verifying.disk = Arc::new(disk.clone());
    verifying.index = options(disk, index).index;
    verifying.witness_dir = options(disk, index).witness_dir;
    let report = verify::verify(Path::new("/data"), &verifying, &|_, _, _| {}).unwrap();
    assert!(report.is_intact(), "{:#?}", report.findings);
    assert_eq!(report.size, durable);
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Runs the script under one fault, and checks what is left of it.
fn play(operation: u64, fault: Fault, loss: Loss) -> bool {
    let index = tempfile::tempdir().unwrap();
    let disk = FaultDisk::default();
    disk.plan(operation, fault);
    let mut said = Said::default();
    block_on(script(&disk, index.path(), &mut said));
    let journal = disk.journal();
    let after = disk.after_power_loss(loss);
    let what = journal.get(operation as usize).cloned().unwrap_or_default();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        block_on(check(&after, index.path(), &said));
    }));
    if let Err(panic) = result {
        let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        panic!("operation {operation} (`{what}`), {fault:?}, {loss:?}: {words}");
    }
    disk.struck()
}

/// Every fault at every operation of the script, until one comes after its end.
fn enumerate(fault: Fault, loss: impl Fn(u64) -> Loss + Sync) -> u64 {
    let counts = worker::scatter(2, |part| {
        let mut operation = part as u64;
        while play(operation, fault, loss(operation)) {
            operation += 2;
        }
        operation
    });
    let count = counts.into_iter().min().unwrap();
    assert!(count > 100, "the script has only {count} operations");
    count
}

#[test]
fn c73_dying_before_any_operation_loses_nothing() {
    enumerate(Fault::Die, |_| Loss::None);
}

#[test]
fn c73_losing_power_before_any_operation_loses_nothing_that_was_acknowledged() {
    enumerate(Fault::Die, |_| Loss::All);
}

#[test]
fn c73_losing_power_in_the_middle_of_any_operation_tears_only_what_was_not_acknowledged() {
    enumerate(Fault::DieHalfway, |_| Loss::None);
    enumerate(Fault::DieHalfway, Loss::Some);
}

#[test]
fn c75_any_operation_that_fails_blocks_what_depends_on_it() {
    enumerate(Fault::Eio, |_| Loss::None);
    enumerate(Fault::Eio, |_| Loss::All);
}

#[test]
fn c75_any_operation_without_space_blocks_what_depends_on_it() {
    enumerate(Fault::Enospc, |_| Loss::All);
}
