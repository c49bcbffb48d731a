//! The picture at the detector's own resolution.
//!
//! Averaging `factor` x `factor` pixels into one cuts the sensor's noise and the work alike; what is
//! lost, half a pixel of the work grid, is small against a person. Rows are padded to whole lanes of
//! [`LANES`] samples, so that loops over pixels run over whole vectors.

use std::ops::Range;

use wide::u8x16;

use super::shift::Shift;
use super::window::Window;
use crate::model::{Chroma, Image, Size};

/// Samples that are handled together; rows are padded to a multiple of this.
pub(super) const LANES: usize = 16;
/// So many samples next to one another in a row.
pub(super) type Lane = [u8; LANES];

/// Every so many-th pixel, in both directions, is on the sparse grid.
pub(super) const SPARSE_STEP: usize = 4;

/// Which rows of the sparse grid a frame looks at everywhere, for their light: every other one in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Even,
    Odd,
}

impl Turn {
    /// Whose turn it is after this.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }

    /// Its rows.
    pub(super) fn rows(self, grid: Grid) -> impl Iterator<Item = usize> {
        (self.first()..grid.height).step_by(2 * SPARSE_STEP)
    }

    fn first(self) -> usize {
        match self {
            Self::Even => 0,
            Self::Odd => SPARSE_STEP,
        }
    }

    fn has(self, row: usize) -> bool {
        row % (2 * SPARSE_STEP) == self.first()
    }
}

/// Most pixels of the work grid: it bounds time and memory whatever the camera's resolution is.
pub(in crate::inference) const PIXELS_MAX: u32 = 90_000;

/// How the work grid lies over the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    /// Samples of the image per pixel of the grid, in both directions.
    pub(super) factor: usize,
    /// Pixels of the frame per pixel of the grid, across and down.
    pub(super) px: [f64; 2],
    /// Columns.
    pub(super) width: usize,
    /// Rows.
    pub(super) height: usize,
    /// Samples from one row to the next.
    pub(super) stride: usize,
}

impl Grid {
    /// The grid for frames of this size, which is not empty, whose images are as large.
    pub(super) fn new(size: Size) -> Self {
        let factor = size.factor_within(PIXELS_MAX);
        let [width, height] = [size.width, size.height].map(|side| (side / factor).max(1) as usize);
        let px = [f64::from(factor); 2];
        Self { factor: factor as usize, px, width, height, stride: width.next_multiple_of(LANES) }
    }

    /// The grid for images of this size of frames of that size.
    pub(super) fn scaled(image: Size, frame: Size) -> Self {
        let grid = Self::new(image);
        let per = |frame: u32, image: u32| grid.factor as f64 * f64::from(frame) / f64::from(image);
        Self { px: [per(frame.width, image.width), per(frame.height, image.height)], ..grid }
    }

    /// Samples in a padded plane.
    pub(super) fn len(self) -> usize {
        self.stride * self.height
    }
}

/// Y, Cb and Cr at the same resolution; both chroma planes are 128 where the camera has no colour.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) grid: Grid,
    /// Y, Cb, Cr.
    pub(super) planes: [Vec<u8>; 3],
    /// One row of sums.
    sums: Vec<u16>,
}

impl Picture {
    pub(super) fn new(grid: Grid, size: Size) -> Self {
        let plane = |value| vec![value; grid.len()];
        Self { grid, planes: [plane(0), plane(128), plane(128)], sums: vec![0; size.width as usize] }
    }

    /// A picture of these planes, Y, Cb and Cr, each as long as the grid.
    pub(super) fn of_planes(grid: Grid, planes: [Vec<u8>; 3]) -> Self {
        Self { grid, planes, sums: Vec::new() }
    }

    /// The same after a shift; what was outside is as the nearest pixel.
    pub(super) fn shifted(&self, shift: Shift) -> Self {
        let (grid, origin) = (self.grid, shift.inverse().of(self.grid));
        let within = |at: isize, end: usize| at.clamp(0, end as isize - 1) as usize;
        let planes = self.planes.each_ref().map(|plane| {
            let mut moved = vec![0; grid.len()];
            for (row, moved) in moved.chunks_exact_mut(grid.stride).enumerate() {
                for (column, moved) in moved[..grid.width].iter_mut().enumerate() {
                    let (x, y) = origin(column, row);
                    *moved = plane[within(y, grid.height) * grid.stride + within(x, grid.width)];
                }
            }
            moved
        });
        Self::of_planes(grid, planes)
    }

    /// Fills the planes, within the window, from an image of the size that the grid was made for; of the
    /// rest, the light in the rows whose turn it is.
    pub(super) fn load(&mut self, image: &Image, window: Window, turn: Turn) {
        let (grid, size) = (self.grid, image.size());
        let k = grid.factor;
        let [luma, cb, cr] = &mut self.planes;
        shrink(image.luma(), size, (k, k), luma, grid, &mut self.sums, window, Some(turn));
        let (sx, sy) = match image.chroma() {
            Chroma::Mono => {
                cb.fill(128);
                cr.fill(128);
                return;
            }
            Chroma::C420 => (2, 2),
            Chroma::C411 => (4, 1),
            Chroma::C422 => (2, 1),
            Chroma::C444 => (1, 1),
        };
        let chroma_size = image.chroma().plane_size(size);
        let (from_cb, from_cr) = image.chroma_planes();
        for (from, to) in [(from_cb, cb), (from_cr, cr)] {
            if k % sx == 0 && k % sy == 0 {
                shrink(from, chroma_size, (k / sx, k / sy), to, grid, &mut self.sums, window, None);
            } else {
                pick(from, chroma_size, (sx, sy), to, grid, window);
            }
        }
    }

    /// Undoes a change of exposure in what was loaded: divides light by `gain`, and colour, which scales with it.
    pub(super) fn undo_gain(&mut self, gain: f32, window: Window, turn: Turn) {
        let (grid, by) = (self.grid, (256.0 / gain) as u16);
        let [luma, chroma @ ..] = &mut self.planes;
        for (row, columns) in wanted(grid, window, Some(turn)) {
            for y in &mut luma[row * grid.stride..][columns] {
                *y = ((u32::from(*y) * u32::from(by) + 128) >> 8).min(255) as u8;
            }
        }
        for plane in chroma {
            for (row, columns) in wanted(grid, window, None) {
                for c in &mut plane[row * grid.stride..][columns] {
                    *c = scaled_chroma(*c, i32::from(by));
                }
            }
        }
    }
}

/// How far apart samples are.
#[inline]
pub(super) fn apart(a: u8x16, b: u8x16) -> u8x16 {
    a.saturating_sub(b) | b.saturating_sub(a)
}

/// All ones where a sample is no larger than another.
#[inline]
pub(super) fn at_most(a: u8x16, b: u8x16) -> u8x16 {
    a.saturating_sub(b).simd_eq(u8x16::ZERO)
}

/// A chroma sample under light that is `by` / 256 as strong.
pub(super) fn scaled_chroma(c: u8, by: i32) -> u8 {
    (128 + (((i32::from(c) - 128) * by + 128) >> 8)).clamp(0, 255) as u8
}

/// The rows that are wanted, and which of their columns: those of the window, and all of them in rows whose `turn` it is
/// (none: of colour the window alone).
fn wanted(grid: Grid, window: Window, turn: Option<Turn>) -> impl Iterator<Item = (usize, Range<usize>)> {
    let everywhere =
        turn.into_iter().flat_map(move |turn| turn.rows(grid)).map(move |row| (row, 0..grid.width));
    let inside = (window.top..window.bottom).filter(move |&row| !turn.is_some_and(|turn| turn.has(row)));
    everywhere.chain(inside.map(move |row| (row, window.left..window.right.min(grid.width))))
}

/// Averages blocks of `block` (columns, rows) samples.
#[expect(clippy::too_many_arguments, reason = "the shapes of source and target, which no struct would name")]
fn shrink(
    from: &[u8],
    size: Size,
    block: (usize, usize),
    to: &mut [u8],
    grid: Grid,
    sums: &mut [u16],
    window: Window,
    turn: Option<Turn>,
) {
    let (width, (bx, by)) = (size.width as usize, block);
    for (row, columns) in wanted(grid, window, turn) {
        let (left, right) = (columns.start * bx, columns.end * bx);
        let to = &mut to[row * grid.stride..][columns];
        let rows = &from[row * by * width..];
        match block {
            (1, 1) => to.copy_from_slice(&rows[left..right]),
            (2, 2) => {
                let (upper, lower) = rows.split_at(width);
                let (upper, lower) = (&upper[left..right], &lower[left..right]);
                let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
                for (to, (&upper, &lower)) in to.iter_mut().zip(pairs) {
                    // Two samples are read as one number, so that vectors need not be put in order first.
                    let (upper, lower) = (u16::from_le_bytes(upper), u16::from_le_bytes(lower));
                    let sum = (upper & 0xFF) + (upper >> 8) + (lower & 0xFF) + (lower >> 8);
                    *to = ((sum + 2) >> 2) as u8;
                }
            }
            _ => {
                let sums = &mut sums[left..right];
                sums.fill(0);
                for row in rows.chunks_exact(width).take(by) {
                    sums.iter_mut().zip(&row[left..right]).for_each(|(sum, &v)| *sum += u16::from(v));
                }
                let n = (bx * by) as u32;
                for (to, sums) in to.iter_mut().zip(sums.chunks_exact(bx)) {
                    *to = ((sums.iter().map(|&s| u32::from(s)).sum::<u32>() + n / 2) / n) as u8;
                }
            }
        }
    }
}

/// Takes the nearest sample, for grids that do not divide evenly.
fn pick(from: &[u8], size: Size, (sx, sy): (usize, usize), to: &mut [u8], grid: Grid, window: Window) {
    let (width, height) = (size.width as usize, size.height as usize);
    let middle = |i: usize, s: usize| (i * grid.factor + grid.factor / 2) / s;
    for (row, columns) in wanted(grid, window, None) {
        let from = &from[middle(row, sy).min(height - 1) * width..][..width];
        for (column, to) in columns.clone().zip(&mut to[row * grid.stride..][columns]) {
            *to = from[middle(column, sx).min(width - 1)];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_window_and_the_rows_in_turn_are_wanted_once_and_nothing_else(
            width in 1_u32..70, height in 1_u32..40, rows in (0_usize..40, 0_usize..40), lanes in (0_usize..5, 0_usize..5),
            turn in prop::sample::select(vec![None, Some(Turn::Even), Some(Turn::Odd)]),
        ) {
            let grid = Grid::new(Size { width, height });
            let (all, top) = (grid.stride / LANES, rows.0 % grid.height);
            let left = lanes.0 % all;
            let window = Window {
                top,
                bottom: (top + 1 + rows.1).min(grid.height),
                left: left * LANES,
                right: (left + 1 + lanes.1).min(all) * LANES,
            };
            let mut times = vec![0; grid.len()];
            for (row, columns) in wanted(grid, window, turn) {
                times[row * grid.stride..][columns].iter_mut().for_each(|times| *times += 1);
            }
            for (at, &times) in times.iter().enumerate() {
                let (row, column) = (at / grid.stride, at % grid.stride);
                let in_turn = turn.is_some_and(|turn| turn.rows(grid).any(|in_turn| in_turn == row));
                let is_wanted = column < grid.width && (in_turn || window.contains(row, column));
                prop_assert_eq!(times, usize::from(is_wanted), "row {}, column {}", row, column);
            }
        }
    }

    #[test]
    fn two_turns_see_every_fourth_row_once() {
        let grid = Grid::new(Size { width: 40, height: 30 });
        let mut rows: Vec<usize> = Turn::Even.rows(grid).chain(Turn::Even.next().rows(grid)).collect();
        rows.sort_unstable();
        assert_eq!(rows, [0, 4, 8, 12, 16, 20, 24, 28]);
    }
}
