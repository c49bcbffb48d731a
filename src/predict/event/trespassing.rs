//! Trespassing: somebody enters a forbidden zone.
//!
//! The probability is the part of the forecast's probability mass that enters the zone within the
//! event horizon. The mass is 32 equally likely points of a standard normal distribution, in four
//! rings at the quantiles of the radius; each is carried along the forecast by the square root of its
//! covariance, which makes a fan of smooth paths with the right spread at every step. A path counts
//! from the step in which it meets the zone. Somebody who passes along a border thus stays below one
//! half however uncertain the forecast is.
//!
//! A zone names the classes of tracks that it is about, and what never left the place where it appeared did not
//! enter.
//!
//! It happens when half of the mass of the present position is inside, for half a second: noise
//! hops over a border, people walk over it.

use super::{Candidate, Key, Proposals, View};
use crate::model::{EventType, Motion, Point, Polygon, RuleTrace, SceneTrack, Zone, ZoneKind};

/// Square root of -2 ln(1 - u) at u = 1/8, 3/8, 5/8, 7/8: rings that hold equal parts of the mass.
const RADII: [f64; 4] = [0.516_74, 0.969_52, 1.400_60, 2.039_33];
/// Points on each ring.
const PER_RING: usize = 8;
const NODES: usize = RADII.len() * PER_RING;
/// So much of the mass inside means inside.
const INSIDE_MIN: f64 = 0.5;
/// For so long, seconds.
const CONFIRM_S: f64 = 0.5;

pub(super) fn propose(view: &View<'_>, out: &mut Proposals) {
    if !view.options.trespassing {
        return;
    }
    let nodes = nodes();
    for (index, zone) in view.zones.iter().enumerate() {
        if zone.kind != ZoneKind::Forbidden {
            continue;
        }
        let bounds = Bounds::of(&zone.border_m);
        for (track, motion) in view.placed() {
            if track.behavior.stationary || !zone.applies_to(track.track.class) {
                continue;
            }
            if let Some(entry) = entry(view, track, motion, zone, &bounds, &nodes) {
                out.push(candidate(view, track, index, &entry));
            }
        }
    }
}

/// How a track gets into a zone.
struct Entry {
    inside: f64,
    probability: f64,
    in_s: f64,
    position_m: Point,
    border_distance_m: f64,
}

fn entry(
    view: &View<'_>,
    track: &SceneTrack,
    motion: &Motion,
    zone: &Zone,
    bounds: &Bounds,
    nodes: &[Point; NODES],
) -> Option<Entry> {
    let border = &zone.border_m;
    let mut before = Spread::of(motion.position, motion.position_cov());
    let mut at = nodes.map(|z| before.carry(z));
    // When each path enters, seconds from now.
    let mut entry_s = [f64::INFINITY; NODES];
    if bounds.near(&before, &before) {
        entry_s = at.map(|p| if border.contains(p) { 0.0 } else { f64::INFINITY });
    }
    let inside = part(&entry_s);
    let border_distance_m = border.border_distance(motion.position);
    if inside >= INSIDE_MIN {
        return Some(Entry {
            inside,
            probability: 1.0,
            in_s: 0.0,
            position_m: motion.position,
            border_distance_m,
        });
    }
    let horizon_s = view.options.event_horizon_s + 1e-6;
    for step in track.forecast.points.iter().take_while(|p| p.ahead_s <= horizon_s) {
        let spread = Spread::of(step.position_m, step.cov_m2);
        let next = nodes.map(|z| spread.carry(z));
        if bounds.near(&before, &spread) {
            for (i, when) in entry_s.iter_mut().enumerate() {
                if when.is_infinite() && border.meets(at[i], next[i]) {
                    *when = step.ahead_s;
                }
            }
        }
        (at, before) = (next, spread);
    }
    let probability = part(&entry_s);
    if probability < view.options.retract_below {
        return None;
    }
    // Half of those that enter are in by then.
    entry_s.sort_by(f64::total_cmp);
    let in_s = entry_s[(probability * NODES as f64) as usize / 2];
    let there = track.forecast.points.iter().find(|p| p.ahead_s >= in_s);
    let position_m = there.map_or(motion.position, |p| p.position_m);
    Some(Entry { inside, probability, in_s, position_m, border_distance_m })
}

fn candidate(view: &View<'_>, track: &SceneTrack, index: usize, entry: &Entry) -> Candidate {
    Candidate {
        key: Key { kind: EventType::Trespassing, tracks: vec![track.track.id], zone: Some(index) },
        position_m: entry.position_m,
        zone: Some(index),
        probability: entry.probability,
        expected_in_s: entry.in_s,
        occurring: entry.inside >= INSIDE_MIN,
        confirm_s: CONFIRM_S,
        trace: RuleTrace {
            name: "trespassing",
            thresholds: vec![
                ("inside_probability", INSIDE_MIN),
                ("entry_probability", view.options.predict_at),
                ("horizon_s", view.options.event_horizon_s),
            ],
            measured: vec![
                ("inside_probability", entry.inside),
                ("entry_probability", entry.probability),
                ("entry_in_s", entry.in_s),
                ("border_distance_m", entry.border_distance_m),
            ],
        },
    }
}

/// The part of the mass that enters at all.
fn part(entry_s: &[f64; NODES]) -> f64 {
    entry_s.iter().filter(|s| s.is_finite()).count() as f64 / NODES as f64
}

fn nodes() -> [Point; NODES] {
    std::array::from_fn(|i| {
        let (ring, place) = (i / PER_RING, i % PER_RING);
        // Every other ring is turned by half a place.
        let turn = (place as f64 + 0.5 * (ring % 2) as f64) / PER_RING as f64 * std::f64::consts::TAU;
        Point::new(turn.cos(), turn.sin()) * RADII[ring]
    })
}

/// A normal distribution in the plane, as its mean and the Cholesky factor of its covariance.
#[derive(Clone, Copy)]
struct Spread {
    mean: Point,
    xx: f64,
    yx: f64,
    yy: f64,
}

impl Spread {
    fn of(mean: Point, [sxx, sxy, syy]: [f64; 3]) -> Self {
        let xx = sxx.max(0.0).sqrt();
        let yx = if xx > 0.0 { sxy / xx } else { 0.0 };
        Self { mean, xx, yx, yy: (syy - yx * yx).max(0.0).sqrt() }
    }

    fn carry(&self, z: Point) -> Point {
        self.mean + Point::new(self.xx * z.x, self.yx * z.x + self.yy * z.y)
    }

    /// No node lies farther out than this along either axis.
    fn reach(&self) -> Point {
        Point::new(self.xx, self.yx.abs() + self.yy) * RADII[RADII.len() - 1]
    }
}

/// The axis-parallel box around a zone: a cheap test before the exact one.
struct Bounds {
    low: Point,
    high: Point,
}

impl Bounds {
    fn of(border: &Polygon) -> Self {
        let none =
            (Point::new(f64::INFINITY, f64::INFINITY), Point::new(f64::NEG_INFINITY, f64::NEG_INFINITY));
        let (low, high) = border.corners().iter().fold(none, |(low, high), p| {
            (Point::new(low.x.min(p.x), low.y.min(p.y)), Point::new(high.x.max(p.x), high.y.max(p.y)))
        });
        Self { low, high }
    }

    /// Whether a node may get here on its way from one distribution to the other.
    fn near(&self, a: &Spread, b: &Spread) -> bool {
        let (ra, rb) = (a.reach(), b.reach());
        let overlaps = |a: f64, ra: f64, b: f64, rb: f64, low: f64, high: f64| {
            (a - ra).min(b - rb) <= high && (a + ra).max(b + rb) >= low
        };
        overlaps(a.mean.x, ra.x, b.mean.x, rb.x, self.low.x, self.high.x)
            && overlaps(a.mean.y, ra.y, b.mean.y, rb.y, self.low.y, self.high.y)
    }
}
