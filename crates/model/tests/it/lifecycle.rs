//! The lifecycle as a whole: which arrows exist.

use model::{Status, Step};

const STEPS: [Step; 14] = [
    Step::Hold,
    Step::Approve,
    Step::Reject,
    Step::Start,
    Step::Finish(Status::Succeeded),
    Step::Finish(Status::Failed),
    Step::Finish(Status::Cancelled),
    Step::Finish(Status::Unknown),
    Step::Finish(Status::Replayed),
    Step::Invalidate,
    Step::Compensate,
    Step::FinishCompensation,
    Step::FailCompensation,
    Step::Stand,
];

#[test]
fn c9_only_these_steps_are_legal() {
    let mut arrows = Vec::new();
    for from in Status::ALL {
        let to: Vec<&str> = STEPS
            .into_iter()
            .filter_map(|step| from.after(step).ok())
            .map(Status::name)
            .collect();
        arrows.push(format!("{}: {}", from.name(), to.join(", ")));
    }
    insta::assert_snapshot!(arrows.join("\n"), @r"
    proposed: held, approved, rejected, started, cancelled
    held: approved, rejected, cancelled
    approved: started, cancelled
    rejected: 
    started: succeeded, failed, cancelled, unknown, replayed
    succeeded: invalidated
    failed: invalidated
    cancelled: invalidated
    unknown: succeeded, failed, cancelled, invalidated
    invalidated: compensating, compensated, stands
    compensating: compensated, compensation-failed, stands
    compensated: 
    stands: 
    compensation-failed: compensating, stands
    replayed: invalidated
    ");
}

#[test]
fn c9_an_illegal_step_says_from_where_and_what() {
    let error = Status::Compensated.after(Step::Compensate).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a decision that is `compensated` cannot `compensate`"
    );
    assert!(
        Status::Started
            .after(Step::Finish(Status::Compensated))
            .is_err()
    );
}

#[test]
fn every_status_can_be_reached() {
    let mut reached = vec![Status::Proposed];
    for at in 0.. {
        let Some(from) = reached.get(at).copied() else {
            break;
        };
        for to in STEPS.into_iter().filter_map(|step| from.after(step).ok()) {
            if !reached.contains(&to) {
                reached.push(to);
            }
        }
    }
    reached.sort();
    assert_eq!(reached, Status::ALL);
}
