//! How the view ordinarily looks, and whether it is only less sharp than that.
//!
//! For each cell the mean and the energy of the gradients are averaged; the energy rises slowly, so that the edges of what
//! passes do not count. A lens out of focus leaves the means as
//! they are and takes the gradients away nearly everywhere; fog, dusk and infrared light change the contrast of the means
//! too; a large thing close to the camera, and another view, change the means.

use super::samples::{CELLS, Samples};

/// The ordinary view is the average of so long at first, seconds; then it is known.
const KNOWN_S: f32 = 4.0;
/// Time constants of a cell's mean, and of its gradient energy where it falls and where it rises, seconds.
const MEAN_LIFE_S: f32 = 30.0;
const FALL_LIFE_S: f32 = 60.0;
const RISE_LIFE_S: f32 = 300.0;
/// A view that does not look like the ordinary one for so long is the ordinary one from then on, seconds.
const OTHER_S: f32 = 10.0;
/// A cell with less gradient energy has no detail.
const DETAIL_MIN: f32 = 200.0;
/// Fewer cells with detail say nothing.
const DETAILED_MIN: usize = CELLS / 10;
/// The mean of a cell is as ever within so many levels.
const SAME: f32 = 14.0;
/// Time constant of a mean that is another one, maybe an object's, seconds.
const OTHER_LIFE_S: f32 = 300.0;
/// At least so much of the cells with detail is as ever in its mean. With hysteresis.
const SAME_MIN: [f32; 2] = [0.6, 0.4];
/// The contrast of the means is as ever within this.
const CONTRAST: std::ops::RangeInclusive<f32> = 0.6..=1.6;
/// The view is the ordinary one where means correlate like this, with hysteresis: people stand before it. In a nearly black
/// picture there is noise in the means.
const ALIKE: [f32; 2] = [0.92, 0.75];
const ALIKE_IN_THE_DARK: f32 = 0.4;
/// A cell is blurred when so much of its energy is left.
const BLURRED: f32 = 0.2;
/// The most energy of late falls by this from look to look: a camera that shakes blurs some pictures, but not all of a second.
const PEAK_KEPT: f32 = 0.75;
/// A view is out of focus when this part of the cells is blurred. With hysteresis.
const DEFOCUSED: [f32; 2] = [0.75, 0.5];

/// A cell as it ordinarily looks.
#[derive(Debug, Clone, Copy, Default)]
struct Ordinary {
    mean: f32,
    gradient: f32,
    /// The most gradient energy of late.
    peak: f32,
}

#[derive(Debug)]
pub(super) struct Focus {
    ordinary: Vec<Ordinary>,
    age_s: f32,
    other_s: f32,
    /// The means correlate with the ordinary ones.
    alike: f32,
    /// The last look is out of focus.
    pub(super) blurred: bool,
    /// And so were those before it for about a second.
    pub(super) defocused: bool,
}

impl Focus {
    pub(super) fn new() -> Self {
        Self {
            ordinary: vec![Ordinary::default(); CELLS],
            age_s: 0.0,
            other_s: 0.0,
            alike: 0.0,
            blurred: false,
            defocused: false,
        }
    }

    /// Another view: what is seen from now on is the ordinary one.
    pub(super) fn restart(&mut self) {
        (self.age_s, self.other_s) = (0.0, 0.0);
        (self.blurred, self.defocused) = (false, false);
    }

    /// Whether the last look showed the ordinary view, however dark.
    pub(super) fn is_same_view(&self) -> bool {
        self.is_known() && self.alike >= ALIKE_IN_THE_DARK
    }

    fn is_known(&self) -> bool {
        self.age_s >= KNOWN_S
    }

    /// Takes a look, `dt_s` after the last one. Unless the picture `counts`, nothing is learned from it.
    pub(super) fn look(&mut self, samples: &Samples, dt_s: f32, counts: bool) {
        let contrast = self.compare(samples);
        let (mut detailed, mut same, mut blurred, mut long_blurred) = (0, 0, 0, 0);
        for (now, ordinary) in samples.cells.iter().zip(&mut self.ordinary) {
            ordinary.peak = now.gradient.max(PEAK_KEPT * ordinary.peak);
            if ordinary.gradient >= DETAIL_MIN {
                detailed += 1;
                if (now.mean - ordinary.mean).abs() <= SAME {
                    let least = BLURRED * contrast.powi(2) * ordinary.gradient;
                    same += 1;
                    blurred += usize::from(now.gradient < least);
                    long_blurred += usize::from(ordinary.peak < least);
                }
            }
        }
        let last = usize::from(self.defocused);
        let is_comparable = self.alike >= ALIKE[last]
            && CONTRAST.contains(&contrast)
            && detailed >= DETAILED_MIN
            && same as f32 >= SAME_MIN[last] * detailed as f32;
        let is_most =
            |cells: usize| self.is_known() && is_comparable && cells as f32 >= DEFOCUSED[last] * same as f32;
        (self.blurred, self.defocused) = (is_most(blurred), is_most(long_blurred));
        if !counts || self.blurred {
            return;
        }
        self.other_s = if is_comparable || detailed < DETAILED_MIN { 0.0 } else { self.other_s + dt_s };
        if self.other_s >= OTHER_S {
            self.restart();
        }
        self.age_s += dt_s;
        let young = (self.age_s < KNOWN_S).then(|| if self.age_s > dt_s { dt_s / self.age_s } else { 1.0 });
        let weight = |life_s: f32| young.unwrap_or(dt_s / life_s);
        let [usual, other, fall, rise] = [MEAN_LIFE_S, OTHER_LIFE_S, FALL_LIFE_S, RISE_LIFE_S].map(weight);
        for (now, ordinary) in samples.cells.iter().zip(&mut self.ordinary) {
            let (mean, gradient) = (now.mean - ordinary.mean, now.gradient - ordinary.gradient);
            if young.is_some() || mean.abs() <= SAME {
                ordinary.mean += mean * usual;
                ordinary.gradient += gradient * if gradient < 0.0 { fall } else { rise };
            } else {
                ordinary.mean += mean * other;
            }
        }
    }

    /// Correlates the means with the ordinary ones; returns how many times as much contrast they have.
    fn compare(&mut self, samples: &Samples) -> f32 {
        let pairs =
            || samples.cells.iter().zip(&self.ordinary).map(|(now, ordinary)| (now.mean, ordinary.mean));
        let sums = pairs().fold((0.0, 0.0), |sums, (a, b)| (sums.0 + a, sums.1 + b));
        let (now, ordinary) = (sums.0 / CELLS as f32, sums.1 / CELLS as f32);
        let (mut both, mut ours, mut theirs) = (0.0, 0.0, 0.0);
        for (a, b) in pairs().map(|(a, b)| (a - now, b - ordinary)) {
            (both, ours, theirs) = (both + a * b, ours + a * a, theirs + b * b);
        }
        self.alike = if ours * theirs > 0.0 { both / (ours * theirs).sqrt() } else { 0.0 };
        if theirs > 0.0 { (ours / theirs).sqrt() } else { 0.0 }
    }
}
