//! Brings what the index knows to the disk and back: one turn at a time, on a thread of its own.
//!
//! A turn that fails leaves the index's list as it was; the next one tries the same again, in a store
//! opened anew if it must be. The index is locked while a batch is filled, never while the disk works.
//!
//! A store whose folder was deleted or replaced is moved: what is held open is read, and written where the next
//! start looks for it.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::RowId;
use super::index::Index;
use super::log::{Batch, Disk, Log, Place};
use super::row::Stored;
use crate::base::Time;
use crate::model::Envelope;

/// Bytes of rows that are moved at once.
const MOVE_BYTES: usize = 256 << 10;

/// What the disk went through since the start.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DiskCounters {
    /// Bytes of the store's files.
    pub bytes: u64,
    /// Batches that were written and synced.
    pub commits: u64,
    /// How long the last one took.
    pub last_commit: Duration,
    /// Bytes of a batch that a power cut broke off, and that were dropped.
    pub torn_bytes: u64,
    /// Bytes that could not be read, in files that were set aside.
    pub damaged_bytes: u64,
    /// Files that were set aside.
    pub set_aside: u64,
    /// How often the folder was deleted or replaced while it was in use.
    pub lost: u64,
}

/// See the module.
pub(super) struct Keeper<D> {
    open: Box<dyn FnMut() -> io::Result<D> + Send>,
    log: Option<Log<D>>,
    openings: u32,
    /// The last turn failed: the next one must show that the disk works.
    failed: bool,
    counters: DiskCounters,
}

impl<D: Disk> Keeper<D> {
    pub(super) fn new(open: impl FnMut() -> io::Result<D> + Send + 'static) -> Self {
        Self {
            open: Box::new(open),
            log: None,
            openings: 0,
            failed: false,
            counters: DiskCounters::default(),
        }
    }

    pub(super) fn counters(&self) -> DiskCounters {
        let bytes = self.log.as_ref().map_or(0, Log::bytes);
        DiskCounters { bytes, ..self.counters }
    }

    /// Opens the store if it is not open, and tells the index what is in it.
    pub(super) fn open(&mut self, index: &Mutex<Index>, now: Time) -> io::Result<()> {
        if self.log.is_some() {
            return Ok(());
        }
        self.log = Some(self.open_log(index, now)?);
        Ok(())
    }

    fn open_log(&mut self, index: &Mutex<Index>, now: Time) -> io::Result<Log<D>> {
        self.openings += 1;
        let (log, found) = Log::open((self.open)()?, self.openings)?;
        self.counters.torn_bytes += found.torn_bytes;
        self.counters.damaged_bytes += found.damaged_bytes;
        self.counters.set_aside += found.set_aside.len() as u64;
        if found.torn_bytes > 0 {
            tracing::info!(bytes = found.torn_bytes, "outbox: dropped a write that a power cut broke off");
        }
        for name in &found.set_aside {
            tracing::error!("outbox: a file is damaged or of a newer version, set aside as {name}");
        }
        lock(index).recover(found.rows, now);
        Ok(log)
    }

    /// Sees that the store is where the next start looks for it, and moves it there when it is not.
    pub(super) fn look(&mut self, index: &Mutex<Index>, now: Time) -> io::Result<()> {
        self.open(index, now)?;
        let Some(former) = &mut self.log else { return Ok(()) };
        if former.is_in_place()? {
            return Ok(());
        }
        if !self.failed {
            tracing::error!("outbox: its folder was deleted or replaced while running, it is made again");
            self.counters.lost += 1;
        }
        let mut log = self.open_log(index, now)?;
        let (mut batch, mut places, mut unreadable) = (Batch::default(), Vec::new(), Vec::new());
        for (id, place, links) in lock(index).placed_rows() {
            let resident = || lock(index).resident(id);
            let read = |former: &mut Log<D>| former.read(id, place).ok().flatten();
            let row = self.log.as_mut().and_then(read).map(|stored| (stored.put_ms, stored.envelope));
            match row.or_else(resident) {
                Some((put_ms, envelope)) => batch.put(id, &Stored { links, put_ms, envelope }),
                None => unreadable.push(id),
            }
            if batch.len() >= MOVE_BYTES {
                places.extend(log.append(std::mem::take(&mut batch))?);
            }
        }
        if !batch.is_empty() {
            places.extend(log.append(batch)?);
        }
        let mut index = lock(index);
        index.moved(&places);
        for id in unreadable {
            index.loaded(id, None);
        }
        self.log = Some(log);
        Ok(())
    }

    /// Writes what the disk must learn, and with `probe` even nothing; an error leaves all as it was.
    pub(super) fn commit(&mut self, index: &Mutex<Index>, now: Time, probe: bool) -> io::Result<()> {
        let done = self.try_commit(index, now, probe || self.failed);
        self.failed = done.is_err();
        done
    }

    fn try_commit(&mut self, index: &Mutex<Index>, now: Time, probe: bool) -> io::Result<()> {
        self.look(index, now)?;
        let Some(log) = &mut self.log else { return Ok(()) };
        let (mut batch, mut released) = (Batch::default(), Vec::new());
        lock(index).fill(&mut batch, &mut released);
        for place in released {
            log.release(place);
        }
        // Before anything is written: it may be what makes room on a full disk.
        log.delete_dead();
        if !batch.is_empty() || probe {
            let places = write(log, batch, &mut self.counters)?;
            lock(index).placed(&places);
        }
        lock(index).written();
        let cleaned = log.clean(|id, place| lock(index).links_at(id, place))?;
        if let Some(batch) = cleaned.filter(|batch| !batch.is_empty()) {
            let places = write(log, batch, &mut self.counters)?;
            lock(index).moved(&places);
        }
        Ok(())
    }

    /// Reads a row back; none: it is damaged or gone.
    pub(super) fn load(&mut self, index: &Mutex<Index>, id: RowId) -> Option<Envelope> {
        let place = lock(index).place_of(id)?;
        match self.log.as_mut()?.read(id, place) {
            Ok(stored) => stored.map(|stored| stored.envelope),
            Err(error) => {
                tracing::error!("outbox: a message can't be read back and is lost: {error}");
                None
            }
        }
    }
}

fn write<D: Disk>(
    log: &mut Log<D>,
    batch: Batch,
    counters: &mut DiskCounters,
) -> io::Result<Vec<(RowId, Place)>> {
    let began = Instant::now();
    let places = log.append(batch)?;
    counters.commits += 1;
    counters.last_commit = began.elapsed();
    Ok(places)
}

/// Held for microseconds only, and by nobody who does I/O.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
