//! Takes what was rescinded out of the histories that agents resend.
//!
//! ```text
//!   rescinded decisions ─► Mark ─► Marks ──┐
//!                                          ├─► repair ─► the same body, byte for byte, or a Repair
//!   body of a request ─────────────────────┘
//! ```
//!
//! A [`Mark`] says by what a rescinded decision is recognised; [`Marks`] are many of them, made
//! ready to be looked for; [`repair`] puts a short correction in the place of each trace.
//!
//! What an item becomes depends on the item, the items before it and the marks alone. So a
//! history that grew keeps its repaired beginning, byte for byte, and a provider's prompt cache
//! holds. No message is taken out and no role changes: what a provider takes before, it takes
//! after, and each call keeps its one result. Bytes that no mark concerns are not written anew.
//!
//! What stays although it was rescinded: thinking that a provider signed, in a message that also
//! asks for calls (the provider refuses the history without it); arguments and results whose form
//! the provider fixes (screens, shells, patches). Of what a provider keeps on its own side a request
//! is written out [`whole`] first, or the model is [told](tell).
//!
//! Beside histories there are states that agents save: [`with_kept`] says what an agent that goes
//! back to an earlier one keeps of the newest.
//!
//! Not here: which decisions are rescinded, to which state an agent goes back, and what the record
//! says of a repair.

mod anchors;
mod chat;
mod edit;
mod kept;
mod line;
mod mark;
mod marks;
mod messages;
mod outline;
mod passages;
mod repair;
mod responses;
mod walk;
mod windows;

pub use edit::{Cut, Repair, Replaced};
pub use kept::{Turn, tell, whole};
pub use line::with_kept;
pub use mark::{Called, Mark, Trace};
pub use marks::{Audience, Marks};
pub use outline::{Line, outline};
pub use repair::repair;
