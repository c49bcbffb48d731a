//! `QoS` 2 messages that came in: the receiver's side of "exactly once" (MQTT 5, 4.3.3).
//!
//! A packet id is remembered from the message to its release, over connections too, as long as the broker
//! keeps the session; a message with an id that is remembered is a repetition.
//!
//! mosquitto (2.0, `db__message_reconnect_reset_outgoing`) sends a message again, marked as a duplicate,
//! though it was released, when the connection is cut twice before the answer to the release arrived. So
//! the last [`COMPLETED_MAX`] messages are remembered by what they said: a duplicate with the same id
//! and the same content is a repetition, too. Any other is not: its first copy may have been lost.
//!
//! Pure; ids have 16 bits, which bounds all of it.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::Delivery;

/// As many as a broker may have open with us at once.
const COMPLETED_MAX: usize = 64;

/// What tells a message from others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Print {
    /// Of its content.
    pub(super) print: u64,
    /// The broker sent it before.
    pub(super) dup: bool,
}

impl Print {
    /// Of a message that is delivered to nobody.
    pub(super) const NONE: Self = Self { print: 0, dup: false };
}

/// Of what a message says, and where.
pub(super) fn fingerprint(delivery: &Delivery) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&delivery.topic, &delivery.payload).hash(&mut hasher);
    hasher.finish()
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    open: BTreeMap<u16, u64>,
    completed: VecDeque<(u16, u64)>,
}

impl Receiving {
    /// A message came in; false when it came before.
    pub(super) fn take_in(&mut self, packet_id: u16, Print { print, dup }: Print) -> bool {
        if self.open.insert(packet_id, print).is_some() {
            return false;
        }
        !(dup && self.completed.contains(&(packet_id, print)))
    }

    /// The broker released it.
    pub(super) fn release(&mut self, packet_id: u16) {
        if let Some(print) = self.open.remove(&packet_id) {
            self.completed.retain(|(id, _)| *id != packet_id);
            self.completed.truncate(COMPLETED_MAX - 1);
            self.completed.push_front((packet_id, print));
        }
    }
}
