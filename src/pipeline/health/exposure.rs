//! Whether there is light enough to see by, and not too much.
//!
//! In a black picture all but noise lies within 14 levels, and the detector takes differences of 12 for noise. The means of
//! cells are compared, which have a quarter of the noise. A night picture in which people can be seen has a median of 28 and
//! more in the recordings that were measured (video range: black is 16).

use super::samples::{PER_CELL, Samples};

/// In a dark picture neither the median nor the 95th percentile of the cells is lighter. With hysteresis.
const DARK: [(f32, f32); 2] = [(26.0, 30.0), (30.0, 36.0)];
/// Lighter samples are clipped.
const CLIPPED: u8 = 232;
/// In a bright picture more of the samples are clipped. With hysteresis.
const BRIGHT: [f32; 2] = [0.6, 0.5];

#[derive(Debug, Default)]
pub(super) struct Exposure {
    pub(super) dark: bool,
    pub(super) bright: bool,
    sorted: Vec<f32>,
}

impl Exposure {
    pub(super) fn look(&mut self, samples: &Samples) {
        self.sorted.clear();
        self.sorted.extend(samples.cells.iter().map(|cell| cell.mean));
        self.sorted.sort_unstable_by(f32::total_cmp);
        let quantile = |part: usize| self.sorted[(self.sorted.len() - 1) * part / 100];
        let (median, high) = DARK[usize::from(self.dark)];
        self.dark = quantile(50) <= median && quantile(95) <= high;
        let all = samples.cells.len() * PER_CELL;
        let clipped =
            samples.cells.iter().flat_map(|cell| cell.luma).filter(|&sample| sample >= CLIPPED).count();
        self.bright = clipped as f32 > BRIGHT[usize::from(self.bright)] * all as f32;
    }
}
