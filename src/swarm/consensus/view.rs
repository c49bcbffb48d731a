//! Which part of its footprint a camera really sees.
//!
//! A footprint is drawn from the calibration: it knows nothing of the tree, the lorry and the pillar. So each
//! camera compares, cell by cell of [`CELL_M`], where others see people with whether it sees them too. Where
//! it hardly ever does something stands before the place, or the view is dead there: a camera that knows
//! this abstains, instead of denying what it can't see. What is never compared counts as seen.
//!
//! At most [`CELLS_MAX`] cells (96 kB); beyond them nothing new is learned. Old comparisons fade, so that a
//! lorry that drives off is forgotten.

use std::collections::BTreeMap;

use crate::model::{Point, Polygon};

/// Width of a cell, metres: as far as two cameras differ about somebody's place.
const CELL_M: f64 = 1.5;
/// Cells that are remembered: 9,000 m².
const CELLS_MAX: usize = 4_096;
/// Comparisons before anything is concluded.
const COMPARED_MIN: u16 = 12;
/// Less than this part of the people seen is a place that is not seen.
const SEEN_MIN: f64 = 0.25;
/// Comparisons after which they are halved.
const COMPARED_MAX: u16 = 120;

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    compared: u16,
    seen: u16,
}

/// What a camera knows of its own view.
#[derive(Debug, Clone)]
pub(super) struct View {
    footprint: Option<Polygon>,
    cells: BTreeMap<(i32, i32), Cell>,
}

impl View {
    pub(super) fn new(footprint: Option<Polygon>) -> Self {
        Self { footprint, cells: BTreeMap::new() }
    }

    /// Somebody is here by the word of others; `seen`: by ours too.
    pub(super) fn compare(&mut self, at: Point, seen: bool) {
        if !self.covers(at) {
            return;
        }
        let place = cell(at);
        if self.cells.len() >= CELLS_MAX && !self.cells.contains_key(&place) {
            return;
        }
        let cell = self.cells.entry(place).or_default();
        if cell.compared >= COMPARED_MAX {
            (cell.compared, cell.seen) = (cell.compared / 2, cell.seen / 2);
        }
        cell.compared += 1;
        cell.seen += u16::from(seen);
    }

    /// Whether a place lies in its footprint.
    pub(super) fn covers(&self, at: Point) -> bool {
        self.footprint.as_ref().is_some_and(|f| f.contains(at))
    }

    /// Whether somebody at this place would be seen.
    pub(super) fn sees(&self, at: Point) -> bool {
        let is_blind =
            |c: &Cell| c.compared >= COMPARED_MIN && f64::from(c.seen) < SEEN_MIN * f64::from(c.compared);
        self.covers(at) && !self.cells.get(&cell(at)).is_some_and(is_blind)
    }
}

fn cell(at: Point) -> (i32, i32) {
    ((at.x / CELL_M).floor() as i32, (at.y / CELL_M).floor() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_where_others_see_people_and_we_never_do_is_not_seen_until_we_do() {
        let square = [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)].map(|(x, y)| Point::new(x, y));
        let mut view = View::new(Polygon::new(square.to_vec()).ok());
        let (behind_the_tree, outside) = (Point::new(4.0, 4.0), Point::new(20.0, 4.0));
        assert!(view.sees(behind_the_tree) && !view.sees(outside));
        for _ in 0..COMPARED_MIN {
            view.compare(behind_the_tree, false);
            view.compare(Point::new(7.0, 7.0), true);
        }
        assert!(!view.sees(behind_the_tree) && view.sees(Point::new(7.0, 7.0)));
        for _ in 0..COMPARED_MIN {
            view.compare(behind_the_tree, true);
        }
        assert!(view.sees(behind_the_tree));
    }
}
