//! Where somebody is and goes, as numbers with their uncertainty.
//!
//! [`Place`] is a point with its covariance, [`Estimate`] a constant-velocity state driven by white-noise
//! acceleration (Bar-Shalom, Li & Kirubarajan, *Estimation with Applications to Tracking and Navigation*,
//! 2001, 6.2.2). Metres, seconds. Covariances stay symmetric and positive; a number that is not finite
//! never comes out of finite ones, because every determinant that is divided by has a floor.

use nalgebra::{Matrix2, Matrix4, Matrix4x2, Vector2, Vector4};

use crate::model::Point;

/// Smallest determinant that is divided by, m⁴: (1 cm)⁴.
const DET_MIN: f64 = 1e-8;

/// A symmetric matrix `[xx, xy, yy]`.
pub(super) type Cov = [f64; 3];

/// The sum of two covariances.
pub(super) fn plus(a: Cov, b: Cov) -> Cov {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// A covariance times a number.
pub(super) fn times(a: Cov, k: f64) -> Cov {
    a.map(|v| v * k)
}

/// The same variance in every direction.
pub(super) fn round(variance: f64) -> Cov {
    [variance, 0.0, variance]
}

/// Determinant, never below its floor.
pub(super) fn det(a: Cov) -> f64 {
    (a[0] * a[2] - a[1] * a[1]).max(DET_MIN)
}

/// The inverse.
pub(super) fn inverse(a: Cov) -> Cov {
    let d = det(a);
    [a[2] / d, -a[1] / d, a[0] / d]
}

/// v' A⁻¹ v.
pub(super) fn mahalanobis2(v: Point, cov: Cov) -> f64 {
    let [xx, xy, yy] = inverse(cov);
    xx * v.x * v.x + 2.0 * xy * v.x * v.y + yy * v.y * v.y
}

/// A point and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) at: Point,
    pub(super) cov: Cov,
}

/// What several places say together, in information form: places are added and taken away again in any
/// order.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Pool {
    info: Cov,
    x: f64,
    y: f64,
}

impl Pool {
    /// Adds a place; `sign` -1 takes it away again.
    pub(super) fn add(&mut self, place: &Place, sign: f64) {
        let [xx, xy, yy] = inverse(place.cov).map(|v| v * sign);
        self.info = plus(self.info, [xx, xy, yy]);
        self.x += xx * place.at.x + xy * place.at.y;
        self.y += xy * place.at.x + yy * place.at.y;
    }

    /// What they say together; none when nothing is in it.
    pub(super) fn place(&self) -> Option<Place> {
        let [xx, xy, yy] = self.info;
        let d = xx * yy - xy * xy;
        if xx <= 0.0 || d <= 1e-12 {
            return None;
        }
        let cov = [yy / d, -xy / d, xx / d];
        let at = Point::new(cov[0] * self.x + cov[1] * self.y, cov[1] * self.x + cov[2] * self.y);
        Some(Place { at, cov })
    }
}

/// A moving point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    x: Vector4<f64>,
    p: Matrix4<f64>,
}

impl Estimate {
    /// Begins at a place with an unknown velocity of this standard deviation (m/s).
    pub(super) fn begin(place: &Place, speed_sigma_mps: f64) -> Self {
        let mut p = Matrix4::zeros();
        let [xx, xy, yy] = place.cov;
        (p[(0, 0)], p[(0, 1)], p[(1, 0)], p[(1, 1)]) = (xx, xy, xy, yy);
        p[(2, 2)] = speed_sigma_mps * speed_sigma_mps;
        p[(3, 3)] = p[(2, 2)];
        Self { x: Vector4::new(place.at.x, place.at.y, 0.0, 0.0), p }
    }

    /// Moves `dt_s` seconds ahead; `density` is that of the acceleration, m²/s³.
    pub(super) fn predict(&mut self, dt_s: f64, density: f64) {
        if dt_s <= 0.0 {
            return;
        }
        self.x[0] += dt_s * self.x[2];
        self.x[1] += dt_s * self.x[3];
        let mut f = Matrix4::identity();
        (f[(0, 2)], f[(1, 3)]) = (dt_s, dt_s);
        self.p = f * self.p * f.transpose();
        let (q3, q2, q1) = (density * dt_s * dt_s * dt_s / 3.0, density * dt_s * dt_s / 2.0, density * dt_s);
        for i in 0..2 {
            self.p[(i, i)] += q3;
            self.p[(i, i + 2)] += q2;
            self.p[(i + 2, i)] += q2;
            self.p[(i + 2, i + 2)] += q1;
        }
    }

    /// Slows down to this part of the velocity: who is out of sight may have stopped or turned.
    pub(super) fn fade(&mut self, keep: f64) {
        self.x[2] *= keep;
        self.x[3] *= keep;
    }

    /// The place now, or `dt_s` seconds from now on a straight line, without more doubt.
    pub(super) fn place(&self, dt_s: f64) -> Place {
        let (x, p) = (&self.x, &self.p);
        let at = Point::new(x[0] + dt_s * x[2], x[1] + dt_s * x[3]);
        let cov = |i: usize, j: usize| {
            p[(i, j)] + dt_s * (p[(i, j + 2)] + p[(i + 2, j)]) + dt_s * dt_s * p[(i + 2, j + 2)]
        };
        Place { at, cov: [cov(0, 0), cov(0, 1), cov(1, 1)] }
    }

    /// How it moves, metres per second.
    pub(super) fn velocity(&self) -> Point {
        Point::new(self.x[2], self.x[3])
    }

    /// Takes in a measured place. What lies farther off than `plausible` (squared innovation over its
    /// covariance) makes it forget first: people turn and stop harder than any white noise (fading memory).
    pub(super) fn update(&mut self, measured: &Place, plausible: f64) {
        let off = measured.at - Point::new(self.x[0], self.x[1]);
        let own = |p: &Matrix4<f64>| [p[(0, 0)], p[(0, 1)], p[(1, 1)]];
        let surprise = mahalanobis2(off, plus(own(&self.p), measured.cov)) / plausible;
        if surprise > 1.0 {
            self.p *= surprise;
        }
        let [xx, xy, yy] = inverse(plus(own(&self.p), measured.cov));
        let gain: Matrix4x2<f64> = self.p.fixed_columns::<2>(0) * Matrix2::new(xx, xy, xy, yy);
        self.x += gain * Vector2::new(off.x, off.y);
        let p = self.p - gain * self.p.fixed_rows::<2>(0);
        self.p = (p + p.transpose()) * 0.5;
    }
}
