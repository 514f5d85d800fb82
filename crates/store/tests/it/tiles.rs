//! Many tiles at once: they are synced while more are written, and never signed over before that.

use std::path::Path;
use std::sync::Arc;

use ledger::conformance::sample::{Maker, batch};
use ledger::{Leaf, Store as _, StoreError};
use store::fault::{Fault, FaultDisk, Loss};
use store::{EmbeddedStore, verify};

use crate::support::on_disk;

/// Bundles of 256, and as many tiles over them: more files than are left to the end.
const LEAVES: usize = 40 * 256 + 7;

fn leaves(make: &mut Maker) -> Vec<Leaf> {
    (0..LEAVES).map(|_| make.filler(1)).collect()
}

/// Appends on a disk, publishes, and tells how that ended.
async fn publish(disk: &FaultDisk, index: &Path) -> Result<String, StoreError> {
    let store = EmbeddedStore::open(on_disk(disk, index)).unwrap();
    let appended = store.append(batch(leaves(&mut Maker::default()))).await;
    assert_eq!(appended.unwrap().new, LEAVES);
    let published = store.publish().await;
    if matches!(published, Err(StoreError::Poisoned { .. })) {
        let again = store.publish().await;
        assert!(again.is_err(), "a failed sync is not tried again");
    }
    published
}

/// What survives the loss of all that was not synced is whole, and is signed.
async fn survives(disk: &FaultDisk, index: &Path) {
    let disk = disk.after_power_loss(Loss::All);
    let store = EmbeddedStore::open(on_disk(&disk, index)).unwrap();
    assert_eq!(store.status().await.unwrap().durable, LEAVES as u64);
    store.publish().await.unwrap();
    store.close().await.unwrap();
    let mut verifying = verify::Options {
        full: true,
        threads: 1,
        ..verify::Options::default()
    };
    verifying.index = on_disk(&disk, index).index;
    verifying.disk = Arc::new(disk);
    let report = verify::verify(Path::new("/data"), &verifying, &|_, _, _| {}).unwrap();
    assert!(report.is_intact(), "{:#?}", report.findings);
    assert_eq!(report.size, LEAVES as u64);
}

#[tokio::test]
async fn what_was_signed_over_many_tiles_survives_the_loss_of_power() {
    let (disk, index) = (FaultDisk::default(), tempfile::tempdir().unwrap());
    publish(&disk, index.path()).await.unwrap();
    survives(&disk, index.path()).await;
}

#[tokio::test]
async fn many_tiles_of_which_one_is_not_synced_are_not_signed_over() {
    let is_sync = |what: &String| what.starts_with("sync ") && what.contains("/tile/");
    let (disk, index) = (FaultDisk::default(), tempfile::tempdir().unwrap());
    publish(&disk, index.path()).await.unwrap();
    let journal = disk.journal();
    let syncs = (0..journal.len()).filter(|at| is_sync(&journal[*at]));
    let mut failed = 0;
    for at in syncs.step_by(11) {
        let (disk, index) = (FaultDisk::default(), tempfile::tempdir().unwrap());
        disk.plan(at as u64, Fault::Eio);
        let published = publish(&disk, index.path()).await;
        // Threads take turns as they like: another operation may have had this number.
        if is_sync(&disk.journal()[at]) {
            let poisoned = matches!(published, Err(StoreError::Poisoned { .. }));
            assert!(poisoned, "{published:?}");
            failed += 1;
        }
        survives(&disk, index.path()).await;
    }
    assert!(failed > 0, "no sync of a tile failed");
}
