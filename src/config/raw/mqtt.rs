//! What is shared, and with whom: `[swarm]` and `[[broker_link]]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Secret;
use crate::link;
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
    /// How messages leave: JSON, `MessagePack` (less than half as long) while every camera that is heard says
    /// that it reads it, or always `MessagePack`. Who only listens is not heard.
    pub encoding: Encoding,
    /// On a site of more than 32 cameras: whose tracks are listened to, by the distance of the ground that they
    /// see from ours, metres.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub near_m: f64,
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
            encoding: Encoding::Json,
            near_m: 50.0,
            peers_max: 256,
            stale_after_s: 30.0,
        }
    }
}

/// How messages leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// JSON.
    Json,
    /// `MessagePack` while everybody who is heard reads it.
    Msgpack,
    /// `MessagePack`, whoever is there.
    MsgpackAlways,
}

/// A broker that this camera talks to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrokerLink {
    /// A name for logs and the status.
    #[serde(default = "link_name")]
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Where the broker is: `mqtt://host` (port 1883 when none is named), `mqtts://host` with TLS (8883),
    /// `ws://host/path` (80) or `wss://host/path` (443) for MQTT in a WebSocket; or `discover`, the one that the
    /// cameras of the site find (see `[discovery]`).
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
    /// The version of MQTT: 5, 3.1.1, or `auto`: 5, and 3.1.1 with a broker that refuses it.
    #[serde(default)]
    pub protocol: Protocol,
    /// A PEM file of the CA certificates that may have signed the broker's; without, the system's.
    pub tls_ca: Option<PathBuf>,
    /// The certificate by which the broker knows the camera, a PEM file; read again at every connect.
    pub tls_certificate: Option<PathBuf>,
    /// The key of the certificate, a PEM file without a passphrase.
    pub tls_key: Option<PathBuf>,
    /// The name in the broker's certificate, when it is not the host of the URL.
    #[schemars(length(min = 1, max = 253))]
    pub tls_server_name: Option<String>,
    /// The oldest version of TLS to speak.
    #[serde(default)]
    pub tls_min_version: TlsVersion,
    /// How long the broker waits for a camera that was cut off before it tells others that it is offline;
    /// MQTT 5 only.
    #[serde(default = "will_delay_s")]
    #[schemars(range(max = 3600))]
    pub will_delay_s: u32,
    /// A ping is sent after this much silence; to a broker that was discovered after 5 s at the latest.
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

impl BrokerLink {
    /// What stands for the broker that is to be found.
    pub const DISCOVER: &str = "discover";
    /// A broker that comes back is one on the same switch.
    const DISCOVERED_RECONNECT_S: (f64, f64) = (0.5, 5.0);

    /// The link of a camera that names none.
    pub fn discovered() -> Self {
        let (reconnect_first_s, reconnect_max_s) = Self::DISCOVERED_RECONNECT_S;
        Self {
            name: link_name(),
            url: Self::DISCOVER.into(),
            username: None,
            password: None,
            password_file: None,
            password_secret: None,
            protocol: Protocol::default(),
            tls_ca: None,
            tls_certificate: None,
            tls_key: None,
            tls_server_name: None,
            tls_min_version: TlsVersion::default(),
            will_delay_s: will_delay_s(),
            keep_alive_s: keep_alive_s(),
            carries: everything(),
            topics: Vec::new(),
            reconnect_first_s,
            reconnect_max_s,
        }
    }
}

/// A family of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Carried {
    /// Alerts of the swarm and of the fleet client.
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

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// 5, and 3.1.1 with a broker that refuses it.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// MQTT 5.
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1.
    #[serde(rename = "3.1.1")]
    V311,
}

impl Protocol {
    /// The version, when there is no choice.
    pub fn version(self) -> Option<link::Version> {
        match self {
            Self::Auto => None,
            Self::V5 => Some(link::Version::V5),
            Self::V311 => Some(link::Version::V311),
        }
    }
}

fn everything() -> Vec<Carried> {
    use Carried::{Alerts, Events, FleetDetections, Presence, Replies, Telemetry, Tracks, Votes, Weights};
    vec![Alerts, Events, FleetDetections, Votes, Replies, Presence, Weights, Tracks, Telemetry]
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V13,
}

impl From<TlsVersion> for link::TlsVersion {
    fn from(version: TlsVersion) -> Self {
        match version {
            TlsVersion::V12 => Self::V12,
            TlsVersion::V13 => Self::V13,
        }
    }
}

fn will_delay_s() -> u32 {
    5
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
