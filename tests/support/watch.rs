//! What a camera says on the broker, as somebody else hears it.

use omnisight::model::Delivery;
use omnisight::swarm::codec;
use omnisight::swarm::message::{Message, Presence, StatusMessage, TrackMessage};
use omnisight::swarm::topic::Prefix;

use super::{Peer, link_options};

/// Decodes a message of the swarm.
pub fn decoded(delivery: &Delivery) -> Message {
    let prefix = Prefix::default();
    let topic = prefix.parse_topic(&delivery.topic).expect("a topic of the swarm");
    codec::decode(&delivery.topic, topic, &delivery.payload).unwrap()
}

/// The names of the degraded modes in a status.
pub fn modes(status: &StatusMessage) -> Vec<&str> {
    status.modes.iter().flat_map(|modes| modes.iter()).map(omnisight::swarm::message::Name::as_str).collect()
}

/// A counter in a status; those that are 0 are left out of it.
pub fn counter(status: &StatusMessage, name: &str) -> u64 {
    let counters = status.counters.iter().flat_map(|counters| counters.iter());
    counters.filter(|(key, _)| key.as_str() == name).map(|(_, count)| count.0).sum()
}

impl Peer {
    /// Listens to the presence of all cameras from now on; retained ones come too.
    pub fn watch_presence(port: u16) -> Self {
        Self::spawn(&link_options(port), "watch-presence", None, &["omnisight/swarm/status/+"])
    }

    /// Listens to the tracks of one camera.
    pub fn watch_tracks(port: u16, camera: &str) -> Self {
        let filter = format!("omnisight/swarm/tracks/{camera}/+");
        Self::spawn(&link_options(port), &format!("watch-{camera}"), None, &[&filter])
    }

    /// Waits for a presence message as wanted, and how it came.
    pub async fn presence(&mut self, wanted: impl Fn(&StatusMessage) -> bool) -> (StatusMessage, Delivery) {
        self.find(|delivery| match decoded(&delivery) {
            Message::Status(status) if wanted(&status) => Some((*status, delivery)),
            _ => None,
        })
        .await
    }

    pub async fn online(&mut self) -> StatusMessage {
        self.presence(|status| status.state == Presence::Online).await.0
    }

    pub async fn offline(&mut self) -> StatusMessage {
        self.presence(|status| status.state == Presence::Offline).await.0
    }

    /// The next track message.
    pub async fn track(&mut self) -> TrackMessage {
        self.find(|delivery| match decoded(&delivery) {
            Message::Track(track) => Some(track),
            _ => None,
        })
        .await
    }
}
