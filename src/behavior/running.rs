//! Running: faster than one walks, for a second or more.
//!
//! The speed is the straight way over the time it took. Where positions are uncertain (far from the
//! camera) a second does not tell running from noise; there two or four seconds must. A box that
//! jumps is fast as well, but only once: both halves of the way must have their share of it.

use super::Options;
use super::history::{Displacement, History};

/// Times the least duration that are looked at.
const DURATIONS: [f64; 3] = [1.0, 2.0, 4.0];
/// The way must be this many standard deviations long: noise alone gets there once in 270,000 looks.
const SIGMAS: f64 = 5.0;
/// A half must make at least this part of the progress that its time would at an even speed.
const SHARE_MIN: f64 = 0.5;
/// One who runs goes on running above this part of the limit.
const EASE: f64 = 0.8;

/// Whether the track runs at the newest sample.
pub(super) fn holds(history: &History, options: &Options, ran: bool) -> bool {
    let limit_mps = options.running_mps * if ran { EASE } else { 1.0 };
    DURATIONS.iter().any(|times| {
        let Some([from, middle, to]) = history.span(options.running_s * times) else {
            return false;
        };
        let way = Displacement::between(from, to);
        way.length_m() >= limit_mps * way.seconds
            && way.exceeds_noise(SIGMAS)
            && [Displacement::between(from, middle), Displacement::between(middle, to)]
                .iter()
                .all(|half| share(half, &way) >= SHARE_MIN * half.seconds / way.seconds)
    })
}

/// The part of the way that a half of it covers, along the way.
fn share(half: &Displacement, way: &Displacement) -> f64 {
    let (h, w) = (half.by_m, way.by_m);
    (h.x * w.x + h.y * w.y) / (w.x * w.x + w.y * w.y)
}
