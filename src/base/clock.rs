//! Time as a value.
//!
//! Every interval and timeout is measured on the monotonic clock, in nanoseconds; milliseconds since
//! the epoch appear only where a message or a log leaves the process. The pure parts never ask what
//! time it is: a [`Time`] is passed in.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock that shows an earlier time was never set: 2023-01-01T00:00:00Z, milliseconds since the epoch. The first
/// version of this program is younger; a clock without a battery starts in 1970, 2000 or at its firmware's date.
pub const SET_FROM_MS: u64 = 1_672_531_200_000;

/// One instant on both clocks.
///
/// Order and differences follow the monotonic clock alone, so a step of the wall clock never makes
/// an interval negative or a timeout fire early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Nanoseconds on the monotonic clock, from an origin that differs between processes.
    pub mono_ns: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub epoch_ms: u64,
}

impl Time {
    /// Whether the wall clock shows a time that can be the present ([`SET_FROM_MS`]).
    pub fn is_set(self) -> bool {
        self.epoch_ms >= SET_FROM_MS
    }

    /// What the epoch is ahead of the monotonic clock, milliseconds: a change of it is a step of the wall clock.
    pub fn base_ms(self) -> i64 {
        i64::try_from(self.epoch_ms)
            .unwrap_or(i64::MAX)
            .saturating_sub(i64::try_from(self.mono_ns / 1_000_000).unwrap_or(i64::MAX))
    }

    /// The same instant as the wall clock of `now` shows it: for a time that was taken before the clock was set.
    #[must_use]
    pub fn restamped(self, now: Self) -> Self {
        let away_ns = i128::from(self.mono_ns) - i128::from(now.mono_ns);
        let away_ms = i64::try_from(away_ns.div_euclid(1_000_000)).unwrap_or(0);
        Self { epoch_ms: now.epoch_ms.saturating_add_signed(away_ms), ..self }
    }

    /// The time that has passed since `earlier`; zero when `earlier` is in fact later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.mono_ns.saturating_sub(earlier.mono_ns))
    }

    /// Seconds from `earlier` to `self`, negative when `earlier` is later.
    pub fn seconds_from(self, earlier: Self) -> f64 {
        (i128::from(self.mono_ns) - i128::from(earlier.mono_ns)) as f64 * 1e-9
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Self;

    /// Moves both clocks; the epoch keeps whole milliseconds, rounded to the nearest.
    fn add(self, by: Duration) -> Self {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let millis = Duration::from_nanos(nanos.saturating_add(500_000)).as_millis();
        Self {
            mono_ns: self.mono_ns.saturating_add(nanos),
            epoch_ms: self.epoch_ms.saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)),
        }
    }
}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.mono_ns, self.epoch_ms).cmp(&(other.mono_ns, other.epoch_ms))
    }
}

/// Where the parts with I/O get their time from.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Time;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Starts the monotonic clock at one second, so that zero stays free for "never".
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let mono = self.origin.elapsed() + Duration::from_secs(1);
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time {
            mono_ns: u64::try_from(mono.as_nanos()).unwrap_or(u64::MAX),
            epoch_ms: u64::try_from(epoch.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// A clock whose wall time is corrected by what was measured of it; its intervals stay as they are.
///
/// What was measured while the inner clock was never set ([`Time::is_set`]) holds only as long as it is not: once the
/// system sets it, a correction by decades would be wrong by decades.
pub struct CorrectedClock {
    inner: Arc<dyn Clock>,
    /// While the inner clock is set, and while it is not, milliseconds.
    ahead_ms: [AtomicI64; 2],
}

impl CorrectedClock {
    /// A clock that is taken as right until somebody knows better.
    pub fn new(inner: Arc<dyn Clock>) -> Self {
        Self { inner, ahead_ms: [AtomicI64::new(0), AtomicI64::new(0)] }
    }

    /// How far the inner clock is ahead, milliseconds; taken off from now on.
    pub fn set_ahead_ms(&self, ahead_ms: i64) {
        self.correction(self.inner.now()).store(ahead_ms, Ordering::Relaxed);
    }

    /// How far the corrected clock is ahead, milliseconds, where the inner one was never set; taken off from now on.
    /// A clock that is set by now is left alone.
    pub fn adopt_ahead_ms(&self, ahead_ms: i64) {
        let inner = self.inner.now();
        if !inner.is_set() {
            self.correction(inner).fetch_add(ahead_ms, Ordering::Relaxed);
        }
    }

    fn correction(&self, inner: Time) -> &AtomicI64 {
        &self.ahead_ms[usize::from(!inner.is_set())]
    }
}

impl Clock for CorrectedClock {
    fn now(&self) -> Time {
        let now = self.inner.now();
        let ahead_ms = self.correction(now).load(Ordering::Relaxed);
        Time { epoch_ms: now.epoch_ms.saturating_add_signed(ahead_ms.saturating_neg()), ..now }
    }
}

/// A clock that stands still until it is told to move; for tests and simulations.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Time>,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Time) -> Self {
        Self { now: Mutex::new(start) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = *now + by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        *self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_step_does_not_change_an_interval() {
        let before = Time { mono_ns: 5_000_000_000, epoch_ms: 1_000_000 };
        let after = Time { mono_ns: 6_500_000_000, epoch_ms: 10 };
        assert_eq!(after.since(before), Duration::from_millis(1500));
        assert!(after > before);
        assert!((before.seconds_from(after) + 1.5).abs() < 1e-9);
    }

    #[test]
    fn a_time_from_before_the_clock_was_set_is_restamped_by_the_monotonic_clock() {
        let now = Time { mono_ns: 60_000_000_000, epoch_ms: SET_FROM_MS + 5_000_000 };
        let earlier = Time { mono_ns: 50_000_000_000, epoch_ms: 50_000 };
        let later = Time { mono_ns: 64_000_000_000, epoch_ms: 64_000 };
        assert_eq!(earlier.restamped(now), Time { epoch_ms: now.epoch_ms - 10_000, ..earlier });
        assert_eq!(later.restamped(now), Time { epoch_ms: now.epoch_ms + 4_000, ..later });
        assert!(!earlier.is_set() && earlier.restamped(now).is_set());
    }

    /// A clock whose wall time a test steps.
    struct Stepped(AtomicI64);

    impl Clock for Stepped {
        fn now(&self) -> Time {
            Time { mono_ns: 1, epoch_ms: self.0.load(Ordering::Relaxed).unsigned_abs() }
        }
    }

    #[test]
    fn a_correction_of_a_clock_that_was_never_set_ends_when_the_system_sets_it() {
        let inner = Arc::new(Stepped(AtomicI64::new(20_000)));
        let clock = CorrectedClock::new(Arc::clone(&inner) as Arc<dyn Clock>);
        let present_ms = SET_FROM_MS.cast_signed() + 1_000_000;
        clock.adopt_ahead_ms(20_000 - present_ms);
        assert_eq!(clock.now().epoch_ms, present_ms.unsigned_abs());
        inner.0.store(present_ms + 7, Ordering::Relaxed);
        assert_eq!(clock.now().epoch_ms, (present_ms + 7).unsigned_abs());
        clock.adopt_ahead_ms(-300_000);
        assert_eq!(
            clock.now().epoch_ms,
            (present_ms + 7).unsigned_abs(),
            "a clock that is set is left alone"
        );
        clock.set_ahead_ms(7);
        assert_eq!(clock.now().epoch_ms, present_ms.unsigned_abs());
    }
}
