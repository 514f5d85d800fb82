//! The published log and the segments: every entry hashed, every leaf compared.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ledger::audit::{Damage, audit_anchors, audit_partial, audit_range_with, combine, split};
use ledger::tile::{Tile, TileReader, read_tile, tile_at};
use ledger::{Checkpoint, LogBuilder, StoreError};

use super::payloads::Named;
use super::{Check, Kind, LISTED};
use crate::disk::{self, Disk, How};
use crate::embedded::marks::DirTiles;
use crate::embedded::segment::{Header, Offsets, offsets_name, segment_name, segment_number};
use crate::embedded::{Cursor, Log, Opening};
use crate::error::unavailable;
use crate::worker::scatter;

/// The segments, as far as they can be read.
pub(crate) struct Segments {
    log: Log,
    /// Where the packs end, by the last record.
    pub(crate) packs: (u32, u64),
}

impl Segments {
    pub(crate) fn durable(&self) -> u64 {
        self.log.durable()
    }

    pub(crate) const fn log(&self) -> &Log {
        &self.log
    }
}

/// Opens the segments. Damage that keeps them from being opened is a finding.
pub(crate) fn open_segments(
    check: &mut Check<'_>,
    floor: u64,
) -> Result<Option<Segments>, StoreError> {
    let dir = check.paths.segments();
    let disk = Arc::clone(&check.options.disk);
    if check.options.full {
        headers_and_offsets(check, &dir)?;
    }
    // With `full`, `published` and `unpublished` together read every record.
    let why = if check.options.full {
        Opening::ReadAll
    } else {
        Opening::Check
    };
    match Log::open(disk, &dir, floor, why) {
        Ok(recovered) => {
            check.report.notices.extend(recovered.notices);
            let packs = (recovered.tail.pack, recovered.tail.pack_end);
            Ok(Some(Segments {
                log: recovered.log,
                packs,
            }))
        }
        Err(error) => {
            check.find_error(error)?;
            Ok(None)
        }
    }
}

/// Offset files as files, and headers. Each offset is held against its record when that is read.
fn headers_and_offsets(check: &mut Check<'_>, dir: &Path) -> Result<(), StoreError> {
    let disk = Arc::clone(&check.options.disk);
    let names = disk
        .list(dir)
        .map_err(|e| unavailable(format!("list `{}`", dir.display()), e))?;
    for number in names.iter().filter_map(|name| segment_number(name)) {
        let path = dir.join(offsets_name(number));
        let failed = |e| unavailable(format!("read `{}`", path.display()), e);
        let Some(bytes) = disk::read(&*disk, &path).map_err(failed)? else {
            continue;
        };
        let Some(offsets) = Offsets::decode(&bytes) else {
            let detail = format!("`{}` does not match its checksum", path.display());
            check.find(Kind::Damaged, None, Some(&path), detail);
            continue;
        };
        let segment = dir.join(segment_name(number));
        let Ok(file) = disk.open(&segment, How::Read) else {
            continue;
        };
        if file.len().map_err(failed)? != offsets.log_len {
            let detail = format!("`{}` and `{}` disagree", segment.display(), path.display());
            check.find(Kind::Segment, Some(offsets.first), Some(&segment), detail);
        }
        let mut header = [0; crate::embedded::segment::HEADER];
        let count = file.read_at(0, &mut header).map_err(failed)?;
        if Header::decode(&header[..count])
            .ok()
            .is_none_or(|header| header.number != number)
        {
            let detail = format!("`{}` has a bad header", segment.display());
            check.find(Kind::Segment, Some(offsets.first), Some(&segment), detail);
        }
    }
    Ok(())
}

/// What one thread found of its range.
#[derive(Default)]
struct Differences {
    found: Vec<(u64, Kind, String)>,
    leaves: u64,
    named: Named,
}

/// Checks the published log against its checkpoint, and the segments against it.
pub(crate) fn published(
    check: &mut Check<'_>,
    dir: &Path,
    checkpoint: &Checkpoint,
    segments: Option<&Segments>,
) -> Result<(), StoreError> {
    let disk = Arc::clone(&check.options.disk);
    let tiles = DirTiles { disk: &*disk, dir };
    let size = checkpoint.size;
    match audit_anchors(&tiles, checkpoint, &check.options.anchors) {
        Ok(findings) => {
            for finding in findings {
                let kind = match finding.damage {
                    Damage::RolledBack { .. } => Kind::RolledBack,
                    _ => Kind::Rewritten,
                };
                let detail = finding.to_string();
                check.find(kind, Some(finding.index), None, detail);
            }
        }
        // What is read below tells it.
        Err(_) if check.options.full => {}
        Err(error) => check.find(Kind::Log, None, Some(dir), error.to_string()),
    }
    if !check.options.full {
        match LogBuilder::resume(&tiles, size) {
            Ok(builder) if builder.root() == checkpoint.root => {}
            Ok(_) => check.find(
                Kind::Log,
                None,
                Some(dir),
                "the tiles do not have the root that was signed".to_owned(),
            ),
            Err(error) => {
                let first = crate::embedded::broken_tile(dir, &error);
                let at = match &first {
                    StoreError::Damaged { first_bad, .. } => *first_bad,
                    _ => None,
                };
                check.find(Kind::Log, at, Some(dir), error.to_string());
            }
        }
        return Ok(());
    }
    let done = AtomicU64::new(0);
    let (events, progress) = (check.options.events, check.progress);
    let ranges = split(size, check.options.threads.max(1) as u64 * 8);
    let next = AtomicU64::new(0);
    let collected = Mutex::new((Vec::new(), Differences::default()));
    scatter(check.options.threads.max(1), |_| {
        let mut cursor = segments.map(|segments| Cursor::new(&segments.log));
        loop {
            let place = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
            let Some(range) = ranges.get(place).cloned() else {
                return;
            };
            let mut differences = Differences::default();
            let end = (range.end * 256).min(size);
            let audited = audit_range_with(&tiles, size, range, |index, entry| {
                differences.compare(index, entry, cursor.as_mut(), events);
                if index % 65_536 == 65_535 {
                    progress("entries", done.fetch_add(65_536, Ordering::Relaxed), size);
                }
            });
            if let Some(Err(error)) = cursor.as_ref().map(Cursor::check_end) {
                let found = (end, Kind::Segment, error.to_string());
                differences.found.push(found);
            }
            let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
            collected.0.push(audited);
            collected.1.found.extend(differences.found);
            collected.1.leaves += differences.leaves;
            collected.1.named.merge(differences.named);
        }
    });
    let (audited, mut differences) = collected
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let audit = combine(&tiles, checkpoint, audited);
    check.report.checked.entries = audit.entries;
    check.report.checked.bytes = audit.bytes;
    check.report.checked.leaves += differences.leaves;
    check.named.merge(std::mem::take(&mut differences.named));
    for finding in &audit.findings {
        check.find(
            Kind::Log,
            Some(finding.index),
            Some(dir),
            finding.to_string(),
        );
    }
    differences.found.sort_unstable_by_key(|(index, ..)| *index);
    let more = differences.found.len().saturating_sub(LISTED);
    let segments_dir = check.paths.segments();
    for (index, kind, detail) in differences.found.into_iter().take(LISTED) {
        check.find(kind, Some(index), Some(&segments_dir), detail);
    }
    if more > 0 {
        check
            .report
            .notices
            .push(format!("{more} more leaves differ than are listed"));
    }
    other_files(check, dir, size, &tiles)
}

impl Differences {
    fn compare(&mut self, index: u64, entry: &[u8], cursor: Option<&mut Cursor<'_>>, events: bool) {
        if let Err(error) = self.named.look(index, entry, events) {
            self.found
                .push((index, Kind::Event, format!("leaf {index}: {error}")));
        }
        let Some(cursor) = cursor else { return };
        match cursor.show(index, |_, leaf| leaf == entry) {
            Ok(Some(true)) => self.leaves += 1,
            Ok(Some(false)) => self.found.push((
                index,
                Kind::Segment,
                format!("leaf {index} differs between its segment and its entry bundle"),
            )),
            // How far the segments reach is judged elsewhere.
            Ok(None) => {}
            Err(error) => self.found.push((index, Kind::Segment, error.to_string())),
        }
    }
}

/// Files that the audit does not read: partial tiles of earlier sizes, and what lies beyond the
/// checkpoint.
fn other_files(
    check: &mut Check<'_>,
    dir: &Path,
    size: u64,
    tiles: &DirTiles<'_>,
) -> Result<(), StoreError> {
    let mut files = Vec::new();
    walk(&*check.options.disk, &dir.join("tile"), &mut files)
        .map_err(|e| unavailable(format!("list `{}`", dir.display()), e))?;
    for path in files {
        let relative = path
            .strip_prefix(dir)
            .unwrap_or(&path)
            .to_string_lossy()
            .into_owned();
        let Ok(tile) = relative.parse::<Tile>() else {
            check
                .report
                .notices
                .push(format!("`{}` is not of the layout", path.display()));
            continue;
        };
        let now = tile_at(tile.level, tile.index, size);
        if now == Some(tile) {
            continue;
        }
        check.report.checked.files += 1;
        let Some(now) = now.filter(|now| now.width > tile.width) else {
            // Beyond the checkpoint: no signature covers it yet, and it is written again.
            continue;
        };
        let (Ok(bytes), Ok(fuller)) = (tiles.read(tile), read_tile(tiles, now)) else {
            continue;
        };
        if let Some(finding) = audit_partial(tile, &bytes, &fuller) {
            check.find(
                Kind::Log,
                Some(finding.index),
                Some(&path),
                finding.to_string(),
            );
        }
    }
    Ok(())
}

fn walk(disk: &dyn Disk, dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for name in disk.list(dir)? {
        let path = dir.join(&name);
        // In the layout three digits are a file; asking for each of them would take longer than
        // all the rest of this.
        let is_tile = name.len() == 3 && name.bytes().all(|byte| byte.is_ascii_digit());
        let is_dir = !is_tile
            && match disk.open(&path, How::Read) {
                Ok(file) => file.read_at(0, &mut [0; 1]).is_err(),
                Err(_) => true,
            };
        if is_dir {
            walk(disk, &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Leaves after the checkpoint: their checksums, and the full tiles that are there already.
pub(crate) fn unpublished(
    check: &mut Check<'_>,
    size: u64,
    segments: Option<&Segments>,
) -> Result<(), StoreError> {
    let Some(segments) = segments else {
        return Ok(());
    };
    if !check.options.full || segments.durable() <= size {
        return Ok(());
    }
    let dir = check.paths.log();
    let disk = Arc::clone(&check.options.disk);
    let tiles = DirTiles {
        disk: &*disk,
        dir: &dir,
    };
    let mut builder = LogBuilder::resume(&tiles, size).ok();
    let mut next = size;
    while next < segments.durable() {
        let records = match segments.log().read(next, 4_096, 4 << 20) {
            Ok(records) => records,
            Err(error) => return check.find_error(error),
        };
        let Some(last) = records.last() else { break };
        next = last.head.seq + 1;
        check.report.checked.leaves += records.len() as u64;
        let mut made = Vec::new();
        for record in &records {
            if let Some(builder) = &mut builder {
                // Leaves of a segment are short enough, or their record would not be right.
                let _ = builder.push(&record.leaf, &mut made);
            }
            let seq = record.head.seq;
            if let Err(error) = check.named.look(seq, &record.leaf, check.options.events) {
                check.find(Kind::Event, Some(seq), None, format!("leaf {seq}: {error}"));
            }
        }
        for file in made {
            if let Ok(found) = tiles.read(file.tile)
                && found != file.bytes
                && found.len() >= file.bytes.len()
            {
                let path = dir.join(file.tile.path());
                let detail = format!("`{}` is not what the segments make it", path.display());
                check.find(
                    Kind::Log,
                    Some(file.tile.first_entry(0)),
                    Some(&path),
                    detail,
                );
            }
        }
    }
    check.report.notices.push(format!(
        "{} leaves are durable and under no checkpoint yet",
        segments.durable() - size
    ));
    Ok(())
}
