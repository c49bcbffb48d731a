//! Somebody on the site: where, since when, whose tracks they are, and what they are called.
//!
//! A [`Person`] is bound to the tracks that reported them, at most [`BINDINGS_MAX`] of the last
//! [`BINDING_MS`]; the trail keeps the last places ([`Trail`], bounded) for second thoughts (`revise`).
//! Pure data: who is paired with whom is decided in `pairing`.

use super::handover::HandOver;
use super::motion::{Estimate, mahalanobis2};
use super::pace::Pace;
use super::pairing::{Seen, Working};
use super::revise::Trail;
use super::roster::Roster;
use crate::base::portable::{exp, ln};
use crate::model::{Class, Point};

/// What a track that was this person's before is worth where tracks are never mistaken, natural units, per time
/// seen and at most; and what it costs that the camera calls them by another track.
const BOUND_WORTH: f64 = 1.0;
const BOUND_WORTH_MAX: f64 = 3.0;
const SWITCH: f64 = -2.0;
/// What it takes from a report that its person is lost, natural units, and for every second in which somebody
/// looks where they should be (or what lasts as long at the cameras' pace): who is overlooked for long has mostly left.
const LOST_DOUBT: f64 = -1.0;
const LOST_DOUBT_PER_S: f64 = -3.0;
/// A binding not renewed for so long is forgotten, milliseconds.
const BINDING_MS: i64 = 3_000;
/// No track has this number.
const NO_TRACK: u32 = 0;
/// Tracks that one person is bound to at most.
const BINDINGS_MAX: usize = 24;
/// Existence, natural log-odds: of who is nobody; of a first report; of who is shown, at least.
const EXIST_GONE: f64 = -6.0;
const EXIST_BEGIN: f64 = -3.0;
pub(super) const EXIST_SHOWN: f64 = 0.0;
/// Nearer than this two that no camera tells apart are one, metres; told apart within this time, milliseconds.
const MERGE_M: f64 = 0.4;
const APART_MS: i64 = 1_200;
/// Tables whose names count were heard within this time, milliseconds.
const CLAIM_MS: i64 = 2_500;
/// What a vote for a class keeps from report to report.
const VOTES_KEEP: f32 = 0.98;

const CLASSES: [Class; 6] =
    [Class::Person, Class::Vehicle, Class::Face, Class::Package, Class::Animal, Class::Unknown];

/// One camera's track that is this person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Binding {
    pub(super) camera: u16,
    pub(super) track_id: u32,
    /// Last report.
    pub(super) seen_ms: i64,
    /// Last report, or its absence.
    pub(super) asked_ms: i64,
    /// Reports so far.
    hits: u16,
    /// The name that its camera gives this person, 0 for none.
    claim: u64,
    /// Of the last report: metres from where the person then was, and the squared Mahalanobis distance.
    pub(super) off_m: f32,
    pub(super) off2: f32,
}

/// One person.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Person {
    pub(super) id: u64,
    pub(super) estimate: Estimate,
    pub(super) at_ms: i64,
    pub(super) seen_ms: i64,
    pub(super) founded_ms: i64,
    /// How long they were not seen where somebody looks, seconds.
    pub(super) overlooked_s: f64,
    /// Log-odds of being there.
    pub(super) exists: f64,
    pub(super) confirmed: bool,
    class_votes: [f32; CLASSES.len()],
    class: Class,
    pub(super) bindings: Vec<Binding>,
    pub(super) trail: Trail,
    /// Names heard before this time are of before somebody was found to be another.
    pub(super) renamed_ms: i64,
    /// Where they came up, and the number that they were given then.
    pub(super) born_m: Point,
    pub(super) born_as: u64,
    /// Whether it was looked at how they went on from there (`inflow`).
    pub(super) is_learned: bool,
    /// Whether they are one who waited where nobody looks, and why.
    pub(super) hand_over: Option<HandOver>,
}

impl Person {
    /// Somebody first seen now.
    pub(super) fn founded(id: u64, estimate: Estimate, now_ms: i64) -> Self {
        Self {
            id,
            estimate,
            at_ms: now_ms,
            seen_ms: now_ms,
            founded_ms: now_ms,
            overlooked_s: 0.0,
            exists: EXIST_BEGIN,
            confirmed: false,
            class_votes: [0.0; CLASSES.len()],
            class: Class::Unknown,
            bindings: Vec::new(),
            trail: Trail::default(),
            renamed_ms: i64::MIN,
            born_m: estimate.place(0.0).at,
            born_as: id,
            is_learned: false,
            hand_over: None,
        }
    }

    /// Takes over everything of another, and keeps what memory it has.
    pub(super) fn become_copy_of(&mut self, other: &Self) {
        let mut bindings = std::mem::take(&mut self.bindings);
        bindings.clone_from(&other.bindings);
        *self = Self { bindings, trail: other.trail.clone(), ..*other };
    }

    /// What it is, by the most votes.
    pub(super) fn class(&self) -> Class {
        self.class
    }

    /// Whether the table shows it.
    pub(super) fn is_shown(&self) -> bool {
        self.confirmed && self.exists > EXIST_SHOWN
    }

    fn vote(&mut self, class: Class, weight: f64) {
        if let Some(i) = CLASSES.iter().position(|c| *c == class) {
            self.class_votes[i] = VOTES_KEEP * self.class_votes[i] + weight.max(1e-3) as f32;
            self.count_votes();
        }
    }

    fn count_votes(&mut self) {
        let known = CLASSES.iter().zip(self.class_votes).filter(|(c, v)| **c != Class::Unknown && *v > 0.0);
        self.class = known.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(Class::Unknown, |(c, _)| *c);
    }

    /// What being new, or lost, takes from every report of theirs, natural units: who is not confirmed may
    /// not be there at all.
    pub(super) fn doubt(&self, pace: Pace) -> f64 {
        if !self.confirmed {
            -ln(1.0 + exp(-self.exists))
        } else if self.exists <= EXIST_SHOWN {
            LOST_DOUBT + LOST_DOUBT_PER_S * self.overlooked_s / pace.stretched_s(1.0)
        } else {
            0.0
        }
    }

    /// What the past says for a camera's track being this person, natural units, for tracks that are never
    /// mistaken.
    pub(super) fn affinity(&self, camera: u16, track_id: u32, pace: Pace, now_ms: i64) -> f64 {
        let keep_ms = pace.stretched_ms(BINDING_MS);
        let own = self.bindings.iter().filter(|b| b.camera == camera && now_ms - b.seen_ms <= keep_ms);
        let mut worth: f64 = 0.0;
        for b in own {
            if b.track_id == track_id {
                return (BOUND_WORTH * f64::from(b.hits)).min(BOUND_WORTH_MAX);
            }
            worth = SWITCH;
        }
        worth
    }

    /// Takes a report as theirs; `expected` is what was thought of them before.
    pub(super) fn bind(&mut self, seen: &Seen<'_>, camera: u16, now_ms: i64, pace: Pace, expected: &Working) {
        let track_id = seen.sight.track_id;
        self.vote(seen.sight.class, seen.sight.confidence);
        let at = seen.at_step(expected.velocity);
        let off = at.at - expected.prior.at;
        let sum = super::motion::plus(expected.prior.cov, at.cov);
        let new = Binding {
            camera,
            track_id,
            seen_ms: now_ms,
            asked_ms: now_ms,
            hits: 1,
            claim: seen.sight.global_id.unwrap_or(0),
            off_m: off.norm() as f32,
            off2: mahalanobis2(off, sum) as f32,
        };
        // A camera's track is one at a time: the one before it has been lost.
        let keep_ms = pace.stretched_ms(BINDING_MS);
        self.bindings.retain(|b| now_ms - b.seen_ms <= keep_ms);
        if let Some(b) = self.bindings.iter_mut().find(|b| b.camera == camera && b.track_id == track_id) {
            *b = Binding { hits: b.hits.saturating_add(1), ..new };
            return;
        }
        if self.bindings.len() >= BINDINGS_MAX
            && let Some(oldest) = (0..self.bindings.len()).min_by_key(|&i| self.bindings[i].seen_ms)
        {
            self.bindings.swap_remove(oldest);
        }
        self.bindings.push(new);
    }

    /// The track is somebody else's now. That its camera saw this person stays known.
    pub(super) fn unbind(&mut self, camera: u16, track_id: u32) {
        for b in self.bindings.iter_mut().filter(|b| b.camera == camera && b.track_id == track_id) {
            (b.track_id, b.claim) = (NO_TRACK, 0);
        }
    }

    /// Whether this is the last word of its camera.
    pub(super) fn is_newest(&self, b: &Binding) -> bool {
        self.bindings.iter().all(|o| o.camera != b.camera || o.seen_ms <= b.seen_ms)
    }

    /// What the other cameras' tables call this person, one word for each camera, in rising order.
    pub(super) fn claims(&self, pace: Pace, now_ms: i64) -> impl Iterator<Item = u64> {
        let from_ms = (now_ms - pace.stretched_ms(CLAIM_MS)).max(self.renamed_ms);
        let fresh = move |b: &&Binding| b.claim != 0 && !Roster::is_own(b.camera) && b.seen_ms >= from_ms;
        self.bindings.iter().filter(fresh).filter(|b| self.is_newest(b)).map(|b| b.claim)
    }

    /// This was somebody else, who goes on without it: it leaves the table with the next step.
    pub(super) fn give_up(&mut self) {
        (self.confirmed, self.exists) = (false, EXIST_GONE);
    }

    /// Whether our own camera sees this person: then the others hear what we call them.
    pub(super) fn is_ours(&self, pace: Pace, now_ms: i64) -> bool {
        let from_ms = now_ms - pace.stretched_ms(CLAIM_MS);
        self.bindings
            .iter()
            .any(|b| Roster::is_own(b.camera) && b.track_id != NO_TRACK && b.seen_ms >= from_ms)
    }

    /// Whether the two are one: nearer to one another than people stand, no camera lately told them apart, and
    /// neither was seen while the other was, if one of them is lost by now.
    pub(super) fn is_same(&self, other: &Self, pace: Pace, now_ms: i64) -> bool {
        let off = self.estimate.place(0.0).at - other.estimate.place(0.0).at;
        if off.x.abs() > MERGE_M || off.norm() > MERGE_M {
            return false;
        }
        let apart_ms = pace.stretched_ms(APART_MS);
        // Who was seen after the other came is somebody else, and walks through their place out of sight.
        let (lost, seen) = if self.seen_ms <= other.seen_ms { (self, other) } else { (other, self) };
        if now_ms - lost.seen_ms > apart_ms && lost.seen_ms > seen.founded_ms {
            return false;
        }
        let lately = |b: &&Binding| now_ms - b.seen_ms <= apart_ms;
        let mut of_other = other.bindings.iter().filter(lately);
        !of_other.any(|o| self.bindings.iter().filter(lately).any(|b| b.camera == o.camera))
    }

    /// Takes over what is known of the other, who is the same.
    pub(super) fn absorb(&mut self, other: Self, pace: Pace, now_ms: i64) {
        let fresher =
            (other.confirmed, other.seen_ms, other.exists) > (self.confirmed, self.seen_ms, self.exists);
        if fresher {
            self.estimate = other.estimate;
            self.trail = other.trail;
        }
        if other.confirmed && (!self.confirmed || other.id < self.id) {
            (self.id, self.born_as, self.hand_over) = (other.id, other.born_as, other.hand_over);
        }
        self.confirmed |= other.confirmed;
        self.exists = self.exists.max(other.exists);
        self.seen_ms = self.seen_ms.max(other.seen_ms);
        self.overlooked_s = self.overlooked_s.min(other.overlooked_s);
        if other.founded_ms < self.founded_ms {
            (self.founded_ms, self.born_m) = (other.founded_ms, other.born_m);
        }
        self.is_learned |= other.is_learned;
        for (votes, more) in self.class_votes.iter_mut().zip(other.class_votes) {
            *votes += more;
        }
        self.count_votes();
        let keep_ms = pace.stretched_ms(BINDING_MS);
        self.bindings.extend(other.bindings.into_iter().filter(|b| now_ms - b.seen_ms <= keep_ms));
        self.bindings.truncate(BINDINGS_MAX);
    }
}
