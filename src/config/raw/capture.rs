//! `[capture]`: each kind of source with its own keys, told apart by `kind`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Masked;

/// Where the frames come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("unevaluatedProperties" = false))]
pub struct Capture {
    /// A source that gives no frame for this long has stalled: it is named in the status and restarted.
    #[serde(default = "stall_after_s")]
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub stall_after_s: f64,
    /// How fast a recording is played (not set: at its own rate); a live source has a pace of its own.
    pub pace: Option<Pace>,
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
    #[schemars(range(min = 64, max = 3840))]
    pub width: u32,
    /// Height of the picture in pixels.
    #[schemars(range(min = 48, max = 2160))]
    pub height: u32,
    /// Frames per second.
    #[schemars(range(min = 0.1, max = 120.0))]
    pub fps: f64,
    /// Tell the plates of the vehicles with each frame, as a reader without faults would read them.
    pub plates: bool,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self { seed: 1, cameras: 3, view: 0, width: 480, height: 360, fps: 10.0, plates: false }
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
    /// Frames per second of a recording whose header lies or says nothing; not when it is live.
    #[schemars(range(min = 0.01, max = 1000.0))]
    pub fps: Option<f64>,
}

fn yes() -> bool {
    true
}

/// A file or stream that ffmpeg can read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Video {
    /// The path of a video or of a folder of pictures, or a URL such as `rtsp://192.168.1.20/stream1`. A password in a
    /// URL may hold any sign; `{secret:NAME}` stands for a secret of that name: a credential of systemd, or
    /// `omnisight secret set`. Of a URL only scheme, host and port are ever shown.
    #[schemars(length(min = 1, max = 4096))]
    pub input: Masked,
    /// Scale the picture to this width in pixels (only together with height).
    #[schemars(range(min = 16, max = 8192))]
    pub width: Option<u32>,
    /// Scale the picture to this height in pixels (only together with width).
    #[schemars(range(min = 16, max = 8192))]
    pub height: Option<u32>,
    /// Frames per second of a file whose header lies or says nothing, or of a folder of pictures: frames are
    /// spaced by it, none is dropped or repeated. Not for a URL, which is live.
    #[schemars(range(min = 0.01, max = 1000.0))]
    pub fps: Option<f64>,
}

/// How fast a recording is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// At its own rate, as if it were live.
    #[default]
    Realtime,
    /// As fast as it goes.
    Fast,
}

impl Pace {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::Fast => "fast",
        }
    }
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
    /// The rows are vehicles, not persons.
    #[serde(default)]
    pub vehicles: bool,
    /// The path of what a reader of plates left behind: rows of frame,left,top,width,height,confidence,text.
    pub plates: Option<PathBuf>,
}
