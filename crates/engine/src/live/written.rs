//! When what was written down is durable, and who waits for it.

use std::sync::Arc;

use super::append::{Durable, RecordError};
use super::open::Open;
use super::{Durability, Inner};

/// An outcome that is written down, and durable soon.
#[derive(Debug)]
pub struct Written {
    pub(super) inner: Arc<Inner>,
    pub(super) durable: Durable,
    pub(super) blocks: bool,
}

impl Written {
    /// Waits until the outcome is durable; in lagged mode, only while too much waits already.
    ///
    /// # Errors
    /// [`RecordError::Outage`] if it is not, and policy says that such calls then stop;
    /// [`RecordError::Unfit`].
    pub async fn durable(self) -> Result<(), RecordError> {
        let health = &self.inner.health;
        if let Durability::Lagged {
            entries_max,
            age_max,
        } = self.inner.options.durability
            && health.outage().is_none()
            && health.waiting() <= entries_max
            && health.age(self.inner.engine.clock.wall()) <= age_max
        {
            return Ok(());
        }
        durably(self.durable, self.blocks, &self.inner).await
    }
}

pub(super) async fn durably(
    durable: Durable,
    blocks: bool,
    inner: &Inner,
) -> Result<(), RecordError> {
    inner.appender.hurry();
    match durable.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(RecordError::Outage { spooled: true, .. })) if !blocks => Ok(()),
        Ok(Err(error)) => {
            inner.health.refused();
            Err(error)
        }
        Err(_) => Err(RecordError::Outage {
            reason: "recording has stopped".to_owned(),
            spooled: false,
        }),
    }
}

/// The same of what may have been waited for before.
pub(super) async fn once(
    durable: &mut Option<Durable>,
    blocks: bool,
    inner: &Inner,
) -> Result<(), RecordError> {
    match durable.take() {
        Some(durable) => durably(durable, blocks, inner).await,
        None => Ok(()),
    }
}

impl Open {
    /// Waits until the intent is durable. Whoever is about to change the world waits for this.
    ///
    /// # Errors
    /// [`RecordError::Outage`] if it is not, and policy says that such calls then stop;
    /// [`RecordError::Unfit`].
    pub async fn durable(&mut self) -> Result<(), RecordError> {
        once(&mut self.durable, self.blocks, &self.inner).await
    }

    /// Waits until the intent is in the log, also where such calls may go on without it while the
    /// store is down: what is not there then was not made.
    ///
    /// # Errors
    /// As [`durable`](Self::durable).
    pub async fn in_the_log(&mut self) -> Result<(), RecordError> {
        once(&mut self.durable, true, &self.inner).await
    }
}
