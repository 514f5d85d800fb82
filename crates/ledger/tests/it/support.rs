//! A log in a map, built by the crate under test.

use std::collections::BTreeMap;

use ledger::{Checkpoint, LogBuilder, SigningKey, Tile, TileError, TileFile, TileReader};

pub(crate) const ORIGIN: &str = "ledger.example/decisions";

/// Files by their tile, as a directory would hold them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files(pub(crate) BTreeMap<Tile, Vec<u8>>);

impl TileReader for Files {
    fn read(&self, tile: Tile) -> Result<Vec<u8>, TileError> {
        self.0
            .get(&tile)
            .cloned()
            .ok_or(TileError::Missing { tile })
    }
}

impl Files {
    /// Stores what a builder made. The same path with other bytes is a defect of the builder.
    pub(crate) fn write(&mut self, files: &mut Vec<TileFile>) {
        for TileFile { tile, bytes } in files.drain(..) {
            let before = self.0.insert(tile, bytes.clone());
            assert!(
                before.is_none_or(|before| before == bytes),
                "{tile} came out twice"
            );
        }
    }
}

pub(crate) fn entry(index: u64) -> Vec<u8> {
    format!("entry-{index}").into_bytes()
}

/// The seed of the known answers: 32 bytes that count up from `first`.
pub(crate) fn seed(first: u8) -> [u8; 32] {
    std::array::from_fn(|i| first + u8::try_from(i).unwrap())
}

pub(crate) fn log_key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &seed(0)).unwrap()
}

/// Builds `size` entries `entry-N` that are published once, at the end.
pub(crate) fn build(size: u64) -> (LogBuilder, Files) {
    build_published(size, &[])
}

/// Builds `size` entries `entry-N` that are published at each of `sizes` and at the end.
pub(crate) fn build_published(size: u64, sizes: &[u64]) -> (LogBuilder, Files) {
    let (mut builder, mut files, mut out) = (LogBuilder::new(), Files::default(), Vec::new());
    for index in 0..size {
        assert_eq!(builder.push(&entry(index), &mut out).unwrap(), index);
        if sizes.contains(&(index + 1)) {
            builder.publish(&mut out);
        }
        files.write(&mut out);
    }
    builder.publish(&mut out);
    files.write(&mut out);
    (builder, files)
}

pub(crate) fn checkpoint(builder: &LogBuilder) -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size: builder.size(),
        root: builder.root(),
    }
}
