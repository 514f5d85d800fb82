//! Threads for whoever asks about the record, beside those that carry calls: a large answer takes
//! longer to make than a call may wait.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// The threads. They end with this.
pub(super) struct Beside {
    /// There until the end.
    runtime: Option<Runtime>,
    threads: Threads,
}

/// Gives them work. Cheap to clone.
#[derive(Clone)]
pub(super) struct Threads {
    tasks: TaskTracker,
    handle: Handle,
}

impl Beside {
    /// Starts them; what they do is among `tasks`.
    pub(super) fn start(tasks: TaskTracker) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rescind-asked")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self {
            runtime: Some(runtime),
            threads: Threads { tasks, handle },
        })
    }

    pub(super) fn threads(&self) -> Threads {
        self.threads.clone()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Nobody waits here: those that carry calls must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Threads {
    /// Does `work` there. Dropped, it stops the work.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let done = AbortOnDropHandle::new(self.tasks.spawn_on(work, &self.handle)).await;
        match done.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(done) => done,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The threads have ended, and everything else ends with them.
            Err(Err(_)) => std::future::pending().await,
        }
    }
}
