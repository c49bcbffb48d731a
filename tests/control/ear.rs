//! Somebody who gives commands to the camera `gate` and hears what it says.

use std::collections::BTreeMap;

use bytes::Bytes;
use omnisight::model::{Delivery, Envelope, MessageClass};
use serde_json::Value;
use tokio::time::timeout;

use crate::support::program::{Camera, SMALL_PLAZA};
use crate::support::{DEADLINE, Peer};

pub(crate) const OWN: &str = "inference/gate/control/commands";
pub(crate) const SHARED: &str = "inference/control/commands";
pub(crate) const STATUS: &str = "inference/gate/control/status";
pub(crate) const SHARED_STATUS: &str = "inference/control/status";
pub(crate) const REPLIES: &str = "inference/gate/control/replies";

/// A camera `gate` over the small plaza with these lines in `[control]`.
pub(crate) fn gate(port: u16, control: &str) -> Camera {
    let sections = format!(
        "[[broker_link]]\nurl = 'mqtt://127.0.0.1:{port}'\nkeep_alive_s = 5\nreconnect_first_s = 0.1\n\
         reconnect_max_s = 0.2\n[control]\n{control}"
    );
    Camera::with_sections("gate", SMALL_PLAZA, &sections)
}

/// A listener of its own for each topic: order is only promised on one.
pub(crate) struct Ear {
    mouth: Peer,
    topics: BTreeMap<&'static str, Peer>,
}

/// What a message says.
pub(crate) fn read(delivery: &Delivery) -> Value {
    serde_json::from_slice(&delivery.payload).unwrap_or_default()
}

impl Ear {
    /// Listens to status and replies, and to these topics, when this returns.
    pub(crate) async fn to(port: u16, topics: &[&'static str]) -> Self {
        let mut listeners = BTreeMap::new();
        for topic in [STATUS, REPLIES].iter().chain(topics) {
            let id = format!("ear-{}", topic.replace('/', "-"));
            listeners.insert(*topic, Peer::subscribed(port, &id, topic).await);
        }
        Self { mouth: Peer::subscribed(port, "mouth", "nothing").await, topics: listeners }
    }

    pub(crate) async fn at(port: u16) -> Self {
        Self::to(port, &[]).await
    }

    pub(crate) fn say(&self, topic: &str, payload: impl Into<Bytes>) {
        self.send(Envelope::new(MessageClass::Reply, topic, payload.into()));
    }

    pub(crate) fn send(&self, envelope: Envelope) {
        self.mouth.send(envelope);
    }

    /// The next message on a topic for which `wanted` holds.
    pub(crate) async fn hears(&mut self, topic: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let listener = self.topics.get_mut(topic).expect("a topic that is listened to");
        let heard = listener.until(|delivery| delivery.topic == topic && wanted(&read(delivery)));
        // Other messages on the topic must not keep it waiting for ever.
        let delivery = timeout(DEADLINE, heard).await.unwrap_or_else(|_| panic!("not heard on {topic}"));
        read(&delivery)
    }

    /// Waits until the camera's own status has this word.
    pub(crate) async fn status(&mut self, word: &str) -> Value {
        self.hears(STATUS, |value| value["status"] == word).await
    }

    /// The next reply that is a last one.
    pub(crate) async fn reply(&mut self) -> Value {
        let last = |value: &Value| !matches!(value["state"].as_str(), Some("accepted" | "running"));
        self.hears(REPLIES, last).await
    }

    /// Says it on the camera's own topic and waits for its last reply.
    pub(crate) async fn ask(&mut self, payload: &str) -> Value {
        self.say(OWN, payload.to_owned());
        self.reply().await
    }
}
