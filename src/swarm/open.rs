//! A delivery, read: what is the same for everyone who gets it.
//!
//! Reading depends on nothing but the delivery and the prefix of the topics. So a simulation may open a
//! message once and hand it to a thousand engines ([`Input::Opened`](super::Input::Opened)): each comes to
//! the state that it would have come to with the bytes.

use super::codec::{self, DecodeError, Reason};
use super::message::Message;
use super::msgpack;
use super::topic::{Family, Prefix, Topic};
use crate::model::{CameraId, Delivery};

/// A message, and the delivery that it was read from: whoever checks its signature needs both.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    pub(super) message: Message,
    pub(super) delivery: Delivery,
}

impl Opened {
    /// Reads a delivery.
    pub fn read(delivery: &Delivery, prefix: &Prefix) -> Result<Self, DecodeError> {
        let message = read_at(delivery, place(delivery, prefix)?)?;
        Ok(Self { message, delivery: delivery.clone() })
    }
}

/// Reads a delivery whose topic was taken apart.
pub(super) fn read_at(delivery: &Delivery, at: Topic<'_>) -> Result<Message, DecodeError> {
    let topic = delivery.topic.as_str();
    let refuse = |reason, detail: &str| Err(DecodeError::new(reason, topic, "", detail));
    if delivery.retained && !at.family().retained() {
        return refuse(Reason::Retained, "an old message, kept by the broker");
    }
    match format(delivery) {
        Some(Format::Json) => codec::decode(topic, at, &delivery.payload),
        Some(Format::MsgPack) => codec::decode_msgpack(topic, at, &delivery.payload),
        None => {
            let other = delivery.content_type.as_deref().unwrap_or_default();
            refuse(Reason::UnsupportedEncoding, other)
        }
    }
}

/// What kind of message it is.
pub(super) fn family(message: &Message) -> Family {
    match message {
        Message::Track(_) => Family::Track,
        Message::Event(_) => Family::Event,
        Message::Weights(_) => Family::Weights,
        Message::Consensus(_) => Family::Consensus,
        Message::Status(_) => Family::Status,
        Message::Alert(_) => Family::Alert,
    }
}

/// Who says so; the reference system does not name the sender of a vote.
pub(super) fn sender(message: &Message) -> Option<&CameraId> {
    match message {
        Message::Track(m) => Some(&m.camera_id),
        Message::Event(m) => Some(&m.camera_id),
        Message::Weights(m) => Some(&m.camera_id),
        Message::Consensus(m) => m.camera_id.as_ref(),
        Message::Status(m) => Some(&m.camera_id),
        Message::Alert(m) => Some(&m.published_by),
    }
}

/// Takes the topic of a delivery apart.
pub(super) fn place<'a>(delivery: &'a Delivery, prefix: &Prefix) -> Result<Topic<'a>, DecodeError> {
    prefix
        .parse_topic(&delivery.topic)
        .ok_or_else(|| DecodeError::new(Reason::BadTopic, &delivery.topic, "", "not a topic of the swarm"))
}

enum Format {
    Json,
    MsgPack,
}

/// The encoding that the content type names. MQTT 3.1.1 peers give none: there the first byte tells.
fn format(delivery: &Delivery) -> Option<Format> {
    let kind = delivery.content_type.as_deref().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is = |names: &[&str]| names.iter().any(|name| kind.eq_ignore_ascii_case(name));
    if kind.is_empty() {
        return Some(if msgpack::is_begun(&delivery.payload) { Format::MsgPack } else { Format::Json });
    }
    if is(&["application/json", "text/json", "text/plain"]) {
        return Some(Format::Json);
    }
    is(&["application/msgpack", "application/vnd.msgpack", "application/x-msgpack"])
        .then_some(Format::MsgPack)
}
