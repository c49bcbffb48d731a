//! The pixels of a group of blobs, what explains them, and how many of them are in any rectangle: sums over the
//! field from its top left corner (Crow, "Summed-Area Tables for Texture Mapping", SIGGRAPH 1984).
//!
//! A field holds 0 where a pixel is not set, 1 where it is, and more where something explains it already.
//! Counts are pixels and exact: a grid has fewer than 2^24. A table goes on beyond the field on either side, as if
//! nothing were set there, so that whoever looks along a row need not know where the field ends.
//! Rows and columns are those of the group, from its top left corner.

use std::ops::Range;

use wide::{i32x8, u8x16, u16x8};

use super::blobs::Rect;
use super::picture::Grid;

/// Pixels that are counted together: a number of 64 bits has room for their values.
const WORD: usize = 8;
/// 1 in each byte of a word.
const ONES: u64 = u64::from_le_bytes([1; WORD]);
/// Counts that are looked up together.
pub(super) const BLOCK: usize = 8;

#[derive(Debug)]
pub(super) struct Field {
    pub(super) columns: usize,
    rows: usize,
    /// Padded to whole words.
    stride: usize,
    values: Vec<u8>,
    pub(super) set: Table,
    /// Set pixels that nothing explains.
    pub(super) rest: Table,
    /// From this row on, `rest` is no longer right.
    stale: usize,
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

impl Field {
    /// Room for a field as large as the grid.
    pub(super) fn new(grid: Grid) -> Self {
        let table =
            || Table { corners: vec![0; (3 * grid.width + 1) * (grid.height + 1)], stride: 1, beyond: 0 };
        let values = vec![0; grid.width.next_multiple_of(WORD) * grid.height];
        Self { columns: 0, rows: 0, stride: 0, values, set: table(), rest: table(), stale: 0 }
    }

    /// Begins with an empty field of this size.
    pub(super) fn begin(&mut self, columns: usize, rows: usize) {
        (self.columns, self.rows, self.stride) = (columns, rows, columns.next_multiple_of(WORD));
        self.values[..self.stride * rows].fill(0);
    }

    /// Sets pixels of a row.
    pub(super) fn set(&mut self, row: usize, columns: Range<usize>) {
        self.values[row * self.stride..][columns].fill(1);
    }

    /// Sums up what is set when all of it is and nothing is explained, and so many columns beyond the field.
    pub(super) fn sum_up(&mut self, beyond: usize) {
        let values = &self.values[..self.stride * self.rows];
        self.set.begin(self.stride, self.rows, beyond);
        self.set.fill(values, self.stride, 0, |word| word);
        self.rest.copy(&self.set, self.rows);
        self.stale = self.rows;
    }

    /// Marks what a rectangle covers as explained, or no longer; `rest` is right again after `renew`.
    pub(super) fn mark(&mut self, rect: Rect, explained: bool) {
        self.stale = self.stale.min(rect.top);
        let change = if explained { 1 } else { u8::MAX };
        for row in rect.top..rect.bottom {
            for v in &mut self.values[row * self.stride..][rect.left..rect.right] {
                // Counts how many explain it; zero is not set.
                *v = if *v == 0 { 0 } else { v.wrapping_add(change) };
            }
        }
    }

    /// Sums up anew what nothing explains.
    pub(super) fn renew(&mut self) {
        let values = &self.values[..self.stride * self.rows];
        // Of bytes below 128: where the byte is 1.
        let are_one = |word: u64| (((word ^ ONES) + 0x7F * ONES) >> 7 & ONES) ^ ONES;
        self.rest.fill(values, self.stride, self.stale, are_one);
        self.stale = self.rows;
    }

    /// The tight rectangle of the set pixels in a rectangle, and how many they are; none where nothing is set.
    pub(super) fn tighten(&self, rect: Rect) -> Option<(Rect, usize)> {
        let mut tight: Option<Rect> = None;
        let mut area = 0;
        for row in rect.top..rect.bottom {
            let values = &self.values[row * self.stride..][rect.left..rect.right];
            let is_set = |&v: &u8| v != 0;
            let (Some(first), Some(last)) = (values.iter().position(is_set), values.iter().rposition(is_set))
            else {
                continue;
            };
            area += values.iter().map(|v| usize::from(is_set(v))).sum::<usize>();
            let (left, right) = (rect.left + first, rect.left + last + 1);
            let here = Rect { left, top: row, right, bottom: row + 1 };
            tight = Some(tight.map_or(here, |tight| tight.union(here)));
        }
        tight.map(|tight| (tight, area))
    }
}

impl Table {
    /// A table of zeros for a field of this size.
    fn begin(&mut self, columns: usize, rows: usize, beyond: usize) {
        (self.stride, self.beyond) = (columns + 1 + 2 * beyond, beyond);
        let corners = self.stride * (rows + 1);
        if self.corners.len() < corners {
            self.corners.resize(corners, 0);
        }
        self.corners[..corners].fill(0);
    }

    /// Becomes a copy of another.
    fn copy(&mut self, other: &Self, rows: usize) {
        (self.stride, self.beyond) = (other.stride, other.beyond);
        let corners = self.stride * (rows + 1);
        if self.corners.len() < corners {
            self.corners.resize(corners, 0);
        }
        self.corners[..corners].copy_from_slice(&other.corners[..corners]);
    }

    /// Sums up a field from a row on. `counts` makes ones of what counts in a word of values, zeros of the rest.
    fn fill(&mut self, field: &[u8], columns: usize, from: usize, counts: impl Fn(u64) -> u64) {
        for (row, field) in field.chunks_exact(columns).enumerate().skip(from) {
            let rows = &mut self.corners[row * self.stride..][..2 * self.stride];
            let (above, below) = rows.split_at_mut(self.stride);
            let (above, below) = (&above[self.beyond + 1..], &mut below[self.beyond + 1..]);
            let (inner, beyond) = below.split_at_mut(columns);
            let words = field.as_chunks::<WORD>().0.iter().zip(above.as_chunks::<WORD>().0);
            let mut sum = 0;
            for ((&word, &above), below) in words.zip(inner.as_chunks_mut::<WORD>().0) {
                // Each byte becomes the sum of those up to it.
                let sums = counts(u64::from_le_bytes(word)).wrapping_mul(ONES);
                let sums_16 = u16x8::from_u8x16_low(u8x16::new(u128::from(sums).to_le_bytes()));
                *below = (i32x8::new(above) + i32x8::from_u16x8(sums_16) + i32x8::splat(sum)).to_array();
                sum += (sums >> 56) as i32;
            }
            beyond.fill(above[columns - 1] + sum);
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
    /// How many pixels are in these columns, and in others in steps from there.
    #[expect(clippy::inline_always, reason = "a step that is known makes vectors of it, and halves the time")]
    #[inline(always)]
    pub(super) fn within(self, columns: Range<usize>, step: usize) -> i32x8 {
        let corners = |row: &[i32], column: usize| {
            if step == 1 {
                i32x8::from(&row[column..column + BLOCK])
            } else {
                i32x8::new(std::array::from_fn(|k| row[column + k * step]))
            }
        };
        let left_of = |column: usize| corners(self.below, column) - corners(self.above, column);
        left_of(columns.end) - left_of(columns.start)
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

    fn rect_of((x, y, u, v): (usize, usize, usize, usize), columns: usize, rows: usize) -> Rect {
        let (left, right) = (x.min(u).min(columns), x.max(u).min(columns));
        Rect { left, top: y.min(v).min(rows), right, bottom: y.max(v).min(rows) }
    }

    proptest! {
        #[test]
        fn sums_are_those_of_counting_also_beyond_the_field_and_whatever_was_marked(
            columns in 1_usize..20, rows in 1_usize..12, beyond in 0_usize..9,
            bits in prop::collection::vec(any::<bool>(), 240),
            marks in prop::collection::vec((0_usize..20, 0_usize..12, 0_usize..20, 0_usize..12), 0..4),
            corner in (0_usize..20, 0_usize..12, 0_usize..20, 0_usize..12), step in 1_usize..3,
        ) {
            let mut field = Field::new(Grid::new(Size { width: 20, height: 12 }));
            field.begin(columns, rows);
            let is_set = |row: usize, column: usize| bits[row * columns + column];
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                if is_set(row, column) {
                    field.set(row, column..column + 1);
                }
            }
            field.sum_up(beyond + BLOCK * step);
            // The last mark is taken back.
            let marks: Vec<Rect> = marks.iter().map(|&mark| rect_of(mark, columns, rows)).collect();
            for &mark in &marks {
                field.mark(mark, true);
                field.renew();
            }
            if let Some(&last) = marks.last() {
                field.mark(last, false);
                field.renew();
            }
            let left_over = &marks[..marks.len().saturating_sub(1)];
            let inside = |rect: Rect, row: usize, column: usize| {
                (rect.left..rect.right).contains(&column) && (rect.top..rect.bottom).contains(&row)
            };
            let count = |rect: Rect, rest: bool| {
                let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
                let explained = |row, column| left_over.iter().any(|&mark| inside(mark, row, column));
                let counts = |&(row, column): &(usize, usize)| {
                    is_set(row, column) && inside(rect, row, column) && !(rest && explained(row, column))
                };
                places.filter(counts).count()
            };
            let rect = rect_of(corner, columns, rows);
            prop_assert_eq!(whole(field.set.within(rect)), count(rect, false));
            prop_assert_eq!(whole(field.rest.within(rect)), count(rect, true));
            let tight = field.tighten(rect);
            prop_assert_eq!(tight.map_or(0, |(_, area)| area), count(rect, false));
            if let Some((tight, area)) = tight {
                prop_assert_eq!(area, count(tight, false));
                for side in [Rect { right: tight.left + 1, ..tight }, Rect { left: tight.right - 1, ..tight },
                    Rect { bottom: tight.top + 1, ..tight }, Rect { top: tight.bottom - 1, ..tight }] {
                    prop_assert!(count(side, false) > 0);
                }
            }
            let first = -(beyond as isize);
            let strip = field.rest.strip(&(rect.top..rect.bottom), first);
            for column in 0..=columns + beyond {
                let counts = strip.within(0..column, step).to_array();
                for (k, counted) in counts.into_iter().enumerate() {
                    let clamped = |column: isize| column.clamp(0, columns as isize) as usize;
                    let (left, right) = (clamped(first + (k * step) as isize), clamped(first + (column + k * step) as isize));
                    prop_assert_eq!(counted as usize, count(Rect { left, right, ..rect }, true));
                }
            }
        }
    }
}
