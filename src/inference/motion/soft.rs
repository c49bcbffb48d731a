//! Light with soft edges: what a lamp, a headlight or a cloud makes of the ground.
//!
//! The ratio of the picture to the background is smooth where light alone changed: an edge is in it only where a thing
//! begins or ends, or covers the ground's own texture (the retinex assumption: Land & `McCann`, JOSA 1971; for sequences
//! Weiss, "Deriving Intrinsic Images from Image Sequences", ICCV 2001). In tiles of [`TILE`] pixels the second difference
//! of the ratio's logarithm tells smooth ones from rough ones. The smooth middle of a shirt or of a car's roof lies behind
//! the rough tiles of its outline; a smooth region that goes over into the unchanged ground along its border is light. In
//! rough tiles within a large region of light (a kerb, what is clipped) a pixel under the light of the tiles around is
//! light too, and what is left there is a thing that the light falls on.

use super::picture::{Grid, LANES, Picture};

/// A smooth or rough part, pixels.
const TILE: usize = 8;
/// Fewer changed pixels in a tile are none, and fewer rough ones do not make it rough.
const CHANGED_MIN: u16 = 10;
const ROUGH_MIN: u16 = 4;
/// The second difference is taken over twice so many pixels.
const REACH: usize = 4;
/// Steps of the logarithm per octave.
const OCTAVE: f32 = 32.0;
/// Added to samples: near black the ratio is noise.
const DARK: f32 = 4.0;
/// How far the ratio may be from the mean of those on both sides: a part, or so many levels.
const ROUGH_PART: f32 = 0.12;
const ROUGH_LEVELS: f32 = 8.0;
/// Lighter samples are clipped, and not rough among themselves.
const CLIPPED: u8 = 250;
/// Light is white, or nearly so: colour, Cb and Cr together, moves no further.
const COLOUR: u16 = 24;
/// A region of n tiles is light when the unchanged ground meets it along so many times the square root of n tiles,
/// (a disc of n tiles has a border of 3.5 times that), and along this part of its border.
const SOFT_BORDER: f32 = 1.25;
const SOFT_PART: f32 = 0.15;
/// Regions of fewer tiles are left to `light`: soft shadows of people, and faint people.
const LARGE_TILES: usize = 24;
/// A pixel may be so much lighter or darker than the tiles around it would have it.
const LIT_PART: f32 = 0.2;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Ground,
    Smooth,
    Rough,
    /// Smooth, and seen to be light.
    Light,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tile {
    changed: u16,
    /// Luma of the changed pixels, in the picture and in the background.
    now: u32,
    then: u32,
    kind: Kind,
    /// Belongs to a region that was looked at.
    seen: bool,
}

#[derive(Debug)]
pub(super) struct Soft {
    grid: Grid,
    columns: usize,
    rows: usize,
    tiles: Vec<Tile>,
    region: Vec<usize>,
    /// Logarithms of samples, and how far the doubled ratio may be off, by the sample.
    logs: [i16; 256],
    limits: [i16; 256],
}

impl Soft {
    pub(super) fn new(grid: Grid) -> Self {
        let (columns, rows) = (grid.width.div_ceil(TILE), grid.height.div_ceil(TILE));
        let sample = |v: usize| v as f32 + DARK;
        let part = |v: usize| ROUGH_PART.max(ROUGH_LEVELS / sample(v));
        Self {
            grid,
            columns,
            rows,
            tiles: vec![Tile::default(); columns * rows],
            region: Vec::with_capacity(columns * rows),
            logs: std::array::from_fn(|v| (OCTAVE * sample(v).log2()).round() as i16),
            limits: std::array::from_fn(|v| (2.0 * OCTAVE * (1.0 + part(v)).log2()).round() as i16),
        }
    }

    /// Clears in `objects` what is soft light among what has `changed`.
    pub(super) fn remove(
        &mut self,
        picture: &Picture,
        mean: &[Vec<u8>; 3],
        changed: &[u8],
        objects: &mut [u8],
    ) {
        self.tiles.fill(Tile::default());
        if self.measure(picture, mean, changed) && self.find_light() {
            self.clear(picture, &mean[0], objects);
        }
    }

    /// Counts what is changed in each tile, and looks at the tiles of large regions; whether any is smooth.
    fn measure(&mut self, picture: &Picture, mean: &[Vec<u8>; 3], changed: &[u8]) -> bool {
        const HALF: usize = LANES / TILE;
        let lanes = changed.as_chunks::<LANES>().0;
        let stride = self.grid.stride / LANES;
        for (row, lanes) in lanes.chunks_exact(stride).enumerate() {
            let tiles = &mut self.tiles[row / TILE * self.columns..][..self.columns];
            for (lane, tiles) in lanes.iter().zip(tiles.chunks_mut(HALF)) {
                if *lane != [0; LANES] {
                    for (tile, part) in tiles.iter_mut().zip(lane.as_chunks::<TILE>().0) {
                        tile.changed += part.iter().map(|&v| u16::from(v)).sum::<u16>();
                    }
                }
            }
        }
        let mut any = false;
        for first in 0..self.tiles.len() {
            if self.gather(first, |tile| tile.changed >= CHANGED_MIN) < LARGE_TILES {
                continue;
            }
            for i in 0..self.region.len() {
                any |= self.look(self.region[i], picture, mean, changed);
            }
        }
        self.tiles.iter_mut().for_each(|tile| tile.seen = false);
        any
    }

    /// Finds the tiles of a kind that hang together with one, and have not been seen; how many they are.
    fn gather(&mut self, first: usize, is_wanted: impl Fn(&Tile) -> bool) -> usize {
        self.region.clear();
        if !self.tiles[first].seen && is_wanted(&self.tiles[first]) {
            self.tiles[first].seen = true;
            self.region.push(first);
        }
        let mut at = 0;
        while let Some(&tile) = self.region.get(at) {
            at += 1;
            for next in beside(tile, self.columns, self.rows) {
                if !self.tiles[next].seen && is_wanted(&self.tiles[next]) {
                    self.tiles[next].seen = true;
                    self.region.push(next);
                }
            }
        }
        self.region.len()
    }

    /// Tells whether a tile is smooth.
    fn look(&mut self, i: usize, picture: &Picture, mean: &[Vec<u8>; 3], changed: &[u8]) -> bool {
        let (grid, now) = (self.grid, &picture.planes[0]);
        let (top, left) = (i / self.columns * TILE, i % self.columns * TILE);
        let mut tile = self.tiles[i];
        let mut rough = 0;
        for row in top..(top + TILE).min(grid.height) {
            let is_inner = row >= REACH && row + REACH < grid.height;
            for column in left..(left + TILE).min(grid.width) {
                let at = row * grid.stride + column;
                if changed[at] == 0 {
                    continue;
                }
                tile.now += u32::from(now[at]);
                tile.then += u32::from(mean[0][at]);
                let is_inside = is_inner && column >= REACH && column + REACH < grid.width;
                if is_inside && self.is_rough(picture, mean, at) {
                    rough += 1;
                }
            }
        }
        tile.kind = if rough >= ROUGH_MIN { Kind::Rough } else { Kind::Smooth };
        self.tiles[i] = tile;
        tile.kind == Kind::Smooth
    }

    /// Whether the picture is at a place another multiple of the background than on both sides of it, or of another
    /// colour.
    fn is_rough(&self, picture: &Picture, mean: &[Vec<u8>; 3], at: usize) -> bool {
        let now = &picture.planes[0];
        let log = |v: u8| self.logs[usize::from(v)];
        let ratio = |at: usize| log(now[at]) - log(mean[0][at]);
        let (middle, limit) = (2 * ratio(at), self.limits[usize::from(now[at])]);
        let rough = |step: usize| {
            let (a, b) = (at - step, at + step);
            let is_clipped = now[at] >= CLIPPED && now[a].max(now[b]) >= CLIPPED;
            !is_clipped && (middle - ratio(a) - ratio(b)).abs() > limit
        };
        let off = |c: usize| u16::from(picture.planes[c][at].abs_diff(mean[c][at]));
        rough(REACH) || rough(REACH * picture.grid.stride) || off(1) + off(2) > COLOUR
    }

    /// Decides which smooth regions are light; whether there are any.
    fn find_light(&mut self) -> bool {
        let mut any = false;
        for first in 0..self.tiles.len() {
            let n = self.gather(first, |tile| tile.kind == Kind::Smooth);
            if n < LARGE_TILES {
                continue;
            }
            let (mut soft, mut hard) = (0, 0);
            for next in self.region.iter().flat_map(|&tile| beside(tile, self.columns, self.rows)) {
                match self.tiles[next].kind {
                    Kind::Ground => soft += 1,
                    Kind::Rough => hard += 1,
                    Kind::Smooth | Kind::Light => {}
                }
            }
            if soft as f32 >= SOFT_BORDER * (n as f32).sqrt()
                && soft as f32 >= SOFT_PART * (soft + hard) as f32
            {
                any = true;
                for i in 0..self.region.len() {
                    self.tiles[self.region[i]].kind = Kind::Light;
                }
            }
        }
        any
    }

    fn clear(&self, picture: &Picture, mean: &[u8], objects: &mut [u8]) {
        let (grid, now) = (self.grid, &picture.planes[0]);
        for (i, tile) in self.tiles.iter().enumerate() {
            let (least, most) = match tile.kind {
                Kind::Light => (0.0, f32::MAX),
                Kind::Rough | Kind::Ground if tile.changed > 0 => match self.gains_around(i) {
                    Some((least, most)) => (least * (1.0 - LIT_PART), most * (1.0 + LIT_PART)),
                    None => continue,
                },
                _ => continue,
            };
            let (top, left) = (i / self.columns * TILE, i % self.columns * TILE);
            for row in top..(top + TILE).min(grid.height) {
                for at in row * grid.stride + left..row * grid.stride + (left + TILE).min(grid.width) {
                    let (now, then) = (f32::from(now[at]) + DARK, f32::from(mean[at]) + DARK);
                    if objects[at] != 0 && (least * then..=most * then).contains(&now) {
                        objects[at] = 0;
                    }
                }
            }
        }
    }

    /// The least and the largest gain in the tiles of large lights around a tile.
    fn gains_around(&self, tile: usize) -> Option<(f32, f32)> {
        let (x, y) = (tile % self.columns, tile / self.columns);
        let mut range: Option<(f32, f32)> = None;
        for y in y.saturating_sub(1)..(y + 2).min(self.rows) {
            for x in x.saturating_sub(1)..(x + 2).min(self.columns) {
                let tile = &self.tiles[y * self.columns + x];
                if tile.kind == Kind::Light {
                    let n = f32::from(tile.changed) * DARK;
                    let gain = (tile.now as f32 + n) / (tile.then as f32 + n);
                    range = Some(range.map_or((gain, gain), |(a, b)| (a.min(gain), b.max(gain))));
                }
            }
        }
        range
    }
}

/// The tiles that share a side with one.
fn beside(tile: usize, columns: usize, rows: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (tile % columns, tile / columns);
    let sides = [
        (x > 0).then(|| tile - 1),
        (x + 1 < columns).then_some(tile + 1),
        (y > 0).then(|| tile - columns),
        (y + 1 < rows).then_some(tile + columns),
    ];
    sides.into_iter().flatten()
}
