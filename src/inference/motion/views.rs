//! Views that the camera had before, such as the presets of a guard tour.
//!
//! The background of a view that is lost is kept. When the camera comes to rest, the view it shows is compared with those
//! that are kept, by their edges (`structure`), each shifted a little: no camera comes back to the very pixel. The
//! background that is found again shows at once who stands there. What is kept is bounded by [`VIEWS_MAX`]; which view is
//! the right one is not known here beyond the picture.

use super::picture::{Grid, Picture};
use super::structure::Structure;

/// Views kept; the one that was not seen for the longest time leaves first.
const VIEWS_MAX: usize = 8;
/// So far, in pixels of the work grid, a camera may come back beside the view it had.
const SHIFT_MAX: isize = 12;
/// A camera that was not moved comes back as near as this, in columns and rows.
const SHIFT_SAME: isize = 3;
/// Shifts are tried in steps of so many pixels first: an edge is wider.
const SHIFT_STEP: isize = 3;
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
    /// So many columns and rows.
    shift: (isize, isize),
}

impl Found {
    /// Whether the camera was moved since, by more than it is when it turns back to a preset.
    pub(super) fn is_moved(&self) -> bool {
        self.shift.0.abs().max(self.shift.1.abs()) > SHIFT_SAME
    }

    /// Whether the view had this place of the picture, too.
    pub(super) fn has(&self, column: usize, row: usize) -> bool {
        let grid = self.background.grid;
        let is_within =
            |at: usize, by: isize, end: usize| at.checked_add_signed(-by).is_some_and(|at| at < end);
        is_within(column, self.shift.0, grid.width) && is_within(row, self.shift.1, grid.height)
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

/// The shift, in columns and rows, at which most of the edges are there, and which part of them.
fn best_shift(kept: &Kept, picture: &Picture) -> Option<(f32, (isize, isize))> {
    let tried = |(x, y): (isize, isize), reach: isize, step: usize| {
        let offsets = move || (-reach..=reach).step_by(step);
        let shifts = offsets().flat_map(move |dy| offsets().map(move |dx| (x + dx, y + dy)));
        let part = |shift| {
            kept.structure.compare_shifted(picture, &kept.background.planes[0], shift).part(EDGES_MIN)
        };
        shifts.filter_map(move |shift| Some((part(shift)?, shift)))
    };
    let best = |a: &(f32, _), b: &(f32, _)| a.0.total_cmp(&b.0);
    let (_, near) = tried((0, 0), SHIFT_MAX, SHIFT_STEP as usize).max_by(best)?;
    let (part, _) = tried(near, SHIFT_STEP + 1, 1).max_by(best)?;
    // An edge is there over some pixels: the middle of those shifts.
    let (mut count, mut sum) = (0, (0, 0));
    for (_, (x, y)) in tried(near, SHIFT_STEP + 1, 1).filter(|tried| tried.0 >= part - 0.01) {
        (count, sum) = (count + 1, (sum.0 + x, sum.1 + y));
    }
    let middle = |sum: isize| (sum as f32 / count as f32).round() as isize;
    Some((part, (middle(sum.0), middle(sum.1))))
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
            let shift = (number as isize - 4, 3 - number as isize);
            let found = views.take(&view(grid, number).shifted(shift)).unwrap();
            let off = (found.shift.0 - shift.0).abs().max((found.shift.1 - shift.1).abs());
            assert!(off <= 1, "{:?}, not {shift:?}", found.shift);
            assert_eq!(found.background.planes[0], view(grid, number).shifted(found.shift).planes[0]);
        }
        assert_eq!(views.kept.len(), 0);
        assert!(views.take(&view(grid, 1)).is_none(), "an empty store");
    }
}
