//! From facts to a plan.
//!
//! Every decision concerned gets a fate, and the cheapest way back that can be shown to be exact:
//! fields of records as they were before (where no kept call touched them since), the records put
//! back and the kept calls run again on them (where one did), then the inverse tool with the residue
//! that it leaves, then a call over HTTP. What has none of these stands, and whoever must be told is.
//! Kept calls that could not stand without what is taken back are found before anything runs; they
//! are taken back with it, and said so.
//!
//! Nothing is guessed: an effect that nobody knows about is looked at in the images, else probed,
//! else parked for a person.

mod reads;
mod records;
mod steps;
mod timeline;
mod without;

use std::collections::BTreeSet;

use model::{DecisionId, EffectClass, Outcome, Strength};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::catalogue::{Catalogue, Inverse};
use crate::each::{Each, InTurn};
use crate::facts::Facts;
use crate::plan::{Act, Affected, Check, Fate, Plan, Torn};
use records::Restored;
use timeline::Timeline;
use without::without;

pub use reads::{Dependant, dependants, dependants_by, relied_on};

/// Makes the plan.
#[must_use]
pub fn plan(facts: &Facts, catalogue: &Catalogue) -> Plan {
    plan_by(facts, catalogue, &InTurn)
}

/// As [`plan`], with what is done for each record done by `each`.
#[must_use]
pub fn plan_by(facts: &Facts, catalogue: &Catalogue, each: &impl Each) -> Plan {
    let timeline = Timeline::new(facts.told(), catalogue, &facts.current, each);
    let calls: FxHashMap<DecisionId, usize> = facts
        .calls
        .iter()
        .enumerate()
        .map(|(number, call)| (call.decision, number))
        .collect();
    let mut planner = Planner {
        facts,
        catalogue,
        timeline,
        calls,
        onlookers: reads::onlookers(facts),
        restored: FxHashSet::default(),
        ways: FxHashMap::default(),
        torn: Vec::new(),
    };
    planner.choose();
    planner.tear();
    let restored = records::restore(
        &planner.timeline,
        catalogue,
        &planner.restored,
        &facts.rules,
        each,
    );
    planner.finish(restored, each)
}

/// What is said of a call whose answer rests on what is taken back, and whose deed does not.
const LOOKED: &str = "its answer shows what is taken back; what it did does not rest on it";

/// How a call is taken back.
#[derive(Debug)]
pub(crate) enum Way {
    /// Not at all: there is nothing to take back, or no way.
    Fate(Fate),
    /// By one step of its own.
    Step(Box<Act>, Fate),
    /// By a probe, and by a step where it happened.
    Probed(Box<Act>, Option<Box<Act>>),
}

/// The way of a call whose undo lacks something: a step that says so and keeps its place.
fn blocked(why: String) -> Way {
    let act = Box::new(Act::Blocked { why: why.clone() });
    Way::Step(act, Fate::Blocked(why))
}

pub(crate) struct Planner<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) timeline: Timeline<'a>,
    pub(crate) calls: FxHashMap<DecisionId, usize>,
    /// Decisions that are concerned because they looked at a record, and for nothing else.
    onlookers: FxHashSet<DecisionId>,
    /// Calls that are taken back by their records.
    pub(crate) restored: FxHashSet<usize>,
    /// How the others are.
    pub(crate) ways: FxHashMap<DecisionId, Way>,
    pub(crate) torn: Vec<Torn>,
}

impl Planner<'_> {
    fn choose(&mut self) {
        for member in &self.facts.members {
            let decision = member.decision;
            let way = match self.calls.get(&decision) {
                None => Way::Fate(Fate::NothingToUndo),
                Some(number) => match self.way(*number) {
                    Some(way @ Way::Fate(_)) => way,
                    // What it answered rests on what is taken back, and what it did may not: it is
                    // looked at with the calls that are kept.
                    _ if self.onlookers.contains(&decision) => continue,
                    Some(way) => way,
                    None => {
                        self.restored.insert(*number);
                        continue;
                    }
                },
            };
            self.ways.insert(decision, way);
        }
    }

    /// Returns how a call is taken back; none if by its records.
    fn way(&self, number: usize) -> Option<Way> {
        let item = &self.timeline.items[number];
        let call = item.call;
        let (server, tool) = (call.server.as_str(), call.tool.as_str());
        let nothing = Some(Way::Fate(Fate::NothingToUndo));
        let class = item.class();
        if call.undone || class == EffectClass::Read {
            return nothing;
        }
        let changed = self.changed(number);
        let sure = matches!(call.outcome, Outcome::Succeeded);
        match (sure, item.may, changed) {
            // What failed did nothing, unless the images show otherwise.
            (_, false, None | Some(false)) => return nothing,
            // Nobody knows, and the images say that it did not.
            (false, true, Some(false)) => return nothing,
            (false, true, None) => return Some(self.unknown(number)),
            _ => {}
        }
        let stands = || Way::Fate(Fate::Stands(self.catalogue.tell(server, tool).to_vec()));
        if class == EffectClass::Irreversible {
            return Some(stands());
        }
        if changed.is_some() && self.restorable(number) {
            return None;
        }
        Some(self.called_back(number).unwrap_or_else(stands))
    }

    /// Whether the images show that a call changed something; none if they do not tell.
    fn changed(&self, number: usize) -> Option<bool> {
        let item = &self.timeline.items[number];
        let mut written = false;
        let mut changed = false;
        for (touch, (at, event)) in item.footprint.touches.iter().zip(&item.events) {
            if touch.writes.is_empty() {
                continue;
            }
            let event = &self.timeline.histories[*at].events[*event];
            event.before.and(event.after)?;
            written = true;
            changed |= !event.changed.is_empty();
        }
        written.then_some(changed)
    }

    /// Whether everything that a call wrote can be put back from images.
    fn restorable(&self, number: usize) -> bool {
        let item = &self.timeline.items[number];
        let known = |at: &usize| self.timeline.histories[*at].last().is_some();
        item.tool.is_some_and(|tool| self.catalogue.restores(tool))
            && item.events.iter().all(|(at, _)| known(at))
            && item.footprint.lacks.is_empty()
    }

    /// The way over a tool that is the inverse, or over HTTP.
    fn called_back(&self, number: usize) -> Option<Way> {
        let item = &self.timeline.items[number];
        let (server, tool) = (&item.call.server, &item.call.tool);
        let made = item.made();
        let probe = self.catalogue.probe(server, tool, &made).ok().flatten();
        // It tells whether the call happened; whether the inverse did is the other way round.
        let check = probe.map(|(call, happened)| Check {
            call,
            happened: format!("!({happened})"),
            args: made.args.clone(),
            before: made.before.clone(),
        });
        match self.catalogue.inverse(server, tool, &made) {
            Inverse::Exact(call) => {
                let residue = None;
                let act = Box::new(Act::Inverse {
                    call,
                    residue,
                    check,
                });
                return Some(Way::Step(act, Fate::Undone));
            }
            Inverse::Residue(call, left) => {
                let residue = Some(left.clone());
                let act = Box::new(Act::Inverse {
                    call,
                    residue,
                    check,
                });
                return Some(Way::Step(act, Fate::Residue(left)));
            }
            Inverse::Lacks(lack) => {
                let why = format!("the undo of `{tool}` cannot be called: {lack}");
                return Some(blocked(why));
            }
            Inverse::Refused(_) | Inverse::None => {}
        }
        match self.catalogue.http(server, tool, &made) {
            Ok(Some(call)) => Some(Way::Step(Box::new(Act::Http(call)), Fate::Undone)),
            Ok(None) => self.claimed(number, check),
            Err(lack) => {
                let why = format!("the undo of `{tool}` cannot be called: {lack}");
                Some(blocked(why))
            }
        }
    }

    /// The way over the tool that the server itself names, where the catalogue has none.
    fn claimed(&self, number: usize, check: Option<Check>) -> Option<Way> {
        let item = &self.timeline.items[number];
        let (server, tool) = (&item.call.server, &item.call.tool);
        let claim = item.call.claim.as_ref();
        let claim = claim.filter(|_| !self.catalogue.rules_out(server, tool))?;
        match claim.call(server, &item.made()) {
            Ok(call) => call.map(|call| {
                let left = format!("what `{}` leaves over", call.tool);
                let residue = Some(left.clone());
                let act = Act::Inverse {
                    call,
                    residue,
                    check,
                };
                Way::Step(Box::new(act), Fate::Residue(left))
            }),
            Err(lack) => {
                let by = &claim.tool;
                let why = format!(
                    "`{by}`, which the server names as the undo of `{tool}`, cannot be called: {lack}"
                );
                Some(blocked(why))
            }
        }
    }

    /// The way of a call of which nobody knows whether it happened.
    fn unknown(&self, number: usize) -> Way {
        let item = &self.timeline.items[number];
        let (server, tool) = (&item.call.server, &item.call.tool);
        let Ok(Some((call, happened))) = self.catalogue.probe(server, tool, &item.made()) else {
            return Way::Fate(Fate::Parked);
        };
        let undo = self.called_back(number).and_then(|way| match way {
            Way::Step(act, _) => Some(act),
            Way::Fate(_) | Way::Probed(..) => None,
        });
        let probe = Act::Probe {
            call,
            happened,
            args: item.call.arguments.clone(),
            before: item.footprint.before.clone(),
        };
        Way::Probed(Box::new(probe), undo)
    }

    /// Finds kept calls that could not stand without those that are taken back, and takes them back
    /// with them where that is possible.
    fn tear(&mut self) {
        if self.restored.is_empty() {
            return;
        }
        let verdicts = without(&self.timeline, self.catalogue, &self.restored);
        for (number, verdict) in verdicts.into_iter().enumerate() {
            let item = &self.timeline.items[number];
            let call = item.call;
            if self.ways.contains_key(&call.decision) || !item.happened {
                continue;
            }
            let once = matches!(
                item.class(),
                EffectClass::Irreversible | EffectClass::Unreviewed
            );
            let (why, by, taken) = match (verdict.refused, verdict.met) {
                (Some((why, by)), _) if item.writes => (why, by, !once && self.restorable(number)),
                // It cannot be done again, and it was done on what will not have been.
                (None, Some(met)) if once => {
                    let by = self
                        .restored
                        .iter()
                        .copied()
                        .filter(|by| *by < number)
                        .max();
                    (
                        format!("it was done on `{}` as it was", met.uri),
                        by.unwrap_or(number),
                        false,
                    )
                }
                _ => continue,
            };
            self.torn.push(Torn {
                decision: call.decision,
                relies_on: self.timeline.items[by].call.decision,
                why,
            });
            if taken {
                self.restored.insert(number);
            }
        }
    }

    fn finish(self, restored: Restored<'_>, each: &impl Each) -> Plan {
        let mut plan = Plan {
            incident: self.facts.incident.clone(),
            size: self.facts.size,
            affected: Vec::with_capacity(self.facts.members.len()),
            possible: self.facts.possible.clone(),
            linked: self.facts.linked.clone(),
            steps: Vec::new(),
            conflicts: restored.conflicts.clone(),
            torn: self.torn.clone(),
        };
        let mut made = steps::build(&self, &restored, each);
        let mut seen: BTreeSet<DecisionId> = BTreeSet::new();
        let of_torn = self.torn.iter();
        let of_torn = of_torn.filter(|torn| self.is_restored(torn.decision));
        let members = self.facts.members.iter().map(|m| (m.decision, m.ring));
        let torn = of_torn.map(|torn| (torn.decision, Strength::Certain));
        for (decision, ring) in members.chain(torn) {
            if !seen.insert(decision) {
                continue;
            }
            let steps = made.of.remove(&decision).unwrap_or_default();
            let fate = match self.ways.get(&decision) {
                Some(Way::Fate(fate) | Way::Step(_, fate)) => fate.clone(),
                Some(Way::Probed(..)) => Fate::Probed,
                None if !self.is_restored(decision) => Fate::Kept(LOOKED.to_owned()),
                None => self.fate(decision, &restored),
            };
            plan.affected.push(Affected {
                decision,
                ring,
                fate,
                steps,
            });
        }
        plan.steps = made.steps;
        plan
    }

    pub(crate) fn is_restored(&self, decision: DecisionId) -> bool {
        let number = self.calls.get(&decision);
        number.is_some_and(|number| self.restored.contains(number))
    }

    /// What becomes of a call that is taken back by its records.
    fn fate(&self, decision: DecisionId, restored: &Restored<'_>) -> Fate {
        let Some(number) = self.calls.get(&decision) else {
            return Fate::NothingToUndo;
        };
        let item = &self.timeline.items[*number];
        let mut left = Vec::new();
        let mut changes = false;
        for (touch, (at, _)) in item.footprint.touches.iter().zip(&item.events) {
            let Some(target) = restored
                .records
                .get(at)
                .filter(|_| !touch.writes.is_empty())
            else {
                continue;
            };
            changes |= !target.fields.is_empty();
            let fields = target.left.iter();
            left.extend(fields.map(|field| format!("`{field}` of `{}`", touch.record.uri)));
        }
        if !left.is_empty() {
            Fate::Residue(format!("{} stays as written since", left.join(", ")))
        } else if changes {
            Fate::Undone
        } else {
            Fate::NothingToUndo
        }
    }
}
