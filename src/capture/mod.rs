//! Where frames come from: one [`FrameSource`] per kind of input, and the thread that keeps it going.
//!
//! ```text
//! y4m <- command <- video        replay        synthetic
//!            \_______________________|____________/
//!                      FrameSource -> supervise (thread) -> slot -> perception
//! ```
//!
//! - [`open`] gives the bare source: for offline runs, which pull as fast as they go.
//! - [`spawn`] gives a [`Capture`]: a thread of its own, restarts with backoff, pacing, a slot that
//!   keeps the latest frame of a live source and makes an offline one wait.
//!
//! Frame times follow one rule: a live stream is stamped on arrival, a file with its start plus
//! the time that the file gives the frame, or index by rate. A live source never waits for its reader (what is not read is replaced and
//! counted); an offline one never drops. A file that ends is an end; everything else that ends is a
//! failure with a name. Steady state allocates nothing: buffers go round.
//!
//! Not here: detection, and anything that knows what a picture shows.

pub mod command;
mod error;
mod plates;
mod program;
mod rate;
pub mod replay;
mod slot;
mod stamps;
mod supervise;
pub mod synthetic;
pub mod video;
pub mod y4m;

use std::sync::Arc;
use std::time::Duration;

use crate::base::{BackoffOptions, Clock};
use crate::model::{CameraId, Content, Frame, Image};

pub use error::Error;
pub use slot::Taken;
pub use supervise::{Capture, State, Status, spawn};

/// What [`FrameSource::next_frame`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The frame was filled.
    Frame,
    /// Nothing came within the given patience.
    Pending,
    /// There will be no more frames, and that is as it should be.
    End,
}

/// A camera, a file, a program, a simulation: something that yields frames in order.
pub trait FrameSource: Send {
    /// Fills `frame` (reusing its buffers) with the next frame, or gives up after `patience`.
    ///
    /// [`Frame::seq`] counts from 0. After an error or [`Next::End`] the source is spent: drop it.
    fn next_frame(&mut self, frame: &mut Frame, patience: Duration) -> Result<Next, Error>;

    /// A live source goes on whether or not somebody looks; an offline one waits to be asked.
    fn is_live(&self) -> bool;
}

/// Which source, with its own options.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A program that writes YUV4MPEG2.
    Command(command::Options),
    /// A file or URL that ffmpeg can read.
    Video(video::Options),
    /// Recorded detections.
    Replay(replay::Options),
    /// A simulated plaza.
    Synthetic(synthetic::Options),
}

impl Kind {
    /// A live source is stamped on arrival and has its own pace; any other is a recording.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Command(options) => options.timing == command::Timing::Live,
            Self::Video(options) => options.is_live(),
            Self::Replay(_) => false,
            Self::Synthetic(_) => true,
        }
    }

    /// Pictures of more pixels than this make no difference, where the source can make them smaller.
    pub fn limit_pixels(&mut self, pixels_max: Option<u32>) {
        if let Self::Video(options) = self {
            options.pixels_max = pixels_max;
        }
    }
}

/// How fast an offline source is played to the perception thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// At its own rate: no frame is handed on before its time.
    #[default]
    Realtime,
    /// As fast as frames are taken.
    Fast,
}

/// What [`spawn`] needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// The source.
    pub kind: Kind,
    /// The pace of an offline source; a live one has its own.
    pub pace: Pace,
    /// A source without a frame for this long has stalled and is restarted.
    pub stall_after: Duration,
    /// The waits between restarts.
    pub backoff: BackoffOptions,
}

impl Options {
    /// The given source at its own rate, stalled after 10 s, restarts from 1 s doubling to 60 s.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            pace: Pace::default(),
            stall_after: Duration::from_secs(10),
            backoff: BackoffOptions::default(),
        }
    }
}

/// Opens a source without a thread.
///
/// Starts a program or reads a file of detections; the first frame may take a while longer.
pub fn open(kind: &Kind, camera: &CameraId, clock: &Arc<dyn Clock>) -> Result<Box<dyn FrameSource>, Error> {
    Ok(match kind {
        Kind::Command(options) => Box::new(command::Source::start(options, camera, clock)?),
        Kind::Video(options) => Box::new(video::open(options, camera, clock)?),
        Kind::Replay(options) => Box::new(replay::Source::open(options, camera, clock)?),
        Kind::Synthetic(options) => {
            Box::new(synthetic::Source::live(camera.clone(), options.clone(), Arc::clone(clock))?)
        }
    })
}

/// Puts `image` into the frame and gives back the buffer that was there.
fn exchange_image(frame: &mut Frame, image: Image) -> Image {
    match std::mem::replace(&mut frame.content, Content::Image(image)) {
        Content::Image(old) => old,
        Content::Detections(_) => Image::default(),
    }
}

/// `index` frames after the start, at `rate_hz` frames a second.
fn offset_at(index: u64, rate_hz: f64) -> Duration {
    Duration::try_from_secs_f64(index as f64 / rate_hz).unwrap_or(Duration::MAX)
}
