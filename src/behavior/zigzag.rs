//! Zigzag: turn after turn, without a destination.
//!
//! The way of the last seconds is reduced to its corners (Ramer 1972; Douglas & Peucker 1973) with a
//! tolerance above the noise, and the corners to those with a real stretch before them. So the jitter
//! of somebody who stands makes no headings and no turns, however long they stand.

use super::Options;
use super::history::{Displacement, History, Sample};
use crate::model::Point;

/// A corner sticks out of the line by this part of a stretch, and by the noise.
const TOLERANCE: f64 = 0.4;
/// Noise is taken as this many standard deviations.
const SIGMAS: f64 = 4.0;

/// Working memory.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    path: Vec<Sample>,
    open: Vec<(usize, usize)>,
    corners: Vec<Sample>,
}

/// Whether the track has turned often enough; one that has needs one turn less to go on.
pub(super) fn holds(history: &History, options: &Options, held: bool, buffers: &mut Buffers) -> bool {
    let enough = options.zigzag_turns.saturating_sub(usize::from(held)).max(1);
    reduce(history, options, buffers);
    let limit = options.zigzag_turn_deg.to_radians();
    let turns = buffers
        .corners
        .windows(3)
        .filter(|c| turn(c[0].position_m, c[1].position_m, c[2].position_m) > limit);
    turns.count() >= enough
}

/// Leaves the corners of the way in the buffer, oldest first.
fn reduce(history: &History, options: &Options, buffers: &mut Buffers) {
    let Buffers { path, open, corners } = buffers;
    path.clear();
    path.extend(history.last(options.zigzag_window_s));
    corners.clear();
    corners.extend(path.first());
    open.clear();
    open.extend(path.len().checked_sub(1).map(|last| (0, last)));
    // Depth first and the older half first, so corners come out in order.
    while let Some((from, to)) = open.pop() {
        let off = |i: usize| {
            let off_m = path[i].position_m.segment_distance(path[from].position_m, path[to].position_m);
            off_m - SIGMAS * (path[i].variance_m2() / 2.0).sqrt()
        };
        let farthest = (from + 1..to).map(|i| (i, off(i))).max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((i, off_m)) = farthest
            && off_m > options.zigzag_stretch_m * TOLERANCE
        {
            open.push((i, to));
            open.push((from, i));
            continue;
        }
        if let Some(last) = corners.last() {
            let stretch = Displacement::between(last, &path[to]);
            if stretch.length_m() >= options.zigzag_stretch_m && stretch.exceeds_noise(SIGMAS) {
                corners.push(path[to]);
            }
        }
    }
}

/// Change of heading at `b`, radians, 0..π.
fn turn(a: Point, b: Point, c: Point) -> f64 {
    let (u, v) = (b - a, c - b);
    (u.x * v.y - u.y * v.x).atan2(u.x * v.x + u.y * v.y).abs()
}
