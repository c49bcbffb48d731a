//! The seam between the session's decisions and a connection.
//!
//! A transport does what it is told and reports what happened; it decides nothing: no waiting, no
//! second try, no queue of its own beyond what is in flight. The session (pure) decides. `mqtt` is
//! the real one; the driver's tests have another.

mod mqtt;

use std::future::Future;

pub(super) use mqtt::{KEEP_ALIVE_MAX, KEEP_ALIVE_MIN, Mqtt};

use super::Error;
use crate::model::{Delivery, Envelope, Qos};

/// What happened to the connection.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// The broker accepted the connection.
    Connected {
        /// It still has the session: what was in flight is sent again by the transport itself.
        session_present: bool,
        /// How many acknowledgements the broker lets us wait for.
        receive_maximum: u16,
        /// The largest packet it takes, in bytes.
        max_packet_bytes: usize,
    },
    /// The broker answered a subscription.
    Subscribed {
        /// How many of its filters it refused.
        refused: u64,
    },
    /// A message went out: the oldest of those handed over and not yet reported so.
    Published {
        /// Its packet id; 0 for `QoS` 0.
        packet_id: u16,
    },
    /// The broker answered a message for the last time (PUBACK, PUBCOMP, or a PUBREC that refuses).
    Acknowledged {
        /// The packet id.
        packet_id: u16,
        /// It took the message.
        accepted: bool,
    },
    /// A message came in.
    Received {
        /// The message.
        delivery: Delivery,
        /// How it was sent.
        qos: Qos,
    },
    /// A message came in that has no usable topic.
    Malformed,
    /// There is no connection any more, or none came about. Messages handed over and not reported
    /// as published are forgotten by the transport; those in flight are kept for a session resumed.
    Disconnected(Error),
}

/// A connection to one broker that is made, used and lost, again and again.
pub(super) trait Transport: Send {
    /// Starts a connection; `Connected` or `Disconnected` follows. Clean: the broker and the
    /// transport forget the session first.
    fn connect(&mut self, clean_start: bool);

    /// Asks for all subscriptions of this link. Only while connected.
    fn subscribe(&mut self);

    /// Sends a message. Only while connected; `Published` and `Acknowledged` follow.
    fn publish(&mut self, envelope: Envelope);

    /// Says goodbye, so that the broker does not publish the will; `Disconnected` follows.
    fn disconnect(&mut self);

    /// The next thing that happened. Cancel safe; pending while there is no connection.
    fn event(&mut self) -> impl Future<Output = Event> + Send;
}
