//! Reading the log in place, for whoever looks at every leaf.

use std::sync::Arc;

use ledger::StoreError;

use super::log::{Log, Segment, reading};
use super::segment::{HEAD, Head, Offsets, Window};
use crate::disk;
use crate::error::damaged;

/// Goes through the log leaf by leaf without copying, and holds every record against the offset
/// file of its segment.
#[derive(Debug)]
pub(crate) struct Cursor<'l> {
    log: &'l Log,
    end: u64,
    next: u64,
    offset: u64,
    at: Option<(Arc<Segment>, Option<Vec<u64>>)>,
    window: Window,
}

impl<'l> Cursor<'l> {
    /// Starts at `from` and goes no further than `end`.
    pub(crate) fn new(log: &'l Log, from: u64, end: u64) -> Self {
        let end = end.min(log.durable());
        Self {
            log,
            end,
            next: from,
            offset: 0,
            at: None,
            window: Window::new(0),
        }
    }

    /// Shows the leaf at `seq`, which only grows; none past the end.
    pub(crate) fn show<T>(
        &mut self,
        seq: u64,
        look: impl FnOnce(&Head, &[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        if seq >= self.end {
            return Ok(None);
        }
        let inside = self.at.as_ref().is_some_and(|(segment, _)| {
            seq >= segment.first && seq < segment.first + segment.count()
        });
        if !inside {
            self.enter(seq)?;
        } else if seq != self.next {
            let (segment, _) = self.at.as_ref().expect("it is inside");
            self.offset = segment.offset(seq)?;
            self.window.restart(self.offset);
        }
        self.next = seq;
        let (segment, table) = self.at.as_ref().expect("it was entered");
        let place = usize::try_from(seq - segment.first).expect("fits memory");
        if table
            .as_ref()
            .is_some_and(|table| table.get(place) != Some(&self.offset))
        {
            let path = segment.path.with_extension("off");
            return Err(damaged(&path, format!("offset {place}"), Some(seq)));
        }
        let bytes = self
            .window
            .at(&*segment.file, self.offset)
            .map_err(|e| reading(&segment.path, e))?;
        let Some((head, leaf)) = Head::decode(bytes).filter(|(head, _)| head.seq == seq) else {
            // The next leaf is looked up where the offsets say.
            self.next = u64::MAX;
            return Err(damaged(
                &segment.path,
                format!("byte {}", self.offset),
                Some(seq),
            ));
        };
        self.offset += (HEAD + leaf.len()) as u64;
        self.next = seq + 1;
        Ok(Some(look(&head, leaf)))
    }

    fn enter(&mut self, seq: u64) -> Result<(), StoreError> {
        let segment = self.log.segment_of(seq);
        let mut table = None;
        if segment.is_sealed() {
            let path = segment.path.with_extension("off");
            let bytes = disk::read(&*self.log.disk, &path).map_err(|e| reading(&path, e))?;
            // One that does not decode is told by whoever checks the offset files.
            table = bytes
                .and_then(|bytes| Offsets::decode(&bytes))
                .map(|found| found.offsets);
        }
        self.offset = segment.offset(seq)?;
        self.window.restart(self.offset);
        self.at = Some((segment, table));
        Ok(())
    }
}
