//! What must survive a restart: which ids were used, when the process last started, and small documents.
//!
//! Files in the state folder, each replaced atomically (write beside, sync, rename). One thread writes them; no
//! caller waits for the disk longer than it asks to.
//!
//! - The folder belongs to one process: the second one gets [`InUse`].
//! - An id is given out only when its range is on the disk. Without a disk ids come from a part of their own, where
//!   no two starts meet ([`ids`]).
//! - A disk that fails, or that takes longer than [`WRITE_BOUND`], is a degraded state ([`Store::is_degraded`]) that
//!   ends when a write works again; it is tried every second.
//! - A folder that was deleted or replaced while running is noticed within 2 s and made again with all that is known
//!   here ([`Store::was_lost`]).
//! - Folders that another part of the process writes into are looked at too ([`Store::look_after`]): their faults are
//!   those of the store.
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
use folder::{Disk, Folder, LOCK_FILE};
use ids::Pool;
use writer::{LOOK_EVERY, Writer};

/// A write that takes longer is a fault.
pub const WRITE_BOUND: Duration = Duration::from_secs(2);
/// How long a folder that was lost is reported, at least.
const LOST_FOR: Duration = Duration::from_secs(8);
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
    write_bound: Duration,
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
    /// Folders of others that the thread has not taken yet.
    others: Vec<PathBuf>,
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
        Self::start(Folder::new(dir, LOCK_FILE), now, WRITE_BOUND).ok_or_else(|| InUse(dir.to_owned()))
    }

    fn start(disk: impl Disk, now: Time, write_bound: Duration) -> Option<Self> {
        let random = SysRng.try_next_u32().unwrap_or(now.epoch_ms as u32);
        let unknown_start = ids::unsaved_start(now, random);
        let state = State {
            tracks: Pool::new(unknown_start),
            events: Pool::new(unknown_start),
            boot_ms: now.epoch_ms,
            documents: BTreeMap::new(),
            others: Vec::new(),
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
        let writer =
            Writer { disk, shared: Arc::clone(&shared), unknown_start, others: Vec::new(), saved: None };
        let spawned = std::thread::Builder::new().name("state".to_owned()).spawn(move || writer.run());
        if let Err(error) = spawned {
            shared.with(|state| (state.failure, state.ended) = (Some(error.to_string()), true));
        }
        let owner = Arc::new(Owner(Arc::clone(&shared)));
        shared.wait(write_bound, |state| state.turns > 0 || state.ended);
        let (in_use, boot_ms) = shared.with(|state| (state.in_use, state.boot_ms));
        (!in_use).then_some(Self { owner, boot_ms, write_bound })
    }

    /// When this process started, milliseconds since the epoch; later than at any start before that is known.
    pub fn boot_ms(&self) -> u64 {
        self.boot_ms
    }

    /// The last write failed, or one takes too long: state may not survive a restart.
    pub fn is_degraded(&self) -> bool {
        self.owner.0.with(|state| state.failure.is_some()) || self.busy_for() > self.write_bound
    }

    /// The folder was deleted or replaced of late.
    pub fn was_lost(&self) -> bool {
        self.owner.0.with(|state| state.lost.is_some_and(|since| since.elapsed() < LOST_FOR))
    }

    /// How long the thread has waited for the disk.
    pub fn busy_for(&self) -> Duration {
        self.owner.0.with(|state| state.busy_since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// Looks at this folder from now on, as at its own: it is there, has room and can be written to. Its
    /// contents belong to the part that writes them.
    pub fn look_after(&self, dir: PathBuf) {
        self.owner.0.with(|state| state.others.push(dir));
        self.owner.0.asked.notify_one();
    }

    /// Writes what waits and leaves the folder to others, as the end of the last handle does. Blocks while the disk does,
    /// for a bounded time.
    pub fn close(&self) {
        self.owner.end();
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

impl Owner {
    fn end(&self) {
        self.0.with(|state| state.stopping = true);
        self.0.asked.notify_one();
        self.0.wait(END_WITHIN, |state| state.ended);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.end();
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
            let wait = LOOK_EVERY.saturating_sub(since);
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
        unwritten || self.tracks.wants() || self.events.wants() || !self.others.is_empty()
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
mod tests;
