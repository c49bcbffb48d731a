//! The fleet server that collects what cameras read: `[fleet]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The fleet server: detections, health, orders, and the watchlist of wanted plates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Fleet {
    /// Serve a fleet server.
    pub enabled: bool,
    /// The first levels of every topic.
    #[schemars(length(min = 1, max = 200))]
    pub prefix: String,
    /// What the server calls this camera: letters, digits and `_`; the camera's id when it is not set.
    #[schemars(length(min = 1, max = 63))]
    pub camera_id: Option<String>,
    /// The place that it watches: letters, digits and `_`; the camera's name at the server when it is not set.
    #[schemars(length(min = 1, max = 63))]
    pub checkpoint_id: Option<String>,
    /// Obey orders to the whole system (restart, shutdown).
    pub system_commands: bool,
    /// Seconds between two sums of what was seen.
    #[schemars(range(min = 10, max = 86400))]
    pub analytics_every_s: u32,
    /// Groups of characters that readers of plates take for one another.
    #[schemars(length(max = 64))]
    pub confusable: Vec<String>,
    /// A plate that differs from a wanted one in one confusable character is told too.
    pub near_matches: bool,
    /// Least milliseconds between two detection messages; vehicles that leave meanwhile share the next one.
    #[schemars(range(max = 3_600_000))]
    pub detection_interval_ms: u32,
    /// Vehicles and plates that are less sure are not told.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence_min: f64,
    /// Most vehicles in one message.
    #[schemars(range(min = 1, max = 64))]
    pub vehicles_max: u32,
    /// Tell wanted plates, and what is wrong with the camera.
    pub alerts: bool,
    /// Plates that are less sure are not told as wanted.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alert_confidence_min: f64,
    /// How alerts are told; MQTT is the only way there is.
    #[schemars(length(max = 1))]
    pub notification_channels: Vec<Channel>,
    /// Only false: no video is kept. (The server may ask for it, and is told so.)
    pub enable_recording: bool,
}

/// A way for alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// MQTT.
    Mqtt,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            enabled: false,
            prefix: "lprserver".into(),
            camera_id: None,
            checkpoint_id: None,
            system_commands: false,
            analytics_every_s: 300,
            confusable: ["0ODQ", "1ILT", "2Z", "5S", "6G", "8B", "4A", "7Y", "VU"].map(Into::into).into(),
            near_matches: true,
            detection_interval_ms: 0,
            confidence_min: 0.5,
            vehicles_max: 16,
            alerts: true,
            alert_confidence_min: 0.5,
            notification_channels: vec![Channel::Mqtt],
            enable_recording: false,
        }
    }
}
