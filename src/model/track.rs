//! An object followed over time in the image: as one camera judges it, and as it is told to others.
//!
//! Both are values for one frame, made by the tracker and copied from there on; they are never changed later. A
//! track is only reported in a frame in which it was detected, so box and foot are true at
//! [`Track::last_seen`]. Where it stands on the ground and what it does is [`super::SceneTrack`]'s.

use super::{BBox, Class, Motion};
use crate::base::Time;

/// A confirmed track in a frame in which it was seen, or is covered by another for a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Track {
    /// Never used twice by one camera.
    pub id: u32,
    /// What it is, by the majority of its detections.
    pub class: Class,
    /// The filtered box, pixels.
    pub bbox: BBox,
    /// The probability that there is an object in its box in this frame, 0..1.
    pub confidence: f64,
    /// The foot point (middle of the lower edge) in the image: pixels, pixels per second.
    pub foot: Motion,
    /// When its first detection was captured.
    pub first_seen: Time,
    /// The frame for which box, foot and all that follows from them are true: that of its last detection,
    /// or, while another track covers it, of its last report.
    pub last_seen: Time,
    /// Frames in which it was detected.
    pub hits: u32,
}

/// A detection and the track it belongs to, confirmed or not: what is told to cameras that see the same ground.
///
/// Its place is that of the detection alone, whose error is new in every frame; a filtered one repeats the errors
/// of the frames before, which a table of several views takes for knowledge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// The track's id; before it is confirmed one from [`crate::track::UNCONFIRMED_IDS`] on, which ends then.
    pub track: u32,
    /// What the track is, by the majority of its detections.
    pub class: Class,
    /// The probability that there is an object in its box, 0..1.
    pub confidence: f64,
    /// The detected box, pixels.
    pub bbox: BBox,
    /// The foot point of that box with the detector's error, and the track's velocity: in the image as the
    /// tracker tells it (pixels, pixels per second), on the ground in a [`super::Scene`] (metres, metres per second).
    pub foot: Motion,
}
