//! In which encoding our messages leave.
//!
//! `MessagePack` is less than half as long, and not everybody reads it. So by default it is used only
//! while every camera that was heard of late says in its presence that it does, and at least one is there. A
//! camera that never introduced itself and speaks without our keys is the reference system's, which reads
//! JSON alone. Who only listens is not seen by anybody: a site with such a reader stays with JSON, which is what
//! the configuration says when it says nothing.

use std::time::Duration;

use super::message::{Message, Presence};
use crate::base::Time;

/// The name of `MessagePack` in `encodings`.
pub(super) const MSGPACK: &str = "msgpack";

/// How messages are to be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// JSON.
    #[default]
    Json,
    /// `MessagePack` while all others read it, else JSON.
    MsgPack,
    /// `MessagePack`, whoever is there.
    MsgPackAlways,
}

/// Who was heard that reads `MessagePack`, and who does not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Readers {
    with: Option<Time>,
    without: Option<Time>,
}

impl Readers {
    /// Takes in a message; `introduced` tells whether its sender's presence is known.
    pub(super) fn hear(&mut self, message: &Message, introduced: impl Fn() -> bool, now: Time) {
        match message {
            Message::Status(m) if m.state == Presence::Online => {
                let reads = m.encodings.iter().any(|name| name.as_str() == MSGPACK);
                *(if reads { &mut self.with } else { &mut self.without }) = Some(now);
            }
            Message::Status(_) => {}
            _ if has_our_keys(message) || introduced() => {}
            _ => self.without = Some(now),
        }
    }

    /// Whether all that were heard within this time read it, and one was.
    pub(super) fn all_read(&self, within: Duration, now: Time) -> bool {
        let lately = |heard: Option<Time>| heard.is_some_and(|heard| now.since(heard) < within);
        lately(self.with) && !lately(self.without)
    }
}

fn has_our_keys(message: &Message) -> bool {
    match message {
        Message::Track(m) => m.seq.is_some(),
        Message::Event(m) => m.key.is_some(),
        Message::Weights(m) => m.model.is_some() || m.num_samples.is_some(),
        Message::Consensus(m) => m.camera_id.is_some(),
        Message::Status(_) | Message::Alert(_) => true,
    }
}
