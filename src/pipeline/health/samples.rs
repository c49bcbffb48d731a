//! A sparse look at a picture: 32 x 18 cells of 4 x 4 luma samples.
//!
//! A look reads 27,648 samples at any picture size.

use crate::model::Image;

/// Columns and rows of cells.
const COLUMNS: usize = 32;
const ROWS: usize = 18;
/// Samples of a cell along each side.
const SIDE: usize = 4;
/// Cells of a picture.
pub(super) const CELLS: usize = COLUMNS * ROWS;
/// Samples of a cell.
pub(super) const PER_CELL: usize = SIDE * SIDE;
/// A step in luma from a sample to its neighbor that is noise.
const NOISE: u8 = 4;
/// The neighbor is this part of the picture's width away, at least a pixel.
const NEIGHBOR: usize = 320;

/// A cell of a picture.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cell {
    /// Its samples.
    pub(super) luma: [u8; PER_CELL],
    /// Their mean.
    pub(super) mean: f32,
    /// Sum of squared steps above noise from the samples to their neighbors.
    pub(super) gradient: f32,
}

/// The samples of a picture.
#[derive(Debug)]
pub(super) struct Samples {
    pub(super) cells: Vec<Cell>,
}

impl Samples {
    pub(super) fn new() -> Self {
        Self { cells: vec![Cell::default(); CELLS] }
    }

    /// Replaces them by those of this picture, which is not empty.
    pub(super) fn take(&mut self, image: &Image) {
        let (width, height) = (image.size().width as usize, image.size().height as usize);
        let luma = image.luma();
        let apart = (width / NEIGHBOR).max(1);
        let columns: [usize; COLUMNS * SIDE] =
            std::array::from_fn(|column| (2 * column + 1) * width / (2 * COLUMNS * SIDE));
        for (row, cells) in self.cells.chunks_exact_mut(COLUMNS).enumerate() {
            let mut sums = [[0_u32; 2]; COLUMNS];
            for (place, line) in (row * SIDE..).zip(0..SIDE) {
                let y = (2 * place + 1) * height / (2 * ROWS * SIDE);
                let here = &luma[y * width..][..width];
                let below = &luma[(y + apart).min(height - 1) * width..][..width];
                for ((cell, sums), columns) in cells.iter_mut().zip(&mut sums).zip(columns.chunks_exact(SIDE))
                {
                    for (sample, &x) in cell.luma[line * SIDE..][..SIDE].iter_mut().zip(columns) {
                        *sample = here[x];
                        let aside = here[(x + apart).min(width - 1)];
                        let step =
                            sample.abs_diff(aside).max(sample.abs_diff(below[x])).saturating_sub(NOISE);
                        sums[0] += u32::from(*sample);
                        sums[1] += u32::from(step).pow(2);
                    }
                }
            }
            for (cell, [mean, gradient]) in cells.iter_mut().zip(sums) {
                cell.mean = mean as f32 / PER_CELL as f32;
                cell.gradient = gradient as f32;
            }
        }
    }
}
