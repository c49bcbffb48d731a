//! Collision: two tracks come nearer to one another than bodies can, and fast.
//!
//! Two straight lines come nearest at t = -r·w / w·w, with r the way from one to the other and w
//! their relative velocity. Across w the distance is then normally distributed, and the probability
//! is the mass of that distribution within the limit (the classic conjunction analysis, in one
//! dimension: along w they meet for certain, only the moment is not).
//!
//! The rule is in metres, so it is off on a ground that is not calibrated.
//!
//! People meet all the time. Those who walk side by side, or stand and talk, do not close in: a
//! closing speed is required, significant against the covariance of both velocities. It happens when
//! the nearest point of their ways since the last frame lies within the limit, and that with
//! confidence; so a frame rate of 1 per second does not miss two who run into one another.

use super::{Candidate, Key, Proposals, View};
use crate::model::{EventType, Motion, Point, RuleTrace, SceneTrack};
use crate::predict::trajectory::{position_cov, significant_velocity};

/// So likely must it be that the distance is within the limit for it to have happened.
const CONTACT_MIN: f64 = 0.5;
/// Tracks that are looked at in pairs; a tracker publishes 50.
const TRACKS_MAX: usize = 200;

pub(super) fn propose(view: &View<'_>, out: &mut Proposals) {
    if !(view.options.collision && view.options.metric) {
        return;
    }
    for (i, (a, move_a)) in view.placed().take(TRACKS_MAX).enumerate() {
        for (b, move_b) in view.placed().take(TRACKS_MAX).skip(i + 1) {
            if let Some(approach) = Approach::of(view, move_a, move_b) {
                out.push(candidate(view, [a, b], &approach));
            }
        }
    }
}

/// How two tracks come together.
struct Approach {
    probability: f64,
    closest_m: f64,
    in_s: f64,
    speed_mps: f64,
    place_m: Point,
    occurring: bool,
}

impl Approach {
    fn of(view: &View<'_>, a: &Motion, b: &Motion) -> Option<Self> {
        let options = view.options;
        let way = b.position - a.position;
        let raw = b.velocity - a.velocity;
        // Out of reach: the cheap test that most pairs end with.
        if way.norm() > raw.norm() * options.event_horizon_s + options.collision_m {
            return None;
        }
        let (ca, cb) = (a.velocity_cov(), b.velocity_cov());
        let cov = std::array::from_fn(|i| ca[i] + cb[i]);
        let relative = significant_velocity(raw, cov, false);
        let speed_mps = relative.norm();
        if speed_mps < options.collision_mps {
            return None;
        }
        let nearest_s = -(way.x * relative.x + way.y * relative.y) / (speed_mps * speed_mps);
        let across = Point::new(-relative.y, relative.x) * (1.0 / speed_mps);
        let miss_m = way.x * across.x + way.y * across.y;
        let within = |ahead_s: f64| {
            let [ca, cb] = [a, b].map(|m| position_cov(m, ahead_s, options.acceleration_density_m2_s3));
            let [xx, xy, yy] = std::array::from_fn(|i| ca[i] + cb[i]);
            let variance =
                across.x * across.x * xx + 2.0 * across.x * across.y * xy + across.y * across.y * yy;
            let sigma = variance.max(0.0).sqrt().max(1e-3);
            let limit = options.collision_m;
            normal_cdf((limit - miss_m) / sigma) - normal_cdf((-limit - miss_m) / sigma)
        };
        let since_s = nearest_s.clamp(-view.since_last_s, 0.0);
        let closest_m = (way + relative * since_s).norm();
        if closest_m < options.collision_m && within(0.0) >= CONTACT_MIN {
            let place_m = middle(a, b, 0.0);
            return Some(Self {
                probability: 1.0,
                closest_m,
                in_s: 0.0,
                speed_mps,
                place_m,
                occurring: true,
            });
        }
        let closing_mps = nearest_s * speed_mps * speed_mps / way.norm().max(1e-9);
        if closing_mps < options.collision_mps || nearest_s > options.event_horizon_s {
            return None;
        }
        let probability = within(nearest_s);
        let place_m = middle(a, b, nearest_s);
        (probability >= options.retract_below).then_some(Self {
            probability,
            closest_m: miss_m.abs(),
            in_s: nearest_s,
            speed_mps,
            place_m,
            occurring: false,
        })
    }
}

/// The point between two tracks after `t` seconds.
fn middle(a: &Motion, b: &Motion, t: f64) -> Point {
    let [va, vb] = [a, b].map(|m| significant_velocity(m.velocity, m.velocity_cov(), false));
    (a.position + b.position + (va + vb) * t) * 0.5
}

fn candidate(view: &View<'_>, pair: [&SceneTrack; 2], approach: &Approach) -> Candidate {
    let mut tracks = pair.map(|t| t.track.id).to_vec();
    tracks.sort_unstable();
    Candidate {
        key: Key { kind: EventType::Collision, tracks, zone: None },
        position_m: approach.place_m,
        probability: approach.probability,
        expected_in_s: approach.in_s,
        occurring: approach.occurring,
        confirm_s: 0.0,
        trace: RuleTrace {
            name: "collision",
            thresholds: vec![
                ("closest_m", view.options.collision_m),
                ("closing_mps", view.options.collision_mps),
                ("horizon_s", view.options.event_horizon_s),
            ],
            measured: vec![
                ("closest_m", approach.closest_m),
                ("closing_mps", approach.speed_mps),
                ("closest_in_s", approach.in_s),
            ],
        },
    }
}

/// The standard normal distribution function, to 1e-7 (Abramowitz & Stegun 7.1.26).
fn normal_cdf(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let erfc = series.iter().fold(0.0, |sum, c| (sum + c) * t) * (-z * z).exp();
    if x < 0.0 { erfc / 2.0 } else { 1.0 - erfc / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_function_agrees_with_the_tables() {
        for (x, p) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.96, 0.024_997_9), (4.0, 0.999_968_3), (-40.0, 0.0)]
        {
            assert!((normal_cdf(x) - p).abs() < 2e-7, "{x}: {}", normal_cdf(x));
        }
    }
}
