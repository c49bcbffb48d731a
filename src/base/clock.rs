//! Time as a value.
//!
//! Every interval and timeout is measured on the monotonic clock, in nanoseconds; milliseconds since
//! the epoch appear only where a message or a log leaves the process. The pure parts never ask what
//! time it is: a [`Time`] is passed in.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

/// A clock whose wall time is put right by what was measured of it; its intervals stay as they are.
pub struct CorrectedClock {
    inner: Arc<dyn Clock>,
    ahead_ms: AtomicI64,
}

impl CorrectedClock {
    /// A clock that is taken as right until somebody knows better.
    pub fn new(inner: Arc<dyn Clock>) -> Self {
        Self { inner, ahead_ms: AtomicI64::new(0) }
    }

    /// How far the inner clock is ahead, milliseconds; taken off from now on.
    pub fn set_ahead_ms(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }
}

impl Clock for CorrectedClock {
    fn now(&self) -> Time {
        let now = self.inner.now();
        let ahead_ms = self.ahead_ms.load(Ordering::Relaxed);
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
}
