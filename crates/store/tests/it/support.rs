//! How the tests open stores.

use std::path::Path;
use std::sync::Arc;

use ledger::SeededEntropy;
use store::OpenOptions;
use store::fault::FaultDisk;

/// In a real directory.
pub(crate) fn in_dir(dir: &Path) -> OpenOptions {
    let mut options = OpenOptions::new(
        dir,
        Arc::new(SeededEntropy::new(1)),
        Arc::new(|| 1_700_000_000),
    );
    options.origin = Some("test.invalid/log".to_owned());
    options.holder = "tests".to_owned();
    options
}

/// On a disk that fails as planned, with the index in a real directory.
pub(crate) fn on_disk(disk: &FaultDisk, index: &Path) -> OpenOptions {
    let mut options = in_dir(Path::new("/data"));
    options.disk = Arc::new(disk.clone());
    options.index = Some(index.join("index.sqlite"));
    options
}
