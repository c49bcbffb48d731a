//! One camera's part in the swarm: `handle(input, now) -> actions`.
//!
//! In go our own scenes and transitions, deliveries from the broker, and the passing of time; out
//! come envelopes and what changed with the other cameras. A message of ours that comes back is
//! dropped by its id before it is parsed. A message that can't be understood changes nothing but its
//! counter; of what is refused or can't be sent, one in a minute is named for each reason, so that a
//! peer gone mad does not fill the log. Weights and consensus are read, checked and counted.
//!
//! Presence leaves on every connection, on every change of the degraded modes, and every
//! `status_interval`. Our own tracks go into the fused table in the words in which they leave, so that we
//! fuse what everybody else does. Nothing here knows of sockets, files or the wall clock.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::bounded::{List, Map, Reals};
use super::codec::{self, DecodeError, Encode, EncodeError, Reason};
use super::counters::Counters;
use super::fusion::{self, Fusion, Sight};
use super::message::{ClockStatus, GroundKind, Message, Name, Presence, StatusMessage, TrackMessage};
use super::neighbours::{self, Neighbours};
use super::open::{self, Opened};
use super::peers::{self, Arrival, PeerChange, Peers, footprint_of};
use super::publish::{self, Publisher, event_message, millis, track_message};
use super::topic::{Family, Prefix};
use super::wire::{COUNT_MAX, Count, MILLIS_MAX, Millis, Real};
use crate::base::Time;
use crate::model::{
    CameraId, Delivery, Envelope, MessageClass, Point, Polygon, Qos, Scene, SceneTrack, Transition,
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
    /// Presence leaves at least so often.
    pub status_interval: Duration,
}

/// What of the [`Options`] can be changed while taking part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// What leaves, and how often.
    pub publish: publish::Options,
    /// What is kept of others, and how long.
    pub peers: peers::Options,
}

impl Options {
    /// What of them can be changed while taking part.
    pub fn tuning(&self) -> Tuning {
        Tuning { publish: self.publish, peers: self.peers }
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
    /// Its ground.
    pub ground: Ground,
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
    /// The degraded modes in force, by name.
    Modes(&'a [&'a str]),
    /// What the rest of the daemon counted since its start, for the presence message.
    Counters(&'a [(&'static str, u64)]),
    /// Time passed; wanted about once a second.
    Tick,
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
    publisher: Publisher,
    peers: Peers,
    fusion: Fusion,
    neighbours: Neighbours,
    counters: Counters,
    app_counters: Vec<(&'static str, u64)>,
    modes: Vec<String>,
    /// Track messages so far.
    seq: u64,
    last_status: Option<Time>,
    /// When a refused message was last named, by reason; one of ours, by family.
    refused_named: [Option<Time>; Reason::ALL.len()],
    unsendable_named: [Option<Time>; Family::ALL.len()],
    /// Kept between messages for its memory.
    buffer: Vec<u8>,
    chosen: Vec<usize>,
    changes: peers::Changes,
}

impl Engine {
    /// A camera that has heard nobody yet.
    pub fn new(options: Options, identity: Identity) -> Self {
        let mut fusion = Fusion::new(options.fusion, &identity.camera);
        let Ground { calibrated, footprint } = &identity.ground;
        if *calibrated {
            fusion.set_footprint(&identity.camera, footprint.clone(), 0);
        }
        Self {
            publisher: Publisher::new(options.publish),
            peers: Peers::new(options.peers),
            fusion,
            neighbours: Neighbours::new(options.neighbours, footprint.clone().filter(|_| *calibrated)),
            options,
            identity,
            counters: Counters::default(),
            app_counters: Vec::new(),
            modes: Vec::new(),
            seq: 0,
            last_status: None,
            refused_named: [None; Reason::ALL.len()],
            unsendable_named: [None; Family::ALL.len()],
            buffer: Vec::new(),
            chosen: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Goes by other limits from now on. What is known of others, and was published, stays.
    pub fn tune(&mut self, tuning: Tuning) {
        self.publisher.set_options(tuning.publish);
        self.peers.set_options(tuning.peers);
        self.options.publish = tuning.publish;
        self.options.peers = tuning.peers;
    }

    /// Takes one input; what is to be done is added to `out`.
    pub fn handle(&mut self, input: Input<'_>, now: Time, out: &mut Vec<Action>) {
        match input {
            Input::Scene(scene) => self.scene(scene, now, out),
            Input::Transition(Transition::Event(event)) => {
                if self.publisher.admit(event) {
                    let message = event_message(&self.identity.camera, self.boot_ms(), event);
                    let topic = self.options.prefix.event(&self.identity.camera, event.id);
                    self.send(&message, topic, event.severity.number(), now, out);
                }
            }
            Input::Transition(Transition::TrackEnded { last, .. }) => {
                if self.publisher.end(last.track.id) {
                    self.send_track(last, true, now, out);
                }
            }
            Input::Delivery(delivery) => {
                if let Err(error) = self.delivery(delivery, now) {
                    let reason = error.reason();
                    self.counters.refused[reason as usize] += 1;
                    if is_due(&mut self.refused_named[reason as usize], now) {
                        out.push(Action::Refused(error));
                    }
                }
            }
            Input::Opened(opened) => self.message(opened, now),
            Input::Connected => self.send_status(now, out),
            Input::Modes(modes) => {
                if self.modes != modes {
                    self.modes = modes.iter().map(|&m| m.to_owned()).collect();
                    self.send_status(now, out);
                }
            }
            Input::Counters(counters) => {
                self.app_counters.clear();
                self.app_counters.extend_from_slice(counters);
            }
            Input::Tick => {
                self.peers.sweep(now, &mut self.changes);
                self.subscribe(out);
                self.fusion.step(epoch_ms(now));
                if self.last_status.is_none_or(|last| now.since(last) >= self.options.status_interval) {
                    self.send_status(now, out);
                }
            }
        }
        out.extend(self.changes.drain(..).map(|(camera, change)| Action::Peer { camera, change }));
    }

    /// What the broker says for us when the connection breaks without a goodbye.
    pub fn will(&self, now: Time) -> Result<Envelope, EncodeError> {
        let mut buffer = Vec::new();
        codec::encode(&self.offline(now), &mut buffer)?;
        let topic = self.options.prefix.status(&self.identity.camera);
        Ok(envelope(Family::Status, topic, &buffer, 0))
    }

    /// The last message of a process that ends in order.
    pub fn farewell(&mut self, now: Time) -> Result<Envelope, EncodeError> {
        let farewell = self.will(now)?;
        self.counters.sent[Family::Status as usize] += 1;
        Ok(farewell)
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

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn boot_ms(&self) -> u64 {
        self.identity.boot_ms.min(MILLIS_MAX)
    }

    fn scene(&mut self, scene: &Scene, now: Time, out: &mut Vec<Action>) {
        self.fusion.step(epoch_ms(now));
        self.counters.no_ground += scene.tracks.iter().filter(|t| t.ground.is_none()).count() as u64;
        let mut chosen = std::mem::take(&mut self.chosen);
        self.counters.over_limit += self.publisher.choose(scene, &mut chosen);
        for &i in &chosen {
            self.send_track(&scene.tracks[i], false, now, out);
        }
        self.chosen = chosen;
    }

    fn send_track(&mut self, seen: &SceneTrack, ended: bool, now: Time, out: &mut Vec<Action>) {
        let Some(ground) = &seen.ground else {
            self.counters.no_ground += 1;
            return;
        };
        let mut message = track_message(&self.identity.camera, seen, ground, self.seq + 1);
        message.ended = ended;
        message.global_id = self.fusion.name_of(&self.identity.camera, seen.track.id).map(Count);
        let topic = self.options.prefix.track(&self.identity.camera, seen.track.id);
        let priority = (seen.behavior.threat.clamp(0.0, 1.0) * 100.0) as u8;
        if self.send(&message, topic, priority, now, out) {
            self.seq += 1;
            if self.identity.ground.calibrated {
                fuse(&mut self.fusion, &message, now);
            }
        }
    }

    fn send_status(&mut self, now: Time, out: &mut Vec<Action>) {
        self.last_status = Some(now);
        let message = self.online(now);
        let topic = self.options.prefix.status(&self.identity.camera);
        self.send(&message, topic, 0, now, out);
    }

    /// Encodes and gives out a message; whether it leaves.
    fn send<M: Encode>(
        &mut self,
        message: &M,
        topic: String,
        priority: u8,
        now: Time,
        out: &mut Vec<Action>,
    ) -> bool {
        match codec::encode(message, &mut self.buffer) {
            Ok(()) => {
                self.counters.sent[M::FAMILY as usize] += 1;
                out.push(Action::Send(envelope(M::FAMILY, topic, &self.buffer, priority)));
                true
            }
            Err(error) => {
                self.counters.unsendable += 1;
                if is_due(&mut self.unsendable_named[M::FAMILY as usize], now) {
                    out.push(Action::Unsendable(error));
                }
                false
            }
        }
    }

    fn offline(&self, now: Time) -> StatusMessage {
        StatusMessage {
            camera_id: self.identity.camera.clone(),
            state: Presence::Offline,
            version: Name::cut(&self.identity.version),
            boot: Millis(self.boot_ms()),
            timestamp: millis(now),
            encodings: List::default(),
            ground: None,
            footprint: None,
            clock: None,
            modes: None,
            counters: None,
            public_key: None,
        }
    }

    fn online(&self, now: Time) -> StatusMessage {
        let Ground { calibrated, footprint } = &self.identity.ground;
        let corners = |p: &Polygon| List::cut(p.corners().iter().map(|c| Reals([c.x, c.y])));
        let app = self.app_counters.iter().map(|(name, n)| (Name::cut(name), *n));
        let own = self.counters.entries().map(|(name, n)| (Name::cut(&format!("swarm_{name}")), n));
        let site = self.site_counters().map(|(name, n)| (Name::cut(name), n));
        let counted = app
            .chain(own)
            .chain(site)
            .filter(|(_, n)| *n > 0)
            .map(|(name, n)| (name, Count(n.min(COUNT_MAX))));
        StatusMessage {
            state: Presence::Online,
            encodings: List::cut([Name::cut("json")]),
            ground: Some(if *calibrated { GroundKind::Calibrated } else { GroundKind::Nominal }),
            footprint: footprint.as_ref().map(corners),
            // Timestamps leave as the system has them. Nobody measures how far off it is, so no
            // error is claimed.
            clock: Some(ClockStatus { offset_ms: Real(0.0), error_ms: None, source: Name::cut("none") }),
            modes: Some(List::cut(self.modes.iter().map(|m| Name::cut(m)))),
            counters: Some(Map::cut(counted)),
            ..self.offline(now)
        }
    }

    /// What the presence message says of the table of the site.
    fn site_counters(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let fusion::Counters { taken, late, early, repeated, unusable, over_limit, redone } =
            self.fusion.counters();
        let muted = self.fusion.cameras().iter().filter(|c| c.muted_ms.is_some()).count() as u64;
        [
            ("fusion_people", self.fusion.len() as u64),
            ("fusion_taken", taken),
            ("fusion_late", late),
            ("fusion_early", early),
            ("fusion_repeated", repeated),
            ("fusion_unusable", unusable),
            ("fusion_over_limit", over_limit),
            ("fusion_redone", redone),
            ("fusion_muted_cameras", muted),
        ]
        .into_iter()
    }

    /// What a large site changes about whom we listen to.
    fn subscribe(&mut self, out: &mut Vec<Action>) {
        let mut changes = Vec::new();
        self.neighbours.update(&self.peers, &self.options.prefix, &mut changes);
        out.extend(changes.into_iter().map(|change| match change {
            neighbours::Change::Begin(filter) => {
                Action::Subscribe { class: MessageClass::Track, filter, qos: Family::Track.qos() }
            }
            neighbours::Change::End(filter) => Action::Unsubscribe { filter },
        }));
    }

    fn delivery(&mut self, delivery: &Delivery, now: Time) -> Result<(), DecodeError> {
        let at = open::place(delivery, &self.options.prefix)?;
        if at.camera() == Some(self.identity.camera.as_str()) {
            // Not worth reading.
            self.counters.own += 1;
            return Ok(());
        }
        self.message(&Opened::read_at(delivery, at)?, now);
        Ok(())
    }

    fn message(&mut self, opened: &Opened, now: Time) {
        if opened.sender() == Some(&self.identity.camera) {
            self.counters.own += 1;
            return;
        }
        self.counters.received[opened.family() as usize] += 1;
        let Self { peers, fusion, neighbours, counters, changes, identity, .. } = self;
        let on = &mut Arrival { now, counters, changes };
        match &opened.message {
            Message::Track(m) => {
                peers.track(m, on);
                // Who assumes a ground of its own shares no metres; of the reference system nobody says so.
                let shares = peers.get(&m.camera_id).is_none_or(|p| p.status.is_none() || p.is_calibrated());
                if identity.ground.calibrated && shares {
                    fuse(fusion, m, now);
                }
            }
            Message::Event(m) => peers.event(m, on),
            Message::Status(m) if !neighbours.cares(m, peers) => on.counters.far_presence += 1,
            Message::Status(m) => {
                let footprint = footprint_of(m);
                if m.state == Presence::Online && footprint.is_some() {
                    fusion.set_footprint(&m.camera_id, footprint, epoch_ms(now));
                }
                peers.status(m.clone(), on);
            }
            Message::Weights(m) => peers.sign_of_life(&m.camera_id, on),
            // The reference system does not name the sender.
            Message::Consensus(m) => {
                if let Some(camera) = &m.camera_id {
                    peers.sign_of_life(camera, on);
                }
            }
        }
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

fn envelope(family: Family, topic: String, payload: &[u8], priority: u8) -> Envelope {
    Envelope { priority, ..Envelope::new(family.class(), topic, Bytes::copy_from_slice(payload)) }
}
