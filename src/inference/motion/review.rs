//! What stays where it is: an object that stands, or a ghost.
//!
//! Nothing is learned under an object, so a place where the background itself has changed (a car drove
//! away, a person was there when the camera started) would stay an object for ever. Every
//! [`TICK_S`] the picture is compared with the last tick; where a changed pixel has kept its value
//! for a while, the region's outline decides: an object has its own edges in the picture, a ghost
//! has them only in the background (Cucchiara et al., PAMI 2003; Cheung & Kamath 2005). Ghosts become
//! background at once; an object does after it has been still for `hold_s`.

use super::background::Background;
use super::blobs::Blobs;
use super::picture::{Grid, Picture};

/// Seconds between two looks.
const TICK_S: f32 = 0.5;
/// Ticks after which a pixel is still.
const STILL_TICKS: u16 = 3;
/// Outlines with fewer pixels say nothing.
const OUTLINE_MIN: u32 = 8;
/// A ghost's outline has at most this part of the contrast that the background has there.
const GHOST_CONTRAST: f32 = 0.6;
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
        self.since_s = 0.0;
        let mut any = false;
        let now = picture.planes[0].iter().zip(&background.radius);
        let kept = self.last.iter_mut().zip(&mut self.ticks).zip(&mut self.still);
        for (((&now, &radius), &changed), ((last, ticks), still)) in now.zip(changed).zip(kept) {
            let same = changed != 0 && now.abs_diff(*last) <= radius;
            *ticks = if same { ticks.saturating_add(1) } else { 0 };
            *still = u8::from(*ticks >= STILL_TICKS);
            any |= *still != 0;
            *last = now;
        }
        if any {
            self.judge(picture, background);
        }
        true
    }

    fn judge(&mut self, picture: &Picture, background: &mut Background) {
        self.blobs.find(&self.still, self.grid);
        let stride = self.grid.stride;
        for blob in 0..self.blobs.all.len() {
            let mut outline = Outline::default();
            let mut ticks = 0_u64;
            let runs = self.blobs.runs.iter().filter(|run| usize::from(run.blob) == blob);
            for run in runs.clone() {
                let start = usize::from(run.row) * stride;
                for column in usize::from(run.from)..usize::from(run.to) {
                    ticks += u64::from(self.ticks[start + column]);
                    outline.add(&self.still, picture, background, (usize::from(run.row), column));
                }
            }
            let mean_s = ticks as f32 / self.blobs.all[blob].area as f32 * TICK_S;
            if outline.is_ghost() || mean_s >= self.hold_s {
                for run in runs {
                    let (row, from, to) = (usize::from(run.row), usize::from(run.from), usize::from(run.to));
                    background.relearn(picture, row, from, to);
                    self.ticks[row * stride + from..row * stride + to].fill(0);
                }
            }
        }
    }
}

/// Contrast along a region's outline, in the picture and in the background.
#[derive(Debug, Default)]
struct Outline {
    pixels: u32,
    now: u32,
    then: u32,
}

impl Outline {
    /// Adds a pixel's steps across the outline, to a place two pixels further out: what blurs an edge is narrower.
    fn add(&mut self, still: &[u8], picture: &Picture, background: &Background, at: (usize, usize)) {
        let (grid, (row, column)) = (picture.grid, at);
        let here = row * grid.stride + column;
        let mut step = |out: usize, edge: usize| {
            if still[edge] == 0 && still[out] == 0 {
                self.pixels += 1;
                self.now += u32::from(picture.planes[0][here].abs_diff(picture.planes[0][out]));
                self.then += u32::from(background.mean[0][here].abs_diff(background.mean[0][out]));
            }
        };
        if column >= 2 {
            step(here - 2, here - 1);
        }
        if column + 2 < grid.width {
            step(here + 2, here + 1);
        }
        if row >= 2 {
            step(here - 2 * grid.stride, here - grid.stride);
        }
        if row + 2 < grid.height {
            step(here + 2 * grid.stride, here + grid.stride);
        }
    }

    fn is_ghost(&self) -> bool {
        let n = self.pixels as f32;
        let (now, then) = (self.now as f32, self.then as f32);
        self.pixels >= OUTLINE_MIN && then >= CONTRAST_MIN * n && now <= GHOST_CONTRAST * then
    }
}
