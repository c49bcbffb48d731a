//! Who is where on the plaza: a pure function of a seed and the time.
//!
//! Time is cut into slots, one series of slots per [`Role`]; the actors of a slot come from a
//! generator seeded by (seed, role, slot). So any process may ask for any time, in any order, and
//! all see the same plaza; nothing is stored and nothing ever ends. Asking costs a few dozen short
//! plans and no allocation beyond the caller's buffer.
//!
//! The cast is dense enough that within half a minute of any moment somebody paces about one place,
//! somebody runs, somebody crosses the dock, two people meet, and a vehicle drives through.
//!
//! Metres and seconds on the plaza's ground frame (right-handed, z up). What things look like is
//! not here. Nothing can fail.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::stage;
use crate::model::{Class, Point};

/// One person or vehicle at one moment: the ground truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Actor {
    /// Unique over all time in one plaza.
    pub id: u64,
    /// A person or a vehicle.
    pub class: Class,
    /// Where it touches the ground, metres.
    pub position_m: Point,
    /// Metres per second.
    pub velocity_mps: Point,
    /// Metres.
    pub height_m: f64,
    /// Where it faces, radians from the x axis.
    pub heading_rad: f64,
    /// The way it has come, metres: the phase of its steps.
    pub walked_m: f64,
    /// Seeds its clothes or its paint.
    pub look: u64,
}

/// The plaza's people and vehicles.
#[derive(Debug, Clone, Copy)]
pub(super) struct World {
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Crosses the plaza, perhaps with a stop.
    Walker,
    /// Crosses it at a run.
    Runner,
    /// Takes the short way through the dock.
    Trespasser,
    /// Two persons that walk towards each other and meet or collide.
    Pair,
    /// Paces slowly about one place for a long time.
    Pacer,
    /// Stands in one place.
    Stander,
    /// Drives along the street.
    Vehicle,
}

struct Cast {
    role: Role,
    /// One appearance in each slot of this length.
    every_s: f64,
    /// None lives longer than this.
    life_max_s: f64,
}

/// An appearance starts within this part of its slot.
const JITTER: f64 = 0.15;

const CAST: [Cast; 7] = [
    Cast { role: Role::Walker, every_s: 7.0, life_max_s: 56.0 },
    Cast { role: Role::Runner, every_s: 17.0, life_max_s: 20.0 },
    Cast { role: Role::Trespasser, every_s: 15.0, life_max_s: 45.0 },
    Cast { role: Role::Pair, every_s: 17.0, life_max_s: 51.0 },
    Cast { role: Role::Pacer, every_s: 60.0, life_max_s: 180.0 },
    Cast { role: Role::Stander, every_s: 40.0, life_max_s: 120.0 },
    Cast { role: Role::Vehicle, every_s: 26.0, life_max_s: 26.0 },
];

impl World {
    /// The plaza that belongs to `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Replaces the content of `actors` with everybody who is there at `t_s`, in a fixed order.
    pub(super) fn actors(self, t_s: f64, actors: &mut Vec<Actor>) {
        actors.clear();
        for (kind, cast) in CAST.iter().enumerate() {
            let last = (t_s / cast.every_s).floor();
            let back = (cast.life_max_s / cast.every_s).ceil() as i64;
            for slot in last as i64 - back..=last as i64 {
                self.slot(kind as u64, cast, slot, t_s, actors);
            }
        }
    }

    fn slot(self, kind: u64, cast: &Cast, slot: i64, t_s: f64, actors: &mut Vec<Actor>) {
        let mut rng = Pcg64Mcg::seed_from_u64(mix(self.seed ^ mix(kind ^ mix(slot as u64))));
        let start_s = slot as f64 * cast.every_s + rng.random_range(0.0..JITTER) * cast.every_s;
        let t_s = t_s - start_s;
        if t_s < 0.0 {
            return;
        }
        let (plans, count) = plan(cast.role, slot, &mut rng);
        for (member, plan) in plans.iter().take(count).enumerate() {
            let look = rng.random();
            let height_m =
                if cast.role == Role::Vehicle { stage::VEHICLE_HEIGHT_M } else { rng.random_range(1.6..1.9) };
            if !(plan.start_s()..plan.end_s()).contains(&t_s) {
                continue;
            }
            actors.push(Actor {
                id: kind << 56 | (slot as u64 & 0xff_ffff_ffff) << 4 | member as u64,
                class: if cast.role == Role::Vehicle { Class::Vehicle } else { Class::Person },
                position_m: plan.position(t_s),
                velocity_mps: (plan.position(t_s + 0.05) - plan.position(t_s - 0.05)) * 10.0,
                height_m,
                heading_rad: plan.heading(t_s),
                walked_m: plan.walked(t_s),
                look,
            });
        }
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea & Flood 2014): a bijection that scatters its argument.
pub(super) fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Most places in one plan.
const KEYS_MAX: usize = 8;
/// Corners are rounded over this time to either side.
const ROUNDING_S: f64 = 0.45;
/// A pacer eases into and out of its pacing over this time.
const EASE_S: f64 = 4.0;

/// Where one actor is from its first to its last moment: straight ways between timed places, with
/// rounded corners, and perhaps slow pacing about a place at which it stays.
#[derive(Debug, Clone, Copy)]
struct Plan {
    keys: [(f64, Point); KEYS_MAX],
    len: usize,
    pacing: Option<Pacing>,
}

#[derive(Debug, Clone, Copy)]
struct Pacing {
    from_s: f64,
    to_s: f64,
    radius_m: f64,
    period_s: f64,
}

impl Plan {
    fn starting(at_s: f64, place: Point) -> Self {
        Self { keys: [(at_s, place); KEYS_MAX], len: 1, pacing: None }
    }

    fn push(&mut self, at_s: f64, place: Point) {
        if self.len < KEYS_MAX {
            self.keys[self.len] = (at_s, place);
            self.len += 1;
        }
    }

    /// Goes on to `place` at `speed_mps`.
    fn go(mut self, place: Point, speed_mps: f64) -> Self {
        let (at_s, here) = self.last();
        self.push(at_s + here.distance(place) / speed_mps, place);
        self
    }

    /// Stays for `for_s`.
    fn stay(mut self, for_s: f64) -> Self {
        let (at_s, here) = self.last();
        self.push(at_s + for_s, here);
        self
    }

    /// Moves the whole plan in time so that it is at the end of what was planned so far at `at_s`.
    fn arriving(mut self, at_s: f64) -> Self {
        let by_s = at_s - self.end_s();
        for key in &mut self.keys[..self.len] {
            key.0 += by_s;
        }
        self
    }

    fn keys(&self) -> &[(f64, Point)] {
        &self.keys[..self.len]
    }

    fn last(&self) -> (f64, Point) {
        self.keys[self.len - 1]
    }

    fn start_s(&self) -> f64 {
        self.keys[0].0
    }

    fn end_s(&self) -> f64 {
        self.last().0
    }

    /// The corner that was passed last at `t_s`, and how much of the way to the next is done.
    fn leg(&self, t_s: f64) -> (usize, f64) {
        let keys = self.keys();
        let i = keys.iter().rposition(|&(at_s, _)| at_s <= t_s).unwrap_or(0);
        match keys.get(i + 1) {
            Some(&(next_s, _)) if next_s > keys[i].0 => {
                (i, ((t_s - keys[i].0) / (next_s - keys[i].0)).clamp(0.0, 1.0))
            }
            _ => (i, 0.0),
        }
    }

    fn on_keys(&self, t_s: f64) -> Point {
        let (i, part) = self.leg(t_s);
        let (_, a) = self.keys[i];
        self.keys().get(i + 1).map_or(a, |&(_, b)| a + (b - a) * part)
    }

    fn position(&self, t_s: f64) -> Point {
        let steps = [-1.0, -0.6, -0.2, 0.2, 0.6, 1.0];
        let sum = steps.iter().fold(Point::default(), |sum, k| sum + self.on_keys(t_s + k * ROUNDING_S));
        sum * (1.0 / steps.len() as f64) + self.pacing.map_or(Point::default(), |p| p.offset(t_s))
    }

    /// Looks along its way; where it stays, the way it came.
    fn heading(&self, t_s: f64) -> f64 {
        let ahead = self.position(t_s + 0.4) - self.position(t_s - 0.4);
        if ahead.norm() > 0.1 {
            return ahead.y.atan2(ahead.x);
        }
        let (i, _) = self.leg(t_s);
        let ways = self.keys()[..=i].windows(2).rev().map(|pair| pair[1].1 - pair[0].1);
        let came = ways.into_iter().find(|w| w.norm() > 0.1).unwrap_or(Point::new(0.0, -1.0));
        came.y.atan2(came.x) + 0.5 * (t_s * 0.31).sin()
    }

    fn walked(&self, t_s: f64) -> f64 {
        let (i, part) = self.leg(t_s);
        let keys = self.keys();
        let done: f64 = keys[..=i].windows(2).map(|pair| pair[0].1.distance(pair[1].1)).sum();
        let rest = keys.get(i + 1).map_or(0.0, |next| keys[i].1.distance(next.1) * part);
        let paced = self.pacing.map_or(0.0, |p| {
            (t_s.clamp(p.from_s, p.to_s) - p.from_s) * std::f64::consts::TAU * p.radius_m / p.period_s
        });
        done + rest + paced
    }
}

impl Pacing {
    fn offset(&self, t_s: f64) -> Point {
        let inside = (t_s - self.from_s).min(self.to_s - t_s);
        let k = (inside / EASE_S).clamp(0.0, 1.0);
        let angle = (t_s - self.from_s) * std::f64::consts::TAU / self.period_s;
        Point::new(angle.sin(), 0.5 * (2.0 * angle).sin()) * (self.radius_m * k * k * (3.0 - 2.0 * k))
    }
}

/// The plans of one appearance, and how many there are.
fn plan(role: Role, slot: i64, rng: &mut Pcg64Mcg) -> ([Plan; 2], usize) {
    let alone = |plan: Plan| ([plan, plan], 1);
    match role {
        Role::Walker => {
            let speed = rng.random_range(1.0..1.6);
            let stop_s = if rng.random_bool(0.35) { rng.random_range(3.0..8.0) } else { 0.0 };
            alone(crossing(rng, speed, stop_s))
        }
        Role::Runner => {
            let speed = rng.random_range(3.6..4.4);
            alone(crossing(rng, speed, 0.0))
        }
        Role::Trespasser => alone(through_the_dock(rng)),
        Role::Pair => (meeting(rng, slot.rem_euclid(2) == 0), 2),
        Role::Pacer => alone(staying(rng, slot.rem_euclid(3) as usize, 130.0, true)),
        Role::Stander => {
            let stay_s = rng.random_range(40.0..60.0);
            alone(staying(rng, 3 + slot.rem_euclid(3) as usize, stay_s, false))
        }
        Role::Vehicle => alone(drive(rng)),
    }
}

fn gates(rng: &mut Pcg64Mcg) -> (Point, Point) {
    let n = stage::GATES_M.len();
    let a = rng.random_range(0..n);
    // Two gates to a wall: at least two further is another wall.
    let b = (a / 2 * 2 + rng.random_range(2..n)) % n;
    (stage::GATES_M[a], stage::GATES_M[b])
}

fn crossing(rng: &mut Pcg64Mcg, speed_mps: f64, stop_s: f64) -> Plan {
    /// Tries for a way around what stands on the plaza; a few suffice.
    const TRIES: usize = 24;
    let on = |from: Point, via: Point, to: Point| {
        let plan = Plan::starting(0.0, from).go(via, speed_mps);
        let plan = if stop_s > 0.0 { plan.stay(stop_s) } else { plan };
        plan.go(to, speed_mps)
    };
    for _ in 0..TRIES {
        let (from, to) = gates(rng);
        let via = Point::new(rng.random_range(-5.5..6.0), rng.random_range(-2.2..7.5));
        if stage::is_clear(from, via) && stage::is_clear(via, to) {
            return on(from, via, to);
        }
    }
    on(stage::GATES_M[0], stage::CLEAR_M, stage::GATES_M[2])
}

fn through_the_dock(rng: &mut Pcg64Mcg) -> Plan {
    let speed = rng.random_range(1.0..1.4);
    let west = Point::new(-0.2, rng.random_range(-1.0..0.5));
    let inside = Point::new(rng.random_range(1.6..3.2), rng.random_range(1.2..3.0));
    let north = Point::new(rng.random_range(2.0..2.8), 7.6);
    let a = stage::GATES_M[if rng.random_bool(0.5) { 0 } else { 2 }];
    let b = stage::GATES_M[5];
    let back = rng.random_bool(0.5);
    let [first, second, third, fourth] = if back { [b, north, west, a] } else { [a, west, north, b] };
    Plan::starting(0.0, first)
        .go(second, speed)
        .go(inside, speed * 0.8)
        .stay(rng.random_range(0.5..2.5))
        .go(third, speed * 0.8)
        .go(fourth, speed)
}

fn meeting(rng: &mut Pcg64Mcg, south: bool) -> [Plan; 2] {
    /// Everybody can reach the place within this time.
    const MEET_S: f64 = 17.0;
    let (low, high, [a, b]) = if south { (-2.6, -0.4, [0, 2]) } else { (6.2, 7.2, [1, 3]) };
    let (a, b) = (stage::GATES_M[a], stage::GATES_M[b]);
    let place = Point::new(rng.random_range(-2.5..0.8), rng.random_range(low..high));
    // They talk at an arm's length, or collide and need a moment.
    let (talk_s, half_m) = if rng.random_bool(0.4) { (rng.random_range(3.0..6.0), 0.4) } else { (1.5, 0.15) };
    let gap = Point::new(-half_m * 0.6, half_m * 0.8);
    let speeds = [rng.random_range(1.1..1.5), rng.random_range(1.1..1.5)];
    let one = |from: Point, to: Point, gap: Point, speed: f64| {
        let met = Plan::starting(0.0, from).go(place + gap, speed).arriving(MEET_S);
        met.stay(talk_s).go(to, speed)
    };
    [one(a, b, gap, speeds[0]), one(b, a, gap * -1.0, speeds[1])]
}

fn staying(rng: &mut Pcg64Mcg, spot: usize, stay_s: f64, paces: bool) -> Plan {
    let spot = stage::SPOTS_M[spot % stage::SPOTS_M.len()];
    let speed = rng.random_range(1.1..1.4);
    let clear = |rng: &mut Pcg64Mcg| stage::GATES_M.into_iter().cycle().skip(rng.random_range(0..6)).take(6);
    let from = clear(rng).find(|&g| stage::is_clear(g, spot)).unwrap_or(stage::GATES_M[0]);
    let to = clear(rng).find(|&g| stage::is_clear(g, spot)).unwrap_or(stage::GATES_M[2]);
    let plan = Plan::starting(0.0, from).go(spot, speed);
    let from_s = plan.end_s();
    let mut plan = plan.stay(stay_s).go(to, speed);
    if paces {
        let period_s = rng.random_range(20.0..28.0);
        plan.pacing = Some(Pacing { from_s, to_s: from_s + stay_s, radius_m: 0.55, period_s });
    }
    plan
}

fn drive(rng: &mut Pcg64Mcg) -> Plan {
    let speed = rng.random_range(3.6..5.2);
    let ends = [Point::new(-28.0, stage::STREET_Y_M), Point::new(28.0, stage::STREET_Y_M)];
    let [from, to] = if rng.random_bool(0.5) { ends } else { [ends[1], ends[0]] };
    Plan::starting(0.0, from).go(to, speed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn at(world: World, t_s: f64) -> Vec<Actor> {
        let mut actors = Vec::new();
        world.actors(t_s, &mut actors);
        actors
    }

    /// Behind a door, or at the end of the street.
    fn is_outside(p: Point) -> bool {
        p.x.abs() > 14.0 || p.y > 14.0
    }

    proptest! {
        #[test]
        fn everybody_moves_continuously_at_any_time(seed: u64, t_s in -1e6..2e9f64) {
            let world = World::new(seed);
            let before: HashMap<u64, Actor> = at(world, t_s).into_iter().map(|a| (a.id, a)).collect();
            for a in at(world, t_s + 0.1) {
                if let Some(b) = before.get(&a.id) {
                    let top_mps = if a.class == Class::Vehicle { 5.3 } else { 4.5 };
                    let step = a.position_m.distance(b.position_m);
                    prop_assert!(step <= top_mps * 0.1 + 1e-3, "{a:?} was at {:?}", b.position_m);
                    prop_assert!(a.velocity_mps.norm() <= top_mps + 0.01);
                } else {
                    prop_assert!(is_outside(a.position_m), "{a:?} came out of nowhere");
                }
            }
            let after = at(world, t_s + 0.1);
            for gone in before.values().filter(|b| after.iter().all(|a| a.id != b.id)) {
                prop_assert!(is_outside(gone.position_m), "{gone:?} vanished");
            }
        }
    }

    proptest! {
        // Each case plays half a minute: a few dozen are plenty.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn half_a_minute_holds_a_loiterer_a_runner_a_trespasser_a_meeting_and_a_vehicle(t0 in 0.0..2e9f64) {
            let world = World::new(7);
            let dock = crate::model::Polygon::new(stage::DOCK_M.to_vec()).unwrap();
            let mut still: HashMap<u64, (Point, usize)> = HashMap::new();
            let (mut ran, mut trespassed, mut met, mut drove) = (0, 0, 0, 0);
            for step in 0..310 {
                let all = at(world, t0 + f64::from(step) * 0.1);
                for (i, a) in all.iter().enumerate() {
                    let speed = a.velocity_mps.norm();
                    let person = a.class == Class::Person;
                    let on_plaza = a.position_m.x.abs() < 10.0 && a.position_m.y < 9.0;
                    ran += usize::from(person && on_plaza && speed >= 3.4);
                    trespassed += usize::from(dock.contains(a.position_m));
                    drove += usize::from(!person && on_plaza);
                    met += all[..i].iter().filter(|b| person && b.class == a.class && b.position_m.distance(a.position_m) < 0.9).count();
                    let (first, count) = still.entry(a.id).or_insert((a.position_m, 0));
                    *count += usize::from(first.distance(a.position_m) <= 2.0 && speed <= 0.5);
                }
            }
            prop_assert!(still.values().any(|&(_, count)| count == 310), "nobody stays");
            prop_assert!(ran >= 10, "nobody runs");
            prop_assert!(trespassed >= 10, "nobody trespasses");
            prop_assert!(drove >= 10, "nothing drives");
            prop_assert!(met >= 1, "nobody meets");
        }
    }

    #[test]
    fn only_trespassers_enter_the_dock_and_nobody_walks_through_what_stands_there() {
        let world = World::new(3);
        let dock = crate::model::Polygon::new(stage::DOCK_M.to_vec()).unwrap();
        for step in 0..20_000 {
            for a in at(world, 1e9 + f64::from(step) * 0.25) {
                let trespasser = a.id >> 56 == 2;
                assert!(trespasser || !dock.contains(a.position_m), "{a:?}");
                assert!(stage::is_free(a.position_m), "{a:?}");
            }
        }
    }
}
