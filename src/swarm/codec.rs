//! Swarm messages to bytes and back.
//!
//! Encoding writes compact JSON in the contract's key order, or `MessagePack` (`msgpack`). It refuses what the
//! contract forbids (a number that is not finite, an id of 0), so that whatever leaves us can be read again.
//!
//! Decoding is one typed pass without a tree in between. What is checked, in this order: the size
//! (before a byte is parsed), UTF-8 and JSON, or `MessagePack`, each key's type and range, that counts are the length of
//! their lists, and that the topic and the payload name the same camera and number. The first fault
//! refuses the message with a [`Reason`] to count and an error that names topic, key and position.
//! Memory for one message is bounded by [`size_max`] and the limits in `message`; nesting by
//! `serde_json` (128 levels of known keys; unknown ones are skipped without recursion).

use serde::{Deserialize, Serialize};

use super::message::{
    AlertMessage, ConsensusMessage, EventKey, EventMessage, Message, StatusMessage, TrackMessage,
    WEIGHTS_MAX, WeightsMessage,
};
use super::msgpack::{self, Row};
use super::topic::{Family, Topic};
use super::wire;
use crate::base::ErrorKind;
use crate::model::CameraId;

/// Largest payload that is parsed, in bytes; an event with every limit used takes about a third.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Largest payload of a weights message, in bytes: 16 for each weight (a float32 in its shortest form
/// and a comma) and the other keys. Below the 1 MiB packets that the link and the embedded broker
/// take by default, with room for the topic, so that what may be sent also arrives.
pub const WEIGHTS_BYTES_MAX: usize = 16 * WEIGHTS_MAX + 4096;
/// Characters of foreign text in an error.
const QUOTED_MAX: usize = 200;

/// Why a message is refused; the name is that of its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The topic is none of the swarm's.
    BadTopic,
    /// The broker's copy of a message that is only true when it is fresh.
    Retained,
    /// An encoding that is not read.
    UnsupportedEncoding,
    /// More bytes than a message of its family may have.
    TooLarge,
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON, or more than one value.
    NotJson,
    /// Not `MessagePack` as it is written here, or more than one value.
    NotMsgPack,
    /// A value of the wrong type, `null` included.
    WrongType,
    /// A key of the reference format is missing.
    MissingKey,
    /// A known key stands there twice.
    DuplicateKey,
    /// A value, a text's or a list's length outside its limits.
    OutOfRange,
    /// A count that is not the length of its list.
    CountMismatch,
    /// The payload names another camera or number than the topic.
    IdentityMismatch,
    /// Not signed, by a camera that signs or where only signed messages are believed.
    Unsigned,
    /// The signature is not of this message.
    BadSignature,
    /// A key that is not the camera's.
    ForeignKey,
    /// Signed too long ago, or in the future.
    Replayed,
}

impl Reason {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 17] = [
        Self::BadTopic,
        Self::Retained,
        Self::UnsupportedEncoding,
        Self::TooLarge,
        Self::NotUtf8,
        Self::NotJson,
        Self::NotMsgPack,
        Self::WrongType,
        Self::MissingKey,
        Self::DuplicateKey,
        Self::OutOfRange,
        Self::CountMismatch,
        Self::IdentityMismatch,
        Self::Unsigned,
        Self::BadSignature,
        Self::ForeignKey,
        Self::Replayed,
    ];

    /// The counter's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadTopic => "bad_topic",
            Self::Retained => "retained",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::TooLarge => "too_large",
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::NotMsgPack => "not_msgpack",
            Self::WrongType => "wrong_type",
            Self::MissingKey => "missing_key",
            Self::DuplicateKey => "duplicate_key",
            Self::OutOfRange => "out_of_range",
            Self::CountMismatch => "count_mismatch",
            Self::IdentityMismatch => "identity_mismatch",
            Self::Unsigned => "unsigned",
            Self::BadSignature => "bad_signature",
            Self::ForeignKey => "foreign_key",
            Self::Replayed => "replayed",
        }
    }
}

/// A message that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("swarm message on {topic:?} refused: {}{}: {detail}", reason.as_str(), At(key))]
pub struct DecodeError {
    reason: Reason,
    topic: String,
    key: String,
    detail: String,
}

struct At<'a>(&'a str);

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " at {}", self.0) }
    }
}

impl DecodeError {
    pub(super) fn new(reason: Reason, topic: &str, key: &str, detail: &str) -> Self {
        let cut = |text: &str| text[..text.floor_char_boundary(QUOTED_MAX)].to_owned();
        Self { reason, topic: cut(topic), key: cut(key), detail: cut(detail) }
    }

    /// The reason.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The path of the key at fault; empty when the message is wrong as a whole.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Always somebody else's fault.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::BadInput
    }
}

/// A message of ours that breaks the contract, and so did not leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("swarm {} message not sent: {detail}", family.as_str())]
pub struct EncodeError {
    family: Family,
    detail: String,
}

impl EncodeError {
    /// Always our own fault.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Bug
    }
}

/// Largest payload of a family, in bytes.
pub fn size_max(family: Family) -> usize {
    if family == Family::Weights { WEIGHTS_BYTES_MAX } else { PAYLOAD_BYTES_MAX }
}

/// A message that can be written.
pub trait Encode: Serialize + Row {
    /// Its family.
    const FAMILY: Family;
}

impl Encode for TrackMessage {
    const FAMILY: Family = Family::Track;
}
impl Encode for EventMessage {
    const FAMILY: Family = Family::Event;
}
impl Encode for WeightsMessage {
    const FAMILY: Family = Family::Weights;
}
impl Encode for ConsensusMessage {
    const FAMILY: Family = Family::Consensus;
}
impl Encode for StatusMessage {
    const FAMILY: Family = Family::Status;
}
impl Encode for AlertMessage {
    const FAMILY: Family = Family::Alert;
}

/// Writes a message as compact JSON into `buffer`, which is emptied first.
pub fn encode<M: Encode>(message: &M, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
    buffer.clear();
    serde_json::to_writer(buffer, message)
        .map_err(|e| EncodeError { family: M::FAMILY, detail: e.to_string() })
}

/// Writes a message as `MessagePack` into `buffer`, which is emptied first; false, and nothing is written, for
/// one that is always JSON.
pub fn encode_msgpack<M: Encode>(message: &M, buffer: &mut Vec<u8>) -> Result<bool, EncodeError> {
    buffer.clear();
    msgpack::write(message, buffer).map_err(|e| EncodeError { family: M::FAMILY, detail: e.to_string() })
}

/// Reads the payload that was published on `topic`, which is `at` when taken apart.
pub fn decode(topic: &str, at: Topic<'_>, payload: &[u8]) -> Result<Message, DecodeError> {
    check_size(topic, at, payload)?;
    let text = std::str::from_utf8(payload)
        .map_err(|e| DecodeError::new(Reason::NotUtf8, topic, "", &e.to_string()))?;
    let message = match at.family() {
        Family::Track => parse(text).map(Message::Track),
        Family::Event => parse(text).map(Message::Event),
        Family::Weights => parse(text).map(Message::Weights),
        Family::Consensus => parse(text).map(Message::Consensus),
        Family::Status => parse(text).map(Message::Status),
        Family::Alert => parse(text).map(Message::Alert),
    };
    checked(topic, at, message)
}

/// The same for `MessagePack`.
pub fn decode_msgpack(topic: &str, at: Topic<'_>, payload: &[u8]) -> Result<Message, DecodeError> {
    check_size(topic, at, payload)?;
    let message = match at.family() {
        Family::Track => unpack(payload).map(Message::Track),
        Family::Event => unpack(payload).map(Message::Event),
        Family::Weights => unpack(payload).map(Message::Weights),
        Family::Consensus => unpack(payload).map(Message::Consensus),
        Family::Status | Family::Alert => {
            let detail = "presence and alerts are always JSON";
            return Err(DecodeError::new(Reason::UnsupportedEncoding, topic, "", detail));
        }
    };
    checked(topic, at, message)
}

fn check_size(topic: &str, at: Topic<'_>, payload: &[u8]) -> Result<(), DecodeError> {
    let limit = size_max(at.family());
    if payload.len() <= limit {
        return Ok(());
    }
    let detail = format!("{} bytes, at most {limit} are read", payload.len());
    Err(DecodeError::new(Reason::TooLarge, topic, "", &detail))
}

/// Checks what joins two keys of a message, or a key and the topic.
fn checked(topic: &str, at: Topic<'_>, read: Result<Message, Fault>) -> Result<Message, DecodeError> {
    let message = read.map_err(|f| DecodeError::new(f.reason, topic, &f.key, &f.detail))?;
    check_counts(&message)
        .and_then(|()| check_names(&message))
        .and_then(|()| check_identity(&message, at))
        .map_err(|(reason, key, detail)| DecodeError::new(reason, topic, key, &detail))?;
    Ok(message)
}

struct Fault {
    reason: Reason,
    key: String,
    detail: String,
}

fn parse<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, Fault> {
    let mut json = serde_json::Deserializer::from_str(text);
    wire::object(&mut json)
        .and_then(|message| json.end().map(|()| message))
        .map_err(|e| explain::<T>(text, &e))
}

fn unpack<T: for<'de> Deserialize<'de>>(payload: &[u8]) -> Result<T, Fault> {
    use rmp_serde::decode::Error;
    msgpack::read(payload).map_err(|msgpack::Unreadable { element, error }| {
        let reason = match &error {
            Error::TypeMismatch(_) => Reason::WrongType,
            Error::OutOfRange => Reason::OutOfRange,
            Error::Utf8Error(_) => Reason::NotUtf8,
            Error::Syntax(text) | Error::Uncategorized(text) => by_words(text).unwrap_or(Reason::NotMsgPack),
            _ => Reason::NotMsgPack,
        };
        let key = element.map_or(String::new(), |element| format!("[{element}]"));
        Fault { reason, key, detail: error.to_string() }
    })
}

/// Names the reason, and finds the key by decoding once more with its path kept.
fn explain<T: for<'de> Deserialize<'de>>(text: &str, error: &serde_json::Error) -> Fault {
    let mut json = serde_json::Deserializer::from_str(text);
    let mut track = serde_path_to_error::Track::new();
    let again: Result<T, _> = wire::object(serde_path_to_error::Deserializer::new(&mut json, &mut track));
    let path = if again.is_err() { track.path().to_string() } else { String::new() };
    let key = if path == "." { String::new() } else { path };
    Fault { reason: classify(error), key, detail: error.to_string() }
}

/// The reason behind a parser's error.
fn classify(error: &serde_json::Error) -> Reason {
    let other = if error.is_data() { Reason::OutOfRange } else { Reason::NotJson };
    by_words(&error.to_string()).unwrap_or(other)
}

/// The reason by the words that serde gives each kind of error.
fn by_words(text: &str) -> Option<Reason> {
    let reasons = [
        ("invalid type", Reason::WrongType),
        ("missing field", Reason::MissingKey),
        ("duplicate field", Reason::DuplicateKey),
        ("invalid value", Reason::OutOfRange),
        ("invalid length", Reason::OutOfRange),
        ("number out of range", Reason::OutOfRange),
    ];
    reasons.into_iter().find(|(words, _)| text.starts_with(words)).map(|(_, reason)| reason)
}

type Mismatch = (Reason, &'static str, String);

fn check_counts(message: &Message) -> Result<(), Mismatch> {
    let (key, said, is) = match message {
        Message::Weights(m) => ("num_weights", m.num_weights.0, m.weights.len()),
        Message::Consensus(m) => ("num_confirming", m.num_confirming.0, m.confirming_cameras.len()),
        _ => return Ok(()),
    };
    if said == is as u64 {
        return Ok(());
    }
    Err((Reason::CountMismatch, key, format!("says {said}, the list holds {is}")))
}

/// Checks that the names in an alert stand for the numbers beside them.
fn check_names(message: &Message) -> Result<(), Mismatch> {
    let Message::Alert(m) = message else { return Ok(()) };
    let differs = |key, name: &str, number: u8| {
        Err((Reason::OutOfRange, key, format!("is {name}, the number beside it is {number}")))
    };
    if m.kind != m.event_type {
        return differs("type", m.kind.as_str(), m.event_type.number());
    }
    if m.severity_word != m.severity {
        return differs("severity_word", m.severity_word.as_str(), m.severity.number());
    }
    Ok(())
}

fn check_identity(message: &Message, at: Topic<'_>) -> Result<(), Mismatch> {
    let same_camera = |camera: &CameraId| match at.camera() {
        Some(level) if level != camera.as_str() => {
            Err((Reason::IdentityMismatch, "camera_id", format!("says {camera}")))
        }
        _ => Ok(()),
    };
    let same_id = |key, said: u32, level: u32| {
        if said == level { Ok(()) } else { Err((Reason::IdentityMismatch, key, format!("says {said}"))) }
    };
    let same_key = |key: Option<&EventKey>, camera: &CameraId, event_id: u32| match key {
        Some(key) if key.camera != *camera || key.event_id != event_id => {
            Err((Reason::IdentityMismatch, "key", format!("says {key}")))
        }
        _ => Ok(()),
    };
    match (message, at) {
        (Message::Track(m), Topic::Track { track_id, .. }) => {
            same_camera(&m.camera_id)?;
            same_id("track_id", m.track_id.0, track_id)
        }
        (Message::Event(m), Topic::Event { event_id, .. }) => {
            same_camera(&m.camera_id)?;
            same_id("event_id", m.event_id.0, event_id)?;
            same_key(m.key.as_ref(), &m.camera_id, event_id)
        }
        (Message::Consensus(m), Topic::Consensus { event_id }) => {
            same_id("event_id", m.event_id.0, event_id)?;
            same_key(m.key.as_ref(), &m.initiating_camera, event_id)
        }
        (Message::Alert(m), Topic::Alert { camera, event_id }) => {
            if m.key.camera.as_str() == camera && m.key.event_id == event_id {
                Ok(())
            } else {
                Err((Reason::IdentityMismatch, "key", format!("says {}", m.key)))
            }
        }
        (Message::Weights(m), _) => same_camera(&m.camera_id),
        (Message::Status(m), _) => same_camera(&m.camera_id),
        _ => Err((Reason::BadTopic, "", "another family's topic".to_owned())),
    }
}
