//! The index of the store in memory: what the seam's questions need, as ordered maps.
//!
//! A plain fold over the leaves in their order. It says the same as the embedded store's index,
//! and the conformance suite holds the two against each other.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use ledger::{DecisionRow, Direction, Found, Page, RunRow, ToolRow};
use model::{
    DecisionId, Edge, EventId, HybridTime, IndexKeys, Kind, Origin, RunId, RunKeys, Strength,
    SubjectId, ToolKeys, Touched,
};

use crate::prefix::{IdRange, is_id_part};

/// Everything that is known beside the leaves themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Projection {
    events: BTreeMap<EventId, u64>,
    heads: BTreeMap<[u8; 16], EventId>,
    decisions: BTreeMap<DecisionId, DecisionRow>,
    in_order: BTreeMap<u64, DecisionId>,
    runs: BTreeMap<RunId, Run>,
    of_decision: BTreeMap<DecisionId, Vec<u64>>,
    about: BTreeMap<SubjectId, Vec<u64>>,
    named: BTreeMap<&'static str, Vec<u64>>,
    causes: BTreeSet<(DecisionId, Edge)>,
    effects: BTreeSet<(DecisionId, Edge)>,
    subjects: BTreeSet<SubjectId>,
    touches: BTreeSet<(Touched, u64, DecisionId)>,
    tools: BTreeMap<(String, String), ToolRow>,
    last: Option<HybridTime>,
}

#[derive(Clone, Debug)]
struct Run {
    row: RunRow,
    opened: bool,
    imported: bool,
    order: Vec<u64>,
}

impl Run {
    fn shown(&self) -> RunRow {
        RunRow {
            whole: self.row.keys.origin.is_none() || self.imported,
            ..self.row.clone()
        }
    }
}

impl Projection {
    /// Takes the next leaf into account.
    pub(crate) fn take(&mut self, seq: u64, keys: &IndexKeys) {
        self.events.insert(keys.id, seq);
        self.named.entry(keys.what).or_default().push(seq);
        self.last = Some(keys.at);
        if let Some(stream) = keys.stream {
            self.heads.insert(stream, keys.id);
        }
        if let Some(opened) = &keys.run {
            let run = self.run(opened.run, seq, keys.at);
            if !run.opened {
                run.opened = true;
                run.row.keys = opened.clone();
            }
            self.subjects.insert(opened.subject);
        }
        if let Some(id) = keys.imported {
            self.run(id, seq, keys.at).imported = true;
        }
        if let Some(id) = keys.decision {
            self.of_decision.entry(id).or_default().push(seq);
            self.decision(id, seq, keys);
            let touches = keys.touches.iter().cloned();
            self.touches
                .extend(touches.map(|touched| (touched, seq, id)));
        }
        for edge in &keys.edges {
            self.causes.insert((edge.effect, *edge));
            self.effects.insert((edge.cause, *edge));
        }
        if let Some((_, subject)) = keys.payload {
            self.about.entry(subject).or_default().push(seq);
            self.subjects.insert(subject);
        }
        if let Some(subject) = keys.erased {
            self.subjects.insert(subject);
        }
    }

    fn run(&mut self, id: RunId, first: u64, at: HybridTime) -> &mut Run {
        self.runs.entry(id).or_insert_with(|| Run {
            row: RunRow {
                keys: unopened(id),
                first,
                at,
                whole: true,
                decisions: BTreeMap::new(),
                agents: Vec::new(),
            },
            opened: false,
            imported: false,
            order: Vec::new(),
        })
    }

    fn decision(&mut self, id: DecisionId, seq: u64, keys: &IndexKeys) {
        let before = self.decisions.get(&id).map(|row| row.status);
        match (before, &keys.begins, keys.status) {
            (None, Some(begins), Some(status)) => {
                let row = DecisionRow {
                    id,
                    keys: begins.clone(),
                    status,
                    first: seq,
                    at: keys.at,
                };
                self.decisions.insert(id, row);
                self.in_order.insert(seq, id);
                let run = self.run(begins.run, seq, keys.at);
                run.order.push(seq);
                *run.row.decisions.entry(status).or_default() += 1;
                if let Err(place) = run.row.agents.binary_search(&begins.agent.name) {
                    run.row.agents.insert(place, begins.agent.name.clone());
                }
                if let Some((server, name)) = keys.tool() {
                    let new = ToolRow {
                        keys: ToolKeys::new(server, name),
                        calls: 0,
                        first: seq,
                        last: seq,
                    };
                    let by = (server.to_owned(), name.to_owned());
                    let tool = self.tools.entry(by).or_insert(new);
                    tool.calls += 1;
                    tool.last = seq;
                }
            }
            (Some(before), _, Some(status)) if before != status => {
                let row = self.decisions.get_mut(&id).expect("it had a status");
                row.status = status;
                let counts = &mut self
                    .runs
                    .get_mut(&row.keys.run)
                    .expect("its run is known")
                    .row
                    .decisions;
                *counts.entry(status).or_default() += 1;
                let count = counts.get_mut(&before).expect("it was counted");
                *count -= 1;
                if *count == 0 {
                    counts.remove(&before);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn last(&self) -> Option<HybridTime> {
        self.last
    }

    pub(crate) fn seq_of(&self, event: EventId) -> Option<u64> {
        self.events.get(&event).copied()
    }

    pub(crate) fn head(&self, stream: [u8; 16]) -> Option<EventId> {
        self.heads.get(&stream).copied()
    }

    pub(crate) fn runs(&self, page: Page) -> Vec<RunRow> {
        let mut runs: Vec<&Run> = self.runs.values().collect();
        runs.sort_by_key(|run| std::cmp::Reverse((run.row.first, run.row.keys.run)));
        cut(runs.into_iter(), page).map(Run::shown).collect()
    }

    pub(crate) fn named_runs(&self, limit: u64) -> Vec<(String, RunId)> {
        let runs = self.runs(Page {
            skip: 0,
            limit: u64::MAX,
        });
        let own = runs.into_iter().map(|row| row.keys);
        let own = own.filter(|keys| keys.origin.is_none());
        let named = own.filter_map(|keys| Some((keys.external?, keys.run)));
        named
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .collect()
    }

    pub(crate) fn run_row(&self, run: RunId) -> Option<RunRow> {
        self.runs.get(&run).map(Run::shown)
    }

    pub(crate) fn imported(&self, origin: &Origin) -> Option<RunRow> {
        let from = |run: &&Run| run.row.keys.origin.as_ref() == Some(origin);
        self.runs
            .values()
            .filter(from)
            .min_by_key(|run| run.row.first)
            .map(Run::shown)
    }

    pub(crate) fn decisions(&self, run: Option<RunId>, page: Page) -> Vec<DecisionRow> {
        let row = |seq: &u64| self.decisions[&self.in_order[seq]].clone();
        match run {
            None => cut(self.in_order.keys(), page).map(row).collect(),
            Some(run) => self.runs.get(&run).map_or_else(Vec::new, |run| {
                cut(run.order.iter(), page).map(row).collect()
            }),
        }
    }

    pub(crate) fn decisions_of(&self, kind: Kind, runs: Option<&[RunId]>) -> Vec<DecisionRow> {
        let rows = self.in_order.values().map(|id| &self.decisions[id]);
        let asked = |row: &&DecisionRow| {
            row.keys.kind == kind && runs.is_none_or(|runs| runs.contains(&row.keys.run))
        };
        rows.filter(asked).cloned().collect()
    }

    pub(crate) fn rows(&self, ids: &[DecisionId]) -> Vec<DecisionRow> {
        ids.iter()
            .filter_map(|id| self.decisions.get(id).cloned())
            .collect()
    }

    pub(crate) fn events_of(&self, decision: DecisionId) -> Vec<u64> {
        self.of_decision.get(&decision).cloned().unwrap_or_default()
    }

    pub(crate) fn events_about(&self, subject: SubjectId) -> Vec<u64> {
        self.about.get(&subject).cloned().unwrap_or_default()
    }

    pub(crate) fn events_named(&self, names: &[&str]) -> Vec<u64> {
        let names: BTreeSet<&str> = names.iter().copied().collect();
        let mut seqs: Vec<u64> = names
            .iter()
            .filter_map(|name| self.named.get(*name))
            .flatten()
            .copied()
            .collect();
        seqs.sort_unstable();
        seqs
    }

    pub(crate) fn touching(&self, touched: &[Touched], since: u64) -> Vec<DecisionId> {
        let nil = DecisionId::from_bytes([0; 16]);
        let of = |touched: &Touched| {
            let rows = self.touches.range((touched.clone(), since, nil)..);
            let touched = touched.clone();
            rows.take_while(move |row| row.0 == touched)
                .map(|row| row.2)
        };
        let found: BTreeSet<DecisionId> = touched.iter().flat_map(of).collect();
        found.into_iter().collect()
    }

    pub(crate) fn tools(&self, page: Page) -> Vec<ToolRow> {
        cut(self.tools.values(), page).cloned().collect()
    }

    pub(crate) fn find(&self, prefix: &str, limit: usize) -> Vec<Found> {
        let Some(range) = IdRange::of(prefix) else {
            return Vec::new();
        };
        let (low, high) = (range.low, range.high);
        let runs = self
            .runs
            .range(RunId::from_bytes(low)..=RunId::from_bytes(high));
        let decisions = self
            .decisions
            .range(DecisionId::from_bytes(low)..=DecisionId::from_bytes(high));
        let subjects = self
            .subjects
            .range(SubjectId::from_bytes(low)..=SubjectId::from_bytes(high));
        let events = self
            .events
            .range(EventId::from_bytes(low)..=EventId::from_bytes(high));
        runs.map(|(id, _)| Found::Run(*id))
            .chain(decisions.map(|(id, _)| Found::Decision(*id)))
            .chain(subjects.map(|id| Found::Subject(*id)))
            .chain(events.map(|(id, seq)| Found::Event(*id, *seq)))
            .take(limit)
            .collect()
    }

    pub(crate) fn find_end(&self, suffix: &str, limit: usize) -> Vec<Found> {
        if !is_id_part(suffix) {
            return Vec::new();
        }
        let ends = |id: String| id.ends_with(suffix);
        let runs = self.runs.keys().filter(|id| ends(id.to_string()));
        let decisions = self.decisions.keys().filter(|id| ends(id.to_string()));
        let subjects = self.subjects.iter().filter(|id| ends(id.to_string()));
        runs.map(|id| Found::Run(*id))
            .chain(decisions.map(|id| Found::Decision(*id)))
            .chain(subjects.map(|id| Found::Subject(*id)))
            .take(limit)
            .collect()
    }

    fn edges_of(&self, id: DecisionId, direction: Direction) -> impl Iterator<Item = &Edge> {
        let edges = match direction {
            Direction::Causes => &self.causes,
            Direction::Effects => &self.effects,
        };
        let least = Edge {
            cause: DecisionId::from_bytes([0; 16]),
            effect: DecisionId::from_bytes([0; 16]),
            kind: model::CauseKind::ALL[0],
            strength: Strength::Possible,
        };
        edges
            .range((id, least)..)
            .take_while(move |(of, _)| *of == id)
            .map(|(_, edge)| edge)
    }

    pub(crate) fn edges(&self, ids: &[DecisionId], direction: Direction) -> Vec<Edge> {
        let ids: BTreeSet<DecisionId> = ids.iter().copied().collect();
        ids.iter()
            .flat_map(|id| self.edges_of(*id, direction).copied())
            .collect()
    }

    pub(crate) fn closure(
        &self,
        id: DecisionId,
        direction: Direction,
        least: Strength,
        limit: usize,
    ) -> Vec<(DecisionId, u32)> {
        let mut seen = HashSet::from([id]);
        let mut queue = VecDeque::from([(id, 0)]);
        let mut reached = Vec::new();
        while let Some((at, distance)) = queue.pop_front() {
            for edge in self
                .edges_of(at, direction)
                .filter(|edge| edge.strength >= least)
            {
                let next = match direction {
                    Direction::Causes => edge.cause,
                    Direction::Effects => edge.effect,
                };
                if !seen.insert(next) {
                    continue;
                }
                if reached.len() == limit {
                    return reached;
                }
                reached.push((next, distance + 1));
                queue.push_back((next, distance + 1));
            }
        }
        reached
    }
}

/// What is known of a run that was never opened: its id, and a subject of zeros.
pub(crate) fn unopened(run: RunId) -> RunKeys {
    RunKeys {
        run,
        external: None,
        origin: None,
        subject: SubjectId::from_bytes([0; 16]),
    }
}

fn cut<T>(items: impl Iterator<Item = T>, page: Page) -> impl Iterator<Item = T> {
    let skip = usize::try_from(page.skip).unwrap_or(usize::MAX);
    items
        .skip(skip)
        .take(usize::try_from(page.limit).unwrap_or(usize::MAX))
}
