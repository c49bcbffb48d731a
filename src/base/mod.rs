//! What every part may lean on: time, error kinds, backoff, identifiers' source.
//!
//! Knows nothing of cameras, video or MQTT, and nothing else of this crate.

mod backoff;
mod clock;
mod error;
mod ids;

pub use backoff::{Backoff, BackoffOptions};
pub use clock::{Clock, ManualClock, SystemClock, Time};
pub use error::ErrorKind;
pub use ids::{CountingIds, IdSource};
