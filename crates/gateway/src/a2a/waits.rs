//! How a message waits for its agent, and what ends that before an answer does.
//!
//! A part of its own, so that what is waited for can borrow everything else of the exchange.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::Inner;

use super::stop::Way;

/// What a message is waited for with.
pub(super) struct Waits {
    inner: Arc<Inner>,
    /// Cancelled once nobody wants the message any more; none where it is not recorded.
    called_off: Option<CancellationToken>,
    /// The task that it is about, where it names one.
    task: Option<String>,
    /// How the agent is reached, once that is known.
    way: Option<Way>,
    /// Until when an answer is awaited, once the message is called off.
    off: Option<Instant>,
    /// Whether the agent was asked to stop its task, and what it says of that.
    asked_to_stop: bool,
    stopped: Option<oneshot::Receiver<String>>,
}

/// What came of waiting for the agent.
pub(super) enum Waited<T> {
    Came(T),
    Late,
    /// This process stops, and waits no longer.
    Stopping,
    /// A rollback holds who asked, and no answer came since.
    CalledOff,
    /// It does, and the task has ended as this says.
    Stopped(String),
}

impl Waits {
    pub(super) const fn new(
        inner: Arc<Inner>,
        called_off: Option<CancellationToken>,
        task: Option<String>,
    ) -> Self {
        Self {
            inner,
            called_off,
            task,
            way: None,
            off: None,
            asked_to_stop: false,
            stopped: None,
        }
    }

    /// Waits for something of the agent; `gone` says that nobody is told of it. Before it was sent
    /// anything, a message that is called off is over at once.
    pub(super) async fn wait<T>(
        &mut self,
        gone: bool,
        coming: impl Future<Output = T>,
        until: Instant,
    ) -> Waited<T> {
        let stopping = self.inner.recorder.stopping().clone();
        let off = self.called_off.clone();
        tokio::pin!(coming);
        loop {
            let called_off = async {
                match &off {
                    Some(off) => off.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            let is_off = self.is_off();
            let until = self.until(until);
            tokio::select! {
                came = &mut coming => return Waited::Came(came),
                // What nobody is told of may still be heard, as long as the stop has patience.
                () = stopping.cancelled(), if !gone => return Waited::Stopping,
                () = sleep_until(until) => return match is_off {
                    true => Waited::CalledOff,
                    false => Waited::Late,
                },
                () = called_off, if !is_off && !stopping.is_cancelled() => {
                    if self.way.is_none() {
                        return Waited::CalledOff;
                    }
                    self.call_off(None);
                }
                answer = self.heard() => return Waited::Stopped(answer),
            }
        }
    }

    /// The agent is about to be sent the message, in this way.
    pub(super) fn sends(&mut self, way: Way) {
        self.way = Some(way);
    }

    /// How the agent is reached, once that is known.
    pub(super) const fn way(&self) -> Option<&Way> {
        self.way.as_ref()
    }

    /// The task that the message is about, where it names one.
    pub(super) const fn task(&self) -> Option<&String> {
        self.task.as_ref()
    }

    /// What is cancelled once nobody wants the message any more.
    pub(super) const fn called_off(&self) -> Option<&CancellationToken> {
        self.called_off.as_ref()
    }

    /// Whether the message is called off.
    pub(super) const fn is_off(&self) -> bool {
        self.off.is_some()
    }

    /// Until when something is awaited that otherwise was until `until`.
    pub(super) fn until(&self, until: Instant) -> Instant {
        self.off.map_or(until, |off| off.min(until))
    }

    /// Whether the agent was asked to stop the task.
    pub(super) const fn asked_to_stop(&self) -> bool {
        self.asked_to_stop
    }

    /// Nobody wants the message any more: its agent is asked to stop the task, as soon as that has a
    /// name, and what it answers meanwhile is heard. `task` is the name that the agent gave it.
    pub(super) fn call_off(&mut self, task: Option<&String>) {
        let within = Instant::now() + self.inner.options.timeouts.cancelled;
        let within = *self.off.get_or_insert(within);
        let task = task.or(self.task.as_ref());
        let (Some(way), Some(task), false) = (&self.way, task, self.asked_to_stop) else {
            return;
        };
        self.asked_to_stop = true;
        let (tell, told) = oneshot::channel();
        self.stopped = Some(told);
        let stopping = way.clone().stop(task.clone(), within);
        self.inner.recorder.tasks().spawn(async move {
            if let Some(answer) = stopping.await {
                let _ = tell.send(answer);
            }
        });
    }

    /// What the agent says of the task that it was asked to stop.
    pub(super) async fn heard(&mut self) -> String {
        let answer = match &mut self.stopped {
            Some(told) => told.await.ok(),
            None => None,
        };
        self.stopped = None;
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}
