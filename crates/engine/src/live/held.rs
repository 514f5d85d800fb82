//! Calls that wait for a person, and how their waiting ends.
//!
//! ```text
//!   held ──► approved ──► begins: its intent uses the approval up
//!    │           └─► not used in time, or void ──► cancelled
//!    ├─► rejected, by a person or because the time is over
//!    └─► cancelled, because who asked went away
//! ```
//!
//! What waits lies in the record and in the [`Book`], which is made anew from the record at the
//! start. Whoever decides appends the verdict first; then the call that waits is told. An end that
//! nobody waits for is recorded by a task of its own.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use guard::{Approvals, Breakers, Entry, Given, Loops, Standing, Target};
use ledger::Direction;
use model::{
    Approval, Body, Cause, DecisionId, Digest, Effect, EventId, Field, Media, Outcome, RunId,
    Status, Strength, Timestamp,
};
use tokio::sync::oneshot;

use super::append::{Durable, RecordError};
use super::call::Touches;
use super::open::Open;
use super::pass::{Made, Pass, recorded};
use super::policy::GuardOptions;
use super::runs::{LiveRun, from_record};
use super::trace::{Traced, merge};
use super::written::once;
use super::{Inner, Recorder};
use crate::approvals::{Ruled, Ruling};
use crate::look::fold;
use crate::view::RuledView;
use crate::{Engine, EngineError};

/// Calls that wait or are approved at the same time, at most.
pub(super) const HELD_MAX: usize = 4_096;

/// Changes of breakers that are read again at the start.
const CHANGES_READ: usize = 4_096;

/// Causes that are looked at before an approval is used.
const CAUSES_MAX: usize = 10_000;

/// How long the index may take to hold what was recorded before.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(2);

/// How often an end is written down anew after somebody else appended to the same decision.
const TRIES: usize = 4;

/// What waits for persons, who repeats itself, and which targets rest.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) approvals: Approvals,
    pub(super) waiting: HashMap<DecisionId, Waiting>,
    pub(super) loops: Loops,
    pub(super) breakers: Breakers,
}

/// What is needed to begin or end a decision that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Its last event.
    pub(super) last: EventId,
    pub(super) live: Arc<LiveRun>,
    pub(super) traced: Arc<Traced>,
    pub(super) effect: Option<Effect>,
    /// Causes that it names already.
    pub(super) known: Vec<Cause>,
    /// Causes of equal calls that took up the wait.
    pub(super) more: Vec<Cause>,
    /// The call that waits, if one does.
    pub(super) told: Option<oneshot::Sender<Word>>,
}

/// How the waiting ended, with what belongs to it.
#[derive(Debug)]
pub(super) enum Word {
    Approved(Claim),
    Over(Told),
}

/// How the waiting of a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It may begin.
    Approved,
    /// A person or a rule refused it.
    Rejected {
        /// Who.
        by: String,
        /// Why, as far as they said.
        reason: Option<String>,
    },
    /// It does not count any more, for this reason.
    Void {
        /// Why.
        why: String,
    },
}

/// An approval that a call has claimed. Dropped before the intent is written down, it is given
/// back.
#[derive(Debug)]
pub(super) struct Claim {
    inner: Arc<Inner>,
    decision: DecisionId,
    used: bool,
}

impl Claim {
    pub(super) const fn decision(&self) -> DecisionId {
        self.decision
    }

    /// The intent is written down: nobody can claim it again.
    pub(super) fn used(mut self) {
        self.used = true;
        self.inner.book().take(self.decision);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.used {
            self.inner.book().approvals.release(self.decision);
        }
    }
}

/// A call that waits for a person. Dropped without a word, its caller went away: it is cancelled.
#[derive(Debug)]
pub struct Held {
    inner: Arc<Inner>,
    decision: DecisionId,
    run: RunId,
    call: Digest,
    until: Timestamp,
    hears: oneshot::Receiver<Word>,
    durable: Option<Durable>,
    claim: Option<Claim>,
    /// Whether somebody has said how it ends.
    settled: bool,
}

impl Held {
    pub(super) fn new(
        inner: &Arc<Inner>,
        (decision, run): (DecisionId, RunId),
        call: Digest,
        until: Timestamp,
        hears: oneshot::Receiver<Word>,
        durable: Option<Durable>,
    ) -> Self {
        Self {
            inner: Arc::clone(inner),
            decision,
            run,
            call,
            until,
            hears,
            durable,
            claim: None,
            settled: false,
        }
    }

    /// Returns the decision.
    #[must_use]
    pub const fn decision(&self) -> DecisionId {
        self.decision
    }

    /// Returns the run.
    #[must_use]
    pub const fn run(&self) -> RunId {
        self.run
    }

    /// Returns the digest of the exact call, by which it is approved.
    #[must_use]
    pub const fn call(&self) -> Digest {
        self.call
    }

    /// Returns until when a person has to decide.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// Waits until it is in the record that the call waits.
    ///
    /// # Errors
    /// [`RecordError`] if it is not.
    pub async fn durable(&mut self) -> Result<(), RecordError> {
        once(&mut self.durable, true, &self.inner).await
    }

    /// Waits for the end of the waiting. Given up and called again, it misses nothing.
    pub async fn told(&mut self) -> Told {
        if self.claim.is_none() {
            match (&mut self.hears).await {
                Ok(Word::Approved(claim)) => self.claim = Some(claim),
                Ok(Word::Over(told)) => {
                    self.settled = true;
                    return told;
                }
                Err(_) => {
                    self.settled = true;
                    return Told::Void {
                        why: "recording has stopped".to_owned(),
                    };
                }
            }
        }
        if let Some(why) = self.inner.revoked(self.decision).await {
            // The claim first, so that nobody else gets what is void.
            self.inner.void(self.decision, &why);
            self.claim = None;
            self.settled = true;
            return Told::Void { why };
        }
        Told::Approved
    }

    /// Goes through the breaker of its target, once the call was told that it may begin. A target
    /// that rests gets none, so nothing need be read for it; the approval is then good for the next
    /// equal call.
    ///
    /// # Errors
    /// [`RecordError::Resting`]; [`RecordError::Unfit`] if nobody approved it.
    pub fn go_through(mut self, target: &Target) -> Result<Through, RecordError> {
        self.settled = true;
        let claim = self.claim.take().ok_or_else(|| RecordError::Unfit {
            reason: "nobody approved it".to_owned(),
        })?;
        let (pass, change) = self
            .inner
            .pass(target)
            .map_err(|retry_at| RecordError::Resting {
                target: target.as_str().to_owned(),
                retry_at,
            })?;
        let judged = match change {
            None => None,
            Some(change) => {
                let live = self
                    .inner
                    .book()
                    .waiting
                    .get(&self.decision)
                    .map(|held| Arc::clone(&held.live));
                let judged = live.map(|live| self.inner.change(&live, target, change, None));
                judged.transpose()?
            }
        };
        Ok(Through {
            claim,
            judged,
            pass,
        })
    }

    /// Goes away without ending the wait: the caller was told to come again.
    pub fn leave(mut self) {
        self.settled = true;
        self.inner.leave(self.decision);
    }

    /// Ends the wait, because nobody wants the call any more.
    pub fn cancel(mut self, why: &str) {
        self.settled = true;
        self.inner.void(self.decision, why);
    }
}

/// An approved call that its target takes. Dropped before it begins, its approval is given back.
#[derive(Debug)]
pub struct Through {
    claim: Claim,
    /// What its admission changed about its target.
    judged: Option<Made>,
    pass: Pass,
}

impl Through {
    /// Begins the call: the intent uses the approval up. `touches` is what it touches, as read now:
    /// the records may have changed while it waited.
    ///
    /// # Errors
    /// As [`Recorder::begin`].
    pub fn begin(self, touches: Option<Touches>) -> Result<Open, RecordError> {
        let inner = Arc::clone(&self.claim.inner);
        let mut open = inner.start(self.claim, (Vec::new(), touches), self.judged, true)?;
        open.go_through(self.pass);
        Ok(open)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // A process that stops asks nobody to give up: what waits is found again at the start.
        if self.inner.stop.is_cancelled() {
            self.inner.leave(self.decision);
        } else {
            let why = "who asked for it went away before it was approved";
            self.inner.void(self.decision, why);
        }
    }
}

impl Recorder {
    /// Approves or rejects a call that waits. The verdict is durable before the call is told, and
    /// the call is told also if whoever ruled goes away meanwhile.
    ///
    /// # Errors
    /// [`EngineError::NotHeld`], [`EngineError::Shown`], [`EngineError::Overdue`],
    /// [`EngineError::OwnCall`], [`EngineError::Store`].
    pub async fn rule(
        &self,
        decision: DecisionId,
        ruling: Ruling,
    ) -> Result<RuledView, EngineError> {
        let inner = Arc::clone(&self.inner);
        let ruled = async move { inner.rule(decision, ruling).await };
        self.to_its_end(ruled).await
    }

    /// Returns how long a call waits for an approval before it is answered that it still waits.
    #[must_use]
    pub fn approvals_wait(&self) -> Duration {
        self.inner.options.approvals.wait
    }

    /// Makes every approval void that was asked for or given in a run, or by one agent in it,
    /// because that goes on from somewhere else. Returns how many.
    pub fn void_approvals(&self, run: RunId, agent: Option<&str>, why: &str) -> usize {
        let of_run: Vec<DecisionId> = {
            let book = self.inner.book();
            let of_run = book.waiting.iter().filter(|(_, held)| {
                held.live.id == run && agent.is_none_or(|agent| agent == held.traced.agent)
            });
            of_run.map(|(id, _)| *id).collect()
        };
        for decision in &of_run {
            self.inner.void(*decision, why);
        }
        of_run.len()
    }
}

impl Book {
    /// Takes in a decision that waits.
    pub(super) fn put(&mut self, decision: DecisionId, entry: Entry, waiting: Waiting) {
        self.approvals.put(decision, entry);
        self.waiting.insert(decision, waiting);
        self.count();
    }

    /// Takes out a decision that waits no longer.
    fn take(&mut self, decision: DecisionId) -> Option<Waiting> {
        self.approvals.remove(decision);
        let waiting = self.waiting.remove(&decision);
        self.count();
        waiting
    }

    fn count(&self) {
        let count = u32::try_from(self.approvals.len()).unwrap_or(u32::MAX);
        metrics::gauge!("rescind_approvals_waiting").set(f64::from(count));
    }

    /// Makes the book anew from the record: the last change of each breaker, and what waits.
    pub(super) async fn load(engine: &Engine, options: &GuardOptions) -> Result<Self, EngineError> {
        let mut book = Self::default();
        let store = engine.store();
        let judged = store.events_named(&["judged"]).await?;
        for index in &judged[judged.len().saturating_sub(CHANGES_READ)..] {
            if let Some((target, phase, at)) = recorded(&engine.event(*index).await?) {
                let breaker = options.breaker(&target);
                book.breakers.restore(breaker, target.clone(), phase, at);
            }
        }
        for decision in engine.waiting(HELD_MAX).await? {
            book.find(engine, decision).await?;
        }
        Ok(book)
    }

    /// Takes in a decision that the record has as waiting.
    async fn find(&mut self, engine: &Engine, id: DecisionId) -> Result<(), EngineError> {
        let events = engine.events_of(id).await?;
        let decision = fold(id, events.iter().map(|(_, event)| event))?;
        let (mut call, mut until) = (None, None);
        for (_, event) in &events {
            match &event.body {
                Body::Held {
                    call: exact,
                    until: decide,
                    ..
                } => (call, until) = (*exact, *decide),
                Body::Approved { approval, .. } => until = approval.until.or(until),
                _ => {}
            }
        }
        let (Some(call), Some(until), Some((_, last))) = (call, until, events.last()) else {
            return Ok(());
        };
        // What was erased cannot begin any more.
        let Some(live) = from_record(engine, decision.proposal.run).await? else {
            return Ok(());
        };
        let traced = Traced {
            decision: id,
            run: live.id,
            agent: decision.proposal.agent.name.clone(),
            kind: decision.proposal.kind,
            name: decision.proposal.name.clone().unwrap_or_default(),
            to: None,
        };
        let waiting = Waiting {
            last: last.id,
            live: Arc::new(live),
            traced: Arc::new(traced),
            effect: decision.effects.first().cloned(),
            known: decision.causes,
            more: Vec::new(),
            told: None,
        };
        let standing = match decision.position {
            Status::Approved => Standing::Approved,
            _ => Standing::Held,
        };
        let entry = Entry {
            call,
            standing,
            until,
            waited: false,
        };
        self.put(id, entry, waiting);
        Ok(())
    }
}

impl Inner {
    async fn rule(
        self: Arc<Self>,
        decision: DecisionId,
        ruling: Ruling,
    ) -> Result<RuledView, EngineError> {
        self.sweep();
        let (by, reason) = (ruling.by.clone(), ruling.reason.clone());
        let expire = self.options.approvals.expire;
        let ruled = self.engine.rule(decision, ruling, expire).await?;
        match &ruled {
            Ruled {
                event,
                until: Some(until),
                ..
            } => self.approved(decision, *event, *until),
            Ruled { .. } => {
                self.over(decision, Told::Rejected { by, reason });
            }
        }
        Ok(ruled.view)
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims an approval of this exact call that is good and not void.
    pub(super) async fn claim(self: &Arc<Self>, call: Digest) -> Option<Claim> {
        loop {
            let decision = self.book().approvals.claim(call, self.now())?;
            let claim = Claim {
                inner: Arc::clone(self),
                decision,
                used: false,
            };
            match self.revoked(decision).await {
                None => return Some(claim),
                Some(why) => self.void(decision, &why),
            }
        }
    }

    /// Takes up the wait for a call like this that is held.
    pub(super) fn rejoin(
        self: &Arc<Self>,
        book: &mut Book,
        decision: DecisionId,
        causes: Vec<Cause>,
        (told, hears): (oneshot::Sender<Word>, oneshot::Receiver<Word>),
    ) -> Option<Held> {
        let entry = *book.approvals.get(decision)?;
        let waiting = book.waiting.get_mut(&decision)?;
        waiting.told = Some(told);
        merge(&mut waiting.more, causes);
        let run = waiting.live.id;
        Some(Held::new(
            self,
            (decision, run),
            entry.call,
            entry.until,
            hears,
            None,
        ))
    }

    /// The call that waited does so no longer; the decision waits on.
    fn leave(&self, decision: DecisionId) {
        let mut book = self.book();
        book.approvals.left(decision);
        if let Some(waiting) = book.waiting.get_mut(&decision) {
            waiting.told = None;
        }
    }

    /// An approval is in the record: tells the call that waits, or keeps it for the next.
    fn approved(self: &Arc<Self>, decision: DecisionId, event: EventId, until: Timestamp) {
        let mut book = self.book();
        let Ok(given) = book.approvals.approve(decision, until) else {
            return;
        };
        let Some(waiting) = book.waiting.get_mut(&decision) else {
            return;
        };
        waiting.last = event;
        let told = waiting.told.take();
        drop(book);
        if given == Given::Waiting {
            let claim = Claim {
                inner: Arc::clone(self),
                decision,
                used: false,
            };
            // Who is gone meanwhile drops it, which gives it back.
            if let Some(told) = told {
                let _ = told.send(Word::Approved(claim));
            }
        }
    }

    /// The waiting is over, and the record says so: tells the call that waits.
    fn over(&self, decision: DecisionId, how: Told) -> Option<Waiting> {
        let mut waiting = self.book().take(decision)?;
        if let Some(told) = waiting.told.take() {
            let _ = told.send(Word::Over(how));
        }
        Some(waiting)
    }

    /// Ends a decision that waits or was approved, for good.
    pub(super) fn void(self: &Arc<Self>, decision: DecisionId, why: &str) {
        let told = Told::Void {
            why: why.to_owned(),
        };
        if let Some(waiting) = self.over(decision, told) {
            self.close(decision, waiting.live, End::Cancelled(why.to_owned()));
        }
    }

    /// Ends everything whose time is over.
    pub(super) fn sweep(self: &Arc<Self>) {
        let overdue = self.book().approvals.overdue(self.now());
        for (decision, entry) in overdue {
            let (end, told) = match entry.standing {
                Standing::Held => {
                    metrics::counter!("rescind_approvals_total", "verdict" => "overdue")
                        .increment(1);
                    let told = Told::Rejected {
                        by: RULE_OVERDUE.to_owned(),
                        reason: Some(OVERDUE.to_owned()),
                    };
                    (End::Rejected(entry.call), told)
                }
                Standing::Approved | Standing::Claimed => {
                    let why = "its approval was not used in time".to_owned();
                    (End::Cancelled(why.clone()), Told::Void { why })
                }
            };
            if let Some(waiting) = self.over(decision, told) {
                self.close(decision, waiting.live, end);
            }
        }
    }

    /// Records an end that nobody waits for.
    fn close(self: &Arc<Self>, decision: DecisionId, live: Arc<LiveRun>, end: End) {
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut closed = Err(RecordError::Outage {
                reason: String::new(),
                spooled: false,
            });
            for _ in 0..TRIES {
                closed = inner.try_close(decision, &live, &end).await;
                if !matches!(closed, Err(RecordError::Unfit { .. })) {
                    break;
                }
            }
            if closed.is_err() {
                // It reads as waiting still, and is ended at the next start once its time is over.
                inner.health.lost();
            }
        });
    }

    async fn try_close(
        &self,
        decision: DecisionId,
        live: &LiveRun,
        end: &End,
    ) -> Result<(), RecordError> {
        let unfit = |error: &dyn std::error::Error| RecordError::Unfit {
            reason: crate::chain(error),
        };
        let outage = |error: &dyn std::error::Error| RecordError::Outage {
            reason: crate::chain(error),
            spooled: false,
        };
        self.appender.hurry();
        self.engine.caught_up(CAUGHT_UP_WITHIN).await;
        let store = self.engine.store();
        let head = store.head(*decision.as_bytes()).await;
        let head = head.map_err(|error| outage(&error))?;
        let at = self.engine.next_time();
        let id = self.engine.event_id(at);
        let envelope = live.envelope();
        let (field, why) = match end {
            End::Cancelled(why) => (
                Field::Result,
                serde_json::json!({ "error": why }).to_string(),
            ),
            End::Rejected(_) => (Field::Comment, OVERDUE.to_owned()),
        };
        let kept = [(field, Media::Text, why.as_str().into())];
        let (sealed, payload) = self.seal(&envelope, id, &kept, None)?;
        let body = match end {
            End::Cancelled(_) => Body::Finished {
                causes: Vec::new(),
                decision,
                effects: Vec::new(),
                outcome: Outcome::Cancelled,
                sealed,
            },
            End::Rejected(shown) => Body::Rejected {
                approval: Approval {
                    by: RULE_OVERDUE.to_owned(),
                    sealed,
                    shown: *shown,
                    until: None,
                },
                decision,
            },
        };
        let event = model::Event {
            at,
            body,
            id,
            prev: head,
            v: 1,
        };
        let batch = super::append::batch(&[&event], payload.into_iter().collect())?;
        match self.engine.append_batch(batch).await {
            Ok(_) => Ok(()),
            Err(error) if error.class().0 == crate::Class::Conflict => Err(unfit(&error)),
            Err(error) => Err(outage(&error)),
        }
    }

    /// Why an approval does not count any more, if the decision or something that it depends on
    /// was revoked since it was asked for.
    async fn revoked(&self, decision: DecisionId) -> Option<String> {
        self.appender.hurry();
        self.engine.caught_up(CAUGHT_UP_WITHIN).await;
        let store = self.engine.store();
        let unsure = |_| "whether its causes still stand cannot be looked up".to_owned();
        let causes = store
            .closure(decision, Direction::Causes, Strength::Possible, CAUSES_MAX)
            .await;
        let mut ids: Vec<DecisionId> = match causes.map_err(unsure) {
            Ok(causes) => causes.into_iter().map(|(id, _)| id).collect(),
            Err(why) => return Some(why),
        };
        ids.push(decision);
        let rows = match store.rows(&ids).await.map_err(unsure) {
            Ok(rows) => rows,
            Err(why) => return Some(why),
        };
        let row = rows.iter().find(|row| row.status.is_rescinded())?;
        Some(format!(
            "decision `{}`, which it depends on, was revoked",
            row.id
        ))
    }
}

/// Who refuses what nobody decided about in time.
const RULE_OVERDUE: &str = "rule: overdue";
const OVERDUE: &str = "nobody decided in time";

/// How the waiting ended.
#[derive(Clone, Debug)]
enum End {
    Cancelled(String),
    Rejected(Digest),
}
