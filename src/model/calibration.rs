//! From the image to the ground and back.
//!
//! A pinhole camera maps the ground plane to the picture by a homography. It comes from point pairs
//! (normalised direct linear transform: Hartley, "In Defense of the Eight-Point Algorithm", 1997;
//! Hartley & Zisserman, *Multiple View Geometry*, 4.4), from a given 3x3 matrix, or, where nothing
//! was measured, from the frame's edges taken as a square of `meters_per_unit`. All three are the
//! same kind of map, so nobody else needs to ask which one it is, except to say so.
//!
//! The ground of a camera with square pixels and its principal point in the picture's middle also fixes
//! what is above it (Zhang, "A Flexible New Technique for Camera Calibration", PAMI 2000, 3.1):
//! [`GroundPlane::upright_px`]. Where the map fits no such camera, that is not known.
//!
//! What is wrong is refused here with the reason: points on a line, a mirrored plane, a horizon that
//! crosses the picture. A point at or above the horizon has no place on the ground.

use nalgebra::{Matrix2, Matrix3, SMatrix, SVector, Vector2, Vector3};

use super::{BBox, Motion, Point, Polygon, Size};

/// A point in the picture and where it is on the ground.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correspondence {
    /// Pixels.
    pub image_px: Point,
    /// Metres.
    pub ground_m: Point,
}

/// Why a calibration is refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// Too few pairs.
    #[error("needs at least 4 point pairs, has {0}")]
    TooFewPairs(usize),
    /// A number is infinite or not a number.
    #[error("holds a number that is not finite")]
    NotFinite,
    /// The pairs, or the matrix, do not fix a plane.
    #[error("is degenerate: use at least 4 pairs of which no 3 lie on one line")]
    Degenerate,
    /// The plane is seen from below.
    #[error(
        "is mirrored: seen from above, ground y must point left of ground x (right-handed, z up); swap x and y, or negate one"
    )]
    Mirrored,
    /// The sky is where people should stand.
    #[error(
        "puts the horizon through the picture (row {row:.0} of {height}); check the pairs, or set allow_horizon = true if the camera really sees it"
    )]
    Horizon {
        /// Lowest row in which the horizon meets the picture's left or right border.
        row: f64,
        /// Rows in the picture.
        height: u32,
    },
}

/// The map between a picture of one size and the ground.
#[derive(Debug, Clone, PartialEq)]
pub struct GroundPlane {
    /// Image (u, v, 1) to ground; the third component is positive below the horizon.
    to_ground: Matrix3<f64>,
    to_image: Matrix3<f64>,
    /// What a metre upward adds to the image of a place on the ground, at the scale of `to_image`.
    up: Option<Vector3<f64>>,
    size: Size,
    calibrated: bool,
    /// The third component may not fall below this: nearer to the horizon a pixel is worth nothing.
    depth_min: f64,
}

/// Nearest to the horizon that still counts, as a part of the depth component at the lower border.
/// At 0.02 a place is about fifty times as far away as the lower border of the picture.
const DEPTH_MIN: f64 = 0.02;
/// Smallest determinant of a normalised unit-norm homography that is not taken for rounding noise.
const DET_MIN: f64 = 1e-7;
/// Focal lengths that cameras have, in picture widths: 127 to 6 degrees from side to side.
const FOCAL_WIDTHS: std::ops::RangeInclusive<f64> = 0.25..=10.0;
/// The two rules that the focal length comes from agree: cosine between them, 1 for an exact camera.
const FOCAL_AGREE: f64 = 0.9;
/// How far two metres on the ground, one along and one across the view, may differ in length.
const METRES_ALIKE: std::ops::RangeInclusive<f64> = 0.9..=1.1;

impl GroundPlane {
    /// No calibration: the frame is a rectangle on the ground, `meters_per_unit` metres wide and
    /// deep, x to the right and y up the picture.
    pub fn nominal(meters_per_unit: f64, size: Size) -> Self {
        let (w, h) = (f64::from(size.width.max(1)), f64::from(size.height.max(1)));
        let m = meters_per_unit;
        let to_ground = Matrix3::new(m / w, 0.0, 0.0, 0.0, -m / h, m, 0.0, 0.0, 1.0);
        let to_image = Matrix3::new(w / m, 0.0, 0.0, 0.0, -h / m, h, 0.0, 0.0, 1.0);
        Self { to_ground, to_image, up: None, size, calibrated: false, depth_min: DEPTH_MIN }
    }

    /// From four or more pairs, in pixels of a picture of `size`. With more than four the algebraic
    /// error is least.
    pub fn from_pairs(
        pairs: &[Correspondence],
        size: Size,
        allow_horizon: bool,
    ) -> Result<Self, CalibrationError> {
        if pairs.len() < 4 {
            return Err(CalibrationError::TooFewPairs(pairs.len()));
        }
        if pairs.iter().any(|p| !p.image_px.is_finite() || !p.ground_m.is_finite()) {
            return Err(CalibrationError::NotFinite);
        }
        let from = normalisation(pairs.iter().map(|p| p.image_px)).ok_or(CalibrationError::Degenerate)?;
        let to = normalisation(pairs.iter().map(|p| p.ground_m)).ok_or(CalibrationError::Degenerate)?;
        let mut normal = SMatrix::<f64, 9, 9>::zeros();
        for p in pairs {
            let a = from * homogeneous(p.image_px);
            let b = to * homogeneous(p.ground_m);
            for row in dlt_rows(a, b) {
                normal += row * row.transpose();
            }
        }
        let eigen = normal.symmetric_eigen();
        let mut order: [usize; 9] = std::array::from_fn(|i| i);
        order.sort_by(|&i, &j| eigen.eigenvalues[i].total_cmp(&eigen.eigenvalues[j]));
        // A second solution as good as the first: the pairs do not fix the plane.
        if eigen.eigenvalues[order[1]] <= 1e-9 * eigen.eigenvalues[order[8]] {
            return Err(CalibrationError::Degenerate);
        }
        let h = eigen.eigenvectors.column(order[0]);
        let h = Matrix3::from_row_iterator(h.iter().copied());
        if h.determinant().abs() < DET_MIN {
            return Err(CalibrationError::Degenerate);
        }
        let back = to.try_inverse().ok_or(CalibrationError::Degenerate)?;
        let h = back * h * from;
        let depths = pairs.iter().map(|p| (h * homogeneous(p.image_px)).z);
        let (near, far) =
            depths.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), z| (lo.min(z), hi.max(z)));
        if near * far <= 0.0 {
            // The horizon runs between the measured points.
            return Err(CalibrationError::Degenerate);
        }
        Self::checked(h * near.signum(), size, allow_horizon)
    }

    /// From a given matrix that takes (u, v, 1) in pixels of a picture of `size` to metres, up to scale.
    pub fn from_homography(
        h: Matrix3<f64>,
        size: Size,
        allow_horizon: bool,
    ) -> Result<Self, CalibrationError> {
        let below = (h * homogeneous(bottom_center(size))).z;
        Self::checked(h * below.signum(), size, allow_horizon)
    }

    fn checked(h: Matrix3<f64>, size: Size, allow_horizon: bool) -> Result<Self, CalibrationError> {
        if h.iter().any(|v| !v.is_finite()) {
            return Err(CalibrationError::NotFinite);
        }
        let bottom = bottom_center(size);
        let below = (h * homogeneous(bottom)).z;
        // Judged in units of the picture, so that the check does not depend on its resolution.
        let scale = Matrix3::from_diagonal(&Vector3::new(f64::from(size.width), f64::from(size.height), 1.0));
        let unit = h * scale;
        let det = (unit / unit.norm()).determinant().abs();
        if det.is_nan() || det < DET_MIN {
            return Err(CalibrationError::Degenerate);
        }
        if below <= 0.0 {
            return Err(CalibrationError::Horizon { row: f64::from(size.height), height: size.height });
        }
        let h = h / below;
        let to_image = h.try_inverse().ok_or(CalibrationError::Degenerate)?;
        let up = upward(&to_image, size);
        let plane = Self { to_ground: h, to_image, up, size, calibrated: true, depth_min: DEPTH_MIN };
        // Image y points down: seen from above, a right-handed ground turns the other way round.
        if plane.jacobian(bottom).is_none_or(|j| j.determinant() >= 0.0) {
            return Err(CalibrationError::Mirrored);
        }
        if !allow_horizon && let Some(row) = plane.horizon_row() {
            return Err(CalibrationError::Horizon { row, height: size.height });
        }
        Ok(plane)
    }

    /// The lowest row at which the horizon meets the left or right border, if it enters the picture.
    fn horizon_row(&self) -> Option<f64> {
        let (w, h) = (f64::from(self.size.width), f64::from(self.size.height));
        let depth = |u: f64, v: f64| (self.to_ground * Vector3::new(u, v, 1.0)).z;
        [0.0, w]
            .into_iter()
            .filter_map(|u| {
                let (top, bottom) = (depth(u, 0.0), depth(u, h));
                (top.min(bottom) <= 0.0).then(|| if bottom <= 0.0 { h } else { h * top / (top - bottom) })
            })
            .reduce(f64::max)
    }

    /// Measured, or only assumed.
    pub fn is_calibrated(&self) -> bool {
        self.calibrated
    }

    /// The size of the pictures it is for.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The same plane for pictures of another size of the same view.
    #[must_use]
    pub fn resized(&self, size: Size) -> Self {
        let fx = f64::from(self.size.width) / f64::from(size.width.max(1));
        let fy = f64::from(self.size.height) / f64::from(size.height.max(1));
        let down = Matrix3::from_diagonal(&Vector3::new(fx, fy, 1.0));
        let up = Matrix3::from_diagonal(&Vector3::new(1.0 / fx, 1.0 / fy, 1.0));
        Self {
            to_ground: self.to_ground * down,
            to_image: up * self.to_image,
            up: self.up.map(|metre| up * metre),
            size,
            ..*self
        }
    }

    /// A pixel's place on the ground in metres; none at or above the horizon.
    pub fn to_ground(&self, image_px: Point) -> Option<Point> {
        let g = self.to_ground * homogeneous(image_px);
        (g.z >= self.depth_min).then(|| Point::new(g.x / g.z, g.y / g.z)).filter(|p| p.is_finite())
    }

    /// Where a place on the ground appears, in pixels, perhaps outside the frame; none behind the camera.
    pub fn to_image(&self, ground_m: Point) -> Option<Point> {
        let p = self.to_image * homogeneous(ground_m);
        // Both maps are inverse to one another with the depth scaled to 1 at the lower border, so
        // what lies in front of the camera has a positive third component here too.
        (p.z > 0.0).then(|| Point::new(p.x / p.z, p.y / p.z)).filter(|p| p.is_finite())
    }

    /// Metres on the ground per pixel in the image: d(x, y) / d(u, v).
    fn jacobian(&self, image_px: Point) -> Option<Matrix2<f64>> {
        let h = &self.to_ground;
        let g = h * homogeneous(image_px);
        if g.z < self.depth_min {
            return None;
        }
        let (x, y) = (g.x / g.z, g.y / g.z);
        Some(Matrix2::new(
            (h[(0, 0)] - x * h[(2, 0)]) / g.z,
            (h[(0, 1)] - x * h[(2, 1)]) / g.z,
            (h[(1, 0)] - y * h[(2, 0)]) / g.z,
            (h[(1, 1)] - y * h[(2, 1)]) / g.z,
        ))
    }

    /// Takes a moving foot point (pixels) to the ground (metres), its covariance to first order.
    pub fn motion_to_ground(&self, foot: &Motion) -> Option<Motion> {
        let position = self.to_ground(foot.position)?;
        let j = self.jacobian(foot.position)?;
        let v = j * Vector2::new(foot.velocity.x, foot.velocity.y);
        let mut both = SMatrix::<f64, 4, 4>::zeros();
        both.fixed_view_mut::<2, 2>(0, 0).copy_from(&j);
        both.fixed_view_mut::<2, 2>(2, 2).copy_from(&j);
        let cov = both * foot.cov * both.transpose();
        let motion = Motion { position, velocity: Point::new(v.x, v.y), cov: (cov + cov.transpose()) * 0.5 };
        (motion.velocity.is_finite() && motion.cov.iter().all(|c| c.is_finite())).then_some(motion)
    }

    /// How many pixels wide a metre is, across the line of sight, for something that stands at this pixel.
    pub fn px_per_metre(&self, foot_px: Point) -> Option<f64> {
        let j = self.jacobian(foot_px)?;
        let metres = j[(0, 0)].hypot(j[(1, 0)]);
        (metres > 0.0).then(|| 1.0 / metres)
    }

    /// The pixel, perhaps outside the frame, of the point `height_m` above the ground point that is seen
    /// at `foot_px`. None where there is no ground, where the point would be behind the camera, and for
    /// a plane that no camera with square pixels and a centred principal point could see as it is given.
    pub fn upright_px(&self, foot_px: Point, height_m: f64) -> Option<Point> {
        let depth = (self.to_ground * homogeneous(foot_px)).z;
        if depth < self.depth_min {
            return None;
        }
        let p = homogeneous(foot_px) / depth + self.up? * height_m;
        (p.z > 0.0).then(|| Point::new(p.x / p.z, p.y / p.z)).filter(|p| p.is_finite())
    }

    /// The pixel where somebody stands upright whom this box holds. In a picture upright lines lean, all towards
    /// the point right below the camera: a body's axis is the one through the middle of its box, and the foot is
    /// where that meets the lower edge. Where it is not known which way is up, it is the middle of the edge.
    pub fn foot_px(&self, bbox: BBox) -> Point {
        let (foot, middle) = (bbox.foot(), bbox.center());
        let Some(up) = self.up else { return foot };
        let lean = 0.5 * bbox.height * (up.x - middle.x * up.z) / (up.y - middle.y * up.z);
        // The whole body is in the box, however steeply the camera looks down.
        let most = 0.5 * bbox.width;
        let shift = if lean.is_finite() { lean.clamp(-most, most) } else { 0.0 };
        Point::new(foot.x + shift, foot.y)
    }

    /// The part of the ground that the picture shows, in metres, without what lies near or above the horizon.
    pub fn footprint(&self) -> Option<Polygon> {
        let (w, h) = (f64::from(self.size.width), f64::from(self.size.height));
        let corners = [(0.0, h), (w, h), (w, 0.0), (0.0, 0.0)].map(|(u, v)| Vector3::new(u, v, 1.0));
        let excess = |p: &Vector3<f64>| (self.to_ground * p).z - self.depth_min * 1.001;
        let mut seen = Vec::with_capacity(6);
        for (i, a) in corners.iter().enumerate() {
            let b = &corners[(i + 1) % 4];
            let (da, db) = (excess(a), excess(b));
            if da >= 0.0 {
                seen.push(*a);
            }
            if (da >= 0.0) != (db >= 0.0) {
                seen.push(a + (b - a) * (da / (da - db)));
            }
        }
        let ground = seen.iter().filter_map(|p| self.to_ground(Point::new(p.x, p.y))).collect();
        Polygon::new(ground).ok()
    }
}

fn homogeneous(p: Point) -> Vector3<f64> {
    Vector3::new(p.x, p.y, 1.0)
}

fn bottom_center(size: Size) -> Point {
    Point::new(f64::from(size.width) / 2.0, f64::from(size.height))
}

/// The image of a metre upward, from the images of a metre along x and along y: the first two columns
/// of K [r1 r2 t], which leave only the focal length to be found. Twice h1' w h2 = 0 and
/// h1' w h1 - h2' w h2 = 0 turn into one another as the ground turns, so their least squares
/// do not depend on how its axes lie. A camera that looks straight down has no vanishing points, and
/// then any focal length would do.
fn upward(to_image: &Matrix3<f64>, size: Size) -> Option<Vector3<f64>> {
    let (cx, cy) = (f64::from(size.width) / 2.0, f64::from(size.height) / 2.0);
    let centered = Matrix3::new(1.0, 0.0, -cx, 0.0, 1.0, -cy, 0.0, 0.0, 1.0) * to_image;
    let (a, b) = (centered.column(0), centered.column(1));
    let plane = Vector2::new(2.0 * (a.x * b.x + a.y * b.y), a.x * a.x + a.y * a.y - b.x * b.x - b.y * b.y);
    let depth = Vector2::new(2.0 * a.z * b.z, a.z * a.z - b.z * b.z);
    let agree = -plane.dot(&depth);
    let f = (plane.norm_squared() / agree).sqrt();
    if !FOCAL_WIDTHS.contains(&(f / f64::from(size.width)))
        || agree < FOCAL_AGREE * plane.norm() * depth.norm()
    {
        return None;
    }
    let [x, y] = [a, b].map(|c| Vector3::new(c.x / f, c.y / f, c.z));
    METRES_ALIKE.contains(&(x.norm() / y.norm())).then_some(())?;
    let z = x.cross(&y) / (x.norm() * y.norm()).sqrt();
    Some(Vector3::new(f * z.x + cx * z.z, f * z.y + cy * z.z, z.z))
}

/// Moves the centroid to the origin and the mean distance to sqrt 2; none when all points are one.
fn normalisation(points: impl ExactSizeIterator<Item = Point> + Clone) -> Option<Matrix3<f64>> {
    let n = points.len() as f64;
    let mean = points.clone().fold(Point::default(), |sum, p| sum + p) * (1.0 / n);
    let spread = points.map(|p| p.distance(mean)).sum::<f64>() / n;
    let s = std::f64::consts::SQRT_2 / spread;
    (s.is_finite()).then(|| Matrix3::new(s, 0.0, -s * mean.x, 0.0, s, -s * mean.y, 0.0, 0.0, 1.0))
}

/// The two independent rows of b x (H a) = 0.
fn dlt_rows(a: Vector3<f64>, b: Vector3<f64>) -> [SVector<f64, 9>; 2] {
    let (p, q) = (a * b.z, a);
    let z = Vector3::zeros();
    let join =
        |r: [Vector3<f64>; 3]| SVector::<f64, 9>::from_iterator(r.iter().flat_map(|v| v.iter().copied()));
    [join([z, -p, q * b.y]), join([p, z, -q * b.x])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: Size = Size { width: 640, height: 480 };

    /// What the camera `height` metres up, looking down by `tilt`, turned by `pan`, makes of (x, y, z, 1).
    fn pinhole(height: f64, tilt: f64, pan: f64) -> SMatrix<f64, 3, 4> {
        let f = 500.0;
        let forward = Vector3::new(tilt.cos() * pan.cos(), tilt.cos() * pan.sin(), -tilt.sin());
        let right = Vector3::new(pan.sin(), -pan.cos(), 0.0);
        let down = forward.cross(&right);
        let at = Vector3::new(3.0, -2.0, height);
        let row = |axis: Vector3<f64>| axis.push(-axis.dot(&at)).transpose();
        let (r, d, z) = (row(right), row(down), row(forward));
        SMatrix::from_rows(&[r * f + z * 320.0, d * f + z * 240.0, z])
    }

    /// The same camera's map from the picture to the ground.
    fn camera(height: f64, tilt: f64, pan: f64) -> Matrix3<f64> {
        pinhole(height, tilt, pan).remove_column(2).try_inverse().unwrap()
    }

    fn pairs(h: &Matrix3<f64>, image: &[(f64, f64)]) -> Vec<Correspondence> {
        let of = |&(u, v): &(f64, f64)| {
            let g = h * Vector3::new(u, v, 1.0);
            Correspondence { image_px: Point::new(u, v), ground_m: Point::new(g.x / g.z, g.y / g.z) }
        };
        image.iter().map(of).collect()
    }

    const SPREAD: [(f64, f64); 5] =
        [(80.0, 400.0), (560.0, 420.0), (500.0, 200.0), (120.0, 180.0), (300.0, 300.0)];

    proptest! {
        #[test]
        fn pairs_give_back_the_camera_they_came_from(h in 3.0..15.0f64, tilt in 0.6..1.3f64, pan in -3.1..3.1f64, u in 0.0..640.0, v in 0.0..480.0) {
            let truth = camera(h, tilt, pan);
            let plane = GroundPlane::from_pairs(&pairs(&truth, &SPREAD), SIZE, false).unwrap();
            let p = Point::new(u, v);
            let g = truth * homogeneous(p);
            let expected = Point::new(g.x / g.z, g.y / g.z);
            let found = plane.to_ground(p).unwrap();
            prop_assert!(found.distance(expected) < 1e-4 * (1.0 + expected.norm()), "{found:?} {expected:?}");
            prop_assert!(plane.to_image(found).unwrap().distance(p) < 1e-3);
        }

        #[test]
        fn a_head_is_where_the_camera_sees_it(h in 3.0..15.0f64, tilt in 0.5..1.4f64, pan in -3.1..3.1f64, u in 0.0..640.0, v in 0.0..480.0, tall in 0.0..2.5f64) {
            let plane = GroundPlane::from_homography(camera(h, tilt, pan), SIZE, false).unwrap();
            let foot = Point::new(u, v);
            let at = plane.to_ground(foot).unwrap();
            let head = pinhole(h, tilt, pan) * SMatrix::<f64, 4, 1>::new(at.x, at.y, tall, 1.0);
            let expected = Point::new(head.x / head.z, head.y / head.z);
            let found = plane.upright_px(foot, tall).unwrap();
            prop_assert!(found.distance(expected) < 1e-3, "{found:?} {expected:?}");
            // Pixels that are no longer square do not matter once the camera is known.
            let narrow = plane.resized(Size { width: 160, height: 240 });
            let found = narrow.upright_px(Point::new(u / 4.0, v / 2.0), tall).unwrap();
            prop_assert!(found.distance(Point::new(expected.x / 4.0, expected.y / 2.0)) < 1e-3, "{found:?}");
        }

        #[test]
        fn a_foot_is_found_in_the_box_of_a_body_that_leans(h in 3.0..15.0f64, tilt in 0.5..1.4f64, pan in -3.1..3.1f64, u in 0.0..640.0, v in 0.0..480.0, tall in 0.5..2.0f64, wide in 1.0..60.0f64) {
            let plane = GroundPlane::from_homography(camera(h, tilt, pan), SIZE, false).unwrap();
            let foot = Point::new(u, v);
            let head = plane.upright_px(foot, tall).unwrap();
            // Nearly below the camera the head may be seen below the foot.
            prop_assume!(head.y < foot.y - 1.0);
            let (left, right) = (foot.x.min(head.x), foot.x.max(head.x));
            let bbox = BBox::new(left - 0.5 * wide, head.y, right - left + wide, foot.y - head.y);
            let found = plane.foot_px(bbox);
            prop_assert!(found.distance(foot) < 1e-6, "{found:?} {foot:?}");
        }

        #[test]
        fn covariance_stays_symmetric_and_positive(u in 0.0..640.0, v in 0.0..480.0, s in 0.1..9.0f64) {
            let plane = GroundPlane::from_homography(camera(5.0, 0.9, 1.0), SIZE, false).unwrap();
            let foot = Motion { position: Point::new(u, v), velocity: Point::new(3.0, -4.0), cov: SMatrix::identity() * s };
            let g = plane.motion_to_ground(&foot).unwrap();
            prop_assert!(g.cov == g.cov.transpose());
            prop_assert!(g.cov.symmetric_eigenvalues().iter().all(|&e| e >= 0.0));
        }
    }

    #[test]
    fn nothing_is_upright_where_no_camera_fits_the_plane() {
        let foot = Point::new(320.0, 400.0);
        assert_eq!(GroundPlane::nominal(10.0, SIZE).upright_px(foot, 1.7), None);
        let bbox = BBox::new(300.0, 200.0, 60.0, 150.0);
        assert_eq!(GroundPlane::nominal(10.0, SIZE).foot_px(bbox), bbox.foot());
        // From straight above every focal length fits.
        let above = Matrix3::new(0.01, 0.0, 0.0, 0.0, -0.01, 4.8, 0.0, 0.0, 1.0);
        assert_eq!(GroundPlane::from_homography(above, SIZE, false).unwrap().upright_px(foot, 1.7), None);
        // Feet across, metres along: no camera has such a ground.
        let uneven = Matrix3::from_diagonal(&Vector3::new(3.3, 1.0, 1.0)) * camera(5.0, 0.9, 0.3);
        assert_eq!(GroundPlane::from_homography(uneven, SIZE, false).unwrap().upright_px(foot, 1.7), None);
        let flat = GroundPlane::from_homography(camera(5.0, 0.2, 0.0), SIZE, true).unwrap();
        assert_eq!(flat.upright_px(Point::new(320.0, 100.0), 1.7), None);
    }

    #[test]
    fn the_jacobian_is_the_slope_of_the_map() {
        let plane = GroundPlane::from_homography(camera(6.0, 0.8, 0.3), SIZE, false).unwrap();
        let foot = Point::new(200.0, 350.0);
        let motion = Motion { position: foot, velocity: Point::new(10.0, -20.0), cov: SMatrix::zeros() };
        let (a, b) =
            (plane.to_ground(foot).unwrap(), plane.to_ground(foot + Point::new(0.01, -0.02)).unwrap());
        let v = plane.motion_to_ground(&motion).unwrap().velocity;
        assert!(((b - a) * 1000.0).distance(v) < 1e-2, "{v:?}");
    }

    #[test]
    fn points_on_a_line_are_degenerate() {
        let truth = camera(5.0, 0.9, 0.0);
        let line = [(100.0, 400.0), (200.0, 400.0), (300.0, 400.0), (400.0, 400.0)];
        let three = [(100.0, 400.0), (200.0, 400.0), (300.0, 400.0), (300.0, 200.0)];
        for bad in [line, three] {
            let e = GroundPlane::from_pairs(&pairs(&truth, &bad), SIZE, false);
            assert_eq!(e, Err(CalibrationError::Degenerate), "{bad:?}");
        }
        let same = [(100.0, 400.0); 4];
        assert_eq!(
            GroundPlane::from_pairs(&pairs(&truth, &same), SIZE, false),
            Err(CalibrationError::Degenerate)
        );
    }

    #[test]
    fn a_matrix_of_zeros_is_degenerate() {
        let e = GroundPlane::from_homography(Matrix3::zeros(), SIZE, true);
        assert_eq!(e, Err(CalibrationError::Degenerate));
    }

    #[test]
    fn a_mirrored_plane_is_refused() {
        let mirror = Matrix3::from_diagonal(&Vector3::new(-1.0, 1.0, 1.0));
        let e = GroundPlane::from_homography(mirror * camera(5.0, 0.9, 0.0), SIZE, false);
        assert_eq!(e, Err(CalibrationError::Mirrored));
    }

    #[test]
    fn a_horizon_in_the_picture_is_refused_unless_allowed() {
        let flat = camera(5.0, 0.2, 0.0);
        let e = GroundPlane::from_homography(flat, SIZE, false);
        assert!(
            matches!(e, Err(CalibrationError::Horizon { row, .. }) if (row - 138.6).abs() < 1.0),
            "{e:?}"
        );
        let plane = GroundPlane::from_homography(flat, SIZE, true).unwrap();
        assert_eq!(plane.to_ground(Point::new(320.0, 100.0)), None);
        assert!(plane.to_ground(Point::new(320.0, 300.0)).is_some());
        let footprint = plane.footprint().unwrap();
        assert!(footprint.corners().iter().all(|c| c.is_finite()));
    }

    #[test]
    fn a_nominal_plane_spans_the_frame_and_keeps_its_place_when_resized() {
        let plane = GroundPlane::nominal(10.0, SIZE);
        assert!(!plane.is_calibrated());
        assert_eq!(plane.to_ground(Point::new(0.0, 480.0)), Some(Point::new(0.0, 0.0)));
        assert_eq!(plane.to_ground(Point::new(640.0, 0.0)), Some(Point::new(10.0, 10.0)));
        let small = plane.resized(Size { width: 320, height: 240 });
        assert_eq!(small.to_ground(Point::new(160.0, 120.0)), Some(Point::new(5.0, 5.0)));
        assert!((plane.footprint().unwrap().area() - 100.0).abs() < 1e-9);
    }
}
