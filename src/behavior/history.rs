//! Where a track was over the last minute, at a rate that does not depend on the camera's.
//!
//! Positions are taken at most every [`SAMPLE_INTERVAL`], so that noise between two frames is never
//! mistaken for speed and memory has a bound: at most [`SAMPLES_MAX`] of 24 bytes, 8 kB a track, taken
//! in steps of [`GROWTH`] as the track gets older. Each keeps its covariance, because "moved" means
//! "moved by more than the noise".
//!
//! Samples are stored in single precision, from where the track began: a millimetre after 10 km, wherever the site's
//! origin is. Times are whole milliseconds, and told from the newest one.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::Time;
use crate::model::{Motion, Point};

/// The longest time a rule may look back, seconds.
pub const WINDOW_MAX_S: f64 = 60.0;
/// The speed that is reported is a mean over this time: 60 positions at 10 frames per second.
pub(super) const SPEED_WINDOW_S: f64 = 6.0;
/// Five samples a second, with room for frame times that are not exact.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(190);
/// A little more than the longest window, so that the sample at its far end is still there.
const KEPT: Duration = Duration::from_secs(62);
const SAMPLES_MAX: usize = 62_000 / 190 + 1;
/// Mean speeds add up displacements over at least this time, seconds.
const LEG_S: f64 = 2.0;

/// Samples for which room is made at a time: six seconds.
const GROWTH: usize = 32;

/// A sample as it is stored.
#[derive(Debug, Clone, Copy)]
struct Stored {
    /// Milliseconds of the monotonic clock, without their upper half: only differences matter, and
    /// those are below a minute or two.
    ms: u32,
    position_m: [f32; 2],
    cov_m2: [f32; 3],
}

/// One position in the past.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) time: Time,
    pub(super) position_m: Point,
    /// `[sxx, sxy, syy]`, square metres.
    cov_m2: [f64; 3],
}

impl Sample {
    /// Sum of the variances along both axes, square metres.
    pub(super) fn variance_m2(&self) -> f64 {
        self.cov_m2[0] + self.cov_m2[2]
    }

    /// Variance along a direction of length 1, square metres.
    pub(super) fn variance_along_m2(&self, u: Point) -> f64 {
        let [xx, xy, yy] = self.cov_m2;
        (u.x * u.x * xx + 2.0 * u.x * u.y * xy + u.y * u.y * yy).max(0.0)
    }
}

/// The way from one sample to a later one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Displacement {
    pub(super) by_m: Point,
    pub(super) seconds: f64,
    noise_m2: f64,
    noise_along_m2: f64,
}

impl Displacement {
    pub(super) fn between(from: &Sample, to: &Sample) -> Self {
        let by_m = to.position_m - from.position_m;
        let length = by_m.norm();
        let u = if length > 0.0 { by_m * (1.0 / length) } else { Point::new(1.0, 0.0) };
        Self {
            by_m,
            seconds: to.time.since(from.time).as_secs_f64(),
            noise_m2: from.variance_m2() + to.variance_m2(),
            noise_along_m2: from.variance_along_m2(u) + to.variance_along_m2(u),
        }
    }

    pub(super) fn length_m(&self) -> f64 {
        self.by_m.norm()
    }

    /// The length with what noise adds to it on average taken off, metres.
    fn moved_m(&self) -> f64 {
        (self.length_m().powi(2) - self.noise_m2).max(0.0).sqrt()
    }

    /// Whether the length is more than `sigmas` standard deviations of the noise in its direction.
    ///
    /// Noise alone passes with a probability below exp(-sigmas²/2), because
    /// (d·d)² / (d·C·d) is at most d·C⁻¹·d, which is chi-squared with two degrees of freedom.
    pub(super) fn exceeds_noise(&self, sigmas: f64) -> bool {
        self.length_m() > sigmas * self.noise_along_m2.sqrt()
    }
}

/// The last minute of one track.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: VecDeque<Stored>,
    newest: Time,
    /// The first position, from which the others are stored, metres.
    origin_m: Point,
}

impl History {
    /// Takes a position if it is usable and the last one is old enough; tells whether it did.
    pub(super) fn take(&mut self, ground: &Motion, now: Time) -> bool {
        let too_soon = !self.samples.is_empty() && now.since(self.newest) < SAMPLE_INTERVAL;
        if !ground.is_usable() || too_soon {
            return false;
        }
        while self.samples.len() >= SAMPLES_MAX
            || self.samples.front().is_some_and(|s| now.since(self.restored(s).time) > KEPT)
        {
            self.samples.pop_front();
        }
        if self.samples.len() == self.samples.capacity() {
            self.samples.reserve_exact(GROWTH.min(SAMPLES_MAX - self.samples.len()));
        }
        if self.samples.is_empty() {
            self.origin_m = ground.position;
        }
        self.newest = now;
        let from_origin = ground.position - self.origin_m;
        self.samples.push_back(Stored {
            ms: low_ms(now),
            position_m: [from_origin.x as f32, from_origin.y as f32],
            cov_m2: ground.position_cov().map(|c| c as f32),
        });
        true
    }

    /// Memory for samples, bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.samples.capacity() * size_of::<Stored>()
    }

    fn restored(&self, stored: &Stored) -> Sample {
        let ago_ms = u64::from(low_ms(self.newest).wrapping_sub(stored.ms));
        let Time { mono_ns, epoch_ms } = self.newest;
        let [x, y] = stored.position_m.map(f64::from);
        Sample {
            time: Time {
                mono_ns: mono_ns.saturating_sub(ago_ms * 1_000_000),
                epoch_ms: epoch_ms.saturating_sub(ago_ms),
            },
            position_m: self.origin_m + Point::new(x, y),
            cov_m2: stored.cov_m2.map(f64::from),
        }
    }

    /// When the newest sample was taken; the origin of time when there is none.
    pub(super) fn newest_time(&self) -> Time {
        self.newest
    }

    /// When the oldest kept sample was taken.
    pub(super) fn oldest_time(&self) -> Time {
        self.samples.front().map_or_else(Time::default, |s| self.restored(s).time)
    }

    /// Newest first.
    pub(super) fn backwards(&self) -> impl Iterator<Item = Sample> {
        self.samples.iter().rev().map(|s| self.restored(s))
    }

    /// The samples of the last `window_s` seconds, oldest first.
    pub(super) fn last(&self, window_s: f64) -> impl DoubleEndedIterator<Item = Sample> + Clone {
        let newest = self.newest_time();
        let first = self.samples.partition_point(|s| newest.seconds_from(self.restored(s).time) > window_s);
        self.samples.range(first..).map(|s| self.restored(s))
    }

    /// The newest sample that is `ago_s` old and the newest that is at least `seconds` older, with the
    /// one nearest to the middle between them; none while there are no three such samples.
    pub(super) fn span(&self, seconds: f64, ago_s: f64) -> Option<[Sample; 3]> {
        let newest = self.newest_time();
        let age = |s: &Stored| newest.seconds_from(self.restored(s).time);
        let to = self.samples.partition_point(|s| age(s) >= ago_s).checked_sub(1)?;
        let end_s = age(&self.samples[to]);
        let after = self.samples.partition_point(|s| age(s) - end_s >= seconds);
        let from = after.checked_sub(1)?;
        let half = f64::midpoint(age(&self.samples[from]), end_s);
        let middle = self
            .samples
            .range(after..to)
            .min_by(|a, b| (age(a) - half).abs().total_cmp(&(age(b) - half).abs()))?;
        Some([&self.samples[from], middle, &self.samples[to]].map(|s| self.restored(s)))
    }

    /// Mean speed over the last `window_s` seconds with the noise taken off, metres per second: the
    /// sum of displacements over two seconds or more. 0 while the track is too young to tell.
    pub(super) fn mean_speed_mps(&self, window_s: f64) -> f64 {
        let (mut moved_m, mut seconds) = (0.0, 0.0);
        let mut end: Option<Sample> = None;
        for sample in self.last(window_s).rev() {
            let Some(to) = end else {
                end = Some(sample);
                continue;
            };
            let leg = Displacement::between(&sample, &to);
            if leg.seconds >= LEG_S {
                moved_m += leg.moved_m();
                seconds += leg.seconds;
                end = Some(sample);
            }
        }
        if seconds > 0.0 { moved_m / seconds } else { 0.0 }
    }
}

/// The lower half of the monotonic milliseconds.
fn low_ms(time: Time) -> u32 {
    (time.mono_ns / 1_000_000) as u32
}
