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

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::{IdSource, Readers, Time, replace_file};

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
    /// Beside the lock: whoever asks must not wait for a disk.
    unsaved: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    saved: Saved,
    unsaved: Arc<AtomicBool>,
}

impl Store {
    /// Opens the state in `dir`, which is made if it is not there. Never fails; what is wrong is
    /// logged, and [`Store::is_degraded`] tells it.
    pub fn open(dir: &Path, now: Time) -> Self {
        let path = dir.join("state.json");
        let unknown = match fs::create_dir_all(dir).and_then(|()| read(&path)) {
            Ok(found) => Ok(found.unwrap_or(Saved { next_track_id: 1, next_event_id: 1, boot_ms: 0 })),
            Err(error) => {
                tracing::warn!("state in {}: {error}", dir.display());
                Err(from_clock(now))
            }
        };
        let mut saved = unknown.unwrap_or_else(|guess| guess);
        saved.boot_ms = now.epoch_ms.max(saved.boot_ms.saturating_add(1));
        let unsaved = Arc::new(AtomicBool::new(false));
        let mut inner = Inner { path, saved, unsaved: Arc::clone(&unsaved) };
        inner.write();
        if unsaved.load(Ordering::Relaxed) {
            // What can't be reserved may be given again at the next start, unless it starts higher.
            let guess = from_clock(now);
            inner.saved.next_track_id = saved.next_track_id.max(guess.next_track_id);
            inner.saved.next_event_id = saved.next_event_id.max(guess.next_event_id);
        }
        Self { inner: Arc::new(Mutex::new(inner)), unsaved }
    }

    /// When this process started, milliseconds since the epoch; later than at any start before.
    pub fn boot_ms(&self) -> u64 {
        self.with(|inner| inner.saved.boot_ms)
    }

    /// The last write failed: ids may not survive a restart.
    pub fn is_degraded(&self) -> bool {
        self.unsaved.load(Ordering::Relaxed)
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
        StoredIds { store: self.clone(), counter, next: 1, left: 0 }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn write(&mut self) {
        let written = replace(&self.path, &self.saved);
        if let Err(error) = &written {
            tracing::warn!("ids may not survive a restart: can't write {}: {error}", self.path.display());
        }
        self.unsaved.store(written.is_err(), Ordering::Relaxed);
    }
}

/// Ids that rise from start to start without a memory: one for every second since 2026.
fn from_clock(now: Time) -> Saved {
    let seconds = (now.epoch_ms / 1000).saturating_sub(YEAR_2026_S);
    let start = u32::try_from(seconds).unwrap_or(1).max(1);
    Saved { next_track_id: start, next_event_id: start, boot_ms: 0 }
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
            self.left = RANGE.min((u32::MAX - self.next).saturating_add(1));
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
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
    let parsed = serde_json::from_slice(&text).map_err(|e| e.to_string());
    let checked = parsed.and_then(|saved: Saved| match saved {
        Saved { next_track_id: 0, .. } | Saved { next_event_id: 0, .. } => Err("an id of 0".to_owned()),
        saved => Ok(saved),
    });
    match checked {
        Ok(saved) => Ok(Some(saved)),
        Err(e) => {
            let aside = path.with_extension("json.corrupt");
            fs::rename(path, &aside)?;
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("{e}; set aside as {}", aside.display())))
        }
    }
}

fn replace(path: &Path, saved: &Saved) -> io::Result<()> {
    replace_file(path, serde_json::to_string(saved)?.as_bytes(), Readers::AsUsual)
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
            assert!(!store.is_degraded());
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
        assert!(!store.is_degraded());
        assert!(store.track_ids().next_id() > 30_000_000);
        assert_eq!(fs::read(dir.path().join("state.json.corrupt")).unwrap(), b"{\"next_tr");
    }

    #[test]
    fn ids_that_can_be_read_but_not_reserved_are_not_given_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = Store::open(dir.path(), NOW).track_ids().next_id();
        // A folder where the new file should be: the state can be read, and never written.
        fs::create_dir(dir.path().join("state.json.new")).unwrap();
        let later = |seconds: u64| Time { epoch_ms: NOW.epoch_ms + 1000 * seconds, ..NOW };
        let mut last = first;
        for start in 1..4 {
            let store = Store::open(dir.path(), later(start * 60));
            assert!(store.is_degraded());
            let id = store.track_ids().next_id();
            assert!(id > last, "{id} after {last}");
            last = id;
        }
        fs::remove_dir(dir.path().join("state.json.new")).unwrap();
        assert!(!Store::open(dir.path(), later(600)).is_degraded());
    }

    #[test]
    fn the_last_ids_are_used_and_then_they_begin_again() {
        let dir = tempfile::tempdir().unwrap();
        let nearly = format!("{{\"next_track_id\":{},\"next_event_id\":1,\"boot_ms\":1}}", u32::MAX - 1);
        fs::write(dir.path().join("state.json"), nearly).unwrap();
        let mut ids = Store::open(dir.path(), NOW).track_ids();
        assert_eq!(
            [ids.next_id(), ids.next_id(), ids.next_id(), ids.next_id()],
            [u32::MAX - 1, u32::MAX, 1, 2]
        );
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
