//! What is shared, and with whom: `[swarm]` and `[[broker_link]]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Secret;
use crate::model::{MessageClass, Severity};

/// What is shared with the other cameras of the site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Swarm {
    /// Publish tracks, events and presence, and listen to those of the others.
    pub enabled: bool,
    /// The first levels of every topic; the same for all cameras of a site.
    #[schemars(length(min = 1, max = 200))]
    pub prefix: String,
    /// Most messages a second about one track.
    #[schemars(range(min = 0.1, max = 100.0))]
    pub track_rate_hz: f64,
    /// Events below this severity stay on the camera.
    pub publish_severity: Severity,
    /// Most other cameras that are remembered; when there are more, the longest silent one is forgotten.
    #[schemars(range(min = 1, max = 4096))]
    pub peers_max: u32,
    /// A camera that says nothing for this long counts as away.
    #[schemars(range(min = 1.0, max = 3600.0))]
    pub stale_after_s: f64,
}

impl Default for Swarm {
    fn default() -> Self {
        Self {
            enabled: true,
            prefix: "omnisight/swarm".into(),
            track_rate_hz: 10.0,
            publish_severity: Severity::Medium,
            peers_max: 256,
            stale_after_s: 30.0,
        }
    }
}

/// A broker that this camera talks to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrokerLink {
    /// A name for logs and the status.
    #[serde(default = "link_name")]
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Where the broker is: `mqtt://host:port` (port 1883 when it is left out).
    #[schemars(length(min = 1, max = 512))]
    pub url: String,
    /// The user's name, when the broker wants one.
    #[schemars(length(min = 1, max = 256))]
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// The name of a secret that is the password: a credential of systemd, or `omnisight secret set`.
    #[schemars(length(min = 1, max = 64))]
    pub password_secret: Option<String>,
    /// A ping is sent after this much silence.
    #[serde(default = "keep_alive_s")]
    #[schemars(range(min = 5, max = 65535))]
    pub keep_alive_s: u16,
    /// What this broker gets: `alerts`, `events`, `fleet_detections`, `votes`, `replies`, `presence`,
    /// `weights`, `tracks`, `telemetry`. The camera also listens here to what of these others share.
    #[serde(default = "everything")]
    #[schemars(length(min = 1, max = 9))]
    pub carries: Vec<Carried>,
    /// Of that, only what is published on a topic that one of these MQTT filters matches; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub topics: Vec<String>,
    /// Longest wait before the first attempt to reconnect; it doubles with every further one.
    #[serde(default = "reconnect_first_s")]
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub reconnect_first_s: f64,
    /// No wait before an attempt to reconnect is longer than this.
    #[serde(default = "reconnect_max_s")]
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub reconnect_max_s: f64,
}

/// A family of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Carried {
    /// Somebody must act now.
    Alerts,
    /// Events and their transitions.
    Events,
    /// Readings for the fleet server.
    FleetDetections,
    /// Votes on events.
    Votes,
    /// Answers to commands.
    Replies,
    /// Who is there, and how it goes.
    Presence,
    /// Learned weights.
    Weights,
    /// Tracks.
    Tracks,
    /// Measurements and detections.
    Telemetry,
}

impl Carried {
    /// The class it stands for.
    pub fn class(self) -> MessageClass {
        match self {
            Self::Alerts => MessageClass::Alert,
            Self::Events => MessageClass::Event,
            Self::FleetDetections => MessageClass::FleetDetection,
            Self::Votes => MessageClass::Vote,
            Self::Replies => MessageClass::Reply,
            Self::Presence => MessageClass::Presence,
            Self::Weights => MessageClass::Weights,
            Self::Tracks => MessageClass::Track,
            Self::Telemetry => MessageClass::Telemetry,
        }
    }
}

fn everything() -> Vec<Carried> {
    use Carried::{Alerts, Events, FleetDetections, Presence, Replies, Telemetry, Tracks, Votes, Weights};
    vec![Alerts, Events, FleetDetections, Votes, Replies, Presence, Weights, Tracks, Telemetry]
}

fn link_name() -> String {
    "main".into()
}

fn keep_alive_s() -> u16 {
    60
}

fn reconnect_first_s() -> f64 {
    1.0
}

fn reconnect_max_s() -> f64 {
    60.0
}
