//! Ways through breakers: each call hears of its target, and each change is recorded.

use std::sync::Arc;

use guard::{Admission, Change, Heard, Mode, Phase, Target, Ticket};
use model::{
    Agent, Body, Cause, CauseKind, DecisionId, Digest, Event, Evidence, Field, Kind, Media,
    Proposal, Provenance, Strength, Timestamp,
};

use super::append::{RecordError, batch};
use super::open::Open;
use super::runs::LiveRun;
use super::{Inner, Recorder};
use crate::text::cut;

/// Who judges, in the record.
const JUDGE: &str = "rescind";

/// The longest name of a target that stands in a leaf, in bytes.
const TARGET_BYTES_MAX: usize = 512;

/// Lets one call through to its target. However the call ends, also by a panic, the target hears
/// of it: dropped, this says nothing about the target and frees its place.
#[derive(Debug)]
pub struct Pass {
    inner: Arc<Inner>,
    target: Target,
    ticket: Option<Ticket>,
}

/// An event that was made, and the ciphertext that goes beside the log with it.
#[derive(Debug)]
pub(super) struct Made {
    event: Event,
    payload: Option<(Digest, Vec<u8>)>,
}

impl Made {
    pub(super) fn parts(self) -> (Event, Option<(Digest, Vec<u8>)>) {
        (self.event, self.payload)
    }
}

impl Recorder {
    /// Returns whether what a rule objects to is held or refused, and not only marked.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.inner.policy.mode == Mode::Enforce
    }

    /// Returns when calls of a target are let through again, if they are not now.
    #[must_use]
    pub fn rests(&self, target: &Target) -> Option<Timestamp> {
        let inner = &self.inner;
        let options = inner.options.guard.breaker(target);
        inner.book().breakers.refuses(options, target, inner.now())
    }

    /// Lets a call through to a target. `open` is the call, in whose run a change is recorded.
    ///
    /// # Errors
    /// When to try again, if the target's breaker refuses.
    pub fn pass(&self, target: &Target, open: Option<&Open>) -> Result<Pass, Timestamp> {
        let (pass, change) = self.inner.pass(target)?;
        if let (Some(change), Some(open)) = (change, open) {
            self.inner.tell_change(open, target, change, None);
        }
        Ok(pass)
    }
}

impl Pass {
    /// Tells what the call says about its target.
    pub fn ended(mut self, heard: Heard, open: Option<&Open>) {
        let change = self.hear(heard);
        if let (Some(change), Some(open)) = (change, open) {
            let cause = open.decision();
            self.inner
                .tell_change(open, &self.target, change, Some(cause));
        }
    }

    fn hear(&mut self, heard: Heard) -> Option<Change> {
        let ticket = self.ticket.take()?;
        let inner = &self.inner;
        let options = inner.options.guard.breaker(&self.target);
        let now = inner.now();
        let mut book = inner.book();
        book.breakers
            .hear(options, &self.target, ticket, heard, now)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let _ = self.hear(Heard::Nothing);
    }
}

impl Inner {
    /// Lets a call through to a target, and says what that changes.
    pub(super) fn pass(
        self: &Arc<Self>,
        target: &Target,
    ) -> Result<(Pass, Option<Change>), Timestamp> {
        let options = self.options.guard.breaker(target);
        let (admission, change) = self.book().breakers.admit(options, target, self.now());
        match admission {
            Admission::Refuse { retry_at } => Err(retry_at),
            Admission::Pass(ticket) => {
                let pass = Pass {
                    inner: Arc::clone(self),
                    target: target.clone(),
                    ticket: Some(ticket),
                };
                Ok((pass, change))
            }
        }
    }

    /// Records a change of a breaker in the run of the call that brought it about.
    fn tell_change(&self, open: &Open, target: &Target, change: Change, cause: Option<DecisionId>) {
        let written = self
            .change(&open.live, target, change, cause)
            .and_then(|made| {
                let (event, payload) = made.parts();
                self.write(batch(&[&event], payload.into_iter().collect())?, false)
            });
        if written.is_err() {
            // What is not in the record is lost with this process; the gap that follows counts it.
            self.health.lost();
        }
    }

    /// Makes the decision that a breaker changed.
    pub(super) fn change(
        &self,
        live: &LiveRun,
        target: &Target,
        change: Change,
        cause: Option<DecisionId>,
    ) -> Result<Made, RecordError> {
        let kind = target.kind().to_owned();
        let open = self.book().breakers.open(target.kind());
        metrics::gauge!("rescind_breakers_open", "kind" => kind.clone())
            .set(f64::from(u32::try_from(open).unwrap_or(u32::MAX)));
        metrics::counter!("rescind_breaker_changes_total", "kind" => kind, "to" => change.to.name())
            .increment(1);
        let at = self.engine.next_time();
        let id = self.engine.event_id(at);
        let envelope = live.envelope();
        let said = serde_json::json!({
            "target": target.as_str(),
            "from": change.from.name(),
            "to": change.to.name(),
            "failures_in_a_row": change.failures,
            "until": change.until.map(crate::text::stamp),
        });
        let kept = [(Field::Chosen, Media::Json, said.to_string().into())];
        let (sealed, payload) = self.seal(&envelope, id, &kept, None)?;
        let cause = cause.map(|decision| Cause {
            decision,
            evidence: Evidence::Explicit {
                by: "breaker".to_owned(),
            },
            kind: CauseKind::Result,
            strength: Strength::Certain,
        });
        let proposal = Proposal {
            agent: Agent {
                name: JUDGE.to_owned(),
                version: None,
            },
            causes: cause.into_iter().collect(),
            effects: Vec::new(),
            environment: None,
            kind: Kind::Verdict,
            known: Provenance::Observed,
            name: Some(cut(target.as_str(), TARGET_BYTES_MAX)),
            policy: Some(self.policy.breaker(change.to)),
            run: live.id,
            sealed,
            server: None,
            started: Some(self.now()),
        };
        let decision = DecisionId::new(at.millis(), ledger::entropy::draw(&*self.engine.entropy));
        let event = Event {
            at,
            body: Body::Judged { decision, proposal },
            id,
            prev: None,
            v: 1,
        };
        Ok(Made { event, payload })
    }
}

/// Where a recorded change left a breaker.
pub(super) fn recorded(event: &Event) -> Option<(Target, Phase, Timestamp)> {
    let Body::Judged { proposal, .. } = &event.body else {
        return None;
    };
    let policy = proposal.policy.as_ref()?;
    if policy.id != guard::Rule::Breaker.name() {
        return None;
    }
    let target = Target::named(proposal.name.as_deref()?);
    Some((
        target,
        super::policy::phase_of(policy.verdict),
        proposal.started?,
    ))
}
