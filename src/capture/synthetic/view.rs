//! The cameras around the plaza: where they hang, and what they project where.
//!
//! Ideal pinhole cameras without distortion or roll on a ring around the plaza, all looking inward
//! over its middle, so that any three footprints overlap. The tilt and the focal length leave the
//! horizon above the picture. Because the plane z = 0 maps to the picture by a homography, the
//! calibration of a simulated camera is exact and need not be fitted.
//!
//! Metres in the plaza's ground frame; pixels from the picture's top left corner, so that the first
//! pixel's middle is (0.5, 0.5).

use nalgebra::{Matrix3, Vector3};

use crate::model::{CalibrationError, GroundPlane, Point, Size};

/// Distance of each camera from the middle of the plaza.
const RING_M: f64 = 13.0;
/// Height above the ground.
const HEIGHT_M: f64 = 5.4;
/// The place that appears in the middle of the picture, as ground distance from the camera.
const AIM_M: f64 = 9.8;
/// Focal length in picture heights: 39 degrees from top to bottom.
const FOCAL_HEIGHTS: f64 = 1.4;
/// The first camera hangs over the north wall, away from the street.
const FIRST_RAD: f64 = std::f64::consts::FRAC_PI_2;
/// Anything nearer to the camera's plane is not drawn.
const NEAR_M: f64 = 0.5;

/// One camera.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) size: Size,
    pub(super) position: Vector3<f64>,
    /// Unit vectors of the picture's axes and the line of sight, in the plaza's frame.
    pub(super) right: Vector3<f64>,
    down: Vector3<f64>,
    forward: Vector3<f64>,
    focal_px: f64,
}

/// A point in the picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Projected {
    pub(super) u: f32,
    pub(super) v: f32,
    /// Distance along the line of sight, metres.
    pub(super) depth_m: f32,
    /// Pixels to a metre across the line of sight.
    pub(super) px_per_m: f32,
}

impl View {
    /// Camera `index` of `cameras`; two keep the distance that three would have, so that they still overlap.
    pub(super) fn new(cameras: u32, index: u32, size: Size) -> Self {
        let step = std::f64::consts::TAU / f64::from(cameras.max(3));
        let (sin, cos) = (FIRST_RAD + step * f64::from(index)).sin_cos();
        let position = Vector3::new(RING_M * cos, RING_M * sin, HEIGHT_M);
        let aim = Vector3::new((RING_M - AIM_M) * cos, (RING_M - AIM_M) * sin, 0.0);
        let forward = (aim - position).normalize();
        let right = forward.cross(&Vector3::z()).normalize();
        let down = forward.cross(&right);
        Self { size, position, right, down, forward, focal_px: FOCAL_HEIGHTS * f64::from(size.height) }
    }

    fn center(&self) -> (f64, f64) {
        (f64::from(self.size.width) / 2.0, f64::from(self.size.height) / 2.0)
    }

    /// Where a point in space appears; none behind the camera.
    pub(super) fn project(&self, p: Vector3<f64>) -> Option<Projected> {
        let d = p - self.position;
        let depth = d.dot(&self.forward);
        if depth < NEAR_M {
            return None;
        }
        let (cu, cv) = self.center();
        let px_per_m = self.focal_px / depth;
        Some(Projected {
            u: (cu + d.dot(&self.right) * px_per_m) as f32,
            v: (cv + d.dot(&self.down) * px_per_m) as f32,
            depth_m: depth as f32,
            px_per_m: px_per_m as f32,
        })
    }

    /// The direction in which the camera sees pixel (u, v): one metre along the line of sight.
    pub(super) fn ray(&self, u: f64, v: f64) -> Vector3<f64> {
        let (cu, cv) = self.center();
        self.forward + (self.right * (u - cu) + self.down * (v - cv)) / self.focal_px
    }

    /// The exact map between picture and ground.
    pub(super) fn ground_plane(&self) -> Result<GroundPlane, CalibrationError> {
        // A ray (right, down, forward) * K^-1 * (u, v, 1) meets z = 0 at position - ray * z / ray.z.
        let (cu, cv) = self.center();
        let f = self.focal_px;
        let k_inverse = Matrix3::new(1.0 / f, 0.0, -cu / f, 0.0, 1.0 / f, -cv / f, 0.0, 0.0, 1.0);
        let axes = Matrix3::from_columns(&[self.right, self.down, self.forward]);
        let c = self.position;
        let meet = Matrix3::new(-c.z, 0.0, c.x, 0.0, -c.z, c.y, 0.0, 0.0, 1.0);
        GroundPlane::from_homography(meet * axes * k_inverse, self.size, false)
    }
}

/// The exact calibration of camera `index` of `cameras` for pictures of `size`.
///
/// # Errors
/// None for a picture of at least one by one pixel: the cameras' tilt keeps the horizon out of it.
pub fn ground_plane(cameras: u32, index: u32, size: Size) -> Result<GroundPlane, CalibrationError> {
    View::new(cameras, index, size).ground_plane()
}

/// Where camera `index` of `cameras` hangs, seen from above, metres.
pub fn camera_position_m(cameras: u32, index: u32) -> Point {
    let view = View::new(cameras, index, Size { width: 4, height: 3 });
    Point::new(view.position.x, view.position.y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_ground_plane_is_the_projection_of_the_ground(cameras in 1..=12u32, index in 0..12u32, x in -6.0..6.0f64, y in -6.0..6.0f64) {
            let size = Size { width: 480, height: 360 };
            let view = View::new(cameras, index % cameras, size);
            let plane = view.ground_plane().unwrap();
            let seen = view.project(Vector3::new(x, y, 0.0)).unwrap();
            let mapped = plane.to_image(Point::new(x, y)).unwrap();
            prop_assert!(mapped.distance(Point::new(f64::from(seen.u), f64::from(seen.v))) < 1e-2);
            prop_assert!(plane.to_ground(mapped).unwrap().distance(Point::new(x, y)) < 1e-6);
            let head = view.project(Vector3::new(x, y, 1.75)).unwrap();
            let upright = plane.upright_px(mapped, 1.75).unwrap();
            prop_assert!(upright.distance(Point::new(f64::from(head.u), f64::from(head.v))) < 1e-2);
        }
    }

    #[test]
    fn every_camera_of_one_to_eight_has_a_footprint_that_holds_the_middle() {
        for cameras in 1..=8 {
            for index in 0..cameras {
                for size in [Size { width: 480, height: 360 }, Size { width: 640, height: 360 }] {
                    let footprint = ground_plane(cameras, index, size).unwrap().footprint().unwrap();
                    for (x, y) in [(0.0, 0.0), (1.5, 1.5), (-1.5, 1.5), (1.5, -1.5), (-1.5, -1.5)] {
                        assert!(footprint.contains(Point::new(x, y)), "{index} of {cameras}: {x} {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn people_on_the_plaza_are_40_to_110_pixels_tall() {
        let view = View::new(3, 1, Size { width: 480, height: 360 });
        let toward = -view.position.xy().normalize();
        for distance_m in [5.5, 9.0, 13.0, 18.0, 20.0] {
            let foot = view.position.xy() + toward * distance_m;
            let tall = |h: f64| view.project(Vector3::new(foot.x, foot.y, h)).unwrap().v;
            let height_px = tall(0.0) - tall(1.75);
            assert!((40.0..110.0).contains(&height_px), "{height_px} px at {distance_m} m");
        }
    }
}
