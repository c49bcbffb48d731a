//! Neural networks: an engine that runs them, descriptions of what they take and give, and the second look.
//!
//! ```text
//! picture -> crop -> tensor -> Engine -> tensors -> output (boxes by kind of network) -> detections
//! ```
//!
//! [`Engine`] is the seam to whatever runs a network. ONNX Runtime is one (`onnx`, loaded when the program runs; no
//! library is needed to build), tests have another. A [`Description`] states what a model file does not: size, order
//! of the colors, normalization, layout, classes, and how boxes are read. `config` reads it from the TOML file beside the
//! model; nothing here parses text. [`Verifier`] looks at single tracks with a network.
//!
//! A library can crash on a processor that it was not built for, and a model can hang. Both are tried in a child process
//! first (`probe`). Every fault is an [`Error`] with a machine-readable [`Fault`], after which the camera goes on
//! without the network. Lengths are pixels.

mod cpu;
mod crop;
#[cfg(feature = "onnx")]
mod onnx;
mod output;
mod probe;
#[cfg(test)]
mod tests;
mod verifier;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use probe::{probe, try_out};
pub use verifier::Verifier;

use crate::base::ErrorKind;
use crate::model::{Class, Detection, Size};

/// More pixels are no input of a detector, but a mistake in the description.
pub const INPUT_SIDE_MAX: u32 = 4096;

/// Numbers with a shape, the last dimension running fastest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensor {
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// As many values as the product of the lengths.
    pub data: Vec<f32>,
}

/// Runs one network that was loaded.
pub trait Engine: Send {
    /// The shape of the network's only input; none: any length.
    fn input_shape(&self) -> &[Option<usize>];

    /// Runs the network on a batch and replaces what is in `outputs`.
    fn run(&mut self, input: &Tensor, outputs: &mut Vec<Tensor>) -> Result<(), Error>;
}

/// How boxes are read from what a network gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// YOLOX (Ge et al., 2021), not decoded: rows of cx, cy, ln w, ln h, objectness, classes on grids of strides 8, 16, 32.
    Yolox,
    /// `FastestDet`: one grid of objectness, tanh of the offset, sigmoid of the size, classes.
    FastestDet,
}

/// The order of the colors in a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// The order of the dimensions of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// What a network takes and gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// How boxes are read.
    pub output: Output,
    /// Of the input, pixels.
    pub size: Size,
    /// Of a pixel.
    pub color: Color,
    /// Of the input.
    pub layout: Layout,
    /// Subtracted from each channel (0..255), in the order of `color`.
    pub mean: [f32; 3],
    /// By which each channel is multiplied then.
    pub scale: [f32; 3],
    /// What the network's classes are here; those that are missing are not looked at.
    pub classes: BTreeMap<usize, Class>,
    /// The score (0..1) at which a box is as likely wrong as right.
    pub clutter_score: f64,
    /// How many times as wide and tall as the longer side of a track's box the part of the picture is that a second look
    /// sees: one look after the other, so that the next one is not the same again.
    pub crops: Vec<f64>,
}

impl Description {
    /// The shape of an input with one picture.
    fn input_shape(&self) -> [usize; 4] {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        match self.layout {
            Layout::Nchw => [1, 3, height, width],
            Layout::Nhwc => [1, height, width, 3],
        }
    }
}

/// Which network, and what it may cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The model file.
    pub model: PathBuf,
    /// What it takes and gives; or why that is not known.
    pub description: Result<Description, Error>,
    /// The library; none: where the variable `ORT_DYLIB_PATH` says, or the system finds it.
    pub library: Option<PathBuf>,
    /// Time for the network, milliseconds per second.
    pub budget_ms: f64,
    /// Try library and model in a child process first: this program, run again.
    pub probe: bool,
    /// Wait for each answer: a recording then gives the same whatever else the machine does.
    pub wait: bool,
}

impl Options {
    /// Whether model and description are there, without loading them.
    pub fn check_files(&self) -> Result<(), Error> {
        self.description.as_ref().map_err(Clone::clone)?;
        let missing = |error| Error::new(Fault::BadModel, format!("{}: {error}", self.model.display()));
        std::fs::metadata(&self.model).map(|_| ()).map_err(missing)
    }
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The build has no engine.
    NotBuilt,
    /// The description is missing or wrong.
    BadDescription,
    /// The library is missing, of another architecture, or too old.
    BadLibrary,
    /// Library or model ended the child process.
    Crashed,
    /// Library or model, or one run of it, took too long.
    TooSlow,
    /// The model file is missing, truncated, or no model.
    BadModel,
    /// The model takes or gives another shape than described.
    OtherShape,
    /// The model gives values that are no numbers.
    NotFinite,
    /// A run failed.
    RunFailed,
}

/// Why a network is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{reason}")]
pub struct Error {
    /// For machines.
    pub fault: Fault,
    /// For people: object, fault and remedy.
    pub reason: String,
}

impl Error {
    /// An error with a text.
    pub fn new(fault: Fault, reason: impl Into<String>) -> Self {
        Self { fault, reason: reason.into() }
    }

    /// What machines act on.
    pub fn kind(&self) -> ErrorKind {
        match self.fault {
            Fault::NotBuilt | Fault::BadLibrary | Fault::Crashed => ErrorKind::Unavailable,
            Fault::BadDescription | Fault::OtherShape => ErrorKind::Config,
            Fault::BadModel => ErrorKind::BadInput,
            Fault::TooSlow | Fault::NotFinite | Fault::RunFailed => ErrorKind::Failed,
        }
    }
}

/// A network with its description.
pub struct Network {
    engine: Box<dyn Engine>,
    description: Description,
    outputs: Vec<Tensor>,
}

impl Network {
    /// Takes an engine whose input is as described.
    pub fn new(engine: Box<dyn Engine>, description: Description) -> Result<Self, Error> {
        let (takes, described) = (engine.input_shape(), description.input_shape());
        let fits = takes.len() == described.len()
            && takes.iter().zip(described).all(|(has, wants)| has.is_none_or(|has| has == wants));
        if !fits {
            let shown: Vec<_> = takes.iter().map(|n| n.map_or("?".to_owned(), |n| n.to_string())).collect();
            let reason = format!(
                "model takes [{}], its description says {described:?}; correct width, height or layout in the description",
                shown.join(", ")
            );
            return Err(Error::new(Fault::OtherShape, reason));
        }
        Ok(Self { engine, description, outputs: Vec::new() })
    }

    /// What it takes and gives.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Replaces what is in `found` by the boxes in this input, in its pixels, several per object.
    pub fn detect(&mut self, input: &Tensor, found: &mut Vec<Detection>) -> Result<(), Error> {
        found.clear();
        self.engine.run(input, &mut self.outputs)?;
        if self.outputs.iter().any(|tensor| tensor.data.iter().any(|value| !value.is_finite())) {
            let reason = "model gives values that are no numbers (NaN or infinite); use another model or normalization";
            return Err(Error::new(Fault::NotFinite, reason));
        }
        output::read(&self.outputs, &self.description, found)
    }
}

/// Loads library and model in this process.
pub fn load(options: &Options) -> Result<Network, Error> {
    let description = options.description.clone()?;
    Network::new(engine(options)?, description)
}

#[cfg(feature = "onnx")]
fn engine(options: &Options) -> Result<Box<dyn Engine>, Error> {
    Ok(Box::new(onnx::Session::open(&options.model, options.library.as_deref())?))
}

#[cfg(not(feature = "onnx"))]
fn engine(_: &Options) -> Result<Box<dyn Engine>, Error> {
    Err(Error::new(Fault::NotBuilt, "this build runs no networks; build it with the cargo feature onnx"))
}
