//! Infers causes from content, one decision after the other.
//!
//! What proves use is *certain*: matching call ids, a rare value or a long passage that the
//! decision carries and an earlier one held first, an agent addressed by name, what the source
//! itself states. What only was in view is *possible*: the history before it, the previous turn,
//! a value that anybody could have come up with. Rollback relies on that difference.

use std::collections::VecDeque;

use model::{Cause, CauseKind, DecisionId, Evidence, Kind, RunId, Strength};
use rustc_hash::FxHashMap;

use crate::arguments::Arguments;
use crate::beginnings::Beginnings;
use crate::calls::{agent_hash, id_hash, matching, name_hash};
use crate::content::{Contents, Reading, arguments, causes_of_contents, read, text_hash};
use crate::prompt::Reader;
use crate::roster::{Found, Known, Roster};
use crate::run::{Memory, Open, Pending, Run, STANDING, remember};
use crate::seen::{Asked, History, Item, Seen};
use crate::{prompt, turns};

/// What a person may tune.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether content is traced between runs too: agents that share no id talk through text.
    /// Leave it off for recordings that have nothing to do with each other. Default: off.
    pub across_runs: bool,
    /// Causes inferred for one decision at most; certain ones displace possible ones. Default: 64.
    pub causes_max: usize,
    /// Places in which a fingerprint may be met before it counts as boilerplate. Default: 8.
    pub common_max: u64,
    /// Decisions remembered at most; older ones are traced to no more. Default: 1,000,000.
    pub decisions_max: usize,
    /// Hashes remembered at most over all runs, at about 20 bytes each. The run that was observed
    /// longest ago is forgotten first; a run alone forgets what it made or met longest ago.
    /// Default: 4,000,000.
    pub entries_max: usize,
    /// Words of an unbroken passage that prove that text was carried over. Fingerprints lie up to
    /// five words inside a passage at either end, so one of ten words more is always
    /// found, and one that is shorter never. Default: 16.
    pub passage_words: usize,
    /// Mixed into every hash. With a secret one, nobody can prepare texts that collide.
    /// Default: 0.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            across_runs: false,
            causes_max: 64,
            common_max: 8,
            decisions_max: 1_000_000,
            entries_max: 4_000_000,
            passage_words: 16,
            seed: 0,
        }
    }
}

/// Which asked call a tool call answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The inference that asked.
    pub asker: DecisionId,
    /// Position among what it asked for.
    pub index: usize,
}

/// Infers causes of decisions that it is shown in order. Keeps hashes, never text.
#[derive(Debug)]
pub struct Tracer {
    options: Options,
    roster: Roster,
    runs: FxHashMap<RunId, Box<Run>>,
    /// When each run was observed, oldest first; of a run the last time counts.
    order: VecDeque<(u64, RunId)>,
    /// A run that was cleared, whose room the next one takes.
    spare: Option<Box<Run>>,
    /// Beginnings of histories in all runs.
    beginnings: Beginnings,
    /// Content of all runs, where runs are traced to each other.
    realm: Option<Memory>,
    observed: u64,
    /// Entries in all runs.
    held: usize,
}

/// Calls asked for and not carried out, in one run.
const PENDING_MAX: usize = 1_024;
/// Hand-offs not taken up, in one run.
const ADDRESSED_MAX: usize = 256;
/// Decisions whose output has not come, in one run.
const OPEN_MAX: usize = 1_024;
/// Runs remembered at most, however little each holds.
const RUNS_MAX: usize = 16_384;
/// Observations that are kept in order although their runs were observed since.
const ORDER_MIN: usize = 64;
/// Arguments of so many bytes are also read as text, for passages.
const PROSE_MIN: usize = 64;

impl Tracer {
    /// Makes a tracer that has seen nothing.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            roster: Roster::new(options.decisions_max),
            runs: FxHashMap::default(),
            order: VecDeque::new(),
            spare: None,
            beginnings: Beginnings::default(),
            realm: options
                .across_runs
                .then(|| Memory::new(options.entries_max / 10)),
            observed: 0,
            held: 0,
            options,
        }
    }

    /// Takes in the next decision and returns its causes: the stated ones first, then the
    /// inferred ones. All inferred causes are decisions observed earlier.
    pub fn observe(&mut self, seen: &Seen<'_>) -> Vec<Cause> {
        let mut run = self.checkout(seen.run);
        let agent = agent_hash(seen.agent, &self.options);
        let me = self.roster.push(Known {
            decision: seen.decision,
            run: seen.run,
            agent,
            kind: seen.kind,
            prints: 0,
        });
        let mut found = Found::new(me, seen.decision, seen.explicit, self.options.causes_max);
        self.addressed(agent, &mut run, &mut found);
        let claimed = self.call(seen, me, &mut run, &mut found);
        let chain = match seen.history {
            History::Sent(items) => {
                let reader = Reader {
                    me,
                    agent,
                    run: seen.run,
                    roster: &self.roster,
                    options: &self.options,
                };
                let realm = self.realm.as_mut();
                let memory = (&mut *run, &mut self.beginnings);
                Some(prompt::expose(items, reader, memory, realm, &mut found))
            }
            History::Unknown | History::Continues => None,
        };
        let contents = self.output(seen, me, &mut run, &mut found);
        let one_history = matches!(seen.history, History::Continues);
        if one_history && !seen.standing && !claimed {
            let words = &contents.words;
            turns::expose(seen.kind, agent, words, &run, &mut found, &self.roster);
        }
        let options = &self.options;
        causes_of_contents(
            &contents,
            (seen.run, agent),
            one_history,
            &mut found,
            &self.roster,
            options,
        );
        if one_history {
            let kind = (seen.kind, seen.standing);
            turns::enter(me, agent, kind, contents.words, &mut run);
        }
        if let Some(to) = seen.to {
            let to = agent_hash(to, &self.options);
            remember(&mut run.addressed, ADDRESSED_MAX, (to, me));
        }
        self.settle(seen, me, chain, &mut run);
        self.checkin(seen.run, run);
        found.into_causes()
    }

    /// Takes in the output of a decision that was observed without one, and returns the causes
    /// that it adds. Of `seen`, the output and the asked calls count. A decision that is not
    /// waiting for its output adds nothing.
    pub fn complete(&mut self, seen: &Seen<'_>) -> Vec<Cause> {
        let mut run = self.checkout(seen.run);
        let place = run.open.iter().position(|o| o.decision == seen.decision);
        let Some(open) = place.and_then(|place| run.open.remove(place)) else {
            self.checkin(seen.run, run);
            return Vec::new();
        };
        let agent = agent_hash(seen.agent, &self.options);
        let max = self.options.causes_max;
        let mut found = Found::new(open.number, seen.decision, &[], max);
        let contents = self.output(seen, open.number, &mut run, &mut found);
        let one_history = matches!(seen.history, History::Continues);
        let options = &self.options;
        causes_of_contents(
            &contents,
            (seen.run, agent),
            one_history,
            &mut found,
            &self.roster,
            options,
        );
        if let Some(turn) = run.turns.iter_mut().find(|t| t.number == open.number) {
            turn.words = contents.words;
        }
        self.settle(seen, open.number, open.chain, &mut run);
        self.checkin(seen.run, run);
        found.into_causes()
    }

    /// Says which asked call a tool call, not yet observed, answers.
    #[must_use]
    pub fn answers(&self, seen: &Seen<'_>) -> Option<Answered> {
        let run = self.runs.get(&seen.run)?;
        let (place, ..) = matching(seen, run, &self.options)?;
        let pending = &run.pending[place];
        Some(Answered {
            asker: self.roster.get(pending.asker)?.decision,
            index: pending.index,
        })
    }

    /// Says which inference a resent history continues: the run, and the decision whose request
    /// is its longest known beginning. Of equal ones in several runs, the latest.
    ///
    /// It takes as long as hashing the items, however many runs there are.
    #[must_use]
    pub fn continues(&self, items: &[Item<'_>]) -> Option<(RunId, DecisionId)> {
        let number = prompt::continued(items, &self.beginnings, &self.options)?;
        let known = self.roster.get(number)?;
        Some((known.run, known.decision))
    }

    /// Says which decision of all runs said exactly this, the latest of several.
    #[must_use]
    pub fn said(&mut self, text: &str) -> Option<DecisionId> {
        let hash = text_hash(text, &self.options);
        let number = self.realm.as_mut()?.texts.get(hash)?;
        Some(self.roster.get(number)?.decision)
    }

    /// Forgets a run that has ended: nothing more is traced to it within it. What other runs may
    /// trace to it stays until newer content displaces it.
    pub fn forget(&mut self, run: RunId) {
        if let Some(run) = self.runs.remove(&run) {
            self.held -= run.counted;
            self.beginnings.forget(&run.prefixes);
        }
    }

    /// Forgets everything, and keeps room: what is observed next is traced as by a new tracer. For
    /// many small runs that have nothing to do with each other.
    pub fn clear(&mut self) {
        if let Some((_, mut run)) = self.runs.drain().next() {
            run.clear();
            self.spare = Some(run);
        }
        self.order.clear();
        self.roster.clear();
        self.beginnings = Beginnings::default();
        let max = self.options.entries_max / 10;
        self.realm = self.options.across_runs.then(|| Memory::new(max));
        (self.observed, self.held) = (0, 0);
    }

    /// Returns how many hashes are remembered; at most
    /// [`entries_max`](Options::entries_max).
    #[must_use]
    pub fn entries(&self) -> usize {
        self.held + self.realm.as_ref().map_or(0, Memory::len)
    }

    fn checkout(&mut self, id: RunId) -> Box<Run> {
        self.observed += 1;
        let mut run = self
            .runs
            .remove(&id)
            .or_else(|| self.spare.take())
            .unwrap_or_else(|| Box::new(Run::new(self.options.entries_max / 10)));
        run.used = self.observed;
        run
    }

    fn checkin(&mut self, id: RunId, mut run: Box<Run>) {
        let count = run.len();
        self.held = self.held - run.counted + count;
        run.counted = count;
        self.order.push_back((run.used, id));
        self.runs.insert(id, run);
        // One after the other as others come: many at once would hold up whoever comes then.
        while self.runs.len() > 1
            && (self.runs.len() > RUNS_MAX || self.entries() > self.options.entries_max)
            && let Some((used, oldest)) = self.order.pop_front()
        {
            if self.is_last(used, oldest) {
                self.forget(oldest);
            }
        }
        if self.order.len() > ORDER_MIN + self.runs.len() * 4 {
            let mut order = std::mem::take(&mut self.order);
            order.retain(|(used, run)| self.is_last(*used, *run));
            self.order = order;
        }
    }

    /// Whether a run was observed then and not since.
    fn is_last(&self, used: u64, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|run| run.used == used)
    }

    /// Whoever was addressed by name depends on who addressed it.
    fn addressed(&self, agent: u64, run: &mut Run, found: &mut Found) {
        run.addressed.retain(|&(to, number)| {
            if to == agent {
                found.add(
                    &self.roster,
                    number,
                    CauseKind::Message,
                    Strength::Certain,
                    Evidence::Addressed,
                );
            }
            to != agent
        });
    }

    /// Links a tool call to who asked for it, and to where the values in its arguments come from.
    /// Tells whether somebody asked for it.
    fn call(&self, seen: &Seen<'_>, me: u64, run: &mut Run, found: &mut Found) -> bool {
        let matched = matching(seen, run, &self.options);
        let claimed = matched.is_some();
        let carried = match matched {
            Some((place, strength, evidence)) => {
                let pending = run.pending.remove(place).expect("just found there");
                found.add(
                    &self.roster,
                    pending.asker,
                    CauseKind::Call,
                    strength,
                    evidence,
                );
                if let Some(id) = pending.id {
                    run.calls.put(id, me);
                }
                // Their origins as they were when the model wrote them.
                pending.carried
            }
            None => {
                if let Some(id) = seen.call_id {
                    run.calls.put(id_hash(id, &self.options), me);
                }
                match seen.arguments {
                    Some(text) => {
                        let given = Arguments::parse(text);
                        let agent = agent_hash(seen.agent, &self.options);
                        let all = (&self.roster, &self.options);
                        arguments(&given, (me, agent), &mut run.memory, all).0
                    }
                    None => Vec::new(),
                }
            }
        };
        for value in carried {
            found.add(
                &self.roster,
                value.owner,
                CauseKind::Value,
                value.strength,
                Evidence::Value { at: value.at },
            );
        }
        claimed
    }

    /// Reads what a decision produced: its text and the calls that it asks for.
    fn output(&mut self, seen: &Seen<'_>, me: u64, run: &mut Run, found: &mut Found) -> Contents {
        let options = &self.options;
        // A tool's output comes from the world: that it repeats earlier text shows nothing.
        let how = Reading {
            owner: if seen.standing { STANDING } else { me },
            trace: seen.kind != Kind::ToolCall && !seen.standing,
            shared: seen.kind != Kind::Message || seen.to.is_some(),
            run: seen.run,
            agent: agent_hash(seen.agent, options),
        };
        let mut contents = Contents::default();
        if let Some(text) = seen.output {
            let realm = self.realm.as_mut();
            contents = read(text, how, &mut run.memory, realm, (&self.roster, options));
            if !seen.standing && !text.trim().is_empty() {
                let hash = text_hash(text, options);
                run.memory.texts.put(hash, me);
                if let Some(realm) = self.realm.as_mut().filter(|_| how.shared) {
                    realm.texts.put(hash, me);
                }
            }
        }
        for (index, call) in seen.asked.iter().enumerate() {
            let given = Arguments::parse(call.arguments);
            let mine = (me, how.agent);
            let all = (&self.roster, options);
            let (carried, values) = arguments(&given, mine, &mut run.memory, all);
            for value in &carried {
                let at = format!("/{index}{}", value.at);
                found.add(
                    &self.roster,
                    value.owner,
                    CauseKind::Value,
                    value.strength,
                    Evidence::Value { at },
                );
            }
            if call.arguments.len() >= PROSE_MIN {
                let realm = self.realm.as_mut();
                let all = (&self.roster, options);
                let more = read(call.arguments, how, &mut run.memory, realm, all);
                contents.prints += more.prints;
                contents.values.extend(more.values);
                contents.passages.extend(more.passages);
            }
            let id = call.id.map(|id| id_hash(id, options));
            if let Some(id) = id {
                run.askers.put(id, me);
            }
            let pending = Pending {
                id,
                name: name_hash(call.name, options),
                arguments: given.canonical_hash(options.seed),
                asker: me,
                index,
                carried,
                values,
            };
            remember(&mut run.pending, PENDING_MAX, pending);
        }
        if let Some(known) = self.roster.get_mut(me) {
            known.prints = contents.prints;
        }
        contents
    }

    /// Remembers how the decision can be continued, or that its output is still to come.
    fn settle(&mut self, seen: &Seen<'_>, me: u64, chain: Option<u64>, run: &mut Run) {
        if seen.output.is_none() && seen.asked.is_empty() {
            let open = Open {
                decision: seen.decision,
                number: me,
                chain,
            };
            remember(&mut run.open, OPEN_MAX, open);
        }
        if let Some(chain) = chain {
            let (output, asked): (_, &[Asked<'_>]) = (seen.output, seen.asked);
            let memory = (run, &mut self.beginnings);
            prompt::register(chain, me, output, asked, memory, &self.options);
        }
    }
}
