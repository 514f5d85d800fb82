//! Work on several cores at once, on threads that end before it is done.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};

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

/// What a plan does for each record, done by all cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AllCores;

impl recover::Each for AllCores {
    fn each<T: Send, R: Send>(&self, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        spread(items, work)
    }
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

/// Does `work` for each item on all cores, and hands what comes of them to `take` in order, each as
/// soon as all before it are there: whoever is done with one begins the next, and nobody waits for
/// the slowest before the end.
pub(crate) fn in_order<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
    mut take: impl FnMut(R),
) {
    let threads = cores().min(items.len());
    let items = Mutex::new(items.into_iter().enumerate());
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        let (done, others) = mpsc::channel();
        for _ in 1..threads {
            let done = done.clone();
            let (next, work) = (&next, &work);
            scope.spawn(move || {
                while let Some((place, item)) = next() {
                    // Nobody hears of it only where `take` panicked.
                    let _ = done.send((place, work(item)));
                }
            });
        }
        drop(done);
        let mut there = BTreeMap::new();
        let mut place = 0;
        let mut hand_over = |there: &mut BTreeMap<usize, R>| {
            while let Some(result) = there.remove(&place) {
                take(result);
                place += 1;
            }
        };
        while let Some((place, item)) = next() {
            there.insert(place, work(item));
            there.extend(others.try_iter());
            hand_over(&mut there);
        }
        for (place, result) in others {
            there.insert(place, result);
            hand_over(&mut there);
        }
    });
}
