//! The seam between the session's decisions and a connection.
//!
//! A transport does what it is told and reports what happened; it decides nothing: no second try, no
//! resending, no answer of its own. The session (pure) decides. [`Mqtt`] is the real one: packets are
//! encoded and decoded by `rumqttc`'s codecs (5 and 3.1.1) over a stream that `dial` opens; the driver's
//! tests have another.
//!
//! Why not `rumqttc`'s event loop: it reconnects, resends and answers by itself, differently in its two
//! versions; an answer that fits nothing ends its connection and forgets the session, and with it what
//! was to arrive exactly once; it shows neither the broker's words nor its limits, takes no server name
//! and no connection of ours, and writes each message with a system call of its own. All of that is
//! what this link promises otherwise.

mod codec;
mod dial;
mod mqtt;

use std::future::Future;

pub(super) use mqtt::Mqtt;

use super::Error;
use super::error::Phase;
use super::session::{Alias, Request, Terms};
use super::tls::Certificates;
use crate::model::{Delivery, Envelope, Qos};

/// Versions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 5.
    V5,
    /// MQTT 3.1.1.
    V311,
}

impl Version {
    /// As people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V5 => "5",
            Self::V311 => "3.1.1",
        }
    }
}

/// What a broker said when it accepted the connection; what it left out has the standard's default.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Accepted {
    /// It still has the session.
    pub(super) session_present: bool,
    /// How many acknowledgements it lets us wait for.
    pub(super) receive_maximum: u16,
    /// The largest packet it takes, in bytes.
    pub(super) max_packet_bytes: usize,
    /// How many topic aliases it takes.
    pub(super) topic_alias_max: u16,
    /// The keep alive it wants instead of ours, in seconds; 0: it watches nothing.
    pub(super) keep_alive_s: Option<u16>,
    /// The highest `QoS` that it takes.
    pub(super) qos_max: Qos,
    /// It keeps retained messages.
    pub(super) retain: bool,
    /// It takes topic filters with wildcards.
    pub(super) wildcards: bool,
    /// When the certificates end, of a secure connection.
    pub(super) certificates: Option<Certificates>,
}

impl Default for Accepted {
    fn default() -> Self {
        Self {
            session_present: false,
            receive_maximum: u16::MAX,
            max_packet_bytes: usize::MAX,
            topic_alias_max: 0,
            keep_alive_s: None,
            qos_max: Qos::ExactlyOnce,
            retain: true,
            wildcards: true,
            certificates: None,
        }
    }
}

/// What happened to the connection. Reasons are those of MQTT 5, from 0x80 up a refusal; 0 with 3.1.1.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// It has come so far.
    Reached(Phase),
    /// The broker accepted the connection.
    Connected(Accepted),
    /// SUBACK: how many filters it refused.
    Subscribed { packet_id: u16, refused: u64 },
    /// UNSUBACK.
    Unsubscribed { packet_id: u16 },
    /// So many messages went out: the oldest of those handed over and not yet reported so.
    Sent { messages: usize },
    /// PUBACK.
    Acknowledged { packet_id: u16, reason: u8 },
    /// PUBREC.
    Received { packet_id: u16, reason: u8 },
    /// PUBREL.
    Released { packet_id: u16 },
    /// PUBCOMP.
    Completed { packet_id: u16 },
    /// A message came in; `dup`: the broker sent it before.
    Message { packet_id: u16, qos: Qos, dup: bool, delivery: Delivery },
    /// A message came in that is larger than our limit: its payload was read and forgotten.
    TooLarge { packet_id: u16, qos: Qos, topic: String, bytes: usize },
    /// A message came in that has no usable topic.
    Malformed { packet_id: u16, qos: Qos },
    /// A PINGRESP, or a part of a packet: the broker lives.
    Heard,
    /// There is no connection any more, or none came about.
    Disconnected(Error),
}

/// A message on its way out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outgoing {
    /// With the `QoS` and the retain flag that the broker takes.
    pub(super) envelope: Envelope,
    /// 0 at `QoS` 0.
    pub(super) packet_id: u16,
    /// It was sent before.
    pub(super) dup: bool,
    /// What stands for its topic.
    pub(super) alias: Option<Alias>,
    /// How many seconds it is still worth delivering.
    pub(super) expiry_s: Option<u32>,
}

/// An acknowledgement of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// PUBACK.
    Acknowledge,
    /// PUBREC.
    Receive,
    /// PUBREL.
    Release,
    /// PUBCOMP.
    Complete,
}

/// A connection to one broker that is made, used and lost, again and again.
///
/// All but [`Transport::events`] return at once; what they have to say is written while events are
/// awaited, in the order of the calls.
pub(super) trait Transport: Send {
    /// Starts a connection on these terms; `Connected` or `Disconnected` follows. Clean: the broker forgets the
    /// session first.
    fn connect(&mut self, terms: Terms, clean_start: bool);

    /// Asks for topics, or for no more of them; `Subscribed` or `Unsubscribed` follows.
    fn ask(&mut self, packet_id: u16, request: Request);

    /// Sends a message; `Sent` follows.
    fn publish(&mut self, message: Outgoing);

    /// Sends an acknowledgement.
    fn answer(&mut self, answer: Answer, packet_id: u16);

    /// Sends a PINGREQ.
    fn ping(&mut self);

    /// Says goodbye, so that the broker does not publish the will; `Disconnected` follows.
    fn disconnect(&mut self);

    /// Drops the connection where it stands; nothing follows.
    fn abort(&mut self);

    /// Waits until something has happened, and adds all of it to `events`. Cancel safe; pending while
    /// there is no connection.
    fn events(&mut self, events: &mut Vec<Event>) -> impl Future<Output = ()> + Send;
}
