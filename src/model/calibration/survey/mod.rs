//! What is wrong with a calibration, found before it is used.
//!
//! A plane that can be computed is not yet right. Four things tell: how well more than four pairs agree (reprojection
//! errors, and those of a pair that is left out of the fit), how tall a person would be in the picture, how high the
//! camera would be above the ground and whether persons would stand upright, and by how much a small error of each
//! point changes lengths. Where a calibration fails, the usual mistakes are undone one after the other; the one that
//! makes it a plausible camera is named.
//!
//! Not certain is not wrong: what is only doubtful becomes a note. Pixels, metres.

use std::fmt;

use nalgebra::{Matrix3, Vector3};

use super::{CalibrationError, Correspondence, GroundPlane, fit};
use crate::model::{Point, Size};

/// Height of an average person with shoes, metres.
const PERSON_M: f64 = 1.72;
/// A person from straight above is as deep as this part of the height.
const FROM_ABOVE: f64 = 0.3;
/// How tall a person at the lower border is, in picture heights. Below it is nothing that can be detected.
const PERSON_HEIGHTS: std::ops::RangeInclusive<f64> = 0.012..=5.0;
/// How high cameras are above the ground, metres.
const CAMERA_M: std::ops::RangeInclusive<f64> = 0.5..=80.0;
/// A camera above this height may have been measured in feet, metres.
const FEET_FROM_M: f64 = 12.0;
/// Metres in a foot.
const FOOT_M: f64 = 0.3048;
/// Pairs that are tried as the wrong ones: those with the largest errors.
const SUSPECTS_MAX: usize = 10;
/// Errors in parts of the picture's diagonal. Pairs disagree above the first (root mean square); one of them is off
/// above the second; above the third it is worth a note. A point that is clicked by hand has the last.
const RMS_MAX: f64 = 0.025;
const OFF_MIN: f64 = 0.015;
const OFF_NOTED: f64 = 0.005;
const CLICK: f64 = 0.0015;
/// A pair is off when its error is so many times that of the others.
const OFF_TIMES: f64 = 8.0;
/// Relative error of a length in the picture by the error of a click: refused above the first, noted above the second.
const LENGTH_ERROR: (f64, f64) = (0.35, 0.15);
/// Fits with clicks that are off by chance.
const TRIALS: u64 = 12;

/// A calibration that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// The map.
    pub plane: GroundPlane,
    /// What is doubtful about it, one sentence each.
    pub notes: Vec<String>,
}

/// What is asked of a calibration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demands {
    /// The picture may show the horizon.
    pub allow_horizon: bool,
    /// What fits to no camera that sees persons is accepted.
    pub accept_doubtful: bool,
}

/// What a plane says of its camera and of persons in its picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// How high above the ground the camera is, metres, where that is known.
    pub camera_m: Option<f64>,
    /// How tall a person at the middle of the lower border is, pixels.
    pub person_px: f64,
    /// The same in the middle of the picture; none at or above the horizon.
    pub middle_px: Option<f64>,
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(camera_m) = self.camera_m {
            write!(f, "the camera would be {camera_m:.1} m above the ground, ")?;
        }
        write!(f, "a person would be {:.1} pixels tall at the lower border", self.person_px)?;
        self.middle_px.map_or(Ok(()), |px| write!(f, " and {px:.1} in the middle of the picture"))
    }
}

/// Numbers of pairs, as they are listed for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers(pub Vec<usize>);

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, number) in self.0.iter().enumerate() {
            write!(f, "{}{number}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl GroundPlane {
    /// How tall a person at this pixel is in the picture, pixels; none where there is no ground.
    pub fn person_px(&self, foot_px: Point) -> Option<f64> {
        let across = PERSON_M * self.px_per_metre(foot_px)?;
        let upright = match self.upright_px(foot_px, PERSON_M) {
            Some(head) => head.distance(foot_px),
            None => across * self.upright_part(foot_px)?,
        };
        Some(upright.max(FROM_ABOVE * across))
    }

    /// What it says of its camera and of persons in its picture; none where the lower border shows no ground.
    pub fn outlook(&self) -> Option<Outlook> {
        Some(Outlook {
            camera_m: self.camera_m(),
            person_px: self.person_px(self.at(0.5, 1.0))?,
            middle_px: self.person_px(self.at(0.5, 0.5)),
        })
    }

    /// The pixel at these parts of the picture's width and height.
    fn at(&self, x: f64, y: f64) -> Point {
        Point::new(x * f64::from(self.size.width), y * f64::from(self.size.height))
    }

    /// Whether a camera above the ground, the right way up, would see persons like that.
    fn is_likely(&self) -> bool {
        let Some(outlook) = self.outlook() else { return false };
        let heights = outlook.person_px / f64::from(self.size.height);
        let high = self.camera_m().is_none_or(|m| CAMERA_M.contains(&m));
        PERSON_HEIGHTS.contains(&heights) && high && self.is_upright()
    }

    /// Whether persons stand upright in the picture; from far above they do not stand in any direction.
    fn is_upright(&self) -> bool {
        let foot = self.at(0.5, 0.75);
        let Some(head) = self.upright_px(foot, PERSON_M) else {
            // Without a camera: farther away is further up.
            let [low, high] = [self.at(0.5, 1.0), foot].map(|p| self.px_per_metre(p));
            return low.zip(high).is_none_or(|(low, high)| low >= 0.8 * high);
        };
        let up = foot - head;
        let seen_from_above = up.norm() < PERSON_M * self.px_per_metre(foot).unwrap_or(0.0) * FROM_ABOVE;
        seen_from_above || up.y > up.x.abs()
    }

    /// How well it fits: 0 not at all, 1 as a map, 2 as a camera.
    fn grade(&self) -> u8 {
        if self.is_likely() { 1 + u8::from(self.camera_m().is_some()) } else { 0 }
    }
}

/// Checks a matrix that takes pixels to metres.
pub fn survey_homography(h: &Matrix3<f64>, size: Size, demands: Demands) -> Result<Survey, CalibrationError> {
    let plane_of = |h: Matrix3<f64>| GroundPlane::from_homography(h, size, demands.allow_horizon);
    let found = plane_of(*h);
    if found == Err(CalibrationError::NotFinite) {
        return Err(CalibrationError::NotFinite);
    }
    let grade = |plane: &Result<GroundPlane, _>| plane.as_ref().map_or(0, GroundPlane::grade);
    let as_found = grade(&found);
    if as_found == 2 || found.is_ok() && demands.accept_doubtful {
        return found.map(|plane| Survey { notes: notes(&plane), plane });
    }
    if sees_horizon(&found, || GroundPlane::from_homography(*h, size, true)) {
        return found.map(|plane| Survey { plane, notes: Vec::new() });
    }
    let picture = Vector3::new(1.0 / f64::from(size.width), 1.0 / f64::from(size.height), 1.0);
    let fractions = Matrix3::from_diagonal(&picture);
    let divided = |by: f64| Matrix3::from_diagonal(&Vector3::new(1.0 / by, 1.0 / by, 1.0)) * h;
    let flipped = Matrix3::new(0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0);
    let evidence = found.as_ref().ok().and_then(GroundPlane::outlook);
    let mut mistakes = vec![
        (h.try_inverse(), CalibrationError::Inverse),
        (Some(h * fractions), CalibrationError::Fractions { width: size.width, height: size.height }),
        (Some(flipped * h), CalibrationError::Mirrored),
        (Some(h * flipped), CalibrationError::RowFirst),
        (Some(h.transpose()), CalibrationError::Transposed),
        (h.transpose().try_inverse(), CalibrationError::Inverse),
    ];
    for (unit, factor) in UNITS {
        let Some(evidence) = evidence else { continue };
        mistakes.push((Some(divided(factor)), CalibrationError::Unit { unit, factor, evidence }));
    }
    let undone = mistakes.into_iter().filter_map(|(h, mistake)| Some((grade(&plane_of(h?)), mistake)));
    // A map that no camera sees is better than nothing, but not than a camera.
    match (best(undone.filter(|(grade, _)| *grade > as_found)), found) {
        (Some(mistake), _) => Err(mistake),
        (None, Ok(plane)) if as_found > 0 => Ok(Survey { notes: notes(&plane), plane }),
        (None, found) => Err(refusal(found.as_ref(), CalibrationError::Degenerate)),
    }
}

/// Units in which lengths are measured, with how many of them make a metre.
const UNITS: [(&str, f64); 2] = [("millimetres", 1000.0), ("centimetres", 100.0)];

/// Whether nothing is wrong but that the horizon is in the picture.
fn sees_horizon(
    found: &Result<GroundPlane, CalibrationError>,
    allowed: impl Fn() -> Result<GroundPlane, CalibrationError>,
) -> bool {
    matches!(found, Err(CalibrationError::Horizon { .. })) && allowed().is_ok_and(|plane| plane.grade() == 2)
}

/// The mistake that, undone, gives the best plane; the first of those that are as good.
fn best(undone: impl Iterator<Item = (u8, CalibrationError)>) -> Option<CalibrationError> {
    let mut best = (0, None);
    for (grade, mistake) in undone {
        if grade > best.0 {
            best = (grade, Some(mistake));
        }
    }
    best.1
}

/// What is said where no mistake explains what was found.
fn refusal(found: Result<&GroundPlane, &CalibrationError>, otherwise: CalibrationError) -> CalibrationError {
    match found {
        Ok(plane) => plane.outlook().map_or(otherwise, CalibrationError::Unlikely),
        Err(error) => error.clone(),
    }
}

/// Checks point pairs in pixels of a picture of `size`.
pub fn survey_pairs(
    pairs: &[Correspondence],
    size: Size,
    demands: Demands,
) -> Result<Survey, CalibrationError> {
    let found = GroundPlane::from_pairs(pairs, size, demands.allow_horizon);
    if let Err(error @ (CalibrationError::TooFewPairs(_) | CalibrationError::NotFinite)) = found {
        return Err(error);
    }
    let attempt = Attempt { pairs, size, demands };
    attempt.lie_in_the_picture()?;
    attempt.agree(&found)?;
    let plane = match found {
        Ok(plane) if plane.grade() > 0 || demands.accept_doubtful => plane,
        found => return Err(attempt.mistake(&found)),
    };
    let mut notes = notes(&plane);
    attempt.spread(&mut notes)?;
    notes.extend(attempt.worst_noted(&plane));
    Ok(Survey { plane, notes })
}

/// Point pairs under scrutiny.
struct Attempt<'a> {
    pairs: &'a [Correspondence],
    size: Size,
    demands: Demands,
}

impl Attempt<'_> {
    fn diagonal_px(&self) -> f64 {
        f64::from(self.size.width).hypot(f64::from(self.size.height))
    }

    fn plane(&self, pairs: &[Correspondence]) -> Result<GroundPlane, CalibrationError> {
        GroundPlane::from_pairs(pairs, self.size, self.demands.allow_horizon)
    }

    fn grade(&self, pairs: &[Correspondence]) -> u8 {
        self.plane(pairs).map_or(0, |plane| plane.grade())
    }

    fn changed(&self, change: impl Fn(&mut Correspondence)) -> Vec<Correspondence> {
        let mut pairs = self.pairs.to_vec();
        pairs.iter_mut().for_each(change);
        pairs
    }

    fn exchanged(&self, a: usize, b: usize) -> Vec<Correspondence> {
        let mut pairs = self.pairs.to_vec();
        (pairs[a].ground_m, pairs[b].ground_m) = (pairs[b].ground_m, pairs[a].ground_m);
        pairs
    }

    fn row_first(&self) -> Vec<Correspondence> {
        self.changed(|p| p.image_px = Point::new(p.image_px.y, p.image_px.x))
    }

    fn lie_in_the_picture(&self) -> Result<(), CalibrationError> {
        let Size { width, height } = self.size;
        let (w, h) = (f64::from(width), f64::from(height));
        let inside =
            |p: &Correspondence| (0.0..=w).contains(&p.image_px.x) && (0.0..=h).contains(&p.image_px.y);
        let fraction =
            |p: &Correspondence| (0.0..=1.0).contains(&p.image_px.x) && (0.0..=1.0).contains(&p.image_px.y);
        if width.min(height) > 16 && self.pairs.iter().all(fraction) {
            return Err(CalibrationError::Fractions { width, height });
        }
        let outside: Vec<usize> =
            self.pairs.iter().enumerate().filter(|(_, p)| !inside(p)).map(|(i, _)| i).collect();
        if outside.is_empty() {
            return Ok(());
        }
        let row_first = self.row_first();
        if row_first.iter().all(inside) && self.grade(&row_first) > 0 {
            return Err(CalibrationError::RowFirst);
        }
        Err(CalibrationError::OutsidePicture { pairs: Numbers(outside), width, height })
    }

    /// How far each of `judged` is from where these pairs put it, pixels; none where they fix no plane.
    fn errors_px(&self, pairs: &[Correspondence], judged: &[Correspondence]) -> Option<Vec<f64>> {
        let (h, origin_m) = fit::homography(pairs)?;
        let back = h.try_inverse()?;
        let error = |p: &Correspondence| {
            let ground = p.ground_m - origin_m;
            let q = back * Vector3::new(ground.x, ground.y, 1.0);
            let off = Point::new(q.x / q.z, q.y / q.z).distance(p.image_px);
            if off.is_finite() { off.min(self.diagonal_px()) } else { self.diagonal_px() }
        };
        Some(judged.iter().map(error).collect())
    }

    /// Whether more than four pairs agree; if not, which of them is wrong.
    fn agree(&self, found: &Result<GroundPlane, CalibrationError>) -> Result<(), CalibrationError> {
        let (n, diagonal) = (self.pairs.len(), self.diagonal_px());
        let Some(errors) = self.errors_px(self.pairs, self.pairs).filter(|_| n > 4) else { return Ok(()) };
        let rms_px = root_mean_square(&errors);
        let mut suspects: Vec<usize> = (0..n).collect();
        suspects.sort_by(|&i, &j| errors[j].total_cmp(&errors[i]));
        let worst = suspects[0];
        // Errors of a click are no mistake, and neither is a lens that bends lines a little.
        let suspicious = rms_px > 0.25 * OFF_MIN * diagonal
            || matches!(found, Err(CalibrationError::Folded | CalibrationError::Degenerate));
        if !suspicious {
            return Ok(());
        }
        suspects.truncate(SUSPECTS_MAX);
        if let Some((a, b)) = self.exchanged_suspects(&suspects, rms_px) {
            return Err(CalibrationError::Exchanged { a: a.min(b), b: a.max(b) });
        }
        if let Some(mistake) = self.odd_one(&suspects) {
            return Err(mistake);
        }
        if rms_px <= RMS_MAX * diagonal {
            return Ok(());
        }
        let more = if n == 5 { "; a sixth pair tells which one is wrong" } else { "" };
        Err(CalibrationError::Disagree { rms_px, worst, more })
    }

    /// The two suspects that, exchanged, agree with all others.
    fn exchanged_suspects(&self, suspects: &[usize], rms_px: f64) -> Option<(usize, usize)> {
        let limit_px = (0.5 * OFF_MIN * self.diagonal_px()).min(0.25 * rms_px);
        let mut best = (limit_px, None);
        for (k, &a) in suspects.iter().enumerate() {
            for &b in &suspects[k + 1..] {
                let pairs = self.exchanged(a, b);
                let Some(errors) = self.errors_px(&pairs, &pairs) else { continue };
                let rms_px = root_mean_square(&errors);
                if rms_px < best.0 && self.grade(&pairs) > 0 {
                    best = (rms_px, Some((a, b)));
                }
            }
        }
        best.1
    }

    /// The suspect without which the others agree. Of five pairs any four agree, so there they must also make a camera, and
    /// no other four may.
    fn odd_one(&self, suspects: &[usize]) -> Option<CalibrationError> {
        let n = self.pairs.len();
        let mut odd: Vec<(f64, CalibrationError)> = Vec::new();
        for &pair in suspects {
            let mut rest = self.pairs.to_vec();
            let left_out = [rest.remove(pair)];
            let (Some(errors), Some(off)) = (self.errors_px(&rest, &rest), self.errors_px(&rest, &left_out))
            else {
                continue;
            };
            let (rest_px, off_px) = (root_mean_square(&errors), off[0]);
            let grade = self.grade(&rest);
            let stands_out = off_px > (OFF_TIMES * rest_px).max(OFF_MIN * self.diagonal_px());
            if stands_out && grade > u8::from(n == 5) {
                odd.push((rest_px, CalibrationError::OnePairOff { pair, off_px, rest_px }));
            }
        }
        if n == 5 && odd.len() > 1 {
            return None;
        }
        odd.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, mistake)| mistake)
    }

    /// The mistake that explains why these pairs make no plane, or an unlikely one.
    fn mistake(&self, found: &Result<GroundPlane, CalibrationError>) -> CalibrationError {
        let allowed = || GroundPlane::from_pairs(self.pairs, self.size, true);
        if sees_horizon(found, allowed) {
            return refusal(found.as_ref(), CalibrationError::Degenerate);
        }
        let n = self.pairs.len();
        let mut mistakes = Vec::new();
        if let Some(evidence) = found.as_ref().ok().and_then(GroundPlane::outlook) {
            mistakes.extend(UNITS.map(|(unit, factor)| {
                let pairs = self.changed(|p| p.ground_m = p.ground_m * (1.0 / factor));
                (pairs, CalibrationError::Unit { unit, factor, evidence })
            }));
        }
        let flipped = self.changed(|p| p.ground_m = Point::new(p.ground_m.y, p.ground_m.x));
        mistakes.push((flipped, CalibrationError::Mirrored));
        mistakes.push((self.row_first(), CalibrationError::RowFirst));
        if n == 4 {
            let couples = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
            mistakes
                .extend(couples.map(|(a, b)| (self.exchanged(a, b), CalibrationError::Exchanged { a, b })));
        }
        let undone = mistakes.into_iter().map(|(pairs, mistake)| (self.grade(&pairs), mistake));
        best(undone).unwrap_or_else(|| refusal(found.as_ref(), CalibrationError::Degenerate))
    }

    /// By how much lengths change in places of the picture when each point is off by the error of a click.
    fn spread(&self, notes: &mut Vec<String>) -> Result<(), CalibrationError> {
        let error_px = CLICK * self.diagonal_px();
        let picture = Picture { size: self.size };
        let Some(lengths) = self.lengths(self.pairs, &picture) else { return Ok(()) };
        let mut squares = [0.0; Picture::PLACES];
        for trial in 0..TRIALS {
            let mut pairs = self.pairs.to_vec();
            for (i, pair) in pairs.iter_mut().enumerate() {
                let turn = std::f64::consts::TAU * chance(trial, i as u64);
                pair.image_px = pair.image_px + Point::new(turn.cos(), turn.sin()) * error_px;
            }
            let changed = self.lengths(&pairs, &picture);
            for (k, square) in squares.iter_mut().enumerate() {
                // A place that the horizon swallows is as uncertain as can be.
                let Some(before) = lengths[k] else { continue };
                let after = changed.and_then(|lengths| lengths[k]);
                *square += after.map_or(1.0, |after| (after / before).ln().powi(2).min(1.0));
            }
        }
        let worst = squares.into_iter().fold(0.0, f64::max);
        let change = (worst / TRIALS as f64).sqrt();
        let percent = 100.0 * change;
        if change > LENGTH_ERROR.0 && !self.demands.accept_doubtful {
            return Err(CalibrationError::SmallSpread { error_px, percent });
        }
        if change > LENGTH_ERROR.1 {
            notes.push(format!(
                "an error of {error_px:.0} pixels of each point changes lengths in the picture by {percent:.0} %; \
                 spread the points over the picture"
            ));
        }
        Ok(())
    }

    /// Metres across, in places of the picture that lie clearly below the horizon.
    fn lengths(&self, pairs: &[Correspondence], picture: &Picture) -> Option<[Option<f64>; Picture::PLACES]> {
        let plane = GroundPlane::from_pairs(pairs, self.size, true).ok()?;
        Some(picture.places().map(|place| {
            let near = (plane.to_ground * super::homogeneous(place)).z >= Picture::DEPTH_MIN;
            plane.px_per_metre(place).filter(|_| near)
        }))
    }

    /// The pair that is worth a second look.
    fn worst_noted(&self, plane: &GroundPlane) -> Option<String> {
        let off = |p: &Correspondence| {
            plane.to_image(p.ground_m).map_or(f64::INFINITY, |at| at.distance(p.image_px))
        };
        let errors = self.pairs.iter().map(off).enumerate();
        let (pair, off_px) = errors.max_by(|a, b| a.1.total_cmp(&b.1))?;
        (off_px > OFF_NOTED * self.diagonal_px()).then(|| {
            format!("pair {pair}, counted from 0, is {off_px:.1} pixels from where all pairs together put it")
        })
    }
}

/// Places in a picture where lengths are compared.
struct Picture {
    size: Size,
}

impl Picture {
    const PLACES: usize = 5;
    /// Places farther away than this are left out: the lower border is at 1.
    const DEPTH_MIN: f64 = 0.2;

    fn places(&self) -> [Point; Self::PLACES] {
        let (w, h) = (f64::from(self.size.width), f64::from(self.size.height));
        [(0.0, 1.0), (1.0, 1.0), (0.5, 0.75), (0.5, 0.5), (0.5, 1.0)].map(|(x, y)| Point::new(x * w, y * h))
    }
}

/// A number from 0 to 1 that looks like chance and is always the same (splitmix64).
fn chance(trial: u64, i: u64) -> f64 {
    let mut z = (trial << 32 | i).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as f64 / u64::MAX as f64
}

fn root_mean_square(errors: &[f64]) -> f64 {
    (errors.iter().map(|e| e * e).sum::<f64>() / errors.len().max(1) as f64).sqrt()
}

/// What is doubtful about a plane that is likely.
fn notes(plane: &GroundPlane) -> Vec<String> {
    let mut notes = Vec::new();
    match plane.camera_m() {
        Some(camera_m) if camera_m > FEET_FROM_M => notes.push(format!(
            "the camera would be {camera_m:.1} m above the ground; if that is wrong, the ground may be measured in feet \
             ({:.1} m), then multiply its coordinates by {FOOT_M}",
            camera_m * FOOT_M
        )),
        None if plane.upright_part(plane.at(0.5, 1.0)).is_some_and(|part| part > 0.3) => notes.push(
            "no camera with square pixels and its optical axis in the middle of the picture sees the ground like that; \
             measure more points, or correct the lens's distortion"
                .to_owned(),
        ),
        _ => {}
    }
    notes
}

#[cfg(test)]
mod tests;
