//! From the picture to the forecast: `[detector]`, `[tracker]`, `[calibration]`, `[[zone]]`, `[behavior]`
//! and `[prediction]`.

use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::model::{Class, Zone as Place, ZoneKind};

/// How objects are found in a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Detector {
    /// The kind of detector.
    pub kind: DetectorKind,
    /// Polygons in relative image coordinates; only pixels in one of them are looked at, so leave room for
    /// heads. Empty: the whole picture.
    #[schemars(length(max = 16), inner(length(min = 3, max = 64)))]
    pub roi: Vec<Vec<Relative>>,
    /// Polygons in relative image coordinates in which nothing is ever detected.
    #[schemars(length(max = 16), inner(length(min = 3, max = 64)))]
    pub ignore: Vec<Vec<Relative>>,
    /// What has not stirred for this long becomes part of the background.
    #[schemars(range(min = 10.0, max = 30_000.0))]
    pub hold_s: f64,
    /// Look closely only where objects are expected: less work while they are in a part of the picture.
    pub crop: bool,
    /// The path of a network (ONNX) that looks at each track before it is confirmed, and again when it is doubtful.
    /// `MODEL.toml` beside `MODEL.onnx` describes it.
    pub verify: Option<PathBuf>,
    /// Time of a processor that the network may take, milliseconds per second.
    #[schemars(range(min = 1, max = 1000))]
    pub verify_budget_ms: u32,
    /// The path of ONNX Runtime's library (`libonnxruntime.so`), 1.17 or newer; not set: where the variable `ORT_DYLIB_PATH`
    /// says, or the system finds it.
    pub onnxruntime: Option<PathBuf>,
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            kind: DetectorKind::Motion,
            roi: Vec::new(),
            ignore: Vec::new(),
            hold_s: 600.0,
            crop: false,
            verify: None,
            verify_budget_ms: 100,
            onnxruntime: None,
        }
    }
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
    /// Least overlap (intersection over union) of a detection and the box that a track predicts, less what
    /// an unlikely place costs.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub iou_min: f64,
    /// A confirmed track ends when it is not seen for more than this many frames, and `lost_s`.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_age_frames: u32,
    /// A confirmed track ends when it is not seen for more than this long, and `max_age_frames`.
    #[schemars(range(min = 0.0, max = 600.0))]
    pub lost_s: f64,
    /// Sights before a track is confirmed.
    #[schemars(range(min = 1, max = 100))]
    pub min_hits: u32,
    /// Evidence before a track is confirmed: the sum over its sights of ln(odds of the score / odds of 0.31).
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub evidence_min: f64,
    /// Most tracks that are published of one frame.
    #[schemars(range(min = 1, max = 1000))]
    pub tracks_max: u32,
}

impl Default for Tracker {
    fn default() -> Self {
        Self {
            iou_min: 0.21,
            max_age_frames: 30,
            lost_s: 3.0,
            min_hits: 3,
            evidence_min: 12.0,
            tracks_max: 50,
        }
    }
}

/// How the picture lies on the ground: point pairs, or a homography, or neither. A simulated camera knows
/// its own calibration; it needs none here.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
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
    /// Accept a calibration although it fits to no camera that sees persons: units, heights and spread of the points
    /// are not judged.
    pub accept_doubtful: bool,
    /// Without points and homography the picture counts as a rectangle this many metres wide and deep (but not
    /// that of a simulated camera, which knows its calibration).
    #[schemars(range(min = 0.001, max = 100_000.0), extend("default" = Calibration::METERS_PER_UNIT))]
    pub meters_per_unit: Option<f64>,
}

impl Calibration {
    /// What `meters_per_unit` is when it is not set.
    pub const METERS_PER_UNIT: f64 = 10.0;
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
    /// The classes of tracks that its rules apply to.
    #[serde(default = "Zone::default_classes")]
    #[schemars(length(min = 1, max = 6))]
    pub classes: Vec<Class>,
    /// A track that spends so many seconds in it loiters, moving or not.
    #[schemars(range(min = 1.0, max = 86_400.0))]
    pub dwell_s: Option<f64>,
    /// Its corners in metres on the ground.
    #[schemars(length(min = 3, max = 64))]
    pub points_m: Option<Vec<[f64; 2]>>,
    /// Its corners in relative image coordinates, put on the ground by the calibration.
    #[schemars(length(min = 3, max = 64))]
    pub points_image: Option<Vec<Relative>>,
}

impl Zone {
    fn default_classes() -> Vec<Class> {
        Place::CLASSES.to_vec()
    }
}

/// When a behaviour has a name. On a camera without calibration there are no metres: running, zigzag and repeated
/// passes are off, and a person loiters by staying in one zone for `loitering_s` (or the zone's `dwell_s`).
#[expect(clippy::struct_excessive_bools, reason = "each switches one rule, and is a key of the file")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Behavior {
    /// Whether loitering is looked for.
    pub loitering: bool,
    /// Whether running is looked for.
    pub running: bool,
    /// Whether zigzag is looked for.
    pub zigzag: bool,
    /// Whether repeated passes are looked for.
    pub repeated_passes: bool,
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
    /// The time in which turns count.
    #[schemars(range(min = 1.0, max = 60.0))]
    pub zigzag_window_s: f64,
    /// Who passes the same place this often comes back again and again.
    #[schemars(range(min = 2, max = 100))]
    pub passes: u32,
    /// The time in which passes count.
    #[schemars(range(min = 1.0, max = 60.0))]
    pub passes_window_s: f64,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            loitering: true,
            running: true,
            zigzag: true,
            repeated_passes: true,
            loitering_s: 30.0,
            loitering_radius_m: 2.0,
            loitering_speed_mps: 0.5,
            running_mps: 3.0,
            running_s: 1.0,
            zigzag_turns: 5,
            zigzag_angle_deg: 45.0,
            zigzag_window_s: 20.0,
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
    /// From one forecast point to the next; at most `event_horizon_s`.
    #[schemars(range(min = 0.1, max = 60.0))]
    pub step_s: f64,
    /// How far ahead trespassing and collisions are foreseen.
    #[schemars(range(min = 0.5, max = 60.0))]
    pub event_horizon_s: f64,
    /// An event is predicted from this probability on.
    #[schemars(range(min = 0.05, max = 1.0))]
    pub predict_at: f64,
    /// A predicted event is taken back below this probability; less than `predict_at`.
    #[schemars(range(min = 0.0, max = 0.95))]
    pub retract_below: f64,
    /// The same event of the same tracks does not come again within this time.
    #[schemars(range(min = 0.0, max = 86_400.0))]
    pub cooldown_s: f64,
    /// Whether trespassing is looked for.
    pub trespassing: bool,
    /// Whether collisions are looked for; never on a camera without calibration.
    pub collision: bool,
    /// Tracks that come nearer than this collide, from middle to middle.
    #[schemars(range(min = 0.1, max = 100.0))]
    pub collision_m: f64,
    /// Tracks that approach more slowly than this meet, but do not collide.
    #[schemars(range(min = 0.1, max = 100.0))]
    pub collision_mps: f64,
}

impl Default for Prediction {
    fn default() -> Self {
        Self {
            horizon_s: 30.0,
            step_s: 1.0,
            event_horizon_s: 10.0,
            predict_at: 0.6,
            retract_below: 0.3,
            cooldown_s: 30.0,
            trespassing: true,
            collision: true,
            collision_m: 0.5,
            collision_mps: 1.0,
        }
    }
}
