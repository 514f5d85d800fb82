//! Doing the same for each of many: one after the other here, at once where whoever asks has cores
//! for it.
//!
//! Nothing in this crate begins a thread. But records have little to do with each other until a plan
//! is put together, so who has threads hands something in that uses them.

/// Does the same for each of many.
pub trait Each: Sync {
    /// Returns what `work` makes of each item, in the order of the items.
    fn each<T: Send, R: Send>(&self, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R>;
}

/// One after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct InTurn;

impl Each for InTurn {
    fn each<T: Send, R: Send>(&self, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        items.into_iter().map(work).collect()
    }
}
