//! What an index needs to know of an event, without knowing what the event means.

use crate::{
    Agent, Body, CauseKind, DecisionId, Digest, Event, EventId, HybridTime, Kind, Origin,
    Provenance, RunId, Status, Strength, SubjectId, Timestamp,
};

/// The keys under which an event is found. A pure function of the event, so that every index can
/// be rebuilt from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexKeys {
    /// The event.
    pub id: EventId,
    /// When the record learned it.
    pub at: HybridTime,
    /// Name of the event's body.
    pub what: &'static str,
    /// The stream that it continues: a decision, or a run. Events of the record itself have none.
    pub stream: Option<[u8; 16]>,
    /// The last event of that stream that the writer saw.
    pub prev: Option<EventId>,
    /// The decision that it is about.
    pub decision: Option<DecisionId>,
    /// The decision's head row, where the event begins it.
    pub begins: Option<DecisionKeys>,
    /// Where the event leaves the decision, where it moves it.
    pub status: Option<Status>,
    /// The edges that it adds.
    pub edges: Vec<Edge>,
    /// What it says that a tool call touches, each once.
    pub touches: Vec<Touched>,
    /// The server that has the tool which the decision calls, where the event begins it.
    pub server: Option<String>,
    /// The run's head row, where the event opens one.
    pub run: Option<RunKeys>,
    /// The run that this event says is wholly imported.
    pub imported: Option<RunId>,
    /// The payload kept beside the log, and whose key opens it.
    pub payload: Option<(Digest, SubjectId)>,
    /// The subject whose key this event says is destroyed.
    pub erased: Option<SubjectId>,
}

/// What a tool call touches, as far as an event says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Touched {
    /// A record, by its URI.
    Record(String),
    /// The event begins a call of this tool, and names no record. Of a decision that waited before it
    /// began the tool is empty: its first event names it.
    Unsaid(String),
}

/// What an index keeps of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionKeys {
    /// The run it belongs to.
    pub run: RunId,
    /// Who decided.
    pub agent: Agent,
    /// What kind.
    pub kind: Kind,
    /// The tool, model or step that it names.
    pub name: Option<String>,
    /// How it is known.
    pub known: Provenance,
    /// When the source says it began.
    pub started: Option<Timestamp>,
}

/// A tool by the server that has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolKeys {
    /// The server; none where nobody said which.
    pub server: Option<String>,
    /// The tool.
    pub name: String,
}

impl ToolKeys {
    /// Returns the keys of a tool; no server is the empty name.
    #[must_use]
    pub fn new(server: &str, name: &str) -> Self {
        Self {
            server: (!server.is_empty()).then(|| server.to_owned()),
            name: name.to_owned(),
        }
    }
}

/// What an index keeps of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunKeys {
    /// The run.
    pub run: RunId,
    /// What its source calls it.
    pub external: Option<String>,
    /// Where it comes from.
    pub origin: Option<Origin>,
    /// The default subject of its payloads.
    pub subject: SubjectId,
}

/// One edge of the decision graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// The decision depended on.
    pub cause: DecisionId,
    /// The decision that depends.
    pub effect: DecisionId,
    /// In what way.
    pub kind: CauseKind,
    /// How firmly.
    pub strength: Strength,
}

impl IndexKeys {
    /// Returns the keys of `event`.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let body = &event.body;
        let decision = body.decision();
        let run = match body {
            Body::RunOpened { run, .. } | Body::RunImported { run, .. } => Some(*run),
            _ => None,
        };
        let causes = body.causes();
        Self {
            id: event.id,
            at: event.at,
            what: body.name(),
            stream: decision
                .map(|id| *id.as_bytes())
                .or(run.map(|id| *id.as_bytes())),
            prev: event.prev,
            decision,
            begins: body.proposal().map(|proposal| DecisionKeys {
                run: proposal.run,
                agent: proposal.agent.clone(),
                kind: proposal.kind,
                name: proposal.name.clone(),
                known: proposal.known,
                started: proposal.started,
            }),
            status: leaves(body),
            edges: decision.map_or_else(Vec::new, |effect| {
                causes
                    .iter()
                    .map(|cause| Edge {
                        cause: cause.decision,
                        effect,
                        kind: cause.kind,
                        strength: cause.strength,
                    })
                    .collect()
            }),
            touches: touches(body),
            server: body.proposal().and_then(|proposal| proposal.server.clone()),
            run: match body {
                Body::RunOpened {
                    external,
                    origin,
                    run,
                    subject,
                    ..
                } => Some(RunKeys {
                    run: *run,
                    external: external.clone(),
                    origin: origin.clone(),
                    subject: *subject,
                }),
                _ => None,
            },
            imported: match body {
                Body::RunImported { run, .. } => Some(*run),
                _ => None,
            },
            payload: body.sealed().map(|sealed| (sealed.ct, sealed.kid)),
            erased: match body {
                Body::Erased { subject, .. } => Some(*subject),
                _ => None,
            },
        }
    }
}

/// What a tool call touches. Only tool calls have effects that name records, besides the steps of a
/// rollback: these begin as another kind.
fn touches(body: &Body) -> Vec<Touched> {
    let effects = match (body, body.proposal()) {
        (_, Some(proposal)) if proposal.kind != Kind::ToolCall => return Vec::new(),
        (_, Some(proposal)) => &proposal.effects,
        (Body::Started { effects, .. } | Body::Finished { effects, .. }, None) => effects,
        _ => return Vec::new(),
    };
    let named = effects.iter().flat_map(|e| e.reads.iter().chain(&e.writes));
    let mut touches: Vec<Touched> = named
        .map(|resource| Touched::Record(resource.uri.clone()))
        .collect();
    touches.sort_unstable();
    touches.dedup();
    if touches.is_empty() {
        let tool = match (body, body.proposal()) {
            (_, Some(proposal)) => proposal.name.clone().unwrap_or_default(),
            (Body::Started { .. }, None) => String::new(),
            _ => return touches,
        };
        touches.push(Touched::Unsaid(tool));
    }
    touches
}

impl IndexKeys {
    /// Returns the tool that the decision calls, by its server, where the event begins such a
    /// decision. No server is the empty name.
    #[must_use]
    pub fn tool(&self) -> Option<(&str, &str)> {
        let begins = self.begins.as_ref()?;
        let name = begins.name.as_deref()?;
        let called = begins.kind == Kind::ToolCall;
        called.then(|| (self.server.as_deref().unwrap_or_default(), name))
    }
}

/// Where an event leaves its decision. Only what the event itself says: the order of steps was
/// checked before it was appended.
fn leaves(body: &Body) -> Option<Status> {
    Some(match body {
        Body::Proposed { .. } => Status::Proposed,
        Body::Held { .. } => Status::Held,
        Body::Approved { .. } => Status::Approved,
        Body::Rejected { .. } => Status::Rejected,
        Body::Begun { .. } | Body::Started { .. } => Status::Started,
        Body::Finished { outcome, .. } | Body::Reconstructed { outcome, .. } => {
            Status::from(outcome)
        }
        Body::Judged { .. } => Status::Succeeded,
        Body::Invalidated { .. } => Status::Invalidated,
        Body::Compensating { .. } => Status::Compensating,
        Body::Compensated { .. } => Status::Compensated,
        Body::CompensationFailed { .. } => Status::CompensationFailed,
        Body::Stands { .. } => Status::Stands,
        Body::RunOpened { .. }
        | Body::RunImported { .. }
        | Body::Linked { .. }
        | Body::KeyRotated { .. }
        | Body::Continuation { .. }
        | Body::Erased { .. }
        | Body::Retention { .. }
        | Body::LegalHold { .. }
        | Body::Gap { .. } => return None,
    })
}
