//! The capture thread: keeps one source going and hands its frames to the slot.
//!
//! A source that fails to open, dies, or has no frame for `stall_after` is closed and opened again
//! after a jittered, growing wait; [`Status`] says which and why, until a frame comes again. A login that the
//! camera rejects is tried again after minutes: cameras lock an address out after a few failed ones. An
//! offline source that ends is done. [`Frame::seq`] counts on over restarts, and frame times never
//! go back: a file that starts over goes on after its last frame.
//!
//! An offline source is handed on at its own rate ([`Pace::Realtime`]) by holding each frame until
//! its time.
//!
//! While it is paused a live source is closed (a program ends, a device is free for others) and an offline
//! one is kept where it is, and its later frames move by the length of the pause.
//!
//! Every wait of the thread but the source's own (at most [`SOURCE_PATIENCE`]) ends when
//! the [`Capture`] is stopped or dropped.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::rate::RateMeter;
use super::slot::{Gate, Slot, Taken, WhenFull};
use super::{Error, FrameSource, Next, Options, Pace, open};
use crate::base::{Backoff, Clock, Time};
use crate::model::{CameraId, Frame};

/// How long the thread waits for the source before it looks whether it should stop.
const SOURCE_PATIENCE: Duration = Duration::from_millis(100);
/// How long a dropped [`Capture`] waits for its thread: a program may need to be insisted upon.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// How often the wait after a rejected login doubles, from the longest wait of the options on: at its default from
/// 30-60 s to 8-16 min.
const LOGIN_DOUBLINGS_MAX: u32 = 4;

/// How the source is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No frame yet.
    Starting,
    /// Frames come.
    Running,
    /// Frames stopped coming; it is being restarted.
    Stalled {
        /// For how long there was nothing, in words.
        reason: Arc<str>,
        /// Restarts since the last frame, the coming one included.
        attempts: u32,
    },
    /// It could not be opened, or died; it is being restarted.
    Restarting {
        /// The error, in words.
        reason: Arc<str>,
        /// Restarts since the last frame, the coming one included.
        attempts: u32,
    },
    /// It was told to rest.
    Paused,
    /// It came to its end, or was stopped.
    Ended,
    /// The capture thread panicked: a bug.
    Panicked,
}

/// How the source is doing, and what it did. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The present state.
    pub state: State,
    /// Frames that came from the source.
    pub frames: u64,
    /// Those of them that nobody took before the next one came.
    pub dropped: u64,
    /// How often the source was given up and opened again.
    pub restarts: u64,
    /// Frames a second over the last seconds.
    pub rate_hz: f64,
}

/// A source with its thread. Dropping it stops the thread and whatever the source started.
pub struct Capture {
    shared: Arc<Shared>,
    /// Never says a thing: it is disconnected when the thread is gone.
    thread_gone: Mutex<Receiver<()>>,
}

struct Shared {
    camera: CameraId,
    is_paced: bool,
    clock: Arc<dyn Clock>,
    slot: Slot,
    tally: Mutex<Tally>,
}

struct Tally {
    state: State,
    /// Since when the thread has waited for the source.
    asked: Option<Time>,
    frames: u64,
    restarts: u64,
    rate: RateMeter,
}

/// Starts the capture thread. `seed` is for the jitter of its restarts.
///
/// What is wrong with the source shows in the [`Status`]; the error is the system's, when it has no
/// thread left.
pub fn spawn(options: Options, camera: CameraId, clock: Arc<dyn Clock>, seed: u64) -> io::Result<Capture> {
    let slot = Slot::new(Frame::empty(camera.clone()));
    let tally =
        Tally { state: State::Starting, asked: None, frames: 0, restarts: 0, rate: RateMeter::default() };
    let is_paced = options.kind.is_live() || options.pace == Pace::Realtime;
    let shared = Arc::new(Shared { camera, is_paced, clock, slot, tally: Mutex::new(tally) });
    let (alive, thread_gone) = channel();
    let worker = Worker {
        frame: Frame::empty(shared.camera.clone()),
        seq_base: 0,
        last: None,
        shared: Arc::clone(&shared),
        options,
    };
    thread::Builder::new().name(format!("capture-{}", shared.camera)).spawn(move || {
        let _alive = alive;
        worker.run(seed);
    })?;
    Ok(Capture { shared, thread_gone: Mutex::new(thread_gone) })
}

impl Capture {
    /// Takes the latest frame (of an offline source: the next one) into `frame`, whose buffers go
    /// back to the source; waits for one at most as long as `patience`.
    pub fn next(&self, frame: &mut Frame, patience: Duration) -> Taken {
        self.shared.slot.take(frame, patience)
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        let dropped = self.shared.slot.dropped();
        let now = self.shared.clock.now();
        let tally = self.shared.tally();
        Status {
            state: tally.state.clone(),
            frames: tally.frames,
            dropped,
            restarts: tally.restarts,
            rate_hz: tally.rate.per_second(now),
        }
    }

    /// How long the thread has waited for the source: much longer than it asked to means that it hangs.
    pub fn busy_for(&self) -> Duration {
        let asked = self.shared.tally().asked;
        asked.map_or(Duration::ZERO, |since| self.shared.clock.now().since(since))
    }

    /// Whether frames come at the times that they bear, as those of a camera do.
    pub fn is_paced(&self) -> bool {
        self.shared.is_paced
    }

    /// Takes no more frames until [`Capture::resume`].
    pub fn pause(&self) {
        self.shared.slot.pause(true);
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.shared.slot.pause(false);
    }

    /// Whether it was told to rest.
    pub fn is_paused(&self) -> bool {
        self.shared.slot.gate() == Gate::Paused
    }

    /// Waits out a pause, at most for `patience`.
    pub fn wait_unpaused(&self, patience: Duration) {
        self.shared.slot.wait_unpaused(patience);
    }

    /// Tells the thread to stop, and whoever waits in [`Capture::next`] that there is no more.
    pub fn stop(&self) {
        self.shared.slot.close();
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop();
        let gone = self.thread_gone.get_mut().unwrap_or_else(PoisonError::into_inner);
        if gone.recv_timeout(STOP_PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(camera = %self.shared.camera, "the capture thread does not stop; left behind");
        }
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the source for something, and notes how long that takes.
    fn ask<T>(&self, ask: impl FnOnce() -> T) -> T {
        self.tally().asked = Some(self.clock.now());
        let answer = ask();
        self.tally().asked = None;
        answer
    }
}

/// Why one run of the source is over.
enum RunEnd {
    /// We were told to stop, or it came to its end.
    Done,
    /// A live source was closed for a pause.
    Paused,
    Stalled(Duration),
    Failed(Error),
}

/// What the capture thread owns.
struct Worker {
    options: Options,
    shared: Arc<Shared>,
    frame: Frame,
    /// What the present run's sequence numbers are added to.
    seq_base: u64,
    /// Sequence number and time of the last frame.
    last: Option<(u64, Time)>,
}

impl Drop for Worker {
    /// However the thread ends, nobody waits for its frames any longer.
    fn drop(&mut self) {
        let panicked = thread::panicking();
        self.shared.tally().state = if panicked { State::Panicked } else { State::Ended };
        self.shared.slot.close();
    }
}

impl Worker {
    fn run(mut self, seed: u64) {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut backoff = Backoff::new(self.options.backoff);
        // Runs since the last frame that ended in a rejected login.
        let (mut attempts, mut rejected) = (0, 0_u32);
        loop {
            if self.rest() == Gate::Closed {
                break;
            }
            let frames_before = self.shared.tally().frames;
            let opened =
                self.shared.ask(|| open(&self.options.kind, &self.shared.camera, &self.shared.clock));
            let end = match opened {
                Ok(source) => self.follow(source, &mut backoff),
                Err(error) => RunEnd::Failed(error),
            };
            let is_login_rejected = matches!(&end, RunEnd::Failed(error) if error.is_login_rejected());
            let (is_stall, reason) = match end {
                RunEnd::Done => break,
                RunEnd::Paused => continue,
                RunEnd::Stalled(quiet) => (true, format!("no frame for {:.1} s", quiet.as_secs_f64())),
                RunEnd::Failed(error) => (false, error.to_string()),
            };
            let came_up = self.shared.tally().frames > frames_before;
            attempts = if came_up { 1 } else { attempts + 1 };
            rejected =
                if is_login_rejected && !came_up { rejected + 1 } else { u32::from(is_login_rejected) };
            let mut wait = backoff.failed(self.shared.clock.now(), &mut rng);
            if rejected > 0 {
                let longest = self.options.backoff.max * (1 << (rejected - 1).min(LOGIN_DOUBLINGS_MAX));
                wait = longest.mul_f64(rng.random_range(0.5..=1.0));
            }
            self.report_restart(is_stall, reason, attempts, wait);
            if self.shared.slot.wait_closed(wait) {
                break;
            }
        }
    }

    /// Waits out a pause.
    fn rest(&self) -> Gate {
        if self.shared.slot.gate() != Gate::Paused {
            return self.shared.slot.gate();
        }
        self.shared.tally().state = State::Paused;
        let gate = self.shared.slot.wait_unpaused(Duration::MAX);
        self.shared.tally().state = State::Starting;
        gate
    }

    fn report_restart(&self, is_stall: bool, reason: String, attempts: u32, wait: Duration) {
        let Shared { camera, .. } = &*self.shared;
        tracing::warn!(%camera, attempts, wait_s = wait.as_secs_f64(), "capture restarts: {reason}");
        let reason = Arc::from(reason);
        let mut tally = self.shared.tally();
        tally.restarts += 1;
        tally.state = if is_stall {
            State::Stalled { reason, attempts }
        } else {
            State::Restarting { reason, attempts }
        };
    }

    /// Pulls frames until the source, or our reader, has had enough.
    fn follow(&mut self, mut source: Box<dyn FrameSource>, backoff: &mut Backoff) -> RunEnd {
        let when_full = if source.is_live() { WhenFull::Replace } else { WhenFull::Wait };
        self.seq_base = self.last.map_or(0, |(seq, _)| seq + 1);
        let mut shift = None;
        let mut quiet_since = self.shared.clock.now();
        let mut paused = Duration::ZERO;
        loop {
            match self.shared.slot.gate() {
                Gate::Open => {}
                Gate::Closed => return RunEnd::Done,
                Gate::Paused if source.is_live() => {
                    self.shared.slot.discard();
                    return RunEnd::Paused;
                }
                Gate::Paused => {
                    let began = self.shared.clock.now();
                    if self.rest() == Gate::Closed {
                        return RunEnd::Done;
                    }
                    quiet_since = self.shared.clock.now();
                    paused += quiet_since.since(began);
                }
            }
            let next = self.shared.ask(|| source.next_frame(&mut self.frame, SOURCE_PATIENCE));
            let now = self.shared.clock.now();
            match next {
                Ok(Next::Frame) => {}
                Ok(Next::Pending) if now.since(quiet_since) < self.options.stall_after => continue,
                Ok(Next::Pending) => return RunEnd::Stalled(now.since(quiet_since)),
                Ok(Next::End) => return RunEnd::Done,
                Err(error) => return RunEnd::Failed(error),
            }
            backoff.succeeded(now);
            let shift = *shift.get_or_insert_with(|| self.shift_of_run(source.is_live()));
            self.account(now, shift + paused);
            if !source.is_live() && self.options.pace == Pace::Realtime {
                let early = self.frame.time.since(now);
                if self.shared.slot.wait_closed(early) {
                    return RunEnd::Done;
                }
            }
            if !self.shared.slot.put(&mut self.frame, when_full) {
                return RunEnd::Done;
            }
            // Waiting for our reader is not the source's silence.
            quiet_since = self.shared.clock.now();
        }
    }

    /// How far a run's times must be moved, so that a file that starts over does not go back in time.
    fn shift_of_run(&self, is_live: bool) -> Duration {
        match self.last {
            Some((_, last)) if !is_live && self.frame.time <= last => {
                last.since(self.frame.time) + Duration::from_millis(1)
            }
            _ => Duration::ZERO,
        }
    }

    fn account(&mut self, now: Time, shift: Duration) {
        self.frame.seq += self.seq_base;
        self.frame.time = self.frame.time + shift;
        self.last = Some((self.frame.seq, self.frame.time));
        let mut tally = self.shared.tally();
        tally.frames += 1;
        tally.rate.count(now);
        tally.state = State::Running;
    }
}

#[cfg(test)]
mod tests {
    use super::super::y4m::tests::stream;
    use super::super::{Kind, command, replay};
    use super::*;
    use crate::base::{BackoffOptions, ManualClock, SystemClock};
    use crate::model::{Content, Size};
    use command::Timing;
    use std::path::Path;
    use std::time::Instant;

    const DEADLINE: Duration = Duration::from_secs(30);

    fn camera() -> CameraId {
        CameraId::parse("cam").unwrap()
    }

    /// Waits that are too short to notice.
    fn eager(kind: Kind) -> Options {
        let backoff = BackoffOptions { first: Duration::from_millis(1), ..BackoffOptions::default() };
        Options { backoff, pace: Pace::Fast, ..Options::new(kind) }
    }

    fn shell(script: impl Into<String>, timing: Timing) -> Kind {
        let argv = vec!["sh".into(), "-c".into(), script.into()];
        Kind::Command(command::Options { argv, timing })
    }

    fn start(options: Options) -> Capture {
        spawn(options, camera(), Arc::new(SystemClock::new()), 1).unwrap()
    }

    fn wait_for(capture: &Capture, wanted: impl Fn(&Status) -> bool) -> Status {
        let began = Instant::now();
        loop {
            let status = capture.status();
            if wanted(&status) {
                return status;
            }
            assert!(began.elapsed() < DEADLINE, "still {status:?}");
            thread::yield_now();
        }
    }

    fn take(capture: &Capture, frame: &mut Frame) -> Taken {
        capture.next(frame, DEADLINE)
    }

    fn y4m_file(folder: &Path, frames: usize) -> String {
        let path = folder.join("video.y4m");
        std::fs::write(&path, stream("YUV4MPEG2 W8 H6 F25:1 Cmono", 48, frames)).unwrap();
        path.display().to_string()
    }

    #[test]
    fn a_file_comes_whole_and_its_end_is_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = y4m_file(folder.path(), 200);
        let capture = start(eager(shell(format!("cat {file}"), Timing::Offline { rate_hz: None })));
        let mut frame = Frame::empty(camera());
        let mut last = None;
        for seq in 0..200 {
            assert_eq!(take(&capture, &mut frame), Taken::Frame);
            assert_eq!(frame.seq, seq);
            assert!(last.is_none_or(|last| frame.time.since(last) == Duration::from_millis(40)));
            last = Some(frame.time);
        }
        assert_eq!(take(&capture, &mut frame), Taken::Ended);
        let status = wait_for(&capture, |status| status.state == State::Ended);
        assert_eq!((status.frames, status.dropped, status.restarts), (200, 0, 0));
        assert!(status.rate_hz > 0.0);
    }

    #[test]
    fn a_live_source_keeps_the_latest_frame_and_counts_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = y4m_file(folder.path(), 50);
        let capture = start(eager(shell(format!("cat {file}; sleep 1000"), Timing::Live)));
        wait_for(&capture, |status| status.frames == 50 && status.dropped == 49);
        let mut frame = Frame::empty(camera());
        assert_eq!(take(&capture, &mut frame), Taken::Frame);
        assert_eq!(frame.seq, 49);
        assert_eq!(capture.status().state, State::Running);
    }

    #[test]
    fn a_live_program_that_ends_is_restarted_and_its_frames_count_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = y4m_file(folder.path(), 1);
        let script = format!("cat {file}; echo the lens fell off >&2; exit 7");
        let capture = start(eager(shell(script, Timing::Live)));
        let mut frame = Frame::empty(camera());
        let mut last = None;
        for _ in 0..3 {
            assert_eq!(take(&capture, &mut frame), Taken::Frame);
            assert!(last.is_none_or(|last| frame.seq > last));
            last = Some(frame.seq);
        }
        let status = wait_for(&capture, |status| matches!(status.state, State::Restarting { .. }));
        let State::Restarting { reason, attempts } = status.state else { unreachable!() };
        assert_eq!(&*reason, "capture command: `sh` ended with exit status: 7: the lens fell off");
        assert_eq!(attempts, 1);
        assert!(status.restarts >= 2);
    }

    #[test]
    fn a_file_that_dies_half_way_starts_over_without_going_back_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = y4m_file(folder.path(), 5);
        let capture = start(eager(shell(format!("cat {file}; exit 1"), Timing::Offline { rate_hz: None })));
        let mut frame = Frame::empty(camera());
        let mut last: Option<Frame> = None;
        for seq in 0..15 {
            assert_eq!(take(&capture, &mut frame), Taken::Frame);
            assert_eq!(frame.seq, seq);
            assert!(last.is_none_or(|last| frame.time > last.time));
            last = Some(frame.clone());
        }
    }

    #[test]
    fn a_source_without_frames_stalls_after_the_given_time_and_is_restarted() {
        let clock = Arc::new(ManualClock::new(Time { mono_ns: 1, epoch_ms: 0 }));
        let options = Options {
            backoff: BackoffOptions {
                first: Duration::from_hours(1),
                max: Duration::from_hours(1),
                ..BackoffOptions::default()
            },
            ..Options::new(shell("sleep 1000", Timing::Live))
        };
        let capture = spawn(options, camera(), Arc::clone(&clock) as Arc<dyn Clock>, 1).unwrap();
        assert_eq!(capture.next(&mut Frame::empty(camera()), Duration::from_millis(1)), Taken::Pending);
        assert_eq!(capture.status().state, State::Starting);
        let status = wait_for(&capture, |status| {
            clock.advance(Duration::from_millis(1));
            matches!(status.state, State::Stalled { .. })
        });
        assert_eq!(status.restarts, 1);
        assert!(clock.now().mono_ns > 10_000_000_000, "{status:?}");
        // Dropping it here must cut an hour's wait short.
    }

    #[test]
    fn a_source_that_cannot_be_opened_is_named_and_tried_again() {
        let argv = vec!["/no/such/program".into()];
        let kind = Kind::Command(command::Options { argv, timing: Timing::Live });
        let capture = start(eager(kind));
        let status = wait_for(&capture, |status| status.restarts >= 3);
        let State::Restarting { reason, attempts } = &status.state else { panic!("{status:?}") };
        assert!(reason.starts_with("can't start `/no/such/program`: No such file"), "{reason}");
        assert!(*attempts >= 3);
        assert_eq!(status.frames, 0);
    }

    #[test]
    fn a_rejected_login_is_not_tried_again_at_once() {
        let script = "echo 'Server returned 401 Unauthorized (authorization failed)' >&2; exit 1";
        let capture = start(eager(shell(script, Timing::Live)));
        wait_for(&capture, |status| matches!(status.state, State::Restarting { .. }));
        thread::sleep(Duration::from_millis(200));
        assert_eq!(capture.status().restarts, 1);
    }

    #[test]
    fn at_its_own_rate_no_frame_comes_before_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("det.txt");
        std::fs::write(&path, "1,-1,1,1,5,5,1\n4,-1,1,1,5,5,1\n").unwrap();
        let kind = Kind::Replay(replay::Options {
            path,
            size: Size { width: 20, height: 20 },
            rate_hz: 50.0,
            vehicles: false,
            plates: None,
        });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let capture = spawn(Options::new(kind), camera(), Arc::clone(&clock), 1).unwrap();
        let mut frame = Frame::empty(camera());
        for seq in 0..4 {
            assert_eq!(take(&capture, &mut frame), Taken::Frame);
            assert_eq!(frame.seq, seq);
            assert!(clock.now() >= frame.time);
            let Content::Detections(detections) = &frame.content else { panic!("no detections") };
            assert_eq!(detections.len(), usize::from(seq == 0 || seq == 3));
        }
        assert_eq!(take(&capture, &mut frame), Taken::Ended);
    }

    #[test]
    fn a_pause_ends_a_live_program_and_resuming_starts_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = y4m_file(folder.path(), 3);
        let capture = start(eager(shell(format!("cat {file}; sleep 1000"), Timing::Live)));
        wait_for(&capture, |status| status.frames == 3);
        capture.pause();
        let paused = wait_for(&capture, |status| status.state == State::Paused);
        assert_eq!((paused.frames, paused.restarts), (3, 0));
        let mut frame = Frame::empty(camera());
        assert_eq!(capture.next(&mut frame, Duration::ZERO), Taken::Pending, "what was there is old");
        capture.resume();
        wait_for(&capture, |status| status.frames == 6);
        assert_eq!(take(&capture, &mut frame), Taken::Frame);
        assert_eq!(frame.seq, 5);
        assert_eq!(capture.status().restarts, 0);
    }

    #[test]
    fn a_pause_of_a_file_loses_no_frame_and_moves_the_later_ones() {
        let folder = tempfile::tempdir().unwrap();
        let file = y4m_file(folder.path(), 6);
        let clock = Arc::new(ManualClock::new(Time { mono_ns: 1, epoch_ms: 0 }));
        let options = eager(shell(format!("cat {file}"), Timing::Offline { rate_hz: None }));
        let capture = spawn(options, camera(), Arc::clone(&clock) as Arc<dyn Clock>, 1).unwrap();
        wait_for(&capture, |status| status.frames == 2);
        capture.pause();
        let mut frame = Frame::empty(camera());
        let mut times = Vec::new();
        // One waits in the slot, one in the thread's hand; it looks at the gate before the third.
        for _ in 0..2 {
            assert_eq!(take(&capture, &mut frame), Taken::Frame);
            times.push(frame.time);
        }
        wait_for(&capture, |status| status.state == State::Paused);
        clock.advance(Duration::from_mins(1));
        capture.resume();
        while take(&capture, &mut frame) == Taken::Frame {
            times.push(frame.time);
        }
        assert_eq!(times.len(), 6);
        assert_eq!(times[1].since(times[0]), Duration::from_millis(40));
        assert_eq!(times[2].since(times[1]), Duration::from_millis(60_040));
    }

    #[test]
    fn a_paused_source_can_be_stopped() {
        let capture = start(eager(shell("sleep 1000", Timing::Live)));
        capture.pause();
        wait_for(&capture, |status| status.state == State::Paused);
        capture.stop();
        wait_for(&capture, |status| status.state == State::Ended);
    }

    #[test]
    fn stopping_ends_an_offline_source_whose_frames_nobody_takes() {
        let folder = tempfile::tempdir().unwrap();
        let file = y4m_file(folder.path(), 20);
        let capture = start(eager(shell(format!("cat {file}"), Timing::Offline { rate_hz: None })));
        wait_for(&capture, |status| status.frames == 2);
        capture.stop();
        wait_for(&capture, |status| status.state == State::Ended);
        assert_eq!(capture.status().dropped, 0);
    }
}
