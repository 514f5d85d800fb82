//! The bytes of a leaf, which are canonical as they are written.

use ledger::conformance::sample::Maker;
use ledger::{Leaf, canonical};
use model::{
    Account, Agent, Body, Cause, CauseKind, Digest, Event, Evidence, FailureClass, HybridTime,
    Kind, Origin, Outcome, Proposal, Provenance, Strength, Timestamp,
};
use proptest::prelude::*;

/// Events that have, between them, every shape that an event can have.
fn events(text: &str, number: u64) -> Vec<Event> {
    let mut make = Maker::default();
    let (run, subject, decision) = (make.run(), make.subject(), make.decision());
    let evidence = [
        Evidence::CallId,
        Evidence::Explicit {
            by: text.to_owned(),
        },
        Evidence::Overlap {
            percent: number as u8,
        },
    ];
    let causes = evidence.into_iter().map(|evidence| Cause {
        decision,
        evidence,
        kind: CauseKind::Context,
        strength: Strength::Possible,
    });
    let proposal = Proposal {
        agent: Agent {
            name: text.to_owned(),
            version: Some(text.to_owned()),
        },
        causes: causes.collect(),
        effects: Vec::new(),
        environment: Some(Digest([number as u8; 32])),
        kind: Kind::ToolCall,
        known: Provenance::Reconstructed,
        name: Some(text.to_owned()),
        policy: None,
        run,
        sealed: None,
        server: None,
        started: Some(Timestamp(number as i64)),
    };
    let bodies = [
        Body::RunOpened {
            external: Some(text.to_owned()),
            origin: Some(Origin {
                file: Digest([7; 32]),
                format: text.to_owned(),
                part: None,
            }),
            run,
            sealed: None,
            subject,
        },
        Body::Reconstructed {
            account: Account {
                partly: vec!["agent".into(), "outcome".into()],
                unknowable: Vec::new(),
            },
            decision,
            ended: Some(Timestamp(-((number >> 1) as i64))),
            outcome: Outcome::Failed {
                class: FailureClass::RateLimit,
            },
            position: text.to_owned(),
            proposal,
        },
        Body::Gap {
            count: Some(number),
            reason: text.to_owned(),
            since: HybridTime {
                wall: number,
                tick: 0,
            },
        },
    ];
    bodies.map(|body| make.event(body)).to_vec()
}

fn check(text: &str, number: u64) {
    for event in events(text, number) {
        let leaf = Leaf::encode(&event).unwrap();
        let written = String::from_utf8(leaf.bytes().to_vec()).unwrap();
        assert_eq!(Leaf::decode(leaf.bytes()).unwrap(), event);
        // Beyond 2^53 a number is exact in a leaf, and no number at all for the encoder.
        if number < 1 << 53 {
            assert!(canonical::is_canonical(leaf.bytes()), "{written}");
        }
    }
}

#[test]
fn a_leaf_escapes_what_json_escapes_wherever_it_stands() {
    for byte in 0..=0x80 {
        let odd = char::from(byte);
        for before in 0..18 {
            check(&format!("{}{odd}é{odd}", "x".repeat(before)), 1);
        }
    }
    check("", 0);
    check("\u{10ffff}\u{2028}\u{7f}", u64::MAX);
}

proptest! {
    #[test]
    fn a_leaf_is_canonical_json(text in any::<String>(), number: u64) {
        check(&text, number);
        check(&text, number >> 12);
    }
}
