//! Answers that come whole.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use model::{FailureClass, Field, Media, Outcome};
use tokio::time::timeout_at;
use wire::llm::{self, Answer, Completeness};

use super::attempt::{Failed, Tried, Tries};
use super::{kept, outage};
use crate::{headers, reply};
use engine::live::Ended;

impl Tries {
    /// Passes on an answer that comes whole.
    pub(super) async fn plain(&mut self, response: Response<Incoming>, host: &str) -> Tried {
        let (parts, body) = response.into_parts();
        let max = self.asking.inner.options.limits.body_bytes_max;
        let reading = timeout_at(self.until, Limited::new(body, max).collect());
        let read = tokio::select! {
            () = self.asking.answer.closed() => {
                self.gone(Ended::with(Outcome::Cancelled)).await;
                return Tried::Done;
            }
            read = reading => read,
        };
        let body = match read {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let why = format!("the answer has more than {max} bytes (`limits.body_bytes_max`)");
                let ended = kept::unanswered(FailureClass::TooLarge, &why);
                let status = StatusCode::BAD_GATEWAY;
                let api = self.asking.api;
                let mut back =
                    reply::error(api, status, "answer_too_large", &why, reply::Again::Never);
                self.end(ended, &mut back).await;
                self.answer(back);
                return Tried::Done;
            }
            Ok(Err(error)) => {
                return Tried::Failed(Failed::Unanswered {
                    class: FailureClass::Unavailable,
                    why: format!("the answer of `{host}` broke off: {error}"),
                    sent: true,
                });
            }
            Err(_) => {
                return Tried::Failed(Failed::Unanswered {
                    class: FailureClass::Timeout,
                    why: format!("the answer of `{host}` did not end in time"),
                    sent: true,
                });
            }
        };
        let mut back = Response::new(reply::whole(body.clone()));
        *back.status_mut() = parts.status;
        *back.headers_mut() = headers::back(&parts.headers);
        let Some(open) = self.open.take() else {
            self.answer(back);
            return Tried::Done;
        };
        let (ended, calls) = self.understand(&body);
        let (decision, run) = (open.decision().to_string(), open.run().to_string());
        reply::name(&mut back, &decision, &run);
        match open.finish(ended).await {
            // A client can act on a call: its record must outlive this machine's power first.
            Ok(written) if calls => {
                if let Err(error) = written.durable().await {
                    back = outage(self.asking.api, &error.to_string());
                    reply::name(&mut back, &decision, &run);
                }
            }
            Ok(_) => {}
            Err(error) if calls => {
                back = outage(self.asking.api, &error.to_string());
                reply::name(&mut back, &decision, &run);
            }
            // The answer alone does nothing; the gap that follows counts it.
            Err(_) => {}
        }
        self.answer(back);
        Tried::Done
    }

    /// What an answer says, and whether it asks for calls.
    fn understand(&self, body: &Bytes) -> (Ended, bool) {
        let text = std::str::from_utf8(body).ok();
        let answer: Option<Answer> = self
            .asking
            .target
            .api
            .and_then(|api| llm::read_answer(api, body).ok());
        let Some(answer) = answer else {
            // An endpoint that nobody here reads: it answered, and that is all that is known.
            let mut ended = Ended::with(match self.asking.target.api {
                None => Outcome::Succeeded,
                Some(_) => Outcome::Failed {
                    class: FailureClass::Server,
                },
            });
            let kept = text.map_or_else(|| format!("[{} bytes]", body.len()), str::to_owned);
            ended.kept.push((Field::Result, Media::Text, kept));
            return (ended, false);
        };
        let calls = answer.asked.iter().any(|call| !call.hosted);
        let outcome = match answer.complete {
            // A body that came whole is the answer, even if it says less than a wire promises.
            Completeness::Truncated => Outcome::Succeeded,
            _ => kept::outcome(&self.asking.target, &answer),
        };
        (kept::ended(answer, text, outcome), calls)
    }

    /// Hands the answer to the caller, who may be gone.
    pub(super) fn answer(&mut self, response: Response<crate::Body>) {
        let (unused, _) = tokio::sync::oneshot::channel();
        let answer = std::mem::replace(&mut self.asking.answer, unused);
        let _ = answer.send(response);
    }
}
