//! Questions about the record: which runs, what was decided, what followed, and why.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ledger::payload::SALT_BYTES;
use ledger::{BlobState, DecisionRow, Direction, Found, KeyState, Leaf, Page, RunRow};
use model::{
    Account, Cause, Decision, DecisionId, Edge, Environment, Event, Evidence, Field, Outcome,
    RunId, Sealed, Status, Strength,
};

use crate::text::{evidence, recorded, stamp, summary};
use crate::view::{
    AccountView, ApprovalView, BlastView, CauseView, ContentView, DecisionView, EdgeView,
    GraphView, LinkView, MarkView, NodeView, PolicyView, ReachedView, RunView, RunsView, WhyView,
};
use crate::{Engine, EngineError};

/// How many characters of content a node shows.
const SUMMARY_WIDTH: usize = 72;

/// How many characters of a run's title are shown.
const TITLE_WIDTH: usize = 120;

/// The fewest characters of an id that are searched for.
const ID_PART_MIN: usize = 4;

/// How many things an unclear address may name before the list is cut.
const CANDIDATES_MAX: usize = 16;

/// Something in the record, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A run.
    Run(RunId),
    /// A decision.
    Decision(DecisionId),
    /// A subject of payloads.
    Subject(model::SubjectId),
}

impl Named {
    const fn what(self) -> &'static str {
        match self {
            Self::Run(_) => "a run",
            Self::Decision(_) => "a decision",
            Self::Subject(_) => "a subject",
        }
    }
}

impl Engine {
    /// Finds what an address names: an id, its beginning or its end; `latest`, the newest run; or
    /// `RUN:N`, the N-th decision of a run, counted from 1. An event's id names its decision.
    ///
    /// # Errors
    /// [`EngineError::BadId`], [`EngineError::NotFound`], [`EngineError::Ambiguous`].
    pub async fn resolve(&self, text: &str) -> Result<Named, EngineError> {
        match text.rsplit_once(':') {
            None => self.resolve_id(text).await,
            Some((of, number)) => {
                let run = match self.resolve_id(of).await? {
                    Named::Run(run) => run,
                    other => {
                        let is = other.what();
                        return Err(EngineError::WrongKind {
                            id: of.to_owned(),
                            is,
                            wanted: "a run",
                        });
                    }
                };
                let missing = || EngineError::NotFound {
                    text: text.to_owned(),
                };
                let number: u64 = number.parse().map_err(|_| missing())?;
                let skip = number.checked_sub(1).ok_or_else(missing)?;
                let rows = self
                    .store
                    .decisions(Some(run), Page { skip, limit: 1 })
                    .await?;
                rows.first()
                    .map(|row| Named::Decision(row.id))
                    .ok_or_else(missing)
            }
        }
    }

    async fn resolve_id(&self, text: &str) -> Result<Named, EngineError> {
        if text == "latest" {
            let runs = self.store.runs(Page::first(1)).await?;
            let run = runs.first().map(|row| Named::Run(row.keys.run));
            return run.ok_or_else(|| EngineError::NotFound {
                text: text.to_owned(),
            });
        }
        let wanted = text.trim().trim_start_matches('…').to_ascii_lowercase();
        let legal = |c: char| c.is_ascii_hexdigit() || c == '-';
        if wanted.len() < ID_PART_MIN || wanted.len() > 36 || !wanted.chars().all(legal) {
            return Err(EngineError::BadId {
                text: text.chars().take(80).collect(),
            });
        }
        let mut named = BTreeMap::new();
        let mut found = self.store.find(&wanted, CANDIDATES_MAX).await?;
        found.extend(self.store.find_end(&wanted, CANDIDATES_MAX).await?);
        for found in found {
            let (id, name) = match found {
                Found::Run(run) => (run.to_string(), Named::Run(run)),
                Found::Decision(decision) => (decision.to_string(), Named::Decision(decision)),
                Found::Subject(subject) => (subject.to_string(), Named::Subject(subject)),
                Found::Event(event, index) => match self.event(index).await?.body.decision() {
                    Some(decision) => (event.to_string(), Named::Decision(decision)),
                    None => continue,
                },
            };
            named.insert(id, name);
        }
        if let Some(exact) = named.get(&wanted) {
            return Ok(*exact);
        }
        let distinct: Vec<Named> = named.values().copied().fold(Vec::new(), |mut seen, name| {
            if !seen.contains(&name) {
                seen.push(name);
            }
            seen
        });
        match distinct[..] {
            [] => Err(EngineError::NotFound { text: wanted }),
            [one] => Ok(one),
            _ => Err(EngineError::Ambiguous {
                text: wanted,
                candidates: named.into_keys().collect(),
            }),
        }
    }

    /// Finds the decision that an id names.
    ///
    /// # Errors
    /// As [`resolve`](Engine::resolve), and [`EngineError::WrongKind`].
    pub async fn resolve_decision(&self, text: &str) -> Result<DecisionId, EngineError> {
        match self.resolve(text).await? {
            Named::Decision(decision) => Ok(decision),
            other => Err(EngineError::WrongKind {
                id: text.to_owned(),
                is: other.what(),
                wanted: "a decision",
            }),
        }
    }

    /// Returns runs, newest first.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn runs(&self, page: Page) -> Result<RunsView, EngineError> {
        let one_more = Page {
            limit: page.limit.saturating_add(1),
            ..page
        };
        let mut rows = self.store.runs(one_more).await?;
        let more = rows.len() as u64 > page.limit;
        rows.truncate(usize::try_from(page.limit).unwrap_or(usize::MAX));
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows {
            runs.push(self.run_view(row).await?);
        }
        Ok(RunsView {
            runs,
            skipped: page.skip,
            more,
        })
    }

    /// Returns one run.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Store`].
    pub async fn run(&self, run: RunId) -> Result<RunView, EngineError> {
        let row = self.store.run(run).await?;
        let row = row.ok_or_else(|| EngineError::NotFound {
            text: run.to_string(),
        })?;
        self.run_view(row).await
    }

    async fn run_view(&self, row: RunRow) -> Result<RunView, EngineError> {
        let opening = self.event(row.first).await?;
        let title = self.opened_field(&opening, Field::Asked).await?;
        let title = title.map(|title| summary(&title, TITLE_WIDTH));
        Ok(run_view(row, title))
    }

    /// Returns the environment that a decision ran with: its own snapshot, or its run's.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Store`].
    pub async fn environment(&self, id: DecisionId) -> Result<Environment, EngineError> {
        let events = self.events_of(id).await?;
        let decision = fold(id, events.iter().map(|(_, event)| event))?;
        let mut text = None;
        for (_, event) in &events {
            text = text.or(self.opened_field(event, Field::Environment).await?);
        }
        if text.is_none()
            && let Some(row) = self.store.run(decision.proposal.run).await?
        {
            let opening = self.event(row.first).await?;
            text = self.opened_field(&opening, Field::Environment).await?;
        }
        let missing = || EngineError::NoEnvironment { id: id.to_string() };
        serde_json::from_str(&text.ok_or_else(missing)?).map_err(|_| missing())
    }

    async fn opened_field(
        &self,
        event: &Event,
        role: Field,
    ) -> Result<Option<String>, EngineError> {
        let Some(sealed) = event.body.sealed() else {
            return Ok(None);
        };
        if !sealed.fields.iter().any(|field| field.role == role) {
            return Ok(None);
        }
        let Content::Kept(fields) = self.open(event, sealed).await? else {
            return Ok(None);
        };
        let field = fields.into_iter().find(|field| field.role == role);
        Ok(field.map(|field| String::from_utf8_lossy(&field.bytes).into_owned()))
    }

    /// Returns one decision, whole.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Unfoldable`], [`EngineError::Content`].
    pub async fn decision(&self, id: DecisionId) -> Result<DecisionView, EngineError> {
        let events = self.events_of(id).await?;
        let decision = fold(id, events.iter().map(|(_, event)| event))?;
        let index = events.first().map_or(0, |(index, _)| *index);
        let contents = self.contents(&events).await?;
        let causes = self.cause_views(&decision.causes).await?;
        let effects = self.store.edges(&[id], Direction::Effects).await?;
        let proposal = &decision.proposal;
        let shown = contents
            .iter()
            .find(|c| c.field == Field::Chosen.name() && c.text.is_some());
        let shown = shown
            .or_else(|| contents.iter().find(|c| c.field == Field::Asked.name()))
            .and_then(|content| content.text.as_deref())
            .map(in_short);
        Ok(DecisionView {
            node: NodeView {
                id: id.to_string(),
                run: proposal.run.to_string(),
                agent: proposal.agent.name.clone(),
                kind: proposal.kind.name().to_owned(),
                name: proposal.name.clone(),
                status: decision.status.name().to_owned(),
                known: proposal.known.name().to_owned(),
                started: proposal.started.map(stamp),
                index,
                summary: shown,
            },
            agent_version: proposal.agent.version.clone(),
            outcome: outcome_words(&decision.outcome),
            ended: decision.ended.map(stamp),
            source: decision.position_in_source.clone(),
            causes,
            effects: effects.into_iter().map(edge_view).collect(),
            policy: proposal.policy.as_ref().map(|policy| PolicyView {
                id: policy.id.clone(),
                version: policy.version.clone(),
                digest: policy.digest.to_string(),
                verdict: verdict_name(policy.verdict).to_owned(),
                enforced: verdict_name(policy.enforced).to_owned(),
            }),
            environment: proposal.environment.map(|digest| digest.to_string()),
            approvals: decision
                .approvals
                .iter()
                .map(|approval| ApprovalView {
                    by: approval.by.clone(),
                    shown: approval.shown.to_string(),
                })
                .collect(),
            writes: resources(decision.effects.iter().flat_map(|effect| &effect.writes)),
            reads: resources(decision.effects.iter().flat_map(|effect| &effect.reads)),
            account: decision.account.as_ref().map(account_view),
            contents,
            events: decision
                .events
                .iter()
                .zip(&events)
                .map(|(mark, (index, _))| MarkView {
                    index: *index,
                    id: mark.event.to_string(),
                    what: mark.what.to_owned(),
                    at: recorded(mark.at),
                })
                .collect(),
        })
    }

    /// Returns the graph of a run, or of a decision with everything before and after it.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::WrongKind`], [`EngineError::Store`].
    pub async fn graph(&self, of: Named, limit: usize) -> Result<GraphView, EngineError> {
        let (name, mut rows, cut) = match of {
            Named::Run(run) => {
                let page = Page::first(limit as u64 + 1);
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
            Named::Subject(_) => {
                return Err(EngineError::WrongKind {
                    id: String::new(),
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
        let reach = |least| self.store.closure(id, Direction::Effects, least, limit + 1);
        let mut certain = reach(Strength::Certain).await?;
        let all = reach(Strength::Possible).await?;
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

    /// Returns why `later` depends on `earlier`: the firmest chain of causes, then the shortest.
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
        let mut chain = self.chain(earlier, later, Strength::Certain).await?;
        if chain.is_none() {
            chain = self.chain(earlier, later, Strength::Possible).await?;
        }
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

    /// The shortest chain over edges at least as strong as `least`, found backwards from `later`.
    async fn chain(
        &self,
        earlier: DecisionId,
        later: DecisionId,
        least: Strength,
    ) -> Result<Option<Vec<Edge>>, EngineError> {
        let mut towards: HashMap<DecisionId, Edge> = HashMap::new();
        let mut level = vec![later];
        while !level.is_empty() && !towards.contains_key(&earlier) {
            let mut edges = self.store.edges(&level, Direction::Causes).await?;
            edges.retain(|edge| edge.strength >= least);
            // The order of a level decides between chains of one length: take the firmest first.
            edges.sort_unstable_by_key(|edge| (std::cmp::Reverse(edge.strength), *edge));
            level.clear();
            for edge in edges {
                if edge.cause != later && !towards.contains_key(&edge.cause) {
                    towards.insert(edge.cause, edge);
                    level.push(edge.cause);
                }
            }
        }
        let mut chain = Vec::new();
        let mut at = earlier;
        while at != later {
            let Some(edge) = towards.get(&at) else {
                return Ok(None);
            };
            chain.push(*edge);
            at = edge.effect;
        }
        Ok((earlier != later).then_some(chain))
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
            evidence: cause.map_or_else(String::new, evidence),
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

    async fn cause_views(&self, causes: &[Cause]) -> Result<Vec<CauseView>, EngineError> {
        let ids: Vec<DecisionId> = causes.iter().map(|cause| cause.decision).collect();
        let rows = self.store.rows(&ids).await?;
        let agents: HashMap<DecisionId, String> = rows
            .into_iter()
            .map(|row| (row.id, row.keys.agent.name))
            .collect();
        Ok(causes
            .iter()
            .map(|cause| CauseView {
                decision: cause.decision.to_string(),
                agent: agents.get(&cause.decision).cloned(),
                kind: cause.kind.name().to_owned(),
                strength: cause.strength.name().to_owned(),
                evidence: evidence(cause),
            })
            .collect())
    }

    /// Returns one decision, short.
    pub(crate) async fn node(&self, id: DecisionId) -> Result<NodeView, EngineError> {
        let rows = self.store.rows(&[id]).await?;
        let mut nodes = self.nodes(&rows).await?;
        nodes.pop().ok_or_else(|| EngineError::NotFound {
            text: id.to_string(),
        })
    }

    async fn nodes(&self, rows: &[DecisionRow]) -> Result<Vec<NodeView>, EngineError> {
        let mut nodes = Vec::with_capacity(rows.len());
        for row in rows {
            let event = self.event(row.first).await?;
            nodes.push(NodeView {
                id: row.id.to_string(),
                run: row.keys.run.to_string(),
                agent: row.keys.agent.name.clone(),
                kind: row.keys.kind.name().to_owned(),
                name: row.keys.name.clone(),
                status: row.status.as_read().name().to_owned(),
                known: row.keys.known.name().to_owned(),
                started: row.keys.started.map(stamp),
                index: row.first,
                summary: self.summary_of(&event).await?,
            });
        }
        Ok(nodes)
    }

    async fn summary_of(&self, event: &Event) -> Result<Option<String>, EngineError> {
        let Some(sealed) = event.body.sealed() else {
            return Ok(None);
        };
        let Content::Kept(fields) = self.open(event, sealed).await? else {
            return Ok(None);
        };
        let text = [Field::Chosen, Field::Asked, Field::Result]
            .into_iter()
            .find_map(|role| fields.iter().find(|field| field.role == role))
            .map(|field| in_short(&String::from_utf8_lossy(&field.bytes)));
        Ok(text.filter(|text| !text.is_empty()))
    }

    async fn contents(&self, events: &[(u64, Event)]) -> Result<Vec<ContentView>, EngineError> {
        let mut contents = Vec::new();
        for (_, event) in events {
            let Some(sealed) = event.body.sealed() else {
                continue;
            };
            let opened = self.open(event, sealed).await?;
            for field in &sealed.fields {
                let text = match &opened {
                    Content::Kept(fields) => fields
                        .iter()
                        .find(|kept| kept.role == field.role)
                        .map(|kept| String::from_utf8_lossy(&kept.bytes).into_owned()),
                    Content::Erased | Content::Missing => None,
                };
                contents.push(ContentView {
                    field: field.role.name().to_owned(),
                    bytes: field.len,
                    state: opened.name().to_owned(),
                    text,
                });
            }
        }
        Ok(contents)
    }

    /// Opens what an event sealed.
    pub(crate) async fn open(
        &self,
        event: &Event,
        sealed: &Sealed,
    ) -> Result<Content, EngineError> {
        let key = match self.store.key(sealed.kid).await? {
            KeyState::Kept(key) => key,
            KeyState::Destroyed => return Ok(Content::Erased),
            KeyState::Absent => return Ok(Content::Missing),
        };
        let ciphertext = match self.store.payload(sealed.ct).await? {
            BlobState::Kept(bytes) => bytes,
            BlobState::Scrubbed => return Ok(Content::Erased),
            BlobState::Absent => return Ok(Content::Missing),
        };
        let opened =
            ledger::payload::open(&key, event.id.as_bytes(), &ciphertext).map_err(|source| {
                EngineError::Content {
                    event: event.id.to_string(),
                    source,
                }
            })?;
        // The leaf says what the fields are, in the order in which they were sealed.
        let fields = sealed.fields.iter().zip(opened);
        Ok(Content::Kept(
            fields
                .map(|(said, field)| Opened {
                    role: said.role,
                    salt: field.salt,
                    bytes: field.bytes,
                })
                .collect(),
        ))
    }

    /// Returns the event at a place in the log.
    pub(crate) async fn event(&self, index: u64) -> Result<Event, EngineError> {
        let leaf = self.store.read(index, 1).await?.pop();
        let (_, bytes) = leaf.ok_or_else(|| EngineError::NotFound {
            text: format!("leaf {index}"),
        })?;
        Leaf::decode(&bytes).map_err(|source| EngineError::Leaf { index, source })
    }

    /// Returns the events of a decision with their places in the log.
    pub(crate) async fn events_of(&self, id: DecisionId) -> Result<Vec<(u64, Event)>, EngineError> {
        let mut events = Vec::new();
        for index in self.store.events_of(id).await? {
            events.push((index, self.event(index).await?));
        }
        if events.is_empty() {
            return Err(EngineError::NotFound {
                text: id.to_string(),
            });
        }
        Ok(events)
    }
}

/// One field of content, opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) role: Field,
    pub(crate) salt: [u8; SALT_BYTES],
    pub(crate) bytes: Vec<u8>,
}

/// What became of sealed content.
#[derive(Debug)]
pub(crate) enum Content {
    /// It can be read.
    Kept(Vec<Opened>),
    /// Its key was destroyed.
    Erased,
    /// It is not there, and nothing says why.
    Missing,
}

impl Content {
    const fn name(&self) -> &'static str {
        match self {
            Self::Kept(_) => "kept",
            Self::Erased => "erased",
            Self::Missing => "missing",
        }
    }
}

fn fold<'a>(
    id: DecisionId,
    events: impl Iterator<Item = &'a Event>,
) -> Result<Decision, EngineError> {
    Decision::fold(events)
        .map_err(|source| EngineError::Unfoldable {
            id: id.to_string(),
            source,
        })?
        .ok_or_else(|| EngineError::NotFound {
            text: id.to_string(),
        })
}

fn run_view(row: RunRow, title: Option<String>) -> RunView {
    RunView {
        id: row.keys.run.to_string(),
        external: row.keys.external,
        title,
        format: row.keys.origin.as_ref().map(|origin| origin.format.clone()),
        part: row.keys.origin.and_then(|origin| origin.part),
        recorded: recorded(row.at),
        whole: row.whole,
        agents: row.agents,
        decisions: row.decisions.values().sum(),
        statuses: row.decisions.iter().fold(
            BTreeMap::new(),
            |mut read: BTreeMap<String, u64>, (status, count)| {
                *read
                    .entry(Status::as_read(*status).name().to_owned())
                    .or_default() += count;
                read
            },
        ),
        subject: row.keys.subject.to_string(),
    }
}

fn edge_view(edge: Edge) -> EdgeView {
    EdgeView {
        cause: edge.cause.to_string(),
        effect: edge.effect.to_string(),
        kind: edge.kind.name().to_owned(),
        strength: edge.strength.name().to_owned(),
    }
}

fn account_view(account: &Account) -> AccountView {
    let named = |list: &[String], field: &str| list.iter().any(|name| name == field);
    let known = Account::FIELDS
        .into_iter()
        .filter(|field| !named(&account.partly, field) && !named(&account.unknowable, field))
        .map(str::to_owned)
        .collect();
    AccountView {
        known,
        partly: account.partly.clone(),
        unknowable: account.unknowable.clone(),
    }
}

fn resources<'a>(list: impl Iterator<Item = &'a model::Resource>) -> Vec<String> {
    list.map(|resource| match &resource.version {
        Some(version) => format!("{}@{version}", resource.uri),
        None => resource.uri.clone(),
    })
    .collect()
}

fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded => "succeeded".to_owned(),
        Outcome::Failed { class } => format!("failed: {}", failure_name(*class)),
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::Unknown => "unknown".to_owned(),
    }
}

const fn failure_name(class: model::FailureClass) -> &'static str {
    match class {
        model::FailureClass::Error => "error",
        model::FailureClass::Invalid => "invalid",
        model::FailureClass::Timeout => "timeout",
        model::FailureClass::Unavailable => "unavailable",
        model::FailureClass::Denied => "denied",
    }
}

const fn verdict_name(verdict: model::Verdict) -> &'static str {
    match verdict {
        model::Verdict::Allow => "allow",
        model::Verdict::Deny => "deny",
        model::Verdict::Hold => "hold",
        model::Verdict::Degrade => "degrade",
    }
}

/// The beginning of a content. Of a list of tool calls, their names say more than their JSON.
fn in_short(text: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Call<'a> {
        #[serde(borrow)]
        function: Option<Function<'a>>,
        #[serde(borrow)]
        name: Option<std::borrow::Cow<'a, str>>,
    }
    #[derive(serde::Deserialize)]
    struct Function<'a> {
        #[serde(borrow)]
        name: std::borrow::Cow<'a, str>,
    }
    if text.trim_start().starts_with('[')
        && let Ok(calls) = serde_json::from_str::<Vec<Call<'_>>>(text)
    {
        let names: Option<Vec<&str>> = calls
            .iter()
            .map(|call| {
                call.function
                    .as_ref()
                    .map(|f| &*f.name)
                    .or(call.name.as_deref())
            })
            .collect();
        if let Some(names) = names.filter(|names| !names.is_empty()) {
            return summary(&format!("calls {}", names.join(", ")), SUMMARY_WIDTH);
        }
    }
    summary(text, SUMMARY_WIDTH)
}

/// Returns the first line of a text, cut to `width` characters, with white space folded.
#[must_use]
pub fn first_line(text: &str, width: usize) -> String {
    summary(text, width)
}
