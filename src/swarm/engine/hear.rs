//! What comes in: read, checked, and given to the parts that it concerns.

use super::{Action, Engine, fuse, is_due};
use crate::base::Time;
use crate::model::{CameraId, Delivery};
use crate::swarm::bounded::{List, Map};
use crate::swarm::codec::{DecodeError, Reason};
use crate::swarm::consensus;
use crate::swarm::message::{ConsensusMessage, Message, Presence, TrackMessage};
use crate::swarm::open;
use crate::swarm::participants::{Participants, Rank};
use crate::swarm::peers::Arrival;
use crate::swarm::topic::Family;
use crate::swarm::trust::{self, Trust};

impl Engine {
    /// Counts a message that was refused.
    pub(super) fn refuse(&mut self, heard: Result<(), DecodeError>, now: Time, out: &mut Vec<Action>) {
        let Err(error) = heard else { return };
        let reason = error.reason();
        self.counters.refused[reason as usize] += 1;
        if is_due(&mut self.refused_named[reason as usize], now) {
            out.push(Action::Refused(error));
        }
    }

    /// Reads a message and takes it.
    pub(super) fn delivery(
        &mut self,
        delivery: &Delivery,
        now: Time,
        out: &mut Vec<Action>,
    ) -> Result<(), DecodeError> {
        let at = open::place(delivery, &self.options.prefix)?;
        let Some(camera) = at.sender() else {
            // Only the payload may tell whose it is.
            return self.hear(&open::read_at(delivery, at)?, delivery, now, out);
        };
        if !self.is_wanted(at.family(), camera) {
            // Not worth reading.
            return Ok(());
        }
        // The payload names the camera that the topic names.
        self.take(&open::read_at(delivery, at)?, delivery, now, out)
    }

    /// Takes a message that was read.
    pub(super) fn hear(
        &mut self,
        message: &Message,
        delivery: &Delivery,
        now: Time,
        out: &mut Vec<Action>,
    ) -> Result<(), DecodeError> {
        match open::sender(message) {
            Some(camera) if !self.is_wanted(open::family(message), camera) => Ok(()),
            _ => self.take(message, delivery, now, out),
        }
    }

    /// Takes a message that may concern us, if it is whose it says.
    fn take(
        &mut self,
        message: &Message,
        delivery: &Delivery,
        now: Time,
        out: &mut Vec<Action>,
    ) -> Result<(), DecodeError> {
        let family = open::family(message);
        let published = match message {
            Message::Status(m) if m.state == Presence::Online && !delivery.retained => Some(&**m),
            _ => None,
        };
        // Only a signature bears a time that is checked here.
        let signer = open::sender(message).filter(|_| !delivery.user_properties.is_empty());
        let offset = signer.and_then(|camera| self.clocks.offset(camera, now));
        let clocks = trust::Clocks {
            ahead_ms: offset.map_or(0, |offset| offset.offset_ms),
            echo_ns: published.and_then(|m| self.clocks.echo_ns(m, &self.identity.camera)),
        };
        let topic = delivery.topic.as_str();
        let change = match self.trust.verify(message, family, delivery, clocks, now) {
            Ok(change) => change,
            Err((reason, detail)) => {
                if let Some(m) = published.filter(|_| reason == Reason::Replayed) {
                    self.clocks.note_refused(m, now);
                }
                return Err(DecodeError::new(reason, topic, "signature", detail));
            }
        };
        if let Some((camera, change)) = change {
            self.note_trust(camera, change, out);
        }
        self.counters.received[family as usize] += 1;
        self.message(message, now, out);
        // On a large site the presence of cameras far away is not kept, and neither are their clocks.
        if let Some(m) = published.filter(|m| self.peers.get(&m.camera_id).is_some()) {
            self.exchange(m, now);
        }
        Ok(())
    }

    /// Whether it may concern us: it is no message of ours that comes back, and no track of a camera that is not
    /// listened to. (Such a one was on its way when we stopped, or the broker keeps a subscription of before
    /// this process began.)
    fn is_wanted<Name>(&mut self, family: Family, camera: &Name) -> bool
    where
        CameraId: PartialEq<Name>,
        Name: AsRef<str> + ?Sized,
    {
        if self.identity.camera == *camera {
            self.counters.own += 1;
            return false;
        }
        if family == Family::Track && !self.neighbours.hears(camera.as_ref()) {
            self.counters.far_tracks += 1;
            self.neighbours.note_stray(camera.as_ref());
            return false;
        }
        true
    }

    fn message(&mut self, message: &Message, now: Time, out: &mut Vec<Action>) {
        let introduced = || {
            let sender = open::sender(message).and_then(|camera| self.peers.get(camera));
            sender.is_some_and(|peer| peer.status.is_some())
        };
        self.readers.hear(message, introduced, now);
        if let Message::Track(m) = message {
            return self.track(m, now, out);
        }
        let Self {
            peers,
            fusion,
            neighbours,
            consensus,
            counters,
            changes,
            identity,
            trust,
            participants,
            ..
        } = self;
        let rank = |camera: &CameraId| rank(camera, trust, participants);
        let on = &mut Arrival { now, counters, changes, rank: &rank };
        match message {
            Message::Track(_) => {}
            Message::Event(m)
                if !neighbours.may_concern(m.position.point())
                    && !consensus.knows(&m.camera_id, m.event_id.0) =>
            {
                on.counters.far_events += 1;
            }
            Message::Event(m) => {
                // On our own clock.
                let ahead_ms =
                    fusion.ahead_ms(&m.camera_id).saturating_sub(fusion.ahead_ms(&identity.camera));
                peers.event(m, ahead_ms, on);
                self.consult(consensus::Input::Event(m), now, out);
            }
            Message::Status(m) if !neighbours.cares(m, peers) => on.counters.far_presence += 1,
            Message::Status(m) => {
                peers.status(m, on);
                self.watch(&m.camera_id, now);
            }
            Message::Weights(m) => peers.sign_of_life(&m.camera_id, on),
            Message::Consensus(m)
                if !neighbours.hears(m.initiating_camera.as_str())
                    && !consensus.knows(&m.initiating_camera, m.event_id.0) =>
            {
                on.counters.far_events += 1;
            }
            Message::Consensus(m) => {
                // The reference system does not name the sender.
                if let Some(camera) = &m.camera_id {
                    peers.sign_of_life(camera, on);
                }
                let own_words = own_words(m, trust);
                self.consult(consensus::Input::Vote(own_words.as_ref().unwrap_or(m)), now, out);
            }
            Message::Alert(m)
                if !neighbours.may_concern(m.position.point())
                    && !consensus.knows(&m.key.camera, m.key.event_id) =>
            {
                on.counters.far_events += 1;
            }
            Message::Alert(m) => {
                peers.sign_of_life(&m.published_by, on);
                self.consult(consensus::Input::Alert(m), now, out);
            }
        }
    }

    /// Takes a track, if it can be what it says.
    fn track(&mut self, m: &TrackMessage, now: Time, out: &mut Vec<Action>) {
        let Self { peers, fusion, counters, changes, identity, trust, participants, .. } = self;
        let peer = peers.get(&m.camera_id);
        // Who assumes a ground of its own shares no metres; of the reference system nobody says so.
        let shares = peer.is_none_or(|p| p.status.is_none() || p.is_calibrated());
        let judgement = trust.judge(m, peer.and_then(|p| p.footprint.as_ref()), now);
        if judgement.can_be {
            let rank = |camera: &CameraId| rank(camera, trust, participants);
            peers.track(m, &mut Arrival { now, counters, changes, rank: &rank });
            if identity.ground.calibrated && shares {
                fuse(fusion, m, now);
            }
        }
        if judgement.is_muted {
            fusion.mute(&m.camera_id, true);
        }
        if let Some(change) = judgement.change {
            self.note_trust(m.camera_id.clone(), change, out);
        }
    }
}

/// A camera whose key the configuration names ranks above all others.
fn rank(camera: &CameraId, trust: &Trust, participants: &Participants) -> Rank {
    if trust.is_named(camera) { Rank { counts: true, evidence: i32::MAX } } else { participants.rank(camera) }
}

/// The message without the votes that it reports of cameras that sign: only they can sign their votes. None where it
/// reports no such vote.
fn own_words(m: &ConsensusMessage, trust: &Trust) -> Option<ConsensusMessage> {
    let counts = |camera: &CameraId| Some(camera) == m.camera_id.as_ref() || !trust.is_pinned(camera);
    let votes = || m.votes.iter().flat_map(|votes| votes.iter());
    if m.confirming_cameras.iter().all(counts) && votes().all(|(camera, _)| counts(camera)) {
        return None;
    }
    let confirming = m.confirming_cameras.iter().filter(|camera| counts(camera)).cloned();
    let left = votes().filter(|(camera, _)| counts(camera)).map(|(camera, vote)| (camera.clone(), *vote));
    Some(ConsensusMessage {
        confirming_cameras: List::cut(confirming),
        votes: m.votes.as_ref().map(|_| Map::cut(left)),
        ..m.clone()
    })
}
