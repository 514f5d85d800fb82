//! How the tests open stores.

use std::path::Path;
use std::sync::Arc;

use ledger::conformance::sample::Maker;
use ledger::payload::{FieldIn, Sealer};
use ledger::{Leaf, SeededEntropy, SubjectKey};
use model::{DecisionId, Digest, RunId, SubjectId};
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

/// The key that the tests keep for every subject.
pub(crate) fn key() -> SubjectKey {
    SubjectKey::from_bytes(&[5; 32])
}

/// A leaf with a payload that opens with [`key`].
pub(crate) fn propose_sealed(
    make: &mut Maker,
    decision: DecisionId,
    run: RunId,
    subject: SubjectId,
    text: &[u8],
) -> (Leaf, (Digest, Vec<u8>)) {
    // The payload is bound to the id of the event, which the maker does not tell before.
    let (leaf, _) = make.clone().propose_sealed(decision, run, subject, text);
    let id = leaf.keys().id;
    let nonce = id.as_bytes()[4..].try_into().unwrap();
    let field = FieldIn {
        role: "asked",
        media: "",
        bytes: text,
        salt: [1; 16],
    };
    let sealed = Sealer::new()
        .seal(&key(), nonce, id.as_bytes(), &[field])
        .unwrap();
    make.propose_sealed(decision, run, subject, &sealed.ciphertext)
}
