//! How much one camera reports, judged by the times inside its reports.
//!
//! A network that stalls for a second delivers the backlog in one burst; the camera published it at its usual
//! rate. Reports are therefore counted per second of *capture* time, in a ring of the last [`RING_S`] seconds.
//! Capture times are a claim of the sender, so three bounds hold whatever it claims:
//!
//! - each second of capture time holds [`REPORTS_PER_S_MAX`] reports;
//! - reports from outside the ring (older, or of a clock that was set back) count per second of arrival;
//! - arrivals drain a token bucket of one full ring that refills at [`REPORTS_PER_S_MAX`] per second.
//!
//! A flood at three times the limit that spreads its times exceeds the last bound within `RING_S / 2` seconds.
//! A ring that nothing fits for [`RING_S`] seconds of arrival begins anew, so that a clock that was set back is
//! followed. Pure; 216 bytes per camera.

use std::time::Duration;

use crate::base::Time;

/// Reports of one camera per second: twice 50 tracks at 10 Hz.
pub(super) const REPORTS_PER_S_MAX: u32 = 1_000;
/// Seconds of capture time that are kept: more than a signed track may be late
/// ([`TRACK_AGE_MAX`](super::TRACK_AGE_MAX)).
const RING_S: u64 = 16;
/// Arrivals that a full bucket admits at once.
const BURST_MAX: f64 = REPORTS_PER_S_MAX as f64 * RING_S as f64;

/// The reports of one camera by time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// Second of capture and its reports, at `second % RING_S`.
    ring: [(u64, u32); RING_S as usize],
    /// The newest second of capture in the ring.
    newest_s: u64,
    /// The last arrival that was inside the ring.
    fitted: Time,
    /// The second of arrival that began then, and its reports from outside the ring.
    outside: (Time, u32),
    /// Arrivals that are still admitted, and the time of that number.
    tokens: (f64, Time),
}

impl Rate {
    /// The record of a camera whose first report arrives now.
    pub(super) fn new(now: Time) -> Self {
        Self {
            ring: [(0, 0); RING_S as usize],
            newest_s: 0,
            fitted: now,
            outside: (now, 0),
            tokens: (BURST_MAX, now),
        }
    }

    /// Counts a report captured at `captured_ms` (milliseconds since the epoch, the sender's clock) that arrives
    /// now; whether it exceeds what a camera can have to report.
    pub(super) fn exceeds(&mut self, captured_ms: u64, now: Time) -> bool {
        let (left, then) = self.tokens;
        let refill = now.since(then).as_secs_f64() * f64::from(REPORTS_PER_S_MAX);
        let left = (left + refill).min(BURST_MAX);
        let is_admitted = left >= 1.0;
        self.tokens = (if is_admitted { left - 1.0 } else { left }, now);
        let is_usual = self.count(captured_ms / 1_000, now);
        !(is_admitted && is_usual)
    }

    fn count(&mut self, second: u64, now: Time) -> bool {
        let is_outside = second.saturating_add(RING_S) <= self.newest_s;
        if is_outside && now.since(self.fitted) < Duration::from_secs(RING_S) {
            let (since, count) = self.outside;
            let is_same = now.since(since) < Duration::from_secs(1);
            self.outside = if is_same { (since, count.saturating_add(1)) } else { (now, 1) };
            return self.outside.1 <= REPORTS_PER_S_MAX;
        }
        self.newest_s = if is_outside { second } else { self.newest_s.max(second) };
        self.fitted = now;
        let bucket = &mut self.ring[(second % RING_S) as usize];
        *bucket = if bucket.0 == second { (second, bucket.1.saturating_add(1)) } else { (second, 1) };
        bucket.1 <= REPORTS_PER_S_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_700_000_000_000;

    fn at(ms: u64) -> Time {
        Time { mono_ns: 1_000_000_000 + ms * 1_000_000, epoch_ms: START_MS + ms }
    }

    /// The part of the reports of the second that ends at `until_s` that exceed the rate, of a sender with this
    /// many reports per second and this capture time of each.
    fn part_beyond(per_s: u64, until_s: u64, captured_ms: impl Fn(u64) -> u64) -> f64 {
        let mut rate = Rate::new(at(0));
        let mut beyond = 0;
        for n in 0..per_s * until_s {
            let is_beyond = rate.exceeds(START_MS + captured_ms(n), at(n * 1_000 / per_s));
            beyond += u64::from(is_beyond && n >= per_s * (until_s - 1));
        }
        beyond as f64 / per_s as f64
    }

    #[test]
    fn what_was_captured_at_the_usual_rate_is_usual_however_it_arrives() {
        for stall_ms in [1_500, 10_000, 14_000] {
            let mut rate = Rate::new(at(0));
            let arrival = |captured_ms: u64| {
                if captured_ms < 5_000 { captured_ms } else { captured_ms.max(5_000 + stall_ms) }
            };
            let beyond =
                (0..20_000_u64).map(|n| n * 2).filter(|ms| rate.exceeds(START_MS + ms, at(arrival(*ms))));
            assert_eq!(beyond.count(), 0, "{stall_ms} ms of silence at 500 a second");
        }
    }

    #[test]
    fn a_flood_exceeds_the_rate_whatever_times_it_claims() {
        assert!(part_beyond(3_000, 2, |n| n / 3) > 0.6, "its own times");
        assert!(part_beyond(3_000, 2, |_| 0) > 0.6, "one time");
        assert!(part_beyond(3_000, 10, |n| n * 7_919 % 60_000) > 0.6, "times all over a minute");
        assert!(part_beyond(3_000, 10, |n| n * 20) > 0.6, "times that run ahead");
        assert!(part_beyond(3_000, 10, |n| 60_000_000 - n * 20) > 0.6, "times that run back");
    }

    #[test]
    fn a_clock_that_is_set_back_or_forward_is_followed() {
        for step_ms in [300_000_i64, -300_000, i64::from(u32::MAX)] {
            let captured_ms =
                |n: u64| (START_MS + n * 2).saturating_add_signed(if n < 5_000 { 0 } else { step_ms });
            let mut rate = Rate::new(at(0));
            let beyond = (0..20_000_u64).filter(|n| rate.exceeds(captured_ms(*n), at(n * 2)));
            assert_eq!(beyond.count(), 0, "{step_ms} ms");
        }
        let mut rate = Rate::new(at(0));
        assert!(!rate.exceeds(u64::MAX, at(0)) && !rate.exceeds(0, at(1)));
    }
}
