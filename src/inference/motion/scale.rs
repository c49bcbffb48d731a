//! Whose word counts for how large a person is: the calibration's, or that of what is seen.
//!
//! Every calibration must first be borne out: a rough homography that fits to a camera gives sizes as wrong as one that
//! fits to none, and where no person comes by nothing ever shows it. What speaks is every connected component that looks
//! like one whole upright person and moves from frame to frame (rain is elsewhere in each), before anything is put together
//! or cut by the sizes in question. The calibrated sizes are used once the median of their heights agrees with them and
//! [`SHARE_MIN`] of the heights do: on a rough homography the median may agree by chance. Where it is far from the calibrated one, the calibration is doubted.
//! Until it is borne out, and while it is doubted, sizes are learned as without calibration.
//!
//! The ground plane itself stays: what becomes of places in metres is not decided here. Pixels of the work grid.

use super::blobs::{BLOBS_MAX, Blob, Rect};
use super::heights::Heights;
pub(super) use super::heights::Person;
use super::people::Group;
use super::picture::Grid;
use crate::model::GroundPlane;

/// Heights kept, seen over calibrated; the newest replace the oldest.
const RATIOS_MAX: usize = 96;
/// Fewer neither raise nor end a doubt.
const RATIOS_MIN: usize = 24;
/// Fewer do not bear out a calibration.
const BEAR_OUT_MIN: usize = 12;
/// So many of the heights must agree, as a part of all. On PETS09-S2L1 with its true homography 0.86 to 0.94 do, on
/// rough ones in corridors 0.1 to 0.5.
const SHARE_MIN: f32 = 0.6;
/// Below this a calibration that was borne out must be so anew.
const SHARE_LOST: f32 = 0.45;
/// A median within the first agrees; outside the second it disagrees: statures and parts of bodies explain less.
const AGREES: (f32, f32) = (0.75, 1.4);
const DISAGREES: (f32, f32) = (0.55, 1.8);
/// Lower components are too small to be judged by their shape, pixels.
const HEIGHT_MIN: usize = 8;
/// A smaller group than this part of the picture teaches no size.
const LARGE_PARTS: usize = 1000;
/// Sizes are learned where upright shapes are at least this part of what moves, by area: on footage of people they are 0.25
/// to 0.8, on roads, where parts of cars have the shape of a person now and then, less than 0.03.
const UPRIGHT_MIN: f32 = 0.12;
/// A place where two rectangles have more than this in common, as intersection over union, is the same place.
const SAME: f32 = 0.7;
/// What moves has at least this in common with what it was a frame ago.
const FOLLOWS: f32 = 0.25;
/// How much of these areas is kept when another group comes: they tell of the last hundred.
const KEPT: f32 = 0.99;

#[derive(Debug)]
pub(super) struct Scale {
    calibrated: Option<Heights>,
    /// Learned from what is seen alone; used where there is no calibration, or one that is doubted.
    seen: Heights,
    ratios: Vec<f32>,
    next: usize,
    /// The components that were compared, and the groups that taught a size.
    compared: Places,
    noted: Places,
    /// The components and the groups of the last frame.
    last_blobs: Vec<Rect>,
    last_groups: Vec<Rect>,
    /// Pixels of what moved lately, and of the upright shapes among it.
    moved_area: f32,
    upright_area: f32,
    trust: Trust,
}

/// What is held of the calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trust {
    Trusted,
    /// Nothing has borne it out.
    Open,
    /// What is seen is so many times as tall.
    Doubted(f32),
}

impl Scale {
    /// For pictures of the size that `ground` is for; it is calibrated where it is there.
    pub(super) fn new(ground: Option<GroundPlane>, px: [f64; 2], rows: usize) -> Self {
        Self {
            seen: Heights::new(None, px, rows),
            calibrated: ground.map(|ground| Heights::new(Some(ground), px, rows)),
            ratios: Vec::with_capacity(RATIOS_MAX),
            next: 0,
            compared: Places::new(),
            noted: Places::new(),
            last_blobs: Vec::with_capacity(BLOBS_MAX),
            last_groups: Vec::with_capacity(BLOBS_MAX),
            moved_area: 0.0,
            upright_area: 0.0,
            trust: Trust::Open,
        }
    }

    /// A person at this point of the work grid; none where that is not known.
    pub(super) fn person(&self, x: f32, foot: f32) -> Option<Person> {
        match &self.calibrated {
            Some(heights) if self.trust == Trust::Trusted => heights.person(x, foot),
            _ if self.upright_area >= UPRIGHT_MIN * self.moved_area => self.seen.person(x, foot),
            _ => None,
        }
    }

    /// How many times as tall as calibrated persons are seen, while the calibration is doubted for it.
    pub(super) fn disagreement(&self) -> Option<f64> {
        match self.trust {
            Trust::Doubted(times) => Some(f64::from(times)),
            Trust::Trusted | Trust::Open => None,
        }
    }

    /// Learns sizes from the groups of blobs that look like one whole person. Whether a group is cut does not matter: that
    /// is decided by these very sizes, and one that is too small would never see a whole person again.
    pub(super) fn note(&mut self, groups: &[Group], grid: Grid) {
        self.noted.begin();
        for Group { rect, area } in groups {
            if area * LARGE_PARTS < grid.width * grid.height || !is_whole(*rect, grid) {
                continue;
            }
            if !self.noted.is_new(*rect) {
                continue;
            }
            let upright = is_upright(*rect, *area) && follows(&self.last_groups, *rect);
            self.moved_area = KEPT * self.moved_area + *area as f32;
            self.upright_area = KEPT * self.upright_area + if upright { *area as f32 } else { 0.0 };
            if upright {
                let heights = self.calibrated.as_mut().filter(|_| self.trust == Trust::Trusted);
                let middle = (rect.left + rect.right) as f32 / 2.0;
                let (height, width) = (rect.height() as f32, rect.width() as f32);
                heights.unwrap_or(&mut self.seen).note(middle, rect.bottom as f32, height, width);
            }
        }
        self.seen.refit();
        if let Some(calibrated) = &mut self.calibrated {
            calibrated.refit();
        }
    }

    /// Compares the calibration with the connected components, before they are put together or cut.
    pub(super) fn compare(&mut self, blobs: &[Blob], grid: Grid) {
        let Some(calibrated) = &self.calibrated else { return };
        self.compared.begin();
        for Blob { rect, area } in blobs {
            if rect.height() < HEIGHT_MIN || !is_whole(*rect, grid) || !is_upright(*rect, *area) {
                continue;
            }
            if !follows(&self.last_blobs, *rect) {
                continue;
            }
            let is_new = self.compared.is_new(*rect);
            let middle = (rect.left + rect.right) as f32 / 2.0;
            let Some(expected) = calibrated.expected(middle, rect.bottom as f32) else { continue };
            if !is_new {
                continue;
            }
            let ratio = rect.height() as f32 / expected;
            if self.ratios.len() < RATIOS_MAX {
                self.ratios.push(ratio);
            } else {
                self.ratios[self.next] = ratio;
            }
            self.next = (self.next + 1) % RATIOS_MAX;
        }
        self.judge();
    }

    /// Takes the components and groups of a frame, to know in the next which of them move.
    pub(super) fn pass(&mut self, blobs: &[Blob], groups: &[Group]) {
        self.last_blobs.clear();
        self.last_blobs.extend(blobs.iter().map(|blob| blob.rect));
        self.last_groups.clear();
        self.last_groups.extend(groups.iter().map(|group| group.rect));
    }

    fn judge(&mut self) {
        if self.ratios.len() < BEAR_OUT_MIN {
            return;
        }
        let mut sorted = self.ratios.clone();
        let median = *sorted.select_nth_unstable_by(self.ratios.len() / 2, f32::total_cmp).1;
        let is_within = |(least, most): (f32, f32), ratio: f32| (least..=most).contains(&ratio);
        let agreeing = self.ratios.iter().filter(|ratio| is_within(AGREES, **ratio)).count();
        let share = agreeing as f32 / self.ratios.len() as f32;
        let agrees = is_within(AGREES, median) && share >= SHARE_MIN;
        let enough = self.ratios.len() >= RATIOS_MIN;
        self.trust = match self.trust {
            Trust::Open if agrees => Trust::Trusted,
            Trust::Doubted(_) if agrees && enough => Trust::Trusted,
            Trust::Trusted | Trust::Open if !is_within(DISAGREES, median) && enough => Trust::Doubted(median),
            Trust::Trusted if share < SHARE_LOST && enough => Trust::Open,
            Trust::Doubted(_) => Trust::Doubted(median),
            same => same,
        };
    }
}

/// What was where, this time and the time before: what stands there counts once.
#[derive(Debug)]
struct Places {
    now: Vec<Rect>,
    before: Vec<Rect>,
}

impl Places {
    fn new() -> Self {
        let places = || Vec::with_capacity(BLOBS_MAX);
        Self { now: places(), before: places() }
    }

    /// The next time begins.
    fn begin(&mut self) {
        std::mem::swap(&mut self.now, &mut self.before);
        self.now.clear();
    }

    /// Takes a place; whether nothing was there the time before.
    fn is_new(&mut self, rect: Rect) -> bool {
        self.now.push(rect);
        !self.before.iter().any(|earlier| in_common(*earlier, rect) > SAME)
    }
}

/// Whether nothing of it is beyond the picture's border.
fn is_whole(rect: Rect, grid: Grid) -> bool {
    rect.left > 0 && rect.top > 0 && rect.right < grid.width && rect.bottom < grid.height
}

/// Whether it has the shape of one person who stands or walks.
fn is_upright(rect: Rect, area: usize) -> bool {
    let (width, height) = (rect.width(), rect.height());
    let fill = area as f32 / (width * height) as f32;
    8 * width <= 5 * height && height <= 5 * width && (0.35..0.8).contains(&fill)
}

/// Whether one of the rectangles of the last frame may be this one.
fn follows(last: &[Rect], rect: Rect) -> bool {
    last.iter().any(|earlier| in_common(*earlier, rect) >= FOLLOWS)
}

/// Intersection over union.
fn in_common(a: Rect, b: Rect) -> f32 {
    let overlap = |(a0, a1): (usize, usize), (b0, b1): (usize, usize)| a1.min(b1).saturating_sub(a0.max(b0));
    let both = overlap((a.left, a.right), (b.left, b.right)) * overlap((a.top, a.bottom), (b.top, b.bottom));
    let all = a.width() * a.height() + b.width() * b.height() - both;
    both as f32 / all as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Correspondence, Point, Size};

    const SIZE: Size = Size { width: 640, height: 480 };

    /// The image of (x, y, z) in a camera 6 m up that looks 25 degrees down.
    fn project(x: f64, y: f64, z: f64) -> Point {
        let (sin, cos) = 25_f64.to_radians().sin_cos();
        let depth = y * cos + (6.0 - z) * sin;
        Point::new(320.0 + 500.0 * x / depth, 240.0 + 500.0 * ((6.0 - z) * cos - y * sin) / depth)
    }

    /// The scale of that camera when its ground was measured in units of `unit_m`, those along one axis `skew` times as
    /// long as those along the other.
    fn scale(unit_m: f64, skew: f64) -> Scale {
        let pair = |(x, y)| Correspondence {
            image_px: project(x, y, 0.0),
            ground_m: Point::new(0.8 * x - 0.6 * y, (0.6 * x + 0.8 * y) / skew) * (1.0 / unit_m),
        };
        let pairs = [(-3.0, 8.0), (3.0, 8.0), (6.0, 20.0), (-6.0, 20.0)].map(pair);
        Scale::new(Some(GroundPlane::from_pairs(&pairs, SIZE, true).unwrap()), [1.0; 2], 480)
    }

    /// Shows it persons who walk through the picture.
    fn watch(scale: &mut Scale, looks: u32) {
        let grid = Grid::new(SIZE);
        for i in 0..looks {
            let (x, y) = (f64::from(i % 7) - 3.0, 9.0 + f64::from(i * 5 % 9));
            let (foot, head) = (project(x, y, 0.0), project(x, y, 1.72));
            let height = (foot.y - head.y) as usize;
            let (left, top) = (foot.x as usize, head.y as usize);
            let rect = Rect { left, top, right: left + height * 2 / 5, bottom: top + height };
            let blob = Blob { rect, area: rect.width() * rect.height() * 6 / 10 };
            let group = Group { rect, area: blob.area };
            scale.pass(&[blob], &[group]);
            scale.compare(&[blob], Grid { width: 640, height: 480, ..grid });
            scale.note(&[group], Grid { width: 640, height: 480, ..grid });
        }
    }

    #[test]
    fn a_calibration_tells_sizes_once_what_is_seen_bears_it_out_and_stays_trusted() {
        let mut scale = scale(1.0, 1.0);
        watch(&mut scale, 11);
        assert_eq!((scale.trust, scale.person(320.0, 300.0)), (Trust::Open, None));
        watch(&mut scale, 20);
        assert_eq!(scale.trust, Trust::Trusted);
        watch(&mut scale, 200);
        assert_eq!((scale.trust, scale.disagreement()), (Trust::Trusted, None));
    }

    #[test]
    fn a_rough_calibration_whose_median_agrees_by_chance_tells_no_sizes() {
        // Half the places are thought twice as near as they are, the others twice as far.
        let mut rough = scale(1.0, 1.0);
        for i in 0..60 {
            let expected = rough.calibrated.as_ref().unwrap().expected(320.0, 300.0).unwrap();
            let height = [0.5, 1.0, 1.0, 2.0, 2.0][i % 5] * expected;
            let (left, top) = (300 + i, 300 - height as usize);
            let rect = Rect { left, top, right: left + height as usize / 2, bottom: 300 };
            let blob = Blob { rect, area: rect.width() * rect.height() * 6 / 10 };
            rough.pass(&[blob], &[]);
            rough.compare(&[blob], Grid { width: 640, height: 480, ..Grid::new(SIZE) });
        }
        assert!(rough.ratios.len() > BEAR_OUT_MIN);
        assert_eq!(rough.trust, Trust::Open);
    }

    #[test]
    fn a_ground_in_feet_is_doubted_once_enough_is_seen_and_sizes_are_those_that_are_seen() {
        let mut scale = scale(0.3048, 1.0);
        watch(&mut scale, 20);
        assert_eq!(scale.disagreement(), None);
        watch(&mut scale, 60);
        let times = scale.disagreement().unwrap();
        assert!((times - 3.28).abs() < 0.2, "{times}");
        let (foot, head) = (project(0.0, 12.0, 0.0), project(0.0, 12.0, 1.72));
        let person = scale.person(foot.x as f32, foot.y as f32).unwrap();
        let ratio = f64::from(person.height) / (foot.y - head.y);
        assert!((0.8..1.25).contains(&ratio), "{ratio}");
    }

    #[test]
    fn a_map_that_no_camera_sees_tells_no_sizes_until_it_is_borne_out() {
        let mut scale = scale(1.0, 3.3);
        assert_eq!(scale.trust, Trust::Open);
        assert_eq!(scale.person(320.0, 300.0), None);
        watch(&mut scale, 40);
        assert!(scale.person(320.0, 300.0).is_some());
    }

    #[test]
    fn one_thing_that_stands_there_is_no_evidence() {
        let mut scale = scale(0.3048, 1.0);
        let rect = Rect { left: 300, top: 200, right: 340, bottom: 300 };
        for _ in 0..200 {
            scale.pass(&[Blob { rect, area: 2400 }], &[]);
            scale.compare(&[Blob { rect, area: 2400 }], Grid { width: 640, height: 480, ..Grid::new(SIZE) });
        }
        assert!(scale.ratios.len() <= 1);
    }

    /// Shows a camera without a calibration groups of this size, each at another place.
    fn show(scale: &mut Scale, times: usize, width: usize, height: usize) {
        for i in 0..times {
            let (left, top) = (40 + 97 * i % 400, 60 + 53 * i % 200);
            let rect = Rect { left, top, right: left + width, bottom: top + height };
            let group = Group { rect, area: width * height * 6 / 10 };
            scale.pass(&[], &[group]);
            scale.note(&[group], Grid { width: 640, height: 480, ..Grid::new(SIZE) });
        }
    }

    #[test]
    fn streaks_of_rain_which_are_elsewhere_in_each_frame_teach_no_size() {
        let grid = Grid { width: 640, height: 480, ..Grid::new(SIZE) };
        let mut scale = Scale::new(None, [1.0; 2], 480);
        let streaks = |frame: usize| -> Vec<Group> {
            let at = move |i: usize| (40 + (frame * 131 + i * 97) % 560, 40 + (frame * 89 + i * 53) % 360);
            let rect = move |(left, top)| Rect { left, top, right: left + 12, bottom: top + 40 };
            (0..20).map(|i| Group { rect: rect(at(i)), area: 330 }).collect()
        };
        for frame in 0..200 {
            scale.note(&streaks(frame), grid);
            scale.pass(&[], &streaks(frame));
        }
        assert_eq!(scale.person(320.0, 300.0), None);
    }

    #[test]
    fn sizes_taught_by_parts_are_replaced_when_whole_persons_are_seen_although_these_are_cut() {
        let mut scale = Scale::new(None, [1.0; 2], 480);
        show(&mut scale, 30, 20, 48);
        let taught = scale.person(320.0, 300.0).unwrap().height;
        assert!((taught - 48.0).abs() < 5.0, "{taught}");
        show(&mut scale, 60, 40, 100);
        let learned = scale.person(320.0, 300.0).unwrap().height;
        assert!((learned - 100.0).abs() < 10.0, "{learned}");
    }

    #[test]
    fn parts_of_cars_that_have_the_shape_of_a_person_teach_no_size_on_a_road() {
        let mut scale = Scale::new(None, [1.0; 2], 480);
        for _ in 0..20 {
            show(&mut scale, 1, 20, 48);
            show(&mut scale, 5, 160, 100);
        }
        assert_eq!(scale.person(320.0, 300.0), None);
    }
}
