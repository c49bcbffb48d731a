//! A simulated camera over a simulated plaza.
//!
//! N calibrated cameras look from all sides at one plaza on which people walk, stand, run and meet
//! and vehicles drive. [`world`] says who is where, [`stage`] what stands there, [`view`] what a
//! camera sees where, [`render`] makes the pixels. A frame is a pure function of (seed, camera, time
//! since [`Options::origin_epoch_ms`]): cameras in one or in many processes see the same plaza at
//! the same time without a word between them.
//!
//! The pixels are all that a detector gets. The ground truth, [`Source::truth`], is for tests; nothing in
//! the daemon may ask for it, and it never travels with a frame: but for the plates of the vehicles
//! ([`Options::plates`]), which no picture of this size could show.
//!
//! Options that make no picture are refused when the source is made; after that nothing can fail.

mod background;
mod figure;
mod plate;
mod raster;
mod render;
mod stage;
mod view;
mod world;

use std::sync::Arc;
use std::time::Duration;

use render::Renderer;
pub use stage::{DOCK_M, EXTENT_M};
use view::View;
pub use view::{camera_position_m, ground_plane};
pub use world::Actor;
use world::World;

use super::{FrameSource, Next};
use crate::base::{Clock, ErrorKind, Time};
use crate::model::{CameraId, Content, Frame, Image, Size};

/// Most cameras over one plaza.
pub const CAMERAS_MAX: u32 = 64;
/// Smallest and largest picture, pixels.
pub const SIZES: [Size; 2] = [Size { width: 64, height: 48 }, Size { width: 3840, height: 2160 }];
/// Fastest frame rate, frames per second.
pub const FPS_MAX: f64 = 120.0;

/// What is simulated, and which part of it this camera sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Another seed is another crowd.
    pub seed: u64,
    /// How many cameras there are, 1..=[`CAMERAS_MAX`].
    pub cameras: u32,
    /// Which of them this one is, from 0.
    pub index: u32,
    /// Pixels, within [`SIZES`].
    pub size: Size,
    /// Frames per second, above 0 and at most [`FPS_MAX`].
    pub fps: f64,
    /// The plaza's second 0, milliseconds since the Unix epoch; cameras with the same origin see the same plaza.
    pub origin_epoch_ms: u64,
    /// Frames carry the plates of the vehicles in them, as a reader without faults would read them.
    pub plates: bool,
}

impl Default for Options {
    /// The first of three cameras, 480 by 360 at 10 frames/s; the plaza's time is the wall clock.
    fn default() -> Self {
        Self {
            seed: 1,
            cameras: 3,
            index: 0,
            size: Size { width: 480, height: 360 },
            fps: 10.0,
            origin_epoch_ms: 0,
            plates: false,
        }
    }
}

/// Why there is no such camera.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No or too many cameras.
    #[error("a plaza has 1 to {CAMERAS_MAX} cameras, not {0}")]
    Cameras(u32),
    /// The camera is not one of them.
    #[error("there is no camera {index} of {cameras}: they count from 0")]
    Index {
        /// The camera asked for.
        index: u32,
        /// How many there are.
        cameras: u32,
    },
    /// No picture, or too large a one.
    #[error(
        "a picture has {} x {} to {} x {} pixels, not {} x {}",
        SIZES[0].width, SIZES[0].height, SIZES[1].width, SIZES[1].height, .0.width, .0.height
    )]
    Size(Size),
    /// No rate, or too fast a one.
    #[error("the frame rate is above 0 and at most {FPS_MAX} frames/s, not {0}")]
    Fps(f64),
}

impl Error {
    /// All are faults of the configuration.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Config
    }
}

impl Options {
    /// Refuses what makes no picture.
    pub fn check(&self) -> Result<(), Error> {
        let [low, high] = SIZES;
        if self.cameras == 0 || self.cameras > CAMERAS_MAX {
            return Err(Error::Cameras(self.cameras));
        }
        if self.index >= self.cameras {
            return Err(Error::Index { index: self.index, cameras: self.cameras });
        }
        if !(low.width..=high.width).contains(&self.size.width)
            || !(low.height..=high.height).contains(&self.size.height)
        {
            return Err(Error::Size(self.size));
        }
        if !(self.fps > 0.0 && self.fps <= FPS_MAX) {
            return Err(Error::Fps(self.fps));
        }
        Ok(())
    }
}

enum Pace {
    Live(Arc<dyn Clock>),
    Offline { frames: u64 },
}

/// A camera that sees the plaza.
pub struct Source {
    camera: CameraId,
    options: Options,
    pace: Pace,
    /// When frame 0 is due.
    start: Time,
    next_seq: u64,
    renderer: Renderer,
}

impl Source {
    /// A live camera: its first frame is due at once, the others at the frame rate. Frames whose
    /// time has passed when nobody asked for them are lost, as they are in a real camera.
    pub fn live(camera: CameraId, options: Options, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let renderer = Self::renderer(&options)?;
        // The clock is read after the background was traced, which takes a moment.
        let start = clock.now();
        Ok(Self { camera, options, pace: Pace::Live(clock), start, next_seq: 0, renderer })
    }

    /// `frames` frames from `start` on, as fast as they are asked for.
    pub fn offline(camera: CameraId, options: Options, start: Time, frames: u64) -> Result<Self, Error> {
        let renderer = Self::renderer(&options)?;
        Ok(Self { camera, options, pace: Pace::Offline { frames }, start, next_seq: 0, renderer })
    }

    fn renderer(options: &Options) -> Result<Renderer, Error> {
        options.check()?;
        let view = View::new(options.cameras, options.index, options.size);
        Ok(Renderer::new(World::new(options.seed), options.seed, options.index, view))
    }

    /// Everybody who is on the plaza at `epoch_ms`. For tests: the daemon works from pixels alone.
    pub fn truth(&self, epoch_ms: u64) -> Vec<Actor> {
        let mut actors = Vec::new();
        let t_s = self.plaza_ms(epoch_ms) as f64 / 1000.0;
        World::new(self.options.seed).actors(t_s, &mut actors);
        actors
    }

    fn plaza_ms(&self, epoch_ms: u64) -> i64 {
        epoch_ms.wrapping_sub(self.options.origin_epoch_ms).cast_signed()
    }

    fn due(&self, seq: u64) -> Time {
        self.start + Duration::from_secs_f64(seq as f64 / self.options.fps)
    }

    fn render(&mut self, seq: u64, frame: &mut Frame) {
        let time = self.due(seq);
        self.next_seq = seq + 1;
        if frame.camera != self.camera {
            frame.camera = self.camera.clone();
        }
        frame.seq = seq;
        frame.time = time;
        frame.size = self.options.size;
        if !matches!(frame.content, Content::Image(_)) {
            frame.content = Content::Image(Image::default());
        }
        let t_ms = self.plaza_ms(time.epoch_ms);
        if let Content::Image(image) = &mut frame.content {
            self.renderer.draw(t_ms, image);
        }
        if self.options.plates {
            self.renderer.read_plates(&mut frame.readings);
        }
    }
}

impl FrameSource for Source {
    fn next_frame(&mut self, frame: &mut Frame, patience: Duration) -> Result<Next, super::Error> {
        let seq = match &self.pace {
            Pace::Offline { frames } if self.next_seq >= *frames => return Ok(Next::End),
            Pace::Offline { .. } => self.next_seq,
            Pace::Live(clock) => {
                let wait = self.due(self.next_seq).since(clock.now());
                if !wait.is_zero() {
                    std::thread::sleep(wait.min(patience));
                }
                let now = clock.now();
                if now < self.due(self.next_seq) {
                    return Ok(Next::Pending);
                }
                let newest = (now.since(self.start).as_secs_f64() * self.options.fps) as u64;
                newest.max(self.next_seq)
            }
        };
        self.render(seq, frame);
        Ok(Next::Frame)
    }

    fn is_live(&self) -> bool {
        matches!(self.pace, Pace::Live(_))
    }
}

#[cfg(test)]
mod tests;
