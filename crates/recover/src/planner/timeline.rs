//! The calls of an incident in order, and the history of every record that they touched.
//!
//! What nobody said is filled in from what is known around it: a record is after a call what it was
//! before the next one. Where two images that follow on each other differ, somebody wrote whom the
//! record does not know; that is an event of its own.

use std::borrow::Cow;

use model::{EffectClass, Outcome};
use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::catalogue::{Catalogue, Footprint, Images, Made, Tool, Touch};
use crate::changes::changed;
use crate::each::Each;
use crate::facts::{Call, Told};

/// A record at a time: not known, or known, and then there or not.
pub(crate) type Known<'a> = Option<Option<&'a Value>>;

/// A call with what it touched.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    pub(crate) call: &'a Call,
    pub(crate) footprint: Cow<'a, Footprint>,
    /// What the catalogue says of its tool.
    pub(crate) tool: Option<&'a Tool>,
    /// Whether it did what it set out to do.
    pub(crate) happened: bool,
    /// Whether it may have changed something: it succeeded, or nobody knows.
    pub(crate) may: bool,
    /// Whether it changes records at all.
    pub(crate) writes: bool,
    /// Where each touch stands: the record's history, and the event in it.
    pub(crate) events: Vec<(usize, usize)>,
}

/// Something that happened to a record.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    /// The call and the number of its touch; none if it was somebody whom the record does not know.
    pub(crate) by: Option<(usize, usize)>,
    pub(crate) before: Known<'a>,
    pub(crate) after: Known<'a>,
    /// The fields that changed, or may have.
    pub(crate) changed: Cow<'a, [String]>,
}

/// What happened to a record, in order.
#[derive(Debug)]
pub(crate) struct History<'a> {
    pub(crate) uri: String,
    pub(crate) events: Vec<Event<'a>>,
    /// What it was last, while the calls are read.
    last: Known<'a>,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Timeline<'a> {
    pub(crate) items: Vec<Item<'a>>,
    pub(crate) histories: Vec<History<'a>>,
    by_uri: FxHashMap<String, usize>,
}

impl<'a> Timeline<'a> {
    pub(crate) fn new<'c: 'a>(
        calls: impl IntoIterator<Item: Into<Told<'c>>>,
        catalogue: &'a Catalogue,
        current: &'a Images,
        each: &impl Each,
    ) -> Self {
        let calls = calls.into_iter();
        let mut timeline = Self {
            items: Vec::with_capacity(calls.size_hint().0),
            histories: Vec::new(),
            by_uri: FxHashMap::default(),
        };
        for (number, call) in calls.enumerate() {
            timeline.push(number, call.into(), catalogue);
        }
        let items = &timeline.items;
        timeline.histories = each.each(timeline.histories, |mut history| {
            let now = current.get(&history.uri).map(Option::as_ref);
            settle(&mut history, now, items);
            history
        });
        for (at, history) in timeline.histories.iter().enumerate() {
            for (number, event) in history.events.iter().enumerate() {
                if let Some((item, nth)) = event.by {
                    timeline.items[item].events[nth] = (at, number);
                }
            }
        }
        timeline
    }

    fn push(&mut self, number: usize, told: Told<'a>, catalogue: &'a Catalogue) {
        let call = told.call;
        let image = |uri: &str| {
            let said = call.before.get(uri).cloned();
            let known = || self.histories[self.find(uri)?].last;
            said.or_else(|| Some(known()?.cloned()))
        };
        let footprint = match told.footprint.filter(|footprint| !footprint.partial) {
            Some(footprint) => Cow::Borrowed(footprint),
            None => Cow::Owned(catalogue.footprint_within(call, &image)),
        };
        let happened = matches!(call.outcome, Outcome::Succeeded);
        let may = happened || matches!(call.outcome, Outcome::Unknown | Outcome::Cancelled);
        for (nth, touch) in footprint.touches.iter().enumerate() {
            let at = self.history(&touch.record.uri);
            let history = &mut self.histories[at];
            let uri = &touch.record.uri;
            let mut before = call.before.get(uri).map(Option::as_ref);
            // Nobody can look at a record that is yet to be made.
            if touch.made && before.is_none() {
                before = Some(None);
            }
            let mut after = call.after.get(uri).map(Option::as_ref);
            if !may || touch.writes.is_empty() {
                after = after.or(before).or(history.last);
            }
            history.last = after;
            history.events.push(Event {
                by: Some((number, nth)),
                before,
                after,
                changed: Cow::default(),
            });
        }
        let writes = footprint.touches.iter().any(|t| !t.writes.is_empty());
        self.items.push(Item {
            call,
            tool: catalogue.tool(&call.server, &call.tool),
            writes,
            happened,
            may,
            events: vec![(0, 0); footprint.touches.len()],
            footprint,
        });
    }

    fn history(&mut self, uri: &str) -> usize {
        if let Some(at) = self.by_uri.get(uri) {
            return *at;
        }
        let at = self.histories.len();
        self.by_uri.insert(uri.to_owned(), at);
        self.histories.push(History {
            uri: uri.to_owned(),
            events: Vec::new(),
            last: None,
        });
        at
    }

    pub(crate) fn find(&self, uri: &str) -> Option<usize> {
        self.by_uri.get(uri).copied()
    }

    pub(crate) fn touch(&self, event: &Event<'_>) -> Option<&Touch> {
        let (item, nth) = event.by?;
        self.items[item].footprint.touches.get(nth)
    }
}

impl<'a> History<'a> {
    /// Returns what the record was last.
    pub(crate) fn last(&self) -> Known<'a> {
        self.events.last().and_then(|event| event.after)
    }
}

impl<'a> Item<'a> {
    /// The class of its effect: as the catalogue says now, else as the record has it.
    pub(crate) fn class(&self) -> EffectClass {
        let said = self.tool.and_then(|tool| tool.class);
        said.unwrap_or(self.call.class)
    }

    /// Something of one of its touches that is a list of fields; it is copied only where the
    /// footprint was made for the timeline.
    fn fields(
        &self,
        nth: usize,
        of: impl FnOnce(&Touch) -> Option<&[String]>,
    ) -> Option<Cow<'a, [String]>> {
        match &self.footprint {
            Cow::Borrowed(footprint) => of(&footprint.touches[nth]).map(Cow::Borrowed),
            Cow::Owned(footprint) => {
                let fields = of(&footprint.touches[nth]);
                fields.map(|fields| Cow::Owned(fields.to_vec()))
            }
        }
    }

    pub(crate) fn made(&self) -> Made<'_> {
        Made {
            args: &self.call.arguments,
            result: self.call.result.as_ref(),
            before: &self.footprint.before,
        }
    }
}

/// Fills in what was not said, and finds what strangers wrote.
fn settle<'a>(history: &mut History<'a>, now: Known<'a>, items: &[Item<'a>]) {
    let given = std::mem::take(&mut history.events);
    let mut settled: Vec<Event<'a>> = Vec::with_capacity(given.len() + 1);
    let mut last: Known<'a> = None;
    for mut event in given {
        let does = event.by.is_some_and(|(item, nth)| {
            let item = &items[item];
            item.may && !item.footprint.touches[nth].writes.is_empty()
        });
        match event.before {
            None => event.before = last,
            before => meet(&mut settled, last, before),
        }
        if !does && event.after.is_none() {
            event.after = event.before;
        }
        last = event.after;
        settled.push(event);
    }
    meet(&mut settled, last, now);
    for event in &mut settled {
        event.changed = match (event.before, event.after) {
            (Some(before), Some(after)) => {
                let own = event.by.and_then(|(item, nth)| {
                    items[item].fields(nth, |touch| touch.changed.as_deref())
                });
                own.unwrap_or_else(|| Cow::Owned(changed(before, after)))
            }
            _ => match event.by {
                Some((item, nth)) if items[item].may => {
                    let writes = items[item].fields(nth, |touch| Some(&touch.writes));
                    writes.unwrap_or_default()
                }
                _ => Cow::default(),
            },
        };
    }
    history.events = settled;
}

/// Puts two states that follow on each other side by side: the earlier one takes what it lacks from
/// the later one, and where both are known and differ a stranger wrote.
fn meet<'a>(settled: &mut Vec<Event<'a>>, last: Known<'a>, next: Known<'a>) {
    match (last, next) {
        (Some(old), Some(new)) if old != new => settled.push(Event {
            by: None,
            before: last,
            after: next,
            changed: Cow::default(),
        }),
        (None, Some(_)) => {
            if let Some(event) = settled.last_mut() {
                event.after = next;
            }
        }
        _ => {}
    }
}
