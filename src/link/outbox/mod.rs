//! What waits to be sent.
//!
//! ```text
//! durable:  put -> index -> [commit] -> log on disk -> link's window (queue) -> session -> broker
//!                    ^______ settled (PUBACK, PUBCOMP, or the application's word) ______|
//! others:   ------------------------------------> link's queues -> session -> broker
//! ```
//!
//! - A durable message is *accepted* when it is committed: written and synced ([`OutboxCounters::committed`]).
//!   It is sent only then, and forgotten only when every link that carries it has settled it. A restart
//!   sends again, in order, what was committed and not settled. Between a broker's acknowledgement and the
//!   commit of the removal a crash makes a duplicate, never a loss; its stable key lets receivers drop it.
//! - At most one commit begins in `commit_delay`; what comes meanwhile shares the next one. Removals alone
//!   wait up to `REMOVAL_DELAY` for a message to share a commit with.
//! - One store serves all links; each has a cursor of its own over it. Links may come and go while it runs
//!   ([`Outbox::admit`], [`Outbox::dismiss`]). In memory is an index of about 200
//!   bytes a row, and a window of payloads.
//! - A disk that is full, read-only or broken, or that takes longer than `WRITE_BOUND`: messages are sent from
//!   memory, within [`OutboxLimits::in_memory`], and the disk is tried again every `RETRY`.
//!   [`OutboxStatus::failure`] says why.
//! - A disk whose turns take longer than `LONG_TURN` time after time is slow. For `SLOW_FOR` after a long turn looks
//!   at the folder write, so that an outbox with few messages finds a slow disk, and its end, too.
//! - A folder that was deleted or replaced is noticed within `LOOK_EVERY`, and what it held is written again.
//! - Nothing is lost silently: every eviction, expiry and damage has a counter.
//!
//! `index`, `queue`, `row` and `log` are pure or behind a seam; `folder`, `keeper` and the thread in `writer` do
//! the I/O.

#[cfg(test)]
mod fake;
mod folder;
mod index;
mod keeper;
mod log;
mod queue;
mod rate;
mod row;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::TryRng;
use rand::rngs::SysRng;
use tokio::sync::Notify;

use folder::Folder;
pub(super) use index::Outcome;
use index::{Index, LINKS_MAX, Taken};
pub use index::{OutboxCounters, OutboxLimits};
pub use keeper::DiskCounters;
use keeper::{Keeper, lock};
use log::Disk;
pub(super) use queue::{Entry, Queues};
pub use queue::{PerClass, QueueLimits, WaitingLimits};
pub(super) use rate::TRACK_RATE_MAX_HZ;
use writer::Writer;

use crate::base::{Clock, Time};
use crate::model::{Envelope, MessageClass};

/// Removals wait this long for a message to share a commit with.
const REMOVAL_DELAY: Duration = Duration::from_secs(1);
/// A disk that failed is tried again after this long.
const RETRY: Duration = Duration::from_secs(3);
/// A turn of the disk that takes longer is a fault.
const WRITE_BOUND: Duration = Duration::from_secs(2);
/// How often the watch looks for a disk that hangs, and the thread for its folder.
const WATCH_EVERY: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 500 });
const LOOK_EVERY: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 2_000 });
/// The same after a long turn that was alone so far.
const PROBE_EVERY: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 500 });
/// A turn of the disk that takes longer is a long one. One alone is no fault: flash memory pauses now and then.
const LONG_TURN: Duration = Duration::from_millis(300);
/// Two long turns within this time are a slow disk, and it is reported that long after the last of them.
const SLOW_FOR: Duration = Duration::from_secs(5);
/// How long a folder that was lost is reported, at least.
const LOST_FOR: Duration = Duration::from_secs(8);

/// Why nothing is on the disk while a turn of it takes too long.
const HANGS: &str = "the disk does not answer";

/// A row of the store; rises with every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RowId(pub(super) u64);

/// A link in the store: the checksum of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct LinkId(u32);

impl LinkId {
    fn of(name: &str) -> Self {
        Self(crc32fast::hash(name.as_bytes()))
    }
}

/// How an outbox is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxOptions {
    /// The folder for its files; one process at a time.
    pub dir: PathBuf,
    /// Least time from the begin of a commit to that of the next; zero: every message is committed as soon
    /// as the disk is free.
    pub commit_delay: Duration,
    /// Its bounds.
    pub limits: OutboxLimits,
}

impl OutboxOptions {
    /// The usual ones: a commit every 50 ms at most.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, commit_delay: Duration::from_millis(50), limits: OutboxLimits::default() }
    }
}

/// What an outbox shows of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxStatus {
    /// Why messages are kept in memory alone; none: they are on the disk.
    pub failure: Option<String>,
    /// The folder was deleted or replaced of late.
    pub lost: bool,
    /// Turns of the disk took long of late: what must not be lost leaves late.
    pub slow: bool,
    /// How long the present turn of the disk takes.
    pub busy_for: Duration,
    /// There was no room for a message of late: the least important give way.
    pub full: bool,
    /// Messages that not every link has settled.
    pub queued: PerClass,
    /// Their bytes.
    pub bytes: usize,
    /// What was counted.
    pub counters: OutboxCounters,
    /// The disk's part.
    pub disk: DiskCounters,
}

/// The store of durable messages; clones share it. It stops when the last one is gone, after a last commit.
#[derive(Clone)]
pub struct Outbox {
    owner: Arc<Owner>,
}

/// Stops the thread when the last handle is gone.
struct Owner {
    shared: Arc<Shared>,
    /// Of the links, by their positions; none where one is free.
    names: Mutex<[Option<String>; LINKS_MAX]>,
    clock: Arc<dyn Clock>,
}

struct Shared {
    index: Mutex<Index>,
    /// What the thread is asked for. Locked after the index, never before it.
    work: Mutex<Work>,
    asked: Condvar,
    ended: Condvar,
    links: [LinkSeat; LINKS_MAX],
    write_bound: Duration,
}

/// Where a link is told that there is something for it.
#[derive(Default)]
struct LinkSeat {
    ready: AtomicBool,
    wake: Mutex<Option<Arc<Notify>>>,
}

#[derive(Debug, Default, PartialEq)]
enum Life {
    #[default]
    Running,
    Stopping,
    Ended,
}

#[derive(Debug, Default)]
struct Work {
    loads: Vec<RowId>,
    /// A message waits to be written.
    puts: bool,
    /// A removal does.
    removals: bool,
    life: Life,
    failure: Option<String>,
    /// The disk was read once, or could not be.
    opened: bool,
    /// Since when the thread has waited for the disk.
    busy_since: Option<Instant>,
    lost: Option<Instant>,
    /// The last long turn.
    long: Option<Instant>,
    /// The last long turn that was not alone.
    slow: Option<Instant>,
    disk: DiskCounters,
}

impl Work {
    fn begin_turn(&mut self) {
        self.busy_since = Some(Instant::now());
    }

    fn end_turn(&mut self) {
        if self.busy_for() > LONG_TURN {
            let now = Some(Instant::now());
            if self.had_long_turn() {
                self.slow = now;
            }
            self.long = now;
        }
        self.busy_since = None;
    }

    fn had_long_turn(&self) -> bool {
        self.long.is_some_and(|long| long.elapsed() < SLOW_FOR)
    }

    fn is_slow(&self) -> bool {
        self.slow.is_some_and(|since| since.elapsed() < SLOW_FOR)
    }

    /// How often the thread looks for its folder.
    fn look_every(&self) -> Duration {
        if self.had_long_turn() && !self.is_slow() { PROBE_EVERY } else { LOOK_EVERY }
    }

    fn busy_for(&self) -> Duration {
        self.busy_since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Outbox {
    /// Opens the store for the links of these names (the first `LINKS_MAX` of them), and starts its thread;
    /// waits for the disk, but not longer than for a write. Never fails: a disk that can't be used is a status.
    /// What is found on the disk is sent by the links that carried it then, as far as they are still there.
    pub fn open(options: &OutboxOptions, links: &[&str], clock: Arc<dyn Clock>) -> Self {
        let dir = options.dir.clone();
        Self::open_on(move || Folder::open(&dir), options, links, clock, WRITE_BOUND)
    }

    fn open_on<D: Disk + 'static>(
        disk: impl FnMut() -> std::io::Result<D> + Send + 'static,
        options: &OutboxOptions,
        links: &[&str],
        clock: Arc<dyn Clock>,
        write_bound: Duration,
    ) -> Self {
        let named = |slot: usize| links.get(slot).map(|&name| name.to_owned());
        let names: [_; LINKS_MAX] = std::array::from_fn(named);
        let ids = links.iter().take(LINKS_MAX).map(|name| LinkId::of(name)).collect();
        let shared = Arc::new(Shared {
            index: Mutex::new(Index::new(options.limits, ids)),
            work: Mutex::default(),
            asked: Condvar::new(),
            ended: Condvar::new(),
            links: Default::default(),
            write_bound,
        });
        let thread = Writer {
            keeper: Keeper::new(disk),
            shared: Arc::clone(&shared),
            clock: Arc::clone(&clock),
            commit_delay: options.commit_delay,
        };
        let spawned = std::thread::Builder::new().name("outbox".to_owned()).spawn(move || thread.run());
        let watched = Arc::clone(&shared);
        let watch =
            std::thread::Builder::new().name("outbox-watch".to_owned()).spawn(move || watched.watch());
        if let Err(error) = spawned.and(watch) {
            shared.note_failure(&error.to_string());
            shared.work().life = Life::Ended;
        }
        let waiting = shared
            .ended
            .wait_timeout_while(shared.work(), write_bound, |work| work.life != Life::Ended && !work.opened);
        let (work, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        let (opened, failed) = (work.opened, work.failure.is_some());
        drop(work);
        if !opened || failed {
            // Rows that are found later must not have the ids of those that are put until then.
            let random = SysRng.try_next_u32().unwrap_or(clock.now().epoch_ms as u32);
            lock(&shared.index).start_ids_at(1 << 62 | u64::from(random) << 24);
        }
        if !opened {
            shared.note_failure(HANGS);
        }
        Self { owner: Arc::new(Owner { shared, names: Mutex::new(names), clock }) }
    }

    /// Takes a durable message for the links of these positions in the list given to [`Outbox::open`], a
    /// bit for each. Never blocks on the disk.
    pub(super) fn put(&self, envelope: Envelope, links: u16) {
        let shared = &self.owner.shared;
        lock(&shared.index).put(envelope, links, self.owner.clock.now());
        let fails = {
            let mut work = shared.work();
            if !std::mem::replace(&mut work.puts, true) {
                shared.asked.notify_one();
            }
            work.failure.is_some()
        };
        if fails {
            shared.wake_links();
        }
    }

    /// The application at the other end has the message with this key; whether it waited here.
    pub fn acknowledge(&self, key: &str) -> bool {
        let known = lock(&self.owner.shared.index).acknowledge(key);
        if known {
            self.owner.shared.ask_for_removal();
        }
        known
    }

    /// The position of a link, for [`Outbox::put`].
    pub(super) fn position(&self, link: &str) -> Option<usize> {
        lock(&self.owner.names).iter().position(|name| name.as_deref() == Some(link))
    }

    /// From now on there is a link of this name; false when there are `LINKS_MAX`. What is put from now on
    /// may be for it.
    pub fn admit(&self, link: &str) -> bool {
        let mut names = lock(&self.owner.names);
        if names.iter().flatten().any(|name| name == link) {
            return true;
        }
        let Some(slot) = names.iter().position(Option::is_none) else { return false };
        lock(&self.owner.shared.index).set_link(slot, LinkId::of(link));
        names[slot] = Some(link.to_owned());
        true
    }

    /// There is no link of this name any more: what waits for it alone is given up, and counted.
    pub fn dismiss(&self, link: &str) {
        let mut names = lock(&self.owner.names);
        let Some(slot) = names.iter().position(|name| name.as_deref() == Some(link)) else { return };
        names[slot] = None;
        let shared = &self.owner.shared;
        *lock(&shared.links[slot].wake) = None;
        lock(&shared.index).give_up_link(slot);
        drop(names);
        shared.ask_for_removal();
    }

    /// What one link may send; none when the store was not opened for it.
    pub fn rows(&self, link: &str) -> Option<Rows> {
        self.position(link).map(|slot| Rows { outbox: self.clone(), slot })
    }

    /// What it shows of itself.
    pub fn status(&self) -> OutboxStatus {
        let (full, queued, bytes, counters) = {
            let index = lock(&self.owner.shared.index);
            (index.is_full(), index.queued(), index.bytes(), index.counters())
        };
        let work = self.owner.shared.work();
        OutboxStatus {
            failure: work.failure.clone(),
            lost: work.lost.is_some_and(|since| since.elapsed() < LOST_FOR),
            slow: work.is_slow(),
            busy_for: work.busy_for(),
            full,
            queued,
            bytes,
            counters,
            disk: work.disk,
        }
    }

    /// A last commit, and the end of the thread; waits `within` for it. What is put later stays in memory.
    /// Blocks: not for an async task.
    pub fn close(&self, within: Duration) {
        let shared = &self.owner.shared;
        shared.stop();
        let deadline = Instant::now() + within;
        let mut work = shared.work();
        while work.life != Life::Ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            work = shared.ended.wait_timeout(work, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Shared {
    fn work(&self) -> MutexGuard<'_, Work> {
        lock(&self.work)
    }

    fn ask(&self, change: impl FnOnce(&mut Work)) {
        change(&mut self.work());
        self.asked.notify_one();
    }

    fn stop(&self) {
        self.ask(|work| {
            if work.life == Life::Running {
                work.life = Life::Stopping;
            }
        });
    }

    fn ask_for_removal(&self) {
        let mut work = self.work();
        if !std::mem::replace(&mut work.removals, true) {
            self.asked.notify_one();
        }
    }

    fn wake_links(&self) {
        for seat in &self.links {
            seat.ready.store(true, Ordering::Release);
            if let Some(wake) = &*lock(&seat.wake) {
                wake.notify_one();
            }
        }
    }

    /// Names a disk that hangs, while its thread waits for it.
    fn watch(&self) {
        let mut work = self.work();
        while work.life != Life::Ended {
            if work.busy_for() > self.write_bound && work.failure.is_none() {
                drop(work);
                self.note_failure(HANGS);
                self.wake_links();
                work = self.work();
            }
            work = self.ended.wait_timeout(work, WATCH_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn note_failure(&self, error: &str) {
        let mut work = self.work();
        if work.failure.is_none() {
            tracing::error!("outbox: the disk takes nothing, messages are in memory alone: {error}");
        }
        work.failure = Some(error.to_owned());
        drop(work);
        lock(&self.index).set_disk_fails(true);
    }
}

/// What one link has to send.
#[derive(Clone)]
pub struct Rows {
    outbox: Outbox,
    slot: usize,
}

impl Rows {
    /// The link begins: all that it has not settled waits for it, and `wake` is told of more.
    pub(super) fn attach(&self, wake: Arc<Notify>) {
        let shared = &self.outbox.owner.shared;
        lock(&shared.index).reset(self.slot);
        *lock(&shared.links[self.slot].wake) = Some(wake);
        shared.links[self.slot].ready.store(true, Ordering::Release);
    }

    /// Takes what may be sent now, in order; `room` says how many of a class and priority.
    pub(super) fn take(
        &self,
        now: Time,
        room: impl FnMut(MessageClass, u8) -> usize,
    ) -> Vec<(RowId, Envelope)> {
        let shared = &self.outbox.owner.shared;
        let ready = &shared.links[self.slot].ready;
        let woken = || self.next_wake().is_some_and(|due| due <= now);
        if !ready.swap(false, Ordering::AcqRel) && !woken() {
            return Vec::new();
        }
        let mut taken = Taken::default();
        {
            let mut index = lock(&shared.index);
            index.take(self.slot, now, room, &mut taken);
            if index.is_waiting(self.slot) && taken.loads.is_empty() {
                ready.store(true, Ordering::Release);
            }
        }
        if !taken.loads.is_empty() {
            shared.ask(|work| work.loads.append(&mut taken.loads));
        }
        taken.rows
    }

    /// Whether there is more for this link than it has taken.
    pub(super) fn has_more(&self) -> bool {
        lock(&self.outbox.owner.shared.index).has_more(self.slot)
    }

    /// Tells what became of a row.
    pub(super) fn settle(&self, id: RowId, outcome: Outcome, now: Time) {
        let shared = &self.outbox.owner.shared;
        lock(&shared.index).settle(self.slot, id, outcome, now);
        shared.links[self.slot].ready.store(true, Ordering::Release);
        shared.ask_for_removal();
    }

    /// When a message that sleeps until it is sent again wakes.
    pub(super) fn next_wake(&self) -> Option<Time> {
        lock(&self.outbox.owner.shared.index).next_wake(self.slot)
    }
}

#[cfg(test)]
mod tests;
