//! One camera: what it sees of the world, its clock, and its engine.
//!
//! Between the people and the engine stand a detector and a tracker that are made up: a position has an error
//! that grows with the distance and is claimed as it is; one look in ten misses somebody; now and then there
//! is a ghost. A track is one person's, from the first sight until [`KEEP_US`] without one, under a number
//! that is never used again. Whoever does something alarming is noticed by each camera that sees it, each
//! after its own while: that is an event of that camera's, predicted first, then occurred.
//!
//! A liar moves all that it sees by [`LIE_M`], and once in [`LIE_EVERY_US`] tells of an incident that never was.
//!
//! Pure: all chance comes from the camera's own generator, seeded by the run's seed and its number.

use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::Options;
use super::network::{Arrival, Counted, Letter, Listening, Mail, Network, Post};
use super::world::{SIGHT_M, World};
use crate::base::Time;
use crate::base::portable::sin_cos;
use crate::model::{
    BBox, Behavior, Behaviors, CameraId, Class, Delivery, Envelope, Event, EventState, EventType, Forecast,
    Motion, Point, RuleTrace, Scene, SceneTrack, Severity, Size, Track, Transition,
};
use crate::swarm::consensus::SiteEvent;
use crate::swarm::topic::Prefix;
use crate::swarm::{Action, Engine, Ground, Identity, Input, Opened};

/// When the run begins: 2025-06-15T15:06:40Z, milliseconds since the epoch.
pub(super) const BEGIN_MS: u64 = 1_750_000_000_000;
/// Between two ticks of an engine.
const TICK_US: u64 = 1_000_000;
/// All have connected by then, and only then is anything seen.
const FIRST_FRAME_US: u64 = 1_000_000;
/// One look in ten misses somebody who is there.
const MISS_PART: f64 = 0.1;
/// In one frame out of so many there begins a ghost, and stays for so long.
const GHOST_PART: f64 = 0.002;
const GHOST_US: u64 = 300_000;
/// Standard deviation of a position: nearby, and for every metre of distance.
const NEAR_SIGMA_M: f64 = 0.1;
const SIGMA_PER_M: f64 = 0.003;
/// Whoever is not seen for so long is lost; at least for so many frames.
const KEEP_US: u64 = 1_000_000;
const KEEP_FRAMES: u64 = 3;
/// A deed is noticed after a while between these, by nine in ten; by the others so much later. It is certain after
/// another while.
const NOTICE_US: (u64, u64) = (300_000, 2_500_000);
const SLOW_PART: f64 = 0.1;
const SLOW_US: u64 = 5_000_000;
const CERTAIN_US: u64 = 2_000_000;
/// How likely a predicted event is.
const PREDICTED: (f64, f64) = (0.7, 0.9);
/// How far a liar moves what it sees, and how often it makes something up.
const LIE_M: f64 = 3.0;
const LIE_EVERY_US: u64 = 60_000_000;

/// Somebody followed.
#[derive(Debug)]
struct Followed {
    seen_us: u64,
    last: SceneTrack,
}

/// A deed as this camera noticed it.
#[derive(Debug)]
struct Noticed {
    from_us: u64,
    event: Option<Event>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Camera {
    pub(super) index: usize,
    pub(super) engine: Engine,
    id: CameraId,
    prefix: Prefix,
    ahead_ms: i64,
    lie_m: Option<Point>,
    rng: Pcg64Mcg,
    decode_each: bool,
    interval_us: u64,
    connect_us: Option<u64>,
    frame_us: u64,
    tick_us: u64,
    lie_us: u64,
    /// Steps of the mail that it has taken.
    taken: usize,
    /// What is on its way to it: what it may say something about, and what it only takes in.
    asking: BinaryHeap<Arrival>,
    telling: BinaryHeap<Arrival>,
    followed: BTreeMap<usize, Followed>,
    /// A ghost's place, and until when it is there.
    ghosts: Vec<(u32, Point, u64)>,
    noticed: BTreeMap<usize, Noticed>,
    /// Whose each track is.
    whose: Vec<Option<usize>>,
    frames: u64,
    events: u32,
    actions: Vec<Action>,
    listening: Listening,
    /// What it gives to the network in this step.
    pub(super) posts: Vec<Post>,
    /// What came of the messages to it.
    pub(super) counted: Counted,
    /// What it told its surfaces of incidents on the site.
    pub(super) told: Vec<SiteEvent>,
    /// Events of its own, by number: which incident they are of, none when it was made up.
    pub(super) raised: Vec<Option<usize>>,
}

/// What a table calls somebody: the number, and a track of theirs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Called {
    pub(super) global_id: u64,
    pub(super) camera: usize,
    pub(super) track_id: u32,
}

impl Camera {
    /// None for a name that is none, which no index gives.
    pub(super) fn new(index: usize, liar: bool, options: &Options, world: &World) -> Option<Self> {
        let id = CameraId::parse(&name(index)).ok()?;
        let mut rng =
            Pcg64Mcg::seed_from_u64(options.seed.wrapping_mul(0x9e37_79b9) ^ ((index as u64 + 1) << 32));
        let skew_ms = options.skew.as_millis() as f64;
        let (sin, cos) = sin_cos(rng.random_range(0.0..std::f64::consts::TAU));
        let interval_us = (1e6 / options.rate_hz) as u64;
        let ahead_ms = (skew_ms * rng.random_range(-1.0..=1.0)).round() as i64;
        let identity = Identity {
            camera: id.clone(),
            boot_ms: BEGIN_MS,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            site: None,
            ground: Ground { calibrated: true, footprint: world.footprint(index) },
        };
        let engine_options = crate::swarm::Options {
            neighbours: options.neighbours,
            encoding: options.encoding,
            ..crate::swarm::Options::default()
        };
        let prefix = engine_options.prefix.clone();
        Some(Self {
            index,
            engine: Engine::new(engine_options, identity),
            id,
            prefix,
            ahead_ms,
            lie_m: liar.then_some(Point::new(cos, sin) * LIE_M),
            decode_each: options.decode_each,
            interval_us,
            connect_us: Some(rng.random_range(0..FIRST_FRAME_US / 2)),
            frame_us: FIRST_FRAME_US + rng.random_range(0..interval_us),
            tick_us: rng.random_range(0..TICK_US),
            lie_us: rng.random_range(0..LIE_EVERY_US),
            rng,
            taken: 0,
            asking: BinaryHeap::new(),
            telling: BinaryHeap::new(),
            followed: BTreeMap::new(),
            ghosts: Vec::new(),
            noticed: BTreeMap::new(),
            whose: vec![None],
            frames: 0,
            events: 0,
            actions: Vec::new(),
            listening: Listening { to_all: true, ..Listening::default() },
            posts: Vec::new(),
            counted: Counted::default(),
            told: Vec::new(),
            raised: vec![None],
        })
    }

    pub(super) fn is_liar(&self) -> bool {
        self.lie_m.is_some()
    }

    /// When it next says something, or may: what it is only told until then waits.
    pub(super) fn speaks_us(&self) -> u64 {
        let asked_us = self.asking.peek().map_or(u64::MAX, |arrival| arrival.at_us);
        let connect_us = self.connect_us.unwrap_or(u64::MAX);
        asked_us.min(connect_us).min(self.frame_us).min(self.tick_us)
    }

    /// Takes what is on its way to it of what all gave to the network.
    pub(super) fn collect(&mut self, mail: &Mail, network: &Network) {
        let Self { asking, telling, taken, listening, index, .. } = self;
        self.counted += network.hand_out(mail, taken, *index, listening, |arrival| {
            (if arrival.asks { &mut *asking } else { &mut *telling }).push(arrival);
        });
    }

    /// Lives on until the last time before `until_us` at which it may say something.
    pub(super) fn live(&mut self, until_us: u64, world: &World) {
        while self.speaks_us() < until_us {
            self.next(world);
        }
    }

    /// Lives on until `until_us`, so that it knows all that it was told by then.
    pub(super) fn live_up_to(&mut self, until_us: u64, world: &World) {
        while self.speaks_us().min(self.told_us()) < until_us {
            self.next(world);
        }
    }

    fn told_us(&self) -> u64 {
        self.telling.peek().map_or(u64::MAX, |arrival| arrival.at_us)
    }

    /// What comes next, whatever it is.
    fn next(&mut self, world: &World) {
        let (speaks_us, told_us) = (self.speaks_us(), self.told_us());
        let next_us = speaks_us.min(told_us);
        if self.connect_us == Some(next_us) {
            self.connect_us = None;
            self.feed(&Input::Connected, next_us);
        } else if told_us == next_us || self.asking.peek().is_some_and(|asking| asking.at_us == next_us) {
            self.receive();
        } else if next_us == self.frame_us {
            self.frame(world);
            self.frame_us += self.interval_us;
        } else {
            self.feed(&Input::Tick, next_us);
            self.tick_us += TICK_US;
        }
    }

    /// What its table calls whom.
    pub(super) fn calls(&self, at_us: u64) -> Vec<Called> {
        let at_ms = i64::try_from(self.time(at_us).epoch_ms).unwrap_or(i64::MAX);
        let people = self.engine.fusion().at(at_ms);
        let called = people.iter().flat_map(|p| {
            p.seen_by.iter().filter_map(|w| {
                let camera = index_of(w.camera.as_str())?;
                Some(Called { global_id: p.global_id, camera, track_id: w.track_id })
            })
        });
        called.collect()
    }

    /// What its table says of what happens.
    pub(super) fn site_events(&self, at_us: u64) -> Vec<SiteEvent> {
        self.engine.site_events(self.time(at_us))
    }

    /// Whose a track of its own is; none for a ghost.
    pub(super) fn whose(&self, track_id: u32) -> Option<usize> {
        self.whose.get(track_id as usize).copied().flatten()
    }

    /// The time on its own clock.
    fn time(&self, at_us: u64) -> Time {
        let epoch_ms = (BEGIN_MS + at_us / 1_000).saturating_add_signed(self.ahead_ms);
        Time { mono_ns: 1_000_000_000 + at_us * 1_000, epoch_ms }
    }

    fn receive(&mut self) {
        let Self { asking, telling, .. } = self;
        // The sooner one is greater.
        let sooner = if asking.peek() > telling.peek() { asking } else { telling };
        let Some(Arrival { at_us, letter, .. }) = sooner.pop() else { return };
        match &*letter {
            Letter::Sealed(delivery) => self.feed(&Input::Delivery(delivery), at_us),
            Letter::Opened(opened) => self.feed(&Input::Opened(opened), at_us),
        }
    }

    fn feed(&mut self, input: &Input<'_>, at_us: u64) {
        let mut actions = std::mem::take(&mut self.actions);
        self.engine.handle(*input, self.time(at_us), &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Send(envelope) => self.post(envelope, at_us),
                Action::Subscribe { filter, .. } => self.listen(&filter, true),
                Action::Unsubscribe { filter, .. } => self.listen(&filter, false),
                Action::Site(event) => self.told.push(*event),
                Action::Peer { .. }
                | Action::Participant { .. }
                | Action::Trust { .. }
                | Action::Clock { .. }
                | Action::AdoptTime { .. }
                | Action::Refused(_)
                | Action::Unsendable(_) => {}
            }
        }
        self.actions = actions;
    }

    /// Notes whether it listens to the tracks that a filter matches: one camera's, or all.
    fn listen(&mut self, filter: &str, wanted: bool) {
        if filter == self.prefix.tracks_of_all() {
            self.listening.to_all = wanted;
            return;
        }
        let camera = filter.strip_prefix(self.prefix.as_str()).and_then(|f| f.strip_prefix("/tracks/"));
        let camera = camera.and_then(|f| f.strip_suffix("/+")).and_then(index_of);
        match camera {
            Some(camera) if wanted => self.listening.to_each.insert(camera),
            Some(camera) => self.listening.to_each.remove(&camera),
            None => false,
        };
    }

    fn post(&mut self, envelope: Envelope, at_us: u64) {
        let (class, qos) = (envelope.class, envelope.qos);
        let bytes = envelope.payload.len();
        let delivery = Delivery {
            topic: envelope.topic,
            payload: envelope.payload,
            content_type: Some(envelope.content_type.as_str().to_owned()),
            user_properties: envelope.user_properties,
            ..Delivery::default()
        };
        let opened = (!self.decode_each).then(|| Opened::read(&delivery, &self.prefix));
        let letter = match opened {
            Some(Ok(opened)) => Letter::Opened(opened),
            // What can't be read is for each receiver to refuse.
            _ => Letter::Sealed(delivery),
        };
        self.posts.push(Post { at_us, letter, class, qos, bytes });
    }

    fn frame(&mut self, world: &World) {
        let (at_us, middle) = (self.frame_us, world.middle(self.index));
        self.frames += 1;
        let mut tracks = Vec::new();
        let mut deeds = Vec::new();
        for person in world.around(self.index) {
            let (place, velocity) = world.person(person, at_us);
            let off = place - middle;
            if off.x.abs() > SIGHT_M / 2.0 || off.y.abs() > SIGHT_M / 2.0 || self.rng.random_bool(MISS_PART) {
                continue;
            }
            let deed = world.deed(person, at_us);
            let doing = deed.is_some_and(|deed| self.notices(deed, at_us));
            let track = self.see(person, place, velocity, off.norm(), doing, at_us);
            if let Some(deed) = deed {
                deeds.push((deed, track.clone()));
            }
            tracks.push(track);
        }
        self.haunt(middle, at_us, &mut tracks);
        tracks.sort_unstable_by_key(|t| t.track.id);
        let scene = Scene {
            camera: self.id.clone(),
            seq: self.frames,
            time: self.time(at_us),
            size: Size { width: 1_920, height: 1_080 },
            detections: tracks.len(),
            sightings: tracks.iter().filter_map(SceneTrack::sighting).collect(),
            tracks,
        };
        self.feed(&Input::Scene(&scene), at_us);
        for (deed, track) in deeds {
            self.tell(deed, &track, world, at_us);
        }
        self.lose(at_us);
        if self.is_liar() && at_us >= self.lie_us {
            self.lie_us += LIE_EVERY_US;
            self.make_up(&scene, at_us);
        }
    }

    /// A sight of somebody.
    fn see(
        &mut self,
        person: usize,
        place: Point,
        velocity: Point,
        off_m: f64,
        doing: bool,
        at_us: u64,
    ) -> SceneTrack {
        let sigma_m = NEAR_SIGMA_M + SIGMA_PER_M * off_m;
        let error = Point::new(self.gauss(), self.gauss()) * sigma_m;
        let place = place + error + self.lie_m.unwrap_or_default();
        let now = self.time(at_us);
        let behavior = if doing {
            Behavior { flags: Behaviors::SUSPICIOUS_MOVEMENT, threat: 0.8, ..Behavior::default() }
        } else {
            Behavior::default()
        };
        let known =
            self.followed.get(&person).map(|f| (f.last.track.id, f.last.track.first_seen, f.last.track.hits));
        let (id, first_seen, hits) = match known {
            Some(known) => known,
            None => (self.new_track(Some(person)), now, 0),
        };
        let mut track = sight(id, place, velocity, sigma_m, now);
        (track.track.first_seen, track.track.hits) = (first_seen, hits + 1);
        track.track.confidence = self.rng.random_range(0.6..0.98);
        track.behavior = behavior;
        self.followed.insert(person, Followed { seen_us: at_us, last: track.clone() });
        track
    }

    fn new_track(&mut self, person: Option<usize>) -> u32 {
        self.whose.push(person);
        u32::try_from(self.whose.len() - 1).unwrap_or(u32::MAX)
    }

    /// Ghosts come and go.
    fn haunt(&mut self, middle: Point, at_us: u64, tracks: &mut Vec<SceneTrack>) {
        if self.rng.random_bool(GHOST_PART) {
            let half = SIGHT_M / 2.0;
            let place =
                middle + Point::new(self.rng.random_range(-half..half), self.rng.random_range(-half..half));
            let id = self.new_track(None);
            self.ghosts.push((id, place, at_us + GHOST_US));
        }
        let now = self.time(at_us);
        for &(id, place, _) in &self.ghosts {
            let mut track = sight(id, place, Point::default(), 0.3, now);
            track.track.confidence = 0.5;
            tracks.push(track);
        }
        self.ghosts.retain(|(.., until_us)| at_us < *until_us);
    }

    /// Who was not seen for a while has ended.
    fn lose(&mut self, at_us: u64) {
        let keep_us = KEEP_US.max(KEEP_FRAMES * self.interval_us + self.interval_us / 2);
        let lost: Vec<usize> = self
            .followed
            .iter()
            .filter(|(_, f)| at_us - f.seen_us > keep_us)
            .map(|(person, _)| *person)
            .collect();
        for person in lost {
            if let Some(Followed { last, .. }) = self.followed.remove(&person) {
                let ended = Transition::TrackEnded { last: Box::new(last), time: self.time(at_us) };
                self.feed(&Input::Transition(&ended), at_us);
            }
        }
    }

    /// Whether the camera sees by now what somebody does.
    fn notices(&mut self, deed: usize, at_us: u64) -> bool {
        let rng = &mut self.rng;
        let noticed = self.noticed.entry(deed).or_insert_with(|| {
            let slow_us = if rng.random_bool(SLOW_PART) { SLOW_US } else { 0 };
            Noticed { from_us: at_us + rng.random_range(NOTICE_US.0..NOTICE_US.1) + slow_us, event: None }
        });
        at_us >= noticed.from_us
    }

    /// Tells what somebody does: first that it is likely, then that it is so.
    fn tell(&mut self, deed: usize, seen: &SceneTrack, world: &World, at_us: u64) {
        let Some(Noticed { from_us, event }) = self.noticed.get(&deed) else { return };
        let (from_us, event) = (*from_us, event.clone());
        let now = self.time(at_us);
        let told = match event {
            _ if at_us < from_us => return,
            None => {
                let probability = self.rng.random_range(PREDICTED.0..PREDICTED.1);
                self.raise(Some(deed), world.incidents[deed].kind, seen, probability, at_us)
            }
            Some(event) if event.state == EventState::Predicted && at_us >= from_us + CERTAIN_US => Event {
                state: EventState::Occurred,
                probability: 1.0,
                severity: Severity::from_score(event.kind.base_severity()),
                predicted_time: now,
                time: now,
                position_m: seen.ground.map_or(event.position_m, |g| g.position),
                ..event
            },
            Some(_) => return,
        };
        if let Some(noticed) = self.noticed.get_mut(&deed) {
            noticed.event = Some(told.clone());
        }
        self.feed(&Input::Transition(&Transition::Event(told)), at_us);
    }

    fn raise(
        &mut self,
        deed: Option<usize>,
        kind: EventType,
        seen: &SceneTrack,
        probability: f64,
        at_us: u64,
    ) -> Event {
        self.events += 1;
        self.raised.push(deed);
        let now = self.time(at_us);
        Event {
            id: self.events,
            kind,
            state: EventState::Predicted,
            position_m: seen.ground.map_or(Point::default(), |g| g.position),
            tracks: vec![seen.track.id],
            probability,
            severity: Severity::from_score(kind.base_severity() * probability),
            predicted_time: now + Duration::from_micros(CERTAIN_US),
            time: now,
            zone: None,
            rule: RuleTrace { name: "simulated", ..RuleTrace::default() },
        }
    }

    /// A liar's tale about somebody whom it sees.
    fn make_up(&mut self, scene: &Scene, at_us: u64) {
        let Some(seen) = scene.tracks.first() else { return };
        let told = Event {
            state: EventState::Occurred,
            probability: 1.0,
            predicted_time: self.time(at_us),
            ..self.raise(None, EventType::Assault, seen, 1.0, at_us)
        };
        self.feed(&Input::Transition(&Transition::Event(told)), at_us);
    }

    /// About normal, variance 1, and without a function that differs from machine to machine.
    fn gauss(&mut self) -> f64 {
        let sum: f64 = (0..4).map(|_| self.rng.random_range(-1.0..1.0)).sum();
        sum * 0.75_f64.sqrt()
    }
}

fn sight(id: u32, place: Point, velocity: Point, sigma_m: f64, now: Time) -> SceneTrack {
    let variances = [sigma_m * sigma_m, sigma_m * sigma_m, 0.04, 0.04];
    let motion = Motion {
        position: place,
        velocity,
        cov: nalgebra::Matrix4::from_diagonal(&nalgebra::Vector4::from(variances)),
    };
    SceneTrack {
        track: Track {
            id,
            class: Class::Person,
            bbox: BBox::new(900.0, 500.0, 40.0, 100.0),
            confidence: 0.9,
            foot: motion,
            first_seen: now,
            last_seen: now,
            hits: 1,
        },
        ground: Some(motion),
        behavior: Behavior::default(),
        forecast: Forecast::default(),
    }
}

fn name(index: usize) -> String {
    format!("camera-{index:05}")
}

/// The number in a camera's name.
pub(super) fn index_of(name: &str) -> Option<usize> {
    name.strip_prefix("camera-")?.parse().ok()
}
