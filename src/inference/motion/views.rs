//! Views that the camera had before, such as the presets of a guard tour.
//!
//! The background of a view that is lost is kept. When the camera comes to rest, the view it shows is compared with those
//! that are kept, by their edges (`structure`), each shifted and turned a little: no camera comes back to the very pixel, and one
//! that was knocked shows the view it had. With the background that is found again, standing objects are detected at once.
//! What is kept is bounded by [`VIEWS_MAX`]; which view is the right one is not known here beyond the picture.

use super::picture::{Grid, Picture};
use super::shift::Shift;
use super::structure::Structure;

/// Views kept; the one that was not seen for the longest time leaves first.
const VIEWS_MAX: usize = 8;
/// So far, in pixels of the work grid, a camera may come back beside the view it had.
const SHIFT_MAX: f32 = 12.0;
/// So far, in degrees, it may be turned.
const TURN_MAX: f32 = 3.0;
/// A camera that was not moved comes back as near as this, in columns and rows, and in degrees.
const SHIFT_SAME: f32 = 3.0;
const TURN_SAME: f32 = 0.5;
/// Shifts are tried in steps of so many pixels and degrees first: an edge is wider.
const SHIFT_STEP: f32 = 3.0;
const TURN_STEP: f32 = 1.0;
/// And then, around the best of them, in steps of so much.
const SHIFT_FINE: f32 = 1.0;
const TURN_FINE: f32 = 0.25;
/// A view is found when this part of its edges is there: by chance a third is, somewhat more at the best of all shifts.
const FOUND: f32 = 0.6;
/// Fewer edges say nothing.
const EDGES_MIN: u32 = 60;

#[derive(Debug)]
struct Kept {
    background: Picture,
    structure: Structure,
}

/// A view that was found again.
#[derive(Debug)]
pub(super) struct Found {
    /// Its background, moved to where the picture shows it.
    pub(super) background: Picture,
    shift: Shift,
}

impl Found {
    /// Whether the camera was moved since, by more than it is when it turns back to a preset.
    pub(super) fn is_moved(&self) -> bool {
        let Shift { right, down, turn } = self.shift;
        right.abs().max(down.abs()) > SHIFT_SAME || turn.abs() > TURN_SAME
    }

    /// Which places of the picture, column and row, the view had, too.
    pub(super) fn has(&self) -> impl Fn(usize, usize) -> bool {
        let (grid, origin) = (self.background.grid, self.shift.inverse().of(self.background.grid));
        move |column, row| {
            let (x, y) = origin(column, row);
            (0..grid.width as isize).contains(&x) && (0..grid.height as isize).contains(&y)
        }
    }
}

#[derive(Debug)]
pub(super) struct Views {
    grid: Grid,
    /// The one seen last comes last.
    kept: Vec<Kept>,
}

impl Views {
    pub(super) fn new(grid: Grid) -> Self {
        Self { grid, kept: Vec::new() }
    }

    /// How many are kept.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.kept.len()
    }

    /// Keeps the background of a view, Y, Cb and Cr.
    pub(super) fn keep(&mut self, mean: &[Vec<u8>; 3]) {
        let mut structure = Structure::new(self.grid);
        structure.reset(&mean[0]);
        if self.kept.len() == VIEWS_MAX {
            self.kept.remove(0);
        }
        self.kept.push(Kept { background: Picture::of_planes(self.grid, mean.clone()), structure });
    }

    /// The view that the picture shows, where it was seen before. It is no longer kept: it is kept anew when it is lost.
    pub(super) fn take(&mut self, picture: &Picture) -> Option<Found> {
        let best = self.kept.iter().enumerate().filter_map(|(index, kept)| {
            let (part, shift) = best_shift(kept, picture)?;
            (part >= FOUND).then_some((part, shift, index))
        });
        let (_, shift, index) = best.max_by(|a, b| a.0.total_cmp(&b.0))?;
        let background = self.kept.remove(index).background.shifted(shift);
        Some(Found { background, shift })
    }
}

/// The shift at which most of the edges are there, and which part of them.
fn best_shift(kept: &Kept, picture: &Picture) -> Option<(f32, Shift)> {
    let part = |shift| {
        let found = kept.structure.compare_shifted(picture, &kept.background.planes[0], shift);
        Some((found.part(EDGES_MIN)?, shift))
    };
    let best = |a: &(f32, Shift), b: &(f32, Shift)| a.0.total_cmp(&b.0);
    let here = Shift { right: 0.0, down: 0.0, turn: 0.0 };
    let (_, near) =
        around(here, (SHIFT_MAX, SHIFT_STEP), (TURN_MAX, TURN_STEP)).filter_map(part).max_by(best)?;
    let fine =
        || around(near, (SHIFT_STEP + 1.0, SHIFT_FINE), (TURN_STEP - TURN_FINE, TURN_FINE)).filter_map(part);
    let (most, _) = fine().max_by(best)?;
    // An edge is there over some pixels: the middle of those shifts.
    let (mut count, mut sum) = (0.0, here);
    for (_, shift) in fine().filter(|tried| tried.0 >= most - 0.01) {
        count += 1.0;
        sum.right += shift.right;
        sum.down += shift.down;
        sum.turn += shift.turn;
    }
    Some((most, Shift { right: sum.right / count, down: sum.down / count, turn: sum.turn / count }))
}

/// Shifts around one, as far as a reach and in steps: of columns and rows, and of degrees.
fn around(
    middle: Shift,
    (reach, step): (f32, f32),
    (reach_turn, step_turn): (f32, f32),
) -> impl Iterator<Item = Shift> {
    let offsets = |reach: f32, step: f32| {
        let count = (reach / step) as i32;
        (-count..=count).map(move |i| i as f32 * step)
    };
    offsets(reach_turn, step_turn).flat_map(move |turn| {
        offsets(reach, step).flat_map(move |down| {
            offsets(reach, step).map(move |right| Shift {
                right: middle.right + right,
                down: middle.down + down,
                turn: middle.turn + turn,
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg32;

    use super::*;
    use crate::model::Size;

    /// Patches of random light, others for each view.
    fn view(grid: Grid, number: u64) -> Picture {
        let mut random = Pcg32::seed_from_u64(number);
        let patches: Vec<u8> = (0..32 * 32).map(|_| 40 + (random.next_u32() % 160) as u8).collect();
        let mut planes = [vec![0; grid.len()], vec![128; grid.len()], vec![128; grid.len()]];
        for (at, luma) in planes[0].iter_mut().enumerate() {
            *luma = patches[at / grid.stride / 12 * 32 + at % grid.stride / 12];
        }
        Picture::of_planes(grid, planes)
    }

    #[test]
    fn as_many_views_are_kept_as_there_is_room_for_and_the_oldest_leaves() {
        let grid = Grid::new(Size { width: 320, height: 240 });
        let mut views = Views::new(grid);
        for number in 0..=VIEWS_MAX as u64 {
            views.keep(&view(grid, number).planes);
        }
        assert_eq!(views.kept.len(), VIEWS_MAX);
        assert!(views.take(&view(grid, 0)).is_none(), "the oldest");
        for number in 1..=VIEWS_MAX as u64 {
            let by = number as f32 - 4.0;
            let shift = Shift { right: by, down: -1.0 - by, turn: by / 2.0 };
            let found = views.take(&view(grid, number).shifted(shift)).unwrap();
            let off = (found.shift.right - shift.right).abs().max((found.shift.down - shift.down).abs());
            let turned = (found.shift.turn - shift.turn).abs();
            assert!(off <= 1.0 && turned <= 0.5, "{:?}, not {shift:?}", found.shift);
            assert_eq!(found.background.planes[0], view(grid, number).shifted(found.shift).planes[0]);
        }
        assert_eq!(views.kept.len(), 0);
        assert!(views.take(&view(grid, 1)).is_none(), "an empty store");
    }
}
