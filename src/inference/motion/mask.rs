//! Small-scale cleaning of a mask of zeros and ones.

use super::picture::Grid;
use super::window::Window;

/// So many of the nine pixels around and including one must be set for it to be set: a median filter
/// would ask for five, but legs of far people are only two pixels wide.
const SET_MIN: u8 = 4;

/// Removes specks and closes pinholes within the window, outside of which nothing is set: a 3 x 3 rank filter.
/// `sums` is one padded row.
pub(super) fn clean(mask: &[u8], grid: Grid, window: Window, sums: &mut [u8], cleaned: &mut [u8]) {
    let width = window.right - window.left;
    let sums = &mut sums[..width];
    let row_of = |row: usize| row * grid.stride + window.left..row * grid.stride + window.right;
    for row in window.top..window.bottom {
        let at = |row: usize| &mask[row_of(row)];
        let (above, here, below) = (at(row.saturating_sub(1)), at(row), at((row + 1).min(grid.height - 1)));
        let out = &mut cleaned[row_of(row)];
        let mut any = 0;
        for (((sum, &a), &b), &c) in sums.iter_mut().zip(above).zip(here).zip(below) {
            *sum = a + b + c;
            any |= *sum;
        }
        if any == 0 {
            out.fill(0);
            continue;
        }
        for (out, s) in out[1..].iter_mut().zip(sums.windows(3)) {
            *out = u8::from(s[0] + s[1] + s[2] >= SET_MIN);
        }
        // Beyond the border the picture goes on as it ends.
        let beyond = |is_border: bool, sum: u8| if is_border { sum } else { 0 };
        let last = width.min(grid.width - window.left) - 1;
        out[0] = u8::from(beyond(window.left == 0, sums[0]) + sums[0] + sums[1] >= SET_MIN);
        let end = beyond(window.left + last + 1 == grid.width, sums[last]);
        out[last] = u8::from(sums[last.saturating_sub(1)] + sums[last] + end >= SET_MIN);
        out[last + 1..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::picture::LANES;
    use super::*;
    use crate::model::Size;

    proptest! {
        #[test]
        fn a_pixel_is_set_when_four_around_it_are_and_outside_the_window_nothing_is_touched(
            width in 2_u32..50, height in 1_u32..8, bits in prop::collection::vec(0_u8..3, 512),
            rows in (0_usize..8, 1_usize..8), lanes in (0_usize..4, 1_usize..4),
        ) {
            let grid = Grid::new(Size { width, height });
            let (all, top) = (grid.stride / LANES, rows.0 % grid.height);
            let left = lanes.0 % all;
            let window = Window {
                top,
                bottom: (top + rows.1).min(grid.height),
                left: left * LANES,
                right: (left + lanes.1).min(all) * LANES,
            };
            let inside = |row: usize, column: usize| window.contains(row, column) && column < grid.width;
            let mask: Vec<u8> = (0..grid.len())
                .map(|at| u8::from(inside(at / grid.stride, at % grid.stride) && bits[at] == 0))
                .collect();
            let mut cleaned = vec![7; grid.len()];
            clean(&mask, grid, window, &mut vec![0; grid.stride], &mut cleaned);
            for (at, &cleaned) in cleaned.iter().enumerate() {
                let (row, column) = (at / grid.stride, at % grid.stride);
                let beside = |i: usize, end: usize| [i.saturating_sub(1), i, (i + 1).min(end - 1)];
                let around = || beside(row, grid.height).into_iter()
                    .flat_map(|row| beside(column, grid.width).map(|column| mask[row * grid.stride + column]));
                let expected = match window.contains(row, column) {
                    true if column < grid.width => u8::from(around().sum::<u8>() >= SET_MIN),
                    true => 0,
                    false => 7,
                };
                prop_assert_eq!(cleaned, expected, "row {}, column {}", row, column);
            }
        }
    }
}
