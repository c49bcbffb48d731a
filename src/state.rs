//! The state board: one snapshot of the camera, written by its owners, read by every surface.
//!
//! Each part of a [`Snapshot`] has one owner. The capture and the perception thread, the pictures' conditions and the search
//! for the site's broker write their own cells; the tasks of swarm, control and fleet and the reload write theirs through
//! [`Board::write`]. [`Board::snapshot`] reads all of them at once. Reports, command results, presence, the fleet server's health and
//! the status line are functions of a snapshot, so that they agree. In particular [`Snapshot::modes`] is the only place where
//! the parts' modes come together.
//!
//! A part is the component's own status type: copies of them in `model` would have the same fields. Components do not import
//! this module. A part is at most one turn of its owner old.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

use crate::capture::{self, Capture};
use crate::control::Activity;
use crate::discovery::Standing;
use crate::link::{self, OutboxStatus};
use crate::model::{CameraId, Mode, Modes, Qos};
use crate::{fleet, pipeline};

/// A link's name and its status.
pub type NamedStatus = (Arc<str>, link::Status);

/// The figures of the perception thread since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Perception {
    /// Turns of its loop.
    pub turns: u64,
    /// Frames that became scenes.
    pub frames: u64,
    /// Frames that the detector refused.
    pub refused: u64,
    /// Time spent on frames, microseconds.
    pub busy_us: u64,
    /// Detections that the tracker left out.
    pub detections_left_out: u64,
    /// Tracks whose history was evicted.
    pub histories_evicted: u64,
    /// Possible events that were not followed.
    pub events_not_followed: u64,
    /// Detections in all frames.
    pub detections: u64,
    /// Detections of confirmed tracks.
    pub detections_tracked: u64,
    /// Confirmed tracks that ended.
    pub tracks_ended: u64,
    /// What keeps the camera from seeing, and what its figures give away.
    pub modes: Modes,
}

impl Perception {
    fn read(counters: &pipeline::Counters, conditions: Modes) -> Self {
        let counted = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let mut modes = conditions;
        modes.add(Mode::CalibrationDoubted, counters.calibration_doubted.load(Ordering::Relaxed));
        modes.add(Mode::VerifyUnavailable, counters.verify_unavailable.load(Ordering::Relaxed));
        Self {
            turns: counted(&counters.turns),
            frames: counted(&counters.frames),
            refused: counted(&counters.refused),
            busy_us: counted(&counters.busy_us),
            detections_left_out: counted(&counters.detections_left_out),
            histories_evicted: counted(&counters.histories_evicted),
            events_not_followed: counted(&counters.events_not_followed),
            detections: counted(&counters.detections),
            detections_tracked: counted(&counters.detections_tracked),
            tracks_ended: counted(&counters.tracks_ended),
            modes,
        }
    }

    /// Returns the mean time spent on a frame, milliseconds; none before the first.
    pub fn frame_ms(&self) -> Option<f64> {
        (self.frames > 0).then(|| self.busy_us as f64 / 1000.0 / self.frames as f64)
    }
}

/// The part of the swarm's task.
#[derive(Debug, Clone, Default)]
pub struct Swarm {
    /// Turns of its clock: a number that does not rise is a task that hangs.
    pub turns: u64,
    /// Tracks in the last scene.
    pub tracks: usize,
    /// Events of this camera that were predicted.
    pub predicted: u64,
    /// Events of this camera that occurred.
    pub occurred: u64,
    /// Events of this camera that were predicted and will not occur.
    pub retracted: u64,
    /// Incidents of the site that the cameras confirmed.
    pub confirmed: u64,
    /// Other cameras that are online.
    pub peers: usize,
    /// Tracks of other cameras.
    pub remote_tracks: usize,
    /// Messages of others that were refused.
    pub refused: u64,
    /// The modes of clock, keys, configuration and presence.
    pub modes: Modes,
    /// The links to the brokers.
    pub links: Vec<NamedStatus>,
    /// Messages that no link carries.
    pub unrouted: u64,
    /// The store of durable messages; none without a broker.
    pub outbox: Option<OutboxStatus>,
}

/// The part of the control task.
#[derive(Debug, Clone, Copy, Default)]
pub struct Control {
    /// What the camera is doing.
    pub activity: Activity,
    /// The modes of the control task's own connections.
    pub modes: Modes,
}

/// The part of the fleet task.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Fleet {
    /// Turns of the task's clock: a number that does not rise is a task that hangs.
    #[serde(skip)]
    pub turns: u64,
    /// The broker is connected.
    pub connected: bool,
    /// Another client connected with this connection's client id.
    pub client_id_taken: bool,
    /// What the broker does not offer.
    #[serde(skip)]
    pub limits: link::Limits,
    /// Its store, apart from the swarm's.
    #[serde(skip)]
    pub outbox: OutboxStatus,
    /// Messages that the server has not acknowledged yet.
    pub waiting: u64,
    /// Messages that were evicted.
    pub evicted: u64,
    /// The dialogue with the server.
    #[serde(flatten)]
    pub dialogue: fleet::Report,
}

/// What the tasks write.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// Owner: the swarm's task.
    pub swarm: Swarm,
    /// Owner: the control task.
    pub control: Control,
    /// Owner: the fleet task; none without a fleet server.
    pub fleet: Option<Fleet>,
    /// Owner: the reload. A configuration was taken back because its links failed to connect.
    pub rolled_back: bool,
}

/// A camera at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its id.
    pub camera: CameraId,
    /// Owner: the capture thread.
    pub capture: capture::Status,
    /// Owner: the perception thread.
    pub perception: Perception,
    /// Owner: the search for the site's broker.
    pub broker: Standing,
    /// Owner: the swarm's task.
    pub swarm: Swarm,
    /// Owner: the control task.
    pub control: Control,
    /// Owner: the fleet task; none without a fleet server.
    pub fleet: Option<Fleet>,
    /// Owner: the reload.
    pub rolled_back: bool,
}

/// See the module. Clones share it.
#[derive(Clone)]
pub struct Board {
    camera: CameraId,
    capture: Arc<Capture>,
    counters: Arc<pipeline::Counters>,
    conditions: watch::Receiver<Modes>,
    broker: watch::Receiver<Standing>,
    written: watch::Sender<Written>,
}

impl Board {
    /// A board that reads these cells.
    pub fn new(
        camera: CameraId,
        capture: Arc<Capture>,
        counters: Arc<pipeline::Counters>,
        conditions: watch::Receiver<Modes>,
        broker: watch::Receiver<Standing>,
    ) -> Self {
        Self { camera, capture, counters, conditions, broker, written: watch::Sender::default() }
    }

    /// Writes a part. Only its owner does.
    pub fn write(&self, write: impl FnOnce(&mut Written)) {
        self.written.send_modify(write);
    }

    /// Returns what the tasks wrote, without a copy. Hold it for a moment only: it keeps the owners from writing.
    pub fn written(&self) -> watch::Ref<'_, Written> {
        self.written.borrow()
    }

    /// Returns the camera as it is now.
    pub fn snapshot(&self) -> Snapshot {
        let Written { swarm, control, fleet, rolled_back } = self.written.borrow().clone();
        Snapshot {
            camera: self.camera.clone(),
            capture: self.capture.status(),
            perception: Perception::read(&self.counters, *self.conditions.borrow()),
            broker: self.broker.borrow().clone(),
            swarm,
            control,
            fleet,
            rolled_back,
        }
    }
}

impl Snapshot {
    /// Returns all modes in force.
    pub fn modes(&self) -> Modes {
        let links = || self.swarm.links.iter().map(|(_, link)| link);
        // The fleet server's messages have an outbox of their own.
        let outboxes = || self.swarm.outbox.iter().chain(self.fleet.iter().map(|fleet| &fleet.outbox));
        let state = &self.capture.state;
        let is_down = matches!(state, capture::State::Restarting { .. } | capture::State::Panicked);
        let own: Modes = [
            (is_down, Mode::CaptureDown),
            (matches!(state, capture::State::Stalled { .. }), Mode::CaptureStalled),
            (*state == capture::State::Paused, Mode::Paused),
            (self.fleet.as_ref().is_some_and(|fleet| fleet.client_id_taken), Mode::ClientIdTaken),
            (links().any(|link| link.subscriptions_refused > 0), Mode::SubscriptionsRefused),
            (links().any(link::Status::is_slow), Mode::LinkSlow),
            (links().any(|link| link.state != link::State::Connected), Mode::BrokerDown),
            (outboxes().any(|outbox| outbox.lost), Mode::StateLost),
            (outboxes().any(|outbox| outbox.failure.is_some()), Mode::OutboxInMemory),
            (outboxes().any(|outbox| outbox.slow), Mode::OutboxSlow),
            (outboxes().any(|outbox| outbox.full), Mode::OutboxFull),
            (self.rolled_back, Mode::ConfigRolledBack),
            (self.broker.searching, Mode::BrokerSearching),
        ]
        .into_iter()
        .collect();
        links()
            .map(link_modes)
            .chain(self.fleet.iter().map(|fleet| limited(&fleet.limits)))
            .chain([self.perception.modes, self.swarm.modes, self.control.modes])
            .fold(own, Modes::union)
    }

    /// Returns the modes as a command's sender sees them: whether the camera is paused follows from its activity, which is
    /// known at once.
    pub fn control_modes(&self) -> Modes {
        let modes = self.modes().without(Mode::Paused.into());
        match self.control.activity {
            Activity::Paused => modes.without(Mode::SceneLearning.into()).union(Mode::Paused.into()),
            _ => modes,
        }
    }

    /// Returns whether a broker of the swarm is connected.
    pub fn is_linked(&self) -> bool {
        self.swarm.links.iter().any(|(_, link)| link.state == link::State::Connected)
    }

    /// Returns the line for the service manager.
    pub fn status_line(&self) -> String {
        let modes = self.modes();
        let separator = if modes.is_empty() { "" } else { "; " };
        let (Swarm { tracks, peers, .. }, rate_hz) = (&self.swarm, self.capture.rate_hz);
        format!("{rate_hz:.1} frames/s, {tracks} tracks, {peers} peers{separator}{modes}")
    }

    /// Returns the counters for the presence.
    pub fn counters(&self) -> [(&'static str, u64); 39] {
        let Self { capture, perception, broker, swarm, .. } = self;
        let sum =
            |of: fn(&link::Counters) -> u64| swarm.links.iter().map(|(_, link)| of(&link.counters)).sum();
        let stored = swarm.outbox.as_ref().map(|outbox| outbox.counters).unwrap_or_default();
        let disk = swarm.outbox.as_ref().map(|outbox| outbox.disk).unwrap_or_default();
        [
            ("peers", swarm.peers as u64),
            ("remote_tracks", swarm.remote_tracks as u64),
            ("frames", perception.frames),
            ("frames_dropped", capture.dropped),
            ("frames_refused", perception.refused),
            ("capture_restarts", capture.restarts),
            ("link_connects", sum(|link| link.connects)),
            ("link_sent", sum(|link| link.sent)),
            ("link_received", sum(|link| link.received)),
            ("link_dropped", sum(|link| link.dropped.total())),
            ("link_expired", sum(|link| link.expired.total())),
            ("link_received_dropped", sum(|link| link.received_dropped)),
            ("link_refused_too_large", sum(|link| link.refused_too_large)),
            ("link_refused", sum(|link| link.refused)),
            ("link_rejected", sum(|link| link.rejected)),
            ("link_requeued", sum(|link| link.requeued)),
            ("link_malformed", sum(|link| link.malformed)),
            ("link_subscriptions_refused", sum(|link| link.subscriptions_refused)),
            ("link_unrouted", swarm.unrouted),
            ("outbox_queued", swarm.outbox.as_ref().map_or(0, |outbox| outbox.queued.total())),
            ("outbox_committed", stored.committed),
            ("outbox_settled", stored.settled),
            ("outbox_given_up", stored.given_up),
            ("outbox_evicted", stored.evicted.total()),
            ("outbox_expired", stored.expired),
            ("outbox_orphaned", stored.orphaned),
            ("outbox_unreadable", stored.unreadable),
            ("outbox_set_aside", disk.set_aside),
            ("outbox_torn_bytes", disk.torn_bytes),
            ("outbox_damaged_bytes", disk.damaged_bytes),
            ("discovery_peers", broker.peers as u64),
            ("discovery_changes", broker.counters.changes),
            ("discovery_terms", broker.counters.terms),
            ("discovery_other_sites", broker.counters.other_sites),
            ("discovery_same_id", broker.counters.same_id),
            ("discovery_beyond_limit", broker.counters.beyond_limit),
            ("detections_left_out", perception.detections_left_out),
            ("histories_evicted", perception.histories_evicted),
            ("events_not_followed", perception.events_not_followed),
        ]
    }
}

/// Returns the modes of one connection: what its broker does not offer, and whether another client has its id.
pub fn link_modes(link: &link::Status) -> Modes {
    let mut modes = limited(&link.limits);
    modes.add(Mode::ClientIdTaken, is_taken(link));
    modes
}

fn limited(limits: &link::Limits) -> Modes {
    [
        (limits.fallback.is_some(), Mode::OldProtocol),
        (!limits.retain, Mode::RetainUnavailable),
        (limits.qos_max < Qos::ExactlyOnce, Mode::QosLimited),
        (!limits.will, Mode::WillUnavailable),
        (!limits.wildcards, Mode::WildcardsUnavailable),
        (limits.is_packet_small(), Mode::PacketsLimited),
    ]
    .into_iter()
    .collect()
}

/// Returns whether another client has this connection's client id at present.
pub fn is_taken(link: &link::Status) -> bool {
    let taken = matches!(link.last_error, Some(link::Error::Ended { refusal: link::Refusal::TakenOver, .. }));
    taken && link.state != link::State::Connected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SystemClock;
    use crate::link::{Limits, Outbox, OutboxOptions};

    fn snapshot() -> Snapshot {
        Snapshot {
            camera: CameraId::parse("gate").unwrap(),
            capture: capture::Status {
                state: capture::State::Running,
                frames: 20,
                dropped: 0,
                restarts: 0,
                rate_hz: 9.96,
            },
            perception: Perception::default(),
            broker: Standing::default(),
            swarm: Swarm { tracks: 2, peers: 1, ..Swarm::default() },
            control: Control { activity: Activity::Running, modes: Modes::default() },
            fleet: None,
            rolled_back: false,
        }
    }

    #[test]
    fn faults_of_the_fleets_outbox_and_connection_are_modes_of_the_camera() {
        let dir = tempfile::tempdir().unwrap();
        let options = OutboxOptions::new(dir.path().join("outbox"));
        let sound = Outbox::open(&options, &["fleet"], Arc::new(SystemClock::new())).status();
        let healthy = Fleet {
            turns: 1,
            connected: true,
            client_id_taken: false,
            limits: Limits::default(),
            outbox: sound.clone(),
            waiting: 0,
            evicted: 0,
            dialogue: fleet::Report::default(),
        };
        let of = |fleet: Fleet| Snapshot { fleet: Some(fleet), ..snapshot() }.modes();
        let with = |outbox| of(Fleet { outbox, ..healthy.clone() });
        assert!(of(healthy.clone()).is_empty());
        assert_eq!(with(OutboxStatus { slow: true, ..sound.clone() }), Mode::OutboxSlow.into());
        assert_eq!(with(OutboxStatus { full: true, ..sound.clone() }), Mode::OutboxFull.into());
        assert_eq!(with(OutboxStatus { lost: true, ..sound.clone() }), Mode::StateLost.into());
        assert_eq!(with(OutboxStatus { failure: Some(String::new()), ..sound }), Mode::OutboxInMemory.into());
        assert_eq!(of(Fleet { client_id_taken: true, ..healthy.clone() }), Mode::ClientIdTaken.into());
        let mut limited = healthy;
        limited.limits.qos_max = Qos::AtLeastOnce;
        assert_eq!(of(limited), Mode::QosLimited.into());
    }

    #[test]
    fn the_modes_of_all_parts_come_together_and_a_command_sees_the_pause_at_once() {
        let mut state = snapshot();
        state.capture.state = capture::State::Paused;
        state.perception.modes = Mode::SceneLearning.into();
        state.swarm.modes = Mode::Uncalibrated.into();
        state.control.modes = Mode::OldProtocol.into();
        (state.rolled_back, state.broker.searching) = (true, true);
        let rest = Modes::of(&[
            Mode::Uncalibrated,
            Mode::OldProtocol,
            Mode::ConfigRolledBack,
            Mode::BrokerSearching,
        ]);
        let learning = rest.union(Mode::SceneLearning.into());
        assert_eq!(state.modes(), learning.union(Mode::Paused.into()));
        assert_eq!(state.control_modes(), learning, "frames are taken again");
        state.control.activity = Activity::Paused;
        assert_eq!(state.control_modes(), rest.union(Mode::Paused.into()));
    }

    #[test]
    fn the_status_line_names_the_modes_and_nothing_more_without_them() {
        let mut state = snapshot();
        assert_eq!(state.status_line(), "10.0 frames/s, 2 tracks, 1 peers");
        state.swarm.modes = Modes::of(&[Mode::Uncalibrated, Mode::StateUnsaved]);
        assert_eq!(state.status_line(), "10.0 frames/s, 2 tracks, 1 peers; state_unsaved, uncalibrated");
    }
}
