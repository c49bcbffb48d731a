//! A message, and how it is to be treated on its way.
//!
//! Surfaces make envelopes and read deliveries; the link moves them and knows nothing of their
//! meaning.

use bytes::Bytes;

/// How hard a message tries to arrive (MQTT 5, 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    /// Perhaps.
    AtMostOnce,
    /// Surely, perhaps twice.
    AtLeastOnce,
    /// Surely, and once.
    ExactlyOnce,
}

/// What family a message belongs to: decides how it is kept when it can't be sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MessageClass {
    /// A track's state: the newest per key is enough.
    Track,
    /// An event's transition: none may be lost.
    Event,
    /// Presence: the newest per key is enough.
    Presence,
}

/// The payload's format (MQTT 5 content type).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentType {
    /// JSON in UTF-8.
    Json,
}

impl ContentType {
    /// The MIME type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
        }
    }
}

/// A message that wants to leave.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// The payload's format.
    pub content_type: ContentType,
    /// The family it belongs to.
    pub class: MessageClass,
    /// How hard it tries.
    pub qos: Qos,
    /// The broker keeps the last one for later subscribers.
    pub retain: bool,
    /// Among waiting messages of its class, the higher leaves first.
    pub priority: u8,
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Where it was published.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// The sender's word for the payload's format, when it gave one.
    pub content_type: Option<String>,
    /// It is the broker's copy of an earlier message.
    pub retained: bool,
}
