//! Small decisions to start from.

use model::{
    Account, Agent, Body, DecisionId, Digest, Event, EventId, Field, HybridTime, Kind, Media,
    Outcome, PolicyUse, Proposal, Provenance, RunId, Sealed, SealedField, SubjectId, Timestamp,
    Verdict,
};

pub(crate) fn decision(n: u8) -> DecisionId {
    DecisionId::new(1_700_000_000_000, [n; 10])
}

pub(crate) fn event(n: u8, body: Body) -> Event {
    Event {
        at: HybridTime {
            wall: 1_700_000_000_000_000 + u64::from(n),
            tick: 0,
        },
        body,
        id: EventId::new(1_700_000_000_000, [n; 10]),
        prev: n
            .checked_sub(1)
            .map(|before| EventId::new(1_700_000_000_000, [before; 10])),
        v: 1,
    }
}

pub(crate) fn sealed(role: Field) -> Sealed {
    Sealed {
        ct: Digest([7; 32]),
        fields: vec![SealedField {
            base: None,
            com: Digest([8; 32]),
            len: 4,
            media: Media::Text,
            role,
        }],
        kid: SubjectId::new(0, [9; 10]),
        len: 60,
    }
}

pub(crate) fn policy(version: &str) -> PolicyUse {
    PolicyUse {
        digest: Digest([version.len() as u8; 32]),
        enforced: Verdict::Allow,
        id: "refunds".to_owned(),
        verdict: Verdict::Hold,
        version: version.to_owned(),
    }
}

pub(crate) fn proposal() -> Proposal {
    Proposal {
        agent: Agent {
            name: "orders".to_owned(),
            version: Some("3".to_owned()),
        },
        causes: Vec::new(),
        effects: Vec::new(),
        environment: Some(Digest([1; 32])),
        kind: Kind::ToolCall,
        known: Provenance::Observed,
        name: Some("refund".to_owned()),
        policy: Some(policy("7")),
        run: RunId::new(1_700_000_000_000, [3; 10]),
        sealed: Some(sealed(Field::Asked)),
        server: Some("billing".to_owned()),
        started: Some(Timestamp(1_700_000_000_000_000)),
    }
}

pub(crate) fn proposed() -> Body {
    Body::Proposed {
        decision: decision(1),
        proposal: proposal(),
    }
}

pub(crate) fn started() -> Body {
    Body::Started {
        decision: decision(1),
        effects: Vec::new(),
        sealed: None,
    }
}

pub(crate) fn finished(outcome: Outcome) -> Body {
    Body::Finished {
        causes: Vec::new(),
        decision: decision(1),
        effects: Vec::new(),
        outcome,
        sealed: None,
    }
}

pub(crate) fn reconstructed() -> Body {
    Body::Reconstructed {
        account: Account::default(),
        decision: decision(1),
        ended: None,
        outcome: Outcome::Succeeded,
        position: "/0".to_owned(),
        proposal: Proposal {
            known: Provenance::Reconstructed,
            policy: None,
            started: None,
            ..proposal()
        },
    }
}
