//! Where a track will be: constant velocity, with a covariance that grows.
//!
//! The model is white-noise acceleration in continuous time (Bar-Shalom, Li & Kirubarajan,
//! *Estimation with Applications to Tracking and Navigation*, 2001, 6.2.2): after t seconds a
//! position's covariance is P + t (Ppv + Pvp) + t² Pv + q t³/3. The default density q = 0.02 m²/s³
//! is that of pedestrians: it says they are 1.2 m (rms) off a straight line after 4.8 s, about the
//! final displacement error of constant velocity on the ETH and UCY recordings (Schöller et al.,
//! "What the Constant Velocity Model Can Teach Us About Pedestrian Motion Prediction", 2020). On three of
//! these recordings the 90 % ellipses of the next 4.8 s hold 91 to 98 % of the outcomes.
//!
//! A filter never says that a track stands: its velocity is noise then, and over thirty seconds
//! noise goes a long way. So a velocity counts only as far as it is significant against its own
//! covariance, and of somebody who has stood still more is asked. The covariance keeps what the
//! filter said.
//!
//! Failure: no forecast from a motion that is not usable.

use super::Options;
use crate::model::{Forecast, ForecastPoint, Motion, Point};

/// Most steps of one forecast.
pub const STEPS_MAX: usize = 300;
/// Below the first, v·P⁻¹·v is taken for noise, above the second for movement, in between in part:
/// 86 % and 99 % of the chi-squared distribution with two degrees of freedom.
const MOVES: (f64, f64) = (4.0, 9.2);
/// The same for who has stood still: 99 % and 99.99 %.
const SETS_OFF: (f64, f64) = (9.2, 18.4);
/// From then on a track has stood still, seconds.
const STILL_S: f64 = 3.0;
/// Added to each variance of a velocity, (m/s)²: nobody knows it to better than a centimetre per second.
const VELOCITY_FLOOR_M2_S2: f64 = 1e-4;

/// Fills `out` with the positions of a track that moves like this and is still since `still_s` seconds
/// (0: it is not). Give it an estimate of how the object moves, not of how its box does.
pub fn forecast(ground: &Motion, still_s: f64, options: &Options, out: &mut Forecast) {
    out.points.clear();
    let steps = options.horizon_s / options.step_s;
    if !ground.is_usable() || !steps.is_finite() {
        return;
    }
    let velocity = significant_velocity(ground.velocity, ground.velocity_cov(), still_s >= STILL_S);
    // Half a step of slack for a quotient like 2.9999999.
    for i in 1..=((steps + 1e-6) as usize).min(STEPS_MAX) {
        let ahead_s = i as f64 * options.step_s;
        out.points.push(ForecastPoint {
            ahead_s,
            position_m: ground.position + velocity * ahead_s,
            cov_m2: position_cov(ground, ahead_s, options.acceleration_density_m2_s3),
        });
    }
}

/// A position's covariance `[sxx, sxy, syy]` in m² after `t` seconds; always positive semi-definite.
pub(super) fn position_cov(ground: &Motion, t: f64, density: f64) -> [f64; 3] {
    let c = &ground.cov;
    let grown = density * t.powi(3) / 3.0;
    let at = |i: usize, j: usize| c[(i, j)] + t * (c[(i, j + 2)] + c[(i + 2, j)]) + t * t * c[(i + 2, j + 2)];
    let (xx, yy) = (at(0, 0).max(0.0) + grown, at(1, 1).max(0.0) + grown);
    let bound = (xx * yy).sqrt();
    [xx, at(0, 1).clamp(-bound, bound), yy]
}

/// The part of a velocity that its covariance does not explain.
pub(super) fn significant_velocity(velocity: Point, cov: [f64; 3], still: bool) -> Point {
    let (noise, certain) = if still { SETS_OFF } else { MOVES };
    let (xx, yy) = (cov[0] + VELOCITY_FLOOR_M2_S2, cov[2] + VELOCITY_FLOOR_M2_S2);
    let xy = cov[1];
    let det = xx * yy - xy * xy;
    // A matrix that is no covariance explains nothing away but what its diagonal does.
    let (xy, det) = if det > 0.0 { (xy, det) } else { (0.0, xx * yy) };
    let Point { x, y } = velocity;
    let significance = (x * x * yy - 2.0 * x * y * xy + y * y * xx) / det;
    velocity * ((significance - noise) / (certain - noise)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use nalgebra::{SMatrix, Vector4};
    use proptest::prelude::*;

    use super::*;

    fn walker(vx: f64, sigma_mps: f64) -> Motion {
        let v = sigma_mps * sigma_mps;
        Motion {
            position: Point::new(1.0, 2.0),
            velocity: Point::new(vx, 0.0),
            cov: SMatrix::from_diagonal(&Vector4::new(0.01, 0.01, v, v)),
        }
    }

    fn run(ground: &Motion, still_s: f64, options: &Options) -> Vec<ForecastPoint> {
        let mut out = Forecast::default();
        forecast(ground, still_s, options, &mut out);
        out.points
    }

    #[test]
    fn a_walker_goes_on_straight_and_the_uncertainty_follows_the_formula() {
        let points = run(&walker(1.3, 0.2), 0.0, &Options::default());
        assert_eq!(points.len(), 30);
        let last = points[29];
        assert!((last.ahead_s - 30.0).abs() < 1e-9 && (last.position_m.x - 40.0).abs() < 1e-9);
        let variance = 0.01 + 900.0 * 0.04 + 0.02 * 27_000.0 / 3.0;
        assert!((last.cov_m2[0] - variance).abs() < 1e-6 && last.cov_m2[1].abs() < 1e-9);
        assert!(points.windows(2).all(|w| w[0].cov_m2[0] < w[1].cov_m2[0]));
    }

    #[test]
    fn the_noise_velocity_of_who_stands_leads_nowhere() {
        let last = |vx, still_s| run(&walker(vx, 0.2), still_s, &Options::default())[29].position_m.x - 1.0;
        assert!(last(0.4, 0.0).abs() < 1e-9, "two sigma");
        assert!(last(0.6, 10.0).abs() < 1e-9, "three sigma of somebody who stood");
        assert!((last(0.61, 0.0) - 18.3).abs() < 0.1, "three sigma of somebody who walked");
        assert!((last(1.3, 10.0) - 39.0).abs() < 1e-9, "somebody sets off");
    }

    #[test]
    fn a_forecast_reuses_its_buffer_and_has_at_most_300_steps() {
        let options = Options { horizon_s: 1e6, ..Options::default() };
        let mut out = Forecast::default();
        forecast(&walker(1.0, 0.1), 0.0, &options, &mut out);
        let buffer = out.points.as_ptr();
        forecast(&walker(1.0, 0.1), 0.0, &options, &mut out);
        assert_eq!((out.points.len(), out.points.as_ptr()), (STEPS_MAX, buffer));
        forecast(&walker(f64::NAN, 0.1), 0.0, &options, &mut out);
        assert!(out.points.is_empty());
    }

    proptest! {
        #[test]
        fn every_forecast_is_finite_with_a_real_covariance(
            numbers in prop::array::uniform20(-1e4..1e4f64), scale in 0.0..1e4f64,
        ) {
            let mut ground = walker(numbers[16], 0.1);
            ground.velocity.y = numbers[17];
            ground.cov = SMatrix::from_iterator(numbers.into_iter().take(16)) * scale;
            for p in run(&ground, 0.0, &Options::default()) {
                let [xx, xy, yy] = p.cov_m2;
                prop_assert!(p.position_m.is_finite() && xx > 0.0 && yy > 0.0);
                prop_assert!(xy * xy <= xx * yy * (1.0 + 1e-9));
            }
        }
    }
}
