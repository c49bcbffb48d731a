//! An object followed over time in the image.

use super::{BBox, Class, Motion};
use crate::base::Time;

/// A confirmed track in a frame in which it was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Track {
    /// Never used twice by one camera.
    pub id: u32,
    /// What it is, by the majority of its detections.
    pub class: Class,
    /// The filtered box, pixels.
    pub bbox: BBox,
    /// The score of its detection in this frame, 0..1.
    pub confidence: f64,
    /// The foot point (middle of the lower edge) in the image: pixels, pixels per second.
    pub foot: Motion,
    /// When its first detection was captured.
    pub first_seen: Time,
    /// Frames in which it was detected.
    pub hits: u32,
}
