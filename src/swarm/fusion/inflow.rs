//! Which way people go on from where they come up, learned from those who came up there before.
//!
//! Of somebody new no velocity is known; but doors, gates and the borders of the views stay where they are, and who
//! comes in there goes in. Without knowing that, of people who come in one behind the other at two frames a second
//! each is taken for the one before: the next one is seen nearer to where that one was than that one is by now.
//!
//! [`Inflow::learn`] keeps where somebody came up and how they went in the first second;
//! [`Inflow::velocity`] says what that makes likely for somebody new: the mean over the neighbourhood
//! (Nadaraya-Watson), drawn towards standing still by as much as nothing is known, and always by a part of it, for who
//! goes against the stream. Who is found again, and who was there from the start, counts as one who came up: at
//! such places it is the stream that is learned.
//!
//! Tables that heard different reports learn different people, and a camera that was restarted begins with none. That
//! shifts who is taken for whom at most as a lost report does.
//!
//! Bounds: the last [`ARRIVALS_MAX`], and of one neighbourhood the last [`NEAR_MAX`]. Pure.

use std::sync::Arc;

use super::handover::RUN_MPS;
use super::motion::{Place, plus, round, times};
use super::pace::Pace;
use super::person::Person;
use super::standing::Standing;
use crate::base::portable::exp;
use crate::model::{Class, Point};

/// So many are remembered, and of those who came up within [`NEAR_M`] of one another so many.
const ARRIVALS_MAX: usize = 256;
const NEAR_MAX: usize = 32;
/// How somebody went is looked at when they are first seen so long after they came up, and not much later, milliseconds.
const LEARNED_AFTER_MS: i64 = 1_000;
const LEARNED_UNTIL_MS: i64 = 2_500;
/// Who came up so far from a place says little of it (standard deviation), metres; beyond three times that, nothing.
const NEAR_M: f64 = 2.5;
/// Knowing nothing counts as much as so many who came up in the very place, and as this part of those who did.
const NOTHING_KNOWN: f64 = 1.0;
const AGAINST_PART: f64 = 0.3;
/// People who come the same way still differ by this, metres per second.
const ALIKE_MPS: f64 = 0.3;
/// A person counts whom a camera sees that the others bear out this far, 0..1.
const TRUSTED: f64 = 0.5;

/// Somebody who came up.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Arrival {
    class: Class,
    at: Point,
    /// How they went on, metres per second.
    velocity: Point,
}

/// Those who came up lately, the newest last. Tables share them until somebody else comes.
#[derive(Debug, Clone, Default)]
pub(super) struct Inflow(Arc<[Arrival]>);

impl Inflow {
    /// Takes in who was seen now and came up long enough ago, each once.
    pub(super) fn learn(&mut self, people: &mut [Person], standing: &[Standing], pace: Pace, now_ms: i64) {
        let after_ms = pace.stretched_ms(LEARNED_AFTER_MS);
        let is_due = |p: &Person| {
            p.confirmed && !p.is_learned && p.seen_ms == now_ms && now_ms - p.founded_ms >= after_ms
        };
        let mut due: Vec<&mut Person> = people.iter_mut().filter(|p| is_due(p)).collect();
        if due.is_empty() {
            return;
        }
        // In an order that is everybody's.
        due.sort_unstable_by_key(|p| (p.founded_ms, p.born_as));
        let mut all = self.0.to_vec();
        for person in due {
            person.is_learned = true;
            let since_ms = now_ms - person.founded_ms;
            // What the estimate says of the velocity is partly what was learned before.
            let way = person.estimate.place(0.0).at - person.born_m;
            let velocity = way * (1e3 / since_ms as f64);
            let mut seen_by = person.bindings.iter().filter(|b| b.seen_ms == now_ms);
            let is_trusted = seen_by.any(|b| standing[usize::from(b.camera)].agreement() >= TRUSTED);
            // Who would have run faster than anybody was two people.
            let is_one = velocity.norm() <= RUN_MPS;
            if is_trusted && is_one && since_ms <= pace.stretched_ms(LEARNED_UNTIL_MS) {
                add(&mut all, Arrival { class: person.class(), at: person.born_m, velocity });
            }
        }
        self.0 = all.into();
    }

    /// The velocity of somebody who comes up here, metres per second: what is likely, and its covariance. `sigma_mps` is
    /// the standard deviation where nothing is known.
    pub(super) fn velocity(&self, class: Class, here: Point, sigma_mps: f64) -> Place {
        let (mut known, mut sum, mut squares) = (0.0, Point::default(), round(0.0));
        for arrival in self.0.iter().filter(|a| a.class.compatible(class)) {
            let off = arrival.at - here;
            let away2 = (off.x * off.x + off.y * off.y) / (NEAR_M * NEAR_M);
            if away2 < 3.0 * 3.0 {
                let (weight, v) = (exp(-0.5 * away2), arrival.velocity);
                known += weight;
                sum = sum + v * weight;
                let alike = round(ALIKE_MPS * ALIKE_MPS);
                squares = plus(squares, times(plus([v.x * v.x, v.x * v.y, v.y * v.y], alike), weight));
            }
        }
        // The mean and the covariance of a mixture: of those who came, and of somebody of whom nothing is known.
        let unknown = NOTHING_KNOWN + AGAINST_PART * known;
        let squares = plus(squares, round(unknown * sigma_mps * sigma_mps));
        let mean = sum * (1.0 / (known + unknown));
        let about_zero = times(squares, 1.0 / (known + unknown));
        let cov = plus(about_zero, [-mean.x * mean.x, -mean.x * mean.y, -mean.y * mean.y]);
        Place { at: mean, cov }
    }
}

/// Adds one; where there are enough, the oldest there goes.
fn add(all: &mut Vec<Arrival>, new: Arrival) {
    let near = |a: &Arrival| a.class == new.class && (a.at - new.at).norm() < NEAR_M;
    if all.iter().filter(|a| near(a)).count() >= NEAR_MAX
        && let Some(oldest) = all.iter().position(near)
    {
        all.remove(oldest);
    } else if all.len() >= ARRIVALS_MAX {
        all.remove(0);
    }
    all.push(new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::fusion::Sight;
    use crate::swarm::fusion::motion::Estimate;
    use crate::swarm::fusion::pairing::{Seen, Working};

    const DOOR: Point = Point { x: 10.0, y: -4.0 };

    /// So many who went through the door with each of these velocities.
    fn door(count: usize, velocities: &[(f64, f64)]) -> Inflow {
        let came = velocities.iter().flat_map(|&(x, y)| {
            let one = Arrival { class: Class::Person, at: DOOR, velocity: Point::new(x, y) };
            std::iter::repeat_n(one, count)
        });
        Inflow(came.collect())
    }

    #[test]
    fn where_nobody_came_up_before_nothing_is_known() {
        let far = DOOR + Point::new(3.1 * NEAR_M, 0.0);
        let nothing = Place { at: Point::default(), cov: round(1.5 * 1.5) };
        assert_eq!(Inflow::default().velocity(Class::Person, DOOR, 1.5), nothing);
        assert_eq!(door(20, &[(-1.2, 0.4)]).velocity(Class::Person, far, 1.5), nothing);
        assert_eq!(
            door(20, &[(-1.2, 0.4)]).velocity(Class::Vehicle, DOOR, 1.5),
            nothing,
            "cars are not people"
        );
    }

    #[test]
    fn who_comes_up_where_others_came_in_goes_the_way_that_they_went() {
        let velocity = |count| door(count, &[(-1.2, 0.4)]).velocity(Class::Person, DOOR, 1.0);
        let (few, many) = (velocity(1), velocity(20));
        let of = |part: f64| Point::new(-1.2, 0.4) * part;
        assert!((few.at - of(1.0 / 2.3)).norm() < 1e-9, "{few:?}");
        assert!((many.at - of(20.0 / 27.0)).norm() < 1e-9, "{many:?}");
        assert!(many.cov[0] < few.cov[0] && few.cov[0] < 1.0, "{few:?} {many:?}");
        assert!([few, many].iter().all(|v| v.cov[1] * v.cov[1] < v.cov[0] * v.cov[2]), "{few:?} {many:?}");
        assert!(many.cov[0] >= ALIKE_MPS * ALIKE_MPS && many.cov[2] >= ALIKE_MPS * ALIKE_MPS);
    }

    #[test]
    fn where_some_go_one_way_and_some_the_other_either_is_likely() {
        let both = door(20, &[(1.2, 0.0), (-1.2, 0.0)]).velocity(Class::Person, DOOR, 1.0);
        assert!(both.at.norm() < 1e-9, "{both:?}");
        assert!(both.cov[0] > 1.0 && both.cov[2] < 0.4, "along the way in doubt, across it not: {both:?}");
    }

    /// Somebody whom camera 0 sees, who came up at the door and has walked on for so long.
    fn walker(velocity: Point, walked_ms: i64) -> Person {
        let place = |at| Place { at, cov: round(0.01) };
        let mut person = Person::founded(1, Estimate::begin(&place(DOOR), 1.0), 0);
        let here = place(DOOR + velocity * (walked_ms as f64 * 1e-3));
        person.estimate = Estimate::begin(&here, 1.0);
        (person.confirmed, person.seen_ms, person.at_ms) = (true, walked_ms, walked_ms);
        let sight = Sight {
            track_id: 1,
            position_m: here.at,
            cov_m2: here.cov,
            class: Class::Person,
            confidence: 0.9,
            captured_ms: walked_ms,
            global_id: None,
        };
        let seen = Seen { scan: 0, sight: &sight, place: here, dt_s: 0.0, muted: false, track_trust: 1.0 };
        let working = Working::of(&person);
        person.bind(&seen, 0, walked_ms, Pace::default(), &working);
        person
    }

    fn learned(inflow: &mut Inflow, person: &mut Person) -> usize {
        let (standing, now_ms) = ([Standing::default()], person.seen_ms);
        inflow.learn(std::slice::from_mut(person), &standing, Pace::default(), now_ms);
        inflow.0.len()
    }

    #[test]
    fn everybody_is_learned_of_once_when_they_are_seen_a_second_after_they_came_up_or_a_little_later() {
        for (walked_ms, of) in [(900, 0), (1_000, 1), (1_700, 1), (2_501, 0)] {
            let mut inflow = Inflow::default();
            let mut person = walker(Point::new(-1.2, 0.4), walked_ms);
            assert_eq!(learned(&mut inflow, &mut person), of, "{walked_ms}");
            assert_eq!(learned(&mut inflow, &mut person), of, "{walked_ms}, again");
            if let [arrival] = &*inflow.0 {
                assert!((arrival.velocity - Point::new(-1.2, 0.4)).norm() < 1e-9 && arrival.at == DOOR);
            }
        }
    }

    #[test]
    fn who_is_not_confirmed_or_not_seen_now_waits_and_what_no_person_does_is_not_learned() {
        let mut inflow = Inflow::default();
        let mut doubtful = walker(Point::new(1.0, 0.0), 1_500);
        doubtful.confirmed = false;
        assert_eq!(learned(&mut inflow, &mut doubtful), 0);
        doubtful.confirmed = true;
        inflow.learn(std::slice::from_mut(&mut doubtful), &[Standing::default()], Pace::default(), 1_600);
        assert_eq!(inflow.0.len(), 0, "not seen");
        assert_eq!(learned(&mut inflow, &mut walker(Point::new(6.0, 0.0), 1_000)), 0, "two people");
        let mut borne_out_by_nobody = Standing::default();
        (0..40).for_each(|second| borne_out_by_nobody.judge(false, second * 1_000));
        let mut ghost = walker(Point::new(1.0, 0.0), 1_000);
        inflow.learn(std::slice::from_mut(&mut ghost), &[borne_out_by_nobody], Pace::default(), 1_000);
        assert_eq!(inflow.0.len(), 0, "by the word of a camera that the others contradict");
        assert_eq!(learned(&mut inflow, &mut doubtful), 1);
    }

    #[test]
    fn a_busy_door_pushes_no_quiet_one_out_and_memory_is_bounded() {
        let at =
            |x: f64| Arrival { class: Class::Person, at: Point::new(x, 0.0), velocity: Point::default() };
        let mut all = vec![at(-50.0)];
        (0..1_000).for_each(|i| add(&mut all, at(0.001 * f64::from(i))));
        assert_eq!(all.len(), 1 + NEAR_MAX);
        assert_eq!((all[0], all[NEAR_MAX]), (at(-50.0), at(0.999)));
        (0..1_000).for_each(|i| add(&mut all, at(10.0 * f64::from(i))));
        assert_eq!(all.len(), ARRIVALS_MAX);
    }
}
