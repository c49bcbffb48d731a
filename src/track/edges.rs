//! The edges of boxes that come from left to right: which of them meet a given one.
//!
//! Only a run of them is within reach along x. In that run the other axis is compared edge by edge,
//! from arrays that are read in order and without a branch that can't be foreseen: in a crowd this is
//! where a tracker spends its time. All buffers are reused.

use crate::model::BBox;

/// Edges in columns.
#[derive(Debug, Default)]
pub(super) struct Edges {
    left: Vec<f64>,
    top: Vec<f64>,
    bottom: Vec<f64>,
    widest: f64,
    meeting: Vec<usize>,
}

impl Edges {
    /// Takes other boxes, which come by their left edge.
    pub(super) fn fill(&mut self, boxes: impl Iterator<Item = BBox>) {
        [&mut self.left, &mut self.top, &mut self.bottom].into_iter().for_each(Vec::clear);
        self.widest = 0.0;
        for b in boxes {
            self.left.push(b.left);
            self.top.push(b.top);
            self.bottom.push(b.bottom());
            self.widest = self.widest.max(b.width);
        }
        debug_assert!(self.left.is_sorted());
        self.meeting.resize(self.left.len(), 0);
    }

    /// The width of the widest.
    pub(super) fn widest(&self) -> f64 {
        self.widest
    }

    /// The first box that may reach `left` or beyond, looked for around the place `near`: who asks from
    /// left to right gives the last answer, and gets the next one in a step or two.
    pub(super) fn first_reaching(&self, left: f64, near: usize) -> usize {
        let short = left - self.widest;
        let before = self.left[..near].iter().rev().take_while(|l| **l >= short).count();
        let after = self.left[near - before..].iter().take_while(|l| **l < short).count();
        near - before + after
    }

    /// Boxes from `first` on that may share an area with `b`; none that does is missing.
    pub(super) fn meeting(&mut self, b: BBox, first: usize) -> &[usize] {
        let (right, bottom) = (b.right(), b.bottom());
        let mut count = 0;
        let edges = self.left[first..].iter().zip(&self.top[first..]).zip(&self.bottom[first..]);
        for (index, ((left, top), low)) in edges.enumerate() {
            if *left >= right {
                break;
            }
            // Written always, kept where it counts.
            self.meeting[count] = first + index;
            count += usize::from(*top < bottom) & usize::from(*low > b.top);
        }
        &self.meeting[..count]
    }
}
