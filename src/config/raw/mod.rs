//! The configuration file as it is written: one struct a section, one field a key.
//!
//! These structs are the only place where a key, its type, its range, its default and its meaning are
//! written down. The JSON Schema is made from them (a doc comment here is the description there), the
//! file is checked against that schema, and the effective configuration is these structs written out.
//!
//! A rule that needs two keys, or more than a range, does not belong here but in `validate`. Lengths in
//! the picture are relative (0..1 of width and height, origin top left) where a key says so, otherwise
//! pixels; lengths on the ground are metres; `_s` is seconds, `_mps` metres per second.

mod agreement;
mod broker;
mod capture;
mod control;
mod discovery;
mod fleet;
mod mqtt;
mod scene;

use std::path::PathBuf;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use agreement::{Clock, Consensus, Trust, TrustedKey};
pub use broker::{Broker, User};
pub use capture::{Capture, Command, Pace, Replay, Source, Synthetic, Video};
pub use control::Control;
pub use discovery::Discovery;
pub use fleet::{Channel, Fleet};
pub use mqtt::{BrokerLink, Carried, Encoding, Swarm};
pub use scene::{Behavior, Calibration, Detector, DetectorKind, Pair, Prediction, Relative, Tracker, Zone};

/// The configuration of one OmniSight camera.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "OmniSight configuration")]
pub struct Root {
    /// Which camera this is.
    pub camera: Camera,
    /// Where its frames come from.
    pub capture: Capture,
    /// How objects are found in a frame.
    #[serde(default)]
    pub detector: Detector,
    /// How detections become tracks.
    #[serde(default)]
    pub tracker: Tracker,
    /// How the picture lies on the ground.
    #[serde(default)]
    pub calibration: Calibration,
    /// Named places on the ground.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub zone: Vec<Zone>,
    /// When a behaviour has a name.
    #[serde(default)]
    pub behavior: Behavior,
    /// How far the forecast looks.
    #[serde(default)]
    pub prediction: Prediction,
    /// What is shared with the other cameras of the site.
    #[serde(default)]
    pub swarm: Swarm,
    /// How the cameras of a site agree on what happens.
    #[serde(default)]
    pub consensus: Consensus,
    /// Whom this camera believes, and how it shows who it is.
    #[serde(default)]
    pub trust: Trust,
    /// How the camera knows what time it is.
    #[serde(default)]
    pub clock: Clock,
    /// The brokers that this camera talks to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub broker_link: Vec<BrokerLink>,
    /// How cameras of a site without a broker find each other.
    #[serde(default)]
    pub discovery: Discovery,
    /// Commands from outside, the status, and the data plane.
    #[serde(default)]
    pub control: Control,
    /// The fleet server: detections, health, orders, and the watchlist of wanted plates.
    #[serde(default)]
    pub fleet: Fleet,
    /// The embedded broker, for a site without one.
    #[serde(default)]
    pub broker: Broker,
    /// What survives a restart.
    #[serde(default)]
    pub state: State,
    /// What is written to the log.
    #[serde(default)]
    pub log: Log,
}

/// Which camera this is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// The camera's name on the wire, unique on the site.
    #[schemars(length(min = 1, max = 63), extend("pattern" = "^[A-Za-z0-9_.-]+$"))]
    pub id: String,
    /// A name for people; the id when it is not set.
    #[schemars(length(min = 1, max = 64))]
    pub name: Option<String>,
    /// The site that the camera belongs to; its alerts name it.
    #[schemars(length(min = 1, max = 64))]
    pub site: Option<String>,
}

/// What survives a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// The folder for it. When it is not set and `STATE_DIRECTORY` is (as under systemd), that one is used.
    pub dir: PathBuf,
    /// Messages that must not be lost are written to the disk together, at most once in this many
    /// milliseconds; 0: each as soon as it comes. Less is safer against a power cut, and wears flash more.
    #[schemars(range(max = 10_000))]
    pub commit_delay_ms: u32,
    /// Most such messages that wait for a broker; then the least important, oldest one is given up.
    #[schemars(range(min = 100, max = 10_000_000))]
    pub outbox_messages: u32,
    /// Most megabytes of them.
    #[schemars(range(min = 1, max = 100_000))]
    pub outbox_mb: u32,
}

impl Default for State {
    fn default() -> Self {
        Self {
            dir: "/var/lib/omnisight".into(),
            commit_delay_ms: 50,
            outbox_messages: 100_000,
            outbox_mb: 64,
        }
    }
}

/// What is written to the log.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important messages that are still written.
    pub level: Level,
    /// For people, or for machines.
    pub format: Format,
}

impl Log {
    /// Whether lines are for machines.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }
}

/// How important a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// How it happens.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl Format {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}
