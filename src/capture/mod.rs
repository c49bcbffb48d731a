//! Where frames come from.

pub mod synthetic;

use std::time::Duration;

use crate::model::Frame;

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
    fn next_frame(&mut self, frame: &mut Frame, patience: Duration) -> Result<Next, Error>;

    /// A live source goes on whether or not somebody looks; an offline one waits to be asked.
    fn is_live(&self) -> bool;
}

/// Why there are no frames.
#[derive(Debug, thiserror::Error)]
pub enum Error {}
