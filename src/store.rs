//! What must survive a restart: which ids were used, and when the process last started.
//!
//! One small file, `state.json` in the state directory, replaced atomically (write beside, sync,
//! rename). Ids are reserved in ranges before they are used, so a crash loses at most the rest of a
//! range and never gives an id twice. Where nothing can be written the camera goes on: ids then start
//! at the number of seconds since 2026, which rises faster than any camera uses ids, and
//! [`Store::is_degraded`] says so. A file that can't be read is set aside under its own name with
//! `.corrupt` added, never overwritten.
//!
//! Does not belong here: messages that wait for a broker, and secrets; they have files of their own.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::{IdSource, Time};

/// Ids reserved by one write.
const RANGE: u32 = 1_000;
/// 2026-01-01T00:00:00Z in seconds since the epoch.
const YEAR_2026_S: u64 = 1_767_225_600;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Saved {
    /// Every track id below this may have been used.
    next_track_id: u32,
    /// Every event id below this may have been used.
    next_event_id: u32,
    /// The last start of the process, milliseconds since the epoch.
    boot_ms: u64,
}

/// The state file of one camera. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    saved: Saved,
    trouble: Option<String>,
}

impl Store {
    /// Opens the state in `dir`, which is made if it is not there. Never fails: see [`Store::trouble`].
    pub fn open(dir: &Path, now: Time) -> Self {
        let path = dir.join("state.json");
        let fresh = Saved { next_track_id: 1, next_event_id: 1, boot_ms: 0 };
        let (found, trouble) = match fs::create_dir_all(dir).and_then(|()| read(&path)) {
            Ok(found) => (found.unwrap_or(fresh), None),
            Err(e) => {
                let start =
                    u32::try_from((now.epoch_ms / 1000).saturating_sub(YEAR_2026_S)).unwrap_or(1).max(1);
                let guess = Saved { next_track_id: start, next_event_id: start, boot_ms: 0 };
                (guess, Some(format!("state in {}: {e}", dir.display())))
            }
        };
        let boot_ms = now.epoch_ms.max(found.boot_ms + 1);
        let store =
            Self { inner: Arc::new(Mutex::new(Inner { path, saved: Saved { boot_ms, ..found }, trouble })) };
        store.with(Inner::write);
        store
    }

    /// When this process started, milliseconds since the epoch; later than at any start before.
    pub fn boot_ms(&self) -> u64 {
        self.with(|inner| inner.saved.boot_ms)
    }

    /// Why ids may not survive a restart, if so: names the file and what happened.
    pub fn trouble(&self) -> Option<String> {
        self.with(|inner| inner.trouble.clone())
    }

    /// Ids may not survive a restart.
    pub fn is_degraded(&self) -> bool {
        self.with(|inner| inner.trouble.is_some())
    }

    /// The camera's track ids.
    pub fn track_ids(&self) -> StoredIds {
        self.ids(|saved| &mut saved.next_track_id)
    }

    /// The camera's event ids.
    pub fn event_ids(&self) -> StoredIds {
        self.ids(|saved| &mut saved.next_event_id)
    }

    fn ids(&self, counter: fn(&mut Saved) -> &mut u32) -> StoredIds {
        StoredIds { store: self.clone(), counter, next: 0, left: 0 }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn write(&mut self) {
        match replace(&self.path, &self.saved) {
            // A file that had to be set aside stays worth a word until the next start.
            Ok(()) => {}
            Err(e) => self.trouble = Some(format!("can't write {}: {e}", self.path.display())),
        }
    }
}

/// Ids that are reserved in the state file before they are used.
#[derive(Debug)]
pub struct StoredIds {
    store: Store,
    counter: fn(&mut Saved) -> &mut u32,
    next: u32,
    left: u32,
}

impl IdSource for StoredIds {
    fn next_id(&mut self) -> u32 {
        if self.left == 0 {
            let counter = self.counter;
            self.next = self.store.with(|inner| {
                let first = *counter(&mut inner.saved);
                // After four billion ids it begins again: the oldest are long forgotten everywhere.
                *counter(&mut inner.saved) = first.checked_add(RANGE).unwrap_or(1);
                inner.write();
                first
            });
            self.left = RANGE;
        }
        let id = self.next;
        self.next = self.next.checked_add(1).unwrap_or(1);
        self.left -= 1;
        id
    }
}

/// The saved state; none when there is no file. One that can't be understood is set aside.
fn read(path: &Path) -> io::Result<Option<Saved>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    match serde_json::from_slice(&text) {
        Ok(saved) => Ok(Some(saved)),
        Err(e) => {
            let aside = path.with_extension("json.corrupt");
            fs::rename(path, &aside)?;
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("{e}; set aside as {}", aside.display())))
        }
    }
}

fn replace(path: &Path, saved: &Saved) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    let mut file = File::create(&beside)?;
    file.write_all(serde_json::to_string(saved)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time { mono_ns: 0, epoch_ms: 1_800_000_000_000 };

    #[test]
    fn ids_are_never_given_twice_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let store = Store::open(dir.path(), NOW);
            let (mut tracks, mut events) = (store.track_ids(), store.event_ids());
            for _ in 0..1_500 {
                assert!(seen.insert(("track", tracks.next_id())) && seen.insert(("event", events.next_id())));
            }
            assert_eq!(store.trouble(), None);
        }
    }

    #[test]
    fn the_boot_time_rises_even_when_the_clock_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let first = Store::open(dir.path(), NOW).boot_ms();
        let second = Store::open(dir.path(), Time { epoch_ms: 5, ..NOW }).boot_ms();
        assert!(second > first);
    }

    #[test]
    fn a_corrupt_file_is_set_aside_and_its_ids_are_not_given_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("state.json"), b"{\"next_tr").unwrap();
        let store = Store::open(dir.path(), NOW);
        assert!(store.trouble().unwrap().contains("state.json.corrupt"));
        assert!(store.track_ids().next_id() > 30_000_000);
        assert_eq!(fs::read(dir.path().join("state.json.corrupt")).unwrap(), b"{\"next_tr");
        assert_eq!(Store::open(dir.path(), NOW).trouble(), None);
    }

    #[test]
    fn where_nothing_can_be_written_the_camera_goes_on_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let not_a_dir = dir.path().join("file");
        fs::write(&not_a_dir, b"").unwrap();
        let store = Store::open(&not_a_dir.join("state"), NOW);
        assert!(store.is_degraded());
        let mut ids = store.track_ids();
        assert_ne!(ids.next_id(), ids.next_id());
    }
}
