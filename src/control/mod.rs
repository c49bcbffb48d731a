//! Taking orders: one [`Command`] enum, one permission check, one reply path, and a truthful status.
//!
//! ```text
//! delivery -> Plane (topics) -> Desk (may it? seen before? how often?) -> Execute -> app does it
//!                 ^                                                                     |
//!   replies, status, audit <------------------ Desk <------------- Outcome -------------+
//! scenes, measurements -> Data -> detections, metrics
//! ```
//!
//! What is retained on `{prefix}/{camera_id}/control/status` is what is so:
//!
//! ```text
//!            first frame              pause
//! connected -------------> running <---------> paused
//!     |  \                    |      resume       |
//!     |   +------- pause -----|------------------>|
//!     |                       |                   |
//!     +----------- stop, restart, SIGTERM --------+----> stopped ----> disconnected
//!
//! from everywhere, when the process or its network dies: disconnected, by the will
//! ```
//!
//! - A word is published only when it is already so: `paused` when no frame is taken any more, `stopped`
//!   when the way out has begun, `disconnected` as the last message or by the broker. A reconnect publishes
//!   the present word again.
//! - Every command gets an answer, unknown and malformed ones too; what is too large or for another camera
//!   is counted. A repeated id is answered again and done once. A retained command is never done.
//! - A source that is down does not change the word: it stands in the status's `modes`.
//! - Nothing here does anything: no I/O, no clock, no connection; `app` owns these.

mod command;
mod data;
mod desk;
mod permissions;
mod plane;
mod rate;
mod rejection;
mod repeats;
mod reply;
mod request;
mod status;
#[cfg(test)]
mod tests;
mod topics;

use std::time::Duration;

pub use command::{Command, SETTING_KEY_BYTES_MAX, SETTINGS_MAX, Settings, Word, kind_of};
pub use data::{
    Crop, Data, DataTopics, FrameQuality, FullFrame, METRICS_EVERY, Measured, Options as DataOptions,
};
pub use desk::{Action, Asker, Audit, Counters, Desk, Options as DeskOptions, RUNNING_MAX, Ticket};
pub use permissions::{Door, Permissions, RuleError};
pub use plane::{Connection, Options as PlaneOptions, Outgoing, Plane};
pub use rejection::Rejection;
pub use repeats::{IDS_MAX, KEPT, Repeats};
pub use reply::{Outcome, Reply, ReplyState};
pub use request::{COMMAND_BYTES_MAX, ID_BYTES_MAX, Request, Unread, fingerprint};
pub use status::{Activity, Status, Truth};
pub use topics::{PREFIX, Topics};

/// How the control and data plane are set.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The first levels of every topic.
    pub prefix: String,
    /// Who may, and how often.
    pub desk: DeskOptions,
    /// What is told where.
    pub plane: PlaneOptions,
    /// What is published of scenes and measurements.
    pub data: DataOptions,
    /// How long a change of links has to bring up the one by which commands come.
    pub trial: Duration,
}

/// How long such a change has, when nothing is set.
pub const TRIAL: Duration = Duration::from_secs(30);

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: PREFIX.to_owned(),
            desk: DeskOptions::default(),
            plane: PlaneOptions::default(),
            data: DataOptions::default(),
            trial: TRIAL,
        }
    }
}
