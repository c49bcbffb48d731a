//! Where in a group of blobs a person is likeliest to be.
//!
//! A place is judged by how much more the pixels in and around it look like somebody upright than like
//! anything else: the log likelihood ratio per pixel under a coarse silhouette, where what is explained
//! already and what lies outside the picture say nothing (after Zhao & Nevatia, PAMI 2004). Who is cut by
//! the picture's border stands partly outside.
//!
//! Places along a row are judged [`BLOCK`] at a time, in vectors. This is most of the work that people make, so
//! rows and blocks are left out as soon as it is sure that nobody new, and nobody likelier than the best so far, is
//! there. Every other row is tried, and then those beside the best. Rows and columns are those of the group, from its top left corner; time grows with
//! its pixels, up to a bound.

use std::ops::Range;

use wide::{f32x8, i32x8};

use super::blobs::Rect;
use super::field::{BLOCK, Field};
use super::picture::Grid;
use super::scale::{Person, Scale};

/// About so many places are tried for one rectangle: it bounds the time a frame takes.
const PLACES_MAX: f32 = 2000.0;
/// A rectangle must explain this part of its own area that no other does.
const NEW_MIN: f32 = 0.2;
/// And be likelier by this than anything else, in nats per pixel.
const GAIN_MIN: f32 = 0.05;
/// Who stands below the picture and is still seen: by this part of the height at most.
const BELOW_MAX: f32 = 0.7;

/// A person-sized rectangle that explains a part of a group, relative to the group's corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cover {
    pub(super) rect: Rect,
    pub(super) person: Person,
}

/// A band of a person's rectangle and what it says: natural logarithms of how much likelier a set
/// pixel, and a bare one, is there than anywhere (0.5), in the band's core and beside it.
struct Zone {
    /// Parts of the person's height from the top, in percent.
    top: isize,
    bottom: isize,
    /// Part of the width on either side that is not core, in percent.
    inset: isize,
    core: (f32, f32),
    sides: (f32, f32),
}

/// The silhouette of people who walk, of whom one pixel in six is not seen, behind something or of the
/// background's colour: the head (set 0.75, beside it 0.15), the trunk (0.8; 0.45), the legs (0.7; 0.3);
/// above the head (0.15) and below the feet (0.3) something else begins.
static ZONES: [Zone; 5] = [
    Zone { top: -15, bottom: 0, inset: 25, core: (-1.2, 0.0), sides: (0.0, 0.0) },
    Zone { top: 0, bottom: 15, inset: 30, core: (0.41, -0.69), sides: (-1.2, 0.53) },
    Zone { top: 15, bottom: 50, inset: 20, core: (0.47, -0.92), sides: (-0.11, 0.10) },
    Zone { top: 50, bottom: 100, inset: 20, core: (0.34, -0.51), sides: (-0.51, 0.34) },
    Zone { top: 100, bottom: 110, inset: 20, core: (-0.51, 0.0), sides: (0.0, 0.0) },
];

/// The places of a block, counted from its first.
const FROM_FIRST: f32x8 = f32x8::new([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
/// The most that a set pixel says for somebody, in nats.
const SET_MOST: f32 = 0.47;

/// A row in which somebody may stand.
#[derive(Debug)]
struct Stand {
    foot: isize,
    person: Person,
    /// Columns and rows of the person.
    width: usize,
    height: isize,
    /// Pixels of the person's rectangle.
    area: f32,
    /// Left columns that are tried.
    lefts: Range<isize>,
    /// The person's rows that lie in the group.
    rows: Range<usize>,
    /// The [`ZONES`].
    bands: [Band; ZONES.len()],
    /// The most that bare pixels say for somebody here, in nats.
    bare_most: f32,
}

/// A [`Zone`] of somebody who stands in a certain row.
#[derive(Debug, Clone)]
struct Band {
    /// Its rows that lie in the group.
    rows: Range<usize>,
    /// How many of its rows lie in the picture.
    seen: f32,
    /// Columns on either side that are not core.
    inset: usize,
}

impl Stand {
    fn new(foot: usize, person: Person, group: Rect, grid: Grid) -> Self {
        let foot = foot as isize;
        let (width, height) = (rounded(person.width).max(2), rounded(person.height));
        let beyond = |cut: bool| if cut { width / 2 } else { width / 4 };
        let (first, last) = (-beyond(group.left == 0), beyond(group.right == grid.width));
        let top = foot - height;
        let (highest, lowest) = (-(group.top as isize), (grid.height - group.top) as isize);
        let inside = |from: isize, to: isize| {
            let row = |row: isize| row.clamp(0, group.height() as isize) as usize;
            row(from)..row(to)
        };
        let bands = ZONES.each_ref().map(|zone| {
            let (from, to) = (top + part(height, zone.top), top + part(height, zone.bottom));
            let seen = (to.min(lowest) - from.max(highest)).max(0) as f32;
            Band { rows: inside(from, to), seen, inset: part(width, zone.inset) as usize }
        });
        let bare_most = |(zone, band): (&Zone, &Band)| zone.sides.1 * band.seen * (2 * band.inset) as f32;
        Self {
            foot,
            person,
            width: width as usize,
            height,
            area: width as f32 * height as f32,
            lefts: first..group.width() as isize - width + last + 1,
            rows: inside(top, foot),
            bare_most: ZONES.iter().zip(&bands).map(bare_most).sum(),
            bands,
        }
    }

    /// With fewer new pixels than this nobody is likelier than that gain.
    fn new_least(&self, gain: f32) -> f32 {
        // A pixel less, for rounding.
        let likely = (gain * self.area - self.bare_most) / SET_MOST - 1.0;
        likely.max(NEW_MIN * self.area)
    }

    fn cover(&self, left: isize, group: Rect) -> Cover {
        let column = |v: isize| v.clamp(0, group.width() as isize) as usize;
        let row = |v: isize| v.clamp(0, group.height() as isize) as usize;
        let rect = Rect {
            left: column(left),
            top: row(self.foot - self.height),
            right: column(left + self.width as isize),
            bottom: row(self.foot),
        };
        Cover { rect, person: self.person }
    }
}

fn rounded(length: f32) -> isize {
    (length + 0.5) as isize
}

/// So many percent of a length, rounded, halves away from zero.
fn part(length: isize, percent: isize) -> isize {
    (2 * length * percent + 100 * percent.signum()) / 200
}

/// The search in one group after the other.
#[derive(Debug)]
pub(super) struct Search {
    grid: Grid,
    group: Rect,
    /// Rows in which feet may be, the lowest first, and whose.
    feet: Vec<(usize, Person)>,
    /// Every other one.
    stands: Vec<Stand>,
    /// From one left column that is tried to the next.
    step: usize,
}

impl Search {
    pub(super) fn new(grid: Grid) -> Self {
        // People are at most twice as high as the picture.
        let rows = grid.height + (2.0 * BELOW_MAX * grid.height as f32) as usize;
        Self {
            grid,
            group: Rect { left: 0, top: 0, right: 0, bottom: 0 },
            feet: Vec::with_capacity(rows),
            stands: Vec::with_capacity(rows.div_ceil(2)),
            step: 1,
        }
    }

    /// Turns to a group. Steps are parts of a person, and larger where a group is so large that it would
    /// take long.
    pub(super) fn begin(&mut self, group: Rect, scale: &Scale) {
        self.group = group;
        self.feet.clear();
        self.stands.clear();
        let middle = (group.left + group.right) as f32 / 2.0;
        let Some(whole) = scale.person(middle, group.bottom as f32) else { return };
        let (dx, dy) = ((whole.width / 8.0).max(1.0), (whole.height / 16.0).max(1.0));
        let crowd = ((group.width() * group.height()) as f32 / (dx * dy * PLACES_MAX)).sqrt().max(1.0);
        self.step = (dx * crowd) as usize;
        let below = if group.bottom == self.grid.height { BELOW_MAX * whole.height } else { 0.0 } as usize;
        for foot in (1..=group.height() + below).rev().step_by((dy * crowd) as usize) {
            let Some(person) = scale.person(middle, (group.top + foot) as f32) else { break };
            self.feet.push((foot, person));
        }
        let every_other = (0..self.feet.len()).step_by(2);
        self.stands.extend(every_other.map(|at| {
            let (foot, person) = self.feet[at];
            Stand::new(foot, person, group, self.grid)
        }));
    }

    /// Columns beyond the group that are looked at.
    pub(super) fn beyond(&self) -> usize {
        let widest = self.feet.iter().fold(2.0_f32, |widest, (_, person)| widest.max(person.width));
        rounded(widest) as usize / 2 + BLOCK * self.step
    }

    /// The likeliest person of the group; none where nobody is likely.
    pub(super) fn best(&self, field: &Field) -> Option<Cover> {
        let mut best = Best { gain: GAIN_MIN, cover: None };
        let mut likeliest = None;
        for (i, stand) in self.stands.iter().enumerate() {
            if self.try_row(stand, field, &mut best) {
                likeliest = Some(2 * i);
            }
        }
        let at = likeliest?;
        for &(foot, person) in
            at.checked_sub(1).into_iter().chain([at + 1]).filter_map(|at| self.feet.get(at))
        {
            self.try_row(&Stand::new(foot, person, self.group, self.grid), field, &mut best);
        }
        best.cover
    }

    /// Looks for a place in a row that gains more than the best so far; whether there is one.
    fn try_row(&self, stand: &Stand, field: &Field, best: &mut Best) -> bool {
        let row = Rect { left: 0, top: stand.rows.start, right: field.columns, bottom: stand.rows.end };
        let before = best.gain;
        if stand.lefts.is_empty() || field.rest.within(row) < stand.new_least(before) {
            return false;
        }
        let lefts = stand.lefts.clone();
        match self.step {
            // Known here, so that columns next to one another become vectors.
            1 => lefts.step_by(BLOCK).for_each(|left| self.try_block(stand, left, 1, field, best)),
            step => {
                lefts.step_by(BLOCK * step).for_each(|left| self.try_block(stand, left, step, field, best));
            }
        }
        best.gain > before
    }

    /// The same in [`BLOCK`] places of a row.
    #[expect(clippy::inline_always, reason = "a step that is known makes vectors of it, and halves the time")]
    #[inline(always)]
    fn try_block(&self, stand: &Stand, left: isize, step: usize, field: &Field, best: &mut Best) {
        let new = counts(field.rest.strip(&stand.rows, left).within(0..stand.width, step));
        let enough = new.simd_ge(f32x8::splat(stand.new_least(best.gain)));
        if enough.none() {
            return;
        }
        let gains = self.gains(stand, left, step, field) / f32x8::splat(stand.area);
        if (enough & gains.simd_gt(f32x8::splat(best.gain))).none() {
            return;
        }
        let enough = enough.to_bitmask();
        let places = (left..stand.lefts.end).step_by(step);
        for (k, (left, gain)) in places.zip(gains.to_array()).enumerate() {
            if gain > best.gain && enough >> k & 1 == 1 {
                *best = Best { gain, cover: Some(stand.cover(left, self.group)) };
            }
        }
    }

    /// What the bands say of [`BLOCK`] places.
    #[expect(clippy::inline_always, reason = "a step that is known makes vectors of it, and halves the time")]
    #[inline(always)]
    fn gains(&self, stand: &Stand, left: isize, step: usize, field: &Field) -> f32x8 {
        // Columns have room in 32 bits, which become floats by one instruction.
        let float = |column: isize| column as i32 as f32;
        let leftmost = f32x8::splat(float(-(self.group.left as isize)));
        let rightmost = f32x8::splat(float(self.grid.width as isize - self.group.left as isize));
        let lefts = f32x8::splat(float(left)) + FROM_FIRST * float(step as isize);
        // How many of these columns lie in the picture.
        let seen = |columns: &Range<usize>| {
            let [from, to] = [columns.start, columns.end]
                .map(|column| (lefts + float(column as isize)).fast_max(leftmost).fast_min(rightmost));
            to - from
        };
        let whole = 0..stand.width;
        let whole_seen = seen(&whole);
        let mut gains = f32x8::ZERO;
        for (band, zone) in stand.bands.iter().zip(&ZONES) {
            let core = band.inset..stand.width - band.inset;
            let rest = field.rest.strip(&band.rows, left);
            let rest_core = counts(rest.within(core.clone(), step));
            if zone.is_outside() {
                gains += rest_core * zone.core.0;
                continue;
            }
            let rest = counts(rest.within(whole.clone(), step));
            let set = field.set.strip(&band.rows, left);
            let bare_core = seen(&core) * band.seen - counts(set.within(core, step));
            let bare = whole_seen * band.seen - counts(set.within(whole.clone(), step));
            gains += rest_core * zone.core.0 + bare_core * zone.core.1;
            gains += (rest - rest_core) * zone.sides.0 + (bare - bare_core) * zone.sides.1;
        }
        gains
    }
}

#[inline]
fn counts(counts: i32x8) -> f32x8 {
    counts.round_float()
}

impl Zone {
    /// Whether bare pixels, and those at its sides, say nothing.
    fn is_outside(&self) -> bool {
        (self.core.1, self.sides) == (0.0, (0.0, 0.0))
    }
}

/// The likeliest person so far.
struct Best {
    gain: f32,
    cover: Option<Cover>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_length_are_rounded_as_numbers_are() {
        for length in 0..1000 {
            for zone in &ZONES {
                for percent in [zone.top, zone.bottom, zone.inset] {
                    let exact = length as f64 * percent as f64 / 100.0;
                    assert_eq!(part(length, percent), exact.round() as isize, "{percent} % of {length}");
                }
            }
        }
    }

    #[test]
    fn no_set_pixel_says_more_than_the_most() {
        let most = ZONES.iter().flat_map(|zone| [zone.core.0, zone.sides.0]).fold(0.0, f32::max);
        assert!(most <= SET_MOST);
        assert!(ZONES.iter().all(|zone| zone.core.1 <= 0.0 && zone.sides.1 >= 0.0), "bare pixels");
    }
}
