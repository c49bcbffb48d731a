//! What leaves: tracks, presence, and whatever else the parts of the engine want said, encoded and signed.

use bytes::Bytes;

use super::{Action, Engine, epoch_ms, fuse, is_due};
use crate::base::Time;
use crate::model::{ContentType, Envelope, MessageClass, Scene, SceneTrack, Sighting};
use crate::swarm::codec::{self, Encode, EncodeError};
use crate::swarm::encodings::Encoding;
use crate::swarm::message::TrackMessage;
use crate::swarm::presence;
use crate::swarm::publish::track_message;
use crate::swarm::topic::Family;
use crate::swarm::wire::Count;

impl Engine {
    /// What the broker says for us when the connection breaks without a goodbye: without a time, which is not known
    /// beforehand. `now` is that of its signature.
    pub fn will(&self, now: Time) -> Result<Envelope, EncodeError> {
        self.offline(None, now)
    }

    fn offline(&self, said: Option<Time>, now: Time) -> Result<Envelope, EncodeError> {
        let mut buffer = Vec::new();
        codec::encode(&presence::offline(&self.identity, said), &mut buffer)?;
        let topic = self.options.prefix.status(&self.identity.camera);
        let mut envelope = envelope(Family::Status, topic, &buffer, 0);
        self.sign(Family::Status, &mut envelope, now);
        Ok(envelope)
    }

    fn sign(&self, family: Family, envelope: &mut Envelope, now: Time) {
        envelope.user_properties.extend(self.trust.sign(family, &envelope.topic, &envelope.payload, now));
    }

    /// The last message of a process that ends in order.
    pub fn farewell(&mut self, now: Time) -> Result<Envelope, EncodeError> {
        let farewell = self.offline(Some(now), now)?;
        self.counters.sent[Family::Status as usize] += 1;
        Ok(farewell)
    }

    /// Publishes sightings of a scene. They are fused first: who is new to this camera and known to others leaves
    /// under their number at once.
    pub(super) fn send_tracks(&mut self, scene: &Scene, chosen: &[usize], now: Time, out: &mut Vec<Action>) {
        let camera = &self.identity.camera;
        let words = chosen.iter().map(|&i| {
            let sighting = &scene.sightings[i];
            let seen = scene.track(sighting.track);
            (track_message(camera, sighting, seen, scene.time), seen.map_or(0, priority))
        });
        let words: Vec<_> = words.collect();
        if self.identity.ground.calibrated {
            for (message, _) in &words {
                fuse(&mut self.fusion, message, now);
            }
        }
        self.fusion.step(epoch_ms(now));
        let first = out.len();
        for (message, priority) in words {
            self.send_track(message, priority, now, out);
        }
        self.sign_tracks(out.get_mut(first..).unwrap_or_default(), now);
    }

    /// Signs the tracks among these actions together.
    fn sign_tracks(&self, actions: &mut [Action], now: Time) {
        let tracks = actions.iter_mut().filter_map(|action| match action {
            Action::Send(envelope) if envelope.class == MessageClass::Track => Some(envelope),
            _ => None,
        });
        self.trust.sign_tracks(tracks, now);
    }

    /// Publishes the last word of a track.
    pub(super) fn send_end(
        &mut self,
        last: &Sighting,
        seen: Option<&SceneTrack>,
        time: Time,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let message = track_message(&self.identity.camera, last, seen, time);
        let first = out.len();
        self.send_track(TrackMessage { ended: true, ..message }, seen.map_or(0, priority), now, out);
        self.sign_tracks(out.get_mut(first..).unwrap_or_default(), now);
    }

    /// Publishes a track; its scene is signed as a whole.
    fn send_track(&mut self, mut message: TrackMessage, priority: u8, now: Time, out: &mut Vec<Action>) {
        let (camera, track_id) = (&self.identity.camera, message.track_id.0);
        message.seq = Some(Count(self.seq + 1));
        message.global_id = self.fusion.name_of(camera, track_id).map(Count);
        let topic = self.options.prefix.track(camera, track_id);
        self.seq += u64::from(self.send(&message, topic, priority, now, out));
    }

    pub(super) fn send_status(&mut self, now: Time, out: &mut Vec<Action>) {
        self.last_status = Some(now);
        let heard = self.clocks.echoes(|camera| self.neighbours.hears(camera.as_str()), now);
        let message = presence::online(
            &presence::Told {
                identity: &self.identity,
                modes: self.modes,
                app_counters: &self.app_counters,
                counters: &self.counters,
                fusion: &self.fusion,
                consensus: &self.consensus,
                trust: &self.trust,
                participants: &self.participants,
                clock: self.clock,
                adopted: self.adopted,
                clocks: &self.clocks,
                heard: heard.clone(),
                off: self.clocks.off(&|camera| self.fusion.counts(camera), now),
            },
            now,
        );
        let topic = self.options.prefix.status(&self.identity.camera);
        if self.send(&message, topic, 0, now, out) {
            self.clocks.sent(&heard, now);
        }
    }

    /// Encodes, signs and gives out a message; whether it leaves. Tracks are signed later, by the scene.
    pub(super) fn send<M: Encode>(
        &mut self,
        message: &M,
        topic: String,
        priority: u8,
        now: Time,
        out: &mut Vec<Action>,
    ) -> bool {
        match self.encode(message, now) {
            Ok(content_type) => {
                self.counters.sent[M::FAMILY as usize] += 1;
                let mut envelope = envelope(M::FAMILY, topic, &self.buffer, priority);
                envelope.content_type = content_type;
                if M::FAMILY != Family::Track {
                    self.sign(M::FAMILY, &mut envelope, now);
                }
                out.push(Action::Send(envelope));
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

    /// Writes a message into the buffer, in the encoding in which it leaves.
    fn encode<M: Encode>(&mut self, message: &M, now: Time) -> Result<ContentType, EncodeError> {
        let packed = match self.options.encoding {
            Encoding::Json => false,
            Encoding::MsgPack => self.readers.all_read(self.options.peers.stale_after, now),
            Encoding::MsgPackAlways => true,
        };
        if packed && codec::encode_msgpack(message, &mut self.buffer)? {
            return Ok(ContentType::MsgPack);
        }
        codec::encode(message, &mut self.buffer)?;
        Ok(ContentType::Json)
    }
}

/// The more a track deserves attention, the sooner it leaves.
fn priority(seen: &SceneTrack) -> u8 {
    (seen.behavior.threat.clamp(0.0, 1.0) * 100.0) as u8
}

fn envelope(family: Family, topic: String, payload: &[u8], priority: u8) -> Envelope {
    Envelope { priority, ..Envelope::new(family.class(), topic, Bytes::copy_from_slice(payload)) }
}
