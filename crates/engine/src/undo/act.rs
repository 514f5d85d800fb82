//! Carries out one step, and says what became of it.
//!
//! A step may have run before: the process died between its intent and its outcome, or no answer
//! came. Then it is in *doubt*, and nothing is done before the doubt is settled: the record is asked
//! for the call, records are read again, calls with a key are sent again, what can be checked is
//! checked. What nothing can tell is parked for a person, never tried on the chance.

use std::sync::Arc;
use std::time::Duration;

use model::DecisionId;
use recover::catalogue::Image;
use recover::plan::{Act, Check, Fields, HttpCall, PutBack, RecordRef, ToolCall};
use serde_json::Value;

use super::came::Came;
use super::fields::{Filling, fill, filled, is_keyed, matches, strangers};
use super::hands::{Cause, Hands, HandsError};
use super::{CarryOptions, Why};

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Did {
    /// It is done; or it was, before it was tried.
    Done { already: bool },
    /// A probe's answer: whether what is to be undone happened at all.
    Happened(bool),
    /// Who was told.
    Told(Vec<String>),
    /// It is not done, and can be tried again.
    Failed { why: Why, reason: String },
    /// Nobody knows whether it is done.
    Parked { reason: String },
}

/// One step on its way.
pub(super) struct Doing {
    pub(super) hands: Arc<dyn Hands>,
    pub(super) options: CarryOptions,
    pub(super) cause: Cause,
    /// Whether it may have run before.
    pub(super) doubt: bool,
    /// What the record says of the calls that were made for it then.
    pub(super) came: Option<Came>,
    /// Revoked decisions that agents may not have forgotten.
    pub(super) unforgotten: Vec<DecisionId>,
}

/// What a try says.
enum Tried {
    Done,
    /// It is not done.
    Not {
        why: Why,
        reason: String,
        /// Whether another try may go through.
        again: bool,
    },
    /// It may be done.
    Doubt(String),
}

impl From<HandsError> for Tried {
    fn from(error: HandsError) -> Self {
        let reason = error.to_string();
        match error {
            HandsError::NotSent { passes, .. } => Self::Not {
                why: Why::Unreachable,
                reason,
                again: passes,
            },
            HandsError::Tool { .. } => Self::Not {
                why: Why::Refused,
                reason,
                again: false,
            },
            HandsError::Unknown { .. } => Self::Doubt(reason),
        }
    }
}

impl Doing {
    /// Carries the step out.
    pub(super) async fn perform(mut self, act: &Act) -> Did {
        match act {
            Act::PutBack(put) => self.put_back(put).await,
            Act::Delete {
                resource,
                call,
                expected,
            } => self.delete(resource, call, expected).await,
            Act::Inverse { call, check, .. } => self.inverse(call, check.as_ref()).await,
            Act::Again { call, before } => self.again(call, before).await,
            Act::Http(call) => self.http(call).await,
            Act::Blocked { why } => Did::Failed {
                why: Why::Blocked,
                reason: why.clone(),
            },
            Act::Probe {
                call,
                happened,
                args,
                before,
            } => {
                let check = Check {
                    call: call.clone(),
                    happened: happened.clone(),
                    args: args.clone(),
                    before: before.clone(),
                };
                self.probe(&check).await
            }
            Act::Notify { who, what } => self.tell(who, what).await,
            Act::Repair { .. } => self.forget().await,
            // These are the record's own: their events are what they do.
            Act::Hold { .. } | Act::Restore { .. } | Act::Resume { .. } => {
                Did::Done { already: false }
            }
        }
    }

    /// Reads first, so it needs no key: what is there already is not done again.
    async fn put_back(&mut self, put: &PutBack) -> Did {
        let mut last = None;
        for nth in 0..=self.options.tries {
            self.pause(nth).await;
            let image = match self.read(&put.resource).await {
                Ok(image) => image,
                Err(tried) => {
                    last = Some(tried);
                    continue;
                }
            };
            let now = image.record.as_ref();
            if matches(now, &put.fields) {
                return Did::Done {
                    already: last.is_none() && !self.doubt,
                };
            }
            let changed = strangers(now, &put.expected, &put.fields);
            if !changed.is_empty() {
                return conflict(&put.resource, &changed);
            }
            // After the last try it is only looked whether that one went through.
            if nth == self.options.tries {
                break;
            }
            let call = filled(
                &put.restore,
                &Filling {
                    key: &self.cause.key,
                    version: image.version.as_ref(),
                    fields: Some(&put.fields),
                },
            );
            match self.call(&call).await {
                Ok(_) => return Did::Done { already: false },
                Err(error) => last = Some(error.into()),
            }
        }
        given_up(last)
    }

    async fn delete(&mut self, resource: &RecordRef, call: &ToolCall, expected: &Fields) -> Did {
        let mut last = None;
        for nth in 0..=self.options.tries {
            self.pause(nth).await;
            let image = match self.read(resource).await {
                Ok(image) => image,
                Err(tried) => {
                    last = Some(tried);
                    continue;
                }
            };
            let Some(now) = &image.record else {
                return Did::Done {
                    already: last.is_none() && !self.doubt,
                };
            };
            let changed = strangers(Some(now), expected, &Fields::new());
            if !changed.is_empty() {
                return conflict(resource, &changed);
            }
            if nth == self.options.tries {
                break;
            }
            let call = filled(
                call,
                &Filling {
                    key: &self.cause.key,
                    version: image.version.as_ref(),
                    fields: None,
                },
            );
            match self.call(&call).await {
                Ok(_) => return Did::Done { already: false },
                Err(error) => last = Some(error.into()),
            }
        }
        given_up(last)
    }

    async fn inverse(&mut self, call: &ToolCall, check: Option<&Check>) -> Did {
        let keyed = is_keyed(&call.arguments) || self.hands.is_keyed(call);
        let call = self.keyed(call);
        if let Some(did) = self.recalled(keyed || check.is_some()) {
            return did;
        }
        let mut last = None;
        for nth in 0..self.options.tries {
            self.pause(nth).await;
            if self.doubt && !keyed {
                let Some(check) = check else {
                    return parked(last);
                };
                match self.happened(check).await {
                    Ok(true) => return Did::Done { already: false },
                    Ok(false) => self.doubt = false,
                    Err(tried) => {
                        last = Some(tried);
                        continue;
                    }
                }
            }
            match self.tried(self.call(&call).await) {
                Tried::Done => return Did::Done { already: false },
                // What a tool refused it did not do; to send it again is safe only where doing it
                // twice would be noticed.
                Tried::Not { why, reason, again } if !(again || keyed || check.is_some()) => {
                    return Did::Failed { why, reason };
                }
                tried => last = Some(tried),
            }
        }
        self.given_up_in_doubt(last)
    }

    /// Runs a kept call again. Records that are no longer as before it tell that it ran, where
    /// nothing else does.
    async fn again(&mut self, call: &ToolCall, before: &[(RecordRef, Fields)]) -> Did {
        let keyed = is_keyed(&call.arguments) || self.hands.is_keyed(call);
        let call = self.keyed(call);
        if let Some(did) = self.recalled(keyed) {
            return did;
        }
        let mut last = None;
        for nth in 0..self.options.tries {
            self.pause(nth).await;
            if !(self.doubt && keyed) {
                if self.doubt && before.is_empty() {
                    return parked(last);
                }
                let mut changed = None;
                let mut unread = None;
                for (record, fields) in before {
                    match self.read(record).await {
                        Ok(now) if matches(now.record.as_ref(), fields) => {}
                        Ok(now) => {
                            let now = now.record.as_ref();
                            let strange = strangers(now, fields, &Fields::new());
                            changed = Some(conflict(record, &strange));
                        }
                        Err(tried) => unread = Some(tried),
                    }
                }
                match (unread, changed) {
                    (Some(tried), _) => {
                        last = Some(tried);
                        continue;
                    }
                    (None, Some(_)) if self.doubt => return Did::Done { already: false },
                    (None, Some(conflict)) => return conflict,
                    (None, None) => self.doubt = false,
                }
            }
            match self.tried(self.call(&call).await) {
                Tried::Done => return Did::Done { already: false },
                Tried::Not {
                    why,
                    reason,
                    again: false,
                } => return Did::Failed { why, reason },
                tried => last = Some(tried),
            }
        }
        self.given_up_in_doubt(last)
    }

    async fn http(&mut self, call: &HttpCall) -> Did {
        // RFC 9110, 9.2.2: doing these twice is the same as once.
        let idempotent = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]
            .iter()
            .any(|method| call.method.eq_ignore_ascii_case(method));
        let safe = idempotent || call.body.as_ref().is_some_and(is_keyed);
        let body = call.body.as_ref().map(|body| {
            let with = Filling {
                key: &self.cause.key,
                ..Filling::default()
            };
            fill(body, &with)
        });
        let call = HttpCall {
            body,
            ..call.clone()
        };
        if let Some(did) = self.recalled(safe) {
            return did;
        }
        let mut last = None;
        for nth in 0..self.options.tries {
            self.pause(nth).await;
            if self.doubt && !safe {
                return parked(last);
            }
            let sent = within(self.options.call_max, self.hands.http(&call, &self.cause)).await;
            match self.tried(sent) {
                Tried::Done => return Did::Done { already: false },
                Tried::Not { why, reason, again } if !(again || safe) => {
                    return Did::Failed { why, reason };
                }
                tried => last = Some(tried),
            }
        }
        self.given_up_in_doubt(last)
    }

    async fn probe(&mut self, check: &Check) -> Did {
        let mut last = None;
        for nth in 0..self.options.tries {
            self.pause(nth).await;
            match self.happened(check).await {
                Ok(happened) => return Did::Happened(happened),
                Err(tried) => last = Some(tried),
            }
        }
        given_up(last)
    }

    async fn tell(&mut self, who: &[String], what: &str) -> Did {
        let mut last = None;
        for nth in 0..self.options.tries {
            self.pause(nth).await;
            let telling = self.hands.tell(who, what, &self.cause);
            match within(self.options.call_max, telling).await {
                Ok(told) => return Did::Told(told),
                // Being told twice harms less than not being told.
                Err(error) => last = Some(error.into()),
            }
        }
        given_up(last)
    }

    /// Tells again of what is revoked, where that failed when it was.
    async fn forget(&mut self) -> Did {
        let mut last = None;
        for nth in 0..self.options.tries {
            self.pause(nth).await;
            if self.unforgotten.is_empty() {
                return Did::Done { already: false };
            }
            match self.hands.forget(&self.unforgotten).await {
                Ok(()) => return Did::Done { already: false },
                Err(error) => last = Some(error.into()),
            }
        }
        given_up(last)
    }

    /// Settles a doubt by what the record says of earlier calls, if it says enough. `safe` is
    /// whether a second run would be noticed.
    fn recalled(&mut self, safe: bool) -> Option<Did> {
        if !self.doubt {
            return None;
        }
        match self.came.take()? {
            Came::Done => return Some(Did::Done { already: false }),
            Came::NotMade => self.doubt = false,
            Came::Refused(_) if safe => self.doubt = false,
            Came::Refused(call) => {
                return Some(Did::Failed {
                    why: Why::Refused,
                    reason: format!("the tool refused: `rescind show {call}` tells why"),
                });
            }
            Came::Unknown => {}
        }
        None
    }

    async fn happened(&self, check: &Check) -> Result<bool, Tried> {
        let result = match self.call(&check.call).await {
            Ok(result) => result,
            // A tool that finds nothing says so with an error; the condition sees null.
            Err(HandsError::Tool { .. }) => Value::Null,
            Err(error) => return Err(error.into()),
        };
        let holds = self.options.condition;
        holds(&check.happened, &result, &check.args, &check.before).map_err(|reason| Tried::Not {
            why: Why::Undecidable,
            reason,
            again: false,
        })
    }

    fn keyed(&self, call: &ToolCall) -> ToolCall {
        let with = Filling {
            key: &self.cause.key,
            ..Filling::default()
        };
        filled(call, &with)
    }

    /// Takes note of what a call says of its effect.
    fn tried(&mut self, answer: Result<Value, HandsError>) -> Tried {
        match answer {
            Ok(_) => Tried::Done,
            Err(error) => {
                let tried = Tried::from(error);
                self.doubt |= matches!(tried, Tried::Doubt(_));
                tried
            }
        }
    }

    fn given_up_in_doubt(&self, last: Option<Tried>) -> Did {
        if self.doubt {
            parked(last)
        } else {
            given_up(last)
        }
    }

    async fn call(&self, call: &ToolCall) -> Result<Value, HandsError> {
        within(self.options.call_max, self.hands.call(call, &self.cause)).await
    }

    /// Reads a record as it is now.
    async fn read(&self, record: &RecordRef) -> Result<Image, Tried> {
        let answer = match self.call(&record.read).await {
            Ok(answer) => record.image(Ok(&answer)),
            Err(HandsError::Tool { reason }) => record.image(Err(&reason)),
            Err(error) => return Err(error.into()),
        };
        answer.map_err(|reason| Tried::Not {
            why: Why::Unread,
            reason,
            again: true,
        })
    }

    async fn pause(&self, nth: u32) {
        if nth > 0 {
            tokio::time::sleep(self.options.pause(nth)).await;
        }
    }
}

/// Nothing is waited for without a limit.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, HandsError>>,
) -> Result<T, HandsError> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        let reason = format!("no answer within {} s", limit.as_secs());
        Err(HandsError::Unknown { reason })
    })
}

fn conflict(record: &RecordRef, fields: &[&str]) -> Did {
    let named: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
    Did::Failed {
        why: Why::Conflict,
        reason: format!(
            "`{}` was changed since the plan was made: {}",
            record.uri,
            named.join(", ")
        ),
    }
}

fn given_up(last: Option<Tried>) -> Did {
    match last {
        Some(Tried::Not { why, reason, .. }) => Did::Failed { why, reason },
        Some(Tried::Doubt(reason)) => Did::Failed {
            why: Why::Unreachable,
            reason,
        },
        Some(Tried::Done) | None => Did::Failed {
            why: Why::Unreachable,
            reason: "it was not tried".to_owned(),
        },
    }
}

fn parked(last: Option<Tried>) -> Did {
    let reason = match last {
        Some(Tried::Doubt(reason) | Tried::Not { reason, .. }) => reason,
        Some(Tried::Done) | None => {
            "the process ended between the call and its outcome, and nothing can tell whether it \
             was carried out"
                .to_owned()
        }
    };
    Did::Parked { reason }
}
