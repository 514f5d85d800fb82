//! Work on several cores at once, on threads that end before it is done.

use std::sync::OnceLock;

/// How many pieces of work can run at once on this machine.
pub(crate) fn cores() -> usize {
    // To ask costs more than many a piece of work, and the answer stays.
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// So few pieces are done faster than a thread begins.
const ALONE: usize = 32;

/// Does `work` for each item, on as many threads as are worth it, and returns what came of them in
/// order.
pub(crate) fn spread<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let part = items.len().div_ceil(cores()).max(ALONE);
    if items.len() <= part {
        return items.into_iter().map(work).collect();
    }
    let mut items = items.into_iter();
    let mut parts = Vec::new();
    while items.len() > 0 {
        parts.push(items.by_ref().take(part).collect::<Vec<T>>());
    }
    let done = at_once(&mut parts, |part| {
        let items = std::mem::take(part).into_iter();
        items.map(&work).collect::<Vec<R>>()
    });
    done.into_iter().flatten().collect()
}

/// Does `work` for each item at once, on threads that end before this returns.
pub(crate) fn at_once<T: Send, R: Send>(
    items: &mut [T],
    work: impl Fn(&mut T) -> R + Sync,
) -> Vec<R> {
    let Some((first, rest)) = items.split_first_mut() else {
        return Vec::new();
    };
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = rest
            .iter_mut()
            .map(|item| scope.spawn(move || work(item)))
            .collect();
        let mut results = vec![work(first)];
        results.extend(threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }));
        results
    })
}
