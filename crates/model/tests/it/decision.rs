//! Folding events into decisions.

use model::{
    Agent, Body, Cause, CauseKind, Decision, Event, Evidence, Kind, Outcome, Proposal, Strength,
};

use crate::sample::{
    decision, event, finished, policy, proposal, proposed, reconstructed, started,
};

fn fold(bodies: Vec<Body>) -> Decision {
    let events: Vec<Event> = (0..).zip(bodies).map(|(n, body)| event(n, body)).collect();
    Decision::fold(&events)
        .expect("the events fit")
        .expect("there is a proposal")
}

fn refusal(bodies: Vec<Body>) -> String {
    let events: Vec<Event> = (0..).zip(bodies).map(|(n, body)| event(n, body)).collect();
    let error = Decision::fold(&events).expect_err("the events do not fit");
    let mut text = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        text = format!("{text}: {source}");
    }
    text
}

#[test]
fn c1_a_missing_mandatory_field_is_refused_by_name() {
    let without = |change: fn(&mut Proposal)| {
        let mut proposal = proposal();
        change(&mut proposal);
        proposal.check().map_err(|missing| missing.to_string())
    };
    assert_eq!(without(|_| {}), Ok(()));
    let missing = [
        (
            "agent",
            without(|p| {
                p.agent = Agent {
                    name: String::new(),
                    version: None,
                }
            }),
        ),
        ("name", without(|p| p.name = None)),
        ("asked", without(|p| p.sealed = None)),
        ("policy", without(|p| p.policy = None)),
        ("started", without(|p| p.started = None)),
    ];
    for (field, refused) in missing {
        assert_eq!(refused, Err(format!("the decision lacks `{field}`")));
    }
    let mut nameless = proposal();
    nameless.agent.name.clear();
    let body = Body::Proposed {
        decision: decision(1),
        proposal: nameless,
    };
    assert!(refusal(vec![body]).ends_with("the decision lacks `agent`"));
}

#[test]
fn c1_an_event_that_lacks_a_field_is_refused_by_name() {
    let mut leaf = serde_json::to_value(event(0, proposed())).unwrap();
    let proposal = leaf["body"]["proposed"]["proposal"]
        .as_object_mut()
        .unwrap();
    proposal.remove("agent");
    let error = serde_json::from_value::<Event>(leaf)
        .unwrap_err()
        .to_string();
    assert!(error.contains("missing field `agent`"), "{error}");
}

#[test]
fn c5_changing_a_policy_later_leaves_an_old_decision_as_it_was() {
    let old = fold(vec![proposed()]);
    let before = serde_json::to_vec(&old).unwrap();
    let mut newer = proposal();
    newer.policy = Some(policy("8-draft"));
    newer.kind = Kind::Verdict;
    let later = fold(vec![Body::Proposed {
        decision: decision(1),
        proposal: newer,
    }]);
    assert_ne!(old.proposal.policy, later.proposal.policy);
    assert_eq!(old.proposal.policy, Some(policy("7")));
    assert_eq!(serde_json::to_vec(&old).unwrap(), before);
}

#[test]
fn c7_an_intent_without_an_outcome_reads_as_unknown() {
    let decision = fold(vec![proposed(), started()]);
    assert_eq!(decision.position.name(), "started");
    assert_eq!(decision.status.name(), "unknown");
    assert_eq!(decision.outcome, Outcome::Unknown);

    let late = fold(vec![proposed(), started(), finished(Outcome::Unknown)]);
    assert_eq!(late.status.name(), "unknown");
    let reconciled = fold(vec![
        proposed(),
        started(),
        finished(Outcome::Unknown),
        finished(Outcome::Succeeded),
    ]);
    assert_eq!(reconciled.status.name(), "succeeded");
}

#[test]
fn a_decision_needs_one_proposal() {
    assert!(refusal(vec![started()]).contains("begins with `started`"));
    assert!(refusal(vec![proposed(), proposed()]).contains("is proposed twice"));
    assert!(refusal(vec![proposed(), reconstructed()]).contains("is proposed twice"));
    assert_eq!(Decision::fold(&[]), Ok(None));
}

#[test]
fn an_illegal_step_leaves_the_decision_as_it_was() {
    let mut decision = fold(vec![proposed()]);
    let before = decision.clone();
    let error = decision
        .apply(&event(9, finished(Outcome::Succeeded)))
        .unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(why, "a decision that is `proposed` cannot `finish`");
    assert_eq!(decision, before);
}

#[test]
fn an_imported_decision_is_whole_at_once() {
    let decision = fold(vec![reconstructed()]);
    assert_eq!(decision.status.name(), "succeeded");
    assert_eq!(decision.proposal.known.name(), "reconstructed");
}

#[test]
fn causes_learnt_later_are_added_once() {
    let cause = Cause {
        decision: decision(0),
        evidence: Evidence::CallId,
        kind: CauseKind::Call,
        strength: Strength::Certain,
    };
    let linked = || Body::Linked {
        causes: vec![cause.clone()],
        decision: decision(1),
    };
    let folded = fold(vec![proposed(), linked(), linked()]);
    assert_eq!(folded.causes, std::slice::from_ref(&cause));
    assert_eq!(folded.events.len(), 3);

    let Body::Finished {
        decision,
        effects,
        outcome,
        sealed,
        ..
    } = finished(Outcome::Succeeded)
    else {
        unreachable!("the sample is a finished decision")
    };
    let ended = Body::Finished {
        causes: vec![cause.clone()],
        decision,
        effects,
        outcome,
        sealed,
    };
    let keys = model::IndexKeys::of(&event(2, ended.clone()));
    assert_eq!(keys.edges.len(), 1, "the index learns of it too");
    let folded = fold(vec![proposed(), started(), ended]);
    assert_eq!(folded.causes, [cause]);
}

#[test]
fn c7_what_nothing_holds_begins_in_one_event_and_reads_as_unknown() {
    let begun = || Body::Begun {
        decision: decision(1),
        proposal: proposal(),
    };
    let open = fold(vec![begun()]);
    assert_eq!(open.position.name(), "started");
    assert_eq!(open.status.name(), "unknown");
    let ended = fold(vec![begun(), finished(Outcome::Cancelled)]);
    assert_eq!(ended.status.name(), "cancelled");
    assert!(refusal(vec![begun(), started()]).contains("cannot `start`"));
    assert!(refusal(vec![begun(), begun()]).contains("is proposed twice"));
}

#[test]
fn as_of_an_earlier_event_a_decision_was_not_yet_revoked() {
    let bodies = vec![
        proposed(),
        started(),
        finished(Outcome::Succeeded),
        Body::Invalidated {
            decision: decision(1),
            incident: None,
            reason: "misread the policy".to_owned(),
        },
    ];
    let before = fold(bodies[..3].to_vec());
    let after = fold(bodies);
    assert_eq!(before.status.name(), "succeeded");
    assert_eq!(after.status.name(), "invalidated");
    assert_eq!(
        after.outcome,
        Outcome::Succeeded,
        "what happened is not unsaid"
    );
}

#[test]
fn what_a_rule_judged_is_whole_in_one_event() {
    let judged = fold(vec![Body::Judged {
        decision: decision(1),
        proposal: Proposal {
            kind: Kind::Verdict,
            ..proposal()
        },
    }]);
    assert_eq!(judged.status.name(), "succeeded");
    assert_eq!(judged.outcome, Outcome::Succeeded);
    assert_eq!(judged.events[0].what, "judged");
}

#[test]
fn a_hold_of_before_reads_as_it_did() {
    let bare = Body::Held {
        asker: None,
        call: None,
        decision: decision(1),
        rule: "irreversible".to_owned(),
        until: None,
    };
    let text = serde_json::to_string(&bare).unwrap();
    let id = decision(1);
    let before = format!(r#"{{"held":{{"decision":"{id}","rule":"irreversible"}}}}"#);
    assert_eq!(text, before);
    assert_eq!(serde_json::from_str::<Body>(&before).unwrap(), bare);
}
