//! Where the background itself moves: leaves, water, a screen.
//!
//! Nothing is learned under objects, so leaves that make a blob of a person's size would never be
//! learned. They give themselves away by changing to and fro all the time, which people who pass or
//! stand do not (the blinking-pixel rule of `SuBSENSE`: St-Charles et al., IEEE TIP 2015). A pixel that
//! toggles more often than [`TOGGLES_PER_S`], or in every fourth frame of a slow camera, flickers.
//!
//! Cars toggle the pixels of a busy road too: twice each, and more often where their windows have the road's color. A road
//! that flickers learns its cars, these get holes, and holes toggle. With 3 toggles per second for 2 before, the F-measure
//! of boxes on footage of 15 to 25 frames/s goes from 0.157 to 0.279 (`HighwayI`), 0.875 to 0.891 (`highway`), 0.915 to
//! 0.930 (`HallAndMonitor`), 0.772 to 0.781 (`traffic`), 0.933 to 0.932 (`Candela_m1.10`) and 0.600 to 0.598 (`CAVIAR1`);
//! `CaVignal` stays at 0.506, PETS09-S2L1 (7 frames/s) at MOTA 79.2 and IDF1 87.0.

use wide::{u8x16, u16x16};

use super::picture::{Grid, LANES};
use super::window::Window;

/// Toggles between changed and not changed, per second.
const TOGGLES_PER_S: f32 = 3.0;
/// The same per frame, where frames are few.
const TOGGLES_PER_FRAME: f32 = 0.25;
/// Time constant of the mean, in seconds.
const LIFE_S: f32 = 6.0;

#[derive(Debug)]
pub(super) struct Flicker {
    /// What had changed in the last frame.
    last: Vec<u8>,
    /// Mean of toggles per frame, in 1/65536.
    rate: Vec<u16>,
    /// Something toggled lately; otherwise all rates are below any limit.
    lively_s: f32,
    /// Above this rate a place flickered in the last frame.
    limit: u16,
}

impl Flicker {
    pub(super) fn new(len: usize) -> Self {
        Self { last: vec![0; len], rate: vec![0; len], lively_s: 0.0, limit: u16::MAX }
    }

    pub(super) fn reset(&mut self) {
        self.last.fill(0);
        self.rate.fill(0);
    }

    /// Whether a place flickered when it was last looked at.
    pub(super) fn is_restless(&self, at: usize) -> bool {
        self.rate[at] > self.limit
    }

    /// Follows what has `changed` within the window (zeros and ones; `quiet` when there are no ones), and
    /// clears `held` where it flickers.
    pub(super) fn release(
        &mut self,
        grid: Grid,
        window: Window,
        changed: &[u8],
        quiet: bool,
        dt_s: f32,
        held: &mut [u8],
    ) {
        self.lively_s = if quiet { (self.lively_s - dt_s).max(0.0) } else { 5.0 * LIFE_S };
        if self.lively_s <= 0.0 || dt_s <= 0.0 {
            return;
        }
        let weight = 2 * ((1.0 - (-dt_s / LIFE_S).exp()) * 32768.0) as u16;
        self.limit = (TOGGLES_PER_FRAME.min(TOGGLES_PER_S * dt_s) * 65536.0) as u16;
        let (weight, limit) = (u16x16::splat(weight), u16x16::splat(self.limit));
        let changed = changed.as_chunks::<LANES>().0;
        let held = held.as_chunks_mut::<LANES>().0;
        let last = self.last.as_chunks_mut::<LANES>().0;
        let rate = self.rate.as_chunks_mut::<LANES>().0;
        for row in window.lanes(grid) {
            let (changed, held) = (&changed[row.clone()], &mut held[row.clone()]);
            let (last, rate) = (&mut last[row.clone()], &mut rate[row.clone()]);
            for i in 0..row.len() {
                let (now, before) = (u8x16::new(changed[i]), u8x16::new(last[i]));
                let was = u16x16::new(rate[i]);
                if now | before == u8x16::ZERO && was == u16x16::ZERO {
                    continue;
                }
                let is = followed(was, u16x16::from(now ^ before), weight);
                rate[i] = is.to_array();
                let restless = is.saturating_sub(limit);
                if restless != u16x16::ZERO {
                    let is_calm = restless.to_array().map(|above| u8::from(above == 0));
                    held[i] = (u8x16::new(held[i]) & u8x16::new(is_calm)).to_array();
                }
                last[i] = changed[i];
            }
        }
    }
}

/// The mean after a frame in which a place toggled (1), or did not (0): nearer to 65535 or 0 by `weight`, in 1/65536,
/// of what is missing, rounded down.
#[inline]
fn followed(rate: u16x16, toggled: u16x16, weight: u16x16) -> u16x16 {
    let target = u16x16::ZERO - toggled;
    let missing = rate ^ target;
    let (low, part) = missing.mul_keep_low_high(weight);
    let up = !low.simd_eq(u16x16::ZERO) & !target & u16x16::ONE;
    (missing - part - up) ^ target
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_rate_moves_by_its_part_toward_its_target_and_never_past_it(rate: u16, toggled: bool, weight in 0_u16..16384) {
            let weight = 2 * weight;
            let target = if toggled { 65535_i64 } else { 0 };
            let part = (target - i64::from(rate)) * i64::from(weight);
            let [rate_now, ..] =
                followed(u16x16::splat(rate), u16x16::splat(u16::from(toggled)), u16x16::splat(weight)).to_array();
            prop_assert_eq!(i64::from(rate_now), i64::from(rate) + (part >> 16));
        }
    }
}
