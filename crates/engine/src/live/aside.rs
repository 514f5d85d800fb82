//! Long work on the way of a call, where other calls do not wait for it.
//!
//! Calls share few threads. What is short is done in place: to move it costs more than it takes.

use tokio::runtime::{Handle, RuntimeFlavor};

/// From how many bytes on work on a text is long: hundreds of microseconds.
const LONG: usize = 64 << 10;

/// Does work on a text of `bytes`. Where that is long, another thread carries the other calls
/// meanwhile, if the runtime has such.
pub fn aside<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let others = || {
        let handle = Handle::try_current();
        handle.is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
    };
    if bytes >= LONG && others() {
        return tokio::task::block_in_place(work);
    }
    work()
}
