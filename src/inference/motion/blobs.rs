//! Connected components of a mask, from its runs.
//!
//! Rows are cut into runs of set pixels; runs that touch in neighbouring rows (8-connectivity) are
//! joined by union-find (Rosenfeld & Pfaltz 1966; run-based as in He, Chao & Suzuki, IEEE TIP 2008).
//! The work depends on what is set, not on the picture's size. When a mask has more than
//! [`RUNS_MAX`] runs it is noise rather than objects: the rest is left out and [`Blobs::full`] says so.

use std::ops::Range;

use wide::u8x16;

use super::picture::{Grid, LANES, Lane};
use super::window::Window;

/// Most runs of one mask.
pub(super) const RUNS_MAX: usize = 8192;
/// Most blobs of one mask; more are left out, too.
pub(super) const BLOBS_MAX: usize = 512;
/// In [`Run::blob`]: belongs to no blob that is kept.
pub(super) const NO_BLOB: u16 = u16::MAX;

/// Set pixels next to one another in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) row: u16,
    pub(super) from: u16,
    /// One past the last column.
    pub(super) to: u16,
    /// Index into [`Blobs::all`].
    pub(super) blob: u16,
}

/// A rectangle on the work grid; the right and lower edges are one past the last pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) right: usize,
    pub(super) bottom: usize,
}

impl Rect {
    pub(super) fn width(self) -> usize {
        self.right - self.left
    }

    pub(super) fn height(self) -> usize {
        self.bottom - self.top
    }

    /// With so many pixels more on each side, as far as the grid goes.
    pub(super) fn grown(self, by: usize, grid: Grid) -> Self {
        Self {
            left: self.left.saturating_sub(by),
            top: self.top.saturating_sub(by),
            right: (self.right + by).min(grid.width),
            bottom: (self.bottom + by).min(grid.height),
        }
    }

    pub(super) fn contains(self, column: usize, row: usize) -> bool {
        (self.left..self.right).contains(&column) && (self.top..self.bottom).contains(&row)
    }

    pub(super) fn union(self, o: Self) -> Self {
        Self {
            left: self.left.min(o.left),
            top: self.top.min(o.top),
            right: self.right.max(o.right),
            bottom: self.bottom.max(o.bottom),
        }
    }
}

/// A connected component.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blob {
    pub(super) rect: Rect,
    /// Set pixels.
    pub(super) area: usize,
}

#[derive(Debug)]
pub(super) struct Blobs {
    pub(super) runs: Vec<Run>,
    pub(super) all: Vec<Blob>,
    /// Something was left out.
    pub(super) full: bool,
    sets: Sets,
}

impl Blobs {
    pub(super) fn new() -> Self {
        Self {
            runs: Vec::with_capacity(RUNS_MAX),
            all: Vec::with_capacity(BLOBS_MAX),
            full: false,
            sets: Sets::with_capacity(RUNS_MAX),
        }
    }

    /// Finds the components of a mask of zeros and ones within a window, outside of which nothing is set.
    pub(super) fn find(&mut self, mask: &[u8], grid: Grid, window: Window) {
        self.runs.clear();
        self.all.clear();
        self.sets.clear();
        self.full = false;
        let mut above = 0..0;
        for row in window.top..window.bottom {
            let start = self.runs.len();
            let lanes = mask[row * grid.stride..][window.left..window.right].as_chunks().0;
            self.cut(row, window.left, lanes);
            let here = start..self.runs.len();
            self.join(above, here.clone());
            above = here;
        }
        self.collect();
    }

    /// Cuts a row, from column `left` on, into runs.
    fn cut(&mut self, row: usize, left: usize, lanes: &[Lane]) {
        let mut open = None;
        for (lane, &set) in lanes.iter().enumerate() {
            let set = u8x16::new(set).simd_eq(u8x16::ONE).to_bitmask();
            // Where a pixel is not as the one before it.
            let mut edges = (set ^ (set << 1 | u32::from(open.is_some()))) & 0xFFFF;
            while edges != 0 {
                let column = left + lane * LANES + edges.trailing_zeros() as usize;
                edges &= edges - 1;
                match open.take() {
                    None => open = Some(column),
                    Some(from) => self.push(row, from, column),
                }
            }
        }
        if let Some(from) = open {
            self.push(row, from, left + lanes.len() * LANES);
        }
    }

    fn push(&mut self, row: usize, from: usize, to: usize) {
        if self.runs.len() == RUNS_MAX {
            self.full = true;
            return;
        }
        self.runs.push(Run { row: row as u16, from: from as u16, to: to as u16, blob: NO_BLOB });
        self.sets.push();
    }

    fn join(&mut self, mut above: Range<usize>, here: Range<usize>) {
        for j in here {
            let run = self.runs[j];
            // Diagonal neighbours touch: columns may be next to one another.
            while above.start < above.end && self.runs[above.start].to < run.from {
                above.start += 1;
            }
            for i in above.clone() {
                if self.runs[i].from > run.to {
                    break;
                }
                self.sets.join(i, j);
            }
        }
    }

    fn collect(&mut self) {
        // A set's root is its first run, so a root is met before the rest of its set.
        for i in 0..self.runs.len() {
            let root = self.sets.root(i);
            let run = self.runs[i];
            let rect = Rect {
                left: usize::from(run.from),
                top: usize::from(run.row),
                right: usize::from(run.to),
                bottom: usize::from(run.row) + 1,
            };
            let area = rect.width();
            if root == i {
                if self.all.len() == BLOBS_MAX {
                    self.full = true;
                    continue;
                }
                self.runs[i].blob = self.all.len() as u16;
                self.all.push(Blob { rect, area });
            } else if let Some(blob) = self.all.get_mut(usize::from(self.runs[root].blob)) {
                blob.rect = blob.rect.union(rect);
                blob.area += area;
                self.runs[i].blob = self.runs[root].blob;
            }
        }
    }
}

/// Disjoint sets of small numbers; the smallest member is the root.
#[derive(Debug)]
pub(super) struct Sets {
    parents: Vec<u16>,
}

impl Sets {
    pub(super) fn with_capacity(n: usize) -> Self {
        Self { parents: Vec::with_capacity(n) }
    }

    pub(super) fn clear(&mut self) {
        self.parents.clear();
    }

    /// Adds a set with one member: the next number.
    pub(super) fn push(&mut self) {
        self.parents.push(self.parents.len() as u16);
    }

    pub(super) fn root(&mut self, mut i: usize) -> usize {
        while usize::from(self.parents[i]) != i {
            // Path halving.
            self.parents[i] = self.parents[usize::from(self.parents[i])];
            i = usize::from(self.parents[i]);
        }
        i
    }

    pub(super) fn join(&mut self, i: usize, j: usize) {
        let (a, b) = (self.root(i), self.root(j));
        self.parents[a.max(b)] = a.min(b) as u16;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Size;

    /// Removes the component at a place by flood fill; its area.
    fn flood(mask: &mut [u8], grid: Grid, x: usize, y: usize) -> usize {
        let mut open = vec![(x, y)];
        let mut area = 0;
        while let Some((x, y)) = open.pop() {
            if std::mem::take(&mut mask[y * grid.stride + x]) == 0 {
                continue;
            }
            area += 1;
            for ny in y.saturating_sub(1)..=(y + 1).min(grid.height - 1) {
                for nx in x.saturating_sub(1)..=(x + 1).min(grid.width - 1) {
                    open.push((nx, ny));
                }
            }
        }
        area
    }

    proptest! {
        #[test]
        fn components_are_those_of_a_flood_fill(width in 1_u32..40, height in 1_u32..20, bits in prop::collection::vec(0_u8..3, 800)) {
            let grid = Grid::new(Size { width, height });
            let mut mask = vec![0; grid.len()];
            for (row, values) in mask.chunks_exact_mut(grid.stride).enumerate() {
                for (column, value) in values[..grid.width].iter_mut().enumerate() {
                    *value = u8::from(bits[row * grid.width + column] == 0);
                }
            }
            let mut blobs = Blobs::new();
            blobs.find(&mask, grid, Window::whole(grid));
            let mut areas: Vec<usize> = blobs.all.iter().map(|b| b.area).collect();
            let mut expected = Vec::new();
            for y in 0..grid.height {
                for x in 0..grid.width {
                    let area = flood(&mut mask, grid, x, y);
                    expected.extend((area > 0).then_some(area));
                }
            }
            areas.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(areas, expected);
            for run in &blobs.runs {
                let rect = blobs.all[usize::from(run.blob)].rect;
                prop_assert!(rect.left <= usize::from(run.from) && usize::from(run.to) <= rect.right);
                prop_assert!((rect.top..rect.bottom).contains(&usize::from(run.row)));
            }
        }
    }

    #[test]
    fn a_mask_of_nothing_but_noise_is_cut_off_and_says_so() {
        let grid = Grid::new(Size { width: 300, height: 290 });
        let mask: Vec<u8> = (0..grid.len())
            .map(|i| u8::from(i.is_multiple_of(2) && (i / grid.stride).is_multiple_of(2)))
            .collect();
        let mut blobs = Blobs::new();
        blobs.find(&mask, grid, Window::whole(grid));
        assert!(blobs.full);
        assert_eq!((blobs.runs.len(), blobs.all.len()), (RUNS_MAX, BLOBS_MAX));
    }
}
