//! Who may give orders, and what is told of it: `[control]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::control::{DataTopics, FrameQuality};

/// Commands from outside, the status, and the data plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Control {
    /// Take commands, tell the status, publish detections and metrics.
    pub enabled: bool,
    /// The first levels of every topic; the same for all cameras of a site.
    #[schemars(length(min = 1, max = 200))]
    pub prefix: String,
    /// Which commands are done: COMMAND, DOOR:COMMAND, or either with `*`; DOOR is shared (the topic of all
    /// cameras), own (the topic of this camera) or fleet.
    #[schemars(length(max = 128))]
    pub allow: Vec<String>,
    /// Most commands a second on each command topic, over two seconds.
    #[schemars(range(min = 1, max = 1000))]
    pub rate_per_s: u32,
    /// Tell the status also on the topic that all cameras share.
    pub shared_status: bool,
    /// Publish a line about every command.
    pub audit: bool,
    /// Publish detections and metrics.
    pub data: bool,
    /// Most messages a second with detections.
    #[schemars(range(min = 0.1, max = 100.0))]
    pub detections_hz: f64,
    /// Where data goes: on the topics that all cameras share, on those with the camera's id, or both.
    pub data_topics: DataTopics,
    /// Pictures may leave the camera: the command `snapshot` is done.
    pub frames: bool,
    /// Frames with their boxes a second that are published without being asked for; 0: none.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub full_frames_hz: f64,
    /// Of such pictures: low, medium or high.
    pub frame_quality: FrameQuality,
    /// A configuration with other broker links is taken back when the link by which commands come is not up
    /// after this many seconds.
    #[schemars(range(min = 5, max = 600))]
    pub trial_s: u32,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            enabled: true,
            prefix: "inference".into(),
            allow: vec!["*".into()],
            rate_per_s: 20,
            shared_status: true,
            audit: false,
            data: true,
            detections_hz: 10.0,
            data_topics: DataTopics::Shared,
            frames: false,
            full_frames_hz: 0.0,
            frame_quality: FrameQuality::default(),
            trial_s: 30,
        }
    }
}
