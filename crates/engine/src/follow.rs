//! What followed from a decision, and why one depends on another.

use std::collections::{BTreeSet, HashMap, HashSet};

use ledger::{Direction, Page};
use lineage::Graph;
use model::{Cause, DecisionId, Edge, Event, Evidence, Field, Strength};

use crate::look::{Named, edge_view, fold};
use crate::view::{BlastView, GraphView, LinkView, NodeView, ReachedView, WhyView};
use crate::{Engine, EngineError};

/// The most decisions that are searched for a chain of causes.
const CHAIN_MAX: usize = 1_000_000;

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

    /// Returns what followed from a decision, in its two rings.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Store`].
    pub async fn blast(&self, id: DecisionId, limit: usize) -> Result<BlastView, EngineError> {
        let of = self.node(id).await?;
        let reach = |least, most| self.store.closure(id, Direction::Effects, least, most);
        let mut certain = reach(Strength::Certain, limit.saturating_add(1)).await?;
        // The wider ring holds the certain one too, wherever in it those come.
        let most = limit.saturating_add(certain.len()).saturating_add(1);
        let all = reach(Strength::Possible, most).await?;
        let sure: HashSet<DecisionId> = certain.iter().map(|(id, _)| *id).collect();
        let mut possible: Vec<(DecisionId, u32)> = all
            .into_iter()
            .filter(|(id, _)| !sure.contains(id))
            .collect();
        let cut = certain.len() > limit || possible.len() > limit;
        certain.truncate(limit);
        possible.truncate(limit);
        let certain = self.reached(id, &certain, Strength::Certain).await?;
        let possible = self.reached(id, &possible, Strength::Possible).await?;
        let agents: BTreeSet<String> = certain
            .iter()
            .chain(&possible)
            .map(|reached| reached.node.agent.clone())
            .collect();
        Ok(BlastView {
            of,
            certain,
            possible,
            agents: agents.into_iter().collect(),
            cut,
        })
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
        ring: &[(DecisionId, u32)],
        least: Strength,
    ) -> Result<Vec<ReachedView>, EngineError> {
        let ids: Vec<DecisionId> = ring.iter().map(|(id, _)| *id).collect();
        let mut distance: HashMap<DecisionId, u32> = ring.iter().copied().collect();
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
        let rows = self.store.rows(&ids).await?;
        let nodes = self.nodes(&rows).await?;
        let by_id: HashMap<DecisionId, NodeView> =
            rows.iter().map(|row| row.id).zip(nodes).collect();
        Ok(ring
            .iter()
            .filter_map(|(id, distance)| {
                Some(ReachedView {
                    node: by_id.get(id)?.clone(),
                    distance: *distance,
                    via: via.get(id).copied().map(edge_view),
                })
            })
            .collect())
    }
}
