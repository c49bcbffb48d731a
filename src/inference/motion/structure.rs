//! Where the scene has edges, and whether the picture still has them.
//!
//! Light changes how strong an edge is, hardly where it is nor which of its sides is the brighter one; what is put before
//! the camera, and another view, change just that. So a few of the strongest edges of each tile of the background are
//! kept as signed steps, and counted where the picture has them too: the sign of a step and its ratio to the light around
//! it, which a change of illumination leaves alone (as the order of grey values in Zabih & Woodfill, "Non-parametric
//! Local Transforms", ECCV 1994, and the LBSP of `SuBSENSE`: St-Charles et al., IEEE TIP 2015). A picture of something
//! else has about a third of them by chance.

use super::picture::{Grid, Picture};
use super::shift::Shift;

/// Edges are looked for in tiles of so many pixels, so that they lie everywhere.
const TILE: usize = 16;
/// Edges kept of each tile.
const PER_TILE: usize = 6;
/// Both sides of an edge are so far apart.
const ACROSS: usize = 4;
/// A smaller step (of 255) is no edge.
const STEP_MIN: i16 = 10;
/// An edge is there when this part of its step is.
const STEP_KEPT: f32 = 0.35;
/// And at least so many levels: in the dark, noise has steps too.
const STEP_SEEN: f32 = 2.0;
/// What hides more of the edges than this part is no object in the scene, but before all of it.
const HELD_MAX: f32 = 0.4;
/// Lighter samples than this are clipped, and tell nothing.
const CLIPPED: u8 = 250;

#[derive(Debug, Clone, Copy, Default)]
struct Edge {
    /// Its darker or lighter side.
    at: u32,
    /// How many samples further the other one is.
    apart: u32,
    /// From the one to the other.
    step: i16,
}

impl Edge {
    /// Whether the step is there between the samples of both its sides, which the background has as `then`.
    fn is_seen(&self, now: [u8; 2], then: [u8; 2]) -> bool {
        let [a_now, b_now, a_then, b_then] = [now[0], now[1], then[0], then[1]].map(f32::from);
        let light = (a_now + b_now) / (a_then + b_then).max(1.0);
        let (step, expected) = (b_now - a_now, f32::from(self.step));
        step * expected.signum() >= (STEP_KEPT * expected.abs() * light).max(STEP_SEEN)
    }
}

/// How many of the background's edges were looked for, and found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) looked: u32,
    pub(super) found: u32,
}

impl Tally {
    /// The part that was found; none where fewer than `least` were looked for.
    pub(super) fn part(self, least: u32) -> Option<f32> {
        (self.looked >= least).then(|| self.found as f32 / self.looked as f32)
    }
}

#[derive(Debug)]
pub(super) struct Structure {
    grid: Grid,
    edges: Vec<[Edge; PER_TILE]>,
    /// The row of tiles that is renewed next.
    due: usize,
}

impl Structure {
    pub(super) fn new(grid: Grid) -> Self {
        let tiles = grid.width.div_ceil(TILE) * grid.height.div_ceil(TILE);
        Self { grid, edges: vec![[Edge::default(); PER_TILE]; tiles], due: 0 }
    }

    /// Finds the edges anew, in all tiles.
    pub(super) fn reset(&mut self, mean: &[u8]) {
        for _ in 0..self.grid.height.div_ceil(TILE) {
            self.renew(mean);
        }
    }

    /// Finds the edges anew in the next row of tiles.
    pub(super) fn renew(&mut self, mean: &[u8]) {
        let (grid, across) = (self.grid, self.grid.width.div_ceil(TILE));
        let row = self.due;
        self.due = (row + 1) % grid.height.div_ceil(TILE);
        let bottom = (TILE * (row + 1)).min(grid.height.saturating_sub(ACROSS));
        for (tile, kept) in self.edges[row * across..][..across].iter_mut().enumerate() {
            *kept = [Edge::default(); PER_TILE];
            let right = (TILE * (tile + 1)).min(grid.width.saturating_sub(ACROSS));
            for y in (TILE * row..bottom).step_by(2) {
                for x in (TILE * tile..right).step_by(2) {
                    let at = y * grid.stride + x;
                    let step = |apart: usize| i16::from(mean[at + apart]) - i16::from(mean[at]);
                    let (aside, down) = (step(ACROSS), step(ACROSS * grid.stride));
                    let (apart, step) = if aside.abs() >= down.abs() {
                        (ACROSS, aside)
                    } else {
                        (ACROSS * grid.stride, down)
                    };
                    if step.abs() >= STEP_MIN && step.abs() > kept[PER_TILE - 1].step.abs() {
                        let place = kept.partition_point(|edge| edge.step.abs() >= step.abs());
                        kept[place..].rotate_right(1);
                        kept[place] = Edge { at: at as u32, apart: apart as u32, step };
                    }
                }
            }
        }
    }

    /// Looks for the edges in the picture: all of them, but for those that are `held` where these are few, and those of
    /// them that lie where it has `changed`.
    pub(super) fn compare(
        &self,
        picture: &Picture,
        mean: &[u8],
        held: &[u8],
        changed: &[u8],
    ) -> (Tally, Tally) {
        let now = &picture.planes[0];
        let [mut free, mut behind, mut inside] = [Tally::default(); 3];
        for edge in self.edges.iter().flatten().filter(|edge| edge.step != 0) {
            let (a, b) = (edge.at as usize, (edge.at + edge.apart) as usize);
            if now[a].min(now[b]) >= CLIPPED {
                continue;
            }
            let found = edge.is_seen([now[a], now[b]], [mean[a], mean[b]]);
            let is_held = held[a] | held[b] != 0;
            let all = if is_held { &mut behind } else { &mut free };
            all.looked += 1;
            all.found += u32::from(found);
            if !is_held && (changed[a] | changed[b]) != 0 {
                inside.looked += 1;
                inside.found += u32::from(found);
            }
        }
        if behind.looked as f32 > HELD_MAX * (behind.looked + free.looked) as f32 {
            free.looked += behind.looked;
            free.found += behind.found;
        }
        (free, inside)
    }

    /// Looks for the edges of the background `mean` in a picture that shows it after a shift.
    pub(super) fn compare_shifted(&self, picture: &Picture, mean: &[u8], shift: Shift) -> Tally {
        let (grid, now, place) = (self.grid, &picture.planes[0], shift.of(self.grid));
        let moved = |at: usize| {
            let (column, row) = place(at % grid.stride, at / grid.stride);
            let is_inside =
                (0..grid.height as isize).contains(&row) && (0..grid.width as isize).contains(&column);
            is_inside.then(|| row as usize * grid.stride + column as usize)
        };
        let mut tally = Tally::default();
        for edge in self.edges.iter().flatten().filter(|edge| edge.step != 0) {
            let (a, b) = (edge.at as usize, (edge.at + edge.apart) as usize);
            let (Some(a_now), Some(b_now)) = (moved(a), moved(b)) else { continue };
            let now = [now[a_now], now[b_now]];
            if now[0].min(now[1]) < CLIPPED {
                tally.looked += 1;
                tally.found += u32::from(edge.is_seen(now, [mean[a], mean[b]]));
            }
        }
        tally
    }
}
