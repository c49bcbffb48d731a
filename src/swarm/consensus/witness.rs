//! The evidence of this camera for a claim: its tracks, their behavior, and their forecasts.
//!
//! Presence is not evidence. The camera confirms only what its own rule of the same kind finds at that place
//! ([`Rules`]): standing still for loitering, a position inside a forbidden zone of its own for trespassing, two tracks
//! within the contact distance for a collision, behavior flags for suspicious behavior. For every other kind it has no
//! rule and abstains, with the reason ([`Reason`]) in the vote. It denies where it looked at a place that it is known
//! to see and found no track: nothing that persons do happens where no person is.
//!
//! Its own sights of the last minutes are kept, thinned to [`SAMPLE_EVERY_MS`], so that it can also answer
//! for what another camera publishes late. What absence means is decided here and nowhere else.
//!
//! Milliseconds since the epoch, metres. At most [`SAMPLES_MAX`] sights (about 300 kB); the oldest go first.

use std::collections::VecDeque;

use super::ballot::Word;
use super::view::View;
use crate::model::{Behaviors, Class, EventType, ForecastPoint, Point, Polygon, Scene, SceneTrack};

/// Own sights that are remembered.
const SAMPLES_MAX: usize = 4_096;
/// Time between two remembered sights of one track, milliseconds.
const SAMPLE_EVERY_MS: u64 = 400;
/// Sights so near in time are of the same moment: twice the sampling, and clocks that differ.
const MOMENT_MS: u64 = 1_000;
/// A clock that goes back by more was stepped, milliseconds: frames never overtake one another by so much.
const STEP_MS: u64 = 1_000;
/// Who stands this near to the place may be who it is about: two cameras' errors on the ground.
const REACH_M: f64 = 2.0;
/// Who is the same person by the site's table is it up to this distance.
const SUBJECT_REACH_M: f64 = 5.0;
/// A position this far outside of a zone still counts as inside: the error of a position on the ground.
const ZONE_SLACK_M: f64 = 0.7;
/// A position this far outside of the zone contradicts that it is inside.
const ZONE_DENY_M: f64 = 1.5;
/// What two positions of one camera may be off beyond the contact distance.
const CONTACT_SLACK_M: f64 = 1.0;
/// A track that stood still for less than this part of the rule's time is no evidence of loitering.
const STILL_PART_MIN: f64 = 0.3;
/// The confidence of a camera whose own rule finds that it happens; and of one whose forecast leads there.
const SEES_IT: f64 = 0.9;
const SEES_THEM_COMING: f64 = 0.85;

/// The rules of this camera, as far as a vote needs them. Lengths in meters.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Its forbidden zones; without one at a place it has no rule for trespassing there.
    pub forbidden: Vec<Polygon>,
    /// Distance of two tracks that is contact.
    pub collision_m: f64,
    /// Standing time that is loitering, seconds.
    pub loitering_s: f64,
    /// Speed up to which a track counts as standing, m/s.
    pub loitering_mps: f64,
}

impl Default for Rules {
    /// No zone, and the defaults of `behavior` and `predict`.
    fn default() -> Self {
        Self { forbidden: Vec::new(), collision_m: 0.5, loitering_s: 30.0, loitering_mps: 0.5 }
    }
}

impl Rules {
    /// The forbidden zone that a place lies in or at the border of.
    fn zone_at(&self, at: Point) -> Option<&Polygon> {
        self.forbidden.iter().find(|zone| outside_m(zone, at) <= ZONE_SLACK_M)
    }
}

/// How far a place lies outside of a zone, meters; 0 inside.
fn outside_m(zone: &Polygon, at: Point) -> f64 {
    if zone.contains(at) { 0.0 } else { zone.border_distance(at) }
}

/// Why a camera abstains. The names are on the wire (`reason` of a vote).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It has no rule for this kind of event at this place.
    NoRule,
    /// It did not look at that time.
    NotLooking,
    /// Its view of the place is blocked.
    Hidden,
    /// It knows no track of the subject, or no forecast of it.
    UnknownSubject,
    /// What it sees neither supports nor contradicts the claim.
    Inconclusive,
}

impl Reason {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NoRule => "no_rule",
            Self::NotLooking => "not_looking",
            Self::Hidden => "hidden",
            Self::UnknownSubject => "unknown_subject",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// A vote, and why it abstains if it does.
pub(super) type Finding = (Word, Option<Reason>);

fn abstain(reason: Reason) -> Finding {
    (Word::Abstain, Some(reason))
}

fn confirm(confidence: f64) -> Finding {
    (Word::confirm(confidence), None)
}

const DENY: Finding = (Word::Deny, None);

/// One own track at one time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at_ms: u64,
    track_id: u32,
    position_m: Point,
    class: Class,
    flags: Behaviors,
    still_s: f64,
    speed_mps: f64,
}

/// What is asked.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) kind: EventType,
    /// Where and when it happens, or will.
    pub(super) place_m: Point,
    pub(super) at_ms: u64,
    pub(super) occurred: bool,
    /// It names a zone of the camera that claims it.
    pub(super) in_zone: bool,
    /// The people it is about, by their numbers on the site.
    pub(super) subjects: &'a [u64],
    /// Where the first of them is at present, if that is known.
    pub(super) subject_m: Option<Point>,
}

/// The camera's memory of its own sights.
#[derive(Debug, Clone, Default)]
pub(super) struct Witness {
    samples: VecDeque<Sample>,
    /// When it looked, whether or not it saw anybody.
    looked_ms: VecDeque<u64>,
    /// Where the tracks of the last scene go.
    ways: Vec<(u32, Vec<ForecastPoint>)>,
}

impl Witness {
    /// Takes in a scene.
    pub(super) fn note(&mut self, scene: &Scene) {
        self.ways.clear();
        let ways = scene.tracks.iter().filter(|t| !t.forecast.points.is_empty());
        self.ways.extend(ways.map(|t| (t.track.id, t.forecast.points.clone())));
        let at_ms = scene.time.epoch_ms;
        if self.looked_ms.back().is_some_and(|last| at_ms.saturating_add(STEP_MS) < *last) {
            // The clock was stepped back: what was seen before lies in the future, and nothing would be noted until then.
            self.looked_ms.clear();
            self.samples.clear();
        }
        if self.looked_ms.back().is_some_and(|last| at_ms < last.saturating_add(SAMPLE_EVERY_MS)) {
            return;
        }
        push(&mut self.looked_ms, at_ms);
        for sample in scene.tracks.iter().filter_map(|track| sample(track, at_ms)) {
            push(&mut self.samples, sample);
        }
    }

    /// The vote of this camera. `name` gives the number on the site of one of its own tracks.
    pub(super) fn word(
        &self,
        asked: &Question<'_>,
        rules: &Rules,
        view: &View,
        now_ms: u64,
        name: impl Fn(u32) -> Option<u64>,
    ) -> Finding {
        let is_subject = |s: &Sample| name(s.track_id).is_some_and(|id| asked.subjects.contains(&id));
        if asked.occurred {
            self.word_on_what_happened(asked, rules, view, is_subject)
        } else if now_ms > asked.at_ms.saturating_add(MOMENT_MS) {
            // The forecast is due: without a track at the place it did not come true.
            match self.near(asked, &is_subject).next() {
                Some(_) => abstain(Reason::Inconclusive),
                None => self.absence(asked.place_m, asked.at_ms, view),
            }
        } else {
            self.word_on_what_is_expected(asked, rules, view, now_ms, is_subject)
        }
    }

    /// Own sights that may be of the event: at the place, or of its subject and not far from it.
    fn near<'a>(
        &'a self,
        asked: &'a Question<'_>,
        is_subject: &'a impl Fn(&Sample) -> bool,
    ) -> impl Iterator<Item = &'a Sample> {
        self.around(asked.at_ms).filter(move |s| {
            let apart_m = s.position_m.distance(asked.place_m);
            apart_m <= REACH_M || (apart_m <= SUBJECT_REACH_M && is_subject(s))
        })
    }

    fn word_on_what_happened(
        &self,
        asked: &Question<'_>,
        rules: &Rules,
        view: &View,
        is_subject: impl Fn(&Sample) -> bool,
    ) -> Finding {
        let there: Vec<&Sample> = self.near(asked, &is_subject).collect();
        if there.is_empty() {
            // A thing that was left behind needs no person beside it.
            return match asked.kind {
                EventType::AbandonedObject => abstain(Reason::NoRule),
                _ => self.absence(asked.place_m, asked.at_ms, view),
            };
        }
        let subjects = || there.iter().filter(|s| is_subject(s)).copied();
        let about: Vec<&Sample> =
            if subjects().next().is_some() { subjects().collect() } else { there.clone() };
        match asked.kind {
            EventType::Loitering => loitering(about.into_iter(), asked.in_zone, rules),
            EventType::Trespassing => trespassing(about.into_iter(), asked.place_m, rules),
            EventType::Collision => self.collision(asked, &there, rules),
            EventType::SuspiciousBehavior if about.iter().any(|s| !s.flags.is_empty()) => confirm(SEES_IT),
            EventType::SuspiciousBehavior => abstain(Reason::Inconclusive),
            EventType::CrowdFormation
            | EventType::Theft
            | EventType::Assault
            | EventType::Vandalism
            | EventType::Fall
            | EventType::AbandonedObject => abstain(Reason::NoRule),
        }
    }

    /// Two own tracks within the contact distance at that moment; one of two may hide the other.
    fn collision(&self, asked: &Question<'_>, there: &[&Sample], rules: &Rules) -> Finding {
        if people(there) < 2 {
            return abstain(Reason::Inconclusive);
        }
        let around: Vec<&Sample> = self
            .around(asked.at_ms)
            .filter(|s| s.position_m.distance(asked.place_m) <= SUBJECT_REACH_M)
            .collect();
        let apart_m = around
            .iter()
            .enumerate()
            .flat_map(|(i, a)| around[i + 1..].iter().map(move |b| (a, b)))
            .filter(|(a, b)| a.track_id != b.track_id && a.at_ms.abs_diff(b.at_ms) < SAMPLE_EVERY_MS)
            .map(|(a, b)| a.position_m.distance(b.position_m))
            .fold(f64::INFINITY, f64::min);
        if apart_m <= rules.collision_m + CONTACT_SLACK_M {
            confirm(SEES_IT)
        } else {
            abstain(Reason::Inconclusive)
        }
    }

    fn word_on_what_is_expected(
        &self,
        asked: &Question<'_>,
        rules: &Rules,
        view: &View,
        now_ms: u64,
        is_subject: impl Fn(&Sample) -> bool,
    ) -> Finding {
        let has_rule = match asked.kind {
            EventType::Loitering | EventType::Collision => true,
            EventType::Trespassing => rules.zone_at(asked.place_m).is_some(),
            _ => false,
        };
        // The subject is not at the place yet: its present position decides whether this camera should
        // see the subject.
        let Some(subject_m) = asked.subject_m else { return abstain(Reason::UnknownSubject) };
        let nearest = self
            .around(now_ms)
            .filter(|s| is_subject(s) || s.position_m.distance(subject_m) <= REACH_M)
            .max_by(|a, b| {
                let rank = |s: &Sample| (is_subject(s), s.at_ms);
                rank(a).cmp(&rank(b))
            });
        let Some(subject) = nearest else { return self.absence(subject_m, now_ms, view) };
        if asked.kind == EventType::SuspiciousBehavior && !subject.flags.is_empty() {
            return confirm(SEES_IT);
        }
        if !has_rule {
            return abstain(Reason::NoRule);
        }
        if asked.kind == EventType::Loitering {
            return loitering([subject].into_iter(), asked.in_zone, rules);
        }
        let Some((_, way)) = self.ways.iter().find(|(id, _)| *id == subject.track_id) else {
            return abstain(Reason::UnknownSubject);
        };
        let ahead_s = asked.at_ms.saturating_sub(now_ms) as f64 / 1_000.0;
        let then =
            way.iter().min_by(|a, b| (a.ahead_s - ahead_s).abs().total_cmp(&(b.ahead_s - ahead_s).abs()));
        let Some(then) = then else { return abstain(Reason::UnknownSubject) };
        let off_m = then.position_m.distance(asked.place_m);
        // One standard deviation of the forecast, and what two cameras differ by.
        let within_m = (then.cov_m2[0] + then.cov_m2[2]).max(0.0).sqrt() + REACH_M;
        match off_m / within_m {
            near if near <= 1.0 => confirm(SEES_THEM_COMING - (SEES_THEM_COMING - 0.5) * near),
            far if far > 3.0 => DENY,
            _ => abstain(Reason::Inconclusive),
        }
    }

    /// No track is there: evidence only if the camera looked, at a place that it sees.
    fn absence(&self, place_m: Point, at_ms: u64, view: &View) -> Finding {
        if !self.looked_ms.iter().any(|t| t.abs_diff(at_ms) <= MOMENT_MS) {
            abstain(Reason::NotLooking)
        } else if view.sees(place_m) {
            DENY
        } else {
            abstain(Reason::Hidden)
        }
    }

    /// The positions of the tracks of the newest remembered scene, and when that was.
    pub(super) fn newest(&self) -> (u64, impl Iterator<Item = Point> + '_) {
        let at_ms = self.looked_ms.back().copied().unwrap_or(0);
        (at_ms, self.samples.iter().rev().take_while(move |s| s.at_ms == at_ms).map(|s| s.position_m))
    }

    /// The class of an own track, if it is among the remembered sights.
    pub(super) fn class_of(&self, track_id: u32) -> Option<Class> {
        self.samples.iter().rev().find(|s| s.track_id == track_id).map(|s| s.class)
    }

    fn around(&self, at_ms: u64) -> impl Iterator<Item = &Sample> {
        // Sights are in the order of time.
        let from = self.samples.partition_point(|s| s.at_ms.saturating_add(MOMENT_MS) < at_ms);
        self.samples.range(from..).take_while(move |s| s.at_ms <= at_ms.saturating_add(MOMENT_MS))
    }
}

/// The longer a track stands still, the surer; a moving track contradicts, but for a claim in a zone, and a young one shows
/// nothing yet.
fn loitering<'a>(about: impl Iterator<Item = &'a Sample>, in_zone: bool, rules: &Rules) -> Finding {
    let finding = |s: &Sample| {
        let part = s.still_s / rules.loitering_s.max(1e-3);
        if s.flags.contains(Behaviors::LOITERING) {
            confirm(SEES_IT)
        } else if s.still_s <= 0.0 && s.speed_mps > 2.0 * rules.loitering_mps {
            // A person that paces in a zone may loiter, after a time that only the zone's camera knows.
            if in_zone { abstain(Reason::NoRule) } else { DENY }
        } else if part >= STILL_PART_MIN {
            confirm(0.5 + (SEES_IT - 0.5) * part.clamp(0.0, 1.0))
        } else {
            abstain(Reason::Inconclusive)
        }
    };
    about.map(finding).max_by_key(|(word, _)| *word).unwrap_or(abstain(Reason::UnknownSubject))
}

/// An own position inside a forbidden zone of this camera confirms; one well outside contradicts.
fn trespassing<'a>(about: impl Iterator<Item = &'a Sample>, place_m: Point, rules: &Rules) -> Finding {
    let Some(zone) = rules.zone_at(place_m) else { return abstain(Reason::NoRule) };
    let nearest_m = about.map(|s| outside_m(zone, s.position_m)).fold(f64::INFINITY, f64::min);
    if nearest_m <= ZONE_SLACK_M {
        confirm(SEES_IT)
    } else if nearest_m > ZONE_DENY_M {
        DENY
    } else {
        abstain(Reason::Inconclusive)
    }
}

fn people(samples: &[&Sample]) -> usize {
    let mut ids: Vec<u32> = samples.iter().map(|s| s.track_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

fn sample(track: &SceneTrack, at_ms: u64) -> Option<Sample> {
    let ground = track.ground.as_ref()?;
    Some(Sample {
        at_ms,
        track_id: track.track.id,
        position_m: ground.position,
        class: track.track.class,
        flags: track.behavior.flags,
        still_s: track.behavior.still_s,
        speed_mps: track.behavior.speed_mps,
    })
}

fn push<T>(queue: &mut VecDeque<T>, value: T) {
    if queue.len() >= SAMPLES_MAX {
        queue.pop_front();
    }
    queue.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pacing_contradicts_loitering_except_in_a_zone_of_the_camera_that_claims_it() {
        let pacing = Sample {
            at_ms: 0,
            track_id: 1,
            position_m: Point::default(),
            class: Class::Person,
            flags: Behaviors::empty(),
            still_s: 0.0,
            speed_mps: 1.4,
        };
        let word = |in_zone| loitering(std::iter::once(&pacing), in_zone, &Rules::default());
        assert_eq!(word(false), DENY);
        assert_eq!(word(true), abstain(Reason::NoRule));
    }
}
