//! What is in a frame.
//!
//! [`Detector`] is the seam: a frame goes in, detections in pixels of that frame come out, one frame
//! after the other in the order of their times. A frame that carries detections instead of pixels
//! (a replay) already holds the answer and passes through every kind of detector unchanged.
//!
//! A detector remembers what it needs of earlier frames, adapts when the picture's size changes,
//! and needs no clock: the frames' times are the only time it knows. It never gives identities to
//! objects; that is the tracker's work. Frames without pixels are refused with an [`Error`], after
//! which the detector goes on with the next frame.

pub mod motion;
pub mod network;

use crate::base::{ErrorKind, Time};
use crate::model::{BBox, Content, Detection, Frame, GroundPlane, Image, Size};

/// What a camera's picture is worth at present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum View {
    /// The scene that is known, or one too plain to tell.
    #[default]
    Steady,
    /// Another scene than before: the camera was moved or turned. It is being learned.
    Changed,
    /// Something covers the lens.
    Blocked,
}

/// Finds objects in frames, one after the other.
pub trait Detector: Send {
    /// Replaces what is in `found` by the detections of this image, taken at `time`, in pixels of a frame of
    /// size `frame`, which may be larger.
    fn detect_image(
        &mut self,
        image: &Image,
        frame: Size,
        time: Time,
        found: &mut Vec<Detection>,
    ) -> Result<(), Error>;

    /// Objects are expected here, in pixels of the frame, and nearly nothing elsewhere; none: anywhere. A detector may
    /// save work by it, but still looks at the whole picture once a second.
    fn expect(&mut self, _boxes: Option<&[BBox]>) {}

    /// The part of the last picture that was looked at, pixels; none: all of it.
    fn looked_at(&self) -> Option<BBox> {
        None
    }

    /// What the last picture was worth. Unless it is [`View::Steady`], nothing new is found.
    fn view(&self) -> View {
        View::Steady
    }

    /// Whether the background is being learned anew: what stands in the scene is not found before.
    fn is_learning(&self) -> bool {
        false
    }

    /// How many times as tall as the calibration says persons are seen, while both disagree.
    fn disagreement(&self) -> Option<f64> {
        None
    }

    /// Replaces what is in `found` by the detections of this frame.
    fn detect(&mut self, frame: &Frame, found: &mut Vec<Detection>) -> Result<(), Error> {
        match &frame.content {
            Content::Image(image) => self.detect_image(image, frame.size, frame.time, found),
            Content::Detections(given) => {
                found.clear();
                found.extend_from_slice(given);
                Ok(())
            }
        }
    }
}

/// Which detector, and how it is set.
#[derive(Debug, Clone, PartialEq)]
pub enum Options {
    /// Whatever moves before a background that is learned.
    Motion(motion::Options),
}

impl Default for Options {
    fn default() -> Self {
        Self::Motion(motion::Options::default())
    }
}

/// Why there is no detector, or a frame has no detections.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A polygon of the options does not lie in the picture.
    #[error("{what} {index}: corner ({x}, {y}) is outside the picture; use fractions of it, 0 to 1")]
    OutsidePicture {
        /// Which list of polygons.
        what: &'static str,
        /// Which polygon of the list, from 0.
        index: usize,
        /// The corner.
        x: f64,
        /// The corner.
        y: f64,
    },
    /// A picture without pixels.
    #[error("the picture is empty: {width} x {height} pixels")]
    EmptyPicture {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
}

impl Error {
    /// What machines act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OutsidePicture { .. } => ErrorKind::Config,
            Self::EmptyPicture { .. } => ErrorKind::BadInput,
        }
    }
}

impl Options {
    /// The detector averages larger images down to this many pixels or fewer: a source may as well deliver such.
    pub fn pixels_max(&self) -> u32 {
        match self {
            Self::Motion(_) => motion::PIXELS_MAX,
        }
    }
}

/// Makes the detector that the options ask for. The ground plane tells it how large a person is
/// where; one that is not calibrated tells nothing, and the detector learns it from what it sees.
pub fn open(options: &Options, ground: &GroundPlane) -> Result<Box<dyn Detector>, Error> {
    match options {
        Options::Motion(options) => Ok(Box::new(motion::Motion::new(options, ground)?)),
    }
}
