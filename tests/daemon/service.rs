//! What the machine around the program sees: the service manager, the log, the exit code.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::support::program::{Camera, Program, SMALL_PLAZA};
use crate::support::{DEADLINE, Peer, Setup, TestBroker, against_each_broker};

/// The service manager's side of `sd_notify(3)`.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn bind(path: &std::path::Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket }
    }

    /// Takes what is said until something begins like this.
    fn hears(&self, beginning: &str) -> String {
        let mut buffer = [0; 4096];
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            let length = self.socket.recv(&mut buffer).expect(beginning);
            let said = std::str::from_utf8(&buffer[..length]).unwrap();
            if let Some(line) = said.lines().find(|line| line.starts_with(beginning)) {
                return line.to_owned();
            }
        }
        panic!("never said: {beginning}");
    }
}

#[test]
fn the_service_manager_hears_ready_status_watchdog_and_stopping() {
    let camera = Camera::with_sections("gate", SMALL_PLAZA, "");
    let path = camera.path().join("notify");
    let manager = Manager::bind(&path);
    let program = Program::start(camera.command().env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000"));
    manager.hears("READY=1");
    let status = manager.hears("STATUS=");
    assert!(status.contains("frames/s") && status.contains("tracks") && status.contains("peers"), "{status}");
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    program.signal("TERM");
    manager.hears("STOPPING=1");
    let finished = program.wait();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn the_service_manager_hears_when_a_reload_begins_and_when_it_is_done() {
    let camera = Camera::with_sections("gate", SMALL_PLAZA, "");
    let path = camera.path().join("notify");
    let manager = Manager::bind(&path);
    let program = Program::start(camera.command().env("NOTIFY_SOCKET", &path));
    manager.hears("READY=1");
    program.signal("HUP");
    // Both in one message, as Type=notify-reload wants it.
    let mut buffer = [0; 4096];
    let reloading = loop {
        let length = manager.socket.recv(&mut buffer).unwrap();
        let said = std::str::from_utf8(&buffer[..length]).unwrap().to_owned();
        if said.contains("RELOADING=1") {
            break said;
        }
    };
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.hears("READY=1");
    program.signal("TERM");
    assert_eq!(program.wait().code, Some(0));
}

#[test]
fn the_watchdog_is_not_fed_for_another_process() {
    let camera = Camera::with_sections("gate", SMALL_PLAZA, "");
    let path = camera.path().join("notify");
    let manager = Manager::bind(&path);
    let mut command = camera.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    let program = Program::start(&mut command);
    manager.hears("READY=1");
    program.signal("TERM");
    let mut buffer = [0; 4096];
    loop {
        let length = manager.socket.recv(&mut buffer).unwrap();
        let said = std::str::from_utf8(&buffer[..length]).unwrap();
        assert!(!said.contains("WATCHDOG"), "{said}");
        if said.contains("STOPPING=1") {
            break;
        }
    }
    assert_eq!(program.wait().code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_json_log_is_json() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
        let mut program = Program::start(camera.command().args(["--log", "debug", "--log-format", "json"]));
        Peer::watch_presence(broker.port()).online().await;
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
        let lines: Vec<Value> =
            program.log().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));
        let said = |what: &str| lines.iter().any(|line| line["message"] == what);
        assert!(said("running") && said("connected") && said("stopping"), "{}", program.log());
    })
    .await;
}

/// Starts cameras that have the broker's password from here and there, with the finest log.
async fn connects_without_showing(broker: &TestBroker, key: &str, value: &str, credentials: Option<&Path>) {
    let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
    let mut command = camera.command();
    command.args(["--log", "trace"]).env("OMNISIGHT_BROKER_LINK__0__USERNAME", "gate");
    command.env(format!("OMNISIGHT_BROKER_LINK__0__{key}"), value);
    if let Some(folder) = credentials {
        command.env("CREDENTIALS_DIRECTORY", folder);
    }
    let mut program = Program::start(&mut command);
    program.says("connected").await;
    assert_eq!(program.stop().await, Some(0));
    assert!(!program.log().contains("pa55-w0rd"), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brokers_password_is_used_wherever_it_comes_from_and_never_logged() {
    let closed = Setup { user: Some(("gate", "pa55-w0rd")), ..Setup::default() };
    against_each_broker(closed, async |broker: TestBroker| {
        let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
        let mut command = camera.command();
        command.args(["--log", "trace"]).env("OMNISIGHT_BROKER_LINK__0__USERNAME", "gate");
        let mut refused = Program::start(command.env("OMNISIGHT_BROKER_LINK__0__PASSWORD", "wr0ng-0ne"));
        refused.says("trying again").await;
        assert_eq!(refused.stop().await, Some(0));
        assert!(!refused.log().contains("wr0ng-0ne"), "{}", refused.log());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker");
        std::fs::write(&file, "pa55-w0rd\n").unwrap();
        connects_without_showing(&broker, "PASSWORD", "pa55-w0rd", None).await;
        connects_without_showing(&broker, "PASSWORD_FILE", file.to_str().unwrap(), None).await;
        connects_without_showing(&broker, "PASSWORD_SECRET", "broker", Some(folder.path())).await;
    })
    .await;
}
