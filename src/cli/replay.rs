//! `omnisight replay`: a recording through the whole perception, as fast as it goes.

#[cfg(test)]
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use nalgebra::Matrix3;

use super::explain::Story;
use super::output::{Output, failed};
use super::{ConfigArguments, Error, load, log, say};
use crate::base::{Clock, CountingIds, SystemClock, read_text, without_url_secrets};
use crate::capture::{self, FrameSource, Kind, Next, replay, video};
use crate::config::raw::Calibration;
use crate::model::{CameraId, Content, Frame, GroundPlane, Scene, Size};
use crate::pipeline::{self, Perception};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// MOTChallenge detections (`.txt` or `.csv`), a video that ffmpeg can read, or a folder of pictures.
    input: PathBuf,
    /// Where the result goes: MOTChallenge rows in pixels of the input, frame 1 is the first.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The size of the pictures that the detections belong to; a video has its own.
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    size: Option<Size>,
    /// Frames per second; without it from the camera file, then for detections from a `seqinfo.ini` beside
    /// or above them (of pictures: in their folder or above it), and for a video from the video itself.
    #[arg(long, value_name = "F", value_parser = parse_rate)]
    fps: Option<f64>,
    /// A camera's homography, picture size and rate, as JSON: {"homography", "width", "height", "fps"}.
    #[arg(long, value_name = "FILE")]
    camera: Option<PathBuf>,
    /// Also write the tracks' places on the ground: frame,id,x,y in metres.
    #[arg(long, value_name = "FILE")]
    ground: Option<PathBuf>,
    /// Print, frame by frame, why the track of this id goes as it goes: where it was expected, which
    /// detections it could take and what they are worth, which were refused and why, what was chosen.
    #[arg(long, value_name = "ID")]
    explain: Option<u32>,
    /// Detector, tracker and so on as in this configuration instead of the defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn parse_size(text: &str) -> Result<Size, String> {
    let sides = text.split_once(['x', 'X']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    match sides {
        Some((width @ 1.., height @ 1..)) => Ok(Size { width, height }),
        _ => Err("a size is WIDTHxHEIGHT in pixels, as 768x576".to_owned()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|r: &f64| (0.01..=1000.0).contains(r))
        .ok_or_else(|| "a rate is a number of frames per second from 0.01 to 1000".to_owned())
}

/// Whether it is to be decoded; else it holds detections.
fn is_video(input: &Path) -> bool {
    let extension = input.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    !matches!(extension.as_deref(), Some("txt" | "csv"))
}

/// A camera file, as written by calibration tools.
#[derive(Debug, serde::Deserialize)]
pub(super) struct CameraFile {
    homography: [[f64; 3]; 3],
    width: u32,
    height: u32,
    pub(super) fps: Option<f64>,
}

/// What a MOTChallenge `seqinfo.ini` says.
#[derive(Debug, Default)]
struct SequenceInfo {
    rate_hz: Option<f64>,
    size: Option<Size>,
}

pub(super) fn run(arguments: &Arguments, log: &log::Arguments) -> Result<(), Error> {
    log.start("warn");
    let camera = arguments.camera.as_deref().map(read_camera).transpose()?;
    let rate_hz = arguments.fps.or(camera.as_ref().and_then(|c| c.fps));
    let mut options = options(arguments, log)?;
    if let Some(camera) = &camera {
        options.ground = ground_of(camera, arguments.camera.as_deref())?;
    }
    let recording = Recording::open(arguments, camera.as_ref(), rate_hz, options.pixels_max())?;
    let ids = || Box::new(CountingIds::default());
    let perception = Perception::new(options, ids(), ids())?;
    let (frames, rows, busy) = recording.play(perception, arguments)?;
    let per_second = frames as f64 / busy.as_secs_f64().max(1e-9);
    say(&format!("{frames} frames, {rows} rows, {per_second:.1} frames/s"))
}

fn options(arguments: &Arguments, log: &log::Arguments) -> Result<pipeline::Options, Error> {
    if let Some(path) = &arguments.config {
        let named = ConfigArguments { config: Some(path.clone()) };
        let config = load(&named, log)?.config;
        if matches!(config.capture.kind, Kind::Synthetic(_))
            && arguments.camera.is_none()
            && is_video(&arguments.input)
        {
            return Err(Error::Usage(format!(
                "{}: capture.kind = \"synthetic\" has the ground of a simulated camera, not that of {}: \
                 set it to \"video\", or give --camera",
                path.display(),
                arguments.input.display()
            )));
        }
        let mut perception = config.perception;
        if let Some(verify) = &mut perception.verify {
            verify.wait = true;
        }
        return Ok(perception);
    }
    let ground = GroundPlane::nominal(Calibration::METERS_PER_UNIT, Size { width: 1, height: 1 });
    Ok(pipeline::Options::new(ground))
}

fn read(path: &Path) -> Result<String, Error> {
    read_text(path).map_err(|source| failed(path, source))
}

pub(super) fn read_camera(path: &Path) -> Result<CameraFile, Error> {
    let bad = |what: String| Error::BadInput(format!("{}: {what}", path.display()));
    let camera: CameraFile = serde_json::from_str(&read(path)?).map_err(|e| bad(e.to_string()))?;
    if camera.width == 0 || camera.height == 0 {
        return Err(bad("width and height must be at least 1".to_owned()));
    }
    if let Some(fps) = camera.fps {
        parse_rate(&fps.to_string()).map_err(bad)?;
    }
    Ok(camera)
}

/// A measured camera may see the horizon: what lies beyond it has no place on the ground.
pub(super) fn ground_of(camera: &CameraFile, path: Option<&Path>) -> Result<GroundPlane, Error> {
    let h = Matrix3::from_row_iterator(camera.homography.iter().flatten().copied());
    let size = Size { width: camera.width, height: camera.height };
    let file = path.unwrap_or(Path::new("camera")).display();
    GroundPlane::from_homography(h, size, true)
        .map_err(|error| Error::BadInput(format!("{file}: the homography {error}")))
}

/// Reads the `seqinfo.ini` beside or above the detections, or in or above a folder of pictures; nothing where there is none.
fn sequence_info(input: &Path) -> Result<SequenceInfo, Error> {
    let folder = if input.is_dir() { Some(input) } else { input.parent() };
    let places = [folder, folder.and_then(Path::parent)].into_iter().flatten();
    let Some(path) = places.map(|folder| folder.join("seqinfo.ini")).find(|path| path.exists()) else {
        return Ok(SequenceInfo::default());
    };
    let fault = |line: usize, what: String| Error::BadInput(format!("{}:{line}: {what}", path.display()));
    let (mut rate_hz, mut width, mut height) = (None, None, None);
    for (line, text) in (1..).zip(read(&path)?.lines()) {
        let Some((key, value)) = without_comment(text).split_once('=') else { continue };
        let (key, value) = (key.trim(), value.trim());
        let side = || {
            let side = value.parse().ok().filter(|side: &u32| *side > 0);
            side.ok_or_else(|| {
                fault(line, format!("{key} = {value:?}: a side is a number of pixels from 1 up"))
            })
        };
        match key.to_ascii_lowercase().as_str() {
            "framerate" => {
                let rate =
                    parse_rate(value).map_err(|what| fault(line, format!("{key} = {value:?}: {what}")))?;
                rate_hz = Some(rate);
            }
            "imwidth" => width = Some(side()?),
            "imheight" => height = Some(side()?),
            _ => {}
        }
    }
    let size = width.zip(height).map(|(width, height)| Size { width, height });
    Ok(SequenceInfo { rate_hz, size })
}

/// A line of an INI file up to a comment: `#` or `;` at its begin or after white space.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if matches!(c, '#' | ';') && before.is_whitespace() {
            return &line[..at];
        }
        before = c;
    }
    line
}

/// An open recording.
struct Recording {
    source: Box<dyn FrameSource>,
    id: CameraId,
    frames: Option<u64>,
}

impl Recording {
    fn open(
        arguments: &Arguments,
        camera: Option<&CameraFile>,
        rate_hz: Option<f64>,
        pixels_max: Option<u32>,
    ) -> Result<Self, Error> {
        let id = CameraId::parse("replay").map_err(|error| Error::BadInput(error.to_string()))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        if is_video(&arguments.input) {
            let in_folder =
                if arguments.input.is_dir() { sequence_info(&arguments.input)?.rate_hz } else { None };
            let rate_hz = rate_hz.or(in_folder);
            let options = video::Options {
                pixels_max,
                rate_hz,
                ..video::Options::new(arguments.input.to_string_lossy())
            };
            if arguments.size.is_some() {
                let reason = "--size is for detections; a video's pictures have a size of their own";
                return Err(Error::Usage(reason.to_owned()));
            }
            if options.is_live() {
                let input = without_url_secrets(&options.input);
                return Err(Error::Usage(format!("{input}: a recording is a file, not a stream")));
            }
            let source = capture::open(&Kind::Video(options), &id, &clock)?;
            return Ok(Self { source, id, frames: None });
        }
        let info = sequence_info(&arguments.input)?;
        let input = arguments.input.display();
        let rate_hz = rate_hz.or(info.rate_hz).ok_or_else(|| {
            Error::Usage(format!(
                "{input}: no frame rate: give --fps, --camera, or a seqinfo.ini beside or above it"
            ))
        })?;
        let from_camera = camera.map(|c| Size { width: c.width, height: c.height });
        let size = arguments.size.or(from_camera).or(info.size).ok_or_else(|| {
            Error::Usage(format!(
                "{input}: no picture size: give --size, --camera, or a seqinfo.ini beside or above it"
            ))
        })?;
        let options =
            replay::Options { path: arguments.input.clone(), size, rate_hz, vehicles: false, plates: None };
        let source = replay::Source::open(&options, &id, &clock)?;
        let frames = source.frame_count() as u64;
        Ok(Self { source: Box::new(source), id, frames: Some(frames) })
    }

    /// Plays it all; frames, rows written, and how long it took.
    fn play(
        mut self,
        mut perception: Perception,
        arguments: &Arguments,
    ) -> Result<(u64, u64, Duration), Error> {
        let mut rows = Rows { boxes: Output::create(&arguments.out)?, ground: None, written: 0 };
        if let Some(path) = &arguments.ground {
            let mut ground = Output::create(path)?;
            ground.line(format_args!("frame,id,x,y"))?;
            rows.ground = Some(ground);
        }
        let mut story = arguments.explain.map(Story::of);
        if let Some(id) = arguments.explain {
            perception.explain(id);
        }
        let bar = progress(self.frames);
        let started = Instant::now();
        let mut frame = Frame::empty(self.id.clone());
        let mut transitions = Vec::new();
        let (mut frames, mut detections) = (0, 0);
        let mut conditions = perception.conditions();
        while self.source.next_frame(&mut frame, Duration::MAX)? == Next::Frame {
            if let Content::Detections(found) = &frame.content {
                detections += found.len();
            }
            let scene = perception.step(&frame, &mut transitions)?;
            transitions.clear();
            if perception.conditions() != conditions {
                conditions = perception.conditions();
                tracing::info!(frame = scene.seq + 1, modes = ?conditions, "camera health changed");
            }
            rows.write(&scene)?;
            if let Some(story) = &mut story {
                // Numbered as the rows are.
                let lines = story.tell(scene.seq + 1, perception.explanation());
                io::stdout().write_all(lines.as_bytes())?;
            }
            frames += 1;
            bar.inc(1);
        }
        let busy = started.elapsed();
        if let Some(verifier) = perception.verifier() {
            if let Some(error) = verifier.error() {
                tracing::warn!(%error, "second look unavailable, tracks were confirmed without");
            }
            let (looks, spent_ms) = (verifier.looks(), verifier.spent_ms().round());
            tracing::info!(looks, spent_ms, "second looks");
        }
        bar.finish_and_clear();
        let written = rows.finish()?;
        if written == 0 && detections > 0 {
            let Size { width, height } = frame.size;
            return Err(Error::BadInput(format!(
                "{}: no track in {frames} frames with {detections} detections: columns 3 to 6 are left, top, width and \
                 height in pixels of a picture of {width}x{height} (--size), column 7 the score",
                arguments.input.display()
            )));
        }
        match arguments.explain {
            Some(id) if story.is_some_and(|s| !s.found()) => {
                Err(Error::BadInput(format!("--explain {id}: no track of this recording has this id")))
            }
            _ => Ok((frames, written, busy)),
        }
    }
}

fn progress(frames: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, look) = match frames {
        Some(frames) => (ProgressBar::new(frames), "{bar:40} {pos}/{len} frames, {per_sec}"),
        None => (ProgressBar::new_spinner(), "{spinner} {pos} frames, {per_sec}"),
    };
    match ProgressStyle::with_template(look) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The files that are written.
struct Rows {
    boxes: Output,
    ground: Option<Output>,
    written: u64,
}

impl Rows {
    fn write(&mut self, scene: &Scene) -> Result<(), Error> {
        let number = scene.seq + 1;
        for seen in &scene.tracks {
            let (id, b) = (seen.track.id, seen.track.bbox);
            self.boxes.line(format_args!(
                "{number},{id},{:.2},{:.2},{:.2},{:.2},{:.3},-1,-1,-1",
                b.left, b.top, b.width, b.height, seen.track.confidence
            ))?;
            if let (Some(out), Some(ground)) = (&mut self.ground, &seen.ground) {
                out.line(format_args!("{number},{id},{:.3},{:.3}", ground.position.x, ground.position.y))?;
            }
            self.written += 1;
        }
        Ok(())
    }

    fn finish(self) -> Result<u64, Error> {
        self.boxes.finish()?;
        if let Some(ground) = self.ground {
            ground.finish()?;
        }
        Ok(self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorKind;

    fn arguments(input: &Path, out: &Path) -> Arguments {
        Arguments {
            input: input.to_path_buf(),
            out: out.to_path_buf(),
            size: Some(Size { width: 100, height: 100 }),
            fps: Some(10.0),
            camera: None,
            ground: None,
            explain: None,
            config: None,
        }
    }

    fn replay(arguments: &Arguments) -> Result<(u64, u64, Duration), Error> {
        let ground = GroundPlane::nominal(Calibration::METERS_PER_UNIT, Size { width: 1, height: 1 });
        let ids = || Box::new(CountingIds::default());
        let options = pipeline::Options::new(ground);
        let recording = Recording::open(arguments, None, arguments.fps, options.pixels_max())?;
        recording.play(Perception::new(options, ids(), ids()).unwrap(), arguments)
    }

    fn detections(folder: &Path) -> PathBuf {
        let path = folder.join("det.txt");
        let rows: Vec<_> = (1..=20).map(|n| format!("{n},-1,{},10,20,40,0.95", 10 + n)).collect();
        fs::write(&path, rows.join("\n")).unwrap();
        path
    }

    #[test]
    fn a_seqinfo_with_comments_tabs_and_a_mark_is_read_and_a_wrong_value_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let ini = folder.path().join("seqinfo.ini");
        let text = "\u{feff}[Sequence]\r\n; all of it\nname=a;b # name\nframeRate\t=\t30 # frames a second\r\n\
                    imwidth=640\t; px\nimHeight = 480 # px\n";
        fs::write(&ini, text).unwrap();
        for input in [folder.path().join("det.txt"), folder.path().to_owned()] {
            let info = sequence_info(&input).unwrap();
            assert_eq!((info.rate_hz, info.size), (Some(30.0), Some(Size { width: 640, height: 480 })));
        }
        fs::write(&ini, "[Sequence]\nframeRate=fast\n").unwrap();
        let error = sequence_info(&folder.path().join("det.txt")).unwrap_err().to_string();
        assert!(error.contains("seqinfo.ini:2: frameRate = \"fast\": a rate is a number"), "{error}");
    }

    #[test]
    fn detections_without_a_track_are_no_success() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("det.txt");
        let rows: Vec<_> = (1..=20).map(|n| format!("{n},-1,{},9000,20,40,0.9", 3000 * n)).collect();
        fs::write(&input, rows.join("\n")).unwrap();
        let error = replay(&arguments(&input, &folder.path().join("out.txt"))).unwrap_err();
        assert!(error.to_string().contains("no track in 20 frames with 20 detections"), "{error}");
        assert_ne!(error.kind().exit_code(), 0);
    }

    #[test]
    fn a_file_that_can_not_be_written_is_named_and_no_success() {
        let folder = tempfile::tempdir().unwrap();
        let input = detections(folder.path());
        let good = arguments(&input, &folder.path().join("out.txt"));
        let (frames, rows, _) = replay(&good).unwrap();
        assert!(frames == 20 && rows > 0, "{frames} frames, {rows} rows");
        let full = Path::new("/dev/full");
        for bad in [arguments(&input, full), Arguments { ground: Some(full.to_path_buf()), ..good }] {
            let error = replay(&bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.to_string().starts_with("/dev/full: No space left"), "{error}");
        }
    }

    #[test]
    fn a_size_for_a_video_and_a_stream_for_a_recording_are_usage_errors() {
        let out = Path::new("/no/such/folder/out.txt");
        let sized = replay(&arguments(Path::new("video.mp4"), out)).unwrap_err();
        assert!(sized.to_string().starts_with("--size is for detections"), "{sized}");
        let url = Path::new("rtsp://u:hunter2@host/x");
        let stream = replay(&Arguments { size: None, ..arguments(url, out) }).unwrap_err();
        assert!(stream.to_string().starts_with("rtsp://***@host/***: a recording is a file"), "{stream}");
        assert_eq!([sized.kind().exit_code(), stream.kind().exit_code()], [64, 64]);
    }
}
