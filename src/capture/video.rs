//! Frames from a video file or a network stream, decoded by ffmpeg.
//!
//! ffmpeg runs as a [`command`] that writes YUV4MPEG2. A path is a file: offline, its frames at a
//! constant rate, so that index by rate is their true time; when the rate is given, every frame once, in
//! steps of that rate. A URL (`rtsp://`, `http://`, ...) is a live stream: stamped on arrival, never
//! expected to end. A URL or a given rate needs ffmpeg 5.1 or newer.
//!
//! A URL's user name, password, query and fragment are secrets: they reach ffmpeg's command line and nothing
//! else, neither `Debug` nor an error nor what ffmpeg says about them.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::command::{self, Name, Timing};
use super::program::Hidden;
use crate::base::{Clock, Secret, without_url_secrets};
use crate::model::{CameraId, Size};

/// After this long without a byte ffmpeg itself gives up on a network stream.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(15);

/// What to read, and in which shape.
#[derive(Clone)]
pub struct Options {
    /// A path, or a URL with a scheme.
    pub input: String,
    /// Scale the picture to this size, in pixels.
    pub size: Option<Size>,
    /// Frames a second of a file, instead of what its header says: frame times follow it, no frame is
    /// dropped or repeated. Positive and finite; without effect on a URL.
    pub rate_hz: Option<f64>,
}

impl Options {
    /// The input as it is.
    pub fn new(input: impl Into<String>) -> Self {
        Self { input: input.into(), size: None, rate_hz: None }
    }

    /// Whether the input is a stream, and not a file.
    pub fn is_live(&self) -> bool {
        matches!(Input::of(&self.input), Input::Url { .. })
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("input", &Input::of(&self.input).shown())
            .field("size", &self.size)
            .field("rate_hz", &self.rate_hz)
            .finish()
    }
}

/// The two kinds of input.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Input<'a> {
    File(&'a str),
    Url { url: &'a str, scheme: &'a str },
}

impl<'a> Input<'a> {
    fn of(input: &'a str) -> Self {
        match input.split_once("://") {
            Some(("file", path)) => Self::File(path),
            Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+') => {
                Self::Url { url: input, scheme }
            }
            _ => Self::File(input),
        }
    }

    /// As it may be shown.
    fn shown(self) -> String {
        match self {
            Self::File(path) => path.into(),
            Self::Url { url, .. } => without_url_secrets(url),
        }
    }

    /// The parts that must not be repeated.
    fn hidden(self) -> Vec<Hidden> {
        let Self::Url { url, scheme } = self else {
            return Vec::new();
        };
        let mut hidden = vec![Hidden { secret: url.into(), instead: self.shown() }];
        let rest = &url[scheme.len() + "://".len()..];
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if let Some((user, _)) = authority.rsplit_once('@') {
            hidden.push(Hidden { secret: format!("{user}@"), instead: format!("{}@", Secret::HIDDEN) });
        }
        if let Some((_, query)) = rest.split_once(['?', '#']).filter(|(_, query)| !query.is_empty()) {
            hidden.push(Hidden { secret: query.into(), instead: Secret::HIDDEN.into() });
        }
        hidden
    }
}

/// Starts ffmpeg on the input.
pub fn open(options: &Options, camera: &CameraId, clock: &Arc<dyn Clock>) -> Result<command::Source, Error> {
    open_with("ffmpeg", options, camera, clock)
}

fn open_with(
    ffmpeg: &str,
    options: &Options,
    camera: &CameraId,
    clock: &Arc<dyn Clock>,
) -> Result<command::Source, Error> {
    let input = Input::of(&options.input);
    let timing = match input {
        Input::File(path) => {
            check_file(Path::new(path))?;
            Timing::Offline { rate_hz: options.rate_hz }
        }
        Input::Url { .. } => Timing::Live,
    };
    let command = command::Options { argv: argv(ffmpeg, options, input), timing };
    let name = Name { program: "ffmpeg".into(), what: input.shown() };
    command::Source::start_as(name, &command, input.hidden(), camera, clock).map_err(|error| match error {
        Error::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Error::FfmpegMissing { input: input.shown() }
        }
        other => other,
    })
}

/// Says what ffmpeg would only hint at.
fn check_file(path: &Path) -> Result<(), Error> {
    let refuse = |source| Error::File { path: path.into(), source };
    let about = std::fs::metadata(path).map_err(refuse)?;
    if about.is_dir() {
        return Err(refuse(io::ErrorKind::IsADirectory.into()));
    }
    // A device or pipe has no length of its own.
    if about.is_file() && about.len() == 0 {
        return Err(Error::EmptyFile { path: path.into() });
    }
    Ok(())
}

fn argv(ffmpeg: &str, options: &Options, input: Input<'_>) -> Vec<String> {
    let mut argv: Vec<String> =
        [ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error"].map(String::from).into();
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|&word| word.to_owned()));

    let timeout_us = NETWORK_TIMEOUT.as_micros().to_string();
    match input {
        // The prefix keeps a name with a colon or a leading dash a name.
        Input::File(path) => add(&["-i", &format!("file:{path}")]),
        Input::Url { url, scheme } => {
            match scheme {
                "rtsp" | "rtsps" => add(&["-rtsp_transport", "tcp", "-timeout", &timeout_us]),
                "http" | "https" => add(&["-rw_timeout", &timeout_us]),
                _ => {}
            }
            // What came while ffmpeg looked at the stream is old by the time it would be shown.
            add(&["-fflags", "nobuffer", "-i", url]);
        }
    }

    if let Some(Size { width, height }) = options.size {
        add(&["-vf", &format!("scale={width}:{height}")]);
    }
    if matches!(input, Input::Url { .. }) || options.rate_hz.is_some() {
        // A live stream's nominal rate can be a wild guess (90 000), and would be filled up with copies; so
        // would a file whose header lies.
        add(&["-fps_mode", "passthrough"]);
    }
    add(&["-map", "0:v:0", "-f", "yuv4mpegpipe", "-pix_fmt", "yuv420p", "pipe:1"]);
    argv
}

#[cfg(test)]
mod tests {
    use super::super::y4m::tests::stream;
    use super::super::{FrameSource, Next};
    use super::*;
    use crate::base::SystemClock;
    use crate::model::{Chroma, Content, Frame};
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    const DEADLINE: Duration = Duration::from_mins(1);

    fn has_ffmpeg() -> bool {
        let started =
            Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if started.is_err() {
            // Past the test harness, which keeps what `println!` of a passing test says.
            let _ = writeln!(std::io::stderr(), "skipped: ffmpeg not installed");
        }
        started.is_ok()
    }

    fn start(options: &Options) -> Result<command::Source, Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        open(options, &CameraId::parse("cam").unwrap(), &clock)
    }

    fn read_all(source: &mut command::Source) -> (Vec<Frame>, Result<(), Error>) {
        let mut frames = Vec::new();
        loop {
            let mut frame = Frame::empty(CameraId::parse("cam").unwrap());
            match source.next_frame(&mut frame, DEADLINE) {
                Ok(Next::Frame) => frames.push(frame),
                Ok(Next::Pending) => panic!("nothing came for {DEADLINE:?}"),
                Ok(Next::End) => return (frames, Ok(())),
                Err(error) => return (frames, Err(error)),
            }
        }
    }

    fn y4m(frames: usize) -> Vec<u8> {
        stream("YUV4MPEG2 W32 H16 F10:1 C420jpeg", 32 * 16 * 3 / 2, frames)
    }

    #[test]
    fn a_file_with_an_awkward_name_comes_frame_by_frame_at_its_rate() {
        if !has_ffmpeg() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("-a: b's %d.y4m");
        std::fs::write(&path, y4m(12)).unwrap();
        let mut source = start(&Options::new(path.display().to_string())).unwrap();
        assert!(!source.is_live());
        let (frames, end) = read_all(&mut source);
        end.unwrap();
        assert_eq!(frames.len(), 12);
        assert_eq!(frames[11].time.since(frames[0].time), Duration::from_millis(1100));
        let Content::Image(image) = &frames[0].content else { panic!("no image") };
        assert_eq!((image.size(), image.chroma()), (Size { width: 32, height: 16 }, Chroma::C420));
        assert_eq!(image.bytes(), &y4m(1)[y4m(1).len() - 768..]);
    }

    #[test]
    fn another_size_scales_and_another_rate_only_spaces_the_frames() {
        if !has_ffmpeg() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("video.y4m");
        std::fs::write(&path, y4m(20)).unwrap();
        let size = Size { width: 15, height: 9 };
        let input = format!("file://{}", path.display());
        let (frames, end) =
            read_all(&mut start(&Options { input, size: Some(size), rate_hz: Some(5.0) }).unwrap());
        end.unwrap();
        assert_eq!((frames.len(), frames[0].size), (20, size));
        assert_eq!(frames[1].time.since(frames[0].time), Duration::from_millis(200));
        assert_eq!(frames[19].time.since(frames[0].time), Duration::from_millis(3800));
    }

    #[test]
    fn a_file_that_is_missing_a_folder_or_empty_is_named_without_ffmpeg() {
        let folder = tempfile::tempdir().unwrap();
        let missing = start(&Options::new("/no/such/video.mp4")).unwrap_err();
        assert!(missing.to_string().starts_with("/no/such/video.mp4: No such file"), "{missing}");
        let directory = start(&Options::new(folder.path().display().to_string())).unwrap_err();
        assert!(matches!(directory, Error::File { .. }), "{directory}");
        let path = folder.path().join("empty.mp4");
        std::fs::write(&path, "").unwrap();
        let empty = start(&Options::new(path.display().to_string())).unwrap_err();
        assert!(empty.to_string().ends_with("empty.mp4 is empty"), "{empty}");
    }

    #[test]
    fn without_ffmpeg_the_error_names_the_package() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("video.y4m");
        std::fs::write(&path, y4m(1)).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let options = Options::new(path.display().to_string());
        let camera = CameraId::parse("cam").unwrap();
        let error = open_with("/no/such/ffmpeg", &options, &camera, &clock).unwrap_err();
        assert!(matches!(error, Error::FfmpegMissing { .. }));
        assert!(error.to_string().ends_with("install the package `ffmpeg`"), "{error}");
    }

    #[test]
    fn a_truncated_file_gives_what_it_still_holds() {
        if !has_ffmpeg() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("video.y4m");
        std::fs::write(&path, &y4m(8)[..y4m(8).len() - 100]).unwrap();
        let (frames, end) = read_all(&mut start(&Options::new(path.display().to_string())).unwrap());
        end.unwrap();
        assert_eq!(frames.len(), 7);
    }

    #[test]
    fn a_file_that_is_no_video_is_an_error_with_what_ffmpeg_said() {
        if !has_ffmpeg() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rubbish.mp4");
        std::fs::write(&path, [0xA5; 4000]).unwrap();
        let (frames, end) = read_all(&mut start(&Options::new(path.display().to_string())).unwrap());
        assert!(frames.is_empty());
        let error = end.unwrap_err().to_string();
        assert!(error.contains("rubbish.mp4: `ffmpeg` ended with exit status: 1: "), "{error}");
    }

    #[test]
    fn a_url_is_live_and_its_end_is_an_error_that_keeps_the_password() {
        if !has_ffmpeg() {
            return;
        }
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for (i, client) in server.incoming().flatten().enumerate() {
                let mut lines = BufReader::new(&client).lines();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                let mut client = &client;
                if i == 0 {
                    client.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: video/x-yuv4mpeg\r\n\r\n").unwrap();
                    client.write_all(&y4m(5)).unwrap();
                } else {
                    client.write_all(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
                }
            }
        });
        let options = Options::new(format!("http://me:pa55word@127.0.0.1:{port}/live.y4m?token=t0k3n"));
        let mut source = start(&options).unwrap();
        assert!(source.is_live());
        let (frames, end) = read_all(&mut source);
        // ffmpeg may use up the first to find out what comes.
        assert!((1..=5).contains(&frames.len()));
        assert!(matches!(end, Err(Error::Ended { .. })));

        let error = read_all(&mut start(&options).unwrap()).1.unwrap_err();
        for text in [error.to_string(), format!("{error:?} {options:?}")] {
            assert!(text.contains(&format!("http://***@127.0.0.1:{port}/live.y4m?***")), "{text}");
            assert!(!text.contains("pa55word") && !text.contains("t0k3n"), "{text}");
        }
        assert!(error.to_string().contains("404"), "{error}");
    }

    #[test]
    fn inputs_are_told_apart_and_shown_without_secrets() {
        for (input, shown) in [
            ("video.mp4", "video.mp4"),
            ("C:/odd name://x", "C:/odd name://x"),
            ("file:///tmp/a.mp4", "/tmp/a.mp4"),
            ("rtsp://u:p@cam:554/s?x=1", "rtsp://***@cam:554/s?***"),
        ] {
            assert_eq!(Input::of(input).shown(), shown);
            let is_url = input.starts_with("rtsp") || input.starts_with("http");
            assert_eq!(matches!(Input::of(input), Input::Url { .. }), is_url, "{input}");
        }
    }
}
