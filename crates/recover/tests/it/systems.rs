//! Generated systems of agents: they share files, rows and accounts, tell each other things and
//! save their states; one decision is bad.
//!
//! What followed from it is taken from the graph, the plan is carried out with its steps in any order
//! that it allows, and the world must be what it is when nothing of that had ever been called: a
//! brute-force replay of all other calls from the beginning. The states on the recovery line must
//! remember nothing that was rescinded.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use lineage::Graph;
use lineage::recovery_line;
use model::{Cause, CauseKind, DecisionId, Edge, Evidence, Outcome, Strength};
use recover::plan::{Incident, Plan};
use recover::{Call, Checkpoint, Facts, Member, plan};
use serde_json::{Value, json};

use crate::world::{World, catalogue, id};

/// Numbers that a seed gives.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound.max(1)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// A system after it ran.
pub(crate) struct System {
    pub(crate) begin: World,
    pub(crate) world: World,
    pub(crate) agents: Vec<String>,
    /// Of each decision: who took it.
    pub(crate) by: Vec<usize>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) calls: Vec<Call>,
    pub(crate) checkpoints: Vec<Checkpoint>,
    /// Of each checkpoint: what the agent remembers.
    pub(crate) remembers: BTreeMap<DecisionId, BTreeSet<DecisionId>>,
    graph: Graph,
}

impl System {
    /// Lets a system run.
    pub(crate) fn run(seed: u64, agents: usize, decisions: usize) -> Self {
        let mut draw = Draw::new(seed);
        let records = (decisions / 12).clamp(3, 4_000);
        let mut begin = World::default();
        for number in 0..records {
            let row = json!({"id": format!("{number}"), "a": 1, "b": "", "learned": 0});
            begin.0.insert(format!("rows/{number}"), row);
            begin
                .0
                .insert(format!("files/{number}"), json!({"text": "."}));
            begin
                .0
                .insert(format!("accounts/{number}"), json!({"balance": 20}));
        }
        let mut system = Self {
            world: begin.clone(),
            begin,
            agents: (0..agents).map(|agent| format!("agent-{agent}")).collect(),
            by: Vec::new(),
            edges: Vec::new(),
            calls: Vec::new(),
            checkpoints: Vec::new(),
            remembers: BTreeMap::new(),
            graph: Graph::new(),
        };
        let catalogue = catalogue();
        let mut memory: Vec<Vec<usize>> = vec![Vec::new(); agents];
        // Messages that were sent and not yet read.
        let mut inbox: Vec<Vec<usize>> = vec![Vec::new(); agents];
        for number in 0..decisions {
            let agent = draw.below(agents);
            let mut causes = std::mem::take(&mut inbox[agent]);
            system.by.push(agent);
            let decision = id(number + 1);
            if draw.chance(4) {
                // A saved state holds everything that its agent knows.
                memory[agent].append(&mut causes);
                let remembered: BTreeSet<DecisionId> =
                    memory[agent].iter().map(|n| id(n + 1)).collect();
                causes.clone_from(&memory[agent]);
                let agent = system.agents[agent].clone();
                system.checkpoints.push(Checkpoint { decision, agent });
                system.remembers.insert(decision, remembered);
                system.link(number, &causes);
                continue;
            }
            // Most decisions go on with something, some begin anew.
            let known = memory[agent].len();
            if known > 0 && draw.chance(60) {
                causes.push(memory[agent][known - 1 - draw.below(known.min(4))]);
            }
            system.link(number, &causes);
            memory[agent].append(&mut causes);
            memory[agent].push(number);
            if draw.chance(15) {
                inbox[draw.below(agents)].push(number);
            } else {
                let (tool, args) = some_call(&mut draw, records, number);
                let call = system.world.perform(&catalogue, decision, tool, args);
                system.calls.push(call);
            }
            // Agents forget, so that saved states stay small.
            let excess = memory[agent].len().saturating_sub(40);
            memory[agent].drain(..excess);
        }
        system
    }

    fn link(&mut self, number: usize, causes: &[usize]) {
        let effect = id(number + 1);
        self.graph.insert(effect).unwrap();
        let causes: BTreeSet<usize> = causes.iter().copied().collect();
        for cause in causes {
            let decision = id(cause + 1);
            let made = Cause {
                decision,
                evidence: Evidence::HistoryPrefix,
                kind: CauseKind::Context,
                strength: Strength::Certain,
            };
            self.graph.link(effect, &made).unwrap();
            self.edges.push(Edge {
                cause: decision,
                effect,
                kind: CauseKind::Context,
                strength: Strength::Certain,
            });
        }
    }

    /// What the planner is told when a decision turns out to be bad.
    pub(crate) fn facts(&self, bad: DecisionId) -> Facts {
        let blast = self.graph.blast(bad);
        let followed = blast.certain.iter().map(|touched| touched.decision);
        let all: BTreeSet<DecisionId> = followed.chain([bad]).collect();
        let member = |decision: &DecisionId| Member {
            decision: *decision,
            agent: self.agents[self.by[usize::try_from(decision.millis()).unwrap() - 1]].clone(),
            ring: Strength::Certain,
        };
        let inside = |edge: &&Edge| all.contains(&edge.cause) && all.contains(&edge.effect);
        let since = self.calls.iter().filter(|call| call.decision >= bad);
        let calls: Vec<Call> = since.cloned().collect();
        Facts {
            incident: Incident {
                roots: vec![bad],
                reason: "generated".to_owned(),
            },
            size: self.by.len() as u64,
            members: all.iter().map(member).collect(),
            edges: self.edges.iter().filter(inside).copied().collect(),
            current: self.world.now(&calls),
            checkpoints: self.checkpoints.clone(),
            behind: self.edges.clone(),
            calls,
            ..Facts::default()
        }
    }

    /// The world where only calls outside of `gone` were made, and those of them that it refuses.
    pub(crate) fn never(&self, gone: &BTreeSet<DecisionId>) -> (World, BTreeSet<DecisionId>) {
        let mut world = self.begin.clone();
        let mut refused = BTreeSet::new();
        for call in &self.calls {
            let kept = !gone.contains(&call.decision) && call.outcome == Outcome::Succeeded;
            if kept && world.call(&call.tool, &call.arguments).is_err() {
                refused.insert(call.decision);
            }
        }
        (world, refused)
    }

    /// What happened to the records that a rollback got wrong, for whoever looks for the reason.
    pub(crate) fn story(&self, judged: &Judged) -> String {
        let (saga, checkpoint) = (judged.saga, judged.checkpoint);
        let mut story = format!("\nby a saga exact: {saga}, by a checkpoint: {checkpoint}");
        for (uri, (is, should)) in &judged.wrong {
            story.push_str(&format!("\n{uri} is {is:?}, not {should:?}"));
            for call in self.calls.iter().filter(|c| c.before.contains_key(uri)) {
                let (tool, args, outcome) = (&call.tool, &call.arguments, &call.outcome);
                let gone = judged
                    .plan
                    .affected
                    .iter()
                    .any(|a| a.decision == call.decision);
                let before = &call.before[uri];
                story.push_str(&format!(
                    "\n  {} {gone} {tool} {args} {outcome:?} on {before:?}",
                    call.decision
                ));
            }
        }
        story
    }

    /// Whether the states on the recovery line remember nothing of `gone`, and no later one of their
    /// agents does so either.
    fn line_holds(&self, facts: &Facts, gone: &BTreeSet<DecisionId>) -> bool {
        let members: HashSet<DecisionId> = facts.members.iter().map(|m| m.decision).collect();
        let line = recovery_line(&facts.checkpoints, &self.edges, &members);
        let clean = |saved: &DecisionId| self.remembers[saved].is_disjoint(gone);
        line.iter().all(|(agent, saved)| {
            let own = self.checkpoints.iter().filter(|c| c.agent == *agent);
            let latest = own.map(|c| c.decision).filter(clean).max();
            *saved == latest
        })
    }
}

fn some_call(draw: &mut Draw, records: usize, number: usize) -> (&'static str, Value) {
    let record = draw.below(records).to_string();
    let text = number.to_string();
    match draw.below(12) {
        0 => ("write_file", json!({"path": record, "text": text})),
        1 | 2 => ("append_file", json!({"path": record, "text": text})),
        3 => ("read_file", json!({"path": record})),
        4 => ("insert_row", json!({"id": record, "a": number % 7})),
        5 => ("delete_row", json!({"id": record})),
        6 | 7 => ("set_b", json!({"id": record, "b": text})),
        8 => ("add_a", json!({"id": record, "n": number % 9})),
        9 | 10 => {
            let to = draw.below(records).to_string();
            ("copy", json!({"from": record, "to": to}))
        }
        _ => ("pay", json!({"account": record, "amount": number % 8})),
    }
}

/// What a rollback of a generated system came to.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) plan: Plan,
    /// Steps that were refused when they ran.
    pub(crate) refused: Vec<String>,
    /// Whether the world is as the replay has it.
    pub(crate) exact: bool,
    /// Records that are not: what they are, and what they should be.
    pub(crate) wrong: BTreeMap<String, (Option<Value>, Option<Value>)>,
    /// Whether exactly the kept calls that the replay refuses were announced.
    pub(crate) announced: bool,
    pub(crate) line: bool,
    /// By the other ways: each agent's effects taken back in reverse order; the world of the
    /// moment before the bad decision.
    pub(crate) saga: bool,
    pub(crate) checkpoint: bool,
}

/// Rolls one decision of a system back, and judges what comes of it.
pub(crate) fn judge(system: &System, bad: DecisionId, seed: u64) -> Judged {
    let facts = system.facts(bad);
    let plan = plan(&facts, &catalogue());
    let gone: BTreeSet<DecisionId> = facts.members.iter().map(|m| m.decision).collect();
    let (never, refused) = system.never(&gone);
    let mut draw = Draw::new(seed);
    let mut world = system.world.clone();
    let failed = world.carry_out(&plan, |ready| draw.below(ready));
    let torn: BTreeSet<DecisionId> = plan.torn.iter().map(|torn| torn.decision).collect();
    let mut saga = system.world.clone();
    for call in facts
        .calls
        .iter()
        .rev()
        .filter(|call| gone.contains(&call.decision))
    {
        for (uri, before) in call
            .before
            .iter()
            .filter(|(uri, _)| call.after.contains_key(*uri))
        {
            match before {
                Some(record) => saga.0.insert(uri.clone(), record.clone()),
                None => saga.0.remove(uri),
            };
        }
    }
    let earlier: BTreeSet<DecisionId> = facts.calls.iter().map(|call| call.decision).collect();
    let uris = world.0.keys().chain(never.0.keys());
    let pair = |uri: &String| (world.0.get(uri).cloned(), never.0.get(uri).cloned());
    let wrong = uris.map(|uri| (uri.clone(), pair(uri)));
    Judged {
        wrong: wrong.filter(|(_, (is, should))| is != should).collect(),
        exact: world == never,
        announced: torn == refused,
        line: system.line_holds(&facts, &gone),
        saga: saga == never,
        checkpoint: system.never(&earlier).0 == never,
        refused: failed,
        plan,
    }
}

/// A decision that called something, somewhere in the middle.
pub(crate) fn some_bad(system: &System, seed: u64) -> Option<DecisionId> {
    let done = system
        .calls
        .iter()
        .filter(|call| call.outcome == Outcome::Succeeded);
    let done: Vec<DecisionId> = done.map(|call| call.decision).collect();
    let at = Draw::new(seed ^ 0x55).below(done.len());
    done.get(at).copied()
}
