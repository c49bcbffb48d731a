//! Second thoughts: who was taken for another lately is put right once the ways of both show it.
//!
//! At the moment at which two pass, or somebody comes in where another was just now, places alone often
//! can't tell who is who; two or three sightings later their ways can. So everybody keeps a short [`Trail`].
//! After each step, of any two that are near one another their ways are cut at each moment of the trails,
//! and both ways of joining what came before the cut to what came after are compared by the likelihood
//! of all sightings after it under the motion model. Where the other way is likelier by [`SURE`], the two
//! exchange what came before: their names, and what is known of them. (The exchange of tails of
//! Markov-chain data association: Oh, Russell & Sastry, IEEE TAC 2009; here only its best move, taken
//! once, so that all tables that know the same do the same.) One of the two may have nothing before the
//! cut, if it was founded after it.
//!
//! Bounds: [`TRAIL_MAX`] sightings of the last [`HORIZON_MS`] each, at least [`SPACING_MS`] apart.

use std::sync::Arc;

use super::Options;
use super::motion::{Estimate, Place};
use super::pace::Pace;
use super::pairing::ln_density;
use super::person::{Binding, Person};
use super::table::{EXIST_CONFIRM, PLAUSIBLE};

/// Sightings of one trail, and tracks of one sighting, at most.
const TRAIL_MAX: usize = 6;
const TRACKS_MAX: usize = 6;
/// How far back a cut is looked for, milliseconds.
const HORIZON_MS: i64 = 2_000;
/// All sightings but the last are at least so far apart, milliseconds.
const SPACING_MS: i64 = 150;
/// Two that are farther apart are not compared, metres.
const NEAR_M: f64 = 3.0;
/// How much likelier the other way has to be, natural units. Where people stand together reports are mixed up
/// too, and the odds say more than they know: with a lower limit more is exchanged and nothing gained
/// (WILDTRACK forwards and backwards, ETH/UCY).
const SURE: f64 = 8.0;
/// What it says that a camera's track goes on over the cut, or that the camera calls them by another.
const SAME_TRACK: f64 = 1.5;
const OTHER_TRACK: f64 = -2.0;

/// One moment at which somebody was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sighting {
    at_ms: i64,
    place: Place,
    after: Estimate,
    /// How far its cameras' tracks are believed, 0..1.
    track_trust: f64,
    /// Cameras and their tracks; the rest is camera [`u16::MAX`].
    tracks: [(u16, u32); TRACKS_MAX],
}

const NO_CAMERA: (u16, u32) = (u16::MAX, 0);

impl Sighting {
    /// Where they were seen, what was thought of them after it, and whose tracks they were.
    pub(super) fn new<'a>(
        at_ms: i64,
        place: Place,
        after: Estimate,
        track_trust: f64,
        tracks: impl Iterator<Item = &'a Binding>,
    ) -> Self {
        let mut of = [NO_CAMERA; TRACKS_MAX];
        for (slot, b) in of.iter_mut().zip(tracks) {
            *slot = (b.camera, b.track_id);
        }
        Self { at_ms, place, after, track_trust, tracks: of }
    }
}

/// The last sightings of somebody, the newest last. Tables share them until one of them adds to its own: of a
/// moment's people most were not seen in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Trail(Arc<[Sighting]>);

impl Trail {
    pub(super) fn push(&mut self, sighting: Sighting) {
        let crowded = matches!(&*self.0, [.., before, last] if last.at_ms - before.at_ms < SPACING_MS);
        let kept = &self.0[..self.0.len() - usize::from(crowded)];
        let kept = &kept[(kept.len() + 1).saturating_sub(TRAIL_MAX)..];
        self.0 = kept.iter().copied().chain([sighting]).collect();
    }

    /// When they were seen last, and what was thought of them then.
    pub(super) fn last(&self) -> Option<(i64, Estimate)> {
        self.0.last().map(|s| (s.at_ms, s.after))
    }

    pub(super) fn forget(&mut self, camera: u16) {
        let seen_by = |s: &Sighting| s.tracks.iter().any(|t| t.0 == camera);
        if !self.0.iter().any(seen_by) {
            return;
        }
        for track in
            Arc::make_mut(&mut self.0).iter_mut().flat_map(|s| &mut s.tracks).filter(|t| t.0 == camera)
        {
            *track = NO_CAMERA;
        }
    }

    /// What came before this time, and what from then on.
    fn cut(&self, at_ms: i64) -> (&[Sighting], &[Sighting]) {
        self.0.split_at(self.0.partition_point(|s| s.at_ms < at_ms))
    }
}

/// Puts right who was taken for another.
pub(super) fn revise(people: &mut [Person], pace: Pace, now_ms: i64, options: &Options) {
    let mut by_x: Vec<(f64, usize)> =
        people.iter().enumerate().map(|(i, p)| (p.estimate.place(0.0).at.x, i)).collect();
    by_x.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for left in 0..by_x.len() {
        for right in left + 1..by_x.len() {
            if by_x[right].0 - by_x[left].0 > NEAR_M {
                break;
            }
            let (i, j) = (by_x[left].1.min(by_x[right].1), by_x[left].1.max(by_x[right].1));
            let (before, after) = people.split_at_mut(j);
            let (a, b) = (&mut before[i], &mut after[0]);
            if let Some(cut_ms) = best_cut(a, b, now_ms - pace.stretched_ms(HORIZON_MS), options) {
                exchange(a, b, cut_ms, now_ms, options);
            }
        }
    }
}

/// The moment after `from_ms` from which on the two are likelier to be each other.
fn best_cut(a: &Person, b: &Person, from_ms: i64, options: &Options) -> Option<i64> {
    let off = a.estimate.place(0.0).at - b.estimate.place(0.0).at;
    if off.y.abs() > NEAR_M || !a.class().compatible(b.class()) {
        return None;
    }
    let cuts = a.trail.0.iter().chain(b.trail.0.iter()).map(|s| s.at_ms).filter(|at| *at > from_ms);
    let mut best = (SURE, None);
    for cut_ms in cuts {
        let gain = gain(a, b, cut_ms, options);
        if gain > best.0 {
            best = (gain, Some(cut_ms));
        }
    }
    best.1
}

/// How much likelier it is that the two exchanged their ways at the cut.
fn gain(a: &Person, b: &Person, cut_ms: i64, options: &Options) -> f64 {
    let ((head_a, tail_a), (head_b, tail_b)) = (a.trail.cut(cut_ms), b.trail.cut(cut_ms));
    // What the trail has forgotten can't be joined to anything.
    let forgot = |p: &Person, head: &[Sighting]| head.is_empty() && p.founded_ms < cut_ms;
    let nothing = (head_a.is_empty() && head_b.is_empty()) || (tail_a.is_empty() || tail_b.is_empty());
    if nothing || forgot(a, head_a) || forgot(b, head_b) {
        return f64::NEG_INFINITY;
    }
    let joined = |head: &[Sighting], tail: &[Sighting]| ln_likelihood(head.last(), tail, options).0;
    joined(head_a, tail_b) + joined(head_b, tail_a) - joined(head_a, tail_a) - joined(head_b, tail_b)
}

/// ln of the likelihood of the sightings after the cut for who was last seen so before it (or is new), and
/// what is thought of them at the end.
fn ln_likelihood(head: Option<&Sighting>, tail: &[Sighting], options: &Options) -> (f64, Option<Estimate>) {
    let Some(first) = tail.first() else { return (0.0, head.map(|h| h.after)) };
    let (mut estimate, mut at_ms, mut sum, rest) = match head {
        Some(h) => (h.after, h.at_ms, tracks_go_on(h, first), tail),
        // Of who is new their way alone speaks, not what others did (`inflow`).
        None => (Estimate::begin(&first.place, options.speed_sigma_mps), first.at_ms, 0.0, &tail[1..]),
    };
    for s in rest {
        estimate.predict((s.at_ms - at_ms) as f64 * 1e-3, options.acceleration_m2_s3);
        let expected = estimate.place(0.0);
        sum += ln_density(s.place.at - expected.at, super::motion::plus(expected.cov, s.place.cov));
        estimate.update(&s.place, PLAUSIBLE);
        at_ms = s.at_ms;
    }
    (sum, Some(estimate))
}

/// What the cameras' tracks say for the one being the other: the mean over the cameras that saw both.
fn tracks_go_on(before: &Sighting, after: &Sighting) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for (camera, track) in before.tracks.iter().filter(|t| **t != NO_CAMERA) {
        if let Some((_, now)) = after.tracks.iter().find(|t| t.0 == *camera) {
            sum += if now == track { SAME_TRACK } else { OTHER_TRACK };
            count += 1.0;
        }
    }
    if count > 0.0 { after.track_trust * sum / count } else { 0.0 }
}

/// The two take over what the other was before the cut. What was seen since stays with who was seen.
fn exchange(a: &mut Person, b: &mut Person, cut_ms: i64, now_ms: i64, options: &Options) {
    let ((head_a, tail_a), (head_b, tail_b)) = (a.trail.cut(cut_ms), b.trail.cut(cut_ms));
    let joined = |head: &[Sighting], tail: &[Sighting]| {
        let trail = Trail(head.iter().chain(tail).copied().collect());
        let (_, estimate) = ln_likelihood(head.last(), tail, options);
        let at_ms = trail.0.last().map_or(now_ms, |s| s.at_ms);
        (trail, estimate, at_ms)
    };
    let (of_a, of_b) = (joined(head_b, tail_a), joined(head_a, tail_b));
    for (person, (trail, estimate, at_ms)) in [(&mut *a, of_a), (&mut *b, of_b)] {
        person.trail = trail;
        if let Some(mut estimate) = estimate {
            estimate.predict((now_ms - at_ms) as f64 * 1e-3, options.acceleration_m2_s3);
            person.estimate = estimate;
        }
    }
    std::mem::swap(&mut a.id, &mut b.id);
    std::mem::swap(&mut a.founded_ms, &mut b.founded_ms);
    std::mem::swap(&mut a.born_m, &mut b.born_m);
    std::mem::swap(&mut a.born_as, &mut b.born_as);
    std::mem::swap(&mut a.is_learned, &mut b.is_learned);
    for person in [&mut *a, &mut *b] {
        // Who has nothing before the cut came up where they were seen after it.
        if let [first, ..] = &*person.trail.0
            && first.at_ms >= cut_ms
        {
            person.born_m = first.place.at;
        }
    }
    std::mem::swap(&mut a.hand_over, &mut b.hand_over);
    let (was_a, was_b) = (a.confirmed, b.confirmed);
    a.confirmed = was_b || a.exists >= EXIST_CONFIRM;
    b.confirmed = was_a || b.exists >= EXIST_CONFIRM;
    a.renamed_ms = now_ms + 1;
    b.renamed_ms = now_ms + 1;
}
