//! The contract of the fleet server: its pure parts.
//!
//! Not wired yet: nothing of it is published or listened to. What is here is the watchlist alone; the
//! messages for detections, health, configuration and control are still to come.

mod watchlist;

pub use watchlist::{
    AlertLevel, Applied, CONFUSABLE, ENTRIES_MAX, Entry, Match, Mode, PLATE_CHARS_MAX, Update, UpdateError,
    Watchlist, normalized,
};
