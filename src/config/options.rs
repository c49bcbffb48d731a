//! The configuration as the program uses it: each part's own options, every value checked.

use std::path::PathBuf;

use super::raw;
#[cfg(feature = "broker")]
use crate::broker;
use crate::model::CameraId;
use crate::{capture, control, discovery, fleet, link, pipeline, swarm};

/// All options of one camera.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which camera this is.
    pub camera: Camera,
    /// Where its frames come from.
    pub capture: capture::Options,
    /// From a frame to a scene.
    pub perception: pipeline::Options,
    /// What is shared with the other cameras; none when it is switched off.
    pub swarm: Option<swarm::Options>,
    /// Whether what it says is signed.
    pub signing: Signing,
    /// Who knows what time it is; none: the system's clock is taken as it is.
    pub time_server: Option<TimeServer>,
    /// Commands, status and data plane; none when they are switched off.
    pub control: Option<control::Options>,
    /// How a fleet server is served; none when it is switched off.
    pub fleet: Option<fleet::Options>,
    /// The brokers that this camera talks to. One without a host is to be found.
    pub links: Vec<BrokerLink>,
    /// How it is found, and who runs it; none when nobody looks.
    pub discovery: Option<Discovery>,
    /// Where messages wait that must not be lost.
    pub outbox: link::OutboxOptions,
    /// The embedded broker; none when it is switched off.
    #[cfg(feature = "broker")]
    pub broker: Option<broker::Options>,
    /// The folder for what survives a restart.
    pub state_dir: PathBuf,
    /// What is written to the log.
    pub log: raw::Log,
    /// What is not wrong, but worth a look: one sentence each.
    pub notes: Vec<String>,
}

/// A time server that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeServer {
    /// Its name or address, with or without a port.
    pub address: String,
    /// How often.
    pub every: std::time::Duration,
}

/// Whether a camera signs, and for how long with one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signing {
    /// It signs.
    pub enabled: bool,
    /// A key that is older at a start is replaced; none: never.
    pub rotate_after: Option<std::time::Duration>,
}

/// A broker that this camera talks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerLink {
    /// How.
    pub options: link::Options,
    /// About what.
    pub carries: link::Carries,
}

/// How cameras find each other.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// Who takes part.
    pub options: discovery::Options,
    /// The broker that this camera runs when it is its turn; none when it would not.
    #[cfg(feature = "broker")]
    pub host: Option<broker::Options>,
}

/// All options of a broker that runs alone.
#[cfg(feature = "broker")]
#[derive(Debug, Clone)]
pub struct BrokerAlone {
    /// The broker.
    pub options: broker::Options,
    /// What is written to the log.
    pub log: raw::Log,
}

/// Which camera this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Camera {
    /// Its name on the wire.
    pub id: CameraId,
    /// Its name for people.
    pub name: String,
    /// The site it belongs to.
    pub site: Option<String>,
}
