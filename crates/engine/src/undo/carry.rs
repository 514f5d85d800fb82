//! The order of things: which step may begin, what its intent and outcome bring with them.
//!
//! ```text
//!   ready ──► intents ─┐                      ┌──► performing, side by side
//!     ▲                ├──► one append ───────┤
//!     └── outcomes ────┘    under way at most └──► what waited for an outcome is ready
//! ```
//!
//! Whatever became due while an append was under way goes into the next one, so that many steps
//! share one sync, and events of one decision never overtake each other. A step begins once the
//! outcomes of those before it are durable.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use model::{Body, DecisionId, EventId, FailureClass, Outcome, Status};
use recover::plan::{Act, Fate, Step};

use crate::{Engine, EngineError};

use super::act::{Did, Doing};
use super::came::{Came, came_of};
use super::hands::{Cause, Hands};
use super::hold::Whose;
use super::pen::{Entry, Pen, key_of};
use super::rollback::{Attempt, Known, Rollback, Said};
use super::view::StepState;
use super::{CarryOptions, Why, hold};

/// Carries one attempt at a rollback out.
pub(super) struct Carrier {
    pub(super) engine: Engine,
    pub(super) hands: Arc<dyn Hands>,
    pub(super) options: CarryOptions,
    pub(super) rollback: Rollback,
    pub(super) pen: Pen,
    pub(super) attempt: Attempt,
    pub(super) steps: BTreeMap<u32, OnTheWay>,
    /// The decisions of the plan that are taken back, and later ones with nothing to undo.
    pub(super) concerned: BTreeMap<DecisionId, Concerned>,
    /// Revoked decisions that agents may not have forgotten.
    pub(super) unforgotten: Vec<DecisionId>,
    /// Steps that nothing keeps from beginning.
    ready: BTreeSet<u32>,
}

/// A step on its way.
pub(super) struct OnTheWay {
    pub(super) step: Step,
    pub(super) state: StepState,
    /// The step's decision and its last event, where it was begun.
    decision: Option<(DecisionId, EventId)>,
    doubt: bool,
    /// What the record says of calls that were made for it, where it is in doubt.
    came: Option<Came>,
    settled: Option<bool>,
    /// Whether the call it undoes happened, where it is a probe and was answered.
    pub(super) said: Said,
    /// How many steps before it have not succeeded.
    waits: usize,
    /// The steps that wait for it.
    next: Vec<u32>,
}

/// A decision that is taken back.
#[derive(Debug)]
pub(super) struct Concerned {
    pub(super) fate: Fate,
    pub(super) steps: Vec<u32>,
    pub(super) status: Status,
    pub(super) head: Option<EventId>,
    /// It was taken back before this rollback came to it.
    pub(super) settled_before: bool,
}

/// What happens once an append is durable.
enum Then {
    Go(u32),
    Ended(u32),
}

/// What goes into the log next.
#[derive(Default)]
struct Queue {
    entries: Vec<Entry>,
    then: Vec<Then>,
}

type Appending = BoxFuture<'static, (Vec<Then>, Result<(), EngineError>)>;
type Performing = FuturesUnordered<BoxFuture<'static, (u32, Did)>>;

impl Carrier {
    pub(super) async fn new(
        engine: &Engine,
        rollback: Rollback,
        hands: Arc<dyn Hands>,
        options: CarryOptions,
    ) -> Result<Self, EngineError> {
        engine.learn_holds().await?;
        let attempt = rollback.attempt();
        let pen = Pen::of(engine, &rollback);
        let mut steps: BTreeMap<u32, OnTheWay> = BTreeMap::new();
        for step in &rollback.plan.steps {
            let known = rollback.steps.get(&step.n);
            let mut on = OnTheWay::take_up(step.clone(), known, &attempt, &options);
            if let Some(known) = known
                && on.doubt
                && on.settled.is_none()
                && hands.writes_ahead()
            {
                let decisions = known.clone().decisions();
                on.came = Some(came_of(engine, rollback.run, &decisions, &step.act).await?);
            }
            steps.insert(step.n, on);
        }
        let mut carrier = Self {
            engine: engine.clone(),
            hands,
            options,
            pen,
            attempt,
            steps,
            concerned: BTreeMap::new(),
            unforgotten: Vec::new(),
            ready: BTreeSet::new(),
            rollback,
        };
        carrier.order();
        Ok(carrier)
    }

    /// Counts what each step waits for.
    fn order(&mut self) {
        let ok: HashSet<u32> = self
            .steps
            .iter()
            .filter(|(_, on)| on.state == StepState::Done)
            .map(|(n, _)| *n)
            .collect();
        let mut next: HashMap<u32, Vec<u32>> = HashMap::new();
        for (n, on) in &mut self.steps {
            let before: BTreeSet<u32> = on.step.after.iter().copied().collect();
            on.waits = before.difference(&ok.iter().copied().collect()).count();
            for before in before {
                next.entry(before).or_default().push(*n);
            }
            if on.waits == 0 && on.state == StepState::Pending {
                self.ready.insert(*n);
            }
        }
        for (n, waiting) in next {
            if let Some(on) = self.steps.get_mut(&n) {
                on.next = waiting;
            }
        }
    }

    /// Carries out every step that can be and that `picks` names.
    pub(super) async fn run(&mut self, picks: fn(&Act) -> bool) -> Result<(), EngineError> {
        let mut performing = Performing::new();
        let mut queue = Queue::default();
        let mut appending: Option<Appending> = None;
        let mut begun = 0_usize;
        loop {
            while begun < self.options.at_once
                && let Some(n) = self.next_ready(picks)
            {
                if self.has_nothing_to_do(n) {
                    self.ended(n, StepState::Skipped);
                    self.complete(n, &mut queue)?;
                } else {
                    begun += 1;
                    self.intend(n, &mut queue)?;
                }
            }
            if appending.is_none() && !(queue.entries.is_empty() && queue.then.is_empty()) {
                let Queue { entries, then } = std::mem::take(&mut queue);
                let engine = self.engine.clone();
                appending = Some(Box::pin(async move {
                    let appended = match entries.is_empty() {
                        true => Ok(()),
                        false => engine.append_entries(entries).await,
                    };
                    (then, appended)
                }));
            }
            if appending.is_none() && performing.is_empty() {
                return Ok(());
            }
            tokio::select! {
                (then, appended) = async { appending.as_mut().expect("checked before").await },
                    if appending.is_some() => {
                    appending = None;
                    if let Err(error) = appended {
                        // What is under way ends before anybody takes this up again.
                        while performing.next().await.is_some() {}
                        return Err(error);
                    }
                    for then in then {
                        match then {
                            Then::Go(n) => performing.push(self.perform(n)),
                            Then::Ended(n) => self.landed(n),
                        }
                    }
                }
                Some((n, did)) = performing.next(), if !performing.is_empty() => {
                    // The next one need not wait until this outcome is durable.
                    begun -= 1;
                    self.outcome(n, did, &mut queue)?;
                }
            }
        }
    }

    fn next_ready(&mut self, picks: fn(&Act) -> bool) -> Option<u32> {
        let steps = &self.steps;
        let n = *self.ready.iter().find(|n| picks(&steps[n].step.act))?;
        self.ready.remove(&n);
        Some(n)
    }

    /// Whether everything that a step is done for needs no undoing any more: a probe said that it
    /// never happened, or another rollback took it back.
    fn has_nothing_to_do(&self, n: u32) -> bool {
        let step = &self.steps[&n].step;
        let undoes = compensates(&step.act) && !matches!(step.act, Act::Probe { .. });
        let compensates = undoes || matches!(step.act, Act::Probe { .. });
        let done = |id: &DecisionId| {
            let concerned = self.concerned.get(id);
            concerned.is_some_and(|concerned| concerned.settled_before)
                || undoes
                    && self
                        .steps
                        .values()
                        .any(|on| on.said.happened == Some(false) && on.step.decisions.contains(id))
        };
        compensates && !step.decisions.is_empty() && step.decisions.iter().all(done)
    }

    /// Queues the intent of a step, with those of the decisions that it takes back.
    fn intend(&mut self, n: u32, queue: &mut Queue) -> Result<(), EngineError> {
        let key = key_of(self.rollback.id, n);
        let on = self.steps.get_mut(&n).expect("it is a step");
        on.state = StepState::Running;
        if on.decision.is_none() {
            let decision = self.pen.new_decision();
            let entry = self
                .pen
                .intent(decision, &on.step, key, self.attempt.decision)?;
            on.decision = Some((decision, entry.id));
            queue.entries.push(entry);
        }
        if compensates(&on.step.act) {
            for decision in on.step.decisions.clone() {
                let Some(concerned) = self.concerned.get_mut(&decision) else {
                    continue;
                };
                if matches!(
                    concerned.status,
                    Status::Invalidated | Status::CompensationFailed
                ) {
                    let body = Body::Compensating { decision, key };
                    concerned.step(&self.pen, body, Status::Compensating, &mut queue.entries)?;
                }
            }
        }
        queue.then.push(Then::Go(n));
        Ok(())
    }

    fn perform(&self, n: u32) -> BoxFuture<'static, (u32, Did)> {
        let on = &self.steps[&n];
        let (decision, _) = on.decision.expect("its intent is in the record");
        if on.settled == Some(true) {
            return Box::pin(async move { (n, Did::Done { already: true }) });
        }
        let act = on.step.act.clone();
        if compensates(&act) {
            self.engine.writes.doubt(&on.step.decisions);
        }
        if let Act::Hold { agents } = &act {
            let by = hold::holder(&self.rollback);
            let whose = Whose::Rollback(self.rollback.id);
            for agent in agents {
                let holds = &self.engine.holds;
                holds.hold(agent, whose, &by, self.rollback.run);
            }
        }
        let doing = Doing {
            hands: Arc::clone(&self.hands),
            options: self.options.clone(),
            cause: Cause {
                run: self.rollback.run,
                step: decision,
                key: key_of(self.rollback.id, n).to_string(),
            },
            doubt: on.doubt && on.settled.is_none(),
            came: on.came.clone(),
            unforgotten: match act {
                Act::Repair { .. } => self.unforgotten.clone(),
                _ => Vec::new(),
            },
        };
        Box::pin(async move { (n, doing.perform(&act).await) })
    }

    /// Queues the outcome of a step, with what it means for the decisions that it was done for.
    fn outcome(&mut self, n: u32, did: Did, queue: &mut Queue) -> Result<(), EngineError> {
        let (state, outcome, said) = said_of(did);
        let on = self.steps.get_mut(&n).expect("it is a step");
        on.said = said;
        let (decision, head) = on.decision.expect("its intent is in the record");
        let text = serde_json::to_string(&on.said).unwrap_or_default();
        let act = on.step.act.clone();
        let entry = self.pen.outcome(decision, head, outcome, &text)?;
        on.decision = Some((decision, entry.id));
        queue.entries.push(entry);
        let by = super::pen::AGENT;
        match &act {
            Act::Hold { agents } => {
                for agent in agents {
                    queue.entries.extend(self.pen.held(agent, by)?);
                }
            }
            Act::Resume { agents } => {
                let mine = [self.rollback.id];
                for agent in agents {
                    queue.entries.extend(self.pen.released(agent, by, &mine)?);
                }
            }
            _ => {}
        }
        self.ended(n, state);
        self.complete(n, queue)?;
        queue.then.push(Then::Ended(n));
        Ok(())
    }

    fn ended(&mut self, n: u32, state: StepState) {
        let on = self.steps.get_mut(&n).expect("it is a step");
        on.state = state;
        if state == StepState::Skipped {
            self.free_next(n);
        }
    }

    /// The outcome of a step is durable.
    fn landed(&mut self, n: u32) {
        let on = &self.steps[&n];
        if let Act::Resume { agents } = &on.step.act {
            let mine = [Whose::Rollback(self.rollback.id)];
            for agent in agents {
                self.engine.holds.release(agent, &mine);
            }
        }
        if let (Some(heard), Some((decision, head))) = (&self.options.heard, on.decision) {
            let status = match on.state {
                StepState::Done => Status::Succeeded,
                StepState::Parked => Status::Unknown,
                _ => Status::Failed,
            };
            let known = Known {
                decision,
                head,
                attempt: Some(self.attempt.decision),
                status,
                said: on.said.clone(),
                earlier: Vec::new(),
            };
            self.rollback.steps.insert(n, known);
            heard(&self.rollback.step_view(n));
        }
        if self.steps[&n].state == StepState::Done {
            self.free_next(n);
        }
    }

    fn free_next(&mut self, n: u32) {
        for next in self.steps[&n].next.clone() {
            let on = self.steps.get_mut(&next).expect("it is a step");
            on.waits = on.waits.saturating_sub(1);
            if on.waits == 0 && on.state == StepState::Pending {
                self.ready.insert(next);
            }
        }
    }

    /// Queues the end of each decision of a step whose last one it was.
    fn complete(&mut self, n: u32, queue: &mut Queue) -> Result<(), EngineError> {
        for id in self.steps[&n].step.decisions.clone() {
            if self.is_complete(id) {
                self.finish(id, &mut queue.entries)?;
            }
        }
        Ok(())
    }

    /// Whether all steps of a decision have ended well.
    pub(super) fn is_complete(&self, id: DecisionId) -> bool {
        let Some(concerned) = self.concerned.get(&id) else {
            return false;
        };
        concerned.steps.iter().all(|n| {
            let state = self.steps.get(n).map(|on| on.state);
            matches!(state, None | Some(StepState::Done | StepState::Skipped))
        })
    }
}

impl Concerned {
    /// Makes the next event of the decision.
    pub(super) fn step(
        &mut self,
        pen: &Pen,
        body: Body,
        status: Status,
        entries: &mut Vec<Entry>,
    ) -> Result<(), EngineError> {
        let entry = pen.entry(body, self.head)?;
        self.head = Some(entry.id);
        self.status = status;
        entries.push(entry);
        Ok(())
    }
}

impl OnTheWay {
    /// Takes a step up where the record left it.
    fn take_up(
        step: Step,
        known: Option<&Known>,
        attempt: &Attempt,
        options: &CarryOptions,
    ) -> Self {
        let mut on = Self {
            settled: None,
            step,
            state: StepState::Pending,
            decision: None,
            doubt: false,
            came: None,
            said: Said::default(),
            waits: 0,
            next: Vec::new(),
        };
        let Some(known) = known else { return on };
        let now = known.attempt == Some(attempt.decision);
        let claimed = attempt.claims.happened.get(&on.step.n).copied();
        match known.status {
            Status::Succeeded => {
                on.state = StepState::Done;
                on.said = known.said.clone();
            }
            // The process ended before the outcome.
            Status::Started if now => {
                on.decision = Some((known.decision, known.head));
                on.doubt = true;
                // What was done before this attempt was not called again in it.
                on.settled = claimed.filter(|happened| *happened);
            }
            Status::Unknown if now => on.state = StepState::Parked,
            Status::Failed | Status::Cancelled if now => on.state = StepState::Failed,
            Status::Started | Status::Unknown => {
                on.doubt = true;
                on.settled = options.settled.get(&on.step.n).copied().or(claimed);
            }
            _ => {}
        }
        on
    }
}

/// Whether a step takes effects back, so that the decisions it is done for are being compensated.
pub(super) const fn compensates(act: &Act) -> bool {
    match act {
        Act::Probe { .. }
        | Act::PutBack(_)
        | Act::Delete { .. }
        | Act::Inverse { .. }
        | Act::Http(_)
        | Act::Blocked { .. }
        | Act::Again { .. } => true,
        Act::Hold { .. }
        | Act::Restore { .. }
        | Act::Repair { .. }
        | Act::Notify { .. }
        | Act::Resume { .. } => false,
    }
}

fn said_of(did: Did) -> (StepState, Outcome, Said) {
    let said = Said::default();
    match did {
        Did::Done { already } => {
            let said = Said { already, ..said };
            (StepState::Done, Outcome::Succeeded, said)
        }
        Did::Happened(happened) => {
            let happened = Some(happened);
            let said = Said { happened, ..said };
            (StepState::Done, Outcome::Succeeded, said)
        }
        Did::Told(told) => {
            let said = Said { told, ..said };
            (StepState::Done, Outcome::Succeeded, said)
        }
        Did::Failed { why, reason } => {
            let class = match why {
                Why::Conflict | Why::Refused | Why::Unread | Why::Blocked => FailureClass::Error,
                Why::Unreachable => FailureClass::Unavailable,
                Why::Undecidable => FailureClass::Invalid,
            };
            let said = Said {
                why: Some(why.name().to_owned()),
                reason: Some(reason),
                ..said
            };
            (StepState::Failed, Outcome::Failed { class }, said)
        }
        Did::Parked { reason } => {
            let said = Said {
                reason: Some(reason),
                ..said
            };
            (StepState::Parked, Outcome::Unknown, said)
        }
    }
}
