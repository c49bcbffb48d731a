//! The filter of one box: constant velocity over centre, area and aspect ratio.
//!
//! State (Bewley et al. 2016, eq. 1): u, v, s, r, and the rates of u, v, s. u and v are the centre in
//! pixels, s the area in square pixels, r = width / height, which has no rate. Rates are per second.
//!
//! Measurement and process noise are parts of the box's own size, as its errors are: a detector is
//! off by a part of the object, not by a number of pixels. The process is white-noise acceleration
//! (Bar-Shalom, Li & Kirubarajan 2001, 6.2.2) plus a random walk of the place itself, so two half
//! steps give the covariance of a whole one.

use nalgebra::{Matrix4, SMatrix, SVector, Vector4};

use crate::model::{BBox, Motion, Point};

type State = SVector<f64, 7>;
type Cov = SMatrix<f64, 7, 7>;

/// Standard deviation of a detected centre, as a part of the box's height.
const CENTER_NOISE: f64 = 0.05;
/// Standard deviation of a detected area, as a part of the area.
const AREA_NOISE: f64 = 0.1;
/// Standard deviation of a detected aspect ratio, as a part of the ratio.
const ASPECT_NOISE: f64 = 0.12;
/// A new object's speed: heights per second. A person walks at about 0.8 and sprints at 4.
const SPEED_START: f64 = 2.0;
/// A new object's growth: parts of the area per second.
const GROWTH_START: f64 = 0.5;
/// How far speed wanders in one second: heights per second.
const SPEED_DRIFT: f64 = 0.5;
/// How far growth wanders in one second: parts of the area per second.
const GROWTH_DRIFT: f64 = 0.2;
/// How far the box's centre wanders beside its velocity in one second, in heights: a detector's errors
/// last for longer than one frame, and a body sways.
const CENTER_DRIFT: f64 = 0.2;
/// How far the area wanders beside its growth in one second, as a part of the area.
const AREA_DRIFT: f64 = 0.2;
/// How far the aspect ratio wanders in one second, as a part of the ratio: people swing arms and legs.
const ASPECT_DRIFT: f64 = 0.2;
/// A box never predicts itself smaller than this, square pixels.
const AREA_MIN: f64 = 1.0;

/// A box, where it goes, and how sure that is.
#[derive(Debug, Clone)]
pub(super) struct BoxFilter {
    x: State,
    p: Cov,
}

impl BoxFilter {
    pub(super) fn new(bbox: BBox) -> Self {
        let z = measure(bbox);
        let (h, s) = (bbox.height, z[2]);
        let mut p = Cov::zeros();
        p.fixed_view_mut::<4, 4>(0, 0).copy_from(&noise(&z));
        p[(4, 4)] = (SPEED_START * h).powi(2);
        p[(5, 5)] = (SPEED_START * h).powi(2);
        p[(6, 6)] = (GROWTH_START * s).powi(2);
        Self { x: State::from_iterator(z.iter().copied().chain([0.0; 3])), p }
    }

    /// Moves the state `dt_s` seconds ahead.
    pub(super) fn predict(&mut self, dt_s: f64) {
        if self.x[2] + self.x[6] * dt_s < AREA_MIN {
            self.x[6] = 0.0;
        }
        let mut f = Cov::identity();
        for i in 0..3 {
            f[(i, i + 4)] = dt_s;
        }
        self.x = f * self.x;
        self.p = f * self.p * f.transpose();
        let (h, s, r) = (self.height(), self.x[2], self.x[3]);
        for (i, drift) in [(0, SPEED_DRIFT * h), (1, SPEED_DRIFT * h), (2, GROWTH_DRIFT * s)] {
            let q = drift * drift;
            self.p[(i, i)] += q * dt_s.powi(3) / 3.0;
            self.p[(i, i + 4)] += q * dt_s.powi(2) / 2.0;
            self.p[(i + 4, i)] += q * dt_s.powi(2) / 2.0;
            self.p[(i + 4, i + 4)] += q * dt_s;
        }
        for (i, drift) in
            [(0, CENTER_DRIFT * h), (1, CENTER_DRIFT * h), (2, AREA_DRIFT * s), (3, ASPECT_DRIFT * r)]
        {
            self.p[(i, i)] += drift * drift * dt_s;
        }
    }

    /// Takes a detected box.
    pub(super) fn update(&mut self, bbox: BBox) {
        let z = measure(bbox);
        let innovation = z - self.x.fixed_rows::<4>(0);
        let s = self.p.fixed_view::<4, 4>(0, 0) + noise(&z);
        let Some(inverse) = s.try_inverse() else { return };
        let gain = self.p.fixed_columns::<4>(0) * inverse;
        self.x += gain * innovation;
        let p = self.p - gain * self.p.fixed_rows::<4>(0);
        // Rounding must not make the covariance lopsided over hours.
        self.p = (p + p.transpose()) * 0.5;
        self.x[2] = self.x[2].max(AREA_MIN);
        self.x[3] = self.x[3].clamp(0.05, 20.0);
    }

    pub(super) fn bbox(&self) -> BBox {
        let (width, height) = (self.width(), self.height());
        BBox::new(self.x[0] - width / 2.0, self.x[1] - height / 2.0, width, height)
    }

    fn width(&self) -> f64 {
        (self.x[2] * self.x[3]).sqrt()
    }

    fn height(&self) -> f64 {
        (self.x[2] / self.x[3]).sqrt()
    }

    /// The middle of the lower edge, its velocity and their covariance, to first order.
    pub(super) fn foot(&self) -> Motion {
        let (width, height) = (self.width(), self.height());
        // v_foot = v + h/2 with h = sqrt(s/r): dh/ds = 1/(2w), dh/dr = -h/(2r).
        let (by_area, by_aspect) = (1.0 / (4.0 * width), -height / (4.0 * self.x[3]));
        let mut j = SMatrix::<f64, 4, 7>::zeros();
        j[(0, 0)] = 1.0;
        j[(1, 1)] = 1.0;
        j[(1, 2)] = by_area;
        j[(1, 3)] = by_aspect;
        j[(2, 4)] = 1.0;
        j[(3, 5)] = 1.0;
        j[(3, 6)] = by_area;
        let velocity = Point::new(self.x[4], self.x[5] + self.x[6] * by_area);
        let cov = j * self.p * j.transpose();
        Motion { position: self.bbox().foot(), velocity, cov: (cov + cov.transpose()) * 0.5 }
    }
}

fn measure(b: BBox) -> Vector4<f64> {
    let c = b.center();
    Vector4::new(c.x, c.y, b.area(), b.width / b.height)
}

fn noise(z: &Vector4<f64>) -> Matrix4<f64> {
    let height = (z[2] / z[3]).sqrt();
    let center = (CENTER_NOISE * height).powi(2);
    let area = (AREA_NOISE * z[2]).powi(2);
    Matrix4::from_diagonal(&Vector4::new(center, center, area, (ASPECT_NOISE * z[3]).powi(2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_steady_walk_is_learned_and_predicted() {
        let at = |t: f64| BBox::new(100.0 + 30.0 * t, 50.0 + 10.0 * t, 30.0, 80.0);
        let mut f = BoxFilter::new(at(0.0));
        for i in 1..=40 {
            f.predict(0.1);
            f.update(at(f64::from(i) * 0.1));
        }
        f.predict(1.0);
        assert!(f.bbox().iou(at(5.0)) > 0.9, "{:?}", f.bbox());
        let foot = f.foot();
        assert!(foot.velocity.distance(Point::new(30.0, 10.0)) < 3.0, "{foot:?}");
    }

    #[test]
    fn one_long_step_grows_as_many_short_ones() {
        let b = BBox::new(0.0, 0.0, 30.0, 80.0);
        let (mut one, mut many) = (BoxFilter::new(b), BoxFilter::new(b));
        one.predict(2.0);
        (0..200).for_each(|_| many.predict(0.01));
        assert!((one.p - many.p).norm() < 0.02 * one.p.norm());
    }

    proptest! {
        #[test]
        fn the_covariance_stays_positive(
            steps in proptest::collection::vec((0.0..5.0f64, -500.0..500.0f64, 1.0..300.0f64, 1.0..300.0f64), 1..60),
        ) {
            let mut f = BoxFilter::new(BBox::new(0.0, 0.0, 30.0, 80.0));
            for (dt, x, w, h) in steps {
                f.predict(dt);
                f.update(BBox::new(x, -x, w, h));
                prop_assert!(f.p.symmetric_eigenvalues().iter().all(|&e| e > -1e-6 * f.p.norm()));
                let b = f.bbox();
                prop_assert!(b.width > 0.0 && b.height > 0.0 && b.left.is_finite() && b.top.is_finite());
            }
        }
    }
}
