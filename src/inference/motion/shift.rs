//! How a picture lies beside an earlier one of a camera that was knocked or turned back: turned a little about its middle,
//! and moved. A rigid motion of the picture plane, near enough for small angles; how it is found is not known here.

use super::picture::Grid;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shift {
    /// Pixels of the work grid.
    pub(super) right: f32,
    /// Pixels of the work grid.
    pub(super) down: f32,
    /// Clockwise, in degrees, about the middle of the picture and before it is moved.
    pub(super) turn: f32,
}

impl Shift {
    /// Where the pixel of a column and row comes to, which may be outside the picture.
    pub(super) fn of(self, grid: Grid) -> impl Fn(usize, usize) -> (isize, isize) {
        let (sin, cos) = libm::sincosf(self.turn.to_radians());
        let (middle_x, middle_y) = (grid.width as f32 / 2.0, grid.height as f32 / 2.0);
        move |column, row| {
            let (x, y) = (column as f32 - middle_x, row as f32 - middle_y);
            let (x, y) = (cos * x - sin * y + self.right, sin * x + cos * y + self.down);
            ((x + middle_x).round() as isize, (y + middle_y).round() as isize)
        }
    }

    pub(super) fn inverse(self) -> Self {
        let (sin, cos) = libm::sincosf(self.turn.to_radians());
        Self {
            right: -cos * self.right - sin * self.down,
            down: sin * self.right - cos * self.down,
            turn: -self.turn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Size;

    #[test]
    fn the_inverse_brings_every_pixel_back() {
        let grid = Grid::new(Size { width: 320, height: 240 });
        let shift = Shift { right: 7.0, down: -3.0, turn: 2.0 };
        let (there, back) = (shift.of(grid), shift.inverse().of(grid));
        let (width, height) = (grid.width, grid.height);
        for (column, row) in [(20, 20), (width / 2, height / 3), (width - 20, height - 20)] {
            let (x, y) = there(column, row);
            let (x, y) = back(x as usize, y as usize);
            let off = x.abs_diff(column as isize).max(y.abs_diff(row as isize));
            assert!(off <= 1, "({column}, {row}) comes back to ({x}, {y})");
        }
        // Clockwise where rows count downwards: what is right of the middle comes down.
        let (right, middle) = (there(width - 20, height / 2), there(width / 2, height / 2));
        assert!(right.1 > middle.1);
    }
}
