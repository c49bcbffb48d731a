//! The store's segments as files in a folder: `0000000001.log` and so on.
//!
//! One process has the folder at a time; a file `lock` in it is held as long as it does. Every segment is held open,
//! so that its rows can be read after the folder was deleted. Of files that were set aside as corrupt the newest
//! `ASIDE_MAX` are kept.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FallocateFlags, fallocate};

use super::log::Disk;

/// Files set aside as corrupt, at most.
const ASIDE_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    files: HashMap<u32, File>,
    head: Option<u32>,
    /// The head's name is not yet safe.
    named: bool,
    lock: File,
}

impl Folder {
    /// Makes the folder if it is not there, and takes it.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("{} is used by another process", dir.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Self { dir: dir.to_owned(), files: HashMap::new(), head: None, named: true, lock })
    }

    fn path(&self, segment: u32) -> PathBuf {
        self.dir.join(format!("{segment:010}.log"))
    }

    fn head(&self) -> io::Result<&File> {
        self.head.and_then(|head| self.files.get(&head)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&self, segment: u32) -> io::Result<&File> {
        self.files.get(&segment).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn forget_old_asides(&self) -> io::Result<()> {
        let mut asides = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().contains(".corrupt-") {
                asides.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        asides.sort();
        let over = asides.len().saturating_sub(ASIDE_MAX);
        asides.into_iter().take(over).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

impl Disk for Folder {
    fn list(&mut self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            numbers.extend(
                name.to_str().and_then(|n| n.strip_suffix(".log")).and_then(|n| n.parse::<u32>().ok()),
            );
        }
        numbers.sort_unstable();
        for &number in &numbers {
            let file = OpenOptions::new().read(true).write(true).open(self.path(number))?;
            self.files.insert(number, file);
        }
        Ok(numbers)
    }

    fn read(&mut self, segment: u32) -> io::Result<Vec<u8>> {
        let file = self.file(segment)?;
        let mut bytes = vec![0; file.metadata()?.len() as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn read_at(&mut self, segment: u32, offset: u32, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.file(segment)?.read_exact_at(&mut bytes, u64::from(offset))?;
        Ok(bytes)
    }

    fn create(&mut self, segment: u32, bytes: u32) -> io::Result<()> {
        // One of that name would be what a try on a broken disk left.
        let mut options = OpenOptions::new();
        let head = options.create(true).read(true).write(true).truncate(true).open(self.path(segment))?;
        // A file system that can't, or has less, gives what is needed when it is written.
        if let Err(error) = fallocate(&head, FallocateFlags::empty(), 0, u64::from(bytes)) {
            tracing::debug!("outbox: no room is taken in advance: {error}");
        }
        self.files.insert(segment, head);
        self.head = Some(segment);
        self.named = false;
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> io::Result<()> {
        self.head()?.write_all_at(bytes, u64::from(offset))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.head()?.sync_data()?;
        if !self.named {
            File::open(&self.dir)?.sync_all()?;
            self.named = true;
        }
        Ok(())
    }

    fn truncate(&mut self, segment: u32, length: u32) -> io::Result<()> {
        let file = self.file(segment)?;
        file.set_len(u64::from(length))?;
        file.sync_data()
    }

    fn delete(&mut self, segment: u32) -> io::Result<()> {
        fs::remove_file(self.path(segment))?;
        self.files.remove(&segment);
        Ok(())
    }

    fn is_in_place(&mut self) -> io::Result<bool> {
        let is_there = |file: &File, path: PathBuf| -> io::Result<bool> {
            let held = file.metadata()?;
            match fs::metadata(path) {
                Ok(found) => Ok((held.dev(), held.ino()) == (found.dev(), found.ino())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        let head = self.head.and_then(|head| Some((self.files.get(&head)?, self.path(head))));
        Ok(is_there(&self.lock, self.dir.join("lock"))?
            && head.map_or(Ok(true), |(file, path)| is_there(file, path))?)
    }

    fn set_aside(&mut self, segment: u32, why: &str) -> io::Result<String> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let aside = self.dir.join(format!("{segment:010}.log.{why}-{}", since.as_millis()));
        fs::rename(self.path(segment), &aside)?;
        self.files.remove(&segment);
        if why == "corrupt" {
            self.forget_old_asides()?;
        }
        Ok(aside.display().to_string())
    }
}
