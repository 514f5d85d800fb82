//! Load and crashes on real processes.
//!
//! ```text
//!   clients ──────────── direct ───────────► upstream (a process of its own, fixed answers)
//!      ├──► rescind up (a process of its own) ──►┤
//!      ├──► a bare relay, for the floor ────────►┤
//!      └──► a relay with a keeper ──────────────►┘
//! ```
//!
//! [`mod@bench`] measures what the gateway adds, in windows that alternate with calls that go to the
//! upstream directly and through a bare [`relay`], and through one whose [`keeper`] does what any
//! recorder must; [`saturate`] finds how many go through before they take too long; [`growth`] watches
//! its memory over minutes;
//! [`crash`] kills the gateway in the middle of calls and holds its record
//! against what the upstream saw. Nothing here runs in the gateway's process, and nothing asserts
//! a time: a window with a failed call is void, and the machine's state stands beside the numbers.

pub mod bench;
pub mod client;
pub mod crash;
pub mod growth;
pub mod keeper;
pub mod machine;
pub mod process;
pub mod record;
pub mod relay;
pub mod report;
pub mod saturate;
pub mod upstream;
pub mod window;
pub mod words;
