//! The file seam: every byte that the embedded store writes goes through [`Disk`].
//!
//! It is here so that a test can count, fail or tear each single operation (see
//! [`fault`](crate::fault)). It has only what the store needs: positioned reads and writes, syncs,
//! and names in directories. It caches nothing and retries nothing. The index is not written
//! through it: SQLite has its own file layer, and the index is rebuilt from the log at any time.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens, names and syncs files.
///
/// What callers may rely on: a write is durable after [`DiskFile::sync`] on its file; a name (a
/// new file, a rename, a removal, a new directory) is durable after [`Disk::sync_dir`] on the
/// directory that holds it. Nothing else is promised.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound` for a file that is not there, `AlreadyExists` where [`How::New`] finds one.
    fn open(&self, path: &Path, how: How) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in place of whatever had it.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns the names in a directory, sorted; none for a directory that is not there.
    ///
    /// # Errors
    /// As the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates one directory, for its owner alone if `secret`; an existing one is fine.
    ///
    /// # Errors
    /// As the system says.
    fn create_dir(&self, dir: &Path, secret: bool) -> io::Result<bool>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the exclusive lock at `path` and writes `holder` into it, or returns who holds it.
    /// The lock ends with the guard or with the process, however it ends.
    ///
    /// # Errors
    /// As the system says.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Lock>;
}

/// An open file.
#[expect(
    clippy::len_without_is_empty,
    reason = "a file is no collection, and asking can fail"
)]
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads until `buffer` is full or the file ends, and returns how many bytes were read.
    ///
    /// # Errors
    /// As the system says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes`. After an error any part of them may have been written.
    ///
    /// # Errors
    /// As the system says; `StorageFull` where there is no space.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns the length in bytes.
    ///
    /// # Errors
    /// As the system says.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file.
    ///
    /// # Errors
    /// As the system says.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Asks the system to begin putting what was written there on the disk, without waiting: a
    /// [`sync`](Self::sync) that comes later then has less to wait for. A hint, of which nothing is
    /// promised.
    fn write_out(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// Makes what was written, and the length, durable.
    ///
    /// # Errors
    /// As the system says. After an error it is unknown what is durable: pages may have been
    /// dropped, and syncing again may report success without them.
    fn sync(&self) -> io::Result<()>;
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// An existing one, to read.
    Read,
    /// An existing one, to read and write.
    Write,
    /// A new one, to read and write.
    New,
    /// A new one that only its owner may read.
    Secret,
}

/// What came of asking for a lock.
#[derive(Debug)]
pub enum Lock {
    /// It is held until this is dropped.
    Held(Box<dyn Guard>),
    /// Somebody else holds it: what they wrote into it.
    Busy(String),
}

/// Holds a lock.
pub trait Guard: Send + Sync + fmt::Debug {}

/// The disk of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

#[derive(Debug)]
struct RealGuard {
    _file: File,
}

impl Guard for RealGuard {}

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: How) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match how {
            How::Read => {}
            How::Write => {
                options.write(true);
            }
            How::New => {
                options.write(true).create_new(true);
            }
            How::Secret => {
                options.write(true).create_new(true).mode(0o600);
            }
        }
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create_dir(&self, dir: &Path, secret: bool) -> io::Result<bool> {
        let mut builder = std::fs::DirBuilder::new();
        if secret {
            builder.mode(0o700);
        }
        match builder.create(dir) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Lock> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = [0u8; 512];
                let length = file.read_at(&mut text, 0).unwrap_or(0);
                let text = String::from_utf8_lossy(&text[..length]);
                return Ok(Lock::Busy(text.trim().to_owned()));
            }
            Err(error) => return Err(error.into()),
        }
        file.set_len(0)?;
        file.write_all_at(holder.as_bytes(), 0)?;
        Ok(Lock::Held(Box::new(RealGuard { _file: file })))
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    #[cfg(target_os = "linux")]
    fn write_out(&self, offset: u64, len: u64) {
        // What is not on the disk yet cannot be dropped from memory: Linux begins to write it, and
        // keeps it.
        let len = std::num::NonZeroU64::new(len);
        let _ = rustix::fs::fadvise(&self.0, offset, len, rustix::fs::Advice::DontNeed);
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Reads a whole file; none if it is not there.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    Ok(read_into(disk, path, &mut bytes)?.then_some(bytes))
}

/// Replaces the content of `buffer` by a whole file, and tells whether the file is there. A buffer
/// that is used again is neither allocated nor cleared again.
pub(crate) fn read_into(disk: &dyn Disk, path: &Path, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let file = match disk.open(path, How::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let length = usize::try_from(file.len()?).map_err(io::Error::other)?;
    buffer.resize(length, 0);
    let count = file.read_at(0, buffer)?;
    buffer.truncate(count);
    Ok(true)
}

/// Puts `bytes` at `path` so that after a crash either the old or the new content is there:
/// temporary file, sync, rename, sync of the directory.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8], secret: bool) -> io::Result<()> {
    let temporary = temporary(path);
    match disk.remove(&temporary) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = disk.open(&temporary, if secret { How::Secret } else { How::New })?;
    file.write_at(0, bytes)?;
    file.sync()?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(parent(path))
}

/// Creates a directory with its ancestors, and makes every name that it created durable.
pub(crate) fn create_dirs(disk: &dyn Disk, dir: &Path, secret: bool) -> io::Result<()> {
    match disk.create_dir(dir, secret) {
        Ok(true) => disk.sync_dir(parent(dir)),
        Ok(false) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && dir.parent().is_some() => {
            create_dirs(disk, parent(dir), secret)?;
            disk.create_dir(dir, secret)?;
            disk.sync_dir(parent(dir))
        }
        Err(error) => Err(error),
    }
}

pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}
