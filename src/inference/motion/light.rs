//! Shadows and other light that is no object.
//!
//! A shadow scales what the background shows: luma falls by a bounded factor, chroma shrinks toward
//! grey by the same factor (Horprasert et al., "A Statistical Approach for Real-time Robust
//! Background Subtraction and Shadow Detection", ICCV-W 1999; Cucchiara et al., PAMI 2003), and the
//! texture stays: neighbours are scaled alike (Jacques et al., SIBGRAPI 2005). Clothes that pass the
//! first two tests seldom pass the third. A moderate brightening is judged the same way. A shadow leaves at
//! least half of the light (of gamma-encoded values); light that comes back, or a reflection, adds at most a
//! quarter.

use wide::{u8x16, u16x16};

use super::background::Background;
use super::picture::{LANES, Picture, at_most};
use super::window::Window;

/// Darker background (of 255) shows no shadow that could be told from noise.
const LUMA_MIN: u8 = 24;
/// Neighbours are this many pixels of the work grid away.
const REACH: usize = 2;
/// So many of the four neighbours must be scaled like the pixel itself.
const ALIKE_MIN: usize = 3;

/// Copies what has `changed`, within the window, to `objects`, but for what is only light. How many pixels that
/// leaves.
pub(super) fn remove(
    picture: &Picture,
    background: &Background,
    window: Window,
    changed: &[u8],
    objects: &mut [u8],
) -> usize {
    let grid = picture.grid;
    let rows = REACH..grid.height.saturating_sub(REACH);
    let columns = REACH..grid.width.saturating_sub(REACH);
    let [lanes, now, then] =
        [changed, &picture.planes[0], &background.mean[0]].map(|plane| plane.as_chunks::<LANES>().0);
    let objects = objects.as_chunks_mut::<LANES>().0;
    let (mut count, mut removed) = (u16x16::ZERO, 0);
    for (row, here) in (window.top..).zip(window.lanes(grid)) {
        let first = here.start;
        let (lanes, now, then) = (&lanes[here.clone()], &now[here.clone()], &then[here.clone()]);
        let objects = &mut objects[here];
        for i in 0..lanes.len() {
            objects[i] = lanes[i];
            let lane = u8x16::new(lanes[i]).simd_eq(u8x16::ONE);
            if lane == u8x16::ZERO {
                continue;
            }
            count += u16x16::from(u8x16::new(lanes[i]));
            let mut candidates = (lane & may_be_light(u8x16::new(now[i]), u8x16::new(then[i]))).to_bitmask();
            while candidates != 0 && rows.contains(&row) {
                let k = candidates.trailing_zeros() as usize;
                candidates &= candidates - 1;
                let column = window.left + i * LANES + k;
                let at = (first + i) * LANES + k;
                if columns.contains(&column) && is_light(picture, background, changed, at) {
                    objects[i][k] = 0;
                    removed += 1;
                }
            }
        }
    }
    count.to_array().map(usize::from).iter().sum::<usize>() - removed
}

/// All ones where a background that is bright enough to tell shows by as much more or less light as shadows and
/// reflections make.
#[inline]
fn may_be_light(now: u8x16, then: u8x16) -> u8x16 {
    let (darker, brighter) = (then.saturating_sub(now), now.saturating_sub(then));
    let twice = brighter.saturating_add(brighter);
    at_most(u8x16::splat(LUMA_MIN), then) & at_most(darker, now) & at_most(twice.saturating_add(twice), then)
}

/// Whether a pixel that [`may_be_light`] is.
fn is_light(picture: &Picture, background: &Background, before: &[u8], at: usize) -> bool {
    let ratio = f32::from(picture.planes[0][at]) / f32::from(background.mean[0][at]);
    let radius = f32::from(background.radius[at]);
    let off = |c: usize| {
        let expected = 128.0 + (f32::from(background.mean[c][at]) - 128.0) * ratio;
        (f32::from(picture.planes[c][at]) - expected).abs()
    };
    // Light from the side and from the sky differ in colour; on a saturated ground that shows.
    let saturation: f32 = [1, 2].map(|c| (f32::from(background.mean[c][at]) - 128.0).abs()).iter().sum();
    if off(1) + off(2) > radius * 0.5 + saturation * 0.15 {
        return false;
    }
    let stride = picture.grid.stride;
    let alike = [at - REACH, at + REACH, at - REACH * stride, at + REACH * stride]
        .into_iter()
        .filter(|&n| {
            // A neighbour outside the changed area shows only where the shadow ends.
            before[n] == 0
                || (f32::from(picture.planes[0][n]) - f32::from(background.mean[0][n]) * ratio).abs()
                    <= radius * 0.5
        })
        .count();
    alike >= ALIKE_MIN
}
