//! What every part may lean on: time and its text form, error kinds, backoff, identifiers' source, the
//! assignment problem, a hash, functions that give the same bits everywhere, files that are replaced whole,
//! secrets and how they are hidden, text files of other programs.
//!
//! Knows nothing of cameras, video or MQTT, and nothing else of this crate.

mod assignment;
mod backoff;
mod clock;
mod error;
mod file;
mod hash;
mod ids;
pub mod portable;
mod secret;
mod text;
mod timestamp;
mod url;

pub use assignment::{Assignment, Pair};
pub use backoff::{Backoff, BackoffOptions};
pub use clock::{Clock, CorrectedClock, ManualClock, SET_FROM_MS, SystemClock, Time};
pub use error::ErrorKind;
pub use file::{Readers, replace_file};
pub use hash::fnv1a;
pub use ids::{CountingIds, IdSource};
pub use secret::Secret;
pub use text::{read_text, skip_mark, without_mark};
pub use timestamp::{parse_timestamp, rfc3339};
pub use url::{
    StreamUrl, UrlSecrets, ascii_host, encode_url_component, line_without_url_secrets, without_url_secrets,
};
