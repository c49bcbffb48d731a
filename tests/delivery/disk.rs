//! A disk that is full, or can't be written, or holds what it should not.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use omnisight::model::Qos;
use tokio::time::timeout;

use crate::busy::{self, ALL_EVENTS, Listener};
use crate::rig::{Receiver, Sender, numbered};
use crate::support::program::{Camera, Program, SMALL_PLAZA};
use crate::support::watch::{counter, modes};
use crate::support::{DEADLINE, Peer, Setup, TestBroker, kinds};

const IN_MEMORY: &str = "outbox_in_memory";

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

/// The program goes on from memory, says so, and goes back to the disk when there is room; nothing is lost.
async fn survives(
    program: &mut Program,
    broker: &TestBroker,
    listener: &Listener,
    repair: impl FnOnce(&Program),
) {
    let mut watch = Peer::watch_presence(broker.port());
    let (status, _) = watch.presence(|status| modes(status).contains(&IN_MEMORY)).await;
    assert_eq!(counter(&status, "outbox_evicted"), 0);
    busy::decides(program, 200).await;
    repair(program);
    watch
        .presence(|status| !modes(status).contains(&IN_MEMORY) && counter(status, "outbox_committed") > 0)
        .await;
    assert_eq!(program.stop().await, Some(0), "{}", program.log());
    listener.catches_up().await;
    let heard = listener.heard().decisions;
    let lost: Vec<_> = busy::decisions(program).into_iter().filter(|one| !heard.contains(one)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_disk_without_room_events_leave_from_memory_and_the_disk_is_used_again_when_there_is_some() {
    if !succeeds(Command::new("prlimit").arg("--version").stdout(std::process::Stdio::null())) {
        eprintln!("skipped: prlimit not installed");
        return;
    }
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let listener = Listener::start(broker.port(), "listener").await;
        let camera = busy::camera("gate", &format!("{}{ALL_EVENTS}", busy::link("main", broker.port(), "")));
        let run = busy::command(&camera);
        // No file grows beyond 4 KiB; a write that would is refused, and ends nobody.
        let mut limited = Command::new("prlimit");
        limited.args(["--fsize=4096:unlimited", "sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
        limited.arg(run.get_program()).args(run.get_args());
        for (name, value) in run.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        let mut program = Program::start(&mut limited);
        survives(&mut program, &broker, &listener, |program| {
            let process = format!("--pid={}", program.id());
            assert!(succeeds(Command::new("prlimit").args([&process, "--fsize=unlimited:unlimited"])));
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_folder_for_its_store_events_leave_from_memory_until_there_is_one() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let listener = Listener::start(broker.port(), "listener").await;
        let camera = busy::camera("gate", &format!("{}{ALL_EVENTS}", busy::link("main", broker.port(), "")));
        let outbox = camera.path().join("state").join("outbox");
        // A file in its place, which not even root gets past; read-only folders don't stop root.
        std::fs::create_dir_all(outbox.parent().unwrap()).unwrap();
        std::fs::write(&outbox, "no folder").unwrap();
        let mut program = Program::start(&mut busy::command(&camera));
        survives(&mut program, &broker, &listener, |_| std::fs::remove_file(&outbox).unwrap()).await;
    }
}

/// A file system of 2 MB, when this user may make one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &std::path::Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "none"]).arg(folder).stderr(std::process::Stdio::null());
        succeeds(&mut mount).then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_while_it_runs_is_named_costs_nothing_and_is_used_again() {
    const EVENTS: u32 = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        eprintln!("skipped: only root can mount a small disk");
        return;
    };
    let mut broker = TestBroker::start(kinds()[0], Setup::default()).await;
    let receiver = Receiver::start(broker.port(), Qos::AtLeastOnce).await;
    let sender = Sender::durable(broker.port(), "camera", &disk.0.join("outbox"));
    let outbox = sender.outbox.clone().unwrap();
    let until = async |what: &str, wanted: &dyn Fn() -> bool| {
        let wait = async {
            while !wanted() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(DEADLINE, wait).await.is_ok(), "never: {what}: {:#?}", outbox.status());
    };
    sender.router.send(numbered(0, Qos::AtLeastOnce));
    assert!(receiver.hears(1, DEADLINE).await);
    broker.stop().await;
    // Somebody else takes all that is left.
    let filler = disk.0.join("filler");
    let _ = std::fs::write(&filler, vec![1; 4 << 20]);
    for number in 1..EVENTS {
        sender.router.send(numbered(number, Qos::AtLeastOnce));
    }
    until("named", &|| outbox.status().failure.is_some()).await;
    assert_eq!(outbox.status().counters.evicted.total(), 0);
    std::fs::remove_file(&filler).unwrap();
    until("used again", &|| outbox.status().failure.is_none()).await;
    broker.start_again().await;
    assert!(receiver.hears(EVENTS as usize, DEADLINE).await, "lost: {:#?}", outbox.status());
    assert_eq!(receiver.heard().twice, 0);
    sender.drains().await;
    drop((sender, outbox));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_a_newer_version_and_a_damaged_one_are_set_aside_by_name_and_a_new_one_begins() {
    let broker = TestBroker::start(kinds()[0], Setup::default()).await;
    for (content, word) in [(&b"OMNIOBX\x63what comes later"[..], ".newer-"), (b"rubbish", "")] {
        let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
        let outbox = camera.path().join("state").join("outbox");
        std::fs::create_dir_all(&outbox).unwrap();
        std::fs::write(outbox.join("0000000001.log"), content).unwrap();
        // The last segment's end is torn; damage is what is unreadable before it.
        std::fs::write(outbox.join("0000000002.log"), b"OMNIOBX\x01").unwrap();
        let word = if word.is_empty() { ".corrupt-" } else { word };
        let mut watch = Peer::watch_presence(broker.port());
        let mut program = camera.run();
        watch.presence(|status| counter(status, "outbox_set_aside") > 0).await;
        program.says("set aside as").await;
        let names: Vec<_> =
            std::fs::read_dir(&outbox).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let aside = names.iter().filter(|name| name.to_string_lossy().contains(word)).count();
        assert!(aside > 0, "{names:?}");
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    }
}
