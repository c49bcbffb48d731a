//! Planes seen by made-up cameras: what maps to what, and what is refused.

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
    let (a, b) = (plane.to_ground(foot).unwrap(), plane.to_ground(foot + Point::new(0.01, -0.02)).unwrap());
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
    assert!(matches!(e, Err(CalibrationError::Horizon { row, .. }) if (row - 138.6).abs() < 1.0), "{e:?}");
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
