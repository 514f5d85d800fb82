//! Which agents went back, and what each finds again, as far as this process keeps it.
//!
//! Nothing is kept here that the record does not say; while nobody went back it costs a look at one
//! flag. What is not kept, because more agents went back than there is room for, or because what
//! the record says could not be read at the start, is looked up in the record when the agent calls:
//! a call that is not found again would be made twice. Where it cannot be looked up, the call is
//! refused.

use std::collections::{BTreeSet, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use model::{Cause, DecisionId, Effect, EffectClass, Evidence, Resource, RunId};

use super::Inner;
use super::append::RecordError;
use super::call::{Call, Touches};
use super::loaded::Loaded;
use super::place::Place;
use super::replay::{CAUGHT_UP_WITHIN, outage, to};
use super::trace::Traced;
use crate::replay::{FORK, Replay, To};
use crate::{Class, EngineError};

/// Agents that are taken up after a start; of more, those that went back last.
const TAKEN_UP_MAX: usize = 1_024;

/// Agents that are known not to have gone back, where the record had to be asked.
const NOBODY_MAX: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// Whose calls.
pub(super) type Whose = (RunId, String);

/// Who went back, and what they find again.
#[derive(Debug)]
pub(super) struct Replays {
    loaded: Loaded,
    known: Mutex<Known>,
}

#[derive(Debug)]
pub(super) struct Known {
    /// The least used are forgotten first.
    pub(super) by: LruCache<Whose, Replay>,
    /// Runs that go on from a restore in another one.
    follows: LruCache<Whose, Whose>,
    /// Effects that a call is being answered with.
    pub(super) taken: HashSet<DecisionId>,
    /// Whether the record knows of more who went back.
    forgot: bool,
    /// Of these it was asked, and they have not.
    nobody: LruCache<Whose, ()>,
}

impl Replays {
    /// Nobody is known to have gone back; `anything` says that somebody may have. At most `most`
    /// are kept.
    pub(super) fn new(anything: bool, most: NonZeroUsize) -> Self {
        Self {
            loaded: Loaded::new(anything),
            known: Mutex::new(Known {
                by: LruCache::new(most),
                follows: LruCache::new(most),
                taken: HashSet::new(),
                forgot: false,
                nobody: LruCache::new(NOBODY_MAX),
            }),
        }
    }

    pub(super) fn any(&self) -> bool {
        self.loaded.any()
    }

    /// Takes in who went back. What they found again before counts no more.
    pub(super) fn learn(&self, replay: Replay) {
        let mut known = self.known();
        known.learn(replay);
        self.loaded.set_any(true);
    }

    /// Takes note that a run goes on from a restore, because its caller names that as a cause.
    pub(super) async fn follow(&self, causes: &[DecisionId], run: RunId, agent: &str) {
        if causes.is_empty() || !self.any() {
            return;
        }
        self.loaded.wait().await;
        let mut known = self.known();
        let gone_back = known.by.iter().find(|((_, whose), replay)| {
            whose == agent && replay.run != run && causes.contains(&replay.restore)
        });
        let whose = gone_back.map(|(whose, _)| whose.clone());
        if let Some(whose) = whose {
            known.follow((run, agent.to_owned()), whose);
        }
    }

    /// A call that changes the world goes out, or waits for a person to let it.
    pub(super) fn diverge(&self, run: RunId, agent: &str, call: &Call<'_>) {
        let Some(to) = to(&call.what) else { return };
        let writes = call.touches.iter().flat_map(|touches| &touches.writes);
        self.changed(run, agent, &to, writes);
    }

    /// The same of a call that waited and goes out now, once it is known what it writes. One that
    /// is made anew on purpose changes nothing of what is found again.
    pub(super) fn diverge_late<'a>(
        &self,
        traced: &Traced,
        (touches, effect): (&Touches, &Effect),
        known: impl IntoIterator<Item = &'a Cause>,
    ) {
        let forks =
            |cause: &Cause| matches!(&cause.evidence, Evidence::Explicit { by } if by == FORK);
        if effect.class != EffectClass::Read && !known.into_iter().any(forks) {
            let to = To::Tool(touches.tool.clone());
            self.changed(traced.run, &traced.agent, &to, &touches.writes);
        }
    }

    fn changed<'a>(
        &self,
        run: RunId,
        agent: &str,
        to: &To,
        writes: impl IntoIterator<Item = &'a Resource>,
    ) {
        if !self.any() {
            return;
        }
        let writes: BTreeSet<String> = writes.into_iter().map(|r| r.uri.clone()).collect();
        let mut known = self.known();
        let whose = known.whose(run, agent);
        // Of who is not kept the record says it.
        if let Some(replay) = known.by.get_mut(&whose) {
            replay.diverge(to, &writes);
        }
    }

    /// Whose restores the record has to be asked for before a call of an agent, if it has to be.
    fn asks(&self, me: &Whose, causes: &[Cause]) -> Option<Whose> {
        let mut known = self.known();
        if !known.forgot && self.loaded.is_whole() {
            return None;
        }
        let whose = known.whose(me.0, &me.1);
        let settled = known.by.contains(&whose) || known.nobody.contains(me) && causes.is_empty();
        (!settled).then_some(whose)
    }

    /// Takes in what the record said about an agent.
    fn recall(&self, me: Whose, replay: Option<Replay>) {
        let mut known = self.known();
        let Some(replay) = replay else {
            known.nobody.put(me, ());
            return;
        };
        let whose = (replay.run, replay.agent.clone());
        if whose != me {
            known.follow(me, whose.clone());
        }
        // Who restored meanwhile, or asked at the same time, knows as much or more.
        if !known.by.contains(&whose) {
            known.put(whose, replay);
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        // Whole between any two calls.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Who went back, of whom a run goes on with the work; else the agent in it.
    pub(super) fn whose(&mut self, run: RunId, agent: &str) -> Whose {
        let whose = (run, agent.to_owned());
        self.follows.get(&whose).cloned().unwrap_or(whose)
    }

    fn learn(&mut self, replay: Replay) {
        let whose = (replay.run, replay.agent.clone());
        for run in &replay.followed_by {
            self.follow((*run, replay.agent.clone()), whose.clone());
        }
        self.nobody.pop(&whose);
        self.put(whose, replay);
    }

    fn put(&mut self, whose: Whose, replay: Replay) {
        if let Some((old, _)) = self.by.push(whose.clone(), replay)
            && old != whose
        {
            self.forgot = true;
            metrics::counter!("rescind_replays_forgotten_total").increment(1);
        }
    }

    fn follow(&mut self, follower: Whose, whose: Whose) {
        if let Some((old, _)) = self.follows.push(follower.clone(), whose)
            && old != follower
        {
            self.forgot = true;
        }
    }
}

impl Inner {
    /// Learns from the record who went back.
    pub(super) async fn load_replays(&self) {
        let read = || self.try_load_replays();
        self.replays.loaded.learn(&self.stop, read).await;
        let known = self.replays.known();
        let any = known.forgot || !known.by.is_empty() || !self.replays.loaded.is_whole();
        self.replays.loaded.set_any(any);
    }

    async fn try_load_replays(&self) -> Result<(), EngineError> {
        let durable = self.engine.store().status().await?.durable;
        self.engine.store().wait_indexed(durable).await?;
        let most = TAKEN_UP_MAX.min(self.replays.known().by.cap().get());
        let mut restores = self.engine.restores().await?;
        let passed_over = restores.len().saturating_sub(most);
        let mut forgot = passed_over > 0;
        for (run, agent) in restores.drain(passed_over..) {
            match self.engine.replay_of(run, &agent).await {
                Ok(Some(replay)) => self.replays.learn(replay),
                Ok(None) => {}
                Err(error) if error.class().0 == Class::Unavailable => return Err(error),
                // Damage to one hides none of the others. What it did since nobody can tell.
                Err(_) => forgot = true,
            }
        }
        self.replays.known().forgot |= forgot;
        Ok(())
    }

    /// Looks an agent up in the record that may have gone back and is not kept.
    pub(super) async fn recollect(&self, place: &Place) -> Result<(), RecordError> {
        self.replays.loaded.wait().await;
        let me = (place.run.id, place.agent.clone());
        let Some(whose) = self.replays.asks(&me, &place.causes) else {
            return Ok(());
        };
        self.appender.hurry();
        self.engine.caught_up(CAUGHT_UP_WITHIN).await;
        let named: Vec<DecisionId> = place.causes.iter().map(|cause| cause.decision).collect();
        let found = self.engine.found_again(whose.0, &whose.1, &named).await;
        self.replays.recall(me, found.map_err(outage)?);
        Ok(())
    }
}
