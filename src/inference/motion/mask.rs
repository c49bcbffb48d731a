//! Small-scale cleaning of a mask of zeros and ones.

use super::picture::Grid;
use super::window::Window;

/// So many of the nine pixels around and including one must be set for it to be set: a median filter
/// would ask for five, but legs of far people are only two pixels wide.
const SET_MIN: u8 = 4;

/// How many pixels are set.
pub(super) fn count(mask: &[u8]) -> usize {
    // Blocks so small that the sum of one has room in 16 bits, of which a vector holds many.
    let block = |block: &[u8]| usize::from(block.iter().map(|&set| u16::from(set)).sum::<u16>());
    mask.chunks(1 << 15).map(block).sum()
}

/// Removes specks and closes pinholes in the window's rows: a 3 x 3 rank filter. `sums` is one padded row.
pub(super) fn clean(mask: &[u8], grid: Grid, window: Window, sums: &mut [u8], cleaned: &mut [u8]) {
    let stride = grid.stride;
    for row in window.top..window.bottom {
        let at = |row: usize| &mask[row * stride..(row + 1) * stride];
        let (above, here, below) = (at(row.saturating_sub(1)), at(row), at((row + 1).min(grid.height - 1)));
        let out = &mut cleaned[row * stride..(row + 1) * stride];
        let mut any = 0;
        for (((sum, &a), &b), &c) in sums.iter_mut().zip(above).zip(here).zip(below) {
            *sum = a + b + c;
            any |= *sum;
        }
        if any == 0 {
            out.fill(0);
            continue;
        }
        // Beyond the border the picture goes on as it ends.
        out[0] = u8::from(2 * sums[0] + sums[1] >= SET_MIN);
        let last = grid.width - 1;
        for (out, s) in out[1..].iter_mut().zip(sums.windows(3)) {
            *out = u8::from(s[0] + s[1] + s[2] >= SET_MIN);
        }
        out[last] = u8::from(sums[last.saturating_sub(1)] + 2 * sums[last] >= SET_MIN);
        out[grid.width..].fill(0);
    }
}
