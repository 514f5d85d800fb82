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
    next: u64,
    offset: u64,
    at: Option<Place>,
    window: Window,
}

/// The segment that a cursor is in.
#[derive(Debug)]
struct Place {
    segment: Arc<Segment>,
    /// The sequence number after its last, as it was when the cursor came.
    end: u64,
    /// What its offset file says, if it is sealed.
    table: Option<Offsets>,
}

impl<'l> Cursor<'l> {
    /// Reads nothing yet.
    pub(crate) fn new(log: &'l Log) -> Self {
        Self {
            log,
            next: u64::MAX,
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
        match &self.at {
            Some(place) if seq >= place.segment.first && seq < place.end => {
                if seq != self.next {
                    self.offset = place.segment.offset(seq)?;
                    self.window.restart(self.offset);
                }
            }
            _ if seq >= self.log.durable() => return Ok(None),
            _ => self.enter(seq)?,
        }
        self.next = seq;
        let Place { segment, table, .. } = self.at.as_ref().expect("it was entered");
        let place = usize::try_from(seq - segment.first).expect("fits memory");
        if table
            .as_ref()
            .is_some_and(|table| table.offsets.get(place) != Some(&self.offset))
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

    /// Checks that the leaf shown last ends where the offset file says that the next one starts, or
    /// the segment ends: whoever reads on from there starts at that place. A segment that has no
    /// offset file was scanned when it was opened.
    pub(crate) fn check_end(&self) -> Result<(), StoreError> {
        let Some(Place { segment, table, .. }) = &self.at else {
            return Ok(());
        };
        let Some(table) = table.as_ref().filter(|_| self.next != u64::MAX) else {
            return Ok(());
        };
        let place = usize::try_from(self.next - segment.first).expect("fits memory");
        if *table.offsets.get(place).unwrap_or(&table.log_len) == self.offset {
            return Ok(());
        }
        let at = format!("byte {}", self.offset);
        Err(damaged(&segment.path, at, Some(self.next)))
    }

    fn enter(&mut self, seq: u64) -> Result<(), StoreError> {
        let ended = self.check_end();
        self.at = None;
        ended?;
        let segment = self.log.segment_of(seq);
        let mut table = None;
        if segment.is_sealed() {
            let path = segment.path.with_extension("off");
            let bytes = disk::read(&*self.log.disk, &path).map_err(|e| reading(&path, e))?;
            // One that does not decode is told by whoever checks the offset files.
            table = bytes.and_then(|bytes| Offsets::decode(&bytes));
        }
        self.offset = segment.offset(seq)?;
        self.window.restart(self.offset);
        self.at = Some(Place {
            end: segment.first + segment.count(),
            segment,
            table,
        });
        Ok(())
    }
}
