//! The retained status: what the camera is doing, as others see it.
//!
//! [`Activity`] is what is so; [`Status`] is the word for it on the wire. There is no way to publish another
//! word than the one that follows from the activity. See the module for the diagram.

use serde::Serialize;

use super::Topics;
use crate::base::rfc3339;
use crate::model::Modes;

/// What the camera is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activity {
    /// It has just started and waits for its first frame.
    #[default]
    Starting,
    /// Frames are taken and looked at; or would be, if the source gave any.
    Running,
    /// Nobody takes frames.
    Paused,
    /// It is on its way out.
    Stopping,
    /// It has left.
    Gone,
}

impl Activity {
    /// The word for it.
    pub fn status(self) -> Status {
        match self {
            Self::Starting => Status::Connected,
            Self::Running => Status::Running,
            Self::Paused => Status::Paused,
            Self::Stopping => Status::Stopped,
            Self::Gone => Status::Disconnected,
        }
    }
}

/// The words on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// On the broker, not yet running.
    Connected,
    /// Running.
    Running,
    /// Paused.
    Paused,
    /// On its way out.
    Stopped,
    /// Not there: by its own word, or by its will.
    Disconnected,
}

impl Status {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Disconnected => "disconnected",
        }
    }
}

/// All that a status tells beside its word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Truth {
    /// What it is doing.
    pub activity: Activity,
    /// The degraded modes in force.
    pub modes: Modes,
    /// The adaptive region of interest is on.
    pub crop: bool,
}

#[derive(Serialize)]
struct Wire<'a> {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    client_id: &'a str,
    camera_id: &'a str,
    state: Details,
}

#[derive(Serialize)]
struct Details {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    modes: Option<Modes>,
    crop: bool,
}

/// Compact JSON, as of `epoch_ms`, milliseconds since the epoch; without it the time is not known.
pub(super) fn to_json(truth: &Truth, topics: &Topics, epoch_ms: Option<u64>) -> Vec<u8> {
    let wire = Wire {
        status: truth.activity.status(),
        timestamp: epoch_ms.map(rfc3339),
        client_id: &topics.client_id(),
        camera_id: topics.camera().as_str(),
        state: Details {
            version: env!("CARGO_PKG_VERSION"),
            modes: Some(truth.modes).filter(|modes| !modes.is_empty()),
            crop: truth.crop,
        },
    };
    // Strings and booleans always have a JSON form.
    serde_json::to_vec(&wire).unwrap_or_default()
}
