//! Shadows and other light that is no object.
//!
//! A shadow scales what the background shows: luma falls by a bounded factor, chroma shrinks toward
//! grey by the same factor (Horprasert et al., "A Statistical Approach for Real-time Robust
//! Background Subtraction and Shadow Detection", ICCV-W 1999; Cucchiara et al., PAMI 2003), and the
//! texture stays: neighbours are scaled alike (Jacques et al., SIBGRAPI 2005). Clothes that pass the
//! first two tests seldom pass the third. A moderate brightening is judged the same way.

use super::background::Background;
use super::picture::{LANES, Picture};
use super::window::Window;

/// A shadow leaves between these parts of the light (gamma-encoded values).
const SHADOW: (f32, f32) = (0.50, 0.97);
/// Light that comes back or a reflection raises it to at most this.
const LIGHT_MAX: f32 = 1.25;
/// Darker background (of 255) shows no shadow that could be told from noise.
const LUMA_MIN: u8 = 24;
/// Neighbours are this many pixels of the work grid away.
const REACH: usize = 2;
/// So many of the four neighbours must be scaled like the pixel itself.
const ALIKE_MIN: usize = 3;

/// Clears what is only light from `changed`, within the window; `before` is a copy of it.
pub(super) fn remove(
    picture: &Picture,
    background: &Background,
    window: Window,
    before: &[u8],
    changed: &mut [u8],
) {
    let grid = picture.grid;
    for row in window.top.max(REACH)..window.bottom.min(grid.height.saturating_sub(REACH)) {
        let start = row * grid.stride;
        let row_before = &before[start..start + grid.width];
        if !row_before.contains(&1) {
            continue;
        }
        for lane in (window.left..window.right).step_by(LANES) {
            let quiet = before[start + lane..][..LANES] == [0; LANES];
            if quiet || !may_be_light(picture, background, before, start + lane) {
                continue;
            }
            for column in lane.max(REACH)..(lane + LANES).min(grid.width.saturating_sub(REACH)) {
                let at = start + column;
                if before[at] == 1 && is_light(picture, background, before, at) {
                    changed[at] = 0;
                }
            }
        }
    }
}

/// Whether any pixel of a lane has changed by as much as light does.
#[inline(never)]
fn may_be_light(picture: &Picture, background: &Background, before: &[u8], at: usize) -> bool {
    let lanes =
        [before, &picture.planes[0], &background.mean[0]].map(|plane| plane[at..].first_chunk::<LANES>());
    let [Some(before), Some(now), Some(then)] = lanes else { return false };
    let may: [u8; LANES] = std::array::from_fn(|k| {
        // [`SHADOW`] and [`LIGHT_MAX`], in whole numbers.
        let (least, most) = (then[k] - then[k] / 2, then[k].saturating_add(then[k] / 4));
        before[k] & u8::from(least <= now[k]) & u8::from(now[k] <= most)
    });
    may != [0; LANES]
}

fn is_light(picture: &Picture, background: &Background, before: &[u8], at: usize) -> bool {
    let [now, then] = [picture.planes[0][at], background.mean[0][at]];
    if then < LUMA_MIN {
        return false;
    }
    let ratio = f32::from(now) / f32::from(then);
    if !(SHADOW.0..=LIGHT_MAX).contains(&ratio) {
        return false;
    }
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
