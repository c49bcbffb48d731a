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
