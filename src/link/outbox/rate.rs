//! How often each track leaves by a link that is too slow for all of them.
//!
//! Steps of 10, 5, 2 and 1 Hz for each track. A track that was ready and still waited longer than `SLOW`
//! until it was on its way takes the rate a step down; when none has waited longer than `CALM` for
//! `RECOVERY`, it goes a step up again. Between two steps down lies `SETTLING`, the time that a step needs
//! to show. What is measured is the queue alone: the wait for a track's own turn at the present rate does
//! not count. Pure.

use std::time::Duration;

use crate::base::Time;

/// The usual rate: more than that no camera publishes.
pub(in crate::link) const TRACK_RATE_MAX_HZ: u32 = 10;
/// Rates, the usual one first.
const STEPS_HZ: [u32; 4] = [TRACK_RATE_MAX_HZ, 5, 2, 1];
const SLOW: Duration = Duration::from_millis(300);
const CALM: Duration = Duration::from_millis(100);
const RECOVERY: Duration = Duration::from_secs(10);
const SETTLING: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct TrackRate {
    step: usize,
    stepped: Option<Time>,
    busy: Option<Time>,
}

impl TrackRate {
    /// A track was on its way this long after it could have left.
    pub(super) fn note(&mut self, queued: Duration, now: Time) {
        if queued > CALM {
            self.busy = Some(now);
        }
        let settled = self.stepped.is_none_or(|stepped| now.since(stepped) >= SETTLING);
        if queued > SLOW && settled && self.step + 1 < STEPS_HZ.len() {
            self.step += 1;
            self.stepped = Some(now);
        }
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Time) {
        let calm = self.busy.max(self.stepped).is_none_or(|since| now.since(since) >= RECOVERY);
        if self.step > 0 && calm {
            self.step -= 1;
            self.stepped = Some(now);
        }
    }

    /// The least time between two messages of a track; none at the usual rate, which whoever publishes
    /// keeps.
    pub(super) fn interval(&self) -> Option<Duration> {
        (self.step > 0).then(|| Duration::from_secs(1) / STEPS_HZ[self.step])
    }

    /// The present rate.
    pub(super) fn hz(&self) -> u32 {
        STEPS_HZ[self.step]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time { mono_ns: milliseconds * 1_000_000, epoch_ms: 0 }
    }

    #[test]
    fn a_slow_link_goes_down_step_by_step_and_comes_back_by_itself() {
        let mut rate = TrackRate::default();
        let mut seen = Vec::new();
        for second in 0..5 {
            rate.note(Duration::from_secs(1), at(second * 1_000));
            // The same queue, told twice, is one step.
            rate.note(Duration::from_secs(1), at(second * 1_000 + 10));
            seen.push(rate.hz());
        }
        assert_eq!(seen, [5, 2, 1, 1, 1]);
        seen.clear();
        for second in 5..40 {
            rate.note(Duration::from_millis(1), at(second * 1_000));
            rate.tick(at(second * 1_000));
            if seen.last() != Some(&rate.hz()) {
                seen.push(rate.hz());
            }
        }
        assert_eq!((seen, rate.interval()), (vec![1, 2, 5, 10], None));
    }

    #[test]
    fn between_calm_and_slow_the_rate_stays() {
        let mut rate = TrackRate::default();
        rate.note(Duration::from_secs(1), at(0));
        for second in 1..60 {
            rate.note(Duration::from_millis(200), at(second * 1_000));
            rate.tick(at(second * 1_000));
        }
        assert_eq!(rate.hz(), 5);
    }
}
