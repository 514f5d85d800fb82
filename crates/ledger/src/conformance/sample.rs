//! Small events for tests of stores: ids that count up, and streams that name their last event.

use std::collections::HashMap;

use model::{
    Account, Agent, Body, Cause, CauseKind, DecisionId, Digest, Effect, EffectClass, Event,
    EventId, Evidence, Field, HybridTime, Kind, Media, Outcome, Proposal, Provenance, Resource,
    RunId, Sealed, SealedField, Strength, SubjectId,
};

use crate::{Batch, Leaf, digest::sha256};

/// Makes events one after the other; time and ids only grow.
#[derive(Clone, Debug)]
pub struct Maker {
    count: u64,
    heads: HashMap<[u8; 16], EventId>,
}

impl Default for Maker {
    fn default() -> Self {
        Self::new(1_700_000_000_000)
    }
}

impl Maker {
    /// Starts at `millis` since 1970.
    #[must_use]
    pub fn new(millis: u64) -> Self {
        Self {
            count: millis * 1_000,
            heads: HashMap::new(),
        }
    }

    fn next(&mut self) -> (u64, [u8; 10]) {
        self.count += 1_000;
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.count.to_be_bytes());
        (self.count / 1_000, random)
    }

    /// Returns a new id of a run.
    pub fn run(&mut self) -> RunId {
        let (millis, random) = self.next();
        RunId::new(millis, random)
    }

    /// Returns a new id of a decision.
    pub fn decision(&mut self) -> DecisionId {
        let (millis, random) = self.next();
        DecisionId::new(millis, random)
    }

    /// Returns a new id of a subject.
    pub fn subject(&mut self) -> SubjectId {
        let (millis, random) = self.next();
        SubjectId::new(millis, random)
    }

    /// Returns the next event, continuing its stream where the maker left it.
    pub fn event(&mut self, body: Body) -> Event {
        let (millis, random) = self.next();
        let id = EventId::new(millis, random);
        let mut event = Event {
            at: HybridTime {
                wall: self.count,
                tick: 0,
            },
            body,
            id,
            prev: None,
            v: 1,
        };
        if let Some(stream) = model::IndexKeys::of(&event).stream {
            event.prev = self.heads.insert(stream, id);
        }
        event
    }

    /// As [`Self::event`], as a leaf.
    pub fn leaf(&mut self, body: Body) -> Leaf {
        Leaf::encode(&self.event(body)).expect("samples are short")
    }

    /// Returns the leaf that opens `run`.
    pub fn open(&mut self, run: RunId, subject: SubjectId) -> Leaf {
        self.leaf(Body::RunOpened {
            external: None,
            origin: None,
            run,
            sealed: None,
            subject,
        })
    }

    /// Returns the leaf that proposes `decision` because of `causes`.
    pub fn propose(
        &mut self,
        decision: DecisionId,
        run: RunId,
        agent: &str,
        causes: &[(DecisionId, Strength)],
    ) -> Leaf {
        let proposal = proposal(run, agent, causes, None);
        self.leaf(Body::Proposed { decision, proposal })
    }

    /// Returns the leaf that proposes `decision` with a sealed payload, and the payload.
    pub fn propose_sealed(
        &mut self,
        decision: DecisionId,
        run: RunId,
        subject: SubjectId,
        ciphertext: &[u8],
    ) -> (Leaf, (Digest, Vec<u8>)) {
        let ct = sha256(ciphertext);
        let sealed = Sealed {
            ct,
            fields: vec![SealedField {
                base: None,
                com: ct,
                len: 1,
                media: Media::Text,
                role: Field::Asked,
            }],
            kid: subject,
            len: ciphertext.len() as u64,
        };
        let proposal = proposal(run, "sealer", &[], Some(sealed));
        (
            self.leaf(Body::Proposed { decision, proposal }),
            (ct, ciphertext.to_vec()),
        )
    }

    /// Returns the leaf that begins a call of a tool on a server.
    pub fn call_on(
        &mut self,
        decision: DecisionId,
        run: RunId,
        server: Option<&str>,
        tool: &str,
    ) -> Leaf {
        let proposal = Proposal {
            kind: Kind::ToolCall,
            name: Some(tool.to_owned()),
            server: server.map(str::to_owned),
            ..proposal(run, "caller", &[], None)
        };
        self.leaf(Body::Begun { decision, proposal })
    }

    /// Returns the leaf of an imported decision, whole in one event.
    pub fn reconstruct(&mut self, decision: DecisionId, run: RunId, agent: &str) -> Leaf {
        self.leaf(Body::Reconstructed {
            account: Account::default(),
            decision,
            ended: None,
            outcome: Outcome::Succeeded,
            position: "/0".to_owned(),
            proposal: proposal(run, agent, &[], None),
        })
    }

    /// Returns the leaf that starts `decision`.
    pub fn start(&mut self, decision: DecisionId) -> Leaf {
        self.leaf(Body::Started {
            decision,
            effects: Vec::new(),
            sealed: None,
        })
    }

    /// Returns the leaf that ends `decision` well.
    pub fn finish(&mut self, decision: DecisionId) -> Leaf {
        self.leaf(Body::Finished {
            causes: Vec::new(),
            decision,
            effects: Vec::new(),
            outcome: Outcome::Succeeded,
            sealed: None,
        })
    }

    /// Returns the leaf that proposes a call of a tool, which reads these records.
    pub fn call(&mut self, decision: DecisionId, run: RunId, tool: &str, uris: &[&str]) -> Leaf {
        let proposal = Proposal {
            effects: effects(uris),
            kind: Kind::ToolCall,
            name: Some(tool.to_owned()),
            ..proposal(run, "caller", &[], None)
        };
        self.leaf(Body::Proposed { decision, proposal })
    }

    /// Returns the leaf that starts `decision`, which reads these records.
    pub fn touch(&mut self, decision: DecisionId, uris: &[&str]) -> Leaf {
        self.leaf(Body::Started {
            decision,
            effects: effects(uris),
            sealed: None,
        })
    }

    /// Returns the leaf that adds a cause to `decision`.
    pub fn link(&mut self, decision: DecisionId, cause: DecisionId, strength: Strength) -> Leaf {
        self.leaf(Body::Linked {
            causes: vec![edge(cause, strength)],
            decision,
        })
    }

    /// Returns the leaf that erases `subject`.
    pub fn erase(&mut self, subject: SubjectId) -> Leaf {
        self.leaf(Body::Erased {
            basis: "request".to_owned(),
            by: "tests".to_owned(),
            events: 1,
            subject,
        })
    }

    /// Returns a leaf of no stream whose text has `length` bytes.
    pub fn filler(&mut self, length: usize) -> Leaf {
        let since = HybridTime {
            wall: self.count,
            tick: 0,
        };
        self.leaf(Body::Gap {
            count: None,
            reason: "x".repeat(length),
            since,
        })
    }
}

/// Returns the time of the last event that `make` made.
#[must_use]
pub fn now(make: &Maker) -> HybridTime {
    HybridTime {
        wall: make.count,
        tick: 1,
    }
}

/// Returns a batch of leaves without payloads.
#[must_use]
pub fn batch(leaves: impl IntoIterator<Item = Leaf>) -> Batch {
    Batch {
        leaves: leaves.into_iter().collect(),
        payloads: Vec::new(),
    }
}

fn proposal(
    run: RunId,
    agent: &str,
    causes: &[(DecisionId, Strength)],
    sealed: Option<Sealed>,
) -> Proposal {
    Proposal {
        agent: Agent {
            name: agent.to_owned(),
            version: None,
        },
        causes: causes
            .iter()
            .map(|(cause, strength)| edge(*cause, *strength))
            .collect(),
        effects: Vec::new(),
        environment: None,
        kind: Kind::Message,
        known: Provenance::Reported,
        name: None,
        policy: None,
        run,
        sealed,
        server: None,
        started: None,
    }
}

fn effects(uris: &[&str]) -> Vec<Effect> {
    let read = |uri: &&str| Resource {
        uri: (*uri).to_owned(),
        version: None,
    };
    vec![Effect {
        by: None,
        class: EffectClass::Read,
        key: Digest([0; 32]),
        reads: uris.iter().map(read).collect(),
        writes: Vec::new(),
    }]
}

fn edge(decision: DecisionId, strength: Strength) -> Cause {
    Cause {
        decision,
        evidence: Evidence::CallId,
        kind: CauseKind::Context,
        strength,
    }
}
