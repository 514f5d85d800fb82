//! Work on many items, done at once by whoever has threads. This crate starts none.

use std::sync::{Mutex, PoisonError};

/// Does pieces of work, each known by its number, in any order or at once, and returns when all of
/// them are done.
pub type AtOnce<'w> = dyn Fn(usize, &(dyn Fn(usize) + Sync)) + Sync + 'w;

/// How many pieces to make, and who does them.
#[derive(Clone, Copy)]
pub(crate) struct Spread<'w> {
    pub(crate) pieces: usize,
    pub(crate) at_once: &'w AtOnce<'w>,
}

impl Spread<'_> {
    /// Does `work` for each item, and returns what comes of them in the order of the items.
    pub(crate) fn map<T: Send, R: Send>(
        self,
        items: Vec<T>,
        work: impl Fn(T) -> R + Sync,
    ) -> Vec<R> {
        if self.pieces < 2 || items.len() < 2 {
            return items.into_iter().map(work).collect();
        }
        let size = items.len().div_ceil(self.pieces);
        let mut items = items.into_iter();
        let mut pieces = Vec::with_capacity(self.pieces);
        while items.len() > 0 {
            let piece: Vec<T> = items.by_ref().take(size).collect();
            pieces.push(Mutex::new((piece, Vec::new())));
        }
        (self.at_once)(pieces.len(), &|number| {
            // Each piece is met by one thread alone.
            let mut piece = pieces[number]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let items = std::mem::take(&mut piece.0);
            piece.1 = items.into_iter().map(&work).collect();
        });
        let results = pieces.into_iter().flat_map(|piece| {
            let (left, done) = piece.into_inner().unwrap_or_else(PoisonError::into_inner);
            // Whatever a caller left undone is done here: nothing of a file is ever passed over.
            done.into_iter()
                .chain(left.into_iter().map(&work).collect::<Vec<_>>())
        });
        results.collect()
    }
}
