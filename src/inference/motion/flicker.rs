//! Where the background itself moves: leaves, water, a screen.
//!
//! Nothing is learned under objects, so leaves that make a blob of a person's size would never be
//! learned. They give themselves away by changing to and fro all the time, which people who pass or
//! stand do not (the blinking-pixel rule of `SuBSENSE`: St-Charles et al., IEEE TIP 2015). A pixel that
//! toggles more often than [`TOGGLES_PER_S`], or in every fourth frame of a slow camera, flickers.

use super::picture::Grid;
use super::window::Window;

/// Toggles between changed and not changed, per second.
const TOGGLES_PER_S: f32 = 2.0;
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
        let weight = ((1.0 - (-dt_s / LIFE_S).exp()) * 32768.0) as i32;
        let limit = (TOGGLES_PER_FRAME.min(TOGGLES_PER_S * dt_s) * 65536.0) as u16;
        self.limit = limit;
        for row in window.rows(grid) {
            let state = self.last[row.clone()].iter_mut().zip(&mut self.rate[row.clone()]);
            for ((&now, held), (last, rate)) in changed[row.clone()].iter().zip(&mut held[row]).zip(state) {
                let target = i32::from(now ^ *last) * 65535;
                *last = now;
                *rate = (i32::from(*rate) + (((target - i32::from(*rate)) * weight) >> 15)).max(0) as u16;
                *held &= u8::from(*rate <= limit);
            }
        }
    }
}
