//! The filter of one box: constant velocity of the centre, a growth that dies away of width and
//! height.
//!
//! Four independent axes, each with its place, its rate per second and their covariance: the errors
//! of a detector's centre and size are hardly related, and four small filters cost a tenth of one
//! large one. All noise is a part of the box's height, as its errors are: a detector is off by a part
//! of the object, not by a number of pixels. The process is white-noise acceleration (Bar-Shalom, Li
//! & Kirubarajan 2001, 6.2.2) plus a random walk of the place itself, so two half steps give the
//! covariance of a whole one.

use nalgebra::Matrix4;

use super::options::Motion as Model;
use crate::model::{BBox, Class, Motion, Point};

/// No side of a box is predicted shorter than this, pixels.
const SIDE_MIN_PX: f64 = 1.0;
/// No step is longer than this, seconds: a clock gone wrong must not blow up the numbers.
const STEP_MAX_S: f64 = 60.0;

/// One coordinate: value, rate, variances and covariance.
#[derive(Debug, Clone, Copy)]
struct Axis {
    x: f64,
    v: f64,
    xx: f64,
    xv: f64,
    vv: f64,
}

impl Axis {
    fn new(x: f64, noise: f64, rate: f64) -> Self {
        Self { x, v: 0.0, xx: noise * noise, xv: 0.0, vv: rate * rate }
    }

    /// `reach` seconds ahead, the rate falling to its part `keep`; random walks of place and rate
    /// over `dt_s`, per square root of a second.
    fn predict(&mut self, dt_s: f64, (reach, keep): (f64, f64), place_drift: f64, rate_drift: f64) {
        let (p, q) = (place_drift * place_drift * dt_s, rate_drift * rate_drift * dt_s);
        self.x += reach * self.v;
        self.v *= keep;
        self.xx += 2.0 * reach * self.xv + reach * reach * self.vv + p + q * dt_s * dt_s / 3.0;
        self.xv = keep * (self.xv + reach * self.vv) + q * dt_s / 2.0;
        self.vv = keep * keep * self.vv + q;
    }

    /// Takes a measurement.
    fn update(&mut self, z: f64, noise: f64) {
        let s = self.xx + noise * noise;
        let (k_x, k_v) = (self.xx / s, self.xv / s);
        let off = z - self.x;
        self.x += k_x * off;
        self.v += k_v * off;
        self.vv -= k_v * self.xv;
        self.xv *= 1.0 - k_x;
        self.xx *= 1.0 - k_x;
    }
}

/// What a step does to every filter alike, so that it is worked out once per frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    dt_s: f64,
    /// Of the place and of the size: seconds that the rate counts, and the part of it that is left.
    go: (f64, f64),
    grow: (f64, f64),
}

impl Pace {
    /// A step of `dt_s` seconds. What is not `seen` keeps its size, and its velocity ever less: who
    /// is hidden may stop or turn.
    pub(super) fn new(dt_s: f64, seen: bool, m: &Model) -> Self {
        let dt_s = dt_s.min(STEP_MAX_S);
        let fading = |life_s: f64| {
            let keep = (-dt_s / life_s).exp();
            (life_s * (1.0 - keep), keep)
        };
        let go = if seen { (dt_s, 1.0) } else { fading(m.heading_s) };
        let grow = if seen { fading(m.growth_s) } else { (0.0, 0.0) };
        Self { dt_s, go, grow }
    }
}

/// How well a measurement fits what is expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    /// Squared Mahalanobis distance.
    pub(super) distance: f64,
    /// Determinant of the spread of centre and height, in heights.
    volume: f64,
}

impl Fit {
    /// At this squared distance, where centre and height have these variances, square pixels, of a box as high
    /// as this, pixels.
    pub(super) fn new(distance: f64, [x, y, tall]: [f64; 3], height: f64) -> Self {
        Self { distance, volume: x * y * tall / height.powi(6) }
    }

    /// ln of the probability density, for each cube of place and height, in heights.
    pub(super) fn log_density(&self) -> f64 {
        /// ln of (2π)^(3/2).
        const NORMAL: f64 = 2.756_815_599_614_018;
        -0.5 * (self.distance + self.volume.ln()) - NORMAL
    }
}

/// A box, where it goes, and how sure that is.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoxFilter {
    x: Axis,
    y: Axis,
    width: Axis,
    height: Axis,
    /// Its speed and drift up and down as a part of those across.
    rise_share: f64,
}

impl BoxFilter {
    pub(super) fn new(bbox: BBox, class: Class, m: &Model) -> Self {
        let (c, h) = (bbox.center(), bbox.height.max(SIDE_MIN_PX));
        let noise = 2.0 * m.place_noise * h;
        let growth = m.size_share * m.speed_start * h / 2.0;
        let (rise_share, speed) = match class {
            Class::Person | Class::Face => (m.rise_share, m.speed_start * h),
            _ => (1.0, m.thing_speed * h.max(bbox.width)),
        };
        Self {
            rise_share,
            x: Axis::new(c.x, noise, speed),
            y: Axis::new(c.y, noise, rise_share * speed),
            width: Axis::new(bbox.width.max(SIDE_MIN_PX), 2.0 * m.width_noise * h, growth),
            height: Axis::new(h, 2.0 * m.height_noise * h, growth),
        }
    }

    /// Moves the state ahead by a step.
    pub(super) fn predict(&mut self, pace: &Pace, m: &Model) {
        let (dt_s, h) = (pace.dt_s, self.height.x);
        let (place, rate) = (m.place_drift * h, m.speed_drift * h);
        self.x.predict(dt_s, pace.go, place, rate);
        self.y.predict(dt_s, pace.go, self.rise_share * place, self.rise_share * rate);
        for axis in [&mut self.width, &mut self.height] {
            axis.predict(dt_s, pace.grow, m.size_share * place, m.size_share * rate);
            axis.x = axis.x.max(SIDE_MIN_PX);
        }
    }

    /// Moves with the view, pixels.
    pub(super) fn shift(&mut self, by: Point) {
        self.x.x += by.x;
        self.y.x += by.y;
    }

    /// Takes a detected box whose noise is `worse` times the usual.
    pub(super) fn update(&mut self, bbox: BBox, worse: f64, m: &Model) {
        let (c, h) = (bbox.center(), self.height.x);
        let noise = worse * m.place_noise * h;
        self.x.update(c.x, noise);
        self.y.update(c.y, noise);
        self.width.update(bbox.width, worse * m.width_noise * h);
        self.height.update(bbox.height, worse * m.height_noise * h);
        for axis in [&mut self.width, &mut self.height] {
            axis.x = axis.x.max(SIDE_MIN_PX);
        }
    }

    /// How well another filter fits, its velocity too: is that the object that this one lost?
    pub(super) fn fit_of(&self, new: &Self) -> Fit {
        let places = [(&self.x, &new.x), (&self.y, &new.y), (&self.height, &new.height)];
        let off = |off: f64, variance: f64| off * off / variance;
        let distance: f64 = places.iter().map(|(old, new)| off(new.x - old.x, old.xx + new.xx)).sum();
        let turned: f64 = places[..2].iter().map(|(old, new)| off(new.v - old.v, old.vv + new.vv)).sum();
        Fit::new(distance + turned, places.map(|(old, new)| old.xx + new.xx), self.height.x)
    }

    /// Of the centre along x and y, and of the height, square pixels.
    pub(super) fn variance(&self) -> [f64; 3] {
        [self.x.xx, self.y.xx, self.height.xx]
    }

    /// The variance with which another filter's centre is expected along x at most, square pixels.
    pub(super) fn variance_x(&self, m: &Model) -> f64 {
        self.x.xx + (2.0 * m.place_noise * self.height.x).powi(2)
    }

    /// Pixels.
    pub(super) fn center(&self) -> Point {
        Point::new(self.x.x, self.y.x)
    }

    pub(super) fn bbox(&self) -> BBox {
        let (width, height) = (self.width.x, self.height.x);
        BBox::new(self.x.x - width / 2.0, self.y.x - height / 2.0, width, height)
    }

    /// The middle of the lower edge, its velocity and their covariance.
    pub(super) fn foot(&self) -> Motion {
        let (x, y, h) = (&self.x, &self.y, &self.height);
        let mut cov = Matrix4::zeros();
        cov[(0, 0)] = x.xx;
        (cov[(0, 2)], cov[(2, 0)], cov[(2, 2)]) = (x.xv, x.xv, x.vv);
        // The foot is half a height below the centre.
        cov[(1, 1)] = y.xx + h.xx / 4.0;
        cov[(1, 3)] = y.xv + h.xv / 4.0;
        cov[(3, 1)] = cov[(1, 3)];
        cov[(3, 3)] = y.vv + h.vv / 4.0;
        Motion { position: self.bbox().foot(), velocity: Point::new(x.v, y.v + h.v / 2.0), cov }
    }

    /// The foot of a detected box with the detector's error alone, moving as the filter does.
    pub(super) fn detected_foot(&self, bbox: BBox, m: &Model) -> Motion {
        let Motion { velocity, cov: known, .. } = self.foot();
        let mut cov = Matrix4::zeros();
        cov[(0, 0)] = (m.place_noise * self.height.x).powi(2);
        cov[(1, 1)] = cov[(0, 0)] + (m.height_noise * self.height.x / 2.0).powi(2);
        (cov[(2, 2)], cov[(3, 3)]) = (known[(2, 2)], known[(3, 3)]);
        Motion { position: bbox.foot(), velocity, cov }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_steady_walk_is_learned_and_predicted() {
        let m = Model::default();
        let at = |t: f64| BBox::new(100.0 + 30.0 * t, 50.0 + 10.0 * t, 30.0, 80.0);
        let mut f = BoxFilter::new(at(0.0), Class::Person, &m);
        for i in 1..=40 {
            f.predict(&Pace::new(0.1, true, &m), &m);
            f.update(at(f64::from(i) * 0.1), 1.0, &m);
        }
        f.predict(&Pace::new(1.0, true, &m), &m);
        assert!(f.bbox().iou(at(5.0)) > 0.9, "{:?}", f.bbox());
        let foot = f.foot();
        assert!(foot.velocity.distance(Point::new(30.0, 10.0)) < 3.0, "{foot:?}");
    }

    #[test]
    fn one_long_step_grows_as_many_short_ones() {
        let m = Model::default();
        let b = BBox::new(0.0, 0.0, 30.0, 80.0);
        let (mut one, mut many) =
            (BoxFilter::new(b, Class::Person, &m), BoxFilter::new(b, Class::Person, &m));
        one.predict(&Pace::new(2.0, true, &m), &m);
        (0..200).for_each(|_| many.predict(&Pace::new(0.01, true, &m), &m));
        let (one, many) = (one.foot().cov, many.foot().cov);
        assert!((one - many).norm() < 0.02 * one.norm());
    }

    proptest! {
        #[test]
        fn the_covariance_stays_positive(
            steps in proptest::collection::vec((0.0..5.0f64, -500.0..500.0f64, 1.0..300.0f64, 1.0..300.0f64), 1..60),
        ) {
            let m = Model::default();
            let mut f = BoxFilter::new(BBox::new(0.0, 0.0, 30.0, 80.0), Class::Person, &m);
            for (dt, x, w, h) in steps {
                f.predict(&Pace::new(dt, dt < 2.0, &m), &m);
                f.update(BBox::new(x, -x, w, h), 1.0 + dt, &m);
                for a in [f.x, f.y, f.width, f.height] {
                    prop_assert!(a.xx > 0.0 && a.vv > 0.0 && a.xv * a.xv <= a.xx * a.vv * (1.0 + 1e-9));
                }
                let b = f.bbox();
                prop_assert!(b.width > 0.0 && b.height > 0.0 && b.left.is_finite() && b.top.is_finite());
            }
        }
    }
}
