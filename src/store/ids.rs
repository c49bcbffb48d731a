//! Ranges of ids: which are on the disk, and which a camera without a disk takes. Pure.
//!
//! ```text
//! 1 .......... 2^30 .......... 2^31 ......
//! | reserved    | unsaved       | tentative tracks
//! ```
//!
//! - A *reserved* range is given out only after the disk has it ([`Pool::add`]). The next one is asked for while
//!   half of the present one is left, so that a slow disk holds up nothing.
//! - A pool that runs dry goes on with *unsaved* ids, and stays with them until the process ends: ids rise. They
//!   begin at the process's start in milliseconds, modulo 2^30. Ids are used far more slowly than one a
//!   millisecond, so a later start begins behind all of them; after 12 days it begins again. Where the clock was
//!   never set they begin at a random place: two starts that use 1,000 ids each meet once in 500,000.
//! - Behind the last id of a half the reserved ones begin again at 1: the oldest are long forgotten everywhere.

use std::ops::Range;

use crate::base::Time;

/// Ids reserved by one write.
pub(super) const RANGE: u32 = 1_000;
/// Unsaved ids begin here.
pub(super) const UNSAVED_FROM: u32 = 1 << 30;
/// Ids end before this.
const END: u32 = 1 << 31;

/// Where unsaved ids begin.
pub(super) fn unsaved_start(now: Time, random: u32) -> u32 {
    let place = if now.is_set() { now.epoch_ms as u32 } else { random };
    UNSAVED_FROM + place % (END - UNSAVED_FROM)
}

/// The range that begins with this id, and the id after it.
pub(super) fn range(first: u32) -> (Range<u32>, u32) {
    let first = if (1..END).contains(&first) { first } else { 1 };
    let end = if first < UNSAVED_FROM { UNSAVED_FROM } else { END };
    let last = end.min(first + RANGE);
    (first..last, if last == end { 1 } else { last })
}

/// The ids of one kind.
#[derive(Debug)]
pub(super) struct Pool {
    ready: Range<u32>,
    spare: Option<Range<u32>>,
    /// The next unsaved id, and whether they are in use.
    unsaved: u32,
    is_unsaved: bool,
}

impl Pool {
    /// A pool without a range.
    pub(super) fn new(unsaved_start: u32) -> Self {
        Self { ready: 0..0, spare: None, unsaved: unsaved_start, is_unsaved: false }
    }

    /// Returns the next id.
    pub(super) fn take(&mut self) -> u32 {
        if !self.is_unsaved {
            let id = self.ready.next().or_else(|| {
                self.ready = self.spare.take()?;
                self.ready.next()
            });
            if let Some(id) = id {
                return id;
            }
            self.is_unsaved = true;
        }
        let id = self.unsaved;
        self.unsaved = if id + 1 == END { UNSAVED_FROM } else { id + 1 };
        id
    }

    /// Whether the next range should be reserved.
    pub(super) fn wants(&self) -> bool {
        !self.is_unsaved && self.spare.is_none() && self.ready.len() < RANGE as usize / 2
    }

    /// Adds a range that is on the disk.
    pub(super) fn add(&mut self, range: Range<u32>) {
        if self.ready.is_empty() {
            self.ready = range;
        } else {
            self.spare = Some(range);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const NOW: Time = Time { mono_ns: 0, epoch_ms: 1_800_000_000_000 };

    #[test]
    fn starts_without_a_disk_never_meet_at_500_ids_a_second() {
        let mut seen = BTreeSet::new();
        for second in 0..200 {
            let now = Time { epoch_ms: NOW.epoch_ms + 1_000 * second, ..NOW };
            let mut pool = Pool::new(unsaved_start(now, 7));
            for _ in 0..500 {
                let id = pool.take();
                assert!(seen.insert(id) && (UNSAVED_FROM..END).contains(&id), "{id}");
            }
        }
    }

    #[test]
    fn with_a_clock_that_was_never_set_the_place_is_random() {
        let boot = Time { mono_ns: 0, epoch_ms: 20_000 };
        assert_ne!(unsaved_start(boot, 7_000_000), unsaved_start(boot, 9_000_000));
        assert!((UNSAVED_FROM..END).contains(&unsaved_start(boot, u32::MAX)));
    }

    #[test]
    fn the_next_range_is_wanted_early_and_an_id_is_given_only_from_one_that_was_added() {
        let mut pool = Pool::new(UNSAVED_FROM + 5);
        assert!(pool.wants());
        pool.add(range(1).0);
        let ids: Vec<u32> = (0..RANGE).map(|_| pool.take()).collect();
        assert_eq!(ids, (1..=RANGE).collect::<Vec<_>>());
        assert!(pool.wants());
        assert_eq!([pool.take(), pool.take()], [UNSAVED_FROM + 5, UNSAVED_FROM + 6]);
        // Ids rise: it stays with these.
        assert!(!pool.wants());
        pool.add(range(RANGE + 1).0);
        assert_eq!(pool.take(), UNSAVED_FROM + 7);
    }

    #[test]
    fn behind_the_last_id_of_either_half_they_begin_again_at_1() {
        assert_eq!(range(UNSAVED_FROM - 2), (UNSAVED_FROM - 2..UNSAVED_FROM, 1));
        assert_eq!(range(END - 2), (END - 2..END, 1));
        assert_eq!(range(u32::MAX), (1..RANGE + 1, RANGE + 1));
    }
}
