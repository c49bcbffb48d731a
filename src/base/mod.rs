//! What every part may lean on: time, error kinds, backoff, identifiers' source, the assignment problem,
//! secrets and how they are hidden.
//!
//! Knows nothing of cameras, video or MQTT, and nothing else of this crate.

mod assignment;
mod backoff;
mod clock;
mod error;
mod ids;
mod secret;
mod url;

pub use assignment::{Assignment, Pair};
pub use backoff::{Backoff, BackoffOptions};
pub use clock::{Clock, ManualClock, SystemClock, Time};
pub use error::ErrorKind;
pub use ids::{CountingIds, IdSource};
pub use secret::Secret;
pub use url::without_url_secrets;
