//! How long to wait before trying again.
//!
//! Exponential, with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015):
//! the wait is uniform between zero and the present ceiling, so that forty cameras that lost the
//! same broker do not come back in the same second. Pure: time and randomness are passed in.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::Time;

/// The bounds of a [`Backoff`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffOptions {
    /// Ceiling of the first wait.
    pub first: Duration,
    /// No ceiling grows past this.
    pub max: Duration,
    /// A success that lasted this long starts over at `first`.
    pub stable_after: Duration,
}

impl Default for BackoffOptions {
    /// 1 s doubling to 60 s, reset after a stable minute.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            max: Duration::from_mins(1),
            stable_after: Duration::from_mins(1),
        }
    }
}

/// The waits of one thing that is tried again and again.
#[derive(Debug, Clone)]
pub struct Backoff {
    options: BackoffOptions,
    ceiling: Duration,
    up_since: Option<Time>,
}

impl Backoff {
    /// The first wait will lie between zero and `options.first`.
    pub fn new(options: BackoffOptions) -> Self {
        Self { options, ceiling: options.first, up_since: None }
    }

    /// It works since `now`.
    pub fn succeeded(&mut self, now: Time) {
        self.up_since.get_or_insert(now);
    }

    /// It failed at `now`: the wait before the next try.
    pub fn failed(&mut self, now: Time, rng: &mut impl Rng) -> Duration {
        if let Some(since) = self.up_since.take()
            && now.since(since) >= self.options.stable_after
        {
            self.ceiling = self.options.first;
        }
        let wait = self.ceiling.mul_f64(rng.random::<f64>());
        self.ceiling = (self.ceiling * 2).min(self.options.max);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn at(seconds: u64) -> Time {
        Time { mono_ns: seconds * 1_000_000_000, epoch_ms: 0 }
    }

    #[test]
    fn waits_double_up_to_the_limit_and_stay_below_their_ceiling() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(1);
        let mut backoff = Backoff::new(BackoffOptions::default());
        for ceiling in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert!(backoff.failed(at(0), &mut rng) <= Duration::from_secs(ceiling));
        }
    }

    #[test]
    fn only_a_stable_minute_starts_over() {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(2);
        let mut backoff = Backoff::new(BackoffOptions::default());
        for _ in 0..8 {
            backoff.failed(at(0), &mut rng);
        }
        backoff.succeeded(at(10));
        backoff.failed(at(69), &mut rng);
        assert_eq!(backoff.ceiling, Duration::from_mins(1));
        backoff.succeeded(at(100));
        assert!(backoff.failed(at(160), &mut rng) <= Duration::from_secs(1));
    }
}
