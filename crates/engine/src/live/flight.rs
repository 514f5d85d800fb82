//! Calls in flight: whoever holds their agent waits for them, or calls them off.

use std::sync::Arc;

use model::DecisionId;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::append::RecordError;
use super::trace::Traced;

/// A call's place among those in flight. Whoever holds its agent waits for it.
#[derive(Debug)]
pub(super) struct Flight {
    inner: Arc<Inner>,
    decision: DecisionId,
    called_off: CancellationToken,
}

impl Flight {
    pub(super) fn enter(inner: &Arc<Inner>, traced: &Traced) -> Result<Self, RecordError> {
        let (decision, to) = (traced.decision, traced.to.as_deref());
        let called_off = inner.stop.child_token();
        let holds = &inner.engine.holds;
        let entered = holds.enter(decision, &traced.agent, to, &called_off);
        entered.map_err(|(agent, by)| RecordError::Held { agent, by })?;
        let inner = Arc::clone(inner);
        Ok(Self {
            inner,
            decision,
            called_off,
        })
    }

    pub(super) const fn called_off(&self) -> &CancellationToken {
        &self.called_off
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.inner.engine.holds.leave(self.decision);
    }
}
