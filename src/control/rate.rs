//! How many commands a second are taken through one door.
//!
//! A bucket of tokens. What comes when it is empty is counted and not even read; of a row of refusals one
//! answer a second is given, with the count, and the last one when the second is over.

use std::time::Duration;

use crate::base::Time;

/// Between two answers that tell of a limit.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// The bucket holds this many seconds' worth.
const BURST_S: f64 = 2.0;

/// One door's limit.
#[derive(Debug, Clone)]
pub(super) struct RateLimit {
    per_s: f64,
    tokens: f64,
    filled: Option<Time>,
    /// Refused since it was last told.
    refused: u64,
    told: Option<Time>,
}

impl RateLimit {
    /// A full bucket; `per_s` is above 0.
    pub(super) fn new(per_s: f64) -> Self {
        Self { per_s, tokens: per_s * BURST_S, filled: None, refused: 0, told: None }
    }

    /// Whether one more is taken.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let passed_s = self.filled.map_or(0.0, |filled| now.since(filled).as_secs_f64());
        self.filled = Some(now);
        self.tokens = (self.tokens + passed_s * self.per_s).min(self.per_s * BURST_S);
        if self.tokens < 1.0 {
            self.refused += 1;
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// How many were refused since this was last told, when it is time to tell it.
    pub(super) fn to_tell(&mut self, now: Time) -> Option<u64> {
        let due = self.told.is_none_or(|told| now.since(told) >= TELL_EVERY);
        if self.refused == 0 || !due {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time { mono_ns: ms * 1_000_000, epoch_ms: ms }
    }

    #[test]
    fn of_a_thousand_commands_in_a_second_the_limit_passes_and_the_rest_is_told_once() {
        let mut limit = RateLimit::new(20.0);
        let (mut passed, mut told) = (0, Vec::new());
        for ms in 0..1000 {
            passed += u64::from(limit.take(at(ms)));
            told.extend(limit.to_tell(at(ms)));
        }
        assert_eq!(passed, 40 + 19, "a burst of two seconds, and one second's worth");
        assert_eq!(told, [1]);
        let rest = limit.to_tell(at(1_100)).unwrap();
        assert_eq!(passed + told[0] + rest, 1000, "none is neither done nor counted");
        assert_eq!(limit.to_tell(at(9_000)), None);
    }

    #[test]
    fn a_clock_that_stands_still_gives_no_tokens_and_time_does() {
        let mut limit = RateLimit::new(1.0);
        assert!(limit.take(at(0)) && limit.take(at(0)) && !limit.take(at(0)));
        assert!(limit.take(at(1_001)) && !limit.take(at(1_002)));
    }
}
