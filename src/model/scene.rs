//! Everything known after one frame: what the surfaces translate.
//!
//! A [`Scene`] is the whole truth of its frame, so the newest replaces all before it and one that is
//! skipped is no loss. A [`Transition`] is what would be lost that way, and so is never skipped. Neither
//! carries pixels, and nothing here is computed: the pipeline fills it in.

use super::{Attribute, Behavior, CameraId, Event, Forecast, Motion, Sighting, Size, Track};
use crate::base::Time;

/// One track with all that was found out about it.
#[derive(Debug, Clone, PartialEq)]
pub struct SceneTrack {
    /// In the image.
    pub track: Track,
    /// On the ground (metres, metres per second): the measured place, and the velocity estimated over
    /// the last seconds; none where the ground plane has no answer.
    pub ground: Option<Motion>,
    /// What it does.
    pub behavior: Behavior,
    /// Where it goes.
    pub forecast: Forecast,
}

impl SceneTrack {
    /// What is told of it where nothing better is known than its place on the ground.
    pub fn sighting(&self) -> Option<Sighting> {
        let Track { id, class, confidence, bbox, .. } = self.track;
        self.ground.map(|foot| Sighting { track: id, class, confidence, bbox, foot })
    }
}

/// The state after one frame. Immutable, and replaced by the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// Whose.
    pub camera: CameraId,
    /// The frame's number at its source.
    pub seq: u64,
    /// Capture of the frame.
    pub time: Time,
    /// Size of the frame, pixels.
    pub size: Size,
    /// The confirmed tracks seen in this frame, by id.
    pub tracks: Vec<SceneTrack>,
    /// What was detected in this frame of tracks that are confirmed or may become so, by id, where the ground plane
    /// has an answer.
    pub sightings: Vec<Sighting>,
    /// Detections in this frame.
    pub detections: usize,
}

impl Scene {
    /// The confirmed track of this id.
    pub fn track(&self, id: u32) -> Option<&SceneTrack> {
        self.tracks.binary_search_by_key(&id, |seen| seen.track.id).ok().map(|at| &self.tracks[at])
    }
}

/// What must reach the surfaces even when a later scene has replaced the one it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// An event began or changed its state.
    Event(Event),
    /// An event that occurred is over: it no longer happens, its tracks ended or were out of sight too long, or it
    /// made room for others. At most once for each event, and after its `Occurred`.
    EventOver {
        /// Id of the event.
        id: u32,
        /// Capture of the frame in which it was over.
        time: Time,
    },
    /// A track ended: as it was last seen, and when that became certain.
    TrackEnded {
        /// The last sight.
        last: Box<SceneTrack>,
        /// Capture of the frame in which it was given up.
        time: Time,
    },
    /// A track that was sighted ended before it was confirmed, or is confirmed now and has another id.
    SightingEnded {
        /// The last sight.
        last: Sighting,
        /// Its frame's capture.
        time: Time,
    },
    /// Something was read off a track, or is read otherwise than before; the last word on it comes just
    /// before the end of the track.
    Attribute {
        /// Which track.
        track: u32,
        /// What it is now.
        attribute: Attribute,
        /// Capture of the frame with the reading that made it so.
        time: Time,
    },
}
