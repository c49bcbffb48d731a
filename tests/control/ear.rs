//! Somebody who gives commands to the camera `gate` and hears what it says.

use bytes::Bytes;
use omnisight::model::{Delivery, Envelope, MessageClass};
use serde_json::Value;

use crate::support::Peer;
use crate::support::program::{Camera, SMALL_PLAZA};

pub const OWN: &str = "inference/gate/control/commands";
pub const SHARED: &str = "inference/control/commands";
pub const STATUS: &str = "inference/gate/control/status";

/// A camera `gate` over the small plaza with these lines in `[control]`.
pub fn gate(port: u16, control: &str) -> Camera {
    let sections = format!(
        "[[broker_link]]\nurl = 'mqtt://127.0.0.1:{port}'\nkeep_alive_s = 5\nreconnect_first_s = 0.1\n\
         reconnect_max_s = 0.2\n[control]\n{control}"
    );
    Camera::with_sections("gate", SMALL_PLAZA, &sections)
}

pub struct Ear {
    pub peer: Peer,
}

/// A message as its topic and what it says.
pub fn read(delivery: &Delivery) -> (&str, Value) {
    (&delivery.topic, serde_json::from_slice(&delivery.payload).unwrap_or_default())
}

impl Ear {
    pub async fn at(port: u16) -> Self {
        Self { peer: Peer::subscribed(port, "ear", "inference/#").await }
    }

    pub fn say(&self, topic: &str, payload: impl Into<Bytes>) {
        self.peer.send(Envelope::new(MessageClass::Reply, topic, payload.into()));
    }

    /// The next message on a topic for which `wanted` holds.
    pub async fn hears(&mut self, topic: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let delivery = self
            .peer
            .until(|delivery| {
                let (at, value) = read(delivery);
                at == topic && wanted(&value)
            })
            .await;
        read(&delivery).1
    }

    /// Waits until the camera's own status has this word.
    pub async fn status(&mut self, word: &str) -> Value {
        self.hears(STATUS, |value| value["status"] == word).await
    }

    /// The next reply that is a last one.
    pub async fn reply(&mut self) -> Value {
        let last = |value: &Value| !matches!(value["state"].as_str(), Some("accepted" | "running"));
        self.hears("inference/gate/control/replies", last).await
    }

    /// Says it on the camera's own topic and waits for its last reply.
    pub async fn ask(&mut self, payload: &str) -> Value {
        self.say(OWN, payload.to_owned());
        self.reply().await
    }
}
