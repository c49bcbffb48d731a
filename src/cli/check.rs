//! `omnisight check` and `omnisight schema`.
//!
//! What is not wrong but worth a look goes to standard error, so that standard output stays TOML.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{ConfigArguments, Error, load, log, say};
use crate::base::{Clock, SystemClock};
use crate::capture::{FrameSource as _, Next, video};
use crate::config;
use crate::inference::network;
use crate::model::{CameraId, Content, Frame, GroundPlane, Image};
use crate::picture::ground_grid;

/// How long a still may take to be read.
const READ_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// A still of the camera: draws the ground over it, as the calibration has it, and writes that beside it as
    /// `NAME-ground.png`. The lines must lie on the ground, and the upright bars be as tall as people.
    #[arg(long, value_name = "STILL")]
    picture: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Schema {
    /// The JSON Schema of the configuration.
    Config,
}

pub(super) fn check(arguments: &Arguments, log: &log::Arguments) -> Result<(), Error> {
    let loaded = load(&arguments.config, log)?;
    let effective = config::effective(&loaded).map_err(|error| {
        let what = "the effective configuration has no TOML form (an error of ours)".to_owned();
        Error::File { what, source: io::Error::other(error) }
    })?;
    for note in &loaded.config.notes {
        let _ = writeln!(io::stderr(), "omnisight: warning: {note}");
    }
    if let Some(Err(error)) = loaded.config.perception.verify.as_ref().map(network::Options::check_files) {
        let what = "tracks are confirmed without a second look";
        let _ = writeln!(io::stderr(), "omnisight: warning: detector.verify: {error}; {what}");
    }
    let ground = &loaded.config.perception.ground;
    if let Some(still) = &arguments.picture {
        draw_ground(still, ground, &loaded.config.camera.id)?;
    }
    let outlook = if ground.is_calibrated() { ground.outlook() } else { None };
    let outlook = outlook.map_or_else(String::new, |outlook| format!("# calibration: {outlook}\n"));
    say(&format!("{outlook}{}", effective.trim_end()))
}

/// Draws the ground over a still, beside it.
fn draw_ground(still: &Path, ground: &GroundPlane, camera: &CameraId) -> Result<(), Error> {
    if !ground.is_calibrated() {
        let what = "--picture draws the calibration over a still, and the configuration has no [calibration]";
        return Err(Error::Usage(what.to_owned()));
    }
    let image = read_still(still, camera)?;
    let (has, wants) = (image.size(), ground.size());
    // As parts of the picture, both must show the same.
    let skew =
        f64::from(has.width) * f64::from(wants.height) / (f64::from(has.height) * f64::from(wants.width));
    if (skew - 1.0).abs() > 0.02 {
        let what = format!(
            "{}: {} x {} pixels, the calibration is of a picture of {} x {}: not the same shape, take the still from the \
             camera as it is configured",
            still.display(),
            has.width,
            has.height,
            wants.width,
            wants.height,
        );
        return Err(Error::Usage(what));
    }
    let name = still.file_stem().unwrap_or_default().to_string_lossy();
    let drawn = still.with_file_name(format!("{name}-ground.png"));
    let what = drawn.display().to_string();
    ground_grid(&image, ground)
        .write_png(&drawn)
        .map_err(|source| Error::File { what: what.clone(), source })?;
    let _ = writeln!(io::stderr(), "omnisight: the ground as calibrated: {what}");
    Ok(())
}

/// The first picture of anything that ffmpeg reads.
fn read_still(still: &Path, camera: &CameraId) -> Result<Image, Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = video::Options::new(still.display().to_string());
    let mut source = video::open(&options, camera, &clock)?;
    let mut frame = Frame::empty(camera.clone());
    match source.next_frame(&mut frame, READ_WITHIN)? {
        Next::Frame => {}
        Next::Pending | Next::End => {
            return Err(Error::Usage(format!("{}: no picture in it", still.display())));
        }
    }
    match frame.content {
        Content::Image(image) => Ok(image),
        Content::Detections(_) => Err(Error::Usage(format!("{}: no picture in it", still.display()))),
    }
}

pub(super) fn schema(of: &Schema) -> Result<(), Error> {
    match of {
        Schema::Config => say(&format!("{:#}", config::schema())),
    }
}
