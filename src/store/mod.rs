//! What must survive a restart: which ids were used, when the process last started, and small documents.
//!
//! Files in the state folder, each replaced atomically (write beside, sync, rename). One thread writes them; no
//! caller waits for the disk longer than it asks to.
//!
//! - The folder belongs to one process: the second one gets [`InUse`].
//! - An id is given out only when its range is on the disk. Without a disk ids come from a part of their own, where
//!   no two starts meet ([`ids`]).
//! - A disk that fails, or that takes longer than [`WRITE_BOUND`], is a degraded state ([`Store::is_degraded`]) that
//!   ends when a write works again; it is tried every 2 s.
//! - A folder that was deleted or replaced while running is noticed within 2 s and made again with all that is known
//!   here ([`Store::was_lost`]).
//! - A `state.json` that can't be read is set aside under its own name with `.corrupt` added, never overwritten.
//!
//! Does not belong here: messages that wait for a broker, and secrets; they have files of their own.

mod folder;
mod ids;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::TryRng;
use rand::rngs::SysRng;

use crate::base::{IdSource, Time};
use folder::{Disk, Folder};
use ids::Pool;
use writer::{LOOK_EVERY, Writer};

/// A write that takes longer is a fault.
pub const WRITE_BOUND: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 2_000 });
/// How long a folder that was lost is told of, at least.
const LOST_FOR: Duration = Duration::from_secs(5);
/// How long the last handle waits for the thread.
const END_WITHIN: Duration = Duration::from_millis(500);

/// The state folder belongs to another process.
#[derive(Debug, thiserror::Error)]
#[error("state folder {} is in use by another omnisight: stop it, or give this one its own [state] dir", .0.display())]
pub struct InUse(PathBuf);

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Saved {
    /// Every reserved track id below this may have been used.
    next_track_id: u32,
    /// Every reserved event id below this may have been used.
    next_event_id: u32,
    /// The last start of the process, milliseconds since the epoch.
    boot_ms: u64,
}

/// The state folder of one camera. Clones share it.
#[derive(Clone)]
pub struct Store {
    owner: Arc<Owner>,
    boot_ms: u64,
}

/// Stops the thread when the last handle is gone.
struct Owner(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    asked: Condvar,
    /// A turn has ended.
    turned: Condvar,
}

struct State {
    tracks: Pool,
    events: Pool,
    boot_ms: u64,
    documents: BTreeMap<&'static str, Document>,
    turns: u64,
    /// Since when the thread has waited for the disk.
    busy_since: Option<Instant>,
    failure: Option<String>,
    in_use: bool,
    lost: Option<Instant>,
    stopping: bool,
    ended: bool,
}

/// The newest content of a file, and which version of it the disk has.
struct Document {
    bytes: Arc<[u8]>,
    version: u64,
    written: u64,
}

impl Store {
    /// Takes the folder `dir`, which is made if it is not there, and reads it; waits [`WRITE_BOUND`] at most. A disk
    /// that can't be used is no error: it is logged, and [`Store::is_degraded`].
    ///
    /// # Errors
    /// [`InUse`] when another process has the folder.
    pub fn open(dir: &Path, now: Time) -> Result<Self, InUse> {
        Self::start(Folder::new(dir), now, WRITE_BOUND).ok_or_else(|| InUse(dir.to_owned()))
    }

    fn start(disk: impl Disk, now: Time, within: Duration) -> Option<Self> {
        let random = SysRng.try_next_u32().unwrap_or(now.epoch_ms as u32);
        let unknown_start = ids::unsaved_start(now, random);
        let state = State {
            tracks: Pool::new(unknown_start),
            events: Pool::new(unknown_start),
            boot_ms: now.epoch_ms,
            documents: BTreeMap::new(),
            turns: 0,
            busy_since: None,
            failure: None,
            in_use: false,
            lost: None,
            stopping: false,
            ended: false,
        };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), asked: Condvar::new(), turned: Condvar::new() });
        let writer = Writer { disk, shared: Arc::clone(&shared), unknown_start, saved: None };
        let spawned = std::thread::Builder::new().name("state".to_owned()).spawn(move || writer.run());
        if let Err(error) = spawned {
            shared.with(|state| (state.failure, state.ended) = (Some(error.to_string()), true));
        }
        let owner = Arc::new(Owner(Arc::clone(&shared)));
        shared.wait(within, |state| state.turns > 0 || state.ended);
        let (in_use, boot_ms) = shared.with(|state| (state.in_use, state.boot_ms));
        (!in_use).then_some(Self { owner, boot_ms })
    }

    /// When this process started, milliseconds since the epoch; later than at any start before that is known.
    pub fn boot_ms(&self) -> u64 {
        self.boot_ms
    }

    /// The last write failed, or one takes too long: state may not survive a restart.
    pub fn is_degraded(&self) -> bool {
        self.owner.0.with(|state| state.failure.is_some()) || self.busy_for() > WRITE_BOUND
    }

    /// The folder was deleted or replaced of late.
    pub fn was_lost(&self) -> bool {
        self.owner.0.with(|state| state.lost.is_some_and(|since| since.elapsed() < LOST_FOR))
    }

    /// How long the thread has waited for the disk.
    pub fn busy_for(&self) -> Duration {
        self.owner.0.with(|state| state.busy_since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// The camera's track ids.
    pub fn track_ids(&self) -> StoredIds {
        StoredIds { store: self.clone(), pool: |state| &mut state.tracks }
    }

    /// The camera's event ids.
    pub fn event_ids(&self) -> StoredIds {
        StoredIds { store: self.clone(), pool: |state| &mut state.events }
    }

    /// Remembers what a file of the folder holds, so that the folder can be made again.
    pub fn keep(&self, name: &'static str, bytes: &[u8]) {
        self.owner.0.with(|state| {
            state.documents.entry(name).or_insert_with(|| Document {
                bytes: bytes.into(),
                version: 1,
                written: 1,
            });
        });
    }

    /// Replaces a file of the folder, readable by its owner alone, and waits `within` for the disk to have it. What
    /// the disk does not take is tried again until it does, or until something newer is put in its place. Blocks.
    ///
    /// # Errors
    /// Why the disk does not have it yet, in words.
    pub fn save(&self, name: &'static str, bytes: &[u8], within: Duration) -> Result<(), String> {
        let shared = &self.owner.0;
        let (version, turns) = shared.with(|state| {
            let document = state.documents.entry(name).or_insert_with(|| Document {
                bytes: Arc::default(),
                version: 0,
                written: 0,
            });
            document.bytes = bytes.into();
            document.version += 1;
            (document.version, state.turns)
        });
        shared.asked.notify_one();
        if within.is_zero() {
            return Ok(());
        }
        let is_written =
            |state: &State| state.documents.get(name).is_some_and(|document| document.written >= version);
        // A turn may have begun before this was asked for.
        shared.wait(within, |state| is_written(state) || state.turns > turns + 1 || state.ended);
        shared.with(|state| {
            if is_written(state) {
                return Ok(());
            }
            Err(state.failure.clone().unwrap_or_else(|| "the disk does not answer".to_owned()))
        })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.with(|state| state.stopping = true);
        self.0.asked.notify_one();
        self.0.wait(END_WITHIN, |state| state.ended);
    }
}

impl Shared {
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is so, or the time is over.
    fn wait(&self, within: Duration, is_so: impl Fn(&State) -> bool) {
        let waiting = self.turned.wait_timeout_while(self.lock(), within, |state| !is_so(state));
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until the writer has a turn; false when there is none any more.
    fn next_turn(&self, last: Option<Instant>) -> bool {
        let mut state = self.lock();
        loop {
            let since = last.map_or(Duration::MAX, |last| last.elapsed());
            // What failed waits for the next look.
            let wanted = state.failure.is_none() && state.has_work();
            if state.stopping && !(wanted && last.is_some()) {
                return false;
            }
            if wanted || since >= LOOK_EVERY {
                state.busy_since = Some(Instant::now());
                return true;
            }
            let wait = LOOK_EVERY - since;
            state = self.asked.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn end_turn(&self, done: std::io::Result<()>) {
        self.with(|state| {
            state.turns += 1;
            state.busy_since = None;
            match done {
                Ok(()) => {
                    if state.failure.take().is_some() {
                        tracing::info!("the state folder can be written again");
                    }
                }
                Err(error) => {
                    if state.failure.is_none() {
                        tracing::error!("the state folder can't be used, what is kept there may not survive a restart: {error}");
                    }
                    state.in_use |= error.kind() == std::io::ErrorKind::ResourceBusy;
                    state.failure = Some(error.to_string());
                }
            }
        });
        self.turned.notify_all();
    }
}

impl State {
    fn has_work(&self) -> bool {
        let unwritten = self.documents.values().any(|document| document.written < document.version);
        unwritten || self.tracks.wants() || self.events.wants()
    }

    fn unwritten(&self) -> Vec<(&'static str, u64, Arc<[u8]>)> {
        let unwritten = self.documents.iter().filter(|(_, document)| document.written < document.version);
        unwritten.map(|(name, document)| (*name, document.version, Arc::clone(&document.bytes))).collect()
    }

    fn note_written(&mut self, name: &str, version: u64) {
        if let Some(document) = self.documents.get_mut(name) {
            document.written = document.written.max(version);
        }
    }

    /// The disk has nothing any more.
    fn note_lost(&mut self) {
        self.lost = Some(Instant::now());
        self.documents.values_mut().for_each(|document| {
            document.version = document.version.max(document.written) + 1;
        });
    }
}

/// Ids of one kind, from the disk's ranges.
pub struct StoredIds {
    store: Store,
    pool: fn(&mut State) -> &mut Pool,
}

impl IdSource for StoredIds {
    fn next_id(&mut self) -> u32 {
        let (id, wants) = self.store.owner.0.with(|state| {
            let pool = (self.pool)(state);
            (pool.take(), pool.wants())
        });
        if wants {
            self.store.owner.0.asked.notify_one();
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io;

    use super::ids::UNSAVED_FROM;
    use super::*;
    use crate::base::Readers;
    use folder::Hold;

    const NOW: Time = Time { mono_ns: 0, epoch_ms: 1_800_000_000_000 };

    fn open(dir: &Path) -> Store {
        Store::open(dir, NOW).unwrap()
    }

    /// Waits until it is so: a few looks at the disk at most.
    fn until(what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(10), "never: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A disk that a test stops, and that may fail.
    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<(bool, bool, Vec<u8>)>, Condvar)>);

    impl Gate {
        fn set(&self, hangs: bool, fails: bool) {
            let mut inner = self.0.0.lock().unwrap();
            (inner.0, inner.1) = (hangs, fails);
            self.0.1.notify_all();
        }

        fn state(&self) -> Saved {
            serde_json::from_slice(&self.0.0.lock().unwrap().2).unwrap()
        }
    }

    impl Disk for Gate {
        fn hold(&mut self) -> io::Result<Hold> {
            let inner = self.0.1.wait_while(self.0.0.lock().unwrap(), |inner| inner.0).unwrap();
            if inner.1 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(Hold::Same) }
        }

        fn read(&mut self, _: &str) -> io::Result<Option<Vec<u8>>> {
            Ok(None)
        }

        fn rename(&mut self, _: &str, _: &str) -> io::Result<()> {
            Ok(())
        }

        fn write(&mut self, name: &str, bytes: &[u8], _: Readers) -> io::Result<()> {
            self.hold()?;
            if name == "state.json" {
                self.0.0.lock().unwrap().2 = bytes.to_vec();
            }
            Ok(())
        }
    }

    #[test]
    fn ids_are_never_given_twice_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = BTreeSet::new();
        for start in 0..3 {
            let now = Time { epoch_ms: NOW.epoch_ms + 5_000 * start, ..NOW };
            let store = Store::open(dir.path(), now).unwrap();
            let (mut tracks, mut events) = (store.track_ids(), store.event_ids());
            for _ in 0..1_500 {
                assert!(seen.insert(("track", tracks.next_id())) && seen.insert(("event", events.next_id())));
            }
            assert!(!store.is_degraded());
        }
    }

    #[test]
    fn an_id_is_given_only_when_its_range_is_on_the_disk() {
        let disk = Gate::default();
        let store = Store::start(disk.clone(), NOW, WRITE_BOUND).unwrap();
        let mut ids = store.event_ids();
        let mut reserved = 0;
        // The disk is full when the range ends.
        disk.set(false, true);
        for _ in 0..3_000 {
            let id = ids.next_id();
            assert!(id >= UNSAVED_FROM || id < disk.state().next_event_id, "{id} is not on the disk");
            reserved += u32::from(id < UNSAVED_FROM);
        }
        assert!(reserved > 0);
        until("named", || store.is_degraded());
        disk.set(false, false);
        until("the failure ends", || !store.is_degraded());
    }

    #[test]
    fn a_disk_that_hangs_holds_up_no_id_is_named_and_costs_the_end_no_more_than_its_bound() {
        let disk = Gate::default();
        disk.set(true, false);
        let began = Instant::now();
        let store = Store::start(disk.clone(), NOW, Duration::from_millis(50)).unwrap();
        let (mut ids, mut seen) = (store.track_ids(), BTreeSet::new());
        for _ in 0..2_000 {
            assert!(seen.insert(ids.next_id()));
        }
        assert!(began.elapsed() < WRITE_BOUND);
        until("named", || store.is_degraded());
        assert_eq!(store.save("a", b"1", Duration::from_millis(20)), Err("the disk does not answer".into()));
        disk.set(false, false);
        until("the failure ends", || !store.is_degraded());
        assert_eq!(store.save("a", b"2", WRITE_BOUND), Ok(()));
        disk.set(true, false);
        let _ = store.save("a", b"3", Duration::ZERO);
        let ends = Instant::now();
        drop((store, ids));
        assert!(ends.elapsed() < 2 * END_WITHIN);
        disk.set(false, false);
    }

    #[test]
    fn a_folder_that_is_deleted_or_replaced_is_noticed_and_made_again_with_all_that_is_known() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("state");
        let store = open(&dir);
        let mut ids = store.track_ids();
        let first = ids.next_id();
        store.save("settings.json", b"{}", WRITE_BOUND).unwrap();
        store.keep("key", b"secret");
        for replaced in [false, true] {
            fs::rename(&dir, root.path().join(format!("old-{replaced}"))).unwrap();
            if replaced {
                fs::create_dir(&dir).unwrap();
            }
            until("made again", || dir.join("settings.json").exists() && dir.join("key").exists());
            assert!(store.was_lost() && !store.is_degraded());
            fs::remove_file(dir.join("state.json")).ok();
            until("made again", || dir.join("state.json").exists());
        }
        drop((store, ids));
        assert!(open(&dir).track_ids().next_id() > first);
    }

    #[test]
    fn a_folder_belongs_to_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let error = Store::open(dir.path(), NOW).err().unwrap().to_string();
        assert!(
            error.contains("in use by another") && error.contains(dir.path().to_str().unwrap()),
            "{error}"
        );
        drop(store);
        assert!(!open(dir.path()).is_degraded());
    }

    #[test]
    fn the_boot_time_rises_even_when_the_clock_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path()).boot_ms();
        let second = Store::open(dir.path(), Time { epoch_ms: 5, ..NOW }).unwrap().boot_ms();
        assert!(second > first);
    }

    #[test]
    fn a_corrupt_file_is_set_aside_and_its_ids_are_not_given_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("state.json"), b"{\"next_tr").unwrap();
        let first = open(dir.path()).track_ids().next_id();
        assert!(first >= UNSAVED_FROM);
        assert_eq!(fs::read(dir.path().join("state.json.corrupt")).unwrap(), b"{\"next_tr");
        let store = open(dir.path());
        assert!(!store.is_degraded() && store.track_ids().next_id() > first);
    }

    #[test]
    fn ids_that_can_be_read_but_not_reserved_are_not_given_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut last = open(dir.path()).track_ids().next_id();
        // A folder where the new file should be: the state can be read, and never written.
        fs::create_dir(dir.path().join("state.json.new")).unwrap();
        let later = |seconds: u64| Time { epoch_ms: NOW.epoch_ms + 1000 * seconds, ..NOW };
        for start in 1..4 {
            let store = Store::open(dir.path(), later(start * 60)).unwrap();
            assert!(store.is_degraded());
            let id = store.track_ids().next_id();
            assert!(id > last, "{id} after {last}");
            last = id;
        }
        fs::remove_dir(dir.path().join("state.json.new")).unwrap();
        let store = Store::open(dir.path(), later(600)).unwrap();
        assert!(!store.is_degraded() && store.track_ids().next_id() < UNSAVED_FROM);
    }

    #[test]
    fn where_nothing_can_be_written_the_camera_goes_on_and_says_so_until_something_can() {
        let dir = tempfile::tempdir().unwrap();
        let not_a_dir = dir.path().join("file");
        fs::write(&not_a_dir, b"").unwrap();
        let store = open(&not_a_dir.join("state"));
        assert!(store.is_degraded());
        let mut ids = store.track_ids();
        assert_ne!(ids.next_id(), ids.next_id());
        fs::remove_file(&not_a_dir).unwrap();
        until("the failure ends", || !store.is_degraded());
    }
}
