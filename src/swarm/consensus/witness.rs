//! What this camera itself can say of a place and a time: from its tracks, their behaviour, and where they go.
//!
//! Its own sights of the last minutes are kept, thinned to [`SAMPLE_EVERY_MS`], so that it can also answer
//! for what another camera tells late. Nothing is asked of others, and nothing is guessed: who was not
//! looking at that time, or can't see that place, abstains. What absence means is decided here and nowhere
//! else: only who looked, at a place that it is known to see, denies.
//!
//! Milliseconds since the epoch, metres. At most [`SAMPLES_MAX`] sights (about 300 kB); the oldest go first.

use std::collections::VecDeque;

use super::ballot::Word;
use super::view::View;
use crate::model::{Behaviors, EventType, ForecastPoint, Point, Scene, SceneTrack};

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
/// So many are a crowd, so near to its middle.
const CROWD_MIN: usize = 3;
const CROWD_M: f64 = 4.0;
/// Faster than this nobody loiters, metres per second: twice the behaviour's own limit.
const LOITERING_MPS_MAX: f64 = 1.0;
/// As long as it takes until standing still is called loitering, seconds.
const LOITERING_S: f64 = 30.0;
/// How sure a camera is that sees that it happens, by its own rule; that somebody is at the place, for what
/// it has no rule for; and that somebody is on the way there.
const SEES_IT: f64 = 0.9;
const SEES_SOMEBODY: f64 = 0.6;
const SEES_THEM_COMING: f64 = 0.85;

/// One own track at one time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at_ms: u64,
    track_id: u32,
    position_m: Point,
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

    /// What it says. `name` knows its own tracks' people.
    pub(super) fn word(
        &self,
        asked: &Question<'_>,
        view: &View,
        now_ms: u64,
        name: impl Fn(u32) -> Option<u64>,
    ) -> Word {
        let is_subject = |s: &Sample| name(s.track_id).is_some_and(|id| asked.subjects.contains(&id));
        if asked.occurred {
            self.word_on_what_happened(asked, view, is_subject)
        } else {
            self.word_on_what_is_expected(asked, view, now_ms, is_subject)
        }
    }

    fn word_on_what_happened(
        &self,
        asked: &Question<'_>,
        view: &View,
        is_subject: impl Fn(&Sample) -> bool,
    ) -> Word {
        let there: Vec<&Sample> = self
            .around(asked.at_ms)
            .filter(|s| {
                let apart_m = s.position_m.distance(asked.place_m);
                apart_m <= REACH_M || (apart_m <= SUBJECT_REACH_M && is_subject(s))
            })
            .collect();
        if there.is_empty() {
            return self.absence(asked.place_m, asked.at_ms, view);
        }
        let about = if there.iter().any(|s| is_subject(s)) {
            there.iter().filter(|s| is_subject(s)).collect::<Vec<_>>()
        } else {
            there.iter().collect()
        };
        match asked.kind {
            EventType::Loitering => loitering(about.iter().map(|s| **s)),
            // Of two who meet one may hide the other.
            EventType::Collision if people(&there) < 2 => Word::Abstain,
            EventType::Trespassing | EventType::Collision => Word::confirm(SEES_IT),
            EventType::CrowdFormation => {
                let near =
                    self.around(asked.at_ms).filter(|s| s.position_m.distance(asked.place_m) <= CROWD_M);
                let crowd = people(&near.collect::<Vec<_>>());
                if crowd >= CROWD_MIN { Word::confirm(SEES_IT) } else { Word::confirm(SEES_SOMEBODY) }
            }
            EventType::SuspiciousBehavior if about.iter().any(|s| !s.flags.is_empty()) => {
                Word::confirm(SEES_IT)
            }
            EventType::SuspiciousBehavior
            | EventType::Theft
            | EventType::Assault
            | EventType::Vandalism
            | EventType::Fall
            | EventType::AbandonedObject => Word::confirm(SEES_SOMEBODY),
        }
    }

    fn word_on_what_is_expected(
        &self,
        asked: &Question<'_>,
        view: &View,
        now_ms: u64,
        is_subject: impl Fn(&Sample) -> bool,
    ) -> Word {
        // Who is not here yet can't be seen here: where they are now says whether we should see them.
        let Some(subject_m) = asked.subject_m else { return Word::Abstain };
        let nearest = self
            .around(now_ms)
            .filter(|s| is_subject(s) || s.position_m.distance(subject_m) <= REACH_M)
            .max_by(|a, b| {
                let rank = |s: &Sample| (is_subject(s), s.at_ms);
                rank(a).cmp(&rank(b))
            });
        let Some(subject) = nearest else { return self.absence(subject_m, now_ms, view) };
        if asked.kind == EventType::Loitering {
            return loitering([subject].into_iter());
        }
        let Some((_, way)) = self.ways.iter().find(|(id, _)| *id == subject.track_id) else {
            return Word::Abstain;
        };
        let ahead_s = asked.at_ms.saturating_sub(now_ms) as f64 / 1_000.0;
        let then =
            way.iter().min_by(|a, b| (a.ahead_s - ahead_s).abs().total_cmp(&(b.ahead_s - ahead_s).abs()));
        let Some(then) = then else { return Word::Abstain };
        let off_m = then.position_m.distance(asked.place_m);
        // One standard deviation of the forecast, and what two cameras differ by.
        let within_m = (then.cov_m2[0] + then.cov_m2[2]).max(0.0).sqrt() + REACH_M;
        match off_m / within_m {
            near if near <= 1.0 => Word::confirm(SEES_THEM_COMING - (SEES_THEM_COMING - 0.5) * near),
            far if far > 3.0 => Word::Deny,
            _ => Word::Abstain,
        }
    }

    /// Nobody is seen there: says something only if somebody would be.
    fn absence(&self, place_m: Point, at_ms: u64, view: &View) -> Word {
        let looked = self.looked_ms.iter().any(|t| t.abs_diff(at_ms) <= MOMENT_MS);
        if looked && view.sees(place_m) { Word::Deny } else { Word::Abstain }
    }

    fn around(&self, at_ms: u64) -> impl Iterator<Item = &Sample> {
        // Sights are in the order of time.
        let from = self.samples.partition_point(|s| s.at_ms.saturating_add(MOMENT_MS) < at_ms);
        self.samples.range(from..).take_while(move |s| s.at_ms <= at_ms.saturating_add(MOMENT_MS))
    }
}

/// Standing still is agreed with the more the longer it lasts; a track that is young does not know, and
/// only who walks is no loiterer.
fn loitering<'a>(about: impl Iterator<Item = &'a Sample>) -> Word {
    let word = |s: &Sample| {
        if s.flags.contains(Behaviors::LOITERING) {
            Word::confirm(SEES_IT)
        } else if s.still_s <= 0.0 && s.speed_mps > LOITERING_MPS_MAX {
            Word::Deny
        } else {
            Word::confirm(0.5 + (SEES_IT - 0.5) * (s.still_s / LOITERING_S).clamp(0.0, 1.0))
        }
    };
    about.map(word).max().unwrap_or(Word::Abstain)
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
