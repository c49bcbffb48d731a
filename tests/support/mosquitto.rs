//! A real mosquitto as a child process, with its own configuration in a temporary folder.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::DEADLINE;

/// Set where a missing mosquitto is a failure and not a skip.
const REQUIRED: &str = "OMNISIGHT_REQUIRE_MOSQUITTO";

/// A running mosquitto; killed when dropped.
pub struct Mosquitto {
    process: Child,
}

impl Mosquitto {
    /// Whether it is there. Where it is not, says `skipped` (or fails, when it is required).
    pub fn installed() -> bool {
        let installed = program("mosquitto").is_some();
        if !installed {
            assert!(
                std::env::var_os(REQUIRED).is_none(),
                "mosquitto is not installed, and {REQUIRED} is set"
            );
            // Past the test harness, which keeps what `eprintln!` of a passing test says.
            let _ = writeln!(std::io::stderr(), "skipped: mosquitto not installed");
        }
        installed
    }

    /// Starts it on `port` of the loopback address and waits until it accepts connections.
    pub fn start(folder: &Path, port: u16, settings: &str) -> Self {
        let file = folder.join("mosquitto.conf");
        // Started by root it would become another user, who can't read a temporary folder.
        std::fs::write(&file, format!("user root\nlistener {port} 127.0.0.1\n{settings}")).unwrap();
        let process = Command::new(program("mosquitto").expect("mosquitto is installed"))
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut broker = Self { process };
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = broker.process.try_wait().unwrap();
            assert!(ended.is_none(), "mosquitto ended at its start: {ended:?}, settings:\n{settings}");
            assert!(Instant::now() < deadline, "mosquitto does not accept connections");
            std::thread::sleep(Duration::from_millis(10));
        }
        broker
    }

    /// Ends it in order: it saves what it keeps.
    pub fn terminate(mut self) {
        signal(&self.process, "TERM");
        self.process.wait().unwrap();
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Writes a password file with one user.
pub fn write_password(file: &Path, name: &str, password: &str) {
    let tool = program("mosquitto_passwd").expect("mosquitto_passwd comes with mosquitto");
    let status = Command::new(tool).args(["-b", "-c"]).arg(file).args([name, password]).status().unwrap();
    assert!(status.success());
}

fn signal(process: &Child, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(process.id().to_string()).status().unwrap();
    assert!(status.success());
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}
