//! Judges calls that can change the world before they begin.
//!
//! ```text
//!   call ──► who, which run ──► digest of the exact call ──► an approval that is good? ──► begins
//!                                        │ judge
//!              begins ◄── allow ─────────┼──────── hold ──► proposed, held; waits for a person
//!                                        └──────── deny ──► proposed, rejected; told why
//! ```
//!
//! Whatever becomes of a call stands in the record first. In observing mode everything begins, and
//! the proposal says what would have become of it.

use std::sync::Arc;

use guard::{Entry, Facts, Judgement, Mode, Rule, Standing, Target, is_gated, judge};
use ledger::canonical;
use model::{
    Approval, Body, Cause, DecisionId, Digest, EffectClass, Event, EventId, Field, Media, RunId,
    Timestamp, Verdict,
};
use tokio::sync::oneshot;

use super::append::{Durable, RecordError, batch};
use super::call::{Call, Touches, What};
use super::flight::Flight;
use super::held::{Claim, HELD_MAX, Held, Waiting};
use super::kept::Continues;
use super::open::{Ciphertext, Draft, Open, Prompt};
use super::pass::{Made, Pass};
use super::place::Place;
use super::replay::{Again, Replayed};
use super::trace::merge;
use super::{Inner, Recorder};

/// What became of a call that was judged.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every call begins, and a box for each would cost more than the space"
)]
pub enum Admitted {
    /// It has begun.
    Open(Open),
    /// It waits for a person.
    Held(Held),
    /// A rule refused it.
    Refused(Refused),
    /// It was made before, and is answered with what it got then.
    Replayed(Replayed),
}

/// A call that a rule refused, which stands in the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The decision.
    pub decision: DecisionId,
    /// Its run.
    pub run: RunId,
    /// Which rule.
    pub rule: Rule,
    /// Why, in words that the caller can act upon.
    pub reason: String,
    /// When to try again, where time helps.
    pub retry_at: Option<Timestamp>,
}

/// What is known of a call before it is judged.
struct Considered {
    place: Place,
    /// Digest of the exact call.
    exact: Digest,
    pass: Option<Pass>,
    /// What its admission changed about its target.
    judged: Option<Made>,
    facts: Facts,
    blocks: bool,
}

impl Recorder {
    /// Judges a call and, where nothing objects, records that it begins, as
    /// [`begin`](Self::begin) does. Calls of models are not judged.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn admit(&self, call: Call<'_>) -> Result<Admitted, RecordError> {
        self.admit_reading(call, std::future::ready).await
    }

    /// The same, where the records that the call touches can be read: `read` adds to what is known
    /// of them how they are now. It is asked just before the call begins, so that of a call that is
    /// held, refused or answered from the record nothing is read.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn admit_reading<F: Future<Output = Touches>>(
        &self,
        call: Call<'_>,
        read: impl FnOnce(Touches) -> F,
    ) -> Result<Admitted, RecordError> {
        let inner = &self.inner;
        let blocks = inner.blocks(&call.what)?;
        let admitted = inner.admit(call, read, blocks).await;
        admitted.inspect_err(|error| {
            if matches!(error, RecordError::Outage { .. }) {
                inner.health.refused();
            }
        })
    }
}

impl Inner {
    async fn admit<F: Future<Output = Touches>>(
        self: &Arc<Self>,
        mut call: Call<'_>,
        read: impl FnOnce(Touches) -> F,
        blocks: bool,
    ) -> Result<Admitted, RecordError> {
        let target = match &call.what {
            What::Inference { .. } => return self.begin(call, blocks).await.map(Admitted::Open),
            What::ToolCall { server, tool, .. } => Target::tool(server, tool),
            What::Message { to, .. } => Target::agent(to),
        };
        self.sweep();
        let mut place = self.place(&call).await?;
        let mut forks = false;
        match self.again(&place, &call).await? {
            Again::No => {}
            Again::Fork(cause) => {
                place.causes.push(cause);
                forks = true;
            }
            Again::Of(recorded) => {
                let replayed = self.replay(place, call, recorded, blocks);
                return replayed.map(Admitted::Replayed);
            }
        }
        let exact = exact(place.run.id, &place.agent, &call.what);
        let (pass, mut judged, tripped) = match self.pass(&target) {
            Ok((pass, change)) => {
                let made = change.map(|change| self.change(&place.run, &target, change, None));
                (Some(pass), made.transpose()?, None)
            }
            Err(retry_at) => (None, None, Some(retry_at)),
        };
        let gated = call.what.class().is_some_and(is_gated);
        let mut claim = None;
        if gated && tripped.is_none() && self.policy.mode == Mode::Enforce {
            claim = self.claim(exact).await;
        }
        let facts = Facts {
            class: call.what.class().unwrap_or(EffectClass::Read),
            approved: claim.is_some(),
            tripped,
            repeated: self.repeated(&place, exact, &call.what),
        };
        let judgement = judge(self.policy.mode, &facts);
        if judgement.verdict != Verdict::Allow {
            metrics::counter!(
                "rescind_calls_judged_total",
                "rule" => judgement.rule.name(), "enforced" => enforced_name(judgement.enforced)
            )
            .increment(1);
        }
        if matches!(judgement.enforced, Verdict::Allow | Verdict::Degrade)
            && let Some(touches) = call.touches.take()
        {
            // Others may go on in the same run meanwhile, and who asked may go away.
            self.write_ahead(&mut place, &mut judged, blocks)?;
            call.touches = Some(read(touches).await);
        }
        if judgement.enforced != Verdict::Deny && !forks {
            self.replays.diverge(place.run.id, &place.agent, &call);
        }
        let considered = Considered {
            place,
            exact,
            pass,
            judged,
            facts,
            blocks,
        };
        match (judgement.enforced, claim) {
            (Verdict::Allow | Verdict::Degrade, Some(claim)) => self
                .begin_claimed(considered, claim, call.touches)
                .map(Admitted::Open),
            (Verdict::Allow | Verdict::Degrade, None) => self
                .begin_judged(considered, call, &judgement)
                .map(Admitted::Open),
            (Verdict::Hold, _) => self.hold(considered, call, &judgement),
            (Verdict::Deny, _) => {
                let reason = reason(&judgement, &considered.facts, &call.what, self.now());
                self.refuse(considered, call, &judgement, reason)
                    .map(Admitted::Refused)
            }
        }
    }

    /// Writes down what stands before a call in any case: that its run is opened, and what its
    /// admission changed about its target.
    fn write_ahead(
        &self,
        place: &mut Place,
        judged: &mut Option<Made>,
        blocks: bool,
    ) -> Result<(), RecordError> {
        let opening = place.opening.take();
        let (judged, beside) = judged.take().map(Made::parts).unzip();
        let events: Vec<&Event> = opening.iter().chain(&judged).collect();
        if !events.is_empty() {
            let payloads = beside.flatten().into_iter().collect();
            self.write(batch(&events, payloads)?, blocks)?;
        }
        Ok(())
    }

    /// How often the same call was made in a row just before, where that is too often.
    fn repeated(&self, place: &Place, exact: Digest, what: &What<'_>) -> Option<u32> {
        let most = self.options.guard.loop_calls_max;
        if most == 0 || !matches!(what, What::ToolCall { .. }) {
            return None;
        }
        let before = self.book().loops.before(place.run.id, &place.agent, exact);
        (before >= most).then_some(before)
    }

    fn begin_judged(
        self: &Arc<Self>,
        considered: Considered,
        call: Call<'_>,
        judgement: &Judgement,
    ) -> Result<Open, RecordError> {
        let Considered {
            place,
            exact,
            pass,
            judged,
            blocks,
            ..
        } = considered;
        if matches!(call.what, What::ToolCall { .. }) {
            let mut book = self.book();
            book.loops.made(place.run.id, &place.agent, exact);
        }
        let policy = self.policy.judged(judgement);
        let draft = self.draft(place, call, policy)?;
        self.begin_draft(draft, judged, pass, blocks)
    }

    /// Begins the decision that was approved: its intent and the claim are one event.
    fn begin_claimed(
        self: &Arc<Self>,
        considered: Considered,
        claim: Claim,
        touches: Option<Touches>,
    ) -> Result<Open, RecordError> {
        let Considered {
            place,
            pass,
            judged,
            blocks,
            ..
        } = considered;
        let mut open = self.start(claim, (place.causes, touches), judged, blocks)?;
        open.pass = pass;
        Ok(open)
    }

    fn hold(
        self: &Arc<Self>,
        considered: Considered,
        call: Call<'_>,
        judgement: &Judgement,
    ) -> Result<Admitted, RecordError> {
        let (exact, now) = (considered.exact, self.now());
        let (told, hears) = oneshot::channel();
        let full = {
            let mut book = self.book();
            if let Some(decision) = book.approvals.join(exact, now) {
                let causes = considered.place.causes;
                let held = self.rejoin(&mut book, decision, causes, (told, hears));
                return held.map(Admitted::Held).ok_or_else(|| RecordError::Unfit {
                    reason: "what waits for an approval is not known".to_owned(),
                });
            }
            book.approvals.len() >= HELD_MAX
        };
        if full {
            let reason = format!("{HELD_MAX} calls wait for a person already");
            let refused = self.refuse(considered, call, judgement, reason);
            return refused.map(Admitted::Refused);
        }
        metrics::counter!("rescind_calls_held_total", "rule" => judgement.rule.name()).increment(1);
        let until = later(now, self.options.approvals.expire);
        let asker = call.caller.token.clone();
        let Considered {
            place,
            judged,
            blocks,
            ..
        } = considered;
        let draft = self.draft(place, call, self.policy.judged(judgement))?;
        let known = draft.known.clone();
        let (live, traced) = (Arc::clone(&draft.live), Arc::clone(&draft.traced));
        let (effect, decision) = (draft.effect.clone(), traced.decision);
        let held = Body::Held {
            asker,
            call: Some(exact),
            decision,
            rule: judgement.rule.name().to_owned(),
            until: Some(until),
        };
        let run = live.id;
        let entry = Entry {
            call: exact,
            standing: Standing::Held,
            until,
            waited: true,
        };
        // The book stays shut until it has the call: whoever finds it in the record and decides
        // about it finds it here too.
        let mut book = self.book();
        let (held, durable) = self.propose(draft, judged, |_| Ok((held, None)), blocks)?;
        let waiting = Waiting {
            last: held,
            live,
            traced,
            effect,
            known,
            more: Vec::new(),
            told: Some(told),
        };
        book.put(decision, entry, waiting);
        drop(book);
        Ok(Admitted::Held(Held::new(
            self,
            (decision, run),
            exact,
            until,
            hears,
            Some(durable),
        )))
    }

    /// Records that a rule refused a call.
    fn refuse(
        self: &Arc<Self>,
        considered: Considered,
        call: Call<'_>,
        judgement: &Judgement,
        reason: String,
    ) -> Result<Refused, RecordError> {
        let Considered {
            place,
            exact,
            judged,
            facts,
            blocks,
            ..
        } = considered;
        let refused = Judgement {
            verdict: Verdict::Deny,
            enforced: Verdict::Deny,
            ..*judgement
        };
        let draft = self.draft(place, call, self.policy.judged(&refused))?;
        let (decision, run) = (draft.traced.decision, draft.live.id);
        let envelope = draft.live.envelope();
        let rejected = |event| {
            let comment = [(Field::Comment, Media::Text, reason.as_str().into())];
            let (sealed, payload) = self.seal(&envelope, event, &comment, None)?;
            let approval = Approval {
                by: format!("rule: {}", judgement.rule.name()),
                sealed,
                shown: exact,
                until: None,
            };
            Ok((Body::Rejected { approval, decision }, payload))
        };
        self.propose(draft, judged, rejected, blocks)?;
        Ok(Refused {
            decision,
            run,
            rule: judgement.rule,
            reason,
            retry_at: facts.tripped,
        })
    }

    /// Writes down a proposal with the one event that follows it at once. Returns that event.
    fn propose(
        &self,
        draft: Draft,
        judged: Option<Made>,
        after: impl FnOnce(EventId) -> Result<(Body, Option<Ciphertext>), RecordError>,
        blocks: bool,
    ) -> Result<(EventId, Durable), RecordError> {
        let decision = draft.traced.decision;
        let proposed = Event {
            at: draft.at,
            body: Body::Proposed {
                decision,
                proposal: draft.proposal,
            },
            id: draft.event,
            prev: None,
            v: 1,
        };
        let linked = self.linked(decision, draft.event, draft.later);
        let last = linked.last().map_or(draft.event, |event| event.id);
        let at = self.engine.next_time();
        let id = self.engine.event_id(at);
        let (body, sealed) = after(id)?;
        let after = Event {
            at,
            body,
            id,
            prev: Some(last),
            v: 1,
        };
        let (judged, beside) = judged.map(Made::parts).unzip();
        let events: Vec<&Event> = draft
            .opening
            .iter()
            .chain(&judged)
            .chain([&proposed])
            .chain(&linked)
            .chain([&after])
            .collect();
        let payloads = beside.flatten().into_iter().chain(draft.payload);
        let payloads = payloads.chain(sealed).collect();
        Ok((id, self.write(batch(&events, payloads)?, blocks)?))
    }

    /// Begins a decision that was approved: the intent, by which the approval is used up. Causes
    /// that the claiming call has of its own are added, and so are the records as they are now:
    /// nothing was read of them when it was proposed, or they may have changed while it waited.
    pub(super) fn start(
        self: &Arc<Self>,
        claim: Claim,
        (causes, touches): (Vec<Cause>, Option<Touches>),
        judged: Option<Made>,
        blocks: bool,
    ) -> Result<Open, RecordError> {
        let decision = claim.decision();
        let (last, live, traced, mut effect, mut known, mut more) = {
            let book = self.book();
            let waiting = book.waiting.get(&decision);
            let waiting = waiting.ok_or_else(|| RecordError::Unfit {
                reason: "its approval is void".to_owned(),
            })?;
            (
                waiting.last,
                Arc::clone(&waiting.live),
                Arc::clone(&waiting.traced),
                waiting.effect.clone(),
                waiting.known.clone(),
                waiting.more.clone(),
            )
        };
        let flight = Flight::enter(self, &traced)?;
        merge(&mut more, causes);
        more.retain(|cause| !known.contains(cause));
        let linked = self.linked(decision, last, more.clone());
        let last = linked.last().map_or(last, |event| event.id);
        if let (Some(effect), Some(touches)) = (&mut effect, &touches) {
            effect.reads.clone_from(&touches.reads);
            effect.writes.clone_from(&touches.writes);
            let known = known.iter().chain(&more);
            self.replays.diverge_late(&traced, (touches, effect), known);
        }
        let at = self.engine.next_time();
        let id = self.engine.event_id(at);
        let image = touches
            .as_ref()
            .and_then(|touches| self.image(&touches.before));
        let kept: Vec<_> = image
            .map(|text| (Field::Before, Media::Json, text.into()))
            .into_iter()
            .collect();
        let envelope = live.envelope();
        let (sealed, image) = self.seal(&envelope, id, &kept, None)?;
        let started = Event {
            at,
            body: Body::Started {
                decision,
                effects: effect.iter().cloned().collect(),
                sealed,
            },
            id,
            prev: Some(last),
            v: 1,
        };
        let (judged, beside) = judged.map(Made::parts).unzip();
        let events: Vec<&Event> = judged.iter().chain(&linked).chain([&started]).collect();
        let payloads = beside.flatten().into_iter().chain(image).collect();
        let written = self.write(batch(&events, payloads)?, blocks)?;
        // From here on the approval is used up, whatever becomes of the call.
        claim.used();
        self.health.opened();
        merge(&mut known, more);
        let view = self.engine.writes.begin(decision, effect.as_ref());
        Ok(Open {
            inner: Arc::clone(self),
            traced,
            live,
            begun: started.id,
            effect,
            durable: Some(written),
            prompt: Prompt::Traced(Vec::new()),
            known,
            repaired: None,
            continues: Continues::default(),
            touches: touches.map(Box::new),
            view,
            blocks,
            pass: None,
            heard: None,
            flight,
        })
    }
}

/// The digest of exactly this call: who calls what, with which arguments, in which run.
pub(super) fn exact(run: RunId, agent: &str, what: &What<'_>) -> Digest {
    match what {
        What::ToolCall {
            server,
            tool,
            arguments,
            ..
        } => exact_call(run, agent, (server, tool), arguments),
        What::Message { to, text } => exact_call(run, agent, ("a2a", to), text),
        What::Inference { model, .. } => exact_call(run, agent, ("llm", model), ""),
    }
}

/// The digest of exactly this call of a tool.
pub(super) fn exact_call(
    run: RunId,
    agent: &str,
    (server, tool): (&str, &str),
    arguments: &str,
) -> Digest {
    let parts = serde_json::json!({
        "agent": agent,
        "arguments": arguments_text(arguments),
        "run": run.to_string(),
        "server": server,
        "tool": tool,
    });
    let bytes = canonical::to_vec(&parts).unwrap_or_else(|_| parts.to_string().into_bytes());
    ledger::digest::sha256(&bytes)
}

/// Arguments in their canonical form, or as they came where that could take two for one: where
/// they are no JSON, name something twice, or have more digits than a double holds.
pub(crate) fn arguments_text(arguments: &str) -> String {
    let trimmed = arguments.trim();
    if trimmed.is_empty() || trimmed == "null" {
        return "{}".to_owned();
    }
    if has_long_number(trimmed) {
        return trimmed.to_owned();
    }
    let canonical = canonical::from_json(trimmed.as_bytes()).ok();
    canonical
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_else(|| trimmed.to_owned())
}

/// Whether a number has more digits than a double is sure to tell apart, or a large exponent.
pub(super) fn has_long_number(json: &str) -> bool {
    let (mut in_text, mut escaped) = (false, false);
    let (mut digits, mut exponent) = (0_u32, false);
    for byte in json.bytes() {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'0'..=b'9' => {
                digits += 1;
                if digits > 15 || exponent && digits > 2 {
                    return true;
                }
            }
            b'.' | b'+' | b'-' => {}
            b'e' | b'E' if digits > 0 => (digits, exponent) = (0, true),
            _ => (digits, exponent) = (0, false),
        }
    }
    false
}

/// Why a rule refuses a call, in words that the caller can act upon.
fn reason(judgement: &Judgement, facts: &Facts, what: &What<'_>, now: Timestamp) -> String {
    let name = match what {
        What::ToolCall { server, tool, .. } => format!("`{tool}` of `{server}`"),
        What::Message { to, .. } => format!("`{to}`"),
        What::Inference { model, .. } => format!("`{model}`"),
    };
    match (judgement.rule, facts.tripped, facts.repeated) {
        (Rule::Breaker, Some(at), _) => {
            let seconds = (at.0.saturating_sub(now.0) + 999_999) / 1_000_000;
            format!(
                "{name} failed again and again, so it is left alone; try again in {seconds} s, or \
                 do without it"
            )
        }
        (Rule::Loop, _, Some(times)) => format!(
            "{name} was called {times} times in a row with the same arguments; that leads no \
             further: do something else, or say that you are stuck"
        ),
        _ => format!("{name} is refused by the rule `{}`", judgement.rule.name()),
    }
}

fn later(now: Timestamp, by: std::time::Duration) -> Timestamp {
    let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_add(micros))
}

const fn enforced_name(enforced: Verdict) -> &'static str {
    match enforced {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Hold => "hold",
        Verdict::Degrade => "degrade",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c42_arguments_that_differ_never_look_the_same() {
        let same = [
            (
                r#"{"a":1,"b":[true,null]}"#,
                r#"{ "b": [true, null], "a": 1 }"#,
            ),
            ("", "{}"),
            ("null", " {} "),
            (
                r#"{"a":"12345678901234567890"}"#,
                r#"{"a": "12345678901234567890"}"#,
            ),
        ];
        for (one, other) in same {
            assert_eq!(arguments_text(one), arguments_text(other), "{one}");
        }
        let different = [
            (r#"{"a":1}"#, r#"{"a":"1"}"#),
            (r#"{"a":9007199254740993}"#, r#"{"a":9007199254740992}"#),
            (r#"{"a":0.10000000000000001}"#, r#"{"a":0.1}"#),
            (r#"{"a":1e-400}"#, r#"{"a":1e-500}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":"x\""}"#, r#"{"a":"x"}"#),
        ];
        for (one, other) in different {
            assert_ne!(arguments_text(one), arguments_text(other), "{one}");
        }
    }
}
