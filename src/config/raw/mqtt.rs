//! What is shared, and with whom: `[swarm]` and `[[broker_link]]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Secret;
use crate::model::Severity;

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
    /// Longest wait before the first attempt to reconnect; it doubles with every further one.
    #[serde(default = "reconnect_first_s")]
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub reconnect_first_s: f64,
    /// No wait before an attempt to reconnect is longer than this.
    #[serde(default = "reconnect_max_s")]
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub reconnect_max_s: f64,
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
