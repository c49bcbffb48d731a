//! How long the table's times last, by how often the cameras report.
//!
//! Every time that says how long somebody is looked for or remembered, or what is one moment, was chosen for
//! cameras that report [`REPORTS_HZ`] times a second or more, and is as good as a number of reports. Where the
//! median of the cameras reports less often, all of them last as many reports, up to [`STRETCH_MAX`] times as long.
//! At that rate and above nothing changes.
//!
//! Pure: a function of the cameras' usual time between two frames.

use std::time::Duration;

use super::millis;
use super::standing::Standing;

/// The rate that the times are meant for.
const REPORTS_HZ: f64 = 2.0;
/// Nothing lasts longer than so many times.
const STRETCH_MAX: f64 = 4.0;
/// A camera that was not heard for so long has no say, milliseconds.
const HEARD_MS: i64 = 10_000;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace(f64);

impl Default for Pace {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Pace {
    /// The pace of the cameras that were heard lately.
    pub(super) fn of(all: &[Standing], now_ms: i64, scratch: &mut Vec<f64>) -> Self {
        scratch.clear();
        let heard = all.iter().filter(|s| now_ms.saturating_sub(s.scanned_ms) <= HEARD_MS);
        scratch.extend(heard.map(|s| s.cadence_s));
        if scratch.is_empty() {
            return Self::default();
        }
        let middle = scratch.len() / 2;
        let (_, median_s, _) = scratch.select_nth_unstable_by(middle, f64::total_cmp);
        Self((*median_s * REPORTS_HZ).clamp(1.0, STRETCH_MAX))
    }

    /// How long a time lasts, milliseconds.
    pub(super) fn ms(self, time: Duration) -> i64 {
        self.stretched_ms(millis(time))
    }

    /// The same, of milliseconds.
    pub(super) fn stretched_ms(self, time_ms: i64) -> i64 {
        // Times are far below 2^53 milliseconds.
        (time_ms as f64 * self.0) as i64
    }

    /// The same, of seconds.
    pub(super) fn stretched_s(self, time_s: f64) -> f64 {
        time_s * self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(interval_ms: i64) -> Standing {
        let mut standing = Standing::default();
        (0..200).for_each(|frame| standing.scan(frame * interval_ms));
        standing.scanned_ms = 0;
        standing
    }

    #[test]
    fn times_last_as_many_reports_as_at_two_a_second_and_no_less_time_than_there() {
        let at = |intervals_ms: &[i64]| {
            let all: Vec<_> = intervals_ms.iter().map(|ms| camera(*ms)).collect();
            Pace::of(&all, 0, &mut Vec::new()).stretched_ms(1_000)
        };
        assert_eq!((at(&[]), at(&[100, 100, 100]), at(&[500, 500])), (1_000, 1_000, 1_000));
        assert!((1_999..=2_000).contains(&at(&[1_000, 1_000, 100])), "the median counts");
    }

    #[test]
    fn a_camera_that_was_not_heard_lately_has_no_say() {
        let all = [camera(1_000), Standing::default()];
        assert_eq!(Pace::of(&all, HEARD_MS + 1, &mut Vec::new()), Pace::default());
    }
}
