//! What a track does, judged from where it was on the ground.
//!
//! One file per rule, each a function of the track's [`History`]: [`loitering`], [`running`],
//! [`zigzag`], [`passes`]; [`threat`] sums them up. The limits are those of the contract.
//!
//! Invariants: decisions do not depend on the frame rate, because the history takes positions at a
//! bounded rate and the rules look only when it took one. No rule believes the filter's momentary
//! velocity; every speed is a displacement over time, and a displacement counts only as far as the
//! position's covariance does not explain it. A flag that is set needs a little less to stay than it
//! needed to come, so it does not flicker. A ground that is not calibrated has no metres: there the rules in metres are
//! off, and a track loiters by its time in one zone (`place`). With a zone's own limit of time (`dwell_s`) it does so on
//! any ground, and may move. What never left the place where it appeared does not loiter.
//!
//! Not here: what follows from a behaviour (`predict`), who is told (`swarm`), image coordinates.
//!
//! Failure: an unusable position (see [`Motion::is_usable`]) is not taken and changes nothing. Memory
//! is bounded by [`TRACKS_MAX`] and the history's length, and taken as it is needed; the track unseen for longest is forgotten
//! first, and counted. Units: metres, seconds, metres per second. Pure: `now` is passed in.

mod history;
mod loitering;
mod passes;
mod place;
mod running;
mod threat;
mod zigzag;

use std::collections::HashMap;

use crate::base::Time;
use crate::model::{Behavior, Behaviors, Motion, Track, ZoneStay};

use history::History;
pub use history::WINDOW_MAX_S;
pub use place::Inside;
use place::{Origin, Stays};
pub use threat::Weights;

/// Tracks remembered at the same time: as many as a tracker follows, lost ones included, so that none
/// that lives loses its history to another. A full minute of one is 8 kB (see `history`), so a usual
/// scene of 20 is 160 kB, and a thousand that stay for a minute are 8 MB.
pub const TRACKS_MAX: usize = 1_000;

/// The limits of the rules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The rules that are on.
    pub watched: Behaviors,
    /// The ground is calibrated. Without calibration loitering is staying in one zone, and the other rules are off.
    pub metric: bool,
    /// Loitering: how long, seconds.
    pub loitering_s: f64,
    /// Loitering: how far from the middle of all places in that time, metres.
    pub loitering_radius_m: f64,
    /// Loitering: highest mean speed in that time, metres per second.
    pub loitering_speed_mps: f64,
    /// Running: lowest mean speed, metres per second.
    pub running_mps: f64,
    /// Running: for how long at least, seconds.
    pub running_s: f64,
    /// Zigzag: how many turns.
    pub zigzag_turns: usize,
    /// Zigzag: what counts as a turn, degrees.
    pub zigzag_turn_deg: f64,
    /// Zigzag: within which time, seconds, at most [`WINDOW_MAX_S`].
    pub zigzag_window_s: f64,
    /// Zigzag: shortest straight way before and after a turn, metres.
    pub zigzag_stretch_m: f64,
    /// Repeated passes: how many times past one place.
    pub passes: usize,
    /// Repeated passes: within which time, seconds, at most [`WINDOW_MAX_S`].
    pub passes_window_s: f64,
    /// Repeated passes: shortest way in one direction that is a pass, metres.
    pub pass_length_m: f64,
    /// What each behaviour adds to the threat score.
    pub threat: Weights,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            watched: Behaviors::LOITERING
                | Behaviors::RUNNING
                | Behaviors::SUSPICIOUS_MOVEMENT
                | Behaviors::REPEATED_PASSES,
            metric: true,
            loitering_s: 30.0,
            loitering_radius_m: 2.0,
            loitering_speed_mps: 0.5,
            running_mps: 3.0,
            running_s: 1.0,
            zigzag_turns: 5,
            zigzag_turn_deg: 45.0,
            zigzag_window_s: 20.0,
            zigzag_stretch_m: 1.0,
            passes: 3,
            passes_window_s: WINDOW_MAX_S,
            pass_length_m: 3.0,
            threat: Weights::default(),
        }
    }
}

/// What is remembered of one track.
#[derive(Debug)]
struct Memory {
    history: History,
    seen: Time,
    flags: Behaviors,
    still_since: Option<Time>,
    speed_mps: f64,
    origin: Origin,
    stays: Stays,
}

/// Judges every track of one camera.
#[derive(Debug, Default)]
pub struct Analyzer {
    options: Options,
    tracks: HashMap<u32, Memory>,
    scratch: Scratch,
    evicted: u64,
}

/// Buffers the rules work in, kept so that judging allocates nothing.
#[derive(Debug, Default)]
struct Scratch {
    zigzag: zigzag::Buffers,
    passes: passes::Buffers,
}

impl Analyzer {
    /// An analyzer that has seen nothing yet.
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// Goes by other limits from the next frame on; what is remembered stays.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Forgets for how long each track has been in its zone, because there are other zones now.
    pub fn restart_stays(&mut self) {
        self.tracks.values_mut().for_each(|memory| memory.stays = Stays::default());
    }

    /// Takes in where a track is now, and in which zones, and returns how it behaves.
    ///
    /// Call it once per frame in which the track was seen. `now` is the capture of the frame; one
    /// that is not later than the last changes nothing.
    pub fn observe(&mut self, track: &Track, ground: &Motion, zones: &[Inside], now: Time) -> Behavior {
        if !self.tracks.contains_key(&track.id) {
            self.make_room();
        }
        let memory = self.tracks.entry(track.id).or_insert_with(|| Memory {
            history: History::default(),
            seen: now,
            flags: Behaviors::empty(),
            still_since: None,
            speed_mps: 0.0,
            origin: Origin::new(track.bbox),
            stays: Stays::default(),
        });
        memory.seen = memory.seen.max(now);
        let stationary = memory.origin.is_kept(track.bbox, now);
        memory.stays.take(zones, now);
        let stay = memory.stays.longest(&self.options, now);
        if memory.history.take(ground, now) {
            memory.judge(&self.options, stay, &mut self.scratch);
        }
        if stationary {
            memory.flags.remove(Behaviors::LOITERING);
        }
        let dwell_s = now.since(track.first_seen).as_secs_f64();
        Behavior {
            flags: memory.flags,
            threat: threat::score(memory.flags, dwell_s, &self.options.threat),
            dwell_s,
            speed_mps: memory.speed_mps,
            still_s: memory.still_since.map_or(0.0, |since| now.since(since).as_secs_f64()),
            stay,
            stationary,
        }
    }

    /// Forgets a track that ended.
    pub fn forget(&mut self, track_id: u32) {
        self.tracks.remove(&track_id);
    }

    /// Tracks remembered at present, at most [`TRACKS_MAX`].
    pub fn len(&self) -> usize {
        self.tracks.len()
    }

    /// Whether no track is remembered.
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// Tracks forgotten before they ended because there were too many.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn make_room(&mut self) {
        if self.tracks.len() < TRACKS_MAX {
            return;
        }
        let oldest = self.tracks.iter().min_by_key(|(id, m)| (m.seen, **id)).map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.tracks.remove(&id);
            self.evicted += 1;
        }
    }
}

impl Memory {
    fn judge(&mut self, options: &Options, stay: Option<ZoneStay>, scratch: &mut Scratch) {
        let was = |flag| self.flags.contains(flag);
        let history = &self.history;
        self.still_since =
            loitering::still_since(history, options, was(Behaviors::LOITERING), self.still_since);
        let still_s = self.still_since.map_or(0.0, |since| history.newest_time().since(since).as_secs_f64());
        self.speed_mps = history.mean_speed_mps(history::SPEED_WINDOW_S);
        let stays = stay.is_some_and(|stay| stay.seconds >= stay.limit_s);
        let mut flags = Behaviors::empty();
        if !options.metric {
            flags.set(Behaviors::LOITERING, stays);
            self.flags = flags & options.watched;
            return;
        }
        flags.set(Behaviors::LOITERING, stays || still_s >= options.loitering_s);
        flags.set(Behaviors::RUNNING, running::holds(history, options, was(Behaviors::RUNNING)));
        flags.set(
            Behaviors::SUSPICIOUS_MOVEMENT,
            zigzag::holds(history, options, was(Behaviors::SUSPICIOUS_MOVEMENT), &mut scratch.zigzag),
        );
        flags.set(
            Behaviors::REPEATED_PASSES,
            passes::holds(history, options, was(Behaviors::REPEATED_PASSES), &mut scratch.passes),
        );
        self.flags = flags & options.watched;
    }
}

#[cfg(test)]
mod tests;
