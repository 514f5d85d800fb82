//! What records are to be put back to, and which kept calls have to run again on them.
//!
//! A kept call runs again where its place in the history would no longer be the same: it read, or
//! may have changed, a field that is put back before it; or a kept call after it, which stays as it
//! is, would be in the way of what it has to read. Nothing else runs again. Then the history of each
//! record without the dropped calls and without those that run again is the state to put back, and
//! it is made of images alone: what was there before the first of them, and what every other call
//! wrote since.

use std::collections::{BTreeMap, BTreeSet};

use model::EffectClass;
use rustc_hash::FxHashSet;
use serde_json::Value;

use super::timeline::{Event, History, Item, Timeline};
use crate::catalogue::{Catalogue, Touch};
use crate::changes::{changes, overlap, within};
use crate::each::Each;
use crate::fields::{get, set};
use crate::plan::{Conflict, Fields, Rule};

/// What is to become of records.
#[derive(Debug, Default)]
pub(crate) struct Restored<'a> {
    /// Calls that run again, in their order.
    pub(crate) again: BTreeSet<usize>,
    /// By history: what changes, from what it is now.
    pub(crate) records: BTreeMap<usize, Target<'a>>,
    pub(crate) conflicts: Vec<Conflict>,
}

/// A record as it is and as it is to be.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) now: Option<&'a Value>,
    pub(crate) then: Option<Value>,
    /// Fields that differ and are put back, with what they are to be.
    pub(crate) fields: Fields,
    /// Fields that would be put back and stay, by a rule or until a person says.
    pub(crate) left: Vec<String>,
}

/// Finds what to put back without `dropped`.
pub(crate) fn restore<'a>(
    timeline: &Timeline<'a>,
    catalogue: &Catalogue,
    dropped: &FxHashSet<usize>,
    rules: &BTreeMap<String, Rule>,
    each: &impl Each,
) -> Restored<'a> {
    let again = again(timeline, dropped);
    let mut restored = Restored::default();
    let gone = |item: usize| dropped.contains(&item) || again.contains(&item);
    let mut histories = BTreeSet::new();
    for item in dropped.iter().chain(&again) {
        let item = &timeline.items[*item];
        for (touch, (at, _)) in item.footprint.touches.iter().zip(&item.events) {
            if !touch.writes.is_empty() {
                histories.insert(*at);
            }
        }
    }
    let histories: Vec<usize> = histories.into_iter().collect();
    let found = each.each(histories, |at| {
        let history = &timeline.histories[at];
        Some((at, target(timeline, catalogue, history, &gone, rules)?))
    });
    for (at, (target, conflicts)) in found.into_iter().flatten() {
        restored.conflicts.extend(conflicts);
        restored.records.insert(at, target);
    }
    restored.again = again;
    restored
}

/// Finds what one record is to be put back to without the calls that are `gone`, and who wrote it
/// since; none where it is not known.
fn target<'a>(
    timeline: &Timeline<'a>,
    catalogue: &Catalogue,
    history: &History<'a>,
    gone: &impl Fn(usize) -> bool,
    rules: &BTreeMap<String, Rule>,
) -> Option<(Target<'a>, Vec<Conflict>)> {
    let is_gone = |event: &Event<'_>| event.by.is_some_and(|(item, _)| gone(item));
    let first = history.events.iter().position(is_gone)?;
    let (from, now) = (history.events[first].before?, history.last()?);
    let kind = history
        .events
        .iter()
        .find_map(|event| timeline.touch(event));
    let resource = catalogue.resource(&kind?.kind);
    let rule = rules.get(&history.uri).copied();
    let mut conflicts = Conflicts::new(&history.uri, rule, resource.conflict);
    let mut state = from.cloned();
    let mut changed: Vec<&String> = Vec::new();
    let mut blind: Vec<&String> = Vec::new();
    // What calls that were taken back since made of fields, and what these were before: who put
    // that back is no stranger.
    let mut reverted = Fields::new();
    for event in &history.events[first..] {
        if is_gone(event) {
            changed.extend(&*event.changed);
            continue;
        }
        let item = event.by.map(|(item, _)| &timeline.items[item]);
        if item.is_some_and(|item| item.call.undone) {
            if let (Some(before), Some(_)) = (event.before, event.after) {
                let was = |field: &String| (field.clone(), get(before, field).cloned());
                reverted.extend(event.changed.iter().map(was));
            }
            continue;
        }
        let (Some(_), Some(after)) = (event.before, event.after) else {
            // What it wrote is not known, so that it cannot be told from what is put back.
            blind.extend(&*event.changed);
            continue;
        };
        let touch = timeline.touch(event);
        // Fields that were put there whatever they were are nobody's but this call's.
        let did = touch.filter(|_| item.is_some_and(|item| item.happened));
        let sets = did.map_or(&[][..], |touch| &touch.sets);
        let newer = |field: &str| {
            let set = sets.iter().any(|at| within(field, at));
            !set && changed.iter().any(|old| overlap(old, field))
        };
        for field in &*event.changed {
            let value = get(after, field);
            let back = || reverted.get(field).is_some_and(|was| was.as_ref() == value);
            if item.is_none() && back() {
                continue;
            }
            if newer(field) && conflicts.put_back(field, item) {
                continue;
            }
            set(&mut state, field, value.cloned());
        }
        for field in sets {
            if let Some(value) = get(after, field) {
                set(&mut state, field, Some(value.clone()));
            }
        }
    }
    let mut fields = changes(now, state.as_ref());
    fields.retain(|field, _| {
        let blind = blind.iter().any(|at| overlap(at, field));
        !blind && !resource.left_alone(field)
    });
    let target = Target {
        now,
        then: state,
        fields,
        left: conflicts.left,
    };
    Some((target, conflicts.found))
}

/// Fields that somebody wrote after a dropped call, and who cannot write them again.
struct Conflicts<'h> {
    uri: &'h str,
    said: Option<Rule>,
    rule: Rule,
    found: Vec<Conflict>,
    left: Vec<String>,
}

impl<'h> Conflicts<'h> {
    const fn new(uri: &'h str, said: Option<Rule>, rule: Rule) -> Self {
        Self {
            uri,
            said,
            rule,
            found: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Notes a conflict, and tells whether the field is put back all the same.
    fn put_back(&mut self, field: &str, item: Option<&Item<'_>>) -> bool {
        let rule = self.said.unwrap_or(self.rule);
        let by = item.map(|item| item.call.decision);
        let same = self.found.iter_mut().find(|conflict| conflict.by == by);
        match same {
            Some(conflict) => conflict.fields.push(field.to_owned()),
            None => self.found.push(Conflict {
                uri: self.uri.to_owned(),
                fields: vec![field.to_owned()],
                by,
                // Who is to be asked may have answered "ask": then nothing is settled.
                settled: Some(rule).filter(|rule| *rule != Rule::Ask),
            }),
        }
        let put_back = rule == Rule::RestoreField;
        if !put_back {
            self.left.push(field.to_owned());
        }
        put_back
    }
}

/// Finds the calls that have to run again.
fn again(timeline: &Timeline<'_>, dropped: &FxHashSet<usize>) -> BTreeSet<usize> {
    let mut found: BTreeSet<usize> = BTreeSet::new();
    let mut waiting: Vec<usize> = dropped.iter().copied().collect();
    while let Some(number) = waiting.pop() {
        let item = &timeline.items[number];
        for (touch, (at, own)) in item.footprint.touches.iter().zip(&item.events) {
            let events = &timeline.histories[*at].events;
            let changed = &*events[*own].changed;
            // A dropped call does nothing any more. One that runs again has to read what it read, and
            // to write before whoever wrote after it.
            let (reads, writes): (&[String], &[String]) = if found.contains(&number) {
                (&touch.reads, &touch.writes)
            } else {
                (&[], &[])
            };
            // Fields that a later call put there whatever they were, with the place where it did.
            let mut cleared: Vec<&String> = Vec::new();
            for event in &events[own + 1..] {
                let (Some((later, _)), Some(other)) = (event.by, timeline.touch(event)) else {
                    continue;
                };
                let hit = |fields: &[String], what: &[String]| {
                    fields.iter().any(|field| {
                        let open = |at: &&String| !cleared.iter().any(|c| within(at, c));
                        what.iter().filter(open).any(|at| overlap(at, field))
                    })
                };
                let follows = hit(&other.reads, changed)
                    || hit(&merely_written(other), changed)
                    || hit(&event.changed, reads)
                    || hit(&other.writes, writes);
                if dropped.contains(&later) {
                    continue;
                }
                if follows && is_kept_write(&timeline.items[later]) {
                    if found.insert(later) {
                        waiting.push(later);
                    }
                } else if timeline.items[later].happened && !timeline.items[later].call.undone {
                    cleared.extend(&other.sets);
                }
            }
        }
    }
    found
}

/// The fields that a call may change and that depend on what they were.
fn merely_written(touch: &Touch) -> Vec<String> {
    let set = |field: &&String| !touch.sets.contains(field);
    touch.writes.iter().filter(set).cloned().collect()
}

/// Whether a call changed something, stays, and can be run again.
fn is_kept_write(item: &Item<'_>) -> bool {
    let once = matches!(
        item.class(),
        EffectClass::Irreversible | EffectClass::Unreviewed
    );
    item.happened && item.writes && !item.call.undone && !once
}
