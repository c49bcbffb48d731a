//! What the scene looks like when nobody is there.
//!
//! A sample-based model: Barnich & Van Droogenbroeck, "`ViBe`: A Universal Background Subtraction
//! Algorithm for Video Sequences", IEEE TIP 2011. Each pixel keeps values it had in the past, and is
//! background where at least [`MATCHES_MIN`] of them are near what it shows now; a value enters by
//! replacing a random one, here or next door. Chosen over a mixture
//! of Gaussians because, with the same blobs and tracker behind both, `OpenCV`'s sample-based KNN model
//! reaches MOTA 46.7 on PETS09-S2L1 and its mixture (MOG2) 39.5.
//!
//! What is added: a running mean per pixel answers first, so that a quiet scene never reads its
//! samples; the radius follows the pixel's own noise (as in PBAS: Hofmann et al., CVPRW 2012); a
//! change of exposure is estimated and undone; a whole lane of pixels learns at once, which costs a look into
//! memory instead of one for each; and nothing is learned under an object, which is decided above, not here. Rates
//! are per second, so that the frame rate does not matter.

use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use wide::{i8x16, i16x16, i32x4, u8x16, u16x16};

use super::blobs::Rect;
use super::picture::{Grid, LANES, Lane, Picture, SPARSE_STEP, Turn, apart, at_most, scaled_chroma};
use super::window::Window;

/// Values kept per pixel.
const SAMPLES: usize = 16;
/// So many of them must be near (`#min` of the paper).
const MATCHES_MIN: u8 = 2;
/// A value stays about this long, in seconds, where every frame is looked at.
const SAMPLE_LIFE_S: f32 = 40.0;
/// A whole frame after some that were not gives new values for so many seconds in all, or for its own time where that is
/// longer. Where something stirs, frames are whole anyway; where nothing does, values may live four times as long, for
/// the mean, which makes up for all the time, follows the light.
const WHOLE_FRAME_SAMPLES_S: f32 = 0.25;
/// Time constant of mean and noise, in seconds.
const MEAN_LIFE_S: f32 = 6.0;
/// Rows whose mean is renewed in one frame: every so many-th.
const MEAN_ROWS: usize = 4;
/// Smallest and largest difference in luma that may still be noise.
const RADIUS_MIN: u8 = 12;
const RADIUS_MAX: u8 = 36;
/// The radius in units of the mean absolute deviation: four standard deviations of normal noise
/// (1.25 deviations each).
const RADIUS_PER_DEVIATION: u16 = 5;
/// The same in units of the median deviation (0.67 standard deviations of normal noise).
const RADIUS_PER_MEDIAN: f32 = 6.0;
/// Fewer comparable pixels say nothing about the gain.
const GAIN_PIXELS_MIN: u32 = 64;
/// What a camera's exposure control does from one frame to the next; the rest is another scene.
const GAIN_RANGE: std::ops::RangeInclusive<f32> = 0.4..=2.5;
/// The light around an object is measured so far away from it, pixels.
const RING: usize = 3;
/// Steps of the gain per 1.0.
const GAIN_STEPS: usize = 128;

/// What [`SAMPLES`] pictures showed in a lane. What one look reads lies together: light first, which mostly
/// is all that it takes.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Samples {
    luma: [Lane; SAMPLES],
    /// Cb, Cr.
    chroma: [[Lane; 2]; SAMPLES],
}

impl Samples {
    /// The Y, Cb and Cr of a sample.
    fn planes_mut(&mut self, sample: usize) -> [&mut Lane; 3] {
        let [cb, cr] = &mut self.chroma[sample];
        [&mut self.luma[sample], cb, cr]
    }

    /// What is left of `changed` (zeros and ones) where enough of the samples are near.
    fn settle(&self, now: [u8x16; 3], radius: u8x16, changed: u8x16) -> u8x16 {
        let enough = u8x16::splat(MATCHES_MIN);
        let mut matches = u8x16::ZERO;
        // As many as come from memory together.
        for samples in self.luma.as_chunks::<4>().0 {
            for &luma in samples {
                // All ones are -1.
                matches -= at_most(apart(now[0], u8x16::new(luma)), radius);
            }
            if changed & !at_most(enough, matches) == u8x16::ZERO {
                break;
            }
        }
        if changed & at_most(enough, matches) == u8x16::ZERO {
            // By their light alone they are not near.
            return changed;
        }
        matches = u8x16::ZERO;
        for (&luma, &[cb, cr]) in self.luma.iter().zip(&self.chroma) {
            matches -= near(now, [luma, cb, cr].map(u8x16::new), radius);
        }
        changed & !at_most(enough, matches)
    }
}

/// A lane that becomes a sample.
#[derive(Debug, Clone, Copy)]
struct Choice {
    /// Its first pixel.
    at: u32,
    /// The first pixel of what it learns.
    from: u32,
    sample: u32,
}

#[derive(Debug)]
pub(super) struct Background {
    grid: Grid,
    /// Y, Cb, Cr, rounded.
    pub(super) mean: [Vec<u8>; 3],
    /// Y, Cb, Cr in 1/256.
    fine: [Vec<u16>; 3],
    /// Mean absolute deviation of luma, in 1/256.
    deviation: Vec<u16>,
    /// How far luma may be off.
    pub(super) radius: Vec<u8>,
    /// Smallest radius at present.
    floor: u8,
    samples: Vec<Samples>,
    /// What is learned from the frame at hand.
    chosen: Vec<Choice>,
    rng: Pcg32,
    /// Which of [`MEAN_ROWS`] is due in the next frame that is looked at in part, and in the next whole one. One count
    /// for both would go on while nobody looks at rows outside the window, and some would never have their turn.
    phases: [usize; 2],
    /// Seconds since it began.
    age_s: f32,
}

impl Background {
    pub(super) fn new(grid: Grid) -> Self {
        let plane = || vec![0; grid.len()];
        let fine = || vec![0; grid.len()];
        Self {
            grid,
            mean: [plane(), plane(), plane()],
            fine: [fine(), fine(), fine()],
            deviation: fine(),
            radius: plane(),
            floor: RADIUS_MIN,
            samples: vec![
                Samples { luma: [[0; LANES]; SAMPLES], chroma: [[[0; LANES]; 2]; SAMPLES] };
                grid.len() / LANES
            ],
            chosen: Vec::with_capacity(grid.len() / LANES),
            // What matters is that it is even, and the same in every run.
            rng: Pcg32::seed_from_u64(0x0BAC_C6D0),
            phases: [0; 2],
            age_s: 0.0,
        }
    }

    /// Forgets how noisy it was: mean and noise are soon those of the pictures from now on.
    pub(super) fn restart(&mut self) {
        self.age_s = 0.0;
        self.deviation.fill(u16::from(RADIUS_MIN) * 256 / RADIUS_PER_DEVIATION);
        self.radius.fill(RADIUS_MIN);
        self.floor = RADIUS_MIN;
    }

    /// Begins anew: this picture is the background.
    pub(super) fn reset(&mut self, picture: &Picture) {
        self.restart();
        for row in 0..self.grid.height {
            self.relearn(picture, row, 0, self.grid.width);
        }
    }

    /// Takes what the picture shows in columns `from..to` of a row for the background. The samples
    /// come from the neighbourhood (the paper's 3.2): one picture then already knows the texture's spread.
    pub(super) fn relearn(&mut self, picture: &Picture, row: usize, from: usize, to: usize) {
        let grid = self.grid;
        for column in from..to {
            let at = row * grid.stride + column;
            for (c, plane) in picture.planes.iter().enumerate() {
                self.mean[c][at] = plane[at];
                self.fine[c][at] = u16::from(plane[at]) << 8 | 128;
            }
            let mut random = 0;
            for sample in 0..SAMPLES {
                if sample % 8 == 0 {
                    random = self.rng.next_u32();
                }
                let (dx, dy) = (random & 3, random >> 2 & 3);
                random >>= 4;
                // 0, 1, 2 of 0..=3 are the neighbours; 3 is the pixel's own row or column.
                let x = (column + [0, 1, 2, 1][dx as usize]).saturating_sub(1).min(grid.width - 1);
                let y = (row + [0, 1, 2, 1][dy as usize]).saturating_sub(1).min(grid.height - 1);
                self.store(picture, y * grid.stride + x, (row, column), sample);
            }
        }
    }

    /// Writes 1 where the picture does not look like any of the background's pixels around, 0 elsewhere. How many those
    /// are. Both may lie a pixel beside each other.
    pub(super) fn compare_around(&self, picture: &Picture, differs: &mut [u8]) -> usize {
        let grid = self.grid;
        let mut count = 0;
        for row in 0..grid.height {
            let rows = row.saturating_sub(1)..(row + 2).min(grid.height);
            for column in 0..grid.width {
                let columns = column.saturating_sub(1)..(column + 2).min(grid.width);
                let at = row * grid.stride + column;
                let is_near = self.mean.iter().zip(&picture.planes).all(|(mean, now)| {
                    let around = rows.clone().flat_map(|row| &mean[row * grid.stride..][columns.clone()]);
                    let (least, most) =
                        around.fold((u8::MAX, 0), |(least, most), &v| (v.min(least), v.max(most)));
                    (least.saturating_sub(RADIUS_MIN)..=most.saturating_add(RADIUS_MIN)).contains(&now[at])
                });
                differs[at] = u8::from(!is_near);
                count += usize::from(!is_near);
            }
        }
        count
    }

    fn store(&mut self, picture: &Picture, from: usize, (row, column): (usize, usize), sample: usize) {
        let to = row * self.grid.stride + column;
        for (kept, plane) in self.samples[to / LANES].planes_mut(sample).into_iter().zip(&picture.planes) {
            kept[to % LANES] = plane[from];
        }
    }

    /// How much brighter the picture is than the background, 1 where that cannot be said: the median
    /// ratio over pixels, in the rows whose turn it is, that are not `busy`. Neither an object nor a shadow
    /// moves the median.
    pub(super) fn gain(&self, picture: &Picture, turn: Turn, busy: &[u8]) -> f32 {
        // Neighbours mostly count to the same step, and one would wait for the other: they take turns. What the ends
        // of the range clip says little about light, and counts to the last step.
        const NO_STEP: usize = 3 * GAIN_STEPS;
        let mut histograms = [[0_u16; NO_STEP + 1]; LANES / SPARSE_STEP];
        let [luma, mean, busy] =
            [&picture.planes[0], &self.mean[0], busy].map(|plane| plane.as_chunks::<LANES>().0);
        let stride = self.grid.stride / LANES;
        for row in turn.rows(self.grid) {
            for i in row * stride..(row + 1) * stride {
                let (now, mean, busy) = (sparse(&luma[i]), sparse(&mean[i]), sparse(&busy[i]));
                let is_clear = busy.simd_eq(0)
                    & mean.simd_ge(24)
                    & mean.simd_le(230)
                    & now.simd_ge(12)
                    & now.simd_le(245);
                let step = (now * GAIN_STEPS as i32 + (mean >> 1_u32)).round_float() / mean.round_float();
                let step = is_clear.select(
                    step.trunc_int().min(i32x4::splat(NO_STEP as i32 - 1)),
                    i32x4::splat(NO_STEP as i32),
                );
                for (histogram, step) in histograms.iter_mut().zip(step.to_array()) {
                    histogram[step as usize] += 1;
                }
            }
        }
        let histogram: [u32; NO_STEP] =
            std::array::from_fn(|step| histograms.iter().map(|histogram| u32::from(histogram[step])).sum());
        let count: u32 = histogram.iter().sum();
        if count < GAIN_PIXELS_MIN {
            return 1.0;
        }
        let mut below = 0;
        let median = histogram.iter().position(|&n| {
            below += n;
            2 * below >= count
        });
        let step = median.unwrap_or(GAIN_STEPS);
        // Exposure acts on all alike; where few agree, something else happened.
        let agreed = &histogram[step - step / 10..(step + step / 10 + 1).min(histogram.len())];
        let gain = step as f32 / GAIN_STEPS as f32;
        if 2 * agreed.iter().sum::<u32>() >= count && GAIN_RANGE.contains(&gain) { gain } else { 1.0 }
    }

    /// Follows the noise of the picture as a whole: the median difference from the mean, which no object
    /// moves. It is the floor for every pixel's radius, and known from the second frame on, before any
    /// pixel has a history of its own.
    pub(super) fn measure_noise(&mut self, picture: &Picture) {
        let mut histogram = [0_u32; 64];
        let mut count = 0;
        for row in (0..self.grid.height).step_by(SPARSE_STEP) {
            let start = row * self.grid.stride;
            for at in (start..start + self.grid.width).step_by(SPARSE_STEP) {
                let off = picture.planes[0][at].abs_diff(self.mean[0][at]);
                histogram[usize::from(off.min(63))] += 1;
                count += 1;
            }
        }
        let (mut below, mut median) = (0, 0.0);
        for (off, &n) in histogram.iter().enumerate() {
            if 2 * (below + n) >= count {
                median = off as f32 + (count as f32 / 2.0 - below as f32) / n as f32 - 0.5;
                break;
            }
            below += n;
        }
        let floor = (RADIUS_PER_MEDIAN * median).clamp(f32::from(RADIUS_MIN), f32::from(RADIUS_MAX)) as u8;
        if floor > self.floor {
            for radius in &mut self.radius {
                *radius = floor.max(*radius);
            }
            self.floor = floor;
        } else if floor < self.floor {
            // Down by a level a frame: rows take it up as they are renewed.
            self.floor -= 1;
        }
    }

    /// Changes the model as a change of exposure changes the picture.
    pub(super) fn rescale(&mut self, gain: f32) {
        let by = (gain * 256.0) as i32;
        let light = |y: u8| ((i32::from(y) * by + 128) >> 8).min(255) as u8;
        for Samples { luma, chroma } in &mut self.samples {
            for y in luma.as_flattened_mut() {
                *y = light(*y);
            }
            for c in chroma.as_flattened_mut().as_flattened_mut() {
                *c = scaled_chroma(*c, by);
            }
        }
        for (c, (mean, fine)) in self.mean.iter_mut().zip(&mut self.fine).enumerate() {
            for (mean, fine) in mean.iter_mut().zip(fine) {
                *mean = if c == 0 { light(*mean) } else { scaled_chroma(*mean, by) };
                *fine = u16::from(*mean) << 8 | 128;
            }
        }
    }

    /// Changes the model behind an object as the light changed around it.
    pub(super) fn relight(&mut self, picture: &Picture, rect: Rect) {
        let grid = self.grid;
        let (mut now, mut then) = ([1_u32; 3], [1_u32; 3]);
        let outer = rect.grown(RING, grid);
        for row in outer.top..outer.bottom {
            for column in outer.left..outer.right {
                if !rect.contains(column, row) {
                    let at = row * grid.stride + column;
                    for c in 0..3 {
                        now[c] += u32::from(picture.planes[c][at]);
                        then[c] += u32::from(self.mean[c][at]);
                    }
                }
            }
        }
        let gain = |c: usize| now[c] as f32 / then[c] as f32;
        let lit = |c: usize, value: u8| (f32::from(value) * gain(c)).min(255.0) as u8;
        for row in rect.top..rect.bottom {
            for at in row * grid.stride + rect.left..row * grid.stride + rect.right {
                for sample in 0..SAMPLES {
                    let planes = self.samples[at / LANES].planes_mut(sample);
                    for (c, kept) in planes.into_iter().enumerate() {
                        kept[at % LANES] = lit(c, kept[at % LANES]);
                    }
                }
                for c in 0..3 {
                    self.mean[c][at] = lit(c, self.mean[c][at]);
                    self.fine[c][at] = u16::from(self.mean[c][at]) << 8 | 128;
                }
            }
        }
    }

    /// How many places of the sparse grid outside the window, in the rows whose turn it is, `active` and not
    /// `restless`, do not look like the background.
    pub(super) fn stirring(
        &self,
        picture: &Picture,
        window: Window,
        turn: Turn,
        active: &[u8],
        restless: impl Fn(usize) -> bool,
    ) -> usize {
        let [luma, mean, radius, active] =
            [&picture.planes[0], &self.mean[0], &self.radius, active].map(|p| p.as_chunks::<LANES>().0);
        let sparse: Lane = std::array::from_fn(|k| u8::from(k.is_multiple_of(SPARSE_STEP)));
        let mut count = 0;
        let stride = self.grid.stride / LANES;
        for row in turn.rows(self.grid) {
            for lane in 0..stride {
                let i = row * stride + lane;
                let [luma, mean, radius, active] = [luma[i], mean[i], radius[i], active[i]].map(u8x16::new);
                let off = active & u8x16::new(sparse) & !at_most(apart(luma, mean), radius);
                if off != u8x16::ZERO && !window.contains(row, lane * LANES) {
                    let off = off.to_array();
                    count += (0..LANES).filter(|&k| off[k] != 0 && !restless(i * LANES + k)).count();
                }
            }
        }
        count
    }

    /// Writes 1 where the picture, within the window, is not the background, 0 elsewhere in it and where
    /// `active` is 0. Whether there are any.
    pub(super) fn classify(
        &self,
        picture: &Picture,
        window: Window,
        active: &[u8],
        changed: &mut [u8],
    ) -> bool {
        let [luma, cb, cr] = picture.planes.each_ref().map(|p| p.as_chunks::<LANES>().0);
        let mean = self.mean.each_ref().map(|p| p.as_chunks::<LANES>().0);
        let radius = self.radius.as_chunks::<LANES>().0;
        let active = active.as_chunks::<LANES>().0;
        let changed = changed.as_chunks_mut::<LANES>().0;
        let mut any = u8x16::ZERO;
        for row in window.lanes(self.grid) {
            let [luma, cb, cr, mean_luma, mean_cb, mean_cr, radius, active] =
                [luma, cb, cr, mean[0], mean[1], mean[2], radius, active].map(|plane| &plane[row.clone()]);
            let (changed, samples) = (&mut changed[row.clone()], &self.samples[row.clone()]);
            for i in 0..row.len() {
                let now = || [u8x16::new(luma[i]), u8x16::new(cb[i]), u8x16::new(cr[i])];
                let then = [u8x16::new(mean_luma[i]), u8x16::new(mean_cb[i]), u8x16::new(mean_cr[i])];
                let radius = u8x16::new(radius[i]);
                let mut off = u8x16::new(active[i]) & !near(now(), then, radius);
                if off != u8x16::ZERO {
                    off = samples[i].settle(now(), radius, off);
                    any |= off;
                }
                changed[i] = off.to_array();
            }
        }
        any != u8x16::ZERO
    }

    /// Learns from a picture, within the window: everywhere but under objects (`held`); mean only where
    /// nothing `changed`. The frame stands for `dt_s`, and makes up for `missed_s` before, in which not all that the
    /// window holds was looked at: the mean for all of it, samples as [`WHOLE_FRAME_SAMPLES_S`] says.
    pub(super) fn learn(
        &mut self,
        picture: &Picture,
        window: Window,
        held: &[u8],
        changed: &[u8],
        dt_s: f32,
        missed_s: f32,
    ) {
        let is_whole = window.is_whole(self.grid);
        let mean_s = dt_s + missed_s;
        let samples_s = mean_s.min(WHOLE_FRAME_SAMPLES_S).max(dt_s);
        if is_whole {
            self.age_s += mean_s;
        }
        self.learn_samples(picture, window, held, samples_s);
        // At first the mean is an average over all frames so far.
        let life_s = MEAN_LIFE_S.min(self.age_s.max(0.5));
        let rate = 1.0 - (-mean_s * MEAN_ROWS as f32 / life_s).exp();
        let phase = &mut self.phases[usize::from(is_whole)];
        let due = std::mem::replace(phase, (*phase + 1) % MEAN_ROWS);
        for (row, lanes) in (window.top..).zip(window.lanes(self.grid)) {
            if row % MEAN_ROWS == due {
                self.learn_mean(picture, held, changed, lanes, (rate * 65536.0) as u16);
            }
        }
    }

    /// Learns mean and noise in some lanes of a row; `rate` in 1/65536.
    fn learn_mean(&mut self, picture: &Picture, held: &[u8], changed: &[u8], lanes: Range<usize>, rate: u16) {
        let [held, changed] = [held, changed].map(|plane| &plane.as_chunks::<LANES>().0[lanes.clone()]);
        let rate_where =
            |free: u8x16| i16x16::from_i8x16(free.cast_signed()).cast_unsigned() & u16x16::splat(rate);
        let (least, most) = (u8x16::splat(self.floor), u8x16::splat(RADIUS_MAX));
        let now = &picture.planes[0].as_chunks::<LANES>().0[lanes.clone()];
        let mean = &self.mean[0].as_chunks::<LANES>().0[lanes.clone()];
        let deviation = &mut self.deviation.as_chunks_mut::<LANES>().0[lanes.clone()];
        let radius = &mut self.radius.as_chunks_mut::<LANES>().0[lanes.clone()];
        for i in 0..lanes.len() {
            // What flickers without being an object is noise too, so `changed` does not matter here.
            let free = u8x16::new(held[i]).simd_eq(u8x16::ZERO);
            let off = u16x16::from(apart(u8x16::new(now[i]), u8x16::new(mean[i])).min(most)) << 8_u32;
            let noise = toward(u16x16::new(deviation[i]), off, rate_where(free));
            deviation[i] = noise.to_array();
            radius[i] = narrow((noise * u16x16::splat(RADIUS_PER_DEVIATION)) >> 8_u32)
                .max(least)
                .min(most)
                .to_array();
        }
        for c in 0..3 {
            let now = &picture.planes[c].as_chunks::<LANES>().0[lanes.clone()];
            let fine = &mut self.fine[c].as_chunks_mut::<LANES>().0[lanes.clone()];
            let mean = &mut self.mean[c].as_chunks_mut::<LANES>().0[lanes.clone()];
            for i in 0..lanes.len() {
                let free = (u8x16::new(held[i]) | u8x16::new(changed[i])).simd_eq(u8x16::ZERO);
                let target = u16x16::from(u8x16::new(now[i])) << 8_u32 | u16x16::splat(128);
                let moved = toward(u16x16::new(fine[i]), target, rate_where(free));
                fine[i] = moved.to_array();
                mean[i] = narrow(moved >> 8_u32).to_array();
            }
        }
    }

    fn learn_samples(&mut self, picture: &Picture, window: Window, held: &[u8], dt_s: f32) {
        let grid = self.grid;
        let life_s = SAMPLE_LIFE_S.min(self.age_s.max(2.0));
        let rate = (SAMPLES as f32 * dt_s / life_s).min(1.0);
        if rate <= 0.0 {
            return;
        }
        // Gaps between chosen lanes are even random numbers of the wanted mean. Every other time a lane learns what it
        // shows itself, otherwise what is next door (the paper's 3.3): never both at once, for two alike are background.
        let gap = (1.0 / rate) as u32;
        let columns = ((window.right - window.left) / LANES) as u32;
        self.chosen.clear();
        let (mut row, mut lane) = (window.top, self.rng.next_u32() % gap);
        loop {
            row += (lane / columns) as usize;
            lane %= columns;
            if row >= window.bottom {
                break;
            }
            let column = window.left + lane as usize * LANES;
            let random = self.rng.next_u32();
            // Beyond the window there is nothing, or what was there a while ago.
            let y =
                (row + (random >> 16) as usize % 3).saturating_sub(1).clamp(window.top, window.bottom - 1);
            let inner = column > window.left && column + LANES < window.right.min(grid.width);
            let x = if inner { column + (random >> 8) as usize % 3 - 1 } else { column };
            let at = row * grid.stride + column;
            let from = if random & SAMPLES as u32 == 0 { at } else { y * grid.stride + x };
            let sample = random as usize % SAMPLES;
            self.chosen.push(Choice { at: at as u32, from: from as u32, sample: sample as u32 });
            lane += 1 + ((u64::from(random.rotate_left(11)) * u64::from(gap)) >> 32) as u32;
        }
        // They lie far apart, and each would wait for the memory by itself: so one byte of each is asked for first.
        let fetched = self.chosen.iter().fold(0, |all, choice| {
            let Samples { luma, chroma } = &self.samples[choice.at as usize / LANES];
            let sample = choice.sample as usize % SAMPLES;
            all ^ luma[sample][0] ^ chroma[sample][0][0]
        });
        std::hint::black_box(fetched);
        for i in 0..self.chosen.len() {
            self.keep(picture, held, self.chosen[i]);
        }
    }

    /// Keeps what the picture shows as a sample of a lane, but where something is `held`.
    fn keep(&mut self, picture: &Picture, held: &[u8], choice: Choice) {
        let (at, from) = (choice.at as usize, choice.from as usize);
        let kept = self.samples[at / LANES].planes_mut(choice.sample as usize);
        let lane = |plane: &[u8], at: usize| plane[at..].first_chunk::<LANES>().map(|&lane| u8x16::new(lane));
        let (Some(held_here), Some(held_there)) = (lane(held, at), lane(held, from)) else { return };
        let free = (held_here | held_there).simd_eq(u8x16::ZERO);
        for (kept, plane) in kept.into_iter().zip(&picture.planes) {
            let Some(now) = lane(plane, from) else { return };
            *kept = free.bitselect(now, u8x16::new(*kept)).to_array();
        }
    }
}

/// Every [`SPARSE_STEP`]-th sample.
#[inline]
fn sparse(lane: &Lane) -> i32x4 {
    let samples = lane.as_chunks::<SPARSE_STEP>().0;
    i32x4::new(std::array::from_fn(|k| i32::from_le_bytes(samples[k]))) & i32x4::splat(0xFF)
}

/// A mean that moves toward a target by the part `rate`, in 1/65536, of what is missing, rounded down.
#[inline]
fn toward(mean: u16x16, target: u16x16, rate: u16x16) -> u16x16 {
    let (up, down) = (target.saturating_sub(mean), mean.saturating_sub(target));
    mean + up.mul_keep_high(rate) - down.mul_keep_high(rate)
}

/// The low bytes.
#[inline]
fn narrow(values: u16x16) -> u8x16 {
    i8x16::from_i16x16_truncate(values.cast_signed()).cast_unsigned()
}

/// All ones where both luma and chroma are near. The two chroma differences together may be as large
/// as the luma difference: colour carries less noise than light, after the codec's averaging.
#[inline]
fn near(now: [u8x16; 3], then: [u8x16; 3], radius: u8x16) -> u8x16 {
    let colour = apart(now[1], then[1]).saturating_add(apart(now[2], then[2]));
    at_most(apart(now[0], then[0]).max(colour), radius)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Size;

    /// A background that was begun from a grey picture, and a brighter picture.
    fn begun(width: u32, height: u32, brighter: u8) -> (Grid, Background, Picture) {
        let size = Size { width, height };
        let grid = Grid::new(size);
        let mut picture = Picture::new(grid, size);
        picture.planes[0].fill(100);
        let mut background = Background::new(grid);
        background.reset(&picture);
        picture.planes[0].fill(brighter);
        (grid, background, picture)
    }

    proptest! {
        #[test]
        fn a_mean_moves_by_its_part_toward_its_target_and_never_past_it(mean: u16, target: u16, rate: u16) {
            let [moved, ..] = toward(u16x16::splat(mean), u16x16::splat(target), u16x16::splat(rate)).to_array();
            let left = u64::from(mean.abs_diff(target)) * (65536 - u64::from(rate));
            prop_assert_eq!(u64::from(moved.abs_diff(target)), left.div_ceil(65536));
            prop_assert!((mean.min(target)..=mean.max(target)).contains(&moved));
        }

        #[test]
        fn a_pixel_that_enough_samples_resemble_has_not_changed(
            values in prop::collection::vec(90_u8..130, 3 * LANES * (SAMPLES + 1)),
            radius in 2_u8..30,
            changed in prop::collection::vec(0_u8..2, LANES),
        ) {
            let lane = |i: usize| -> Lane { std::array::from_fn(|k| values[i * LANES + k]) };
            let mut samples = Samples { luma: [[0; LANES]; SAMPLES], chroma: [[[0; LANES]; 2]; SAMPLES] };
            for sample in 0..SAMPLES {
                samples.planes_mut(sample).into_iter().enumerate().for_each(|(c, to)| *to = lane(3 * sample + c));
            }
            let now = [0, 1, 2].map(|c| lane(3 * SAMPLES + c));
            let settled = samples.settle(
                now.map(u8x16::new),
                u8x16::splat(radius),
                u8x16::new(std::array::from_fn(|k| changed[k])),
            );
            let settled = settled.to_array();
            for k in 0..LANES {
                let near = |sample: &usize| {
                    let off = [0, 1, 2].map(|c| u32::from(now[c][k].abs_diff(lane(3 * sample + c)[k])));
                    off[0] <= u32::from(radius) && off[1] + off[2] <= u32::from(radius)
                };
                let few = (0..SAMPLES).filter(near).count() < usize::from(MATCHES_MIN);
                prop_assert_eq!(settled[k], changed[k] & u8::from(few));
            }
        }
    }

    #[test]
    fn samples_follow_the_picture_but_not_under_objects() {
        let (grid, mut background, picture) = begun(64, 32, 200);
        let mut held = vec![0; grid.len()];
        held.iter_mut().enumerate().for_each(|(at, held)| *held = u8::from(at % grid.stride < 24));
        let changed = vec![1; grid.len()];
        for _ in 0..100 {
            background.learn(&picture, Window::whole(grid), &held, &changed, 1.0, 0.0);
        }
        let new = |at: usize| {
            background.samples[at / LANES].luma.iter().filter(|lane| lane[at % LANES] == 200).count()
        };
        for (at, &held) in held.iter().enumerate() {
            if held == 1 {
                assert_eq!(new(at), 0, "learned under an object at {at}");
            } else {
                assert!(new(at) > SAMPLES / 2, "{} of {SAMPLES} at {at}", new(at));
            }
        }
    }

    #[test]
    fn the_mean_follows_the_light_outside_the_window_whatever_the_frame_rate() {
        for fps in [5, 8, 10, 20, 25, 30] {
            let (grid, mut background, picture) = begun(64, 32, 106);
            let nothing = vec![0; grid.len()];
            let part = Window { top: 0, bottom: 8, left: 0, right: LANES };
            let frame_s = 1.0 / fps as f32;
            for frame in 1..=60 * fps {
                if frame % fps == 0 {
                    let whole = Window::whole(grid);
                    background.learn(&picture, whole, &nothing, &nothing, frame_s, 1.0 - frame_s);
                } else {
                    background.learn(&picture, part, &nothing, &nothing, frame_s, 0.0);
                }
            }
            let behind = background.mean[0].iter().position(|&mean| mean < 105);
            assert_eq!(behind.map(|at| at / grid.stride), None, "a row is behind at {fps} frames/s");
        }
    }

    #[test]
    fn a_whole_frame_after_others_gives_few_new_samples_but_a_slow_camera_all() {
        let new_samples = |dt_s: f32, missed_s: f32| {
            let (grid, mut background, picture) = begun(320, 200, 200);
            background.age_s = 1000.0;
            let nothing = vec![0; grid.len()];
            for _ in 0..10 {
                background.learn(&picture, Window::whole(grid), &nothing, &nothing, dt_s, missed_s);
            }
            let new = |samples: &Samples| samples.luma.iter().filter(|lane| lane[0] == 200).count();
            background.samples.iter().map(new).sum::<usize>() as f32
        };
        let few = new_samples(0.1, 0.9) / new_samples(WHOLE_FRAME_SAMPLES_S, 0.0);
        assert!((0.95..1.05).contains(&few), "{few}");
        let all = new_samples(1.0, 0.0) / new_samples(0.1, 0.9);
        assert!(all > 2.0, "{all}");
    }
}
