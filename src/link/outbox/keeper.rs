//! Brings what the index knows to the disk and back: one turn at a time, on a thread of its own.
//!
//! A turn that fails leaves the index's list as it was; the next one tries the same again, in a store
//! opened anew if it must be. The index is locked while a batch is filled, never while the disk works.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::RowId;
use super::index::Index;
use super::log::{Batch, Disk, Log};
use crate::base::Time;
use crate::model::Envelope;

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
}

/// See the module.
pub(super) struct Keeper<D> {
    open: Box<dyn FnMut() -> io::Result<D> + Send>,
    log: Option<Log<D>>,
    counters: DiskCounters,
}

impl<D: Disk> Keeper<D> {
    pub(super) fn new(open: impl FnMut() -> io::Result<D> + Send + 'static) -> Self {
        Self { open: Box::new(open), log: None, counters: DiskCounters::default() }
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
        let (log, found) = Log::open((self.open)()?)?;
        self.counters.torn_bytes += found.torn_bytes;
        self.counters.damaged_bytes += found.damaged_bytes;
        self.counters.set_aside += found.set_aside.len() as u64;
        if found.torn_bytes > 0 {
            tracing::info!(bytes = found.torn_bytes, "outbox: dropped a write that a power cut broke off");
        }
        for name in &found.set_aside {
            tracing::error!("outbox: a file is damaged or of a newer version, set aside as {name}");
        }
        self.log = Some(log);
        lock(index).recover(found.rows, now);
        Ok(())
    }

    /// Writes what the disk must learn; an error leaves all as it was.
    pub(super) fn commit(&mut self, index: &Mutex<Index>, now: Time) -> io::Result<()> {
        self.open(index, now)?;
        let Some(log) = &mut self.log else { return Ok(()) };
        let (mut batch, mut released) = (Batch::default(), Vec::new());
        let filled = lock(index).fill(&mut batch, &mut released);
        for place in released {
            log.release(place);
        }
        // Before anything is written: it may be what makes room on a full disk.
        log.delete_dead();
        write(log, batch, filled, index, &mut self.counters)?;
        let cleaned = log.clean(|id, place| lock(index).links_at(id, place))?;
        if let Some(batch) = cleaned {
            write(log, batch, 0, index, &mut self.counters)?;
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
    filled: usize,
    index: &Mutex<Index>,
    counters: &mut DiskCounters,
) -> io::Result<()> {
    let places = if batch.is_empty() {
        Vec::new()
    } else {
        let began = Instant::now();
        let places = log.append(batch)?;
        counters.commits += 1;
        counters.last_commit = began.elapsed();
        places
    };
    lock(index).placed(filled, &places);
    Ok(())
}

/// Held for microseconds only, and by nobody who does I/O.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
