//! A program that writes to us: started, listened to, and ended with all that it started.
//!
//! It runs in a process group of its own, so that the children of a wrapper script end with it. Its
//! standard input is the caller's text or empty, its standard output is the caller's, and of its standard
//! error the last lines are kept for the message that says why it ended; of ffmpeg's log its errors, and what its
//! filter `showinfo` says of each frame goes to the source. Dropping a [`Program`] asks it to end
//! (SIGTERM), insists after [`END_PATIENCE`] (SIGKILL), and reaps it: no zombie and no orphan stays.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::UrlSecrets;
use crate::model::Size;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How long a program may take to end when it is asked to.
const END_PATIENCE: Duration = Duration::from_millis(500);
/// How long we wait for the last words of a program that has ended.
const WORDS_PATIENCE: Duration = Duration::from_millis(200);
/// Between two looks at a program that should end.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Last lines of standard error that are kept: programs like to end with advice after the reason.
const STDERR_LINES_MAX: usize = 2;
/// Longest line of standard error that is read as one, in bytes. A URL of 4096 characters has room in it, percent-encoded
/// too: half of it in the next line would not be recognised.
const STDERR_LINE_BYTES_MAX: usize = 65_536;
/// How ffmpeg is asked to log: each line with its level, and the frames that [`FRAME_FILTERS`] log, but no progress.
pub(super) const LOG_ARGUMENTS: [&str; 3] = ["-nostats", "-loglevel", "level+info"];
/// The filters that log the time of each frame in microseconds, and its size.
pub(super) const FRAME_FILTERS: &str = "settb=1/1000000,showinfo=checksum=0";
/// The levels of ffmpeg's log that say why it ended.
const ERROR_LEVELS: [&str; 3] = ["[error] ", "[fatal] ", "[panic] "];
/// The others.
const OTHER_LEVELS: [&str; 5] = ["[info]", "[warning]", "[verbose]", "[debug]", "[trace]"];
/// Characters of such a line that are kept.
const STDERR_LINE_CHARS_MAX: usize = 400;

/// A running program.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    /// Set once the program is reaped; from then on its number may belong to somebody else.
    status: Option<ExitStatus>,
    stderr: Tail,
}

impl Program {
    /// Starts `argv` without a shell.
    pub(super) fn start(argv: &[String], speech: Speech) -> io::Result<(Self, ChildStdout)> {
        let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let Speech { stdin: text, secrets, is_ours, frames } = speech;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(if text.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if is_ours {
            for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
                command.env_remove(name);
            }
        }
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let given = match (stdin, text) {
            // A thread of its own: the program may read late, and the pipe has little room.
            (Some(mut stdin), Some(text)) => thread::Builder::new()
                .name("capture-stdin".into())
                .spawn(move || {
                    // A program that ends before it has read all of it says why itself.
                    let _ = stdin.write_all(text.as_bytes());
                })
                .map(|_| ()),
            _ => Ok(()),
        };
        let stderr = given.and_then(|()| Tail::follow(stderr, program.clone(), secrets, frames));
        let stderr = match stderr {
            Ok(tail) => tail,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let program = Self { child, status: None, stderr };
        // Both were asked for above.
        let stdout = stdout.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((program, stdout))
    }

    /// Waits for the program to end by itself; `None` when it still runs after `patience`.
    pub(super) fn wait(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            if !poll_until(patience, || self.has_ended()) {
                return Ok(None);
            }
            self.reap()?;
        }
        Ok(self.status)
    }

    /// Asks it to end, insists, and reaps it.
    pub(super) fn end(&mut self) {
        if self.status.is_some() {
            return;
        }
        let _ = kill_process_group(self.pid(), Signal::TERM);
        poll_until(END_PATIENCE, || self.has_ended());
        if let Err(error) = self.reap() {
            tracing::warn!(pid = self.child.id(), %error, "could not reap a capture program");
        }
    }

    /// `: ` and the last lines it wrote to its standard error, or nothing; complete once it has ended.
    pub(super) fn last_words(&self) -> String {
        let lines = self.stderr.last();
        if lines.is_empty() { lines } else { format!(": {lines}") }
    }

    /// Whether it has ended; does not reap it, so that its number stays its own.
    fn has_ended(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.pid()), look), Ok(None))
    }

    /// Ends what is left of the group, then reaps the program itself.
    fn reap(&mut self) -> io::Result<()> {
        // The group may be empty already.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        self.status = Some(self.child.wait()?);
        Ok(())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// Looks until `done` or out of patience; the last look's answer.
pub(super) fn poll_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() >= patience {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// What is said to a program, and what of its own words must not be repeated.
#[derive(Default)]
pub(super) struct Speech {
    /// What it reads from its standard input.
    pub(super) stdin: Option<String>,
    /// These are taken out of what it says.
    pub(super) secrets: UrlSecrets,
    /// Whether it is a tool of ours, which needs none of our settings; a program that the configuration
    /// names may use them.
    pub(super) is_ours: bool,
    /// It is ffmpeg with [`LOG_ARGUMENTS`] and [`FRAME_FILTERS`]: what it logs of each frame goes here. The reader must
    /// keep up with the frames: a full queue makes the program wait.
    pub(super) frames: Option<SyncSender<FrameInfo>>,
}

/// What ffmpeg knows of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameInfo {
    /// Its time in the file, microseconds; none where the file has none.
    pub(super) stamp: Option<i64>,
    /// Its size before it is scaled to what the detector needs.
    pub(super) size: Size,
}

/// Whether a variable sets a key of the configuration: it may hold a secret.
fn is_setting(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"OMNISIGHT_")
}

/// The last lines of a stream, kept by a thread that ends with it.
#[derive(Debug)]
struct Tail {
    lines: Arc<Mutex<VecDeque<String>>>,
    thread: JoinHandle<()>,
}

impl Tail {
    fn follow(
        stream: Option<impl Read + Send + 'static>,
        program: String,
        secrets: UrlSecrets,
        frames: Option<SyncSender<FrameInfo>>,
    ) -> io::Result<Self> {
        let lines = Arc::new(Mutex::new(VecDeque::with_capacity(STDERR_LINES_MAX)));
        let kept = Arc::clone(&lines);
        let thread = thread::Builder::new().name("capture-stderr".into()).spawn(move || {
            let Some(stream) = stream else { return };
            let mut input = BufReader::new(stream);
            while let Some(line) = read_line(&mut input, frames.as_ref()) {
                let line: String = secrets.hide(&line).chars().take(STDERR_LINE_CHARS_MAX).collect();
                tracing::debug!(program, line, "capture program");
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == STDERR_LINES_MAX {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        })?;
        Ok(Self { lines, thread })
    }

    fn last(&self) -> String {
        poll_until(WORDS_PATIENCE, || self.thread.is_finished());
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
    }
}

/// The next line that says something; `None` at the end of the stream. With `frames` it is ffmpeg's log: what it says of
/// frames goes there, and only its errors are lines that say something.
fn read_line(input: &mut impl BufRead, frames: Option<&SyncSender<FrameInfo>>) -> Option<String> {
    let mut bytes = Vec::new();
    let mut is_rest_of_left_out = false;
    loop {
        bytes.clear();
        let limit = STDERR_LINE_BYTES_MAX as u64;
        let read = input.by_ref().take(limit).read_until(b'\n', &mut bytes);
        if read.is_err() || bytes.is_empty() {
            return None;
        }
        let line = String::from_utf8_lossy(&bytes);
        let mut line = line.trim().to_owned();
        if let Some(frames) = frames {
            let is_left_out = is_rest_of_left_out || OTHER_LEVELS.iter().any(|level| line.contains(level));
            is_rest_of_left_out = is_left_out && !bytes.ends_with(b"\n");
            if let Some(info) = frame_info(&line) {
                // Without a reader no frame is read either.
                let _ = frames.send(info);
            }
            if is_left_out {
                continue;
            }
            for level in ERROR_LEVELS {
                line = line.replacen(level, "", 1);
            }
        }
        if !line.is_empty() {
            return Some(line.replace(char::is_control, " "));
        }
    }
}

/// A frame in a line of the filter: `[Parsed_showinfo_1 @ 0x5..] [info] n:  12 pts: 480000 pts_time:0.48 ... s:640x480 ...`.
fn frame_info(line: &str) -> Option<FrameInfo> {
    let (_, words) = line.strip_prefix("[Parsed_showinfo_")?.split_once(" n:")?;
    let value = |key: &str| words.split_once(key).and_then(|(_, rest)| rest.split_ascii_whitespace().next());
    let (width, height) = value(" s:")?.split_once('x')?;
    let size = Size { width: width.parse().ok()?, height: height.parse().ok()? };
    Some(FrameInfo { stamp: value(" pts:")?.parse().ok(), size })
}
