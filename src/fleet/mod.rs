//! The contract of the fleet server: what a camera tells it, and what it may ask.
//!
//! ```text
//! transitions -> gather, watchlist -> detection, notifications   -+
//! vitals ------> health -----------> health, alerts, checkpoints  +-> Action::Send -> app -> broker
//! deliveries --> dialect -> orders -> Action::Ask -> desk -> Reply -> response, config
//!           \--> ack -------------------------------> Action::Acknowledged -> the outbox forgets it
//! ```
//!
//! - One detection per vehicle track, at its final reading; several in one message when an interval is set. It
//!   keeps its `message_id` however often it is sent, and is forgotten at the server's own word alone.
//! - Every order goes to the desk of `control` and is answered on `control/response`, once. Only this camera
//!   answers for itself.
//! - The retained `config` is what is in force. One that somebody else wrote there is taken as an update, and
//!   what is in force then is published over it.
//! - Said in the document's dialect; the three there are are understood (`dialect`). Keys without a value are
//!   left out: no number is invented.
//! - A wanted plate makes a notification that says why it is wanted, once for a track. The watchlist outlives
//!   a restart ([`Action::KeepWatchlist`]).
//! - Nothing here reads a clock, a file or a socket: [`Fleet::handle`] takes an input and `now`, and says what
//!   is to be done.
//!
//! Bounds: `GATHERED_MAX` vehicles that wait for their message, `PLATES_MAX` tracks whose plate is known, the
//! watchlist's own, and 256 KiB a message but for the watchlist's.

mod dialect;
mod health;
mod ids;
mod machine;
mod orders;
mod settings;
#[cfg(test)]
mod tests;
mod topics;
mod watchlist;

use std::time::Duration;

pub use health::{BUSY_PERCENT, CameraState, DISK_FULL_PERCENT, HOT_C, Vitals};
pub use machine::{Action, Counters, Fleet, HEALTH_EVERY, Input, Report};
pub use topics::PREFIX;
pub use watchlist::{
    AlertLevel, Applied, CONFUSABLE, ENTRIES_MAX, Entry, Match, Mode, PLATE_CHARS_MAX, Update, UpdateError,
    Watchlist, normalized,
};

use crate::control::FrameQuality;

/// How a camera serves its fleet server.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The first levels of every topic.
    pub prefix: String,
    /// What the server calls this camera: letters, digits and `_`.
    pub camera_id: String,
    /// The place it watches: letters, digits and `_`.
    pub checkpoint_id: String,
    /// Orders to the whole system are obeyed.
    pub system_commands: bool,
    /// Groups of characters that readers of plates take for one another.
    pub confusable: Vec<String>,
    /// Between two sums of what was seen.
    pub analytics_every: Duration,
    /// What the server may change.
    pub tuning: Tuning,
}

/// What of the [`Options`] can be changed while it runs, by the server too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// Least time between two detection messages; what ends meanwhile shares the next one.
    pub detection_interval: Duration,
    /// Less sure readings and vehicles are not told, 0..=1.
    pub confidence_min: f64,
    /// Most vehicles in one message, from 1.
    pub vehicles_max: usize,
    /// Of the pictures that leave, where they may.
    pub image_quality: FrameQuality,
    /// Wanted plates and bad health are told.
    pub alerts: bool,
    /// They are told by MQTT, the only way there is.
    pub alerts_by_mqtt: bool,
    /// Less sure readings make no notification, 0..=1.
    pub alert_confidence_min: f64,
    /// A plate with one confusable character is wanted too.
    pub near_matches: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            detection_interval: Duration::ZERO,
            confidence_min: 0.5,
            vehicles_max: 16,
            image_quality: FrameQuality::default(),
            alerts: true,
            alerts_by_mqtt: true,
            alert_confidence_min: 0.5,
            near_matches: true,
        }
    }
}

impl Options {
    /// A camera of this name, which is a legal one, with everything as usual.
    pub fn new(camera_id: &str) -> Self {
        Self {
            prefix: PREFIX.to_owned(),
            camera_id: camera_id.to_owned(),
            checkpoint_id: camera_id.to_owned(),
            system_commands: false,
            confusable: CONFUSABLE.map(str::to_owned).into(),
            analytics_every: Duration::from_mins(5),
            tuning: Tuning::default(),
        }
    }
}

/// Whether the server takes a text for the name of a camera or a checkpoint.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
