//! Where somebody is and goes, as numbers with their uncertainty.
//!
//! [`Place`] is a point with its covariance, [`Estimate`] a constant-velocity state driven by white-noise
//! acceleration (Bar-Shalom, Li & Kirubarajan, *Estimation with Applications to Tracking and Navigation*,
//! 2001, 6.2.2). Metres, seconds. Covariances stay symmetric and positive; a number that is not finite
//! never comes out of finite ones, because every determinant that is divided by has a floor.

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

/// A moving point: place and velocity, and the three blocks of their covariance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    at: Point,
    velocity: Point,
    /// Of the place, of the velocity.
    place: Cov,
    speed: Cov,
    /// Between them: x with vx, x with vy, y with vx, y with vy.
    cross: [f64; 4],
}

impl Estimate {
    /// Begins at a place with an unknown velocity of this standard deviation (m/s).
    pub(super) fn begin(place: &Place, speed_sigma_mps: f64) -> Self {
        Self::begin_going(
            place,
            &Place { at: Point::default(), cov: round(speed_sigma_mps * speed_sigma_mps) },
        )
    }

    /// Begins at a place with a velocity (m/s) of which this is known.
    pub(super) fn begin_going(place: &Place, velocity: &Place) -> Self {
        Self { at: place.at, velocity: velocity.at, place: place.cov, speed: velocity.cov, cross: [0.0; 4] }
    }

    /// Moves `dt_s` seconds ahead; `density` is that of the acceleration, m²/s³.
    pub(super) fn predict(&mut self, dt_s: f64, density: f64) {
        if dt_s <= 0.0 {
            return;
        }
        let Place { at, cov } = self.place(dt_s);
        (self.at, self.place) = (at, plus(cov, round(density * dt_s * dt_s * dt_s / 3.0)));
        let [xx, xy, yy] = self.speed;
        let drift = density * dt_s * dt_s / 2.0;
        let more = [dt_s * xx + drift, dt_s * xy, dt_s * xy, dt_s * yy + drift];
        for (c, more) in self.cross.iter_mut().zip(more) {
            *c += more;
        }
        self.speed = plus(self.speed, round(density * dt_s));
    }

    /// Slows down to this part of the velocity: who is out of sight may have stopped or turned.
    pub(super) fn fade(&mut self, keep: f64) {
        self.velocity = self.velocity * keep;
    }

    /// The place now, or `dt_s` seconds from now on a straight line, without more doubt.
    pub(super) fn place(&self, dt_s: f64) -> Place {
        let [xu, xv, yu, yv] = self.cross;
        let cov = plus(self.place, times([2.0 * xu, xv + yu, 2.0 * yv], dt_s));
        Place { at: self.at + self.velocity * dt_s, cov: plus(cov, times(self.speed, dt_s * dt_s)) }
    }

    /// How it moves, metres per second.
    pub(super) fn velocity(&self) -> Point {
        self.velocity
    }

    /// How well that is known.
    pub(super) fn velocity_cov(&self) -> Cov {
        self.speed
    }

    /// Takes in a measured place. What lies farther off than `plausible` (squared innovation over its
    /// covariance) makes it forget first: people turn and stop harder than any white noise (fading memory).
    pub(super) fn update(&mut self, measured: &Place, plausible: f64) {
        let off = measured.at - self.at;
        let surprise = mahalanobis2(off, plus(self.place, measured.cov)) / plausible;
        if surprise > 1.0 {
            (self.place, self.speed) = (times(self.place, surprise), times(self.speed, surprise));
            self.cross = self.cross.map(|c| c * surprise);
        }
        let ([a, b, c], [xu, xv, yu, yv]) = (self.place, self.cross);
        let [i, j, k] = inverse(plus(self.place, measured.cov));
        // Gains: of x, y, vx and vy by what the measurement is off in x and in y.
        let (gx, gy) = ([a * i + b * j, a * j + b * k], [b * i + c * j, b * j + c * k]);
        let (gu, gv) = ([xu * i + yu * j, xu * j + yu * k], [xv * i + yv * j, xv * j + yv * k]);
        let along = |g: [f64; 2]| g[0] * off.x + g[1] * off.y;
        self.at = self.at + Point::new(along(gx), along(gy));
        self.velocity = self.velocity + Point::new(along(gu), along(gv));
        let less = |g: [f64; 2], x: f64, y: f64| g[0] * x + g[1] * y;
        self.place = [a - less(gx, a, b), b - less(gx, b, c), c - less(gy, b, c)];
        self.cross =
            [xu - less(gx, xu, yu), xv - less(gx, xv, yv), yu - less(gy, xu, yu), yv - less(gy, xv, yv)];
        let [p, q, r] = self.speed;
        self.speed = [p - less(gu, xu, yu), q - less(gu, xv, yv), r - less(gv, xv, yv)];
    }
}
