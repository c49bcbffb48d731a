//! A message, and how it is to be treated on its way.
//!
//! Surfaces make envelopes and read deliveries; the link moves them and knows nothing of their
//! meaning. What a family of messages is owed on its way stands in one table, [`MessageClass::handling`]:
//! an envelope begins with what its class says ([`Envelope::new`]), and a surface changes only what is
//! special about one message.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// How hard a message tries to arrive (MQTT 5, 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// Perhaps.
    AtMostOnce,
    /// Surely, perhaps twice.
    AtLeastOnce,
    /// Surely, and once.
    ExactlyOnce,
}

impl Qos {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AtMostOnce, Self::AtLeastOnce, Self::ExactlyOnce];
}

/// What family a message belongs to: decides how it is kept when it can't be sent at once.
///
/// The order is the order of leaving: of what waits on one connection, the first class goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MessageClass {
    /// Somebody must act now.
    Alert,
    /// An event's transition.
    Event,
    /// A reading for the fleet server, kept until the server itself says that it has it.
    FleetDetection,
    /// A vote on an event.
    Vote,
    /// The answer to a command.
    Reply,
    /// Presence and states of which only the newest counts.
    Presence,
    /// Learned weights.
    Weights,
    /// A track's state.
    Track,
    /// Measurements and detections of the data plane.
    Telemetry,
}

/// The connection that a message takes. Each has a queue and a socket of its own, so that a flood on
/// one never delays the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Commands, their answers, and the state of the camera.
    Control,
    /// Everything else.
    Data,
}

/// What happens to messages of a class while they can't leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// All wait; when there are too many, the lowest priority goes first, the oldest of it first.
    All,
    /// The newest per key waits, in the place of the one that it replaces.
    NewestPerKey,
}

/// Whose word it takes to forget a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettledBy {
    /// The broker's acknowledgement (at `QoS` 0: that it went out).
    Broker,
    /// The application at the other end, which names the message's key.
    Application,
}

/// What a class is owed on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handling {
    /// It is on the disk before it is sent, and survives a power cut.
    pub durable: bool,
    /// The connection that it takes.
    pub lane: Lane,
    /// What happens while it waits.
    pub waiting: Waiting,
    /// When it is forgotten.
    pub settled_by: SettledBy,
    /// How long it is worth sending; none: for ever.
    pub expiry: Option<Duration>,
    /// How hard it tries.
    pub qos: Qos,
    /// The broker keeps the last one.
    pub retain: bool,
}

/// What most classes share.
const USUAL: Handling = Handling {
    durable: true,
    lane: Lane::Data,
    waiting: Waiting::All,
    settled_by: SettledBy::Broker,
    expiry: None,
    qos: Qos::AtLeastOnce,
    retain: false,
};

impl MessageClass {
    /// All classes, in the order of leaving.
    pub const ALL: [Self; 9] = [
        Self::Alert,
        Self::Event,
        Self::FleetDetection,
        Self::Vote,
        Self::Reply,
        Self::Presence,
        Self::Weights,
        Self::Track,
        Self::Telemetry,
    ];

    /// What a message of this class is owed.
    pub const fn handling(self) -> Handling {
        match self {
            Self::Alert | Self::Event => USUAL,
            Self::FleetDetection => Handling { settled_by: SettledBy::Application, ..USUAL },
            // Receivers forget an event ten minutes after they last heard of it.
            Self::Vote => Handling { expiry: Some(Duration::from_mins(10)), ..USUAL },
            // Who asked has given up by then.
            Self::Reply => Handling {
                durable: false,
                lane: Lane::Control,
                expiry: Some(Duration::from_mins(5)),
                ..USUAL
            },
            Self::Presence => {
                Handling { durable: false, waiting: Waiting::NewestPerKey, retain: true, ..USUAL }
            }
            Self::Weights => Handling { waiting: Waiting::NewestPerKey, qos: Qos::ExactlyOnce, ..USUAL },
            // Receivers forget a track after three seconds without word of it.
            Self::Track => Handling {
                durable: false,
                waiting: Waiting::NewestPerKey,
                expiry: Some(Duration::from_secs(3)),
                qos: Qos::AtMostOnce,
                ..USUAL
            },
            Self::Telemetry => Handling {
                durable: false,
                waiting: Waiting::NewestPerKey,
                expiry: Some(Duration::from_secs(10)),
                qos: Qos::AtMostOnce,
                ..USUAL
            },
        }
    }

    /// The word for it in the configuration and in a status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alerts",
            Self::Event => "events",
            Self::FleetDetection => "fleet_detections",
            Self::Vote => "votes",
            Self::Reply => "replies",
            Self::Presence => "presence",
            Self::Weights => "weights",
            Self::Track => "tracks",
            Self::Telemetry => "telemetry",
        }
    }
}

/// The payload's format (MQTT 5 content type).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// JSON in UTF-8.
    Json,
    /// `MessagePack`.
    MsgPack,
    /// A JPEG picture.
    Jpeg,
}

impl ContentType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::MsgPack, Self::Jpeg];

    /// The MIME type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MsgPack => "application/msgpack",
            Self::Jpeg => "image/jpeg",
        }
    }
}

/// A message that wants to leave: what, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// The payload's format.
    pub content_type: ContentType,
    /// Where an answer is wanted (MQTT 5).
    pub response_topic: Option<String>,
    /// What an answer must carry, so that it finds its question (MQTT 5).
    pub correlation_data: Option<Bytes>,
    /// Names and values beside the payload (MQTT 5), such as a trace id.
    pub user_properties: Vec<(String, String)>,
    /// The family it belongs to.
    pub class: MessageClass,
    /// The connection it takes.
    pub lane: Lane,
    /// Among waiting messages of its class, the higher leaves first, and is evicted last.
    pub priority: u8,
    /// How hard it tries.
    pub qos: Qos,
    /// The broker keeps the last one for later subscribers.
    pub retain: bool,
    /// How much longer it is worth sending; none: for ever.
    pub expiry: Option<Duration>,
    /// Where only the newest counts: what a newer one replaces; the topic, when none is given. Else the
    /// message's stable id, the same over restarts and every time it is sent, by which an application
    /// acknowledges it.
    pub key: Option<String>,
}

impl Envelope {
    /// A JSON message with all that its class says.
    pub fn new(class: MessageClass, topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        let Handling { lane, expiry, qos, retain, .. } = class.handling();
        Self {
            topic: topic.into(),
            payload: payload.into(),
            content_type: ContentType::Json,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
            class,
            lane,
            priority: 0,
            qos,
            retain,
            expiry,
            key: None,
        }
    }

    /// What a newer one replaces, where only the newest counts.
    pub fn replacement_key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.topic)
    }
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Delivery {
    /// Where it was published.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// The sender's word for the payload's format, when it gave one.
    pub content_type: Option<String>,
    /// Where the sender wants its answer.
    pub response_topic: Option<String>,
    /// What the answer must carry.
    pub correlation_data: Option<Bytes>,
    /// Names and values beside the payload.
    pub user_properties: Vec<(String, String)>,
    /// It is the broker's copy of an earlier message.
    pub retained: bool,
    /// The name of the broker link that brought it; an answer goes back the same way.
    pub link: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_classes_is_whole_and_in_the_order_of_leaving() {
        assert!(MessageClass::ALL.is_sorted());
        assert_eq!(MessageClass::ALL.map(|class| class as usize), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn what_is_durable_waits_for_an_acknowledgement() {
        for class in MessageClass::ALL {
            let handling = class.handling();
            assert!(!handling.durable || handling.qos > Qos::AtMostOnce, "{class:?}");
        }
    }
}
