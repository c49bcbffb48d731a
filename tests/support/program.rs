//! The real program as a child process: its log is collected, its end is waited for under
//! [`DEADLINE`], and it is killed when dropped.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::DEADLINE;

/// Between two looks at a process.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Names another binary under test, so that two builds run through the same tests.
const BINARY: &str = "OMNISIGHT_BIN";

/// A command that runs the program without the variables of the test environment.
pub fn omnisight(arguments: &[&str]) -> Command {
    let built = || env!("CARGO_BIN_EXE_omnisight").into();
    let mut command = Command::new(std::env::var_os(BINARY).unwrap_or_else(built));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OMNISIGHT_") {
            command.env_remove(name);
        }
    }
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"]
    {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// A running process.
pub struct Program {
    process: Child,
    out: Pipe,
    log: Pipe,
}

/// What a process wrote into one of its pipes so far.
struct Pipe {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Pipe {
    fn collect(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let collected = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
                collected.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn end(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = Pipe::collect(process.stdout.take().unwrap());
        let log = Pipe::collect(process.stderr.take().unwrap());
        Self { process, out, log }
    }

    /// Runs it to its end.
    pub fn finish(command: &mut Command) -> Finished {
        Self::start(command).wait()
    }

    /// Standard output so far.
    pub fn out(&self) -> String {
        self.out.text()
    }

    /// Standard error so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap();
        assert!(status.success(), "no such process any more; it said:\n{}", self.log());
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Waits for its end without blocking a runtime.
    pub async fn exit(&mut self) -> Option<i32> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return self.ended(status);
            }
            assert!(Instant::now() < deadline, "it does not end; it said:\n{}", self.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks it to stop, and waits for its end.
    pub async fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.exit().await
    }

    /// Waits for its end, blocking.
    pub fn wait(mut self) -> Finished {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end; it said:\n{}{}", self.out(), self.log());
            std::thread::sleep(LOOK_EVERY);
        };
        let code = self.ended(status);
        Finished { code, out: self.out(), err: self.log() }
    }

    fn ended(&mut self, status: ExitStatus) -> Option<i32> {
        self.out.end();
        self.log.end();
        status.code()
    }

    /// Waits until it has said on standard error what is wanted.
    pub async fn says(&self, what: &str) {
        self.until(what, |program| program.log().contains(what)).await;
    }

    /// Waits until `wanted` is so.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !wanted(self) {
            assert!(Instant::now() < deadline, "never: {what}; it said:\n{}{}", self.out(), self.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// One camera's configuration and state, in a folder that goes with it.
pub struct Camera {
    folder: TempDir,
}

/// A simulated plaza in a small picture.
pub const SMALL_PLAZA: &str = "kind = 'synthetic'\nwidth = 240\nheight = 180";

impl Camera {
    /// A camera `id` with this `[capture]`, which talks to the broker at `port`.
    pub fn new(id: &str, capture: &str, port: u16) -> Self {
        let link = format!(
            "[[broker_link]]\nurl = 'mqtt://127.0.0.1:{port}'\nreconnect_first_s = 0.1\nreconnect_max_s = 0.2"
        );
        Self::with_sections(id, capture, &link)
    }

    /// A camera `id` with this `[capture]` and these sections. Without `[discovery]` among them it looks for
    /// nobody: tests that run at the same time are on one network.
    pub fn with_sections(id: &str, capture: &str, sections: &str) -> Self {
        let alone = if sections.contains("[discovery]") { "" } else { "[discovery]\nenabled = false\n" };
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let text = format!(
            "[camera]\nid = '{id}'\n[capture]\n{capture}\n[state]\ndir = '{}'\n{alone}{sections}\n",
            state.display()
        );
        std::fs::write(folder.path().join("camera.toml"), text).unwrap();
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self) -> PathBuf {
        self.path().join("camera.toml")
    }

    /// A command that runs it; settings are added as variables or arguments.
    pub fn command(&self) -> Command {
        omnisight(&["run", "--config", self.file().to_str().unwrap()])
    }

    pub fn run(&self) -> Program {
        Program::start(&mut self.command())
    }
}
