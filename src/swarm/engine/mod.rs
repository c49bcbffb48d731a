//! One camera's part in the swarm: `handle(input, now) -> actions`.
//!
//! In go our own scenes and transitions, deliveries from the broker, and the passing of time; out
//! come envelopes and what changed with the other cameras. A message of ours that comes back is
//! dropped by its id before it is parsed. A message that can't be understood changes nothing but its
//! counter; of what is refused or can't be sent, one in a minute is named for each reason, so that a
//! peer gone mad does not fill the log. Weights are read, checked and counted.
//!
//! Presence leaves on every connection, on every change of the degraded modes, and every
//! `status_interval`. Our own events go into the agreement of the cameras ([`consensus`]) as they leave, and
//! what comes of it leaves from here. Our own tracks go into the fused table in the words in which they leave, so that we
//! fuse what everybody else does. What comes in is in `hear`, what leaves in `say`, what concerns times in `clocks`,
//! and what the tracks of others are worth in `compare`. Nothing here knows of sockets, files or the wall clock.

mod clocks;
mod compare;
mod hear;
mod say;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::compare::CommonGround;
use super::alert;
use super::clock_sync::{ClockSync, ClockVerdict};
use super::codec::{DecodeError, EncodeError, Reason};
use super::consensus::{self, Consensus, SiteEvent};
use super::counters::Counters;
use super::encodings::{Encoding, Readers};
use super::fusion::{self, Fusion, Sight};
use super::message::TrackMessage;
use super::neighbours::{self, Neighbours};
use super::open::Opened;
use super::participants::{self, Participants, Rank};
use super::peers::{self, Arrival, PeerChange, Peers};
use super::publish::{self, Publisher};
use super::surroundings::Surroundings;
use super::topic::{Family, Prefix};
use super::trust::pins::PinnedKey;
use super::trust::signature::Signer;
use super::trust::{self, Trust};
use super::wire::MILLIS_MAX;
use crate::base::Time;
use crate::model::{
    CameraId, Delivery, Envelope, Event, EventState, MessageClass, Modes, Point, Polygon, Qos, Scene,
    Transition,
};

/// Between two of one kind that are named for the log.
const NAMED_INTERVAL: Duration = Duration::from_mins(1);

/// How a camera takes part.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What stands before every topic.
    pub prefix: Prefix,
    /// What leaves, and how often.
    pub publish: publish::Options,
    /// What is kept of others, and how long.
    pub peers: peers::Options,
    /// How the table of the site is kept.
    pub fusion: fusion::Options,
    /// Whose tracks are listened to.
    pub neighbours: neighbours::Options,
    /// How cameras agree on what happens.
    pub consensus: consensus::Options,
    /// What this camera can judge by rules of its own.
    pub rules: consensus::Rules,
    /// How messages leave, but for presence, which is always JSON.
    pub encoding: Encoding,
    /// Whom to believe.
    pub trust: trust::Options,
    /// Presence leaves at least so often.
    pub status_interval: Duration,
}

/// What of the [`Options`] can be changed while taking part.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// What leaves, and how often.
    pub publish: publish::Options,
    /// What is kept of others, and how long.
    pub peers: peers::Options,
    /// How cameras agree on what happens.
    pub consensus: consensus::Options,
    /// What this camera can judge by rules of its own.
    pub rules: consensus::Rules,
}

impl Options {
    /// What of them can be changed while taking part.
    pub fn tuning(&self) -> Tuning {
        let Self { publish, peers, consensus, rules, .. } = self;
        Tuning { publish: *publish, peers: *peers, consensus: *consensus, rules: rules.clone() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: Prefix::default(),
            publish: publish::Options::default(),
            peers: peers::Options::default(),
            fusion: fusion::Options::default(),
            neighbours: neighbours::Options::default(),
            consensus: consensus::Options::default(),
            rules: consensus::Rules::default(),
            encoding: Encoding::default(),
            trust: trust::Options::default(),
            status_interval: Duration::from_secs(10),
        }
    }
}

/// Where a camera's metres come from, and which ground it sees.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ground {
    /// Measured, in the site's common frame.
    pub calibrated: bool,
    /// The ground it sees, metres.
    pub footprint: Option<Polygon>,
}

/// Who takes part.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The camera.
    pub camera: CameraId,
    /// Start of the process, milliseconds since the epoch; must rise with every start.
    pub boot_ms: u64,
    /// The program's version.
    pub version: String,
    /// The site's name, for alerts; none when none is configured.
    pub site: Option<String>,
    /// Its ground.
    pub ground: Ground,
}

impl Identity {
    /// Start of the process as it leaves: bounded as timestamps are.
    pub(super) fn boot_ms(&self) -> u64 {
        self.boot_ms.min(MILLIS_MAX)
    }
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A frame was understood.
    Scene(&'a Scene),
    /// An event changed its state, or a track ended.
    Transition(&'a Transition),
    /// A message came.
    Delivery(&'a Delivery),
    /// A message came that was read already.
    Opened(&'a Opened),
    /// A session with a broker began.
    Connected,
    /// The degraded modes in force.
    Modes(Modes),
    /// What the rest of the daemon counted since its start, for the presence message.
    Counters(&'a [(&'static str, u64)]),
    /// Time passed; wanted about once a second.
    Tick,
}

/// What a time server said of the camera's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockMeasured {
    /// What times are corrected by since then, milliseconds.
    pub offset_ms: f64,
    /// How far they may still be off, milliseconds.
    pub error_ms: f64,
    /// When it was said.
    pub at: Time,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Publish this.
    Send(Envelope),
    /// Listen to what is published on topics that this filter matches.
    Subscribe {
        /// What it brings.
        class: MessageClass,
        /// The filter.
        filter: String,
        /// With which QoS.
        qos: Qos,
    },
    /// Listen no longer.
    Unsubscribe {
        /// What it brought.
        class: MessageClass,
        /// The filter.
        filter: String,
    },
    /// Another camera came or went; for the log.
    Peer {
        /// Which.
        camera: CameraId,
        /// What happened to it.
        change: PeerChange,
    },
    /// An incident on the site was decided, or began: for surfaces and the log. The alarm is `Confirmed`, once
    /// for each incident on each camera, under the same key on all.
    Site(Box<SiteEvent>),
    /// A camera takes part in votes, or no longer: for the log, and the mode of those that do not answer.
    Participant {
        /// Which.
        camera: CameraId,
        /// What changed.
        change: participants::Change,
    },
    /// A camera is known by a key, or is muted, or heard again: for the log, and keys to be remembered.
    Trust {
        /// Which.
        camera: CameraId,
        /// What changed.
        change: trust::Change,
    },
    /// The clock of another camera differs from ours by another amount than was reported before; for the log.
    Clock {
        /// Which.
        camera: CameraId,
        /// What it is ahead of ours, milliseconds; negative where it is behind.
        offset_ms: i64,
        /// How far that may be off, milliseconds.
        error_ms: i64,
    },
    /// Our own clock was never set, and other cameras show the time: correct the clock that passes in the times.
    AdoptTime {
        /// What our clock is ahead of theirs, milliseconds: negative.
        ahead_ms: i64,
        /// How far that may be off, milliseconds.
        error_ms: i64,
    },
    /// A message was refused, for the log: the first in a minute for this reason. How many there were
    /// since the start stands in [`Counters::refused`].
    Refused(DecodeError),
    /// A message of ours broke the contract and does not leave, for the log: the first in a minute of
    /// its family. How many there were since the start stands in [`Counters::unsendable`].
    Unsendable(EncodeError),
}

/// The camera's part.
#[derive(Debug, Clone)]
pub struct Engine {
    options: Options,
    identity: Identity,
    common_ground: CommonGround,
    publisher: Publisher,
    peers: Peers,
    fusion: Fusion,
    neighbours: Neighbours,
    readers: Readers,
    consensus: Consensus,
    participants: Participants,
    trust: Trust,
    counters: Counters,
    app_counters: Vec<(&'static str, u64)>,
    modes: Modes,
    /// Track messages so far.
    seq: u64,
    last_status: Option<Time>,
    clock: Option<ClockMeasured>,
    clocks: ClockSync,
    clock_verdict: ClockVerdict,
    /// What our epoch was ahead of our monotonic clock with the last input, milliseconds.
    base_ms: Option<i64>,
    /// Since when our clock was never set.
    unset_since: Option<Time>,
    /// What our clock was ahead when it took the peers' time, and how far that may be off, milliseconds.
    adopted: Option<(i64, i64)>,
    /// Events that wait for a time, in their order.
    held: Vec<Event>,
    /// When a refused message was last named, by reason; one of ours, by family.
    refused_named: [Option<Time>; Reason::ALL.len()],
    unsendable_named: [Option<Time>; Family::ALL.len()],
    /// Kept between messages for its memory.
    buffer: Vec<u8>,
    chosen: Vec<usize>,
    changes: peers::Changes,
    decisions: Vec<consensus::Action>,
}

impl Engine {
    /// A camera that has heard nobody yet.
    pub fn new(options: Options, identity: Identity) -> Self {
        let mut fusion = Fusion::new(options.fusion, &identity.camera);
        let Ground { calibrated, footprint } = &identity.ground;
        if *calibrated {
            fusion.set_footprint(&identity.camera, footprint.as_ref(), 0);
        }
        Self {
            publisher: Publisher::new(options.publish),
            peers: Peers::new(options.peers),
            fusion,
            neighbours: Neighbours::new(options.neighbours, footprint.clone().filter(|_| *calibrated)),
            trust: Trust::new(options.trust.clone()),
            consensus: Consensus::new(
                options.consensus,
                footprint.clone().filter(|_| *calibrated),
                options.rules.clone(),
            ),
            common_ground: CommonGround::new(footprint.as_ref().filter(|_| *calibrated)),
            participants: Participants::default(),
            readers: Readers::default(),
            options,
            identity,
            counters: Counters::default(),
            app_counters: Vec::new(),
            modes: Modes::default(),
            seq: 0,
            last_status: None,
            clock: None,
            clocks: ClockSync::default(),
            clock_verdict: ClockVerdict::default(),
            base_ms: None,
            unset_since: None,
            adopted: None,
            held: Vec::new(),
            refused_named: [None; Reason::ALL.len()],
            unsendable_named: [None; Family::ALL.len()],
            buffer: Vec::new(),
            chosen: Vec::new(),
            changes: Vec::new(),
            decisions: Vec::new(),
        }
    }

    /// Signs from now on, if there is a key, and believes the keys of other cameras that were seen before.
    pub fn remember(&mut self, signer: Option<Signer>, pins: BTreeMap<CameraId, PinnedKey>) {
        self.trust.remember(signer, pins);
    }

    /// Takes what a time server said; the times that are passed in are corrected by it.
    pub fn set_clock(&mut self, measured: ClockMeasured) {
        self.clock = Some(measured);
    }

    /// Goes by other limits from now on. What is known of others, and was published, stays.
    pub fn tune(&mut self, tuning: Tuning) {
        self.publisher.set_options(tuning.publish);
        self.peers.set_options(tuning.peers);
        self.consensus.set_options(tuning.consensus);
        self.options.publish = tuning.publish;
        self.options.peers = tuning.peers;
        self.options.consensus = tuning.consensus;
        self.consensus.set_rules(tuning.rules.clone());
        self.options.rules = tuning.rules;
    }

    /// Takes one input; what is to be done is added to `out`.
    pub fn handle(&mut self, input: Input<'_>, now: Time, out: &mut Vec<Action>) {
        self.note_time(now, out);
        match input {
            Input::Scene(scene) => self.scene(scene, now, out),
            Input::Transition(Transition::Event(event)) => self.own_event(event.clone(), now, out),
            // Receivers get the end with the incident's alert.
            Input::Transition(Transition::EventOver { id, .. }) => {
                self.consult(consensus::Input::Over { event_id: *id }, now, out);
            }
            Input::Transition(Transition::TrackEnded { last, .. }) => {
                if self.publisher.end(last.track.id) {
                    match last.sighting() {
                        Some(sighting) => {
                            self.send_end(&sighting, Some(last), last.track.last_seen, now, out);
                        }
                        None => self.counters.no_ground += 1,
                    }
                }
            }
            Input::Transition(Transition::SightingEnded { last, time }) => {
                if self.publisher.end(last.track) {
                    self.send_end(last, None, *time, now, out);
                }
            }
            // A plate is nobody's business but the fleet server's.
            Input::Transition(Transition::Attribute { .. }) => {}
            Input::Delivery(delivery) => {
                let heard = self.delivery(delivery, now, out);
                self.refuse(heard, now, out);
            }
            Input::Opened(Opened { message, delivery }) => {
                let heard = self.hear(message, delivery, now, out);
                self.refuse(heard, now, out);
            }
            Input::Connected => self.send_status(now, out),
            Input::Modes(modes) => {
                if self.modes != modes {
                    self.modes = modes;
                    if self.identity.ground.calibrated {
                        let watched = self.identity.ground.footprint.as_ref().filter(|_| self.looks());
                        self.fusion.set_footprint(&self.identity.camera, watched, epoch_ms(now));
                    }
                    self.send_status(now, out);
                }
            }
            Input::Counters(counters) => {
                self.app_counters.clear();
                self.app_counters.extend_from_slice(counters);
            }
            Input::Tick => {
                let Self { peers, counters, changes, .. } = self;
                peers.sweep(&mut Arrival { now, counters, changes, rank: &|_| Rank::default() });
                self.trust.sweep(now);
                self.subscribe(out);
                self.fusion.step(epoch_ms(now));
                self.compare_cameras(now, out);
                self.compare_views(now);
                self.consult(consensus::Input::Tick, now, out);
                self.tick_clocks(now, out);
            }
        }
        for (camera, change) in std::mem::take(&mut self.changes) {
            self.watch(&camera, now);
            out.push(Action::Peer { camera, change });
        }
    }

    /// The topic filters of the swarm that are listened to, each with the class of what it brings and its QoS.
    pub fn subscriptions(&self) -> Vec<(MessageClass, String, Qos)> {
        let mut all: Vec<_> = self.options.prefix.subscriptions().to_vec();
        all.retain(|(class, ..)| *class != MessageClass::Track);
        let tracks = self.neighbours.filters(&self.options.prefix);
        all.extend(tracks.into_iter().map(|filter| (MessageClass::Track, filter, Family::Track.qos())));
        all
    }

    /// The cameras whose tracks are listened to; none on a small site, where all are.
    pub fn neighbours(&self) -> Option<&BTreeSet<CameraId>> {
        self.neighbours.near()
    }

    /// The other cameras.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The people on the site, of which we and the others report.
    pub fn fusion(&self) -> &Fusion {
        &self.fusion
    }

    /// The same, for whoever judges the cameras.
    pub fn fusion_mut(&mut self) -> &mut Fusion {
        &mut self.fusion
    }

    /// What happens on the site, by what the cameras agree on: every incident that is remembered, by key.
    pub fn site_events(&self, now: Time) -> Vec<SiteEvent> {
        self.consensus.events(&self.surroundings(now), now)
    }

    fn surroundings(&self, now: Time) -> Surroundings<'_> {
        let Self { identity, peers, fusion, trust, neighbours, participants, .. } = self;
        Surroundings { identity, peers, fusion, trust, neighbours, participants, now, looks: self.looks() }
    }

    /// The cameras that take part in votes.
    pub fn participants(&self) -> &Participants {
        &self.participants
    }

    /// Start of the process as its presence tells it, milliseconds since the epoch.
    pub fn boot_ms(&self) -> u64 {
        self.identity.boot_ms()
    }

    /// What the cameras agree on.
    pub fn consensus(&self) -> &Consensus {
        &self.consensus
    }

    /// Whom we believe.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn scene(&mut self, scene: &Scene, now: Time, out: &mut Vec<Action>) {
        self.counters.no_ground += scene.tracks.iter().filter(|t| t.ground.is_none()).count() as u64;
        let mut chosen = std::mem::take(&mut self.chosen);
        let (peers, calibrated) = (&self.peers, self.identity.ground.calibrated);
        let is_shared = |at| calibrated && peers.iter().any(|(_, peer)| peer.looks() && peer.holds(at));
        self.counters.over_limit += self.publisher.choose(scene, is_shared, &mut chosen);
        self.send_tracks(scene, &chosen, now, out);
        self.chosen = chosen;
        self.consult(consensus::Input::Scene(scene), now, out);
    }

    fn looks(&self) -> bool {
        !self.modes.intersects(Modes::BLIND)
    }

    /// Lets the cameras' agreement take something in, and does what comes of it.
    fn consult(&mut self, input: consensus::Input<'_>, now: Time, out: &mut Vec<Action>) {
        let mut decisions = std::mem::take(&mut self.decisions);
        let looks = self.looks();
        let Self { identity, peers, fusion, consensus, trust, neighbours, participants, .. } = self;
        let site = Surroundings { identity, peers, fusion, trust, neighbours, participants, now, looks };
        consensus.handle(input, &site, now, &mut decisions);
        for decision in decisions.drain(..) {
            match decision {
                consensus::Action::Vote(vote) => {
                    let topic = self.options.prefix.consensus(vote.event_id.0);
                    self.send(&*vote, topic, 0, now, out);
                }
                consensus::Action::Event(event) => {
                    let topic = self.options.prefix.event(&self.identity.camera, event.event_id.0);
                    self.send(&*event, topic, event.severity.number(), now, out);
                }
                consensus::Action::Alert(mut incident) => {
                    incident.site.clone_from(&self.identity.site);
                    let alert = alert::message(&incident, &self.identity.camera);
                    let topic = self.options.prefix.alert(&alert.key.camera, alert.key.event_id);
                    self.send(&alert, topic, alert.severity.number(), now, out);
                }
                consensus::Action::Answered(camera) => {
                    if let Some(change) = self.participants.answered(&camera, now) {
                        self.note_participant(camera, change, out);
                    }
                }
                consensus::Action::Missed(camera) => {
                    if let Some(change) = self.participants.missed(&camera) {
                        self.note_participant(camera, change, out);
                    }
                }
                consensus::Action::Site(event) => {
                    self.reckon(&event, now, out);
                    out.push(Action::Site(event));
                }
            }
        }
        self.decisions = decisions;
    }

    /// Counts for or against the cameras that claimed it what the others made of an incident.
    fn reckon(&mut self, event: &SiteEvent, now: Time, out: &mut Vec<Action>) {
        let denied = match event.state {
            EventState::Retracted if event.tally.denying >= 2 => true,
            EventState::Confirmed if event.tally.confirming >= 2 => false,
            _ => return,
        };
        for key in &event.claims {
            if key.camera != self.identity.camera
                && let Some(change) = self.trust.denied(&key.camera, denied, now)
            {
                self.note_trust(key.camera.clone(), change, out);
            }
        }
    }

    fn note_trust(&mut self, camera: CameraId, change: trust::Change, out: &mut Vec<Action>) {
        match change {
            trust::Change::Muted => self.fusion.mute(&camera, true),
            trust::Change::Heard => self.fusion.mute(&camera, false),
            trust::Change::Pinned(_) => self.forget(&camera),
            trust::Change::Rotated(_) | trust::Change::Proven(_) => {}
        }
        out.push(Action::Trust { camera, change });
    }

    /// Forgets all that was learned in a camera's name: it was not signed, so that anyone may have sent it.
    fn forget(&mut self, camera: &CameraId) {
        self.peers.forget(camera);
        self.trust.forget(camera);
        self.fusion.forget(camera);
        self.consensus.forget_camera(camera);
        self.participants.forget(camera);
        self.common_ground.unshare(camera);
    }

    /// Notes that the tracks of a camera agree with what is seen, so that no newcomer evicts its key.
    pub fn prove(&mut self, camera: &CameraId, out: &mut Vec<Action>) {
        if let Some(change) = self.trust.prove(camera) {
            self.note_trust(camera.clone(), change, out);
        }
    }

    /// What a large site changes about whom we listen to.
    fn subscribe(&mut self, out: &mut Vec<Action>) {
        let mut changes = Vec::new();
        self.neighbours.update(&self.peers, &self.options.prefix, &mut changes);
        out.extend(changes.into_iter().map(|change| match change {
            neighbours::Change::Begin(filter) => {
                Action::Subscribe { class: MessageClass::Track, filter, qos: Family::Track.qos() }
            }
            neighbours::Change::End(filter) => Action::Unsubscribe { class: MessageClass::Track, filter },
        }));
    }
}

/// Takes a track message into the table of the site. A track's end says when it was seen last, which was
/// said before.
fn fuse(fusion: &mut Fusion, m: &TrackMessage, now: Time) {
    let captured_ms = i64::try_from(m.timestamp.0).unwrap_or(i64::MAX);
    // The reference system claims no covariance: a metre.
    let cov_m2 = m.cov.map_or([1.0, 0.0, 1.0], |c| c.0);
    let sight = Sight {
        track_id: m.track_id.0,
        position_m: Point::new(m.global_position.x.0, m.global_position.y.0),
        cov_m2,
        class: m.class,
        confidence: m.confidence.0,
        captured_ms,
        global_id: m.global_id.map(|id| id.0),
    };
    if !m.ended {
        fusion.take(&m.camera_id, sight, epoch_ms(now));
    }
}

fn epoch_ms(now: Time) -> i64 {
    i64::try_from(now.epoch_ms).unwrap_or(i64::MAX)
}

/// Whether one more may be named; notes that it is.
fn is_due(last: &mut Option<Time>, now: Time) -> bool {
    let due = last.is_none_or(|last| now.since(last) >= NAMED_INTERVAL);
    if due {
        *last = Some(now);
    }
    due
}
