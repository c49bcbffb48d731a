//! Camera motion compensation from boxes alone: how far the whole view moved since the last frame.
//!
//! A camera on a bus, or on a pole that sways, moves all boxes alike; a single box may move by itself. So the tracks vote:
//! each for the displacements at which a detection of its size lies. The view moved when one displacement has more votes
//! than none at all, within what a person walks in that time. Once it moved, it is expected to move for [`MOVES_S`], and
//! small displacements are followed too. The velocities of the tracks are relative to the view.
//!
//! On the moving camera of MOT17-13 (second half, YOLOX-x) HOTA was 41.0 without this and 53.5 with it when it was
//! made; on MOT15, whose cameras mostly stand still, 45.5 and 45.6.

use super::tracklet::Tracklet;
use crate::model::{Detection, Point};

/// Tracks that vote, at most: more say the same.
const VOTERS_MAX: usize = 24;
/// Fewer tracks do not tell a view from an object that moves: the first finds that the view moves, the second follows it.
const VOTERS_MIN: (usize, usize) = (4, 3);
/// Displacements are looked for up to so many heights away, across and down.
const REACH: (f64, f64) = (1.0, 0.6);
/// Sizes differ by no more than this factor.
const SIZE: f64 = 1.25;
/// Displacements that differ by less are the same, heights.
const SAME: f64 = 0.1;
/// The speed of a person who walks, heights per second.
const WALK: f64 = 0.8;
/// A displacement has so many times as many votes as standing still, and those of half the tracks.
const LEAD: f64 = 1.25;
/// After it moved, the view is expected to move for so long, seconds.
const MOVES_S: f64 = 5.0;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct CameraMotion {
    /// For how long it is expected to move on.
    moves_s: f64,
    candidates: Vec<Candidate>,
    /// Of the displacements that agree; buffers.
    agreeing: [Vec<f64>; 2],
}

/// A track may have come to where a detection is.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    tracklet: usize,
    by: Point,
    height: f64,
}

impl CameraMotion {
    /// Whether the view is expected to move.
    pub(super) fn moves(&self) -> bool {
        self.moves_s > 0.0
    }

    /// How far the view moved, pixels, for tracks that have been predicted and detections from left to right.
    pub(super) fn moved(
        &mut self,
        tracklets: &[Tracklet],
        used: &[Detection],
        odds: &[f64],
        dt_s: f64,
    ) -> Option<Point> {
        self.moves_s = (self.moves_s - dt_s).max(0.0);
        let moves = self.moves_s > 0.0;
        let (least, within) = if moves { (VOTERS_MIN.1, SAME) } else { (VOTERS_MIN.0, SAME + WALK * dt_s) };
        let followed = || tracklets.iter().enumerate().filter(|(_, t)| t.misses == 0).take(VOTERS_MAX);
        let count = followed().count();
        self.candidates.clear();
        // Mostly nearly all stand still: that is seen without a search.
        let still =
            followed().filter(|(_, t)| near(t, used, odds, (within, within)).next().is_some()).count();
        let needed = LEAD * still as f64;
        if count < least || needed > count as f64 {
            return None;
        }
        let mut voters = 0;
        for (tracklet, followed) in followed() {
            let (before, height) = (self.candidates.len(), followed.filter.bbox().height);
            let found = near(followed, used, odds, REACH);
            self.candidates.extend(found.map(|by| Candidate { tracklet, by, height }));
            voters += usize::from(self.candidates.len() > before);
        }
        if voters < least || needed > voters as f64 {
            return None;
        }
        let length = |c: &Candidate| c.by.x.hypot(c.by.y);
        let ranked = self.candidates.iter().map(|c| (self.votes(c.by, SAME), c));
        let (votes, best) = ranked.max_by(|a, b| a.0.cmp(&b.0).then(length(b.1).total_cmp(&length(a.1))))?;
        let leads = (votes as f64) >= needed && (moves || votes > still + 1);
        if 2 * votes < voters || !leads || length(best) < f64::EPSILON {
            return None;
        }
        if voters >= VOTERS_MIN.0 {
            self.moves_s = MOVES_S;
        }
        let best = best.by;
        let [x, y] = &mut self.agreeing;
        x.clear();
        y.clear();
        for agreeing in self.candidates.iter().filter(|c| c.is_near(best, SAME)) {
            x.push(agreeing.by.x);
            y.push(agreeing.by.y);
        }
        Some(Point::new(median(x), median(y)))
    }

    /// How many tracks may have moved by about this, give or take `same` heights.
    fn votes(&self, by: Point, same: f64) -> usize {
        let mut last = usize::MAX;
        let near = self.candidates.iter().filter(|c| c.is_near(by, same));
        near.filter(|c| std::mem::replace(&mut last, c.tracklet) != c.tracklet).count()
    }
}

/// How far away the detections of a track's size are that lie within this reach, heights.
fn near<'a>(
    tracklet: &Tracklet,
    used: &'a [Detection],
    odds: &'a [f64],
    reach: (f64, f64),
) -> impl Iterator<Item = Point> + use<'a> {
    let bbox = tracklet.filter.bbox();
    let (height, at) = (bbox.height, bbox.center());
    let (across, down) = (reach.0 * height, reach.1 * height);
    // Of the same size within a factor, so their left edges are off by little more than their centers.
    let slack = across + (SIZE - 1.0) * bbox.width;
    let first = used.partition_point(|d| d.bbox.left < bbox.left - slack);
    let all =
        used[first..].iter().zip(&odds[first..]).take_while(move |(d, _)| d.bbox.left <= bbox.left + slack);
    all.filter(|(_, odds)| **odds > 0.0).filter_map(move |(detection, _)| {
        let by = detection.bbox.center() - at;
        let size = detection.bbox.height / height;
        let fits = (1.0 / SIZE..SIZE).contains(&size) && by.x.abs() < across && by.y.abs() < down;
        fits.then_some(by)
    })
}

impl Candidate {
    fn is_near(&self, by: Point, same: f64) -> bool {
        (self.by.x - by.x).abs() < same * self.height && (self.by.y - by.y).abs() < same * self.height
    }
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
