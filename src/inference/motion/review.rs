//! What stays where it is: an object that stands, or a ghost.
//!
//! Nothing is learned under an object, so a place where the background itself has changed (a car drove
//! away, a person was there when the camera started) would stay an object for ever. Every
//! [`TICK_S`] the picture is compared with the last tick; where a changed pixel has kept its value
//! for a while, the region's outline decides: an object has its own edges in the picture, a ghost
//! has them only in the background (Cucchiara et al., PAMI 2003; Cheung & Kamath 2005). Ghosts become
//! background at once; an object does after it has been still for `hold_s`.

use wide::{i16x16, u8x16, u16x16};

use super::background::Background;
use super::blobs::Blobs;
use super::picture::{Grid, LANES, Picture, apart, at_most};
use super::window::Window;

/// Seconds between two looks.
const TICK_S: f32 = 0.5;
/// Ticks after which a pixel is still.
const STILL_TICKS: u16 = 2;
/// Outlines with fewer pixels say nothing.
const OUTLINE_MIN: u32 = 8;
/// A region is a ghost when at least this part of its outline is seen, and has at most this part of the contrast that the
/// background has there.
const GHOST: (f32, f32) = (0.5, 0.6);
/// The same for a region that has been still for less than [`SURE_S`]: traffic never uncovers a ghost for longer, and an
/// object that stands for a moment has plain edges.
const YOUNG_GHOST: (f32, f32) = (0.8, 0.3);
const SURE_S: f32 = 1.5;
/// Mean contrast per outline pixel (levels of 255) below which there is no outline at all.
const CONTRAST_MIN: f32 = 6.0;

#[derive(Debug)]
pub(super) struct Review {
    grid: Grid,
    hold_s: f32,
    /// Luma at the last tick.
    last: Vec<u8>,
    /// Ticks for which a changed pixel has not changed again.
    ticks: Vec<u16>,
    /// Still pixels.
    still: Vec<u8>,
    blobs: Blobs,
    since_s: f32,
}

impl Review {
    pub(super) fn new(grid: Grid, hold_s: f32) -> Self {
        Self {
            grid,
            hold_s,
            last: vec![0; grid.len()],
            ticks: vec![0; grid.len()],
            still: vec![0; grid.len()],
            blobs: Blobs::new(),
            since_s: 0.0,
        }
    }

    pub(super) fn reset(&mut self) {
        self.ticks.fill(0);
        self.since_s = 0.0;
    }

    /// Looks at what is `changed` when a tick is due; whether it was.
    pub(super) fn look(
        &mut self,
        picture: &Picture,
        background: &mut Background,
        changed: &[u8],
        dt_s: f32,
    ) -> bool {
        self.since_s += dt_s;
        if self.since_s < TICK_S {
            return false;
        }
        // More than one when not every frame is looked at whole.
        let passed = (self.since_s / TICK_S) as u16;
        self.since_s = 0.0;
        let [now, radius, changed_lanes] =
            [&picture.planes[0], &background.radius, changed].map(|plane| plane.as_chunks::<LANES>().0);
        let last = self.last.as_chunks::<LANES>().0;
        let ticks = self.ticks.as_chunks_mut::<LANES>().0;
        let still = self.still.as_chunks_mut::<LANES>().0;
        let (passed, enough) = (u16x16::splat(passed), u16x16::splat(STILL_TICKS - 1));
        let mut is_any = false;
        for (i, lane) in changed_lanes.iter().enumerate() {
            let changed = u8x16::new(*lane).simd_eq(u8x16::ONE);
            if changed == u8x16::ZERO {
                (ticks[i], still[i]) = ([0; LANES], [0; LANES]);
                continue;
            }
            let same =
                changed & at_most(apart(u8x16::new(now[i]), u8x16::new(last[i])), u8x16::new(radius[i]));
            let same = i16x16::from_i8x16(same.cast_signed()).cast_unsigned();
            let lasted = u16x16::new(ticks[i]).saturating_add(passed) & same;
            ticks[i] = lasted.to_array();
            still[i] = lasted.saturating_sub(enough).to_array().map(|beyond| u8::from(beyond > 0));
            is_any |= still[i] != [0; LANES];
        }
        self.last.copy_from_slice(&picture.planes[0]);
        if is_any {
            self.judge(picture, background, changed);
        }
        true
    }

    fn judge(&mut self, picture: &Picture, background: &mut Background, changed: &[u8]) {
        self.blobs.find(&self.still, self.grid, Window::whole(self.grid));
        let stride = self.grid.stride;
        for blob in 0..self.blobs.all.len() {
            let mut outline = Outline::default();
            let mut ticks = 0_u64;
            let runs = self.blobs.runs.iter().filter(|run| usize::from(run.blob) == blob);
            for run in runs.clone() {
                let start = usize::from(run.row) * stride;
                for column in usize::from(run.from)..usize::from(run.to) {
                    ticks += u64::from(self.ticks[start + column]);
                    outline.add(&self.still, changed, picture, background, start + column);
                }
            }
            let mean_s = ticks as f32 / self.blobs.all[blob].area as f32 * TICK_S;
            let ghost = if mean_s < SURE_S { YOUNG_GHOST } else { GHOST };
            if outline.is_ghost(ghost) || mean_s >= self.hold_s {
                for run in runs {
                    let (row, from, to) = (usize::from(run.row), usize::from(run.from), usize::from(run.to));
                    background.relearn(picture, row, from, to);
                    self.ticks[row * stride + from..row * stride + to].fill(0);
                }
            }
        }
    }
}

/// Contrast along the part of a region's outline where the background begins, in the picture and in
/// the background.
#[derive(Debug, Default)]
struct Outline {
    /// Pixels of the whole outline, inner borders to what is changed but not still included.
    all: u32,
    /// Pixels where the background begins.
    outer: u32,
    now: u32,
    then: u32,
}

impl Outline {
    /// Adds a pixel's steps across the outline, to a place two pixels away: what blurs an edge is narrower.
    fn add(&mut self, still: &[u8], changed: &[u8], picture: &Picture, background: &Background, here: usize) {
        let stride = picture.grid.stride as isize;
        let (luma, mean) = (&picture.planes[0], &background.mean[0]);
        for step in [-1, 1, -stride, stride] {
            let at = |steps: isize| here.checked_add_signed(step * steps).filter(|&at| at < still.len());
            let (Some(edge), Some(out)) = (at(1), at(2)) else { continue };
            if still[edge] != 0 || still[out] != 0 {
                continue;
            }
            self.all += 1;
            if changed[out] == 0 {
                self.outer += 1;
                self.now += u32::from(luma[here].abs_diff(luma[out]));
                self.then += u32::from(mean[here].abs_diff(mean[out]));
            }
        }
    }

    fn is_ghost(&self, (part, contrast): (f32, f32)) -> bool {
        let (all, outer) = (self.all as f32, self.outer as f32);
        let (now, then) = (self.now as f32, self.then as f32);
        // Most of the outline must be seen: the inside of someone who stirs has none of its own.
        self.outer >= OUTLINE_MIN
            && outer >= part * all
            && then >= CONTRAST_MIN * outer
            && now <= contrast * then
    }
}
