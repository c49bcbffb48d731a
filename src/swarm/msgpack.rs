//! MessagePack, the second encoding: one array for each message.
//!
//! Element 0 is the number of the format, [`FORMAT`]; then come the values of the message's keys in their
//! order, nil for a key that is missing. Structs inside are arrays in the order of their keys, reals are single
//! precision and read back to three decimals, so that both encodings of a message are read as the same message (up to
//! 8 km from the origin, where single precision ends to tell millimetres). A longer array than we know is
//! accepted: new keys are added at the end. A shorter one lacks the last keys.
//!
//! The order is that of the structs in `message`, by which they are read; [`Row`] is how they are written. Presence
//! has no such form: it tells who reads what, and so is always JSON. Alerts have none either: their readers are people
//! and their programs.

use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, DeserializeSeed, IgnoredAny, SeqAccess};
use serde::{Deserialize, Serialize};

use super::bounded::{List, Object};
use super::message::{
    AlertMessage, ConsensusMessage, EVENT_CLAIMS_MAX, EVENT_TRACKS_MAX, EventKey, EventMessage,
    INTERVENTIONS_MAX, Intervention, Name, Position, Rule, StatusMessage, TrackMessage, WeightsMessage,
};
use super::wire::{Fraction, Id, Millis, Outcome};
use crate::model::{CameraId, EventState};

/// The number of the format.
const FORMAT: u8 = 1;
/// Deeper than any message nests.
const DEPTH_MAX: usize = 16;

/// A message as the values of its keys, in their order.
pub trait Row {
    /// The format's number and the values; none for a message that has no such form.
    fn row(&self) -> Option<impl Serialize>;
}

impl Row for TrackMessage {
    fn row(&self) -> Option<impl Serialize> {
        Some((
            FORMAT,
            &self.camera_id,
            self.track_id,
            self.global_position,
            self.velocity,
            self.class,
            self.confidence,
            self.timestamp,
            self.behaviors.bits(),
            self.threat_score,
            self.seq,
            self.cov,
            self.global_id,
            self.ended,
        ))
    }
}

/// An event's row: serde has no tuples of 17 elements, so this is a tuple struct, which is an array as well.
#[derive(Serialize)]
struct EventRow<'a>(
    u8,
    &'a CameraId,
    Id,
    u8,
    Position,
    Id,
    Fraction,
    u8,
    Millis,
    Millis,
    &'a Option<EventKey>,
    Option<EventState>,
    &'a Option<Name>,
    &'a List<Id, EVENT_TRACKS_MAX>,
    &'a Option<Rule>,
    &'a List<Object<Intervention>, INTERVENTIONS_MAX>,
    &'a List<EventKey, EVENT_CLAIMS_MAX>,
);

impl Row for EventMessage {
    fn row(&self) -> Option<impl Serialize> {
        Some(EventRow(
            FORMAT,
            &self.camera_id,
            self.event_id,
            self.event_type.number(),
            self.position,
            self.track_id,
            self.probability,
            self.severity.number(),
            self.predicted_time,
            self.timestamp,
            &self.key,
            self.state,
            &self.zone,
            &self.tracks,
            &self.rule,
            &self.interventions,
            &self.claims,
        ))
    }
}

impl Row for WeightsMessage {
    fn row(&self) -> Option<impl Serialize> {
        Some((
            FORMAT,
            &self.camera_id,
            self.version,
            self.num_weights,
            self.timestamp,
            &self.weights,
            self.num_samples,
            &self.model,
            self.base_version,
        ))
    }
}

impl Row for ConsensusMessage {
    fn row(&self) -> Option<impl Serialize> {
        Some((
            FORMAT,
            self.event_id,
            &self.initiating_camera,
            self.num_confirming,
            &self.confirming_cameras,
            self.aggregated_confidence,
            self.timestamp,
            &self.camera_id,
            &self.key,
            self.verdict,
            &self.votes,
            &self.reason,
            Outcome(self.outcome),
            self.occurred,
        ))
    }
}

impl Row for StatusMessage {
    fn row(&self) -> Option<impl Serialize> {
        None::<()>
    }
}

impl Row for AlertMessage {
    fn row(&self) -> Option<impl Serialize> {
        None::<()>
    }
}

/// Writes a message at the end of `buffer`; whether it has such a form.
pub(super) fn write<M: Row>(message: &M, buffer: &mut Vec<u8>) -> Result<bool, rmp_serde::encode::Error> {
    match message.row() {
        Some(row) => rmp_serde::encode::write(buffer, &row).map(|()| true),
        None => Ok(false),
    }
}

/// Whether bytes begin as a message in MessagePack does; one in JSON does not.
pub(super) fn is_begun(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| matches!(first, 0x90..=0x9f | 0xdc))
}

/// Why bytes are no message.
pub(super) struct Unreadable {
    /// Which element, from 0; none when there are no elements.
    pub(super) element: Option<usize>,
    pub(super) error: rmp_serde::decode::Error,
}

/// Reads a message.
pub(super) fn read<M: for<'de> Deserialize<'de>>(payload: &[u8]) -> Result<M, Unreadable> {
    let none = |error| Unreadable { element: None, error };
    let syntax = |text: &str| none(rmp_serde::decode::Error::Uncategorized(text.to_owned()));
    let (length, rest) = match payload {
        [first @ 0x90..=0x9f, rest @ ..] => (usize::from(first & 0xf), rest),
        [0xdc, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return Err(syntax("not an array")),
    };
    let mut reader = rmp_serde::Deserializer::from_read_ref(rest);
    reader.set_max_depth(DEPTH_MAX);
    let mut elements = Elements { reader, left: length, at: 0 };
    let mut whole = || {
        match elements.next_element::<u8>()? {
            Some(FORMAT) => {}
            _ => return Err(de::Error::custom("invalid value: an unknown number of the format")),
        }
        let message = M::deserialize(SeqAccessDeserializer::new(&mut elements))?;
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(message)
    };
    let message = match whole() {
        Ok(message) => message,
        Err(error) => return Err(Unreadable { element: Some(elements.at.saturating_sub(1)), error }),
    };
    if IgnoredAny::deserialize(&mut elements.reader).is_ok() {
        return Err(syntax("more than one value"));
    }
    Ok(message)
}

type Reader<'de> = rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'de, [u8]>>;

/// The elements of the array, one after the other.
struct Elements<'de> {
    reader: Reader<'de>,
    left: usize,
    at: usize,
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = rmp_serde::decode::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.at += 1;
        seed.deserialize(&mut self.reader).map(Some)
    }
}
