//! The configuration file as it is written: one struct a section, one field a key.
//!
//! These structs are the only place where a key, its type, its range, its default and its meaning are
//! written down. The JSON Schema is made from them (a doc comment here is the description there), the
//! file is checked against that schema, and the effective configuration is these structs written out.
//!
//! A rule that needs two keys, or more than a range, does not belong here but in `validate`. Lengths in
//! the picture are relative (0..1 of width and height, origin top left) where a key says so, otherwise
//! pixels; lengths on the ground are metres; `_s` is seconds, `_mps` metres per second.

use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Masked, Secret};
use crate::model::{Severity, ZoneKind};

/// The configuration of one OmniSight camera.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Which camera this is.
    pub camera: Camera,
    /// Where its frames come from.
    pub capture: Capture,
    /// How objects are found in a frame.
    #[serde(default)]
    pub detector: Detector,
    /// How detections become tracks.
    #[serde(default)]
    pub tracker: Tracker,
    /// How the picture lies on the ground.
    #[serde(default)]
    pub calibration: Calibration,
    /// Named places on the ground.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub zone: Vec<Zone>,
    /// When a behaviour has a name.
    #[serde(default)]
    pub behavior: Behavior,
    /// How far the forecast looks.
    #[serde(default)]
    pub prediction: Prediction,
    /// What is shared with the other cameras of the site.
    #[serde(default)]
    pub swarm: Swarm,
    /// The broker that this camera talks to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broker_link: Vec<BrokerLink>,
    /// The embedded broker, for a site without one.
    #[serde(default)]
    pub broker: Broker,
    /// What survives a restart.
    #[serde(default)]
    pub state: State,
    /// What is written to the log.
    #[serde(default)]
    pub log: Log,
}

/// Which camera this is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// The camera's name on the wire, unique on the site.
    #[schemars(length(min = 1, max = 63), extend("pattern" = "^[A-Za-z0-9_.-]+$"))]
    pub id: String,
    /// A name for people; the id when it is not set.
    #[schemars(length(min = 1, max = 64))]
    pub name: Option<String>,
    /// The site that the camera belongs to.
    #[schemars(length(min = 1, max = 64))]
    pub site: Option<String>,
}

/// Where the frames come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("unevaluatedProperties" = false))]
pub struct Capture {
    /// A source that gives no frame for this long has stalled: it is named in the status and restarted.
    #[serde(default = "stall_after_s")]
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub stall_after_s: f64,
    /// The source.
    #[serde(flatten)]
    pub source: Source,
}

fn stall_after_s() -> f64 {
    10.0
}

/// What kind of source, and its own keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    /// A rendered plaza with people and vehicles.
    Synthetic(Synthetic),
    /// A program that writes YUV4MPEG2 to its standard output.
    Command(Command),
    /// A file or stream that ffmpeg can read.
    Video(Video),
    /// Detections from a `MOTChallenge` `det.txt` instead of pixels.
    Replay(Replay),
}

/// A rendered plaza with people and vehicles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Synthetic {
    /// The same seed gives the same plaza, on every machine.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub seed: u64,
    /// How many cameras stand around the plaza.
    #[schemars(range(min = 1, max = 64))]
    pub cameras: u32,
    /// Which of them this one is, counted from 0.
    #[schemars(range(min = 0, max = 63))]
    pub view: u32,
    /// Width of the picture in pixels.
    #[schemars(range(min = 64, max = 4096))]
    pub width: u32,
    /// Height of the picture in pixels.
    #[schemars(range(min = 64, max = 4096))]
    pub height: u32,
    /// Frames per second.
    #[schemars(range(min = 0.1, max = 120.0))]
    pub fps: f64,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self { seed: 1, cameras: 3, view: 0, width: 640, height: 480, fps: 10.0 }
    }
}

/// A program that writes YUV4MPEG2 to its standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// The program and its arguments; no shell is involved.
    #[schemars(length(min = 1, max = 256))]
    pub command: Vec<Masked>,
    /// A live source drops frames when the camera can't keep up; one that is not live waits.
    #[serde(default = "yes")]
    pub live: bool,
}

fn yes() -> bool {
    true
}

/// A file or stream that ffmpeg can read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Video {
    /// A path, or a URL such as `rtsp://192.168.1.20/stream1`.
    #[schemars(length(min = 1, max = 4096))]
    pub input: Masked,
    /// Scale the picture to this width in pixels (only together with height).
    #[schemars(range(min = 16, max = 8192))]
    pub width: Option<u32>,
    /// Scale the picture to this height in pixels (only together with width).
    #[schemars(range(min = 16, max = 8192))]
    pub height: Option<u32>,
    /// At the video's own rate, or as fast as it goes.
    #[serde(default)]
    pub pace: Pace,
}

/// How fast a file is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// At its own rate, as if it were live.
    #[default]
    Realtime,
    /// As fast as it goes.
    Fast,
}

/// Detections from a `MOTChallenge` `det.txt` instead of pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replay {
    /// The path of the rows.
    pub file: PathBuf,
    /// Width in pixels of the picture that the rows refer to.
    #[schemars(range(min = 1, max = 65536))]
    pub width: u32,
    /// Height in pixels of the picture that the rows refer to.
    #[schemars(range(min = 1, max = 65536))]
    pub height: u32,
    /// Frames per second of the rows.
    #[schemars(range(min = 0.1, max = 1000.0))]
    pub fps: f64,
}

/// How objects are found in a frame.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Detector {
    /// The kind of detector.
    pub kind: DetectorKind,
    /// Polygons in relative image coordinates; an object counts only when it stands in one of them.
    /// Empty: the whole picture.
    #[schemars(length(max = 16), inner(length(min = 3, max = 64)))]
    pub roi: Vec<Vec<Relative>>,
    /// Polygons in relative image coordinates in which nothing is ever detected.
    #[schemars(length(max = 16), inner(length(min = 3, max = 64)))]
    pub ignore: Vec<Vec<Relative>>,
}

/// The kind of detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DetectorKind {
    /// What moves before an adaptive background.
    #[default]
    Motion,
}

/// A point in the picture as parts of its width and height, 0..1 from the top left.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Relative(pub [f64; 2]);

impl JsonSchema for Relative {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Relative".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let part = json_schema!({ "type": "number", "minimum": 0.0, "maximum": 1.0 });
        json_schema!({ "type": "array", "items": part, "minItems": 2, "maxItems": 2 })
    }
}

/// How detections become tracks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tracker {
    /// Least overlap (intersection over union) of a detection and the box that a track predicts.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub iou_min: f64,
    /// A confirmed track that is not seen for this many frames ends.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_age_frames: u32,
    /// Sights in a row before a track is confirmed.
    #[schemars(range(min = 1, max = 100))]
    pub min_hits: u32,
    /// Most tracks that are published of one frame.
    #[schemars(range(min = 1, max = 1000))]
    pub tracks_max: u32,
}

impl Default for Tracker {
    fn default() -> Self {
        Self { iou_min: 0.3, max_age_frames: 30, min_hits: 3, tracks_max: 50 }
    }
}

/// How the picture lies on the ground: point pairs, or a homography, or neither.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Calibration {
    /// Width in pixels of the picture in which `points` or `homography` were measured.
    #[schemars(range(min = 1, max = 65536))]
    pub image_width: Option<u32>,
    /// Height in pixels of the picture in which `points` or `homography` were measured.
    #[schemars(range(min = 1, max = 65536))]
    pub image_height: Option<u32>,
    /// Four or more places that are known both in the picture and on the ground.
    #[schemars(length(min = 4, max = 256))]
    pub points: Option<Vec<Pair>>,
    /// The 3x3 matrix, row by row, that takes (u, v, 1) in pixels to metres, up to scale.
    pub homography: Option<[[f64; 3]; 3]>,
    /// Accept a picture in which the horizon can be seen.
    pub allow_horizon: bool,
    /// Without points and homography the picture counts as a rectangle this many metres wide and deep.
    #[schemars(range(min = 0.001, max = 100_000.0))]
    pub meters_per_unit: f64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            image_width: None,
            image_height: None,
            points: None,
            homography: None,
            allow_horizon: false,
            meters_per_unit: 10.0,
        }
    }
}

/// A place in the picture and on the ground.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Column and row in pixels.
    pub image: [f64; 2],
    /// x and y in metres on the site's ground plane (seen from above, y is left of x).
    pub ground: [f64; 2],
}

/// A named place on the ground.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its name, unique on the camera.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub kind: ZoneKind,
    /// Its corners in metres on the ground.
    #[schemars(length(min = 3, max = 64))]
    pub points_m: Option<Vec<[f64; 2]>>,
    /// Its corners in relative image coordinates, put on the ground by the calibration.
    #[schemars(length(min = 3, max = 64))]
    pub points_image: Option<Vec<Relative>>,
}

/// When a behaviour has a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Behavior {
    /// Who stays this long in one place loiters.
    #[schemars(range(min = 1.0, max = 86_400.0))]
    pub loitering_s: f64,
    /// How large one place is.
    #[schemars(range(min = 0.1, max = 1000.0))]
    pub loitering_radius_m: f64,
    /// Who moves faster does not loiter.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub loitering_speed_mps: f64,
    /// Who moves at least this fast runs.
    #[schemars(range(min = 0.1, max = 100.0))]
    pub running_mps: f64,
    /// How long it takes to be sure of it.
    #[schemars(range(min = 0.1, max = 60.0))]
    pub running_s: f64,
    /// This many turns make a zigzag.
    #[schemars(range(min = 2, max = 100))]
    pub zigzag_turns: u32,
    /// A change of direction above this many degrees is a turn.
    #[schemars(range(min = 1.0, max = 180.0))]
    pub zigzag_angle_deg: f64,
    /// Who passes the same place this often comes back again and again.
    #[schemars(range(min = 2, max = 100))]
    pub passes: u32,
    /// The time in which passes count.
    #[schemars(range(min = 1.0, max = 3600.0))]
    pub passes_window_s: f64,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            loitering_s: 30.0,
            loitering_radius_m: 2.0,
            loitering_speed_mps: 0.5,
            running_mps: 3.0,
            running_s: 1.0,
            zigzag_turns: 5,
            zigzag_angle_deg: 45.0,
            passes: 3,
            passes_window_s: 60.0,
        }
    }
}

/// How far the forecast looks; at most 300 steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prediction {
    /// How far ahead.
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub horizon_s: f64,
    /// From one forecast point to the next.
    #[schemars(range(min = 0.1, max = 60.0))]
    pub step_s: f64,
}

impl Default for Prediction {
    fn default() -> Self {
        Self { horizon_s: 30.0, step_s: 1.0 }
    }
}

/// What is shared with the other cameras of the site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Swarm {
    /// Publish tracks, events and presence, and listen to those of the others.
    pub enabled: bool,
    /// The first levels of every topic; the same for all cameras of a site.
    #[schemars(length(min = 1, max = 200))]
    pub prefix: String,
    /// Most messages a second about one track.
    #[schemars(range(min = 0.1, max = 100.0))]
    pub track_rate_hz: f64,
    /// Events below this severity stay on the camera.
    pub publish_severity: Severity,
    /// Most other cameras that are remembered; when there are more, the longest silent one is forgotten.
    #[schemars(range(min = 1, max = 4096))]
    pub peers_max: u32,
    /// A camera that says nothing for this long counts as away.
    #[schemars(range(min = 1.0, max = 3600.0))]
    pub stale_after_s: f64,
}

impl Default for Swarm {
    fn default() -> Self {
        Self {
            enabled: true,
            prefix: "omnisight/swarm".into(),
            track_rate_hz: 10.0,
            publish_severity: Severity::Medium,
            peers_max: 256,
            stale_after_s: 30.0,
        }
    }
}

/// A broker that this camera talks to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrokerLink {
    /// A name for logs and the status.
    #[serde(default = "link_name")]
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Where the broker is: `mqtt://host:port` (port 1883 when it is left out).
    #[schemars(length(min = 1, max = 512))]
    pub url: String,
    /// The user's name, when the broker wants one.
    #[schemars(length(min = 1, max = 256))]
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// A ping is sent after this much silence.
    #[serde(default = "keep_alive_s")]
    #[schemars(range(min = 5, max = 65535))]
    pub keep_alive_s: u16,
    /// Longest wait before the first attempt to reconnect; it doubles with every further one.
    #[serde(default = "reconnect_first_s")]
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub reconnect_first_s: f64,
    /// No wait before an attempt to reconnect is longer than this.
    #[serde(default = "reconnect_max_s")]
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub reconnect_max_s: f64,
}

fn link_name() -> String {
    "main".into()
}

fn keep_alive_s() -> u16 {
    60
}

fn reconnect_first_s() -> f64 {
    1.0
}

fn reconnect_max_s() -> f64 {
    60.0
}

/// The embedded broker. What it keeps on disk is in the folder `broker` of `state.dir`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// Run it inside this camera.
    pub enabled: bool,
    /// Address and port on which it listens; `0.0.0.0:1883` for other machines, port 0 for a free port.
    pub listen: String,
    /// Let clients in without a name; only when it listens on loopback.
    pub allow_anonymous: bool,
    /// Who may connect.
    #[schemars(length(max = 1024))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    /// Most clients at once; more are refused.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_clients: u32,
    /// Largest packet in bytes; a client that sends a larger one is disconnected.
    #[schemars(range(min = 1024, max = 268_435_455))]
    pub max_packet_bytes: u32,
    /// Most retained messages.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_retained: u32,
    /// Most messages that wait for one client.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_queued_per_client: u32,
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            enabled: false,
            listen: "127.0.0.1:1883".into(),
            allow_anonymous: false,
            users: Vec::new(),
            max_clients: 128,
            max_packet_bytes: 1_048_576,
            max_retained: 10_000,
            max_queued_per_client: 1000,
        }
    }
}

/// Who may connect to the embedded broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The user's name, unique.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The user's password.
    pub password: Option<Secret>,
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
}

/// What survives a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// The folder for it. When it is not set and `STATE_DIRECTORY` is (as under systemd), that one is used.
    pub dir: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        Self { dir: "/var/lib/omnisight".into() }
    }
}

/// What is written to the log.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important messages that are still written.
    pub level: Level,
    /// For people, or for machines.
    pub format: Format,
}

/// How important a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// How it happens.
    Debug,
    /// Everything.
    Trace,
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}
