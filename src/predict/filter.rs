//! How a track moves on the ground, estimated for forecasting.
//!
//! The tracker's filter follows a box: it must be ready for every jerk of the box, and so its velocity
//! has a standard deviation of 1.5 m/s and more on the ground, as much as a person walks. A forecast
//! asks how the person moves. So the positions alone are taken as measurements of the model that the
//! forecast itself uses, constant velocity with white-noise acceleration (Bar-Shalom, Li &
//! Kirubarajan, *Estimation with Applications to Tracking and Navigation*, 2001, 6.2.2).
//!
//! Errors of a filtered position stay for a while, so at 30 frames a second the frames are not 30
//! measurements: each counts for its share of [`ERROR_LASTS_S`], which makes the estimate independent
//! of the frame rate. What the model can't explain (somebody turns or stops, a car brakes) makes it
//! forget: the covariance is scaled up until the innovation is plausible (fading memory).
//!
//! Failure: an estimate that is not usable is begun anew.

use nalgebra::{Matrix2, SMatrix, Vector2, Vector4};

use super::trajectory::position_cov;
use crate::base::Time;
use crate::model::{Motion, Point};

/// How long the error of a position stays the same, seconds.
const ERROR_LASTS_S: f64 = 0.5;
/// Least standard deviation of a measured position, metres.
const SIGMA_MIN_M: f64 = 0.02;
/// Standard deviation of a velocity of which nothing is known yet, metres per second.
const VELOCITY_SIGMA_MPS: f64 = 1.5;
/// Squared innovation over its covariance that is still plausible: 99 % of the chi-squared
/// distribution with two degrees of freedom.
const PLAUSIBLE: f64 = 9.2;

/// Earlier estimates that are kept of one track; 1 kB.
const EARLIER_MAX: usize = 6;

/// The estimate of one track.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    motion: Motion,
    /// Of the last measurement.
    pub(super) time: Time,
    /// Of the first measurement.
    pub(super) began: Time,
    /// Estimates at earlier times, the oldest first.
    earlier: Vec<(Time, Motion)>,
}

impl Filter {
    /// Begins at a position, with nothing known of the velocity.
    pub(super) fn new(ground: &Motion, now: Time) -> Self {
        let [xx, xy, yy] = measured_cov(ground, ERROR_LASTS_S);
        let vv = VELOCITY_SIGMA_MPS * VELOCITY_SIGMA_MPS;
        let mut cov = SMatrix::from_diagonal(&Vector4::new(xx, yy, vv, vv));
        (cov[(0, 1)], cov[(1, 0)]) = (xy, xy);
        let motion = Motion { position: ground.position, velocity: Point::default(), cov };
        Self { motion, time: now, began: now, earlier: Vec::with_capacity(EARLIER_MAX) }
    }

    /// Remembers the present estimate, in place of the oldest of [`EARLIER_MAX`].
    pub(super) fn keep(&mut self) {
        if self.earlier.len() == EARLIER_MAX {
            self.earlier.remove(0);
        }
        self.earlier.push((self.time, self.motion));
    }

    /// The estimates that were kept, the oldest first.
    pub(super) fn earlier(&self) -> &[(Time, Motion)] {
        &self.earlier
    }

    /// Takes the position of `ground` in and gives the estimate. `density` is that of the acceleration, m²/s³.
    pub(super) fn take(&mut self, ground: &Motion, now: Time, density: f64) -> Motion {
        let dt = now.since(self.time).as_secs_f64();
        if dt > 0.0 {
            self.time = now;
            match self.updated(ground, dt, density) {
                Some(motion) => self.motion = motion,
                None => *self = Self::new(ground, now),
            }
        }
        self.motion
    }

    fn updated(&self, ground: &Motion, dt: f64, density: f64) -> Option<Motion> {
        let Motion { position, velocity, cov } = self.motion;
        let mut step = SMatrix::<f64, 4, 4>::identity();
        (step[(0, 2)], step[(1, 3)]) = (dt, dt);
        let mut cov = step * cov * step.transpose();
        for i in 0..2 {
            cov[(i, i)] += density * dt.powi(3) / 3.0;
            cov[(i, i + 2)] += density * dt * dt / 2.0;
            cov[(i + 2, i)] += density * dt * dt / 2.0;
            cov[(i + 2, i + 2)] += density * dt;
        }
        let predicted = position + velocity * dt;
        let [xx, xy, yy] = measured_cov(ground, dt);
        let noise = Matrix2::new(xx, xy, xy, yy);
        let off = ground.position - predicted;
        let innovation = Vector2::new(off.x, off.y);
        let mut spread = cov.fixed_view::<2, 2>(0, 0) + noise;
        let surprise = innovation.dot(&(spread.try_inverse()? * innovation)) / PLAUSIBLE;
        if surprise > 1.0 {
            cov *= surprise;
            spread = cov.fixed_view::<2, 2>(0, 0) + noise;
        }
        let gain = cov.fixed_view::<4, 2>(0, 0) * spread.try_inverse()?;
        let by = gain * innovation;
        let cov = cov - gain * cov.fixed_view::<2, 4>(0, 0);
        let motion = Motion {
            position: predicted + Point::new(by[0], by[1]),
            velocity: velocity + Point::new(by[2], by[3]),
            cov: (cov + cov.transpose()) * 0.5,
        };
        motion.is_usable().then_some(motion)
    }
}

/// The covariance of a position as one measurement in `dt` seconds.
fn measured_cov(ground: &Motion, dt: f64) -> [f64; 3] {
    let share = (ERROR_LASTS_S / dt).max(1.0);
    let [xx, xy, yy] = position_cov(ground, 0.0, 0.0).map(|c| c * share);
    let floor = SIGMA_MIN_M * SIGMA_MIN_M;
    [xx + floor, xy, yy + floor]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;
    use rand_distr::{Distribution, Normal};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    const DENSITY: f64 = 0.02;

    /// The estimate after following a path along x; the error of a position has `sigma_m` and lasts half a second.
    fn follow(fps: u64, seconds: u64, sigma_m: f64, path: impl Fn(f64) -> f64) -> Motion {
        let mut rng = Pcg64Mcg::seed_from_u64(5);
        let normal = Normal::new(0.0, 1.0).unwrap();
        let keep = (-1.0 / (fps as f64 * ERROR_LASTS_S)).exp();
        let (mut ex, mut ey) = (0.0, 0.0);
        let mut filter: Option<Filter> = None;
        let mut last = None;
        for frame in 0..=seconds * fps {
            let fresh = sigma_m * (1.0 - keep * keep).sqrt();
            ex = ex * keep + fresh * normal.sample(&mut rng);
            ey = ey * keep + fresh * normal.sample(&mut rng);
            let x = path(frame as f64 / fps as f64);
            let variance = sigma_m * sigma_m;
            let ground = Motion {
                position: Point::new(x + ex, ey),
                velocity: Point::new(9.0, 9.0),
                cov: SMatrix::from_diagonal(&Vector4::new(variance, variance, 4.0, 4.0)),
            };
            let now = Time::default() + Duration::from_nanos(1 + frame * 1_000_000_000 / fps);
            let filter = filter.get_or_insert_with(|| Filter::new(&ground, now));
            last = Some(filter.take(&ground, now, DENSITY));
        }
        last.unwrap()
    }

    #[test]
    fn a_walk_is_known_to_a_fraction_of_its_speed_at_every_frame_rate() {
        for fps in [1, 3, 10, 30] {
            let motion = follow(fps, 10, 0.3, |t| 1.3 * t);
            let sigma = motion.cov[(2, 2)].sqrt();
            assert!((motion.velocity.x - 1.3).abs() < 3.0 * sigma, "{fps} frames/s: {:?}", motion.velocity);
            assert!((0.1..0.3).contains(&sigma), "{fps} frames/s: {sigma}");
        }
    }

    #[test]
    fn who_stops_or_brakes_hard_is_followed_within_two_seconds() {
        for (speed, fps) in [(1.3, 3), (1.3, 30), (8.0, 3), (8.0, 30)] {
            let motion = follow(fps, 12, 0.1, |t| speed * t.min(10.0));
            assert!(
                motion.velocity.norm() < 0.35 * speed,
                "{speed} m/s, {fps} frames/s: {:?}",
                motion.velocity
            );
            assert!((motion.position.x - speed * 10.0).abs() < 1.0, "{:?}", motion.position);
        }
    }

    #[test]
    fn a_jump_beyond_all_numbers_begins_anew() {
        let at = |x: f64| Motion {
            position: Point::new(x, 0.0),
            velocity: Point::default(),
            cov: SMatrix::from_diagonal_element(1e-12),
        };
        let time = |ns| Time::default() + Duration::from_nanos(ns);
        let mut filter = Filter::new(&at(-1e6), time(1));
        let motion = filter.take(&at(1e6), time(2), DENSITY);
        assert!(motion.is_usable() && (motion.position.x - 1e6).abs() < 1.0, "{motion:?}");
    }
}
