//! Models that rest: which upstreams a call passes over, and what it hears when all of them rest.
//!
//! A model of an upstream that failed again and again is left alone for a while, as long as another
//! upstream can be asked. Where there is none, the caller is told when to come again; in observing
//! mode it is asked all the same.

use engine::live::{Heard, Open, Recorder, Target};
use http::StatusCode;
use model::{FailureClass, Outcome, Timestamp};

use crate::reply;
use crate::upstream::Upstream;

use super::attempt::{Failed, Tries};
use super::kept;

/// The upstreams of one call, in the order in which they are asked.
pub(super) struct Places {
    targets: Vec<Target>,
    /// Those that do not rest.
    order: Vec<usize>,
    turn: usize,
    enforces: bool,
}

impl Places {
    /// Finds those that do not rest.
    ///
    /// # Errors
    /// When to come again, if all of them rest.
    pub(super) fn of(
        recorder: &Recorder,
        upstreams: &[Upstream],
        model: &str,
        watched: bool,
    ) -> Result<Self, Timestamp> {
        let targets: Vec<Target> = upstreams
            .iter()
            .map(|upstream| Target::upstream(upstream.host(), model))
            .collect();
        let (mut order, mut rests) = (Vec::new(), None);
        for (at, target) in targets.iter().enumerate() {
            match recorder.rests(target).filter(|_| watched) {
                None => order.push(at),
                Some(until) => rests = rests.min(Some(until)).or(Some(until)),
            }
        }
        let enforces = recorder.enforces();
        match rests {
            Some(until) if order.is_empty() && enforces => return Err(until),
            Some(_) if order.is_empty() => order = (0..targets.len()).collect(),
            _ => {}
        }
        Ok(Self {
            targets,
            order,
            turn: 0,
            enforces,
        })
    }

    /// Returns how many can be asked.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns the one whose turn it is, and lets the call through to it. One that rests by now is
    /// passed over.
    ///
    /// # Errors
    /// When to come again, if none is left that was not asked.
    pub(super) fn take(
        &mut self,
        recorder: &Recorder,
        open: &mut Option<Open>,
    ) -> Result<Option<usize>, Timestamp> {
        loop {
            let Some(&at) = self.order.get(self.turn) else {
                return Ok(None);
            };
            let Some(call) = open else {
                return Ok(Some(at));
            };
            match recorder.pass(&self.targets[at], Some(call)) {
                Ok(pass) => {
                    call.go_through(pass);
                    return Ok(Some(at));
                }
                Err(_) if self.order.len() == 1 && !self.enforces => return Ok(Some(at)),
                Err(until) => {
                    self.order.remove(self.turn);
                    if self.turn >= self.order.len() {
                        return Err(until);
                    }
                }
            }
        }
    }

    /// Passes the turn on, and returns whose it is.
    pub(super) fn pass_on(&mut self) -> usize {
        self.turn = (self.turn + 1) % self.order.len().max(1);
        self.order.get(self.turn).copied().unwrap_or_default()
    }
}

impl Failed {
    /// What a try says about the model that was asked.
    pub(super) fn heard(&self) -> Heard {
        let class = match self {
            Self::Answered { class, .. } => class.class,
            Self::Unanswered { class, .. } => *class,
            // It is there, and its address is wrong.
            Self::Redirected(_) => return Heard::Nothing,
        };
        Heard::of(&Outcome::Failed { class })
    }
}

impl Tries {
    /// Tells the caller when to come again, because everything that could be asked rests.
    pub(super) async fn all_rest(mut self, until: Timestamp) {
        let now = self.asking.inner.recorder.engine().clock().wall();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let micros = u64::try_from(until.0.saturating_sub(now)).unwrap_or_default();
        let seconds = micros.div_ceil(1_000_000).max(1);
        let why = format!(
            "`{}` failed again and again at every upstream, so it is left alone; try again in \
             {seconds} s",
            self.asking.model
        );
        let mut back = reply::error(
            self.asking.api,
            StatusCode::SERVICE_UNAVAILABLE,
            "upstream_resting",
            &why,
            reply::Again::After(seconds),
        );
        let ended = kept::unanswered(FailureClass::Unavailable, &why);
        self.end(ended, &mut back).await;
        let _ = self.asking.answer.send(back);
    }
}
