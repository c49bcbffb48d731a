//! When a frame of a recording was taken, by the times that the file gives its frames.
//!
//! Times of a file begin anywhere, do not always rise, and begin again where files were joined. What comes out begins at
//! zero and rises: a time that goes back by more than [`RESTART`] begins again one frame after the last one, and one that
//! does not rise comes a microsecond later. Holes stay as long as they are.

use std::time::Duration;

/// A time that goes back by more than this is a new beginning: frames that are out of order are nearer together.
const RESTART: Duration = Duration::from_secs(1);
/// What a frame without a time, or after a new beginning, comes after the last one.
const STEP: Duration = Duration::from_millis(40);

/// The times of a file's frames as offsets from the first.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// The last frame's time in the file, and its offset.
    last: Option<(i64, Duration)>,
}

impl Stamps {
    /// The offset of the next frame; `by_rate` while the file gave no time.
    pub(super) fn offset(&mut self, stamp: Option<i64>, by_rate: Duration) -> Duration {
        let offset = match (self.last, stamp) {
            (None, _) => by_rate,
            (Some((_, before)), None) => before + STEP,
            (Some((last, before)), Some(now)) => match u64::try_from(now.saturating_sub(last)) {
                Ok(later) => before + Duration::from_micros(later.max(1)),
                Err(_) if last.abs_diff(now) > RESTART.as_micros() as u64 => before + STEP,
                Err(_) => before + Duration::from_micros(1),
            },
        };
        self.last = stamp.or(self.last.map(|(last, _)| last)).map(|at| (at, offset));
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_stay_a_new_beginning_goes_on_and_what_does_not_rise_comes_just_after() {
        let mut stamps = Stamps::default();
        let seen = [
            (Some(5_000_000), 0),
            (Some(5_040_000), 40_000),
            (Some(65_040_000), 60_040_000),
            (Some(65_040_000), 60_040_001),
            (Some(65_020_000), 60_040_002),
            (None, 60_080_002),
            (Some(0), 60_120_002),
            (Some(100_000), 60_220_002),
            (Some(i64::MIN), 60_260_002),
        ];
        for (stamp, offset_us) in seen {
            let offset = stamps.offset(stamp, Duration::ZERO);
            assert_eq!(offset, Duration::from_micros(offset_us), "{stamp:?}");
        }
    }

    #[test]
    fn frames_without_times_come_at_their_rate() {
        let mut stamps = Stamps::default();
        for ms in [0, 100, 200] {
            assert_eq!(stamps.offset(None, Duration::from_millis(ms)), Duration::from_millis(ms));
        }
    }
}
