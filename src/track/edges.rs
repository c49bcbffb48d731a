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
    }

    /// The width of the widest.
    pub(super) fn widest(&self) -> f64 {
        self.widest
    }

    /// The first box that may reach `left` or beyond; not before `from`, which is known to be short.
    pub(super) fn first_reaching(&self, left: f64, from: usize) -> usize {
        let short = |l: &&f64| **l < left - self.widest;
        from + self.left[from..].iter().take_while(short).count()
    }

    /// Boxes from `first` on that may share an area with `b`; none that does is missing.
    pub(super) fn meeting(&mut self, b: BBox, first: usize) -> &[usize] {
        let (right, bottom) = (b.right(), b.bottom());
        let run = self.left[first..].iter().take_while(|l| **l < right).count();
        self.meeting.clear();
        self.meeting.resize(run, 0);
        let mut count = 0;
        let edges = self.top[first..first + run].iter().zip(&self.bottom[first..first + run]);
        for (index, (top, low)) in edges.enumerate() {
            // Written always, kept where it counts.
            self.meeting[count] = first + index;
            count += usize::from(*top < bottom) & usize::from(*low > b.top);
        }
        &self.meeting[..count]
    }
}
