//! Frames from a program that writes YUV4MPEG2 to its standard output.
//!
//! A reader thread parses the stream and hands pictures over through a bounded channel; the buffers
//! come back through another, so that in steady state nothing is allocated and a slow reader makes
//! the program wait. What the program says on standard error ends up in the error that names its end.
//!
//! A live program is stamped on arrival and is not supposed to end: its end is an error. The output
//! of an offline program is a file: start plus index by rate, or plus the time that the file gives the frame
//! (`stamps`), and exit status 0 after its last whole frame is the end. A hang is [`Next::Pending`] for as long as it lasts; who waits decides.

use std::fmt;
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use super::program::{FrameInfo, Program, Speech, poll_until};
use super::stamps::Stamps;
use super::{Error, FrameSource, Next, exchange_image, offset_at, y4m};
use crate::base::{Clock, Time, UrlSecrets, without_url_secrets};
use crate::model::{CameraId, Frame, Image, Size};

/// Finished pictures on their way from the reader thread; it is at work on one more.
const PICTURES_MAX: usize = 1;
/// What ffmpeg said of frames that are under way: more than it has at a time.
const INFOS_MAX: usize = 1024;
/// How long a frame waits for what ffmpeg says of it.
const INFO_PATIENCE: Duration = Duration::from_secs(1);
/// How long the reader thread may take to notice that its program is gone.
const READER_PATIENCE: Duration = Duration::from_secs(1);

/// What to start and what its output is.
#[derive(Clone)]
pub struct Options {
    /// The program and its arguments; no shell is involved.
    pub argv: Vec<String>,
    /// Live stream or file.
    pub timing: Timing,
}

/// Without the secrets of URLs among the arguments.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let argv: Vec<_> = self.argv.iter().map(|word| without_url_secrets(word)).collect();
        f.debug_struct("Options").field("argv", &argv).field("timing", &self.timing).finish()
    }
}

/// Where frame times come from, and what the end of the stream means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Timing {
    /// The program captures: frames are stamped on arrival, its end is a failure.
    Live,
    /// The program plays a recording: start plus index by rate, or the times that ffmpeg found in the file.
    Offline {
        /// Frames a second; otherwise the file or the stream's header says it. Positive and finite.
        rate_hz: Option<f64>,
    },
}

/// A program that is running, as a source of frames.
#[derive(Debug)]
pub struct Source {
    camera: CameraId,
    name: Name,
    timing: Timing,
    program: Program,
    arrivals: Receiver<Arrival>,
    /// Buffers on their way back; gone only while being dropped.
    spare: Option<SyncSender<Image>>,
    /// The time of the first frame.
    start: Option<Time>,
    stamps: Stamps,
    /// Of the first frame, before it was scaled to what the detector needs.
    size: Option<Size>,
    frames: u64,
    /// How the stream ended, once it has.
    ended: Option<Result<(), y4m::Error>>,
}

/// What errors call the program and its work.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) program: String,
    pub(super) what: String,
}

/// What the reader thread hands over.
#[derive(Debug)]
enum Arrival {
    Picture { image: Image, at: Time, rate_hz: Option<f64>, info: Option<FrameInfo> },
    End(Result<(), y4m::Error>),
}

impl Source {
    /// Starts the program.
    pub fn start(options: &Options, camera: &CameraId, clock: &Arc<dyn Clock>) -> Result<Self, Error> {
        let program = options.argv.first().ok_or(Error::NoProgram)?.clone();
        let name = Name { program, what: "capture command".into() };
        // Programs like to repeat their arguments when they complain.
        let secrets = UrlSecrets::of(options.argv.iter().map(String::as_str));
        Self::start_as(name, options, Speech { secrets, ..Speech::default() }, false, camera, clock)
    }

    /// Starts the program under another name. `with_info`: it is ffmpeg with `program::LOG_ARGUMENTS`
    /// and `program::FRAME_FILTERS`.
    pub(super) fn start_as(
        name: Name,
        options: &Options,
        speech: Speech,
        with_info: bool,
        camera: &CameraId,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let start_error = |source| Error::Start { program: name.program.clone(), source };
        let (info_sent, infos) = sync_channel(INFOS_MAX);
        let speech = Speech { frames: with_info.then_some(info_sent), ..speech };
        let (program, stdout) = Program::start(&options.argv, speech).map_err(start_error)?;
        let (spare, spares) = sync_channel(PICTURES_MAX + 1);
        for _ in 0..=PICTURES_MAX {
            // The channel has room for all of them.
            let _ = spare.try_send(Image::default());
        }
        // One more than there are buffers, so that the end always fits.
        let (arrived, arrivals) = sync_channel(PICTURES_MAX + 2);
        let clock = Arc::clone(clock);
        thread::Builder::new()
            .name("capture-reader".into())
            .spawn(move || read_stream(stdout, &infos, &spares, &arrived, &*clock))
            .map_err(start_error)?;
        Ok(Self {
            camera: camera.clone(),
            name,
            timing: options.timing,
            program,
            arrivals,
            spare: Some(spare),
            start: None,
            stamps: Stamps::default(),
            size: None,
            frames: 0,
            ended: None,
        })
    }

    fn deliver(&mut self, frame: &mut Frame, image: Image, time: Time, info: Option<FrameInfo>) {
        if frame.camera != self.camera {
            frame.camera = self.camera.clone();
        }
        frame.seq = self.frames;
        frame.time = time;
        frame.size = *self.size.get_or_insert(info.map_or(image.size(), |info| info.size));
        let old = exchange_image(frame, image);
        if let Some(spare) = &self.spare {
            // Full only if the reader is gone, and then nobody needs it.
            let _ = spare.try_send(old);
        }
        self.frames += 1;
    }

    fn time_of(
        &mut self,
        arrival: Time,
        header_rate_hz: Option<f64>,
        info: Option<FrameInfo>,
    ) -> Result<Time, Error> {
        let Timing::Offline { rate_hz: given_hz } = self.timing else {
            return Ok(arrival);
        };
        let Some(rate_hz) = given_hz.or(header_rate_hz) else {
            let Name { program, what } = self.name.clone();
            return Err(Error::NoRate { program, what });
        };
        let start = *self.start.get_or_insert(arrival);
        let by_rate = offset_at(self.frames, rate_hz);
        let stamp = info.and_then(|info| info.stamp).filter(|_| given_hz.is_none());
        Ok(start + self.stamps.offset(stamp, by_rate))
    }

    /// What the end of the stream means, once the program's own end is known.
    fn conclude(&mut self, patience: Duration) -> Result<Next, Error> {
        let Name { program, what } = self.name.clone();
        let broken_while_running = matches!(&self.ended, Some(Err(error)) if !error.is_early_end());
        if broken_while_running {
            // It may well go on for ever.
            self.program.end();
        }
        let waited = self.program.wait(patience);
        let status = waited.map_err(|source| Error::Start { program: program.clone(), source })?;
        let Some(status) = status else {
            return Ok(Next::Pending);
        };
        let last_words = self.program.last_words();
        let is_offline = self.timing != Timing::Live;
        match self.ended.take() {
            Some(Err(source)) if broken_while_running || status.success() => {
                Err(Error::Stream { program, what, source, last_words })
            }
            Some(Ok(())) if status.success() && is_offline => {
                if !last_words.is_empty() {
                    tracing::warn!(camera = %self.camera, "{what}: `{program}` ended well, but complained{last_words}");
                }
                self.ended = Some(Ok(()));
                Ok(Next::End)
            }
            _ if is_login_rejected(&last_words) => Err(Error::LoginRejected { what, last_words }),
            _ => Err(Error::Ended { program, what, status, last_words }),
        }
    }
}

impl FrameSource for Source {
    fn next_frame(&mut self, frame: &mut Frame, patience: Duration) -> Result<Next, Error> {
        if self.ended.is_some() {
            return self.conclude(patience);
        }
        match self.arrivals.recv_timeout(patience) {
            Ok(Arrival::Picture { image, at, rate_hz, info }) => {
                let time = self.time_of(at, rate_hz, info)?;
                self.deliver(frame, image, time, info);
                Ok(Next::Frame)
            }
            Ok(Arrival::End(result)) => {
                self.ended = Some(result);
                self.conclude(patience)
            }
            Err(RecvTimeoutError::Timeout) => Ok(Next::Pending),
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::ReaderGone { program: self.name.program.clone() })
            }
        }
    }

    fn is_live(&self) -> bool {
        self.timing == Timing::Live
    }
}

impl Drop for Source {
    /// Ends the program, which ends the stream, which ends the reader thread.
    fn drop(&mut self) {
        self.program.end();
        self.spare = None;
        let gone = || loop {
            match self.arrivals.try_recv() {
                Ok(_) => {}
                Err(error) => break error == TryRecvError::Disconnected,
            }
        };
        if !poll_until(READER_PATIENCE, gone) {
            tracing::warn!(
                program = self.name.program,
                "a process that left its group holds the stream open"
            );
        }
    }
}

/// Whether the last words of ffmpeg or `GStreamer` are about a login.
fn is_login_rejected(last_words: &str) -> bool {
    let words = last_words.to_ascii_lowercase();
    [
        "401 unauthorized",
        "401 (unauthorized)",
        "unauthorized (401)",
        "not authorized",
        "403 forbidden",
        "403 (forbidden)",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}

/// The reader thread: ends with the stream, or when nobody wants its pictures any more.
fn read_stream(
    stdout: ChildStdout,
    infos: &Receiver<FrameInfo>,
    spares: &Receiver<Image>,
    arrived: &SyncSender<Arrival>,
    clock: &dyn Clock,
) {
    let mut reader = y4m::Reader::new(stdout);
    while let Ok(mut image) = spares.recv() {
        let arrival = match reader.read_frame(&mut image) {
            Ok(true) => {
                let rate_hz = reader.header().ok().and_then(|header| header.rate_hz);
                // Written before the frame, so it is there, or there is none.
                let info = infos.recv_timeout(INFO_PATIENCE).ok();
                Arrival::Picture { image, at: clock.now(), rate_hz, info }
            }
            Ok(false) => Arrival::End(Ok(())),
            Err(error) => Arrival::End(Err(error)),
        };
        let is_end = matches!(arrival, Arrival::End(_));
        if arrived.send(arrival).is_err() || is_end {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::y4m::tests::{sample, stream};
    use super::*;
    use crate::base::SystemClock;
    use crate::model::Content;
    use std::path::{Path, PathBuf};

    const DEADLINE: Duration = Duration::from_secs(30);
    const FILE: Timing = Timing::Offline { rate_hz: None };

    fn start(script: &str, timing: Timing) -> Source {
        let argv = ["sh", "-c", script].map(String::from).into();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Source::start(&Options { argv, timing }, &CameraId::parse("cam").unwrap(), &clock).unwrap()
    }

    fn frame() -> Frame {
        Frame::empty(CameraId::parse("other").unwrap())
    }

    /// Frames until the end, which may be an error.
    fn read_all(source: &mut Source) -> (u64, Result<(), Error>) {
        let mut frame = frame();
        loop {
            match source.next_frame(&mut frame, DEADLINE) {
                Ok(Next::Frame) => {}
                Ok(Next::Pending) => panic!("nothing came for {DEADLINE:?}"),
                Ok(Next::End) => return (source.frames, Ok(())),
                Err(error) => return (source.frames, Err(error)),
            }
        }
    }

    fn error_of(script: &str, timing: Timing) -> Error {
        read_all(&mut start(script, timing)).1.unwrap_err()
    }

    fn video(folder: &Path, cut: usize) -> PathBuf {
        let mut data = stream("YUV4MPEG2 W8 H6 F10:1 C420jpeg", 72, 30);
        data.truncate(data.len() - cut);
        let path = folder.join("video.y4m");
        std::fs::write(&path, data).unwrap();
        path
    }

    #[test]
    fn pictures_arrive_whole_in_order_and_a_file_has_the_times_of_its_rate() {
        let folder = tempfile::tempdir().unwrap();
        let mut source = start(&format!("cat {}", video(folder.path(), 0).display()), FILE);
        assert!(!source.is_live());
        let (mut frame, mut first) = (frame(), None);
        for n in 0..30 {
            assert_eq!(source.next_frame(&mut frame, DEADLINE).unwrap(), Next::Frame);
            let Content::Image(image) = &frame.content else { panic!("no image") };
            assert!(image.bytes().iter().enumerate().all(|(i, &b)| b == sample(n, i)), "frame {n}");
            assert_eq!((frame.seq, frame.camera.as_str(), frame.size.width), (n as u64, "cam", 8));
            let start = *first.get_or_insert(frame.time);
            assert_eq!(frame.time.since(start), Duration::from_millis(100 * n as u64));
        }
        assert_eq!(source.next_frame(&mut frame, DEADLINE).unwrap(), Next::End);
        assert_eq!(source.next_frame(&mut frame, DEADLINE).unwrap(), Next::End);
    }

    #[test]
    fn a_given_rate_replaces_that_of_the_header() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("cat {}", video(folder.path(), 0).display());
        let mut source = start(&script, Timing::Offline { rate_hz: Some(50.0) });
        let (mut a, mut b) = (frame(), frame());
        source.next_frame(&mut a, DEADLINE).unwrap();
        source.next_frame(&mut b, DEADLINE).unwrap();
        assert_eq!(b.time.since(a.time), Duration::from_millis(20));
    }

    #[test]
    fn a_file_without_a_rate_is_refused_and_a_live_stream_needs_none() {
        let script = "printf 'YUV4MPEG2 W2 H1 Cmono\nFRAME\nab'";
        assert!(matches!(error_of(script, FILE), Error::NoRate { .. }));
        assert_eq!(start(script, Timing::Live).next_frame(&mut frame(), DEADLINE).unwrap(), Next::Frame);
    }

    #[test]
    fn a_program_that_does_not_exist_or_is_not_named_cannot_be_started() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let camera = CameraId::parse("cam").unwrap();
        let start = |argv| Source::start(&Options { argv, timing: FILE }, &camera, &clock).unwrap_err();
        assert!(matches!(start(vec![]), Error::NoProgram));
        let error = start(vec!["/no/such/program".into()]);
        assert!(matches!(error, Error::Start { .. }));
    }

    #[test]
    fn a_program_that_dies_at_once_is_named_with_its_status_and_last_words() {
        let error =
            error_of("echo hello >&2; echo no bus 3 >&2; echo check the cable >&2; exit 4", Timing::Live);
        let text = "capture command: `sh` ended with exit status: 4: no bus 3; check the cable";
        assert_eq!(error.to_string(), text);
        let error = error_of("kill -9 $$", Timing::Live);
        assert_eq!(error.to_string(), "capture command: `sh` ended with signal: 9 (SIGKILL)");
    }

    #[test]
    fn secrets_of_urls_among_the_arguments_show_neither_in_debug_nor_in_last_words() {
        let url = "rtsp://me:hunter1@host/x?token=hunter2";
        let argv: Vec<String> = ["sh", "-c", "echo no $1 >&2; exit 1", "sh", url].map(String::from).into();
        let options = Options { argv, timing: Timing::Live };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut source = Source::start(&options, &CameraId::parse("cam").unwrap(), &clock).unwrap();
        let error = read_all(&mut source).1.unwrap_err().to_string();
        let shown = "rtsp://***@host/***";
        assert!(error.ends_with(&format!(": no {shown}")), "{error}");
        let debug = format!("{options:?}");
        assert!(debug.contains(shown) && debug.contains("exit 1") && !debug.contains("hunter"), "{debug}");
    }

    #[test]
    fn a_program_that_ends_well_without_a_frame_is_an_error_too() {
        for (script, expected) in [
            ("true", "the stream is empty"),
            ("printf 'YUV4MPEG2 W2 H1 F5:1\n'", "the stream ends after its header, without a frame"),
            ("printf 'YUV4MPEG2 W0 H1 F5:1\n'", "the picture has no pixels: 0x1"),
        ] {
            let error = error_of(script, FILE).to_string();
            assert!(error.ends_with(&format!("the output of `sh` is broken: {expected}")), "{error}");
        }
    }

    #[test]
    fn rubbish_is_an_error_even_if_the_program_goes_on_for_ever() {
        let error = error_of("echo oops >&2; yes 'no video here'", Timing::Live);
        assert!(matches!(&error, Error::Stream { source: y4m::Error::NotY4m { .. }, .. }), "{error}");
        assert!(error.to_string().ends_with(": oops"), "{error}");
    }

    #[test]
    fn half_a_frame_is_an_error_after_the_whole_ones() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("cat {}", video(folder.path(), 5).display());
        for timing in [FILE, Timing::Live] {
            let (frames, end) = read_all(&mut start(&script, timing));
            assert_eq!(frames, 29);
            let error = end.unwrap_err();
            assert!(
                matches!(&error, Error::Stream { source: y4m::Error::HalfFrame { got: 67, .. }, .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn the_end_of_a_live_program_is_an_error_even_with_status_0() {
        let folder = tempfile::tempdir().unwrap();
        let (frames, end) =
            read_all(&mut start(&format!("cat {}", video(folder.path(), 0).display()), Timing::Live));
        assert_eq!(frames, 30);
        assert!(matches!(end.unwrap_err(), Error::Ended { status, .. } if status.success()));
    }

    #[test]
    fn a_hang_is_pending_for_as_long_as_it_lasts() {
        let mut source = start("printf 'YUV4MPEG2 W2 H1 F5:1\n'; sleep 1000", Timing::Live);
        for _ in 0..3 {
            let next = source.next_frame(&mut frame(), Duration::from_millis(1)).unwrap();
            assert_eq!(next, Next::Pending);
        }
    }

    #[test]
    fn a_program_that_closes_its_output_and_lingers_is_pending() {
        let folder = tempfile::tempdir().unwrap();
        let file = video(folder.path(), 0);
        let mut source = start(&format!("cat {}; exec >&-; sleep 1000", file.display()), FILE);
        let mut frame = frame();
        for _ in 0..30 {
            assert_eq!(source.next_frame(&mut frame, DEADLINE).unwrap(), Next::Frame);
        }
        for _ in 0..3 {
            let next = source.next_frame(&mut frame, Duration::from_millis(20)).unwrap();
            assert_eq!(next, Next::Pending);
        }
    }

    #[test]
    fn dropping_the_source_ends_the_children_of_a_stubborn_wrapper_too() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let script = format!(
            "trap '' TERM; sleep 1000 & echo $$ $! > {0}.new; mv {0}.new {0}; while :; do sleep 1000; done",
            pids.display()
        );
        let source = start(&script, Timing::Live);
        assert!(poll_until(DEADLINE, || pids.exists()));
        drop(source);
        for pid in std::fs::read_to_string(&pids).unwrap().split_whitespace() {
            // An orphan that nobody has reaped yet is gone as well.
            let stat = format!("/proc/{pid}/stat");
            let gone = || std::fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z "));
            assert!(poll_until(DEADLINE, gone), "process {pid} still runs");
        }
    }

    #[test]
    fn taking_a_frame_allocates_nothing_once_the_buffers_go_round() {
        let folder = tempfile::tempdir().unwrap();
        let mut source = start(&format!("cat {}", video(folder.path(), 0).display()), FILE);
        let mut frame = frame();
        for _ in 0..10 {
            source.next_frame(&mut frame, DEADLINE).unwrap();
        }
        let info = allocation_counter::measure(|| {
            for _ in 0..20 {
                source.next_frame(&mut frame, DEADLINE).unwrap();
            }
        });
        assert_eq!(info.count_total, 0);
    }
}
