//! What the cameras of a site agree on, whom they believe, and by which clock: `[consensus]`, `[trust]`
//! and `[clock]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the cameras of a site agree on what happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Consensus {
    /// Part of the cameras that can see the place which must confirm an event. The same for all cameras of a
    /// site.
    #[schemars(range(min = 0.1, max = 1.0))]
    pub quorum: f64,
    /// How likely it must be by all answers together to be an alarm. The same for all cameras of a site.
    #[schemars(range(min = 0.5, max = 0.999))]
    pub alert_above: f64,
    /// How long answers are waited for.
    #[schemars(range(min = 0.5, max = 60.0))]
    pub timeout_s: f64,
}

impl Default for Consensus {
    fn default() -> Self {
        Self { quorum: 2.0 / 3.0, alert_above: 0.7, timeout_s: 3.0 }
    }
}

/// Whom this camera believes, and how it shows who it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Trust {
    /// Sign events, votes, weights and presence with a key of this camera, which is made at the first start.
    /// Needs MQTT 5.
    pub sign: bool,
    /// Sign tracks too, and accept only signed tracks of cameras that sign. Not set: as `sign`, and always with
    /// `require`. The same for all cameras of a site.
    pub sign_tracks: Option<bool>,
    /// Accept only signed messages, of all families.
    pub require: bool,
    /// Believe the first key that a camera introduces itself with; else only those in `keys`.
    pub pin_first: bool,
    /// Replace this camera's key at a start when it is older than this many days; 0: never.
    #[schemars(range(max = 3650))]
    pub rotate_days: u32,
    /// Cameras whose keys are known, as their status tells them (`public_key`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4096))]
    pub keys: Vec<TrustedKey>,
}

/// A camera and its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// The camera's id.
    #[schemars(length(min = 1, max = 63))]
    pub camera: String,
    /// `ed25519:` and its public key in base64.
    #[schemars(length(min = 1, max = 64))]
    pub key: String,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            sign: false,
            sign_tracks: None,
            require: false,
            pin_first: true,
            rotate_days: 0,
            keys: Vec::new(),
        }
    }
}

/// How the camera knows what time it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Clock {
    /// A time server (SNTP) that is asked how far the system's clock is off; times are corrected by its answer.
    /// Not needed where the system keeps its clock itself.
    #[schemars(length(min = 1, max = 253))]
    pub sntp_server: Option<String>,
    /// How often it is asked.
    #[schemars(range(min = 16.0, max = 86400.0))]
    pub sntp_every_s: f64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { sntp_server: None, sntp_every_s: 300.0 }
    }
}
