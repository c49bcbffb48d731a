//! The picture as a whole: another light, another view, a covered lens.
//!
//! Objects come in from the side, a part of the picture at a time. When a larger part changes from one frame to the next,
//! the edges that the background has there (`structure`) tell what it was. They are still there: the light changed, or the
//! camera went from grey to colour, and what is seen is the background from now on, but for the objects that were known
//! before; for [`SETTLE_S`], in which exposure settles, what changes is learned at once and nothing new is an object. They
//! are gone all over the picture: nothing is learned and nothing found until they come back, or a view that stands still
//! has been seen for [`LOST_S`], with edges of its own: then that one is learned. One without edges is something that
//! covers the lens, and the background behind it is kept.

use super::picture::{Grid, Picture, SPARSE_STEP};
use super::structure::Structure;
use crate::inference::View;

/// Less than this part of the picture being changed is not looked into.
const CHANGED_MIN: f32 = 0.02;
/// So much of the picture more than in the last frame is changed: no object comes in like that.
const JUMP: f32 = 0.12;
/// So much more of the picture than usual is not as it was a frame ago: the light of all of it changes. In rain a third of
/// it never is.
const FLASH: f32 = 0.3;
/// At most so much more than usual of a view that stands still is not as it was a frame ago.
const STIRRING: f32 = 0.1;
/// A difference in luma that is none, between two frames.
const SAME: u8 = 12;
/// Fewer edges say nothing about the view, or about what changed in a part of it.
const EDGES_MIN: u32 = 60;
const INSIDE_MIN: u32 = 20;
/// The view is another one when less than this part of the edges is there: by chance, about a third is.
const VIEW_KEPT: f32 = 0.4;
/// And it is found again when at least this part is there.
const VIEW_FOUND: f32 = 0.55;
/// Where less than this part is there usually, the camera shakes or the picture is noise, and edges say nothing. That is
/// averaged over so long, after the first seconds. So is what is not as it was a frame ago.
const USUAL_MIN: f32 = 0.65;
const USUAL_LIFE_S: f32 = 20.0;
const MOVED_LIFE_S: f32 = 5.0;
const YOUNG_S: f32 = 2.0;
/// The light changed when at least this part of the edges is there where the picture changed.
const LIGHT_KEPT: f32 = 0.5;
/// A view has edges of its own when it has this part of as many sharp ones as the background.
const OWN_EDGES: f32 = 0.12;
/// Another view is learned after so long, seconds.
const LOST_S: f32 = 1.0;
/// After a change the picture is learned as it comes for so long, seconds.
const SETTLE_S: f32 = 1.0;
/// And called a new scene for so long, seconds.
const NEW_S: f32 = 3.0;

/// What to do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As always.
    Ordinary,
    /// All of it is background, but for known objects.
    Relight,
    /// All of it is background.
    Begin,
    /// Nothing is to be learned from it, nor found in it.
    Skip,
}

#[derive(Debug)]
pub(super) struct Watch {
    grid: Grid,
    pub(super) structure: Structure,
    /// Luma of the last frame, in every second row of the sparse grid.
    last: Vec<u8>,
    /// Part of the picture that was changed in the last frame.
    before: f32,
    lost_s: f32,
    /// The part of the edges that is usually there.
    usual: f32,
    /// The part of the picture that is usually not as it was a frame ago.
    usual_moved: f32,
    /// Since it began, or the light changed.
    age_s: f32,
    settle_s: f32,
    new_s: f32,
    view: View,
}

/// What a frame is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) picture: &'a Picture,
    pub(super) mean: &'a [u8],
    pub(super) held: &'a [u8],
    pub(super) changed: &'a [u8],
    /// The part of the picture that is changed.
    pub(super) part: f32,
    pub(super) dt_s: f32,
}

impl Watch {
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            grid,
            structure: Structure::new(grid),
            last: vec![0; grid.len()],
            before: 0.0,
            lost_s: 0.0,
            usual: 1.0,
            usual_moved: 0.0,
            age_s: 0.0,
            settle_s: 0.0,
            new_s: 0.0,
            view: View::Steady,
        }
    }

    /// What the picture is worth.
    pub(super) fn view(&self) -> View {
        self.view
    }

    /// Whether the camera stands still enough for edges to say something.
    pub(super) fn knows_edges(&self) -> bool {
        self.usual >= USUAL_MIN
    }

    /// Whether what changes is learned at once, and nothing new is an object.
    pub(super) fn is_settling(&self) -> bool {
        self.settle_s > 0.0
    }

    /// Whether each frame has to be looked at whole.
    pub(super) fn is_alert(&self) -> bool {
        self.settle_s > 0.0 || self.lost_s > 0.0
    }

    /// The background that was begun is one that the camera had before.
    pub(super) fn find(&mut self, is_moved: bool) {
        self.settle_s = 0.0;
        if !is_moved {
            (self.new_s, self.view) = (0.0, View::Steady);
        }
    }

    /// Whether the edges of the background are gone, as they are once the camera was turned.
    pub(super) fn is_lost(&self) -> bool {
        self.lost_s > 0.0
    }

    /// A background was begun from a picture.
    pub(super) fn begin(&mut self, picture: &Picture, mean: &[u8]) {
        self.moved(picture);
        self.structure.reset(mean);
        self.before = 0.0;
        self.lost_s = 0.0;
        self.usual = 1.0;
        self.age_s = 0.0;
    }

    /// Judges a frame that was looked at whole.
    pub(super) fn judge(&mut self, seen: Seen<'_>) -> Verdict {
        let moved = self.moved(seen.picture) - self.usual_moved;
        self.settle_s = (self.settle_s - seen.dt_s).max(0.0);
        self.new_s = (self.new_s - seen.dt_s).max(0.0);
        let jump = seen.part - std::mem::replace(&mut self.before, seen.part);
        let (all, inside) = if seen.part > CHANGED_MIN {
            self.structure.compare(seen.picture, seen.mean, seen.held, seen.changed)
        } else {
            Default::default()
        };
        let kept = all.part(EDGES_MIN);
        self.age_s += seen.dt_s;
        let is_young = self.age_s < YOUNG_S;
        let follow = |life_s: f32| (seen.dt_s / life_s).min(1.0);
        if let Some(kept) = kept {
            let least = if self.lost_s > 0.0 { VIEW_FOUND } else { VIEW_KEPT };
            if !is_young && self.knows_edges() && kept < least {
                return self.lost(seen, moved);
            }
            self.usual += (kept - self.usual) * follow(if is_young { YOUNG_S / 6.0 } else { USUAL_LIFE_S });
        }
        self.usual_moved += moved * follow(MOVED_LIFE_S);
        self.lost_s = 0.0;
        let knows = kept.is_some() && self.knows_edges();
        if !knows && seen.part > super::SCENE_CHANGE {
            self.settle_s = SETTLE_S;
            return Verdict::Begin;
        }
        self.view = if self.new_s > 0.0 { View::Changed } else { View::Steady };
        let lit = inside.part(INSIDE_MIN).is_some_and(|part| part >= LIGHT_KEPT);
        if knows && (lit && (jump > JUMP || moved > FLASH) || seen.part > super::SCENE_CHANGE) {
            // What the background is learned from may hold what is there for one frame, such as drops in the light.
            (self.settle_s, self.age_s) = (SETTLE_S, 0.0);
            return Verdict::Relight;
        }
        self.structure.renew(seen.mean);
        Verdict::Ordinary
    }

    fn lost(&mut self, seen: Seen<'_>, moved: f32) -> Verdict {
        self.lost_s += seen.dt_s;
        if self.lost_s < LOST_S {
            return Verdict::Skip;
        }
        let edges = |plane: &[u8]| self.grid_edges(plane) as f32;
        if edges(&seen.picture.planes[0]) < OWN_EDGES * edges(seen.mean) {
            self.view = View::Blocked;
        } else if moved > STIRRING {
            // A view that comes to rest, or what is about to cover the lens.
            if self.view != View::Blocked {
                self.view = View::Changed;
            }
        } else {
            self.view = View::Changed;
            (self.settle_s, self.new_s) = (SETTLE_S, NEW_S);
            return Verdict::Begin;
        }
        Verdict::Skip
    }

    /// How many places in the rows of the sparse grid have a sharp edge: what covers the lens is too near to be in focus.
    fn grid_edges(&self, plane: &[u8]) -> usize {
        let rows = (0..self.grid.height).step_by(SPARSE_STEP);
        rows.map(|row| {
            let row = &plane[row * self.grid.stride..][..self.grid.width];
            row.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) >= SAME).count()
        })
        .sum()
    }

    /// The part of the picture that is not as it was a frame ago.
    fn moved(&mut self, picture: &Picture) -> f32 {
        let (grid, now) = (self.grid, &picture.planes[0]);
        let (mut moved, mut all) = (0, 0);
        for row in (0..grid.height).step_by(2 * SPARSE_STEP) {
            let row = row * grid.stride..row * grid.stride + grid.width;
            let (now, last) = (&now[row.clone()], &mut self.last[row]);
            let off = |(now, last): (&u8, &u8)| usize::from(now.abs_diff(*last) > SAME);
            moved += now.iter().zip(last.iter()).step_by(SPARSE_STEP).map(off).sum::<usize>();
            all += grid.width.div_ceil(SPARSE_STEP);
            last.copy_from_slice(now);
        }
        moved as f32 / all.max(1) as f32
    }
}
