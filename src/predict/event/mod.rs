//! Events: what the rules say, led through one life cycle.
//!
//! A rule looks at the scene, and at how its tracks moved in the last seconds, and proposes candidates: what, which
//! tracks, where, how likely, when, and whether it happens now. It has no memory. Memory is here, the same for all
//! rules, by the key (kind, tracks, zone):
//!
//! ```text
//!            likely for 0.3 s              happens, confirmed
//!  (unknown) ───────────────► predicted ─────────────────────► occurred ──► over, cools down
//!      │                          │ unlikely for 1 s, overdue, or a track ended
//!      │                          └──────────► retracted ──► cools down
//!      └── happens, confirmed ─────────────────────────────► occurred
//! ```
//!
//! Each arrow to a named state is one [`Transition::Event`]; id and key stay the same along the way. The end of
//! an event that occurred is a [`Transition::EventOver`]: it did not happen for 2 s, its tracks were out of sight
//! for 60 s, a track ended, or no frame follows. A prediction is
//! given out again, still `predicted`, with its present probability and time, whenever its severity
//! reaches a higher class than any before: at most once per class. So what begins too doubtful to be
//! published is published once it is likely enough. While a key
//! cools down after it occurred nothing comes of it; after it was retracted it is not predicted
//! again, but if it happens after all, that is a new event. A track that is out of sight but not
//! ended decides nothing: its prediction waits until it is overdue.
//!
//! The severity is that of the contract (base x probability) without its factors for time risk and
//! history, which are taken as 0 here. A prediction never gets less grave, and a
//! retraction keeps the severity of what it takes back, so that
//! it reaches everybody who heard of that. An event names the zone it is about, else the first in
//! which it lies.
//!
//! Bounds: [`FILTERS_MAX`], [`KEYS_MAX`], [`CANDIDATES_MAX`]; see [`Counters`].
//!
//! A new rule is a file with a `propose` and a line in [`RULES`].

mod collision;
mod lifecycle;
mod loitering;
mod trespassing;

use std::collections::BTreeMap;
use std::time::Duration;

use super::filter::Filter;
use super::{Options, trajectory};
use crate::base::{IdSource, Time};
use crate::model::{Motion, Point, RuleTrace, SceneTrack, Transition, Zone};

use lifecycle::{Entry, Key, Moment};

/// Keys that are followed at the same time. When there are more, the one that cools down for longest
/// goes first, then, if it is for something that happens, the least likely prediction.
pub const KEYS_MAX: usize = 512;
/// Tracks that are forecast: as many as a tracker follows, lost ones included; 1.3 MB. One that is out
/// of sight makes room for a new one; beyond that new ones have no forecast and take part in no rule.
pub const FILTERS_MAX: usize = 1_000;
/// Candidates of one frame; more are not looked at.
pub const CANDIDATES_MAX: usize = 1024;

/// How far the estimates of a track's motion that rules look back at are apart, at least.
const EARLIER_EVERY: Duration = Duration::from_millis(500);

/// The rules, in the order in which their events come out.
const RULES: [fn(&View<'_>, &mut Proposals); 3] =
    [loitering::propose, trespassing::propose, collision::propose];

/// What a rule says of one possible event in one frame.
#[derive(Debug, Clone)]
struct Candidate {
    key: Key,
    /// Where it happens or will.
    position_m: Point,
    /// Index of the zone it happens in, where the key names none and the position does not decide.
    zone: Option<usize>,
    /// How likely it will happen, 0..1.
    probability: f64,
    /// In how many seconds.
    expected_in_s: f64,
    /// It happens now.
    occurring: bool,
    /// For how long it must happen before it counts, seconds.
    confirm_s: f64,
    trace: RuleTrace,
}

/// What a rule sees.
struct View<'a> {
    tracks: &'a [SceneTrack],
    /// How each of them moves; none where that is not known.
    motions: &'a [Option<Motion>],
    /// The same over the last seconds, by track.
    filters: &'a BTreeMap<u32, Filter>,
    zones: &'a [Zone],
    options: &'a Options,
    now: Time,
}

impl View<'_> {
    /// The tracks with a place on the ground, and how they move.
    fn placed(&self) -> impl Iterator<Item = (&SceneTrack, &Motion)> {
        self.tracks.iter().zip(self.motions).filter_map(|(track, motion)| Some((track, motion.as_ref()?)))
    }
}

/// Where rules put their candidates.
#[derive(Debug, Default)]
struct Proposals {
    candidates: Vec<Candidate>,
    refused: u64,
}

impl Proposals {
    fn push(&mut self, candidate: Candidate) {
        if self.candidates.len() < CANDIDATES_MAX {
            self.candidates.push(candidate);
        } else {
            self.refused += 1;
        }
    }
}

/// What the bounds have cost since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Tracks without a forecast because a frame had too many, once per frame.
    pub tracks_refused: u64,
    /// Candidates not looked at because a frame had too many.
    pub candidates_refused: u64,
    /// Keys not followed because there were too many.
    pub keys_refused: u64,
    /// Keys given up for others.
    pub keys_evicted: u64,
}

/// Forecasts and events of one camera.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    zones: Vec<Zone>,
    entries: BTreeMap<Key, Entry>,
    /// How each track moves that has not ended.
    filters: BTreeMap<u32, Filter>,
    /// For each track of this frame.
    motions: Vec<Option<Motion>>,
    /// Ids of the tracks with a place in this frame, in order.
    present: Vec<u32>,
    proposals: Proposals,
    last: Option<Time>,
    /// When estimates were kept last.
    kept: Option<Time>,
    tracks_refused: u64,
    keys_refused: u64,
    keys_evicted: u64,
}

impl Engine {
    /// An engine that expects nothing yet.
    pub fn new(options: Options, zones: Vec<Zone>) -> Self {
        Self {
            options,
            zones,
            entries: BTreeMap::new(),
            filters: BTreeMap::new(),
            motions: Vec::new(),
            present: Vec::new(),
            proposals: Proposals::default(),
            last: None,
            kept: None,
            tracks_refused: 0,
            keys_refused: 0,
            keys_evicted: 0,
        }
    }

    /// Goes by other limits and places from the next frame on. What was predicted goes on; where its
    /// place is gone, nothing proposes it any more, and it is retracted.
    pub fn set_options(&mut self, options: Options, zones: Vec<Zone>) {
        self.options = options;
        self.zones = zones;
    }

    /// The named places.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// Takes one frame: fills in the forecasts of its tracks, puts the velocity that they start from in
    /// the place of the box's, and appends what began or changed to `out`.
    ///
    /// `ended` are the tracks that the tracker gave up since the last frame. `now` is the capture of
    /// the frame.
    pub fn step(
        &mut self,
        tracks: &mut [SceneTrack],
        ended: &[u32],
        now: Time,
        ids: &mut dyn IdSource,
        out: &mut Vec<Transition>,
    ) {
        self.forecast(tracks, ended, now);
        let moment = Moment { now, options: &self.options, zones: &self.zones };
        self.entries.retain(|key, entry| {
            let over = key.tracks.iter().any(|id| ended.contains(id));
            if over {
                out.extend(entry.end(key, &moment));
            }
            !over
        });
        let view = View {
            tracks,
            motions: &self.motions,
            filters: &self.filters,
            zones: &self.zones,
            options: &self.options,
            now,
        };
        for propose in RULES {
            propose(&view, &mut self.proposals);
        }
        self.last = Some(now);
        self.judge(now, ids, out);
    }

    /// Ends every event that occurred, because no frame follows the one of `now`. Predictions stay undecided.
    pub fn close(&mut self, now: Time, out: &mut Vec<Transition>) {
        let moment = Moment { now, options: &self.options, zones: &self.zones };
        for entry in self.entries.values_mut() {
            out.extend(entry.close(&moment));
        }
        self.entries.clear();
    }

    fn forecast(&mut self, tracks: &mut [SceneTrack], ended: &[u32], now: Time) {
        for id in ended {
            self.filters.remove(id);
        }
        self.present.clear();
        self.motions.clear();
        let keeps = self.kept.is_none_or(|kept| now.since(kept) >= EARLIER_EVERY);
        if keeps {
            self.kept = Some(now);
        }
        for track in tracks.iter_mut() {
            track.forecast.points.clear();
            let Some(ground) = track.ground.filter(Motion::is_usable) else {
                self.motions.push(None);
                continue;
            };
            let id = track.track.id;
            if !self.filters.contains_key(&id) && !self.room_for_filter() {
                self.tracks_refused += 1;
                self.motions.push(None);
                continue;
            }
            let filter = self.filters.entry(id).or_insert_with(|| Filter::new(&ground, now));
            let motion = filter.take(&ground, now, self.options.acceleration_density_m2_s3);
            if keeps {
                filter.keep();
            }
            trajectory::forecast(&motion, track.behavior.still_s, &self.options, &mut track.forecast);
            track.ground = Some(with_velocity_of(&motion, ground));
            self.motions.push(Some(motion));
            self.present.push(id);
        }
        self.present.sort_unstable();
    }

    /// Whether one more track can be followed, if need be in place of one that is out of sight.
    fn room_for_filter(&mut self) -> bool {
        if self.filters.len() < FILTERS_MAX {
            return true;
        }
        let unseen = self.filters.iter().filter(|(_, f)| Some(f.time) < self.last);
        let oldest = unseen.min_by_key(|(_, f)| f.time).map(|(id, _)| *id);
        oldest.and_then(|id| self.filters.remove(&id)).is_some()
    }

    /// Leads every key one frame on.
    fn judge(&mut self, now: Time, ids: &mut dyn IdSource, out: &mut Vec<Transition>) {
        let moment = Moment { now, options: &self.options, zones: &self.zones };
        for entry in self.entries.values_mut() {
            entry.proposed = false;
        }
        for candidate in self.proposals.candidates.drain(..) {
            if !self.entries.contains_key(&candidate.key) {
                if !candidate.occurring && candidate.probability < self.options.predict_at {
                    continue;
                }
                if self.entries.len() >= KEYS_MAX {
                    let Some(victim) = victim(&self.entries, candidate.occurring) else {
                        self.keys_refused += 1;
                        continue;
                    };
                    self.keys_evicted += 1;
                    if let Some(mut entry) = self.entries.remove(&victim) {
                        out.extend(entry.end(&victim, &moment));
                    }
                }
                self.entries.insert(candidate.key.clone(), Entry::new(now));
            }
            if let Some(entry) = self.entries.get_mut(&candidate.key) {
                out.extend(entry.propose(candidate, &moment, ids));
            }
        }
        self.entries.retain(|key, entry| {
            if !entry.proposed {
                let in_sight = key.tracks.iter().all(|id| self.present.binary_search(id).is_ok());
                out.extend(entry.pass_over(key, in_sight, &moment));
            }
            !entry.is_over(&moment)
        });
    }

    /// What the bounds have cost since the start.
    pub fn counters(&self) -> Counters {
        Counters {
            tracks_refused: self.tracks_refused,
            candidates_refused: self.proposals.refused,
            keys_refused: self.keys_refused,
            keys_evicted: self.keys_evicted,
        }
    }
}

/// The measured place with the estimated velocity: how fast a box jerks is of no use to anybody, and
/// how fast the person walks is. The two errors are taken as independent.
fn with_velocity_of(estimate: &Motion, mut ground: Motion) -> Motion {
    ground.velocity = estimate.velocity;
    ground.cov.fixed_view_mut::<2, 2>(0, 2).fill(0.0);
    ground.cov.fixed_view_mut::<2, 2>(2, 0).fill(0.0);
    ground.cov.fixed_view_mut::<2, 2>(2, 2).copy_from(&estimate.cov.fixed_view::<2, 2>(2, 2));
    ground
}

/// The key that goes when there are too many.
fn victim(entries: &BTreeMap<Key, Entry>, for_occurrence: bool) -> Option<Key> {
    let cooling = entries.iter().filter_map(|(key, e)| Some((key, e.cooling_since()?)));
    let oldest = cooling.min_by_key(|(_, since)| *since).map(|(key, _)| key);
    let predicted = || {
        let open = entries.iter().filter_map(|(key, e)| Some((key, e.open_probability()?)));
        open.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(key, _)| key)
    };
    oldest.or_else(|| if for_occurrence { predicted() } else { None }).cloned()
}

#[cfg(test)]
mod tests;
