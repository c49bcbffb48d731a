//! How many pixels of a field are set, in any rectangle: sums over the field from its top left corner
//! (Crow, "Summed-Area Tables for Texture Mapping", SIGGRAPH 1984).
//!
//! A field holds 0 where a pixel is not set, 1 where it is, and more where something explains it already.
//! Counts are pixels and exact: a grid has fewer than 2^24. A table goes on beyond the field on either side, as if
//! nothing were set there, so that whoever looks along a row need not know where the field ends.

use std::ops::Range;

use super::blobs::Rect;
use super::picture::Grid;

#[derive(Debug)]
pub(super) struct Sums {
    pub(super) columns: usize,
    pub(super) set: Table,
    /// Set pixels that nothing explains.
    pub(super) rest: Table,
}

/// For each corner between pixels: how many lie above and left of it.
#[derive(Debug)]
pub(super) struct Table {
    corners: Vec<i32>,
    /// Corners in a row.
    stride: usize,
    /// Columns beyond the field, on either side.
    beyond: usize,
}

impl Sums {
    /// Room for a field as large as the grid.
    pub(super) fn new(grid: Grid) -> Self {
        let table =
            || Table { corners: vec![0; (3 * grid.width + 1) * (grid.height + 1)], stride: 1, beyond: 0 };
        Self { columns: 0, set: table(), rest: table() }
    }

    /// Sums up what is set in a field of this size, and so many columns beyond it.
    pub(super) fn fill_set(&mut self, field: &[u8], columns: usize, rows: usize, beyond: usize) {
        self.columns = columns;
        self.set.fill(field, columns, rows, beyond, |v| v != 0);
    }

    /// Sums up what nothing explains.
    pub(super) fn fill_rest(&mut self, field: &[u8], columns: usize, rows: usize, beyond: usize) {
        self.rest.fill(field, columns, rows, beyond, |v| v == 1);
    }
}

impl Table {
    fn fill(
        &mut self,
        field: &[u8],
        columns: usize,
        rows: usize,
        beyond: usize,
        counts: impl Fn(u8) -> bool,
    ) {
        let stride = columns + 1 + 2 * beyond;
        (self.stride, self.beyond) = (stride, beyond);
        let corners = stride * (rows + 1);
        if self.corners.len() < corners {
            self.corners.resize(corners, 0);
        }
        self.corners[..stride].fill(0);
        for (row, field) in field.chunks_exact(columns).take(rows).enumerate() {
            let (above, below) = self.corners[row * stride..][..2 * stride].split_at_mut(stride);
            below[..=beyond].fill(0);
            let mut sum = 0;
            for ((&v, above), below) in field.iter().zip(&above[beyond + 1..]).zip(&mut below[beyond + 1..]) {
                sum += i32::from(counts(v));
                *below = above + sum;
            }
            let last = below[beyond + columns];
            below[beyond + columns + 1..].fill(last);
        }
    }

    /// Pixels in a rectangle of the field.
    pub(super) fn within(&self, rect: Rect) -> f32 {
        let at = |row: usize, column: usize| self.corners[row * self.stride + self.beyond + column];
        let right = at(rect.bottom, rect.right) - at(rect.top, rect.right);
        (right - at(rect.bottom, rect.left) + at(rect.top, rect.left)) as f32
    }

    /// Rows of a field, from a column on, which may lie beyond it.
    pub(super) fn strip(&self, rows: &Range<usize>, column: isize) -> Strip<'_> {
        let from = (column + self.beyond as isize) as usize;
        let row = |row: usize| &self.corners[row * self.stride..][from..self.stride];
        Strip { above: row(rows.start), below: row(rows.end) }
    }
}

/// Some rows of a field.
#[derive(Clone, Copy)]
pub(super) struct Strip<'a> {
    above: &'a [i32],
    below: &'a [i32],
}

impl Strip<'_> {
    /// How many pixels are left of a column, and of others in steps from there.
    #[expect(clippy::inline_always, reason = "a step that is known makes vectors of it, and halves the time")]
    #[inline(always)]
    pub(super) fn at<const N: usize>(self, column: usize, step: usize) -> [f32; N] {
        let columns = column..column + (N - 1) * step + 1;
        let (above, below) = (&self.above[columns.clone()], &self.below[columns]);
        let mut left_of = [0.0; N];
        for k in 0..N {
            left_of[k] = (below[k * step] - above[k * step]) as f32;
        }
        left_of
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Size;

    /// Sums are whole numbers, exact in an `f32`.
    fn whole(sum: f32) -> usize {
        assert!(sum >= 0.0 && sum.fract() == 0.0, "{sum}");
        sum as usize
    }

    proptest! {
        #[test]
        fn sums_are_those_of_counting_also_beyond_the_field(
            columns in 1_usize..20, rows in 1_usize..12, beyond in 0_usize..9,
            bits in prop::collection::vec(0_u8..4, 240), corner in (0_usize..20, 0_usize..12, 0_usize..20, 0_usize..12),
        ) {
            let field = &bits[..columns * rows];
            let mut sums = Sums::new(Grid::new(Size { width: 20, height: 12 }));
            sums.fill_set(field, columns, rows, beyond);
            sums.fill_rest(field, columns, rows, beyond);
            let (left, right) = (corner.0.min(corner.2).min(columns), corner.0.max(corner.2).min(columns));
            let (top, bottom) = (corner.1.min(corner.3).min(rows), corner.1.max(corner.3).min(rows));
            let count = |columns_seen: Range<usize>, counts: fn(u8) -> bool| {
                let inside = |&(i, &v): &(usize, &u8)| {
                    counts(v) && columns_seen.contains(&(i % columns)) && (top..bottom).contains(&(i / columns))
                };
                field.iter().enumerate().filter(inside).count()
            };
            let rect = Rect { left, top, right, bottom };
            prop_assert_eq!(whole(sums.set.within(rect)), count(left..right, |v| v != 0));
            prop_assert_eq!(whole(sums.rest.within(rect)), count(left..right, |v| v == 1));
            let first = -(beyond as isize);
            let strip = sums.rest.strip(&(top..bottom), first);
            for column in 0..=columns + 2 * beyond {
                let [left_of] = strip.at::<1>(column, 1);
                let inside = (first + column as isize).clamp(0, columns as isize) as usize;
                prop_assert_eq!(whole(left_of), count(0..inside, |v| v == 1));
            }
        }
    }
}
