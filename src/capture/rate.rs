//! How often something happened of late.

use crate::base::Time;

/// The rate is measured over this many seconds.
const RATE_WINDOW_S: u64 = 5;

/// Counts by the second, so that the rate of the last seconds is known at any time.
#[derive(Debug, Default)]
pub(super) struct RateMeter {
    first: Option<Time>,
    /// Each second's number and count; a second's place is its number modulo the length.
    seconds: [(u64, u32); RATE_WINDOW_S as usize + 1],
}

impl RateMeter {
    const SECOND_NS: u64 = 1_000_000_000;

    /// Something happened.
    pub(super) fn count(&mut self, now: Time) {
        self.first.get_or_insert(now);
        let second = now.mono_ns / Self::SECOND_NS;
        let place = &mut self.seconds[(second % (RATE_WINDOW_S + 1)) as usize];
        if place.0 != second {
            *place = (second, 0);
        }
        place.1 += 1;
    }

    /// Over the window and the second that is not over yet; since the first frame when that is later.
    pub(super) fn per_second(&self, now: Time) -> f64 {
        let Some(first) = self.first else {
            return 0.0;
        };
        let this_second = now.mono_ns / Self::SECOND_NS;
        let window = this_second.saturating_sub(RATE_WINDOW_S)..=this_second;
        let count: u32 = self.seconds.iter().filter(|(s, _)| window.contains(s)).map(|&(_, n)| n).sum();
        let start_ns = (window.start() * Self::SECOND_NS).max(first.mono_ns);
        // A rate over less than a second would be noise.
        let span_ns = now.mono_ns.saturating_sub(start_ns).max(Self::SECOND_NS);
        f64::from(count) * 1e9 / span_ns as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let at = |ms: u64| Time { mono_ns: ms * 1_000_000, epoch_ms: 0 };
        let mut meter = RateMeter::default();
        assert!(meter.per_second(at(1000)).abs() < 1e-9);
        for i in 0..200 {
            meter.count(at(1500 + i * 100));
        }
        assert!((meter.per_second(at(21_400)) - 10.0).abs() < 0.5);
        assert!(meter.per_second(at(24_400)) < 5.0);
        assert!(meter.per_second(at(40_000)).abs() < 1e-9);
    }
}
