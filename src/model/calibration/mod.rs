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

mod error;
mod fit;
mod survey;

use nalgebra::{Matrix2, Matrix3, SMatrix, Vector2, Vector3};

use super::{BBox, Motion, Point, Polygon, Size};
pub use error::CalibrationError;
pub use survey::{Demands, Outlook, Survey, survey_homography, survey_pairs};

/// A point in the picture and where it is on the ground.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correspondence {
    /// Pixels.
    pub image_px: Point,
    /// Metres.
    pub ground_m: Point,
}

/// The map between a picture of one size and the ground.
#[derive(Debug, Clone, PartialEq)]
pub struct GroundPlane {
    /// Image (u, v, 1) to ground from `origin_m`; the third component is positive below the horizon.
    to_ground: Matrix3<f64>,
    to_image: Matrix3<f64>,
    /// A place on the ground near what is seen, metres. Both maps are relative to it, so that their precision does
    /// not depend on how far away the site's origin is.
    origin_m: Point,
    /// What a metre upward adds to the image of a place on the ground, at the scale of `to_image`.
    up: Option<Vector3<f64>>,
    /// How high above the ground the camera is, metres; known where `up` is.
    camera_m: Option<f64>,
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
        Self {
            to_ground,
            to_image,
            origin_m: Point::default(),
            up: None,
            camera_m: None,
            size,
            calibrated: false,
            depth_min: DEPTH_MIN,
        }
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
        let (h, origin_m) = fit::homography(pairs).ok_or(CalibrationError::Degenerate)?;
        let depths = pairs.iter().map(|p| (h * homogeneous(p.image_px)).z);
        let (near, far) =
            depths.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), z| (lo.min(z), hi.max(z)));
        if near * far <= 0.0 {
            return Err(CalibrationError::Folded);
        }
        Self::checked(h * near.signum(), origin_m, size, allow_horizon)
    }

    /// From a given matrix that takes (u, v, 1) in pixels of a picture of `size` to metres, up to scale.
    pub fn from_homography(
        h: Matrix3<f64>,
        size: Size,
        allow_horizon: bool,
    ) -> Result<Self, CalibrationError> {
        let below = (h * homogeneous(bottom_center(size))).z;
        Self::checked(h * below.signum(), Point::default(), size, allow_horizon)
    }

    /// `h` takes pixels to metres from `origin_m`.
    fn checked(
        h: Matrix3<f64>,
        origin_m: Point,
        size: Size,
        allow_horizon: bool,
    ) -> Result<Self, CalibrationError> {
        if h.iter().any(|v| !v.is_finite()) {
            return Err(CalibrationError::NotFinite);
        }
        if (h / h.norm()).determinant().is_nan() {
            return Err(CalibrationError::Degenerate);
        }
        let bottom = bottom_center(size);
        let below = (h * homogeneous(bottom)).z;
        if below <= 0.0 {
            return Err(CalibrationError::Horizon { row: f64::from(size.height), height: size.height });
        }
        let h = h / below;
        let near = h * homogeneous(bottom);
        let to_near = Matrix3::new(1.0, 0.0, -near.x, 0.0, 1.0, -near.y, 0.0, 0.0, 1.0);
        let h = to_near * h;
        if !is_regular(&h, size) {
            return Err(CalibrationError::Degenerate);
        }
        let origin_m = origin_m + Point::new(near.x, near.y);
        let to_image = h.try_inverse().ok_or(CalibrationError::Degenerate)?;
        let (up, camera_m) = upward(&to_image, size).unzip();
        let plane = Self {
            to_ground: h,
            to_image,
            origin_m,
            up,
            camera_m,
            size,
            calibrated: true,
            depth_min: DEPTH_MIN,
        };
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

    /// How high above the ground the camera is, metres; none for a plane that no camera with square pixels and a
    /// centred principal point could see as it is given.
    pub fn camera_m(&self) -> Option<f64> {
        self.camera_m
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
        let place = || self.origin_m + Point::new(g.x / g.z, g.y / g.z);
        (g.z >= self.depth_min).then(place).filter(|p| p.is_finite())
    }

    /// Where a place on the ground appears, in pixels, perhaps outside the frame; none behind the camera.
    pub fn to_image(&self, ground_m: Point) -> Option<Point> {
        let p = self.to_image * homogeneous(ground_m - self.origin_m);
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

    /// The part of an upright height that is seen at this pixel, as the ground's foreshortening shows from how far above
    /// the camera looks: 1 from the side, 0 from straight above. None where there is no ground.
    pub fn upright_part(&self, foot_px: Point) -> Option<f64> {
        let [near, far] = [0.5, -0.5].map(|dy| self.to_ground(foot_px + Point::new(0.0, dy)));
        let along_m = near?.distance(far?);
        // Sine of the angle below the horizon: a metre along the ground over a metre across.
        let sine = (1.0 / (along_m * self.px_per_metre(foot_px)?)).min(1.0);
        Some((1.0 - sine * sine).sqrt())
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

/// The image of a metre upward and the camera's height in metres, from the images of a metre along x and along y: the first two columns
/// of K [r1 r2 t], which leave only the focal length to be found. Twice h1' w h2 = 0 and
/// h1' w h1 - h2' w h2 = 0 turn into one another as the ground turns, so their least squares
/// do not depend on how its axes lie. A camera that looks straight down has no vanishing points, and
/// then any focal length would do.
fn upward(to_image: &Matrix3<f64>, size: Size) -> Option<(Vector3<f64>, f64)> {
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
    let [x, y, t] = [a, b, centered.column(2)].map(|c| Vector3::new(c.x / f, c.y / f, c.z));
    METRES_ALIKE.contains(&(x.norm() / y.norm())).then_some(())?;
    let z = x.cross(&y) / (x.norm() * y.norm()).sqrt();
    let camera_m = -z.dot(&t) / z.norm_squared();
    Some((Vector3::new(f * z.x + cx * z.z, f * z.y + cy * z.z, z.z), camera_m))
}

/// Whether the map does not collapse: judged in parts of the picture and of what it shows on the ground, so that
/// neither the resolution nor the unit of length matters. `h` maps the middle of the lower border to (0, 0, 1).
fn is_regular(h: &Matrix3<f64>, size: Size) -> bool {
    let picture = Vector3::new(f64::from(size.width), f64::from(size.height), 1.0);
    let unit = h * Matrix3::from_diagonal(&picture);
    let lengths = unit.fixed_view::<2, 2>(0, 0).norm();
    let unit = Matrix3::from_diagonal(&Vector3::new(1.0 / lengths, 1.0 / lengths, 1.0)) * unit;
    let det = (unit / unit.norm()).determinant().abs();
    det.is_finite() && det >= DET_MIN
}

#[cfg(test)]
mod tests;
