//! Threads and the queues between them: the one home of both in this workspace.
//!
//! A worker is a named thread that is joined when its handle is dropped; a task is one that something
//! comes of. A [`Queue`] is bounded by
//! weight, so that a slow reader slows its writer down instead of filling memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A thread that is joined when this is dropped. What it waits on must be closed before.
pub struct Worker {
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Worker").finish()
    }
}

/// Runs `work` on a thread of its own.
///
/// # Errors
/// The system has no more threads to give.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<Worker> {
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)?;
    Ok(Worker {
        thread: Some(thread),
    })
}

/// A piece of work on a thread of its own. It is waited for when this is dropped.
#[derive(Debug)]
pub struct Task<T> {
    thread: Option<JoinHandle<T>>,
}

/// Begins a piece of work on a thread of its own.
///
/// # Errors
/// The system has no more threads to give.
pub fn begin<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<Task<T>> {
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)?;
    Ok(Task {
        thread: Some(thread),
    })
}

impl<T> Task<T> {
    /// Whether it is done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for it, and returns what came of it.
    pub fn end(mut self) -> T {
        let thread = self
            .thread
            .take()
            .expect("it is taken here and nowhere else");
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Its panic was reported by its own thread.
            let _ = thread.join();
        }
    }
}

/// Runs `parts` pieces of work at once, each with its number, and returns their results in order.
pub fn scatter<T: Send>(parts: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (1..parts)
            .map(|part| scope.spawn(move || work(part)))
            .collect();
        let mut results = vec![work(0)];
        results.extend(threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }));
        results
    })
}

/// How many pieces of work can run at once on this machine.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of the worker was reported by its own thread; its queue is closed by then.
            let _ = thread.join();
        }
    }
}

/// A queue bounded by weight.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    limit: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(usize, T)>,
    weight: usize,
    closed: bool,
    hurry: bool,
}

impl<T> Queue<T> {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                weight: 0,
                closed: false,
                hurry: false,
            }),
            changed: Condvar::new(),
            limit,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item in, and waits while the queue is full. Gives it back if the queue is closed.
    pub(crate) fn push(&self, weight: usize, item: T) -> Result<(), T> {
        let mut state = self.state();
        while !state.closed && state.weight >= self.limit {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(item);
        }
        state.weight += weight;
        state.items.push_back((weight, item));
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Puts an item in however full the queue is, for what is bounded elsewhere.
    pub(crate) fn force(&self, weight: usize, item: T) -> Result<(), T> {
        let mut state = self.state();
        if state.closed {
            return Err(item);
        }
        state.weight += weight;
        state.items.push_back((weight, item));
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Takes everything that is there, but stops after `most` in weight. Waits for the first item,
    /// and then for more to come, unless somebody is in a hurry: for each weight of `patience` as
    /// long as it says, and no further where that did not come. None once the queue is closed and
    /// empty.
    pub(crate) fn take(&self, most: usize, patience: &[(usize, Duration)]) -> Option<Vec<T>> {
        let mut state = self.state();
        while state.items.is_empty() {
            if state.closed {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        for (weight, patience) in patience {
            let enough = *weight.min(&most).min(&self.limit);
            let waits =
                |state: &mut State<T>| !state.closed && !state.hurry && state.weight < enough;
            state = self
                .changed
                .wait_timeout_while(state, *patience, waits)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if state.weight < enough {
                break;
            }
        }
        state.hurry = false;
        let mut taken = Vec::new();
        let mut weight = 0;
        while weight < most {
            let Some((each, item)) = state.items.pop_front() else {
                break;
            };
            weight += each;
            taken.push(item);
        }
        state.weight -= weight;
        drop(state);
        self.changed.notify_all();
        Some(taken)
    }

    /// Makes the next [`Self::take`] not wait for more.
    pub(crate) fn hurry(&self) {
        self.state().hurry = true;
        self.changed.notify_all();
    }

    /// Lets nothing more in; what is there can still be taken.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// Lets nothing more in and drops what is there.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.closed = true;
        state.items.clear();
        state.weight = 0;
        drop(state);
        self.changed.notify_all();
    }
}
