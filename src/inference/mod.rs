//! What is in a frame.

use crate::model::{Detection, Frame};

/// Finds objects in frames, one after the other.
pub trait Detector: Send {
    /// Replaces what is in `found` by the detections of this frame.
    fn detect(&mut self, frame: &Frame, found: &mut Vec<Detection>) -> Result<(), Error>;
}

/// Why a frame has no detections.
#[derive(Debug, thiserror::Error)]
pub enum Error {}
