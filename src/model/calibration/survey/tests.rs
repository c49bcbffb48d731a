//! Calibrations of a made-up camera, right and with each of the usual mistakes.

use super::*;
use CalibrationError as E;

const SIZE: Size = Size { width: 1280, height: 720 };
const DEMANDS: Demands = Demands { allow_horizon: false, accept_doubtful: false };

/// The image of the place (x, y) on the ground: a camera at the origin, `height` metres up, that looks along y and
/// down by `tilt_deg`.
fn image(height: f64, tilt_deg: f64, x: f64, y: f64) -> Point {
    let (sin, cos) = tilt_deg.to_radians().sin_cos();
    let depth = y * cos + height * sin;
    Point::new(640.0 + 1000.0 * x / depth, 360.0 + 1000.0 * (height * cos - y * sin) / depth)
}

/// Pairs at these pixels of a camera 5 m up that looks down by 30 degrees.
fn pairs_at(places: &[(f64, f64)]) -> Vec<Correspondence> {
    let h = matrix();
    let pair = |&(u, v): &(f64, f64)| {
        let g = h * Vector3::new(u, v, 1.0);
        Correspondence { image_px: Point::new(u, v), ground_m: Point::new(g.x / g.z, g.y / g.z) }
    };
    places.iter().map(pair).collect()
}

/// The map of that camera, from pixels to metres.
fn matrix() -> Matrix3<f64> {
    let pair = |(x, y)| Correspondence { image_px: image(5.0, 30.0, x, y), ground_m: Point::new(x, y) };
    let pairs = [(-2.0, 5.0), (2.0, 5.0), (4.0, 12.0), (-4.0, 12.0)].map(pair);
    let (h, origin) = fit::homography(&pairs).unwrap();
    Matrix3::new(1.0, 0.0, origin.x, 0.0, 1.0, origin.y, 0.0, 0.0, 1.0) * h
}

const FOUR: [(f64, f64); 4] = [(209.0, 536.0), (1071.0, 560.0), (1002.0, 212.0), (278.0, 190.0)];
const EIGHT: [(f64, f64); 8] = [
    (209.0, 536.0),
    (1071.0, 560.0),
    (1002.0, 212.0),
    (278.0, 190.0),
    (640.0, 300.0),
    (500.0, 450.0),
    (800.0, 650.0),
    (300.0, 680.0),
];

fn survey(pairs: &[Correspondence]) -> Result<Survey, E> {
    survey_pairs(pairs, SIZE, DEMANDS)
}

fn changed(places: &[(f64, f64)], change: impl Fn(&mut Correspondence)) -> Vec<Correspondence> {
    let mut pairs = pairs_at(places);
    pairs.iter_mut().for_each(change);
    pairs
}

fn mistake(places: &[(f64, f64)], change: impl Fn(&mut Correspondence)) -> E {
    survey(&changed(places, change)).unwrap_err()
}

#[test]
fn a_good_calibration_is_accepted_wherever_the_origin_is_and_however_it_is_turned() {
    for (east, north, turn) in [(0.0, 0.0, 0.0), (800.0, 800.0, 0.3), (500_000.0, 5_400_000.0, 2.5)] {
        let (sin, cos) = f64::sin_cos(turn);
        let moved = |p: Point| Point::new(east + cos * p.x - sin * p.y, north + sin * p.x + cos * p.y);
        for places in [&FOUR[..], &EIGHT[..]] {
            let pairs = changed(places, |p| p.ground_m = moved(p.ground_m));
            let found = survey(&pairs).unwrap_or_else(|e| panic!("{east}: {e}"));
            assert_eq!(found.notes, [""; 0]);
            assert!((found.plane.camera_m().unwrap() - 5.0).abs() < 0.01, "{:?}", found.plane.camera_m());
            for pair in &pairs {
                assert!(found.plane.to_image(pair.ground_m).unwrap().distance(pair.image_px) < 0.01);
                assert!(found.plane.to_ground(pair.image_px).unwrap().distance(pair.ground_m) < 1e-3);
            }
        }
        let far = Matrix3::new(cos, -sin, east, sin, cos, north, 0.0, 0.0, 1.0) * matrix();
        let found = survey_homography(&far, SIZE, DEMANDS).unwrap_or_else(|e| panic!("{east}: {e}"));
        assert!((found.plane.camera_m().unwrap() - 5.0).abs() < 0.01);
    }
}

#[test]
fn errors_of_a_hand_that_clicks_are_no_mistake() {
    for trial in 0..20 {
        let mut pairs = pairs_at(&EIGHT);
        for (i, pair) in pairs.iter_mut().enumerate() {
            let turn = std::f64::consts::TAU * chance(trial, i as u64);
            pair.image_px = pair.image_px + Point::new(turn.cos(), turn.sin()) * 4.0;
        }
        survey(&pairs).unwrap_or_else(|e| panic!("{trial}: {e}"));
    }
}

#[test]
fn one_pair_that_is_off_is_named_whichever_it_is() {
    for places in [&EIGHT[..6], &EIGHT[..]] {
        for wrong in 0..places.len() {
            for off in [Point::new(0.0, 60.0), Point::new(-80.0, 0.0), Point::new(70.0, -70.0)] {
                let mut pairs = pairs_at(places);
                let to = pairs[wrong].image_px + off;
                pairs[wrong].image_px = Point::new(to.x.clamp(0.0, 1280.0), to.y.clamp(0.0, 720.0));
                if pairs[wrong].image_px.distance(to) > 20.0 {
                    continue;
                }
                let found = survey(&pairs);
                let is_named = matches!(found, Err(E::OnePairOff { pair, off_px, .. }) if pair == wrong && off_px > 30.0);
                assert!(is_named, "pair {wrong} of {} by {off:?}: {found:?}", places.len());
            }
        }
    }
}

#[test]
fn a_small_error_of_one_pair_is_a_note_and_five_pairs_do_not_tell_which_is_wrong() {
    let mut pairs = pairs_at(&EIGHT);
    pairs[4].image_px.y += 14.0;
    let notes = survey(&pairs).unwrap().notes;
    assert!(notes.len() == 1 && notes[0].starts_with("pair 4, counted from 0"), "{notes:?}");
    let mut pairs = pairs_at(&EIGHT[..5]);
    pairs[2].image_px.x -= 200.0;
    let found = survey(&pairs).unwrap_err();
    assert!(matches!(found, E::Disagree { .. } | E::OnePairOff { pair: 2, .. }), "{found}");
}

#[test]
fn two_exchanged_pairs_are_named() {
    for places in [&FOUR[..], &EIGHT[..5], &EIGHT[..]] {
        for a in 0..places.len() {
            for b in a + 1..places.len() {
                let mut pairs = pairs_at(places);
                (pairs[a].ground_m, pairs[b].ground_m) = (pairs[b].ground_m, pairs[a].ground_m);
                let found = survey(&pairs).unwrap_err();
                let near = pairs[a].image_px.distance(pairs[b].image_px) < 200.0;
                let is_named = found == E::Exchanged { a, b };
                assert!(is_named || near, "{a} and {b} of {}: {found}", places.len());
            }
        }
    }
}

#[test]
fn other_units_are_named() {
    for places in [&FOUR[..], &EIGHT[..]] {
        for (factor, name) in [(1000.0, "millimetres"), (100.0, "centimetres")] {
            let found = mistake(places, |p| p.ground_m = p.ground_m * factor);
            assert!(matches!(found, E::Unit { unit, .. } if unit == name), "{found}");
            let told = found.to_string();
            assert!(told.contains("m above the ground") && told.contains("pixels tall"), "{told}");
            let scaled = Matrix3::from_diagonal(&Vector3::new(factor, factor, 1.0)) * matrix();
            let found = survey_homography(&scaled, SIZE, DEMANDS).unwrap_err();
            assert!(matches!(found, E::Unit { unit, .. } if unit == name), "{found}");
        }
        let part = |p: &mut Correspondence| {
            p.image_px = Point::new(p.image_px.x / 1280.0, p.image_px.y / 720.0);
        };
        assert_eq!(mistake(places, part), E::Fractions { width: 1280, height: 720 });
        let small = |p: &mut Correspondence| p.ground_m = p.ground_m * 1e-3;
        assert!(matches!(mistake(places, small), E::Unlikely(_)));
    }
    let feet = changed(&FOUR, |p| p.ground_m = p.ground_m * (1.0 / FOOT_M));
    let notes = survey(&feet).unwrap().notes;
    assert!(
        notes.len() == 1 && notes[0].contains("16.4 m above") && notes[0].contains("feet (5.0 m)"),
        "{notes:?}"
    );
}

#[test]
fn a_matrix_that_is_the_wrong_way_round_or_of_other_numbers_is_named() {
    let of = |h: &Matrix3<f64>| survey_homography(h, SIZE, DEMANDS).unwrap_err();
    assert_eq!(of(&matrix().try_inverse().unwrap()), E::Inverse);
    let picture = Matrix3::from_diagonal(&Vector3::new(1280.0, 720.0, 1.0));
    assert_eq!(of(&(matrix() * picture)), E::Fractions { width: 1280, height: 720 });
    assert_eq!(of(&matrix().transpose()), E::Transposed);
    let flipped = Matrix3::new(0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0);
    assert_eq!(of(&(flipped * matrix())), E::Mirrored);
    assert_eq!(of(&(matrix() * flipped)), E::RowFirst);
}

#[test]
fn exchanged_coordinates_are_told_apart_on_the_ground_and_in_the_picture() {
    for places in [&FOUR[..], &EIGHT[..]] {
        let flip = |p: Point| Point::new(p.y, p.x);
        assert_eq!(mistake(places, |p| p.ground_m = flip(p.ground_m)), E::Mirrored);
        assert_eq!(mistake(places, |p| p.ground_m.x = -p.ground_m.x), E::Mirrored);
        assert_eq!(mistake(places, |p| p.image_px = flip(p.image_px)), E::RowFirst);
    }
    // All rows are below 720, so nothing lies outside the picture.
    let low: Vec<_> = FOUR.iter().map(|&(u, v)| (0.6 * u, v)).collect();
    assert_eq!(mistake(&low, |p| p.image_px = Point::new(p.image_px.y, p.image_px.x)), E::RowFirst);
}

#[test]
fn points_outside_the_picture_are_named() {
    let mut pairs = pairs_at(&EIGHT);
    pairs[3].image_px.x = 1300.0;
    let found = survey(&pairs).unwrap_err();
    assert_eq!(found, E::OutsidePicture { pairs: Numbers(vec![3]), width: 1280, height: 720 });
}

#[test]
fn points_too_near_to_one_another_or_on_a_line_are_refused() {
    let near: Vec<_> =
        FOUR.iter().map(|&(u, v)| (640.0 + 0.04 * (u - 640.0), 400.0 + 0.06 * (v - 400.0))).collect();
    assert!(matches!(survey(&pairs_at(&near)), Err(E::SmallSpread { .. })), "{:?}", survey(&pairs_at(&near)));
    let accepted = Demands { accept_doubtful: true, ..DEMANDS };
    assert!(survey_pairs(&pairs_at(&near), SIZE, accepted).is_ok());
    let line = [(209.0, 536.0), (400.0, 536.0), (800.0, 536.0), (1071.0, 536.0)];
    assert_eq!(survey(&pairs_at(&line)), Err(E::Degenerate));
}

#[test]
fn a_horizon_in_the_picture_is_told_as_such_and_not_as_another_mistake() {
    let pair = |(x, y)| Correspondence { image_px: image(4.0, 10.0, x, y), ground_m: Point::new(x, y) };
    let pairs = [(-2.0, 8.0), (2.0, 8.0), (6.0, 25.0), (-6.0, 25.0)].map(pair);
    assert!(matches!(survey(&pairs), Err(E::Horizon { .. })), "{:?}", survey(&pairs));
    assert!(survey_pairs(&pairs, SIZE, Demands { allow_horizon: true, ..DEMANDS }).is_ok());
}

#[test]
fn cameras_of_every_height_and_tilt_are_accepted() {
    for height in [2.3, 4.0, 8.0, 20.0] {
        for tilt_deg in [22.0, 35.0, 50.0, 70.0, 90.0] {
            let at = |u: f64, v: f64| {
                // The ray through a pixel, down to the ground.
                let (sin, cos) = f64::to_radians(tilt_deg).sin_cos();
                let (right, down) = ((u - 640.0) / 1000.0, (v - 360.0) / 1000.0);
                let (along, below) = (cos - down * sin, sin + down * cos);
                Point::new(right * height / below, along * height / below)
            };
            let pair =
                |&(u, v): &(f64, f64)| Correspondence { image_px: Point::new(u, v), ground_m: at(u, v) };
            let pairs: Vec<_> = EIGHT.iter().map(pair).collect();
            let found = survey(&pairs);
            assert!(found.is_ok(), "{height} m, {tilt_deg} degrees: {found:?}");
        }
    }
}
