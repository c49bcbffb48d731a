//! The state folder on the disk: one process has it, and it is looked at without writing.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::base::{Readers, replace_file};

/// Held as long as the process has the folder.
pub(super) const LOCK_FILE: &str = "lock";
/// The same in a folder that another part writes into, which has a lock of its own.
pub(super) const LOOKED_AFTER_FILE: &str = "looked-after";
/// With less free, a file can't be replaced: a page of content, a page of its folder, and the journal's.
const ROOM_MIN_BYTES: u64 = 64 << 10;
/// Is there for a moment, to see whether there is room.
const ROOM_FILE: &str = "room.tmp";

/// What became of the folder since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// It was taken just now.
    Taken,
    /// It is the same.
    Same,
    /// It, or what was written into it, was deleted or replaced; it was made and taken again.
    Again,
}

/// Where state is kept: a seam for tests.
pub(super) trait Disk: Send + 'static {
    /// Takes the folder, or sees that it is still there and can be written to.
    fn hold(&mut self) -> io::Result<Hold>;
    /// Reads a file; none when it is not there.
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Gives a file another name.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Replaces a file; it is on the disk when this returns.
    fn write(&mut self, name: &str, bytes: &[u8], readers: Readers) -> io::Result<()>;
}

/// See the module.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    lock_file: &'static str,
    lock: Option<File>,
    /// Files that must be there.
    written: BTreeSet<PathBuf>,
    /// Free blocks with which there was room still, although none is left for other users than root.
    room_at: u64,
}

impl Folder {
    pub(super) fn new(dir: &Path, lock_file: &'static str) -> Self {
        Self { dir: dir.to_owned(), lock_file, lock: None, written: BTreeSet::new(), room_at: u64::MAX }
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    fn has_room(&mut self) -> io::Result<()> {
        let found = rustix::fs::statvfs(&self.dir)?;
        let is_room = |blocks: u64| blocks.saturating_mul(found.f_frsize) >= ROOM_MIN_BYTES;
        if found.f_blocks == 0 || is_room(found.f_bavail) {
            self.room_at = u64::MAX;
            return Ok(());
        }
        if !is_room(found.f_bfree) || !rustix::process::geteuid().is_root() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // Part of the rest is for root, part for the file system itself (2 % on ext4): which is left is seen only by
        // taking it. Flash memory wears, so what worked with so much free is not tried again.
        if found.f_bfree < self.room_at {
            self.take_room()?;
            self.room_at = found.f_bfree;
        }
        Ok(())
    }

    /// Takes the room of one write, and gives it back.
    fn take_room(&self) -> io::Result<()> {
        let path = self.dir.join(ROOM_FILE);
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
        let taken = match fallocate(&file, FallocateFlags::empty(), 0, ROOM_MIN_BYTES) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            taken => taken.map_err(io::Error::from),
        };
        fs::remove_file(&path)?;
        taken
    }
}

impl Disk for Folder {
    fn hold(&mut self) -> io::Result<Hold> {
        let path = self.dir.join(self.lock_file);
        // To remove a file that is not there writes nothing, and yet waits for a file system that is frozen. To open a file that
        // is there does not on Linux 6.18; it fails on one that is read-only.
        match fs::remove_file(self.dir.join(ROOM_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let open = || OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.dir)?;
                open()?
            }
            opened => opened?,
        };
        if let Some(held) = &self.lock {
            let (held, found) = (held.metadata()?, lock.metadata()?);
            let is_same = (held.dev(), held.ino()) == (found.dev(), found.ino());
            if is_same && self.written.iter().all(|file| file.exists()) {
                self.has_room()?;
                return Ok(Hold::Same);
            }
            if is_same {
                self.written.clear();
                return Ok(Hold::Again);
            }
        }
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "used by another process"));
            }
            Err(TryLockError::Error(error)) => {
                tracing::warn!("{} can't be locked: {error}", self.dir.display());
            }
        }
        self.written.clear();
        Ok(if self.lock.replace(lock).is_some() { Hold::Again } else { Hold::Taken })
    }

    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn write(&mut self, name: &str, bytes: &[u8], readers: Readers) -> io::Result<()> {
        let path = self.dir.join(name);
        replace_file(&path, bytes, readers)?;
        self.written.insert(path);
        Ok(())
    }
}
