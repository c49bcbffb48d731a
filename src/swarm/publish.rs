//! What of our own scenes leaves, how often, and in which words.
//!
//! A track leaves at most once per `track_interval`, measured on the capture clock. A tenth of the
//! interval is allowed to come early, for frames that jitter or do not divide it; it is taken back
//! from the next wait, so the rate over time is never exceeded (generic cell rate algorithm, ITU-T
//! I.371, annex A). What leaves are the sightings of a frame: those of confirmed tracks, and of one that is not
//! yet confirmed only where another camera looks too, which may know better; at most `tracks_max` of these begin
//! in a second, so that a detector gone mad does not look like a flood. Of more than `tracks_max` the most
//! threatening leave, then the confirmed, then the surest. A track's last message leaves whatever the
//! rate says, if any of it ever left. An event leaves from `event_severity_min` up, and in all its
//! later states once it has.
//!
//! Tables: `PUBLISHED_MAX` tracks and events each; the oldest entry makes room. The price of a lost
//! entry is a track that ends by age at the others instead of by word, or one state of an event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::bounded::{List, Map, Reals};
use super::message::{EventKey, EventMessage, Name, Position, Rule, TrackMessage, Velocity};
use super::wire::{Fraction, Id, Millis, Real, rounded};
use crate::base::Time;
use crate::model::{CameraId, Event, Point, RuleTrace, Scene, SceneTrack, Severity, Sighting};

/// Own tracks and events that are remembered as published.
const PUBLISHED_MAX: usize = 1024;

/// What leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Shortest mean time between two messages of one track.
    pub track_interval: Duration,
    /// Tracks of one scene.
    pub tracks_max: usize,
    /// Least severity of an event.
    pub event_severity_min: Severity,
}

impl Default for Options {
    /// 10 Hz for each of 50 tracks; events from medium.
    fn default() -> Self {
        Self {
            track_interval: Duration::from_millis(100),
            tracks_max: 50,
            event_severity_min: Severity::Medium,
        }
    }
}

/// What was published, and when the next may be.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    options: Options,
    /// When a track's next message is due on a steady beat, nanoseconds of the capture clock.
    due_ns: BTreeMap<u32, u64>,
    events: BTreeSet<u32>,
    /// When the next unconfirmed track may begin on a steady beat, nanoseconds of the capture clock.
    birth_ns: u64,
}

impl Publisher {
    pub(super) fn new(options: Options) -> Self {
        Self { options, due_ns: BTreeMap::new(), events: BTreeSet::new(), birth_ns: 0 }
    }

    pub(super) fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Fills `chosen` with the sightings of a scene that may leave now, as indices in rising order; says
    /// how many the limit per scene held back. `is_shared` tells where another camera looks too.
    pub(super) fn choose(
        &mut self,
        scene: &Scene,
        is_shared: impl Fn(Point) -> bool,
        chosen: &mut Vec<usize>,
    ) -> u64 {
        let sightings = &scene.sightings;
        // None where the track is not confirmed, which is less than any threat.
        let threat = |i: usize| scene.track(sightings[i].track).map(|seen| seen.behavior.threat);
        chosen.clear();
        chosen.extend(
            (0..sightings.len()).filter(|&i| threat(i).is_some() || is_shared(sightings[i].foot.position)),
        );
        let over = chosen.len().saturating_sub(self.options.tracks_max);
        if over > 0 {
            let rank = |&i: &usize| (threat(i).unwrap_or(-1.0), sightings[i].confidence, i);
            let mut ranked: Vec<_> = chosen.iter().map(rank).collect();
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
            chosen.clear();
            chosen.extend(ranked.iter().take(self.options.tracks_max).map(|(.., i)| *i));
            chosen.sort_unstable();
        }
        let all = chosen.len();
        chosen.retain(|&i| {
            let is_birth = threat(i).is_none() && !self.due_ns.contains_key(&sightings[i].track);
            !is_birth || may_begin(&mut self.birth_ns, scene.time, self.options.tracks_max)
        });
        let over = over + all - chosen.len();
        chosen
            .retain(|&i| due(&mut self.due_ns, sightings[i].track, scene.time, self.options.track_interval));
        over as u64
    }

    /// Whether a track's end must be told; forgets the track.
    pub(super) fn end(&mut self, track_id: u32) -> bool {
        self.due_ns.remove(&track_id).is_some()
    }

    /// Whether an event's state leaves.
    pub(super) fn admit(&mut self, event: &Event) -> bool {
        let known = self.events.contains(&event.id);
        if !known && event.severity < self.options.event_severity_min {
            return false;
        }
        if !known && self.events.len() >= PUBLISHED_MAX {
            // Numbers rise: the lowest is the oldest.
            self.events.pop_first();
        }
        self.events.insert(event.id);
        true
    }
}

/// Whether one more that is not confirmed may begin, so many in a second at most.
fn may_begin(birth_ns: &mut u64, now: Time, in_a_second: usize) -> bool {
    const SECOND_NS: u64 = 1_000_000_000;
    let next = (*birth_ns).max(now.mono_ns);
    let may = next < now.mono_ns.saturating_add(SECOND_NS);
    if may {
        *birth_ns = next.saturating_add(SECOND_NS / (in_a_second as u64).max(1));
    }
    may
}

fn due(due_ns: &mut BTreeMap<u32, u64>, track_id: u32, now: Time, interval: Duration) -> bool {
    let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    let due = due_ns.get(&track_id).copied();
    if due.is_some_and(|due| now.mono_ns < due.saturating_sub(interval / 10)) {
        return false;
    }
    if due.is_none() && due_ns.len() >= PUBLISHED_MAX {
        let oldest = due_ns.iter().min_by_key(|(_, due)| **due).map(|(id, _)| *id);
        oldest.map(|id| due_ns.remove(&id));
    }
    due_ns.insert(track_id, due.unwrap_or(0).max(now.mono_ns).saturating_add(interval));
    true
}

/// A time as it leaves: bounded as timestamps are.
pub(super) fn millis(time: Time) -> Millis {
    Millis(time.epoch_ms.min(super::wire::MILLIS_MAX))
}

fn position(p: Point) -> Position {
    Position { x: Real(p.x), y: Real(p.y), z: Real(0.0) }
}

/// A track's message, true for the time of the sighting, in the numbers in which it leaves: whoever reads it
/// reckons with the same. Of a confirmed track, `seen`, it tells the velocity and behaviour. Without its number
/// on the site and in the camera's sequence.
pub(super) fn track_message(
    camera: &CameraId,
    sighting: &Sighting,
    seen: Option<&SceneTrack>,
    time: Time,
) -> TrackMessage {
    let foot = sighting.foot;
    let velocity = seen.and_then(|seen| seen.ground).map_or(foot.velocity, |ground| ground.velocity);
    let behavior = seen.map(|seen| seen.behavior).unwrap_or_default();
    let place = |p: Point| [Real(rounded(p.x)), Real(rounded(p.y))];
    let ([x, y], [vx, vy]) = (place(foot.position), place(velocity));
    TrackMessage {
        camera_id: camera.clone(),
        track_id: Id(sighting.track),
        global_position: Position { x, y, z: Real(0.0) },
        velocity: Velocity { x: vx, y: vy },
        class: sighting.class,
        confidence: Fraction(rounded(sighting.confidence)),
        timestamp: millis(time),
        behaviors: behavior.flags,
        threat_score: Fraction(rounded(behavior.threat)),
        seq: None,
        cov: Some(Reals(foot.position_cov().map(rounded))),
        global_id: None,
        ended: false,
    }
}

/// An event's message.
pub(super) fn event_message(camera: &CameraId, boot_ms: u64, event: &Event) -> EventMessage {
    EventMessage {
        camera_id: camera.clone(),
        event_id: Id(event.id),
        event_type: event.kind,
        position: position(event.position_m),
        // 0 breaks the contract and is refused when it is encoded: an event is about a track.
        track_id: Id(event.tracks.first().copied().unwrap_or(0)),
        probability: Fraction(event.probability),
        severity: event.severity,
        predicted_time: millis(event.predicted_time),
        timestamp: millis(event.time),
        key: Some(EventKey { camera: camera.clone(), boot_ms, event_id: event.id }),
        state: Some(event.state),
        zone: event.zone.as_deref().map(Name::cut),
        tracks: List::cut(event.tracks.iter().copied().map(Id)),
        rule: Some(rule(&event.rule)),
        interventions: List::default(),
        claims: List::default(),
    }
}

fn rule(trace: &RuleTrace) -> Rule {
    let values =
        |of: &[(&'static str, f64)]| Map::cut(of.iter().map(|(name, v)| (Name::cut(name), Real(*v))));
    Rule {
        name: Name::cut(trace.name),
        thresholds: values(&trace.thresholds),
        measured: values(&trace.measured),
    }
}
