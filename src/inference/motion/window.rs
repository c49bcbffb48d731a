//! The part of the work grid that is looked at.
//!
//! With the adaptive region of interest on, that is where objects are expected, with a margin, for all
//! frames but one a second; what stirs outside is noticed on a sparse grid and makes the frame, or the next, a whole one.
//! Columns are whole lanes, so that loops over pixels stay vectors.

use std::ops::Range;

use super::picture::{Grid, LANES};
use crate::model::BBox;

/// Space around an expected box, as a part of its height.
const MARGIN: f64 = 0.3;
/// The same at least, pixels of the grid.
const MARGIN_MIN: f64 = 6.0;
/// A larger part of the grid is not worth the bother.
const PART_MAX: f64 = 0.6;

/// Rows and columns of the work grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) top: usize,
    pub(super) bottom: usize,
    /// A multiple of [`LANES`].
    pub(super) left: usize,
    /// A multiple of [`LANES`].
    pub(super) right: usize,
}

impl Window {
    /// Everything.
    pub(super) fn whole(grid: Grid) -> Self {
        Self { top: 0, bottom: grid.height, left: 0, right: grid.stride }
    }

    /// Where these boxes (pixels of the picture) and their margins are; everything when that is not much
    /// less, or there are none.
    pub(super) fn around(boxes: &[BBox], grid: Grid) -> Self {
        let [kx, ky] = grid.px;
        let (mut left, mut top, mut right, mut bottom) = (f64::MAX, f64::MAX, 0.0_f64, 0.0_f64);
        for b in boxes {
            let margin = (b.height / ky * MARGIN).max(MARGIN_MIN);
            left = left.min(b.left / kx - margin);
            top = top.min(b.top / ky - margin);
            right = right.max(b.right() / kx + margin);
            bottom = bottom.max(b.bottom() / ky + margin);
        }
        let (right, bottom) = (right.min(grid.width as f64), bottom.min(grid.height as f64));
        // Written so that a NaN fails.
        if !(left < right && top < bottom) {
            return Self::whole(grid);
        }
        let window = Self {
            top: top.max(0.0) as usize,
            bottom: bottom.ceil() as usize,
            left: left.max(0.0) as usize / LANES * LANES,
            right: (right.ceil() as usize).next_multiple_of(LANES),
        };
        if window.pixels() as f64 > PART_MAX * grid.len() as f64 { Self::whole(grid) } else { window }
    }

    fn pixels(self) -> usize {
        (self.bottom - self.top) * (self.right - self.left)
    }

    /// Whether it is everything.
    pub(super) fn is_whole(self, grid: Grid) -> bool {
        self == Self::whole(grid)
    }

    /// Lanes of this that are not in another.
    pub(super) fn without(self, other: Self, grid: Grid) -> impl Iterator<Item = usize> {
        let stride = grid.stride / LANES;
        (self.top..self.bottom).flat_map(move |row| {
            let lanes = |from: usize, to: usize| row * stride + from / LANES..row * stride + to / LANES;
            if (other.top..other.bottom).contains(&row) {
                let (left, right) = (self.right.min(other.left), self.left.max(other.right));
                lanes(self.left, left).chain(lanes(right, self.right))
            } else {
                lanes(self.left, self.right).chain(0..0)
            }
        })
    }

    /// Whether this place is in it.
    pub(super) fn contains(self, row: usize, column: usize) -> bool {
        (self.top..self.bottom).contains(&row) && (self.left..self.right).contains(&column)
    }

    /// Its lanes in a plane that is cut into lanes, row by row.
    pub(super) fn lanes(self, grid: Grid) -> impl Iterator<Item = Range<usize>> {
        let stride = grid.stride / LANES;
        (self.top..self.bottom)
            .map(move |row| row * stride + self.left / LANES..row * stride + self.right / LANES)
    }

    /// The same in pixels of the frame.
    pub(super) fn bbox(self, grid: Grid) -> BBox {
        let [kx, ky] = grid.px;
        let (left, right) = (self.left as f64, self.right.min(grid.width) as f64);
        let (top, bottom) = (self.top as f64, self.bottom as f64);
        BBox::new(left * kx, top * ky, (right - left) * kx, (bottom - top) * ky)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Size;

    fn window() -> impl Strategy<Value = Window> {
        let range = |end: usize| (0..end, 1..=end).prop_map(move |(from, n)| from..(from + n).min(end));
        (range(6), range(4)).prop_map(|(rows, lanes)| Window {
            top: rows.start,
            bottom: rows.end,
            left: lanes.start * LANES,
            right: lanes.end * LANES,
        })
    }

    proptest! {
        #[test]
        fn what_one_window_has_without_another_is_their_difference(one in window(), other in window()) {
            let grid = Grid::new(Size { width: 64, height: 6 });
            let others: Vec<usize> = other.lanes(grid).flatten().collect();
            let expected: Vec<usize> = one.lanes(grid).flatten().filter(|i| !others.contains(i)).collect();
            prop_assert_eq!(one.without(other, grid).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_window_holds_the_boxes_with_their_margin_in_whole_lanes() {
        let grid = Grid::new(Size { width: 480, height: 360 });
        let window = Window::around(&[BBox::new(40.0, 40.0, 40.0, 80.0)], grid);
        assert_eq!(window, Window { top: 8, bottom: 72, left: 0, right: 64 });
        assert_eq!(window.lanes(grid).flatten().count(), 64 * 4);
        assert!(window.contains(8, 0) && !window.contains(7, 0) && !window.contains(8, 64));
        assert_eq!(window.bbox(grid), BBox::new(0.0, 16.0, 128.0, 128.0));
    }

    #[test]
    fn no_boxes_far_ones_broken_ones_and_many_mean_everything() {
        let grid = Grid::new(Size { width: 480, height: 360 });
        let everywhere = [BBox::new(0.0, 0.0, 30.0, 60.0), BBox::new(440.0, 290.0, 30.0, 60.0)];
        let nan = [BBox::new(f64::NAN, 0.0, 1.0, 1.0)];
        let outside = [BBox::new(2e9, 0.0, 1.0, 1.0)];
        for boxes in [&[][..], &everywhere, &nan, &outside] {
            assert!(Window::around(boxes, grid).is_whole(grid), "{boxes:?}");
        }
    }
}
