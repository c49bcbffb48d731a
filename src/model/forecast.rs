//! Where a track will be.
//!
//! Positions with their uncertainty, on the ground, counted from the frame's capture; how they are
//! found belongs to `predict`. Empty where the track has no place on the ground: no forecast is not a
//! forecast of standing still.

use super::Point;

/// One future position on the ground.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForecastPoint {
    /// Seconds after the frame.
    pub ahead_s: f64,
    /// Expected position, metres.
    pub position_m: Point,
    /// Its covariance `[sxx, sxy, syy]`, square metres.
    pub cov_m2: [f64; 3],
}

/// A track's path into the future, in equal steps from the first step on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forecast {
    /// The positions, nearest first.
    pub points: Vec<ForecastPoint>,
}
