//! Takes rescinded text out of one request.

use wire::llm::{Api, Layout};

use crate::edit::{Repair, splice};
use crate::marks::Marks;
use crate::walk::Walk;
use crate::{chat, messages, responses};

/// Returns the body with a correction in the place of everything that a mark is known by; none
/// where there is nothing to do, and the same bytes go on. A body with a key given twice goes on
/// too: nobody knows which of them the model is shown.
///
/// Of `sets`, at most one is of the history's own run.
#[must_use]
pub fn repair(layout: &Layout<'_>, sets: &[&Marks]) -> Option<Repair> {
    if sets.iter().all(|marks| marks.is_empty()) {
        return None;
    }
    let mut walk = Walk::new(layout, sets);
    match layout.api() {
        Api::Chat => chat::walk(&mut walk),
        Api::Responses => responses::walk(&mut walk),
        Api::Messages => messages::walk(&mut walk),
    }
    let Walk {
        edits, replaced, ..
    } = walk;
    if edits.is_empty() || layout.repeats() {
        return None;
    }
    Some(Repair {
        body: splice(layout.text().as_bytes(), edits),
        replaced,
    })
}
