//! Faults of the disk under a running camera: frozen, full, deleted, read-only, slow; and two daemons on one folder.
//!
//! Each scenario runs the binary as a black box with a folder of its state on a small ext4 image of its own, lets it work
//! through the fault, ends the fault, repeats it with a SIGTERM in it, and starts the camera once more on a disk that
//! works. The folder is the whole state folder of a busy camera, the fleet's outbox of a camera that reads plates
//! (`fleet`), or the folder of the embedded broker (`own_broker`). A scenario prints one line of JSON, and fails where
//! a figure is not as it must be:
//!
//! | figure | meaning | must be |
//! |---|---|---|
//! | `events`, `lost` | decided by the camera; of these, never heard at the broker | `lost` 0 |
//! | `ids_twice` | event ids that two starts, or two daemons, have used | 0 |
//! | `left_during` | events heard while the fault lasted | |
//! | `mode_after_s`, `modes` | from the begin of the fault to the first mode about the disk; null: none within 10 s | 5 s |
//! | `clear_after_s` | from the end of the fault to presence without such a mode; null: not within 20 s | 10 s; a file system that an error made read-only stays so |
//! | `goodbye_after_s`, `exit_after_s` | from a SIGTERM in the fault; null: not before its end, 20 s later | goodbye 10 s |
//! | `exit_code` | of that run; null: ended by a signal | |
//!
//! The binary is `OMNISIGHT_BIN` when set, else the one that cargo built, so that two builds can be compared;
//! `OMNISIGHT_FAULT_SECONDS` is the length of a fault (15).
//!
//! ```text
//! OMNISIGHT_BIN=target/release/omnisight cargo test --test faults -- --ignored --nocapture --test-threads 1
//! ```
//!
//! A process that waits for a frozen file system can't be ended by anything, SIGKILL included: the kernel keeps it until
//! the disk answers. There the goodbye is the measure, and `exit_after_s` is null.
//!
//! The scenarios need root, for the image and its faults, and are ignored by default.

#![cfg(test)]
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "test code"
)]
#![allow(dead_code, unreachable_pub, reason = "it shares the busy camera with the tests of delivery")]

#[path = "../delivery/busy.rs"]
mod busy;
mod fleet;
#[cfg(feature = "broker")]
mod own_broker;
#[path = "../fleet/rig.rs"]
mod rig;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeSet, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;

use busy::{ALL_EVENTS, Listener};
use support::program::{Camera, Program};
use support::watch::modes;
use support::{Peer, Setup, TestBroker, kinds};

/// The modes that name a disk.
const DISK_MODES: [&str; 4] = ["outbox_in_memory", "outbox_slow", "state_unsaved", "state_lost"];
const NAMED_WITHIN: Duration = Duration::from_secs(10);
const CLEAR_WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Frozen,
    Full,
    Deleted,
    ReadOnly,
    /// Frozen for 1200 of every 1300 ms.
    Slow,
}

fn fault_lasts() -> Duration {
    let seconds = std::env::var("OMNISIGHT_FAULT_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(15))
}

/// The busy camera at a fifth of its rate: its presence must not wait behind events.
fn command(camera: &Camera) -> Command {
    let mut command = busy::command(camera);
    command.env("OMNISIGHT_CAPTURE__FPS", "10");
    command
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// An ext4 image, mounted at a state folder; it is thawed and unmounted at the end.
struct Image {
    folder: PathBuf,
    device: String,
    slow: Option<tokio::task::JoinHandle<()>>,
}

impl Image {
    /// None where this user may not mount one.
    fn mount(image: &Path, folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        if !image.exists() {
            std::fs::File::create(image).unwrap().set_len(48 << 20).unwrap();
            if !run("mkfs.ext4", &["-q", "-m", "0", image.to_str().unwrap()]) {
                return None;
            }
        }
        let options = ["-o", "loop,errors=remount-ro", image.to_str()?, folder.to_str()?];
        if !run("mount", &options) {
            return None;
        }
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == folder.to_str())?;
        let device = line.split(' ').next()?.trim_start_matches("/dev/").to_owned();
        Some(Self { folder: folder.to_owned(), device, slow: None })
    }

    fn path(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Frozen => assert!(run("fsfreeze", &["-f", self.path()])),
            Fault::Full => fill(&self.folder.join("filler")),
            Fault::Deleted => {
                for entry in std::fs::read_dir(&self.folder).unwrap().flatten() {
                    let _ =
                        std::fs::remove_dir_all(entry.path()).or_else(|_| std::fs::remove_file(entry.path()));
                }
            }
            Fault::ReadOnly => {
                let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", self.device);
                std::fs::write(trigger, "1").unwrap();
            }
            Fault::Slow => {
                let folder = self.path().to_owned();
                self.slow = Some(tokio::spawn(async move {
                    loop {
                        run("fsfreeze", &["-f", &folder]);
                        tokio::time::sleep(Duration::from_millis(1_200)).await;
                        run("fsfreeze", &["-u", &folder]);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }));
            }
        }
    }

    /// A file system that an error made read-only stays so.
    fn end(&mut self) {
        if let Some(slow) = self.slow.take() {
            slow.abort();
        }
        run("fsfreeze", &["-u", self.path()]);
        let _ = std::fs::remove_file(self.folder.join("filler"));
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.end();
        if !run("umount", &[self.path()]) {
            run("umount", &["-l", self.path()]);
        }
    }
}

/// Writes until nothing fits any more, not even a block.
fn fill(filler: &Path) {
    let mut file = std::fs::File::create(filler).unwrap();
    // A write fails while less room is left than it would take at most.
    for bytes in [1 << 20, 64 << 10, 1 << 10] {
        while file.write_all(&vec![1; bytes]).and_then(|()| file.sync_data()).is_ok() {}
    }
}

fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 10.0).round() / 10.0
}

fn disk_modes(status: &omnisight::swarm::message::StatusMessage) -> Vec<String> {
    modes(status).into_iter().filter(|mode| DISK_MODES.contains(mode)).map(str::to_owned).collect()
}

fn print(scenario: &str, figures: &Value) {
    println!("{}", json!({ "scenario": scenario, "figures": figures }));
}

fn ids(program: &Program) -> BTreeSet<u32> {
    busy::decisions(program).into_iter().map(|(id, _)| id).collect()
}

/// What a fault did to a running camera.
struct Trial {
    left_during: usize,
    mode_after_s: Option<f64>,
    modes: Vec<String>,
    clear_after_s: Option<f64>,
    goodbye_after_s: Option<f64>,
    exit_after_s: Option<f64>,
    exit_code: Option<i32>,
    signaled: Instant,
}

/// The fault, its end, and the fault with a SIGTERM in it; `heard` counts what came to the broker.
async fn trial(
    program: &mut Program,
    disk: &mut Image,
    fault: Fault,
    watch: &mut Peer,
    heard: impl Fn() -> usize,
) -> Trial {
    let (began, before) = (Instant::now(), heard());
    disk.begin(fault);
    let named = timeout(NAMED_WITHIN, watch.presence(|status| !disk_modes(status).is_empty())).await;
    let mode_after_s = named.as_ref().ok().map(|_| seconds(began));
    let modes = named.map(|(status, _)| disk_modes(&status)).unwrap_or_default();
    if fault != Fault::Deleted {
        tokio::time::sleep(fault_lasts().saturating_sub(began.elapsed())).await;
    }
    let left_during = heard() - before;
    let ended = Instant::now();
    disk.end();
    let clear = timeout(CLEAR_WITHIN, watch.presence(|status| disk_modes(status).is_empty())).await;
    let clear_after_s = clear.ok().map(|_| seconds(ended));

    if fault != Fault::ReadOnly {
        disk.begin(fault);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    program.signal("TERM");
    let told = Instant::now();
    let (mut goodbye_after_s, mut exit_after_s) = (None, None);
    while told.elapsed() < STOP_WITHIN && exit_after_s.is_none() {
        if goodbye_after_s.is_none() {
            let goodbye = timeout(Duration::from_millis(50), watch.offline()).await;
            goodbye_after_s = goodbye.ok().map(|_| seconds(told));
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        exit_after_s = (!program.is_running()).then(|| seconds(told));
    }
    if goodbye_after_s.is_none() {
        goodbye_after_s =
            timeout(Duration::from_millis(500), watch.offline()).await.ok().map(|_| seconds(told));
    }
    disk.end();
    let exit_code = program.exit().await;
    Trial {
        left_during,
        mode_after_s,
        modes,
        clear_after_s,
        goodbye_after_s,
        exit_after_s,
        exit_code,
        signaled: told,
    }
}

impl Trial {
    fn report(&self, name: &str, fault: Fault, events: usize, lost: usize, ids_twice: usize) {
        print(
            name,
            &json!({
                "events": events, "lost": lost, "ids_twice": ids_twice, "left_during": self.left_during,
                "mode_after_s": self.mode_after_s, "modes": self.modes, "clear_after_s": self.clear_after_s,
                "goodbye_after_s": self.goodbye_after_s, "exit_after_s": self.exit_after_s,
                "exit_code": self.exit_code,
            }),
        );
        assert_eq!((lost, ids_twice), (0, 0), "{name}");
        assert!(self.mode_after_s.is_some_and(|after| after <= 5.0), "{name} is not named in time");
        let clears = self.clear_after_s.is_some_and(|after| after <= 10.0);
        assert!(clears || fault == Fault::ReadOnly, "{name} is named after its end");
        assert!(self.goodbye_after_s.is_some_and(|after| after <= 10.0), "{name}: no goodbye");
    }
}

/// The next start needs a disk that works.
fn repair(image: &Path, fault: Fault) {
    if fault == Fault::ReadOnly {
        run("fsck.ext4", &["-fy", image.to_str().unwrap()]);
    }
}

async fn scenario(name: &str, fault: Fault) {
    let broker = TestBroker::start(*kinds().last().unwrap(), Setup::default()).await;
    let listener = Listener::start(broker.port(), "listener").await;
    let camera = busy::camera("gate", &format!("{}{ALL_EVENTS}", busy::link("main", broker.port(), "")));
    let (image, state) = (camera.path().join("disk.img"), camera.path().join("state"));
    let Some(mut disk) = Image::mount(&image, &state) else {
        eprintln!("skipped: only root can mount an image");
        return;
    };
    let mut watch = Peer::watch_presence(broker.port());
    let mut program = Program::start(&mut command(&camera));
    busy::decides(&program, 20).await;
    let heard = || listener.heard().decisions.len();
    let trial = trial(&mut program, &mut disk, fault, &mut watch, heard).await;
    drop(disk);

    // What was kept is sent at the next start.
    repair(&image, fault);
    let disk = Image::mount(&image, &state).unwrap();
    let mut again = Program::start(&mut command(&camera));
    busy::decides(&again, 40).await;
    again.stop().await;
    listener.catches_up().await;
    drop(disk);
    let heard = listener.heard().decisions;
    let (first, second) = (busy::decisions(&program), busy::decisions(&again));
    let decided: HashSet<_> = first.iter().chain(&second).collect();
    let lost = decided.iter().filter(|decision| !heard.contains(**decision)).count();
    let twice = ids(&program).intersection(&ids(&again)).count();
    trial.report(name, fault, decided.len(), lost, twice);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn a_frozen_disk() {
    scenario("frozen", Fault::Frozen).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn a_full_disk() {
    scenario("full", Fault::Full).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn a_deleted_folder() {
    scenario("deleted", Fault::Deleted).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn a_read_only_disk() {
    scenario("read-only", Fault::ReadOnly).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn a_slow_disk() {
    scenario("slow", Fault::Slow).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "twenty seconds"]
async fn two_daemons_on_one_folder() {
    let broker = TestBroker::start(*kinds().last().unwrap(), Setup::default()).await;
    let camera: Camera =
        busy::camera("gate", &format!("{}{ALL_EVENTS}", busy::link("main", broker.port(), "")));
    let mut first = Program::start(&mut command(&camera));
    busy::decides(&first, 20).await;
    let (began, mut second) = (Instant::now(), Program::start(&mut command(&camera)));
    let mut ended_after_s = None;
    while began.elapsed() < Duration::from_secs(15) && ended_after_s.is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        ended_after_s = (!second.is_running()).then(|| seconds(began));
    }
    let second_code = if ended_after_s.is_some() { second.exit().await } else { second.stop().await };
    first.stop().await;
    let twice = ids(&first).intersection(&ids(&second)).count();
    print(
        "two daemons",
        &json!({
            "ids_twice": twice, "second_ended_after_s": ended_after_s, "second_code": second_code,
            "named": second.log().contains("in use by another"),
        }),
    );
}
