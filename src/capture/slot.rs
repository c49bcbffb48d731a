//! The slot between the capture thread and the perception thread: it holds one frame.
//!
//! The newest frame of a live source replaces an unread one, which is counted; an offline source
//! waits until its frame is taken. Frames are swapped, not copied, so three sets of buffers go round
//! between the two threads and the slot. Closing wakes both sides; a frame that was there by then
//! can still be taken. It is also where both threads wait out a pause, and the capture thread everything
//! else, so that closing wakes them from there.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::Frame;

/// What [`Capture::next`](super::Capture::next) found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The frame was filled.
    Frame,
    /// Nothing came within the given patience.
    Pending,
    /// There will be no more frames.
    Ended,
}

/// What to do when the last frame has not been taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// Replace it, and count it as dropped.
    Replace,
    /// Wait until it is taken.
    Wait,
}

#[derive(Debug)]
pub(super) struct Slot {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    frame: Frame,
    full: bool,
    closed: bool,
    paused: bool,
    dropped: u64,
}

/// Whether frames are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// They are.
    Open,
    /// Not at present.
    Paused,
    /// Never again.
    Closed,
}

impl Slot {
    /// An empty slot; `frame` is the first of the buffers that go round.
    pub(super) fn new(frame: Frame) -> Self {
        let inner = Inner { frame, full: false, closed: false, paused: false, dropped: 0 };
        Self { inner: Mutex::new(inner), changed: Condvar::new() }
    }

    /// Hands a frame over and gets another buffer for it; false when the slot is closed.
    pub(super) fn put(&self, frame: &mut Frame, when_full: WhenFull) -> bool {
        let mut inner = self.lock();
        while when_full == WhenFull::Wait && inner.full && !inner.closed {
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        if inner.closed {
            return false;
        }
        inner.dropped += u64::from(inner.full);
        inner.full = true;
        std::mem::swap(&mut inner.frame, frame);
        self.changed.notify_all();
        true
    }

    /// Takes the frame, waiting for one at most as long as `patience`.
    pub(super) fn take(&self, frame: &mut Frame, patience: Duration) -> Taken {
        let mut inner = self.wait_until(patience, |inner| inner.full || inner.closed);
        if inner.full {
            inner.full = false;
            std::mem::swap(&mut inner.frame, frame);
            self.changed.notify_all();
            Taken::Frame
        } else if inner.closed {
            Taken::Ended
        } else {
            Taken::Pending
        }
    }

    /// No more frames.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Frames are not wanted until this is called again with false.
    pub(super) fn pause(&self, paused: bool) {
        self.lock().paused = paused;
        self.changed.notify_all();
    }

    /// Whether frames are wanted.
    pub(super) fn gate(&self) -> Gate {
        gate(&self.lock())
    }

    /// Waits out a pause, at most for `patience`; whether frames are wanted then.
    pub(super) fn wait_unpaused(&self, patience: Duration) -> Gate {
        gate(&self.wait_until(patience, |inner| gate(inner) != Gate::Paused))
    }

    /// Drops a frame that nobody took; of a live source it is no longer true after a pause.
    pub(super) fn discard(&self) {
        let mut inner = self.lock();
        inner.dropped += u64::from(inner.full);
        inner.full = false;
    }

    /// Waits for `duration` or until the slot is closed; whether it is.
    pub(super) fn wait_closed(&self, duration: Duration) -> bool {
        self.wait_until(duration, |inner| inner.closed).closed
    }

    /// Frames that were replaced unread.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn wait_until(&self, patience: Duration, done: impl Fn(&Inner) -> bool) -> MutexGuard<'_, Inner> {
        let deadline = Instant::now().checked_add(patience);
        let mut inner = self.lock();
        while !done(&inner) {
            let left = deadline.map_or(patience, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            (inner, _) = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner);
        }
        inner
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gate(inner: &Inner) -> Gate {
    match inner {
        Inner { closed: true, .. } => Gate::Closed,
        Inner { paused: true, .. } => Gate::Paused,
        _ => Gate::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CameraId, Chroma, Content, Size};
    use std::thread;

    fn frame(seq: u64) -> Frame {
        Frame { seq, ..Frame::empty(CameraId::parse("cam").unwrap()) }
    }

    fn slot() -> Slot {
        Slot::new(frame(99))
    }

    #[test]
    fn the_newest_frame_of_a_live_source_replaces_an_unread_one_and_is_counted() {
        let slot = slot();
        for seq in 0..5 {
            assert!(slot.put(&mut frame(seq), WhenFull::Replace));
        }
        let mut taken = frame(99);
        assert_eq!(slot.take(&mut taken, Duration::ZERO), Taken::Frame);
        assert_eq!((taken.seq, slot.dropped()), (4, 4));
        assert_eq!(slot.take(&mut taken, Duration::ZERO), Taken::Pending);
    }

    #[test]
    fn an_offline_source_waits_and_loses_nothing() {
        let slot = slot();
        thread::scope(|scope| {
            scope.spawn(|| {
                for seq in 0..2000 {
                    assert!(slot.put(&mut frame(seq), WhenFull::Wait));
                }
                slot.close();
            });
            let mut taken = frame(99);
            for seq in 0..2000 {
                assert_eq!(slot.take(&mut taken, Duration::from_mins(1)), Taken::Frame);
                assert_eq!(taken.seq, seq);
            }
            assert_eq!(slot.take(&mut taken, Duration::from_mins(1)), Taken::Ended);
        });
        assert_eq!(slot.dropped(), 0);
    }

    #[test]
    fn closing_wakes_whoever_waits_on_either_side() {
        let full = slot();
        full.put(&mut frame(0), WhenFull::Wait);
        let empty = slot();
        thread::scope(|scope| {
            let putter = scope.spawn(|| full.put(&mut frame(1), WhenFull::Wait));
            let taker = scope.spawn(|| empty.take(&mut frame(99), Duration::MAX));
            let waiter = scope.spawn(|| empty.wait_closed(Duration::MAX));
            full.close();
            empty.close();
            assert!(!putter.join().unwrap());
            assert_eq!(taker.join().unwrap(), Taken::Ended);
            assert!(waiter.join().unwrap());
        });
        assert_eq!(full.take(&mut frame(99), Duration::ZERO), Taken::Frame);
    }

    #[test]
    fn buffers_go_round_without_an_allocation() {
        let slot = slot();
        let (mut ours, mut theirs) = (frame(0), frame(0));
        let mut round = || {
            for _ in 0..3 {
                if let Content::Image(image) = &mut ours.content {
                    image.reset(Size { width: 64, height: 48 }, Chroma::C420);
                }
                slot.put(&mut ours, WhenFull::Wait);
                slot.take(&mut theirs, Duration::ZERO);
            }
        };
        round();
        assert_eq!(allocation_counter::measure(round).count_total, 0);
    }
}
