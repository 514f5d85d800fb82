//! The order of a check, and the small files: version, keys, state, checkpoint, witness.

use std::path::Path;

use ledger::audit::open_checkpoint;
use ledger::cosign::Seen;
use ledger::{Checkpoint, LogBuilder, StoreError, Tree, VerifyingKey};

use super::{Check, Kind, log, payloads};
use crate::disk;
use crate::embedded::keys::LogKeys;
use crate::embedded::marks::{DirTiles, TreeMark};
use crate::embedded::{broken_tile, check_format, never_begun, no_log, witness};
use crate::error::unavailable;

/// Checks everything that the options ask for.
pub(crate) fn whole(check: &mut Check<'_>) -> Result<(), StoreError> {
    let disk = &*check.options.disk;
    let bare = disk::read(disk, &check.paths.format())
        .ok()
        .flatten()
        .is_none()
        && disk::read(disk, &check.paths.dir.join("checkpoint"))
            .ok()
            .flatten()
            .is_some();
    if bare {
        let dir = check.paths.dir.clone();
        let keys = check.options.keys.clone();
        if keys.is_empty() {
            return Err(unavailable(
                format!("check `{}`", dir.display()),
                "a published log alone needs its verifier key".to_owned(),
            ));
        }
        let Some(text) = text(check, &dir)? else {
            missing(check, &dir);
            return Ok(());
        };
        let Some(checkpoint) = opened(check, &dir, &text, &keys) else {
            return Ok(());
        };
        return log::published(check, &dir, &checkpoint, None);
    }
    match check_format(disk, &check.paths, false) {
        Ok(()) => {}
        Err(error @ StoreError::Damaged { .. }) => {
            let path = check.paths.format();
            check.find(Kind::Damaged, None, Some(&path), error.to_string());
        }
        Err(error) => return Err(error),
    }
    // Another process may go on writing meanwhile. It writes the segments first, then the index,
    // and the tree, the mark of what is signed, the witness and the checkpoint in this order: read
    // the other way round, nothing is ahead of what it was made from.
    if never_begun(disk, &check.paths)? {
        return Err(no_log(&check.paths));
    }
    let dir = check.paths.log();
    let text = text(check, &dir)?;
    let keys = keys(check)?;
    if keys.is_empty() {
        // That they are missing is told. Which log it is stands in the checkpoint; that nothing
        // vouches for that, every other file can still contradict.
        let first = text
            .as_deref()
            .unwrap_or_default()
            .split(|byte| *byte == b'\n')
            .next();
        check.report.origin = String::from_utf8_lossy(first.unwrap_or_default()).into_owned();
    }
    let checkpoint = match &text {
        Some(text) if !keys.is_empty() => opened(check, &dir, text, &keys),
        _ => None,
    };
    let slots = payloads::keys(check)?;
    let index = payloads::snapshot(check);
    let seen = seen(check)?;
    let signed = mark(check, "signed")?;
    let tree = mark(check, "tree")?;
    let signed_size = signed.as_ref().map_or(0, |mark| mark.size);
    if text.is_none() && signed_size > 0 && check.options.witness_dir.is_some() && seen.is_none() {
        // What is to be signed is noted first, and the witness comes before the checkpoint.
        check.report.notices.push(format!(
            "the first publication, of {signed_size} leaves, was begun and never finished: the next one repeats it"
        ));
    } else if text.is_none() && signed_size > 0 {
        missing(check, &dir);
    } else if text.is_none() {
        check
            .report
            .notices
            .push("nothing was published yet".to_owned());
    }
    let floor = signed_size.max(tree.as_ref().map_or(0, |mark| mark.size));
    let segments = log::open_segments(check, floor)?;
    anchors(
        check,
        &dir,
        checkpoint.as_ref(),
        signed.as_ref(),
        tree.as_ref(),
        seen,
        segments.as_ref(),
    )?;
    if let Some(checkpoint) = &checkpoint {
        log::published(check, &dir, checkpoint, segments.as_ref())?;
    }
    log::unpublished(
        check,
        checkpoint.as_ref().map_or(0, |c| c.size),
        segments.as_ref(),
    )?;
    payloads::check(check, segments.as_ref(), index, &slots)
}

/// The keys that the checkpoint is checked with; none if the log's cannot be read.
fn keys(check: &mut Check<'_>) -> Result<Vec<VerifyingKey>, StoreError> {
    let path = check.paths.log_keys();
    let mut keys = check.options.keys.clone();
    match LogKeys::load(&*check.options.disk, &path) {
        Ok(Some(found)) => {
            check.report.origin = found.origin().to_owned();
            if keys.is_empty() {
                keys = found.public();
                check.report.notices.push(
                    "the log's keys were taken from the directory itself: bring them from elsewhere to know who signed".to_owned(),
                );
            }
        }
        Ok(None) => {
            let detail = format!("`{}` is missing", path.display());
            check.find(Kind::Missing, None, Some(&path), detail);
        }
        Err(error @ StoreError::Damaged { .. }) => {
            check.find(Kind::Damaged, None, Some(&path), error.to_string());
        }
        Err(error) => return Err(error),
    }
    if keys.is_empty() {
        return Ok(keys);
    }
    if let Some(dir) = &check.options.witness_dir {
        match witness::public_key(&*check.options.disk, dir) {
            Ok(found) => keys.extend(found),
            Err(error) => check.find_error(error)?,
        }
    }
    Ok(keys)
}

fn mark(check: &mut Check<'_>, what: &str) -> Result<Option<TreeMark>, StoreError> {
    let path = if what == "signed" {
        check.paths.signed()
    } else {
        check.paths.tree()
    };
    match TreeMark::load(&*check.options.disk, &path, what) {
        Ok(Some(mark)) if check.report.origin.is_empty() || mark.origin == check.report.origin => {
            Ok(Some(mark))
        }
        Ok(found) => {
            let (kind, problem) = match found {
                Some(_) => (Kind::Damaged, "is of another log"),
                None => (Kind::Missing, "is missing"),
            };
            let detail = format!("`{}` {problem}", path.display());
            check.find(kind, None, Some(&path), detail);
            Ok(None)
        }
        Err(error @ StoreError::Damaged { .. }) => {
            check.find(Kind::Damaged, None, Some(&path), error.to_string());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads the checkpoint; none if there is none.
fn text(check: &Check<'_>, dir: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let path = dir.join("checkpoint");
    disk::read(&*check.options.disk, &path)
        .map_err(|e| unavailable(format!("read `{}`", path.display()), e))
}

fn missing(check: &mut Check<'_>, dir: &Path) {
    let path = dir.join("checkpoint");
    let detail = format!("`{}` is missing", path.display());
    check.find(Kind::Missing, Some(0), Some(&path), detail);
}

fn opened(
    check: &mut Check<'_>,
    dir: &Path,
    text: &[u8],
    keys: &[VerifyingKey],
) -> Option<Checkpoint> {
    match open_checkpoint(text, keys) {
        Ok(checkpoint) => {
            check.report.origin.clone_from(&checkpoint.origin);
            check.report.size = checkpoint.size;
            check.report.root = Some(checkpoint.root);
            Some(checkpoint)
        }
        Err(finding) => {
            let path = dir.join("checkpoint");
            check.find(
                Kind::Signature,
                Some(finding.index),
                Some(&path),
                finding.to_string(),
            );
            None
        }
    }
}

/// Asks the witness what it saw of this log.
fn seen(check: &mut Check<'_>) -> Result<Option<Seen>, StoreError> {
    let Some(dir) = &check.options.witness_dir else {
        check.report.notices.push(
            "no witness was asked: an older copy of the whole directory would not be noticed"
                .to_owned(),
        );
        return Ok(None);
    };
    match witness::read_state(&*check.options.disk, dir, &check.report.origin) {
        Ok(state) => {
            let seen = state.seen(&check.report.origin);
            if seen.is_none() {
                let notice = "the witness has not seen this log".to_owned();
                check.report.notices.push(notice);
            }
            Ok(seen)
        }
        Err(error) => {
            check.find_error(error)?;
            Ok(None)
        }
    }
}

/// Compares the log with everything that was noted of it: what was signed, what the tree was, what
/// the witness saw.
fn anchors(
    check: &mut Check<'_>,
    dir: &Path,
    checkpoint: Option<&Checkpoint>,
    signed: Option<&TreeMark>,
    tree: Option<&TreeMark>,
    seen: Option<Seen>,
    segments: Option<&log::Segments>,
) -> Result<(), StoreError> {
    let mut anchors: Vec<(&str, u64, model::Digest)> = Vec::new();
    anchors.extend(signed.map(|mark| ("were signed", mark.size, mark.root)));
    anchors.extend(tree.map(|mark| ("were made durable", mark.size, mark.root)));
    anchors.extend(seen.map(|seen| ("the witness saw", seen.size, seen.root)));
    let shown = checkpoint.map_or(0, |checkpoint| checkpoint.size);
    let most = anchors
        .iter()
        .map(|(_, size, _)| *size)
        .max()
        .unwrap_or(0)
        .max(shown);
    if let Some(have) = segments.map(log::Segments::durable)
        && have < most
    {
        let detail = format!("the segments hold {have} leaves, but there were {most}");
        check.find(Kind::RolledBack, Some(have), None, detail);
    }
    if let (Some(checkpoint), Some(signed)) = (checkpoint, signed) {
        if checkpoint.size > signed.size {
            let path = check.paths.signed();
            let detail = format!(
                "`{}` says that {} leaves were signed, the checkpoint has {}",
                path.display(),
                signed.size,
                checkpoint.size
            );
            check.find(Kind::RolledBack, Some(signed.size), Some(&path), detail);
        } else if checkpoint.size < signed.size {
            check.report.notices.push(format!(
                "the checkpoint is over {} leaves, {} were signed: the process ended in between, or an older checkpoint was put back",
                checkpoint.size, signed.size
            ));
        }
    }
    // The tiles reach as far as the tree that was made durable, and at least to the checkpoint.
    let on_disk = tree.map_or(shown, |mark| mark.size).max(shown);
    anchors.extend(checkpoint.map(|checkpoint| (SIGNED, checkpoint.size, checkpoint.root)));
    anchors.sort_by_key(|(_, size, _)| *size);
    let mut roots = Roots::new(dir, on_disk);
    let mut agreed = 0;
    for (what, size, root) in anchors {
        match roots.at(check, size, segments) {
            // That the segments are too short is told above, and so is that they are damaged.
            Ok(None) => {}
            Ok(Some(found)) if found == root => agreed = size,
            // The tiles under the checkpoint are held against it elsewhere.
            Ok(Some(_)) if what == SIGNED => {}
            Ok(Some(_)) => {
                let detail = format!("the first {size} leaves are not those that {what}");
                check.find(Kind::Rewritten, Some(agreed), None, detail);
            }
            Err(error) => {
                let path = check.paths.log();
                let first_bad = match &error {
                    StoreError::Damaged { first_bad, .. } => *first_bad,
                    _ => None,
                };
                check.find(Kind::Log, first_bad, Some(&path), error.to_string());
            }
        }
    }
    Ok(())
}

/// What is said of the leaves under the checkpoint.
const SIGNED: &str = "are under the checkpoint";

/// The roots of the log at growing sizes: from the tiles as far as they reach, and from the leaves
/// in the segments beyond.
struct Roots<'d> {
    dir: &'d Path,
    on_disk: u64,
    beyond: Option<LogBuilder>,
}

impl<'d> Roots<'d> {
    const fn new(dir: &'d Path, on_disk: u64) -> Self {
        Self {
            dir,
            on_disk,
            beyond: None,
        }
    }

    /// Returns the root over the first `size` leaves, at least those of the call before; none if
    /// the segments hold fewer.
    fn at(
        &mut self,
        check: &Check<'_>,
        size: u64,
        segments: Option<&log::Segments>,
    ) -> Result<Option<model::Digest>, StoreError> {
        let broken = |error| broken_tile(self.dir, &error);
        let tiles = DirTiles {
            disk: &*check.options.disk,
            dir: self.dir,
        };
        if size <= self.on_disk {
            return Tree::new(tiles, self.on_disk)
                .root_at(size)
                .map(Some)
                .map_err(broken);
        }
        let Some(segments) = segments.filter(|segments| segments.durable() >= size) else {
            return Ok(None);
        };
        let mut builder = match self.beyond.take() {
            Some(builder) => builder,
            None => LogBuilder::resume(&tiles, self.on_disk).map_err(broken)?,
        };
        let mut made = Vec::new();
        while builder.size() < size {
            let left = usize::try_from(size - builder.size()).unwrap_or(usize::MAX);
            let records = segments
                .log()
                .read(builder.size(), left.min(4_096), 4 << 20)?;
            for record in &records {
                builder.push(&record.leaf, &mut made).map_err(broken)?;
            }
            made.clear();
        }
        let root = builder.root();
        self.beyond = Some(builder);
        Ok(Some(root))
    }
}
