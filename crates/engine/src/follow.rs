//! What followed from a decision, and why one depends on another.

use std::collections::{BTreeSet, HashMap, HashSet};

use ledger::{DecisionRow, Direction, Page};
use lineage::Graph;
use model::{Cause, DecisionId, Edge, Event, Evidence, Field, RunId, Strength};

use crate::look::{Named, edge_view, fold};
use crate::view::{BlastView, GraphView, LinkView, ReachedView, WhyView};
use crate::{Engine, EngineError};

/// The most decisions that are searched for a chain of causes.
const CHAIN_MAX: usize = 1_000_000;

/// Rows that are read together on a walk.
const ROWS_TOGETHER: usize = 4_096;

/// What a walk came by, each with how many edges away it is.
#[derive(Default)]
struct Walked {
    rows: Vec<(DecisionRow, u32)>,
    /// What was done about it.
    recovery: Vec<(DecisionRow, u32)>,
}

impl Engine {
    /// Returns the graph of a run, or of a decision with everything before and after it.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::WrongKind`], [`EngineError::Store`].
    pub async fn graph(&self, of: Named, limit: usize) -> Result<GraphView, EngineError> {
        let (name, mut rows, cut) = match of {
            Named::Run(run) => {
                let page = Page::first((limit as u64).saturating_add(1));
                let mut rows = self.store.decisions(Some(run), page).await?;
                let cut = rows.len() > limit;
                rows.truncate(limit);
                (run.to_string(), rows, cut)
            }
            Named::Decision(id) => {
                let mut ids = vec![id];
                for direction in [Direction::Causes, Direction::Effects] {
                    let reached = self
                        .store
                        .closure(id, direction, Strength::Possible, limit)
                        .await?;
                    ids.extend(reached.into_iter().map(|(id, _)| id));
                }
                let cut = ids.len() > limit;
                ids.truncate(limit.max(1));
                (id.to_string(), self.store.rows(&ids).await?, cut)
            }
            Named::Subject(subject) => {
                return Err(EngineError::WrongKind {
                    id: subject.to_string(),
                    is: of.what(),
                    wanted: "a run or a decision",
                });
            }
        };
        rows.sort_by_key(|row| row.first);
        let ids: Vec<DecisionId> = rows.iter().map(|row| row.id).collect();
        let inside: HashSet<DecisionId> = ids.iter().copied().collect();
        let mut edges = self.store.edges(&ids, Direction::Causes).await?;
        edges.retain(|edge| inside.contains(&edge.cause));
        edges.sort_unstable();
        edges.dedup();
        let edges = edges.into_iter().map(edge_view).collect();
        let whole_run = matches!(of, Named::Run(_));
        Ok(GraphView {
            of: name,
            whole_run,
            nodes: self.nodes(&rows).await?,
            edges,
            cut,
        })
    }

    /// Returns what followed from a decision, in its two rings, and apart from them what was done
    /// about it: the rings are those of a plan.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Store`].
    pub async fn blast(&self, id: DecisionId, limit: usize) -> Result<BlastView, EngineError> {
        let of = self.node(id).await?;
        let mut runs = HashMap::new();
        let mut sure = self
            .walk(id, Strength::Certain, limit, &HashSet::new(), &mut runs)
            .await?;
        let known: HashSet<DecisionId> = sure.rows.iter().map(|(row, _)| row.id).collect();
        let mut wide = self
            .walk(id, Strength::Possible, limit, &known, &mut runs)
            .await?;
        let mut cut = false;
        for rows in [&mut sure.rows, &mut wide.rows, &mut wide.recovery] {
            cut |= rows.len() > limit;
            rows.truncate(limit);
        }
        let mut rollbacks = Vec::new();
        for (row, _) in &wide.recovery {
            rollbacks.extend(self.rollback_row(row).await?);
        }
        let certain = self.reached(id, &sure.rows, Strength::Certain).await?;
        let possible = self.reached(id, &wide.rows, Strength::Possible).await?;
        let recovery = self.reached(id, &wide.recovery, Strength::Possible).await?;
        let agents: BTreeSet<String> = certain
            .iter()
            .chain(&possible)
            .map(|reached| reached.node.agent.clone())
            .collect();
        Ok(BlastView {
            of,
            certain,
            possible,
            recovery,
            rollbacks,
            agents: agents.into_iter().collect(),
            cut,
        })
    }

    /// Walks from a decision over edges that are at least this strong, nearest first, until there is
    /// one more than the limit that was not known. What takes care of what went wrong is told apart,
    /// and nothing is reached through it.
    async fn walk(
        &self,
        from: DecisionId,
        least: Strength,
        limit: usize,
        known: &HashSet<DecisionId>,
        runs: &mut HashMap<RunId, bool>,
    ) -> Result<Walked, EngineError> {
        let mut walked = Walked::default();
        let mut seen = HashSet::from([from]);
        let mut front = vec![from];
        let mut distance = 0;
        while !front.is_empty() {
            distance += 1;
            let edges = self.store.edges(&front, Direction::Effects).await?;
            let next = edges.into_iter().filter(|edge| edge.strength >= least);
            let next: Vec<DecisionId> = next
                .map(|edge| edge.effect)
                .filter(|id| seen.insert(*id))
                .collect();
            front.clear();
            for ids in next.chunks(ROWS_TOGETHER) {
                let mut new = ids.to_vec();
                new.retain(|id| !known.contains(id));
                let rows = self.store.rows(&new).await?;
                let mut rows: HashMap<DecisionId, DecisionRow> =
                    rows.into_iter().map(|row| (row.id, row)).collect();
                for id in ids {
                    let Some(row) = rows.remove(id) else {
                        front.extend(known.get(id));
                        continue;
                    };
                    if self.recovers(&row, runs).await? {
                        walked.recovery.push((row, distance));
                    } else {
                        front.push(*id);
                        walked.rows.push((row, distance));
                    }
                }
                if walked.rows.len() > limit {
                    return Ok(walked);
                }
            }
        }
        Ok(walked)
    }

    /// Returns why `later` depends on `earlier`: the chain with the fewest possible
    /// links, and among those the shortest.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Store`].
    pub async fn why(
        &self,
        earlier: DecisionId,
        later: DecisionId,
    ) -> Result<WhyView, EngineError> {
        let from = self.node(earlier).await?;
        let to = self.node(later).await?;
        let chain = self.chain(earlier, later).await?;
        let depends = chain.is_some();
        let mut links = Vec::new();
        for edge in chain.into_iter().flatten() {
            links.push(self.link(edge).await?);
        }
        let certain = links
            .iter()
            .all(|link| link.edge.strength == Strength::Certain.name());
        let strength = if certain {
            Strength::Certain
        } else {
            Strength::Possible
        };
        let strength = depends.then(|| strength.name().to_owned());
        Ok(WhyView {
            from,
            to,
            depends,
            strength,
            chain: links,
        })
    }

    /// The chain from `earlier` to `later` with the fewest possible edges, then the shortest.
    async fn chain(
        &self,
        earlier: DecisionId,
        later: DecisionId,
    ) -> Result<Option<Vec<Edge>>, EngineError> {
        let before = self
            .store
            .closure(later, Direction::Causes, Strength::Possible, CHAIN_MAX);
        let mut ids: Vec<DecisionId> = before.await?.into_iter().map(|(id, _)| id).collect();
        if earlier == later || !ids.contains(&earlier) {
            return Ok(None);
        }
        ids.push(later);
        let edges = self.store.edges(&ids, Direction::Causes).await?;
        let mut graph = Graph::with_capacity(ids.len(), edges.len());
        for edge in edges {
            // How each is known stays in the events; only the links of the chain are read there.
            let cause = Cause {
                decision: edge.cause,
                evidence: Evidence::Adjacent,
                kind: edge.kind,
                strength: edge.strength,
            };
            graph
                .link(edge.effect, &cause)
                .map_err(|source| EngineError::Graph { source })?;
        }
        let path = graph.path(earlier, later);
        Ok(path.map(|links| links.into_iter().map(|link| link.edge).collect()))
    }

    async fn link(&self, edge: Edge) -> Result<LinkView, EngineError> {
        let events = self.events_of(edge.effect).await?;
        let decision = fold(edge.effect, events.iter().map(|(_, event)| event))?;
        let same = |cause: &&Cause| {
            (cause.decision, cause.kind, cause.strength) == (edge.cause, edge.kind, edge.strength)
        };
        let cause = decision.causes.iter().find(same);
        let carried = match cause.map(|cause| &cause.evidence) {
            Some(Evidence::Value { at }) => self.carried(&events, at).await?,
            _ => None,
        };
        Ok(LinkView {
            edge: edge_view(edge),
            evidence: cause.map_or_else(String::new, |cause| cause.evidence.to_string()),
            carried,
            node: self.node(edge.effect).await?,
        })
    }

    /// Reads the value that an argument carries, if the arguments can still be read.
    async fn carried(
        &self,
        events: &[(u64, Event)],
        pointer: &str,
    ) -> Result<Option<String>, EngineError> {
        let contents = self.contents(events).await?;
        let asked = contents.iter().find(|c| c.field == Field::Asked.name());
        let Some(text) = asked.and_then(|content| content.text.as_deref()) else {
            return Ok(None);
        };
        let parsed: Option<serde_json::Value> = serde_json::from_str(text).ok();
        Ok(parsed
            .as_ref()
            .and_then(|json| json.pointer(pointer))
            .map(|value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            }))
    }

    async fn reached(
        &self,
        of: DecisionId,
        ring: &[(DecisionRow, u32)],
        least: Strength,
    ) -> Result<Vec<ReachedView>, EngineError> {
        let ids: Vec<DecisionId> = ring.iter().map(|(row, _)| row.id).collect();
        let distances = ring.iter().map(|(row, distance)| (row.id, *distance));
        let mut distance: HashMap<DecisionId, u32> = distances.collect();
        distance.insert(of, 0);
        let mut via: HashMap<DecisionId, Edge> = HashMap::new();
        for edge in self.store.edges(&ids, Direction::Causes).await? {
            if edge.strength < least && least == Strength::Certain {
                continue;
            }
            // The possible ring also hangs on the certain one, whose distances are not here: any
            // edge will do there, the firmest and nearest by preference.
            let rank = |edge: &Edge| {
                (
                    distance.get(&edge.cause).copied().unwrap_or(u32::MAX),
                    *edge,
                )
            };
            let known = via.entry(edge.effect).or_insert(edge);
            if rank(&edge) < rank(known) {
                *known = edge;
            }
        }
        let rows: Vec<DecisionRow> = ring.iter().map(|(row, _)| row.clone()).collect();
        let nodes = self.nodes(&rows).await?.into_iter().zip(ring);
        let reached = nodes.map(|(node, (row, distance))| ReachedView {
            node,
            distance: *distance,
            via: via.get(&row.id).copied().map(edge_view),
        });
        Ok(reached.collect())
    }
}
