//! Running: faster than one walks, for a second or more.
//!
//! The speed is the straight way over the time it took. Where positions are uncertain (far from the
//! camera) a second does not tell running from noise; there two or four seconds must. A box that
//! jumps, because somebody steps in front or the lower half appears, is fast as well, but only once
//! and not for long: both halves of the way must have their share of it, and it must have been
//! running half a second ago already.

use super::Options;
use super::history::{Displacement, History, Sample};

/// Times the least duration that are looked at.
const DURATIONS: [f64; 3] = [1.0, 2.0, 4.0];
/// The way must be this many standard deviations long: noise alone gets there once in 270,000 looks.
const SIGMAS: f64 = 5.0;
/// A half must make at least this part of the progress that its time would at an even speed.
const SHARE_MIN: f64 = 0.5;
/// One who runs goes on running above this part of the limit.
const EASE: f64 = 0.8;

/// It was running this long before as well, seconds.
const ALREADY_S: f64 = 0.5;

/// Whether the track runs at the newest sample.
pub(super) fn holds(history: &History, options: &Options, ran: bool) -> bool {
    let limit_mps = options.running_mps * if ran { EASE } else { 1.0 };
    let ran_at = |ago_s: f64| {
        let mut spans = DURATIONS.iter().filter_map(|times| history.span(options.running_s * times, ago_s));
        spans.any(|span| is_run(span, limit_mps))
    };
    ran_at(0.0) && (ran || ran_at(ALREADY_S))
}

fn is_run([from, middle, to]: [Sample; 3], limit_mps: f64) -> bool {
    let way = Displacement::between(&from, &to);
    way.length_m() >= limit_mps * way.seconds
        && way.exceeds_noise(SIGMAS)
        && [Displacement::between(&from, &middle), Displacement::between(&middle, &to)]
            .iter()
            .all(|half| share(half, &way) >= SHARE_MIN * half.seconds / way.seconds)
}

/// The part of the way that a half of it covers, along the way.
fn share(half: &Displacement, way: &Displacement) -> f64 {
    let (h, w) = (half.by_m, way.by_m);
    (h.x * w.x + h.y * w.y) / (w.x * w.x + w.y * w.y)
}
