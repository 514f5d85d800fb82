//! Who depends on a write through a record: calls that looked at what it changed.
//!
//! *Certain* where a call would have ended or answered otherwise without the write, as far as that
//! can be foreseen from images. *Possible* where it met what the write changed and only it knows
//! whether that made a difference, and where images are missing, so that nothing more can be said.
//! Whoever looked after the change was overwritten or put back depends on nothing.

use model::{CauseKind, DecisionId, Edge, FailureClass, Outcome, Strength};
use rustc_hash::FxHashSet;

use super::timeline::{Item, Timeline};
use super::without::{Verdict, without};
use crate::catalogue::{Catalogue, Images};
use crate::changes::overlap;
use crate::each::{Each, InTurn};
use crate::facts::{Call, Facts, Told};

/// What the records hold now: nobody asks here.
static NOW: Images = Images::new();

/// A later call that a write changed something for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependant {
    /// The later call.
    pub decision: DecisionId,
    /// The write.
    pub cause: DecisionId,
    /// The record that both touched.
    pub uri: String,
    /// The field of it, as a JSON Pointer; empty where it is not known, or all of it is meant.
    pub at: String,
    /// Whether the write is known to have made a difference.
    pub strength: Strength,
}

/// Returns the later calls that some writes changed something for, each with the write that did.
/// Those that are certain would have ended or answered otherwise without these writes.
#[must_use]
pub fn dependants<'a>(
    calls: impl IntoIterator<Item: Into<Told<'a>>>,
    of: &[DecisionId],
    catalogue: &Catalogue,
) -> Vec<Dependant> {
    dependants_by(calls, of, catalogue, &InTurn)
}

/// As [`dependants`], with what is done for each record done by `each`.
#[must_use]
pub fn dependants_by<'a>(
    calls: impl IntoIterator<Item: Into<Told<'a>>>,
    of: &[DecisionId],
    catalogue: &Catalogue,
    each: &impl Each,
) -> Vec<Dependant> {
    let timeline = Timeline::new(calls, catalogue, &NOW, each);
    let of: FxHashSet<DecisionId> = of.iter().copied().collect();
    let dropped = |item: &Item<'_>| of.contains(&item.call.decision) && !item.call.undone;
    let numbers = timeline.items.iter().enumerate();
    let dropped: FxHashSet<usize> = numbers
        .filter(|(_, item)| dropped(item))
        .map(|(number, _)| number)
        .collect();
    let verdicts = without(&timeline, catalogue, &dropped).into_iter();
    let found = |(number, verdict)| dependant(&timeline, number, verdict, &dropped);
    verdicts.enumerate().filter_map(found).collect()
}

/// Returns the earlier writes that changed something for the last of these calls, which are in the
/// order of the record.
#[must_use]
pub fn relied_on<'a>(
    calls: impl IntoIterator<Item = &'a Call>,
    catalogue: &Catalogue,
) -> Vec<Dependant> {
    let timeline = Timeline::new(calls, catalogue, &NOW, &InTurn);
    let Some(last) = timeline.items.len().checked_sub(1) else {
        return Vec::new();
    };
    let touched: FxHashSet<usize> = timeline.items[last].events.iter().map(|e| e.0).collect();
    let mut found = Vec::new();
    for (number, item) in timeline.items[..last].iter().enumerate() {
        let shares = item.events.iter().any(|(at, _)| touched.contains(at));
        if !shares || !item.writes || !item.may || item.call.undone {
            continue;
        }
        let dropped = FxHashSet::from_iter([number]);
        let verdict = without(&timeline, catalogue, &dropped).pop();
        found.extend(dependant(
            &timeline,
            last,
            verdict.unwrap_or_default(),
            &dropped,
        ));
    }
    found
}

/// Members that depend on others for certain through records alone.
pub(crate) fn onlookers(facts: &Facts) -> FxHashSet<DecisionId> {
    let certain = facts.edges.iter();
    let certain = certain.filter(|edge| edge.strength == Strength::Certain);
    let (read, other): (Vec<&Edge>, Vec<&Edge>) =
        certain.partition(|edge| edge.kind == CauseKind::Read);
    let mut found: FxHashSet<DecisionId> = read.into_iter().map(|edge| edge.effect).collect();
    for edge in other {
        found.remove(&edge.effect);
    }
    let included = facts.members.iter();
    let included = included.filter(|member| member.ring == Strength::Possible);
    for named in included
        .map(|member| &member.decision)
        .chain(&facts.incident.roots)
    {
        found.remove(named);
    }
    found
}

fn dependant(
    timeline: &Timeline<'_>,
    number: usize,
    verdict: Verdict,
    dropped: &FxHashSet<usize>,
) -> Option<Dependant> {
    let item = &timeline.items[number];
    if dropped.contains(&number) || item.call.undone || !answered(&item.call.outcome) {
        return None;
    }
    let (met, strength) = match (verdict.differs, verdict.looked) {
        (Some(differs), _) => (differs, Strength::Certain),
        (None, Some(looked)) if item.writes => (looked, Strength::Possible),
        _ => {
            let (uri, by) = unseen(timeline, number, dropped)?;
            return Some(Dependant {
                decision: item.call.decision,
                cause: timeline.items[by].call.decision,
                uri,
                at: String::new(),
                strength: Strength::Possible,
            });
        }
    };
    Some(Dependant {
        decision: item.call.decision,
        cause: timeline.items[met.by].call.decision,
        uri: met.uri,
        at: met.at,
        strength,
    })
}

/// A record that a call looked at and that a dropped one may have changed before it, where images
/// are missing that would tell.
fn unseen(
    timeline: &Timeline<'_>,
    number: usize,
    dropped: &FxHashSet<usize>,
) -> Option<(String, usize)> {
    let item = &timeline.items[number];
    let touches = item.footprint.touches.iter().zip(&item.events);
    for (touch, (at, mine)) in touches {
        let history = &timeline.histories[*at];
        let known = history.events[*mine].before.is_some();
        for event in history.events[..*mine].iter().rev() {
            let Some((by, _)) = event.by.filter(|(by, _)| dropped.contains(by)) else {
                continue;
            };
            if known && event.before.is_some() && event.after.is_some() {
                continue;
            }
            let changed = |at: &String| event.changed.iter().any(|field| overlap(field, at));
            if touch.reads.iter().any(changed) {
                return Some((history.uri.clone(), by));
            }
        }
    }
    None
}

/// Whether a call got as far as the tool, so that it looked at something.
const fn answered(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Succeeded => true,
        Outcome::Failed { class } => matches!(
            class,
            FailureClass::Error | FailureClass::Invalid | FailureClass::NotFound
        ),
        Outcome::Cancelled | Outcome::Replayed | Outcome::Unknown => false,
    }
}
