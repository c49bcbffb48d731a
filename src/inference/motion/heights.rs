//! How large a person is at each place of the picture.
//!
//! With a calibration: from the ground plane, which knows where the head of someone is whose feet are
//! seen. Where it does not, the ground's foreshortening tells at which angle the camera looks down,
//! and so how much of a person's height is seen. Without: a height that grows linearly with the foot's row
//! (exact for a level horizon, Hoiem et al., "Putting Objects in Perspective", IJCV 2008). Either way
//! it is fitted to blobs that look like one person, by least absolute deviations, which merged groups
//! and fragments do not pull away; a calibrated height is thereby only corrected, within
//! [`CORRECTION`]: people are not all alike, and calibrations are not exact.
//! Lengths are pixels of the work grid.

use crate::model::{GroundPlane, Point};

/// Height of an average person with shoes, in metres.
pub(super) const PERSON_M: f64 = 1.72;
/// Width of a walking person as a part of the stature, until it is learned.
const ASPECT: f32 = 0.40;
/// Part of a stature that a person covers from straight above: as deep as shoulders are wide.
const FROM_ABOVE: f64 = 0.3;
/// Observations kept; the newest replace the oldest.
const SIGHTINGS_MAX: usize = 384;
/// Fewer do not tell.
const SIGHTINGS_MIN: usize = 12;
/// When one in so many is new, what is learned is renewed.
const FRESH_PARTS: usize = 16;
/// By how much what is seen may change a calibrated height: statures of 1.46 to 2.06 m. What is smaller
/// or larger by itself is a part of somebody, or a group. The lower end may not lie further down: there
/// everybody who is whole would look like two and be cut, and only parts would be left to learn from.
const CORRECTION: (f32, f32) = (0.85, 1.2);
/// The same where the ground alone tells the height, and heads are nearer to the camera than that.
const CORRECTION_ROUGH: (f32, f32) = (0.8, 1.35);
/// Rounds of reweighting for least absolute deviations.
const ROUNDS: usize = 12;

/// What one person covers, upright.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Person {
    pub(super) width: f32,
    pub(super) height: f32,
}

/// One blob that may be one person.
#[derive(Debug, Clone, Copy)]
struct Sighting {
    foot: f32,
    /// Height in units of [`Heights::unit`] there.
    height: f32,
    aspect: f32,
}

/// The unit of sizes at one place: a calibrated person, or a pixel.
#[derive(Debug, Clone, Copy)]
struct Unit {
    height: f32,
    /// A stature across the line of sight.
    across: f32,
    /// Least and most of it that a person's height is, when it is calibrated.
    range: Option<(f32, f32)>,
}

#[derive(Debug)]
pub(super) struct Heights {
    /// The plane for pictures of this size, when it is calibrated.
    ground: Option<GroundPlane>,
    /// Pixels of such a picture per pixel of the work grid, across and down.
    px: [f64; 2],
    rows: f32,
    sightings: Vec<Sighting>,
    next: usize,
    /// Sightings since the last fit.
    fresh: usize,
    /// None until it is learned; a calibrated height needs no learning.
    line: Option<Line>,
    aspect: f32,
    scratch: Vec<f32>,
}

/// Height = unit * (at + slope * (foot row - about)).
#[derive(Debug, Clone, Copy)]
struct Line {
    about: f32,
    at: f32,
    slope: f32,
}

impl Heights {
    pub(super) fn new(ground: Option<GroundPlane>, px: [f64; 2], rows: usize) -> Self {
        Self {
            line: ground.is_some().then_some(Line { about: 0.0, at: 1.0, slope: 0.0 }),
            ground,
            px,
            rows: rows as f32,
            sightings: Vec::with_capacity(SIGHTINGS_MAX),
            next: 0,
            fresh: 0,
            aspect: ASPECT,
            scratch: Vec::with_capacity(SIGHTINGS_MAX),
        }
    }

    /// A person at this point of the work grid; none where that is not known.
    pub(super) fn person(&self, x: f32, foot: f32) -> Option<Person> {
        let line = self.line?;
        let relative = line.at + line.slope * (foot - line.about);
        let unit = self.unit(x, foot)?;
        let (least, most) = unit.range.unwrap_or((0.2 * line.at, f32::INFINITY));
        let relative = relative.clamp(least, most);
        let height = unit.height * relative;
        let width = unit.across * relative * self.aspect;
        (height >= 3.0 && height <= 2.0 * self.rows).then_some(Person { width, height })
    }

    /// How tall the calibration alone says that a person is; none without it.
    pub(super) fn expected(&self, x: f32, foot: f32) -> Option<f32> {
        self.ground.as_ref().and_then(|ground| self.measured(ground, x, foot)).map(|unit| unit.height)
    }

    fn unit(&self, x: f32, foot: f32) -> Option<Unit> {
        match &self.ground {
            Some(ground) => self.measured(ground, x, foot),
            None => Some(Unit { height: 1.0, across: 1.0, range: None }),
        }
    }

    fn measured(&self, ground: &GroundPlane, x: f32, foot: f32) -> Option<Unit> {
        let [kx, ky] = self.px;
        let foot = Point::new(f64::from(x) * kx, f64::from(foot) * ky);
        let px_per_metre = ground.px_per_metre(foot)?;
        let (height, across, range) = if let Some(head) = ground.upright_px(foot, PERSON_M) {
            // The trunk, which is the widest, is nearer to the camera than the feet.
            let trunk = ground.upright_px(foot, 0.5 * PERSON_M)?;
            let nearer = trunk.distance(head) / foot.distance(trunk);
            let across = PERSON_M * px_per_metre * nearer.sqrt();
            ((foot.y - head.y).max(FROM_ABOVE * across), across, CORRECTION)
        } else {
            let height = PERSON_M * px_per_metre * ground.upright_part(foot)?.max(FROM_ABOVE);
            (height, height, CORRECTION_ROUGH)
        };
        let [height, across] = [height / ky, across / kx].map(|pixels| pixels as f32);
        Some(Unit { height, across, range: Some(range) })
    }

    /// Takes note of a blob that looks like one whole person.
    pub(super) fn note(&mut self, x: f32, foot: f32, height: f32, width: f32) {
        let Some(unit) = self.unit(x, foot) else { return };
        let relative = height / unit.height;
        if unit.range.is_some_and(|(least, most)| !(least..=most).contains(&relative)) {
            return;
        }
        let aspect = width / (unit.across * relative);
        let sighting = Sighting { foot, height: relative, aspect };
        if self.sightings.len() < SIGHTINGS_MAX {
            self.sightings.push(sighting);
        } else {
            self.sightings[self.next] = sighting;
        }
        self.next = (self.next + 1) % SIGHTINGS_MAX;
        self.fresh += 1;
    }

    /// Renews what is learned from the notes, when enough of them are new.
    pub(super) fn refit(&mut self) {
        if self.sightings.len() < SIGHTINGS_MIN || self.fresh * FRESH_PARTS < self.sightings.len() {
            return;
        }
        self.fresh = 0;
        self.aspect = self.median(|s| s.aspect);
        let about = self.median(|s| s.foot);
        let mut line = Line { about, at: self.median(|s| s.height), slope: 0.0 };
        for _ in 0..ROUNDS {
            line = self.reweighted(line);
        }
        self.line = Some(line);
    }

    fn median(&mut self, of: impl Fn(&Sighting) -> f32) -> f32 {
        self.scratch.clear();
        self.scratch.extend(self.sightings.iter().map(of));
        let middle = self.scratch.len() / 2;
        *self.scratch.select_nth_unstable_by(middle, f32::total_cmp).1
    }

    /// One weighted least-squares step: weights are the inverse deviations from the last line.
    fn reweighted(&self, line: Line) -> Line {
        // A tenth of the picture's height in rows, for as many people as make a fit: until feet are
        // seen over a range of rows, heights are taken to be the same everywhere.
        let prior = SIGHTINGS_MIN as f32 * (0.1 * self.rows).powi(2) / (0.1 * line.at);
        let (mut w, mut wx, mut wy, mut wxx, mut wxy) = (0.0, 0.0, 0.0, prior, 0.0);
        for s in &self.sightings {
            let (x, y) = (s.foot - line.about, s.height);
            let off = (y - line.at - line.slope * x).abs();
            let weight = 1.0 / off.max(0.05 * line.at);
            w += weight;
            wx += weight * x;
            wy += weight * y;
            wxx += weight * x * x;
            wxy += weight * x * y;
        }
        let det = w * wxx - wx * wx;
        // No person grows by walking away.
        let slope = ((w * wxy - wx * wy) / det).max(0.0);
        Line { at: (wy - slope * wx) / w, slope, ..line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Correspondence, Size};

    const SIZE: Size = Size { width: 640, height: 480 };

    /// A camera 6 m up that looks 25 degrees down: ground x to the right, y ahead, z up.
    fn project(x: f64, y: f64, z: f64) -> Point {
        let (sin, cos) = 25_f64.to_radians().sin_cos();
        let depth = y * cos + (6.0 - z) * sin;
        let down = (6.0 - z) * cos - y * sin;
        Point::new(320.0 + 500.0 * x / depth, 240.0 + 500.0 * down / depth)
    }

    #[test]
    fn a_calibrated_camera_knows_how_tall_people_are() {
        let pair = |(x, y)| Correspondence { image_px: project(x, y, 0.0), ground_m: Point::new(x, y) };
        let pairs = [(-3.0, 8.0), (3.0, 8.0), (6.0, 20.0), (-6.0, 20.0)].map(pair);
        let ground = GroundPlane::from_pairs(&pairs, SIZE, true).unwrap();
        let scale = Heights::new(Some(ground), [2.0; 2], 240);
        for (x, y) in [(0.0, 7.0), (0.0, 9.0), (2.0, 12.0), (-3.0, 16.0), (4.0, 22.0)] {
            let (foot, head) = (project(x, y, 0.0), project(x, y, PERSON_M));
            let person = scale.person(foot.x as f32 / 2.0, foot.y as f32 / 2.0).unwrap();
            let ratio = person.height / ((foot.y - head.y) as f32 / 2.0);
            assert!((ratio - 1.0).abs() < 0.01, "at ({x}, {y}): {ratio}");
        }
    }

    #[test]
    fn parts_of_people_do_not_change_a_calibrated_height() {
        let pair = |(x, y)| Correspondence { image_px: project(x, y, 0.0), ground_m: Point::new(x, y) };
        let pairs = [(-3.0, 8.0), (3.0, 8.0), (6.0, 20.0), (-6.0, 20.0)].map(pair);
        let ground = GroundPlane::from_pairs(&pairs, SIZE, true).unwrap();
        let mut scale = Heights::new(Some(ground), [1.0; 2], 480);
        let known = scale.person(320.0, 400.0).unwrap();
        for i in 0..100 {
            let part = [0.5, 0.6, 1.05][i % 3];
            scale.note(320.0, 400.0, part * known.height, 0.4 * known.height);
        }
        scale.refit();
        let learned = scale.person(320.0, 400.0).unwrap().height / known.height;
        assert!((learned - 1.05).abs() < 0.01, "{learned}");
    }

    #[test]
    fn heights_are_learned_although_a_third_of_the_blobs_are_groups_or_fragments() {
        let mut scale = Heights::new(None, [1.0; 2], 240);
        assert_eq!(scale.person(100.0, 200.0), None);
        let truth = |foot: f32| 12.0 + 0.2 * foot;
        for i in 0..300 {
            let foot = 60.0 + (i * 37 % 170) as f32;
            let part = [1.0, 1.04, 0.5, 0.97, 1.7, 1.0][i % 6];
            scale.note(100.0, foot, part * truth(foot), 0.4 * part * truth(foot));
        }
        scale.refit();
        for foot in [60.0, 120.0, 230.0] {
            let person = scale.person(100.0, foot).unwrap();
            assert!((person.height / truth(foot) - 1.0).abs() < 0.06, "{foot}: {person:?}");
            assert!((person.width / person.height - 0.4).abs() < 0.01);
        }
    }

    #[test]
    fn sizes_are_fitted_anew_when_a_sixteenth_of_what_was_seen_is_new() {
        let mut scale = Heights::new(None, [1.0; 2], 240);
        let see = |scale: &mut Heights, times: usize, height: f32| {
            for _ in 0..times {
                scale.note(100.0, 200.0, height, 0.4 * height);
            }
            scale.refit();
            scale.person(100.0, 200.0).map(|person| person.height.round())
        };
        assert_eq!(see(&mut scale, SIGHTINGS_MIN - 1, 40.0), None);
        assert_eq!(see(&mut scale, SIGHTINGS_MAX, 40.0), Some(40.0));
        // Most that is kept is of the new size soon, but a fit waits for its sixteenth.
        assert_eq!(see(&mut scale, SIGHTINGS_MAX / FRESH_PARTS - 1, 60.0), Some(40.0));
        assert_eq!(scale.fresh, SIGHTINGS_MAX / FRESH_PARTS - 1);
        see(&mut scale, 1, 60.0);
        assert_eq!(scale.fresh, 0);
        assert_eq!(see(&mut scale, SIGHTINGS_MAX, 60.0), Some(60.0));
    }
}
