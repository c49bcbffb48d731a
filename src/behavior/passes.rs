//! Repeated passes: past the same place again and again.
//!
//! The places of the last minute are projected on their main axis (the first principal component).
//! There the way falls into legs, each in one direction and at least a pass's length, noise included;
//! shorter back and forth belongs to the leg around it. The number of passes is the number of legs
//! that lead over the place that most of them lead over: there, back, and there again are three.

use super::Options;
use super::history::{History, Sample};
use crate::model::Point;

/// A leg is at least this many standard deviations of the noise long. Legs end at extremes, and the
/// extremes of the noise of some hundred samples lie more than four apart.
const SIGMAS: f64 = 6.0;

/// Working memory.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Lower and upper end of each leg along the axis, metres.
    legs: Vec<(f64, f64)>,
}

/// Whether one place was passed often enough; a track that did needs one pass less to go on.
pub(super) fn holds(history: &History, options: &Options, held: bool, buffers: &mut Buffers) -> bool {
    let enough = options.passes.saturating_sub(usize::from(held)).max(1);
    let samples = history.last(options.passes_window_s);
    let axis = main_axis(samples.clone());
    find_legs(samples, axis, options.pass_length_m, &mut buffers.legs);
    let legs = &buffers.legs;
    // Where most legs overlap, one of them begins.
    let over = |place: f64| legs.iter().filter(|(low, high)| *low <= place && place <= *high).count();
    legs.iter().any(|&(low, _)| over(low) >= enough)
}

/// Direction of the largest spread.
fn main_axis(samples: impl Iterator<Item = Sample> + Clone) -> Point {
    let (n, sum) = samples.clone().fold((0.0, Point::default()), |(n, sum), s| (n + 1.0, sum + s.position_m));
    let mean = sum * (1.0 / f64::max(n, 1.0));
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for s in samples {
        let d = s.position_m - mean;
        xx += d.x * d.x;
        xy += d.x * d.y;
        yy += d.y * d.y;
    }
    let angle = 0.5 * (2.0 * xy).atan2(xx - yy);
    Point::new(angle.cos(), angle.sin())
}

fn find_legs(samples: impl Iterator<Item = Sample>, axis: Point, length_m: f64, legs: &mut Vec<(f64, f64)>) {
    legs.clear();
    // Until the first leg shows its direction, both ends are open.
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut ascending: Option<bool> = None;
    for sample in samples {
        let at = sample.position_m.x * axis.x + sample.position_m.y * axis.y;
        let least = length_m.max(SIGMAS * (2.0 * sample.variance_along_m2(axis)).sqrt());
        let (rose, fell) = (at - low >= least, high - at >= least);
        match ascending {
            None => {
                (low, high) = (low.min(at), high.max(at));
                ascending = if rose { Some(true) } else { fell.then_some(false) };
            }
            Some(true) if fell => {
                legs.push((low, high));
                (low, ascending) = (at, Some(false));
            }
            Some(false) if rose => {
                legs.push((low, high));
                (high, ascending) = (at, Some(true));
            }
            Some(true) => high = high.max(at),
            Some(false) => low = low.min(at),
        }
    }
    if ascending.is_some() {
        legs.push((low, high));
    }
}
