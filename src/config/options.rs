//! The configuration as the program uses it: every value checked, in its final type.
//!
//! Sections whose raw form already is plain numbers that hold their ranges are used as they are.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::raw::{self, Pace};
use super::{Masked, Secret};
use crate::model::{CameraId, GroundPlane, Polygon, Size, Zone};

/// All options of one camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Which camera this is.
    pub camera: Camera,
    /// Where its frames come from.
    pub capture: Capture,
    /// How objects are found in a frame.
    pub detector: Detector,
    /// How detections become tracks.
    pub tracker: raw::Tracker,
    /// How the picture lies on the ground.
    pub calibration: Calibration,
    /// Named places on the ground, with different names.
    pub zones: Vec<Zone>,
    /// When a behaviour has a name.
    pub behavior: raw::Behavior,
    /// How far the forecast looks.
    pub prediction: Prediction,
    /// What is shared with the other cameras; none when it is switched off.
    pub swarm: Option<raw::Swarm>,
    /// The broker that this camera talks to.
    pub broker_link: Option<BrokerLink>,
    /// The embedded broker; none when it is switched off.
    pub broker: Option<Broker>,
    /// The folder for what survives a restart.
    pub state_dir: PathBuf,
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

/// Where the frames come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Capture {
    /// The silence after which a source has stalled.
    pub stall_after: Duration,
    /// The source.
    pub source: Source,
}

/// A source of frames.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A rendered plaza.
    Synthetic {
        /// The same seed gives the same plaza.
        seed: u64,
        /// Cameras around it.
        cameras: u32,
        /// Which of them this one is, below `cameras`.
        view: u32,
        /// Size of the picture.
        size: Size,
        /// Frames per second.
        fps: f64,
    },
    /// A program that writes YUV4MPEG2.
    Command {
        /// Program and arguments, at least the program.
        argv: Vec<Masked>,
        /// Whether frames are lost when nobody takes them.
        live: bool,
    },
    /// A file or stream for ffmpeg.
    Video {
        /// Path or URL.
        input: Masked,
        /// The size to scale it to.
        scale: Option<Size>,
        /// How fast it is played.
        pace: Pace,
    },
    /// Rows of detections.
    Replay {
        /// The file.
        file: PathBuf,
        /// The picture that the rows refer to.
        size: Size,
        /// Frames per second.
        fps: f64,
    },
}

/// How objects are found in a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    /// The kind of detector.
    pub kind: raw::DetectorKind,
    /// Where an object counts, in parts of the picture's width and height; empty: everywhere.
    pub roi: Vec<Polygon>,
    /// Where nothing counts, in the same unit.
    pub ignore: Vec<Polygon>,
}

/// How the picture lies on the ground.
#[derive(Debug, Clone, PartialEq)]
pub enum Calibration {
    /// Not measured: the picture is a rectangle this many metres wide and deep.
    Nominal {
        /// Metres.
        meters_per_unit: f64,
    },
    /// Measured, in a picture of the plane's own size.
    Plane(Box<GroundPlane>),
}

impl Calibration {
    /// The map for pictures of `size`.
    pub fn ground(&self, size: Size) -> GroundPlane {
        match self {
            Self::Nominal { meters_per_unit } => GroundPlane::nominal(*meters_per_unit, size),
            Self::Plane(plane) => plane.resized(size),
        }
    }
}

/// How far the forecast looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prediction {
    /// How far ahead; at least one step.
    pub horizon: Duration,
    /// From one forecast point to the next.
    pub step: Duration,
}

/// A broker that this camera talks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerLink {
    /// Its name for logs and the status.
    pub name: String,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port, not 0.
    pub port: u16,
    /// Who we are.
    pub user: Option<User>,
    /// A ping is sent after this much silence.
    pub keep_alive: Duration,
    /// Longest wait before the first attempt to reconnect.
    pub reconnect_first: Duration,
    /// Longest wait before any attempt to reconnect; not below the first.
    pub reconnect_max: Duration,
}

/// A user's name and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password; none when the broker asks for the name alone.
    pub password: Option<Secret>,
}

/// The embedded broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether clients without a name may connect; only on loopback.
    pub allow_anonymous: bool,
    /// Who may connect: different names, each with a password.
    pub users: Vec<User>,
    /// Most clients at once.
    pub max_clients: u32,
    /// Largest packet, bytes.
    pub max_packet_bytes: u32,
    /// Most retained messages.
    pub max_retained: u32,
    /// Most messages that wait for one client.
    pub max_queued_per_client: u32,
}
