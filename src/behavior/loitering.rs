//! Loitering: a while within a small circle, hardly moving.
//!
//! The while ends now and reaches back as far as the track stayed within the radius of the middle of
//! its places since then, so a long life before that (it walked in) neither helps nor hurts. Up to
//! [`STRAY_S`] outside is taken for a detector's slip (boxes jump when somebody passes in front).

use super::Options;
use super::history::{History, Sample};
use crate::base::Time;
use crate::model::Point;

/// What comes out of the circle for no longer than this is not a departure, seconds.
const STRAY_S: f64 = 1.0;
/// A track that loiters may use this many times the radius and the speed before it stops to loiter.
const EASE: f64 = 1.25;
/// The search starts from the median of the samples in this time, seconds: nobody is far from there.
const SEED_S: f64 = 2.0;
/// Samples in that time, at most.
const SEED_MAX: usize = 12;

/// Since when the track has been still; none if it is not. `before` is the last answer: it reaches
/// further back than the history does.
pub(super) fn still_since(
    history: &History,
    options: &Options,
    loitered: bool,
    before: Option<Time>,
) -> Option<Time> {
    let ease = if loitered { EASE } else { 1.0 };
    let start = circle_start(history, options.loitering_radius_m * ease)?;
    let seconds = history.newest_time().seconds_from(start);
    // Two seconds are the least that has a mean speed.
    if seconds < SEED_S || history.mean_speed_mps(seconds) > options.loitering_speed_mps * ease {
        return None;
    }
    if start > history.oldest_time() {
        return Some(start);
    }
    Some(before.map_or(start, |earlier| earlier.min(start)))
}

/// The oldest sample from which on all lie within the radius of their mean.
fn circle_start(history: &History, radius_m: f64) -> Option<Time> {
    let mut middle = median(history.last(SEED_S))?;
    let mut taken = 1.0;
    let mut start: Option<Time> = None;
    for sample in history.backwards() {
        let off_m = sample.position_m.distance(middle);
        if off_m * off_m > radius_m * radius_m + sample.variance_m2() {
            let inside = start.unwrap_or_else(|| history.newest_time());
            if inside.seconds_from(sample.time) > STRAY_S {
                break;
            }
            continue;
        }
        taken += 1.0;
        middle = middle + (sample.position_m - middle) * (1.0 / taken);
        start = Some(sample.time);
    }
    start
}

/// The median of each coordinate.
fn median(samples: impl DoubleEndedIterator<Item = Sample>) -> Option<Point> {
    let (mut x, mut y) = ([0.0; SEED_MAX], [0.0; SEED_MAX]);
    let mut n = 0;
    for sample in samples.rev().take(SEED_MAX) {
        (x[n], y[n]) = (sample.position_m.x, sample.position_m.y);
        n += 1;
    }
    x[..n].sort_by(f64::total_cmp);
    y[..n].sort_by(f64::total_cmp);
    (n > 0).then(|| Point::new(x[n / 2], y[n / 2]))
}
