//! A disk in memory that loses power, tears writes and fails on demand.
//!
//! It keeps, beside what a reader sees, what would survive a loss of power: file contents as of
//! their last sync, and names as of the last sync of their directory. Every operation that changes
//! something has a number, so that a test can run a script once, count, and then run it again for
//! every number and every [`Fault`]. [`FaultDisk::after_power_loss`] gives the disk as it would be
//! found afterwards.
//!
//! After a failed sync it does what Linux does: the changes stay visible and are forgotten, so that
//! a later sync succeeds without them.
//!
//! It models no reordering inside one write and no damage to synced data: a disk that loses what
//! it said was durable cannot be survived by one copy.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile, Guard, How, Lock, parent};

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with an input/output error and does nothing, once.
    Eio,
    /// It fails for lack of space, once; a write leaves half of its bytes.
    Enospc,
    /// For lack of space it fails, and so does every later write, until
    /// [`FaultDisk::free_space`].
    Full,
    /// The process dies right before it: this and every later operation fails.
    Die,
    /// The process dies in the middle of it: a write leaves half of its bytes.
    DieHalfway,
}

/// What a loss of power does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: only the process died.
    None,
    /// All of it is gone.
    All,
    /// Some of it is gone, some is torn at an arbitrary byte, chosen by the seed.
    Some(u64),
}

/// A disk in memory.
#[derive(Clone, Debug, Default)]
pub struct FaultDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    operations: u64,
    journal: Vec<String>,
    planned: Option<(u64, Fault)>,
    dead: bool,
    full: bool,
    locks: Vec<(PathBuf, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

#[derive(Debug)]
struct FaultFile {
    disk: FaultDisk,
    number: usize,
}

#[derive(Debug)]
struct FaultGuard {
    disk: FaultDisk,
    path: PathBuf,
}

impl Guard for FaultGuard {}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        self.disk
            .state()
            .locks
            .retain(|(path, _)| *path != self.path);
    }
}

enum Go {
    On,
    Half(io::Error),
}

impl FaultDisk {
    /// Plans a fault at the operation with this number; the first is 0.
    pub fn plan(&self, operation: u64, fault: Fault) {
        self.state().planned = Some((operation, fault));
    }

    /// Returns how many operations that change something were tried so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Returns what each operation was, for messages of tests.
    #[must_use]
    pub fn journal(&self) -> Vec<String> {
        self.state().journal.clone()
    }

    /// Fills the disk: every write from now on fails for lack of space, until
    /// [`Self::free_space`]. What is synced meanwhile was written before, and has its space.
    pub fn fill(&self) {
        self.state().full = true;
    }

    /// Lets writes succeed again after [`Fault::Full`] or [`Self::fill`].
    pub fn free_space(&self) {
        self.state().full = false;
    }

    /// Returns whether the planned fault has happened.
    #[must_use]
    pub fn struck(&self) -> bool {
        let state = self.state();
        state.planned.is_some_and(|(at, _)| state.operations > at)
    }

    /// Returns the disk as it is found after the process died and `loss` took its part. The
    /// present disk fails every operation from now on.
    #[must_use]
    pub fn after_power_loss(&self, loss: Loss) -> Self {
        let mut state = self.state();
        state.dead = true;
        let mut chance = Chance(match loss {
            Loss::Some(seed) => seed,
            Loss::None | Loss::All => 0,
        });
        let files = state
            .files
            .iter()
            .map(|file| file.survive(loss, &mut chance))
            .collect();
        let mut names = state.durable.clone();
        let changed: Vec<_> = state
            .names
            .iter()
            .filter(|(path, node)| state.durable.get(*path) != Some(*node))
            .map(|(path, node)| (path.clone(), Some(*node)))
            .chain(
                state
                    .durable
                    .keys()
                    .filter(|path| !state.names.contains_key(*path))
                    .map(|path| (path.clone(), None)),
            )
            .collect();
        for (path, node) in changed {
            let keeps = match loss {
                Loss::None => true,
                Loss::All => false,
                Loss::Some(_) => chance.next().is_multiple_of(2),
            };
            match node {
                _ if !keeps => {}
                Some(node) => {
                    names.insert(path, node);
                }
                None => {
                    names.remove(&path);
                }
            }
        }
        // What lies in a directory that is gone is gone too.
        let reachable = |path: &Path| {
            path.ancestors()
                .skip(1)
                .filter(|dir| state.names.get(*dir) == Some(&Node::Dir))
                .all(|dir| names.get(dir) == Some(&Node::Dir))
        };
        let names: BTreeMap<_, _> = names
            .iter()
            .filter(|(path, _)| reachable(path))
            .map(|(path, node)| (path.clone(), *node))
            .collect();
        Self {
            state: Arc::new(Mutex::new(State {
                files,
                durable: names.clone(),
                names,
                ..State::default()
            })),
        }
    }

    /// Returns a copy of the disk that shares nothing with it, everything on it durable.
    #[must_use]
    pub fn copied(&self) -> Self {
        let state = self.state();
        let files = state
            .files
            .iter()
            .map(|file| Content::whole(file.seen.clone()))
            .collect();
        Self {
            state: Arc::new(Mutex::new(State {
                files,
                names: state.names.clone(),
                durable: state.names.clone(),
                ..State::default()
            })),
        }
    }

    /// Returns the paths of all files, sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        let state = self.state();
        let is_file = |node: &Node| matches!(node, Node::File(_));
        state
            .names
            .iter()
            .filter(|(_, node)| is_file(node))
            .map(|(path, _)| path.clone())
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Content {
    fn whole(bytes: Vec<u8>) -> Self {
        Self {
            durable: bytes.clone(),
            seen: bytes,
            pending: Vec::new(),
        }
    }

    fn survive(&self, loss: Loss, chance: &mut Chance) -> Self {
        let mut bytes = match loss {
            Loss::None => return Self::whole(self.seen.clone()),
            Loss::All => return Self::whole(self.durable.clone()),
            Loss::Some(_) => self.durable.clone(),
        };
        for change in &self.pending {
            match (chance.next() % 4, change) {
                (0, _) => {}
                (1, Change::Write(offset, part)) => {
                    let length = (chance.next() as usize) % (part.len() + 1);
                    Change::Write(*offset, part[..length].to_vec()).apply(&mut bytes);
                }
                _ => change.apply(&mut bytes),
            }
        }
        Self::whole(bytes)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Truncate(length) => bytes.resize(*length as usize, 0),
            Self::Write(offset, part) => {
                let start = *offset as usize;
                if bytes.len() < start + part.len() {
                    bytes.resize(start + part.len(), 0);
                }
                bytes[start..start + part.len()].copy_from_slice(part);
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood, 2014): spreads a seed; nothing secret about it.
struct Chance(u64);

impl Chance {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl State {
    fn step(&mut self, what: &str, path: &Path, writes: bool) -> io::Result<Go> {
        let number = self.operations;
        self.operations += 1;
        self.journal.push(format!("{what} {}", path.display()));
        if self.dead {
            return Err(io::Error::other("the process is dead"));
        }
        if let Some((at, fault)) = self.planned
            && at == number
        {
            let no_space = || io::Error::from_raw_os_error(28);
            return match fault {
                Fault::Eio => Err(io::Error::from_raw_os_error(5)),
                Fault::Enospc => Ok(Go::Half(no_space())),
                Fault::Full => {
                    self.full = true;
                    Ok(Go::Half(no_space()))
                }
                Fault::Die => {
                    self.dead = true;
                    Err(io::Error::other("the process died"))
                }
                Fault::DieHalfway => {
                    self.dead = true;
                    Ok(Go::Half(io::Error::other("the process died")))
                }
            };
        }
        if self.full && writes {
            return Err(io::Error::from_raw_os_error(28));
        }
        Ok(Go::On)
    }

    /// As [`Self::step`], for operations that happen whole or not at all.
    fn whole(&mut self, what: &str, path: &Path, writes: bool) -> io::Result<()> {
        match self.step(what, path, writes)? {
            Go::On => Ok(()),
            Go::Half(error) => Err(error),
        }
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn path_of(&self, number: usize) -> PathBuf {
        let found = self
            .names
            .iter()
            .find(|(_, node)| **node == Node::File(number));
        found.map_or_else(|| PathBuf::from("(removed)"), |(path, _)| path.clone())
    }

    fn has_dir(&self, dir: &Path) -> bool {
        // What lies above the data directory is not modelled: it is there.
        self.names.get(dir) == Some(&Node::Dir) || dir == Path::new("/") || dir == Path::new(".")
    }
}

impl Disk for FaultDisk {
    fn open(&self, path: &Path, how: How) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let number = match (how, state.node(path)) {
            (How::Read | How::Write, Ok(Node::File(number))) => number,
            (How::Read | How::Write, Err(error)) => return Err(error),
            (How::New | How::Secret, Err(_)) => {
                state.whole("create", path, true)?;
                if !state.has_dir(parent(path)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                let number = state.files.len();
                state.files.push(Content::default());
                state.names.insert(path.to_owned(), Node::File(number));
                number
            }
            (How::New | How::Secret, Ok(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (_, Ok(Node::Dir)) => return Err(io::ErrorKind::IsADirectory.into()),
        };
        Ok(Arc::new(FaultFile {
            disk: self.clone(),
            number,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.whole("rename", to, false)?;
        let node = state.node(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), node);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.node(path)?;
        state.whole("remove", path, false)?;
        state.names.remove(path);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect())
    }

    fn create_dir(&self, dir: &Path, _secret: bool) -> io::Result<bool> {
        let mut state = self.state();
        if state.has_dir(dir) {
            return Ok(false);
        }
        state.whole("create directory", dir, true)?;
        if dir.parent().is_some_and(|parent| !state.has_dir(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.names.insert(dir.to_owned(), Node::Dir);
        Ok(true)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.whole("sync directory", dir, false)?;
        let state = &mut *state;
        state
            .durable
            .retain(|path, _| path.parent() != Some(dir) || state.names.contains_key(path));
        for (path, node) in &state.names {
            if path.parent() == Some(dir) {
                state.durable.insert(path.clone(), *node);
            }
        }
        Ok(())
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Lock> {
        let mut state = self.state();
        if state.dead {
            return Err(io::Error::other("the process is dead"));
        }
        if let Some((_, holder)) = state.locks.iter().find(|(held, _)| held == path) {
            return Ok(Lock::Busy(holder.clone()));
        }
        state.locks.push((path.to_owned(), holder.to_owned()));
        Ok(Lock::Held(Box::new(FaultGuard {
            disk: self.clone(),
            path: path.to_owned(),
        })))
    }
}

impl DiskFile for FaultFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        let bytes = &state.files[self.number].seen;
        let start = bytes.len().min(offset as usize);
        let count = buffer.len().min(bytes.len() - start);
        buffer[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let path = state.path_of(self.number);
        let (part, outcome) = match state.step("write", &path, true)? {
            Go::On => (bytes, Ok(())),
            Go::Half(error) => (&bytes[..bytes.len() / 2], Err(error)),
        };
        state.files[self.number].change(Change::Write(offset, part.to_vec()));
        outcome
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.number].seen.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let path = state.path_of(self.number);
        state.whole("truncate", &path, false)?;
        state.files[self.number].change(Change::Truncate(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let path = state.path_of(self.number);
        let outcome = state.whole("sync", &path, false);
        let file = &mut state.files[self.number];
        let pending = std::mem::take(&mut file.pending);
        outcome?;
        for change in pending {
            change.apply(&mut file.durable);
        }
        Ok(())
    }
}
