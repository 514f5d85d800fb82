//! The steps of a plan, numbered, with what must come before what.
//!
//! Agents are held first. What depends on something is taken back before it: reverse causal order,
//! not reverse time, so that branches which have nothing to do with each other run side by side.
//! Calls that share records are one unit: their records are put back side by side, and then the kept
//! calls run again, one after the other. Minds are repaired beside all that. Agents are let go last.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use lineage::recovery_line;
use model::{DecisionId, Edge};
use rustc_hash::FxHashMap;
use serde_json::Value;

use super::records::{Restored, Target};
use super::{Planner, Way};
use crate::catalogue::{KeyPlace, Touch};
use crate::changes::overlap;
use crate::each::Each;
use crate::fields::{get, set};
use crate::plan::{Act, Fate, Fields, PutBack, Step, ToolCall};

/// The steps, and which of them are for which decision.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) steps: Vec<Step>,
    pub(crate) of: BTreeMap<DecisionId, Vec<u32>>,
}

/// Something that is taken back in one go.
#[derive(Debug, Default)]
struct Unit {
    /// Where its last call stands in the record.
    rank: usize,
    decisions: Vec<DecisionId>,
    /// Steps that run side by side, with the decisions of each.
    first: Vec<(Vec<DecisionId>, Act)>,
    /// Steps that run after these, one after the other.
    then: Vec<(Vec<DecisionId>, Act)>,
    /// Units that must have ended before.
    after: BTreeSet<usize>,
}

pub(crate) fn build(planner: &Planner<'_>, restored: &Restored<'_>, each: &impl Each) -> Steps {
    let mut units = of_records(planner, restored, each);
    units.extend(of_ways(planner));
    order(planner, &mut units);
    let made = units.iter().map(|unit| unit.first.len() + unit.then.len());
    let agents: BTreeSet<&String> = planner.facts.members.iter().map(|m| &m.agent).collect();
    let mut builder = Builder::default();
    // Steps are large. Beside those of units there are some for each agent, and few others.
    let most = made.sum::<usize>() + 2 * agents.len() + 8;
    builder.made.steps.reserve(most);
    let agents: Vec<String> = agents.into_iter().cloned().collect();
    if agents.is_empty() {
        return builder.made;
    }
    let hold = builder.push(
        &[],
        Vec::new(),
        Act::Hold {
            agents: agents.clone(),
        },
    );
    builder.units(units, hold);
    builder.minds(planner, &agents, hold);
    let ends = builder.ends();
    builder.push(&ends, Vec::new(), Act::Resume { agents });
    builder.made
}

/// The units of calls that are taken back by their records.
fn of_records(planner: &Planner<'_>, restored: &Restored<'_>, each: &impl Each) -> Vec<Unit> {
    let timeline = &planner.timeline;
    let mut groups = Groups::default();
    let gone = planner.restored.iter().chain(&restored.again).copied();
    for number in gone {
        let item = &timeline.items[number];
        let again = restored.again.contains(&number);
        let mut first = None;
        for (touch, (at, _)) in item.footprint.touches.iter().zip(&item.events) {
            // A call that runs again needs what it reads to be put back before it, too.
            let counts = !touch.writes.is_empty() || again;
            if counts && restored.records.contains_key(at) {
                groups.join(*first.get_or_insert(*at), *at);
            }
        }
    }
    let mut units: BTreeMap<usize, Unit> = BTreeMap::new();
    let mut dropped: Vec<usize> = planner.restored.iter().copied().collect();
    dropped.sort_unstable();
    for number in dropped {
        let item = &timeline.items[number];
        let written = item.footprint.touches.iter().zip(&item.events);
        let written = written.filter(|(touch, _)| !touch.writes.is_empty());
        let mut roots = written.map(|(_, (at, _))| at);
        let Some(at) = roots.find(|at| restored.records.contains_key(at)) else {
            continue;
        };
        let unit = units.entry(groups.root(*at)).or_default();
        unit.rank = unit.rank.max(number);
        unit.decisions.push(item.call.decision);
    }
    let targets: Vec<(usize, &Target<'_>)> =
        restored.records.iter().map(|(at, to)| (*at, to)).collect();
    let acts = each.each(targets, |(at, target)| put_back(planner, at, target));
    for (at, act) in restored.records.keys().zip(acts) {
        let unit = units.entry(groups.root(*at)).or_default();
        if let Some(act) = act {
            let events = timeline.histories[*at].events.iter();
            let by = events.filter_map(|event| event.by.map(|(item, _)| item));
            let mut of: Vec<DecisionId> = by
                .filter(|item| planner.restored.contains(item))
                .map(|item| timeline.items[item].call.decision)
                .collect();
            of.dedup();
            // Only kept calls wrote it: it is put back for the unit.
            if of.is_empty() {
                of.extend(unit.decisions.last());
            }
            // Most units have one step, and room for one that never comes is large.
            if unit.first.is_empty() {
                unit.first.reserve_exact(1);
            }
            unit.first.push((of, act));
        }
    }
    for number in &restored.again {
        let item = &timeline.items[*number];
        let at = item.events.iter().map(|(at, _)| *at);
        let Some(at) = at.into_iter().find(|at| restored.records.contains_key(at)) else {
            continue;
        };
        let unit = units.entry(groups.root(at)).or_default();
        let act = again(planner, restored, *number);
        unit.then.push((vec![item.call.decision], act));
    }
    units.into_values().collect()
}

/// The step that puts a record back; none if it is as it is to be.
fn put_back(planner: &Planner<'_>, at: usize, target: &Target<'_>) -> Option<Act> {
    if target.fields.is_empty() {
        return None;
    }
    let timeline = &planner.timeline;
    let events = timeline.histories[at].events.iter();
    let touch = events.filter_map(|event| timeline.touch(event)).next()?;
    let now = target.now;
    let expected = |field: &String| (field.clone(), get(now, field).cloned());
    let expected: Fields = target.fields.keys().map(expected).collect();
    let resource = touch.record.clone();
    if target.then.is_none() {
        let call = planner.catalogue.delete_call(touch);
        return Some(match call {
            Some(call) => Act::Delete {
                resource,
                call,
                expected,
            },
            None => blocked(touch, "delete"),
        });
    }
    Some(match planner.catalogue.restore_call(touch) {
        Some(restore) => Act::PutBack(PutBack {
            resource,
            restore,
            fields: target.fields.clone(),
            expected,
        }),
        None => blocked(touch, "restore"),
    })
}

fn blocked(touch: &Touch, what: &str) -> Act {
    Act::Blocked {
        why: format!(
            "`{}` cannot be put back: `[resources.{}]` has no `{what}`",
            touch.record.uri, touch.kind
        ),
    }
}

/// The step that runs a kept call again.
fn again(planner: &Planner<'_>, restored: &Restored<'_>, number: usize) -> Act {
    let timeline = &planner.timeline;
    let item = &timeline.items[number];
    let mut before = Vec::new();
    for (touch, (at, event)) in item.footprint.touches.iter().zip(&item.events) {
        let Some(target) = restored
            .records
            .get(at)
            .filter(|_| !touch.writes.is_empty())
        else {
            continue;
        };
        // What an earlier one that runs again writes is not known before it has.
        let history = &timeline.histories[*at];
        let earlier = history.events.iter().filter_map(|event| {
            let (by, _) = event.by?;
            let runs = restored.again.contains(&by) && by < number;
            runs.then(|| timeline.touch(event)).flatten()
        });
        let earlier: Vec<&Touch> = earlier.collect();
        let known = |field: &&String| {
            let mut written = earlier.iter().flat_map(|touch| &touch.writes);
            !written.any(|at| overlap(at, field))
        };
        let then = target.then.as_ref();
        let changed = history.events[*event].changed.iter().filter(known);
        let fields = changed.map(|field| (field.clone(), get(then, field).cloned()));
        let fields: Fields = fields.collect();
        if !fields.is_empty() {
            before.push((touch.record.clone(), fields));
        }
    }
    let mut arguments = Some(item.call.arguments.clone());
    if let Some(KeyPlace::Argument(at)) = &item.footprint.key {
        set(&mut arguments, at, Some(Value::String("{key}".to_owned())));
    }
    Act::Again {
        call: ToolCall {
            server: item.call.server.clone(),
            tool: item.call.tool.clone(),
            arguments: arguments.unwrap_or(Value::Null),
        },
        before,
    }
}

/// The units of calls that are taken back by a step of their own.
fn of_ways(planner: &Planner<'_>) -> Vec<Unit> {
    let mut units = Vec::new();
    for member in &planner.facts.members {
        let decision = member.decision;
        let Some(way) = planner.ways.get(&decision) else {
            continue;
        };
        let mut unit = Unit {
            rank: planner.calls.get(&decision).copied().unwrap_or_default(),
            decisions: vec![decision],
            ..Unit::default()
        };
        match way {
            Way::Fate(_) => continue,
            Way::Step(act, _) => unit.first = vec![(vec![decision], (**act).clone())],
            Way::Probed(probe, undo) => {
                unit.first = vec![(vec![decision], (**probe).clone())];
                let undo = undo.as_ref().map(|undo| (vec![decision], (**undo).clone()));
                unit.then.extend(undo);
            }
        }
        units.push(unit);
    }
    units
}

/// Sorts units so that what comes first stands first, and says which must wait for which.
fn order(planner: &Planner<'_>, units: &mut [Unit]) {
    // The last call first. An edge against this order, between units that depend on each other both
    // ways, is left out.
    units.sort_by_key(|unit| std::cmp::Reverse(unit.rank));
    let mut unit_of: FxHashMap<DecisionId, usize> = FxHashMap::default();
    for (number, unit) in units.iter().enumerate() {
        for decision in &unit.decisions {
            unit_of.insert(*decision, number);
        }
    }
    let mut dependants: FxHashMap<DecisionId, Vec<DecisionId>> = FxHashMap::default();
    for edge in &planner.facts.edges {
        dependants.entry(edge.cause).or_default().push(edge.effect);
    }
    // From the last decision back: the nearest units on each way forward.
    let mut nearest: FxHashMap<DecisionId, BTreeSet<usize>> = FxHashMap::default();
    for member in planner.facts.members.iter().rev() {
        let mut reached = BTreeSet::new();
        for effect in dependants.get(&member.decision).into_iter().flatten() {
            match (unit_of.get(effect), nearest.get(effect)) {
                (Some(unit), _) => {
                    reached.insert(*unit);
                }
                (None, Some(further)) => reached.extend(further),
                (None, None) => {}
            }
        }
        nearest.insert(member.decision, reached);
    }
    for (number, unit) in units.iter_mut().enumerate() {
        let reached = unit
            .decisions
            .iter()
            .filter_map(|d| nearest.get(d))
            .flatten();
        unit.after = reached
            .copied()
            .filter(|earlier| *earlier < number)
            .collect();
    }
}

#[derive(Debug, Default)]
struct Builder {
    made: Steps,
}

impl Builder {
    fn push(&mut self, after: &[u32], decisions: Vec<DecisionId>, act: Act) -> u32 {
        let n = u32::try_from(self.made.steps.len() + 1).unwrap_or(u32::MAX);
        for decision in &decisions {
            self.made.of.entry(*decision).or_default().push(n);
        }
        self.made.steps.push(Step {
            n,
            after: after.to_vec(),
            decisions,
            act,
        });
        n
    }

    fn units(&mut self, units: Vec<Unit>, hold: u32) {
        let mut ended: Vec<Vec<u32>> = Vec::with_capacity(units.len());
        for unit in units {
            let earlier = unit.after.iter().flat_map(|earlier| &ended[*earlier]);
            let mut after: Vec<u32> = earlier.copied().collect();
            after.sort_unstable();
            after.dedup();
            if after.is_empty() {
                after.push(hold);
            }
            let first = unit.first.into_iter();
            let first: Vec<u32> = first.map(|(of, act)| self.push(&after, of, act)).collect();
            let mut last = if first.is_empty() {
                after
            } else {
                first.clone()
            };
            for (of, act) in unit.then {
                last = vec![self.push(&last, of, act)];
            }
            // A unit that has no step of its own passes on what it waited for.
            ended.push(if first.is_empty() { last } else { first });
        }
    }

    /// What agents remember, and who is told what stands.
    fn minds(&mut self, planner: &Planner<'_>, agents: &[String], hold: u32) {
        let facts = planner.facts;
        // What is torn and taken back with the rest is rescinded like it.
        let torn = planner.torn.iter().map(|torn| torn.decision);
        let torn = torn.filter(|decision| planner.is_restored(*decision));
        let members = facts.members.iter().map(|member| member.decision);
        let earlier = facts.rescinded.iter().copied();
        let rescinded: HashSet<DecisionId> = members.chain(torn).chain(earlier).collect();
        let behind = facts.behind.iter().chain(&facts.edges);
        let behind: Vec<Edge> = behind.copied().collect();
        let line = recovery_line(&facts.checkpoints, &behind, &rescinded);
        for agent in agents {
            let mut after = hold;
            if facts.checkpoints.iter().any(|c| c.agent == *agent) {
                let checkpoint = line.get(agent).copied().flatten();
                let agent = agent.clone();
                after = self.push(&[hold], Vec::new(), Act::Restore { agent, checkpoint });
            }
            let agent = agent.clone();
            self.push(&[after], Vec::new(), Act::Repair { agent });
        }
        let mut told: BTreeMap<&[String], Vec<(DecisionId, String)>> = BTreeMap::new();
        for member in &facts.members {
            if let Some(Way::Fate(Fate::Stands(who))) = planner.ways.get(&member.decision)
                && !who.is_empty()
                && let Some(number) = planner.calls.get(&member.decision)
            {
                let tool = planner.timeline.items[*number].call.tool.clone();
                told.entry(who).or_default().push((member.decision, tool));
            }
        }
        for (who, stands) in told {
            let tools: Vec<String> = stands.iter().map(|(_, tool)| format!("`{tool}`")).collect();
            let what = format!("cannot be taken back and stands: {}", tools.join(", "));
            let decisions = stands.into_iter().map(|(decision, _)| decision).collect();
            let who = who.to_vec();
            self.push(&[hold], decisions, Act::Notify { who, what });
        }
    }

    /// Steps that no other waits for.
    fn ends(&self) -> Vec<u32> {
        let waited: BTreeSet<u32> = self
            .made
            .steps
            .iter()
            .flat_map(|s| &s.after)
            .copied()
            .collect();
        let steps = self.made.steps.iter().map(|step| step.n);
        steps.filter(|n| !waited.contains(n)).collect()
    }
}

/// Histories that belong together.
#[derive(Debug, Default)]
struct Groups(FxHashMap<usize, usize>);

impl Groups {
    fn root(&mut self, at: usize) -> usize {
        let mut root = at;
        while let Some(up) = self.0.get(&root).filter(|up| **up != root) {
            root = *up;
        }
        // The next one who asks has a short way.
        self.0.insert(at, root);
        root
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0.insert(one.max(other), one.min(other));
    }
}
