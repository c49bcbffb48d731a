//! The only place where the parts are put together.
//!
//! ```text
//! Camera::start:  capture thread -> perception thread -> surface task, orders task -> links -> broker
//! daemon::run:    the embedded broker, one camera, the site's broker found or run, the service manager, signals,
//!                 reload
//! demo::Demo:     the embedded broker, N cameras over one simulated plaza
//! ```
//!
//! Order of the start: state file, link, capture, perception. Order of the stop: capture, perception,
//! surface (what waits, then the goodbye), session, broker; under one deadline. A part that panics
//! takes the process down, after the goodbye, with the exit code of a bug.
//!
//! No logic of its own belongs here: what a part does is the part's business.

mod camera;
pub mod daemon;
#[cfg(feature = "broker")]
pub mod demo;
mod finding;
mod fleet;
mod known_cameras;
mod links;
mod meter;
mod orders;
mod own_presence;
pub mod reload;
mod results;
mod signing;
mod surface;
mod time_sync;
mod trial;
mod wire;

pub use camera::Camera;
pub use orders::Request;

use crate::base::ErrorKind;
#[cfg(feature = "broker")]
use crate::broker;
use crate::{config, discovery, inference, link, store, swarm};

/// Why the daemon does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The detector can't be made.
    #[error("camera {camera}: {source}")]
    Detector {
        /// Whose.
        camera: String,
        /// Why.
        source: inference::Error,
    },
    /// The link can't be made.
    #[error(transparent)]
    Link(#[from] link::Error),
    /// The site's broker can't be looked for.
    #[error(transparent)]
    Discovery(#[from] discovery::Error),
    /// A configuration that is made here has faults.
    #[error(transparent)]
    Config(#[from] config::Faults),
    /// Another process has the state folder.
    #[error(transparent)]
    StateInUse(#[from] store::InUse),
    /// The presence message can't be made.
    #[error("presence: {0}")]
    Presence(#[from] swarm::codec::EncodeError),
    /// The embedded broker is gone, or never came.
    #[cfg(feature = "broker")]
    #[error(transparent)]
    Broker(#[from] broker::Error),
    /// The system has no thread or no signal handler left.
    #[error("the system refuses: {0}")]
    System(#[from] std::io::Error),
    /// A part panicked.
    #[error("{part} panicked: {message}")]
    Panicked {
        /// Which.
        part: String,
        /// What it said.
        message: String,
    },
    /// A part ended that never should.
    #[error("{part} ended by itself")]
    Ended {
        /// Which.
        part: String,
    },
    /// The deadline of the stop passed.
    #[error("parts still run {seconds} s after the stop began: left behind")]
    LeftBehind {
        /// The deadline.
        seconds: u64,
    },
    /// A second signal came while the daemon said goodbye.
    #[error("forced to stop by a second signal")]
    Forced,
}

impl Error {
    /// What machines act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Detector { source, .. } => source.kind(),
            Self::Link(error) => error.kind(),
            Self::Discovery(error) => error.kind(),
            Self::Config(faults) => faults.kind(),
            #[cfg(feature = "broker")]
            Self::Broker(error) => error.kind(),
            Self::System(_) | Self::StateInUse(_) => ErrorKind::Unavailable,
            Self::Presence(_) | Self::Panicked { .. } | Self::Ended { .. } => ErrorKind::Bug,
            Self::Forced | Self::LeftBehind { .. } => ErrorKind::Failed,
        }
    }
}
