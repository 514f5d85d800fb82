//! Judges calls: what waits for a person, what is refused, which targets rest.
//!
//! ```text
//!   call ──► facts: class, approval, repeats, breakers ──► judge ──► allow | hold | deny
//!                                 ▲                                        │
//!            Approvals · Loops · Breakers ◄──── how calls ended ◄──────────┘
//! ```
//!
//! [`judge`] is a plain function over facts. The three books that the facts come from are plain
//! values too: [`Approvals`] (what waits, and which approval is still good), [`Loops`] (who does
//! the same again and again) and [`Breakers`] (which targets fail). Time is an argument of each.
//!
//! Nothing here records, waits or calls anything. Who holds the books writes down every change
//! before it acts on it, and builds them anew from the record after a start.

mod approvals;
mod breaker;
mod breakers;
mod judge;
mod loops;

pub use approvals::{Approvals, Entry, Given, NotWaiting, Standing};
pub use breaker::{Admission, Breaker, BreakerOptions, Change, Heard, Phase, Ticket};
pub use breakers::{Breakers, Target};
pub use judge::{Facts, Judgement, Mode, Rule, is_gated, judge};
pub use loops::Loops;
