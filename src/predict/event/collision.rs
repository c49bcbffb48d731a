//! Collision: two tracks come nearer to one another than bodies can, fast, and their ways end there.
//!
//! Two straight lines come nearest at t = -r·w / w·w, with r the way from one to the other and w
//! their relative velocity. Across w the distance is then normally distributed, and the probability
//! is the mass of that distribution within the limit (the classic conjunction analysis, in one
//! dimension: along w they meet for certain, only the moment is not). That is how a collision is predicted.
//!
//! The rule is in metres, so it is off on a ground that is not calibrated.
//!
//! People meet all the time, and places are known to a few decimetres at best: by the estimate two persons that pass
//! each other touch. So the place alone does not make a collision; the motion must show it. It happened when an estimate of
//! the last seconds had both close in on each other, to within the limit with confidence, and they have been past that
//! moment for so long that they would be apart by now, were they still moving as before: on the far side if they
//! passed, on the near side if the tracker exchanged their ids. They are not, by more than what is known of places
//! and velocities explains. Persons that walk side by side, stand and talk, or slow down before they meet do not close in.
//!
//! It is predicted only where positions are so accurate that a hit differs from a pass: a distance of zero lies
//! three standard deviations within the limit. On PETS09-S2L1, where positions have a standard deviation of 0.2 to 0.3 m
//! along one axis, all five predictions of 80 s were of persons that passed each other.
//!
//! A track counts once it is [`ESTABLISHED_S`] old, also at the earlier time: the second box that a detector puts on one
//! person for a moment collides with nothing.

use super::{Candidate, Key, Proposals, View};
use crate::base::Time;
use crate::model::{EventType, Motion, Point, RuleTrace, SceneTrack};
use crate::predict::filter::Filter;
use crate::predict::trajectory::{position_cov, significant_velocity};

/// So likely must it be that the distance was within the limit for it to have happened.
const CONTACT_MIN: f64 = 0.5;
/// A younger track takes no part, seconds.
const ESTABLISHED_S: f64 = 1.5;
/// How long before the contact both are asked how they move, seconds: later the contact itself is in the estimate,
/// earlier they may have stopped by themselves since.
const BEFORE_S: (f64, f64) = (0.2, 1.3);
/// How long after the contact the motion shows what became of it, seconds, and how long it is looked at.
const AFTER_MIN_S: f64 = 0.7;
const AFTER_MAX_S: f64 = 2.2;
/// Both stayed together when their distance is below this many limits.
const TOGETHER_LIMITS: f64 = 2.0;
/// They are nearer than moving on explains by so many standard deviations: 1 % of the normal distribution.
const LOST_SIGMAS: f64 = 2.3;
/// For so long it must look so, seconds.
const CONFIRM_S: f64 = 0.3;
/// So many standard deviations of the distance, as both are seen, lie within the limit for it to be predicted.
const KNOWN_SIGMAS: f64 = 3.0;
/// Tracks that are looked at in pairs; a tracker publishes 50.
const TRACKS_MAX: usize = 200;

pub(super) fn propose(view: &View<'_>, out: &mut Proposals) {
    if !(view.options.collision && view.options.metric) {
        return;
    }
    let tracks =
        || view.placed().filter_map(|(track, motion)| Party::of(view, track, motion)).take(TRACKS_MAX);
    for (i, a) in tracks().enumerate() {
        for b in tracks().skip(i + 1) {
            let contact = Approach::that_ended(view, &a, &b);
            if let Some(approach) = contact.or_else(|| Approach::ahead(view, &a, &b)) {
                out.push(candidate(view, [a.track, b.track], &approach));
            }
        }
    }
}

/// An established track.
struct Party<'a> {
    track: &'a SceneTrack,
    motion: &'a Motion,
    /// Where it is seen.
    seen: &'a Motion,
    filter: &'a Filter,
}

impl<'a> Party<'a> {
    fn of(view: &'a View<'_>, track: &'a SceneTrack, motion: &'a Motion) -> Option<Self> {
        let filter = view.filters.get(&track.track.id)?;
        let party = Self { track, motion, seen: track.ground.as_ref()?, filter };
        party.is_established(view.now).then_some(party)
    }

    fn is_established(&self, then: Time) -> bool {
        then.since(self.filter.began).as_secs_f64() >= ESTABLISHED_S
    }

    /// The earlier estimates from which on it was established, the latest first.
    fn earlier(&self) -> impl Iterator<Item = (Time, &'a Motion)> {
        let kept = self.filter.earlier().iter().rev().map(|(then, motion)| (*then, motion));
        kept.take_while(|(then, _)| self.is_established(*then))
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

/// Two straight ways.
struct Ways<'a> {
    view: &'a View<'a>,
    pair: [&'a Motion; 2],
    speed_mps: f64,
    /// Along the relative velocity.
    along: Point,
    /// The distance across it, signed.
    miss_m: f64,
    nearest_s: f64,
}

impl<'a> Ways<'a> {
    /// None where they do not close in.
    fn of(view: &'a View<'_>, a: &'a Motion, b: &'a Motion) -> Option<Self> {
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
        let along = relative * (1.0 / speed_mps);
        let nearest_s = -dot(way, along) / speed_mps;
        let closing_mps = nearest_s * speed_mps * speed_mps / way.norm().max(1e-9);
        let closes = closing_mps >= options.collision_mps && nearest_s <= options.event_horizon_s;
        let ways = Self { view, pair: [a, b], speed_mps, along, miss_m: 0.0, nearest_s };
        let miss_m = dot(way, ways.across());
        closes.then_some(Self { miss_m, ..ways })
    }

    fn across(&self) -> Point {
        Point::new(-self.along.y, self.along.x)
    }

    /// How likely they are within the limit where they come nearest.
    fn probability(&self) -> f64 {
        let sigma = self.variance(self.across(), self.nearest_s).sqrt().max(1e-3);
        let limit = self.view.options.collision_m;
        normal_cdf((limit - self.miss_m) / sigma) - normal_cdf((-limit - self.miss_m) / sigma)
    }

    /// The variance of the way from one to the other after `ahead_s`, in a direction.
    fn variance(&self, direction: Point, ahead_s: f64) -> f64 {
        let density = self.view.options.acceleration_density_m2_s3;
        variance(self.pair.map(|m| position_cov(m, ahead_s, density)), direction)
    }
}

impl Approach {
    /// They will come together.
    fn ahead(view: &View<'_>, a: &Party<'_>, b: &Party<'_>) -> Option<Self> {
        let ways = Ways::of(view, a.motion, b.motion)?;
        let seen = variance([a, b].map(|p| position_cov(p.seen, 0.0, 0.0)), ways.across());
        if KNOWN_SIGMAS * seen.sqrt() > view.options.collision_m {
            return None;
        }
        let probability = ways.probability();
        (probability >= view.options.retract_below).then(|| Self {
            probability,
            closest_m: ways.miss_m.abs(),
            in_s: ways.nearest_s,
            speed_mps: ways.speed_mps,
            place_m: middle(a.motion, b.motion, ways.nearest_s),
            occurring: false,
        })
    }

    /// They came together a moment ago, and did not move on, or that is not known yet.
    fn that_ended(view: &View<'_>, a: &Party<'_>, b: &Party<'_>) -> Option<Self> {
        let together_m = TOGETHER_LIMITS * view.options.collision_m;
        let way = b.seen.position - a.seen.position;
        if way.norm() > together_m {
            return None;
        }
        let at = |then: Time| b.earlier().find(|(time, _)| *time == then).map(|(_, motion)| motion);
        a.earlier().find_map(|(then, before_a)| {
            let before_b = at(then)?;
            let ways = Ways::of(view, before_a, before_b)?;
            let age_s = view.now.since(then).as_secs_f64();
            let after_s = age_s - ways.nearest_s;
            let in_time =
                (BEFORE_S.0..=BEFORE_S.1).contains(&ways.nearest_s) && (0.0..=AFTER_MAX_S).contains(&after_s);
            if !in_time || ways.probability() < CONTACT_MIN {
                return None;
            }
            let expected_m = ways.speed_mps * after_s;
            let moved_m = dot(way, ways.along).abs();
            let seen = variance([a, b].map(|p| position_cov(p.seen, 0.0, 0.0)), ways.along);
            let sigma_m = (seen + ways.variance(ways.along, age_s)).sqrt();
            let lost = moved_m < expected_m / 2.0 && expected_m - moved_m >= LOST_SIGMAS * sigma_m;
            let occurring = lost && after_s >= AFTER_MIN_S && expected_m >= together_m;
            // Until it is known, nothing is predicted and nothing retracted.
            let undecided = f64::midpoint(view.options.predict_at, view.options.retract_below);
            Some(Self {
                probability: if occurring { 1.0 } else { undecided },
                closest_m: ways.miss_m.abs(),
                in_s: 0.0,
                speed_mps: ways.speed_mps,
                place_m: middle(before_a, before_b, ways.nearest_s),
                occurring,
            })
        })
    }
}

fn dot(a: Point, b: Point) -> f64 {
    a.x * b.x + a.y * b.y
}

/// The variance of the way between two places of these covariances, in a direction.
fn variance([a, b]: [[f64; 3]; 2], direction: Point) -> f64 {
    let [xx, xy, yy] = std::array::from_fn(|i| a[i] + b[i]);
    let Point { x, y } = direction;
    (x * x * xx + 2.0 * x * y * xy + y * y * yy).max(0.0)
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
        zone: None,
        probability: approach.probability,
        expected_in_s: approach.in_s,
        occurring: approach.occurring,
        confirm_s: CONFIRM_S,
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
