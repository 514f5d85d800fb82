//! The plan and the rollback, asked of the running server as a person would.

use std::time::Duration;

use engine::undo::view::{AffectedView, RollbackView, State, StepState};

use super::teller::Teller;
use crate::failure::Failure;
use crate::out::{Paint, clean, fit, short};
use crate::remote::{Remote, Wanted};

/// Why the decision is bad, as the record keeps it.
const REASON: &str = "intake took order #W1002 for the lamp";

/// Who approves the plan.
const OPERATOR: &str = "operator";

/// How often it is looked how far the rollback is, and how long between.
const LOOKS_MAX: usize = 400;
const LOOKS_PAUSE: Duration = Duration::from_millis(50);

/// What came of a rollback.
#[derive(Debug, Default)]
pub(super) struct Undone {
    /// The digest of the plan.
    pub(super) digest: String,
    /// How many steps it has.
    pub(super) steps: usize,
    /// How many calls it concerns and does not keep.
    pub(super) back: usize,
    /// What cannot be undone.
    pub(super) stands: Vec<String>,
    /// Whether every step came to its end.
    pub(super) whole: bool,
}

/// Has a plan made, shows it, approves it by its digest, and waits until it is carried out.
pub(super) async fn roll_back(
    remote: &Remote,
    decision: &str,
    teller: &mut Teller,
) -> Result<Undone, Failure> {
    let wanted = Wanted {
        of: &[decision.to_owned()],
        reason: REASON,
        include: &[],
        settle: &[],
    };
    let plan = remote.propose(&wanted).await?;
    show(&plan, teller).await?;
    let digest = short(&plan.digest);
    let line = format!("   {OPERATOR} approves the plan with the digest …{digest}");
    teller.line(&line).await?;
    let mut done = remote.approve(&plan.id, &plan.digest, OPERATOR).await?;
    for _ in 0..LOOKS_MAX {
        if !done.state.goes_on() {
            break;
        }
        tokio::time::sleep(LOOKS_PAUSE).await;
        done = remote.rollback(&plan.id).await?;
    }
    for step in &done.steps {
        let (paint, mark) = match step.state {
            StepState::Done | StepState::Skipped => (Paint::Green, "✓"),
            StepState::Untold => (Paint::Yellow, "!"),
            _ => (Paint::Red, "✗"),
        };
        let mark = teller.paint(paint, mark);
        let why = step.why.as_deref().unwrap_or_default();
        let what = format!("{} {} {why}", fit(&step.act, 9), step.records.join(", "));
        let line = format!("   {mark} {:>2} {}", step.n, clean(what.trim_end()));
        teller.line(&line).await?;
    }
    let stands = done
        .affected
        .iter()
        .filter(|affected| affected.fate == "stands");
    let back = done.affected.iter();
    let back = back.filter(|affected| affected.kind == "tool-call" && affected.fate != "kept");
    Ok(Undone {
        back: back.count(),
        digest: done.digest.clone(),
        steps: done.steps.len(),
        stands: stands.map(told).collect(),
        whole: done.state == State::Succeeded,
    })
}

/// Shows what becomes of each call; what only was said is counted.
async fn show(plan: &RollbackView, teller: &mut Teller) -> Result<(), Failure> {
    let (calls, said): (Vec<_>, Vec<_>) = plan
        .affected
        .iter()
        .partition(|affected| affected.kind == "tool-call");
    for call in &calls {
        let paint = match call.fate.as_str() {
            "undone" | "kept" => Paint::Green,
            "stands" => Paint::Yellow,
            _ => Paint::Red,
        };
        let fate = teller.paint(paint, fit(&call.fate, 9));
        let id = teller.paint(Paint::Dim, short(&call.decision));
        let agent = teller.paint(Paint::Cyan, fit(&call.agent, 8));
        let line = format!("   {id} {agent} {fate} {}", clean(&told(call)));
        teller.line(&line).await?;
    }
    let text = format!(
        "   and {} decisions that changed nothing outside are rescinded; {} steps, and the agents \
         wait meanwhile",
        said.len(),
        plan.steps.len()
    );
    teller.line(&teller.paint(Paint::Dim, text)).await
}

/// A call in words, with who must be told of it.
fn told(affected: &AffectedView) -> String {
    let name = affected.name.as_deref().unwrap_or_default();
    match (&affected.note, affected.fate.as_str()) {
        (Some(who), "stands") => format!("{name}: to be told: {who}"),
        (Some(note), _) => format!("{name}: {note}"),
        (None, _) => name.to_owned(),
    }
}
