//! The thread that waits for the disk: opens, loads, commits and looks, one turn at a time.
//!
//! Notes when a turn begins and ends, so that the watch in the parent can name a disk that hangs.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::keeper::{Keeper, lock};
use super::log::Disk;
use super::{Life, REMOVAL_DELAY, RETRY, RowId, Shared};
use crate::base::Clock;

/// See the module.
pub(super) struct Writer<D> {
    pub(super) keeper: Keeper<D>,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) commit_delay: Duration,
}

enum Turn {
    Load(Vec<RowId>),
    /// Nothing is to be written: only whether the folder is there.
    Look,
    Commit,
    End,
}

impl<D: Disk> Writer<D> {
    pub(super) fn run(mut self) {
        let mut last_commit: Option<Instant> = None;
        self.shared.work().begin_turn();
        let opened = self.keeper.open(&self.shared.index, self.clock.now());
        self.end_turn(opened);
        self.shared.work().opened = true;
        self.shared.ended.notify_all();
        loop {
            match self.next_turn(last_commit) {
                Turn::Load(ids) => {
                    for id in ids {
                        let envelope = self.keeper.load(&self.shared.index, id);
                        lock(&self.shared.index).loaded(id, envelope);
                    }
                    self.shared.work().end_turn();
                    self.shared.wake_links();
                }
                Turn::Look => {
                    let done = self.keeper.look(&self.shared.index, self.clock.now());
                    self.end_turn(done);
                }
                Turn::Commit => {
                    // From its begin: what came while the disk worked has waited for that already.
                    last_commit = Some(Instant::now());
                    self.commit();
                }
                Turn::End => {
                    self.commit();
                    // Lets go of the folder first, so that another process that waits can open it.
                    drop(self.keeper);
                    self.shared.work().life = Life::Ended;
                    self.shared.ended.notify_all();
                    return;
                }
            }
        }
    }

    fn commit(&mut self) {
        let probe = {
            let mut work = self.shared.work();
            (work.puts, work.removals) = (false, false);
            work.had_long_turn()
        };
        let done = self.keeper.commit(&self.shared.index, self.clock.now(), probe);
        self.end_turn(done);
    }

    fn end_turn(&self, done: std::io::Result<()>) {
        {
            let mut work = self.shared.work();
            work.end_turn();
            let disk = self.keeper.counters();
            if disk.lost > work.disk.lost {
                work.lost = Some(Instant::now());
            }
            work.disk = disk;
        }
        match done {
            Ok(()) => {
                let failed = self.shared.work().failure.take();
                if failed.is_some() {
                    tracing::info!("outbox: the disk works again");
                    lock(&self.shared.index).set_disk_fails(false);
                }
            }
            Err(error) => self.shared.note_failure(&error.to_string()),
        }
        self.shared.wake_links();
    }

    /// Waits until there is something to do, and notes when that begins.
    fn next_turn(&self, last_commit: Option<Instant>) -> Turn {
        let began = Instant::now();
        let mut work = self.shared.work();
        loop {
            if !work.loads.is_empty() {
                work.begin_turn();
                return Turn::Load(std::mem::take(&mut work.loads));
            }
            if work.life == Life::Stopping {
                work.begin_turn();
                return Turn::End;
            }
            let look = work.look_every().saturating_sub(began.elapsed());
            let delay = match (&work.failure, work.puts, work.removals) {
                (Some(_), ..) => RETRY,
                (None, true, _) => self.commit_delay,
                (None, false, true) => REMOVAL_DELAY,
                (None, false, false) => {
                    if look.is_zero() {
                        work.begin_turn();
                        return if work.had_long_turn() { Turn::Commit } else { Turn::Look };
                    }
                    let waited = self.shared.asked.wait_timeout(work, look);
                    work = waited.unwrap_or_else(PoisonError::into_inner).0;
                    continue;
                }
            };
            let left = last_commit.map_or(Duration::ZERO, |last| delay.saturating_sub(last.elapsed()));
            if left.is_zero() {
                work.begin_turn();
                return Turn::Commit;
            }
            work = self.shared.asked.wait_timeout(work, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
