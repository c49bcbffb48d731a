//! Frames from a video file, a folder of pictures or a network stream, decoded by ffmpeg.
//!
//! ffmpeg (5.1 or newer) runs as a [`command`] that writes YUV4MPEG2, every frame once. A path is a file: offline,
//! its frames at the times that the file gives them, holes included; when the rate is given, in steps of that rate.
//! YUV4MPEG2 has no times, so ffmpeg logs them beside it, to its standard error. A folder is a recording of its
//! pictures in the order of their names, numbers by value, and needs a rate; so does a pattern of such names
//! (`folder/img%05d.png`), which takes those that fit it. A URL (`rtsp://`, `http://`, ...) is a live stream: stamped on
//! arrival, never expected to end.
//!
//! Moving large pictures from process to process costs as much as decoding them. Where the detector alone looks at
//! them, ffmpeg averages them down to what it needs ([`Options::pixels_max`]); [`Frame::size`](crate::model::Frame::size) is still that of the
//! whole picture. They come with a chroma sample for each pixel then, so that no color is lost.
//!
//! Pictures that change their size within a recording or stream are scaled to the first one's size: another size of the
//! same view, in which calibration and zones stay where they are.
//!
//! User information, path and query of a URL are secrets. ffmpeg reads the URL from its standard input, as
//! the only entry of a list (its demuxer `concat`), so that it is neither among the arguments of the process
//! nor in a file. Neither `Debug` nor an error nor what ffmpeg says about it holds a secret.

use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::command::{self, Name, Timing};
use super::program::{FRAME_FILTERS, LOG_ARGUMENTS, Speech};
use crate::base::{Clock, StreamUrl, UrlSecrets, without_url_secrets};
use crate::model::{CameraId, Size};

/// After this long without a byte ffmpeg itself gives up on a network stream.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest hole in a file that is taken for one, and not for a jump of its clock, seconds.
const HOLE_S_MAX: &str = "86400";
/// The endings of pictures in a folder.
const PICTURES: [&str; 8] = ["jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp", "ppm"];
/// Most pictures of a folder: a day at 10 frames/s.
const PICTURES_MAX: usize = 1_000_000;
/// What a listed URL may lead to, beside its own scheme. Never a file.
const PROTOCOLS: &str = "crypto,data,http,https,httpproxy,pipe,rtmp,rtmps,rtp,srtp,tcp,tls,udp";

/// What to read, and in which shape.
#[derive(Clone)]
pub struct Options {
    /// A path, or a URL with a scheme.
    pub input: String,
    /// Scale the picture to this size, in pixels.
    pub size: Option<Size>,
    /// The picture may come smaller, by the smallest whole factor at which it has at most this many pixels
    /// ([`Size::factor_within`]); none: as it is. [`Frame::size`](crate::model::Frame::size) does not change with it.
    pub pixels_max: Option<u32>,
    /// Frames a second of a file, instead of what its header says, or of a folder: frame times follow it, no
    /// frame is dropped or repeated. Positive and finite; without effect on a URL.
    pub rate_hz: Option<f64>,
}

impl Options {
    /// The input as it is.
    pub fn new(input: impl Into<String>) -> Self {
        Self { input: input.into(), size: None, pixels_max: None, rate_hz: None }
    }

    /// Whether the input is a stream, and not a file.
    pub fn is_live(&self) -> bool {
        matches!(Input::of(&self.input), Input::Url(_))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("input", &Input::of(&self.input).shown())
            .field("size", &self.size)
            .field("pixels_max", &self.pixels_max)
            .field("rate_hz", &self.rate_hz)
            .finish()
    }
}

/// The two kinds of input.
enum Input<'a> {
    File(&'a str),
    Url(StreamUrl<'a>),
}

impl<'a> Input<'a> {
    fn of(input: &'a str) -> Self {
        match StreamUrl::parse(input) {
            Some(url) if url.scheme() == "file" => Self::File(&input["file://".len()..]),
            Some(url) => Self::Url(url),
            None => Self::File(input),
        }
    }

    /// As it may be shown.
    fn shown(&self) -> String {
        match self {
            Self::File(path) => without_url_secrets(path),
            Self::Url(url) => url.shown(),
        }
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
    let Job { arguments, list, timing } = match &input {
        Input::File(path) if Path::new(path).is_dir() => pictures(Path::new(path), None, options.rate_hz)?,
        Input::File(path) if let Some((folder, pattern)) = Pattern::parse(path) => {
            pictures(folder, Some(pattern), options.rate_hz)?
        }
        Input::File(path) => file(path, options.rate_hz)?,
        Input::Url(url) => stream(url)?,
    };
    let mut argv: Vec<String> = [ffmpeg, "-nostdin", "-hide_banner"].map(String::from).into();
    argv.extend(LOG_ARGUMENTS.map(String::from));
    argv.extend(arguments);
    let scale = options.size.map(|Size { width, height }| format!("scale={width}:{height}"));
    let (shrink, format) = match options.pixels_max {
        Some(pixels_max) => (Some(shrink(pixels_max)), "yuv444p"),
        None => (None, "yuv420p"),
    };
    let filters: Vec<_> = scale.into_iter().chain([FRAME_FILTERS.to_owned()]).chain(shrink).collect();
    argv.extend(["-vf".into(), filters.join(",")]);
    // Else what is missing by the nominal rate, which can be a wild guess (90 000), is filled up with copies.
    argv.extend(["-fps_mode", "passthrough"].map(String::from));
    argv.extend(["-map", "0:v:0", "-f", "yuv4mpegpipe", "-pix_fmt", format, "pipe:1"].map(String::from));
    let command = command::Options { argv, timing };
    let name = Name { program: "ffmpeg".into(), what: input.shown() };
    let speech = Speech {
        stdin: list,
        secrets: UrlSecrets::of([options.input.as_str()]),
        is_ours: true,
        frames: None,
    };
    command::Source::start_as(name, &command, speech, true, camera, clock).map_err(|error| match error {
        Error::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Error::FfmpegMissing { input: input.shown() }
        }
        other => other,
    })
}

/// The filter that shrinks pictures as [`Size::factor_within`] says; the first register of its expressions is the factor.
fn shrink(pixels_max: u32) -> String {
    let factor = format!(
        "st(0,1);while(gt(trunc(iw/ld(0))*trunc(ih/ld(0)),{pixels_max}),st(0,ld(0)+1));max(1,trunc({{side}}/ld(0)))"
    );
    let [width, height] = ["iw", "ih"].map(|side| factor.replace("{side}", side));
    format!("scale=w='{width}':h='{height}':flags=area")
}

/// How ffmpeg gets its input.
struct Job {
    arguments: Vec<String>,
    /// What it reads from its standard input.
    list: Option<String>,
    timing: Timing,
}

/// A file by its path.
fn file(path: &str, rate_hz: Option<f64>) -> Result<Job, Error> {
    let shown = || PathBuf::from(without_url_secrets(path));
    let about = std::fs::metadata(path).map_err(|source| Error::File { path: shown(), source })?;
    // A device or pipe has no length of its own.
    if about.is_file() && about.len() == 0 {
        return Err(Error::EmptyFile { path: shown() });
    }
    // The prefix keeps a name with a colon or a leading dash a name.
    let input = format!("file:{path}");
    // By default a hole of more than 10 s in an MPEG transport stream is closed.
    let arguments = ["-dts_delta_threshold", HOLE_S_MAX, "-i", &input].map(String::from).into();
    Ok(Job { arguments, list: None, timing: Timing::Offline { rate_hz } })
}

/// A live stream, named in a list.
fn stream(url: &StreamUrl<'_>) -> Result<Job, Error> {
    let encoded = url.encoded().map_err(|reason| Error::Url { url: url.shown(), reason })?;
    let timeout_us = NETWORK_TIMEOUT.as_micros();
    let options = match url.scheme() {
        "rtsp" | "rtsps" => format!("option rtsp_transport tcp\noption timeout {timeout_us}\n"),
        "http" | "https" => format!("option rw_timeout {timeout_us}\n"),
        _ => String::new(),
    };
    let list = format!("ffconcat version 1.0\nfile {}\n{options}", quoted(&encoded));
    // What came while ffmpeg looked at the stream is old by the time it would be shown.
    let mut arguments = vec!["-fflags".into(), "nobuffer".into()];
    arguments.extend(list_arguments(url.scheme()));
    Ok(Job { arguments, list: Some(list), timing: Timing::Live })
}

/// Names that differ in a number: `img%d.png`, or `img%05d.png` for one of five digits.
#[derive(Clone, Copy)]
struct Pattern<'a> {
    before: &'a str,
    digits: Option<usize>,
    after: &'a str,
}

impl<'a> Pattern<'a> {
    /// The folder and the pattern of a path that is no file's.
    fn parse(path: &'a str) -> Option<(&'a Path, Self)> {
        if Path::new(path).exists() {
            return None;
        }
        let name = Path::new(path).file_name()?.to_str()?;
        let (before, rest) = name.split_once('%')?;
        let (digits, after) = rest.split_once('d')?;
        let digits = if digits.is_empty() { None } else { Some(digits.strip_prefix('0')?.parse().ok()?) };
        let folder = Path::new(path).parent().filter(|folder| *folder != Path::new(""));
        Some((folder.unwrap_or(Path::new(".")), Self { before, digits, after }))
    }

    fn fits(self, name: &str) -> bool {
        let number = name.strip_prefix(self.before).and_then(|rest| rest.strip_suffix(self.after));
        number.is_some_and(|number| {
            let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            is_number && self.digits.is_none_or(|digits| number.len() == digits)
        })
    }
}

/// The pictures of a folder, or those of them that fit the pattern, listed in the order of their names.
fn pictures(folder: &Path, pattern: Option<Pattern<'_>>, rate_hz: Option<f64>) -> Result<Job, Error> {
    let refuse = |source| Error::File { path: folder.into(), source };
    let folder = folder.canonicalize().map_err(refuse)?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(refuse)? {
        let path = entry.map_err(refuse)?.path();
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        let name = path.file_name().and_then(|name| name.to_str());
        let is_wanted = pattern.is_none_or(|pattern| name.is_some_and(|name| pattern.fits(name)));
        if is_wanted && extension.is_some_and(|extension| PICTURES.contains(&extension.as_str())) {
            names.extend(path.to_str().map(str::to_owned));
        }
        if names.len() > PICTURES_MAX {
            return Err(refuse(io::Error::other(format!("more than {PICTURES_MAX} pictures"))));
        }
    }
    if names.is_empty() {
        return Err(Error::NoPictures { folder, endings: PICTURES.join(", ") });
    }
    let Some(rate) = rate_hz else { return Err(Error::PicturesWithoutRate { folder }) };
    names.sort_by_cached_key(|name| natural_key(name));
    let mut list = String::from("ffconcat version 1.0\n");
    for name in &names {
        // A percent sign in a name would otherwise begin a pattern.
        let file = quoted(&format!("file:{name}"));
        // Formatting into a text never fails.
        let _ = writeln!(list, "file {file}\noption pattern_type none\nduration {}", 1.0 / rate);
    }
    Ok(Job {
        arguments: list_arguments("file"),
        list: Some(list),
        timing: Timing::Offline { rate_hz: Some(rate) },
    })
}

/// The list on standard input, whose entries may use this scheme.
fn list_arguments(scheme: &str) -> Vec<String> {
    let protocols = format!("{PROTOCOLS},{scheme}");
    let arguments = ["-f", "concat", "-safe", "0", "-protocol_whitelist", &protocols, "-i", "pipe:0"];
    arguments.map(String::from).into()
}

/// A text within single quotes, as ffmpeg's lists have it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A key that sorts numbers in names by their value: `2.jpg` before `10.jpg`.
fn natural_key(name: &str) -> Vec<(String, u64)> {
    let is_digit = |c: char| c.is_ascii_digit();
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let (text, after) = rest.split_at(rest.find(is_digit).unwrap_or(rest.len()));
        let (digits, after) = after.split_at(after.find(|c| !is_digit(c)).unwrap_or(after.len()));
        key.push((text.to_owned(), digits.parse().unwrap_or(u64::MAX)));
        rest = after;
    }
    key
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
        let (frames, end) = read_all(
            &mut start(&Options { size: Some(size), rate_hz: Some(5.0), ..Options::new(input) }).unwrap(),
        );
        end.unwrap();
        assert_eq!((frames.len(), frames[0].size), (20, size));
        assert_eq!(frames[1].time.since(frames[0].time), Duration::from_millis(200));
        assert_eq!(frames[19].time.since(frames[0].time), Duration::from_millis(3800));
    }

    #[test]
    fn what_only_the_detector_looks_at_comes_averaged_down_and_keeps_the_size_and_time_of_its_frame() {
        if !has_ffmpeg() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("video.y4m");
        for size in [(32, 16), (33, 17), (1, 40), (64, 48)].map(|(width, height)| Size { width, height }) {
            let frame: Vec<u8> = (0..size.width * size.height).map(|i| (i % 2 * 100 + 50) as u8).collect();
            let header = format!("YUV4MPEG2 W{} H{} F10:1 Cmono\n", size.width, size.height);
            let frame = [b"FRAME\n".to_vec(), frame].concat();
            std::fs::write(&path, [header.into_bytes(), frame.repeat(3)].concat()).unwrap();
            let options = Options { pixels_max: Some(100), ..Options::new(path.display().to_string()) };
            let (frames, end) = read_all(&mut start(&options).unwrap());
            end.unwrap();
            assert!(frames.iter().all(|frame| frame.size == size), "{size:?}");
            assert_eq!(times_ms(&frames), [0, 100, 200], "{size:?}");
            let Content::Image(image) = &frames[0].content else { panic!("no image") };
            let factor = size.factor_within(100);
            let shrunk = Size { width: (size.width / factor).max(1), height: (size.height / factor).max(1) };
            assert_eq!((image.size(), image.chroma()), (shrunk, Chroma::C444), "{size:?}");
            if size.width == 64 {
                // Means of the 50s and 150s.
                assert!(image.luma().iter().all(|y| (90..=110).contains(y)), "{:?}", image.luma());
            }
        }
    }

    #[test]
    fn a_file_that_is_missing_or_empty_is_named_without_ffmpeg() {
        let folder = tempfile::tempdir().unwrap();
        let missing = start(&Options::new("/no/such/video.mp4")).unwrap_err();
        assert!(missing.to_string().starts_with("/no/such/video.mp4: No such file"), "{missing}");
        let login = start(&Options::new("rtsp:/me:pa55@host/video")).unwrap_err();
        assert!(login.to_string().starts_with("***@host/video: No such file"), "{login}");
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
        let options = Options::new(format!("http://me:pa55 w#/?rd@127.0.0.1:{port}/live.y4m?token=t0k3n"));
        let mut source = start(&options).unwrap();
        assert!(source.is_live());
        let (frames, end) = read_all(&mut source);
        // ffmpeg may use up the first to find out what comes.
        assert!((1..=5).contains(&frames.len()));
        assert!(matches!(end, Err(Error::Ended { .. })));

        let error = read_all(&mut start(&options).unwrap()).1.unwrap_err();
        for text in [error.to_string(), format!("{error:?} {options:?}")] {
            assert!(text.contains(&format!("http://***@127.0.0.1:{port}/***")), "{text}");
            assert!(!["pa55", "t0k3n", "live"].iter().any(|secret| text.contains(secret)), "{text}");
        }
        assert!(error.to_string().contains("404"), "{error}");
    }

    /// The words and the standard input that ffmpeg gets for a URL, as a program in its place sees them.
    fn given_to_ffmpeg(url: &str) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let fake = folder.path().join("ffmpeg");
        let script = "#!/bin/sh\ntr '\\0' ' ' < /proc/$$/cmdline > \"$0.args\"\ncat > \"$0.stdin\"\n";
        std::fs::write(&fake, script).unwrap();
        let run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&fake, run).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let camera = CameraId::parse("cam").unwrap();
        let fake = fake.to_str().unwrap();
        let mut source = open_with(fake, &Options::new(url), &camera, &clock).unwrap();
        let _ = read_all(&mut source);
        let read = |what: &str| std::fs::read_to_string(format!("{fake}.{what}")).unwrap();
        (read("args"), read("stdin"))
    }

    #[test]
    fn no_secret_of_a_url_is_among_the_arguments_of_ffmpeg() {
        let (arguments, stdin) =
            given_to_ffmpeg("RTSP://me:pa55 w'#rd@Tür.example:8554/user=me&password=kret9");
        assert!(!["pa55", "kret9", "rtsp:"].iter().any(|secret| arguments.contains(secret)), "{arguments}");
        let file = "file 'rtsp://me:pa55%20w%27%23rd@xn--tr-xka.example:8554/user=me&password=kret9'\n";
        assert!(stdin.contains(file) && stdin.contains("option rtsp_transport tcp\n"), "{stdin}");
        let (_, stdin) = given_to_ffmpeg("http://host/it's");
        assert!(stdin.contains(r"file 'http://host/it'\''s'"), "{stdin}");
    }

    #[test]
    fn a_folder_of_pictures_is_a_recording_in_the_order_of_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it's %d");
        std::fs::create_dir(&path).unwrap();
        let options = |rate_hz| Options { rate_hz, ..Options::new(path.display().to_string()) };
        let none = start(&options(Some(10.0))).unwrap_err();
        assert!(none.to_string().contains("holds no pictures (jpg, jpeg, png"), "{none}");
        for (number, level) in [(10, 200), (2, 100), (1, 50)] {
            let mut picture = b"P6 16 16 255\n".to_vec();
            picture.resize(picture.len() + 768, level);
            std::fs::write(path.join(format!("{number}.ppm")), picture).unwrap();
        }
        std::fs::write(path.join("notes.txt"), "no picture").unwrap();
        let rateless = start(&options(None)).unwrap_err();
        assert!(rateless.to_string().contains("set capture.fps"), "{rateless}");
        if !has_ffmpeg() {
            return;
        }
        let (frames, end) = read_all(&mut start(&options(Some(10.0))).unwrap());
        end.unwrap();
        let light = |frame: &Frame| match &frame.content {
            Content::Image(image) => image.luma()[0],
            Content::Detections(_) => panic!("no image"),
        };
        assert_eq!(frames.iter().map(light).collect::<Vec<_>>(), [59, 102, 188]);
        assert_eq!(frames[2].time.since(frames[0].time), Duration::from_millis(200));
    }

    /// A file made by ffmpeg: ten pictures a second through these filters.
    fn made(folder: &Path, name: &str, arguments: &[&str]) -> PathBuf {
        let path = folder.join(name);
        let source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=4"];
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-nostdin", "-loglevel", "error"]).args(source).args(arguments).arg(&path);
        assert!(ffmpeg.status().unwrap().success());
        path
    }

    fn times_ms(frames: &[Frame]) -> Vec<u128> {
        frames.iter().map(|frame| frame.time.since(frames[0].time).as_millis()).collect()
    }

    #[test]
    fn a_hole_of_a_recording_stays_a_hole_and_frames_have_the_times_of_the_file() {
        if !has_ffmpeg() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        // Ten frames, a minute of nothing, then every third frame.
        let filter = "select='lt(n,10)+gte(n,20)*eq(mod(n,3),0)',setpts='PTS+gte(PTS*TB,1)*60/TB'";
        for name in ["hole.mp4", "hole.mkv", "hole.ts"] {
            let arguments = ["-vf", filter, "-fps_mode", "passthrough", "-c:v", "mpeg4"];
            let path = made(folder.path(), name, &arguments);
            let (frames, end) = read_all(&mut start(&Options::new(path.display().to_string())).unwrap());
            end.unwrap();
            let expected: Vec<u128> =
                (0..10).map(|n| n * 100).chain((21..40).step_by(3).map(|n| 60_000 + n * 100)).collect();
            assert_eq!(times_ms(&frames), expected, "{name}");
        }
    }

    #[test]
    fn pictures_of_another_size_within_a_recording_are_scaled_to_the_first() {
        if !has_ffmpeg() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let small = made(folder.path(), "small.ts", &["-c:v", "mpeg2video"]);
        let large = made(folder.path(), "large.ts", &["-vf", "scale=160:96", "-c:v", "mpeg2video"]);
        let both = folder.path().join("both.ts");
        let bytes = [std::fs::read(small).unwrap(), std::fs::read(large).unwrap()].concat();
        std::fs::write(&both, bytes).unwrap();
        let (frames, end) = read_all(&mut start(&Options::new(both.display().to_string())).unwrap());
        end.unwrap();
        assert!(frames.len() > 70, "{}", frames.len());
        assert!(frames.iter().all(|frame| frame.size == Size { width: 64, height: 48 }));
        let times = times_ms(&frames);
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    }

    #[test]
    fn a_pattern_takes_the_pictures_that_fit_it_by_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for (name, level) in
            [("img00010.ppm", 200), ("img00002.ppm", 100), ("img1.ppm", 50), ("x00003.ppm", 9)]
        {
            let mut picture = b"P6 16 16 255\n".to_vec();
            picture.resize(picture.len() + 768, level);
            std::fs::write(folder.path().join(name), picture).unwrap();
        }
        let options = |name: &str| {
            let path = folder.path().join(name).display().to_string();
            Options { rate_hz: Some(10.0), ..Options::new(path) }
        };
        let none = start(&options("pic%05d.ppm")).unwrap_err();
        assert!(none.to_string().contains("holds no pictures"), "{none}");
        if !has_ffmpeg() {
            return;
        }
        let (frames, end) = read_all(&mut start(&options("img%05d.ppm")).unwrap());
        end.unwrap();
        assert_eq!(times_ms(&frames), [0, 100]);
        assert_eq!(read_all(&mut start(&options("img%d.ppm")).unwrap()).0.len(), 3);
    }

    #[test]
    fn a_login_that_the_camera_rejects_is_named_as_one() {
        if !has_ffmpeg() {
            return;
        }
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut client in server.incoming().flatten() {
                let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                let reply = "HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"c\"\r\n\r\n";
                let _ = client.write_all(reply.as_bytes());
            }
        });
        let options = Options::new(format!("http://me:pa55@127.0.0.1:{port}/x"));
        let error = read_all(&mut start(&options).unwrap()).1.unwrap_err();
        assert!(error.is_login_rejected(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("rejects the user name or password") && !text.contains("pa55"), "{text}");
    }

    #[test]
    fn inputs_are_told_apart_and_shown_without_secrets() {
        for (input, shown) in [
            ("video.mp4", "video.mp4"),
            ("C:/odd name://x", "C:/odd name://x"),
            ("file:///tmp/a.mp4", "/tmp/a.mp4"),
            ("rtsp://u:p@cam:554/s?x=1", "rtsp://***@cam:554/***"),
        ] {
            assert_eq!(Input::of(input).shown(), shown);
            let is_url = input.starts_with("rtsp") || input.starts_with("http");
            assert_eq!(matches!(Input::of(input), Input::Url(_)), is_url, "{input}");
        }
    }
}
