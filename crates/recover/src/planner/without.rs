//! The world without some calls: what the later ones would have met, and shown.
//!
//! Later calls are taken through in order. One that would meet the same fields is as it was. One
//! that would meet other fields is carried over as far as can be foreseen: numbers move by their
//! difference, lists keep what was appended. One that would find a record missing, whose needs would
//! not hold, or that would leave a record in a state that never is, would be refused.
//!
//! Foreseen, not proven: it says what a plan would tear and what a write changed for others. What
//! records are put back to never comes from here.

use std::borrow::Cow;

use rustc_hash::FxHashSet;
use serde_json::Value;

use super::timeline::{Item, Timeline};
use crate::catalogue::{Catalogue, Condition, Touch};
use crate::changes::{carry_over, changed};
use crate::fields::{get, set};

/// What would become of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Why it would be refused, and the call whose absence does it.
    pub(crate) refused: Option<(String, usize)>,
    /// What it would show otherwise, or what would end it otherwise.
    pub(crate) differs: Option<Met>,
    /// What it would meet otherwise, whether it shows it or not.
    pub(crate) met: Option<Met>,
    /// The same, of what it does not merely write over.
    pub(crate) looked: Option<Met>,
}

/// Something that would be otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Met {
    /// The record.
    pub(crate) uri: String,
    /// The field of it that was looked at; of a whole record, the first member that differs.
    pub(crate) at: String,
    /// The call whose absence makes it so.
    pub(crate) by: usize,
}

type Fields<'i> = std::slice::Iter<'i, String>;

/// A record that is otherwise.
#[derive(Debug)]
struct Other<'a> {
    record: Option<Cow<'a, Value>>,
    /// The call whose absence made it so.
    by: usize,
}

/// A history, and what its record becomes.
type Written<'a> = (usize, Option<Cow<'a, Value>>);

impl Other<'_> {
    fn record(&self) -> Option<&Value> {
        self.record.as_deref()
    }
}

/// The world without some calls.
#[derive(Debug)]
pub(crate) struct Without<'t, 'a> {
    timeline: &'t Timeline<'a>,
    catalogue: &'t Catalogue,
    /// By history: the records that are otherwise.
    records: Vec<Option<Other<'a>>>,
}

/// Takes every call through, and returns what would become of each; of those in `dropped` nothing.
pub(crate) fn without(
    timeline: &Timeline<'_>,
    catalogue: &Catalogue,
    dropped: &FxHashSet<usize>,
) -> Vec<Verdict> {
    let mut world = Without {
        timeline,
        catalogue,
        records: timeline.histories.iter().map(|_| None).collect(),
    };
    let each = 0..timeline.items.len();
    each.map(|number| world.take(number, dropped.contains(&number)))
        .collect()
}

impl<'a> Without<'_, 'a> {
    fn take(&mut self, number: usize, dropped: bool) -> Verdict {
        let item = &self.timeline.items[number];
        self.strangers(item);
        if dropped {
            self.drop(number, item);
            return Verdict::default();
        }
        let touched = |(at, _): &(usize, usize)| self.records[*at].is_some();
        if item.call.undone || !item.events.iter().any(touched) {
            return Verdict::default();
        }
        let mut verdict = Verdict::default();
        let missing = self.missing(item);
        let needs = item.tool.and_then(|tool| tool.needs.as_ref());
        // Most calls need nothing and make nothing, and records may be large.
        let asked = needs.is_some() || item.footprint.touches.iter().any(|touch| touch.made);
        let before = if asked {
            self.before(item)
        } else {
            Value::Null
        };
        let refuses =
            |condition: &Condition, before: &Value| condition.refuses(&item.call.arguments, before);
        let unmet = needs.and_then(|needs| refuses(needs, &before));
        if !item.happened {
            let was_unmet = needs.and_then(|needs| refuses(needs, &item.footprint.before));
            // A refusal shows what it looked at.
            verdict.differs = match needs {
                Some(_) if was_unmet.is_some() != unmet.is_some() => self.any_read(item),
                Some(_) => None,
                None => self.any_read(item),
            };
            return verdict;
        }
        verdict.met = self.any_read(item);
        let read = |item| self.any_of(item, |touch| touch.reads.iter().chain(&[]));
        verdict.looked = verdict.met.as_ref().and_then(|_| read(item));
        if let Some((uri, by)) = missing {
            verdict.refused = Some((format!("`{uri}` would not be there"), by));
        } else if let Some(unmet) = unmet {
            let by = self.blamed(item);
            verdict.refused = Some((format!("`{}` would not hold", one_line(&unmet)), by));
        } else if item.writes
            && let Err(broken) = self.write(number, item, &before)
        {
            verdict.refused = Some((broken, self.blamed(item)));
        }
        // What is refused does not happen here either.
        if verdict.refused.is_some() && item.writes {
            self.drop(number, item);
        }
        verdict.differs = match &verdict.refused {
            Some(_) => verdict.met.clone(),
            None => self.shown(item),
        };
        verdict
    }

    /// Lets what strangers wrote just before a call happen here, too.
    fn strangers(&mut self, item: &Item<'_>) {
        for (at, number) in &item.events {
            let history = &self.timeline.histories[*at];
            let stranger = number
                .checked_sub(1)
                .map(|earlier| &history.events[earlier]);
            if let Some(event) = stranger.filter(|event| event.by.is_none())
                && let (Some(before), Some(after)) = (event.before, event.after)
                && let Some(other) = &mut self.records[*at]
            {
                let mut record = other.record.take().map(Cow::into_owned);
                carry_over(&mut record, &event.changed, before, after);
                other.record = record.map(Cow::Owned);
            }
        }
    }

    fn drop(&mut self, number: usize, item: &Item<'_>) {
        for (touch, (at, event)) in item.footprint.touches.iter().zip(&item.events) {
            let event = &self.timeline.histories[*at].events[*event];
            if touch.writes.is_empty() || event.changed.is_empty() {
                continue;
            }
            match &mut self.records[*at] {
                // What is otherwise already stays as it is: this call is not applied to it.
                Some(other) => other.by = number,
                None => {
                    let record = event.before.flatten().map(Cow::Borrowed);
                    self.records[*at] = Some(Other { record, by: number });
                }
            }
        }
    }

    /// The records before a call, as they would be.
    fn before(&self, item: &Item<'_>) -> Value {
        let mut before = item.footprint.before.clone();
        for (touch, (at, _)) in item.footprint.touches.iter().zip(&item.events) {
            let Some(other) = &self.records[*at] else {
                continue;
            };
            let record = other.record().cloned().unwrap_or(Value::Null);
            for alias in std::iter::once(&touch.alias).chain(&touch.also) {
                let place = &mut before[alias.as_str()];
                match (place, touch.several.then(|| touch.id.as_str()).flatten()) {
                    (Value::Object(records), Some(id)) => {
                        records.insert(id.to_owned(), record.clone());
                    }
                    (place, _) => *place = record.clone(),
                }
            }
        }
        before
    }

    /// A record that was there and would not be.
    fn missing(&self, item: &Item<'_>) -> Option<(String, usize)> {
        item.footprint
            .touches
            .iter()
            .zip(&item.events)
            .find_map(|(touch, (at, event))| {
                let other = self.records[*at].as_ref()?;
                let was = self.timeline.histories[*at].events[*event].before;
                // Who writes the whole record does not need it to be there.
                let whole = touch.sets.iter().any(String::is_empty);
                let gone = other.record.is_none() && was.flatten().is_some() && !whole;
                gone.then(|| (touch.record.uri.clone(), other.by))
            })
    }

    /// Carries the changes of a call over; an error says which record it would have broken.
    fn write(&mut self, number: usize, item: &Item<'_>, before: &Value) -> Result<(), String> {
        let mut written = Vec::new();
        for (touch, (at, event)) in item.footprint.touches.iter().zip(&item.events) {
            let events = &self.timeline.histories[*at].events;
            let last = *event + 1 == events.len();
            let event = &events[*event];
            if touch.writes.is_empty() {
                continue;
            }
            let (Some(was), Some(became)) = (event.before, event.after) else {
                continue;
            };
            if touch.made {
                written.extend(self.make(item, (*at, touch), became, before)?);
                continue;
            }
            let Some(other) = &self.records[*at] else {
                continue;
            };
            let resource = self.catalogue.resource(&touch.kind);
            // Nobody looks at it any more.
            if last && resource.holds.is_none() && !self.is_shown(item, touch) {
                continue;
            }
            let mut record = other.record().cloned();
            carry_over(&mut record, &event.changed, was, became);
            for at in &touch.sets {
                if let Some(value) = get(became, at) {
                    set(&mut record, at, Some(value.clone()));
                }
            }
            if let Some(record) = &record {
                resource.holds(record).map_err(|broken| {
                    format!("`{}` would break `{}`", touch.record.uri, one_line(&broken))
                })?;
            }
            written.push((*at, record.map(Cow::Owned)));
        }
        for (at, record) in written {
            let by = self.records[at].as_ref().map_or(number, |other| other.by);
            self.records[at] = Some(Other { record, by });
        }
        Ok(())
    }

    /// A record that a call makes, under the id that it would get.
    fn make(
        &self,
        item: &Item<'_>,
        (at, touch): (usize, &Touch),
        became: Option<&'a Value>,
        before: &Value,
    ) -> Result<Vec<Written<'a>>, String> {
        let became = became.map(Cow::Borrowed);
        let call = item.call;
        let (server, tool) = (&call.server, &call.tool);
        let id = self
            .catalogue
            .made_id(server, tool, &touch.alias, &call.arguments, before);
        let Some(id) = id.map(Value::String).filter(|id| *id != touch.id) else {
            // It was not there without the dropped call either, and now it is.
            let known = self.records[at].is_some();
            return Ok(known.then_some((at, became)).into_iter().collect());
        };
        let other = self.catalogue.record(&touch.kind, &id);
        let other = other.map_err(|lack| lack.to_string())?;
        // One that no call touched is of no interest.
        let other = self.timeline.find(&other.uri).map(|other| (other, became));
        Ok([(at, None)].into_iter().chain(other).collect())
    }

    fn blamed(&self, item: &Item<'_>) -> usize {
        let others = item
            .events
            .iter()
            .filter_map(|(at, _)| self.records[*at].as_ref());
        others.map(|other| other.by).max().unwrap_or_default()
    }

    /// A record that a call looked at or wrote over and that would be otherwise there.
    fn any_read(&self, item: &Item<'_>) -> Option<Met> {
        self.any_of(item, |touch| touch.reads.iter().chain(&touch.writes))
    }

    fn any_of<'i>(
        &self,
        item: &'i Item<'_>,
        fields: fn(&'i Touch) -> std::iter::Chain<Fields<'i>, Fields<'i>>,
    ) -> Option<Met> {
        let find = |(touch, (at, event)): (&'i Touch, &(usize, usize))| {
            let was = self.timeline.histories[*at].events[*event].before?;
            let other = self.records[*at].as_ref()?;
            let at = fields(touch).find_map(|field| difference(was, other.record(), field))?;
            let (uri, by) = (touch.record.uri.clone(), other.by);
            Some(Met { uri, at, by })
        };
        item.footprint
            .touches
            .iter()
            .zip(&item.events)
            .find_map(find)
    }

    /// A record that the result of a call shows and that would be otherwise.
    fn shown(&self, item: &Item<'_>) -> Option<Met> {
        let find = |(touch, (at, event)): (&Touch, &(usize, usize))| {
            let other = self.records[*at].as_ref()?;
            if !self.is_shown(item, touch) {
                return None;
            }
            let became = self.timeline.histories[*at].events[*event].after?;
            let all = String::new();
            let fields = if touch.writes.is_empty() {
                &touch.reads
            } else {
                std::slice::from_ref(&all)
            };
            let differs = |field: &String| difference(became, other.record(), field);
            let at = fields.iter().find_map(differs)?;
            let (uri, by) = (touch.record.uri.clone(), other.by);
            Some(Met { uri, at, by })
        };
        item.footprint
            .touches
            .iter()
            .zip(&item.events)
            .find_map(find)
    }

    /// Whether the result of a call shows a record that it touched.
    fn is_shown(&self, item: &Item<'_>, touch: &Touch) -> bool {
        match item.tool.and_then(|tool| tool.shows.as_ref()) {
            Some(shows) => {
                shows.contains(&touch.alias) || touch.also.iter().any(|a| shows.contains(a))
            }
            None => !item.writes || !touch.writes.is_empty(),
        }
    }
}

/// The field, where two states of a record differ in it. Of a whole record that is its first member
/// which differs, if both are there: names further inside may say more than evidence should.
fn difference(one: Option<&Value>, other: Option<&Value>, field: &str) -> Option<String> {
    let (one, other) = (get(one, field), get(other, field));
    if one == other {
        return None;
    }
    match (one, other) {
        (Some(one), Some(other)) if field.is_empty() => {
            let changed = changed(Some(one), Some(other));
            let first = changed.into_iter().next().unwrap_or_default();
            let end = first.get(1..).and_then(|rest| rest.find('/'));
            Some(end.map_or_else(|| first.clone(), |end| first[..=end].to_owned()))
        }
        _ => Some(field.to_owned()),
    }
}

/// An expression that was written over several lines, for a sentence.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
